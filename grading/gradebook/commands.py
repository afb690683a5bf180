"""The commands that show and hand on grades. Each imports what it uses, when it is used."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from grading.errors import UsageError
from grading.options import HOMEWORKS, HomeworksOption, RosterOption

if TYPE_CHECKING:
    from grading.course import Course
    from grading.export.cells import Exported
    from grading.gradebook.attempts import Attempt
    from grading.gradebook.table import GradeTable
    from grading.gradebook.terms import Terms
    from grading.teams import Teams

FORMATS = ("course", "wide", "long", "classroom", "canvas", "moodle")
RULES = ("extensions", "reviews", "excused", "plagiarism", "manual")  # as the fields of `Rules` and the files

ScoresArgument = Annotated[
    Path,
    typer.Argument(metavar="SCORES", help="A directory of score files, or the gradebook that ingest made."),
]


def add_commands(app: typer.Typer) -> None:
    app.command("ingest")(ingest_command)
    app.command("grades")(grades_command)
    app.command("export")(export_command)
    app.command("what-if")(what_if_command)


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
    from grading.gradebook import ingest as taking
    from grading.report.terminal import bar

    take = taking.rebuild if rebuild else taking.ingest
    with bar("score files") as progress:
        done = take(database, directories, tell=progress.say, progress=progress.reach)
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
    from grading.gradebook.terminal import show_all, show_one

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
        tell([f"{login}: has scores, and is not on the roster" for login in table.unknown])


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
    as_json: Annotated[bool, typer.Option("--json", help="What was written, as JSON, for programs.")] = False,
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
        if scores.is_file():
            raise UsageError(
                f"{scores}: --format course comes from score files; give their directory, or --format wide"
            )
        from grading.export.course_csv import export
        from grading.report.terminal import bar

        course = load_course(homeworks / "course.yml")
        is_no_store(scores)
        with bar("score files") as progress:
            summary = export(scores, out, course=course, excel=excel, progress=progress.reach)
        notes = (*summary.skipped, *summary.not_graded, *summary.unconfined)
        exported_to(out, kind, len(summary.rows), len(summary.rows), notes, as_json)
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
    rows = rows_of(exported.content) - (2 if kind == "canvas" else 1)
    exported_to(out, kind, len(table.students), rows, exported.notes, as_json)


def exported_to(path: Path, kind: str, students: int, rows: int, notes: Sequence[str], as_json: bool) -> None:
    """Says what was written, and what is not in it."""
    tell(notes)
    if as_json:
        written = {"path": str(path), "format": kind, "students": students, "rows": rows, "notes": notes}
        print(json.dumps(written, indent=2))
    else:
        print(f"{path}: {students} students" + (f", {rows} rows" if rows != students else ""))


def rows_of(content: bytes) -> int:
    return sum(1 for _ in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


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


def what_if_command(
    scores: ScoresArgument,
    changed: Annotated[
        Path | None,
        typer.Argument(
            metavar="CHANGED",
            help="A directory with files for those beside course.yml.",
            show_default=False,
        ),
    ] = None,
    deadlines: Annotated[
        list[str] | None,
        typer.Option("--deadline", metavar="NAME=MOMENT", help="Another deadline for a homework."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NAME", help=f"Leave out {', '.join(RULES[:-1])} or {RULES[-1]}."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="REVISION", help="Instead: what changed since this git revision."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    roster: RosterOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Show whose grade other rules or deadlines would change.

    CHANGED holds only the files that differ: course.yml, roster.csv, teams.yml, extensions.yml, reviews.yml,
    excused.yml, plagiarism.yml, manual.yml. Nothing is written.
    """
    from grading.gradebook.terminal import show_comparison
    from grading.gradebook.terms import read_terms, terms_at
    from grading.gradebook.what_if import compare
    from grading.report.terminal import waiting

    if since is not None and (changed or deadlines or without):
        raise UsageError("--since: compares the files as they are with those of then; give it alone")
    if since is None and not (changed or deadlines or without):
        raise UsageError(
            "what if what? give a directory with changed files, --deadline, --without or --since"
        )
    if since is not None:
        before, after = terms_at(since, homeworks, roster), read_terms(homeworks, roster)
    else:
        before = read_terms(homeworks, roster)
        after = otherwise(read_terms(homeworks, roster, changed), deadlines or (), without or ())
    either = (*before.course.homeworks, *after.course.homeworks)
    attempts = read_attempts(scores, after.course.model_copy(update={"homeworks": either}))
    with waiting("comparing"):
        comparison = compare(before.grades(attempts), after.grades(attempts))
    if as_json:
        print(json.dumps(dataclasses.asdict(comparison), default=plain, indent=2))
    else:
        show_comparison(comparison)


