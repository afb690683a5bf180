"""What other rules or deadlines would change: two tables compared, and the command that makes them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from worlds import NAMES, World, keys, minutes, rule_changes, table, worlds

from grading.cli import app
from grading.errors import UsageError
from grading.gradebook.commands import grade_table
from grading.gradebook.ingest import ingest
from grading.gradebook.table import GradeTable
from grading.gradebook.what_if import compare
from grading.late import PerDay
from grading.score import Digests, Outcome, TaskOutcome, build_score
from grading.score_file import write_score

GRADING = Path(sysconfig.get_path("scripts"), "grading")
any_world = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


# Two tables


def cells(table: GradeTable) -> dict[tuple[str, str], object]:
    """All that a table says of points and grades, by login and column."""
    found: dict[tuple[str, str], object] = {}
    for student in table.students:
        login = student.person.username
        found[login, "on the roster"] = True
        found[login, "total"] = student.total
        found[login, "grade"] = student.grade
        for name, points in student.components.items():
            found[login, f"component {name}"] = points
        for grade in student.homeworks:
            if grade.state != "missing":
                found[login, f"homework {grade.homework}"] = grade.state, grade.points, grade.course_points
    return {key: cell for key, cell in found.items() if cell is not None}


@given(rule_changes)
@any_world
def test_a_comparison_says_what_a_look_at_both_tables_says(change: tuple[World, World]) -> None:
    before, after = map(table, change)
    old, new = cells(before), cells(after)
    differ = {key for key in old | new if old.get(key) != new.get(key)}
    both = {login for login, what in old if what == "on the roster" and (login, what) in new}
    moved = {
        login: new[login, "total"] - old[login, "total"]
        for login in both
        if (login, "total") in old and (login, "total") in new
    }

    found = compare(before, after)

    logins = [one.person.username for one in found.students]
    assert sorted(logins) == sorted({login for login, _ in differ})
    for parts in ("homework", "component"):
        assert {
            (one.person.username, f"{parts} {name}")
            for one in found.students
            for name in getattr(one, f"{parts}s")
        } == {key for key in differ if key[1].startswith(parts)}
    assert {one.person.username: one.difference for one in found.students} == {
        login: moved.get(login) for login in logins
    }
    assert (found.counts.students, found.counts.changed) == (
        len({login for login, _ in old | new}),
        len(logins),
    )
    assert found.counts.up == sum(difference > 0 for difference in moved.values())
    assert found.counts.down == sum(difference < 0 for difference in moved.values())
    those = [moved[login] for login in logins if login in moved]
    assert found.counts.mean_difference == (sum(those) / len(those) if those else None)
    assert found.counts.grades == sum((login, "grade") in differ for login in both)
    assert found.counts.known == sum((login, "total") in new.keys() - old for login in both)
    assert found.counts.unknown == sum((login, "total") in old.keys() - new for login in both)
    assert found.counts.joined == sum(what == "on the roster" for _, what in new.keys() - old)
    assert found.counts.left == sum(what == "on the roster" for _, what in old.keys() - new)
    assert {*found.new_homeworks} == {*after.homeworks} - {*before.homeworks}
    assert {*found.gone_homeworks} == {*before.homeworks} - {*after.homeworks}


@given(worlds, st.sampled_from(range(len(NAMES))), minutes)
@settings(any_world, max_examples=50)
def test_a_later_deadline_lowers_nobody(world: World, which: int, due: int) -> None:
    earlier = world.due[which]
    later = None if earlier is None else max(earlier, due)
    longer = replace(world, due=(*world.due[:which], later, *world.due[which + 1 :]))

    assert compare(table(world), table(longer)).counts.down == 0


@given(worlds, keys, minutes)
@settings(any_world, max_examples=50)
def test_without_its_extension_nobody_is_better_off(world: World, key: tuple[str, str], until: int) -> None:
    extended = replace(world, extensions={**world.extensions, key: until})

    assert compare(table(extended), table(replace(extended, extensions={}))).counts.up == 0


# A course on disk

DEADLINE = datetime(2026, 10, 4, 22, tzinfo=UTC)
COURSE = """\
name: Deep Learning
timezone: UTC
salt: nobody-guesses-this-salt
grade:
  components: [{name: homework, weight: 0.7}, {name: exam, weight: 0.3}]
  scale: [{grade: "[b]A", at_least: 8}, {grade: F, at_least: 0}]
