"""A repository's journal as typed facts, and the attempts that they show. Pure.

An attempt is a commit that a push made the head of the default branch. What was collected once holds, whatever a
student deletes later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from grading.errors import GradingError
from grading.github.answers import Activity, Artifact, Job, Run
from grading.github.store import Entry
from grading.score import Score

WORKFLOW = ".github/workflows/grade.yml"
PUSHES = frozenset({"push", "force_push", "pr_merge", "merge_queue_merge"})

_GRADE_JOB = re.compile(r"(.* / )?Grade")  # `caller / called`


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of an artifact: the SHA-256 of the zip that we keep, or why there is none."""

    sha256: str | None
    problem: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The git tree of `.github` at a commit. None: there is no such folder, or `problem` says why nobody can tell."""

    sha: str | None
    problem: str


@dataclass(slots=True)
class Evidence:
    """What a journal says. It grows with it, entry by entry (`take`)."""

    branches: list[str] = field(default_factory=lambda: ["main"])
    """The released workflow's, and the default branch under each name that it had."""
    asked: Mapping[str, Any] | None = None
    """What the repository looked like when it was last asked about to the end."""
    activity: dict[int, Activity] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    """Runs that were deleted before they could be seen to have ended."""
    jobs: dict[tuple[int, int], tuple[Job, ...]] = field(default_factory=dict)
    """By run and attempt."""
    listed: dict[tuple[int, int], tuple[Artifact, ...]] = field(default_factory=dict)
    """The artifacts of a run as of an attempt."""
    artifacts: dict[int, dict[int, Artifact]] = field(default_factory=dict)
    """By run and id: what was said of each at first."""
    fetched: dict[int, Fetched] = field(default_factory=dict)
    """By artifact."""
    trees: dict[str, Tree] = field(default_factory=dict)
    """By commit."""
    central: dict[str, Score] = field(default_factory=dict)
    """By commit: what the instructor's own repository graded."""

    def take(self, entry: Entry) -> None:
        data = entry.data
        match entry.kind:
            case "repository":
                if data["default_branch"] not in self.branches:
                    self.branches.append(data["default_branch"])
            case "asked":
                self.asked = data
            case "activity":
                activity = Activity.model_validate(data)
                self.activity[activity.id] = activity
            case "run":
                run = Run.model_validate(data)
                self.runs[run.id] = run
            case "gone":
                self.gone.add(data["run"])
            case "jobs":
                jobs = tuple(Job.model_validate(job) for job in data["jobs"])
                if jobs or (data["run"], data["attempt"]) not in self.jobs:  # a deleted run has none any more
                    self.jobs[data["run"], data["attempt"]] = jobs
            case "artifacts":
                of_run = self.artifacts.setdefault(data["run"], {})
                found = tuple(Artifact.model_validate(artifact) for artifact in data["artifacts"])
                for artifact in found:
                    of_run.setdefault(artifact.id, artifact)
                key = data["run"], data["attempt"]
                self.listed[key] = found or self.listed.get(key, ())
            case "artifact":
                fetched = Fetched(data["sha256"], data["problem"])
                if fetched.sha256 is not None or data["id"] not in self.fetched:
                    self.fetched[data["id"]] = fetched
            case "tree":
                self.trees[data["commit"]] = Tree(data["sha"], data["problem"])
            case "central":
                score = Score.model_validate_json(json.dumps(data["score"]))
                if score.state == "graded":
                    self.central[data["commit"]] = score

    def artifacts_of(self, run: int) -> list[Artifact]:
        """All that was ever listed of a run, the earliest first; what was said of each at first."""
        of_run = self.artifacts.get(run, {})
        return [of_run[number] for number in sorted(of_run)]

    def bytes_kept(self) -> int:
        """The sizes of all zips that were fetched, as GitHub gave them."""
        return sum(
            artifact.size_in_bytes
            for of_run in self.artifacts.values()
            for artifact in of_run.values()
            if artifact.id in self.fetched and self.fetched[artifact.id].sha256 is not None
        )

    def changes(self) -> list[Activity]:
        """What happened to the default branch, the earliest first."""
        refs = {f"refs/heads/{branch}" for branch in self.branches}
        there = [activity for activity in self.activity.values() if activity.ref in refs]
        return sorted(there, key=lambda activity: (activity.timestamp, activity.id))

    def force_pushes(self) -> list[Activity]:
        return [activity for activity in self.changes() if activity.activity_type == "force_push"]


def read_evidence(entries: Iterable[Entry]) -> Evidence:
    """Raises GradingError where an entry is not what we write."""
    evidence = Evidence()
    for number, entry in enumerate(entries, 1):
        try:
            evidence.take(entry)
        except (ValidationError, KeyError, TypeError) as error:
            raise GradingError(
                f"entry {number} ({entry.kind}) is not what was written; restore it"
            ) from error
    return evidence


@dataclass(frozen=True, slots=True)
class Attempt:
    """A commit that was handed in. `push` is the first that made it the head, `run` the first that was to grade it."""

    commit: str
    push: Activity | None
    run: Run | None

    @property
    def at(self) -> datetime:
        """When the push arrived."""
        if self.push is not None:
            return self.push.timestamp
        assert self.run is not None
        return self.run.created_at


def attempts(evidence: Evidence) -> list[Attempt]:
    """In the order of their pushes."""
    pushes: dict[str, Activity] = {}
    copied = ""
    for activity in evidence.changes():
        if activity.activity_type == "branch_creation" and not copied and not pushes:
            copied = activity.after  # by the template
        elif activity.activity_type in PUSHES and activity.after != copied:
            pushes.setdefault(activity.after, activity)
    runs: dict[str, Run] = {}
    for run in sorted(grading_runs(evidence), key=lambda run: run.run_number):
        if run.event == "push" and run.head_branch in evidence.branches and run.head_sha != copied:
            runs.setdefault(run.head_sha, run)
    found = [Attempt(commit, pushes.get(commit), runs.get(commit)) for commit in {**pushes, **runs}]
    return sorted(found, key=lambda attempt: (attempt.at, attempt.commit))


def grading_runs(evidence: Evidence) -> list[Run]:
    """All runs of the workflow that grades, whatever started them."""
    return [run for run in evidence.runs.values() if is_grading(run)]


def is_grading(run: Run) -> bool:
    return run.path.partition("@")[0] == WORKFLOW


def finished_attempts(run: Run) -> int:
    return run.run_attempt if run.status == "completed" else run.run_attempt - 1


def grade_jobs(jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if _GRADE_JOB.fullmatch(job.name)]


def artifact_name(homework: str) -> str:
    return f"score-{homework}"
