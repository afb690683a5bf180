"""`grading grades` and `grading export --format`, as an instructor runs them: from score files, a roster and rules."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sysconfig
import termios
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grading.cli import app
from grading.course import load_course
from grading.late import PerDay
from grading.score import Digests, Outcome, TaskOutcome, build_score
from grading.score_file import write_score
from grading.total import GradeFormula

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


def test_scores_for_nobody_are_told(place: Path) -> None:
    (place / "homeworks/roster.csv").write_text("username\ngrace\n")

    ran = grading(place, "grades", "scores")

    assert (ran.returncode, ran.stderr) == (0, "ada: has scores, and is not on the roster\n")


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


REVIEW = "{student: WHO, homework: WHAT, points: -5, reason: x, by: me, at: 2026-10-06T00:00:00Z}"
EXTENSION = "{student: ada, homework: cnn, until: 2026-10-DAYT00:00:00Z, reason: ill}"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "reviews.yml",
            "reviews:\n  - " + REVIEW.replace("WHO", "aad").replace("WHAT", "cnn"),
            'reviews.yml:2: reviews.0.student: "aad" is not in homeworks/roster.csv; did you mean "ada"?',
        ),
        (
            "reviews.yml",
            "reviews:\n  - " + REVIEW.replace("WHO", "ada").replace("WHAT", "cn"),
            'reviews.yml:2: reviews.0.homework: no homework "cn"; did you mean "cnn"?',
        ),
        (
            "extensions.yml",
            f"extensions:\n  - {EXTENSION.replace('DAY', '07')}\n  - {EXTENSION.replace('DAY', '08')}",
            "extensions.yml:3: extensions.1.until: ada has an extension for cnn already, until 2026-10-07T00:00",
        ),
        (
            "course.yml",
            COURSE.replace("  waivers", "  out_of: 10\n  waivers").replace(
                "weight: 0.3", "weight: 0.3, max: 10"
            ),
            "course.yml:6: grade.out_of: weights and maxima add up to 12.8, not 10; mend one of them",
        ),
        (
            "course.yml",
            COURSE.replace("weight: 0.7", "weight: 0.7, homeworks: [rnn]"),
            'course.yml:5: grade.components.0.homeworks.0: no homework "rnn"; did you mean "cnn"?',
        ),
        (
            "course.yml",
            COURSE.replace("{component: homework", "{component: homeworks"),
            'course.yml:6: grade.waivers.0.component: no component "homeworks"; did you mean "homework"?',
        ),
        (
            "course.yml",
            COURSE.replace("at_least: 6", "at_least: 15"),
            "course.yml:6: grade.waivers.0.at_least: can never apply: the homeworks weigh 14 points together; lower it",
        ),
    ],
)
def test_a_rule_that_cannot_be_meant_is_one_line_that_says_where_and_how_to_mend_it(
    place: Path, file: str, text: str, said: str
) -> None:
    (place / "homeworks" / file).write_text(text)

    ran = grading(place, "grades", "scores")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"grading: homeworks/{said}")
    assert ran.stderr.count("\n") == 1


RUBRIC = """\
manual:
  - component: exam
    rubric: [{name: report, levels: {none: 0, good: 3}}, {name: code, max: 5}]
    grades: [{student: grace, criteria: {report: good, code: 4.5}, feedback: "=Clear.\\n\\nMore \\e[31mof it."}]
