"""The command line as people and CI meet it: help, bad input, exit codes, what is written, and being killed."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import psutil
import pytest

from grading.build import build_reference
from grading.homework import load_homework
from grading.late import PerDay
from grading.score import Digests, Outcome, TaskOutcome, build_score
from grading.score_file import load_score

ROOT = Path(__file__).parents[1]
HOMEWORK = ROOT / "tests/homeworks/toy"
GRADING = Path(sysconfig.get_path("scripts"), "grading")
COMMANDS = (
    "grade",
    "doctor",
    "build",
    "check",
    "ingest",
    "grades",
    "export",
    "what-if",
    "regrade",
    "explain",
    "report",
    "review",
    "similar",
    "release",
    "bundle",
    "collect",
    "fetch",
    "central",
)
COURSE = """
name: A course of one homework
timezone: Europe/Berlin
salt: nobody-guesses-this
late: {kind: per_day, rate: 0.10, cap: 0.30}
homeworks:
  - name: toy
    weight: 1
    deadline: 2026-10-04T23:59:00+02:00
"""
ON_TIME = "2026-10-04T23:59:00+02:00"


def grading(
    *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GRADING, *map(str, arguments)],
        cwd=cwd or ROOT,
        env=env or {**os.environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def homeworks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course of one small homework, in a place of its own, its starter built by the command."""
    directory = tmp_path_factory.mktemp("course") / "homeworks"
    shutil.copytree(HOMEWORK, directory / "toy", ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
    (directory / "course.yml").write_text(COURSE)
    built = grading("build", "--homeworks", directory)
    assert built.returncode == 0, built.stderr
    return directory


@pytest.fixture(scope="module")
def reference(homeworks: Path) -> str:
    source = homeworks / "toy/source.py"
    return build_reference(source.read_text(), source_name=str(source))


@pytest.fixture(scope="module")
def starter(homeworks: Path) -> str:
    return next((homeworks / "toy").glob("*.ipynb")).read_text()


@pytest.fixture
def notebook(tmp_path: Path, reference: str) -> Path:
    path = tmp_path / "ada.ipynb"
    path.write_text(reference)
    return path


@pytest.fixture
def own_homeworks(homeworks: Path, tmp_path: Path) -> Path:
    """A copy of the course that a test may break."""
    return shutil.copytree(homeworks, tmp_path / "own")


# Help


def test_the_help_names_every_command_with_a_whole_sentence():
    shown = grading("--help")

    assert shown.returncode == 0
    assert shown.stderr == ""
    for command in COMMANDS:
        [line] = [line for line in shown.stdout.splitlines() if line.split()[:1] == [command]]
        assert not line.rstrip().endswith("..."), f"cut off: {line}"
        assert len(line.split()) > 4, line


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_explains_every_option_in_words(command):
    shown = grading(command, "--help")

    assert shown.returncode == 0
    assert shown.stderr == ""
    first, *_ = [line for line in shown.stdout.splitlines()[1:] if line.strip()]
    assert re.match(r"  [A-Z].*\w", first)
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)(.*)$", shown.stdout, re.MULTILINE)
    assert "--help" in dict(options)
    for name, rest in options:
        assert len(rest.split()) > 2, f"{name} is not explained"
    assert "list[" not in shown.stdout, "a type of Python's is no help"
    assert "...]..." not in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100


