"""Counts and moments, as everything that is said of grades has them. Pure."""

from __future__ import annotations

from datetime import datetime, tzinfo


def how_many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def moment(when: datetime, zone: tzinfo) -> str:
    return f"{when.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
