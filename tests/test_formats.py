"""A score in other systems' formats, read back by the rules that those systems have for what they take in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from grading.errors import GradingError, UsageError
from grading.export.classroom50 import result
from grading.export.course_csv import two_decimals
from grading.export.formats import write_formats
from grading.export.gradescope import results
from grading.export.task_results import MOST_LETTERS, whole_shares
from grading.homework import Homework, load_homework
from grading.late import PerDay
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score

TOY = Path(__file__).parent / "homeworks/toy"
DEADLINE = datetime(2026, 11, 1, 22, 59, tzinfo=UTC)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
POINTS = {"center": 40, "length": 30, "twice": 30}
RUNNER = {
    "CLASSROOM": "dl",
    "ASSIGNMENT": "toys",
    "ASSIGNMENT_TYPE": "group",
    "OWNER": "ada",
    "SUBMISSION_TAG": "submit/2026-11-01T08-59-00Z-0123456",
    "COMMIT_URL": "https://github.example/o/dl-toys-ada/commit/0123456",
    "RELEASE_URL": "https://github.example/o/dl-toys-ada/releases/tag/x",
    "REVIEW_URL": "https://github.example/o/dl-toys-ada/compare/a...b",
}

MOMENT = r"^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$"
TEXT = {"type": "string", "minLength": 1}
WHOLE = {"type": "integer", "minimum": 0}
CLASSROOM50 = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        *("schema", "classroom", "assignment", "assignment_type", "owner", "submission", "commit"),
        *("release", "review", "datetime", "score", "max-score", "tests"),
    ],
    "properties": {
        "schema": {"const": "classroom50/result/v1"},
        **dict.fromkeys(("classroom", "assignment", "owner", "commit", "release", "review"), TEXT),
        "assignment_type": {"enum": ["individual", "group", "team"]},
        "submission": {"type": "string", "pattern": "^submit/"},
        "datetime": {"type": "string", "pattern": MOMENT},
        "graded_at": {"type": "string", "pattern": MOMENT},
        "score": WHOLE,
        "max-score": WHOLE,
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["test-name", "passed", "score", "max-score"],
                "properties": {
                    "test-name": TEXT,
                    "passed": {"type": "boolean"},
                    "score": WHOLE,
                    "max-score": WHOLE,
                },
            },
        },
        "submitted_by": {
            "type": "object",
            "additionalProperties": False,
            "required": ["username"],
            "properties": {"username": TEXT, "id": {"type": ["integer", "null"]}},
        },
    },
}

VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
NUMBER = {"type": "number"}
STRING = {"type": "string"}
GRADESCOPE = {
    "type": "object",
    "additionalProperties": False,
    "anyOf": [
        {"required": ["score"]},
        {"required": ["tests"], "properties": {"tests": {"items": {"required": ["score"]}}}},
    ],
    "properties": {
        "score": NUMBER,
        "execution_time": NUMBER,
        "output": STRING,
        **dict.fromkeys(("output_format", "test_output_format", "test_name_format"), FORMAT),
        **dict.fromkeys(("visibility", "stdout_visibility"), VISIBILITY),
        "extra_data": {"type": "object"},
        "leaderboard": {"type": "array"},
        "tests": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    **dict.fromkeys(("score", "max_score"), NUMBER),
                    "status": {"enum": ["passed", "failed"]},
                    **dict.fromkeys(("name", "number", "output"), STRING),
                    **dict.fromkeys(("name_format", "output_format"), FORMAT),
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "visibility": VISIBILITY,
                    "extra_data": {"type": "object"},
                },
            },
        },
    },
}


@pytest.fixture(scope="module")
def homework() -> Homework:
    return load_homework(TOY)


def score(
    *failing: str,
    message: str = "It does not hold",
    late: timedelta = timedelta(hours=-14),
    passed: dict[str, Sequence[bool]] | None = None,
    **fields: Any,
) -> Score:
    """A score of the toy homework: one test a task, failed in those named, or as `passed` has it."""
    tests = {task: [task not in failing] for task in POINTS} | {**(passed or {})}
    tasks = [
        TaskOutcome(
            task,
            POINTS[task],
            [
                Outcome(f"test_{task}_{i}", "passed" if held else "failed", 1, "" if held else message, 0.25)
                for i, held in enumerate(held_or_not)
            ],
        )
        for task, held_or_not in tests.items()
    ]
    known: dict[str, Any] = {
        "homework": "toy",
        "tasks": tasks,
        "student": "ada",
        "repository": "dl-course/dl-toy-ada",
        "commit": COMMIT,
        "submitted_at": DEADLINE + late,
        "confined": True,
        "digests": Digests(submission="sha256:5", tests="sha256:7", environment="sha256:e"),
        "time_source": "push",
    }
    return build_score(policy=PerDay(), timezone=UTC, deadline=DEADLINE, **(known | fields))


def in_error() -> Score:
    tests = [Outcome("test_center_x", "error", message="the worker's parent is gone")]
    rest = [TaskOutcome(task, POINTS[task], [Outcome("test_x", "passed")]) for task in ("length", "twice")]
    return score(tasks=[TaskOutcome("center", 40, tests), *rest])


def written(directory: Path, name: str) -> dict[str, Any]:
    """The file as a strict reader has it: no NaN, no key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = (directory / name).read_bytes().decode("utf-8")
    content = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    assert isinstance(content, dict)
    return content


