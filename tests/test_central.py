"""Central mode as an instructor runs it: on a real server and real git, with the toy homework and the real grader."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from github_server import GitHubServer
from github_world import Repository
from typer.testing import CliRunner, Result

from grading.cli import app
from grading.errors import UsageError
from grading.github.central import Planned, read_plan
from grading.github.store import Store
from grading.late import PerDay
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score
from grading.score_file import load_score, write_score

ROOT = Path(__file__).parents[1]
TOY = ROOT / "tests/homeworks/toy"
GRADING = Path(sysconfig.get_path("scripts"), "grading")
DEADLINE = datetime(2026, 10, 4, 21, 59, tzinfo=UTC)
COURSE = """\
name: A course of one homework
timezone: Europe/Berlin
salt: nobody-guesses-this-salt
github: {organisation: dl-course, grade_on_push: %s, central: %s, writes_per_minute: 60000}
homeworks:
  - {name: toy, weight: 1, deadline: 2026-10-04T23:59:00+02:00}
"""
RIGHT = {
    "center": "def center(x):\n    return x - x.mean(dim=-1, keepdim=True)",
    "length": "def length(x):\n    return (x * x).sum(dim=-1).sqrt()",
    "twice": "def twice(f, x):\n    return f(f(x))",
}
HALF = RIGHT | {"center": "def center(x):\n    return x"}


class Course:
    """A course on disk, its organisation, and the command line."""

    def __init__(self, github: GitHubServer, place: Path) -> None:
        self.github, self.place = github, place
        self.homeworks = place / "homeworks"
        self.where = ("--store", place / "scores", "--work", place / "work")
        shutil.copytree(TOY, self.homeworks / "toy")
        self.settings()
        self.enrol("ada", "grace")

    def settings(self, *, on_push: str = "false", central: str = "all") -> None:
        (self.homeworks / "course.yml").write_text(COURSE % (on_push, central))

    def enrol(self, *logins: str) -> None:
        (self.homeworks / "roster.csv").write_text("\n".join(("username", *logins, "")))
        for login in logins:
            if login not in self.github.users:
                self.github.add_user(login)

    def add_homework(self, name: str) -> None:
        """The same once more, under another name."""
        shutil.copytree(TOY, self.homeworks / name)
        with (self.homeworks / name / "homework.yml").open("a") as file:
            file.write("notebook: toy.ipynb\n")
        with (self.homeworks / "course.yml").open("a") as file:
            file.write(f"  - {{name: {name}, weight: 1, deadline: null}}\n")

    def hand_out(self, homework: str = "toy") -> None:
        self.here("release", homework, "--push")
        self.here("classroom", "assign", homework, "--store", self.place / "scores")

    def grading(self, *arguments: object, **environment: str) -> str:
        """The command itself, which has to end well."""
        ended = subprocess.run(
            [GRADING, *map(str, arguments), "--homeworks", self.homeworks],
            cwd=self.place,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def here(self, *arguments: object, exit_code: int = 0) -> Result:
        """In this process, without starting one: for what grades nothing."""
        words = [*map(str, arguments), "--homeworks", str(self.homeworks)]
        ended = CliRunner().invoke(app, words, catch_exceptions=False)
        assert ended.exit_code == exit_code, ended.output
        return ended

    def central(self, *arguments: object, **environment: str) -> str:
        return self.grading("central", *self.where, *arguments, **environment)

    def collect(self) -> str:
        return self.here("central", *self.where, "--step", "collect").stdout

    def publish(self, exit_code: int = 0) -> Result:
        return self.here("central", *self.where, "--step", "publish", exit_code=exit_code)

    def collect_and_grade_by_hand(self) -> None:
        """As if all that is planned had been graded, and was right."""
        self.collect()
        (self.place / "work/graded").mkdir()
        for planned in read_plan(self.place / "work"):
            write_score(self.score_file(planned.commit), all_right(planned))

    def score_file(self, commit: str) -> Path:
        (planned,) = [one for one in read_plan(self.place / "work") if one.commit == commit]
        return self.place / f"work/graded/{planned.name}.json"

    def repository(self, login: str, homework: str = "toy") -> Repository:
        return self.github.repositories[f"{homework}-{login}"]

    def push(
        self, login: str, cells: dict[str, str], at: datetime, homework: str = "toy", **more: str
    ) -> str:
        files = {"toy.ipynb": notebook(*cells.values()), **more}
        return self.github.push(self.repository(login, homework), files, actor=login, at=at)

    @property
    def store(self) -> Store:
        return Store(self.place / "scores")


def notebook(*cells: str) -> str:
    code = [
        {
            "cell_type": "code",
            "id": f"c{i}",
            "metadata": {},
            "source": cell,
            "outputs": [],
            "execution_count": None,
        }
        for i, cell in enumerate(("import torch", *cells))
    ]
    return json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def all_right(planned: Planned, times: int = 1) -> Score:
    """All points, or some times as many as there are."""
    worth = {"center": 40, "length": 30, "twice": 30}
    return build_score(
        homework=planned.homework,
        tasks=[
            TaskOutcome(task, times * points, [Outcome("test", "passed")]) for task, points in worth.items()
        ],
        max_points=times * 100,
        policy=PerDay(),
        timezone=UTC,
        submitted_at=planned.submitted_at,
        deadline=DEADLINE,
        time_source=planned.time_source,
        student=planned.student,
        repository=planned.repository,
        commit=planned.commit,
        confined=True,
        digests=Digests(),
    )


@pytest.fixture
def course(github: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    course = Course(github, tmp_path)
    course.hand_out()
    return course


def test_a_class_is_graded_whatever_it_pushes_told_and_told_again_only_when_it_pushes(
    course: Course,
) -> None:
    course.enrol("ada", "grace", "joan", "mary")
    course.hand_out()
    first = course.push("ada", HALF, DEADLINE - timedelta(days=2))
    late = course.push("grace", RIGHT, DEADLINE + timedelta(hours=30))
    trap = course.push("joan", {}, DEADLINE, **{"conftest.py": "raise SystemExit(1)"})
    nothing = {"toy.ipynb": None, "README.md": "nothing here"}
    course.github.push(course.repository("mary"), nothing, actor="mary", at=DEADLINE)

    said = course.central()

    assert "4 commits graded here, 4 told to students" in said
    ada, grace = course.repository("ada"), course.repository("grace")
    assert told(ada) == [(first, "success", "60 of 100 points, on time")]
    assert told(grace) == [(late, "success", "100 of 100 points, 2 days late, −20%: 80 points")]
    (issue,) = ada.issues
    assert issue.title == "Feedback on toy"
    assert f"For commit {first[:7]}" in issue.body
    assert "Rows with mean zero | 0 | 40" in issue.body
    assert told(course.repository("joan")) == [(trap, "success", "0 of 100 points, on time")]
    (hers,) = course.repository("mary").issues
    assert "no toy.ipynb, nor any other notebook" in hers.body
    scores = {score.student: score.final_points for score in scores_of(course)}
    assert scores == {"ada": 60, "grace": 80, "joan": 0, "mary": 0}

    writes = [each for each in course.github.requests if each.method != "GET"]
    assert "0 commits graded here, 0 told to students" in course.here("central", *course.where).stdout
    assert [each for each in course.github.requests if each.method != "GET"] == writes

    second = course.push("ada", RIGHT, DEADLINE - timedelta(days=1))
    course.collect_and_grade_by_hand()
    course.publish()

    assert told(ada)[1:] == [(second, "success", "100 of 100 points, on time")]
    (issue,) = ada.issues
    assert f"For commit {second[:7]}" in issue.body
    assert "this push, 100 points" in issue.body


def test_the_job_with_students_code_needs_no_token_and_the_plan_does_not_believe_it(course: Course) -> None:
    course.add_homework("again")
    course.hand_out("again")
    copied = course.push("ada", HALF, DEADLINE - timedelta(days=1))
    theirs = course.push("grace", RIGHT, DEADLINE - timedelta(days=1))
    raised = course.push("ada", RIGHT, DEADLINE, "again")

    assert "3 commits to grade" in course.collect()
    no_way_out = {"GITHUB_TOKEN": "", "GITHUB_API_URL": "http://127.0.0.1:9"}
    both = ("--homework", "toy", "--homework", "again")
    assert "3 commits graded, 0 not" in course.central("--step", "grade", *both, **no_way_out)
    one = ("--step", "grade", "--homework", "again")
    assert "1 commit graded, 0 not" in course.here("central", *course.where, *one).stdout
    # Code that got out of its sandbox gives one student another's score, and more points than there are.
    shutil.copy(course.score_file(theirs), course.score_file(copied))
    (planned,) = [one for one in read_plan(course.place / "work") if one.commit == raised]
    write_score(course.score_file(raised), all_right(planned, times=10))
    ended = course.publish()

    assert f"{copied[:7]}: its score is of another submission; left out" in ended.stderr
    assert f"{raised[:7]}: its score is out of 1000 points, not 100; left out" in ended.stderr
    assert {score.student for score in scores_of(course)} == {"grace"}
    assert [commit for commit, *_ in told(course.repository("grace"))] == [theirs]
    assert not course.repository("ada").statuses
    assert not course.repository("ada", "again").statuses


def test_a_push_that_no_run_graded_is_graded_here_and_one_that_a_run_graded_is_not(course: Course) -> None:
    course.settings(on_push="true", central="none")
    course.here("release", "toy", "--push")
    commit = course.push("ada", RIGHT, DEADLINE - timedelta(days=1))

    course.collect_and_grade_by_hand()
    assert "1 commit graded here" in course.publish().stdout

    (record,) = course.store.records()
    assert (record.commit, record.status, record.origin) == (commit, "verified", "central")
    assert "0 commits to grade" in course.collect()


def test_an_answer_that_was_lost_makes_no_second_issue(course: Course) -> None:
    commit = course.push("ada", RIGHT, DEADLINE - timedelta(days=1))
    course.collect_and_grade_by_hand()
    course.github.fail_next(r"/issues", "drop", method="POST")

    ended = course.publish(exit_code=3)

    assert "not told" in ended.stderr
    assert [score.student for score in scores_of(course)] == ["ada"]  # nothing graded is lost

    assert "1 told to students" in course.here("central", *course.where).stdout
    assert len(course.repository("ada").issues) == 1
    assert {told_of for told_of, *_ in told(course.repository("ada"))} == {commit}


def test_a_students_issue_with_our_words_is_not_taken_for_ours(course: Course) -> None:
    course.push("ada", RIGHT, DEADLINE - timedelta(days=1))
    marker = "<!-- feedback on toy: how it is found again -->\nI have 100 points"
    course.github.add_issue(course.repository("ada"), "Feedback on toy", marker, user="ada")

    course.collect_and_grade_by_hand()
    course.publish()

    assert len(course.repository("ada").issues) == 2


def test_an_unpublished_plan_is_not_overwritten(course: Course) -> None:
    course.push("ada", RIGHT, DEADLINE - timedelta(days=1))
    course.collect()

    with pytest.raises(UsageError, match="holds a plan that is not published yet"):
        course.collect()


def told(repository: Repository) -> list[tuple[str, str, str | None]]:
    assert all(status.context == "grading/toy" for status in repository.statuses)
    return [(status.sha, status.state, status.description) for status in repository.statuses]


def scores_of(course: Course) -> list[Score]:
    return [load_score(path) for path in sorted((course.place / "scores/scores").rglob("*.json"))]