@pytest.mark.parametrize("arguments", [["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_imports_neither_torch_nor_pytest(arguments):
    command = [sys.executable, "-P", "-X", "importtime", "-m", "grading.cli", *arguments]

    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert ran.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"torch", "pytest", "_pytest", "numpy", "IPython", "nbformat", "yaml"}


@pytest.mark.parametrize("arguments", [["build", "--check"], ["export", ".", "--out", "grades.csv"]])
def test_a_command_that_grades_nothing_imports_neither_torch_nor_pytest(arguments, homeworks, tmp_path):
    command = [sys.executable, "-P", "-X", "importtime", "-m", "grading.cli", *arguments]

    ran = subprocess.run(
        [*command, "--homeworks", homeworks],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "pydantic" in imported
    assert not imported & {"torch", "pytest", "_pytest"}


# Bad input: one line that says what, where and what to do; exit 2; nothing written


def assert_refused(ran: subprocess.CompletedProcess[str], *said: str) -> None:
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert ran.stdout == ""
    [line] = ran.stderr.splitlines()
    assert "Traceback" not in line
    for words in said:
        assert words in line, line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.ipynb"], ["missing.ipynb", "No such file", "give the path of a notebook"]),
        (["ada.ipynb", "missing.ipynb"], ["missing.ipynb", "No such file", "give"]),
        (["folder"], ["folder", "is a directory", "--repo folder"]),
        (["--repo", "nowhere"], ["nowhere", "no such directory", "--repo takes a checkout"]),
        (["--repo", "ada.ipynb"], ["ada.ipynb", "no such directory", "--repo takes a checkout"]),
        ([], ["give notebooks to grade, or --repo DIR"]),
        (["ada.ipynb", "--repo", "folder"], ["--repo DIR", "not both"]),
        (["ada.ipynb", "--jobs", "0"], ["--jobs 0", "give 1 or more"]),
        (["ada.ipynb", "--jobs", "-2"], ["--jobs -2", "give 1 or more"]),
        (
            ["ada.ipynb", "--submitted-at", "2026-10-04T10:00:00"],
            ["2026-10-04T10:00:00", "has no zone", "add one"],
        ),
        (["ada.ipynb", "--submitted-at", "2026-10-04"], ["2026-10-04", "has no zone", "add one"]),
        (["ada.ipynb", "--submitted-at", "yesterday"], ["yesterday", "not a time", "write it as"]),
        (["ada.ipynb", "--submitted-at", ""], ["--submitted-at", "not a time", "write it as"]),
        (
            ["ada.ipynb", "--submitted-at", "2026-13-45T10:00:00Z"],
            ["2026-13-45", "not a time", "write it as"],
        ),
        (["ada.ipynb", "--out", "nowhere/score.json"], ["nowhere/score.json", "does not exist", "make it"]),
        (["ada.ipynb", "--out", "ada.ipynb/scores"], ["ada.ipynb/scores", "cannot be made", "give another"]),
        (["ada.ipynb", "--out", "ada.ipynb"], ["ada.ipynb", "cannot be made", "give another"]),
        (
            ["ada.ipynb", "--summary", "nowhere/summary.md"],
            ["nowhere/summary.md", "does not exist", "make it"],
        ),
        (["ada.ipynb", "--summary", "folder"], ["folder", "cannot be written", "give a file"]),
        (
            ["ada.ipynb", "bob.ipynb", "--out", "score.json"],
            ["score.json", "one file for 2 scores", "give a directory"],
        ),
        (["ada.ipynb", "folder/ada.ipynb", "--out", "out"], ["one student", "(ada)", "rename one"]),
        (["ada.ipynb", "bob.ipynb", "--student", "ada"], ["--student ada", "2 notebooks", "leave it out"]),
        (["ada.ipynb", "--event", "event.json"], ["--event", "--repo DIR"]),
        (
            ["--repo", "folder", "--event", "nowhere.json"],
            ["nowhere.json", "cannot be read", "GITHUB_EVENT_PATH"],
        ),
        (
            ["--repo", "folder", "--event", "event.json"],
            ["event.json", "not GitHub's event", "GITHUB_EVENT_PATH"],
        ),
    ],
)
def test_a_wrong_call_is_refused_in_one_line_before_anything_is_written(
    arguments, said, homeworks, tmp_path, reference
):
    place = tmp_path / "place"
    (place / "folder").mkdir(parents=True)
    for name in ("ada.ipynb", "bob.ipynb", "folder/ada.ipynb"):
        (place / name).write_text(reference)
    (place / "event.json").write_text('{"repository": "mine"}')
    before = contents(place)

    ran = grading("grade", *arguments, "--homework", "toy", "--homeworks", homeworks, cwd=place)

    assert_refused(ran, *said)
    left = contents(place)
    left.pop("out", None)  # the directory that was asked for
    assert left == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grade", "x.ipynb", "--homework", "toy", "--jobs", "many"], "--jobs"),
        (["grade", "x.ipynb", "--homework", "toy", "--colour"], "--colour"),
        (["grade", "x.ipynb", "--homework"], "--homework"),
        (["grad", "x.ipynb"], "grad"),
        (["check", "toy", "--seeds", "0"], "--seeds"),
        (["check", "toy", "--reference-seeds", "-1"], "--reference-seeds"),
        (["check"], "HOMEWORK"),
        (["export", "."], "--out"),
    ],
)
def test_what_the_command_line_cannot_parse_is_refused_in_one_line_too(arguments, said, tmp_path):
    ran = grading(*arguments, cwd=tmp_path)

    assert_refused(ran, said)


