"""Which notebooks have passages in common, and where: fingerprints, as MOSS takes them of programs.

A fingerprint is a run of LENGTH syntax nodes (S. Schleimer, D. S. Wilkerson, A. Aiken, "Winnowing: local algorithms
for document fingerprinting", SIGMOD 2003). Winnowing keeps some of them, to save room; a class is small, and all are
kept, so that no match is missed. The starter's do not count, and what many have counts little. Reads no file.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grading.notebook import Cell, Notebook
from grading.similar.normal import Passage, passages

LENGTH = 8  # syntax nodes, about one line of code
LITTLE = 40.0  # a notebook with less of its own code is measured as if it had so much
LEAST = 0.02  # what a fingerprint weighs that the whole class has
SHOWN = 16  # syntax nodes: a match that is shorter counts, and is not shown
GAP = 8  # syntax nodes between two matches that are shown as one
MOST_PLACES = 20  # of one fingerprint in one notebook that are looked at for the longest match
LOOK = 0.5
"""From here on a pair is worth a look; docs/similar.md has what was measured."""


@dataclass(frozen=True, slots=True)
class Work:
    """A student's notebook, as far as it is the student's own.

    `origin` is empty for this year's, else where it comes from. `people` are all who may have written it, in lower
    case: a team's members and its name. Works of the same people are no pair.
    """

    student: str
    origin: str
    people: frozenset[str]
    cells: tuple[Cell, ...]
    passages: tuple[Passage, ...]
    prints: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pair:
    """`of_left`: how much of the left one's own code the right one has too, from 0 to 1; `of_right` likewise."""

    left: Work
    right: Work
    of_left: float
    of_right: float

    @property
    def score(self) -> float:
        return max(self.of_left, self.of_right)


@dataclass(frozen=True, slots=True)
class Place:
    """From the first to the last line of a match, in a cell."""

    cell: int
    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A match: where it stands on either side, its length in syntax nodes, and how many others have all of it."""

    left: Place
    right: Place
    length: int
    others: int


@dataclass(frozen=True, slots=True)
class Compared:
    """The scores of all pairs, in no order, and the pairs with the highest."""

    works: tuple[Work, ...]
    scores: NDArray[np.float64]
    pairs: tuple[Pair, ...]


class Starter:
    """What every student was given."""

    def __init__(self, notebook: Notebook) -> None:
        self.cells = {_stripped(cell.source) for cell in notebook.cells}
        self.prints = _prints(passages(notebook.cells))

    def work(self, student: str, notebook: Notebook, people: Iterable[str] = (), origin: str = "") -> Work:
        """What is a student's own in a notebook: cells that are not the starter's, without what it says too."""
        cells = tuple(cell for cell in notebook.cells if _stripped(cell.source) not in self.cells)
        found = passages(cells)
        everyone = frozenset(name.casefold() for name in (student, *people))
        return Work(student, origin, everyone, cells, found, frozenset(_prints(found) - self.prints))


def compare(works: Sequence[Work], top: int) -> Compared:
    """Each of this year's works with each other, and with those of other years."""
    ordered = sorted(works, key=lambda work: bool(work.origin))
    now = sum(not work.origin for work in ordered)
    weights = _weights(ordered)
    shared = _shared(ordered, now, weights)
    whole = np.array([max(LITTLE, sum(map(weights.__getitem__, work.prints))) for work in ordered])
    score = (shared / np.minimum(whole[:now, None], whole[None, :])).round(6)
    eligible = np.triu(np.ones_like(score, dtype=bool), 1)
    for people in _teams(ordered):
        eligible[np.ix_([one for one in people if one < now], people)] = False
    rows, columns = np.nonzero(eligible)
    scores = score[rows, columns]
    best = np.lexsort((-shared[rows, columns].round(6), -scores))[:top]
    pairs = []
    for row, column in zip(rows[best], columns[best], strict=True):
        if not score[row, column]:
            break  # and neither have the pairs after it anything in common
        of_both = shared[row, column] / whole[[row, column]]
        pairs.append(Pair(ordered[row], ordered[column], *map(float, of_both.round(6))))
    return Compared(tuple(ordered), scores, tuple(pairs))


def _weights(works: Sequence[Work]) -> Mapping[str, float]:
    """1 for what at most two have, less for each more, almost nothing for what all have."""
    of_people: dict[frozenset[str], set[str]] = defaultdict(set)
    for work in works:
        of_people[work.people] |= work.prints
    holders = Counter(found for prints in of_people.values() for found in prints)
    everyone = math.log(max(len(of_people), 2))
    return {
        found: 1.0 if count <= 2 else max(LEAST, 1 - math.log(count - 1) / everyone)
        for found, count in holders.items()
    }


def _shared(works: Sequence[Work], now: int, weights: Mapping[str, float]) -> NDArray[np.float64]:
    """The weight of what each of the first `now` works has in common with each work."""
    count = Counter(found for work in works for found in work.prints)
    number = {found: place for place, found in enumerate(sorted(one for one in count if count[one] > 1))}
    roots = np.sqrt([weights[found] for found in number])
    columns = [np.array([number[one] for one in work.prints if one in number], dtype=int) for work in works]
    shared = np.zeros((now, len(works)))
    block = 4096  # columns at a time, for the sake of memory
    for start in range(0, len(number), block):
        table = np.zeros((len(works), block))
        for row, of_work in zip(table, columns, strict=True):
            inside = of_work[(of_work >= start) & (of_work < start + block)]
            row[inside - start] = roots[inside]
        shared += table[:now] @ table.T
    return shared


