"""Runs a workflow of this repository on this machine, as GitHub's runner would, as far as our workflows go.

Each `run:` step is run for real, in order, with the files and variables that a runner gives it. `uses:` steps are stood
in for by what they leave behind: a clone of a local repository, a copy of files. Whatever a workflow uses that is not
known here is an error, never passed over.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

KNOWN_KEYS = frozenset(
    "name id if uses with run env working-directory continue-on-error timeout-minutes".split()
)
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """What the runner took for a command to itself."""

    name: str
    properties: Mapping[str, str]
    message: str


@dataclass(slots=True)
class StepRun:
    name: str
    outcome: str  # success, failure or skipped
    log: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)  # of `run:` steps
    outputs: Mapping[str, str] = field(default_factory=dict)
    conclusion: str = ""  # success instead of failure with continue-on-error


@dataclass(slots=True)
class JobRun:
    result: str  # success, failure or skipped
    steps: list[StepRun] = field(default_factory=list)
    outputs: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""

    def step(self, name: str) -> StepRun:
        return next(step for step in self.steps if step.name == name)


@dataclass(slots=True)
class WorkflowRun:
    jobs: dict[str, JobRun]
    artifacts: Path

    @property
    def log(self) -> str:
        return "".join(step.log for job in self.jobs.values() for step in job.steps)

    @property
    def summary(self) -> str:
        return "".join(job.summary for job in self.jobs.values())

    @property
    def failed(self) -> list[str]:
        steps = [step for job in self.jobs.values() for step in job.steps]
        return [step.name for step in steps if step.conclusion == "failure"]

    @property
    def commands(self) -> list[Command]:
        return commands_in(self.log)

    def artifact(self, name: str) -> dict[str, str]:
        """The text of an artifact's files, by path."""
        top = self.artifacts / name
        return {str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()}


@dataclass(slots=True)
class Machine:
    """A runner and the GitHub around it.

    `repositories`: local git repositories by OWNER/NAME; `repository`: in which of them the workflow runs, at `sha`.
    `readers`: which other repositories a token may read.
    """

    directory: Path
    repositories: Mapping[str, Path]
    repository: str
    sha: str
    event_name: str = "push"
    event: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    readers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    token: str = "the-run's-own-token"
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, workflow: Path) -> WorkflowRun:
        document = yaml.safe_load(workflow.read_text())
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "artifacts").mkdir()
        jobs: dict[str, JobRun] = {}
        for name, job in document["jobs"].items():
            jobs[name] = Job(self, document, name, job, jobs).run()
        return WorkflowRun(jobs, self.directory / "artifacts")


class StepFailed(Exception):
    """A stood-in action that fails, as the real one would."""


