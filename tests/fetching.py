"""What a process does that fetches and may be killed; light, since it is imported in each of them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

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
    touches = 0

    def watch(frame: object, event: str, function: Any) -> None:
        nonlocal touches
        if event == "c_call" and getattr(function, "__name__", "") in TOUCHES:
            touches += 1
            if touches == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    course = load_course(homeworks / "course.yml")
    client = GitHub(Client(token, base=api))
    sys.setprofile(watch)
    fetch(client, course, Store(store), ["cnn"], everything=True)
    sys.setprofile(None)
    if counted is not None:
        counted.value = touches
