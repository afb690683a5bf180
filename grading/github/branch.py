"""The store on a branch of the instructor's own repository, between one scheduled run and the next.

A branch is opened into a plain directory, and saved as one commit on top of exactly what was opened: where somebody
else has pushed in between, nothing is overwritten. Nothing here reads what the files say.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from grading.errors import GradingError, UsageError
from grading.github.git import Work
from grading.submissions import FOLDER

OPENED = ".branch"  # the commit that was opened, empty where there was no such branch
NOT_KEPT = (OPENED, ".lock", f"{FOLDER}/*")
"""Also what students handed in: it is large, and can be fetched again."""

Tell = Callable[[str], None]


def remote() -> str:
    """The repository of this run. Raises UsageError outside GitHub Actions."""
    server, repository = os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_REPOSITORY", "")
    if not server or not repository:
        raise UsageError(
            "the store is on a branch in GitHub Actions only (GITHUB_REPOSITORY is not set); elsewhere it is an "
            "ordinary directory, and there is nothing to open"
        )
    return f"{server.rstrip('/')}/{repository}.git"


def open_store(directory: Path, url: str, branch: str, token: str, tell: Tell) -> None:
    """Put the branch's files into a new directory; without such a branch, an empty one. Raises GradingError."""
    if directory.is_dir() and any(directory.iterdir()):
        raise UsageError(f"{directory}: is not empty; give a new directory, or remove what is there")
    directory.mkdir(parents=True, exist_ok=True)
    with _work(url, branch, token) as work:
        tip = _tip(work)
        if tip:
            work.check_out(tip, directory)
    (directory / OPENED).write_text(tip)
    tell(
        f"{directory}: opened at {tip[:7]}" if tip else f"{directory}: empty; there is no branch {branch} yet"
    )


def commit_store(directory: Path, url: str, branch: str, token: str, message: str, tell: Tell) -> bool:
    """Push what the directory holds as one commit; whether there was anything new. Raises GradingError."""
    try:
        opened = (directory / OPENED).read_text().strip()
    except OSError:
        raise UsageError(
            f"{directory}: was not opened from a branch; `grading store open` does that"
        ) from None
    with _work(url, branch, token) as work:
        if _tip(work) != opened:
            raise GradingError(
                f"{url}: somebody else has pushed to {branch} since it was opened; nothing is lost, run it again"
            )
        commit = work.put(directory, opened or None, message, without=NOT_KEPT)
    (directory / OPENED).write_text(commit)
    tell(f"{directory}: saved, at {commit[:7]}" if commit != opened else f"{directory}: nothing new")
    return commit != opened


def _work(url: str, branch: str, token: str) -> Work:
    return Work(url, "" if url.startswith("file:") else token, url, branch)


def _tip(work: Work) -> str:
    """The branch's commit, fetched; empty where there is no such branch."""
    return work.fetch() if work.ref in work.heads() else ""