homeworks:
  - {name: cnn, weight: 10, deadline: 2026-10-04T22:00:00Z}
  - {name: nlp, weight: 4}
"""
EXTENSIONS = "extensions:\n  - {student: ada, homework: cnn, until: 2026-10-05T22:00:00Z, reason: ill}\n"
REVIEWS = (
    "reviews:\n"
    "  - {student: grace, homework: cnn, points: -20, reason: copied, by: prof, at: 2026-10-09T00:00:00Z}\n"
)
FILES = {
    "course.yml": COURSE,
    "roster.csv": "username,last_name\nada,A\ngrace,G\nbob,B\neve,E\n",
    "extensions.yml": EXTENSIONS,
    "reviews.yml": REVIEWS,
    "excused.yml": "excused:\n  - {student: grace, homework: nlp, reason: ill}\n",
    "plagiarism.yml": "plagiarism:\n  - {student: bob, homework: cnn, reason: copied}\n",
    "manual.yml": "manual:\n  - {component: exam, grades: [{student: ada, points: 9}, {student: eve, points: 2}]}\n",
}
OTHERWISE = {
    "course.yml": COURSE.replace("weight: 10", "weight: 5"),
    "roster.csv": "username,last_name\nada,A\ngrace,G\nbob,B\neve,E\nzoe,Z\n",
    "teams.yml": "teams: [{name: owls, members: [ada, eve], homeworks: [cnn]}]\n",
    "extensions.yml": EXTENSIONS.replace("10-05", "11-05"),
    "reviews.yml": REVIEWS.replace("-20", "+5"),
    "excused.yml": "excused:\n  - {student: ada, homework: nlp, reason: ill}\n",
    "plagiarism.yml": "plagiarism:\n  - {student: grace, homework: cnn, reason: copied}\n",
    "manual.yml": "manual:\n  - {component: exam, grades: [{student: ada, points: 8}]}\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ada has 80 points in cnn, two days late of which one is allowed; grace and bob are in time; eve has an exam."""
    for name in ("cnn", "nlp"):
        (tmp_path / "homeworks" / name).mkdir(parents=True)
        (tmp_path / "homeworks" / name / "homework.yml").touch()
    for name, text in FILES.items():
        (tmp_path / "homeworks" / name).write_text(text)
    (tmp_path / "scores").mkdir()
    for student, homework, points, days in [
        ("ada", "cnn", 80, 2),
        ("grace", "cnn", 90, 0),
        ("bob", "nlp", 70, 0),
    ]:
        outcomes = [Outcome("a", "passed", points), Outcome("b", "failed", 100 - points)]
        score = build_score(
            homework=homework,
            tasks=[TaskOutcome("all", 100, outcomes)],
            policy=PerDay(),
            timezone=UTC,
            submitted_at=DEADLINE + timedelta(days=days),
            time_source="push",
            student=student,
            commit=f"{days:040x}",
            confined=True,
            digests=Digests(),
        )
        write_score(tmp_path / f"scores/{student}.json", score)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def what_if(*arguments: str, scores: str = "scores") -> dict[str, Any]:
    ran = CliRunner().invoke(
        app, ["what-if", scores, *arguments, "--json", "--homeworks", "homeworks"], catch_exceptions=False
    )
    assert ran.exit_code == 0
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def differences(comparison: dict[str, Any]) -> dict[str, float | None]:
    return {one["person"]["username"]: one["difference"] for one in comparison["students"]}


def grades(place: Path) -> GradeTable:
    return grade_table(place / "scores", place / "homeworks", None)[0]


def really(place: Path, before: GradeTable) -> dict[str, float | None]:
    """What has changed since, by the grades as they are now."""
    changes = compare(before, grades(place)).students
    return {one.person.username: None if one.difference is None else float(one.difference) for one in changes}


@pytest.mark.parametrize("name", OTHERWISE)
def test_a_file_in_the_place_of_another_gives_the_grades_that_it_would(place: Path, name: str) -> None:
    before = grades(place)
    (place / "changed").mkdir()
    (place / "changed" / name).write_text(OTHERWISE[name])

    found = what_if("changed")

    assert grades(place) == before
    shutil.copy(place / "changed" / name, place / "homeworks")
    assert differences(found) == pytest.approx(really(place, before))
    assert found["counts"]["changed"] > 0


