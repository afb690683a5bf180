"""The grades of a course as data: what the rules make, and what tables, files and pages show. Pure.

Points are exact; whoever writes them down rounds them, once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Literal

from grading.roster import Person
from grading.total import two_decimals

State = Literal["graded", "missing", "error", "excused"]


@dataclass(frozen=True, slots=True)
class HomeworkGrade:
    """What one student has for one homework.

    `raw` are the points of the attempt that counts, of `max_points`; `penalty` is the share lost to lateness, `points`
    what is left after that and after reviews, and `course_points` what it adds to the course. All are None where
    nothing counts: never handed in (`missing`, which adds 0), not judged by our fault (`error`: nobody can tell), or
    excused. `how` says how it came about, a line a step.
    """

    homework: str
    state: State
    max_points: Fraction
    raw: Fraction | None = None
    days_late: int = 0
    penalty: Fraction | None = None
    points: Fraction | None = None
    course_points: Fraction | None = None
    submitted_at: datetime | None = None
    deadline: datetime | None = None
    commit: str | None = None
    repository: str | None = None
    verified: bool = True
    attempts: int = 0
    feedback: str = ""
    how: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StudentGrade:
    """A row of the table. `components` are in the order of the grade formula, None where in error or not entered yet;
    `total` is None where nobody can tell. `sum`: how the components were added up; `adjustments`: what was done to the
    total, in words. `remarks`: what was said of a component that was entered by hand, a line each: its rubric's
    criteria, then the feedback."""

    person: Person
    homeworks: tuple[HomeworkGrade, ...]
    components: Mapping[str, Fraction | None] = field(default_factory=dict)
    total: Fraction | None = None
    grade: str | None = None
    sum: str = ""
    adjustments: tuple[str, ...] = ()
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GradeTable:
    """All students of the roster, by last name, first name and login."""

    course: str
    homeworks: tuple[str, ...]
    weights: Mapping[str, Fraction]
    """Course points for all of a homework's points."""
    students: tuple[StudentGrade, ...]
    unknown: tuple[str, ...] = ()
    """Logins that have scores and are on no roster."""


def way_to_total(student: StudentGrade) -> Iterator[str]:
    """How the homeworks' points and what was entered by hand became a total, a line a step."""
    for name, points in student.components.items():
        yield f"{name}: {'not yet' if points is None else two_decimals(points)}"
        yield from (f"  {line}" for line in student.remarks.get(name, ()))
    if student.sum:
        yield student.sum
    yield from student.adjustments
    total = "not yet" if student.total is None else two_decimals(student.total)
    yield f"total: {total}{f', {student.grade}' if student.grade else ''}"
