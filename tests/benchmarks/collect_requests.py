"""How many requests collecting a whole course takes: 300 students and 7 homeworks, on the test server.

Requests are counted, and the counts are the same on every machine (seconds are not, and are shown for what they are);
a summary that is not the expected one ends the run.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from collecting import COURSE, DAY, DEADLINE, MINUTE, NOW, START, Classroom, released
from github_server import GitHubServer
from github_world import Repository

from grading.course import CourseHomework
from grading.github.api import GitHub
from grading.github.client import Client
from grading.github.store import Store

WHAT = {
    "repositories": r"^/orgs/[^/]+/repos",
    "activity": r"/activity",
    "runs": r"/actions/runs\?",
    "trees": r"/git/trees/",
    "jobs": r"/jobs",
    "artifacts": r"/artifacts\?",
    "zips": r"/zip$|^/storage/",
}
PUSHES_A_DAY = 10  # one repository in so many has a push


@dataclass(slots=True, frozen=True)
class Measured:
    what: str
    asked: Counter[str]
    unchanged: int
    seconds: float
    aim: str = ""


def main() -> int:
    options = parse_options()
    students = tuple(f"student-{number:03}" for number in range(options.students))
    homeworks = tuple(f"hw{number}" for number in range(1, options.homeworks + 1))
    with (
        tempfile.TemporaryDirectory(prefix="collect-") as place,
        GitHubServer(Path(place) / "github", light=True) as github,
    ):
        github.limit = github.remaining = 10**6  # what is counted here would take GitHub more than an hour
        entries = tuple(
            CourseHomework(name=name, weight=Fraction(1), deadline=DEADLINE) for name in homeworks
        )
        classroom = Classroom(
            github,
            Path(place) / "scores",
            people=students,
            course=COURSE.model_copy(update={"homeworks": entries}),
            releases=released(*homeworks),
            homeworks=homeworks,
        )
        classroom.api = GitHub(Client(github.token, base=github.api, cache=Path(place) / "cache"))
        Console(width=160).print(report(measure(classroom), options.students, options.homeworks))
        if github.drift:
            raise SystemExit(f"the server does not answer as GitHub does: {github.drift[0]}")
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--students", type=int, default=300, metavar="N")
    parser.add_argument("--homeworks", type=int, default=7, metavar="N")
    return parser.parse_args()


def measure(classroom: Classroom) -> Iterator[Measured]:
    github, client = classroom.server, classroom.api.client
    for name in ("bundle", *(f"{homework}-starter" for homework in classroom.homeworks)):
        classroom.repository(name)
    with classroom.store.writing():
        places = [
            classroom.assigned(name, login) for name in classroom.homeworks for login in classroom.people
        ]
    most = f"≤ {len(github.by_id) // 100 + 1}"

    def collected(what: str, aim: str = "", *, asked: int, verified: int) -> Measured:
        before, unchanged, began = len(github.requests), client.unchanged, time.perf_counter()
        summary = classroom.collect()
        found = (summary.asked, summary.verified, summary.unverified, summary.missing, summary.troubles)
        if found != (asked, verified, 0, 0, ()):
            raise SystemExit(f"{what}: {found} instead of {asked} asked about and {verified} verified")
        seconds = time.perf_counter() - began
        paths = [each.path for each in github.requests[before:]]
        return Measured(what, counted(paths), client.unchanged - unchanged, seconds, aim)

    def push(to: Sequence[Repository], day: int) -> int:
        for place in to:
            classroom.attempt(place, START + day * DAY + MINUTE, 50 + day, actor=place.name.partition("-")[2])
        return len(to)

    everyone = len(places)
    yield collected("nobody has pushed", asked=everyone, verified=0)
    yield collected("nothing new", most, asked=0, verified=0)
    pushed = push(places, 1)
    yield collected("everyone has pushed once", asked=everyone, verified=pushed)
    yield collected("nothing new", most, asked=0, verified=pushed)
    some = places[::PUSHES_A_DAY]
    pushed += push(some, 2)
    yield collected("one in ten has pushed", asked=len(some), verified=pushed)
    yield collected("nothing new", most, asked=0, verified=pushed)
    again = Store(classroom.directory.with_name("empty"), clock=lambda: NOW)
    with again.writing():
        for known in classroom.store.repositories():
            again.know(known)
    classroom.store = again
    yield collected("the evidence was lost", asked=everyone, verified=pushed)


def counted(paths: Iterable[str]) -> Counter[str]:
    return Counter(
        next((name for name, pattern in WHAT.items() if re.search(pattern, path)), path) for path in paths
    )


def report(measured: Iterable[Measured], students: int, homeworks: int) -> Table:
    title = f"Requests of collect: {students} students, {homeworks} homeworks"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in (*WHAT, "in all", "aim", "of them 304", "seconds here"):
        table.add_column(name, justify="right")
    for one in measured:
        unknown = one.asked.keys() - WHAT.keys()
        if unknown:
            raise SystemExit(f"{one.what}: nobody expected {min(unknown)}")
        counts = [*(one.asked[name] for name in WHAT), one.asked.total()]
        table.add_row(one.what, *map(str, counts), one.aim, str(one.unchanged), f"{one.seconds:.1f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
