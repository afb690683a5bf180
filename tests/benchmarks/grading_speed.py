"""How long grading takes and how much memory it needs: beside the usual way, and beside the least it could take.

Nothing is asserted of seconds, which belong to the machine; what is compared is measured in turns in the same
run. A verdict that differs between the two ways ends the run: a fast wrong answer is worth nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from grading.build import build_reference
from grading.score_file import load_score

HERE = Path(__file__).resolve().parent
HOMEWORKS = HERE / "homeworks"
HOMEWORK = HOMEWORKS / "three_functions"
BIN = Path(sys.executable).parent

USUAL_SAMPLE = 5  # of a class, in each round: the usual way takes each submission by itself
MEMORY_CLASS = 12
JOBS = (1, 2, 4)
SAMPLE_EVERY = 0.02  # seconds

# Every fourth student overflows: a failure costs its traceback, in either way.
OVERFLOWS = """
def cross_entropy(logits, labels):
    return -torch.log(logits.exp() / logits.exp().sum(1, keepdim=True))[torch.arange(len(labels)), labels].mean()
"""
SAVED_BY_JUPYTER = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "nbconvert_exporter": "python"},
}


@dataclass(slots=True, frozen=True)
class Student:
    notebook: Path
    right: bool


@dataclass(slots=True)
class Measured:
    """Seconds of each round by what was measured (of a class: seconds a submission); memory in MB."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)

    def time(self, name: str, action: Callable[[], None], *, shared_by: int = 1) -> None:
        start = time.perf_counter()
        action()
        self.seconds.setdefault(name, []).append((time.perf_counter() - start) / shared_by)

    def typical(self, name: str) -> float:
        return median(self.seconds[name])

    def typical_of(self, one: str, other: str, combine: Callable[[float, float], float]) -> float:
        """The median over the rounds of what two measurements of the same round give together."""
        return median(map(combine, self.seconds[one], self.seconds[other]))


def main() -> int:
    options = parse_options()
    console = Console()
    measured = Measured()
    with tempfile.TemporaryDirectory(prefix="grading-speed-") as place:
        bench = Bench(Path(place), max([MEMORY_CLASS, *options.sizes]))
        bench.grade(bench.students[:1])  # everything is in the page cache, and compiled, from here on
        bench.usual(bench.students[0])
        for turn in range(options.rounds):
            for size in options.sizes:
                console.print(f"round {turn + 1} of {options.rounds}: {size} at a time", style="dim")
                measure_round(bench, measured, size, turn)
        if not options.no_memory:
            console.print("memory", style="dim")
            measure_memory(bench, measured)
        measured.seconds["functions"] = [functions_alone(bench.students[0].notebook)]
    console.print(report(measured, options.sizes))
    if options.json is not None:
        about = {"python": platform.python_version(), "processors": len(os.sched_getaffinity(0))}
        options.json.write_text(json.dumps(about | asdict(measured), indent=1) + "\n")
    return 0


