"""`course.yml`: what a right one says, and that every slip is told in one line with file, line, key and mend."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest

from grading.course import load_course
from grading.errors import UsageError
from grading.late import NoPenalty, PerDay, PointsThenEvery

ROOT = Path(__file__).parents[1]
RIGHT = """\
name: Deep Learning
timezone: Europe/Berlin
salt: a long random text
late: {kind: per_day, rate: 0.10, cap: 0.30}
homeworks:
  - name: activations
    weight: 1
    deadline: 2026-10-04T23:59:00+02:00
  - name: dropout
    weight: 0.1
"""


@pytest.fixture(autouse=True)
def no_salt_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADING_SALT", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A course with two homeworks beside it."""
    for name in ("activations", "dropout"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "homework.yml").write_text("title: unread until asked for\n")
    path = tmp_path / "course.yml"
    path.write_text(RIGHT)
    return path


def told(path: Path, text: str) -> str:
    """What is said about a course.yml, without its path: one line."""
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_course(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


def test_a_course_knows_its_homeworks(path: Path) -> None:
    course = load_course(path)

    activations, dropout = course.homeworks
    assert (course.name, course.salt, str(course.zone)) == (
        "Deep Learning",
        "a long random text",
        "Europe/Berlin",
    )
    assert activations.deadline == datetime(2026, 10, 4, 21, 59, tzinfo=UTC)
    assert dropout.deadline is None
    assert dropout.weight == Fraction(1, 10)
    assert course.homework("dropout") == dropout
    assert course.directory == path.parent


def test_a_deadline_on_another_hour_than_it_looks_is_told(path: Path) -> None:
    winter = RIGHT.replace("2026-10-04", "2026-10-25")  # the clocks went back that morning

    assert told(path, winter) == (
        "8: homeworks.0.deadline: is 22:59 in Europe/Berlin, got 2026-10-25T23:59:00+02:00; "
        "write 2026-10-25T23:59:00+01:00 if that hour is meant"
    )
    path.write_text(winter.replace("+02:00", "Z"))
    assert load_course(path).homeworks[0].deadline == datetime(2026, 10, 25, 23, 59, tzinfo=UTC)


def test_a_course_has_the_designs_defaults(path: Path) -> None:
    path.write_text(RIGHT.replace("late: {kind: per_day, rate: 0.10, cap: 0.30}\n", ""))

    course = load_course(path)

    assert course.late == PerDay(rate=Fraction(1, 10), cap=Fraction(3, 10), day="elapsed")
    assert (course.time_source, course.counts) == ("pipeline_finish", "best")


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("{kind: points_then_every}", PointsThenEvery(at_once=Fraction(2), points=Fraction(2), hours=12)),
        ("{kind: points_then_every, points: 0.5}", PointsThenEvery(points=Fraction(1, 2))),
        ("{kind: none, hard_after_hours: 0}", NoPenalty(hard_after_hours=0)),
        ("{kind: per_day, rate: 0.1, day: calendar}", PerDay(day="calendar")),
    ],
)
def test_every_late_policy_can_be_written(path: Path, text: str, policy: object) -> None:
    path.write_text(RIGHT.replace("{kind: per_day, rate: 0.10, cap: 0.30}", text))

    assert load_course(path).late == policy


def test_the_salt_in_the_environment_wins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADING_SALT", "another")

    assert load_course(path).salt == "another"


def test_each_homework_has_a_salt_that_tells_nothing_of_the_others(path: Path) -> None:
    course = load_course(path)

    salts = {course.salt_of("activations"), course.salt_of("dropout")}

    assert len(salts) == 2
    assert not any("a long random text" in salt for salt in salts)


def test_a_course_may_know_its_homeworks_salts_and_not_its_own(path: Path) -> None:
    full = load_course(path)
    kept = RIGHT.replace("salt: a long random text\n", "")
    for name in ("activations", "dropout"):
        kept = kept.replace(f"name: {name}\n", f"name: {name}\n    salt: {full.salt_of(name)}\n")
    path.write_text(kept)

    course = load_course(path)

    assert course.salt is None
    assert course.salt_of("dropout") == full.salt_of("dropout")


def test_a_salt_is_asked_for_where_inputs_are_made(path: Path) -> None:
    path.write_text(RIGHT.replace("salt: a long random text\n", ""))

    course = load_course(path)  # what makes no inputs needs none

    with pytest.raises(UsageError, match="salt: missing; add it, or set GRADING_SALT"):
        course.salt_of("dropout")


@pytest.mark.parametrize(
    ("salt", "message"),
    [
        ("replace-me-or-set-GRADING_SALT", "is still the example's"),
        ("short", "has fewer than 16 characters"),
    ],
)
def test_a_salt_that_could_be_guessed_does_not_grade_for_good(path: Path, salt: str, message: str) -> None:
    path.write_text(RIGHT.replace("a long random text", salt))

    course = load_course(path)

    assert course.salt_of("dropout")
    with pytest.raises(UsageError, match=message):
        course.secret_salt_of("dropout")


