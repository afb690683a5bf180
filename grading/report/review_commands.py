"""The command that lays a class out to be gone through. Imports what it uses, when it is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.errors import UsageError
from grading.gradebook.commands import ScoresArgument, read_attempts, tell
from grading.options import HOMEWORKS, HomeworksOption, RosterOption

if TYPE_CHECKING:
    from grading.course import Course
    from grading.gradebook.attempts import Attempt
    from grading.report.standing import Mark

ONLY = ("all", "counting", "latest")


def add_commands(app: typer.Typer) -> None:
    app.command("review")(review_command)


def review_command(
    homework: Annotated[str, typer.Argument(metavar="HOMEWORK", help="Which homework.")],
    scores: ScoresArgument,
    submissions: Annotated[
        Path,
        typer.Option("--submissions", metavar="DIR", help="Students' notebooks, or a store that has them."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the pages go; made where it is not there.")
    ],
    only: Annotated[
        str, typer.Option("--only", metavar="WHICH", help="Of each student: counting, latest or all.")
    ] = "counting",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    roster: RosterOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Make pages to read a class by: notebooks beside verdicts.

    They need no server and no network, run nothing of a student's, and print the reviews that are written on them as
    YAML for reviews.yml. They hold students' work: keep them where you keep the gradebook. A later run replaces them.
    """
    from grading.gradebook.terms import read_terms
    from grading.report.handed_in import handed_in, nothing_from
    from grading.report.review import INDEX, Review
    from grading.report.terminal import bar, waiting
    from grading.submissions import stored

    match only:
        case "all" | "counting" | "latest":
            pass
        case _:
            raise UsageError(f"--only {only}: there is {', '.join(ONLY)}")
    terms = read_terms(homeworks, roster)
    described = terms.course.load_homework(homework)
    notebooks = stored(submissions, described)
    attempts, marks = read_whole(scores, terms.course, homework)
    with waiting("computing grades"):
        table = terms.grades(attempts)
    with bar("notebooks") as progress:
        found = handed_in(
            described,
            terms.course,
            terms.roster,
            terms.teams,
            table,
            attempts,
            notebooks,
            only,
            marks,
            progress.reach,
        )
    nothing = nothing_from(found, table)
    review = Review(terms.course, described, terms.rules, found, nothing, only)
    with bar("pages") as progress:
        review.write(out, progress.reach)
    tell([f"{one.who.name}: is not on the roster" for one in found if not one.who.people])
    if as_json:
        told = {
            "index": str(out / INDEX),
            "pages": [{"file": one.file, "who": one.who.name} for one in found],
            "nothing": [person.username for person in nothing],
        }
        print(json.dumps(told, indent=2))
        return
    print(f"{out / INDEX}: {len(found)} submissions, {len(nothing)} students without any")


def read_whole(scores: Path, course: Course, homework: str) -> tuple[list[Attempt], dict[str, Mark]]:
    """The attempts at a homework with their tasks, of which there may be none yet, and by path what is odd of them."""
    from grading.gradebook import database
    from grading.report.site_commands import from_files, nothing_yet
    from grading.report.standing import Mark

    if scores.is_file():
        marks = {path: Mark(*mark) for path, mark in database.marked(scores).items()}
        return database.attempts(scores, homework=homework, whole=True), marks
    heads = [] if nothing_yet(scores) else read_attempts(scores, course)
    return from_files([head for head in heads if head.score.homework == homework]), {}
