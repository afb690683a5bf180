"""`grading grades` and `grading export --format`, as an instructor runs them: from score files, a roster and rules."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sysconfig
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grading.late import PerDay
from grading.score import Digests, Outcome, TaskOutcome, build_score
from grading.score_file import write_score

ROOT = Path(__file__).parents[1]
GRADING = Path(sysconfig.get_path("scripts"), "grading")
DEADLINE = datetime(2026, 10, 4, 22, tzinfo=UTC)
COURSE = """\
name: Deep Learning
timezone: Europe/Berlin
salt: nobody-guesses-this-salt
grade:
  components: [{name: homework, weight: 0.7}, {name: exam, weight: 0.3}]
  waivers: [{component: homework, at_least: 6, weight: 10/14}]
homeworks:
  - {name: cnn, weight: 10, deadline: 2026-10-05T00:00:00+02:00}
  - {name: nlp, weight: 4}
"""
ROSTER = """\
username,first_name,last_name,email,section,github_id,role
ada,Ada,Lovelace,ada@example.org,A,1,student
grace,Grace,=Hopper,grace@example.org,B,2,student
"""
CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,cnn (17)
    Points Possible,,,,,100
"Lovelace, Ada",11,,ada@example.org,A,
"=Hopper, Grace",12,,grace@example.org,B,
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """ada has 80 points a day late, in two attempts; grace nothing but an exam."""
    homeworks = tmp_path / "homeworks"
    for name in ("cnn", "nlp"):
        (homeworks / name).mkdir(parents=True)
        (homeworks / name / "homework.yml").touch()
    (homeworks / "course.yml").write_text(COURSE)
    (homeworks / "roster.csv").write_text(ROSTER)
    (homeworks / "manual.yml").write_text(
        "manual:\n  - {component: exam, grades: [{student: grace, points: 8}]}\n"
    )
    (tmp_path / "gradebook.csv").write_text(CANVAS)
    for number, (points, late) in enumerate([(40, timedelta(hours=-2)), (80, timedelta(hours=2))]):
        score = build_score(
            homework="cnn",
            tasks=[
                TaskOutcome(
                    "conv", 100, [Outcome("a", "passed", points), Outcome("b", "failed", 100 - points)]
                )
            ],
            policy=PerDay(),
            timezone=UTC,
            submitted_at=DEADLINE + late,
            deadline=DEADLINE,
            time_source="push",
            student="ada",
            commit=f"{number + 1:040x}",
            confined=True,
            digests=Digests(),
        )
        (tmp_path / "scores").mkdir(exist_ok=True)
        write_score(tmp_path / f"scores/{number}.json", score)
    return tmp_path


def grading(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GRADING, *arguments, "--homeworks", "homeworks"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def exported(place: Path, *arguments: str) -> list[dict[str, str]]:
    ran = grading(place, "export", "scores", "--out", "out.csv", "--format", *arguments)
    assert ran.returncode == 0, ran.stderr
    return list(csv.DictReader(io.StringIO((place / "out.csv").read_text())))


def test_the_table_has_everybody_on_the_roster_and_their_totals(place: Path) -> None:
    ran = grading(place, "grades", "scores", "--json")

    assert (ran.returncode, ran.stderr) == (0, "")
    grace, ada = json.loads(ran.stdout)
    assert (ada["person"]["username"], ada["homeworks"][0]["points"]) == ("ada", 72)
    assert ada["total"] == pytest.approx(7.2 * 10 / 14)  # without the exam
    assert grace["homeworks"][0]["state"] == "missing"
    assert grace["total"] == pytest.approx(0.3 * 8)
    assert "ada" in grading(place, "grades", "scores").stdout


def test_one_grade_is_told_step_by_step_and_an_extension_changes_it(place: Path) -> None:
    before = grading(place, "grades", "scores", "--student", "ADA").stdout
    (place / "homeworks/extensions.yml").write_text(
        "extensions:\n  - {student: ada, homework: cnn, until: 2026-10-07T00:00:00+02:00, reason: ill}\n"
    )

    after = grading(place, "grades", "scores", "--student", "ada").stdout

    assert "cnn: 72.00" in before
    assert "cnn: 80.00" in after
    assert "ill" in after


def test_every_format_is_written_with_the_rules_applied(place: Path) -> None:
    wide = {row["username"]: row for row in exported(place, "wide")}
    assert (wide["ada"]["cnn_points"], wide["grace"]["exam"]) == ("72.00", "8.00")
    assert wide["grace"]["last_name"] == "'=Hopper"
    assert {(row["username"], row["homework"]) for row in exported(place, "long")} >= {("ada", "cnn")}
    assert {row["github_username"] for row in exported(place, "classroom", "--homework", "cnn")} == {
        "ada",
        "grace",
    }
    canvas = exported(place, "canvas", "--canvas", "gradebook.csv", "--homework", "cnn")
    assert {row["ID"]: row["cnn (17)"] for row in canvas[1:]} == {"11": "72.00", "12": "0.00"}
    assert exported(place, "moodle", "--homework", "cnn")


def test_a_gradebook_serves_as_well_as_the_files_and_outlives_them(place: Path) -> None:
    from_files = grading(place, "grades", "scores", "--json").stdout
    first = ingest(place)
    again = ingest(place)
    for path in (place / "scores").glob("*.json"):
        path.unlink()
    ingest(place)

    assert "2 score files, 2 new" in first
    assert "0 new, 0 changed, 2 known" in again
    assert grading(place, "grades", "book.db", "--json").stdout == from_files


def ingest(place: Path) -> str:
    ran = subprocess.run(
        [GRADING, "ingest", "scores", "--database", "book.db"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grades", "scores", "--student", "nobody"], "--student nobody: is not on the roster"),
        (["grades", "nowhere"], "nowhere: no such directory"),
        (
            ["export", "scores", "--out", "x.csv", "--format", "excel"],
            "--format excel: there is course, wide",
        ),
        (["export", "scores", "--out", "x.csv", "--format", "canvas"], "needs --canvas FILE"),
        (["export", "scores", "--out", "x.csv", "--format", "moodle", "--key", "id"], "--key id: there is"),
        (
            ["export", "scores", "--out", "x.csv", "--format", "moodle", "--homework", "cn"],
            'no homework "cn"',
        ),
        (
            [
                "export",
                "scores",
                "--out",
                "x.csv",
                "--format",
                "canvas",
                "--canvas",
                "gradebook.csv",
                "--title",
                "x",
            ],
            "--title x: write HOMEWORK=TITLE",
        ),
    ],
)
def test_a_slip_is_one_line_and_writes_nothing(place: Path, arguments: list[str], said: str) -> None:
    ran = grading(place, *arguments)

    assert ran.returncode == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not (place / "x.csv").exists()


def test_a_rule_for_somebody_unknown_is_told_with_its_line(place: Path) -> None:
    (place / "homeworks/reviews.yml").write_text(
        "reviews:\n  - {student: aad, homework: cnn, points: -5, reason: x, by: me, at: 2026-10-06T00:00:00Z}\n"
    )

    ran = grading(place, "grades", "scores")

    assert ran.returncode == 2
    assert "homeworks/reviews.yml:2:" in ran.stderr
    assert 'did you mean "ada"?' in ran.stderr


def test_the_rules_in_the_documentation_are_rules_of_this_course(tmp_path: Path) -> None:
    homeworks = shutil.copytree(ROOT / "homeworks", tmp_path / "homeworks")
    rules, formula = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/grades.md").read_text(), re.DOTALL)
    files = re.split(r"(?m)^# (?=\w+\.yml)", rules)[1:]
    for file in files:
        (homeworks / file.partition(":")[0]).write_text(file.partition("\n")[2])
    course = (homeworks / "course.yml").read_text()
    (homeworks / "course.yml").write_text(
        re.sub(r"(?ms)^grade:\n.*?^(?=homeworks:)", lambda _: formula, course)
    )
    (homeworks / "roster.csv").write_text("username,section\nada,A\ngrace,A\nbob,B\n")
    (homeworks / "teams.yml").write_text("teams: [{name: owls, members: [grace, bob], homeworks: [cnn]}]\n")
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores/none.json").write_text("{}")

    ran = grading(tmp_path, "grades", "scores", "--json")

    assert ran.returncode == 0, ran.stderr
    assert {student["person"]["username"] for student in json.loads(ran.stdout)} == {"ada", "bob", "grace"}
    assert len(files) == 5
