"""One result a task, as other systems' formats want it: whole hundredths of a point and the feedback as plain text.

A score that does not count, in error or graded without a sandbox, has no such results, and never a 0 instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from grading.errors import GradingError, UsageError
from grading.homework import Homework
from grading.report.words import error_reason, findings, inert, mend_first, points_lost
from grading.score import Score, TaskScore

MOST_LETTERS = 20_000  # of feedback on one task
CUT = "\n… and more (cut here)"


@dataclass(frozen=True, slots=True)
class TaskResult:
    """`points` and `max_points` are hundredths; `passed`: no point was lost, before any penalty."""

    id: str
    title: str
    points: int
    max_points: int
    passed: bool
    feedback: str


def task_results(score: Score, homework: Homework, total: Fraction) -> list[TaskResult]:
    """The tasks of a score, their points scaled to sum to `total`: its points before lateness or after.

    Rounded once, so that the hundredths sum to the rounded total. Raises GradingError for a score in error, and
    UsageError for one that does not count or is of another homework.
    """
    check_counts(score, homework)
    points = [task.points or Fraction(0) for task in score.tasks]
    scale = total / sum(points) if any(points) else Fraction(0)
    most = whole_shares([task.max_points * 100 for task in score.tasks])
    given = whole_shares([worth * scale * 100 for worth in points])
    titles = {task.id: task.title for task in homework.tasks}
    return [
        TaskResult(
            id=task.id,
            title=inert(titles.get(task.id, task.id)),
            points=min(earned, worth),
            max_points=worth,
            passed=not points_lost(score, task.id),
            feedback=feedback(task, score, homework),
        )
        for task, earned, worth in zip(score.tasks, given, most, strict=True)
    ]


def check_counts(score: Score, homework: Homework) -> None:
    """Raises unless the score is of this homework, graded, and by a confined run."""
    who = inert(f"{score.student or 'a student'}, {score.homework}")
    if score.homework != homework.name:
        raise UsageError(f"{who}: the homework here is {homework.name}; give the one that was graded")
    if score.state == "error":
        raise GradingError(
            f"{who}: not graded, so there are no points to write: {inert(error_reason(score))}; grade it again"
        )
    if not score.confined:
        raise UsageError(f"{who}: graded without a sandbox, so it does not count; grade it again in one")


def whole_shares(exact: Sequence[Fraction]) -> list[int]:
    """Each number rounded down or up, so that together they are their sum rounded half up."""
    shares, before, so_far = [], 0, Fraction(0)
    for value in exact:
        so_far += value
        rounded = int(so_far + Fraction(1, 2))
        shares.append(rounded - before)
        before = rounded
    return shares


def feedback(task: TaskScore, score: Score, homework: Homework) -> str:
    """What the student reads about one task: plain text without control characters, whatever it quotes."""
    lines = []
    for heading, details in findings(task).items():
        lines.append(f"• {heading}")
        lines += [f"  – {detail}" for detail in details]
    known = next((found for found in homework.tasks if found.id == task.id), None)
    if lines and known is not None and (first := mend_first(known, score, homework)):
        lines.insert(0, first)
    text = plain("\n".join(lines))
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - len(CUT)] + CUT


def plain(text: str) -> str:
    return "\n".join(inert(line) for line in text.split("\n"))
