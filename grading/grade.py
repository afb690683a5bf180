"""From notebooks to scores: starts judge and worker, judges each submission, applies the course's rules.

The one place where homework, course, judge and score meet. Nothing is printed here, and no score is written.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import hmac
import importlib.metadata
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grading.course import Course
from grading.errors import GradingError, NotebookError, UsageError
from grading.homework import Homework
from grading.notebook import Notebook, read_notebook, skip_unchanged
from grading.sandbox import ONE_THREAD, WorkerView, start_worker
from grading.score import Digests, Outcome, Score, TaskOutcome, TimeSource, build_score
from grading.submitted import NO_FILES, SubmittedFiles, read_submitted

if TYPE_CHECKING:
    from grading.judge.classroom import Judged, TaskRules
    from grading.judge.suite import HiddenTest

ENVIRONMENT_PACKAGES = ("torch", "numpy", "pytest", "IPython", "msgspec")
UNUSED = b"no inputs are made for what cannot be read"


@dataclass(slots=True, frozen=True)
class Submission:
    """One notebook to grade, and whose it is. Without a notebook, `problem` says what is wrong with the file.

    `salt` replaces the course's, and `tasks` limits what it is graded on: for checks over several seeds.
    """

    notebook: Notebook | None
    student: str | None = None
    problem: str = ""
    repository: str | None = None
    commit: str | None = None
    submitted_at: datetime | None = None
    time_source: TimeSource | None = None
    provisional: bool = False
    salt: str | None = None
    tasks: frozenset[str] | None = None
    files: SubmittedFiles = NO_FILES  # beside the notebook, as homework.yml's `submits` says

    @property
    def digest(self) -> str | None:
        """SHA-256 of the notebook's code cells and of the files handed in with it."""
        if self.notebook is None or not self.files.contents:
            return self.notebook.digest if self.notebook else None
        framed = hashlib.sha256(self.notebook.digest.encode())
        for name, content in sorted(self.files.contents.items()):
            framed.update(_framed(name, content))
        return framed.hexdigest()


@dataclass(slots=True, frozen=True)
class Graded:
    """A submission's score, and how its cells ended (by number; see judge.session.CellOutcome)."""

    submission: Submission
    score: Score
    cells: Mapping[int, str] = field(default_factory=dict)


def grade(
    homework: Homework,
    course: Course,
    submissions: Sequence[Submission],
    done: Callable[[int, Graded], None],
    *,
    jobs: int = 1,
    confined: bool = True,
) -> None:
    """Grades the submissions, at most `jobs` at a time; calls `done` with the number of each as it is finished.

    A submission that cannot be graded by our fault (no sandbox, hidden tests that do not load) gets a score in
    state `error` that says why. What `done` raises ends the grading.
    """
    rules = Rules(homework, course, confined)
    finished: set[int] = set()

    def finish(number: int, graded: Graded) -> None:
        done(number, graded)
        finished.add(number)

    try:
        grade_all(homework, course, submissions, rules, finish, jobs)
    except UsageError:
        raise
    except GradingError as error:
        unfinished = [number for number in range(len(submissions)) if number not in finished]
        if not unfinished:
            raise
        for number in unfinished:
            done(number, rules.failed(submissions[number], str(error)))


def grade_all(
    homework: Homework,
    course: Course,
    submissions: Sequence[Submission],
    rules: Rules,
    done: Callable[[int, Graded], None],
    jobs: int,
) -> None:
    """Grades what can be graded. Raises GradingError where nothing more can be."""
    view = WorkerView(homework.preload, homework.support, homework.data_files)
    warm = start_worker(view, confined=rules.confined)
    gc.disable()  # until everything is loaded: looking for garbage takes a quarter of the time of torch's import
    # Before torch is imported: the judge forks, which threads do not survive, and each fork has one core.
    os.environ.update(ONE_THREAD)
    try:
        # After the worker's start: judge and worker import torch at the same time.
        from grading.judge.classroom import Classroom, TaskRules, Work
        from grading.judge.session import Limits

        starter = read_starter(homework)
        salt = course.salt_of(homework.name)
        tasks = [TaskRules(task.id, task.names, task.forbidden) for task in homework.tasks]
        limits = homework.limits
        seconds_and_bytes = Limits(limits.cell, limits.test, limits.total, limits.memory << 20)
        classroom = Classroom(warm, homework.tests_directory, tasks, seconds_and_bytes, jobs=jobs)
        unreadable = [number for number, submission in enumerate(submissions) if submission.notebook is None]

        def works() -> object:
            for number in unreadable:  # the tests are collected now, and say what there is to lose
                done(number, rules.unreadable(submissions[number], classroom.tests))
            for number, submission in enumerate(submissions):
                if submission.notebook is not None:
                    yield Work(
                        key=str(number),
                        cells=tuple((cell.number, cell.source) for cell in submission.notebook.cells),
                        skip=skip_unchanged(submission.notebook, starter),
                        secret=secret_of(submission.salt or salt, homework, submission.digest),
                        tasks=submission.tasks or frozenset(task.id for task in tasks),
                        files=submission.files,
                    )

        def judged(result: Judged) -> None:
            number = int(result.key)
            done(number, rules.graded(submissions[number], result, tasks))

        classroom.judge(works(), judged)  # type: ignore[arg-type]
    finally:
        gc.enable()
        warm.close()


