"""The commands that show and hand on grades. Each imports what it uses, when it is used."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.errors import UsageError
from grading.options import HOMEWORKS, HomeworksOption, RosterOption, course_and_people

if TYPE_CHECKING:
    from grading.course import Course
    from grading.export.cells import Exported
    from grading.gradebook.table import GradeTable, StudentGrade
    from grading.teams import Teams

FORMATS = ("course", "wide", "long", "classroom", "canvas", "moodle")

ScoresArgument = Annotated[
    Path,
    typer.Argument(metavar="SCORES", help="A directory of score files, or the gradebook that ingest made."),
]


def add_commands(app: typer.Typer) -> None:
    app.command("ingest")(ingest_command)
    app.command("grades")(grades_command)
    app.command("export")(export_command)


def ingest_command(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Directories of score files, or the store of `grading collect`."
        ),
    ],
    database: Annotated[
        Path, typer.Option("--database", metavar="FILE", help="The gradebook; made where there is none.")
    ] = Path("scores/gradebook.db"),
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make it anew from the files; what it alone holds is kept.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Take score files into the gradebook, each once.

    Safe to run again, several at a time, and to be stopped. Nothing that was taken in is lost: a file that has changed
    becomes a new version, and an error never replaces a score.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from grading.gradebook import ingest as taking

    screen = Console(stderr=True)
    columns = (TextColumn("score files"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as progress:
        bar = progress.add_task("score files", total=None)

        def tell(line: str) -> None:
            progress.console.print(line, soft_wrap=True, markup=False, highlight=False)

        done = (taking.rebuild if rebuild else taking.ingest)(
            database,
            directories,
            tell=tell,
            progress=lambda seen, total: progress.update(bar, completed=seen, total=total),
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(done), indent=2))
        return
    print(
        f"{database}: {done.files} score files, {done.new} new, {done.replaced} changed, {done.unchanged} known; "
        f"{done.unverified} unverified, {len(done.refused)} refused"
    )


def grades_command(
    scores: ScoresArgument,
    student: Annotated[
        str | None,
        typer.Option("--student", metavar="LOGIN", help="How this one's grade came about, step by step."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    roster: RosterOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Show grades, or how one of them came about.

    Extensions, reviews, excuses and what is entered by hand stand in small files beside course.yml.
    """
    table, _, _ = grade_table(scores, homeworks, roster)
    chosen = list(table.students)
    if student is not None:
        chosen = [one for one in chosen if one.person.username.casefold() == student.casefold()]
        if not chosen:
            raise UsageError(f"--student {student}: is not on the roster; give a login as it stands there")
    if as_json:
        print(json.dumps([dataclasses.asdict(one) for one in chosen], default=plain, indent=2))
    elif student is not None:
        show_one(chosen[0])
    else:
        show_all(table)


