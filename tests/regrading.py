"""A course with the toy homework, scores from before its tests were mended, and the notebooks they were for."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from grading.cli import app
from grading.course import Course, load_course
from grading.errors import GradingError
from grading.github.collect import owned
from grading.github.evidence import read_evidence
from grading.github.store import KnownRepository, Record, Store
from grading.github.verify import verify
from grading.grade import environment_digest, read_submission, tests_digest
from grading.late import PerDay
from grading.release import Releases
from grading.roster import read_roster
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score
from grading.score_file import write_score
from grading.teams import read_teams

TOY = Path(__file__).parent / "homeworks/toy"
DEADLINE = datetime(2026, 10, 4, 21, 59, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
COURSE = """\
name: A course of two homeworks
timezone: Europe/Berlin
salt: nobody-guesses-this-salt
github: {organisation: dl-course, grade_on_push: false, central: all}
homeworks:
  - {name: toy, weight: 10, deadline: 2026-10-04T23:59:00+02:00}
  - {name: other, weight: 5}
"""
STUDENTS = ("ada", "grace", "alan", "linus", "kay", "emmy")
ROSTER = "username,first_name,last_name\n" + "".join(f"{login},{login.title()},\n" for login in STUDENTS)
OLD = "0d" * 32  # tests, before they were mended

RIGHT = {
    "center": "def center(x):\n    return x - x.mean(dim=-1, keepdim=True)",
    "length": "def length(x):\n    return (x * x).sum(dim=-1).sqrt()",
    "twice": "def twice(f, x):\n    return f(f(x))",
}
HALF = RIGHT | {"center": "def center(x):\n    return x"}
FAULTY = RIGHT | {"twice": "def twice(f, x):\n    return f(x)"}
MENDED = '''

def test_square(submission):
    """Doubling twice makes four times as much."""
    if submission.twice(lambda z: 2 * z, 3) != 12:
        raise OSError("a fault of this test")
'''


def notebook(cells: Mapping[str, str]) -> str:
    code = [
        {"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None}
        for cell in ("import torch", *cells.values())
    ]
    return json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})


@dataclass(frozen=True)
class Class:
    """A place with `homeworks`, `scores` and `submissions`, and the command line in it."""

    place: Path

    @classmethod
    def new(cls, place: Path) -> Class:
        made = cls(place)
        for name in ("toy", "other"):
            shutil.copytree(TOY, made.homeworks / name)
        (made.homeworks / "other/toy.ipynb").rename(made.homeworks / "other/other.ipynb")
        with (made.homeworks / "toy/tests/test_twice.py").open("a") as file:
            file.write(MENDED)
        (made.homeworks / "course.yml").write_text(COURSE)
        (made.homeworks / "roster.csv").write_text(ROSTER)
        made.scores.mkdir()
        return made

    @property
    def homeworks(self) -> Path:
        return self.place / "homeworks"

    @property
    def scores(self) -> Path:
        return self.place / "scores"

    @property
    def work(self) -> Path:
        return self.place / "regrade-toy"

    @property
    def course(self) -> Course:
        return load_course(self.homeworks / "course.yml")

    @property
    def tests(self) -> str:
        return tests_digest(self.course.load_homework("toy"))

    def hand_in(self, login: str, number: int, cells: Mapping[str, str]) -> str:
        """A notebook among the submissions; its digest."""
        path = self.place / f"submissions/submissions/toy/{login}/{number:040x}/toy.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(notebook(cells))
        return read_submission(path, self.course.load_homework("toy")).digest or ""

    def put(self, name: str, score: Score) -> Path:
        return write_score(self.scores / f"{name}.json", score)

    def result(self, digest: str, points: Mapping[str, int]) -> None:
        """What grading leaves in the work directory."""
        (self.work / "graded").mkdir(parents=True, exist_ok=True)
        label = {"course": self.course.name, "homework": "toy"}
        (self.work / "regrade.json").write_text(json.dumps(label, indent=2) + "\n")
        fresh = Digests(submission=digest, tests=self.tests, environment=environment_digest())
        score = scored(None, digest, points, digests=fresh, commit=None, submitted_at=None, repository=None)
        write_score(self.work / f"graded/{digest}.json", score)

    def store(self) -> Store:
        return Store(self.scores, clock=lambda: NOW)

    def pushed(self, holder: str, number: int, score: Score) -> None:
        """An attempt in the store: that a repository is somebody's, a push to it, and the score it was given here."""
        store, repository, commit = self.store(), 1000 + sum(holder.encode()), f"{number:040x}"
        name = f"dl-course/toy-{holder}"
        line = KnownRepository(
            at=NOW, repository_id=repository, name=name, homework="toy", student=holder, event="assigned"
        )
        store.know(line)
        push = {
            "id": number,
            "before": "0" * 40,
            "after": commit,
            "ref": "refs/heads/main",
            "timestamp": score.submitted_at.isoformat() if score.submitted_at else None,
            "activity_type": "push",
            "actor": None,
        }
        given = score.model_copy(update={"commit": commit, "repository": name, "student": holder})
        central = {"commit": commit, "score": json.loads(given.model_dump_json())}
        facts = [("activity", str(number), push), ("central", commit, central)]
        store.append_all("toy", repository, facts)
        self.derive()

    def derive(self) -> int:
        """The records as `grading collect` derives them from the evidence; how many files that changes."""
        store, course = self.store(), self.course
        people = read_roster(self.homeworks / "roster.csv")
        teams = read_teams(self.homeworks / "teams.yml", people, course)
        records: list[Record] = []
        for number in sorted({line.repository_id for line in store.repositories()}):
            lines = [line for line in store.repositories() if line.repository_id == number]
            evidence = read_evidence(store.journal("toy", number))
            owner = owned(lines, people, teams)
            records += verify(evidence, owner, course, Releases(()), lambda sha256: "no artifacts here")
        return store.replace_records("toy", records)

    def run(self, *arguments: object) -> tuple[int, str]:
        """The exit code, and the line that stderr would have."""
        return run(self.place, [*map(str, arguments), "--homeworks", str(self.homeworks)])

    def regrade(self, *arguments: object) -> tuple[int, str]:
        return self.run("regrade", "toy", self.scores, *arguments)