@pytest.mark.parametrize(
    "event",
    ["", "no json", "[]", "null", "{}", '{"repository": {}}', '{"repository": {"full_name": "a/b", "pushed_at": "x"}}',
     '{"repository": {"full_name": "a/b", "pushed_at": 1e400}}', "\xff\xfe", "[" * 100_000,
     '{"repository": {"full_name": "a/b", "pushed_at": "2026-10-04T10:00:00"}}',
     '{"repository": {"full_name": 7, "pushed_at": 1790000000}}',
     '{"repository": {"full_name": "a/b", "pushed_at": 1790000000}, "sender": "ada"}',
     '{"repository": {"full_name": "a/b", "pushed_at": 1790000000}, "sender": {"login": ["ada"]}}',
     '{"repository": {"full_name": "a/b", "pushed_at": 1790000000}, "after": {}}'],
)  # fmt: skip
def test_a_malformed_event_is_refused_in_one_line(event, homeworks, tmp_path):
    file = tmp_path / "event.json"
    file.write_bytes(event.encode("latin-1"))

    ran = grading("grade", "--repo", tmp_path, "--event", file, "--homework", "toy", "--homeworks", homeworks)

    assert_refused(ran, "event.json", "not GitHub's event", "GITHUB_EVENT_PATH")


def test_a_homework_that_does_not_exist_is_refused_with_those_there_are(notebook, homeworks):
    ran = grading("grade", notebook, "--homework", "tyo", "--homeworks", homeworks)

    assert_refused(ran, '"tyo"', "there is: toy")


def test_a_homework_left_out_is_asked_for(notebook, homeworks):
    ran = grading("grade", notebook, "--homeworks", homeworks)

    assert_refused(ran, "--homework", "which one?", "toy")


@pytest.mark.parametrize(
    "command", [["grade", "x.ipynb", "--homework", "toy"], ["check", "toy"], ["export", "."]]
)
def test_a_course_that_is_not_there_is_refused(command, tmp_path):
    (tmp_path / "x.ipynb").write_text("{}")
    more = ["--out", "grades.csv"] if command[0] == "export" else []

    ran = grading(*command, *more, "--homeworks", tmp_path / "nowhere", cwd=tmp_path)

    assert_refused(ran, "nowhere/course.yml", "no such file", "check the path")


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("course.yml", ("timezone:", "timezon:"), ["course.yml:3", "timezon", 'did you mean "timezone"?']),
        ("course.yml", ("+02:00", ""), ["course.yml:9", "deadline", "no time zone", "write one"]),
        ("course.yml", ("rate: 0.10", "rate: -1"), ["course.yml:5", "rate"]),
        ("course.yml", ("name: toy", "name: tyo"), ["course.yml:7", "tyo/homework.yml", 'did you mean "toy"?']),
        ("course.yml", ("homeworks:", "homeworks: ["), ["course.yml:7", "not valid YAML"]),
        ("course.yml", (COURSE, ""), ["course.yml:1", "empty"]),
        ("toy/homework.yml", ("points:", "point:"), ["homework.yml:", "unknown key", 'did you mean "points"?']),
        ("toy/homework.yml", ("title:", "titel:"), ["homework.yml:", "unknown key", 'did you mean "title"?']),
        ("toy/homework.yml", ("tasks:", "tasks: ["), ["homework.yml:", "not valid YAML"]),
    ],
)  # fmt: skip
def test_a_malformed_configuration_is_refused_with_file_line_and_key(
    file, edit, said, own_homeworks, notebook
):
    path = own_homeworks / file
    text = path.read_text()
    assert edit[0] in text
    path.write_text(text.replace(*edit, 1))

    ran = grading(
        "grade", notebook, "--homework", "toy", "--homeworks", own_homeworks, "--out", path.parent / "o.json"
    )

    assert_refused(ran, *said)
    assert not (path.parent / "o.json").exists()


