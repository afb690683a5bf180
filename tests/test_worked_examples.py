"""The courses under docs/courses: what their READMEs compute by hand is what the commands say."""

from __future__ import annotations

import csv
import json
import re
import shlex
import shutil
import subprocess
import sysconfig
import unicodedata
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from grading.cli import app
from grading.course import load_course
from grading.late import lateness
from grading.score_file import load_score

ROOT = Path(__file__).parents[1]
COURSES = ROOT / "docs/courses"
NAMES = sorted(path.parent.name for path in COURSES.glob("*/course.yml"))
SCHEMA = ROOT / "grading/score.schema.json"
GRADING = Path(sysconfig.get_path("scripts"), "grading")
LEFT = {"challenge-and-project": ["lars"], "three-projects": ["tim"]}

every_course = pytest.mark.parametrize("name", NAMES)


def readme(name: str) -> str:
    return (COURSES / name / "README.md").read_text(encoding="utf-8")


def block(name: str, language: str) -> str:
    """The one block of that language in a README."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", readme(name), re.DOTALL | re.MULTILINE)
    return str(text)


def command(name: str, verb: str) -> list[str]:
    """The one command of that name in a README, without `grading`."""
    (words,) = re.findall(rf"grading ({verb} [^`\n]+)", readme(name))
    return shlex.split(words)


def expected(name: str) -> bytes:
    return (COURSES / name / "expected.csv").read_bytes()


def composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def run(*arguments: str | Path) -> str:
    ran = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


@every_course
def test_the_command_in_the_readme_writes_the_expected_file(name: str, tmp_path: Path) -> None:
    shutil.copytree(COURSES, tmp_path / "docs/courses")

    ran = subprocess.run(
        [GRADING, *command(name, "export")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert (tmp_path / "grades.csv").read_bytes() == expected(name)
    notes = [f"{login}: has scores and is not on the roster; left out" for login in LEFT.get(name, ())]
    assert ran.stderr.splitlines() == notes


@every_course
def test_the_readme_shows_the_expected_file(name: str) -> None:
    assert block(name, "csv").encode() == expected(name)


@every_course
def test_the_readme_ends_with_every_students_total_and_grade(name: str) -> None:
    by_hand = readme(name).split("\n## ")[1]
    sections = re.findall(r"^### `(.+)`: (.+)$([^#]+)", by_hand, re.MULTILINE)

    computed = {
        login: (composed(person), re.findall(r"\*\*(.+)\*\*", steps)) for login, person, steps in sections
    }

    assert len(sections) == len(computed)
    assert computed == {
        row["username"]: (
            composed(f"{row['first_name']} {row['last_name']}"),
            [", ".join(filter(None, (row["total"], row["grade"])))],
        )
        for row in csv.DictReader(expected(name).decode().splitlines())
    }


@every_course
def test_one_grade_is_told_as_in_the_readme(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    told = iter(run(*command(name, "grades")).splitlines())

    for line in block(name, "text").splitlines():
        assert line in told, line  # after the one before


@every_course
def test_a_gradebook_says_the_same_as_the_files(name: str, tmp_path: Path) -> None:
    book, out = tmp_path / "gradebook.db", tmp_path / "grades.csv"

    run("ingest", COURSES / name / "scores", "--database", book)
    run("export", book, "--homeworks", COURSES / name, "--format", "wide", "--out", out)

    assert out.read_bytes() == expected(name)


@every_course
def test_every_score_is_one_that_grading_writes_for_this_course(name: str) -> None:
    course = load_course(COURSES / name / "course.yml")
    valid = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    paths = sorted((COURSES / name / "scores").rglob("*.json"))

    for path in paths:
        text, score = path.read_text(encoding="utf-8"), load_score(path)
        late = lateness(course.late, score.submitted_at, score.deadline, course.zone)

        valid.validate(json.loads(text))
        assert text == f"{score.model_dump_json(indent=2)}\n"
        assert path.parent.name == score.homework
        assert score.deadline == course.homework(score.homework).deadline
        assert (score.days_late, score.penalty) == (late.days_late, late.penalty(score.points))
        assert [task.id for task in score.tasks] == [
            task.id for task in course.load_homework(score.homework).tasks
        ]
    assert paths


def test_the_index_names_every_example_and_nothing_else() -> None:
    index = (COURSES / "README.md").read_text(encoding="utf-8")

    named = re.findall(r"\[([a-z-]+)\]\(([a-z-]+)\)", index)

    assert sorted(named) == [(name, name) for name in NAMES]
    assert len(NAMES) == 5
    assert (COURSES / re.findall(r"\]\((\.\./[^)]+)\)", index)[0]).is_file()
