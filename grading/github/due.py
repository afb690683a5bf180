"""Which pushes the instructor's own repository grades, and when it is time to.

Pure: no clock, no I/O. Every push costs minutes; most of a day's pushes are steps on the way to its last one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

Policy = Literal["none", "all", "last_of_day", "before_deadline"]

DAY = timedelta(days=1)
GRACE = timedelta(minutes=30)
"""How long the run of a push may take to start and to finish before the push counts as one that no run graded."""


@dataclass(frozen=True, slots=True)
class Push:
    """A commit that a push made the head. `unsettled`: a run should have graded it, and none did that we can trust."""

    commit: str
    at: datetime
    central: bool = False  # graded here already
    unsettled: bool = False


def due(
    pushes: Iterable[Push], policy: Policy, deadline: datetime | None, zone: tzinfo, now: datetime
) -> list[Push]:
    """Those to grade now, the earliest first: what the policy picks, and what no run settled in time.

    A push is picked once its period is over, so that a later one in it cannot make the grading useless. A period
    never reaches across the deadline: the last push on time is always among those picked.
    """
    pushes = sorted(pushes, key=lambda push: push.at)
    picked = {push.commit for push in pushes if push.unsettled and push.at + GRACE <= now}
    if policy == "all":
        picked |= {push.commit for push in pushes}
    elif policy != "none":
        last: dict[object, Push] = {}
        for push in pushes:
            last[period(push.at, policy, deadline, zone)] = push
        present = period(now, policy, deadline, zone)
        picked |= {push.commit for key, push in last.items() if key != present}
    return [push for push in pushes if push.commit in picked and not push.central]


def period(moment: datetime, policy: Policy, deadline: datetime | None, zone: tzinfo) -> object:
    """What two pushes share if the later one stands for both.

    Before the deadline: the day in the course's zone, or all the time there is. After it: 24 hours each, as a late
    day is; the first second of a late day belongs to it, and the deadline itself is on time.
    """
    late = None if deadline is None else moment.astimezone(UTC) - deadline.astimezone(UTC)
    if late is not None and late > timedelta(0):
        return "late", -(-late // DAY)
    if policy == "before_deadline" and deadline is not None:
        return "on time"
    return moment.astimezone(zone).date()
