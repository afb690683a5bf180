"""A score as Gradescope's results.json: one test case a task, all of it visible to the student, all of it text.

Computes, and writes nothing. A score in error must become no file at all: without one, Gradescope says that the
autograder failed and an instructor can run it again, while any number would count.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from fractions import Fraction

from grading.export.task_results import TaskResult, check_counts, plain, task_results
from grading.homework import Homework
from grading.report.feedback import about_time
from grading.report.words import headline
from grading.score import Score

EXTRA = {
    *(
        "homework",
        "student",
        "repository",
        "commit",
        "submitted_at",
        "time_source",
        "provisional",
        "deadline",
    ),
    *("days_late", "penalty", "points", "max_points", "final_points", "confined", "digests"),
}


def results(score: Score, homework: Homework, *, zone: tzinfo = UTC) -> dict[str, object]:
    """The object to write as results.json; `zone`: the course's, for moments.

    `score` is what counts, after the penalty for lateness: Gradescope takes it instead of the sum of the test
    cases, which show each task's points before it. Points have two decimals, and those of the test cases sum to the
    points before the penalty. Raises GradingError for a score in error, and UsageError for one that does not count
    or is of another homework.
    """
    check_counts(score, homework)
    tasks = task_results(score, homework, score.points or Fraction(0))
    return {
        "score": _points(int((score.final_points or Fraction(0)) * 100 + Fraction(1, 2))),
        "execution_time": round(sum(test.seconds for task in score.tasks for test in task.tests), 3),
        "output": plain("\n".join([headline(score), *about_time(score, zone)])),
        "output_format": "text",  # left out, it would be read as HTML
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test_case(number, task) for number, task in enumerate(tasks, 1)],
        "extra_data": score.model_dump(mode="json", include=EXTRA),
    }


def _test_case(number: int, task: TaskResult) -> dict[str, object]:
    return {
        "name": task.title,
        "name_format": "text",
        "number": str(number),
        "score": _points(task.points),
        "max_score": _points(task.max_points),
        "status": "passed" if task.passed else "failed",
        "output": task.feedback,
        "output_format": "text",
        "visibility": "visible",
        "extra_data": {"task": task.id},
    }


def _points(hundredths: int) -> float:
    return hundredths / 100
