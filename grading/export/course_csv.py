"""The course's grade CSV: one row a student, what each homework earned and lateness took, and the total.

Reads score files and writes one table; it says what it left out and why. Points stay exact until the last
step, where each number is rounded once, half up, to two decimals.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from grading.atomic import write_atomically
from grading.course import Course
from grading.errors import UsageError
from grading.export.cells import encode, neutralised
from grading.progress import Progress, no_progress
from grading.score import Score, counting_attempt
from grading.score_file import load_score
from grading.total import two_decimals

COLUMNS = ("raw", "days_late", "penalty", "points")

"""Called with how many files were read, and of how many."""


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What was written, and in one line each what was not and why."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    not_graded: tuple[str, ...]
    unconfined: tuple[str, ...]
    skipped: tuple[str, ...]


def export(
    scores_dir: Path, out: Path, *, course: Course, excel: bool = False, progress: Progress = no_progress
) -> ExportSummary:
    """Write the grades of all score files below a directory, whole or not at all.

    Files that are no score of this course are skipped, scores in error are listed as not graded, and those of
    an unconfined run are refused; none of them stops the rest. A student known only from errors and refused
    scores has a row without points. With `excel`, a byte order mark and CRLF. Raises UsageError if there is
    nothing to read or no way to write.
    """
    found, skipped = load_scores(scores_dir, course, progress, whole=False)
    header, rows = tabulate(course, [score for _, score in found])
    write_atomically(out, encode((header, *rows), excel=excel))
    return ExportSummary(
        path=out,
        header=header,
        rows=rows,
        not_graded=tuple(
            f"{path}: {score.student}, {score.homework}: not graded: {_reason(score)}"
            for path, score in found
            if score.state == "error"
        ),
        unconfined=tuple(
            f"{path}: {score.student}, {score.homework}: graded without a sandbox, so it does not count"
            for path, score in found
            if score.state == "graded" and not score.confined
        ),
        skipped=tuple(skipped),
    )


def tabulate(course: Course, scores: Iterable[Score]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and rows, sorted by login. Scores without a student are not for this table.

    The total is in course points: each homework's share of its maximum × its weight. A homework never handed
    in counts 0; where one was handed in and we could not tell, there is no total.
    """
    homeworks = [homework.name for homework in course.homeworks]
    header = ("username", *(f"{name}_{column}" for name in homeworks for column in COLUMNS), "total")
    attempts: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        if score.student is not None:
            attempts[score.student.casefold()].append(score)  # GitHub's logins ignore case
    return header, tuple(_row(course, attempts[login]) for login in sorted(attempts))


def _row(course: Course, attempts: Sequence[Score]) -> tuple[str, ...]:
    cells = [neutralised(min(score.student or "" for score in attempts))]
    total: Fraction | None = Fraction(0)
    for homework in course.homeworks:
        own = [score for score in attempts if score.homework == homework.name]
        counting = counting_attempt((score for score in own if score.confined), course.counts)
        if counting is None:
            cells += [""] * len(COLUMNS)
            total = None if own else total
        else:
            points, penalty, final = _graded(counting)
            cells += [
                two_decimals(points),
                str(counting.days_late),
                two_decimals(penalty),
                two_decimals(final),
            ]
            total = None if total is None else total + final / counting.max_points * homework.weight
    return (*cells, "" if total is None else two_decimals(total))


def _graded(score: Score) -> tuple[Fraction, Fraction, Fraction]:
    if score.points is None or score.penalty is None or score.final_points is None:
        raise ValueError(f"the score of {score.student} is not graded")
    return score.points, score.penalty, score.final_points


def load_scores(
    directory: Path, course: Course, progress: Progress = no_progress, *, whole: bool = True
) -> tuple[list[tuple[Path, Score]], list[str]]:
    """The scores of this course below a directory, and a line for each file that is none. Raises UsageError.

    Only a `whole` score that was graded has its tasks, which take most of the memory and no part in a grade.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; give the one that `grading grade --out` wrote")
    found: list[tuple[Path, Score]] = []
    skipped: list[str] = []
    names = {homework.name for homework in course.homeworks}
    paths = _score_paths(directory)
    for number, path in enumerate(paths, start=1):
        progress(number, len(paths))
        try:
            score = load_score(path)
        except UsageError as error:
            skipped.append(str(error))
            continue
        if score.student is None:
            skipped.append(f"{path}: names no student; grade it again with --student")
        elif score.homework not in names:
            skipped.append(
                f"{path}: homework {score.homework} is not in {course.path}; add it there or move the file"
            )
        else:
            found.append((path, score if whole else _without_tasks(score)))
    if not found and not skipped:
        raise UsageError(f"{directory}: no score files (*.json) there; grade submissions into it first")
    return found, skipped


def _score_paths(directory: Path) -> list[Path]:
    """In a fixed order; what a killed run left half-written has another suffix. Of a store only the scores that follow
    from it: what students handed in to it is none."""
    found = []
    for place, folders, files in os.walk(directory):
        if {"records", "evidence"} <= set(folders):
            folders[:] = [name for name in folders if name == "scores"]
        found += [Path(place, name) for name in files if name.endswith(".json")]
    return sorted(found)


def _without_tasks(score: Score) -> Score:
    return score.model_copy(update={"tasks": ()}) if score.state == "graded" else score


def _reason(score: Score) -> str:
    unsure = [test.name for task in score.tasks for test in task.tests if test.verdict == "error"]
    return score.reason or f"could not tell: {', '.join(unsure)}"
