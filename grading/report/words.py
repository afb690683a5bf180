"""A score in words: what both the terminal and the Markdown summary say."""

from __future__ import annotations

import re
from fractions import Fraction

from grading.homework import Homework, Task
from grading.score import Score, TaskScore


def inert(line: str) -> str:
    """One line of text without control characters, and without what a runner takes for a command: `::name::` where
    a line begins, wherever it may be wrapped, and `##[name]` anywhere in it."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
    return re.sub(r":(?=:)|#(?=\[)", lambda found: f"{found[0]}\u200b", shown)


def number(value: Fraction | None) -> str:
    """Points with at most two decimals; a dash where there are none."""
    return "–" if value is None else f"{float(value):.2f}".rstrip("0").rstrip(".")


def lateness(score: Score) -> str:
    if score.deadline is None:
        return "no deadline"
    if score.submitted_at is None:
        return "no time given"
    if score.days_late == 0:
        return "on time"
    days = "1 day late" if score.days_late == 1 else f"{score.days_late} days late"
    return f"{days}, −{float((score.penalty or 0) * 100):g}%"


def findings(task: TaskScore) -> dict[str, list[str]]:
    """Each property that does not hold, once and in order, with what was found out about it. What fails for
    reasons that have been given already is only counted."""
    found: dict[str, list[str]] = {}
    given: set[str] = set()
    repeated: set[str] = set()
    for test in task.tests:
        if test.verdict != "passed":
            heading, _, detail = test.message.partition("\n")
            if detail in given:
                repeated.add(heading)
                continue
            given.add(detail)
            found.setdefault(heading, []).extend([detail] if detail else [])
    more = len(repeated - found.keys())
    if more:
        found[f"… and {more} more {'property' if more == 1 else 'properties'}, for the same reasons"] = []
    return found


def mend_first(task: Task, score: Score, homework: Homework) -> str:
    """Names the tasks that this one rests on and that are not right yet."""
    if points_lost(score, task.id):
        broken = [homework.task(name).title for name in task.needs if points_lost(score, name)]
        if broken:
            return f"it rests on {' and '.join(broken)}, not all right yet: if in doubt, mend that first"
    return ""


def points_lost(score: Score, task_id: str) -> bool:
    return any(task.id == task_id and task.points != task.max_points for task in score.tasks)


def headline(score: Score) -> str:
    """The result in one line."""
    if score.state == "error":
        return f"not graded, and not your fault: {error_reason(score)}"
    text = f"{number(score.points)} of {number(score.max_points)} points, {lateness(score)}"
    if score.days_late:
        text += f": {number(score.final_points)} points"
    return text


def error_reason(score: Score) -> str:
    if score.reason:
        return score.reason
    errors = [test for task in score.tasks for test in task.tests if test.verdict == "error"]
    return f"{errors[0].name}: {' '.join(errors[0].message.split())}" if errors else "unknown"
