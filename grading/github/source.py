"""Fetches the files of a commit that are graded. A student chose every name and byte of them.

Each is taken by its blob, as git keeps it: an archive would be made anew, with the names of today's branches and tags
put into a file where its .gitattributes says so. Nothing is run, and nothing here reads a notebook.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from grading.errors import NotebookError
from grading.github.answers import TreeEntry
from grading.github.api import GitHub
from grading.notebook import MAX_BYTES, MAX_CANDIDATES, MAX_DEPTH

LINK = "120000"
FILES = ("100644", "100755")
MOST_FETCHED = 2 * MAX_BYTES  # together

_FULL = {errno.EIO, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT}  # ours, not the student's


def take_source(
    api: GitHub, repository: str, commit: str, directory: Path, notebook: str, beside: Collection[str]
) -> None:
    """Put what is graded at a commit into a directory, where `find_notebook` looks for it.

    That is `notebook` at the top, or where there is none every notebook, and the files named in `beside` next to it.
    Raises NotebookError in words for the student, and what the client raises.
    """
    tree = api.files(repository, commit)
    if tree.truncated:
        raise NotebookError(
            "the repository has too many files to be looked through: remove what does not belong to the homework"
        )
    left = MOST_FETCHED
    for number, entry in enumerate(graded(tree.tree, notebook, beside)):
        target = directory.joinpath(*PurePosixPath(entry.path).parts)
        size = entry.size or 0
        if entry.mode == LINK:
            _write(target, None)
        elif size > min(left, MAX_BYTES) or number > 2 * MAX_CANDIDATES:
            _write(target, b"", size)  # whoever reads it sees that it is too large, or only counts it
        else:
            _write(target, api.blob(repository, entry.sha, size))
            left -= size


def graded(entries: Collection[TreeEntry], notebook: str, beside: Collection[str]) -> Iterator[TreeEntry]:
    """Of all files of a commit, those that grading may open: ordinary ones and links, in no hidden folder."""
    kept = [entry for entry in entries if entry.mode in (*FILES, LINK) and _is_plain(entry.path)]
    if any(entry.path == notebook and entry.mode in FILES for entry in kept):
        yield from (entry for entry in kept if entry.path == notebook or entry.path in beside)
        return
    found = [entry for entry in kept if entry.path.lower().endswith(".ipynb")]
    folders = {PurePosixPath(entry.path).parent for entry in found}
    yield from found
    for entry in kept:
        path = PurePosixPath(entry.path)
        if path.name in beside and path.parent in folders:
            yield entry


def _is_plain(path: str) -> bool:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or len(parts) > MAX_DEPTH + 1:
        return False
    return not any(part.startswith(".") or "\0" in part for part in parts)


def _write(target: Path, content: bytes | None, size: int = 0) -> None:
    """A file (of at least `size`, without bytes of its own beyond `content`), or without content a link to nowhere."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            target.symlink_to("a link in the repository")
            return
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            file.write(content)
            file.truncate(max(size, len(content)))
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        # a name that no file can have here: such a notebook is not found, and the student is told so