def test_a_task_without_its_tests_is_refused_with_the_file_to_write(own_homeworks, notebook):
    module = sorted((own_homeworks / "toy/tests").glob("test_*.py"))[0]
    module.unlink()

    ran = grading("grade", notebook, "--homework", "toy", "--homeworks", own_homeworks)

    assert_refused(ran, "homework.yml:", "has no tests", f"write {module}")


@pytest.mark.parametrize(
    "command", [["check", "toy", "--jobs", "0"], ["check", "nothing"], ["build", "nothing"]]
)
def test_the_other_commands_refuse_in_one_line_too(command, homeworks):
    ran = grading(*command, "--homeworks", homeworks)

    assert_refused(ran)


@pytest.mark.parametrize(
    ("scores", "out", "said"),
    [
        ("nowhere", "grades.csv", ["nowhere", "no such directory", "give the one"]),
        (".", "nowhere/grades.csv", ["nowhere/grades.csv", "cannot be written", "choose another place"]),
    ],
)
def test_an_export_from_or_to_nowhere_is_refused(scores, out, said, homeworks, tmp_path):
    (tmp_path / "old.json").write_text("{}")

    ran = grading("export", scores, "--out", out, "--homeworks", homeworks, cwd=tmp_path)

    assert_refused(ran, *said)
    assert contents(tmp_path) == {"old.json": b"{}"}


@pytest.mark.parametrize("what", ["notebook", "scores", "file", "event", "course"])
def test_what_an_ordinary_user_may_not_touch_is_refused(what, homeworks, tmp_path, reference):
    place, course = tmp_path, shutil.copytree(homeworks, tmp_path / "homeworks")
    (place / "ada.ipynb").write_text(reference)
    (place / "event.json").write_text("{}")
    (place / "scores").mkdir()
    (place / "scores/ada.json").write_text("{}")
    arguments: list[object] = ["ada.ipynb"]
    closed = {
        "notebook": place / "ada.ipynb",
        "scores": place / "scores",
        "file": place / "scores/ada.json",
        "event": place / "event.json",
        "course": course / "course.yml",
    }[what]
    if what == "event":
        arguments = ["--repo", place, "--event", closed]
    closed.chmod(0o555 if what == "scores" else 0o444 if what == "file" else 0)
    if what in ("scores", "file"):
        arguments += ["--out", "scores" if what == "scores" else "scores/ada.json"]

    ran = as_ordinary_user("grade", *arguments, "--homework", "toy", "--homeworks", course, cwd=place)

    assert_refused(ran, closed.name)
    closed.chmod(0o755)


# Exit codes, the terminal, and what is written


