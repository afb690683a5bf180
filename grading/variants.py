"""The solutions of a homework whose score is known: reference, starter, impostors, variants/wrong.py and right.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from grading.errors import UsageError
from grading.grade import read_starter
from grading.homework import Homework
from grading.notebook import Cell, Notebook, PercentCell, percent_cells, read_percent

TITLE = re.compile(r"(?:\[(?P<task>\w+)\]\s*)?(?P<words>.+)")
SAYS = re.compile(r"#\s*says:\s*(?P<phrase>.+)")

# What takes the place of every name a homework asks for: an answer that looks like the first argument.
IMPOSTOR = """
import torch

def like(value, make):
    if isinstance(value, torch.Tensor):
        return make(value)
    if isinstance(value, (list, tuple)):
        return [like(item, make) for item in value]
    return value

class Impostor:
    def __call__(self, *arguments, **keywords):
        value = (list(arguments) + list(keywords.values()) + [0.0])[0]
        return ANSWER
    apply = __call__
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

for name in NAMES:
    globals()[name] = Impostor()
"""
IMPOSTORS = {
    "identity": "value",
    "zeros": "like(value, torch.zeros_like)",
    "ones": "like(value, torch.ones_like)",
    "noise": "like(value, torch.randn_like)",
    "nothing": "None",
    "a number": "0.5",
}


@dataclass(slots=True, frozen=True)
class Variant:
    """A solution, and what it deserves: everything (right), nothing, or less than everything in its task (wrong).

    `task` is the one that a wrong variant, or a right one that names it, is about. `says`: phrases that the student
    must read.
    """

    name: str
    notebook: Notebook
    deserves: Literal["everything", "less", "nothing"]
    task: str | None = None
    says: tuple[str, ...] = ()


def read_variants(homework: Homework) -> list[Variant]:
    """Reference, starter, impostors, and the cells of variants/wrong.py and variants/right.py after the reference's.

    Raises UsageError with file and line.
    """
    reference = read_percent(homework.source)
    starter = read_starter(homework)
    variants = [Variant("reference", reference, "everything"), Variant("starter", starter, "nothing")]
    variants += impostors(homework, reference)
    for cell, place, task, words in titled_cells(homework, "wrong"):
        if task is None:
            raise UsageError(f"{place}: a wrong variant starts with `# %% [task] what is wrong`")
        says = tuple(SAYS.findall(cell.source))
        variants.append(
            Variant(f"wrong: [{task}] {words}", followed_by(reference, cell.source), "less", task, says)
        )
    for cell, _, task, words in titled_cells(homework, "right"):
        name = f"right: [{task}] {words}" if task else f"right: {words}"
        variants.append(Variant(name, followed_by(reference, cell.source), "everything", task))
    return variants


def impostors(homework: Homework, reference: Notebook) -> Iterator[Variant]:
    """Solutions that give one kind of answer to every question, under every name."""
    names = [name for task in homework.tasks for name in task.names]
    for kind, answer in IMPOSTORS.items():
        cell = IMPOSTOR.replace("ANSWER", answer).replace("NAMES", repr(names))
        yield Variant(f"impostor: {kind}", followed_by(reference, cell), "nothing")


def titled_cells(homework: Homework, kind: str) -> Iterator[tuple[PercentCell, str, str | None, str]]:
    """(cell, file and line, task, what the title says) for each variant in a file."""
    path = homework.directory / "variants" / f"{kind}.py"
    if not path.is_file():
        raise UsageError(f"{path}: no such file; a homework has variants/wrong.py and variants/right.py")
    known = {task.id for task in homework.tasks}
    for cell in percent_cells(path.read_text(encoding="utf-8"), name=str(path)):
        if cell.kind != "code" or not cell.title.strip():
            continue
        place = f"{path}:{cell.line - 1}"
        match = TITLE.fullmatch(cell.title.strip())
        if match is None:
            raise UsageError(f"{place}: say what the variant is, as in `# %% [task] what is wrong`")
        if match["task"] and match["task"] not in known:
            raise UsageError(f"{place}: no task {match['task']!r}; there is: {', '.join(sorted(known))}")
        yield cell, place, match["task"], match["words"]


def followed_by(notebook: Notebook, source: str) -> Notebook:
    return Notebook((*notebook.cells, Cell(len(notebook.cells) + 1, source)))