class Rules:
    """Turns what the judge found into a score, as the homework and the course say."""

    def __init__(self, homework: Homework, course: Course, confined: bool) -> None:
        self.homework = homework
        self.course = course
        self.confined = confined
        self.entry = course.homework(homework.name)

    def graded(self, submission: Submission, judged: Judged, tasks: Sequence[TaskRules]) -> Graded:
        outcomes = []
        for task in self.homework.tasks:
            if submission.tasks is not None and task.id not in submission.tasks:
                continue
            verdicts = [verdict for verdict in judged.verdicts if verdict.test.task == task.id]
            tests = [
                Outcome(v.test.name, v.verdict, v.test.weight, v.message, v.seconds)  # type: ignore[arg-type]
                for v in verdicts
            ]
            outcomes.append(TaskOutcome(task.id, task.points, tests))
        cells = {number: outcome.state for number, outcome in (judged.cells or {}).items()}
        return Graded(submission, self.score(submission, outcomes, judged.error or None), cells)

    def failed(self, submission: Submission, reason: str) -> Graded:
        outcomes = [TaskOutcome(task.id, task.points, []) for task in self.homework.tasks]
        return Graded(submission, self.score(submission, outcomes, reason))

    def unreadable(self, submission: Submission, tests: Sequence[HiddenTest]) -> Graded:
        outcomes = [
            TaskOutcome(
                task.id,
                task.points,
                [Outcome(t.name, "failed", t.weight, submission.problem) for t in tests if t.task == task.id],
            )
            for task in self.homework.tasks
        ]
        return Graded(submission, self.score(submission, outcomes, None))

    def score(self, submission: Submission, outcomes: Sequence[TaskOutcome], reason: str | None) -> Score:
        return build_score(
            homework=self.homework.name,
            tasks=outcomes,
            max_points=sum(outcome.points for outcome in outcomes),
            policy=self.course.late,
            timezone=self.course.zone,
            submitted_at=submission.submitted_at,
            deadline=self.entry.deadline,
            time_source=submission.time_source,
            provisional=submission.provisional,
            student=submission.student,
            repository=submission.repository,
            commit=submission.commit,
            confined=self.confined,
            digests=Digests(
                submission=submission.digest,
                tests=tests_digest(self.homework),
                environment=environment_digest(),
            ),
            reason=reason,
        )


def read_starter(homework: Homework) -> Notebook:
    """The starter; an empty notebook where it has not been built yet."""
    return read_notebook(homework.starter) if homework.starter.exists() else Notebook(())


def read_submission(path: Path, homework: Homework, **who: Any) -> Submission:
    """The submission in a notebook file and beside it; one that cannot be read as a notebook says why.

    Raises UsageError.
    """
    try:
        return Submission(read_notebook(path), files=read_submitted(path.parent, homework.submits), **who)
    except NotebookError as error:
        return Submission(None, problem=str(error), **who)


def secret_of(salt: str, homework: Homework, digest: str | None) -> bytes:
    """What the hidden inputs of a submission are made from: the same push always gets the same ones."""
    return hmac.new(salt.encode(), f"{homework.name}/{digest}".encode(), hashlib.sha256).digest()


def tests_digest(homework: Homework) -> str:
    """SHA-256 of what decides verdicts: the homework's description, tests, support code and data."""
    digest = hashlib.sha256()
    files = [homework.directory / "homework.yml", *sorted(homework.tests_directory.rglob("*"))]
    files += [*([homework.support] if homework.support else []), *homework.data_files]
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(_framed(file.relative_to(homework.directory), file.read_bytes()))
    return digest.hexdigest()


def _framed(name: str | Path, content: bytes) -> bytes:
    """A file as a part of a digest: its length stands before it, so no two lists of files are the same bytes."""
    return f"{name}:{len(content)}:".encode() + content


@functools.cache
def environment_digest() -> str:
    """SHA-256 of the versions that verdicts may depend on."""
    versions = [f"python {platform.python_version()}", platform.machine()]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in ENVIRONMENT_PACKAGES]
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()
