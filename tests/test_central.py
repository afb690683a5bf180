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

from grading.github.store import Store
from grading.score import Score
from grading.score_file import load_score

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
        shutil.copytree(TOY, self.homeworks / "toy")
        self.settings()
        (self.homeworks / "roster.csv").write_text("username,first_name\nada,Ada\ngrace,Grace\n")
        for login in ("ada", "grace"):
            github.add_user(login)

    def settings(self, *, on_push: str = "false", central: str = "all") -> None:
        (self.homeworks / "course.yml").write_text(COURSE % (on_push, central))

    def grading(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [GRADING, *map(str, arguments), "--homeworks", self.homeworks],
            cwd=self.place,
            env={**os.environ, "XDG_CACHE_HOME": str(self.place / "cache"), **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def done(self, *arguments: object, **environment: str) -> str:
        ended = self.grading(*arguments, **environment)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def central(self, *arguments: object, **environment: str) -> str:
        return self.done("central", "--store", "scores", "--work", "work", *arguments, **environment)

    def repository(self, login: str) -> Repository:
        return self.github.repositories[f"toy-{login}"]

    def push(self, login: str, cells: dict[str, str], at: datetime, **more: str) -> str:
        return self.github.push(
            self.repository(login), {"toy.ipynb": notebook(*cells.values()), **more}, actor=login, at=at
        )

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


@pytest.fixture
def course(github: GitHubServer, tmp_path: Path) -> Course:
    course = Course(github, tmp_path)
    course.done("release", "toy", "--push")
    course.done("classroom", "assign", "toy", "--store", "scores")
    return course


def test_a_class_is_graded_told_and_told_again_only_when_it_pushes(course: Course) -> None:
    first = course.push("ada", HALF, DEADLINE - timedelta(days=2))
    late = course.push("grace", RIGHT, DEADLINE + timedelta(hours=30))

    said = course.central()

    assert "2 commits graded here, 2 told to students" in said
    ada, grace = course.repository("ada"), course.repository("grace")
    assert told(ada) == [(first, "success", "60 of 100 points, on time")]
    assert told(grace) == [(late, "success", "100 of 100 points, 2 days late, −20%: 80 points")]
    (issue,) = ada.issues
    assert issue.title == "Feedback on toy"
    assert f"For commit {first[:7]}" in issue.body
    assert "Rows with mean zero | 0 | 40" in issue.body
    scores = {score.student: score.final_points for score in scores_of(course)}
    assert scores == {"ada": 60, "grace": 80}

    writes = [each for each in course.github.requests if each.method != "GET"]
    assert "0 commits graded here, 0 told to students" in course.central()
    assert [each for each in course.github.requests if each.method != "GET"] == writes

    second = course.push("ada", RIGHT, DEADLINE - timedelta(days=1))
    course.central()

    assert told(ada)[1:] == [(second, "success", "100 of 100 points, on time")]
    (issue,) = ada.issues
    assert f"For commit {second[:7]}" in issue.body
    assert "this push, 100 points" in issue.body


def test_the_job_with_students_code_needs_no_token_and_the_plan_does_not_believe_it(course: Course) -> None:
    ours = course.push("ada", HALF, DEADLINE - timedelta(days=1))
    theirs = course.push("grace", RIGHT, DEADLINE - timedelta(days=1))

    assert "2 commits to grade" in course.central("--step", "collect")
    no_way_out = {"GITHUB_TOKEN": "", "GITHUB_API_URL": "http://127.0.0.1:9"}
    assert "2 commits graded, 0 not" in course.central("--step", "grade", **no_way_out)
    mine, other = sorted(
        (course.place / "work/graded").glob("*.json"), key=lambda path: ours not in path.name
    )
    shutil.copy(other, mine)  # code that got out of its sandbox gives one student another's score
    ended = course.grading("central", "--store", "scores", "--work", "work", "--step", "publish")

    assert "its score is of another submission; left out" in ended.stderr
    assert {score.student for score in scores_of(course)} == {"grace"}
    assert [commit for commit, *_ in told(course.repository("grace"))] == [theirs]
    assert not course.repository("ada").statuses


def test_a_repository_full_of_traps_gets_a_score_and_its_reason(course: Course) -> None:
    big = course.push("ada", {}, DEADLINE - timedelta(days=1), **{"conftest.py": "raise SystemExit(1)"})
    course.github.push(
        course.repository("grace"),
        {"toy.ipynb": None, "README.md": "nothing here"},
        actor="grace",
        at=DEADLINE - timedelta(days=1),
    )

    course.central()

    assert told(course.repository("ada")) == [(big, "success", "0 of 100 points, on time")]
    (issue,) = course.repository("grace").issues
    assert "no toy.ipynb, nor any other notebook" in issue.body


def test_a_push_that_no_run_graded_is_graded_here_and_one_that_a_run_graded_is_not(course: Course) -> None:
    course.settings(on_push="true", central="none")
    course.done("release", "toy", "--push")
    commit = course.push("ada", RIGHT, DEADLINE - timedelta(days=1))

    assert "1 commit graded here" in course.central()

    (record,) = course.store.records()
    assert (record.commit, record.status, record.origin) == (commit, "verified", "central")
    assert "0 commits to grade" in course.central("--step", "collect")


def test_an_answer_that_was_lost_makes_no_second_issue(course: Course) -> None:
    commit = course.push("ada", RIGHT, DEADLINE - timedelta(days=1))
    course.github.fail_next(r"/issues", "drop", method="POST")

    ended = course.grading("central", "--store", "scores", "--work", "work")

    assert ended.returncode == 3
    assert "not told" in ended.stderr
    assert [score.student for score in scores_of(course)] == ["ada"]  # nothing graded is lost

    assert "1 told to students" in course.central()
    assert len(course.repository("ada").issues) == 1
    assert {told_of for told_of, *_ in told(course.repository("ada"))} == {commit}


def test_a_students_issue_with_our_words_is_not_taken_for_ours(course: Course) -> None:
    course.push("ada", RIGHT, DEADLINE - timedelta(days=1))
    marker = "<!-- feedback on toy: how it is found again -->\nI have 100 points"
    course.github.add_issue(course.repository("ada"), "Feedback on toy", marker, user="ada")

    course.central()

    assert len(course.repository("ada").issues) == 2


def test_an_unpublished_plan_is_not_overwritten(course: Course) -> None:
    course.push("ada", RIGHT, DEADLINE - timedelta(days=1))
    course.central("--step", "collect")

    ended = course.grading("central", "--store", "scores", "--work", "work", "--step", "collect")

    assert ended.returncode == 2
    assert "holds a plan that is not published yet" in ended.stderr


def told(repository: Repository) -> list[tuple[str, str, str | None]]:
    assert all(status.context == "grading/toy" for status in repository.statuses)
    return [(status.sha, status.state, status.description) for status in repository.statuses]


def scores_of(course: Course) -> list[Score]:
    return [load_score(path) for path in sorted((course.place / "scores/scores").rglob("*.json"))]
