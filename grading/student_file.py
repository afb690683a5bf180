"""Opens a file that a student chose: never through a link, never waiting for a pipe, never more than so many bytes.

It says what stands in the way; in which words that is told is its callers' business.
"""

from __future__ import annotations

import errno
import os
import stat
from enum import Enum, auto
from pathlib import Path


class Obstacle(Enum):
    LINK = auto()
    DIRECTORY = auto()
    NOT_A_FILE = auto()
    TOO_LARGE = auto()
    UNREADABLE = auto()


class FileProblem(Exception):
    """Why there are no bytes. `reason` is the system's own word, where it has one."""

    def __init__(self, obstacle: Obstacle, reason: str = "") -> None:
        super().__init__(obstacle.name, reason)
        self.obstacle = obstacle
        self.reason = reason


def read_student_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file. Raises FileProblem."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for its other end
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        obstacle = Obstacle.LINK if error.errno == errno.ELOOP else Obstacle.UNREADABLE
        raise FileProblem(obstacle, reason_of(error)) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise FileProblem(Obstacle.DIRECTORY if stat.S_ISDIR(mode) else Obstacle.NOT_A_FILE)
    try:
        with open(descriptor, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise FileProblem(Obstacle.UNREADABLE, reason_of(error)) from None
    if len(data) > max_bytes:
        raise FileProblem(Obstacle.TOO_LARGE)
    return data


def reason_of(error: Exception) -> str:
    """The system's word for what went wrong, without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
