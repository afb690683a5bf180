"""Central mode: the instructor's own repository grades students' commits, and no student run needs a test or a secret.

Three steps, made to run in three jobs. `prepare` has a token and runs no student code: it decides what to grade and
fetches it. `grade_prepared` runs student code, in the sandbox, and has no token. `publish` has a token again and runs
no student code: it records the scores and tells the students. What the second step leaves behind is believed only as
far as points go: whose they are and for which commit stands in the plan, which it cannot change.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from grading.atomic import write_atomically
from grading.course import Course
from grading.errors import GradingError, NotebookError, UsageError
from grading.github.answers import Moment, Sha
from grading.github.api import GitHub
from grading.github.client import Refused
from grading.github.due import Push, due
from grading.github.source import take_source
from grading.github.store import Record, Store
from grading.github.verify import not_graded
from grading.homework import TOTAL_POINTS, Homework
from grading.score import Score, TimeSource
from grading.score_file import load_score, write_score

if TYPE_CHECKING:
    from grading.grade import Submission

Tell = Callable[[str], None]

MARKER = "<!-- feedback on {homework}: how it is found again -->"
MOST_OF_ONE = (
    20  # commits of one student and homework in one run, the earliest first; the rest have their turn next
)
LONGEST_BODY = 60_000  # characters; GitHub takes 65,536 in an issue
LONGEST_STATUS = 140  # characters in a status's description


class Planned(BaseModel):
    """A commit to grade, and whose it is. `problem` says why there is nothing to grade, in a student's words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    homework: str
    student: str
    repository: str
    repository_id: int
    commit: Sha
    submitted_at: Moment
    time_source: TimeSource
    problem: str = ""

    @property
    def name(self) -> str:
        return f"{self.homework}-{self.repository_id}-{self.commit}"


