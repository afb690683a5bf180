"""Which pushes central grading picks: the last of a period, once it is over, and never one that is graded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.github.due import GRACE, Push, due

BERLIN = ZoneInfo("Europe/Berlin")
DEADLINE = datetime(2026, 10, 4, 21, 59, tzinfo=UTC)  # 23:59 in Berlin
LONG_AFTER = DEADLINE + timedelta(days=30)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-10-{text}+02:00")


def picked(policy: str, moments: list[datetime], now: datetime = LONG_AFTER, **marks: bool) -> list[datetime]:
    pushes = [Push(f"{number:040x}", moment, **marks) for number, moment in enumerate(moments)]
    return [push.at for push in due(pushes, policy, DEADLINE, BERLIN, now)]  # type: ignore[arg-type]


def test_the_last_push_of_each_day_in_the_courses_zone_is_picked() -> None:
    # 00:30 in Berlin is still the day before in UTC
    moments = [at("02T09:00"), at("02T23:30"), at("03T00:30"), at("03T18:00")]

    assert picked("last_of_day", moments) == [at("02T23:30"), at("03T18:00")]


def test_a_push_after_the_deadline_never_takes_the_place_of_one_on_time() -> None:
    moments = [at("04T20:00"), at("04T23:59"), at("04T23:59:01")]

    assert picked("last_of_day", moments) == [at("04T23:59"), at("04T23:59:01")]
    assert picked("before_deadline", moments) == [at("04T23:59"), at("04T23:59:01")]


def test_before_the_deadline_one_push_may_stand_for_all_and_after_it_one_a_late_day() -> None:
    late = [DEADLINE + timedelta(hours=hours) for hours in (1, 24, 25, 49)]
    moments = [at("01T09:00"), at("03T09:00"), *late]

    assert picked("before_deadline", moments) == [at("03T09:00"), late[1], late[2], late[3]]


def test_a_push_is_left_alone_while_a_later_one_may_still_come() -> None:
    moments = [at("02T09:00"), at("03T09:00")]

    assert picked("last_of_day", moments, now=at("03T12:00")) == [at("02T09:00")]
    assert picked("before_deadline", moments, now=at("03T12:00")) == []
    assert picked("before_deadline", moments, now=at("05T12:00")) == [at("03T09:00")]


def test_what_no_run_settled_is_picked_after_a_grace_whatever_the_policy() -> None:
    moment = at("02T09:00")

    assert picked("none", [moment], now=moment + GRACE, unsettled=True) == [moment]
    assert picked("none", [moment], now=moment + GRACE - timedelta(seconds=1), unsettled=True) == []
    assert picked("none", [moment]) == []


@pytest.mark.parametrize("policy", ["none", "all", "last_of_day", "before_deadline"])
def test_what_is_graded_here_is_not_graded_again(policy: str) -> None:
    assert picked(policy, [at("02T09:00")], central=True, unsettled=True) == []


@given(
    hours=st.lists(st.integers(-200, 200), min_size=1, max_size=30, unique=True),
    policy=st.sampled_from(["all", "last_of_day", "before_deadline"]),
)
def test_the_last_push_on_time_and_the_last_of_all_are_always_picked(hours: list[int], policy: str) -> None:
    moments = [DEADLINE + timedelta(hours=hour) for hour in hours]

    chosen = picked(policy, moments)

    assert max(moments) in chosen
    on_time = [moment for moment in moments if moment <= DEADLINE]
    assert not on_time or max(on_time) in chosen
