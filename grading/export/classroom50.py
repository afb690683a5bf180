"""A score as Classroom 50's result.json ("classroom50/result/v1"): one test a task.

Points are integers there, so all of them are written as hundredths of a point: 72.5 of 100 is 7250 of 10000. Each
test says so ("unit") and has the points in words, for the rest of the file has no room for it.

Computes, and writes nothing. A score in error must become no file at all: Classroom 50 has no points but numbers, and
where an autograder fails without a result, its runner records an error of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from fractions import Fraction
from typing import Literal
from urllib.parse import quote

from grading.errors import UsageError
from grading.export.task_results import TaskResult, check_counts, task_results
from grading.homework import Homework
from grading.report.words import inert, lateness, number
from grading.score import Score

SCHEMA = "classroom50/result/v1"
UNIT = "hundredths of a point"
AssignmentType = Literal["individual", "group", "team"]


def result(
    score: Score,
    course_name: str | None,
    login: str | None,
    github_id: int | None,
    *,
    homework: Homework,
    assignment_type: AssignmentType = "individual",
    server: str = "https://github.com",
    environment: Mapping[str, str] = {},
) -> dict[str, object]:
    """The object to write as result.json.

    `course_name`: the classroom's short name, as in its repositories' names; `login` and `github_id`: who pushed;
    `environment`: what Classroom 50's runner tells an autograder (CLASSROOM, ASSIGNMENT, ASSIGNMENT_TYPE, OWNER,
    SUBMISSION_TAG, COMMIT_URL, RELEASE_URL, REVIEW_URL), which outranks all else, since a result that names another
    identity than its repository is thrown away there. An environment without a submission's tag is not that
    runner's, and says nothing.

    `score` and each test's score are after the penalty for lateness, and sum as the format asks; `passed` is not
    touched by it. Raises GradingError for a score in error, and UsageError for one that does not count, is of
    another homework, or does not say whose it is, of which commit and when.
    """
    check_counts(score, homework)
    tasks = task_results(score, homework, score.final_points or Fraction(0))
    told = environment if environment.get("SUBMISSION_TAG", "").startswith("submit/") else {}
    classroom = told.get("CLASSROOM") or course_name
    owner = told.get("OWNER") or told.get("USERNAME") or score.student or login
    place = f"{server}/{quote(score.repository)}" if score.repository else None
    moment = score.submitted_at.astimezone(UTC) if score.submitted_at else None
    tag = told.get("SUBMISSION_TAG")
    if not tag and moment and score.commit:
        tag = f"submit/{moment:%Y-%m-%dT%H-%M-%SZ}-{score.commit[:7]}"
    commit = told.get("COMMIT_URL")
    if not commit and place and score.commit:
        commit = f"{place}/commit/{quote(score.commit, safe='')}"
    release = told.get("RELEASE_URL")
    if not release and place and tag:
        release = f"{place}/releases/tag/{quote(tag, safe='')}"
    known = {
        "the classroom": classroom,
        "the student": owner,
        "the time": moment,
        "the commit": score.commit or (told.get("SUBMISSION_TAG") and commit),
        "the repository": score.repository or (commit and release),
    }
    if missing := [name for name, value in known.items() if not value]:
        raise UsageError(
            f"{inert(score.student or 'a student')}, {score.homework}: Classroom 50 asks for {', '.join(missing)};"
            " name the classroom, and grade the checkout with --repo and --event (or --student and --submitted-at)"
        )
    written: dict[str, object] = {
        "schema": SCHEMA,
        "classroom": classroom,
        "assignment": told.get("ASSIGNMENT") or score.homework,
        "assignment_type": told.get("ASSIGNMENT_TYPE") or assignment_type,
        "owner": owner,
        "submission": tag,
        "commit": commit,
        "release": release,
        "review": told.get("REVIEW_URL") or commit,
        "datetime": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "score": sum(task.points for task in tasks),
        "max-score": sum(task.max_points for task in tasks),
        "tests": [_test(task, score) for task in tasks],
    }
    if login:
        written["submitted_by"] = {"username": login, "id": github_id}
    return written


def _test(task: TaskResult, score: Score) -> dict[str, object]:
    """The first four are the format's; the rest is kept there as it is."""
    scored = next(found for found in score.tasks if found.id == task.id)
    said = f"{number(scored.points)} of {number(scored.max_points)} points"
    if score.penalty:
        said += f" ({lateness(score)}: {number(Fraction(task.points, 100))} points)"
    return {
        "test-name": task.title,
        "passed": task.passed,
        "score": task.points,
        "max-score": task.max_points,
        "unit": UNIT,
        "points": said,
        "output": task.feedback,
    }
