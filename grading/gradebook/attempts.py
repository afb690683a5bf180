"""One attempt at a homework, as the gradebook knows it: its score, whether it was verified, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass

from grading.score import Score


@dataclass(frozen=True, slots=True)
class Attempt:
    """`path` names the score's file for a person; nothing is computed from it."""

    score: Score
    verified: bool
    path: str