class Plan(BaseModel):
    """What stands in `plan.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    planned: tuple[Planned, ...]


# What to grade


def to_grade(
    records: Iterable[Record], course: Course, homeworks: Collection[str], now: datetime
) -> list[Planned]:
    """The commits of these homeworks whose turn it is, by homework and student."""
    settings = course.github
    if settings is None:
        raise UsageError(f"{course.path}: github: missing; say at least the organisation")
    attempts: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.homework in homeworks:
            attempts.setdefault((record.homework, record.student), []).append(record)
    planned = []
    for (homework, student), of_one in sorted(attempts.items()):
        by_commit = {record.commit: record for record in of_one}
        pushes = [
            Push(
                record.commit,
                record.submitted_at,
                central=record.central_points is not None,
                unsettled=settings.grade_on_push and record.status != "verified",
            )
            for record in by_commit.values()
            if record.submitted_at is not None
        ]
        deadline = course.homework(homework).deadline
        for push in due(pushes, settings.central, deadline, course.zone, now)[:MOST_OF_ONE]:
            record = by_commit[push.commit]
            planned.append(
                Planned(
                    homework=homework,
                    student=student,
                    repository=record.repository,
                    repository_id=record.repository_id,
                    commit=record.commit,
                    submitted_at=push.at,
                    time_source=record.time_source or "push",
                )
            )
    return planned


def prepare(
    api: GitHub,
    course: Course,
    store: Store,
    work: Path,
    homeworks: Collection[str],
    now: datetime,
    tell: Tell,
) -> list[Planned]:
    """Fetch what is to be graded into `work`, and write the plan last: without it there is nothing to do.

    A repository that cannot be fetched is told and left for the next time.
    """
    if (work / "plan.json").exists():
        raise UsageError(
            f"{work}: holds a plan that is not published yet; publish it, or remove the directory"
        )
    shutil.rmtree(work, ignore_errors=True)
    (work / "submissions").mkdir(parents=True)
    ready = []
    for planned in to_grade(store.records(), course, homeworks, now):
        homework = course.load_homework(planned.homework)
        directory = work / "submissions" / planned.name
        directory.mkdir()
        try:
            take_source(
                api, planned.repository, planned.commit, directory, homework.notebook, homework.submits.keys()
            )
        except NotebookError as error:
            ready.append(planned.model_copy(update={"problem": str(error)}))
        except GradingError as error:
            tell(f"{planned.repository} at {planned.commit[:7]}: not fetched: {error}")
        else:
            ready.append(planned)
    content = Plan(planned=tuple(ready)).model_dump_json(indent=2)
    write_atomically(work / "plan.json", f"{content}\n".encode())
    return ready


# Grading


def read_plan(work: Path) -> tuple[Planned, ...]:
    """Raises UsageError where there is none."""
    path = work / "plan.json"
    try:
        return Plan.model_validate_json(path.read_bytes()).planned
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); run the step before") from None
    except ValidationError as error:
        raise UsageError(f"{path}: is no plan; remove {work} and begin with --step collect") from error


def grade_prepared(
    course: Course, work: Path, *, jobs: int, confined: bool, homeworks: Collection[str] = ()
) -> tuple[int, int]:
    """Grade what the plan names, or only these homeworks of it; a score that is there is kept.

    One homework is graded in this process, several in one of their own each. Says how many commits are graded now,
    and how many are not.
    """
    planned = [one for one in read_plan(work) if not homeworks or one.homework in homeworks]
    waiting = [one for one in planned if not _settled(work, one)]
    names = sorted({one.homework for one in waiting})
    for name in names:
        course.secret_salt_of(name)  # what decides grades must not be guessable
    if len(names) == 1:
        _grade_here(course, work, names[0], waiting, jobs, confined)
    else:
        for name in names:
            _grade_apart(course, work, name, jobs, confined)
    chosen = {one.name for one in planned}
    graded = sum(one.name in chosen for one, _ in graded_ones(work, tell=lambda line: None))
    return graded, len(planned) - graded


def _settled(work: Path, planned: Planned) -> bool:
    try:
        return load_score(_score_path(work, planned)).state == "graded"
    except UsageError:
        return False


def _score_path(work: Path, planned: Planned) -> Path:
    return work / "graded" / f"{planned.name}.json"


def _grade_apart(course: Course, work: Path, name: str, jobs: int, confined: bool) -> None:
    command = [sys.executable, "-P", "-m", "grading.cli", "central", "--step", "grade", "--work", str(work)]
    command += ["--homeworks", str(course.directory), "--homework", name, "--jobs", str(jobs)]
    finished = subprocess.run(command + ([] if confined else ["--unconfined"]), check=False)
    if finished.returncode not in (0, 3):
        raise GradingError(
            f"{name}: the grader ended with exit code {finished.returncode}; its words are above"
        )


def _grade_here(
    course: Course, work: Path, name: str, waiting: Sequence[Planned], jobs: int, confined: bool
) -> None:
    from grading.grade import Graded, grade

    (work / "graded").mkdir(exist_ok=True)
    homework = course.load_homework(name)
    submissions = [_submission(planned, homework, work) for planned in waiting]

    def done(number: int, graded: Graded) -> None:
        write_score(_score_path(work, waiting[number]), graded.score)

    grade(homework, course, submissions, done, jobs=min(jobs, len(submissions)), confined=confined)


def _submission(planned: Planned, homework: Homework, work: Path) -> Submission:
    from grading.grade import Submission, read_starter, read_submission
    from grading.notebook import find_notebook

    who: dict[str, Any] = {
        "student": planned.student,
        "repository": planned.repository,
        "commit": planned.commit,
        "submitted_at": planned.submitted_at,
        "time_source": planned.time_source,
    }
    if planned.problem:
        return Submission(None, problem=planned.problem, **who)
    try:
        path = find_notebook(work / "submissions" / planned.name, homework.notebook, read_starter(homework))
    except NotebookError as error:
        return Submission(None, problem=str(error), **who)
    return read_submission(path, homework, **who)


# Publishing


@dataclass(frozen=True, slots=True)
class Published:
    """How it went: how many attempts were told, and whose not and why."""

    told: int
    failed: tuple[str, ...]


def graded_ones(work: Path, tell: Tell) -> Iterator[tuple[Planned, Score]]:
    """The scores that fit the plan. One that speaks of another submission, or is missing, is told and left out."""
    for planned in read_plan(work):
        try:
            score = load_score(_score_path(work, planned))
        except UsageError as error:
            tell(f"{planned.repository} at {planned.commit[:7]}: no score: {error}")
            continue
        claims = (score.homework, score.commit, score.repository, score.student)
        if claims != (planned.homework, planned.commit, planned.repository, planned.student):
            tell(
                f"{planned.repository} at {planned.commit[:7]}: its score is of another submission; left out"
            )
        elif score.max_points != TOTAL_POINTS:
            tell(
                f"{planned.repository} at {planned.commit[:7]}: its score is out of "
                f"{float(score.max_points):g} points, not {TOTAL_POINTS}; left out"
            )
        elif score.state == "error":
            tell(f"{planned.repository} at {planned.commit[:7]}: {not_graded(score)}")
        else:
            yield planned, score


def record_scores(store: Store, work: Path, tell: Tell) -> int:
    """Keep the scores in the store, beside the evidence; the same ones again change nothing. Says how many."""
    kept = 0
    for planned, score in graded_ones(work, tell):
        data = {"commit": planned.commit, "score": json.loads(score.model_dump_json())}
        store.append(planned.homework, planned.repository_id, "central", planned.commit, data)
        kept += 1
    return kept


def publish(api: GitHub, course: Course, store: Store, records: Sequence[Record], tell: Tell) -> Published:
    """Tell the students what was graded here, each in their repository: a status on the commit, and one issue with the
    feedback on the latest. What is out already is not sent again, and one repository's trouble stops no other's.
    """
    asking = None
    told, failed = 0, []
    attempts: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        attempts.setdefault((record.homework, record.student), []).append(record)
    for of_one in attempts.values():
        waiting = [
            record for record in of_one if record.central_points is not None and not is_out(record, store)
        ]
        if not waiting:
            continue
        asking = api.me()[0].id if asking is None else asking
        try:
            send_feedback(api, course, store, waiting, of_one, asking, tell)
            told += len(waiting)
        except GradingError as error:
            failed.append(f"{waiting[0].repository}: not told: {error}")
            tell(failed[-1])
    return Published(told, tuple(failed))


def is_out(record: Record, store: Store) -> bool:
    journal = store.journal(record.homework, record.repository_id)
    said = [entry.data for entry in journal if (entry.kind, entry.key) == ("published", record.commit)]
    return bool(said) and said[-1] == what_is_said(record)


def what_is_said(record: Record) -> dict[str, str]:
    content = record.score.model_dump_json() if record.score is not None else ""
    return {"score": hashlib.sha256(content.encode()).hexdigest()}


def send_feedback(
    api: GitHub,
    course: Course,
    store: Store,
    waiting: Sequence[Record],
    attempts: Sequence[Record],
    asking: int,
    tell: Tell,
) -> None:
    """`waiting`: a student's records that are not out yet; `attempts`: all of the homework; `asking`: our own id."""
    from grading.report.markdown import summary

    latest = max(waiting, key=lambda record: record.submitted_at or datetime.min.replace(tzinfo=UTC))
    homework = course.load_homework(latest.homework)
    scores = {
        record.commit: record.score
        for record in attempts
        if record.score is not None and record.status == "verified"
    }
    for record in waiting:
        try:
            api.set_status(record.repository, record.commit, **status_of(record, course))
        except Refused as error:
            if error.status != 422:
                raise
            # gone by a force-push, or full of statuses: no reason to keep the feedback back
            tell(f"{record.repository} at {record.commit[:7]}: takes no status: {error}")
    marker = MARKER.format(homework=homework.name)
    earlier = [score for commit, score in scores.items() if commit != latest.commit]
    words = summary(
        scores[latest.commit], homework, earlier, counts=course.counts, zone=course.zone, late=course.late
    )
    body = f"{marker}\n*For commit {latest.commit[:7]}.*\n\n{words}"
    if len(body) > LONGEST_BODY:
        body = f"{body[:LONGEST_BODY]}\n\n(cut here)\n"
    where = (latest.homework, latest.repository_id)
    number = next((entry.data["number"] for entry in store.journal(*where) if entry.kind == "issue"), None)
    if number is None:
        number = find_issue(api, latest.repository, marker, asking)
    if number is None:
        number = api.create_issue(latest.repository, f"Feedback on {homework.name}", body).number
    else:
        api.edit_issue(latest.repository, number, {"body": body})
    store.append(*where, "issue", "feedback", {"number": number})
    for record in waiting:
        store.append(*where, "published", record.commit, what_is_said(record))


def status_of(record: Record, course: Course) -> dict[str, str]:
    """The status of a commit: green, unless there is a pass mark and the points are below it."""
    from grading.report.words import headline

    score, mark = record.score, course.github.pass_mark if course.github is not None else None
    if score is None or score.points is None:
        return {"state": "error", "context": f"grading/{record.homework}", "description": "not graded"}
    return {
        "state": "success" if mark is None or score.points >= mark else "failure",
        "context": f"grading/{record.homework}",
        "description": headline(score)[:LONGEST_STATUS],
    }


def find_issue(api: GitHub, repository: str, marker: str, author: int) -> int | None:
    """Our own issue, made by a run that ended before it could note so; a student's with the same words is not ours."""
    for issue in api.issues(repository):
        if issue.user is not None and issue.user.id == author and (issue.body or "").startswith(marker):
            return issue.number
    return None
