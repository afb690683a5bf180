"""What a process does that ingests and may be killed at any moment."""

from __future__ import annotations

import resource
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import killing

from grading.gradebook import ingest as module
from grading.gradebook.ingest import ingest, rebuild

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)

TOUCHES = {
    "open",
    "close",
    "flock",
    "fstat",
    "lstat",
    "scandir",
    "read",
    "execute",
    "executemany",
    "fetchall",
    "commit",
}
"""What an ingest does to the world outside of its process; between two of these nobody could tell the difference."""


def ingest_and_count(
    database: Path, directories: Sequence[Path], how: str, kill_at: int | None, counted: Any = None
) -> None:
    """Ingest or rebuild in small batches, ended by SIGKILL before touch number `kill_at`."""
    module.BATCH = 5
    run = {"ingest": ingest, "rebuild": rebuild}[how]
    command = partial(run, database, directories, clock=lambda: NOW)
    touches = killing.counted(command, {}, TOUCHES, kill_at)
    if counted is not None:
        counted.value = touches


def ingest_with_files_of(most_bytes: int, database: Path, directories: Sequence[Path]) -> None:
    """Ingest in small batches; the kernel ends the process in the middle of the write that makes a file larger."""
    module.BATCH = 5
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    ingest(database, directories, clock=lambda: NOW)
