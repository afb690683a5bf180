"""From evidence to records: when an attempt was handed in, whether its score can be believed, and why not. Pure.

Nothing that a student's run says of itself is believed: whose it is, which commit and when come from GitHub's record,
and the points only where GitHub's record shows that nothing but the released workflow made them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Protocol

from grading.course import Course, OnGitHub
from grading.github.answers import Artifact, Job, Run
from grading.github.artifact import in_words
from grading.github.evidence import (
    WORKFLOW,
    Attempt,
    Evidence,
    artifact_name,
    attempts,
    finished_attempts,
    grade_jobs,
    grading_runs,
)
from grading.github.store import Record
from grading.late import ON_TIME, final_points, lateness
from grading.score import Score, TimeSource

SLACK = timedelta(seconds=5)
"""GitHub gives whole seconds, and its services have a clock each."""

ReadScore = Callable[[str], Score | str]
"""The score in the zip with this SHA-256, or in words why there is none."""


class Released(Protocol):
    """What was handed out; see `grading.release`."""

    @property
    def bundle_commits(self) -> frozenset[str]: ...

    def trees(self, homework: str) -> frozenset[str]: ...

    def tests(self, homework: str) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Owned:
    """A repository, and whose work is in it. `names`: all that it ever had, the latest last."""

    homework: str
    student: str
    members: tuple[str, ...]
    repository_id: int
    names: tuple[str, ...]
    assigned: bool

    @property
    def name(self) -> str:
        return self.names[-1]


@dataclass(frozen=True, slots=True)
class Reported:
    """What the run of an attempt says: a score, and what speaks against taking it; or in `missing` why there is none.

    `number`: the attempt of the run that it comes from.
    """

    score: Score | None = None
    number: int = 0
    doubts: tuple[str, ...] = ()
    missing: str = ""


def verify(
    evidence: Evidence, owned: Owned, course: Course, releases: Released, read: ReadScore
) -> list[Record]:
    """A record for each attempt, in the order of their pushes."""
    assert course.github is not None
    everything = attempts(evidence)
    return [
        _record(attempt, flags, evidence, owned, course, releases, read)
        for attempt, flags in zip(
            everything, _flags(everything, evidence, owned, course.github, releases), strict=True
        )
    ]


def _record(
    attempt: Attempt,
    flags: list[str],
    evidence: Evidence,
    owned: Owned,
    course: Course,
    releases: Released,
    read: ReadScore,
) -> Record:
    assert course.github is not None
    said = reported(attempt, evidence, owned.homework, read)
    doubts = (*_provenance(attempt, evidence, owned, course.github, releases), *said.doubts)
    if said.score is not None:
        doubts += tuple(_claims(said.score, attempt, owned, releases))
    central = evidence.central.get(attempt.commit)
    if central is not None and (central.homework != owned.homework or not central.confined):
        central = None
    reasons: tuple[str, ...]
    if said.missing:
        status, reasons = "missing", (said.missing,)
    elif doubts:
        status, reasons = "unverified", doubts
    elif said.score is None or said.score.state == "error":
        status, reasons = "missing", (not_graded(said.score),)
    else:
        status, reasons = "verified", ()
    points = said.score.points if said.score is not None else None
    counting, origin = said.score, "reported" if said.score is not None else None
    if central is not None:
        flags += [f"the run's own score was not taken: {reason}" for reason in reasons]
        if points is not None and points != central.points:
            flags.append(f"reported {_number(points)} points, central {_number(central.points)}")
        status, reasons, counting, origin = "verified", (), central, "central"
    moment, source = submission_time(attempt, evidence, course, said)
    return Record.model_validate(
        {
            "homework": owned.homework,
            "student": owned.student,
            "members": owned.members,
            "repository": owned.name,
            "repository_id": owned.repository_id,
            "commit": attempt.commit,
            "status": status,
            "reasons": reasons,
            "flags": tuple(flags),
            "pushed_at": attempt.at,
            "submitted_at": moment,
            "time_source": source,
            "origin": origin,
            "reported_points": points,
            "central_points": None if central is None else central.points,
            "score": None
            if counting is None
            else _as_evidence_says(counting, attempt, owned, course, moment, source),
        }
    )


def not_graded(score: Score | None) -> str:
    """Why a score in error has no points, in one plain line: students' code may have had a hand in the file."""
    reason = score.reason if score is not None else None
    return f"not graded, by our fault: {in_words(reason or 'a hidden test is at fault')}"


# When


