"""What several commands ask for on the command line. Importing it loads nothing that only one command uses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.errors import UsageError

if TYPE_CHECKING:
    from grading.course import Course
    from grading.homework import Homework
    from grading.roster import Roster
    from grading.teams import Teams

HOMEWORKS = Path(__file__).resolve().parent.parent / "homeworks"

HomeworksOption = Annotated[
    Path, typer.Option("--homeworks", metavar="DIR", help="The directory with course.yml.")
]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", "-j", metavar="N", help="Submissions at a time; one a processor by default."),
]
RosterOption = Annotated[
    Path | None, typer.Option("--roster", metavar="FILE", help="The roster; beside course.yml by default.")
]
UnconfinedOption = Annotated[
    bool,
    typer.Option(
        "--unconfined", help="Without a sandbox, for authors; such scores are marked and do not count."
    ),
]


def number_of_jobs(jobs: int | None) -> int:
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: how many submissions at a time; give 1 or more")
    return jobs or len(os.sched_getaffinity(0))


def load_homework_named(course: Course, name: str) -> Homework:
    if not name:
        known = ", ".join(entry.name for entry in course.homeworks)
        raise UsageError(f"--homework: which one? there is: {known}")
    return course.load_homework(name)


def course_and_people(homeworks: Path, roster: Path | None) -> tuple[Course, Roster, Teams]:
    from grading.course import load_course
    from grading.roster import read_roster
    from grading.teams import read_teams

    course = load_course(homeworks / "course.yml")
    people = read_roster(roster or homeworks / "roster.csv")
    return course, people, read_teams(homeworks / "teams.yml", people, course)
