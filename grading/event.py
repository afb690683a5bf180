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
    try:
        event = json.loads(path.read_text(encoding="utf-8"))
        repository = event["repository"]
        pushed_at = repository["pushed_at"]
        moment = (
            datetime.fromtimestamp(pushed_at, UTC)
            if isinstance(pushed_at, int)
            else datetime.fromisoformat(pushed_at)
        )
        student = (event.get("sender") or event.get("pusher") or {}).get("login")
        fields = {"student": student, "repository": repository["full_name"], "commit": event.get("after")}
    except OSError as error:
        raise UsageError(
            f"--event {path}: cannot be read ({error.strerror}); give GITHUB_EVENT_PATH"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise UsageError(f"--event {path}: is not GitHub's event of a push; give GITHUB_EVENT_PATH") from None
    return {**fields, "submitted_at": moment, "time_source": "push", "provisional": True}
