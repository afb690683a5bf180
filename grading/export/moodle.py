"""A CSV for Moodle's grade import, where somebody maps each column by hand.

Moodle's import has edges, and the file keeps away from them. A row whose student it does not find stops the whole
import, and one with an empty cell there goes to the student of the row before: so no row is without its key, and no
key stands twice. A feedback without its grade deletes the grade; an empty grade deletes one that is there. More than
100% is refused. What was left out or cut for that is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from grading.errors import UsageError
from grading.export.cells import Exported, encode, maybe, neutralised
from grading.export.people import unknown, who
from grading.gradebook.table import GradeTable, HomeworkGrade, StudentGrade
from grading.report.words import number
from grading.roster import Person

Key = Literal["email", "id_number", "username"]
COLUMN: dict[Key, str] = {"email": "Email address", "id_number": "ID number", "username": "username"}
MOST = Fraction(100)  # what Moodle takes without the site setting "Unlimited grades"


def grades_csv(
    table: GradeTable, *, homeworks: Sequence[str] | None = None, key: Key = "email", zeros: bool = True
) -> Exported:
    """The file: the key and the names, then for each homework (of all, unless some are named) a grade in its points
    and a feedback.

    `key`: what Moodle finds a student by, in the roster: the address (case-sensitive there), the old Classroom's
    identifier, or the login. With `zeros` a homework never handed in is 0, otherwise it is empty. Raises UsageError
    if no student has a key.
    """
    chosen = table.homeworks if homeworks is None else homeworks
    usable, notes = _with_key(table, key)
    if table.students and not usable:
        raise UsageError(
            f"no student can be found by Moodle's {COLUMN[key]}: {notes[0]}; choose another key or complete the roster"
        )
    notes += _too_many(table, chosen)
    rows: list[tuple[str, ...]] = [
        (
            *(COLUMN[key], "First name", "Last name"),
            *(neutralised(column) for homework in chosen for column in (homework, f"{homework} feedback")),
        )
    ]
    for student in usable:
        person = student.person
        cells, remarks = _cells(student, chosen, zeros)
        if not any(cells):
            notes.append(f"{who(person)}: has no grade in this file; left out")
            continue
        notes += remarks
        names = neutralised(person.first_name), neutralised(person.last_name)
        rows.append((_key(person, key), *names, *cells))
    return Exported(encode(rows), (*notes, *unknown(table)))


def _too_many(table: GradeTable, homeworks: Sequence[str]) -> list[str]:
    worth = {grade.homework: grade.max_points for student in table.students for grade in student.homeworks}
    return [
        f"{name}: has {number(worth[name])} points; Moodle takes more than {number(MOST)} only with the site setting "
        "Unlimited grades"
        for name in homeworks
        if worth.get(name, MOST) > MOST
    ]


def _with_key(table: GradeTable, key: Key) -> tuple[list[StudentGrade], list[str]]:
    times = Counter(_key(student.person, key) for student in table.students)
    usable: list[StudentGrade] = []
    notes: list[str] = []
    for student in table.students:
        value = _key(student.person, key)
        if not value:
            why = "is empty on the roster"
        elif times[value] > 1:
            why = f"{neutralised(value)} is another student's, too"
        elif neutralised(value) != value:
            why = f"{neutralised(value)} could be taken for a formula"
        else:
            usable.append(student)
            continue
        notes.append(f"{who(student.person)}: {COLUMN[key]} {why}; left out, enter the grades by hand")
    return usable, notes


def _key(person: Person, key: Key) -> str:
    """As Moodle reads it: it trims, and nothing else."""
    values = {"email": person.email, "id_number": person.identifier, "username": person.username}
    return values[key].strip()


def _cells(student: StudentGrade, homeworks: Sequence[str], zeros: bool) -> tuple[list[str], list[str]]:
    cells: list[str] = []
    notes: list[str] = []
    for homework in homeworks:
        grade = next(found for found in student.homeworks if found.homework == homework)
        points, remark = _points(grade, zeros)
        cells += [maybe(points), "" if points is None else neutralised(grade.feedback)]
        if remark:
            notes.append(f"{who(student.person)}: {homework}: {remark}")
    return cells, notes


def _points(grade: HomeworkGrade, zeros: bool) -> tuple[Fraction | None, str]:
    """What Moodle takes, and what there is to say about it."""
    match grade.state:
        case "missing":
            return (Fraction(0), "") if zeros else (None, "")
        case "excused":
            return None, "excused, for which this format has no word; the cell is empty: no grade"
        case "error":
            return None, "not graded, and our fault; the cell is empty, which deletes a grade entered there"
    most = grade.max_points
    if grade.points is not None and grade.points > most:
        said = f"{number(grade.points)} of {number(most)} points"
        return most, f"{said}, cut to {number(most)}: Moodle takes no more without a site setting"
    return grade.points, ""
