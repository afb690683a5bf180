"""What collecting and central grading must withstand on GitHub, and what honest students meet there."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from collecting import (
    COURSE,
    DAY,
    DEADLINE,
    EDITED,
    MINUTE,
    NOW,
    RELEASED,
    START,
    Classroom,
    packed,
    released,
    score,
)
from github_server import GitHubServer

from grading.course import load_course
from grading.github.central import Plan, Planned, graded_ones, prepare, publish, to_grade
from grading.github.collect import MOST_KEPT_BYTES

ROOT = Path(__file__).parents[1]
TOY = ROOT / "tests/homeworks/toy"
GRADEBOOK = ROOT / ".github/workflows/gradebook.yml"
ON_TIME = DEADLINE - 2 * DAY
LATE = DEADLINE + 36 * 60 * MINUTE
SECOND = timedelta(seconds=1)


@pytest.fixture
def classroom(github: GitHubServer, place: Path) -> Classroom:
    return Classroom(github, place / "scores")


@pytest.fixture
def toys(github: GitHubServer, place: Path) -> Classroom:
    """A course whose homework is on disk, and graded here only."""
    shutil.copytree(TOY, place / "homeworks/toy")
    (place / "homeworks/course.yml").write_text(
        "name: Toys\ntimezone: Europe/Berlin\nsalt: nobody-guesses-this-salt\n"
        "github: {organisation: dl-course, grade_on_push: false, central: all, writes_per_minute: 60000}\n"
        "homeworks:\n  - {name: toy, weight: 1, deadline: 2026-10-04T23:59:00+02:00}\n"
    )
    return Classroom(
        github,
        place / "scores",
        course=load_course(place / "homeworks/course.yml"),
        releases=released("toy"),
        homeworks=("toy",),
    )


def prepared(toys: Classroom, work: Path) -> list[Planned]:
    return prepare(toys.api, toys.course, toys.store, work, {"toy"}, NOW, toys.told.append)


# gradebook.yml: the job with students' code


def gradebook() -> dict[str, Any]:
    return yaml.safe_load(GRADEBOOK.read_text())["jobs"]


def uses(job: dict[str, Any], action: str) -> list[dict[str, Any]]:
    return [step for step in job["steps"] if step.get("uses", "").startswith(f"actions/{action}@")]


def test_publish_takes_nothing_that_the_job_with_students_code_could_have_put_in_its_place() -> None:
    jobs = gradebook()
    handed_over = {step["with"]["name"] for step in uses(jobs["collect"], "upload-artifact")}

    taken = [step["with"] for step in uses(jobs["publish"], "download-artifact")]

    assert not handed_over & {step.get("name") for step in taken}
    assert [step["artifact-ids"] for step in taken if "artifact-ids" in step] == [
        "${{ needs.collect.outputs.work }}"
    ]


def test_the_job_with_students_code_can_read_no_ones_scores() -> None:
    packs = [step["run"] for step in gradebook()["collect"]["steps"] if "tar --create" in step.get("run", "")]

    assert not [run for run in packs if run.split()[-1] == "scores"]


def test_what_is_kept_for_the_next_grading_is_kept_before_students_code_runs() -> None:
    steps = gradebook()["grade"]["steps"]
    grading = next(number for number, step in enumerate(steps) if step.get("name") == "Grade")
    saving = [
        number for number, step in enumerate(steps) if step.get("uses", "").startswith("actions/cache/save@")
    ]

    assert not uses(gradebook()["grade"], "cache")
    assert saving
    assert all(number < grading for number in saving)


def test_a_reason_from_the_job_with_students_code_is_one_plain_line_in_the_log(tmp_path: Path) -> None:
    planned = Planned(
        homework="cnn",
        student="ada",
        repository="dl-course/cnn-ada",
        repository_id=7,
        commit="d4" * 20,
        submitted_at=ON_TIME,
        time_source="push",
    )
    (tmp_path / "plan.json").write_text(Plan(planned=(planned,)).model_dump_json())
    hostile = score(
        tasks=[],
        reason="x\n::error::all lost\n\x1b[2J",
        student="ada",
        repository="dl-course/cnn-ada",
        commit="d4" * 20,
    )
    (tmp_path / "graded").mkdir()
    (tmp_path / "graded" / f"{planned.name}.json").write_text(hostile.model_dump_json())
    told: list[str] = []

    assert list(graded_ones(tmp_path, told.append)) == []
    assert told[0].isprintable()


# Central: what is graded is what was pushed


def test_a_tag_pushed_after_the_deadline_changes_nothing_that_was_handed_in(
    toys: Classroom, place: Path
) -> None:
    stub = json.dumps(
        {
            "cells": [{"cell_type": "code", "source": "key = '$Format:%D$'"}],
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )
    repository = toys.server.add_repository("toy-ada", {"README.md": "Toys"}, at=START)
    commit = toys.server.push(
        repository, {"toy.ipynb": stub, ".gitattributes": "*.ipynb export-subst\n"}, actor="ada", at=ON_TIME
    )
    toys.collect()
    assert repository.git is not None
    repository.git("update-ref", "refs/tags/6465662063656e746572", commit)  # at any time before it is graded

    (planned,) = prepared(toys, place / "work")

    found = place / "work/submissions" / planned.name / "toy.ipynb"
    assert not found.exists() or found.read_text() == stub


def test_what_a_repository_holds_besides_costs_nothing(toys: Classroom, place: Path) -> None:
    repository = toys.server.add_repository("toy-ada", {"README.md": "Toys"}, at=START)
    toys.server.push(repository, {"model.pt": os.urandom(20_000), "toy.ipynb": "{}"}, actor="ada", at=ON_TIME)
    toys.collect()

    (planned,) = prepared(toys, place / "work")

    assert planned.problem == ""
    assert len(toys.server.asked("/git/blobs/")) == 1


def test_a_commit_that_takes_no_status_keeps_no_feedback_from_the_next(toys: Classroom) -> None:
    repository = toys.assigned("toy", trees={"data": RELEASED})
    gone = toys.push(repository, ON_TIME, trees={"data": RELEASED})
    kept = toys.push(repository, ON_TIME + DAY, trees={"data": RELEASED})
    toys.collect()
    for commit in (gone, kept):
        data = {"commit": commit, "score": json.loads(score(40, "toy").model_dump_json())}
        toys.store.append("toy", repository.id, "central", commit, data)
    toys.collect()
    del repository.light_trees[gone]

    publish(toys.api, toys.course, toys.store, toys.records(), toys.told.append)

    assert [status.sha for status in repository.statuses] == [kept]
    assert len(repository.issues) == 1


def test_one_students_loop_of_pushes_does_not_take_the_whole_run(classroom: Classroom) -> None:
    repository = classroom.assigned()
    for number in range(120):
        classroom.push(repository, ON_TIME + number * SECOND)
    classroom.collect()

    planned = to_grade(classroom.store.records(), COURSE, {"cnn"}, NOW)

    assert 0 < len(planned) <= 50


# Collect: growth


def test_a_flood_of_branches_costs_a_few_requests(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.attempt(repository, ON_TIME)
    ada = classroom.server.user("ada")
    for number in range(2500):
        classroom.server.moved(repository, f"refs/heads/b{number}", "0" * 40, commit, ada, ON_TIME + MINUTE)

    classroom.collect()

    assert classroom.record().status == "verified"
    assert len(classroom.server.asked("/activity")) <= 20


def test_a_flood_of_artifacts_of_other_names_costs_a_few_requests(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME, tree=EDITED)
    run = classroom.run(repository, commit, ON_TIME + MINUTE)
    for number in range(2500):
        classroom.server.upload(run, f"other-{number}", b"x")

    classroom.collect()

    assert len(classroom.server.asked("/artifacts")) <= 20


def test_what_is_kept_of_one_repository_has_a_bound(classroom: Classroom) -> None:
    repository = classroom.assigned()
    for number in range(8):
        at = ON_TIME + number * 10 * MINUTE
        commit = classroom.push(repository, at, tree=EDITED)
        run = classroom.run(repository, commit, at + MINUTE, artifacts={})
        for _ in range(5):
            classroom.server.upload(run, "score-cnn", os.urandom(2**20 - 10))

    classroom.collect()

    kept = sum(path.stat().st_size for path in (classroom.directory / "artifacts").iterdir())
    assert 16 * 2**20 < kept <= MOST_KEPT_BYTES


# Honest students, and GitHub's books a moment behind


@pytest.mark.parametrize("late", ["jobs", "ends", "artifacts", "zip", "tree"])
def test_what_github_shows_a_moment_late_is_seen_the_next_time(classroom: Classroom, late: str) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE)
    (job,), artifacts = run.attempts[0].jobs, list(run.artifacts)
    ended = job.completed_at
    classroom.now = ON_TIME + 4 * MINUTE
    match late:
        case "jobs":
            run.attempts[0].jobs = []
        case "ends":
            job.completed_at, job.status, job.conclusion = None, "in_progress", None
        case "artifacts":
            run.artifacts = []
        case "zip":
            classroom.server.fail_next("/zip$", 404, message="Not Found")
        case "tree":
            classroom.server.fail_next("/git/trees/", 404, message="Not Found")
    classroom.collect()
    run.attempts[0].jobs, run.artifacts = [job], artifacts
    job.completed_at, job.status, job.conclusion = ended, "completed", "success"

    for wait in (MINUTE, 60 * MINUTE):
        classroom.now += wait
        classroom.collect()

    assert (classroom.record().status, classroom.record().reasons) == ("verified", ())


def test_a_re_run_that_has_uploaded_and_not_ended_yet_is_waited_for(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE, conclusion="cancelled", artifacts={})
    classroom.server.rerun(run, at=LATE, conclusion=None, artifacts=packed())
    classroom.collect()
    again = run.attempts[-1]
    again.status, again.conclusion, (job,) = "completed", "success", again.jobs
    job.status, job.conclusion, job.completed_at = "completed", "success", LATE + MINUTE

    classroom.collect()

    assert (classroom.record().status, classroom.record().reasons) == ("verified", ())


def test_a_push_that_is_listed_after_a_later_one_is_not_lost(classroom: Classroom) -> None:
    repository = classroom.assigned()
    first = classroom.push(repository, ON_TIME)
    second = classroom.attempt(repository, ON_TIME + SECOND)
    hidden = repository.activity.pop(-2)
    classroom.now = ON_TIME + 5 * MINUTE
    classroom.collect()
    repository.activity.insert(-1, hidden)

    for wait in (MINUTE, DAY):
        classroom.now += wait
        classroom.collect()

    assert [record.commit for record in classroom.records()] == [first, second]


def test_a_branch_renamed_before_the_first_collect_loses_no_attempt(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.attempt(repository, ON_TIME)
    repository.light_heads["master"] = commit
    repository.default_branch = "master"
    owner = classroom.server.owner
    classroom.server.moved(repository, "refs/heads/master", "0" * 40, commit, owner, ON_TIME + DAY)

    summary = classroom.collect()

    assert (summary.verified, summary.not_submitted) == (1, ())


def test_a_run_of_a_tag_called_main_hands_in_nothing_before_the_push(classroom: Classroom) -> None:
    repository = classroom.assigned()
    head = str(repository.head())
    commit = classroom.server.commit(repository, actor="ada", parent=head, trees={".github": EDITED})
    classroom.run(repository, commit, ON_TIME)
    classroom.push(repository, LATE, commit=commit)
    classroom.collect()
    graded = {"commit": commit, "score": json.loads(score(90).model_dump_json())}
    classroom.store.append("cnn", repository.id, "central", commit, graded)

    classroom.collect()

    record = classroom.record()
    assert record.status == "verified"
    assert record.submitted_at is not None
    assert record.submitted_at >= LATE
