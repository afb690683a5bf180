"""Whose token, and which GitHub: both from the environment, as on a runner and as `gh` has it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from grading.course import OnGitHub
from grading.errors import UsageError
from grading.github.api import GitHub
from grading.github.client import Client, silent

TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")


def connect(
    settings: OnGitHub | None, *, cache: Path | None = None, tell: Callable[[str], None] = silent
) -> GitHub:
    """GitHub as the owner of the token in the environment sees it; nothing is sent yet.

    `cache` keeps answers between commands; it holds what the token may read. Raises UsageError.
    """
    client = Client(
        token(),
        base=os.environ.get("GITHUB_API_URL") or "https://api.github.com",
        cache=cache,
        writes_per_minute=60 if settings is None else settings.writes_per_minute,
        tell=tell,
    )
    return GitHub(client)


def token() -> str:
    for name in TOKENS:
        token = os.environ.get(name, "").strip()
        if not token:
            continue
        if not re.fullmatch(r"[!-~]+", token):
            raise UsageError(
                f"{name}: holds a space, a line break or a letter that no token has; set it anew"
            )
        return token
    raise UsageError(
        "GITHUB_TOKEN is not set; make a token with the scopes repo, workflow and admin:org at "
        "https://github.com/settings/tokens and set it"
    )