"""


def test_what_was_said_of_a_component_is_shown_wherever_its_points_are(place: Path) -> None:
    (place / "homeworks/manual.yml").write_text(RUBRIC)
    remarks = ["report: good, 3.00", "code: 4.50 of 5.00", "=Clear.", "More \x1b[31mof it."]

    one = grading(place, "grades", "scores", "--student", "grace").stdout
    everyone = {
        who["person"]["username"]: who
        for who in json.loads(grading(place, "grades", "scores", "--json").stdout)
    }
    wide = {row["username"]: row for row in exported(place, "wide")}
    long = {row["homework"]: row for row in exported(place, "long") if row["username"] == "grace"}

    at = one.splitlines().index("exam: 7.50")
    assert one.splitlines()[at + 1 : at + 5] == [
        f"  {line}" for line in [*remarks[:3], "More \ufffd[31mof it."]
    ]
    assert (everyone["grace"]["remarks"], everyone["ada"]["remarks"]) == ({"exam": remarks}, {})
    said = "report: good, 3.00; code: 4.50 of 5.00; =Clear.; More  [31mof it."
    assert (wide["grace"]["remarks"], wide["ada"]["remarks"]) == (f"exam: {said}", "")
    assert (long["exam"]["state"], long["exam"]["points"], long["exam"]["feedback"]) == (
        "entered",
        "7.50",
        said,
    )


@pytest.mark.parametrize(
    ("arguments", "students", "rows", "notes"),
    [
        (["course"], 1, 1, [": not a score: "]),
        (["wide"], 2, 2, []),
        (["long"], 2, 4, []),
        (["classroom"], 2, 4, []),
        (["canvas", "--canvas", "gradebook.csv", "--homework", "cnn"], 2, 2, []),
        (["moodle", "--no-zeros"], 2, 1, ["grace (Grace =Hopper): has no grade in this file"]),
    ],
)
def test_what_was_written_is_told_to_programs(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    students: int,
    rows: int,
    notes: list[str],
) -> None:
    monkeypatch.chdir(place)
    if arguments == ["course"]:
        Path("scores/none.json").write_text("{}")

    ran = CliRunner().invoke(
        app,
        [
            *("export", "scores", "--out", "out.csv", "--homeworks", "homeworks", "--json", "--format"),
            *arguments,
        ],
    )

    written = json.loads(ran.stdout)
    told = written.pop("notes")
    assert written == {"path": "out.csv", "format": arguments[0], "students": students, "rows": rows}
    assert told == ran.stderr.splitlines()
    assert len(told) == len(notes)
    assert all(part in note for part, note in zip(notes, told, strict=True))


def test_the_default_export_of_a_gradebook_is_refused_with_what_to_do(place: Path) -> None:
    ingest(place)

    ran = grading(place, "export", "book.db", "--out", "x.csv")

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "grading: book.db: --format course comes from score files; give their directory, or --format wide\n"
    )


def test_progress_is_for_a_terminal_alone(place: Path) -> None:
    ours, its = pty.openpty()
    at_home = {name: value for name, value in os.environ.items() if name != "CI"}
    process = subprocess.Popen(
        [GRADING, "export", "scores", "--out", "out.csv", "--homeworks", "homeworks"],
        cwd=place,
        env={**at_home, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=its,
    )
    os.close(its)
    output, _ = process.communicate(timeout=60)
    shown = os.read(ours, 2**16)
    os.close(ours)

    assert (process.returncode, output) == (0, b"out.csv: 1 students\n")
    assert b"score files" in shown
    assert b"2/2" in shown


def test_a_table_is_never_cut_however_narrow_the_terminal_and_is_a_line_a_student_in_a_pipe() -> None:
    course = ROOT / "docs/courses/fourteen-points"
    command = [GRADING, "grades", course / "scores", "--homeworks", course]
    piped = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    narrow = subprocess.Popen(command, env={**os.environ, "TERM": "dumb"}, stdout=its, stderr=subprocess.PIPE)
    os.close(its)
    narrow.communicate(timeout=60)
    shown = os.read(ours, 2**16).decode()
    os.close(ours)

    rows = [line.split() for line in piped.splitlines()[2:]]
    assert rows[1] == "ada 90.00 100.00 90.00 100.00 100.00 100.00 100.00 100.00 10.00".split()
    assert len(rows) == 7
    assert [line.split() for line in shown.splitlines()][-7:] == rows


def test_a_store_is_not_taken_for_score_files(place: Path) -> None:
    """What a student handed in, which is kept there too, may look like a score."""
    kept = place / f"store/submissions/cnn/ada/{1:040x}/weights.json"
    kept.parent.mkdir(parents=True)
    (place / "scores/1.json").rename(kept)
    (place / "store/records").mkdir()

    for arguments in (["grades", "store"], ["export", "store", "--out", "x.csv"]):
        ran = grading(place, *arguments)

        assert (ran.returncode, ran.stdout) == (2, "")
        assert ran.stderr == (
            "grading: store: is the store of `grading collect`; give the gradebook that `grading ingest store` makes "
            "of it, or store/scores\n"
        )


def test_the_formula_that_the_course_shows_in_comments_is_one(tmp_path: Path) -> None:
    homeworks = shutil.copytree(ROOT / "homeworks", tmp_path / "homeworks")
    course = (homeworks / "course.yml").read_text()
    shown = "".join(f"{line[2:]}\n" for line in course.splitlines() if line.startswith("#   "))
    shown = shown[shown.index("  components:") :]
    (homeworks / "course.yml").write_text(
        re.sub(r"(?ms)^grade:\n.*?^(?=homeworks:)", lambda _: f"grade:\n{shown}", course)
    )

    formula = load_course(homeworks / "course.yml").grade

    assert formula.model_fields_set == set(GradeFormula.model_fields)
    assert [one.sort for one in formula.components] == ["homework", "manual", "bonus"]


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