def taken_by_classroom50(directory: Path, classroom: str = "dl", owner: str = "ada") -> dict[str, Any]:
    """What its collector takes for the repository `<classroom>-…-<owner>`."""
    content = written(directory, "classroom50-result.json")
    Draft202012Validator(CLASSROOM50).validate(content)
    assert content["classroom"] == classroom
    assert content["owner"].lower() == owner
    for part in (content, *content["tests"]):
        assert type(part["score"]) is type(part["max-score"]) is int
        assert part["score"] <= part["max-score"]
    assert content["score"] == sum(test["score"] for test in content["tests"])
    assert content["max-score"] == sum(test["max-score"] for test in content["tests"])
    return content


def taken_by_gradescope(directory: Path) -> dict[str, Any]:
    """What its harness takes; a top-level score outranks the sum of the test cases."""
    content = written(directory, "gradescope-results.json")
    Draft202012Validator(GRADESCOPE).validate(content)
    for test in content["tests"]:
        assert 0 <= test["score"] <= test["max_score"]
    return content


def both(directory: Path, graded: Score, homework: Homework) -> tuple[dict[str, Any], dict[str, Any]]:
    write_formats(graded, homework, directory, course_name="dl", login="ada", github_id=7)
    return taken_by_classroom50(directory), taken_by_gradescope(directory)


# Both


def test_the_schemas_here_are_schemas() -> None:
    Draft202012Validator.check_schema(CLASSROOM50)
    Draft202012Validator.check_schema(GRADESCOPE)


