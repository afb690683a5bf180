"""A homework as its author describes it: `homework.yml`, checked against the files that stand beside it.

Reads the description only; no test, source or notebook is opened here.
"""

from __future__ import annotations

import keyword
import os
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from grading.configuration import Problem, did_you_mean, read_configuration
from grading.strict import Configuration

TOTAL_POINTS = 100
MOST_SUBMITTED_KIB = 1024


def _is_name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError("should be a name in Python")
    return text


def _is_dotted(text: str) -> str:
    for part in text.split("."):
        _is_name(part)
    return text


def _is_pattern(text: str) -> str:
    _is_dotted(text.removesuffix(".*"))
    return text


TaskId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00]+\.ipynb$")]
Name = Annotated[str, AfterValidator(_is_name)]
DottedName = Annotated[str, AfterValidator(_is_dotted)]
DottedPattern = Annotated[str, AfterValidator(_is_pattern)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
SubmittedName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class Task(Configuration):
    """The unit a student is graded on: what must be defined, and one module of hidden tests."""

    id: TaskId
    title: Annotated[str, StringConstraints(min_length=1)]
    points: int = Field(gt=0)
    names: tuple[Name, ...] = Field(min_length=1)
    needs: tuple[TaskId, ...] = ()
    forbidden: tuple[DottedPattern, ...] = ()


class Limits(Configuration):
    """Seconds for one cell, one test and everything together; MiB of memory beyond the imports."""

    cell: Seconds = 60
    test: Seconds = 10
    total: Seconds = 300
    memory: int = Field(default=1024, gt=0)


class HomeworkKeys(Configuration):
    """What stands in `homework.yml`. `submits`: files that a student hands in beside the notebook, and how many KiB
    each may have."""

    title: Annotated[str, StringConstraints(min_length=1)]
    notebook: FileName | None = None
    tasks: tuple[Task, ...] = Field(min_length=1)
    limits: Limits = Limits()
    preload: tuple[DottedName, ...] = ()
    data: tuple[str, ...] = ()
    submits: dict[SubmittedName, Annotated[int, Field(gt=0, le=MOST_SUBMITTED_KIB)]] = Field(
        default_factory=dict
    )


class Homework(HomeworkKeys):
    """A homework and where it is. `name` is its directory's."""

    name: str
    directory: Path
    notebook: FileName

    @property
    def tests_directory(self) -> Path:
        return self.directory / "tests"

    @property
    def source(self) -> Path:
        """The notebook with the reference solution, in percent format."""
        return self.directory / "source.py"

    @property
    def starter(self) -> Path:
        return self.directory / self.notebook

    @property
    def support(self) -> Path | None:
        """Code that the worker loads beside the student's, where there is any."""
        path = self.directory / "support.py"
        return path if path.is_file() else None

    @property
    def data_files(self) -> tuple[Path, ...]:
        return tuple(self.directory / name for name in self.data)

    def test_module(self, task: Task) -> Path:
        return self.tests_directory / f"test_{task.id}.py"

    def task(self, task_id: str) -> Task:
        """Raises KeyError if there is no such task."""
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise KeyError(task_id)


def load_homework(directory: Path) -> Homework:
    """Read `homework.yml` in a homework's directory. Raises UsageError with file and line."""
    keys = read_configuration(
        directory / "homework.yml", HomeworkKeys, lambda keys: _problems(keys, directory)
    )
    name = directory.resolve().name
    fields = {key: getattr(keys, key) for key in HomeworkKeys.model_fields}
    fields["notebook"] = keys.notebook or f"{name}.ipynb"
    return Homework(**fields, name=name, directory=directory)


def _problems(keys: HomeworkKeys, directory: Path) -> Iterator[Problem]:
    total = sum(task.points for task in keys.tasks)
    if total != TOTAL_POINTS:
        yield ("tasks",), f"the points of the tasks sum to {total}; make them sum to {TOTAL_POINTS}"
    ids = [task.id for task in keys.tasks]
    for i, task in enumerate(keys.tasks):
        here = ("tasks", i)
        if task.id in ids[:i]:
            yield (*here, "id"), f'a second task "{task.id}"; give each its own id'
        module = directory / "tests" / f"test_{task.id}.py"
        if not module.is_file():
            yield (*here, "id"), f'"{task.id}" has no tests; write {module}'
        for j, need in enumerate(task.needs):
            if need not in ids:
                yield (*here, "needs", j), f'no task "{need}"; {did_you_mean(need, ids)}'
    yield from _cycles(keys)
    yield from _stray_tests(keys, directory)
    for i, name in enumerate(keys.data):
        if not _is_inside(name) or not (directory / name).is_file():
            yield ("data", i), f'no file "{name}" in {directory}; name a file beside homework.yml'
        elif name in keys.submits:
            yield ("data", i), f'"{name}" is also under submits; it is either given or handed in'
    with_reference = (directory / "source.py").is_file()
    for name in keys.submits:
        if with_reference and not (directory / name).is_file():
            yield (
                ("submits", name),
                f'no file "{name}" in {directory}; the reference solution hands it in too',
            )


def _cycles(keys: HomeworkKeys) -> Iterator[Problem]:
    try:
        TopologicalSorter({task.id: task.needs for task in keys.tasks}).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        at = next(i for i, task in enumerate(keys.tasks) if task.id in cycle and task.needs)
        yield (
            ("tasks", at, "needs"),
            f"needs itself in the end: {' → '.join(reversed(cycle))}; break the circle",
        )


def _stray_tests(keys: HomeworkKeys, directory: Path) -> Iterator[Problem]:
    """A test module that no task names would never run, and nobody would notice."""
    known = {f"test_{task.id}.py" for task in keys.tasks}
    for path in sorted((directory / "tests").glob("test_*.py")):
        if path.name not in known:
            yield ("tasks",), f"{path} belongs to no task; add a task or remove the file"


def _is_inside(name: str) -> bool:
    return not os.path.isabs(name) and ".." not in Path(name).parts
