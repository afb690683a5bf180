"""Grading again: the present hidden tests over submissions that were kept, and new scores in the place of earlier ones.

In two steps, so that a person can look in between. `grade_again` leaves each result in a work directory as soon as it
is there; `record` takes it from there. Whose an attempt is, when it was handed in and as which commit stay as they were
recorded, and a result in error replaces nothing. A kill at any moment costs what was under way; running it again does
the rest, and a second time changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from grading.atomic import write_atomically
from grading.course import Course
from grading.errors import GradingError, UsageError
from grading.export.course_csv import load_scores
from grading.github.store import Fact, Record, Store
from grading.gradebook.attempts import Attempt
from grading.gradebook.claims import key_of
from grading.homework import Homework
from grading.late import ON_TIME, final_points, lateness
from grading.progress import Progress, no_progress
from grading.report.words import error_reason
from grading.roster import Roster
from grading.score import Score, TaskScore, Verdict
from grading.score_file import load_score
from grading.submissions import stored
from grading.teams import Teams

if TYPE_CHECKING:
    from grading.grade import Submission

Outcome = Literal["changed", "same", "up to date", "not stored", "not verified", "error"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


# What is recorded


@dataclass(frozen=True, slots=True)
class Recorded:
    """An attempt as it is recorded: in a score file, or in a record of the store."""

    score: Score
    path: Path
    record: Record | None = None

    @property
    def doubt(self) -> str:
        """Why nobody can say what was handed in; a digest that a student's run claims may be another student's."""
        if self.record is None or self.record.status != "unverified":
            return ""
        return "; ".join(self.record.reasons) or "nothing is known of its run"

    @property
    def key(self) -> str | None:
        """What was handed in: its digest or, for a file that was no notebook, its commit."""
        digest, commit = self.score.digests.submission, self.score.commit
        if digest is not None:
            return digest if _DIGEST.fullmatch(digest) else None
        return f"commit-{commit}" if commit is not None and _COMMIT.fullmatch(commit) else None

    @property
    def names(self) -> frozenset[str]:
        """Whose it is, in lower case: a student, or a team and its members."""
        members = self.record.members if self.record is not None else ()
        return frozenset(name.casefold() for name in (self.score.student or "", *members))

    def attempts(self, after: Score | None = None) -> list[Attempt]:
        """As grades are computed from it; with its score after a regrade, which is ours and so verified."""
        score = after or self.score
        if self.record is None:
            return [Attempt(score, verified=True, path=str(self.path))]
        return [
            Attempt(
                score.model_copy(update={"student": member}),
                after is not None or not self.doubt,
                str(self.path),
            )
            for member in self.record.members or (self.record.student,)
        ]


def recorded(scores: Path, course: Course, homework: str) -> tuple[list[Recorded], list[str]]:
    """The attempts at a homework that have a score, and a line for each file that is none. Raises UsageError."""
    if scores.is_file():
        raise UsageError(
            f"{scores}: is a file; give the directory of score files, or the store of `grading collect`"
        )
    place = store_of(scores)
    if place is not None:
        of_homework = [record for record in Store(place).records() if record.homework == homework]
        return [
            Recorded(
                record.score, place / "records" / homework / record.student / f"{record.commit}.json", record
            )
            for record in of_homework
            if record.score is not None
        ], []
    found, skipped = load_scores(scores, course, whole=False)
    for directory in {path.parent for path, _ in found}:
        if (within := store_of(directory)) is not None:
            raise UsageError(
                f"{scores}: has the store {within} in it, where scores follow from evidence; give that"
            )
    mine = [Recorded(load_score(path), path) for path, score in found if score.homework == homework]
    graded = {key_of(one.score) for one in mine if one.score.state == "graded"}
    return [one for one in mine if one.score.state == "graded" or key_of(one.score) not in graded], skipped


def store_of(scores: Path) -> Path | None:
    """The store of `grading collect` that this is, or is the scores of."""
    if (scores / "records").is_dir():
        return scores
    here = scores.resolve()
    above = (place.parent for place in (here, *here.parents) if place.name == "scores")
    return next((place for place in above if (place / "records").is_dir()), None)


def holders(teams: Teams, login: str, homework: str) -> frozenset[str]:
    """Under which names, in lower case, a student's work at a homework is recorded."""
    team = teams.of(login, homework)
    names = (login,) if team is None else (login, team.name, *team.members)
    return frozenset(name.casefold() for name in names)


# The work directory


