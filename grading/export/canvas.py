"""A CSV for Canvas's gradebook import, made from a gradebook that Canvas exported.

From that come the students' IDs and the assignments', since a title or a name that Canvas does not know makes a new
one there. A homework belongs to one assignment for certain, or nothing is written; a student to one row, or they are
named and left out. An empty cell would delete a grade, so one that we have nothing for stays as Canvas has it.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from grading.errors import UsageError
from grading.export.cells import Exported, encode, neutralised
from grading.export.people import unknown, who
from grading.gradebook.table import GradeTable, HomeworkGrade
from grading.report.words import number
from grading.roster import Person
from grading.total import two_decimals

HEADER = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")
POINTS_POSSIBLE = "    Points Possible"
EXCUSED = "EX"
NO_GRADE = ("", "-")
NOT_ASSIGNED = "N/A"

_ASSIGNMENT = re.compile(r"(.*)\s\((\d+)\)")
_COMPUTED = re.compile(r"(Current|Final) (Score|Points|Grade)|Override (Score|Grade|Status)")
_HIDDEN = re.compile(r"\s*(Muted|Manual Posting.*)?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9.,]+")


@dataclass(frozen=True, slots=True)
class Assignment:
    """`header` is the column's as it stands, `possible` the cell below it."""

    header: str
    title: str
    id: str
    possible: str


@dataclass(frozen=True, slots=True)
class CanvasStudent:
    """A row: who, and by an assignment's id what stands there."""

    line: int
    name: str
    id: str
    sis_user_id: str
    sis_login_id: str
    section: str
    standing: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Gradebook:
    """What Canvas exported."""

    path: Path
    assignments: tuple[Assignment, ...]
    students: tuple[CanvasStudent, ...]


def grades_csv(
    table: GradeTable,
    gradebook: Gradebook,
    *,
    homeworks: Sequence[str] | None = None,
    titles: Mapping[str, str] = {},
    zeros: bool = True,
) -> Exported:
    """The file, with the students of both in Canvas's order and the homeworks (all, unless some are named).

    `titles`: an assignment's title or id for a homework; without it, the title is the homework's name. Points become
    the same share of what Canvas has as Points Possible. With `zeros` a homework never handed in is 0, but where
    Canvas has a grade. Notes: who is in one of the two only, who could be several, what stays as Canvas has it, and
    what has another number of points there. Raises UsageError unless every homework has one assignment.
    """
    chosen = table.homeworks if homeworks is None else homeworks
    assignments = _assignments(gradebook, chosen, titles)
    possible = {name: _possible(gradebook, assignments[name]) for name in chosen}
    rows_of, notes = _match(table, gradebook)
    grades = {
        row.line: (student, {grade.homework: grade for grade in student.homeworks})
        for student in table.students
        if (row := rows_of.get(student.person.username)) is not None
    }
    rows: list[tuple[str, ...]] = [
        (*HEADER, *(neutralised(assignments[name].header) for name in chosen)),
        (POINTS_POSSIBLE, "", "", "", "", *(_plain_number(assignments[name].possible) for name in chosen)),
    ]
    remarks: list[str] = []
    for row in gradebook.students:
        if row.line not in grades:
            continue
        student, of_homework = grades[row.line]
        cells = []
        for name in chosen:
            cell, remark = _cell(of_homework[name], row.standing[assignments[name].id], possible[name], zeros)
            cells.append(cell)
            if remark:
                remarks.append(f"{who(student.person)}: {name}: {remark}")
        about = (row.name, row.id, row.sis_user_id, row.sis_login_id, row.section)
        rows.append((*map(neutralised, about), *cells))
    scaled = _scaled(table, chosen, possible)
    return Exported(encode(rows), (*scaled, *notes, *remarks, *unknown(table)))