def parse_options() -> Any:
    parser = argparse.ArgumentParser(description="Measures grading beside the usual way. See README.md.")
    parser.add_argument(
        "--sizes", type=sizes, default=(1, 20, 200), metavar="N,…", help="of a class: 1,20,200"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often all is measured (3)")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    return parser.parse_args()


def sizes(text: str) -> tuple[int, ...]:
    found = tuple(int(word) for word in text.split(","))
    if min(found) < 1:
        raise ValueError("a class has at least one student")
    return tuple(sorted(set(found)))


class Bench:
    """A class of notebooks in a directory, and the two ways to grade it."""

    def __init__(self, place: Path, size: int) -> None:
        self.place = place
        self.students = list(write_class(place / "class", size))
        self.tests = copytree(HOMEWORK / "tests", place / "usual", ignore=lambda *_: ["__pycache__"])
        (self.tests / "conftest.py").write_bytes((HERE / "usual_way" / "conftest.py").read_bytes())

    def grade_command(self, students: Sequence[Student], *options: str) -> list[str]:
        notebooks = [str(student.notebook) for student in students]
        where = [
            "--homeworks",
            str(HOMEWORKS),
            "--homework",
            HOMEWORK.name,
            "--out",
            str(self.place / "scores"),
        ]
        return [str(BIN / "grading"), "grade", *notebooks, *where, *options]

    def grade(self, students: Sequence[Student]) -> None:
        run(self.grade_command(students), self.place)
        for student in students:
            score = load_score(self.place / "scores" / f"{student.notebook.stem}.json")
            if score.state != "graded" or (score.points == score.max_points) != student.right:
                raise SystemExit(f"{student.notebook.stem}: {score.points} points, {score.state}")

    def convert_command(self, student: Student) -> list[str]:
        script = ["nbconvert", "--to", "script", "--output-dir", str(self.place / "scripts")]
        return [str(BIN / "jupyter"), *script, str(student.notebook)]

    def pytest_environment(self, student: Student) -> dict[str, str]:
        script = self.place / "scripts" / f"{student.notebook.stem}.py"
        # plugins that happen to be installed here are no part of the usual way
        return {**os.environ, "SUBMISSION": str(script), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def usual(self, *students: Student) -> None:
        for student in students:
            run(self.convert_command(student), self.place)
            code = run(PYTEST, self.tests, self.pytest_environment(student), expect=(0, 1))
            if (code == 0) != student.right:
                raise SystemExit(f"{student.notebook.stem}: the usual way ends with {code}")


PYTEST = [sys.executable, "-m", "pytest", "-q"]
IMPORT_TORCH = [sys.executable, "-c", "import torch"]


def write_class(directory: Path, size: int) -> Iterator[Student]:
    """Notebooks of different students: every one differs, and one in four is wrong."""
    directory.mkdir()
    source = HOMEWORK / "source.py"
    notebook = json.loads(build_reference(source.read_text(), source_name=str(source)))
    notebook["metadata"] = SAVED_BY_JUPYTER
    for number in range(size):
        right = number % 4 != 3
        code = f"# student {number}\n" + ("" if right else OVERFLOWS)
        own = notebook["cells"][-1] | {"id": "own", "source": code}
        path = directory / f"student-{number:03}.ipynb"
        path.write_text(json.dumps(notebook | {"cells": [*notebook["cells"], own]}))
        yield Student(path, right)


def run(
    command: Sequence[str],
    place: Path,
    environment: dict[str, str] | None = None,
    expect: Sequence[int] = (0,),
) -> int:
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in expect:
        raise SystemExit(f"{' '.join(command[:4])} …: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode


# What is measured


def measure_round(bench: Bench, measured: Measured, size: int, turn: int) -> None:
    if size == 1:
        measured.time("import torch", lambda: import_torch(1))
        measured.time("two import torch", lambda: import_torch(2))
        measured.time("grading 1", lambda: bench.grade(bench.students[:1]))
        measured.time("usual 1", lambda: bench.usual(bench.students[0]))
        return
    students = bench.students[:size]
    sample = [students[(turn * USUAL_SAMPLE + number) % size] for number in range(min(USUAL_SAMPLE, size))]
    measured.time(f"grading {size}", lambda: bench.grade(students), shared_by=size)
    measured.time(f"usual {size}", lambda: bench.usual(*sample), shared_by=len(sample))


def import_torch(processes: int) -> None:
    started = [subprocess.Popen(IMPORT_TORCH) for _ in range(processes)]
    if any(process.wait() for process in started):
        raise SystemExit("import torch fails")


def functions_alone(notebook: Path) -> float:
    """Seconds that a submission's cells and the eight tests take in one process where everything is loaded: the
    median of a few, without the first."""
    import torch

    torch.set_num_threads(1)
    cells = [
        cell["source"] for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"
    ]
    code = [compile("".join(source), "cell", "exec") for source in cells]
    modules = [load(path) for path in sorted((HOMEWORK / "tests").glob("test_*.py"))]
    tests = [test for module in modules for name, test in vars(module).items() if name.startswith("test_")]
    taken = []
    for _ in range(6):
        submission = types.ModuleType("submission")
        start = time.perf_counter()
        for cell in code:
            exec(cell, vars(submission))
        for test in tests:
            given = {"submission": submission, "generator": torch.Generator().manual_seed(0)}
            test(**{name: given[name] for name in test.__code__.co_varnames[: test.__code__.co_argcount]})
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def load(path: Path) -> types.ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def measure_memory(bench: Bench, measured: Measured) -> None:
    """Peaks, in runs of their own: looking at the memory of a process slows it down."""
    student = bench.students[0]
    measured.megabytes["import torch"] = peak([sys.executable, "-c", "import torch, time; time.sleep(0.3)"])
    measured.megabytes["grading 1"] = peak(bench.grade_command([student]))
    converting = peak(bench.convert_command(student))
    testing = peak(PYTEST, bench.tests, bench.pytest_environment(student))
    measured.megabytes["usual 1"] = max(converting, testing)
    for jobs in JOBS:
        command = bench.grade_command(bench.students[:MEMORY_CLASS], "--jobs", str(jobs))
        measured.megabytes[f"grading {MEMORY_CLASS}, {jobs} in flight"] = peak(command)


def peak(
    command: Sequence[str], place: Path | None = None, environment: dict[str, str] | None = None
) -> float:
    """The most memory (MB) that a command and all its children held at a time, shared pages counted once."""
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        root, most = psutil.Process(process.pid), 0
        while process.poll() is None:
            most = max(most, sum(map(proportional, [root, *descendants(root)])))
            time.sleep(SAMPLE_EVERY)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} …: exit {process.returncode}")
    return most / 1e6


def descendants(root: psutil.Process) -> list[psutil.Process]:
    try:
        return list(root.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def proportional(process: psutil.Process) -> int:
    """Its memory, where pages that several processes share are divided among them; 0 if it has just ended, or (the
    init of a submission, which is nearly all shared) is not ours to look at."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


# What is shown


def report(measured: Measured, class_sizes: Sequence[int]) -> Table:
    table = Table(title="Grading, beside the usual way (medians of rounds; ratios within a round)")
    for heading in ("what", "measured", "aim"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for what, value, aim in lines(measured, class_sizes):
        table.add_row(what, value, aim)
    return table


def lines(measured: Measured, class_sizes: Sequence[int]) -> Iterator[tuple[str, str, str]]:
    functions = measured.typical("functions")
    if 1 in class_sizes:
        for name in ("import torch", "two import torch"):
            yield name + (" at the same time" if "two" in name else ""), seconds(measured.typical(name)), ""
        yield "one submission, cold", seconds(measured.typical("grading 1")), ""
        yield "one submission, the usual way", seconds(measured.typical("usual 1")), ""
        beyond = measured.typical_of("grading 1", "two import torch", lambda one, floor: one - floor)
        yield "  cold, beyond two import torch", seconds(beyond), "≤ 1.50 s"
        ratio = measured.typical_of("grading 1", "usual 1", lambda one, other: one / other)
        yield "  cold / the usual way", f"{ratio:.2f}", "≤ 0.60"
    yield "the functions alone, in process", seconds(functions), ""
    classes = [size for size in class_sizes if size > 1]
    for size in classes:
        each = measured.typical(f"grading {size}")
        yield f"class of {size}, a submission", seconds(each), ""
        yield f"class of {size}, the usual way, a submission", seconds(measured.typical(f"usual {size}")), ""
        yield "  beyond its functions", seconds(each - functions), "≤ 0.40 s"
        ratio = measured.typical_of(f"grading {size}", f"usual {size}", lambda one, other: one / other)
        yield "  class / the usual way", f"{ratio:.3f}", ""
    for small, large in pairwise(classes):
        growth = measured.typical(f"grading {large}") / measured.typical(f"grading {small}")
        yield f"a submission of {large} / of {small}", f"{growth:.2f}", "≤ 1.00"
    for name, most in measured.megabytes.items():
        yield f"peak memory, {name}", f"{most:.0f} MB", ""
    peaks = [measured.megabytes.get(f"grading {MEMORY_CLASS}, {jobs} in flight", 0.0) for jobs in JOBS]
    if any(peaks):
        for more in range(1, len(JOBS)):
            extra = (peaks[more] - peaks[0]) / (JOBS[more] - JOBS[0])
            yield f"  each extra in flight, {JOBS[0]} to {JOBS[more]}", f"{extra:.0f} MB", "< 100 MB"


def seconds(value: float) -> str:
    return f"{value:.3f} s" if abs(value) < 0.1 else f"{value:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
