"""The job summary of one submission, as GitHub-flavoured Markdown. A student's words are shown as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Literal

from grading.homework import Homework
from grading.late import LatePolicy
from grading.report.feedback import Excerpt, Feedback, Finding, feedback
from grading.report.words import number
from grading.score import Score

SPECIAL = "\\`*_{}[]<>#+!|~$@&"
MOST_BYTES = 900_000  # GitHub shows at most 1 MiB a step


def summary(
    score: Score,
    homework: Homework,
    earlier: Sequence[Score] | None = None,
    *,
    counts: Literal["best", "last"] = "best",
    zone: tzinfo = UTC,
    late: LatePolicy | None = None,
) -> str:
    """Points a task first, then what to mend, task by task. See `feedback` for the arguments."""
    return in_markdown(feedback(score, homework, earlier, counts=counts, zone=zone, late=late))


def in_markdown(told: Feedback) -> str:
    lines = [f"## {text(told.title)} ({text(told.homework)}): {text(told.headline)}", ""]
    lines += [f"{text(note)}\n" for note in told.notes]
    if told.counts:
        lines += [f"**Counts so far:** {text(told.counts)}", ""]
    if told.next_points:
        lines += [f"**The next points:** {text(told.next_points)}", ""]
    if told.a_day_later:
        lines += [f"**A day later**, the same work would get {text(told.a_day_later)}.", ""]
    if told.everywhere:
        lines += [f"**What to mend:** {text(told.everywhere)}", ""]
    lines += ["| task | points | of |", "| --- | ---: | ---: |"]
    for task in told.tasks:
        lines.append(f"| {text(task.title)} | {number(task.points)} | {number(task.max_points)} |")
    for task in told.tasks:
        if not task.findings:
            continue
        lines += ["", f"### {text(task.title)}", ""]
        if task.mend_first:
            lines += [f"*{text(task.mend_first)}*", ""]
        for finding in task.findings:
            lines += finding_in_markdown(finding)
        if task.more:
            lines.append(f"- {text(task.more)}")
    if told.about_cells:
        lines += ["", text(told.about_cells)]
    written = "\n".join(lines) + "\n"
    if len(written.encode()) > MOST_BYTES:
        written = written.encode()[:MOST_BYTES].decode(errors="ignore") + "\n\n(cut here)\n"
    return written


def finding_in_markdown(finding: Finding) -> list[str]:
    lines = [f"- {text(finding.what)}" + (f" ({text(finding.worth)})" if finding.worth else "")]
    for reason in finding.reasons:
        lines += [f"  - {text(reason.words)}"] if reason.words else []
        for excerpt in reason.excerpts:
            lines += [f"  - cell {excerpt.cell}, line {excerpt.line}:", *as_code(excerpt)]
    return lines


def as_code(excerpt: Excerpt) -> list[str]:
    """Lines of code below a point of a list. HTML, since in it signs can be written as entities, as everywhere here."""
    shown = [
        f"{'>' if number == excerpt.line else ' '} {number}  {one_line(line)}"
        for number, line in excerpt.lines
    ]
    return ["    <pre>", *(f"    {as_entities(line)}" for line in shown), "    </pre>"]


def one_line(line: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in line.expandtabs(4)).rstrip()


def as_entities(shown: str) -> str:
    return "".join(f"&#{ord(letter)};" if letter in SPECIAL else letter for letter in shown)


def text(words: str) -> str:
    """Words as text: nothing in them is markup, a mention, a link or HTML, even where they begin a line."""
    shown = "".join(letter if letter.isprintable() else " " for letter in words).strip()
    # GitHub looks for these in the text that is left when all markup is read, so that writing the sign as an entity
    # does not hide it: @name, #1, name@host, www.host, https://host.
    shown = re.sub(r"(?<=[@#])(?=\w)|(?<=www)(?=\.)|(?<=:)(?=//)", "\u200b", shown, flags=re.IGNORECASE)
    written = [f"&#{ord(letter)};" if letter in SPECIAL else letter for letter in shown]
    if begins_list := re.match(r"\d*[-.)]", shown):
        sign = begins_list.end() - 1
        written[sign] = f"&#{ord(shown[sign])};"
    return "".join(written)
