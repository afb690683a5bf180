"""Where students' submissions lie once they are kept: for those who grade, read or compare them again.

Finds files and says whose they are; reads no notebook and runs nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grading.errors import UsageError

if TYPE_CHECKING:
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

    The directory is a store (or its `submissions`), or has notebooks called `LOGIN.ipynb`, or each in a directory
    `LOGIN`. Hidden files and links are none. Raises UsageError where there is no such directory.
    """
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory; give one with students' notebooks, or a store")
    folders_of_homework = [directory / FOLDER / homework.name]
    if directory.absolute().name == FOLDER:
        folders_of_homework.append(directory / homework.name)
    root = next((folder for folder in folders_of_homework if folder.is_dir()), directory)
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            if name.endswith(".ipynb") and not name.startswith(".") and not path.is_symlink():
                found.append(_stored(path, root, homework.notebook))
    return sorted(found, key=lambda one: (one.student.casefold(), one.commit or "", str(one.path)))


def _stored(path: Path, root: Path, notebook: str) -> Stored:
    """Whose it is the outermost names say: the student chose those within."""
    student, *within = path.relative_to(root).parts
    if not within:
        return Stored(root.absolute().name if student == notebook else path.stem, None, path)
    commit = within[0] if len(within) > 1 and _COMMIT.fullmatch(within[0]) else None
    return Stored(student, commit, path)
