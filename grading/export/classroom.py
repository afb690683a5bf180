"""The grades file that GitHub Classroom let one download, for the scripts that courses still read it with.

As there: every cell is quoted, one row a student and homework, moments as `2026-10-04 21:59:00 UTC`, 0 points and no
moment for what was never handed in. Unlike there, points may have decimals; whole ones are written without.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from fractions import Fraction
from urllib.parse import quote

from grading.course import OnGitHub
from grading.export.cells import Exported, encode, neutralised
from grading.export.people import unknown, who
from grading.gradebook.table import GradeTable, HomeworkGrade
from grading.roster import Person
from grading.teams import Teams
from grading.total import two_decimals

COLUMNS = (
    *("assignment_name", "assignment_url", "starter_code_url", "github_username", "roster_identifier"),
    *("student_repository_name", "student_repository_url", "submission_timestamp"),
    *("points_awarded", "points_available"),
)


def grades_csv(
    table: GradeTable,
    *,
    homeworks: Sequence[str] | None = None,
    github: OnGitHub | None = None,
    teams: Teams | None = None,
    raw: bool = False,
    server: str = "https://github.com",
) -> Exported:
    """Rows of the homeworks in turn (of all, unless some are named; Classroom made a file of each).

    `points_awarded` are what counts, or with `raw` those before lateness and reviews, which Classroom knew nothing
    of: for a script that takes the lateness off itself. An address is written where `github`, or the attempt that
    counts, says it; Classroom's own page is gone. The column `group_name` is there where a homework has a team.
    Notes: who has no points because nobody can tell or because they are excused.
    """
    chosen = table.homeworks if homeworks is None else homeworks
    teams = teams or Teams()
    grouped = any(homework in team.homeworks for team in teams.teams for homework in chosen)
    rows = [(*COLUMNS, "group_name") if grouped else COLUMNS]
    notes: list[str] = []
    for homework in chosen:
        starter = github and f"{server}/{github.organisation}/{github.template.format(homework=homework)}"
        for student in table.students:
            person = student.person
            team = teams.of(person.username, homework)
            grade = next(found for found in student.homeworks if found.homework == homework)
            points = _points(grade, raw)
            if points is None:
                why = "excused" if grade.state == "excused" else "not graded, and our fault"
                notes.append(f"{who(person)}: {homework}: {why}; the points are empty")
            name, address = _repository(grade, team.name if team else person.username, github, server)
            cells = (
                *(neutralised(homework), "", neutralised(starter or "")),
                *(neutralised(person.username), neutralised(_identifier(person)), neutralised(name)),
                *(neutralised(address), _moment(grade)),
                *("" if points is None else _number(points), _number(grade.max_points)),
            )
            rows.append((*cells, neutralised(team.name) if team else "") if grouped else cells)
    return Exported(encode(rows, quote_all=True), (*notes, *unknown(table)))


def _points(grade: HomeworkGrade, raw: bool) -> Fraction | None:
    if grade.state == "missing":
        return Fraction(0)
    return grade.raw if raw else grade.points


def _repository(grade: HomeworkGrade, holder: str, github: OnGitHub | None, server: str) -> tuple[str, str]:
    """Name and address, both empty where nobody knows them."""
    place = grade.repository
    if place is None and github is not None:
        name = github.repository.format(homework=grade.homework, student=holder)
        place = f"{github.organisation}/{name}"
    if not place:
        return "", ""
    return place.rpartition("/")[2], f"{server}/{quote(place)}" if "/" in place else ""


def _identifier(person: Person) -> str:
    return person.identifier or person.email


def _moment(grade: HomeworkGrade) -> str:
    if grade.state == "missing" or grade.submitted_at is None:
        return ""
    return f"{grade.submitted_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _number(value: Fraction) -> str:
    """Whole points as Classroom wrote them: readers may take nothing else for a number."""
    return two_decimals(value).removesuffix(".00")
