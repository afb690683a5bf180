"""The grade CSV, read back as its reader would, and what is said about everything that is not in it."""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.course import Course, load_course
from grading.errors import UsageError
from grading.export.course_csv import export, neutralised, two_decimals
from grading.score import Digests, Outcome, TaskOutcome, build_score
from grading.score_file import write_score

BERLIN = ZoneInfo("Europe/Berlin")
DEADLINE = datetime(2026, 10, 4, 23, 59, tzinfo=BERLIN)
COURSE = """\
name: Deep Learning
timezone: Europe/Berlin
salt: a long random text
homeworks:
  - {name: activations, weight: 1, deadline: 2026-10-04T23:59:00+02:00}
  - {name: cnn, weight: 4}
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    for name in ("activations", "cnn"):
        (tmp_path / "homeworks" / name).mkdir(parents=True)
        (tmp_path / "homeworks" / name / "homework.yml").touch()
    path = tmp_path / "homeworks" / "course.yml"
    path.write_text(COURSE)
    return load_course(path)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    path = tmp_path / "scores"
    path.mkdir()
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "grades.csv"


def record(
    scores: Path,
    student: str | None,
    passed: int = 3,
    homework: str = "activations",
    file: str | None = None,
    late: timedelta = timedelta(0),
    confined: bool = True,
    error: bool = False,
) -> Path:
    """The score of a submission that passed so many of three tests."""
    tests = [Outcome(f"test_{i}", "passed" if i < passed else "failed") for i in range(3)]
    if error:
        tests.append(Outcome("test_slow", "error", message="the worker's parent is gone"))
    score = build_score(
        homework=homework,
        tasks=[TaskOutcome("all", 100, tests)],
        policy=load_course(scores.parent / "homeworks" / "course.yml").late,
        timezone=BERLIN,
        submitted_at=DEADLINE + late,
        deadline=DEADLINE,
        student=student,
        confined=confined,
        digests=Digests(),
    )
    return write_score(scores / (file or f"{student}-{homework}.json"), score)


def rows(out: Path, **reader: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(out.read_bytes().decode("utf-8"), newline=""), **reader))


def test_a_student_has_one_row_with_every_homework_and_the_total(
    course: Course, scores: Path, out: Path
) -> None:
    record(scores, "ann", passed=2, late=timedelta(days=1, seconds=1))
    record(scores, "ann", passed=3, homework="cnn")

    summary = export(scores, out, course=course)

    assert rows(out) == [
        {
            "username": "ann",
            "activations_raw": "66.67",
            "activations_days_late": "2",
            "activations_penalty": "0.20",
            "activations_points": "53.33",
            "cnn_raw": "100.00",
            "cnn_days_late": "0",
            "cnn_penalty": "0.00",
            "cnn_points": "100.00",
            "total": "4.53",
        }
    ]
    assert (summary.not_graded, summary.unconfined, summary.skipped) == ((), (), ())
    assert [summary.header, *summary.rows] == [tuple(row) for row in csv.reader(out.open(newline=""))]


def test_the_file_is_plain_utf8_with_line_feeds(course: Course, scores: Path, out: Path) -> None:
    record(scores, "ann")

    export(scores, out, course=course)

    content = out.read_bytes()
    assert content.startswith(b"username,activations_raw,")
    assert b"\r" not in content
    assert content.endswith(b"\n")


def test_excel_gets_its_mark_and_line_ends(course: Course, scores: Path, out: Path) -> None:
    record(scores, "ann")

    export(scores, out, course=course, excel=True)

    content = out.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfusername,")
    assert content.count(b"\r\n") == content.count(b"\n") == 2


def test_students_are_sorted_and_their_logins_ignore_case(course: Course, scores: Path, out: Path) -> None:
    record(scores, "bob")
    record(scores, "Ann", homework="cnn")
    record(scores, "ann")
    record(scores, "Carl")

    export(scores, out, course=course)

    assert [row["username"].lower() for row in rows(out)] == ["ann", "bob", "carl"]
    assert rows(out)[0]["total"] == "5.00"


def test_files_in_directories_below_count_too(course: Course, scores: Path, out: Path) -> None:
    (scores / "week1").mkdir()
    record(scores, "ann", file="week1/ann.json")

    export(scores, out, course=course)

    assert [row["username"] for row in rows(out)] == ["ann"]


def test_of_a_store_below_only_its_scores_are_read(course: Course, scores: Path, out: Path) -> None:
    store = scores / "autumn"
    (store / "evidence").mkdir(parents=True)
    for folder, student in (("records", "ada"), ("submissions", "eve"), ("scores", "grace")):
        (store / folder).mkdir()
        record(scores, student, file=f"autumn/{folder}/{student}.json")

    export(scores, out, course=course)

    assert [row["username"] for row in rows(out)] == ["grace"]


def test_the_best_attempt_counts(course: Course, scores: Path, out: Path) -> None:
    record(scores, "ann", passed=2, file="1.json")
    record(scores, "ann", passed=3, file="2.json", late=timedelta(days=2))
    record(scores, "ann", passed=2, file="3.json", late=timedelta(days=3))

    export(scores, out, course=course)

    assert rows(out)[0]["activations_points"] == "80.00"


def test_the_last_attempt_counts_if_the_course_says_so(course: Course, scores: Path, out: Path) -> None:
    record(scores, "ann", passed=3, file="1.json")
    record(scores, "ann", passed=1, file="2.json", late=timedelta(days=-1))
    record(scores, "ann", passed=1, file="3.json", late=timedelta(days=1))

    export(scores, out, course=course.model_copy(update={"counts": "last"}))

    assert rows(out)[0]["activations_points"] == "30.00"


def test_a_homework_never_handed_in_is_empty_and_counts_nothing(
    course: Course, scores: Path, out: Path
) -> None:
    record(scores, "ann")

    export(scores, out, course=course)

    assert (rows(out)[0]["cnn_raw"], rows(out)[0]["cnn_points"], rows(out)[0]["total"]) == ("", "", "1.00")


def test_an_error_is_listed_and_is_neither_zero_nor_a_total(course: Course, scores: Path, out: Path) -> None:
    path = record(scores, "ann", error=True)
    record(scores, "ann", homework="cnn")

    summary = export(scores, out, course=course)

    assert summary.not_graded == (f"{path}: ann, activations: not graded: could not tell: test_slow",)
    assert rows(out)[0]["activations_points"] == ""
    assert rows(out)[0]["cnn_points"] == "100.00"
    assert rows(out)[0]["total"] == ""


def test_an_error_beside_a_score_takes_nothing_from_it(course: Course, scores: Path, out: Path) -> None:
    record(scores, "ann", file="ann.json")
    record(scores, "ann", file="ann.json", error=True)

    summary = export(scores, out, course=course)

    assert len(summary.not_graded) == 1
    assert rows(out)[0]["total"] == "1.00"


def test_a_score_without_a_sandbox_is_refused_and_named(course: Course, scores: Path, out: Path) -> None:
    path = record(scores, "eve", confined=False)

    summary = export(scores, out, course=course)

    assert summary.unconfined == (
        f"{path}: eve, activations: graded without a sandbox, so it does not count",
    )
    assert (rows(out)[0]["activations_points"], rows(out)[0]["total"]) == ("", "")


def test_files_that_are_no_score_of_the_course_are_told_and_skipped(
    course: Course, scores: Path, out: Path
) -> None:
    record(scores, "ann")
    record(scores, None, file="nobody.json")
    record(scores, "ann", homework="rnn")
    (scores / "broken.json").write_bytes(b'{"state": "gra')
    (scores / "foreign.json").write_text(json.dumps({"score": 100}))
    (scores / "dangling.json").symlink_to("nowhere")
    (scores / "notes.txt").write_text("not looked at")
    (scores / "directory.json").mkdir()
    os.mkfifo(scores / "pipe.json")

    summary = export(scores, out, course=course)

    assert [row["username"] for row in rows(out)] == ["ann"]
    assert [Path(line.partition(":")[0]).name for line in summary.skipped] == [
        "ann-rnn.json",
        "broken.json",
        "dangling.json",
        "foreign.json",
        "nobody.json",
        "pipe.json",
    ]


@pytest.mark.parametrize("login", ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", '=HYPERLINK("x","y")'])
def test_no_login_is_taken_for_a_formula(course: Course, scores: Path, out: Path, login: str) -> None:
    record(scores, login, file="x.json")

    export(scores, out, course=course)

    assert rows(out)[0]["username"] == f"'{login.replace(chr(13), ' ')}"


@given(st.text())
def test_text_is_only_changed_where_it_must_be(text: str) -> None:
    line = "".join(" " if unicodedata.category(c) == "Cc" and c != "\t" else c for c in text)
    assert neutralised(text) in {line, f"'{line}"}
    assert not neutralised(text).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0.00"),
        (Fraction(1, 200), "0.01"),
        (Fraction(49, 10_000), "0.00"),
        (Fraction(1005, 1000), "1.01"),
        (Fraction(2675, 1000), "2.68"),
        (Fraction(200, 3), "66.67"),
        (Fraction(99_995, 1000), "100.00"),
    ],
)
def test_numbers_are_rounded_half_up(value: Fraction, text: str) -> None:
    assert two_decimals(value) == text


def test_a_total_is_rounded_once(course: Course, scores: Path, out: Path) -> None:
    record(scores, "ann", passed=1)
    record(scores, "ann", passed=1, homework="cnn")

    export(scores, out, course=course)

    assert rows(out)[0]["total"] == "1.67"  # 1/3 + 4/3, where rounding first would give 0.33 + 1.33


def test_the_same_scores_give_the_same_bytes(course: Course, scores: Path, out: Path) -> None:
    for student in ("dan", "bob", "ann"):
        record(scores, student, passed=1)

    export(scores, out, course=course)
    first = out.read_bytes()
    export(scores, out, course=course)

    assert out.read_bytes() == first


def test_a_directory_that_is_not_there_is_told(course: Course, scores: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        export(scores / "missing", out, course=course)

    assert not out.exists()


def test_a_directory_without_scores_is_told(course: Course, scores: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="no score files"):
        export(scores, out, course=course)

    assert not out.exists()


def test_a_place_that_cannot_be_written_is_told(course: Course, scores: Path) -> None:
    record(scores, "ann")

    with pytest.raises(UsageError, match="cannot be written"):
        export(scores, scores / "missing" / "grades.csv", course=course)