class Job:
    def __init__(
        self,
        machine: Machine,
        workflow: dict[str, Any],
        name: str,
        job: dict[str, Any],
        before: Mapping[str, JobRun],
    ) -> None:
        self.machine, self.job = machine, job
        self.place = machine.directory / name
        self.workspace, self.temporary = self.place / "workspace", self.place / "temp"
        self.permissions = job.get("permissions", workflow.get("permissions", {}))
        needs = job.get("needs", [])
        self.needed = {need: before[need] for need in ([needs] if isinstance(needs, str) else needs)}
        self.steps: dict[str, StepRun] = {}
        self.environment = {**workflow.get("env", {}), **job.get("env", {})}
        self.kept = JobRun("success")

    def run(self) -> JobRun:
        succeeded = all(job.result == "success" for job in self.needed.values())
        failed = any(job.result == "failure" for job in self.needed.values())
        if not self.holds(self.job.get("if"), succeeded, failed):
            self.kept.result = "skipped"
            return self.kept
        for directory in (self.workspace, self.temporary):
            directory.mkdir(parents=True)
        self.files = {
            name: self.place / name
            for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
        }
        (self.place / "event.json").write_text(json.dumps(self.machine.event))
        for step in self.job["steps"]:
            self.kept.steps.append(self.take(step))
        if any(step.conclusion == "failure" for step in self.kept.steps):
            self.kept.result = "failure"
        self.kept.outputs = self.filled(self.job.get("outputs", {}))
        return self.kept

    def take(self, step: dict[str, Any]) -> StepRun:
        assert step.keys() <= KNOWN_KEYS, f"not known here: {step.keys() - KNOWN_KEYS}"
        failed = any(taken.conclusion == "failure" for taken in self.kept.steps)
        done = StepRun(step["name"], "skipped", conclusion="skipped")
        if self.holds(step.get("if"), not failed, failed):
            for file in self.files.values():
                file.write_text("")
            try:
                if "uses" in step:
                    done.outputs = self.use(step["uses"], self.filled(step.get("with", {})))
                    done.outcome = "success"
                else:
                    self.execute(step, done)
            except StepFailed as failure:
                done.outcome, done.log = "failure", f"{failure}\n"
            self.kept.summary += self.files["GITHUB_STEP_SUMMARY"].read_text()
            excused = done.outcome == "failure" and step.get("continue-on-error")
            done.conclusion = "success" if excused else done.outcome
        if "id" in step:
            self.steps[step["id"]] = done
        return done

    def execute(self, step: dict[str, Any], done: StepRun) -> None:
        done.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": self.machine.event_name,
            "GITHUB_EVENT_PATH": str(self.place / "event.json"),
            "GITHUB_REPOSITORY": self.machine.repository,
            "GITHUB_SHA": self.machine.sha,
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temporary),
            **{name: str(path) for name, path in self.files.items()},
            **self.machine.environment,
            **self.filled(self.environment),
            **self.filled(step.get("env", {})),
        }
        finished = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self.fill(step["run"])],
            cwd=self.workspace / step.get("working-directory", "."),
            env=done.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=min(240, 60 * step.get("timeout-minutes", 60)),
            check=False,
        )
        done.log = finished.stdout.decode(errors="replace")
        done.outcome = "failure" if finished.returncode else "success"
        done.outputs = settings_in(self.files["GITHUB_OUTPUT"].read_text())
        self.environment |= settings_in(self.files["GITHUB_ENV"].read_text())
        assert not self.files["GITHUB_PATH"].read_text(), "GITHUB_PATH: not known here"

    # Expressions

    def context(self) -> dict[str, Any]:
        return {
            "github": {
                "token": self.machine.token,
                "repository": self.machine.repository,
                "sha": self.machine.sha,
                "event_name": self.machine.event_name,
            },
            "inputs": self.machine.inputs,
            "secrets": self.machine.secrets,
            "vars": self.machine.variables,
            "runner": {"os": "Linux", "temp": str(self.temporary)},
            "steps": {
                name: {"outcome": step.outcome, "conclusion": step.conclusion, "outputs": step.outputs}
                for name, step in self.steps.items()
            },
            "needs": {
                name: {"result": job.result, "outputs": job.outputs} for name, job in self.needed.items()
            },
        }

    def holds(self, condition: str | bool | None, succeeded: bool, failed: bool) -> bool:
        text = str("success()" if condition is None else condition).strip()
        inside = EXPRESSION.fullmatch(text)
        expression = inside[1] if inside else text
        functions = {"success": succeeded, "failure": failed, "always": True, "cancelled": False}
        if not re.search(rf"\b({'|'.join(functions)})\(\)", expression):
            expression = f"success() && ({expression})"
        return truth(Expression(expression, self.context(), functions, self.workspace).value)

    def fill(self, text: object) -> str:
        def value(found: re.Match[str]) -> str:
            return as_text(Expression(found[1], self.context(), {}, self.workspace).value)

        return EXPRESSION.sub(value, as_text(text))

    def filled(self, values: Mapping[str, object]) -> dict[str, str]:
        return {name: self.fill(value) for name, value in values.items()}

    # What stands in for actions

    def use(self, action: str, options: dict[str, str]) -> Mapping[str, str]:
        name = action.partition("@")[0]
        if name == "actions/checkout":
            return self.check_out(options)
        if name == "actions/upload-artifact":
            return self.upload(options)
        if name == "actions/download-artifact":
            return self.download(options)
        if name == "actions/cache/restore":
            return {"cache-hit": "", "cache-primary-key": options["key"]}
        if name == "actions/cache/save":
            return {}
        assert name == "actions/setup-python", f"nothing stands in for {action}"
        return {"python-version": f"{options['python-version']}.0"}

    def check_out(self, options: dict[str, str]) -> Mapping[str, str]:
        repository = options.get("repository", self.machine.repository)
        token = options.get("token", self.machine.token)
        own = (
            repository == self.machine.repository
            and token == self.machine.token
            and "contents" in self.permissions
        )
        if not own and repository not in self.machine.readers.get(token, ()):
            raise StepFailed(f"repository {repository} not found")
        target = self.workspace / options.get("path", ".")
        git(self.workspace, "clone", "--quiet", str(self.machine.repositories[repository]), str(target))
        default = self.machine.sha if repository == self.machine.repository else "HEAD"
        git(target, "checkout", "--quiet", "--detach", options.get("ref", default))
        return {}

    def upload(self, options: dict[str, str]) -> Mapping[str, str]:
        asked = [self.workspace / line.strip() for line in options["path"].splitlines() if line.strip()]
        files = [file for path in asked for file in ([path] if path.is_file() else path.rglob("*"))]
        top = (
            asked[0]
            if asked[0].is_dir() and len(asked) == 1
            else Path(os.path.commonpath([p.parent for p in asked]))
        )
        files = [file for file in files if file.is_file()]
        files = [
            file for file in files if not any(part.startswith(".") for part in file.relative_to(top).parts)
        ]
        if not files:
            if options["if-no-files-found"] == "ignore":
                return {}
            assert options["if-no-files-found"] == "error"
            raise StepFailed(f"no files were found at {options['path']}")
        for file in files:
            name = str(file.relative_to(top))
            if re.search(r'[":<>|*?\r\n]', name):
                raise StepFailed(f"the path of a file is not valid: {name!r}")
            kept = self.machine.directory / "artifacts" / options["name"] / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, kept)
        return {"artifact-id": f"id-of-{options['name']}"}

    def download(self, options: dict[str, str]) -> Mapping[str, str]:
        name = options.get("name") or options["artifact-ids"].removeprefix("id-of-")
        kept = self.machine.directory / "artifacts" / name
        if not kept.is_dir():
            raise StepFailed(f"artifact not found: {name}")
        shutil.copytree(
            kept, self.workspace / options["path"], dirs_exist_ok=True, copy_function=shutil.copyfile
        )
        return {}


