"""The score: verdicts become points exactly, doubt stays doubt, and no file is ever lost or half written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from grading.atomic import write_atomically
from grading.errors import GradingError, UsageError
from grading.exact import exact
from grading.late import PerDay, PointsThenEvery
from grading.score import (
    Digests,
    Outcome,
    Score,
    TaskOutcome,
    build_score,
    counting_attempt,
    score_schema,
    task_points,
)
from grading.score_file import load_score, write_score

BERLIN = ZoneInfo("Europe/Berlin")
DEADLINE = datetime(2026, 10, 4, 23, 59, tzinfo=BERLIN)
PUBLISHED = Path(__file__).parents[1] / "grading" / "score.schema.json"
GATE = Outcome("test_shape", "passed", weight=0)
PASSED = Outcome("test_values", "passed")
FAILED = Outcome("test_gradient", "failed", message="stays finite\nthe gradient is NaN at -1e4", seconds=0.25)
UNSURE = Outcome("test_slow", "error", message="the worker's parent is gone")
FIXED_KEYS = (
    "schema_version state homework student repository commit submitted_at time_source provisional deadline "
    "days_late penalty points max_points final_points confined digests tasks"
).split()


def make_score(*tests: Outcome, late: timedelta = timedelta(0), **settings: Any) -> Score:
    """One task of 70 points with the tests given (else two of three passed), and one of 30 that is passed."""
    tests = tests or (GATE, PASSED, replace(PASSED, name="test_extremes"), FAILED)
    given: dict[str, Any] = {
        "homework": "activations",
        "tasks": [TaskOutcome("sigmoid", 70, tests), TaskOutcome("softmax", 30, [PASSED])],
        "policy": PerDay(),
        "timezone": BERLIN,
        "submitted_at": DEADLINE + late,
        "deadline": DEADLINE,
        "time_source": "push",
        "student": "ann",
        "commit": "0" * 40,
        "confined": True,
        "digests": Digests(submission="a", tests="b", environment="c"),
    }
    return build_score(**given | settings)


def test_a_task_earns_the_share_of_the_weights_that_passed() -> None:
    tests = [GATE, replace(PASSED, weight=3), FAILED, replace(FAILED, weight=3)]

    assert task_points(15, tests) == Fraction(45, 7)


def test_a_passed_gate_earns_nothing() -> None:
    assert task_points(15, [GATE, FAILED]) == 0


@pytest.mark.parametrize("tests", [[], [GATE], [PASSED, UNSURE]])
def test_points_that_cannot_be_told_are_refused(tests: list[Outcome]) -> None:
    with pytest.raises(ValueError):
        task_points(15, tests)


weighted = st.builds(Outcome, st.just("t"), st.sampled_from(["passed", "failed"]), weight=st.integers(0, 12))


@given(st.lists(weighted, min_size=1), st.integers(1, 100))
@settings(deadline=None)
def test_the_points_of_tests_add_up_to_those_of_the_task(tests: list[Outcome], points: int) -> None:
    tests = [*tests, PASSED]

    score = make_score(tasks=[TaskOutcome("only", points, tests)], max_points=points)

    assert score.points == score.tasks[0].points == task_points(points, tests)
    assert sum(test.points for test in score.tasks[0].tests) == pytest.approx(float(score.points))


def test_lateness_is_taken_from_the_raw_points() -> None:
    score = make_score(late=timedelta(seconds=1))

    assert score.state == "graded"
    assert score.points == Fraction(140, 3) + 30
    assert (score.days_late, score.penalty) == (1, Fraction(1, 10))
    assert score.final_points == Fraction(69)


def test_a_penalty_in_points_is_recorded_as_the_fraction_lost() -> None:
    score = make_score(PASSED, policy=PointsThenEvery(), late=timedelta(seconds=1))

    assert score.points == 100
    assert score.penalty == Fraction(4, 100)
    assert score.final_points == 96


def test_an_extension_is_the_deadline_that_is_recorded() -> None:
    score = make_score(late=timedelta(days=1), extension=DEADLINE + timedelta(days=2))

    assert score.days_late == 0
    assert score.deadline == DEADLINE + timedelta(days=2)


def test_without_a_time_nothing_is_late() -> None:
    score = make_score(submitted_at=None, time_source=None)

    assert (score.days_late, score.penalty) == (0, 0)


def test_one_test_in_error_leaves_the_whole_score_without_points() -> None:
    score = make_score(PASSED, UNSURE)

    assert score.state == "error"
    assert score.points is score.final_points is score.penalty is None
    assert [task.points for task in score.tasks] == [None, 30]
    assert [test.points for test in score.tasks[0].tests] == [35, None]


def test_a_reason_makes_an_error_even_without_tests() -> None:
    score = make_score(tasks=[], reason="bwrap is missing; install bubblewrap")

    assert (score.state, score.reason) == ("error", "bwrap is missing; install bubblewrap")


@pytest.mark.parametrize("tests", [[], [GATE]])
def test_a_task_that_nothing_can_be_earned_in_is_our_error(tests: list[Outcome]) -> None:
    score = make_score(tasks=[TaskOutcome("sigmoid", 100, tests)])

    assert score.state == "error"
    assert "sigmoid" in str(score.reason)


@pytest.mark.parametrize(
    "change",
    [
        {"points": 100},
        {"final_points": 100},
        {"points": None},
        {"penalty": None},
        {"penalty": 1.5},
        {"max_points": 10},
        {"days_late": -1},
        {"state": "error"},
        {"state": "fine"},
        {"tasks": []},
        {"reason": "because"},
        {"schema_version": 2},
        {"submitted_at": "2026-10-04T23:59:00"},
        {"points": float("nan")},
        {"points": "77"},
        {"confined": "yes"},
        {"grade": "A"},
    ],
)
def test_a_score_that_contradicts_itself_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    path.write_text(json.dumps(json.loads(make_score().model_dump_json()) | change))

    with pytest.raises(UsageError, match="not a score") as caught:
        load_score(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_points_beside_a_test_in_error_are_refused() -> None:
    data = json.loads(make_score(PASSED, UNSURE).model_dump_json())
    data |= {"state": "graded", "points": 100, "final_points": 100, "penalty": 0}

    with pytest.raises(ValidationError, match="in error"):
        Score.model_validate_json(json.dumps(data))


def test_a_score_has_the_fixed_keys_in_order() -> None:
    graded = json.loads(make_score().model_dump_json())
    unsure = json.loads(make_score(UNSURE, reason="no room").model_dump_json())

    assert list(graded) == FIXED_KEYS
    assert list(unsure) == [*FIXED_KEYS, "reason"]
    assert list(graded["tasks"][0]) == ["id", "points", "max_points", "tests"]
    assert list(graded["tasks"][0]["tests"][0]) == [
        "name",
        "verdict",
        "weight",
        "points",
        "message",
        "seconds",
    ]


def test_the_published_schema_is_in_step() -> None:
    mend = (
        "import json, pathlib; from grading.score import score_schema; pathlib.Path('grading/score.schema.json')"
        ".write_text(json.dumps(score_schema(), indent=2, ensure_ascii=False) + '\\n')"
    )

    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == score_schema(), f'run: python -c "{mend}"'


@pytest.mark.parametrize("tests", [(), (PASSED, UNSURE)])
def test_the_published_schema_accepts_what_is_written(tests: tuple[Outcome, ...], tmp_path: Path) -> None:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    path = write_score(tmp_path / "score.json", make_score(*tests))

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize("change", [{"points": None}, {"state": "error"}, {"extra": 1}])
def test_the_published_schema_refuses_what_is_no_score(change: dict[str, Any]) -> None:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(make_score().model_dump_json()) | change, schema)


@given(st.fractions(0, 4000, max_denominator=10**6))
@settings(deadline=None, max_examples=500)
def test_a_number_in_a_file_comes_back_exactly(value: Fraction) -> None:
    assert exact(json.loads(json.dumps(float(value)))) == value


@pytest.mark.parametrize("value", [10**400, -(10**400), 4001, 1e300, float("nan"), True, "1", None])
def test_what_is_no_number_of_points_is_told(value: object) -> None:
    with pytest.raises(ValueError, match="should be a number"):
        exact(value)


@given(st.fractions(0, 100))
@settings(deadline=None)
def test_a_number_that_no_file_could_hold_is_settled_once(value: Fraction) -> None:
    settled = exact(value)

    assert abs(settled - value) < Fraction(1, 10**6)
    assert exact(float(settled)) == settled


@given(
    st.lists(st.lists(weighted, min_size=1, max_size=15), min_size=1, max_size=7),
    st.timedeltas(-timedelta(days=3), timedelta(days=5)),
    st.sampled_from([PerDay(), PerDay(day="calendar"), PointsThenEvery()]),
)
@settings(deadline=None)
def test_a_score_is_the_same_after_writing_and_reading(
    tasks: list[list[Outcome]], late: timedelta, policy: PerDay | PointsThenEvery
) -> None:
    outcomes = [TaskOutcome(f"t{i}", 14, [PASSED, *tests]) for i, tests in enumerate(tasks)]
    score = make_score(tasks=outcomes, max_points=14 * len(tasks), late=late, policy=policy)

    assert Score.model_validate_json(score.model_dump_json()) == score


@given(st.text(st.characters()))
@settings(deadline=None)
def test_any_message_can_be_written(message: str) -> None:
    score = make_score(replace(FAILED, message=f"{message}\ud800"))

    assert Score.model_validate_json(score.model_dump_json()) == score


def test_a_score_is_read_back_from_its_file(tmp_path: Path) -> None:
    score = make_score()

    path = write_score(tmp_path / "ann.json", score)

    assert path == tmp_path / "ann.json"
    assert load_score(path) == score
    assert os.listdir(tmp_path) == ["ann.json"]


def test_an_error_never_replaces_a_score(tmp_path: Path) -> None:
    graded, unsure = make_score(), make_score(UNSURE)
    path = write_score(tmp_path / "ann.json", graded)

    beside = write_score(path, unsure)

    assert beside == tmp_path / "ann.error.json"
    assert load_score(path) == graded
    assert load_score(beside) == unsure


def test_a_score_removes_its_error_and_no_score_that_is_called_like_one(tmp_path: Path) -> None:
    path, beside = tmp_path / "ann.json", tmp_path / "ann.error.json"
    write_score(beside, make_score(UNSURE))
    write_score(path, make_score())
    assert os.listdir(tmp_path) == ["ann.json"]
    write_score(beside, make_score(FAILED))

    write_score(path, make_score())

    assert load_score(beside) == make_score(FAILED)


def test_an_error_never_replaces_a_file_that_is_no_score(tmp_path: Path) -> None:
    path = tmp_path / "ann.json"
    path.write_text("somebody's notes")

    write_score(path, make_score(UNSURE))

    assert path.read_text() == "somebody's notes"


def test_an_error_gives_way_to_a_score(tmp_path: Path) -> None:
    path = write_score(tmp_path / "ann.json", make_score())
    write_score(path, make_score(UNSURE))

    write_score(path, make_score(PASSED))

    assert os.listdir(tmp_path) == ["ann.json"]
    assert load_score(path).points == 100


def test_an_error_replaces_an_error(tmp_path: Path) -> None:
    path = write_score(tmp_path / "ann.json", make_score(UNSURE))

    again = write_score(path, make_score(UNSURE, reason="no room"))

    assert again == path
    assert load_score(path).reason == "no room"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"state": "graded"}', b"[" * 100_000])
def test_a_file_that_is_no_score_is_told_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    path.write_bytes(content)

    with pytest.raises(UsageError) as caught:
        load_score(path)

    assert str(caught.value).startswith(f"{path}: not a score: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.json", "directory", "pipe"])
def test_what_is_no_file_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(UsageError, match="no such file"):
        load_score(tmp_path / name)


@pytest.mark.parametrize("place", ["missing/score.json", "file/score.json", "directory"])
def test_a_place_that_cannot_be_written_is_the_users(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()

    with pytest.raises(UsageError, match="cannot be written"):
        write_score(tmp_path / place, make_score())

    assert sorted(os.listdir(tmp_path)) == ["directory", "file"]


def test_a_full_disk_is_our_failure_and_leaves_the_old_score(tmp_path: Path) -> None:
    path = write_score(tmp_path / "score.json", make_score())
    before = path.read_bytes()
    program = (
        "import resource, signal, sys; from pathlib import Path; from grading.atomic import write_atomically;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "write_atomically(Path(sys.argv[1]), b'x' * 1000)"
    )

    run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)

    assert run.returncode != 0
    assert f"GradingError: {path}: cannot be written: {os.strerror(errno.EFBIG)}" in run.stderr
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["score.json"]


def test_a_reader_never_meets_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    old, new = b"old" * 100_000, b"new" * 100_000
    write_atomically(path, old)
    program = (
        "import sys; from pathlib import Path; from grading.atomic import write_atomically\n"
        "while True: [write_atomically(Path(sys.argv[1]), text * 100_000) for text in (b'new', b'old')]"
    )

    with subprocess.Popen([sys.executable, "-c", program, path]) as writer:
        seen = {path.read_bytes() for _ in range(300)}
        writer.kill()

    assert seen <= {old, new}
    assert path.read_bytes() in {old, new}


def test_errors_are_not_usage_when_the_machine_fails() -> None:
    assert issubclass(UsageError, GradingError)
    assert (UsageError.exit_code, GradingError.exit_code) == (2, 3)


def test_the_best_attempt_after_the_penalty_counts() -> None:
    early = make_score(late=timedelta(0))
    better_but_late = make_score(PASSED, late=timedelta(days=2))
    too_late = make_score(PASSED, FAILED, late=timedelta(days=2))

    assert counting_attempt([early, too_late]) == early
    assert counting_attempt([early, better_but_late]) == better_but_late


def test_of_equal_attempts_the_earliest_counts() -> None:
    first, second = make_score(), make_score(late=-timedelta(hours=1))
    untimed = make_score(submitted_at=None)

    assert counting_attempt([untimed, first, second]) == second


def test_the_last_attempt_counts_if_the_course_says_so() -> None:
    perfect, last = make_score(PASSED), make_score(FAILED, late=timedelta(days=1))

    assert counting_attempt([last, perfect, make_score(submitted_at=None)], "last") == last


def test_an_attempt_in_error_never_counts() -> None:
    graded = make_score(FAILED)

    assert counting_attempt([make_score(UNSURE, late=timedelta(days=1)), graded], "last") == graded
    assert counting_attempt([make_score(UNSURE)]) is None


def test_moments_are_recorded_in_utc() -> None:
    assert json.loads(make_score().model_dump_json())["submitted_at"] == "2026-10-04T21:59:00Z"
    assert make_score().submitted_at == DEADLINE.astimezone(UTC)