def submission_time(
    attempt: Attempt, evidence: Evidence, course: Course, said: Reported
) -> tuple[datetime, TimeSource]:
    """The end of the grade job in attempt 1 of the first run, if that graded, whatever the verdict; else the push."""
    run = attempt.run
    if course.time_source == "pipeline_finish" and run is not None:
        jobs = grade_jobs(evidence.jobs.get((run.id, 1), ()))
        graded = said.number == 1 and said.score is not None and said.score.state == "graded"
        ends = [
            job.completed_at
            for job in jobs
            if job.completed_at is not None
            and (job.conclusion == "success" or (job.conclusion == "failure" and graded))
        ]
        if ends and len(ends) == len(jobs):
            # The run of a tag that is called like the branch may have ended before the push.
            return max(*ends, attempt.at), "pipeline_finish"
    return attempt.at, "push"


def _as_evidence_says(
    score: Score, attempt: Attempt, owned: Owned, course: Course, moment: datetime, source: TimeSource
) -> Score:
    """The same points, with whose, which and when from the evidence, and the penalty that follows from that."""
    deadline = course.homework(owned.homework).deadline
    late = lateness(course.late, moment, deadline, course.zone) if deadline is not None else ON_TIME
    points = score.points
    changes = {
        "homework": owned.homework,
        "student": owned.student,
        "repository": owned.name,
        "commit": attempt.commit,
        "submitted_at": moment,
        "time_source": source,
        "provisional": False,
        "deadline": deadline,
        "days_late": late.days_late,
        "penalty": None if points is None else late.penalty(points),
        "final_points": None if points is None else final_points(points, late),
    }
    return Score(**{name: getattr(score, name) for name in Score.model_fields} | changes)


# What the run says


def reported(attempt: Attempt, evidence: Evidence, homework: str, read: ReadScore) -> Reported:
    """The score of the first attempt of the run that graded; later ones only help where that failed."""
    run = attempt.run
    if run is None:
        return Reported(missing="no run of the course's workflow graded this push")
    name = artifact_name(homework)
    found = [artifact for artifact in evidence.artifacts_of(run.id) if artifact.name == name]
    said = Reported(missing=_why_nothing(run, name, deleted=run.id in evidence.gone))
    for number in range(1, finished_attempts(run) + 1):
        jobs = evidence.jobs.get((run.id, number), ())
        here = [artifact for artifact in found if _within(artifact, grade_jobs(jobs))]
        found = [artifact for artifact in found if artifact not in here]
        if here:
            said = _of_attempt(run, number, here, jobs, evidence, read)
            if said.score is not None and said.score.state == "graded":
                break
    if not found or (run.run_attempt > 1 and said.score is not None):
        return said  # what is left was made by attempts that nobody had to look at
    if said.missing and not any(_sha256(artifact, evidence) for artifact in found):
        return Reported(missing=_why_not_fetched(found[0], evidence))
    if said.missing and run.status != "completed":
        return said
    doubt = f"an artifact {name} was made outside the time of the grade job"
    return Reported(said.score, said.number, (*said.doubts, doubt))


def _of_attempt(
    run: Run, number: int, here: Sequence[Artifact], jobs: Sequence[Job], evidence: Evidence, read: ReadScore
) -> Reported:
    kept = [artifact for artifact in here if _sha256(artifact, evidence)]
    if not kept:
        return Reported(missing=_why_not_fetched(here[0], evidence))
    artifact = kept[0]
    doubts = []
    if len(here) > 1:
        doubts.append(
            f"the run has {len(here)} artifacts {artifact.name}, and nobody can tell which to believe"
        )
    grade = grade_jobs(jobs)
    if len(grade) > 1:
        doubts.append("the run has more than one grade job")
    if any(_within(artifact, [job]) for job in jobs if job not in grade):
        doubts.append("another job ran while the artifact was made")
    of = artifact.workflow_run
    if of is not None and (of.id not in (None, run.id) or of.head_sha not in (None, run.head_sha)):
        doubts.append("the artifact belongs to another run")
    sha256 = _sha256(artifact, evidence)
    if artifact.digest != f"sha256:{sha256}":
        doubts.append("the artifact is not the one whose digest GitHub recorded")
    score = read(sha256)
    if isinstance(score, str):
        return Reported(None, number, (*doubts, score))
    return Reported(score, number, tuple(doubts))


def _sha256(artifact: Artifact, evidence: Evidence) -> str:
    fetched = evidence.fetched.get(artifact.id)
    return (fetched.sha256 or "") if fetched is not None else ""


def _within(artifact: Artifact, jobs: Iterable[Job]) -> bool:
    made = artifact.created_at
    return made is not None and any(
        job.started_at is not None
        and job.completed_at is not None
        and job.started_at - SLACK <= made <= job.completed_at + SLACK
        for job in jobs
    )


