"""Files handed in beside a notebook, as homework.yml's `submits` asks: read as bytes here, used in the sandbox only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grading.student_file import FileProblem, Obstacle, read_student_file


@dataclass(slots=True, frozen=True)
class SubmittedFiles:
    """By name: the bytes of those that are there, and why the others are not, in a student's words."""

    contents: Mapping[str, bytes] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


NO_FILES = SubmittedFiles()


def read_submitted(directory: Path, wanted: Mapping[str, int]) -> SubmittedFiles:
    """The files beside a notebook. `wanted`: names, and the KiB that each may have. Raises nothing."""
    contents, problems = {}, {}
    for name, kib in wanted.items():
        try:
            contents[name] = read_student_file(directory / name, kib * 1024)
        except FileProblem as problem:
            problems[name] = {
                Obstacle.LINK: f"{name} is a link, and links are not followed: put the file itself there",
                Obstacle.TOO_LARGE: f"{name} was left out: it is larger than {kib} KB",
            }.get(
                problem.obstacle,
                f"no file {name} was handed in beside the notebook: run the cell that writes it, commit the file, "
                "and push again",
            )
    return SubmittedFiles(contents, problems)
