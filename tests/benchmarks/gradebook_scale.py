"""How long the gradebook takes for a course: 1,000 students, 7 homeworks and 20 attempts at each are 140,000 files.

Nothing is asserted of seconds, which belong to the machine; a count that is not the expected one ends the run.

    python -P tests/benchmarks/gradebook_scale.py [--parts 10,3,1]
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from grading.gradebook.database import attempts
from grading.gradebook.ingest import ingest, rebuild
from grading.late import PerDay
from grading.score import Digests, Outcome, TaskOutcome, build_score

STUDENTS, HOMEWORKS, ATTEMPTS = 1000, 7, 20
DEADLINE = datetime(2026, 10, 4, 22, tzinfo=UTC)
TASKS, TESTS = 3, 5
SETTLED = 2.1  # a file that was written just before it is read is read once more


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default="10,3,1", metavar="N,…", help="one in N students; 1 is everybody")
    parser.add_argument("--rebuild", action="store_true", help="measure a rebuild too")
    options = parser.parse_args()
    table = Table("files", title="The gradebook of a course", title_justify="left")
    for name in ("", "seconds", "µs a file", "peak memory, MB", "gradebook, MB"):
        table.add_column(name, justify="left" if not name else "right")
    for part in map(int, options.parts.split(",")):
        with tempfile.TemporaryDirectory(prefix="gradebook-") as place:
            for row in measure(Path(place), STUDENTS // part, options.rebuild):
                table.add_row(*row)
    Console(width=120).print(table)
    return 0


def measure(place: Path, students: int, again: bool) -> Iterator[tuple[str, ...]]:
    database, scores = place / "gradebook.db", place / "scores"
    files = write_course(scores, students)
    time.sleep(SETTLED)

    def ingested(expected: tuple[int, int], of: Callable[..., Any] = ingest) -> None:
        done = of(database, [scores])
        if (done.new, done.unchanged) != expected or done.refused:
            raise SystemExit(f"{done} instead of {expected} new and unchanged")

    def read() -> None:
        gc.freeze()
        if len(attempts(database)) != files:
            raise SystemExit("not every file is an attempt")

    steps: list[tuple[str, Callable[[], None]]] = [
        ("ingest, cold", lambda: ingested((files, 0))),
        ("ingest, nothing new", lambda: ingested((0, files))),
        ("attempts()", read),
    ]
    if again:
        steps.append(("rebuild", lambda: ingested((0, files), rebuild)))
    for what, step in steps:
        seconds, memory = alone(step)
        size = database.stat().st_size / 1e6
        each = f"{seconds / files * 1e6:.0f}"
        yield f"{files:,}", what, f"{seconds:.2f}", each, f"{memory:.0f}", f"{size:.0f}"


def alone(step: Callable[[], None]) -> tuple[float, float]:
    """Seconds, without imports, and the peak memory of a process that does nothing else."""
    context = multiprocessing.get_context("fork")
    given, taken = context.Pipe(duplex=False)

    def run() -> None:
        begin = time.perf_counter()
        step()
        seconds = time.perf_counter() - begin
        taken.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))

    process = context.Process(target=run)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("a step failed")
    seconds, memory = given.recv()
    return seconds, memory


def write_course(scores: Path, students: int) -> int:
    """One file an attempt, where collect puts it."""
    count = 0
    variety = {
        (number, homework): text(number, f"hw{homework}")
        for number in range(ATTEMPTS)
        for homework in range(1, HOMEWORKS + 1)
    }
    for student in range(students):
        for (number, homework), score in variety.items():
            commit = f"{student:08x}{homework:08x}{number:08x}".ljust(40, "0")
            place = scores / f"hw{homework}" / f"student-{student:04}"
            place.mkdir(parents=True, exist_ok=True)
            own = score.replace("THE_STUDENT", f"student-{student:04}").replace("THE_COMMIT", commit)
            (place / f"{commit}.json").write_text(own)
            count += 1
    return count


def text(number: int, homework: str) -> str:
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
    score = build_score(
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
    )
    return score.model_dump_json(indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