@pytest.mark.parametrize("name", ["extensions", "reviews", "excused", "plagiarism", "manual"])
def test_without_a_file_the_grades_are_as_if_it_were_not_there(place: Path, name: str) -> None:
    before = grades(place)

    found = what_if("--without", name)

    (place / f"homeworks/{name}.yml").unlink()
    assert differences(found) == pytest.approx(really(place, before))
    assert found["counts"]["changed"] > 0


def test_several_things_can_be_otherwise_at_once(place: Path) -> None:
    (place / "changed").mkdir()
    (place / "changed/reviews.yml").write_text("reviews: []\n")

    found = what_if("changed", "--without", "extensions", "--deadline", "cnn=2026-10-05T22:00:00+00:00")

    assert differences(found) == pytest.approx(
        {"grace": 0.7 * 2 * 14 / 10}
    )  # ada's day more is the extension's


def test_a_deadline_is_told_in_rows_and_words(place: Path) -> None:
    ran = subprocess.run(
        [
            GRADING,
            "what-if",
            "scores",
            "--deadline",
            "cnn=2026-10-07T00:00:00+02:00",
            "--homeworks",
            "homeworks",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert [re.split("  +", line.strip()) for line in ran.stdout.splitlines()] == [
        ["who", "cnn", "homework", "total", "grade", "difference"],
        ["ada", "72.00 → 80.00", "7.20 → 8.00", "7.74 → 8.30", "F → [b]A", "+0.56"],
        ["1 of 4 students change: 1 up, 0 down, +0.56 points on average, 1 with another grade"],
    ]


def test_nothing_changes_is_said(place: Path) -> None:
    ran = CliRunner().invoke(
        app, ["what-if", "scores", "--deadline", "cnn=2026-10-04T22:00:00Z", "--homeworks", "homeworks"]
    )

    assert (ran.exit_code, ran.stdout) == (0, "nothing changes for 4 students\n")


def test_a_homework_and_a_student_more_or_less_are_told(place: Path) -> None:
    (place / "changed").mkdir()
    for name in ("extensions.yml", "reviews.yml", "excused.yml", "plagiarism.yml", "manual.yml"):
        (place / "homeworks" / name).unlink()
    (place / "changed/roster.csv").write_text("username,last_name\nGrace,G\nzoe,Z\n")
    (place / "changed/course.yml").write_text(COURSE.replace("  - {name: nlp, weight: 4}\n", ""))

    found = what_if("changed")

    assert differences(found) == {"zoe": None, "ada": None, "bob": None, "eve": None}
    assert (found["new_homeworks"], found["gone_homeworks"]) == ([], ["nlp"])
    assert (found["counts"]["joined"], found["counts"]["left"]) == (1, 3)
    ran = CliRunner().invoke(app, ["what-if", "scores", "changed", "--homeworks", "homeworks"])
    assert "gone in the course: nlp" in ran.stdout
    assert "1 new on the roster, 3 no longer on it" in ran.stdout


def test_scores_of_a_homework_that_the_course_gets_are_read(place: Path) -> None:
    (place / "changed").mkdir()
    shutil.copy(place / "homeworks/course.yml", place / "changed/course.yml")
    for name in ("plagiarism.yml", "excused.yml"):
        (place / "homeworks" / name).unlink()
    (place / "homeworks/course.yml").write_text(COURSE.replace("  - {name: nlp, weight: 4}\n", ""))

    found = what_if("changed")

    assert differences(found) == pytest.approx({"bob": 0.7 * 0.7 * 4})
    assert found["new_homeworks"] == ["nlp"]


def test_a_gradebook_says_the_same_as_its_files(place: Path) -> None:
    ingest(place / "book.db", [place / "scores"])

    assert what_if("--without", "extensions", scores="book.db") == what_if("--without", "extensions")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "what if what? give a directory with changed files, --deadline, --without or --since"),
        (["nowhere"], "nowhere: cannot be read: No such file or directory; give a directory"),
        (["empty"], "empty: has none of a course's files; put in it what would differ of course.yml, "),
        (["slip"], 'slip/extension.yml: is none of a course\'s files; did you mean "extensions.yml"?'),
        (["bad"], 'bad/reviews.yml:2: reviews.0.student: "gracee" is not in homeworks/roster.csv; did you mean'),
        (["fewer"], 'homeworks/extensions.yml:2: extensions.0.student: "ada" is not in fewer/roster.csv'),
        (["exams"], 'homeworks/manual.yml:2: manual.0.component: no component "exam" under grade in exams/course.yml'),
        (["--deadline", "cnn"], "--deadline cnn: write HOMEWORK=MOMENT; there is cnn, nlp"),
        (["--deadline", "rnn=2026-10-07T00:00:00Z"], "--deadline rnn=2026-10-07T00:00:00Z: write HOMEWORK=MOMENT"),
        (["--deadline", "cnn=soon"], "--deadline cnn=soon: not a time; write it as 2026-11-02T10:00:00+01:00"),
        (["--deadline", "cnn=2026-10-07"], "has no zone; write one, as in 2026-10-07T00:00:00+01:00"),
        (["--deadline", "cnn=2026-10-07T00:00Z", "--deadline", "cnn=2026-10-08T00:00Z"], "cnn has one already"),
        (["--without", "exams"], "--without exams: there is extensions, reviews, excused, plagiarism, manual"),
        (["--since", "HEAD", "--without", "manual"], "--since: compares the files as they are with those of then"),
        (["--since", "HEAD"], "--since: homeworks is in no git repository that can be read (fatal: not a git"),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_the_file_that_was_written(
    place: Path, arguments: Sequence[str], said: str
) -> None:
    for name, file, text in [
        ("slip", "extension.yml", EXTENSIONS),
        ("bad", "reviews.yml", REVIEWS.replace("grace", "gracee")),
        ("fewer", "roster.csv", "username\ngrace\nbob\neve\n"),
        ("exams", "course.yml", COURSE.replace("name: exam", "name: oral")),
        ("empty", "README.md", ""),
    ]:
        (place / name).mkdir()
        (place / name / file).write_text(text)

    with pytest.raises(UsageError) as caught:
        what_if(*arguments)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# What has changed since


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=prof", "-c", "user.email=prof@example.org", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def commit(directory: Path) -> None:
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "rules")


