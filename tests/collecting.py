"""A small course on the test server, and what its students' repositories look like to `collect`.

Repositories are light: their commits are names, and their trees stand in a table. Also what a killed collect runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import killing

from grading.course import Course, CourseHomework, OnGitHub
from grading.github.api import GitHub
from grading.github.client import Client
from grading.github.collect import Summary, collect
from grading.github.store import KnownRepository, Record, Store
from grading.late import PerDay
from grading.release import BundleRelease, Releases, TemplateRelease
from grading.roster import Person, Roster
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score
from grading.teams import Team, Teams

if TYPE_CHECKING:  # a killed collect needs no server of its own
    from github_server import GitHubServer
    from github_world import Repository, Run

START = datetime(2026, 9, 14, 8, tzinfo=UTC)
DEADLINE = datetime(2026, 10, 4, 22, tzinfo=UTC)
NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
RELEASED = "a1" * 20
"""The tree of `.github` that students were given."""
EDITED = "e0" * 20
BUNDLE = "b2" * 20
TESTS = "7e" * 32
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

COURSE = Course(
    name="Deep Learning",
    timezone="Europe/Berlin",
    salt="salt",
    late=PerDay(),
    github=OnGitHub(organisation="dl-course"),
    homeworks=(
        CourseHomework(name="cnn", weight=Fraction(1), deadline=DEADLINE),
        CourseHomework(name="nlp", weight=Fraction(1), deadline=None),
    ),
    path=Path("homeworks/course.yml"),
)


def released(*homeworks: str) -> Releases:
    bundle = BundleRelease(
        at=START, commit=BUNDLE, homeworks=homeworks, tests=dict.fromkeys(homeworks, TESTS)
    )
    how = {"at": START, "github_tree": RELEASED, "bundle_commit": BUNDLE, "commit": "c" * 40}
    return Releases((bundle, *(TemplateRelease(homework=name, **how) for name in homeworks)))


RELEASES = released("cnn", "nlp")


def score(points: int = 80, homework: str = "cnn", **changes: Any) -> Score:
    """What a run writes: the time and the student are its own ideas."""
    tests = [Outcome("test_one", "passed", points), Outcome("test_two", "failed", 100 - points)]
    fields: dict[str, Any] = {
        "homework": homework,
        "tasks": [TaskOutcome("conv", 100, tests)],
        "policy": PerDay(),
        "timezone": COURSE.zone,
        "submitted_at": START,
        "time_source": "push",
        "provisional": True,
        "deadline": DEADLINE,
        "student": "somebody",
        "confined": True,
        "digests": Digests(submission="5b" * 32, tests=TESTS, environment="3e" * 32),
    }
    return build_score(**fields | changes)


def packed(points: int = 80, homework: str = "cnn", **changes: Any) -> dict[str, dict[str, str]]:
    """The artifact of a run, as the server takes it."""
    return {f"score-{homework}": {"score.json": score(points, homework, **changes).model_dump_json()}}


@dataclass
class Classroom:
    """A course, its organisation, and one store."""

    server: GitHubServer
    directory: Path
    people: tuple[str, ...] = ("ada", "grace")
    course: Course = COURSE
    releases: Releases = RELEASES
    teams: Teams = field(default_factory=Teams)
    told: list[str] = field(default_factory=list)
    homeworks: tuple[str, ...] = ("cnn", "nlp")
    now: datetime = NOW

    def __post_init__(self) -> None:
        for login in self.people:
            if login not in self.server.users:
                self.server.add_user(login)
        self.roster = Roster(
            Path("roster.csv"),
            tuple(Person(login, github_id=self.server.users[login].id) for login in self.people),
        )
        self.store = Store(self.directory, clock=lambda: self.now)
        self.api = GitHub(Client(self.server.token, base=self.server.api))

    # What happens on GitHub

    def repository(self, name: str = "cnn-ada", *, at: datetime = START, trees: Any = None) -> Repository:
        """A copy of the template, which nobody noted in the store."""
        return self.server.add_repository(
            name, at=at, light=True, trees={".github": RELEASED} if trees is None else trees
        )

    def assigned(self, homework: str = "cnn", student: str = "ada", **more: Any) -> Repository:
        """The same, noted as `assign` does."""
        made = self.repository(f"{homework}-{student}", **more)
        person = self.roster.by_login(student)
        self.store.know(
            KnownRepository(
                at=START,
                repository_id=made.id,
                name=made.full_name,
                homework=homework,
                student=student,
                event="assigned",
                github_id=None if person is None else person.github_id,
            )
        )
        return made

    def push(
        self, repository: Repository, at: datetime, *, tree: str = RELEASED, actor: str = "ada", **how: Any
    ) -> str:
        trees = how.pop("trees", {".github": tree})
        return self.server.push(repository, actor=actor, at=at, trees=trees, **how)

    def run(self, repository: Repository, commit: str, at: datetime, points: int = 80, **how: Any) -> Run:
        """A run of the released workflow, which took two minutes."""
        homework = repository.name.partition("-")[0].lower()
        how.setdefault("artifacts", packed(points, homework))
        how.setdefault("bundle", BUNDLE)
        return self.server.run(repository, commit, at=at, finished=at + 2 * MINUTE, **how)

    def attempt(
        self, repository: Repository, at: datetime, points: int = 80, actor: str = "ada", **how: Any
    ) -> str:
        """A push that was graded as it should be."""
        commit = self.push(repository, at, actor=actor)
        self.run(repository, commit, at + MINUTE, points, **how)
        return commit

    # What we do

    def collect(self, **how: Any) -> Summary:
        return collect(
            self.api,
            self.course,
            self.roster,
            self.teams,
            self.releases,
            self.store,
            self.homeworks,
            tell=self.told.append,
            **how,
        )

    def records(self) -> list[Record]:
        """In the order of their pushes."""
        return sorted(self.store.records(), key=lambda record: (record.pushed_at, record.commit))

    def record(self) -> Record:
        (only,) = self.records()
        return only

    def files(self) -> dict[str, bytes]:
        return files_in(self.directory)


def files_in(directory: Path) -> dict[str, bytes]:
    """All that is kept, and how; the lock is nobody's evidence."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def team(name: str, members: tuple[str, ...], homeworks: tuple[str, ...] = ("cnn",)) -> Teams:
    return Teams((Team(name, members, homeworks),))


# A collect that is killed

TOUCHES = {
    "write",
    "fsync",
    "truncate",
    "replace",
    "open",
    "mkdir",
    "unlink",
    "flock",
    "close",
    "sendall",
    "recv",
    "stat",
}
"""What it does to the world outside of its process; between two of these nobody could tell the difference."""


def collect_and_count(
    api: str, token: str, directory: Path, people: Mapping[str, int], kill_at: int | None, counted: Any = None
) -> None:
    """Collect in a process of its own, ended by SIGKILL before its touch number `kill_at`."""
    roster = Roster(
        Path("roster.csv"), tuple(Person(login, github_id=number) for login, number in people.items())
    )
    store = Store(directory, clock=lambda: NOW)
    client = Client(token, base=api)
    command = partial(collect, GitHub(client), COURSE, roster, Teams(), RELEASES, store, ("cnn", "nlp"))
    touches = killing.counted(command, {}, TOUCHES, kill_at)
    if counted is not None:
        counted.value = touches