class Expression:
    """What stands in ${{ }}: literals, contexts, `hashFiles`, the functions given, and ! == != && || ( )."""

    TOKENS = re.compile(r"\s*('(?:[^']|'')*'|\d+|[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*|==|!=|&&|\|\||[!(),])")

    def __init__(
        self, text: str, contexts: Mapping[str, Any], functions: Mapping[str, bool], workspace: Path
    ) -> None:
        self.contexts, self.functions, self.workspace = contexts, functions, workspace
        self.words: list[str] = []
        text, at = text.strip(), 0
        while at < len(text):
            found = self.TOKENS.match(text, at)
            assert found, f"not known here: {text[at:]}"
            self.words.append(found[1])
            at = found.end()
        self.value = self.either()
        assert not self.words, f"not known here: {self.words}"

    def next_is(self, *words: str) -> bool:
        return bool(self.words) and self.words[0] in words

    def either(self) -> Any:
        value = self.both()
        while self.next_is("||"):
            self.words.pop(0)
            other = self.both()
            value = value if truth(value) else other
        return value

    def both(self) -> Any:
        value = self.equal()
        while self.next_is("&&"):
            self.words.pop(0)
            other = self.equal()
            value = other if truth(value) else value
        return value

    def equal(self) -> Any:
        value = self.single()
        while self.next_is("==", "!="):
            same = self.words.pop(0) == "=="
            value = (as_text(value).lower() == as_text(self.single()).lower()) == same
        return value

    def single(self) -> Any:
        word = self.words.pop(0)
        if word == "!":
            return not truth(self.single())
        if word == "(":
            value = self.either()
            assert self.words.pop(0) == ")"
            return value
        if word.startswith("'"):
            return word[1:-1].replace("''", "'")
        if word.isdigit() or word in ("true", "false"):
            return json.loads(word)
        if self.next_is("("):
            return self.call(word)
        value: Any = self.contexts
        first, *rest = word.split(".")
        value = self.contexts[first]
        for part in rest:
            value = value.get(part) if value is not None else None
        assert first != "github" or value is not None, f"not known here: {word}"
        return value

    def call(self, function: str) -> Any:
        arguments = []
        self.words.pop(0)
        while not self.next_is(")"):
            arguments.append(self.either())
            if self.next_is(","):
                self.words.pop(0)
        self.words.pop(0)
        if function == "hashFiles":
            found = [self.workspace / pattern for pattern in arguments]
            contents = [path.read_bytes() for path in found if path.is_file()]
            return hashlib.sha256(b"".join(contents)).hexdigest() if contents else ""
        return self.functions[function]


