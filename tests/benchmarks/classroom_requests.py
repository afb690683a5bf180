"""How many requests handing out and looking at a whole course take: 300 students and 7 homeworks, on the test server.

Requests are counted, and the counts are the same on every machine; a state that is not the expected one ends the run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from classroom_course import Classroom
from github_server import GitHubServer

from grading.github.classroom import status
from grading.github.store import Store

WRITES_PER_MINUTE = 60  # the course's default


@dataclass(slots=True, frozen=True)
class Measured:
    what: str
    methods: Counter[str]
    unchanged: int
    aim: str = ""

    @property
    def minutes(self) -> float:
        """That the pace of writes takes, which is what everything else waits for."""
        return (self.methods.total() - self.methods["GET"]) / WRITES_PER_MINUTE


def main() -> int:
    options = parse_options()
    students = [f"student-{number:03}" for number in range(options.students)]
    homeworks = [f"homework-{number}" for number in range(1, options.homeworks + 1)]
    with (
        tempfile.TemporaryDirectory(prefix="classroom-") as place,
        GitHubServer(Path(place) / "github", light=True) as github,
    ):
        for login in students:
            github.add_user(login)
        for name in homeworks:
            github.add_repository(f"{name}-starter", is_template=True, trees={".github": "1" * 40})
        github.limit = github.remaining = 10**6  # what is counted here would take GitHub more than an hour
        classroom = Classroom(
            Path(place) / "course", github.api, github.token, homeworks=homeworks, students=students
        )
        measured = measure(classroom, github, students, homeworks)
        Console(width=120).print(report(measured, options.students, options.homeworks))
        if github.drift:
            raise SystemExit(f"the server does not answer as GitHub does: {github.drift[0]}")
    return 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--students", type=int, default=300, metavar="N")
    parser.add_argument("--homeworks", type=int, default=7, metavar="N")
    return parser.parse_args()


def measure(
    classroom: Classroom, github: GitHubServer, students: list[str], homeworks: list[str]
) -> Iterator[Measured]:
    everyone, first, others = len(students), homeworks[0], homeworks[1:]
    places = [f"{homework}-{login}" for homework in homeworks for login in students]
    most = f"≤ {len(github.by_id) + len(places)} / 100 + 1"

    def counted(what: str, action: Callable[[], None], aim: str = "") -> Measured:
        before, unchanged = len(github.requests), classroom.api.client.unchanged
        action()
        methods = Counter(each.method for each in github.requests[before:])
        return Measured(what, methods, classroom.api.client.unchanged - unchanged, aim)

    def assigned(names: Sequence[str], **expected: int) -> Callable[[], None]:
        return lambda: expect(asdict(classroom.assign(*names)), expected)

    def looked_at(**expected: int) -> Callable[[], None]:
        def look() -> None:
            rows = status(classroom.api, classroom.course, homeworks, *classroom.people(), classroom.store)
            found = {
                "accepted": sum(row.accepted is True for row in rows),
                "pushed": sum(row.pushed_at is not None for row in rows),
            }
            expect(found, expected)

        return look

    yield counted("assign: the first homework", assigned([first], created=everyone))
    yield counted("assign: the others", assigned(others, created=everyone * len(others)))
    yield counted("assign: nothing new", assigned(homeworks, ready=len(places)), "0")
    yield counted("status: nobody has accepted", looked_at(accepted=0, pushed=0))
    for place in places:
        login = place[place.index("student") :]
        github.accept(place, login)
        github.push(place, trees={}, actor=login, at=github.now + timedelta(minutes=2))
    yield counted("status: everyone has pushed", looked_at(accepted=len(places), pushed=len(places)))
    yield counted("status: nothing new", looked_at(accepted=len(places), pushed=len(places)), most)
    github.push(places[0], trees={}, actor=students[0], at=github.now + timedelta(minutes=2))
    yield counted("status: one push", looked_at(accepted=len(places), pushed=len(places)), most)
    classroom.store = Store(classroom.directory / "empty")
    yield counted("assign: the store was lost", assigned(homeworks, taken_over=len(places)))


def expect(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if found | expected != found:
        raise SystemExit(f"{found} instead of {expected}")


def report(measured: Iterable[Measured], students: int, homeworks: int) -> Table:
    table = Table(title=f"Requests: {students} students, {homeworks} homeworks", title_justify="left")
    table.add_column("")
    for name in ("GET", "of them 304", "POST", "PUT", "in all", "aim", "minutes at 60 writes each"):
        table.add_column(name, justify="right")
    for one in measured:
        counts = [
            one.methods["GET"],
            one.unchanged,
            one.methods["POST"],
            one.methods["PUT"],
            one.methods.total(),
        ]
        table.add_row(one.what, *map(str, counts), one.aim, f"{one.minutes:.0f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
