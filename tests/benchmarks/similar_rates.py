"""How well `grading similar` tells copies from honest work, and how fast: a made class of every homework.

See tests/classroom_of_copies.py for who is in it. Prints what docs/similar.md says.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from classroom_of_copies import (
    Cells,
    Student,
    crowd,
    disguised,
    disguises_of,
    handed_in,
    in_common,
    solutions,
)

from grading.grade import read_starter
from grading.homework import Homework, load_homework
from grading.notebook import Cell, Notebook
from grading.options import HOMEWORKS
from grading.similar.compare import LOOK, Starter, compare
from grading.similar.pages import write_report

SIZE = 30
COPIED = 6  # students of a class of whom there is a copy
LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7)
HARDER = ("restated", "all, and restated")

Scores = Mapping[frozenset[str], float]
Method = Callable[[Homework, Mapping[str, Cells]], Scores]


def ours(homework: Homework, students: Mapping[str, Cells]) -> Scores:
    starter = Starter(read_starter(homework))
    compared = compare([starter.work(login, cells_as(cells)) for login, cells in students.items()], 10**9)
    return {frozenset((pair.left.student, pair.right.student)): pair.score for pair in compared.pairs}


def cells_as(cells: Iterable[str]) -> Notebook:
    return Notebook(tuple(Cell(number, source) for number, source in enumerate(cells, 1)))


def copydetect(homework: Homework, students: Mapping[str, Cells]) -> Scores:
    """The library of that name, with its defaults, on the cells that are not the starter's."""
    from copydetect import CodeFingerprint, compare_files

    given = {cell.source.strip() for cell in read_starter(homework).cells}
    with tempfile.TemporaryDirectory() as directory:
        boilerplate = Path(directory, "starter.py")
        boilerplate.write_text("\n".join(sorted(given)))
        known = CodeFingerprint(str(boilerplate), 25, 1).hashes
        prints = {}
        for login, cells in students.items():
            path = Path(directory, f"{login}.py")
            path.write_text("\n".join(cell for cell in cells if cell.strip() not in given))
            prints[login] = CodeFingerprint(str(path), 25, 6, boilerplate=list(known))
        return {
            frozenset((one, other)): max(compare_files(prints[one], prints[other])[1])
            for one, other in itertools.combinations(prints, 2)
        }


def measure(method: Method, homeworks: Sequence[Homework], seeds: int, screen: Console) -> None:
    honest: dict[str, list[float]] = defaultdict(list)
    by_tasks: dict[int, list[float]] = defaultdict(list)
    copies: dict[str, list[float]] = defaultdict(list)
    above: dict[str, list[bool]] = defaultdict(list)
    for homework, seed in itertools.product(homeworks, range(seeds)):
        students = crowd(homework, SIZE, seed)
        cells = {login: student.cells for login, student in students.items()}
        scores = method(homework, cells)
        strangers = []
        for one, other in itertools.combinations(students, 2):
            score = scores.get(frozenset((one, other)), 0.0)
            by_tasks[in_common(students[one], students[other])].append(score)
            if not in_common(students[one], students[other]):
                strangers.append(score)
        honest[homework.name] += strangers
        for name, disguise in disguises_of(homework).items():
            of = list(students)[:COPIED]
            copy = {f"copy of {login}": disguised(cells[login], homework, disguise, seed) for login in of}
            with_copies = method(homework, {**cells, **copy})
            highest = highest_stranger(with_copies, students)
            for login in of:
                score = with_copies.get(frozenset((login, f"copy of {login}")), 0.0)
                copies[name].append(score)
                above[name].append(score > highest)
    show(screen, honest, by_tasks, copies, above)


def highest_stranger(scores: Scores, students: Mapping[str, Student]) -> float:
    return max(
        scores.get(frozenset(pair), 0.0)
        for pair in itertools.combinations(students, 2)
        if not in_common(students[pair[0]], students[pair[1]])
    )


