"""Where students' submissions lie once they are kept: for those who grade, read or compare them again.

Finds files and says whose they are; reads no notebook and runs nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from grading.errors import UsageError
from grading.homework import Homework

FOLDER = "submissions"
"""In a store: `submissions/<homework>/<student>/<commit>/`."""

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Stored:
    """A notebook that was handed in, whose, and at which commit, where that is known."""

    student: str
    commit: str | None
    path: Path


def stored(directory: Path, homework: Homework) -> list[Stored]:
    """A homework's submissions below a directory, by student, commit and path.

    The directory is a store, or has notebooks called `LOGIN.ipynb`, or each in a directory `LOGIN`. Hidden files and
    links are none. Raises UsageError where there is no such directory.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; give one with students' notebooks, or a store")
    kept = directory / FOLDER / homework.name
    root = kept if kept.is_dir() else directory
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            if name.endswith(".ipynb") and not name.startswith(".") and not path.is_symlink():
                found.append(_stored(path, homework.notebook))
    return sorted(found, key=lambda one: (one.student.casefold(), one.commit or "", str(one.path)))


def student_of(path: Path, notebook: str) -> str:
    """Whose a notebook is by its name, or by its directory's where it is called like the homework's."""
    return path.absolute().parent.name if path.name == notebook else path.stem


def _stored(path: Path, notebook: str) -> Stored:
    for folder in path.absolute().parents:
        if _COMMIT.fullmatch(folder.name):
            return Stored(folder.parent.name, folder.name, path)
    return Stored(student_of(path, notebook), None, path)
