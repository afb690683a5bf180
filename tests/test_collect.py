"""Collecting over real HTTP: what honest students and others do on GitHub, and the record that comes of it.

The attacks are those on GitHub itself (a workflow, a run, an artifact, a time, a name); hostile bytes in a zip or a
score are in test_verify.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import re
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from collecting import (
    BUNDLE,
    COURSE,
    DAY,
    DEADLINE,
    EDITED,
    MINUTE,
    NOW,
    RELEASED,
    START,
    Classroom,
    collect_and_count,
    files_in,
    packed,
    score,
    team,
)
from github_server import GitHubServer

from grading.errors import UsageError
from grading.export.course_csv import export
from grading.github.api import GitHub
from grading.github.client import Client, Unavailable
from grading.github.store import KnownRepository, Record, Store
from grading.roster import Person, Roster
from grading.score_file import load_score

ON_TIME = DEADLINE - 2 * DAY
LATE = DEADLINE + 36 * 60 * MINUTE
LISTING = "/orgs/dl-course/repos?direction=asc&per_page=100&sort=full_name&type=all"


@pytest.fixture
def classroom(github: GitHubServer, place: Path) -> Classroom:
    return Classroom(github, place / "scores")


def reasons(record: Record) -> str:
    return "; ".join(record.reasons)


def flags(record: Record) -> str:
    return "; ".join(record.flags)


# Honest students


def test_a_push_on_time_is_verified_with_the_time_at_which_its_grade_job_ended(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.attempt(repository, ON_TIME)

    summary = classroom.collect()

    record = classroom.record()
    assert (record.status, record.reasons, record.flags) == ("verified", (), ())
    assert (record.student, record.members, record.commit) == ("ada", ("ada",), commit)
    assert (record.submitted_at, record.time_source) == (ON_TIME + 3 * MINUTE, "pipeline_finish")
    assert (summary.verified, summary.asked, summary.troubles) == (1, 1, ())
    kept = load_score(classroom.directory / f"scores/cnn/ada/{commit}.json")
    assert kept == record.score
    assert (kept.student, kept.commit, kept.repository) == ("ada", commit, "dl-course/cnn-ada")
    assert (kept.provisional, kept.days_late, kept.final_points) == (False, 0, 80)


def test_the_penalty_follows_from_the_time_that_github_recorded(classroom: Classroom) -> None:
    classroom.attempt(classroom.assigned(), LATE)  # its file says that it was handed in weeks before

    classroom.collect()

    found = classroom.record().score
    assert found is not None
    assert (found.days_late, found.penalty, found.final_points) == (2, Fraction(1, 5), 64)
    assert found.submitted_at == LATE + 3 * MINUTE


def test_a_run_that_ends_a_second_after_the_deadline_is_late_though_its_push_was_not(
    classroom: Classroom,
) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, DEADLINE - MINUTE)
    classroom.run(repository, commit, DEADLINE - 2 * MINUTE + timedelta(seconds=1))

    classroom.collect()
    by_run = classroom.record().score
    classroom.course = COURSE.model_copy(update={"time_source": "push"})
    classroom.collect()
    by_push = classroom.record().score

    assert by_run is not None
    assert (by_run.submitted_at, by_run.days_late) == (DEADLINE + timedelta(seconds=1), 1)
    assert by_push is not None
    assert (by_push.submitted_at, by_push.time_source, by_push.days_late) == (DEADLINE - MINUTE, "push", 0)


def test_every_push_is_an_attempt_and_the_better_first_one_stays(classroom: Classroom) -> None:
    repository = classroom.assigned()
    first = classroom.attempt(repository, ON_TIME, 90)
    second = classroom.attempt(repository, LATE, 70)

    classroom.collect()
    export(classroom.directory / "scores", classroom.directory / "grades.csv", course=COURSE)

    assert [(record.commit, record.reported_points) for record in classroom.records()] == [
        (first, 90),
        (second, 70),
    ]
    assert (classroom.directory / "grades.csv").read_text().splitlines()[1].startswith("ada,90.00,0,")


def test_a_push_whose_run_was_cancelled_counts_from_the_push_once_it_was_run_again(
    classroom: Classroom,
) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE, conclusion="cancelled", artifacts={})
    classroom.collect()
    cancelled = classroom.record()

    classroom.server.rerun(run, at=LATE, artifacts=packed())
    classroom.collect()

    assert (cancelled.status, cancelled.reasons) == ("missing", ("its run was cancelled",))
    record = classroom.record()
    assert (record.status, flags(record)) == ("verified", "re-run 1 time")
    assert (record.submitted_at, record.time_source) == (ON_TIME, "push")


def test_a_run_that_failed_by_our_fault_is_looked_at_again_without_a_new_push(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    ours = packed(tasks=[], reason="no sandbox")
    run = classroom.run(repository, commit, ON_TIME + MINUTE, conclusion="failure", artifacts=ours)
    classroom.collect()
    before = classroom.record()

    classroom.server.rerun(run, at=LATE, artifacts=packed(95))
    classroom.collect()

    assert before.status == "missing"
    assert reasons(before) == "not graded, by our fault: no sandbox"
    assert not list((classroom.directory / "scores").rglob("*.json")) or before.score is not None
    record = classroom.record()
    assert (record.status, record.reported_points) == ("verified", 95)
    assert (record.submitted_at, record.time_source) == (ON_TIME, "push")


def test_a_run_made_red_by_the_pass_mark_counts_from_its_end(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    classroom.run(repository, commit, ON_TIME + MINUTE, 30, conclusion="failure")

    classroom.collect()

    record = classroom.record()
    assert (record.status, record.reported_points) == ("verified", 30)
    assert (record.submitted_at, record.time_source) == (ON_TIME + 3 * MINUTE, "pipeline_finish")


def test_a_run_that_goes_on_is_waited_for(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE, conclusion=None, artifacts={})
    classroom.collect()
    unfinished = classroom.record()
    ended = ON_TIME + 9 * MINUTE
    run.attempts.clear()
    classroom.server.attempt(
        run, ON_TIME + MINUTE, ended, "success", job="grade / Grade", artifacts=packed(60)
    )

    classroom.collect()

    assert (unfinished.status, reasons(unfinished)) == ("missing", "its run is not finished")
    assert (classroom.record().status, classroom.record().submitted_at) == ("verified", ended)


def test_a_teams_work_is_credited_to_all_its_members(classroom: Classroom) -> None:
    classroom.teams = team("owls", ("ada", "grace"))
    repository = classroom.repository("cnn-owls")
    line = KnownRepository(
        at=START,
        repository_id=repository.id,
        name=repository.full_name,
        homework="cnn",
        student="owls",
        event="assigned",
    )
    classroom.store.know(line)
    commit = classroom.attempt(repository, ON_TIME)

    summary = classroom.collect()

    record = classroom.record()
    assert (record.student, record.members, record.status) == ("owls", ("ada", "grace"), "verified")
    for login in record.members:
        assert load_score(classroom.directory / f"scores/cnn/{login}/{commit}.json").student == login
    assert summary.not_submitted == summary.without_repository == ()


def test_who_has_not_pushed_has_no_record_and_is_listed(classroom: Classroom) -> None:
    repository = classroom.assigned()
    classroom.run(repository, str(repository.head()), START)  # of the template's own files

    summary = classroom.collect()

    assert classroom.records() == []
    assert summary.not_submitted == (("cnn", "ada"),)
    assert summary.without_repository == (("cnn", "grace"),)


def test_a_merged_pull_request_is_a_push(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.attempt(repository, ON_TIME)
    repository.activity[-1].activity_type = "pr_merge"

    classroom.collect()

    assert (classroom.record().commit, classroom.record().status) == (commit, "verified")


def test_without_githubs_record_of_the_push_the_runs_creation_stands_in(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    classroom.run(repository, commit, ON_TIME + MINUTE, conclusion="cancelled", artifacts={})
    repository.activity.pop()

    classroom.collect()

    record = classroom.record()
    assert (record.commit, record.submitted_at) == (commit, ON_TIME + MINUTE)
    assert "GitHub's activity has no such push" in flags(record)


def test_where_nothing_is_graded_on_push_nothing_is_waited_for(classroom: Classroom) -> None:
    settings = COURSE.github
    assert settings is not None
    classroom.course = COURSE.model_copy(
        update={"github": settings.model_copy(update={"grade_on_push": False})}
    )
    classroom.push(classroom.assigned(trees={"data": RELEASED}), ON_TIME, trees={"data": RELEASED})
    classroom.collect()

    again = classroom.collect()

    assert (again.asked, again.missing, classroom.record().flags) == (0, 1, ())


# Dishonest ones: the workflow and the run


def test_an_edited_workflow_makes_its_runs_unverified(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME, tree=EDITED)
    classroom.run(repository, commit, ON_TIME + MINUTE, 100)
    later = classroom.attempt(repository, ON_TIME + DAY, 70)

    classroom.collect()

    edited, honest = classroom.records()
    assert edited.status == "unverified"
    assert reasons(edited) == "the commit's .github is none that was released for cnn"
    assert flags(edited) == "protected path changed"
    assert edited.reported_points == 100
    assert (honest.commit, honest.status) == (later, "verified")
    assert flags(honest) == f"protected path changed earlier, at {commit[:7]}"
    assert [path.stem for path in (classroom.directory / "scores/cnn/ada").iterdir()] == [later]


def test_a_removed_workflow_folder_is_unverified_too(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.server.commit(repository, actor="ada", trees={"data": RELEASED})
    classroom.push(repository, ON_TIME, commit=commit)
    classroom.run(repository, commit, ON_TIME + MINUTE)

    classroom.collect()

    assert (classroom.record().status, reasons(classroom.record())) == (
        "unverified",
        "the commit has no .github",
    )


@pytest.mark.parametrize(
    ("called", "reason"),
    [
        ([], "the run called no reusable workflow"),
        (
            [{"path": f"ada/bundle/.github/workflows/grade.yml@{BUNDLE}", "sha": BUNDLE}],
            f"the run called ada/bundle/.github/workflows/grade.yml@{BUNDLE}, not the course's workflow",
        ),
        (
            [{"path": "dl-course/bundle/.github/workflows/grade.yml@main", "sha": "0" * 40}],
            "the run called the course's workflow at 0000000, which was not released",
        ),
        (
            [{"path": "dl-course/bundle/.github/workflows/grade.yml@main", "sha": BUNDLE}] * 2,
            "the run called 2 reusable workflows, and not the course's alone",
        ),
    ],
    ids=["none", "another", "another version", "two"],
)
def test_a_run_that_called_another_workflow_is_unverified(
    classroom: Classroom, called: list[dict[str, str]], reason: str
) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    classroom.run(repository, commit, ON_TIME + MINUTE, bundle=None, referenced=called)

    classroom.collect()

    assert (classroom.record().status, reasons(classroom.record())) == ("unverified", reason)


def test_a_second_workflows_artifact_of_the_same_name_is_not_taken(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    forged = {"path": ".github/workflows/mine.yml", "artifacts": packed(100)}
    classroom.server.run(repository, commit, at=ON_TIME, number=1, **forged)
    classroom.run(repository, commit, ON_TIME + MINUTE, 55, number=1)
    classroom.server.run(repository, commit, at=ON_TIME + DAY, number=2, **forged)

    classroom.collect()

    assert (classroom.record().status, classroom.record().reported_points) == ("verified", 55)
    assert len(classroom.server.asked("/zip$")) == 1


def test_a_run_of_another_workflow_alone_grades_nothing(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME, tree=EDITED)
    classroom.server.run(
        repository, commit, at=ON_TIME, path=".github/workflows/mine.yml", artifacts=packed(100)
    )

    classroom.collect()

    record = classroom.record()
    assert (record.status, record.reported_points) == ("missing", None)
    assert reasons(record) == "no run of the course's workflow graded this push"


@pytest.mark.parametrize("how", [{"event": "workflow_dispatch"}, {"branch": "mine"}], ids=["event", "branch"])
def test_a_run_that_no_push_to_the_default_branch_started_grades_nothing(
    classroom: Classroom, how: dict[str, str]
) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    classroom.run(repository, commit, ON_TIME + MINUTE, 100, **how)

    classroom.collect()

    assert classroom.record().status == "missing"


def test_a_push_to_another_branch_is_no_attempt(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME, branch="mine")
    classroom.run(repository, commit, ON_TIME + MINUTE, 100, branch="mine")

    classroom.collect()

    assert classroom.records() == []


def test_two_artifacts_of_one_grade_job_are_both_refused(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE, 55)
    classroom.server.upload(run, "score-cnn", packed(100)["score-cnn"])

    classroom.collect()

    record = classroom.record()
    assert record.status == "unverified"
    assert reasons(record) == "the run has 2 artifacts score-cnn, and nobody can tell which to believe"


def test_a_flood_of_artifacts_of_the_name_costs_a_few_downloads(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME, tree=EDITED)
    run = classroom.run(repository, commit, ON_TIME + MINUTE, artifacts={})
    for number in range(130):
        classroom.server.upload(run, "score-cnn", packed(number % 100)["score-cnn"])
    classroom.collect()

    again = classroom.collect()

    assert (classroom.record().status, again.asked) == ("unverified", 0)
    assert len(classroom.server.asked("/zip$")) == 5


@pytest.mark.parametrize("honest", [True, False], ids=["beside an honest one", "alone"])
def test_an_artifact_made_outside_the_grade_jobs_time_is_refused(classroom: Classroom, honest: bool) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE, artifacts=packed(55) if honest else {})
    classroom.server.upload(run, "score-cnn", packed(100)["score-cnn"], at=ON_TIME + 30 * MINUTE)

    classroom.collect()

    record = classroom.record()
    assert record.status == "unverified"
    assert reasons(record) == "an artifact score-cnn was made outside the time of the grade job"


def test_an_artifact_that_another_job_of_the_run_could_have_made_is_refused(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE)
    other = classroom.server.run(repository, commit, at=ON_TIME + MINUTE, job="mine", event="schedule")
    other.attempts[0].jobs[0].completed_at = ON_TIME + 9 * MINUTE
    run.attempts[0].jobs += other.attempts[0].jobs

    classroom.collect()

    assert reasons(classroom.record()) == "another job ran while the artifact was made"


def test_an_artifact_that_is_not_what_github_has_the_digest_of_is_refused(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE)
    run.artifacts[0].digest = f"sha256:{'0' * 64}"

    classroom.collect()

    assert reasons(classroom.record()) == "the artifact is not the one whose digest GitHub recorded"


def test_a_green_status_is_nobodys_score(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    student = classroom.server.add_token("ada")
    repository.collaborators["ada"] = "push"
    api = GitHub(Client(student, base=classroom.server.api))
    api.set_status(repository.full_name, commit, "success", "grading/cnn", "100 of 100 points")

    classroom.collect()

    assert (classroom.record().status, classroom.record().score) == ("missing", None)


# Times


def test_a_commits_own_date_is_nobodys_submission_time(classroom: Classroom) -> None:
    repository = classroom.server.add_repository(
        "cnn-ada", {".github/workflows/grade.yml": "on: push"}, at=START
    )
    commit = classroom.server.push(repository, {"cnn.ipynb": "{}"}, actor="ada", at=LATE, date=START + DAY)
    classroom.run(repository, commit, LATE + MINUTE)

    classroom.collect()

    record = classroom.record()
    assert record.submitted_at == LATE + 3 * MINUTE
    assert record.score is not None
    assert record.score.days_late == 2


def test_a_force_push_over_a_late_commit_keeps_both_attempts_with_their_own_times(
    classroom: Classroom,
) -> None:
    repository = classroom.assigned()
    start = str(repository.head())
    late = classroom.attempt(repository, LATE, 90)
    forged = classroom.push(repository, LATE + DAY, parent=start, force=True, date=START)
    classroom.run(repository, forged, LATE + DAY + MINUTE, 95)

    classroom.collect()

    first, second = classroom.records()
    assert (first.commit, first.status, first.submitted_at) == (late, "verified", LATE + 3 * MINUTE)
    assert (second.commit, second.status) == (forged, "verified")
    assert second.submitted_at == LATE + DAY + 3 * MINUTE
    assert flags(first) == f"force-pushed away by {forged[:7]}"
    assert flags(second) == f"force-pushed over {late[:7]}"


def test_a_commit_pushed_back_later_keeps_its_first_time(classroom: Classroom) -> None:
    repository = classroom.assigned()
    first = classroom.attempt(repository, ON_TIME, 90)
    classroom.attempt(repository, ON_TIME + DAY, 20)
    classroom.push(repository, LATE, commit=first, force=True)
    classroom.run(repository, first, LATE + MINUTE, 100)

    classroom.collect()

    record = classroom.records()[0]
    assert (record.commit, record.submitted_at, record.reported_points) == (first, ON_TIME + 3 * MINUTE, 90)


def test_a_re_run_moves_no_time_and_changes_no_points(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE, 55)
    for again in range(3):
        classroom.server.rerun(run, at=ON_TIME + again * DAY, artifacts=packed(100))

    classroom.collect()

    record = classroom.record()
    assert (record.status, record.reported_points, flags(record)) == ("verified", 55, "re-run 3 times")
    assert record.submitted_at == ON_TIME + 3 * MINUTE
    assert len(classroom.server.asked("/attempts/")) == 1


# What is deleted, renamed, expired


@pytest.mark.parametrize("what", ["run", "artifact", "commit", "repository"])
def test_what_was_collected_stays_whatever_is_deleted_later(classroom: Classroom, what: str) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE)
    classroom.collect()
    before = classroom.record()

    match what:
        case "run":
            classroom.server.delete_run(repository, run)
        case "artifact":
            run.artifacts.clear()
        case "commit":
            classroom.push(repository, LATE, force=True, parent=None)
            del repository.light_trees[commit]
        case "repository":
            classroom.server.delete(repository)
    summary = classroom.collect(everything=True)

    after = classroom.records()[0]
    assert after.model_copy(update={"flags": ()}) == before
    assert (classroom.directory / f"scores/cnn/ada/{commit}.json").exists()
    if what == "repository":
        gone = "dl-course/cnn-ada: is gone from the organisation; what was collected of it stays"
        assert summary.troubles == (gone,)


def test_a_run_deleted_before_it_was_collected_leaves_a_push_without_a_score_and_a_gap(
    classroom: Classroom,
) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE)
    classroom.attempt(repository, ON_TIME + DAY, 20)
    classroom.server.delete_run(repository, run)

    classroom.collect()

    deleted, later = classroom.records()
    assert (deleted.status, deleted.submitted_at, deleted.time_source) == ("missing", ON_TIME, "push")
    assert reasons(deleted) == "no run of the course's workflow graded this push"
    assert (flags(deleted), flags(later)) == ("run number gap: 1", "run number gap: 1")


def test_a_run_deleted_while_it_was_waited_for_is_waited_for_no_longer(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE, conclusion=None, artifacts={})
    classroom.collect()
    classroom.server.delete_run(repository, run)

    classroom.collect()

    assert reasons(classroom.record()) == "its run was deleted before it could be collected"


def test_runs_on_other_branches_leave_no_gap(classroom: Classroom) -> None:
    repository = classroom.assigned()
    classroom.run(repository, str(repository.head()), START)
    classroom.run(repository, str(repository.head()), START, branch="mine", event="workflow_dispatch")
    classroom.attempt(repository, ON_TIME)

    classroom.collect()

    assert classroom.record().flags == ()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("listed as expired", "the artifact score-cnn had expired before it was collected"),
        ("expires meanwhile", "the artifact score-cnn had expired before it was collected"),
        ("deleted meanwhile", "the artifact score-cnn was deleted before it was collected"),
        ("deleted before", "its run (success) left no artifact score-cnn"),
        ("too large", "the artifact score-cnn is larger than 1 MiB"),
    ],
)
def test_an_artifact_that_cannot_be_had_leaves_a_missing_score_with_the_reason(
    classroom: Classroom, how: str, reason: str
) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    run = classroom.run(repository, commit, ON_TIME + MINUTE)
    match how:
        case "listed as expired":
            run.artifacts[0].expired = True
        case "expires meanwhile":
            classroom.server.fail_next("/zip$", 410, message="Artifact has expired")
        case "deleted meanwhile":
            classroom.server.fail_next("/zip$", 404, message="Not Found")
        case "deleted before":
            run.artifacts.clear()
        case "too large":
            run.artifacts[0].content = bytes(4 * 2**20 + 1)

    summary = classroom.collect()

    record = classroom.record()
    assert (record.status, reasons(record)) == ("missing", reason)
    assert (record.submitted_at, record.time_source) == (ON_TIME + 3 * MINUTE, "pipeline_finish")
    assert summary.missing == 1
    assert summary.troubles == ()


def test_a_renamed_repository_stays_the_students_and_is_flagged(classroom: Classroom) -> None:
    repository = classroom.assigned()
    first = classroom.attempt(repository, ON_TIME, artifacts=packed(repository="dl-course/cnn-ada"))
    classroom.collect()

    classroom.server.rename(repository, "my-homework")
    classroom.attempt(repository, ON_TIME + DAY, artifacts=packed(70, repository="dl-course/my-homework"))
    classroom.collect()

    old, new = classroom.records()
    assert (old.commit, old.status, new.status) == (first, "verified", "verified")
    assert old.repository == new.repository == "dl-course/my-homework"
    assert flags(new) == "the repository was renamed: dl-course/cnn-ada → dl-course/my-homework"


def test_a_renamed_account_stays_the_same_student(classroom: Classroom) -> None:
    repository = classroom.assigned()
    classroom.attempt(repository, ON_TIME)
    classroom.collect()
    ada = classroom.server.user("ada")
    classroom.server.rename_user(ada, "countess")
    classroom.server.push(repository, actor=ada, at=ON_TIME + DAY, trees={".github": RELEASED})
    classroom.collect()
    as_before = {record.student for record in classroom.records()}

    classroom.roster = Roster(Path("roster.csv"), (Person("countess", github_id=ada.id), Person("grace")))
    classroom.collect()

    assert as_before == {"ada"}
    assert {(record.student, record.members) for record in classroom.records()} == {
        ("countess", ("countess",))
    }
    assert [path.name for path in (classroom.directory / "scores/cnn").iterdir() if any(path.iterdir())] == [
        "countess"
    ]


# Whose a repository is


def test_a_repository_known_by_its_name_only_counts_and_is_flagged(classroom: Classroom) -> None:
    classroom.attempt(classroom.repository("CNN-Ada"), ON_TIME)

    classroom.collect()

    record = classroom.record()
    assert (record.student, record.status) == ("ada", "verified")
    assert flags(record) == "the repository is known by its name only"


def test_a_repository_with_another_students_name_never_replaces_the_assigned_one(
    classroom: Classroom,
) -> None:
    assigned = classroom.assigned()
    classroom.server.rename(assigned, "cnn-ada-lovelace")
    forged = classroom.repository("cnn-ada")
    classroom.attempt(forged, ON_TIME, 0)
    commit = classroom.attempt(assigned, ON_TIME, 90)

    summary = classroom.collect()

    assert (classroom.record().commit, classroom.record().repository_id) == (commit, assigned.id)
    (trouble,) = summary.troubles
    assert trouble.startswith("dl-course/cnn-ada: has the name of ada's for cnn, who has another")
    assert not classroom.server.asked("/repos/dl-course/cnn-ada/")


def test_a_repository_assigned_later_takes_the_place_of_one_found_by_its_name(classroom: Classroom) -> None:
    forged = classroom.repository("cnn-ada")
    classroom.attempt(forged, ON_TIME, 0)
    classroom.collect()
    classroom.server.rename(forged, "something-else")
    commit = classroom.attempt(classroom.assigned(), ON_TIME, 90)

    classroom.collect()

    assert classroom.record().commit == commit
    assert [path.stem for path in classroom.directory.glob("scores/cnn/*/*.json")] == [commit]


def test_repositories_of_nobody_on_the_roster_are_not_looked_at(classroom: Classroom) -> None:
    for name in ("cnn-mallory", "cnn", "cnn-starter", "bundle", "other-ada"):
        classroom.repository(name)

    summary = classroom.collect()

    assert (summary.repositories, summary.asked, classroom.store.repositories()) == (0, 0, [])


# What central mode adds


def test_a_central_score_outranks_the_reported_one_and_a_difference_is_flagged(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.attempt(repository, LATE, 80)
    classroom.collect()
    graded = {"commit": commit, "score": json.loads(score(40).model_dump_json())}
    classroom.store.append("cnn", repository.id, "central", commit, graded)

    summary = classroom.collect()

    record = classroom.record()
    assert (record.status, record.origin, record.reported_points, record.central_points) == (
        "verified",
        "central",
        80,
        40,
    )
    assert flags(record) == "reported 80 points, central 40"
    assert summary.mismatches == (
        f"cnn, ada, {commit[:7]}: the run reported 80 points, graded here it has 40",
    )
    kept = load_score(classroom.directory / f"scores/cnn/ada/{commit}.json")
    assert (kept.points, kept.submitted_at, kept.final_points) == (40, LATE + 3 * MINUTE, 32)
    assert summary.asked == 0


def test_a_central_score_stands_for_a_run_that_was_not_believed(classroom: Classroom) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME, tree=EDITED)
    classroom.run(repository, commit, ON_TIME + MINUTE, 100)
    graded = {"commit": commit, "score": json.loads(score(10).model_dump_json())}
    classroom.store.append("cnn", repository.id, "central", commit, graded)

    classroom.collect()

    record = classroom.record()
    assert (record.status, record.reasons, record.score and record.score.points) == ("verified", (), 10)
    assert "the run's own score was not taken: the commit's .github is none" in flags(record)


# Asking for little


def test_with_nothing_new_one_listing_is_all_and_nothing_changes(classroom: Classroom) -> None:
    for student in classroom.people:
        for homework in classroom.homeworks:
            repository = classroom.assigned(homework, student)
            for day in range(3):
                classroom.attempt(repository, ON_TIME + day * DAY, 50 + day)
    classroom.collect()
    before = classroom.files()
    classroom.server.requests.clear()

    summary = classroom.collect()

    assert [request.path for request in classroom.server.requests] == [LISTING]
    assert (summary.asked, summary.changed, summary.verified) == (0, 0, 12)
    assert classroom.files() == before


def test_asking_about_everything_changes_nothing_where_nothing_is_new(classroom: Classroom) -> None:
    repository = classroom.assigned()
    classroom.attempt(repository, ON_TIME)
    classroom.push(repository, ON_TIME + DAY)
    classroom.collect()
    before = classroom.files()

    summary = classroom.collect(everything=True)

    assert summary.asked == 1
    assert classroom.files() == before


def test_a_push_costs_its_own_requests_only(classroom: Classroom) -> None:
    repository = classroom.assigned()
    classroom.assigned("nlp")
    for day in range(3):
        classroom.attempt(repository, START + day * DAY)
    classroom.collect()
    classroom.attempt(repository, ON_TIME)
    classroom.server.requests.clear()

    summary = classroom.collect()

    asked = [re.sub(r"[0-9a-f]{40,}|\d{4,}", "…", request.path) for request in classroom.server.requests]
    assert summary.asked == 1
    assert asked == [
        LISTING,
        "/repos/dl-course/cnn-ada/activity?per_page=100&ref=refs%2Fheads%2Fmain",
        "/repos/dl-course/cnn-ada/actions/runs?per_page=100",
        "/repos/dl-course/cnn-ada/git/trees/…",
        "/repos/dl-course/cnn-ada/actions/runs/…/attempts/1/jobs?per_page=100",
        "/repos/dl-course/cnn-ada/actions/runs/…/artifacts?name=score-cnn&per_page=100",
        "/repos/dl-course/cnn-ada/actions/artifacts/…/zip",
        "/storage/…?sig=1",
    ]


def test_many_pushes_and_runs_are_read_back_to_what_is_known(classroom: Classroom) -> None:
    repository = classroom.assigned()
    for number in range(120):
        commit = classroom.push(repository, START + number * MINUTE)
        classroom.run(repository, commit, START + number * MINUTE, branch="mine", artifacts={})
    classroom.collect()
    cold = len(classroom.server.asked(r"/activity|actions/runs\?"))
    classroom.attempt(repository, ON_TIME)
    classroom.server.requests.clear()

    classroom.collect()

    entries = classroom.store.journal("cnn", repository.id)
    assert len([entry for entry in entries if entry.kind == "activity"]) == 122
    assert len([entry for entry in entries if entry.kind == "run"]) == 121
    assert (cold, len(classroom.server.asked(r"/activity|actions/runs\?"))) == (4, 2)
    assert classroom.records()[-1].status == "verified"


def test_a_push_of_a_moment_ago_is_asked_about_again(classroom: Classroom) -> None:
    repository = classroom.assigned()
    classroom.attempt(repository, NOW - 5 * MINUTE)
    asked = [classroom.collect().asked for _ in range(2)]

    classroom.now = NOW + DAY
    asked += [classroom.collect().asked for _ in range(2)]

    assert asked == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("conclusion", "days"), [("cancelled", 31), ("failure", 31), (None, 31), ("none", 1)]
)
def test_a_score_that_cannot_come_any_more_is_not_waited_for(
    classroom: Classroom, conclusion: str | None, days: int
) -> None:
    repository = classroom.assigned()
    commit = classroom.push(repository, ON_TIME)
    if conclusion != "none":
        classroom.run(repository, commit, ON_TIME, conclusion=conclusion, artifacts={})
    asked = []
    for moment in (ON_TIME + DAY / 2, ON_TIME + DAY * (days - 0.1), ON_TIME + DAY * (days + 0.1)):
        classroom.now = moment
        asked.append(classroom.collect().asked)

    assert asked == [1, 1, 0]


# Trouble


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (lambda server: server.fail_next("cnn-ada/activity", 404), "404"),
        (
            lambda server: server.fail_next("cnn-ada/actions/runs", 403, message="Actions is disabled"),
            "disabled",
        ),
        (lambda server: server.fail_next("cnn-ada/actions/runs", 502, times=5), "502"),
        (lambda server: server.fail_next("cnn-ada/activity", "malformed", times=5), "cnn-ada"),
        (lambda server: server.fail_next("cnn-ada/.*/zip", "drop", times=5), "cnn-ada"),
    ],
    ids=["gone", "no Actions", "down", "no JSON", "no zip"],
)
def test_one_repositorys_trouble_is_told_and_stops_no_other(
    classroom: Classroom, trouble: Callable[[GitHubServer], None], words: str
) -> None:
    classroom.attempt(classroom.assigned(student="ada"), ON_TIME)
    classroom.attempt(classroom.assigned(student="grace"), ON_TIME)
    trouble(classroom.server)

    summary = classroom.collect()
    classroom.server._plans.clear()
    mended = classroom.collect()

    (told,) = summary.troubles
    assert told.startswith("dl-course/cnn-ada: not collected to the end: ")
    assert words in told
    assert "\n" not in told
    assert classroom.told == [told]
    assert {record.student for record in classroom.records() if record.status == "verified"} == {
        "ada",
        "grace",
    }
    assert (mended.asked, mended.verified, mended.troubles) == (1, 2, ())


def test_an_answer_of_another_shape_is_told(classroom: Classroom) -> None:
    repository = classroom.assigned()
    classroom.attempt(repository, ON_TIME)
    repository.activity[-1].activity_type = "push"
    repository.activity[-1].after = "no commit"
    classroom.server.drift.clear()

    summary = classroom.collect()
    classroom.server.drift.clear()

    assert "GitHub's answer is no activity (after:" in summary.troubles[0]


def test_an_archived_repository_is_collected(classroom: Classroom) -> None:
    repository = classroom.assigned(student="grace")
    classroom.attempt(repository, ON_TIME)
    repository.archived = True

    summary = classroom.collect()

    assert (summary.verified, summary.troubles) == (1, ())


def test_an_expired_token_ends_the_asking_and_what_was_collected_is_derived(classroom: Classroom) -> None:
    classroom.people = ("ada", "grace")
    classroom.attempt(classroom.assigned(student="ada"), ON_TIME)
    classroom.attempt(classroom.assigned(student="grace"), ON_TIME)
    classroom.server.fail_next("cnn-grace", 401, message="Bad credentials")

    with pytest.raises(UsageError, match="token"):
        classroom.collect()

    assert [record.student for record in classroom.records()] == ["ada"]


def test_a_github_that_is_down_is_not_asked_about_every_repository(classroom: Classroom) -> None:
    for student in classroom.people:
        for homework in classroom.homeworks:
            classroom.attempt(classroom.assigned(homework, student), ON_TIME)
    classroom.server.fail_next("/repos/", 503, times=1000)

    with pytest.raises(Unavailable):
        classroom.collect()

    assert len(classroom.told) == 3


def test_a_course_that_is_not_on_github_is_the_users_to_mend(classroom: Classroom) -> None:
    classroom.course = COURSE.model_copy(update={"github": None})

    with pytest.raises(UsageError, match="github: missing"):
        classroom.collect()


def test_a_damaged_artifact_in_the_store_is_told_and_is_no_score(classroom: Classroom) -> None:
    classroom.attempt(classroom.assigned(), ON_TIME)
    classroom.collect()
    (kept,) = (classroom.directory / "artifacts").iterdir()
    kept.write_bytes(b"something else")

    summary = classroom.collect()

    assert "is damaged; restore it" in summary.troubles[0]
    assert classroom.record().status == "unverified"


# Whatever happens to the process


def test_a_collect_killed_anywhere_and_run_again_gives_what_an_undisturbed_one_gives(
    classroom: Classroom, place: Path
) -> None:
    an_eventful_course(classroom)
    seed = files_in(classroom.directory)
    people = {login: classroom.server.users[login].id for login in classroom.people}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["grading.github.collect", "grading.release", "httpx"])

    def collect_in(directory: Path, kill_at: int | None, counted: Any = None) -> int | None:
        how = (classroom.server.api, classroom.server.token, directory, people, kill_at, counted)
        process = context.Process(target=collect_and_count, args=how)
        process.start()
        process.join()
        return process.exitcode

    def fresh(name: str) -> Path:
        for path, content in seed.items():
            (place / name / path).parent.mkdir(parents=True, exist_ok=True)
            (place / name / path).write_bytes(content)
        return place / name

    touches = context.Value("i", 0)
    undisturbed = fresh("undisturbed")
    assert collect_in(undisturbed, None, touches) == 0
    chance = random.Random(13)

    killed = 0
    for number in range(4):
        directory = fresh(f"killed-{number}")
        for _ in range(8):
            killed += collect_in(directory, chance.randrange(1, touches.value // (4 + number))) == -9
        assert collect_in(directory, None) == 0
        assert files_in(directory) == files_in(undisturbed), number

    assert killed >= 30
    assert len(list(undisturbed.glob("records/*/*/*.json"))) == 6


def an_eventful_course(classroom: Classroom) -> None:
    repository = classroom.assigned()
    for day in range(2):
        classroom.attempt(repository, ON_TIME + day * DAY)
    commit = classroom.push(repository, LATE, tree=EDITED)
    classroom.run(repository, commit, LATE + MINUTE, 100)
    found = classroom.repository("cnn-grace")
    commit = classroom.push(found, ON_TIME)
    ours = packed(tasks=[], reason="no sandbox")
    run = classroom.run(found, commit, ON_TIME + MINUTE, conclusion="failure", artifacts=ours)
    classroom.server.rerun(run, at=LATE, artifacts=packed(66))
    renamed = classroom.assigned("nlp", "grace")
    classroom.attempt(renamed, ON_TIME)
    classroom.server.rename(renamed, "mine")
    classroom.push(classroom.assigned("nlp", "ada"), ON_TIME)


def test_one_collect_at_a_time(classroom: Classroom) -> None:
    with Store(classroom.directory).writing(), pytest.raises(UsageError, match="another collect runs"):
        classroom.collect()
