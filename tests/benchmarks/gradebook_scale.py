"""How a gradebook grows: 1,000 students, 7 homeworks and 20 attempts at each are 140,000 score files.

Nothing is asserted of seconds, which belong to the machine; a command that fails, or a count that is not the expected
one, ends the run. The files are written to memory (/dev/shm) where there is such a place, and removed at the end.

    python -P tests/benchmarks/gradebook_scale.py [--parts 10,3,1] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from grading.late import PerDay
from grading.score import Digests, Outcome, TaskOutcome, build_score

STUDENTS, ATTEMPTS = 1000, 20
HOMEWORKS = tuple(f"hw{number}" for number in range(1, 8))
DEADLINE = datetime(2026, 10, 4, 22, tzinfo=UTC)
TASKS, TESTS = 3, 5
SETTLED = 2.1  # seconds; a file that was written just before it is read is read once more
COURSE = """\
name: A large course
timezone: Europe/Berlin
salt: nobody-guesses-this-salt
homeworks:
"""


@dataclass(frozen=True)
class Measured:
    """One command with so many score files, in a process of its own."""

    files: int
    what: str
    seconds: float
    processor: float
    mebibytes: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default="10,3,1", metavar="N,…", help="one in N students; 1 is everybody")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="of all but the cold ingest")
    options = parser.parse_args()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    found: list[Measured] = []
    for part in map(int, options.parts.split(",")):
        with tempfile.TemporaryDirectory(prefix="gradebook-", dir=memory) as place:
            found += measure(Path(place), STUDENTS // part, options.rounds)
    Console(width=120).print(shown(found))
    return 0


def measure(place: Path, students: int, rounds: int) -> Iterator[Measured]:
    files = write_course(place, students)
    time.sleep(SETTLED)
    database = "gradebook.db"
    ingest = ("ingest", "scores", "--database", database, "--json")
    where = ("--homeworks", "homeworks")
    commands: dict[str, tuple[str, ...]] = {
        "ingest, nothing new": ingest,
        "export, wide": ("export", database, "--format", "wide", "--out", "grades.csv", *where),
        "what-if, another deadline": ("what-if", database, "--deadline", "hw1=2026-10-04T12:00:00Z", *where),
        "grades of one student": ("grades", database, "--student", name_of(students - 1), *where),
    }
    said, *cost = alone(place, ingest)
    expect(json.loads(said), files=files, new=files, unchanged=0, refused=[])
    yield Measured(files, "ingest, cold", *cost)
    for what, command in commands.items():
        runs = [alone(place, command) for _ in range(rounds)]
        if command is ingest:
            expect(json.loads(runs[0][0]), files=files, new=0, unchanged=files, refused=[])
        _, *costs = zip(*runs, strict=True)
        yield Measured(files, what, *map(median, costs))
    with (place / "grades.csv").open() as table:
        expect({"rows": sum(1 for _ in table)}, rows=students + 1)


def alone(place: Path, command: tuple[str, ...]) -> tuple[str, float, float, float]:
    """What a command says, its seconds from start to end, those of processor time, and its peak memory in MiB."""
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "grading.cli", *command], cwd=place, stdout=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"grading {' '.join(command)}: exit code {process.returncode}")
        output.seek(0)
        return output.read().decode(), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def expect(found: dict[str, object], **expected: object) -> None:
    if {name: found[name] for name in expected} != expected:
        raise SystemExit(f"{found} instead of {expected}")


def shown(found: list[Measured]) -> Table:
    """By command, each size below the one before it."""
    table = Table("", title="The gradebook of a course", title_justify="left")
    for name in (
        "files",
        "seconds",
        "of processor",
        "files a second",
        "peak, MiB",
        "files, ×",
        "processor, ×",
    ):
        table.add_column(name, justify="right")
    for what in dict.fromkeys(one.what for one in found):
        before = None
        for one in (each for each in found if each.what == what):
            table.add_row(
                what if before is None else "",
                f"{one.files:,}",
                f"{one.seconds:.2f}",
                f"{one.processor:.2f}",
                f"{one.files / one.seconds:,.0f}",
                f"{one.mebibytes:.0f}",
                f"{one.files / before.files:.1f}" if before else "",
                f"{one.processor / before.processor:.1f}" if before else "",
            )
            before = one
        table.add_section()
    return table


# The course


def name_of(student: int) -> str:
    return f"student-{student:04}"


def write_course(place: Path, students: int) -> int:
    """A course with its roster, and a score file for each attempt where collect puts it. Says how many."""
    homeworks = place / "homeworks"
    for homework in HOMEWORKS:
        (homeworks / homework).mkdir(parents=True)
        (homeworks / homework / "homework.yml").touch()
    entries = "".join(f"  - {{name: {name}, weight: 1, deadline: {DEADLINE:%FT%TZ}}}\n" for name in HOMEWORKS)
    (homeworks / "course.yml").write_text(COURSE + entries)
    people = "".join(f"{name_of(number)},{number},Student\n" for number in range(students))
    (homeworks / "roster.csv").write_text(f"username,first_name,last_name\n{people}")
    scores = {
        (homework, number): score(number, homework) for homework in HOMEWORKS for number in range(ATTEMPTS)
    }
    for student in range(students):
        for homework in HOMEWORKS:
            (place / "scores" / homework / name_of(student)).mkdir(parents=True)
        for (homework, number), content in scores.items():
            commit = f"{student:08x}{number:08x}".ljust(40, "0")
            own = content.replace("THE_STUDENT", name_of(student)).replace("THE_COMMIT", commit)
            (place / "scores" / homework / name_of(student) / f"{commit}.json").write_text(own)
    return students * len(scores)


def score(number: int, homework: str) -> str:
    """What is the same for every student's attempt of this number."""
    tasks = [
        TaskOutcome(
            f"task_{i}",
            Fraction(100, TASKS),
            [
                Outcome(f"test_property_{j}", "passed", 1, seconds=0.012)
                if (i + j + number) % 3
                else Outcome(
                    f"test_property_{j}", "failed", 1, "the mean should be 0 and is 0.31: scale it", 0.1
                )
                for j in range(TESTS)
            ],
        )
        for i in range(TASKS)
    ]
    return build_score(
        homework=homework,
        tasks=tasks,
        policy=PerDay(),
        timezone=UTC,
        submitted_at=DEADLINE + timedelta(hours=number - 15, seconds=number),
        deadline=DEADLINE,
        time_source="push",
        student="THE_STUDENT",
        repository=f"dl-course/{homework}-THE_STUDENT",
        commit="THE_COMMIT",
        confined=True,
        digests=Digests(submission="5b" * 32, tests="7e" * 32, environment="3e" * 32),
    ).model_dump_json(indent=2)


if __name__ == "__main__":
    sys.exit(main())
