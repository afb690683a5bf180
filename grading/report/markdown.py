"""The job summary of one submission, as GitHub-flavoured Markdown. A student's words are shown as text."""

from __future__ import annotations

import html

from grading.homework import Homework
from grading.report.words import findings, headline, mend_first, number
from grading.score import Score

SPECIAL = "\\`*_{}[]<>()#+-.!|~$:@&"
MOST_BYTES = 900_000  # GitHub shows at most 1 MiB a step


def summary(score: Score, homework: Homework) -> str:
    """Points a task first, then what to mend, task by task."""
    lines = [f"## {text(homework.title)} ({text(homework.name)}): {text(headline(score))}", ""]
    if score.state == "error":
        lines += ["The grader failed. Your submission is kept, and will be graded again.", ""]
    if score.provisional:
        lines += [
            "The time is that of the push; the time that counts is fixed when the grades are collected.",
            "",
        ]
    lines += ["| task | points | of |", "| --- | ---: | ---: |"]
    for task in homework.tasks:
        scored = next((found for found in score.tasks if found.id == task.id), None)
        if scored is not None:
            lines.append(f"| {text(task.title)} | {number(scored.points)} | {number(scored.max_points)} |")
    for task in homework.tasks:
        scored = next((found for found in score.tasks if found.id == task.id), None)
        if scored is None or not findings(scored):
            continue
        lines += ["", f"### {text(task.title)}", ""]
        if first := mend_first(task, score, homework):
            lines += [f"*{text(first)}*", ""]
        for heading, details in findings(scored).items():
            lines.append(f"- {text(heading)}")
            lines += [f"  - {text(detail)}" for detail in details]
    written = "\n".join(lines) + "\n"
    if len(written.encode()) > MOST_BYTES:
        written = written.encode()[:MOST_BYTES].decode(errors="ignore") + "\n\n(cut here)\n"
    return written


def text(words: str) -> str:
    """Words as text: nothing in them is markup, a mention, a link or HTML."""
    shown = "".join(letter if letter.isprintable() else " " for letter in words)
    escaped = html.escape(shown, quote=False)
    return "".join(
        f"&#{ord(letter)};" if letter in SPECIAL and letter not in "&;<>()-.:" else letter
        for letter in escaped
    )