def show(
    screen: Console,
    honest: Mapping[str, Sequence[float]],
    by_tasks: Mapping[int, Sequence[float]],
    copies: Mapping[str, Sequence[float]],
    above: Mapping[str, Sequence[bool]],
) -> None:
    all_honest = [score for scores in honest.values() for score in scores]
    table = grid("honest pairs", "pairs", "median", "99%", "most", f"from {LOOK:.0%}")
    for name, scores in [*honest.items(), ("all", all_honest)]:
        row(table, name, len(scores), *np.quantile(scores, (0.5, 0.99, 1)), share(scores, LOOK))
    screen.print(table)
    table = grid("tasks from one pen", "pairs", "10%", "median", "90%", f"from {LOOK:.0%}")
    for tasks, scores in sorted(by_tasks.items()):
        row(table, str(tasks), len(scores), *np.quantile(scores, (0.1, 0.5, 0.9)), share(scores, LOOK))
    screen.print(table)
    table = grid("copies", "pairs", "least", "median", f"from {LOOK:.0%}", "above all honest pairs")
    for name, scores in copies.items():
        values = np.quantile(scores, (0, 0.5))
        row(table, name, len(scores), *values, share(scores, LOOK), float(np.mean(above[name])))
    screen.print(table)
    table = grid("from", "of honest pairs", "of copies", "of restated copies")
    plain = [score for name, scores in copies.items() if name not in HARDER for score in scores]
    hard = [score for name in HARDER for score in copies[name]]
    for level in LEVELS:
        row(table, f"{level:.0%}", *(share(scores, level) for scores in (all_honest, plain, hard)))
    screen.print(table)


def one_task_each(method: Method, homeworks: Sequence[Homework], screen: Console) -> None:
    """Notebooks in which nothing but one task is solved: a solution from each pen, and each in disguise."""
    honest, copies = [], []
    for homework in homeworks:
        disguise = disguises_of(homework)["names, order, comments"]
        for known in solutions(homework).values():
            first_of_pen = {one.pen: one for one in reversed(known)}
            cells = {pen: handed_in(homework, [one]) for pen, one in first_of_pen.items()}
            scores = method(homework, cells)
            honest += [scores.get(frozenset(pair), 0.0) for pair in itertools.combinations(cells, 2)]
            for pen in cells:
                scores = method(homework, {**cells, "copy": disguised(cells[pen], homework, disguise)})
                copies.append(scores.get(frozenset((pen, "copy")), 0.0))
    table = grid("one task alone", "pairs", "median", "99%", "most", f"from {LOOK:.0%}")
    for name, scores in (("from different pens", honest), ("names, order, comments", copies)):
        row(table, name, len(scores), *np.quantile(scores, (0.5, 0.99, 1)), share(scores, LOOK))
    screen.print(table)


def speed(homework: Homework, size: int, screen: Console) -> None:
    students = crowd(homework, size)
    starter = Starter(read_starter(homework))
    start = time.perf_counter()
    works = [starter.work(login, cells_as(student.cells)) for login, student in students.items()]
    read = time.perf_counter()
    compared = compare(works, 50)
    done = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        write_report(Path(directory), homework.title, compared, {})
    written = time.perf_counter()
    screen.print(
        f"{homework.name}, {size} notebooks, {len(compared.scores):,} pairs: reading {read - start:.1f} s, "
        f"comparing {done - read:.1f} s, 50 pages {written - done:.1f} s"
    )


def share(scores: Sequence[float], level: float) -> float:
    return float(np.mean(np.asarray(scores) >= level))


def grid(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def row(table: Table, name: str, *cells: float) -> None:
    table.add_row(name, *(str(cell) if isinstance(cell, int) else f"{cell:.1%}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="classes of each homework (default: 5)")
    parser.add_argument("--size", type=int, default=300, help="notebooks for the speed (default: 300)")
    given = parser.parse_args()
    screen = Console(width=110, highlight=False)
    homeworks = [load_homework(path.parent) for path in sorted(HOMEWORKS.glob("*/homework.yml"))]
    methods: dict[str, Method] = {"grading similar": ours}
    if importlib.util.find_spec("copydetect"):
        methods["copydetect"] = copydetect
    for name, method in methods.items():
        screen.rule(name)
        measure(method, homeworks, given.seeds, screen)
        one_task_each(method, homeworks, screen)
    screen.rule("speed")
    for homework in homeworks:
        speed(homework, given.size, screen)


if __name__ == "__main__":
    main()
