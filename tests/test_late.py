"""Lateness: every policy's boundaries, clock changes, extensions, and what must hold for any time at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from grading.late import (
    LatePolicy,
    NoPenalty,
    PerDay,
    PointsThenEvery,
    days_late,
    effective_deadline,
    final_points,
    lateness,
)

BERLIN = ZoneInfo("Europe/Berlin")
MOSCOW = ZoneInfo("Europe/Moscow")
DEADLINE = datetime(2026, 10, 4, 23, 59, tzinfo=BERLIN)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MONTH = timedelta(days=30)

ELAPSED = PerDay()
CALENDAR = PerDay(day="calendar")
POINTS = PointsThenEvery()

moments = st.datetimes(
    datetime.fromisoformat("2020-01-01"),
    datetime.fromisoformat("2035-01-01"),
    timezones=st.sampled_from([UTC, BERLIN, MOSCOW]),
)
delays = st.one_of(
    st.timedeltas(timedelta(0), timedelta(days=60)),
    st.builds(lambda days, more: days * DAY + more * SECOND, st.integers(0, 40), st.integers(0, 2)),
)
exact_points = st.fractions(0, 100, max_denominator=1000)
policies = st.one_of(
    st.builds(
        PerDay,
        rate=st.fractions(0, 1, max_denominator=100),
        cap=st.fractions(0, 1, max_denominator=100),
        day=st.sampled_from(["elapsed", "calendar"]),
        hard_after_hours=st.none() | st.integers(0, 1000),
    ),
    st.builds(
        PointsThenEvery,
        at_once=st.fractions(0, 20, max_denominator=10),
        points=st.fractions(0, 20, max_denominator=10),
        hours=st.integers(1, 48),
        hard_after_hours=st.none() | st.integers(0, 1000),
    ),
    st.builds(NoPenalty, hard_after_hours=st.none() | st.integers(0, 1000)),
)
any_time = settings(deadline=None, max_examples=200)


def after(moment: datetime, delay: timedelta) -> datetime:
    """So much later by the clock on the wall of physics, whatever the zone's clocks do."""
    return (moment.astimezone(UTC) + delay).astimezone(moment.tzinfo)


def left(policy: PerDay | PointsThenEvery | NoPenalty, delay: timedelta, points: int = 100) -> Fraction:
    late = lateness(policy, after(DEADLINE, delay), DEADLINE, BERLIN)
    return final_points(Fraction(points), late)


@pytest.mark.parametrize(
    ("delay", "days", "points"),
    [
        (-MONTH, 0, 100),
        (-SECOND, 0, 100),
        (timedelta(0), 0, 100),
        (timedelta.resolution, 1, 90),
        (SECOND, 1, 90),
        (DAY, 1, 90),
        (DAY + SECOND, 2, 80),
        (2 * DAY + SECOND, 3, 70),
        (3 * DAY, 3, 70),
        (3 * DAY + SECOND, 4, 70),
        (MONTH, 30, 70),
    ],
)
def test_a_tenth_is_lost_for_every_started_day_up_to_three_tenths(
    delay: timedelta, days: int, points: int
) -> None:
    late = lateness(ELAPSED, after(DEADLINE, delay), DEADLINE, BERLIN)

    assert late.days_late == days
    assert final_points(Fraction(100), late) == points


def test_a_penalty_is_exact() -> None:
    late = lateness(ELAPSED, after(DEADLINE, 3 * DAY), DEADLINE, BERLIN)

    assert late.penalty(Fraction(1, 3)) == Fraction(3, 10)
    assert final_points(Fraction(1, 3), late) == Fraction(7, 30)


@pytest.mark.parametrize(
    ("delay", "lost"),
    [
        (timedelta(0), 0),
        (SECOND, 4),
        (12 * HOUR, 4),
        (12 * HOUR + SECOND, 6),
        (DAY, 6),
        (DAY + SECOND, 8),
        (3 * DAY, 14),
        (MONTH, 100),
    ],
)
def test_two_points_at_once_and_two_for_every_started_twelve_hours(delay: timedelta, lost: int) -> None:
    assert left(POINTS, delay) == 100 - lost


@pytest.mark.parametrize(("delay", "lost"), [(SECOND, 2), (12 * HOUR, 2), (12 * HOUR + SECOND, 4), (DAY, 4)])
def test_the_other_reading_is_nothing_at_once(delay: timedelta, lost: int) -> None:
    assert left(PointsThenEvery(at_once=Fraction(0)), delay) == 100 - lost


