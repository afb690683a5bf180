"""Fetching: what was handed in goes into the store, for those who grade, read or compare it again.

A commit's files never change, so each commit is asked for once; a kill at any moment leaves whole directories or none.
Nothing here opens a notebook, and nothing is decided: what counts in the end, the gradebook says.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from grading.course import Course
from grading.errors import GradingError
from grading.github.api import GitHub
from grading.github.client import Refused, Unavailable, silent
from grading.github.collect import PATIENCE
from grading.github.source import take_source
from grading.github.store import Record, Store
from grading.homework import Homework
from grading.progress import Progress, no_progress
from grading.score import counting_attempt
from grading.submissions import FOLDER

_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of it: how many attempts were fetched, how many were there before, and why the others are not."""

    fetched: int
    known: int
    troubles: tuple[str, ...]


def fetch(
    api: GitHub,
    course: Course,
    store: Store,
    homeworks: Sequence[str],
    *,
    everything: bool = False,
    tell: Callable[[str], None] = silent,
    progress: Progress = no_progress,
) -> Fetched:
    """Fetch the files of recorded attempts that are not in the store yet: those of `chosen`, or of all (`everything`).

    What goes wrong with one repository is told, and is among the troubles. Raises UsageError, and GradingError where
    GitHub does not answer at all or the disk is full.
    """
    loaded = {name: course.load_homework(name) for name in homeworks}
    with store.writing():
        for left_by_a_kill in store.directory.glob(f"{FOLDER}/*/*/.*.tmp"):
            shutil.rmtree(left_by_a_kill)
        attempts = [record for record in store.records() if record.homework in loaded]
        wanted = attempts if everything else list(chosen(attempts, course.counts))
        missing = [record for record in wanted if not store.submission(record).is_dir()]
        troubles: list[str] = []
        unanswered = 0
        for number, record in enumerate(missing):
            progress(number, len(missing))
            try:
                keep(api, record, loaded[record.homework], store.submission(record))
                unanswered = 0
            except GradingError as error:
                troubles.append(f"{record.repository} at {record.commit[:7]}: not fetched: {error}")
                tell(troubles[-1])
                unanswered = unanswered + 1 if isinstance(error, Unavailable) else 0
                if unanswered >= PATIENCE or (isinstance(error, Refused) and error.status == 401):
                    raise
        progress(len(missing), len(missing))
    return Fetched(len(missing) - len(troubles), len(wanted) - len(missing), tuple(troubles))


def chosen(attempts: Iterable[Record], counts: Literal["best", "last"]) -> Iterator[Record]:
    """Of each student (or team) and homework the latest attempt, and the one that counts by what is recorded.

    An extension or a review may let another one count: nothing of those is known here.
    """
    of_each: dict[tuple[str, str], dict[str, Record]] = defaultdict(dict)
    for record in attempts:
        of_each[record.homework, record.student][record.commit] = record
    for by_commit in of_each.values():
        latest = max(by_commit.values(), key=lambda one: (one.submitted_at or _EVER, one.commit))
        verified = [one.score for one in by_commit.values() if one.score and one.status == "verified"]
        counting = counting_attempt(verified, counts)
        commits = {latest.commit, counting.commit if counting else None}
        yield from (record for commit, record in by_commit.items() if commit in commits)


def keep(api: GitHub, record: Record, homework: Homework, target: Path) -> None:
    """Put an attempt's files at `target`, which has its name only when they are all there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", suffix=".tmp", dir=target.parent) as place:
            whole = Path(place, record.commit)
            whole.mkdir()
            take_source(
                api, record.repository, record.commit, whole, homework.notebook, homework.submits.keys()
            )
            _settle(whole)
            whole.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise GradingError(
            f"{target}: cannot be written: {error.strerror}; make room and run it again"
        ) from error


def _settle(directory: Path) -> None:
    """A name must not outlive a power cut that its files did not."""
    for place, _, files in os.walk(directory):
        for path in (Path(place), *(Path(place, name) for name in files)):
            if not path.is_symlink():
                _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
