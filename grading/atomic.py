"""Writing a file whole or not at all: a reader, or a kill at any moment, meets the old file or the new one.

Nothing here knows what the bytes mean, or whether they may replace what is there.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from grading.errors import GradingError, UsageError

_OURS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`, through a hidden file beside it and a rename.

    Raises UsageError if the path cannot be written, GradingError if the machine has no room or fails.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        try:
            _write_through(temporary, content)
            os.replace(temporary, path)
            _sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        why = error.strerror or type(error).__name__
        if error.errno in _OURS:
            raise GradingError(f"{path}: cannot be written: {why}; make room and run it again") from error
        raise UsageError(f"{path}: cannot be written: {why}; choose another place") from error


def _write_through(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