def scored(
    login: str | None,
    digest: str | None,
    points: Mapping[str, int],
    *,
    number: int = 1,
    late: timedelta = -DAY,
    **changes: Any,
) -> Score:
    """A score of the toy by tests that are no more: `points` of each task."""
    worth = {"center": 40, "length": 30, "twice": 30}
    tests = {
        task: [
            Outcome("test_value", "passed", points.get(task, most)),
            Outcome("test_old", "failed" if points.get(task, most) < most else "passed", most - points.get(task, most),
                    "It is as it was.\nlook again"),
        ]
        for task, most in worth.items()
    }  # fmt: skip
    fields: dict[str, Any] = {
        "homework": "toy",
        "tasks": [TaskOutcome(task, most, tests[task]) for task, most in worth.items()],
        "policy": PerDay(),
        "timezone": UTC,
        "submitted_at": DEADLINE + late,
        "time_source": "push",
        "deadline": DEADLINE,
        "student": login,
        "repository": f"dl-course/toy-{login}",
        "commit": f"{number:040x}",
        "confined": True,
        "digests": Digests(submission=digest, tests=OLD, environment="e0" * 32),
    }
    return build_score(**fields | changes)


def run(place: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """A command in this process."""
    command = typer.main.get_command(app)
    before = Path.cwd()
    os.chdir(place)
    try:
        return command(list(arguments), standalone_mode=False) or 0, ""
    except GradingError as error:
        return error.exit_code, str(error)
    finally:
        os.chdir(before)