def test_both_files_stand_beside_each_other(tmp_path: Path, homework: Homework) -> None:
    paths = write_formats(score(), homework, tmp_path, course_name="dl", login="ada")

    assert [path.name for path in paths] == ["classroom50-result.json", "gradescope-results.json"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_full_points(tmp_path: Path, homework: Homework) -> None:
    classroom50, gradescope = both(tmp_path, score(), homework)

    assert (classroom50["score"], classroom50["max-score"]) == (10_000, 10_000)
    assert gradescope["score"] == 100
    assert [test["score"] for test in gradescope["tests"]] == [40, 30, 30]
    assert {test["status"] for test in gradescope["tests"]} == {"passed"}
    assert all(test["passed"] for test in classroom50["tests"])
    assert {test["output"] for test in [*classroom50["tests"], *gradescope["tests"]]} == {""}


def test_a_task_with_no_points_says_why_and_no_other_does(tmp_path: Path, homework: Homework) -> None:
    classroom50, gradescope = both(tmp_path, score("length", message="The length is off\ntry x=0"), homework)

    assert [test["score"] for test in classroom50["tests"]] == [4000, 0, 3000]
    assert [test["passed"] for test in classroom50["tests"]] == [True, False, True]
    assert classroom50["tests"][1]["points"] == "0 of 30 points"
    assert [test["score"] for test in gradescope["tests"]] == [40, 0, 30]
    assert [test["status"] for test in gradescope["tests"]] == ["passed", "failed", "passed"]
    for tests in (classroom50["tests"], gradescope["tests"]):
        assert [test["output"] for test in tests] == ["", "• The length is off\n  – try x=0", ""]


def test_no_points_at_all_are_a_graded_zero(tmp_path: Path, homework: Homework) -> None:
    classroom50, gradescope = both(tmp_path, score(*POINTS), homework)

    assert (classroom50["score"], classroom50["max-score"]) == (0, 10_000)
    assert gradescope["score"] == 0
    assert len(gradescope["tests"]) == 3


def test_a_late_score_counts_after_the_penalty(tmp_path: Path, homework: Homework) -> None:
    late = score("length", late=timedelta(hours=30))

    classroom50, gradescope = both(tmp_path, late, homework)

    assert classroom50["score"] == 5600
    assert [test["score"] for test in classroom50["tests"]] == [3200, 0, 2400]
    assert [test["passed"] for test in classroom50["tests"]] == [True, False, True]
    assert classroom50["tests"][0]["points"] == "40 of 40 points (2 days late, −20%: 32 points)"
    assert gradescope["score"] == 56
    assert [test["score"] for test in gradescope["tests"]] == [40, 0, 30]
    assert "2 days late, −20%: 56 points" in gradescope["output"]
    assert gradescope["extra_data"]["penalty"] == 0.2


@given(
    passed=st.fixed_dictionaries({task: st.lists(st.booleans(), min_size=1, max_size=13) for task in POINTS}),
    days=st.integers(0, 4),
)
def test_points_sum_and_agree_with_the_grade_csv(
    homework: Homework, passed: dict[str, list[bool]], days: int
) -> None:
    graded = score(passed=passed, late=timedelta(days=days))

    classroom50 = result(graded, "dl", "ada", None, homework=homework)
    gradescope = results(graded, homework)

    assert graded.final_points is not None
    assert graded.points is not None
    counted = float(two_decimals(graded.final_points))
    assert gradescope["score"] == counted
    assert classroom50["score"] == round(counted * 100)
    tests: Any = classroom50["tests"]
    assert sum(test["score"] for test in tests) == classroom50["score"]
    assert all(0 <= test["score"] <= test["max-score"] for test in tests)
    cases: Any = gradescope["tests"]
    assert round(sum(case["score"] for case in cases), 2) == float(two_decimals(graded.points))
    assert [case["status"] == "passed" for case in cases] == [all(passed[task]) for task in POINTS]
    assert [test["passed"] for test in tests] == [all(passed[task]) for task in POINTS]


@given(st.lists(st.fractions(0, 5000), max_size=8))
def test_shares_are_rounded_once_and_lose_nothing(exact: list[Fraction]) -> None:
    shares = whole_shares(exact)

    assert sum(shares) == int(sum(exact) + Fraction(1, 2))
    assert all(abs(share - value) < 1 for share, value in zip(shares, exact, strict=True))


def test_a_score_in_error_is_no_file_and_replaces_none(tmp_path: Path, homework: Homework) -> None:
    write_formats(score(), homework, tmp_path, course_name="dl", login="ada")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(
        GradingError, match=r"not graded, so there are no points to write: .*parent"
    ) as caught:
        write_formats(in_error(), homework, tmp_path, course_name="dl", login="ada")

    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_neither_writer_makes_points_of_an_error(homework: Homework) -> None:
    for failed in (in_error(), score(reason="no sandbox on this machine")):
        with pytest.raises(GradingError, match="not graded"):
            results(failed, homework)
        with pytest.raises(GradingError, match="not graded"):
            result(failed, "dl", "ada", 7, homework=homework)


def test_what_was_graded_without_a_sandbox_does_not_count(tmp_path: Path, homework: Homework) -> None:
    with pytest.raises(UsageError, match="without a sandbox"):
        write_formats(score(confined=False), homework, tmp_path, course_name="dl")

    assert list(tmp_path.iterdir()) == []


def test_a_score_of_another_homework_is_refused(tmp_path: Path, homework: Homework) -> None:
    with pytest.raises(UsageError, match="cnn: the homework here is toy"):
        write_formats(score(homework="cnn"), homework, tmp_path, course_name="dl")


def test_nothing_is_written_where_one_format_lacks_something(tmp_path: Path, homework: Homework) -> None:
    bare = score(repository=None, commit=None, student=None)

    with pytest.raises(UsageError, match="asks for the classroom, the student, the commit, the repository"):
        write_formats(bare, homework, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_one_format_alone_asks_for_nothing_of_the_other(tmp_path: Path, homework: Homework) -> None:
    bare = score(repository=None, commit=None, student=None, submitted_at=None)

    paths = write_formats(bare, homework, tmp_path, only=["gradescope"])

    assert [path.name for path in paths] == ["gradescope-results.json"]
    assert taken_by_gradescope(tmp_path)["score"] == 100


def test_a_directory_that_is_not_there_is_the_users_move(tmp_path: Path, homework: Homework) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_formats(score(), homework, tmp_path / "none", course_name="dl")


def test_what_a_student_wrote_stays_text(tmp_path: Path, homework: Homework) -> None:
    hostile = "<script>x</script> **b** [l](http://x) | ü 漢字 🙂 \x1b[31m\x00\x07\u202e\ud800\r\x85\u2028 ::error::x"
    graded = score("center", message=f"Not so\n{hostile}\n{hostile}")

    classroom50, gradescope = both(tmp_path, graded, homework)

    for test in (classroom50["tests"][0], gradescope["tests"][0]):
        assert "<script>x</script> **b** [l](http://x) | ü 漢字 🙂 " in test["output"]
        assert all(letter.isprintable() for letter in test["output"].replace("\n", "").replace("\u200b", ""))
        assert "::error" not in test["output"]
    names = [test["test-name"] for test in classroom50["tests"]]
    assert names == [test["name"] for test in gradescope["tests"]] == [task.title for task in homework.tasks]
    formats = [gradescope[key] for key in ("output_format", "test_output_format", "test_name_format")]
    formats += [test[key] for test in gradescope["tests"] for key in ("output_format", "name_format")]
    assert set(formats) == {"text"}


@given(st.text(max_size=60))
def test_any_message_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, homework: Homework, message: str
) -> None:
    both(tmp_path_factory.mktemp("any"), score("twice", message=message), homework)


def test_a_long_message_is_cut_and_says_so(tmp_path: Path, homework: Homework) -> None:
    classroom50, gradescope = both(tmp_path, score("twice", message="a\n" + "é" * 10**6), homework)

    for test in (classroom50["tests"][2], gradescope["tests"][2]):
        assert len(test["output"]) == MOST_LETTERS
        assert test["output"].endswith("(cut here)")


def test_importing_the_formats_does_not_import_torch() -> None:
    program = "import sys, grading.export.formats; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


# Classroom 50


def test_classroom50_knows_the_submission(tmp_path: Path, homework: Homework) -> None:
    classroom50, _ = both(tmp_path, score(), homework)

    assert classroom50["assignment"] == "toy"
    assert classroom50["assignment_type"] == "individual"
    assert classroom50["datetime"] == "2026-11-01T08:59:00Z"
    assert classroom50["submission"] == "submit/2026-11-01T08-59-00Z-0123456"
    assert classroom50["commit"] == f"https://github.com/dl-course/dl-toy-ada/commit/{COMMIT}"
    assert classroom50["release"] == (
        "https://github.com/dl-course/dl-toy-ada/releases/tag/submit%2F2026-11-01T08-59-00Z-0123456"
    )
    assert classroom50["review"] == classroom50["commit"]
    assert classroom50["submitted_by"] == {"username": "ada", "id": 7}


def test_classroom50_is_told_that_points_are_hundredths(tmp_path: Path, homework: Homework) -> None:
    classroom50, _ = both(tmp_path, score(passed={"center": [True, True, False]}), homework)

    assert {test["unit"] for test in classroom50["tests"]} == {"hundredths of a point"}
    assert classroom50["tests"][0]["score"] == 2667
    assert classroom50["tests"][0]["points"] == "26.67 of 40 points"


def test_a_team_owns_what_a_member_pushed(tmp_path: Path, homework: Homework) -> None:
    write_formats(
        score(student="owls"),
        homework,
        tmp_path,
        course_name="dl",
        login="grace",
        github_id=None,
        assignment_type="team",
    )

    content = taken_by_classroom50(tmp_path, owner="owls")
    assert content["assignment_type"] == "team"
    assert content["submitted_by"] == {"username": "grace", "id": None}


def test_nobody_is_named_as_the_pusher_where_nobody_is_known(tmp_path: Path, homework: Homework) -> None:
    write_formats(score(), homework, tmp_path, course_name="dl")

    assert "submitted_by" not in taken_by_classroom50(tmp_path)


def test_what_classroom50s_runner_says_outranks_the_score(tmp_path: Path, homework: Homework) -> None:
    graded = score(student="someone", repository=None, commit=None)

    write_formats(graded, homework, tmp_path, course_name="other", environment=RUNNER)

    content = taken_by_classroom50(tmp_path)
    assert content["assignment"] == "toys"
    assert content["assignment_type"] == "group"
    assert content["submission"] == RUNNER["SUBMISSION_TAG"]
    assert content["commit"] == RUNNER["COMMIT_URL"]
    assert content["release"] == RUNNER["RELEASE_URL"]
    assert content["review"] == RUNNER["REVIEW_URL"]


def test_an_environment_of_another_machine_says_nothing(tmp_path: Path, homework: Homework) -> None:
    elsewhere = {"USERNAME": "root", "OWNER": "root", "CLASSROOM": "b12", "SUBMISSION_TAG": "v1"}

    write_formats(score(), homework, tmp_path, course_name="dl", environment=elsewhere)

    assert taken_by_classroom50(tmp_path)["assignment"] == "toy"


def test_classroom50_asks_when_it_was_handed_in(homework: Homework) -> None:
    with pytest.raises(UsageError, match="asks for the time;"):
        result(score(submitted_at=None), "dl", "ada", 7, homework=homework)


# Gradescope


def test_gradescope_shows_students_the_tests_and_not_the_log(tmp_path: Path, homework: Homework) -> None:
    _, gradescope = both(tmp_path, score("center"), homework)

    assert gradescope["visibility"] == "visible"
    assert {test["visibility"] for test in gradescope["tests"]} == {"visible"}
    assert gradescope["stdout_visibility"] == "hidden"
    assert gradescope["execution_time"] == 0.75
    assert [test["number"] for test in gradescope["tests"]] == ["1", "2", "3"]


def test_gradescope_keeps_what_was_graded_by_what(tmp_path: Path, homework: Homework) -> None:
    _, gradescope = both(tmp_path, score(), homework)

    extra = gradescope["extra_data"]
    assert extra["commit"] == COMMIT
    assert extra["digests"] == {"submission": "sha256:5", "tests": "sha256:7", "environment": "sha256:e"}
    assert extra["final_points"] == 100
    assert [test["extra_data"] for test in gradescope["tests"]] == [{"task": task} for task in POINTS]


def test_gradescope_says_when_and_whether_that_is_final(homework: Homework) -> None:
    told = results(score(provisional=True), homework, zone=ZoneInfo("Europe/Berlin"))["output"]

    assert told == (
        "100 of 100 points, on time\n"
        "Handed in 1 Nov 09:59, due 1 Nov 23:59 (Europe/Berlin).\n"
        "The time is that of the push; the time that counts is fixed when the grades are collected."
    )
