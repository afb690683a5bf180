"""GitHub's event file of a push: whose repository, which commit, and when the push arrived."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grading.errors import UsageError


def read_event(path: Path) -> dict[str, Any]:
    """Fields of a Submission: student, repository, commit, submitted_at, time_source, provisional.

    The time is the push's, never a commit's date, and provisional until the grades are collected. The student is
    who the run says pushed; `collect` decides from the roster. Raises UsageError.
    """
    event = _read(path)
    try:
        repository = event["repository"]
        pushed_at = repository["pushed_at"]
        seconds = isinstance(pushed_at, int)
        moment = datetime.fromtimestamp(pushed_at, UTC) if seconds else datetime.fromisoformat(pushed_at)
        student = (event.get("sender") or event.get("pusher") or {}).get("login")
        fields = {"student": student, "repository": repository["full_name"], "commit": event.get("after")}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        raise NotAPush(path) from None
    if moment.tzinfo is None or not all(isinstance(field, str | None) for field in fields.values()):
        raise NotAPush(path)
    return {**fields, "submitted_at": moment, "time_source": "push", "provisional": True}


def pusher(path: Path) -> tuple[str | None, int | None]:
    """Login and id of the account that pushed, where the event says. Raises UsageError."""
    sender = _read(path).get("sender")
    login, number = (sender.get("login"), sender.get("id")) if isinstance(sender, dict) else (None, None)
    if not isinstance(login, str) or not isinstance(number, int):
        return None, None
    return login, number


def _read(path: Path) -> dict[str, Any]:
    try:
        event = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"--event {path}: cannot be read ({error.strerror}); give GITHUB_EVENT_PATH"
        ) from None
    except (ValueError, RecursionError):
        raise NotAPush(path) from None
    if not isinstance(event, dict):
        raise NotAPush(path)
    return event


class NotAPush(UsageError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"--event {path}: is not GitHub's event of a push; give GITHUB_EVENT_PATH")
