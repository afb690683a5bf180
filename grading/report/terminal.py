"""Scores on a terminal. Everything a student may have written is shown as text, never as markup or escapes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grading.homework import Homework
from grading.report.words import error_reason, findings, headline, inert, lateness, mend_first, number
from grading.score import Score


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
