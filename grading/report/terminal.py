"""Scores on a terminal, and how far a command is. What a student may have written is shown as text, never as markup or
escapes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grading.homework import Homework
from grading.report.words import error_reason, findings, headline, inert, lateness, mend_first, number
from grading.score import Score

if TYPE_CHECKING:
    from rich.progress import Progress

REDRAWN_EVERY = 0.1  # seconds


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """A bar on stderr, where somebody looks at it, for as long as the block runs."""
    if not _watched():
        yield Bar()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Drawn by hand: a thread that draws would not survive the judge's forks. Nothing is redirected: what is printed
    # to stdout belongs there.
    with Progress(
        *columns,
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as drawn:
        drawn.add_task(what, total=total)
        drawn.refresh()
        yield Bar(drawn)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says so where somebody looks at it, for what cannot say how far it is."""
    if not _watched():
        yield
        return
    with Console(stderr=True).status(what):
        yield


def _watched() -> bool:
    """Stderr is a terminal, and nobody's CI."""
    return sys.stderr.isatty() and "CI" not in os.environ and os.environ.get("TERM") != "dumb"


class Bar:
    """How far something is, and a way past it for lines. Without a terminal only the lines are left."""

    def __init__(self, drawn: Progress | None = None) -> None:
        self._drawn = drawn
        self._at = 0
        self._redrawn = time.monotonic()

    def step(self) -> None:
        self.reach(self._at + 1)

    def reach(self, done: int, total: int | None = None) -> None:
        """`done` of `total`; without a total it is the one that was said before."""
        self._at = done
        if self._drawn is None:
            return
        now = time.monotonic()
        redraw = now - self._redrawn >= REDRAWN_EVERY
        self._redrawn = now if redraw else self._redrawn
        self._drawn.update(self._drawn.task_ids[0], completed=done, total=total, refresh=redraw)

    def say(self, line: str, file: TextIO | None = None) -> None:
        """A line or more past the bar, to stderr if not elsewhere; without control characters."""
        if self._drawn is not None:
            self._drawn.stop()
        print("\n".join(map(inert, line.split("\n"))), file=file or sys.stderr, flush=True)
        if self._drawn is not None:
            self._drawn.start()


def plain(text: str) -> Text:
    """Text without control characters: no escape sequence, no workflow command."""
    return Text("\n".join(inert(line) for line in text.removesuffix("\n").split("\n")))


def show_score(console: Console, score: Score, homework: Homework) -> None:
    """One submission: points a task, and below each what failed and why."""
    title = Text.assemble((f"{homework.title}", "bold"), "  ", plain(score.student or ""))
    console.print(title)
    for task in homework.tasks:
        scored = next((found for found in score.tasks if found.id == task.id), None)
        if scored is None:
            continue
        full = scored.points == scored.max_points
        points = f"{number(scored.points)}/{number(scored.max_points)}"
        console.print(Text.assemble((f"{points:>9}  ", "green" if full else "yellow"), task.title))
        if first := mend_first(task, score, homework):
            console.print(indented(Text(first, style="italic"), 11))
        for heading, details in findings(scored).items():
            console.print(indented(plain(f"• {heading}"), 11))
            for detail in details:
                console.print(indented(plain(f"– {detail}"), 13))
    console.print(Text.assemble(("Result: ", "bold"), plain(headline(score))))


def indented(text: Text, columns: int) -> Padding:
    return Padding(text, (0, 0, 0, columns), expand=False)


def class_table(scores: Sequence[Score]) -> Table:
    """A class: one row a submission."""
    table = Table(box=None, pad_edge=False)
    for heading in ("student", "points", "late", "final", "state"):
        table.add_column(heading, justify="right" if heading in ("points", "final") else "left")
    for score in scores:
        state = (
            Text("graded") if score.state == "graded" else Text("error: ", "red") + plain(error_reason(score))
        )
        table.add_row(
            plain(score.student or "?"),
            number(score.points),
            lateness(score),
            number(score.final_points),
            state,
        )
    return table