def otherwise(terms: Terms, deadlines: Sequence[str], without: Sequence[str]) -> Terms:
    """With other deadlines, and without some of the rules."""
    from grading.gradebook.terms import with_deadlines

    for name in without:
        if name not in RULES:
            raise UsageError(f"--without {name}: there is {', '.join(RULES)}")
    known = [homework.name for homework in terms.course.homeworks]
    moments: dict[str, datetime] = {}
    for text in deadlines:
        name, equals, moment = text.partition("=")
        if not equals or name not in known:
            raise UsageError(f"--deadline {text}: write HOMEWORK=MOMENT; there is {', '.join(known)}")
        if name in moments:
            raise UsageError(f"--deadline {text}: {name} has one already; keep one")
        moments[name] = with_a_zone(moment, f"--deadline {text}")
    return dataclasses.replace(
        terms,
        course=with_deadlines(terms.course, moments),
        rules=dataclasses.replace(terms.rules, **{name: {} for name in without}),
    )


def with_a_zone(text: str, option: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: not a time; write it as 2026-11-02T10:00:00+01:00") from None
    if moment.tzinfo is None:
        raise UsageError(f"{option}: has no zone; write one, as in {moment.isoformat()}+01:00")
    return moment


def grade_table(scores: Path, homeworks: Path, roster: Path | None) -> tuple[GradeTable, Course, Teams]:
    """The table that follows from scores, the roster and all rules."""
    from grading.gradebook.terms import read_terms
    from grading.report.terminal import waiting

    terms = read_terms(homeworks, roster)
    attempts = read_attempts(scores, terms.course)
    with waiting("computing grades"):
        return terms.grades(attempts), terms.course, terms.teams


def read_attempts(scores: Path, course: Course) -> list[Attempt]:
    """Without their tasks. Score files alone say nothing of being verified: those of a directory count; the gradebook
    knows which do not. Neither takes what was graded without the sandbox."""
    from grading.gradebook.attempts import UNCONFINED, Attempt
    from grading.report.terminal import bar, waiting

    if scores.is_file():
        from grading.gradebook import database

        with waiting("reading the gradebook"):
            return database.attempts(scores)
    from grading.export.course_csv import load_scores

    is_no_store(scores)
    with bar("score files") as progress:
        found, skipped = load_scores(scores, course, progress.reach, whole=False)
    refused = [f"{path}: {UNCONFINED}" for path, score in found if not score.confined]
    tell([*skipped, *refused])
    return [Attempt(score, verified=True, path=str(path)) for path, score in found if score.confined]


def is_no_store(scores: Path) -> None:
    """Not every JSON file in a store is a score that counts: students handed some in. Raises UsageError."""
    if (scores / "records").is_dir():
        raise UsageError(
            f"{scores}: is the store of `grading collect`; give the gradebook that `grading ingest {scores}` makes of "
            f"it, or {scores / 'scores'}"
        )


def write(lines: Iterable[str], file: TextIO | None = None) -> None:
    """Each on a line of its own, to stdout if not elsewhere, whatever a student put in it."""
    from grading.report.words import inert

    for line in lines:
        print(inert(line), file=file)


def tell(lines: Iterable[str]) -> None:
    write(lines, sys.stderr)


def plain(value: object) -> object:
    """For JSON: an exact number as a number, a moment as ISO 8601."""
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
