"""What GitHub shows beside the student's notebook: workflow commands, to be printed into the log of the run.

A student's words stand in a command as data and can neither end it nor begin another. The notebook is only looked
through for where its cells stand: nothing in it is run, or parsed as Python.
"""

import json
import re
from fractions import Fraction

from grading.errors import NotebookError
from grading.homework import Homework, Task
from grading.notebook import parse_notebook
from grading.report.words import error_reason, findings, inert, mend_first, number
from grading.score import Score, TaskScore

MOST = 10  # GitHub shows so many warnings of one step
MOST_FINDINGS = 3
MOST_LETTERS = 1_000

NOT_YOUR_FAULT = "The grader failed, not your fault"


def annotations(
    score: Score,
    homework: Homework,
    notebook_path: str | None,
    notebook: bytes = b"",
    pass_mark: Fraction | None = None,
) -> list[str]:
    """One warning for each task that lost points, those that lost most first; one error where the grader failed, or
    where the points stay below the pass mark.

    `notebook_path`: where the notebook stands in the repository, None where none was found; `notebook`: its bytes.
    """
    if score.state == "error":
        words = f"{error_reason(score)}\nYour push is kept, and will be graded again."
        return [command("error", words, title=NOT_YOUR_FAULT)]
    cells = code_cells(notebook)
    found: dict[str, str] = {}  # by message: a file that cannot be read says the same of every task
    for task, scored in tasks_that_lost(score, homework):
        words = what_to_mend(task, scored, score, homework)
        title = f"{task.title}: {number(scored.points)} of {number(scored.max_points)} points"
        line = str(line_of(task, scored, cells))
        found.setdefault(words, command("warning", words, file=notebook_path, line=line, title=title))
    written = list(found.values())[:MOST]
    if below(score, pass_mark):
        words = (
            f"{number(score.points)} of {number(score.max_points)} points; {number(pass_mark)} are asked for."
        )
        written.append(command("error", words, title="Below the pass mark"))
    return written


def below(score: Score, pass_mark: Fraction | None) -> bool:
    """Whether the points, before any penalty, are fewer than the course asks for."""
    return pass_mark is not None and score.points is not None and score.points < pass_mark


def tasks_that_lost(score: Score, homework: Homework) -> list[tuple[Task, TaskScore]]:
    scored = {task.id: task for task in score.tasks}
    tasks = [(task, scored[task.id]) for task in homework.tasks if task.id in scored]
    lost = [(task, of) for task, of in tasks if of.points is not None and of.points < of.max_points]
    return sorted(lost, key=lambda pair: (pair[1].points or 0) - pair[1].max_points)


def what_to_mend(task: Task, scored: TaskScore, score: Score, homework: Homework) -> str:
    told = findings(scored)
    lines = [": ".join([heading, *details[:1]]) for heading, details in list(told.items())[:MOST_FINDINGS]]
    if len(told) > MOST_FINDINGS:
        lines.append("… and more: see the summary of the run")
    first = mend_first(task, score, homework)
    return "\n".join([first] * bool(first) + lines)


# The form of a command


def command(kind: str, message: str, *, file: str | None = None, line: str = "", title: str) -> str:
    """`::kind file=…,line=…,title=…::message`, on one line whatever stands in its parts."""
    properties = {"title": inert(title)}
    if file is not None and file.isprintable():
        properties = {"file": file, "line": line, **properties}
    listed = ",".join(f"{name}={in_property(value)}" for name, value in properties.items())
    words = "\n".join(inert(part) for part in message.split("\n"))
    shown = words if len(words) <= MOST_LETTERS else f"{words[: MOST_LETTERS - 1]}…"
    return f"::{kind} {listed}::{in_data(shown)}"


def in_data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def in_property(text: str) -> str:
    return in_data(text).replace(":", "%3A").replace(",", "%2C")


# Where a task stands in the file


def line_of(task: Task, scored: TaskScore, cells: list[tuple[int, str]]) -> int:
    """The line where the cell begins that defines what failed first; 1 where no cell does. The last definition of a
    name is the one that was graded."""
    for name in names_by_blame(task, scored):
        lines = [line for line, source in cells if defines(source, name)]
        if lines:
            return lines[-1]
    return 1


def names_by_blame(task: Task, scored: TaskScore) -> list[str]:
    """The task's names, those first that the first test to fail speaks of; of `relu` and `leaky_relu` the longer."""
    failed = next((test for test in scored.tests if test.verdict == "failed"), None)
    blamed: list[str] = []
    for words in (failed.name, failed.message) if failed else ():
        spoken = [name for name in task.names if re.search(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", words)]
        blamed += sorted(spoken, key=len, reverse=True)
    return [*dict.fromkeys([*blamed, *task.names])]


def defines(source: str, name: str) -> bool:
    definition = rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=(?!=)"
    return re.search(definition, source, re.MULTILINE) is not None


def code_cells(notebook: bytes) -> list[tuple[int, str]]:
    """The line of the file where each code cell begins, and its source; none where the file is no such notebook."""
    try:
        cells = parse_notebook(notebook).cells
        text = notebook.decode(json.detect_encoding(notebook), "replace")
        starts = starts_of_code_cells(text)
    except (NotebookError, ValueError, RecursionError):
        return []
    if len(starts) != len(cells):  # a notebook of format 3, whose cells stand elsewhere
        return []
    placed, line, at = [], 1, 0
    for start, cell in zip(starts, cells, strict=True):
        line, at = line + text.count("\n", at, start), start
        placed.append((line, cell.source))
    return placed


SPACE = re.compile(r"[ \t\r\n]*")


def starts_of_code_cells(text: str) -> list[int]:
    """Where the code cells of a notebook begin. `text` is valid JSON, an object; of two lists the last counts."""
    read = json.JSONDecoder(parse_int=float).raw_decode

    def after(at: int) -> int:
        space = SPACE.match(text, at)
        return space.end() if space else at

    starts: list[int] = []
    at = after(text.index("{") + 1)
    while text[at : at + 1] == '"':
        key, at = read(text, at)
        at = after(after(at) + 1)  # the colon
        if key == "cells" and text[at] == "[":
            starts, at = [], after(at + 1)
            while text[at] != "]":
                cell, end = read(text, at)
                if isinstance(cell, dict) and cell.get("cell_type") == "code":
                    starts.append(at)
                at = after(end)
                at = after(at + 1) if text[at] == "," else at
            at += 1
        else:
            _, at = read(text, at)
        at = after(after(at) + 1)  # the comma, or the end
    return starts
