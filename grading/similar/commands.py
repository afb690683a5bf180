"""`grading similar`: whose notebooks are compared, and where the report goes. What is similar stands in `compare`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.errors import NotebookError, UsageError
from grading.options import HOMEWORKS, HomeworksOption, RosterOption

if TYPE_CHECKING:
    from grading.course import Course
    from grading.homework import Homework
    from grading.similar.compare import Compared, Work
    from grading.similar.pages import Row
    from grading.submissions import Stored
    from grading.teams import Teams


def add_commands(app: typer.Typer) -> None:
    app.command("similar")(similar_command)


def similar_command(
    name: Annotated[str, typer.Argument(metavar="HOMEWORK", help="The homework that they are of.")],
    submissions: Annotated[
        Path, typer.Option("--submissions", metavar="DIR", help="This year's notebooks, or a store.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the report goes; it names students.")
    ],
    past: Annotated[
        list[Path] | None,
        typer.Option("--past", metavar="DIR", help="An earlier year's; more than once for several."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option("--scores", metavar="SCORES", help="Compare the attempts that count, not the latest."),
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many pairs get a page.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    roster: RosterOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Find notebooks with code in common, for a person to look at.

    Compares all students with each other and with earlier years, without what the starter gave them. A pair is a place
    to look, never a verdict.
    """
    from grading.course import load_course
    from grading.report.terminal import bar
    from grading.report.words import inert
    from grading.similar.compare import compare
    from grading.similar.pages import INDEX, write_report
    from grading.submissions import stored

    course = load_course(homeworks / "course.yml")
    homework = course.load_homework(name)
    teams = teams_of(course, homeworks, roster)
    counting = commits_that_count(scores, homeworks, roster, name) if scores is not None else {}
    chosen = [("", one) for one in one_each(stored(submissions, homework), counting)]
    for directory in past or []:
        chosen += [(directory.resolve().name, one) for one in one_each(stored(directory, homework), {})]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be made ({error.strerror}); give another directory") from None

    with bar("reading", len(chosen)) as progress:
        works, left_out = read(chosen, homework, teams, progress.step)
    compared = compare(works, top)
    with bar("writing") as progress:
        rows = write_report(out, homework.title, compared, left_out, progress.reach)
    for student, why in left_out.items():
        print(inert(f"{student}: {why}; not compared"), file=sys.stderr)
    if as_json:
        print(json.dumps(in_json(homework, compared, rows, left_out), indent=2))
    else:
        show(compared, rows)
        print(f"Side by side: {out / INDEX}")


def teams_of(course: Course, homeworks: Path, roster: Path | None) -> Teams:
    """Who works together; without teams.yml nobody, and no roster is needed."""
    from grading.roster import read_roster
    from grading.teams import Teams, read_teams

    path = homeworks / "teams.yml"
    return (
        read_teams(path, read_roster(roster or homeworks / "roster.csv"), course)
        if path.exists()
        else Teams()
    )


def people_of(student: str, teams: Teams, homework: str) -> tuple[str, ...]:
    """All who may have written what is handed in by a student, or under a team's name."""
    for team in teams.teams:
        everyone = (team.name, *team.members)
        if homework in team.homeworks and student.casefold() in map(str.casefold, everyone):
            return everyone
    return (student,)


def commits_that_count(scores: Path, homeworks: Path, roster: Path | None, homework: str) -> dict[str, str]:
    """By login in lower case, or by team."""
    from grading.gradebook.commands import grade_table

    table, _, teams = grade_table(scores, homeworks, roster)
    found = {}
    for student in table.students:
        for grade in student.homeworks:
            if grade.homework == homework and grade.commit is not None:
                for holder in people_of(student.person.username, teams, homework):
                    found[holder.casefold()] = grade.commit
    return found


def one_each(found: Iterable[Stored], counting: Mapping[str, str]) -> list[Stored]:
    """Of each student the submission that counts, where that is known and kept, else the latest file."""
    of_student: dict[str, list[Stored]] = defaultdict(list)
    for one in found:
        of_student[one.student.casefold()].append(one)
    chosen = []
    for login, kept in of_student.items():
        counts = [one for one in kept if one.commit is not None and one.commit == counting.get(login)]
        chosen.append(max(counts or kept, key=lambda one: (one.path.stat().st_mtime_ns, str(one.path))))
    return chosen


def read(
    chosen: Iterable[tuple[str, Stored]], homework: Homework, teams: Teams, step: Callable[[], None]
) -> tuple[list[Work], dict[str, str]]:
    """The works of those whose notebooks can be read, and of the others what is wrong with theirs."""
    from grading.grade import read_starter
    from grading.notebook import read_notebook
    from grading.similar.compare import Starter

    starter = Starter(read_starter(homework))
    works, left_out = [], {}
    for origin, one in chosen:
        people = () if origin else people_of(one.student, teams, homework.name)
        who = f"{one.student} ({origin})" if origin else one.student
        try:
            work = starter.work(one.student, read_notebook(one.path), people, origin)
        except (NotebookError, UsageError) as error:
            left_out[who] = str(error)
        else:
            if work.prints:
                works.append(work)
            else:
                left_out[who] = "nothing but the starter's code"
        step()
    return works, left_out


def show(compared: Compared, rows: list[Row]) -> None:
    from grading.report.words import inert
    from grading.similar.compare import LOOK

    close = sum(score >= LOOK for score in compared.scores)
    print(
        f"{counted(len(compared.works), 'notebook')}, {counted(len(compared.scores), 'pair')}, "
        f"{close} with {LOOK:.0%} or more in common: places to look, no verdicts"
    )
    for row in rows[:10]:
        names = " and ".join(
            f"{work.student} ({work.origin})" if work.origin else work.student
            for work in (row.pair.left, row.pair.right)
        )
        print(inert(f"{row.pair.score:>5.0%}  {names}"))


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def in_json(
    homework: Homework, compared: Compared, rows: list[Row], left_out: Mapping[str, str]
) -> dict[str, object]:
    from grading.similar.compare import LOOK
    from grading.similar.pages import bins, levels

    return {
        "homework": homework.name,
        "notebooks": sum(not work.origin for work in compared.works),
        "earlier": sum(bool(work.origin) for work in compared.works),
        "pairs": len(compared.scores),
        "look_from": LOOK,
        "at_most": levels(compared),
        "histogram": [{"from": low, "to": high, "pairs": count} for low, high, count, _ in bins(compared)],
        "not_compared": dict(left_out),
        "most": [
            {
                "left": {"student": row.pair.left.student, "from": row.pair.left.origin or None},
                "right": {"student": row.pair.right.student, "from": row.pair.right.origin or None},
                "score": row.pair.score,
                "of_left": row.pair.of_left,
                "of_right": row.pair.of_right,
                "page": row.page,
            }
            for row in rows
        ],
    }