def read_gradebook(path: Path) -> Gradebook:
    """A gradebook as Canvas exports it, with commas or semicolons. Raises UsageError with file and line."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}; export the gradebook in Canvas"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text; take the file as Canvas exported it") from error
    rows = _rows(path, text)
    if not rows:
        raise UsageError(f"{path}:1: the file is empty; export the gradebook in Canvas")
    columns = _columns(path, [cell.strip() for cell in rows[0][1]])
    return _gradebook(path, rows[0][1], columns, rows[1:])


# Reading


def _rows(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """The line each row begins on, and its cells; without empty rows."""
    found = re.match(r'"?(Student|LastName)"?([,;])', text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=found[2] if found else ",", strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"{path}:{line}: not valid CSV: {error}; take the file as Canvas exported it"
        ) from error
    return rows


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    columns = {name: i for i, name in reversed(list(enumerate(header)))}
    named = "Student" in columns or {"LastName", "FirstName"} <= columns.keys()
    if not named or not {"ID", "Section"} <= columns.keys():
        raise UsageError(
            f"{path}:1: no gradebook of Canvas's: the columns Student, ID and Section are not all there; "
            "export the entire gradebook in Canvas"
        )
    return columns


def _gradebook(
    path: Path, header: Sequence[str], columns: Mapping[str, int], rows: Iterable[tuple[int, list[str]]]
) -> Gradebook:
    places = {
        i: (found[1], found[2])
        for i, cell in enumerate(header)
        if i > columns["Section"] and (found := _ASSIGNMENT.fullmatch(cell)) and not _COMPUTED.search(cell)
    }
    possible: list[str] | None = None
    students: list[CanvasStudent] = []
    lines: dict[str, int] = {}
    for line, cells in rows:
        if len(cells) != len(header):
            raise UsageError(
                f"{path}:{line}: {len(cells)} cells below {len(header)} columns; export it again"
            )
        if "Points Possible" in cells[0]:
            possible = cells
        elif not all(_HIDDEN.fullmatch(cell) for cell in cells):
            student = _student(line, cells, columns, places)
            if not student.id.isdecimal():
                raise UsageError(f"{path}:{line}: the ID is no number; take the file as Canvas exported it")
            if student.id in lines:
                raise UsageError(
                    f"{path}:{line}: the ID {student.id} stands on line {lines[student.id]} already; export it again"
                )
            lines[student.id] = line
            students.append(student)
    if possible is None:
        raise UsageError(f"{path}: no row Points Possible; take the file as Canvas exported it")
    assignments = tuple(Assignment(header[i], *places[i], possible[i].strip()) for i in places)
    times = Counter(assignment.id for assignment in assignments)
    twice = [assignment.id for assignment in assignments if times[assignment.id] > 1]
    if twice:
        raise UsageError(f"{path}:1: two columns of the assignment {twice[0]}; export it again")
    return Gradebook(path, assignments, tuple(students))


def _student(
    line: int, cells: Sequence[str], columns: Mapping[str, int], places: Mapping[int, tuple[str, str]]
) -> CanvasStudent:
    def cell(name: str) -> str:
        return cells[columns[name]].strip() if name in columns else ""

    name = cell("Student") or ", ".join(part for part in (cell("LastName"), cell("FirstName")) if part)
    if name.startswith('="') and name.endswith('"'):  # how Canvas keeps a name from being a formula
        name = name[2:-1]
    standing = {assignment: cells[i].strip() for i, (_, assignment) in places.items()}
    return CanvasStudent(
        line, name, cell("ID"), cell("SIS User ID"), cell("SIS Login ID"), cell("Section"), standing
    )


# Which assignment


def _assignments(
    gradebook: Gradebook, homeworks: Sequence[str], titles: Mapping[str, str]
) -> dict[str, Assignment]:
    for name in titles:
        if name not in homeworks:
            raise UsageError(f'a title is given for "{name}", which is no homework of this file; take it out')
    chosen: dict[str, Assignment] = {}
    for name in homeworks:
        wanted = titles.get(name, name)
        found = [
            assignment
            for assignment in gradebook.assignments
            if wanted == assignment.id
            or _folded(wanted) in (_folded(assignment.title), _folded(assignment.header))
        ]
        if len(found) != 1:
            raise UsageError(f"{gradebook.path}:1: {_no_one(name, wanted, found, gradebook)}")
        for other, assignment in chosen.items():
            if assignment is found[0]:
                raise UsageError(
                    f'{gradebook.path}:1: {other} and {name} are both "{assignment.header}"; name two assignments'
                )
        chosen[name] = found[0]
    return chosen


def _no_one(name: str, wanted: str, found: Sequence[Assignment], gradebook: Gradebook) -> str:
    listed = ", ".join(f'"{neutralised(one.header)}"' for one in found or gradebook.assignments)
    which = name if wanted == name else f"{name} ({wanted})"
    if found:
        return f"{which} could be any of {listed}; say which by its id"
    return f"no assignment for {which}; there is {listed or 'none'}: say which by its title or id, or make one first"


def _possible(gradebook: Gradebook, assignment: Assignment) -> Fraction:
    text = _plain_number(assignment.possible)
    try:
        points = Fraction(text)
    except ValueError:
        points = Fraction(0)
    if points <= 0:
        raise UsageError(
            f'{gradebook.path}: "{assignment.header}" has "{assignment.possible}" as Points Possible, so no share of '
            "it can be written; give the assignment points in Canvas and export again"
        )
    return points


def _plain_number(text: str) -> str:
    """As Canvas reads one: the last point or comma is the decimal one."""
    if not _NUMBER.fullmatch(text):
        return text
    *groups, last = re.split("[.,]", text)
    return f"{''.join(groups)}.{last}" if groups else last


def _scaled(table: GradeTable, homeworks: Sequence[str], possible: Mapping[str, Fraction]) -> list[str]:
    worth = {grade.homework: grade.max_points for student in table.students for grade in student.homeworks}
    return [
        f"{name}: {number(worth[name])} points here and {number(possible[name])} in Canvas; the same share is written"
        for name in homeworks
        if name in worth and worth[name] != possible[name]
    ]


# Which student


def _match(table: GradeTable, gradebook: Gradebook) -> tuple[dict[str, CanvasStudent], list[str]]:
    """The rows by login, and a note for everybody who has none or whom no roster has."""
    index: dict[tuple[str, str], list[CanvasStudent]] = defaultdict(list)
    for row in gradebook.students:
        for key in _keys_of_row(row):
            index[key].append(row)
    found: dict[str, tuple[int, CanvasStudent]] = {}
    notes: list[str] = []
    mentioned: set[int] = set()
    for student in table.students:
        person = student.person
        rank, rows = _candidates(person, index)
        mentioned.update(row.line for row in rows)
        if not rows:
            notes.append(
                f"{who(person)}: in no row of {gradebook.path}; left out: write the roster's email and name as in "
                "Canvas, or enter the grades there"
            )
        elif len(rows) > 1:
            lines = " or ".join(f"line {row.line} (ID {row.id})" for row in rows)
            notes.append(
                f"{who(person)}: could be {gradebook.path} {lines}; left out, enter the grades there"
            )
        else:
            found[person.username] = rank, rows[0]
    claims: dict[int, list[int]] = defaultdict(list)
    for rank, row in found.values():
        claims[row.line].append(rank)
    rows_of: dict[str, CanvasStudent] = {}
    for login, (rank, row) in found.items():
        if min(claims[row.line]) == rank and claims[row.line].count(rank) == 1:
            rows_of[login] = row
        else:
            notes.append(
                f"{login}: {gradebook.path} line {row.line} (ID {row.id}) could be another student's, too; "
                "left out, enter the grades there"
            )
    notes += [
        f"{gradebook.path}:{row.line}: {neutralised(row.name)} (ID {row.id}) is in Canvas "
        "and not on the roster; left out"
        for row in gradebook.students
        if row.line not in mentioned
    ]
    return rows_of, notes


def _candidates(
    person: Person, index: Mapping[tuple[str, str], list[CanvasStudent]]
) -> tuple[int, list[CanvasStudent]]:
    """In Canvas's order of keys the first that finds any row decides, unless a later one finds other rows only.
    The rank is that key's place: the lower, the surer."""
    by_key = []
    for rank, (kind, texts) in enumerate(_keys_of_person(person)):
        rows = {row.line: row for text in texts if text for row in index.get((kind, _folded(text)), ())}
        if rows:
            by_key.append((rank, list(rows.values())))
    if not by_key:
        return 0, []
    (rank, first), *later = by_key
    for _, rows_found in later:
        if len(first) == 1 and first[0] not in rows_found:
            return rank, [*first, *rows_found]
    return rank, first