@dataclass(frozen=True, slots=True)
class Work:
    """Results by what was handed in (`Recorded.key`): scores that are nobody's yet.

    Only a result of the present tests, in the present environment, is one.
    """

    directory: Path
    course: str
    homework: str
    tests: str
    environment: str

    def result(self, key: str | None) -> Score | None:
        if key is None or not self._path(key).exists():
            return None
        try:
            score = load_score(self._path(key))
        except UsageError:
            return None  # it is graded again
        return score if self.is_present(score) else None

    def is_present(self, score: Score) -> bool:
        here = (score.digests.tests, score.digests.environment) == (self.tests, self.environment)
        return here and score.state == "graded" and score.confined

    def open(self) -> None:
        """Before there is anything else in it, its label says what it is: `clean` removes files."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if not self._label.exists():
                write_atomically(self._label, self._words)
            self._results.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--work {self.directory}: cannot be made: {error.strerror}; give another"
            ) from error

    def keep(self, key: str, score: Score) -> None:
        write_atomically(self._path(key), _json(score))

    def clean(self, keys: Collection[str | None]) -> None:
        """Remove these results and those of other tests, and where nothing is left the directory."""
        for path in self._results.glob("*.json"):
            if path.stem in keys or self.result(path.stem) is None:
                path.unlink(missing_ok=True)
        for place in (self.directory, self._results):
            for path in place.glob(".*.tmp"):  # what a kill left
                path.unlink(missing_ok=True)
        try:
            if self._results.exists():
                self._results.rmdir()
            if self.directory.exists() and {*self.directory.iterdir()} <= {self._label}:
                self._label.unlink(missing_ok=True)
                self.directory.rmdir()
        except OSError:
            pass  # something is left

    def check(self) -> None:
        """Raises UsageError for a directory of another course or homework, and for one of somebody else's."""
        try:
            if self._label.exists():
                if self._label.read_bytes() != self._words:
                    said = json.loads(self._label.read_bytes())
                    raise UsageError(
                        f"{self.directory}: is for {said['homework']} of {said['course']}; give another --work"
                    )
            elif self.directory.exists():
                half_written = f".{self._label.name}."
                if any(not path.name.startswith(half_written) for path in self.directory.iterdir()):
                    raise UsageError(
                        f"{self.directory}: has other files in it; give a directory of its own as --work"
                    )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.directory}: no work directory of a regrade; give another --work"
            ) from error

    @property
    def _label(self) -> Path:
        return self.directory / "regrade.json"

    @property
    def _words(self) -> bytes:
        return json.dumps({"course": self.course, "homework": self.homework}, indent=2).encode() + b"\n"

    @property
    def _results(self) -> Path:
        return self.directory / "graded"

    def _path(self, key: str) -> Path:
        return self._results / f"{key}.json"


def work_in(directory: Path, scores: Path, course: Course, homework: Homework) -> Work:
    """Raises UsageError for a directory that cannot serve."""
    from grading.grade import environment_digest, tests_digest

    if directory.resolve().is_relative_to(scores.resolve()):
        raise UsageError(f"{directory}: is among the scores; give a directory elsewhere as --work")
    work = Work(directory, course.name, homework.name, tests_digest(homework), environment_digest())
    work.check()
    return work


# Grading


def find(
    keys: Collection[str],
    commits: Collection[str | None],
    directory: Path,
    homework: Homework,
    progress: Progress,
) -> tuple[dict[str, Submission], list[str]]:
    """By key, the stored submissions that these attempts were; a line for each that cannot be read.

    `commits`: where to look first. Raises UsageError where nothing at all is stored.
    """
    from grading.grade import read_submission

    there = sorted(stored(directory, homework), key=lambda one: one.commit not in commits)
    if not there:
        raise UsageError(
            f"{directory}: no submission of {homework.name} there; fetch them, or give another directory"
        )
    found: dict[str, Submission] = {}
    unreadable = []
    for number, one in enumerate(there):
        if len(found) == len(keys):
            break
        progress(number, len(there))
        try:
            submission = read_submission(one.path, homework)
        except UsageError as error:
            unreadable.append(str(error))
            continue
        is_the_notebook = one.path.parent.name == one.commit and one.path.name == homework.notebook
        named = f"commit-{one.commit}" if is_the_notebook else None
        for key in (submission.digest, named):
            if key is not None and key in keys:
                found.setdefault(key, submission)
    return found, unreadable


