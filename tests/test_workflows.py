"""The GitHub workflows: well-formed, pinned, least privilege, and `grade.yml` run step by step on this machine.

GitHub itself is not here. Each `run:` step runs as a runner would run it; `uses:` steps are stood in for by what
they leave behind (a checkout, an artifact), and the set-up step by this environment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TOOLS = Path(sysconfig.get_path("scripts"))
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")

each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)


def steps_of(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


# What the files say


@each_workflow
@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_a_workflow_is_what_github_accepts(workflow: Path, schema: str) -> None:
    checked = tool("check-jsonschema", "--builtin-schema", schema, str(workflow))

    assert checked.returncode == 0, checked.stdout


@each_workflow
def test_a_strict_audit_finds_nothing(workflow: Path) -> None:
    audited = tool("zizmor", "--offline", "--persona=auditor", "--no-progress", str(workflow))

    assert audited.returncode == 0, audited.stdout


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
    used = [step["uses"] for step in steps_of(workflow) if "uses" in step]

    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action


@each_workflow
def test_no_run_is_cancelled_for_a_later_one(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())

    for owner in [document, *document["jobs"].values()]:
        concurrency = owner.get("concurrency")
        if concurrency is not None:
            assert concurrency["cancel-in-progress"] is False
            # Within one group a newer run replaces the one that waits, whatever cancel-in-progress says.
            assert "github.sha" in concurrency["group"]


@each_workflow
def test_a_workflow_may_only_read(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text())

    assert document["permissions"] == {}
    for job in document["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
    for step in steps_of(workflow):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


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


def test_a_push_of_the_starter_is_graded_0_with_a_summary_and_an_artifact(tmp_path: Path) -> None:
    repository = student_repository(tmp_path, starter())

    run = run_grade_workflow(tmp_path, repository)

    assert run.failed == [], run.log
    score = json.loads(run.artifacts["score-activations"].read_text())
    assert (score["state"], score["points"], score["confined"]) == ("graded", 0, True)
    assert (score["commit"], score["repository"]) == (repository.commit, "course/activations-ada")
    assert score["submitted_at"].startswith("2026-11-02T09:00:00")
    assert score["provisional"] is True
    assert "activations" in run.summary


def test_files_beside_the_notebook_do_nothing(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    spring = f"open({str(trap)!r}, 'w').close()\n"
    planted = [
        "conftest.py",
        "torch.py",
        "sitecustomize.py",
        "numpy/__init__.py",
        "grading/__init__.py",
        "pytest.py",
    ]
    files = dict.fromkeys(planted, spring) | {"pytest.ini": "[pytest]\naddopts = --version\n"}
    repository = student_repository(tmp_path, starter(), files)

    run = run_grade_workflow(tmp_path, repository)

    assert run.failed == [], run.log
    assert not trap.exists()
    assert json.loads(run.artifacts["score-activations"].read_text())["points"] == 0


def test_a_repository_without_a_notebook_gets_0_and_says_what_was_looked_for(tmp_path: Path) -> None:
    repository = student_repository(tmp_path, None, {"README.md": "later\n"})

    run = run_grade_workflow(tmp_path, repository)

    assert run.failed == [], run.log
    assert json.loads(run.artifacts["score-activations"].read_text())["points"] == 0
    assert "activations.ipynb" in run.summary


def test_the_log_and_the_summary_tell_nothing_hidden_and_carry_no_command(tmp_path: Path) -> None:
    notebook = json.loads(starter())
    notebook["cells"].append(code_cell("print('::error::planted')\nprint('::add-mask::e')\n"))
    notebook["cells"].append(code_cell("raise ValueError('::stop-commands::planted')\n"))
    repository = student_repository(tmp_path, json.dumps(notebook))

    run = run_grade_workflow(tmp_path, repository)

    hidden = {
        line.strip()
        for test in (ROOT / "homeworks/activations/tests").glob("*.py")
        for line in test.read_text().splitlines()
        if re.match(r"\s+(\w+ = submission|assert|check)", line) and len(line.strip()) > 20
    }
    for text in [run.log, run.summary, run.artifacts["score-activations"].read_text()]:
        assert not [line for line in hidden if line in text]
        assert "the-salt-of-nobody" not in text
        # A command counts where it starts a line, whatever stands before it in blanks.
        assert not re.search(r"^\s*::(error|add-mask|stop-commands)::planted", text, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StudentRepository:
    path: Path
    commit: str


@dataclass(slots=True)
class WorkflowRun:
    log: str = ""
    summary: str = ""
    failed: list[str] = field(default_factory=list)
    artifacts: dict[str, Path] = field(default_factory=dict)


def starter() -> str:
    return (ROOT / "homeworks/activations/activations.ipynb").read_text()


def code_cell(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": f"planted-{len(source)}",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def student_repository(
    tmp_path: Path, notebook: str | None, files: dict[str, str] | None = None
) -> StudentRepository:
    path = tmp_path / "student"
    path.mkdir()
    contents = dict(files or {})
    if notebook is not None:
        contents["activations.ipynb"] = notebook
    for name, text in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "add", "--all")
    git(path, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "-m", "My work")
    return StudentRepository(path, git(path, "rev-parse", "HEAD").strip())


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", directory, *arguments], capture_output=True, text=True, check=True
    ).stdout


def push_event(repository: StudentRepository) -> dict[str, Any]:
    """The parts of GitHub's push event that say who pushed what, and when (2026-11-02 09:00 UTC)."""
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": repository.commit,
        "deleted": False,
        "repository": {
            "id": 4711,
            "name": "activations-ada",
            "full_name": "course/activations-ada",
            "owner": {"login": "course", "name": "course"},
            "pushed_at": 1793610000,
        },
        "pusher": {"name": "ada", "email": "ada@example.org"},
        "sender": {"login": "ada", "id": 815, "type": "User"},
        "head_commit": {"id": repository.commit, "timestamp": "1999-12-31T23:59:59Z", "message": "My work"},
    }