def export_command(
    scores: ScoresArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The CSV to write.")],
    kind: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="One of course, wide, long, classroom, canvas and moodle.",
        ),
    ] = "course",
    excel: Annotated[bool, typer.Option("--excel", help="With a byte order mark and CRLF.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--homework", metavar="NAME", help="Classroom, Canvas, Moodle: only this one."),
    ] = None,
    canvas: Annotated[
        Path | None,
        typer.Option("--canvas", metavar="FILE", help="Canvas: the gradebook that was exported there."),
    ] = None,
    titles: Annotated[
        list[str] | None,
        typer.Option("--title", metavar="NAME=TITLE", help="Canvas: what a homework is called there."),
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="NAME", help="Moodle: match by email, id_number or username.")
    ] = "email",
    zeros: Annotated[
        bool, typer.Option("--zeros/--no-zeros", help="Canvas, Moodle: a 0 where nothing was handed in.")
    ] = True,
    roster: RosterOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Write the course's grades as CSV.

    `course` comes from the scores alone; `wide` and `long` for people, `classroom`, `canvas` and `moodle` for other
    systems come with the roster and every rule of the course.
    """
    from grading.atomic import write_atomically
    from grading.course import load_course

    if kind not in FORMATS:
        raise UsageError(f"--format {kind}: there is {', '.join(FORMATS)}")
    if kind == "course":
        from grading.export.course_csv import export

        summary = export(scores, out, course=load_course(homeworks / "course.yml"), excel=excel)
        for line in (*summary.skipped, *summary.not_graded, *summary.unconfined):
            print(line, file=sys.stderr)
        print(f"{summary.path}: {len(summary.rows)} students")
        return
    table, course, teams = grade_table(scores, homeworks, roster)
    names = [course.homework(name).name for name in dict.fromkeys(only or ())] or None
    match kind:
        case "wide" | "long":
            exported = in_our_own_form(table, kind, excel)
        case "classroom":
            from grading.export import classroom

            exported = classroom.grades_csv(table, homeworks=names, github=course.github, teams=teams)
        case "canvas":
            exported = for_canvas(table, canvas, names, titles or [], zeros)
        case _:
            exported = for_moodle(table, names, key, zeros)
    write_atomically(out, exported.content)
    for line in exported.notes:
        print(line, file=sys.stderr)
    print(f"{out}: {len(table.students)} students")


def in_our_own_form(table: GradeTable, kind: str, excel: bool) -> Exported:
    from grading.export import long, wide

    return wide.grades_csv(table, excel=excel) if kind == "wide" else long.grades_csv(table, excel=excel)


def for_canvas(
    table: GradeTable, gradebook: Path | None, names: list[str] | None, titles: list[str], zeros: bool
) -> Exported:
    from grading.export import canvas

    if gradebook is None:
        raise UsageError(
            "--format canvas: needs --canvas FILE, the gradebook exported there, for the ids of students and their work"
        )
    called = {}
    for title in titles:
        name, equals, there = title.partition("=")
        if not equals or name not in table.homeworks:
            raise UsageError(f"--title {title}: write HOMEWORK=TITLE; there is {', '.join(table.homeworks)}")
        called[name] = there
    known = canvas.read_gradebook(gradebook)
    return canvas.grades_csv(table, known, homeworks=names, titles=called, zeros=zeros)


def for_moodle(table: GradeTable, names: list[str] | None, key: str, zeros: bool) -> Exported:
    from grading.export import moodle

    match key:
        case "email" | "id_number" | "username":
            return moodle.grades_csv(table, homeworks=names, key=key, zeros=zeros)
    raise UsageError(f"--key {key}: there is email, id_number and username")


def grade_table(scores: Path, homeworks: Path, roster: Path | None) -> tuple[GradeTable, Course, Teams]:
    """The table that follows from scores, the roster and all rules. Score files alone say nothing of being verified:
    those of a directory count; the gradebook knows which do not."""
    from grading.export.course_csv import load_scores
    from grading.gradebook.attempts import Attempt
    from grading.gradebook.compute import compute
    from grading.gradebook.rules import read_rules

    course, people, teams = course_and_people(homeworks, roster)
    rules = read_rules(course, people, teams)
    if scores.is_file():
        from grading.gradebook import database

        return compute(course, people, teams, rules, database.attempts(scores)), course, teams
    found, skipped = load_scores(scores, course)
    for line in skipped:
        print(line, file=sys.stderr)
    attempts = [Attempt(score, verified=True, path=str(path)) for path, score in found]
    return compute(course, people, teams, rules, attempts), course, teams


def show_all(table: GradeTable) -> None:
    from rich.console import Console
    from rich.table import Table

    from grading.export.cells import maybe
    from grading.report.terminal import plain as text

    shown = Table(title=f"{table.course}: {len(table.students)} students")
    shown.add_column("who")
    for name in table.homeworks:
        shown.add_column(name, justify="right")
    shown.add_column("total", justify="right")
    shown.add_column("grade")
    for student in table.students:
        points = [maybe(one.points) or one.state for one in student.homeworks]
        cells = [student.person.username, *points, maybe(student.total), student.grade or ""]
        shown.add_row(*(text(cell) for cell in cells))
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(shown)
    for login in table.unknown:
        print(f"{login}: has scores, and is not on the roster", file=sys.stderr)


def show_one(student: StudentGrade) -> None:
    from grading.export.cells import maybe
    from grading.report.words import inert

    person = student.person
    print(inert(f"{person.username} ({person.first_name} {person.last_name})"))
    for grade in student.homeworks:
        print(f"{grade.homework}: {maybe(grade.points) or grade.state}")
        for line in grade.how:
            print(f"  {inert(line)}")
    for name, points in student.components.items():
        print(f"{name}: {maybe(points) or 'not yet'}")
    for line in student.adjustments:
        print(inert(line))
    print(f"total: {maybe(student.total) or 'not yet'}{f', {inert(student.grade)}' if student.grade else ''}")


def plain(value: object) -> object:
    """For JSON: an exact number as a number, a moment as ISO 8601."""
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
