"""A small course on disk and what its owner does with it on GitHub; light, since killed processes begin with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grading.course import Course, load_course
from grading.github.api import GitHub
from grading.github.classroom import Row, Summary, assign, status
from grading.github.client import Client
from grading.github.store import Store
from grading.roster import Roster, read_roster
from grading.teams import Teams, read_teams

if TYPE_CHECKING:
    from github_server import GitHubServer


STUDENTS = ("ada", "grace", "Barbara", "frances")
COURSE = """\
name: Deep Learning
timezone: UTC
salt: salt
github: {organisation: dl-course%s}
homeworks: [%s]
"""


class Classroom:
    """A course on disk, the store of what was done, and GitHub at `base` as its owner asks it."""

    def __init__(
        self,
        directory: Path,
        base: str,
        token: str,
        *,
        homeworks: Sequence[str] = ("cnn", "nlp"),
        students: Sequence[str] = STUDENTS,
    ) -> None:
        self.directory, self.base = directory, base
        self.told: list[str] = []
        self.homeworks = homeworks
        for name in homeworks:
            (directory / name).mkdir(parents=True, exist_ok=True)
            (directory / name / "homework.yml").touch()
        self.settings("")
        self.roster("\n".join(("username", *students)))
        self.store = Store(directory / "scores")
        self.api = self.asking(token)

    def settings(self, more: str) -> None:
        homeworks = ", ".join(f"{{name: {name}, weight: 1}}" for name in self.homeworks)
        (self.directory / "course.yml").write_text(COURSE % (f", {more}" if more else "", homeworks))

    def roster(self, text: str) -> None:
        (self.directory / "roster.csv").write_text(text)

    def teams(self, text: str) -> None:
        (self.directory / "teams.yml").write_text(text)

    def asking(self, token: str) -> GitHub:
        cache = self.directory / "cache"
        return GitHub(
            Client(token, base=self.base, cache=cache, writes_per_minute=10**6, tell=self.told.append)
        )

    @property
    def course(self) -> Course:
        return load_course(self.directory / "course.yml")

    def people(self) -> tuple[Roster, Teams]:
        roster = read_roster(self.directory / "roster.csv")
        return roster, read_teams(self.directory / "teams.yml", roster, self.course)

    def assign(self, *homeworks: str, **options: Any) -> Summary:
        options = {"tell": self.told.append, **options}
        return assign(self.api, self.course, homeworks or ("cnn",), *self.people(), self.store, **options)

    def status(self, *homeworks: str) -> dict[str, Row]:
        rows = status(self.api, self.course, homeworks or ("cnn",), *self.people(), self.store)
        return {row.holder.name: row for row in rows}


def hand_out(directory: Path, base: str, token: str) -> None:
    """What a process does that may be killed."""
    sys.exit(Classroom(directory, base, token).assign("cnn", "nlp").exit_code)


def requests_of(github: GitHubServer, action: Callable[[], object]) -> list[str]:
    before = len(github.requests)
    action()
    return [f"{each.method} {each.path}" for each in github.requests[before:]]
