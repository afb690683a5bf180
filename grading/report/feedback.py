"""What a student is told of one submission, before it is laid out: the job summary and the page show this and nothing
else, so that they cannot differ.

Words in here are plain text, and may hold whatever a student wrote. Nothing is read from disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from fractions import Fraction
from typing import Literal

from grading.homework import Homework, Task
from grading.late import DAY, LatePolicy, final_points
from grading.late import lateness as lateness_at
from grading.notebook import Cell
from grading.report.words import (
    Failed,
    and_more,
    error_reason,
    headline,
    lateness,
    mend_first,
    moment,
    number,
    properties,
)
from grading.score import Score, TaskScore, counting_attempt

PLACE = re.compile(r"\bcell (\d{1,5})\b(?:(?!\bcell \d).){0,200}?\bline (\d{1,7})\b", re.DOTALL)
HOW_CELLS_COUNT = (
    "Only code cells count: cell 5 is the fifth of them, In [5] once Jupyter has restarted and run all cells."
)
MOST_EXCERPTS = 2  # of one reason
MOST_LETTERS = 200_000  # of a cell that is looked at
MOST_COLUMNS = 160


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The line of the student's notebook that a finding speaks of, and one on either side, each with its number."""

    cell: int
    line: int
    lines: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why tests fail, where in the notebook, and what they are worth. `words` are empty where the property says it
    all. `gate`: the rest of the task was not looked at, so that mending it may bring fewer points."""

    words: str
    excerpts: tuple[Excerpt, ...]
    tests: int
    points: Fraction
    gate: bool

    @property
    def worth(self) -> str:
        return f"{'up to ' if self.gate else ''}{in_points(self.points)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A property that does not hold, and why."""

    what: str
    reasons: tuple[Reason, ...]

    @property
    def worth(self) -> str:
        """What mending it brings; nothing where that is not known."""
        points = sum((reason.points for reason in self.reasons), Fraction(0))
        gate = any(reason.gate for reason in self.reasons)
        return f"{'up to ' if gate else ''}{in_points(points)}" if points else ""


@dataclass(frozen=True, slots=True)
class TaskFeedback:
    id: str
    title: str
    points: Fraction | None
    max_points: Fraction
    mend_first: str = ""
    findings: tuple[Finding, ...] = ()
    more: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    """`headline` says in one line what `score`, `lateness` and, where the grader failed, `reason` say in parts;
    `notes` are sentences; `everywhere` is the one thing that fails every task. What does not apply is empty."""

    title: str
    homework: str
    headline: str
    lateness: str
    reason: str
    score: Score
    notes: tuple[str, ...]
    counts: str
    next_points: str
    a_day_later: str
    everywhere: str
    tasks: tuple[TaskFeedback, ...]
    about_cells: str


def feedback(
    score: Score,
    homework: Homework,
    earlier: Sequence[Score] | None = None,
    *,
    counts: Literal["best", "last"] = "best",
    zone: tzinfo = UTC,
    late: LatePolicy | None = None,
    cells: Sequence[Cell] = (),
) -> Feedback:
    """All that there is to say of a score.

    `earlier`: what is known of the student's earlier pushes, None where they could not be looked up. `counts`, `zone`,
    `late`: the course's rules. `cells`: those of the notebook that was graded, where it is at hand.
    """
    tasks = [
        task_feedback(task, scored, score, homework, cells)
        for task in homework.tasks
        for scored in score.tasks
        if scored.id == task.id
    ]
    everywhere = same_everywhere(score)
    if everywhere:
        tasks = [replace(task, mend_first="", findings=(), more="") for task in tasks]
    return Feedback(
        title=homework.title,
        homework=homework.name,
        headline=headline(score),
        lateness=lateness(score) if score.state == "graded" else "",
        reason=error_reason(score) if score.state == "error" else "",
        score=score,
        notes=(*about_grading(score), *about_time(score, zone)),
        counts="" if earlier is None else what_counts(score, earlier, counts, zone),
        next_points=next_points(tasks, score),
        a_day_later="" if late is None else a_day_later(score, late, zone),
        everywhere=everywhere,
        tasks=tuple(tasks),
        about_cells=HOW_CELLS_COUNT if any(speaks_of_a_cell(task) for task in tasks) else "",
    )


# The submission as a whole


def about_grading(score: Score) -> list[str]:
    told = []
    if score.state == "error":
        told.append("The grader failed. Your submission is kept, and will be graded again.")
    if not score.confined:
        told.append("Graded without a sandbox: this score is marked, and does not count.")
    return told


def about_time(score: Score, zone: tzinfo) -> list[str]:
    """When it was handed in and when it was due, and whether that is final."""
    told = []
    if score.submitted_at is not None:
        due = f", due {moment(score.deadline, zone)}" if score.deadline is not None else ""
        told.append(f"Handed in {moment(score.submitted_at, zone)}{due} ({zone}).")
    if score.provisional:
        told.append(
            "The time is that of the push; the time that counts is fixed when the grades are collected."
        )
    return told


