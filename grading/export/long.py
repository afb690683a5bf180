"""The same grades for analysis: one row a student and homework, with the attempt that counts.

Moments are ISO 8601 in UTC; what there is not is empty.
"""

from __future__ import annotations

from datetime import UTC, datetime

from grading.export.cells import Exported, encode, maybe, neutralised
from grading.export.people import PEOPLE, about, unknown
from grading.gradebook.table import GradeTable, HomeworkGrade
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
            (*about(student.person), *_homework(grade))
            for student in table.students
            for grade in student.homeworks
        ),
    ]


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