def test_what_changed_since_a_revision_is_found_and_nothing_is_touched(place: Path) -> None:
    (place / "homeworks/extensions.yml").unlink()
    git(place, "init", "--quiet")
    commit(place)
    (place / "homeworks/extensions.yml").write_text(EXTENSIONS)
    commit(place)
    (place / "homeworks/reviews.yml").unlink()
    for name in ("manual.yml", "roster.csv"):
        (place / "homeworks" / name).write_text(OTHERWISE[name])
    git(place, "add", "homeworks/manual.yml")
    index, status = (place / ".git/index").read_bytes(), git(place, "status", "--porcelain")

    since_then, since_last = what_if("--since", "HEAD~1"), what_if("--since", "HEAD")

    now = {"eve": -0.6, "grace": 0.7 * 2 * 14 / 10, "zoe": None}
    assert differences(since_last) == pytest.approx({"ada": -0.3, **now})
    assert differences(since_then) == pytest.approx({"ada": 0.7 * 0.8 - 0.3, **now})
    assert (place / ".git/index").read_bytes() == index
    assert git(place, "status", "--porcelain") == status


@pytest.mark.parametrize(("top", "name"), [(".", "HEAD:homeworks/"), ("homeworks", "HEAD:")])
def test_what_was_wrong_then_is_named_as_git_names_it(place: Path, top: str, name: str) -> None:
    (place / "homeworks/reviews.yml").write_text(REVIEWS.replace("cnn", "cn"))
    git(place / top, "init", "--quiet")
    commit(place / top)
    (place / "homeworks/reviews.yml").write_text(REVIEWS)

    with pytest.raises(UsageError) as caught:
        what_if("--since", "HEAD")

    assert str(caught.value).startswith(f'{name}reviews.yml:2: reviews.0.homework: no homework "cn"')


def test_a_roster_that_git_does_not_keep_is_todays(place: Path) -> None:
    (place / ".gitignore").write_text("roster.csv\n")
    git(place, "init", "--quiet")
    commit(place)
    (place / "homeworks/reviews.yml").unlink()

    assert [*differences(what_if("--since", "HEAD"))] == ["grace"]


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("nothing", "--since nothing: no such revision; `git log` shows those there are"),
        ("--help", "--since --help: no such revision"),
        ("HEAD~1", "--since HEAD~1: has no homeworks; give a later revision"),
    ],
)
def test_a_revision_without_the_course_is_told(place: Path, revision: str, said: str) -> None:
    git(place, "init", "--quiet")
    git(place, "commit", "--quiet", "--allow-empty", "--message", "first")
    commit(place)

    with pytest.raises(UsageError) as caught:
        what_if(f"--since={revision}")

    assert str(caught.value).startswith(said)
