"""Who works with whom: `teams.yml`, and from it and the roster who holds a repository for a homework.

Reads and checks; a student is in one team at most for a homework, and a team has one repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from grading.configuration import Problem, did_you_mean, read_configuration
from grading.course import Course
from grading.roster import STUDENT, Roster
from grading.strict import Configuration

TeamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,38}$")]


class _Team(Configuration):
    name: TeamName
    members: tuple[str, ...] = Field(min_length=1)
    homeworks: tuple[str, ...] | None = None
    """All without it; none for a team that only has something entered by hand."""


class _TeamsFile(Configuration):
    teams: tuple[_Team, ...]


@dataclass(slots=True, frozen=True)
class Team:
    """`members` are logins as the roster writes them; `homeworks` those of the course it holds for."""

    name: str
    members: tuple[str, ...]
    homeworks: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Holder:
    """Whose one repository it is: a team by its name, or a single student by the login."""

    name: str
    members: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Teams:
    teams: tuple[Team, ...] = ()

    def of(self, login: str, homework: str) -> Team | None:
        wanted = login.casefold()
        for team in self.teams:
            if homework in team.homeworks and wanted in (member.casefold() for member in team.members):
                return team
        return None

    def repositories(self, course: Course, roster: Roster, homework: str) -> list[Holder]:
        """One for each team and each student without one, in the roster's order. Raises UsageError."""
        name = course.homework(homework).name
        of_member = {
            member.casefold(): team
            for team in self.teams
            if name in team.homeworks
            for member in team.members
        }
        holders: dict[str, Holder] = {}
        for student in roster.students:
            team = of_member.get(student.username.casefold())
            holder = (
                Holder(team.name, team.members) if team else Holder(student.username, (student.username,))
            )
            holders.setdefault(holder.name.casefold(), holder)
        return list(holders.values())


def read_teams(path: Path, roster: Roster, course: Course) -> Teams:
    """Read `teams.yml`; without the file, everyone works alone. Raises UsageError with file and line."""
    if not path.exists():
        return Teams()
    known = tuple(homework.name for homework in course.homeworks)
    file = read_configuration(path, _TeamsFile, lambda file: _problems(file, roster, known))
    logins = {person.username.casefold(): person.username for person in roster.everyone}
    return Teams(
        tuple(
            Team(
                team.name,
                tuple(logins[member.casefold()] for member in team.members),
                known if team.homeworks is None else team.homeworks,
            )
            for team in file.teams
        )
    )


def _problems(file: _TeamsFile, roster: Roster, known: tuple[str, ...]) -> Iterator[Problem]:
    names: set[str] = set()
    team_of: dict[tuple[str, str], str] = {}
    for i, team in enumerate(file.teams):
        here = ("teams", i)
        if team.name.casefold() in names:
            yield (*here, "name"), f'a second team "{team.name}"; give it another name'
        names.add(team.name.casefold())
        members = [member.casefold() for member in team.members]
        if roster.by_login(team.name) and team.name.casefold() not in members:
            yield (
                (*here, "name"),
                f'"{team.name}" is a student\'s login, and a repository has one owner; give the team another name',
            )
        for j, homework in enumerate(team.homeworks or ()):
            if homework not in known:
                yield (*here, "homeworks", j), f'no homework "{homework}"; {did_you_mean(homework, known)}'
        for j, member in enumerate(team.members):
            where = (*here, "members", j)
            person = roster.by_login(member)
            if person is None:
                everyone = [someone.username for someone in roster.students]
                yield where, f'"{member}" is not in {roster.path}; {_near(member, everyone)}'
                continue
            if person.role != STUDENT:
                yield where, f'"{member}" is {person.role} in {roster.path}, no student; take them out'
            if members[j] in members[:j]:
                yield where, f'"{member}" stands here a second time; remove one'
                continue
            for homework in dict.fromkeys(known if team.homeworks is None else team.homeworks):
                other = team_of.setdefault((members[j], homework), team.name)
                if other != team.name:
                    yield (
                        where,
                        f'"{member}" is in the team {other} for {homework} already; take them out of one',
                    )
                    break


def _near(login: str, everyone: list[str]) -> str:
    """A near login, but not the list of a whole class."""
    hint = did_you_mean(login, everyone)
    return hint if hint.startswith("did") else "check the spelling"