@pytest.fixture(scope="module")
def class_run(homeworks, reference, starter, tmp_path_factory):
    """A class graded in one call, three days late, with notebooks that cannot be read among them."""
    place = tmp_path_factory.mktemp("class")
    broken = json.loads(reference)
    broken["cells"] = [cell | {"source": "import os\nos._exit(0)"} for cell in broken["cells"][:1]]
    broken["cells"][0]["cell_type"] = "code"
    notebooks = {
        "ada": reference,
        "bob": "{ this is no notebook",
        "cyd": starter,
        "dee": json.dumps(broken),
        "eve": reference,
    }
    for student, text in notebooks.items():
        (place / f"{student}.ipynb").write_text(text)
    files = [place / f"{student}.ipynb" for student in notebooks]
    ran = grading(
        "grade", *files, "--homework", "toy", "--homeworks", homeworks, "--out", place / "scores",
        "--submitted-at", "2026-10-07T23:59:00+02:00", "--jobs", "2",
    )  # fmt: skip
    return ran, place / "scores"


def test_one_bad_notebook_stops_nothing(class_run):
    ran, scores = class_run

    assert ran.returncode == 0, ran.stderr
    assert sorted(path.name for path in scores.iterdir()) == [
        f"{s}.json" for s in ("ada", "bob", "cyd", "dee", "eve")
    ]
    points = {path.stem: load_score(path).points for path in scores.iterdir()}
    assert points == {"ada": 100, "bob": 0, "cyd": 0, "dee": 0, "eve": 100}


def test_every_score_of_a_class_says_who_when_and_how(class_run):
    _, scores = class_run

    for path in scores.iterdir():
        score = load_score(path)
        assert (score.state, score.student, score.homework) == ("graded", path.stem, "toy")
        assert (score.confined, score.time_source, score.provisional) == (True, "given", False)
        assert score.digests.tests
        assert score.digests.environment
        assert (score.digests.submission is None) == (path.stem == "bob")


def test_the_late_penalty_is_applied(class_run):
    _, scores = class_run

    score = load_score(scores / "ada.json")

    assert score.days_late == 3
    assert float(score.penalty or 0) == 0.3
    assert (score.points, score.final_points) == (100, 70)


def test_the_table_has_a_row_for_each_student(class_run):
    ran, scores = class_run

    *table, where = [line for line in ran.stdout.splitlines() if line.strip()]
    rows = {line.split()[0]: line for line in table}
    assert str(scores) in where
    assert list(rows) == ["student", "ada", "bob", "cyd", "dee", "eve"]
    assert rows["student"].split() == ["student", "points", "late", "final", "state"]
    assert re.fullmatch(r"ada +100 +3 days late, −30% +70 +graded *", rows["ada"])
    assert re.fullmatch(r"bob +0 +3 days late, −30% +0 +graded *", rows["bob"])


def test_a_class_run_writes_nothing_but_its_table_where_nobody_watches(class_run):
    ran, _ = class_run

    assert ran.stderr == ""
    assert "\x1b" not in ran.stdout


def test_an_unreadable_notebook_is_a_0_that_says_why(class_run):
    _, scores = class_run

    messages = {test.message for task in load_score(scores / "bob.json").tasks for test in task.tests}

    [message] = messages
    assert "not valid JSON" in message
    assert "open it in Jupyter" in message


