"""gradebook.yml, its three jobs one after the other: what is collected, graded and told, and what is kept between runs.

The test server is GitHub, git included; the course's repository is a real one, but for the set-up.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from github_server import GitHubServer
from test_workflows import BOOTSTRAP, TOY, right
from workflow_run import Machine, WorkflowRun

from grading.release import RELEASES, TemplateRelease, append_release

ROOT = Path(__file__).parents[1]
SALT = "the-salt-of-this-course"
COURSE = """\
name: Toys
timezone: Europe/Berlin
salt: replace-me-or-set-GRADING_SALT
github: {organisation: dl-course, grade_on_push: false, central: all}
homeworks:
  - {name: toy, weight: 1, deadline: 2026-11-01T23:59:00+01:00}
"""


@dataclass(slots=True)
class Course:
    place: Path
    server: GitHubServer
    runs: int = 0

    def run(self) -> WorkflowRun:
        self.runs += 1
        kept = self.server.repository("course")
        assert kept.git is not None
        return Machine(
            self.place / f"run-{self.runs}",
            {"dl-course/course": kept.git.path},
            "dl-course/course",
            str(kept.head()),
            event_name="workflow_dispatch",
            secrets={"COURSE_TOKEN": self.server.add_token(self.server.owner), "GRADING_SALT": SALT},
            token=self.server.token,
            environment={"GITHUB_API_URL": self.server.api, "GITHUB_SERVER_URL": self.server.web},
        ).run(ROOT / ".github/workflows/gradebook.yml")

    def branch(self) -> dict[str, str]:
        """The files of the branch `scores`."""
        git = self.server.repository("course").git
        assert git is not None
        paths = git("ls-tree", "-r", "--name-only", "-z", "scores").decode().split("\0")
        return {path: git("show", f"scores:{path}").decode(errors="replace") for path in paths if path}


@pytest.fixture
def course(tmp_path: Path) -> Iterator[Course]:
    with GitHubServer(tmp_path / "server") as server:
        server.add_repository("course", course_files(tmp_path))
        server.add_user("ada")
        server.add_repository("toy-ada", {"README.md": "Toys\n"}, collaborators={"ada": "push"})
        yield Course(tmp_path, server)
        assert server.drift == []


def course_files(place: Path) -> dict[str, str | bytes | tuple[str, bytes]]:
    names = ["pyproject.toml", "constraints.txt", "README.md", "LICENSE", ".github/workflows/grade.yml"]
    package = (path for path in (ROOT / "grading").rglob("*") if "__pycache__" not in path.parts)
    paths = [*(ROOT / name for name in names), *(path for path in package if path.is_file())]
    files: dict[str, str | bytes | tuple[str, bytes]] = {
        str(path.relative_to(ROOT)): path.read_bytes() for path in paths
    }
    for path in TOY.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            files[f"homeworks/toy/{path.relative_to(TOY)}"] = path.read_bytes()
    append_release(
        place / RELEASES,
        TemplateRelease(
            at=datetime(2026, 9, 1, tzinfo=UTC),
            homework="toy",
            github_tree=None,
            bundle_commit=None,
            commit="c" * 40,
        ),
    )
    return files | {
        "homeworks/course.yml": COURSE,
        "homeworks/roster.csv": "username,email\nada,ada@example.org\n",
        f"homeworks/{RELEASES}": (place / RELEASES).read_bytes(),
        "scripts/bootstrap": ("100755", BOOTSTRAP.encode()),
    }


def test_a_push_is_graded_told_and_kept_and_the_next_run_has_nothing_to_do(course: Course) -> None:
    files = {"toy.ipynb": right(), 'notes: "a"?.ipynb': "{}"}  # the second is no name for an artifact's file
    pushed = course.server.push("toy-ada", files, actor="ada", at=datetime(2026, 10, 30, 9, tzinfo=UTC))

    first = course.run()

    assert first.failed == [], first.log
    student = course.server.repository("toy-ada")
    (status,) = student.statuses
    assert (status.sha, status.state, status.description) == (pushed, "success", "100 of 100 points, on time")
    (issue,) = student.issues
    assert "100 of 100 points" in str(issue.body)
    kept = course.branch()
    (score,) = [json.loads(text) for path, text in kept.items() if path.startswith("scores/")]
    assert (score["student"], score["commit"], score["points"]) == ("ada", pushed, 100)

    hold_tokens_and_students_code_apart(first, set(course.server.tokens))

    second = course.run()

    assert second.failed == [], second.log
    assert second.jobs["grade"].result == "skipped"
    assert (len(student.statuses), len(student.issues)) == (1, 1)
    assert course.branch() == kept


def hold_tokens_and_students_code_apart(run: WorkflowRun, tokens: set[str]) -> None:
    environments = {
        name: [step.environment for step in job.steps if step.environment] for name, job in run.jobs.items()
    }
    assert not any(tokens & set(environment.values()) for environment in environments["grade"])
    salted = [name for name, found in environments.items() if any("GRADING_SALT" in each for each in found)]
    assert salted == ["grade"]
    for step in (step for job in run.jobs.values() for step in job.steps):
        assert not any(secret in step.log for secret in (*tokens, SALT))
    with tarfile.open(run.artifacts / "work" / "grader.tar") as packed:
        beside_the_homework = {
            name for name in packed.getnames() if re.fullmatch(r"grader/homeworks/[^/]*\.\w+", name)
        }
        assert beside_the_homework == {"grader/homeworks/course.yml"}
        assert not [
            name
            for name in packed.getnames()
            if re.search(r"homeworks/.*(source\.py|roster|variants|releases)", name)
        ]
    # Each could be read, or another put in its place, by the job that runs students' code.
    assert {path.name for path in run.artifacts.iterdir()} == {"work", "graded"}
