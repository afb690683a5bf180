"""The score: the record of one graded submission, and how verdicts become points.

A model and pure functions; reading and writing the file is `score_file`'s. A verdict of `error` means that we
could not tell: such a score has no points, neither full nor zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from grading.exact import Exact
from grading.late import (
    ON_TIME,
    NoPenalty,
    PerDay,
    PointsThenEvery,
    effective_deadline,
    final_points,
    lateness,
)

Verdict = Literal["passed", "failed", "error"]
State = Literal["graded", "error"]
TimeSource = Literal["pipeline_finish", "push", "given"]

Points = Annotated[Exact, Field(ge=0)]
Share = Annotated[Exact, Field(ge=0, le=1)]
Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]

# Each number is within a millionth of its exact value (see `exact`); sums of a few stay within this.
TOLERANCE = Fraction(1, 10**4)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the judge found out about one hidden test. A gate has weight 0."""

    name: str
    verdict: Verdict
    weight: int = 1
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """All tests of one task, and the points it is worth."""

    id: str
    points: int | Fraction
    tests: Sequence[Outcome]


class _Record(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_serialization_defaults_required=True
    )


class TestScore(_Record):
    """One hidden test: its share of the task's points, null where we could not tell."""

    __test__ = False  # not a test class of pytest's

    name: str
    verdict: Verdict
    weight: int = Field(ge=0)
    points: Points | None
    message: str
    seconds: float = Field(ge=0, allow_inf_nan=False)


class TaskScore(_Record):
    """One task: the sum of its tests' points, null if any of them is an error."""

    id: str
    points: Points | None
    max_points: Points
    tests: tuple[TestScore, ...]


class Digests(_Record):
    """What was graded, by what, and where: equal digests, equal verdicts. Null where it could not be read."""

    submission: str | None = None
    tests: str | None = None
    environment: str | None = None


def _state_rules(schema: dict[str, JsonValue]) -> None:
    nulls: dict[str, JsonValue] = {key: {"type": "null"} for key in ("points", "penalty", "final_points")}
    numbers: dict[str, JsonValue] = {key: {"type": "number"} for key in nulls}
    schema["if"] = {"properties": {"state": {"const": "error"}}}
    schema["then"] = {"properties": nulls}
    schema["else"] = {"properties": numbers}


