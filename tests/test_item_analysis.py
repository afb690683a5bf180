"""Item analysis: four submissions whose numbers are computed by hand, and what has none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from fractions import Fraction
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.late import NoPenalty
from grading.report.item_analysis import (
    FEWEST_TO_JUDGE,
    FailedProperty,
    TaskItem,
    failed_properties,
    item_analysis,
    worth_a_look,
)
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score

Tests = Sequence[bool]


def score(**tasks: tuple[int, Tests]) -> Score:
    """One submission: by task its points, and whether it passes each of its tests, which weigh the same."""
    return build_score(
        homework="cnn",
        tasks=[
            TaskOutcome(
                name,
                points,
                [
                    Outcome(
                        f"test_{i}",
                        "passed" if passed else "failed",
                        message="" if passed else f"rule {i}\nis 0",
                    )
                    for i, passed in enumerate(tests)
                ],
            )
            for name, (points, tests) in tasks.items()
        ],
        policy=NoPenalty(),
        timezone=UTC,
        confined=True,
        digests=Digests(),
    )


def one(a: bool, b: Tests, c: Tests) -> Score:
    return score(a=(10, [a]), b=(20, b), c=(70, c))


# Points:        a    b    c   all
FOUR = [
    one(True, [True, True], [True, True]),  # 10   20   70   100
    one(True, [True, False], [True, False]),  # 10   10   35    55
    one(False, [True, True], [False, False]),  # 0   20    0    20
    one(False, [False, False], [True, False]),  # 0    0   35    35
]


def test_difficulty_is_the_mean_share_of_the_points() -> None:
    a, b, c = item_analysis(FOUR)

    assert a.difficulty == Fraction(10 + 10 + 0 + 0, 4 * 10) == Fraction(1, 2)
    assert b.difficulty == Fraction(20 + 10 + 20 + 0, 4 * 20) == Fraction(5, 8)
    assert c.difficulty == Fraction(70 + 35 + 0 + 35, 4 * 70) == Fraction(1, 2)
    assert [(item.mean, item.full, item.none, item.of) for item in (a, b, c)] == [
        (Fraction(5), 2, 2, 4),
        (Fraction(25, 2), 2, 1, 4),
        (Fraction(35), 1, 1, 4),
    ]


def test_discrimination_is_the_correlation_with_the_rest() -> None:
    a, b, c = (item.discrimination.value for item in item_analysis(FOUR))

    # a: 10 10 0 0, mean 5; the rest 90 45 20 35, mean 47.5
    products = 5 * 42.5 + 5 * -2.5 + -5 * -27.5 + -5 * -12.5
    assert products == 400
    assert a == pytest.approx(400 / sqrt((4 * 5**2) * (42.5**2 + 2.5**2 + 27.5**2 + 12.5**2)))
    assert a == pytest.approx(400 / sqrt(100 * 2725)) == pytest.approx(0.7663, abs=5e-5)
    # b: 20 10 20 0, mean 12.5; the rest 80 45 0 35, mean 40
    products = 7.5 * 40 + -2.5 * 5 + 7.5 * -40 + -12.5 * -5
    assert products == 50
    assert b == pytest.approx(50 / sqrt(275 * 3250)) == pytest.approx(0.0529, abs=5e-5)
    # c: 70 35 0 35, mean 35; the rest 30 20 20 0, mean 17.5
    products = 35 * 12.5 + 0 + -35 * 2.5 + 0
    assert products == 350
    assert c == pytest.approx(350 / sqrt(2450 * 475)) == pytest.approx(0.3244, abs=5e-5)


def test_a_test_has_a_pass_rate_and_a_point_biserial_correlation() -> None:
    _, b, _ = item_analysis(FOUR)
    first, second = b.tests

    assert (first.passed, first.of, first.pass_rate) == (3, 4, Fraction(3, 4))
    assert (second.passed, second.pass_rate, second.says) == (2, Fraction(1, 2), "rule 1")
    # The first test of b gives 10 points to three: the rest is 90 45 10 among them, and 35 for the one who fails it.
    rest = [90, 45, 10, 35]
    among_passed, among_failed = (90 + 45 + 10) / 3, 35
    by_hand = (among_passed - among_failed) / float(np.std(rest)) * sqrt(3 / 4 * 1 / 4)
    assert first.discrimination.value == pytest.approx(by_hand) == pytest.approx(0.1995, abs=5e-5)


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        (FOUR[:2], "fewer than 3 submissions"),
        (FOUR[:1] * 3, "everyone has the same in it"),
        (
            [score(a=(100, [passed])) for passed in (True, False, True)],
            "everyone has the same in all the rest",
        ),
        (
            [score(a=(50, [passed]), b=(50, [True])) for passed in (True, False, True)],
            "everyone has the same in all the rest",
        ),
    ],
)
def test_a_discrimination_that_means_nothing_is_none_and_says_why(scores: list[Score], why: str) -> None:
    first = item_analysis(scores)[0]

    assert (first.discrimination.value, first.discrimination.why) == (None, why)


def test_without_submissions_there_are_no_tasks() -> None:
    assert item_analysis([]) == ()
    assert failed_properties([]) == ()


def test_a_score_in_error_is_left_out() -> None:
    ours = build_score(
        homework="cnn",
        tasks=[TaskOutcome("a", 100, [Outcome("test_0", "error")])],
        policy=NoPenalty(),
        timezone=UTC,
        confined=True,
        digests=Digests(),
    )

    assert item_analysis([*FOUR, ours]) == item_analysis(FOUR)
    assert failed_properties([ours]) == ()


points = st.tuples(*[st.lists(st.booleans(), min_size=2, max_size=2)] * 3)


@settings(max_examples=30, deadline=None)
@given(st.lists(points, min_size=3, max_size=12))
def test_numpy_finds_the_same(rows: list[tuple[Tests, Tests, Tests]]) -> None:
    worth = np.array([10, 20, 70])
    matrix = np.array([[sum(tests) / 2 for tests in row] for row in rows]) * worth

    items = item_analysis(
        score(**{name: (int(most), tests) for name, most, tests in zip("abc", worth, row, strict=True)})
        for row in rows
    )

    for column, item in enumerate(items):
        own, rest = matrix[:, column], matrix.sum(axis=1) - matrix[:, column]
        assert float(item.difficulty) == pytest.approx(own.mean() / worth[column])
        if np.ptp(own) and np.ptp(rest):
            assert item.discrimination.value == pytest.approx(np.corrcoef(own, rest)[0, 1], abs=1e-9)
        else:
            assert item.discrimination.value is None


def test_the_commonest_failures_come_first_and_each_submission_counts_once() -> None:
    def failing(*messages: str) -> Score:
        tests = [Outcome(f"test_{i}", "failed", message=message) for i, message in enumerate(messages)]
        return build_score(
            homework="cnn",
            tasks=[TaskOutcome("a", 100, [Outcome("test_right", "passed"), *tests])],
            policy=NoPenalty(),
            timezone=UTC,
            confined=True,
            digests=Digests(),
        )

    gate = "your code raised NameError in cell 3, line 1"
    scores = [
        failing("the mean stays\nis 1", "the mean stays\nis 2"),
        failing("the mean stays\nis 7", "nothing is lost\nis 0"),
        failing(f"nothing is lost\n{gate}", f"the mean stays\n{gate}", f"zeros stay\n{gate}"),
    ]

    found = failed_properties(scores)

    assert found == (
        FailedProperty("a", "nothing is lost", 2),  # and of the third what fails only with it does not count
        FailedProperty("a", "the mean stays", 2),
    )


def judged(*rows: tuple[int, int]) -> TaskItem:
    """The first of two tasks, from the halves that each submission has of both."""
    halves = {0: [False, False], 1: [True, False], 2: [True, True]}
    times = -(-FEWEST_TO_JUDGE // len(rows))
    return item_analysis([score(a=(50, halves[a]), b=(50, halves[b])) for a, b in rows * times])[0]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (((0, 0), (1, 1), (2, 2)), ""),
        (((0, 2), (1, 1), (2, 0)), "who does well elsewhere does badly here: check its tests"),
        (((0, 0), (0, 1), (0, 2), (1, 2)), "hardly anyone has its points"),
        (((0, 0), (2, 0), (0, 2), (2, 2)), "says little of the rest of the work"),
        (((2, 0), (2, 2)), ""),  # solved by all
    ],
)
def test_a_task_that_its_author_should_look_at_says_why(
    rows: tuple[tuple[int, int], ...], words: str
) -> None:
    item = judged(*rows)

    assert worth_a_look(item) == words


def test_of_a_few_submissions_nothing_is_concluded() -> None:
    rows = ((0, 2), (1, 1), (2, 0))

    item = item_analysis([score(a=(50, [a > 0, a > 1]), b=(50, [b > 0, b > 1])) for a, b in rows])[0]

    assert item.discrimination.value == pytest.approx(-1)
    assert worth_a_look(item) == ""
