"""Holds a homework to its promises: the reference scores 100, the starter and whatever gives one answer to every
question 0, each wrong variant loses points in its own task (elsewhere only where `needs` says so), each right variant
scores 100, on several seeds each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grading.course import Course
from grading.errors import UsageError
from grading.grade import Graded, Submission, grade, read_starter
from grading.homework import Homework
from grading.notebook import Cell, Notebook, PercentCell, percent_cells, read_percent
from grading.submitted import read_submitted

WRONG_TITLE = re.compile(r"\[(?P<task>\w+)\]\s*(?P<words>.+)")
NO_TASK = ""  # of a variant that must earn nothing in any task

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
SAYS = re.compile(r"#\s*says:\s*(?P<phrase>.+)")


@dataclass(slots=True, frozen=True)
class Variant:
    """A solution whose score is known. `task`: the one it must lose points in, None if it is right, NO_TASK if it
    must earn nothing; `says`: phrases that the student must read."""

    name: str
    notebook: Notebook
    task: str | None
    says: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Finding:
    """A variant on one seed: its score, and how it breaks the homework's promises (nothing if it keeps them)."""

    variant: Variant
    seed: int
    graded: Graded
    problems: tuple[str, ...]


def read_variants(homework: Homework) -> list[Variant]:
    """Reference, starter, and the cells of variants/wrong.py and variants/right.py, each after the reference's."""
    reference = read_percent(homework.source)
    variants = [Variant("reference", reference, None), Variant("starter", read_starter(homework), NO_TASK)]
    variants += impostors(homework, reference)
    directory = homework.directory / "variants"
    for cell, path in cells_of(directory / "wrong.py"):
        match = WRONG_TITLE.fullmatch(cell.title.strip())
        if match is None or match["task"] not in {task.id for task in homework.tasks}:
            raise UsageError(
                f"{path}:{cell.line - 1}: a wrong variant starts with `# %% [task] what is wrong`"
            )
        says = tuple(SAYS.findall(cell.source))
        variants.append(
            Variant(f"wrong: {cell.title.strip()}", followed_by(reference, cell.source), match["task"], says)
        )
    for cell, _ in cells_of(directory / "right.py"):
        variants.append(Variant(f"right: {cell.title.strip()}", followed_by(reference, cell.source), None))
    return variants


def impostors(homework: Homework, reference: Notebook) -> Iterator[Variant]:
    """Solutions that give one kind of answer to every question, under every name."""
    names = [name for task in homework.tasks for name in task.names]
    for kind, answer in IMPOSTORS.items():
        cell = IMPOSTOR.replace("ANSWER", answer).replace("NAMES", repr(names))
        yield Variant(f"impostor: {kind}", followed_by(reference, cell), NO_TASK)


def cells_of(path: Path) -> Iterator[tuple[PercentCell, Path]]:
    if not path.is_file():
        raise UsageError(f"{path}: no such file; a homework has variants/wrong.py and variants/right.py")
    for cell in percent_cells(path.read_text(encoding="utf-8"), name=str(path)):
        if cell.kind == "code" and cell.title.strip():
            yield cell, path


def followed_by(notebook: Notebook, source: str) -> Notebook:
    return Notebook((*notebook.cells, Cell(len(notebook.cells) + 1, source)))


def check(
    homework: Homework,
    course: Course,
    seeds_of: Callable[[Variant], int],
    done: Callable[[Finding], None],
    *,
    jobs: int = 1,
    confined: bool = True,
    chosen: str = "",
    full: bool = False,
) -> list[Finding]:
    """Grades every variant whose name contains `chosen` on so many seeds; the findings, in order.

    The first seed of a wrong variant is graded on every task, the others on its own only, unless `full`.
    """
    plan = [
        (variant, seed)
        for variant in read_variants(homework)
        if chosen.lower() in variant.name.lower()
        for seed in range(seeds_of(variant))
    ]
    if not plan:
        raise UsageError(f"{homework.directory / 'variants'}: no variant is called like {chosen!r}")
    files = read_submitted(homework.directory, homework.submits)
    submissions = [
        Submission(
            variant.notebook,
            variant.name,
            salt=f"check {seed}",
            files=files,
            tasks=frozenset({variant.task}) if variant.task and seed and not full else None,
        )
        for variant, seed in plan
    ]
    findings: dict[int, Finding] = {}

    def finished(number: int, graded: Graded) -> None:
        variant, seed = plan[number]
        findings[number] = Finding(variant, seed, graded, tuple(problems_of(variant, graded, homework)))
        done(findings[number])

    grade(homework, course, submissions, finished, jobs=jobs, confined=confined)
    return [findings[number] for number in sorted(findings)]


def problems_of(variant: Variant, graded: Graded, homework: Homework) -> Iterator[str]:
    """How a graded variant breaks the promises, in words."""
    score = graded.score
    if score.state == "error":
        yield f"error: {score.reason or first_error(graded)}"
        return
    if variant.task == NO_TASK:
        for task in score.tasks:
            if task.points:
                passed = [test.name for test in task.tests if test.verdict == "passed" and test.weight]
                yield f"earns {float(task.points):g} points in {task.id}: {', '.join(passed)}"
        return
    allowed = {variant.task} | tasks_resting_on(variant.task or "", homework)
    for task in score.tasks:
        lost = task.points != task.max_points
        if task.id == variant.task and not lost:
            yield f"survives: it loses nothing in {task.id}"
        if lost and (variant.task is None or task.id not in allowed):
            failed = next(test for test in task.tests if test.verdict != "passed")
            yield f"loses points in {task.id}: {failed.name}: {' / '.join(failed.message.splitlines())}"
    said = feedback(graded, variant.task)
    for phrase in variant.says:
        if phrase.strip().lower() not in said.lower():
            yield f"the feedback does not say {phrase.strip()!r}: {said}"


def feedback(graded: Graded, task_id: str | None) -> str:
    """What the student reads of one task, on one line."""
    messages = [
        test.message
        for task in graded.score.tasks
        if task.id == task_id
        for test in task.tests
        if test.verdict != "passed"
    ]
    return " / ".join(" ".join(message.splitlines()) for message in dict.fromkeys(messages))


def tasks_resting_on(task_id: str, homework: Homework) -> set[str]:
    """Tasks that name this one under `needs`, directly or through another."""
    found: set[str] = set()
    front = {task_id}
    while front:
        front = {task.id for task in homework.tasks if set(task.needs) & front} - found
        found |= front
    return found


def first_error(graded: Graded) -> str:
    errors = [test for task in graded.score.tasks for test in task.tests if test.verdict == "error"]
    return f"{errors[0].name}: {errors[0].message}" if errors else "unknown"
