"""The job summary of one submission, as GitHub-flavoured Markdown. A student's words are shown as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Literal

from grading.homework import Homework
from grading.report.words import findings, headline, mend_first, number
from grading.score import Score, counting_attempt

SPECIAL = "\\`*_{}[]<>#+!|~$@&"
MOST_BYTES = 900_000  # GitHub shows at most 1 MiB a step


def summary(
    score: Score,
    homework: Homework,
    earlier: Sequence[Score] | None = None,
    *,
    counts: Literal["best", "last"] = "best",
    zone: tzinfo = UTC,
) -> str:
    """Points a task first, then what to mend, task by task.

    `earlier`: what is known of the student's earlier pushes, None where they could not be looked up; `counts`: the
    course's rule for which attempt does; `zone`: the course's, for moments.
    """
    lines = [f"## {text(homework.title)} ({text(homework.name)}): {text(headline(score))}", ""]
    if score.state == "error":
        lines += ["The grader failed. Your submission is kept, and will be graded again.", ""]
    lines += [f"{text(line)}\n" for line in about_time(score, zone)]
    if earlier is not None and (counting := what_counts(score, earlier, counts, zone)):
        lines += [f"**Counts so far:** {text(counting)}", ""]
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


def about_time(score: Score, zone: tzinfo) -> list[str]:
    """When it was handed in and when it was due, and whether that is final."""
    lines = []
    if score.submitted_at is not None:
        due = f", due {moment(score.deadline, zone)}" if score.deadline is not None else ""
        lines.append(f"Handed in {moment(score.submitted_at, zone)}{due} ({zone}).")
    if score.provisional:
        lines.append(
            "The time is that of the push; the time that counts is fixed when the grades are collected."
        )
    return lines


def what_counts(score: Score, earlier: Sequence[Score], counts: Literal["best", "last"], zone: tzinfo) -> str:
    """Which attempt counts, of those known; nothing where none is graded. A re-run of one commit is one attempt."""
    best = counting_attempt([*earlier, score], counts)
    if best is None:
        return ""
    points = f"{number(best.final_points)} points"
    if best is score or (best.commit is not None and best.commit == score.commit):
        return f"this push, {points}"
    when = f" of {moment(best.submitted_at, zone)}" if best.submitted_at is not None else ""
    commit = f" ({best.commit[:7]})" if best.commit is not None else ""
    return f"your push{when}{commit}, {points}"


def moment(when: datetime, zone: tzinfo) -> str:
    local = when.astimezone(zone)
    return f"{local.day} {local:%b %H:%M}"


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