def _keys_of_row(row: CanvasStudent) -> Iterable[tuple[str, str]]:
    keys = (("ID", row.id), ("user", row.sis_user_id), ("login", row.sis_login_id), ("name", row.name))
    return [(kind, _folded(text)) for kind, text in keys if text]


def _keys_of_person(person: Person) -> Iterable[tuple[str, tuple[str, ...]]]:
    """A GitHub login is none: it may be someone else's login at the university."""
    first, last = person.first_name, person.last_name
    names = (f"{first} {last}", f"{last}, {first}") if first and last else (first or last,)
    return (
        ("ID", (person.identifier,)),
        ("user", (person.identifier,)),
        ("login", (person.identifier, person.email)),
        ("name", names),
    )


def _folded(text: str) -> str:
    """In one case and one form: a letter with its mark may be one sign or two."""
    return " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold()).split())


# What stands in a cell


def _cell(grade: HomeworkGrade, standing: str, possible: Fraction, zeros: bool) -> tuple[str, str]:
    """The cell, and what there is to say about it."""
    if standing == NOT_ASSIGNED:
        return standing, "not assigned to them in Canvas, which takes no grade for it"
    if grade.state == "excused":
        return EXCUSED, ""
    kept = _kept(standing)
    if grade.state == "missing":
        if not kept:
            return ("0.00" if zeros else ""), ""
        return kept, "" if _is_zero(kept) else f"never handed in, and has {kept} in Canvas; that stays"
    if grade.points is None:
        return kept, f"not graded, and our fault; what Canvas has stays: {kept or 'nothing'}"
    return two_decimals(grade.points / grade.max_points * possible), ""


def _kept(standing: str) -> str:
    if standing in NO_GRADE:
        return ""
    return _plain_number(standing) if _NUMBER.fullmatch(standing) else neutralised(standing)


def _is_zero(text: str) -> bool:
    return bool(re.fullmatch(r"0*(\.0*)?", text))
