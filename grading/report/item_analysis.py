"""How the tasks of a homework worked: who solved them, and whether they tell strong work from weak. Pure.

Looks at scores as they were graded, before lateness and reviews; docs/dashboard.md says what the numbers mean. What
cannot be computed is None, beside the reason in words: a number that means nothing is worse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import correlation

from grading.report.words import properties
from grading.score import Score, TaskScore, TestScore

FEWEST = 3
"""Scores that say anything of a correlation: of two, it is always 1 or -1."""

FEWEST_TO_JUDGE = 20
HARD, EASY = Fraction(1, 5), Fraction(19, 20)
LEAST_DISCRIMINATION = 0.2


@dataclass(frozen=True, slots=True)
class Discrimination:
    """The corrected item-total correlation, from -1 to 1; or None, and why there is none."""

    value: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class TestItem:
    """One hidden test. `says` is what it tells those who fail it, empty where nobody did."""

    __test__ = False  # not a test class of pytest's

    name: str
    says: str
    weight: int
    passed: int
    of: int
    discrimination: Discrimination

    @property
    def pass_rate(self) -> Fraction:
        return Fraction(self.passed, self.of)


@dataclass(frozen=True, slots=True)
class TaskItem:
    """One task: its mean points, and how many of so many submissions have all of them, or none.

    `difficulty` is the mean share of its points, so that a high one is an easy task.
    """

    id: str
    max_points: Fraction
    mean: Fraction
    full: int
    none: int
    of: int
    discrimination: Discrimination
    tests: tuple[TestItem, ...]

    @property
    def difficulty(self) -> Fraction:
        return self.mean / self.max_points if self.max_points else Fraction(0)

    @property
    def full_rate(self) -> Fraction:
        return Fraction(self.full, self.of)


@dataclass(frozen=True, slots=True)
class FailedProperty:
    """A property that so many submissions do not have."""

    task: str
    words: str
    count: int


def item_analysis(scores: Iterable[Score]) -> tuple[TaskItem, ...]:
    """The tasks in the order of the scores. A score in error says nothing, and is left out."""
    rows: dict[str, list[tuple[Score, TaskScore]]] = {}
    for score in _graded(scores):
        for task in score.tasks:
            rows.setdefault(task.id, []).append((score, task))
    return tuple(_task(name, found) for name, found in rows.items())


def failed_properties(scores: Iterable[Score]) -> tuple[FailedProperty, ...]:
    """What fails most often first; of each submission every property once, and those not that fail with another."""
    counts = Counter(
        (task.id, failed.what)
        for score in _graded(scores)
        for task in score.tasks
        for failed in properties(task)[0]
    )
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(FailedProperty(task, words, count) for (task, words), count in ranked)


def discrimination(item: Sequence[Fraction], rest: Sequence[Fraction]) -> Discrimination:
    """Pearson's correlation of what an item gave with what all other items gave, submission by submission.

    Where the item is 0 or 1, this is the point-biserial correlation.
    """
    if len(item) < FEWEST:
        return Discrimination(None, f"fewer than {FEWEST} submissions")
    if len(set(item)) == 1:
        return Discrimination(None, "everyone has the same in it")
    if len(set(rest)) == 1:
        return Discrimination(None, "everyone has the same in all the rest")
    return Discrimination(correlation([float(one) for one in item], [float(one) for one in rest]))


def worth_a_look(item: TaskItem) -> str:
    """What its author should know of a task, if anything: rules of thumb, for a class that is large enough for them."""
    if item.of < FEWEST_TO_JUDGE:
        return ""
    value = item.discrimination.value
    if value is not None and value < 0:
        return "who does well elsewhere does badly here: check its tests"
    if item.difficulty <= HARD:
        return "hardly anyone has its points"
    if value is not None and value < LEAST_DISCRIMINATION and item.difficulty < EASY:
        return "says little of the rest of the work"
    return ""


def _graded(scores: Iterable[Score]) -> list[Score]:
    return [score for score in scores if score.state == "graded"]


def _task(name: str, rows: Sequence[tuple[Score, TaskScore]]) -> TaskItem:
    points = [task.points or Fraction(0) for _, task in rows]
    totals = [score.points or Fraction(0) for score, _ in rows]
    rest = [total - own for total, own in zip(totals, points, strict=True)]
    tests: dict[str, list[tuple[Fraction, TestScore]]] = {}
    for total, (_, task) in zip(totals, rows, strict=True):
        for test in task.tests:
            tests.setdefault(test.name, []).append((total, test))
    return TaskItem(
        id=name,
        max_points=max(task.max_points for _, task in rows),
        mean=sum(points, Fraction(0)) / len(points),
        full=sum(task.points == task.max_points for _, task in rows),
        none=sum(not own for own in points),
        of=len(rows),
        discrimination=discrimination(points, rest),
        tests=tuple(_test(test, found) for test, found in tests.items()),
    )


def _test(name: str, rows: Sequence[tuple[Fraction, TestScore]]) -> TestItem:
    passed = [Fraction(test.verdict == "passed") for _, test in rows]
    rest = [total - (test.points or 0) for total, test in rows]
    said = Counter(test.message.partition("\n")[0] for _, test in rows if test.message)
    return TestItem(
        name=name,
        says=said.most_common(1)[0][0] if said else "",
        weight=max(test.weight for _, test in rows),
        passed=int(sum(passed)),
        of=len(rows),
        discrimination=discrimination(passed, rest),
    )