@pytest.mark.parametrize("points", [0, 1, 4])
def test_points_never_fall_below_zero(points: int) -> None:
    late = lateness(POINTS, after(DEADLINE, SECOND), DEADLINE, BERLIN)

    assert final_points(Fraction(points), late) == 0
    assert late.penalty(Fraction(points)) == 1


@pytest.mark.parametrize("policy", [ELAPSED, CALENDAR, POINTS, NoPenalty()])
def test_after_the_hard_deadline_nothing_counts(policy: PerDay | PointsThenEvery | NoPenalty) -> None:
    hard = policy.model_copy(update={"hard_after_hours": 72})

    assert left(hard, 3 * DAY) == left(policy, 3 * DAY) > 0
    assert left(hard, 3 * DAY + SECOND) == 0


def test_no_penalty_with_a_hard_deadline_is_the_deadline() -> None:
    hard = NoPenalty(hard_after_hours=0)

    assert left(hard, timedelta(0)) == 100
    assert left(hard, SECOND) == 0


def test_lateness_that_costs_nothing_is_still_told() -> None:
    late = lateness(NoPenalty(), after(DEADLINE, DAY + SECOND), DEADLINE, BERLIN)

    assert late.days_late == 2
    assert final_points(Fraction(55), late) == 55


@pytest.mark.parametrize(
    ("due", "submitted", "days"),
    [
        ("2026-10-04T18:00", "2026-10-04T18:00", 0),
        ("2026-10-04T18:00", "2026-10-04T18:00:01", 1),
        ("2026-10-04T18:00", "2026-10-05T23:59:59", 1),
        ("2026-10-04T18:00", "2026-10-06T00:00", 1),
        ("2026-10-04T18:00", "2026-10-06T00:00:01", 2),
        ("2026-10-05T00:00", "2026-10-05T12:00", 1),
        ("2026-10-05T00:00", "2026-10-06T12:00", 2),
        ("2026-10-04T23:59", "2026-10-05T00:00:01", 1),
    ],
)
def test_calendar_days_end_at_midnight_in_the_zone_of_the_course(due: str, submitted: str, days: int) -> None:
    deadline, moment = (datetime.fromisoformat(t).replace(tzinfo=BERLIN) for t in (due, submitted))

    here = lateness(CALENDAR, moment.astimezone(MOSCOW), deadline.astimezone(UTC), BERLIN)

    assert here.days_late == days


def test_the_zone_of_the_course_decides_the_calendar_day() -> None:
    deadline = datetime(2026, 10, 4, 12, tzinfo=UTC)
    submitted = datetime(
        2026, 10, 5, 21, 30, tzinfo=UTC
    )  # 23:30 on Monday in Berlin, 00:30 on Tuesday in Moscow

    assert lateness(CALENDAR, submitted, deadline, BERLIN).days_late == 1
    assert lateness(CALENDAR, submitted, deadline, MOSCOW).days_late == 2


@pytest.mark.parametrize(
    ("zone", "deadline", "same_wall_clock_next_day", "days"),
    [
        (BERLIN, "2026-10-24T23:59", "2026-10-25T23:59", 2),  # 25 hours: the clocks went back
        (BERLIN, "2026-03-28T23:59", "2026-03-29T23:59", 1),  # 23 hours
        (MOSCOW, "2026-10-24T23:59", "2026-10-25T23:59", 1),
        (MOSCOW, "2026-03-28T23:59", "2026-03-29T23:59", 1),
    ],
)
def test_a_day_is_24_hours_whatever_the_clocks_do(
    zone: ZoneInfo, deadline: str, same_wall_clock_next_day: str, days: int
) -> None:
    due, submitted = (
        datetime.fromisoformat(t).replace(tzinfo=zone) for t in (deadline, same_wall_clock_next_day)
    )

    assert days_late(submitted, due) == days
    assert lateness(CALENDAR, submitted, due, zone).days_late == 1


def test_the_hour_that_comes_twice_is_told_apart() -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    second = first.replace(fold=1)

    assert days_late(second, first) == 1
    assert days_late(first, second) == 0


def test_an_extension_moves_the_deadline() -> None:
    extension = after(DEADLINE, 2 * DAY)

    assert lateness(ELAPSED, extension, DEADLINE, BERLIN, extension).days_late == 0
    assert lateness(ELAPSED, after(extension, SECOND), DEADLINE, BERLIN, extension).days_late == 1


def test_an_extension_moves_the_hard_deadline_too() -> None:
    hard = NoPenalty(hard_after_hours=0)
    extension = after(DEADLINE, DAY)

    late = lateness(hard, extension, DEADLINE, BERLIN, extension)

    assert final_points(Fraction(100), late) == 100


