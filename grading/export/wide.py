"""The course's grade CSV: one row a student, in the table's order.

Who they are, each homework's raw points, days late, penalty and points, the components, what was said of them, what was
done to the total, the total and the grade. Whatever nobody can tell is empty, and is said.
"""

from __future__ import annotations

from grading.export.cells import Exported, encode, maybe, neutralised
from grading.export.people import PEOPLE, about, unknown, who
from grading.gradebook.table import GradeTable, HomeworkGrade, StudentGrade

COLUMNS = ("raw", "days_late", "penalty", "points")
REMARKS = "remarks"  # a column where there are any
LAST = ("adjustments", "total", "grade")


def grades_csv(table: GradeTable, *, excel: bool = False) -> Exported:
    """The file, with a byte order mark and CRLF for `excel`. Notes: what is not graded, and scores for nobody."""
    notes = [
        f"{who(student.person)}: {grade.homework}: not graded, and our fault; the cells are empty"
        for student in table.students
        for grade in student.homeworks
        if grade.state == "error"
    ]
    return Exported(encode(rows(table), excel=excel), (*notes, *unknown(table)))


def rows(table: GradeTable) -> list[tuple[str, ...]]:
    """Header first."""
    components = list(dict.fromkeys(name for student in table.students for name in student.components))
    before = [*PEOPLE, *(f"{homework}_{column}" for homework in table.homeworks for column in COLUMNS)]
    taken = {*before, REMARKS, *LAST}
    named = [f"{name}_component" if name in taken else name for name in components]
    remarked = any(student.remarks for student in table.students)
    return [
        (*before, *named, *((REMARKS,) if remarked else ()), *LAST),
        *(_row(table, student, components, remarked=remarked) for student in table.students),
    ]


def _row(
    table: GradeTable, student: StudentGrade, components: list[str], *, remarked: bool
) -> tuple[str, ...]:
    grades = {grade.homework: grade for grade in student.homeworks}
    cells = list(about(student.person))
    for homework in table.homeworks:
        cells += _homework(grades.get(homework))
    cells += [maybe(student.components.get(name)) for name in components]
    if remarked:
        said = (f"{name}: {'; '.join(lines)}" for name, lines in student.remarks.items())
        cells.append(neutralised(" | ".join(said)))
    cells += [neutralised("; ".join(student.adjustments)), maybe(student.total)]
    return (*cells, neutralised(student.grade or ""))


def _homework(grade: HomeworkGrade | None) -> tuple[str, ...]:
    if grade is None:
        return ("",) * len(COLUMNS)
    days = "" if grade.raw is None else str(grade.days_late)
    return maybe(grade.raw), days, maybe(grade.penalty), maybe(grade.points)
