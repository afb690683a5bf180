"""The same grades for analysis: one row a student and homework, with the attempt that counts.

A component that was entered by hand has one too, of state `entered`, where something was said of it. Moments are
ISO 8601 in UTC; what there is not is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from grading.export.cells import Exported, encode, maybe, neutralised
from grading.export.people import PEOPLE, about, unknown
from grading.gradebook.table import GradeTable, HomeworkGrade, StudentGrade
from grading.total import two_decimals

COLUMNS = (
    *("homework", "state", "verified", "attempts", "commit", "repository", "submitted_at", "deadline"),
    *("days_late", "raw", "max_points", "penalty", "points", "course_points", "feedback"),
)


def grades_csv(table: GradeTable, *, excel: bool = False) -> Exported:
    """The file, with a byte order mark and CRLF for `excel`. Notes: scores for nobody."""
    return Exported(encode(rows(table), excel=excel), tuple(unknown(table)))


def rows(table: GradeTable) -> list[tuple[str, ...]]:
    """Header first."""
    return [
        (*PEOPLE, *COLUMNS),
        *(
            (*about(student.person), *cells)
            for student in table.students
            for cells in (*map(_homework, student.homeworks), *_entered(student))
        ),
    ]


def _entered(student: StudentGrade) -> Iterator[tuple[str, ...]]:
    for name, lines in student.remarks.items():
        known = {
            "homework": neutralised(name),
            "state": "entered",
            "points": maybe(student.components.get(name)),
            "feedback": neutralised("; ".join(lines)),
        }
        yield tuple(known.get(column, "") for column in COLUMNS)


def _homework(grade: HomeworkGrade) -> tuple[str, ...]:
    return (
        neutralised(grade.homework),
        grade.state,
        ("true" if grade.verified else "false") if grade.attempts else "",
        str(grade.attempts),
        neutralised(grade.commit or ""),
        neutralised(grade.repository or ""),
        _moment(grade.submitted_at),
        _moment(grade.deadline),
        "" if grade.raw is None else str(grade.days_late),
        maybe(grade.raw),
        two_decimals(grade.max_points),
        maybe(grade.penalty),
        maybe(grade.points),
        maybe(grade.course_points),
        neutralised(grade.feedback),
    )


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