def test_a_class_run_exports_to_one_row_a_student(class_run, homeworks, tmp_path):
    _, scores = class_run

    ran = grading("export", scores, "--out", tmp_path / "grades.csv", "--homeworks", homeworks)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "5 students" in ran.stdout
    with (tmp_path / "grades.csv").open(newline="") as file:
        rows = {row["username"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["ada", "bob", "cyd", "dee", "eve"]
    assert rows["ada"] == {
        "username": "ada", "toy_raw": "100.00", "toy_days_late": "3", "toy_penalty": "0.30", "toy_points": "70.00",
        "total": "0.70",
    }  # fmt: skip


def test_one_notebook_shows_its_tasks_and_writes_its_one_file(notebook, homeworks, tmp_path):
    score_file = tmp_path / "score.json"

    ran = grading(
        "grade", notebook, "--homework", "toy", "--homeworks", homeworks, "--out", score_file,
        "--student", "lovelace", "--submitted-at", ON_TIME, "--summary", tmp_path / "summary.md",
    )  # fmt: skip

    assert (ran.returncode, ran.stderr) == (0, "")
    score = load_score(score_file)
    assert (score.student, score.points, score.days_late, score.penalty) == ("lovelace", 100, 0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ada.ipynb", "score.json", "summary.md"]
    assert re.search(r"^Result: 100 of 100 points, on time *$", ran.stdout, re.MULTILINE)
    for task in score.tasks:
        assert f"{float(task.points or 0):g}/{float(task.max_points):g}" in ran.stdout
    assert "100 of 100 points" in (tmp_path / "summary.md").read_text()


def test_the_homeworks_may_be_named_from_where_one_stands(own_homeworks, notebook):
    description = own_homeworks / "toy/homework.yml"
    description.write_text(description.read_text() + "data: [numbers.txt]\n")
    (own_homeworks / "toy/numbers.txt").write_text("1 2 3\n")

    ran = grading(
        "grade", notebook.name, "--homework", "toy", "--homeworks", own_homeworks.name, cwd=notebook.parent
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Result: 100 of 100 points" in ran.stdout


@pytest.fixture(scope="module")
def path_without_bubblewrap(tmp_path_factory) -> dict[str, str]:
    return {**os.environ, "PATH": str(tmp_path_factory.mktemp("empty"))}


def test_our_own_failure_is_exit_3_and_an_error_score_that_says_why(
    notebook, homeworks, tmp_path, path_without_bubblewrap
):
    score_file = tmp_path / "score.json"

    ran = grading(
        "grade",
        notebook,
        "--homework",
        "toy",
        "--homeworks",
        homeworks,
        "--out",
        score_file,
        env=path_without_bubblewrap,
    )

    assert ran.returncode == 3
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "not your fault" in ran.stdout
    score = load_score(score_file)
    assert (score.state, score.points, score.final_points) == ("error", None, None)
    assert "install it" in (score.reason or "")
    assert "bwrap" in (score.reason or "")


def test_an_error_never_replaces_a_score_and_a_score_replaces_both(
    notebook, homeworks, tmp_path, path_without_bubblewrap
):
    scores = tmp_path / "scores"
    command = ["grade", notebook, "--homework", "toy", "--homeworks", homeworks, "--out", scores]

    first = grading(*command)
    recorded = (scores / "ada.json").read_bytes()
    failed = grading(*command, env=path_without_bubblewrap)

    assert (first.returncode, failed.returncode) == (0, 3)
    assert (scores / "ada.json").read_bytes() == recorded
    assert load_score(scores / "ada.error.json").state == "error"

    again = grading(*command, "--submitted-at", ON_TIME)

    assert again.returncode == 0
    assert [path.name for path in scores.iterdir()] == ["ada.json"]
    score = load_score(scores / "ada.json")
    assert (score.points, score.time_source) == (100, "given")


def test_a_hidden_test_that_does_not_load_is_our_fault_and_no_score(own_homeworks, notebook, tmp_path):
    module = sorted((own_homeworks / "toy/tests").glob("test_*.py"))[0]
    module.write_text("import a_module_that_nobody_has\n" + module.read_text())

    ran = grading(
        "grade", notebook, "--homework", "toy", "--homeworks", own_homeworks, "--out", tmp_path / "score.json"
    )

    assert ran.returncode == 3
    assert "Traceback" not in ran.stdout + ran.stderr
    score = load_score(tmp_path / "score.json")
    assert (score.state, score.points) == ("error", None)
    assert module.name in (score.reason or "")


def test_unconfined_scores_are_marked_and_refused_by_the_export(
    notebook, homeworks, tmp_path, path_without_bubblewrap
):
    scores = tmp_path / "scores"

    graded = grading(
        "grade", notebook, "--homework", "toy", "--homeworks", homeworks, "--out", scores, "--unconfined",
        env=path_without_bubblewrap,
    )  # fmt: skip
    exported = grading("export", scores, "--out", tmp_path / "grades.csv", "--homeworks", homeworks)

    assert graded.returncode == 0
    assert "do not count" in graded.stdout
    score = json.loads((scores / "ada.json").read_text())
    assert (score["state"], score["points"], score["confined"]) == ("graded", 100, False)
    assert exported.returncode == 0
    assert "without a sandbox" in exported.stderr
    [row] = list(csv.DictReader((tmp_path / "grades.csv").open(newline="")))
    assert row == {
        "username": "ada",
        "toy_raw": "",
        "toy_days_late": "",
        "toy_penalty": "",
        "toy_points": "",
        "total": "",
    }


@pytest.mark.parametrize("start", [["grading"], ["python", "-P", "-m", "grading.cli"]])
def test_a_command_run_inside_a_students_checkout_runs_nothing_of_it(start, homeworks, reference, tmp_path):
    checkout = tmp_path / "ada"
    trap = f"open({str(tmp_path / 'sprung')!r}, 'a').write(__name__ + ' ')\nraise SystemExit(0)\n"
    modules = ("torch", "conftest", "numpy/__init__", "grading/__init__", "pytest", "sitecustomize", "usercustomize",
               "typer", "json", "yaml/__init__", "oracles", "test_planted", "IPython/__init__", "msgspec")  # fmt: skip
    planted = {f"{module}.py": trap for module in modules}
    planted["pytest.ini"] = planted["tox.ini"] = "[pytest]\naddopts = --collect-only\npython_files = *.py\n"
    planted["setup.cfg"] = "[tool:pytest]\naddopts = --collect-only\n"
    planted["pyproject.toml"] = "[tool.pytest.ini_options]\naddopts = '--collect-only'\n"
    planted["toy.ipynb"] = reference
    for name, text in planted.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    tools = {"grading": str(GRADING), "python": sys.executable}
    command = [tools.get(word, word) for word in start]
    before = contents(checkout)

    ran = subprocess.run(
        [*command, "grade", "--repo", ".", "--homework", "toy", "--homeworks", homeworks, "--out", tmp_path / "s.json"],
        cwd=checkout, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr
    score = load_score(tmp_path / "s.json")
    assert (score.student, score.points) == ("ada", 100)
    assert not (tmp_path / "sprung").exists()
    assert contents(checkout) == before


def test_a_push_event_says_whose_which_commit_and_when(homeworks, reference, tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "toy.ipynb").write_text(reference)
    event = {
        "after": "c0ffee" * 6,
        "sender": {"login": "ada"},
        "repository": {"full_name": "course/toy-ada", "pushed_at": 1791151141},
        "head_commit": {"timestamp": "2001-01-01T00:00:00Z"},
    }
    (tmp_path / "event.json").write_text(json.dumps(event))

    ran = grading(
        "grade", "--repo", checkout, "--event", tmp_path / "event.json", "--homework", "toy",
        "--homeworks", homeworks, "--out", tmp_path / "score.json",
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    score = load_score(tmp_path / "score.json")
    assert (score.student, score.repository, score.commit) == ("ada", "course/toy-ada", "c0ffee" * 6)
    assert (score.time_source, score.provisional) == ("push", True)
    assert score.submitted_at
    assert score.submitted_at.isoformat() == "2026-10-04T21:59:01+00:00"
    assert (score.days_late, score.final_points) == (1, 90)  # a second after the deadline


# Killed


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """While this lasts, what a killed child leaves running becomes a child of this process, and cannot hide."""
    set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
    libc = ctypes.CDLL(None)
    assert libc.prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc.prctl(set_child_subreaper, 0, 0, 0, 0)


def left_running(before: set[psutil.Process], seconds: float = 30.0) -> list[str]:
    """Descendants of this process that are new and do not end by themselves."""
    give_up = time.monotonic() + seconds
    while True:
        new = set(psutil.Process().children(recursive=True)) - before
        alive = []
        for process in new:
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                if process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(f"{process.pid} {process.cmdline()}")
                elif process.ppid() == os.getpid():
                    os.waitpid(process.pid, os.WNOHANG)
        if not alive or time.monotonic() > give_up:
            return alive
        time.sleep(0.05)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_any_moment_it_leaves_whole_scores_and_no_process(
    how, homeworks, reference, starter, tmp_path
):
    scores = tmp_path / "scores"
    scores.mkdir()
    files = []
    for number in range(6):
        files.append(tmp_path / f"student{number}.ipynb")
        files[-1].write_text(reference if number % 2 else starter)
    (scores / "student0.json").write_bytes(an_old_score(homeworks, starter))
    command = [GRADING, "grade", *files, "--homework", "toy", "--homeworks", homeworks, "--out", scores]
    moments = random.Random(how.value)
    before = set(psutil.Process().children(recursive=True))

    with adopting_orphans():
        for _ in range(4):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moments.uniform(0.2, 9))
            process.send_signal(how)
            process.wait(60)

            assert left_running(before) == []
            for path in scores.glob("*.json"):
                assert load_score(path).state == "graded", path

        finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        assert left_running(before) == []

    assert finished.returncode == 0, finished.stderr
    assert sorted(path.name for path in scores.glob("*.json")) == [
        f"student{number}.json" for number in range(6)
    ]
    assert [float(load_score(scores / f"student{number}.json").points or 0) for number in range(6)] == [
        0,
        100,
    ] * 3


def an_old_score(homeworks: Path, starter: str) -> bytes:
    """A score from an earlier run, which must stay or be replaced as a whole."""
    tasks = load_homework(homeworks / "toy").tasks
    score = build_score(
        homework="toy",
        tasks=[TaskOutcome(task.id, task.points, [Outcome("test_old", "passed")]) for task in tasks],
        policy=PerDay(),
        timezone=UTC,
        student="student0",
        confined=True,
        digests=Digests(),
    )
    return score.model_dump_json().encode()


# build and doctor


def test_build_says_what_is_out_of_step_and_mends_it(own_homeworks):
    built = next((own_homeworks / "toy").glob("*.ipynb"))
    wanted = built.read_bytes()
    built.write_bytes(wanted.replace(b"cells", b"sells", 1))

    checked = grading("build", "--check", "--homeworks", own_homeworks)
    untouched = built.read_bytes()
    mended = grading("build", "toy", "--homeworks", own_homeworks)
    checked_again = grading("build", "--check", "--homeworks", own_homeworks)

    assert (checked.returncode, mended.returncode, checked_again.returncode) == (2, 0, 0)
    assert f"{built}: out of step" in checked.stdout
    assert "grading build" in checked.stdout
    assert untouched != wanted
    assert built.read_bytes() == wanted
    assert "in step" in checked_again.stdout


def test_the_starters_of_this_repository_are_in_step_with_their_sources():
    checked = grading("build", "--check")

    assert checked.returncode == 0, checked.stdout


def test_doctor_finds_this_machine_healthy():
    ran = grading("doctor")

    assert ran.returncode == 0, ran.stdout
    lines = ran.stdout.splitlines()
    assert len(lines) >= 5
    assert all(line.startswith("ok  ") for line in lines)


def test_doctor_names_what_is_missing_and_the_mend(path_without_bubblewrap):
    ran = grading("doctor", env=path_without_bubblewrap)

    assert ran.returncode == 3
    assert ran.stderr == ""
    *_, failed, mend = ran.stdout.splitlines()
    assert re.match(r"FAIL  .*bubblewrap", failed)
    assert "apt-get install bubblewrap" in mend


# What the tests above share


def contents(directory: Path) -> dict[str, bytes | None]:
    """Every file below, with its bytes, and every directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def without_privileges() -> None:
    """For a child of root: permissions hold for it as for anyone, who may touch only what they allow."""
    drop_from_bounding_set, override, read_search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_* of linux/*.h
    if os.geteuid() == 0:
        for capability in (override, read_search):
            ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)


def as_ordinary_user(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GRADING, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
        preexec_fn=without_privileges,
    )  # fmt: skip
