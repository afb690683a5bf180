"""What a process does that fetches and may be killed; light, since it is imported in each of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import killing

from grading.course import load_course
from grading.github.api import GitHub
from grading.github.client import Client
from grading.github.fetch import fetch
from grading.github.store import Store

TOUCHES = {
    "open",
    "close",
    "write",
    "truncate",
    "fsync",
    "mkdir",
    "rename",
    "rmdir",
    "unlink",
    "recv",
    "sendall",
}
"""What a fetch does to the world outside of its process; between two of these nobody could tell the difference."""


def fetch_and_count(
    api: str, token: str, homeworks: Path, store: Path, kill_at: int | None, counted: Any = None
) -> None:
    """Fetch every attempt at `cnn`, ended by SIGKILL before touch number `kill_at`."""
    course = load_course(homeworks / "course.yml")
    client = GitHub(Client(token, base=api))
    command = partial(fetch, client, course, Store(store), ["cnn"], everything=True)
    touches = killing.counted(command, {}, TOUCHES, kill_at)
    if counted is not None:
        counted.value = touches