def what_counts(score: Score, earlier: Sequence[Score], counts: Literal["best", "last"], zone: tzinfo) -> str:
    """Which attempt counts, of those known; nothing where none is graded. A re-run of one commit is one attempt."""
    best = counting_attempt([*earlier, score], counts)
    if best is None:
        return ""
    points = in_points(best.final_points)
    if best is score or (best.commit is not None and best.commit == score.commit):
        return f"this push, {points}"
    when = f" of {moment(best.submitted_at, zone)}" if best.submitted_at is not None else ""
    commit = f" ({best.commit[:7]})" if best.commit is not None else ""
    return f"your push{when}{commit}, {points}"


def a_day_later(score: Score, policy: LatePolicy, zone: tzinfo) -> str:
    """What the same points would be worth 24 hours later; nothing where that is no less."""
    if score.points is None or score.final_points is None or score.submitted_at is None:
        return ""
    then = final_points(score.points, lateness_at(policy, score.submitted_at + DAY, score.deadline, zone))
    return in_points(then) if then < score.final_points else ""


def next_points(tasks: Sequence[TaskFeedback], score: Score) -> str:
    """The one mend that brings most, in a task that rests on nothing broken; of equal ones that of fewer tests. What
    is not written yet is no mend: the first such only where there is nothing else."""
    mends = [
        (task, found, reason)
        for task in tasks
        if not task.mend_first
        for found in task.findings
        for reason in found.reasons
        if reason.points
    ]
    if score.state == "error" or not mends:
        return ""

    def gain(mend: tuple[TaskFeedback, Finding, Reason]) -> tuple[Fraction, int]:
        reason = mend[2]
        return (Fraction(0), 0) if is_of_a_stub(reason.words) else (reason.points, -reason.tests)

    task, found, reason = max(mends, key=gain)
    tests = "1 more test" if reason.tests == 1 else f"{reason.tests} more tests"
    is_worth = "is worth" if reason.tests == 1 else "are worth"
    late = " before the late penalty" if score.penalty else ""
    return f"{tests} of {task.title} {is_worth} {reason.worth}{late}: {reason.words or found.what}"


def same_everywhere(score: Score) -> str:
    """The one thing that is wrong, where every test of several tasks says the same: there is no notebook, say."""
    said = {test.message if test.verdict != "passed" else "" for task in score.tasks for test in task.tests}
    tasks = [task for task in score.tasks if task.tests]
    return said.pop() if len(said) == 1 and len(tasks) > 1 else ""


# A task


def task_feedback(
    task: Task, scored: TaskScore, score: Score, homework: Homework, cells: Sequence[Cell]
) -> TaskFeedback:
    found, more = properties(scored)
    return TaskFeedback(
        id=task.id,
        title=task.title,
        points=scored.points,
        max_points=scored.max_points,
        mend_first=mend_first(task, score, homework),
        findings=tuple(finding(failed, scored, cells) for failed in found),
        more=and_more(more) if more else "",
    )


def speaks_of_a_cell(task: TaskFeedback) -> bool:
    return any(
        re.search(r"\bcell \d", words)
        for found in task.findings
        for words in (found.what, *(reason.words for reason in found.reasons))
    )


def finding(failed: Failed, scored: TaskScore, cells: Sequence[Cell]) -> Finding:
    weights = sum(test.weight for test in scored.tests)
    one = scored.max_points / weights if scored.points is not None and weights else Fraction(0)
    return Finding(
        failed.what,
        tuple(
            Reason(
                words,
                excerpts(words or failed.what, cells),
                tests=sum(1 for test in tests if test.weight),
                points=one * sum(test.weight for test in tests),
                gate=any(test.weight == 0 for test in tests),
            )
            for words, tests in failed.reasons.items()
        ),
    )


def excerpts(words: str, cells: Sequence[Cell]) -> tuple[Excerpt, ...]:
    """The lines of the notebook that `words` speak of as "cell 3, line 5", as far as they are there. Where something is
    not implemented yet, there is nothing to see."""
    if is_of_a_stub(words):
        return ()
    sources = {cell.number: cell.source for cell in cells if len(cell.source) <= MOST_LETTERS}
    found = []
    for cell, line in dict.fromkeys((int(cell), int(line)) for cell, line in PLACE.findall(words)):
        lines = sources.get(cell, "").split("\n")
        if cell in sources and 1 <= line <= len(lines):
            around = enumerate(lines[max(0, line - 2) : line + 1], start=max(1, line - 1))
            shown = [(number, cut(text)) for number, text in around if text.strip() or number == line]
            found.append(Excerpt(cell, line, tuple(shown)))
    return tuple(found[:MOST_EXCERPTS])


def is_of_a_stub(words: str) -> bool:
    return "not implemented yet (raise NotImplementedError" in words


def cut(line: str) -> str:
    return line if len(line) <= MOST_COLUMNS else f"{line[: MOST_COLUMNS - 1]}…"


def in_points(points: Fraction | None) -> str:
    return f"{number(points)} {'point' if points == 1 else 'points'}"