def _teams(works: Sequence[Work]) -> Iterator[list[int]]:
    """Numbers of the works of each person, where there are several."""
    of_person: dict[str, list[int]] = defaultdict(list)
    for number, work in enumerate(works):
        for person in work.people:
            of_person[person].append(number)
    return (numbers for numbers in of_person.values() if len(numbers) > 1)


# Where the same stands


def stretches(pair: Pair, works: Sequence[Work]) -> tuple[Stretch, ...]:
    """The matches of a pair, what fewest others have first, then the longest; no place is in two of them."""
    left, right = pair.left, pair.right
    others = [work.prints for work in works if not work.people & (left.people | right.people)]
    found = []
    for run in _joined(_apart(_runs(left, right), left, right)):
        if run.of_left >= SHOWN:
            passage = left.passages[run.left]
            prints = (
                {*_prints_in(passage.text[run.start : run.start + run.of_left])} & left.prints & right.prints
            )
            found.append(
                Stretch(
                    _place(passage, run.start, run.of_left),
                    _place(right.passages[run.right], run.at, run.of_right),
                    run.of_left,
                    sum(prints <= other for other in others),
                )
            )
    return tuple(sorted(found, key=lambda one: (one.others, -one.length)))


@dataclass(frozen=True, slots=True)
class _Run:
    """From node `start` of the left one's passage, and from node `at` of the right one's, the same."""

    left: int
    start: int
    of_left: int
    right: int
    at: int
    of_right: int


def _runs(left: Work, right: Work) -> Iterator[_Run]:
    """The same on both sides, as long as it goes."""
    shared = _rare(left) & _rare(right)
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, passage in enumerate(right.passages):
        for at, found in enumerate(_prints_in(passage.text)):
            if found in shared:
                places[found].append((number, at))
    for number, passage in enumerate(left.passages):
        before: list[tuple[int, int]] = []
        for start, found in enumerate(_prints_in(passage.text)):
            here = places.get(found, [])
            for other, at in here:
                if (other, at - 1) not in before:
                    length = _same(left, right, passage.text[start:], right.passages[other].text[at:])
                    yield _Run(number, start, length, other, at, length)
            before = here


def _rare(work: Work) -> set[str]:
    """Where a match may begin: what a notebook says over and over begins one at each of its places."""
    count = Counter(found for passage in work.passages for found in _prints_in(passage.text))
    return {found for found in work.prints if count[found] <= MOST_PLACES}


def _same(left: Work, right: Work, mine: str, theirs: str) -> int:
    """How many nodes two texts begin with in common, as far as they are the students' own."""
    nodes = LENGTH
    while nodes < min(len(mine), len(theirs)) and mine[nodes] == theirs[nodes]:
        found = mine[nodes + 1 - LENGTH : nodes + 1]
        if found not in left.prints or found not in right.prints:
            break
        nodes += 1
    return nodes


def _apart(runs: Iterable[_Run], left: Work, right: Work) -> Iterator[_Run]:
    """The longest first, and of each shorter one what is left of it (M. Wise's greedy string tiling)."""
    of_left = [bytearray(len(passage.text)) for passage in left.passages]
    of_right = [bytearray(len(passage.text)) for passage in right.passages]
    for run in sorted(runs, key=lambda run: -run.of_left):
        mine, theirs = of_left[run.left], of_right[run.right]
        free = [not mine[run.start + step] and not theirs[run.at + step] for step in range(run.of_left)]
        first = free.index(True) if True in free else run.of_left
        length = (free.index(False, first) if False in free[first:] else run.of_left) - first
        if length >= LENGTH:
            start, at = run.start + first, run.at + first
            mine[start : start + length] = theirs[at : at + length] = b"\1" * length
            yield _Run(run.left, start, length, run.right, at, length)


def _joined(runs: Iterable[_Run]) -> list[_Run]:
    """What is a few nodes apart on both sides is one match with something in between."""
    joined: list[_Run] = []
    for run in sorted(runs, key=lambda run: (run.left, run.start)):
        last = joined[-1] if joined else None
        if last is not None and (last.left, last.right) == (run.left, run.right):
            apart = run.start - last.start - last.of_left, run.at - last.at - last.of_right
            if all(0 <= nodes <= GAP for nodes in apart):
                of_left, of_right = run.start + run.of_left - last.start, run.at + run.of_right - last.at
                joined[-1] = _Run(last.left, last.start, of_left, last.right, last.at, of_right)
                continue
        joined.append(run)
    return joined


def _place(passage: Passage, start: int, length: int) -> Place:
    lines = passage.lines[start : start + length]
    return Place(passage.cell, passage.name, min(lines), max(lines))


def _prints(of: Iterable[Passage]) -> set[str]:
    return {found for passage in of for found in _prints_in(passage.text)}


def _prints_in(text: str) -> list[str]:
    return [text[at : at + LENGTH] for at in range(len(text) - LENGTH + 1)]


def _stripped(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.split("\n")).strip("\n")