class Score(_Record):
    """`score.json`. Moments are in UTC; points are exact as `grading.exact` says.

    `penalty` is the fraction of `points` lost to lateness, and `deadline` the one that held, extension
    included. `reason` says in one line why a score in `error` could not be told; elsewhere it is left out.
    """

    model_config = ConfigDict(title="Score of one submission", json_schema_extra=_state_rules)

    schema_version: Literal[1]
    state: State
    homework: str
    student: str | None
    repository: str | None
    commit: str | None
    submitted_at: Moment | None
    time_source: TimeSource | None
    provisional: bool
    deadline: Moment | None
    days_late: int = Field(ge=0)
    penalty: Share | None
    points: Points | None
    max_points: Annotated[Exact, Field(gt=0)]
    final_points: Points | None
    confined: bool
    digests: Digests
    tasks: tuple[TaskScore, ...]
    reason: str | None = Field(default=None, exclude_if=lambda reason: reason is None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.state == "graded":
            self._check_graded()
        else:
            self._check_error()
        return self

    def _check_graded(self) -> None:
        if any(test.verdict == "error" for task in self.tasks for test in task.tests):
            raise ValueError("a test is in error, so the state should be error")
        if not self.tasks or self.reason is not None:
            raise ValueError("a graded score has tasks and no reason")
        if self.points is None or self.final_points is None or self.penalty is None:
            raise ValueError("a graded score has points, a penalty and final points")
        earned = [task.points for task in self.tasks if task.points is not None]
        if len(earned) < len(self.tasks) or abs(sum(earned) - self.points) > TOLERANCE:
            raise ValueError("the points are not the sum of the tasks' points")
        if any(task.points is not None and task.points > task.max_points for task in self.tasks):
            raise ValueError("a task has more points than its maximum")
        if abs(sum(task.max_points for task in self.tasks) - self.max_points) > TOLERANCE:
            raise ValueError("max_points is not the sum of the tasks' maxima")
        if abs(self.points * (1 - self.penalty) - self.final_points) > TOLERANCE:
            raise ValueError("the final points are not the points less the penalty")

    def _check_error(self) -> None:
        if not (self.points is self.final_points is self.penalty is None):
            raise ValueError("a score in error has no points, penalty or final points")
        unsure = [task for task in self.tasks if any(test.verdict == "error" for test in task.tests)]
        if any(task.points is not None for task in unsure):
            raise ValueError("a task with a test in error has no points")
        if not unsure and not self.reason:
            raise ValueError("a score in error has a test in error or a reason")


def task_points(points: int | Fraction, tests: Iterable[Outcome]) -> Fraction:
    """A task's points × the weights of its passed tests / the weights of all its tests.

    Raises ValueError if no test has a weight, or if one is in error: then nobody can tell.
    """
    tests = tuple(tests)
    everything = sum(test.weight for test in tests)
    if everything <= 0:
        raise ValueError("no test carries a weight")
    if any(test.verdict == "error" for test in tests):
        raise ValueError("a test is in error")
    return Fraction(points) * sum(test.weight for test in tests if test.verdict == "passed") / everything


def build_score(
    *,
    homework: str,
    tasks: Sequence[TaskOutcome],
    policy: PerDay | PointsThenEvery | NoPenalty,
    timezone: tzinfo,
    max_points: int | Fraction = 100,
    submitted_at: datetime | None = None,
    deadline: datetime | None = None,
    extension: datetime | None = None,
    time_source: TimeSource | None = None,
    provisional: bool = False,
    student: str | None = None,
    repository: str | None = None,
    commit: str | None = None,
    confined: bool,
    digests: Digests,
    reason: str | None = None,
) -> Score:
    """The score of one submission.

    It is graded, unless a test is in error, a task has no test with a weight, or a `reason` is given. Without
    `submitted_at` nothing is late. Raises ValueError for a moment without a zone.
    """
    scored = tuple(_task_score(task) for task in tasks)
    weightless = [task.id for task in tasks if not any(test.weight for test in task.tests)]
    if reason is None and (weightless or not tasks):
        reason = f"no test with a weight for {', '.join(weightless) or homework}"
    unsure = any(task.points is None for task in scored)
    graded = reason is None and not unsure
    late = ON_TIME if submitted_at is None else lateness(policy, submitted_at, deadline, timezone, extension)
    points = sum((task_points(task.points, task.tests) for task in tasks), Fraction(0)) if graded else None
    return Score(
        schema_version=1,
        state="graded" if graded else "error",
        homework=homework,
        student=student,
        repository=repository,
        commit=commit,
        submitted_at=submitted_at,
        time_source=time_source,
        provisional=provisional,
        deadline=effective_deadline(deadline, extension),
        days_late=late.days_late,
        penalty=None if points is None else late.penalty(points),
        points=points,
        max_points=Fraction(max_points),
        final_points=None if points is None else final_points(points, late),
        confined=confined,
        digests=digests,
        tasks=scored,
        reason=None if reason is None else _encodable(reason),
    )


def counting_attempt(attempts: Iterable[Score], counts: Literal["best", "last"] = "best") -> Score | None:
    """The graded attempt that counts: the best after the penalty, ties to the earliest; or simply the last.

    An attempt without a time is neither earliest nor last while another has one. None if none is graded.
    """
    graded = [attempt for attempt in attempts if attempt.state == "graded"]
    if not graded:
        return None
    if counts == "last":
        return max(graded, key=lambda score: score.submitted_at or datetime.min.replace(tzinfo=UTC))
    graded.sort(key=lambda score: score.submitted_at or datetime.max.replace(tzinfo=UTC))
    return max(graded, key=lambda score: score.final_points or Fraction(0))


def score_schema() -> dict[str, Any]:
    """The JSON Schema of `score.json`, as published in `score.schema.json`."""
    schema = Score.model_json_schema(mode="serialization")
    schema["required"] = [key for key in schema["required"] if key != "reason"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _task_score(task: TaskOutcome) -> TaskScore:
    weights = sum(test.weight for test in task.tests)
    unsure = weights == 0 or any(test.verdict == "error" for test in task.tests)
    return TaskScore(
        id=task.id,
        points=None if unsure else task_points(task.points, task.tests),
        max_points=Fraction(task.points),
        tests=tuple(_test_score(test, Fraction(task.points), weights) for test in task.tests),
    )


def _test_score(test: Outcome, task_worth: Fraction, weights: int) -> TestScore:
    share = task_worth * test.weight / weights if weights else Fraction(0)
    return TestScore(
        name=test.name,
        verdict=test.verdict,
        weight=test.weight,
        points={"passed": share, "failed": Fraction(0), "error": None}[test.verdict],
        message=_encodable(test.message),
        seconds=round(test.seconds, 3),
    )


def _encodable(text: str) -> str:
    """A message may quote a student's string with lone surrogates, which no file could hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
