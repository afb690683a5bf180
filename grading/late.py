"""Lateness as data: a policy, two moments and the points in, what is lost out.

Pure: no file, no clock, no rounding. All arithmetic is exact and between moments in UTC; a moment without a
zone is refused, because nobody could say which hour it means.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from grading.exact import Exact
from grading.strict import Configuration

DAY = timedelta(days=1)

Share = Annotated[Exact, Field(ge=0, le=1)]
Points = Annotated[Exact, Field(ge=0)]


class _Policy(Configuration):
    hard_after_hours: int | None = Field(default=None, ge=0)
    """The hard deadline: later than so many hours after the deadline, nothing counts. 0 is the deadline."""


class PerDay(_Policy):
    """A share of the points for every started day, up to a cap. See `days_late` and `calendar_days_late`."""

    kind: Literal["per_day"] = "per_day"
    rate: Share = Fraction(1, 10)
    cap: Share = Fraction(3, 10)
    day: Literal["elapsed", "calendar"] = "elapsed"


class PointsThenEvery(_Policy):
    """Points of the homework (of its 100) at once, then more for every started period; never below 0.

    Periods count from the deadline and "started" means what it means for days, so the first second of
    lateness costs `at_once` and the first period too: with 2, 2 and 12 hours, 1 s and exactly 12 h late cost
    4, 12 h + 1 s and exactly 24 h cost 6. (The other reading, in which the first period is what is paid at
    once, is `at_once: 0`: 1 s late costs 2, 12 h + 1 s costs 4.)
    """

    kind: Literal["points_then_every"] = "points_then_every"
    at_once: Points = Fraction(2)
    points: Points = Fraction(2)
    hours: int = Field(default=12, gt=0)


class NoPenalty(_Policy):
    """Lateness costs nothing, up to the hard deadline if there is one."""

    kind: Literal["none"] = "none"


LatePolicy = Annotated[PerDay | PointsThenEvery | NoPenalty, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True)
class Lateness:
    """What a submission's time costs: a share of its points, or so many points, whatever they are."""

    days_late: int = 0
    share: Fraction = Fraction(0)
    deduction: Fraction = Fraction(0)

    def penalty(self, points: Fraction) -> Fraction:
        """The fraction of `points` that is lost, between 0 and 1."""
        if self.deduction == 0:
            return self.share
        return self.deduction / points if self.deduction < points else Fraction(1)


ON_TIME = Lateness()


def lateness(
    policy: PerDay | PointsThenEvery | NoPenalty,
    submitted: datetime,
    deadline: datetime | None,
    timezone: tzinfo,
    extension: datetime | None = None,
) -> Lateness:
    """How late a submission is and what that costs under a policy.

    Without a deadline nothing is late. An extension is a later deadline: the later of the two holds.
    `timezone` is the course's, in which calendar days begin. Raises ValueError for a moment without a zone.
    """
    due = effective_deadline(deadline, extension)
    late = timedelta(0) if due is None else _utc(submitted) - due
    if due is None or late <= timedelta(0):
        _utc(submitted)
        return ON_TIME
    calendar = isinstance(policy, PerDay) and policy.day == "calendar"
    days = calendar_days_late(submitted, due, timezone) if calendar else days_late(submitted, due)
    if policy.hard_after_hours is not None and late > timedelta(hours=policy.hard_after_hours):
        return Lateness(days, share=Fraction(1))
    match policy:
        case PerDay():
            return Lateness(days, share=min(policy.cap, policy.rate * days))
        case PointsThenEvery():
            periods = _started(late, timedelta(hours=policy.hours))
            return Lateness(days, deduction=policy.at_once + policy.points * periods)
        case NoPenalty():
            return Lateness(days)


def final_points(points: Fraction, late: Lateness) -> Fraction:
    """What is left of the raw points: never negative, never more than they were."""
    return points * (1 - late.penalty(points))


def days_late(submitted: datetime, deadline: datetime) -> int:
    """Started 24-hour periods after the deadline: 0 on time, 1 from the first moment, 1 at exactly 24 h."""
    return _started(_utc(submitted) - _utc(deadline), DAY)


def calendar_days_late(submitted: datetime, deadline: datetime, timezone: tzinfo) -> int:
    """Midnights of the zone passed since the deadline's day ended, but 1 for being late at all.

    Due on Sunday at 18:00, the rest of Sunday and all of Monday are 1 day late and Tuesday is 2. Midnight
    belongs to the day it ends: due on Monday at 00:00 is due on Sunday, and Tuesday at 00:00 is still Monday.
    """
    if _utc(submitted) <= _utc(deadline):
        return 0
    moment = timedelta.resolution
    day_in, day_due = ((_utc(t) - moment).astimezone(timezone).date() for t in (submitted, deadline))
    return max(1, (day_in - day_due).days)


def effective_deadline(deadline: datetime | None, extension: datetime | None = None) -> datetime | None:
    """The later of the deadline and an extension, in UTC; None where there is no deadline to extend."""
    if deadline is None:
        return None
    return _utc(deadline) if extension is None else max(_utc(deadline), _utc(extension))


def _started(late: timedelta, period: timedelta) -> int:
    return max(0, -(-late // period))


def _utc(moment: datetime) -> datetime:
    """In one zone, Python subtracts wall clocks: an hour wrong where the clocks changed between the two."""
    if moment.utcoffset() is None:
        raise ValueError(
            f"{moment.isoformat()} has no time zone; write one, as in {moment.isoformat()}+02:00"
        )
    return moment.astimezone(UTC)
