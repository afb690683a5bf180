"""A score in words: what both the terminal and the Markdown summary say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from fractions import Fraction

from grading.homework import Homework, Task
from grading.score import Score, TaskScore, TestScore
from grading.total import two_decimals


def inert(line: str) -> str:
    """One line of text without control characters, and without what a runner takes for a command: `::name::` where
    a line begins, wherever it may be wrapped, and `##[name]` anywhere in it."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
    return re.sub(r":(?=:)|#(?=\[)", lambda found: f"{found[0]}\u200b", shown)


def number(value: Fraction | None) -> str:
    """Points with at most two decimals; a dash where there are none."""
    return "–" if value is None else two_decimals(value).rstrip("0").rstrip(".")


def moment(when: datetime, zone: tzinfo) -> str:
    local = when.astimezone(zone)
    return f"{local.day} {local:%b %H:%M}"


def lateness(score: Score) -> str:
    if score.deadline is None:
        return "no deadline"
    if score.submitted_at is None:
        return "no time given"
    if score.days_late == 0:
        return "on time"
    days = "1 day late" if score.days_late == 1 else f"{score.days_late} days late"
    return f"{days}, −{float((score.penalty or 0) * 100):g}%"


@dataclass(slots=True)
class Failed:
    """A property that does not hold. `reasons`: what was found out about it ("" where the property says it all), each
    with the tests that fail for it, those of other properties too."""

    what: str
    reasons: dict[str, list[TestScore]] = field(default_factory=dict)


def properties(task: TaskScore) -> tuple[list[Failed], int]:
    """Each property that does not hold, once and in order, and how many more there are that fail for reasons that
    have been given already."""
    found: dict[str, Failed] = {}
    tests_by_reason: dict[str, list[TestScore]] = {}
    repeated: set[str] = set()
    for test in task.tests:
        if test.verdict == "passed":
            continue
        what, _, detail = test.message.partition("\n")
        reason = detail or what
        if reason in tests_by_reason:
            repeated.add(what)
        else:
            tests_by_reason[reason] = found.setdefault(what, Failed(what)).reasons.setdefault(detail, [])
        tests_by_reason[reason].append(test)
    return list(found.values()), len(repeated - found.keys())


def findings(task: TaskScore) -> dict[str, list[str]]:
    """The properties that do not hold, with what was found out about each, and how many are left out."""
    found, more = properties(task)
    told = {failed.what: [reason for reason in failed.reasons if reason] for failed in found}
    return told | ({and_more(more): []} if more else {})


def and_more(properties: int) -> str:
    return f"… and {properties} more {'property' if properties == 1 else 'properties'}, for the same reasons"


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