def grade_again(
    homework: Homework,
    course: Course,
    submissions: Mapping[str, Submission],
    work: Work,
    *,
    jobs: int,
    progress: Progress = no_progress,
) -> dict[str, str]:
    """Grade into the work directory, each result as it is there; by key, why some could not be judged.

    Raises GradingError where nothing can be graded, as without a sandbox.
    """
    from grading.grade import Graded, Rules, grade_all

    course.secret_salt_of(homework.name)  # what decides grades must not be guessable
    keys = list(submissions)
    if not keys:
        return {}
    work.open()
    errors: dict[str, str] = {}
    done = 0

    def finish(number: int, graded: Graded) -> None:
        nonlocal done
        if work.is_present(graded.score):
            work.keep(keys[number], graded.score)
        elif graded.score.digests.tests != work.tests:
            raise UsageError(f"{homework.directory}: was changed while it graded; run it again")
        else:
            errors[keys[number]] = error_reason(graded.score)
        done += 1
        progress(done, len(keys))

    rules = Rules(homework, course, confined=True)
    grade_all(homework, course, list(submissions.values()), rules, finish, min(jobs, len(keys)))
    return errors


# What changes


@dataclass(frozen=True, slots=True)
class TestChange:
    """A test with another verdict than before; None where there is no such test. `says`: what it tells now."""

    __test__ = False  # not a test class of pytest's

    name: str
    before: Verdict | None
    after: Verdict | None
    says: str = ""


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task with other points, another maximum or another test than before; None where there is no such task."""

    task: str
    before: Fraction | None
    after: Fraction | None
    max_before: Fraction | None
    max_after: Fraction | None
    tests: tuple[TestChange, ...]

    @property
    def matters(self) -> bool:
        """Whether it is more than that tests came, which pass, or went."""
        worth = (self.before, self.max_before) != (self.after, self.max_after)
        return worth or any(test.before and test.after for test in self.tests)


@dataclass(frozen=True, slots=True)
class Regraded:
    """What became of an attempt. `after` is its score by the present tests, where there is one; `why` says why not."""

    recorded: Recorded
    outcome: Outcome
    after: Score | None = None
    tasks: tuple[TaskChange, ...] = ()
    why: str = ""

    @property
    def is_news(self) -> bool:
        """Whether there is anything to record; that the same took longer is nothing."""
        before = self.recorded.score
        return self.after is not None and _timeless(self.after) != _timeless(before)


def regraded(
    one: Recorded, course: Course, work: Work, errors: Mapping[str, str], *, everything: bool
) -> Regraded:
    """What the work directory says of an attempt."""
    if one.doubt:
        why = f"not verified ({one.doubt}), so nobody can say what was handed in; `grading central` grades it"
        return Regraded(one, "not verified", why=why)
    result = work.result(one.key)
    if result is not None:
        after = with_result(one.score, result, course)
        tasks = compare(one.score, after)
        changed = one.score.final_points != after.final_points or any(task.matters for task in tasks)
        return Regraded(one, "changed" if changed else "same", after, tasks)
    if one.key is not None and one.key in errors:
        return Regraded(one, "error", why=f"could not be judged: {errors[one.key]}")
    if work.is_present(one.score) and not everything:
        return Regraded(one, "up to date")
    return Regraded(one, "not stored", why=_not_stored(one.score))


def _not_stored(score: Score) -> str:
    digest = score.digests.submission
    if digest is None:
        which = "nothing of this commit is stored" if score.commit else "it has no commit to be found by"
        return f"was no notebook that could be read, and {which}; its score stays"
    return (
        f"nothing with its digest ({digest[:12]}) is stored; get it with `grading fetch {score.homework} --all`, or "
        "give the directory that has it as --submissions"
    )


def with_result(before: Score, result: Score, course: Course) -> Score:
    """An attempt's score by the present tests: whose, when and which commit stay; the penalty follows as ever."""
    deadline = course.homework(before.homework).deadline
    late = ON_TIME
    if before.submitted_at is not None:
        late = lateness(course.late, before.submitted_at, deadline, course.zone)
    points = result.points
    kept = ("student", "repository", "commit", "submitted_at", "time_source", "provisional")
    changes = {name: getattr(before, name) for name in kept} | {
        "deadline": deadline,
        "days_late": late.days_late,
        "penalty": None if points is None else late.penalty(points),
        "final_points": None if points is None else final_points(points, late),
    }
    return Score(**{name: getattr(result, name) for name in Score.model_fields} | changes)


def compare(before: Score, after: Score) -> tuple[TaskChange, ...]:
    """The tasks that are not as before, in the order of the present ones."""
    was, now = ({task.id: task for task in score.tasks} for score in (before, after))
    changes = (_task_change(name, was.get(name), now.get(name)) for name in dict.fromkeys([*now, *was]))
    return tuple(one for one in changes if one.matters or one.tests)


