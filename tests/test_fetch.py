"""Fetching what was handed in: each commit once and whole, and one repository's trouble is no other's."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import typer
from collecting import score
from fetching import fetch_and_count
from github_server import GitHubServer
from github_world import Repository
from typer.testing import CliRunner, Result
from workflow_run import git

from grading.course import load_course
from grading.errors import UsageError
from grading.github import commands
from grading.github.branch import commit_store, open_store
from grading.github.client import Unavailable
from grading.github.connect import connect
from grading.github.fetch import Fetched, chosen, fetch
from grading.github.store import Record, Store
from grading.gradebook.database import attempts
from grading.gradebook.ingest import ingest
from grading.submissions import stored

MONDAY = datetime(2026, 9, 28, 10, tzinfo=UTC)
COURSE = """\
name: A course of one homework
timezone: Europe/Berlin
salt: nobody-guesses-this-salt
github: {organisation: dl-course}
homeworks:
  - {name: cnn, weight: 1, deadline: null}
"""
HOMEWORK = """\
title: Convolutions
tasks: [{id: conv, title: Convolve, points: 100, names: [conv]}]
submits: {weights.json: 8}
"""


class Course:
    """A course of one homework on disk, its store, and repositories with real commits."""

    def __init__(self, github: GitHubServer, place: Path) -> None:
        self.github = github
        self.homeworks = place / "homeworks"
        (self.homeworks / "cnn/tests").mkdir(parents=True)
        (self.homeworks / "cnn/tests/test_conv.py").touch()
        (self.homeworks / "cnn/homework.yml").write_text(HOMEWORK)
        (self.homeworks / "course.yml").write_text(COURSE)
        self.store = Store(place / "scores")
        self.course = load_course(self.homeworks / "course.yml")
        self.told: list[str] = []

    def hand_in(self, login: str, points: int | None, **files: str) -> str:
        """A push, and the record that `collect` would make of it: without points its run left no score."""
        name = f"cnn-{login}"
        if name not in self.github.repositories:
            self.github.add_user(login)
            self.github.add_repository(name, {"README.md": "Convolutions"}, collaborators={login: "push"})
        repository = self.github.repository(name)
        day = MONDAY + timedelta(days=len(repository.activity))
        files = {name.replace("_", "."): content for name, content in files.items()}
        files["cnn.ipynb"] = f"{points}"
        commit = self.github.push(repository, files, actor=login, at=day)
        self.store.write_record(recorded(login, commit, points, day, repository))
        return commit

    def fetch(self, **how: Any) -> Fetched:
        return fetch(connect(None), self.course, self.store, ["cnn"], tell=self.told.append, **how)

    def fetched(self) -> dict[str, dict[str, str]]:
        """The files of each attempt, by LOGIN/COMMIT."""
        top = self.store.directory / "submissions/cnn"
        return {
            str(place.relative_to(top)): {path.name: path.read_text().strip() for path in place.iterdir()}
            for place in top.glob("*/[!.]*")
        }

    def command(self, *arguments: str) -> Result:
        app = typer.Typer()
        app.command()(commands.fetch_command)
        where = ["--store", str(self.store.directory), "--homeworks", str(self.homeworks)]
        return CliRunner().invoke(app, ["cnn", *where, *arguments])


def recorded(
    login: str, commit: str, points: int | None, at: datetime, repository: Repository | None = None
) -> Record:
    fields: dict[str, Any] = {
        "homework": "cnn",
        "student": login,
        "members": (login,),
        "repository": f"dl-course/cnn-{login}",
        "repository_id": repository.id if repository else 7,
        "commit": commit,
        "status": "missing" if points is None else "verified",
        "pushed_at": at,
        "submitted_at": at,
        "time_source": "push",
        "origin": None if points is None else "reported",
        "reported_points": points and Fraction(points),
        "central_points": None,
        "score": None
        if points is None
        else score(points, student=login, commit=commit, submitted_at=at, deadline=None),
    }
    return Record.model_validate(fields)


@pytest.fixture
def course(github: GitHubServer, place: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    return Course(github, place)


def test_the_attempt_that_counts_and_the_latest_are_fetched_and_never_asked_for_again(course: Course) -> None:
    first, second, third = (
        course.hand_in("ada", points, weights_json=f"weights of {points}", conftest_py="raise SystemExit")
        for points in (70, 90, 50)
    )
    only = course.hand_in("grace", None)

    done = course.fetch()

    assert done == Fetched(fetched=3, known=0, troubles=())
    theirs = {
        f"ada/{second}": {"cnn.ipynb": "90", "weights.json": "weights of 90"},
        f"ada/{third}": {"cnn.ipynb": "50", "weights.json": "weights of 50"},
        f"grace/{only}": {"cnn.ipynb": "None"},
    }
    assert course.fetched() == theirs
    found = stored(course.store.directory, course.course.load_homework("cnn"))
    assert {(one.student, one.commit) for one in found} == {("ada", second), ("ada", third), ("grace", only)}

    course.github.requests.clear()
    assert course.fetch() == Fetched(fetched=0, known=3, troubles=())
    assert course.github.requests == []

    assert course.fetch(everything=True) == Fetched(fetched=1, known=3, troubles=())
    assert course.fetched() == theirs | {f"ada/{first}": {"cnn.ipynb": "70", "weights.json": "weights of 70"}}
    assert not course.github.asked("cnn-grace")


def test_which_attempt_counts_is_the_courses_choice_and_an_unverified_one_never_does() -> None:
    a, b, c, d = (letter * 40 for letter in "abcd")
    days = [MONDAY + timedelta(days=number) for number in range(4)]
    of_ada = [recorded("ada", a, 80, days[0]), recorded("ada", b, 60, days[1])]
    forged = recorded("ada", c, 100, days[2]).model_copy(update={"status": "unverified"})
    of_ada += [forged, recorded("ada", d, None, days[3])]

    assert {record.commit for record in chosen(of_ada, "best")} == {a, d}
    assert {record.commit for record in chosen(of_ada, "last")} == {b, d}
    assert {record.commit for record in chosen(of_ada[1:2], "best")} == {b}


def test_a_repository_that_is_gone_is_told_and_stops_no_other(course: Course) -> None:
    course.hand_in("ada", 80)
    there = course.hand_in("grace", 60)
    course.github.delete("cnn-ada")

    ended = course.command("--json")

    assert ended.exit_code == 3
    said = json.loads(ended.stdout)
    assert (said["fetched"], said["known"], len(said["troubles"])) == (1, 0, 1)
    assert "dl-course/cnn-ada at " in ended.stderr
    assert "not fetched: " in ended.stderr
    assert list(course.fetched()) == [f"grace/{there}"]
    assert "0 fetched, 1 known before, 1 not fetched" in course.command().stdout


def test_an_answer_that_breaks_off_leaves_nothing_and_the_next_time_it_is_fetched(course: Course) -> None:
    ours, theirs = course.hand_in("ada", 80, weights_json="w"), course.hand_in("grace", 60)
    course.github.fail_next(r"cnn-ada/git/blobs", times=5)

    done = course.fetch()

    assert (done.fetched, len(done.troubles)) == (1, 1)
    assert course.told == list(done.troubles)
    assert list(course.fetched()) == [f"grace/{theirs}"]
    assert course.fetch() == Fetched(fetched=1, known=1, troubles=())
    assert course.fetched()[f"ada/{ours}"] == {"cnn.ipynb": "80", "weights.json": "w"}


def test_where_github_does_not_answer_nobody_waits_for_every_repository(course: Course) -> None:
    for login in ("ada", "grace", "joan", "mary"):
        course.hand_in(login, 80)
    course.github.fail_next(r"/git/trees", times=100)

    with pytest.raises(Unavailable):
        course.fetch()

    assert len(course.told) == 3
    assert course.fetched() == {}


def test_one_writes_at_a_time_and_a_full_place_is_our_fault(course: Course) -> None:
    course.hand_in("ada", 80)
    with Store(course.store.directory).writing(), pytest.raises(UsageError, match="or a fetch; wait until"):
        course.fetch()
    (course.store.directory / "submissions").write_text("in the way")

    (trouble,) = course.fetch().troubles

    assert "cannot be written: Not a directory; make room" in trouble


def test_what_students_handed_in_is_no_score_however_they_call_it(course: Course) -> None:
    forged = score(100, student="ada", commit="f" * 40).model_dump_json()
    course.hand_in("ada", 40, weights_json=forged)
    assert course.fetch().fetched == 1
    database = course.store.directory / "gradebook.db"

    done = ingest(database, [course.store.directory])

    assert (done.files, done.refused) == (1, ())
    assert [attempt.score.points for attempt in attempts(database)] == [40]


def test_it_is_not_saved_on_the_branch_with_the_rest_of_the_store(place: Path) -> None:
    (place / "course.git").mkdir()
    git(place / "course.git", "init", "--quiet", "--bare")
    url, store = (place / "course.git").as_uri(), place / "scores"
    open_store(store, url, "scores", "", lambda line: None)
    for path in (
        "records/cnn/ada/1.json",
        "submissions/cnn/ada/1/cnn.ipynb",
        "submissions/cnn/ada/1/a/b.ipynb",
    ):
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_text("{}")

    commit_store(store, url, "scores", "", "Scores", lambda line: None)

    saved = git(place / "course.git", "ls-tree", "-r", "--name-only", "scores").split()
    assert saved == ["records/cnn/ada/1.json"]
    assert (store / "submissions/cnn/ada/1/cnn.ipynb").is_file()


def test_killed_anywhere_it_leaves_whole_directories_and_goes_on_from_there(
    course: Course, place: Path
) -> None:
    expected = {
        f"{login}/{course.hand_in(login, points, weights_json=login)}": {
            "cnn.ipynb": f"{points}",
            "weights.json": login,
        }
        for login, points in (("ada", 80), ("ada", 90), ("grace", 70))
    }
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "grading.github.fetch"])

    def run(kill_at: int | None, counted: Any = None) -> int | None:
        where = (course.homeworks, course.store.directory, kill_at, counted)
        process = context.Process(
            target=fetch_and_count, args=(course.github.api, course.github.token, *where)
        )
        process.start()
        process.join()
        return process.exitcode

    touches = context.Value("i", 0)
    assert run(None, touches) == 0
    assert course.fetched() == expected
    shutil.rmtree(course.store.directory / "submissions")

    for part in range(1, 6):
        assert run(touches.value * part // 20) == -signal.SIGKILL
        assert course.fetched().items() <= expected.items()

    assert run(None) == 0
    assert course.fetched() == expected
    assert not list(course.store.directory.glob("submissions/cnn/*/.*"))