def test_an_extension_before_the_deadline_changes_nothing() -> None:
    assert effective_deadline(DEADLINE, DEADLINE - DAY) == DEADLINE


@given(policies, moments, st.none() | moments, exact_points)
@any_time
def test_without_a_deadline_nothing_is_late(
    policy: PerDay | PointsThenEvery | NoPenalty,
    submitted: datetime,
    extension: datetime | None,
    points: Fraction,
) -> None:
    late = lateness(policy, submitted, None, BERLIN, extension)

    assert late.days_late == 0
    assert final_points(points, late) == points


@pytest.mark.parametrize("naive", ["submitted", "deadline", "extension"])
def test_a_moment_without_a_zone_is_refused(naive: str) -> None:
    moments = {"submitted": DEADLINE, "deadline": DEADLINE, "extension": DEADLINE}
    moments[naive] = DEADLINE.replace(tzinfo=None)

    with pytest.raises(ValueError, match="has no time zone"):
        lateness(ELAPSED, timezone=BERLIN, **moments)


def test_a_submission_without_a_zone_is_refused_even_if_nothing_is_due() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        lateness(ELAPSED, DEADLINE.replace(tzinfo=None), None, BERLIN)


@given(policies, moments, delays, delays, exact_points, st.sampled_from([BERLIN, MOSCOW]))
@any_time
def test_later_never_earns_more(
    policy: PerDay | PointsThenEvery | NoPenalty,
    deadline: datetime,
    delay: timedelta,
    more: timedelta,
    points: Fraction,
    zone: ZoneInfo,
) -> None:
    early = lateness(policy, after(deadline, delay), deadline, zone)
    late = lateness(policy, after(deadline, delay + more), deadline, zone)

    assert early.days_late <= late.days_late
    assert final_points(points, early) >= final_points(points, late)


@given(policies, moments, st.timedeltas(-MONTH, MONTH), exact_points)
@any_time
def test_points_stay_between_zero_and_what_they_were(
    policy: PerDay | PointsThenEvery | NoPenalty, deadline: datetime, delay: timedelta, points: Fraction
) -> None:
    late = lateness(policy, after(deadline, delay), deadline, BERLIN)

    assert 0 <= final_points(points, late) <= points
    assert 0 <= late.penalty(points) <= 1
    if delay <= timedelta(0):
        assert final_points(points, late) == points


@given(moments, delays, st.sampled_from([ELAPSED, CALENDAR]))
@any_time
def test_no_more_than_the_cap_is_lost(deadline: datetime, delay: timedelta, policy: PerDay) -> None:
    late = lateness(policy, after(deadline, delay), deadline, BERLIN)

    assert final_points(Fraction(100), late) >= 70


@given(policies, moments, delays, st.timedeltas(-MONTH, MONTH), exact_points)
@any_time
def test_an_extension_never_lowers_the_points(
    policy: PerDay | PointsThenEvery | NoPenalty,
    deadline: datetime,
    delay: timedelta,
    extension: timedelta,
    points: Fraction,
) -> None:
    submitted = after(deadline, delay)

    without = lateness(policy, submitted, deadline, BERLIN)
    extended = lateness(policy, submitted, deadline, BERLIN, after(deadline, extension))

    assert final_points(points, extended) >= final_points(points, without)


@given(moments, delays, st.sampled_from([UTC, BERLIN, MOSCOW]), st.sampled_from([UTC, BERLIN, MOSCOW]))
@any_time
def test_how_a_moment_is_written_does_not_matter(
    deadline: datetime, delay: timedelta, one: ZoneInfo, other: ZoneInfo
) -> None:
    submitted = after(deadline, delay)

    assert days_late(submitted.astimezone(one), deadline.astimezone(other)) == days_late(submitted, deadline)


@given(policies)
@any_time
def test_a_policy_survives_writing_and_reading(policy: PerDay | PointsThenEvery | NoPenalty) -> None:
    adapter: TypeAdapter[LatePolicy] = TypeAdapter(LatePolicy)

    assert adapter.validate_json(adapter.dump_json(policy)) == policy


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "per_day", "rate": 1.1}',
        '{"kind": "per_day", "rate": -0.1}',
        '{"kind": "per_day", "rate": "0.1"}',
        '{"kind": "per_day", "at_once": 2}',
        '{"kind": "points_then_every", "hours": 0}',
        '{"kind": "none", "hard_after_hours": -1}',
        '{"kind": "weekly"}',
        "{}",
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(text: str) -> None:
    adapter: TypeAdapter[LatePolicy] = TypeAdapter(LatePolicy)

    with pytest.raises(ValidationError):
        adapter.validate_json(text)