def _task_change(name: str, was: TaskScore | None, now: TaskScore | None) -> TaskChange:
    old = {test.name: test for test in was.tests} if was else {}
    new = {test.name: test for test in now.tests} if now else {}
    tests = [
        TestChange(
            test,
            old[test].verdict if test in old else None,
            new[test].verdict if test in new else None,
            new[test].message.partition("\n")[0] if test in new and new[test].verdict != "passed" else "",
        )
        for test in dict.fromkeys([*new, *old])
    ]
    return TaskChange(
        task=name,
        before=was.points if was else None,
        after=now.points if now else None,
        max_before=was.max_points if was else None,
        max_after=now.max_points if now else None,
        tests=tuple(test for test in tests if test.before != test.after),
    )


def _timeless(score: Score) -> Score:
    """Without how long each test took."""
    tasks = tuple(
        task.model_copy(
            update={"tests": tuple(test.model_copy(update={"seconds": 0.0}) for test in task.tests)}
        )
        for task in score.tasks
    )
    return score.model_copy(update={"tasks": tasks})


# Recording


def record(
    results: Iterable[Regraded],
    scores: Path,
    course: Course,
    roster: Roster,
    teams: Teams,
    progress: Progress = no_progress,
) -> None:
    """Put the new scores in the place of the old ones. Raises UsageError, and nothing is lost then.

    A score file is replaced whole, and the gradebook keeps what it said before. In a store it becomes a central score,
    and the record follows from the evidence as `grading collect` would have it.
    """
    found = [one for one in results if one.after is not None]
    place = store_of(scores)
    if place is None:
        news = [one for one in found if one.is_news]
        for number, one in enumerate(news, start=1):
            _record_in_file(one)
            progress(number, len(news))
        return
    store, number = Store(place), 0
    with store.writing():
        for repository, group in groupby(sorted(found, key=_repository), key=_repository):
            of_one = list(group)
            _record_in_repository(of_one, store, repository, course, roster, teams)
            number += len(of_one)
            progress(number, len(found))


def _record_in_file(one: Regraded) -> None:
    path, after = one.recorded.path, one.after
    assert after is not None
    if load_score(path) != one.recorded.score:
        raise UsageError(f"{path}: has changed since it was read; run it again")
    write_atomically(path, _json(after))


def _record_in_repository(
    results: Sequence[Regraded], store: Store, repository: int, course: Course, roster: Roster, teams: Teams
) -> None:
    """The central scores into the evidence, and then the records that follow from it, also where they are no news: a
    kill may have come between a record and the scores beside it."""
    from grading.github.collect import owned
    from grading.github.evidence import read_evidence
    from grading.github.verify import verify
    from grading.release import RELEASES, read_releases

    lines = [line for line in store.repositories() if line.repository_id == repository]
    if not lines:
        raise UsageError(
            f"{store.directory}: says nothing of the repository {repository}; run grading collect first"
        )
    owner = owned(lines, roster, teams)
    facts: dict[str, Fact] = {}
    for one in results:
        record = one.recorded.record
        assert record is not None
        assert one.after is not None
        if not _still_stands(one.recorded):
            raise UsageError(f"{one.recorded.path}: has changed since it was read; run it again")
        if record.student != owner.student:
            raise UsageError(
                f"{one.recorded.path}: is of {owner.student} by now; run grading collect, then this again"
            )
        data = {"commit": record.commit, "score": json.loads(one.after.model_dump_json())}
        facts[record.commit] = ("central", record.commit, data)
    news = {one.after.commit for one in results if one.after is not None and one.is_news}
    store.append_all(owner.homework, repository, [fact for commit, fact in facts.items() if commit in news])
    evidence = read_evidence(store.journal(owner.homework, repository))
    releases = read_releases(course.directory / RELEASES)
    for derived in verify(evidence, owner, course, releases, lambda sha256: _reported(store, sha256)):
        if derived.commit in facts:
            store.write_record(derived)


def _still_stands(one: Recorded) -> bool:
    """Whether the record says what it said: by now a run may no longer be verified, nor its digest believed."""
    try:
        return Record.model_validate_json(one.path.read_bytes()) == one.record
    except (OSError, ValidationError):
        return False


def _reported(store: Store, sha256: str) -> Score | str:
    from grading.github.artifact import read_score

    try:
        return read_score(store.artifact(sha256))
    except GradingError:
        return "the zip that was kept of it is gone or damaged"


def _repository(one: Regraded) -> int:
    return one.recorded.record.repository_id if one.recorded.record is not None else 0


def _json(score: Score) -> bytes:
    return f"{score.model_dump_json(indent=2)}\n".encode()
