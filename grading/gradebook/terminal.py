"""Grades on a terminal. Whatever a student may have chosen is shown as text, never as markup or escapes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from functools import partial

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from grading.export.cells import maybe
from grading.gradebook.table import GradeTable, StudentGrade, way_to_total
from grading.gradebook.what_if import Comparison, Counts, StudentChange
from grading.gradebook.words import how_many
from grading.report.terminal import plain
from grading.report.words import inert
from grading.total import two_decimals

OPEN, NOT_THERE = "open", "–"
ANY_WIDTH = 10_000  # columns


def table_of(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> Table:
    """Where there is little room, headings are broken and cells between words: a number that is cut is another one."""
    texts = [[plain(cell) for cell in row] for row in rows]
    shown = Table(box=None, pad_edge=False)
    for place, heading in enumerate(headings):
        words = [word for row in texts for word in row[place].plain.split()]
        shown.add_column(
            plain(heading),
            justify="right" if heading in right else "left",
            min_width=max(map(cell_len, words), default=0),
            overflow="fold",
        )
    for row in texts:
        shown.add_row(*row)
    return shown


def print_table(table: Table) -> None:
    """In a file or a pipe as wide as it is, and on a terminal never cut."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else ANY_WIDTH)
    needed = console.measure(table, options=console.options.update(width=ANY_WIDTH)).minimum
    table.collapse_padding = needed > console.width
    console.print(table, crop=False)


def show_all(table: GradeTable) -> None:
    headings = ("who", *table.homeworks, "total", "grade")
    rows = []
    for student in table.students:
        points = [maybe(one.points) or one.state for one in student.homeworks]
        rows.append([student.person.username, *points, maybe(student.total), student.grade or ""])
    print(inert(f"{table.course}: {how_many(len(table.students), 'student')}"))
    print_table(table_of(headings, rows, right=headings[1:-1]))


def show_one(student: StudentGrade) -> None:
    """How it came about, a line a step."""
    person = student.person
    name = f"{person.first_name} {person.last_name}".strip()
    print(inert(f"{person.username}{f' ({name})' if name else ''}"))
    for grade in student.homeworks:
        print(f"{grade.homework}: {maybe(grade.points) or grade.state}")
        feedback = (line for line in grade.feedback.splitlines() if line.strip())
        for line in (*grade.how, *feedback):
            print(f"  {inert(line)}")
    for line in way_to_total(student):
        print(inert(line))


def show_comparison(comparison: Comparison) -> None:
    """A row for everyone who changes, with the homeworks and components that do so for anybody."""
    if comparison.students:
        print_table(_changes(comparison.students))
    for what, names in (("new", comparison.new_homeworks), ("gone", comparison.gone_homeworks)):
        if names:
            print(f"{what} in the course: {', '.join(names)}")
    print(_in_words(comparison.counts))


def _changes(changes: Sequence[StudentChange]) -> Table:
    students = [one for change in changes for one in (change.after, change.before) if one is not None]
    homeworks = dict.fromkeys(grade.homework for one in students for grade in one.homeworks)
    components = dict.fromkeys(name for one in students for name in one.components)
    parts = [(name, partial(_homework, name)) for name in homeworks]
    parts += [(name, partial(_component, name)) for name in components]
    columns = [(name, [_arrow(change, of) for change in changes]) for name, of in parts]
    columns = [(name, cells) for name, cells in columns if any(cells)]
    columns.append(("total", [_arrow(change, _total) or _total(change.after) for change in changes]))
    if any(one.grade for one in students):
        columns.append(("grade", [_arrow(change, _grade) or _grade(change.after) for change in changes]))
    columns.append(("difference", [_signed(change.difference) for change in changes]))
    names = [name for name, _ in columns]
    logins = [change.person.username for change in changes]
    rows = [*zip(logins, *(cells for _, cells in columns), strict=True)]
    return table_of(("who", *names), rows, right=names)


def _arrow(change: StudentChange, of: Callable[[StudentGrade | None], str]) -> str:
    """Before and after; nothing where they look the same."""
    before, after = of(change.before), of(change.after)
    return f"{before} → {after}" if before != after else ""


def _homework(name: str, student: StudentGrade | None) -> str:
    for grade in student.homeworks if student is not None else ():
        if grade.homework == name:
            return maybe(grade.points) or grade.state
    return NOT_THERE


def _component(name: str, student: StudentGrade | None) -> str:
    if student is None or name not in student.components:
        return NOT_THERE
    return maybe(student.components[name]) or OPEN


def _total(student: StudentGrade | None) -> str:
    return NOT_THERE if student is None else maybe(student.total) or OPEN


def _grade(student: StudentGrade | None) -> str:
    return (student.grade if student is not None else None) or NOT_THERE


def _signed(difference: Fraction | None) -> str:
    return "" if difference is None else f"{'+' if difference > 0 else ''}{two_decimals(difference)}"


def _in_words(counts: Counts) -> str:
    everyone = how_many(counts.students, "student")
    if not counts.changed:
        return f"nothing changes for {everyone}"
    words = [f"{counts.up} up", f"{counts.down} down"]
    if counts.mean_difference is not None:
        words.append(f"{_signed(counts.mean_difference)} points on average")
    words.append(f"{counts.grades} with another grade")
    others = {
        "with a total that was open": counts.known,
        "with a total that is open now": counts.unknown,
        "new on the roster": counts.joined,
        "no longer on it": counts.left,
    }
    words += [f"{count} {what}" for what, count in others.items() if count]
    return f"{counts.changed} of {everyone} change: {', '.join(words)}"