def _why_nothing(run: Run, name: str, *, deleted: bool) -> str:
    if deleted:
        return "its run was deleted before it could be collected"
    if run.status != "completed":
        return "its run is not finished"
    if run.conclusion == "cancelled":
        return "its run was cancelled"
    return f"its run ({in_words(run.conclusion or 'no conclusion')}) left no artifact {name}"


def _why_not_fetched(artifact: Artifact, evidence: Evidence) -> str:
    fetched = evidence.fetched.get(artifact.id)
    why = fetched.problem if fetched is not None else "was not fetched yet"
    return f"the artifact {artifact.name} {why}"


# What GitHub says of the run


def _provenance(
    attempt: Attempt, evidence: Evidence, owned: Owned, settings: OnGitHub, releases: Released
) -> Iterator[str]:
    tree = evidence.trees.get(attempt.commit)
    if tree is None:
        yield "the commit's .github was not looked at yet"
    elif tree.problem:
        yield f"the commit's .github cannot be compared: {tree.problem}"
    elif tree.sha is None:
        yield "the commit has no .github"
    elif tree.sha not in releases.trees(owned.homework):
        yield f"the commit's .github is none that was released for {owned.homework}"
    if attempt.run is None:
        return
    called = attempt.run.referenced_workflows or ()
    wanted = f"{settings.organisation}/{settings.bundle}/{WORKFLOW}"
    if not called:
        yield "the run called no reusable workflow"
    elif len(called) > 1:
        yield f"the run called {len(called)} reusable workflows, and not the course's alone"
    elif called[0].path.partition("@")[0].casefold() != wanted.casefold():
        yield f"the run called {in_words(called[0].path)}, not the course's workflow"
    elif called[0].sha not in releases.bundle_commits:
        yield f"the run called the course's workflow at {in_words(called[0].sha[:7])}, which was not released"


def _claims(score: Score, attempt: Attempt, owned: Owned, releases: Released) -> Iterator[str]:
    """Where the file speaks of something else than the evidence does."""
    if score.homework != owned.homework:
        yield f"the score is of {in_words(score.homework, 40)}"
    if score.commit not in (None, attempt.commit):
        yield "the score names another commit"
    names = {name.casefold() for name in owned.names}
    if score.repository is not None and score.repository.casefold() not in names:
        yield "the score names another repository"
    if score.state == "graded" and not score.confined:
        yield "graded without a sandbox"
    if score.state == "graded" and score.digests.tests not in releases.tests(owned.homework):
        yield "graded with tests that were not released"


# For a person to look at


def _flags(
    everything: Sequence[Attempt],
    evidence: Evidence,
    owned: Owned,
    settings: OnGitHub,
    releases: Released,
) -> Iterator[list[str]]:
    """For each attempt in turn. A changed workflow may have left something (a cache) to the runs after it."""
    released: frozenset[str | None] = releases.trees(owned.homework)
    if not settings.grade_on_push:
        released |= {None}  # such a template has no workflow
    numbers = sorted(run.run_number for run in grading_runs(evidence))
    forced = evidence.force_pushes()
    over = {activity.after: activity.before for activity in forced}
    away = {activity.before: activity.after for activity in forced}
    changed = ""
    for attempt in everything:
        flags = []
        if not owned.assigned:
            flags.append("the repository is known by its name only")
        if len(owned.names) > 1:
            flags.append(f"the repository was renamed: {' → '.join(owned.names)}")
        if attempt.push is None:
            flags.append("GitHub's activity has no such push: the time is the run's")
        tree = evidence.trees.get(attempt.commit)
        if tree is not None and not tree.problem and tree.sha not in released:
            flags.append("protected path changed")
            changed = changed or attempt.commit
        elif changed:
            flags.append(f"protected path changed earlier, at {changed[:7]}")
        if attempt.commit in over:
            flags.append(f"force-pushed over {over[attempt.commit][:7]}")
        if attempt.commit in away:
            flags.append(f"force-pushed away by {away[attempt.commit][:7]}")
        again = attempt.run.run_attempt - 1 if attempt.run is not None else 0
        if again:
            flags.append(f"re-run {again} time{'s' if again > 1 else ''}")
        gap = _gap_before(attempt.run, numbers)
        if gap:
            flags.append(f"run number gap: {', '.join(map(str, gap[:10]))}{' …' if len(gap) > 10 else ''}")
        yield flags


def _gap_before(run: Run | None, numbers: Sequence[int]) -> list[int]:
    """The numbers missing between this run and the one before it; all of them where the attempt has no run."""
    if run is None:
        return sorted(set(range(1, numbers[-1])) - set(numbers)) if numbers else []
    before = bisect_left(numbers, run.run_number)
    return list(range((numbers[before - 1] if before else 0) + 1, run.run_number))


def _number(points: Fraction | None) -> str:
    return "none" if points is None else f"{float(points):g}"