def test_a_course_without_github_is_a_course(path: Path) -> None:
    assert load_course(path).github is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{organisation: dl}", ""),
        ("{organisation: dl, template: 'dl-{homework}', repository: '{homework}-{student}'}", ""),
        ("{organisation: 'a/b'}", "github.organisation: String should match"),
        ("{organisation: dl, repository: '{homework}'}", "github.repository: should have {homework} and"),
        (
            "{organisation: dl, repository: '{student}'}",
            "github.repository: should be a name with {homework}",
        ),
        ("{organisation: dl, template: 'x {homework}'}", "github.template: should be a name with {homework}"),
        (
            "{organisation: dl, template: '{homework}-{student}'}",
            "github.template: should have {homework} in it once",
        ),
        ("{organisation: dl, template: starter}", "github.template: should be a name with {homework}"),
        ("{organisation: dl, pass_mark: 101}", "github.pass_mark: should be less than or equal to 100"),
    ],
)
def test_the_names_of_repositories_are_checked(path: Path, settings: str, message: str) -> None:
    text = f"{RIGHT}github: {settings}\n"

    if message:
        assert message in told(path, text)
    else:
        path.write_text(text)
        assert load_course(path).github is not None


def test_a_homework_that_does_not_exist_is_told_with_those_that_do(path: Path) -> None:
    course = load_course(path)

    with pytest.raises(UsageError, match='no homework "cnn"; there is: activations, dropout'):
        course.homework("cnn")


def test_a_homework_is_read_when_asked_for(path: Path) -> None:
    course = load_course(path)

    with pytest.raises(UsageError, match=r"dropout/homework.yml:1: tasks: missing"):
        course.load_homework("dropout")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("salt:", "slat:", '3: slat: unknown key; did you mean "salt"?'),
        ("rate: 0.10", "rates: 0.10", '4: late.rates: unknown key; did you mean "rate"?'),
        ("weight: 1\n", "weights: 1\n", '7: homeworks.0.weights: unknown key; did you mean "weight"?'),
        ("name: Deep Learning\n", "", "1: name: missing; add it"),
        ("salt: a long random text", "salt: 1234", "3: salt: should be a valid string, got 1234"),
        ("salt: a long random text", "salt: ''", "3: salt: "),
        ("Europe/Berlin", "Europe/Berlim", '2: timezone: no such time zone; did you mean "Europe/Berlin"?'),
        ("Europe/Berlin", "../../etc/passwd", "2: timezone: no such time zone; "),
        ("Europe/Berlin", "Europe", "2: timezone: no such time zone; "),
        ("kind: per_day", "kind: weekly", "4: late.kind: should be one of 'per_day', "),
        ("kind: per_day, ", "", "4: late.kind: missing; add it"),
        ("{kind: per_day, rate: 0.10, cap: 0.30}", "strict", '4: late: should be keys and values, got "strict"'),
        ("rate: 0.10", "rate: 10", "4: late.rate: should be less than or equal to 1, got 10"),
        ("rate: 0.10", "rate: 10%", '4: late.rate: should be a number, got "10%"'),
        ("rate: 0.10", "rate: .nan", "4: late.rate: should be a number of at most"),
        ("weight: 1\n", "weight: -1\n", "7: homeworks.0.weight: should be greater than or equal to 0"),
        ("23:59:00+02:00", "23:59:00", "8: homeworks.0.deadline: 2026-10-04 23:59:00 has no time zone; write one"),
        ("2026-10-04T23:59:00+02:00", "2026-10-04", "8: homeworks.0.deadline: 2026-10-04 00:00:00 has no time zone"),
        ("2026-10-04T23:59:00+02:00", "next week", "8: homeworks.0.deadline: should be a date and time"),
        ("2026-10-04T23:59:00+02:00", "1790000000", "8: homeworks.0.deadline: should be a date and time"),
        ("name: dropout", "name: droput", "9: homeworks.1.name: there is no "),
        ("name: dropout", "name: ../dropout", "9: homeworks.1.name: "),
        ("name: dropout", "name: activations", '9: homeworks.1.name: a second entry for "activations"'),
        ("salt:", "counts: worst\nsalt:", "3: counts: should be 'best' or 'last', got \"worst\""),
        ("salt:", "path: here\nsalt:", "3: path: unknown key"),
        ("homeworks:", "homeworks: []\nother:", "6: other: unknown key"),
        ("name: Deep Learning", "name: [", "3: not valid YAML: "),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_its_line(path: Path, old: str, new: str, message: str) -> None:
    assert old in RIGHT

    assert told(path, RIGHT.replace(old, new, 1)).startswith(message)


@pytest.mark.parametrize("name", ["missing.yml", "."])
def test_a_course_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_course(tmp_path / name)

    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_the_course_of_this_repository_is_right() -> None:
    course = load_course(ROOT / "homeworks" / "course.yml")

    assert course.late == PerDay()
    assert course.load_homework("activations").name == "activations"


def test_configuration_is_read_without_loading_what_grades() -> None:
    program = "import sys, grading.course, grading.score_file; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout

    assert not {"torch", "numpy", "pytest", "nbformat", "IPython", "rich", "typer"} & set(loaded.split())
