"""One attempt at a homework, as the gradebook knows it: its score, whether it was verified, and where it stands."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from grading.score import Score

UNCONFINED = "graded without a sandbox, so it does not count; grade it again without --unconfined"


@dataclass(frozen=True, slots=True)
class Attempt:
    """`path` names the score's file: for a person, and to tell one attempt from another. No points hang on it."""

    score: Score
    verified: bool
    path: str

    @property
    def identity(self) -> Hashable:
        """The same for a team's attempt that is recorded for each of its members."""
        return self.path, self.score.commit, self.score.submitted_at, self.score.points

    def closeness(self, login: str) -> tuple[bool, str]:
        """Of attempts of one identity, the least is a student's: their own record, where they have one."""
        holder = (self.score.student or "").casefold()
        return holder != login.casefold(), holder
