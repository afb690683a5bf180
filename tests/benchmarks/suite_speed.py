"""How long each homework's hidden suite takes for its reference solution, cold: one `grading grade`, imports included.

HOMEWORKS.md allows about 20 seconds on two cores. Nothing is asserted of seconds; a reference below 100 ends the run.

    python -P tests/benchmarks/suite_speed.py [--rounds N] [HOMEWORK ...]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from grading.build import build_reference
from grading.course import Course, load_course
from grading.score import Score
from grading.score_file import load_score

HOMEWORKS = Path(__file__).resolve().parents[2] / "homeworks"
GRADING = Path(sys.executable).parent / "grading"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("homeworks", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    course = load_course(HOMEWORKS / "course.yml")
    names = arguments.homeworks or [homework.name for homework in course.homeworks]

    table = Table("homework", "tests", "whole command, s", "hidden tests alone, s", "slowest test, s")
    for name in names:
        runs = [grade_reference(course, name) for _ in range(arguments.rounds)]
        tests = [test for task in runs[0][1].tasks for test in task.tests]
        seconds = [[test.seconds or 0.0 for task in score.tasks for test in task.tests] for _, score in runs]
        slowest = max(tests, key=lambda test: test.seconds or 0.0)
        table.add_row(
            name,
            str(len(tests)),
            f"{median(whole for whole, _ in runs):.1f}",
            f"{median(map(sum, seconds)):.1f}",
            f"{median(map(max, seconds)):.1f} ({slowest.name})",
        )
    Console(width=140).print(table)


def grade_reference(course: Course, name: str) -> tuple[float, Score]:
    """Seconds and score of one cold run."""
    homework = course.load_homework(name)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        notebook = place / homework.notebook
        notebook.write_text(build_reference(homework.source.read_text(), source_name=str(homework.source)))
        for file in homework.submits:
            shutil.copy(homework.directory / file, place)
        begin = time.perf_counter()
        ran = subprocess.run(
            [GRADING, "grade", notebook, "--homework", name, "--out", place / "score.json"],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - begin
        if ran.returncode:
            sys.exit(f"{name}: {ran.stderr}")
        score = load_score(place / "score.json")
    if score.points != 100:
        sys.exit(f"{name}: the reference got {score.points}")
    return seconds, score


main()