def run_grade_workflow(tmp_path: Path, repository: StudentRepository) -> WorkflowRun:
    """The steps of grade.yml, in order, as a runner would take them for a push to the repository."""
    job = yaml.safe_load((ROOT / ".github/workflows/grade.yml").read_text())["jobs"]["grade"]
    workspace, temporary = tmp_path / "workspace", tmp_path / "runner"
    workspace.mkdir()
    temporary.mkdir()
    event = tmp_path / "event.json"
    event.write_text(json.dumps(push_event(repository)))
    files = {
        name: tmp_path / name
        for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
    }
    for file in files.values():
        file.touch()
    known = {
        "inputs.homework": "activations",
        "inputs.bundle": "course/bundle",
        "inputs.ref": "main",
        "secrets.bundle_token": "",
        "vars.TORCH_INDEX_URL": "",
        "runner.temp": str(temporary),
    }
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GRADING_SALT": "the-salt-of-nobody",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REPOSITORY": "course/activations-ada",
        "GITHUB_SHA": repository.commit,
        "GITHUB_WORKSPACE": str(workspace),
        "RUNNER_TEMP": str(temporary),
        **{name: str(path) for name, path in files.items()},
        **filled_in(job["env"], known),
    }
    run = WorkflowRun()
    for step in job["steps"]:
        if run.failed and "cancelled()" not in step.get("if", ""):
            continue
        if "uses" in step:
            stand_in(step["uses"], filled_in(step.get("with", {}), known), repository, workspace, run)
        elif "bootstrap" in step["run"]:
            (workspace / step["working-directory"] / ".venv").symlink_to(sys.prefix)
        else:
            finished = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=workspace / step.get("working-directory", "."),
                env=environment | filled_in(step.get("env", {}), known),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=240,
                check=False,
            )
            run.log += finished.stdout
            if finished.returncode and not step.get("continue-on-error"):
                run.failed.append(f"{step['name']}: exit code {finished.returncode}")
    run.summary = files["GITHUB_STEP_SUMMARY"].read_text()
    return run


def filled_in(values: dict[str, Any], known: dict[str, str]) -> dict[str, str]:
    """The values with each ${{ expression }} replaced; one that is not known here is a KeyError."""
    return {name: EXPRESSION.sub(lambda match: known[match[1]], str(value)) for name, value in values.items()}


def stand_in(
    action: str, options: dict[str, str], repository: StudentRepository, workspace: Path, run: WorkflowRun
) -> None:
    name = action.split("@")[0]
    if name == "actions/checkout" and options["path"] == "submission":
        git(workspace, "clone", "--quiet", str(repository.path), "submission")
    elif name == "actions/checkout":
        for part in ("grading", "homeworks"):
            leave_out = shutil.ignore_patterns("__pycache__", "variants", "source.py")
            shutil.copytree(ROOT / part, workspace / options["path"] / part, ignore=leave_out)
        for part in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / part, workspace / options["path"])
    elif name == "actions/upload-artifact":
        if Path(options["path"]).is_file():
            run.artifacts[options["name"]] = Path(options["path"])
        else:
            run.failed.append(f"nothing to upload at {options['path']}")
    else:
        assert name == "actions/setup-python", f"no stand-in for {action}"