def truth(value: Any) -> bool:
    return value not in (False, None, "", 0)


def as_text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def settings_in(text: str) -> dict[str, str]:
    """What a step wrote to GITHUB_OUTPUT or GITHUB_ENV: lines of name=value."""
    assert "<<" not in text, "values of several lines are not known here"
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def commands_in(log: str) -> list[Command]:
    """The commands that a runner finds in a log: `::name …::` where a line begins, `##[name …]` anywhere in one."""
    return [command for line in re.split(r"\r\n|\r|\n", log) if (command := command_in(line))]


KNOWN_COMMANDS = (
    "add-mask add-matcher add-path debug echo endgroup error group internal-set-repo-path notice remove-matcher "
    "save-state set-env set-output stop-commands warning"
).split()


def command_in(line: str) -> Command | None:
    found = re.match(r"\s*::(.*?)::(.*)", line)
    if found and (command := read_command(found[1], ",", found[2])):
        return command
    found = re.search(r"##\[(.*?)\](.*)", line)
    return read_command(found[1], ";", found[2]) if found else None


def read_command(head: str, separator: str, message: str) -> Command | None:
    name, _, listed = head.partition(" ")
    if name not in KNOWN_COMMANDS:
        return None
    pairs = (pair.split("=", 1) for pair in listed.split(separator) if "=" in pair)
    return Command(name, {key: unescaped(value) for key, value in pairs}, unescaped(message))


def unescaped(text: str) -> str:
    for code, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, sign)
    return text


# Repositories


def new_repository(path: Path, files: Mapping[str, str | bytes], *, executable: Sequence[str] = ()) -> str:
    """A git repository with one commit; the commit."""
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    return commit(path, files, executable=executable)


def commit(repository: Path, files: Mapping[str, str | bytes], *, executable: Sequence[str] = ()) -> str:
    for name, content in files.items():
        file = repository / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        if any(fnmatch.fnmatch(name, pattern) for pattern in executable):
            file.chmod(0o755)
    git(repository, "add", "--all")
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    git(repository, *who, "commit", "--quiet", "--allow-empty", "-m", "My work")
    return git(repository, "rev-parse", "HEAD").strip()


def git(directory: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", directory, *arguments], capture_output=True, text=True, check=True
    ).stdout
