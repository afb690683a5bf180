"""The command that makes the dashboard. Imports what it uses, when it is used."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.errors import UsageError
from grading.gradebook.commands import ScoresArgument, read_attempts, tell
from grading.options import HOMEWORKS, HomeworksOption, RosterOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grading.course import Course
    from grading.gradebook.attempts import Attempt
    from grading.report.site import Titles
    from grading.report.standing import Standing


def add_commands(app: typer.Typer) -> None:
    app.command("report")(report_command)


def report_command(
    scores: ScoresArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the pages go; made where it is not there.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    roster: RosterOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Make a dashboard of the course: pages to open in a browser.

    One page for the course, one a homework, one a student. They need no server and no network; they hold everyone's
    grades, so keep them where you keep the gradebook. A later run replaces them.
    """
    from grading.report.terminal import bar

    try:
        from grading.report.site import INDEX, count, write_site
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the dashboard needs {error.name}, which is not installed; pip install 'grading[pages]'"
        ) from error
    standing = read_standing(scores, homeworks, roster, now=datetime.now(UTC))
    with bar("pages") as progress:
        written = write_site(out, standing, titles_of(standing.course), progress=progress.reach)
    tell([f"{login}: has scores, and is not on the roster" for login in standing.unknown])
    if as_json:
        told = {
            "index": str(out / INDEX),
            "students": len(standing.students),
            "homeworks": len(standing.homeworks),
            "files": len(written.files),
            "removed": list(written.removed),
        }
        print(json.dumps(told, indent=2))
        return
    print(f"{out / INDEX}: {count(standing.students, 'student')}, {count(standing.homeworks, 'homework')}")


def read_standing(scores: Path, homeworks: Path, roster: Path | None, *, now: datetime) -> Standing:
    """Where the course stands, from a gradebook or a directory of score files, which may have none yet."""
    from grading.gradebook import database
    from grading.gradebook.terms import read_terms
    from grading.report.standing import Mark, standing
    from grading.report.terminal import bar, waiting

    terms = read_terms(homeworks, roster)
    attempts = [] if nothing_yet(scores) else read_attempts(scores, terms.course)
    marks = {}
    if scores.is_file():
        marks = {path: Mark(*mark) for path, mark in database.marked(scores).items()}
    with waiting("computing grades"):
        table = terms.grades(attempts)

    def whole(heads: Sequence[Attempt]) -> list[Attempt]:
        return database.with_tasks(scores, heads) if scores.is_file() else from_files(heads)

    with bar("homeworks") as progress:
        return standing(
            terms.course,
            table,
            terms.teams,
            attempts,
            now=now,
            marks=marks,
            whole=whole,
            progress=progress.reach,
        )


def nothing_yet(scores: Path) -> bool:
    """A directory without any score file: the course has begun, and nobody has handed in."""
    return scores.is_dir() and next(scores.rglob("*.json"), None) is None


def from_files(heads: Sequence[Attempt]) -> list[Attempt]:
    from grading.score_file import load_score

    return [replace(head, score=load_score(Path(head.path))) for head in heads]


def titles_of(course: Course) -> Titles:
    """A homework that cannot be read yet, since somebody still writes it, has names for titles."""
    from grading.report.site import Titles

    homeworks: dict[str, str] = {}
    tasks: dict[tuple[str, str], str] = {}
    for entry in course.homeworks:
        try:
            homework = course.load_homework(entry.name)
        except UsageError as error:
            tell([f"{error}; its page goes without titles"])
            continue
        homeworks[entry.name] = homework.title
        tasks |= {(entry.name, task.id): task.title for task in homework.tasks}
    return Titles(homeworks, tasks)
