"""How something long says how far it is, whoever listens: a bar on a terminal, or nobody."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Hears how many of how many are done."""


def no_progress(done: int, total: int) -> None:
    pass
