"""Takes the files that are graded out of a repository's archive. A student chose every byte of it.

Only ordinary files with a wanted name are written, below the given directory and nowhere else; links, devices and
everything beside them are passed over. Nothing is run, and nothing here reads a notebook.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from grading.errors import NotebookError
from grading.notebook import MAX_BYTES, MAX_DEPTH

MOST_UNPACKED = 2**30  # bytes read from one archive, wanted or not
MOST_WRITTEN = 4 * MAX_BYTES
MOST_FILES = 1_000  # written
MOST_MEMBERS = 50_000


class TooMuch(Exception):
    """The archive unpacks to more than anybody needs for a homework."""


def unpack(archive: bytes, directory: Path, wanted: Callable[[str], bool]) -> None:
    """Write the files whose own name is `wanted` as `directory`/their path in the repository.

    `archive`: a gzipped tar with one folder around everything, as GitHub makes it. Raises NotebookError, in words
    for the student, where it is beyond all bounds or broken.
    """
    try:
        stream = _Bounded(gzip.GzipFile(fileobj=io.BytesIO(archive)))
        with tarfile.open(fileobj=stream, mode="r|") as members:
            _write_wanted(members, directory, wanted)
    except TooMuch:
        raise NotebookError(
            "the repository is too large to be looked through: remove what does not belong to the homework"
        ) from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, RecursionError):
        raise NotebookError(
            "the repository's archive cannot be read: push again, or tell your teachers"
        ) from None


def _write_wanted(members: tarfile.TarFile, directory: Path, wanted: Callable[[str], bool]) -> None:
    written = files = 0
    for seen, member in enumerate(members):
        if seen >= MOST_MEMBERS:
            raise TooMuch
        path = PurePosixPath(member.name)
        inside = path.parts[1:]  # without the folder around everything
        if not member.isreg() or not inside or not wanted(inside[-1]):
            continue
        if path.is_absolute() or ".." in inside or len(inside) > MAX_DEPTH + 1:
            continue
        if any(part.startswith(".") or "\0" in part for part in inside):
            continue
        # One byte beyond the limit is kept, so that whoever reads the file sees that it is too large.
        content = members.extractfile(member)
        kept = content.read(MAX_BYTES + 1) if content is not None else b""
        written, files = written + len(kept), files + 1
        if written > MOST_WRITTEN or files > MOST_FILES:
            raise TooMuch
        _write(directory.joinpath(*inside), kept)


def _write(target: Path, content: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with open(os.open(target, flags, 0o644), "wb") as file:
            file.write(content)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.errno in _FULL:
            raise
        # a name that no file can have here: such a notebook is not found, and the student is told so


_FULL = {errno.EIO, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT}  # ours, not the student's


class _Bounded(io.RawIOBase):
    """A stream that stops a decompression bomb where it has given enough."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile) -> None:
        self.stream = stream
        self.left = MOST_UNPACKED

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size if size >= 0 else self.left + 1)
        self.left -= len(data)
        if self.left < 0:
            raise TooMuch
        return data
