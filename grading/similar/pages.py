"""The report as files: `index.html` with the pairs in order, and a page a pair with both notebooks side by side.

Says what was found and where; judges nobody. No file is named after a student.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from grading.atomic import write_atomically
from grading.report.pages import render
from grading.similar.compare import LOOK, Compared, Pair, Place, Stretch, Work, stretches

INDEX = "index.html"
BINS = 10
PAGE = re.compile(r"pair-\d+\.html")
LONGEST_CELL = 200_000  # characters that are shown of a cell


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of a cell, from line `first`: in the match `number`, or in none. `anchor`: the first of this match."""

    first: int
    lines: tuple[str, ...]
    number: int = 0
    anchor: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A pair of the index, with the page that shows it."""

    number: int
    page: str
    pair: Pair
    stretches: tuple[Stretch, ...]

    @property
    def longest(self) -> int:
        """Lines of the longest match that is shown."""
        return max((one.left.last - one.left.first + 1 for one in self.stretches), default=0)

    @property
    def names(self) -> tuple[str, ...]:
        """What is defined where most is shared, as the left one calls it."""
        return tuple(dict.fromkeys(one.left.name for one in self.stretches if one.left.name))


def write_report(
    out: Path,
    title: str,
    compared: Compared,
    left_out: Mapping[str, str],
    written: Callable[[int, int], None] = lambda done, of: None,
) -> list[Row]:
    """Writes all pages into a directory, and removes those of an earlier report; the pairs as the index has them.

    `left_out`: students whose notebooks were not compared, and why. Raises UsageError, GradingError.
    """
    rows = []
    for number, pair in enumerate(compared.pairs, 1):
        rows.append(Row(number, f"pair-{number:03}.html", pair, stretches(pair, compared.works)))
    for row in rows:
        write_atomically(out / row.page, pair_page(title, row, rows).encode())
        written(row.number, len(rows))
    write_atomically(out / INDEX, index_page(title, compared, rows, left_out).encode())
    kept = {row.page for row in rows}
    for path in out.iterdir():
        if PAGE.fullmatch(path.name) and path.name not in kept:
            path.unlink()
    return rows


def index_page(title: str, compared: Compared, rows: Sequence[Row], left_out: Mapping[str, str]) -> str:
    return render(
        "similar_index.html.j2",
        title=title,
        works=[work for work in compared.works if not work.origin],
        earlier=[work for work in compared.works if work.origin],
        pairs=len(compared.scores),
        levels=levels(compared),
        bins=bins(compared),
        look=LOOK,
        rows=rows,
        left_out=sorted(left_out.items()),
    )


def levels(compared: Compared) -> dict[str, float]:
    """What half, 90% and 99% of the pairs stay at or below."""
    if not compared.scores.size:
        return {}
    values = np.quantile(compared.scores, [0.5, 0.9, 0.99], method="higher")
    return dict(zip(("half", "90%", "99%"), map(float, values), strict=True))


def bins(compared: Compared) -> list[tuple[int, int, int, float]]:
    """(from, up to, how many pairs, how long its bar is): per cent, and from 0 to 1."""
    counts, _ = np.histogram(compared.scores, BINS, (0, 1))
    width, longest = 100 // BINS, math.log1p(max(counts.max(), 1))
    return [
        (place * width, (place + 1) * width, int(count), math.log1p(count) / longest)
        for place, count in enumerate(counts)
    ]


def pair_page(title: str, row: Row, rows: Sequence[Row]) -> str:
    pair = row.pair
    return render(
        "similar_pair.html.j2",
        title=title,
        row=row,
        before=rows[row.number - 2].page if row.number > 1 else None,
        after=rows[row.number].page if row.number < len(rows) else None,
        sides=[
            ("left", "right", pair.left, cells(pair.left, [one.left for one in row.stretches])),
            ("right", "left", pair.right, cells(pair.right, [one.right for one in row.stretches])),
        ],
    )


def cells(work: Work, places: Sequence[Place]) -> list[tuple[int, list[Part]]]:
    """A work's cells by number, cut where a match begins or ends. The first of several on a line has it."""
    numbers: dict[tuple[int, int], int] = {}
    for number, place in enumerate(places, 1):
        for at in range(place.first, place.last + 1):
            numbers.setdefault((place.cell, at), number)
    seen = {0}
    found = []
    for cell in work.cells:
        lines = enumerate(cell.source[:LONGEST_CELL].split("\n"), 1)
        numbered = [(numbers.get((cell.number, at), 0), at, line) for at, line in lines]
        parts = []
        for number, group in groupby(numbered, itemgetter(0)):
            of_part = list(group)
            text = tuple(line for _, _, line in of_part)
            parts.append(Part(of_part[0][1], text, number, number not in seen))
            seen.add(number)
        found.append((cell.number, parts))
    return found
