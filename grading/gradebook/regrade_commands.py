"""`grading regrade`: asks for what it needs, and says who changes and why before anything is recorded.

What it does stands in `regrade`; nothing here decides.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import tzinfo
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grading.errors import UsageError
from grading.gradebook.commands import plain, tell, write
from grading.gradebook.words import how_many, moment
from grading.options import (
    HOMEWORKS,
    HomeworksOption,
    JobsOption,
    RosterOption,
    course_and_people,
    number_of_jobs,
)

if TYPE_CHECKING:
    from grading.course import Course
    from grading.gradebook.attempts import Attempt
    from grading.gradebook.regrade import Outcome, Recorded, Regraded, TaskChange, Work
    from grading.gradebook.rules import Rules
    from grading.gradebook.table import HomeworkGrade
    from grading.homework import Homework
    from grading.roster import Roster
    from grading.teams import Teams


def add_commands(app: typer.Typer) -> None:
    app.command("regrade")(regrade_command)


def regrade_command(
    name: Annotated[str, typer.Argument(metavar="HOMEWORK", help="The homework whose tests changed.")],
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES", help="A directory of score files, or the store of `grading collect`."
        ),
    ],
    submissions: Annotated[
        Path | None,
        typer.Option("--submissions", metavar="DIR", help="Where the notebooks are; the store by default."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option("--work", metavar="DIR", help="Where results wait; regrade-HOMEWORK beside SCORES."),
    ] = None,
    save: Annotated[
        bool, typer.Option("--record", help="Record what is listed; without it, only list.")
    ] = False,
    students: Annotated[
        list[str] | None,
        typer.Option("--student", metavar="LOGIN", help="Only this one; more than once for several."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was graded with the present tests already.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    jobs: JobsOption = None,
    roster: RosterOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Grade kept submissions again with the present tests.

    Lists who changes and why; nothing is recorded without --record. Times and commits stay. It may be stopped at any
    moment and run again.
    """
    from grading.gradebook import regrade
    from grading.gradebook.rules import read_rules
    from grading.report.terminal import bar, waiting

    count = number_of_jobs(jobs)
    scores = regrade.store_of(scores) or scores
    course, people, teams = course_and_people(homeworks, roster)
    homework = course.load_homework(name)
    rules = read_rules(course, people, teams)
    with waiting("reading scores"):
        recorded, skipped = regrade.recorded(scores, course, name)
    tell(skipped)
    recorded = chosen(recorded, scores, teams, name, students or [])
    place = regrade.work_in(work or scores.resolve().parent / f"regrade-{name}", scores, course, homework)
    errors = grade_what_is_missing(
        recorded, course, homework, place, submissions or kept_in(scores), count, everything=everything
    )
    results = [regrade.regraded(one, course, place, errors, everything=everything) for one in recorded]
    standing = before_and_after(results, course, people, teams, rules, name)
    if not as_json:
        show(results, standing, homework, course.zone)
    if save:
        with bar("recording") as progress:
            regrade.record(results, scores, course, people, teams, progress.reach)
        place.clean([one.recorded.key for one in results if one.after is not None])
    if as_json:
        print(json.dumps(in_json(results, standing, homework, save), indent=2))
    else:
        print(what_is_recorded(sum(one.is_news for one in results), save))
    if any(one.outcome == "error" for one in results):
        raise typer.Exit(3)


def chosen(
    recorded: Sequence[Recorded], scores: Path, teams: Teams, homework: str, students: Sequence[str]
) -> list[Recorded]:
    """The attempts of these students, or all; by student and time. Raises UsageError where there is none."""
    from grading.gradebook.regrade import holders

    if not recorded:
        raise UsageError(f"{scores}: no scores of {homework} there; give the directory that has them")
    found = list(recorded)
    if students:
        of_each = {login: holders(teams, login, homework) for login in students}
        for login, names in of_each.items():
            if not any(one.names & names for one in recorded):
                raise UsageError(
                    f"--student {login}: has no score of {homework} in {scores}; check the spelling"
                )
        wanted = frozenset[str]().union(*of_each.values())
        found = [one for one in recorded if one.names & wanted]
    return sorted(
        found, key=lambda one: (one.score.student or "", str(one.score.submitted_at), str(one.path))
    )


def kept_in(scores: Path) -> Path | None:
    """A store's own submissions."""
    from grading.submissions import FOLDER

    return scores if (scores / FOLDER).is_dir() else None


def grade_what_is_missing(
    recorded: Sequence[Recorded],
    course: Course,
    homework: Homework,
    work: Work,
    submissions: Path | None,
    jobs: int,
    *,
    everything: bool,
) -> dict[str, str]:
    """Into the work directory; by key, why some could not be judged."""
    from grading.gradebook import regrade
    from grading.report.terminal import bar

    missing = [
        one
        for one in recorded
        if not one.doubt and work.result(one.key) is None and (everything or not work.is_present(one.score))
    ]
    keys = {one.key for one in missing if one.key is not None}
    if not keys:
        return {}
    if submissions is None:
        raise UsageError(
            f"--submissions: {how_many(len(missing), 'attempt')} to grade again; give the directory with the "
            f"notebooks, or get those of a store with `grading fetch {homework.name} --all`"
        )
    commits = {one.score.commit for one in missing}
    with bar("looking for submissions") as progress:
        found, unreadable = regrade.find(keys, commits, submissions, homework, progress.reach)
    tell(unreadable)
    with bar("grading") as progress:
        return regrade.grade_again(homework, course, found, work, jobs=jobs, progress=progress.reach)


# What is said


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts for a student before and after."""

    student: str
    before: HomeworkGrade
    after: HomeworkGrade

    @property
    def changes(self) -> bool:
        was, now = self.before, self.after
        return (was.state, was.points, was.course_points) != (now.state, now.points, now.course_points)


def before_and_after(
    results: Sequence[Regraded], course: Course, people: Roster, teams: Teams, rules: Rules, homework: str
) -> list[Standing]:
    """Of everyone who has one of these attempts."""
    from grading.gradebook.compute import compute

    def grades(attempts: Iterable[Attempt]) -> dict[str, HomeworkGrade]:
        students = compute(course, people, teams, rules, attempts).students
        return {
            student.person.username: grade
            for student in students
            for grade in student.homeworks
            if grade.homework == homework and grade.attempts
        }

    before = grades(attempt for one in results for attempt in one.recorded.attempts())
    after = grades(attempt for one in results for attempt in one.recorded.attempts(one.after))
    return [Standing(student, grade, after[student]) for student, grade in before.items()]


def show(results: Sequence[Regraded], standing: Sequence[Standing], homework: Homework, zone: tzinfo) -> None:
    from grading.gradebook.terminal import print_table, table_of

    changed = [one for one in results if one.outcome == "changed"]
    if changed:
        write([f"{homework.name}: who changes, and why"])
    for one in changed:
        write(lines_of(one, zone))
    write(tests_that_came_and_went(results))
    moved = [one for one in standing if one.changes]
    if moved:
        rows = [
            (
                each.student,
                arrow(points_of(each.before), points_of(each.after)),
                arrow(two(each.before.course_points), two(each.after.course_points)),
            )
            for each in moved
        ]
        write(["", "what counts"])
        print_table(table_of(("student", "points", "course points"), rows))
        write([""])
    write(f"{name_of(one.recorded, zone)}: {one.why}" for one in results if one.why)
    write([count_line(results, len(moved))])


def lines_of(one: Regraded, zone: tzinfo) -> Iterator[str]:
    """An attempt that changes: its points before and after, and below them why."""
    from grading.report.words import error_reason

    before, after = one.recorded.score, one.after
    assert after is not None
    points = arrow(number(before.points), number(after.points))
    if (before.points, after.points) != (before.final_points, after.final_points):
        points += f", after the penalty {arrow(number(before.final_points), number(after.final_points))}"
    yield f"{name_of(one.recorded, zone)}: {points}"
    if before.state == "error":
        yield f"  was not judged before: {error_reason(before)}"
        return
    for task in one.tasks:
        if task.matters:
            yield from (f"  {line}" for line in told(task))


def told(task: TaskChange) -> Iterator[str]:
    """A task's points before and after, and below them each test that says something else now."""
    was, now = (number(points) for points in (task.before, task.after))
    line = f"{task.task}: {was} → {now}" if was != now else f"{task.task}: {now}"
    if task.max_before != task.max_after:
        line += f" (of {number(task.max_before)} → {number(task.max_after)})"
    yield line
    for test in task.tests:
        if test.before is None:
            change = f"new, {test.after}"
        elif test.after is None:
            change = f"gone, was {test.before}"
        else:
            change = f"{test.before} → {test.after}"
        yield f"  {test.name}: {change}{f': {test.says}' if test.says else ''}"


def tests_that_came_and_went(results: Sequence[Regraded]) -> Iterator[str]:
    came, went = came_and_went(results)
    if came:
        yield f"new tests: {', '.join(came)}"
    if went:
        yield f"tests that are gone: {', '.join(went)}"


def came_and_went(results: Sequence[Regraded]) -> tuple[list[str], list[str]]:
    """The tests that some attempt was not graded with, or no longer is."""
    judged = [one for one in results if one.recorded.score.state == "graded"]
    changes = [(task.task, test) for one in judged for task in one.tasks for test in task.tests]
    came = dict.fromkeys(f"{task}/{test.name}" for task, test in changes if test.before is None)
    went = dict.fromkeys(f"{task}/{test.name}" for task, test in changes if test.after is None)
    return list(came), list(went)


def count_line(results: Sequence[Regraded], moved: int) -> str:
    counts = Counter(one.outcome for one in results)
    words: dict[Outcome, str] = {
        "changed": "changed",
        "same": "as before",
        "up to date": "up to date",
        "not stored": "not stored",
        "not verified": "not verified",
        "error": "not judged, by our fault",
    }
    parts = [f"{counts[outcome]} {said}" for outcome, said in words.items() if counts[outcome]]
    return f"{how_many(len(results), 'attempt')}: {', '.join(parts)}; {how_many(moved, 'grade')} changed"


def what_is_recorded(news: int, saved: bool) -> str:
    if saved:
        return f"{how_many(news, 'score')} recorded."
    if not news:
        return "There is nothing to record."
    return f"Nothing is recorded yet: the same with --record records {how_many(news, 'score')}."


def in_json(
    results: Sequence[Regraded], standing: Sequence[Standing], homework: Homework, recorded: bool
) -> dict[str, Any]:
    came, went = came_and_went(results)
    return {
        "homework": homework.name,
        "recorded": recorded,
        "counts": dict(Counter(one.outcome for one in results)),
        "new_tests": came,
        "gone_tests": went,
        "attempts": [attempt_in_json(one) for one in results],
        "students": [
            {
                "student": one.student,
                "changes": one.changes,
                "before": {"state": one.before.state, "course_points": as_float(one.before.course_points)},
                "after": {"state": one.after.state, "course_points": as_float(one.after.course_points)},
            }
            for one in standing
        ],
    }


def attempt_in_json(one: Regraded) -> dict[str, Any]:
    score = one.recorded.score
    said: dict[str, Any] = {
        "student": score.student,
        "repository": score.repository,
        "commit": score.commit,
        "submitted_at": score.submitted_at and score.submitted_at.isoformat(),
        "path": str(one.recorded.path),
        "outcome": one.outcome,
        "why": one.why,
        "to_record": one.is_news,
        "points": {"before": as_float(score.points), "after": None},
        "final_points": {"before": as_float(score.final_points), "after": None},
        "tasks": json.loads(json.dumps([asdict(task) for task in one.tasks], default=plain)),
    }
    if one.after is not None:
        said["points"]["after"] = as_float(one.after.points)
        said["final_points"]["after"] = as_float(one.after.final_points)
    return said


def name_of(one: Recorded, zone: tzinfo) -> str:
    """Whose an attempt is, when it was handed in, and as which commit."""
    score = one.score
    handed_in = moment(score.submitted_at, zone) if score.submitted_at is not None else ""
    return ", ".join(part for part in (score.student or "?", handed_in, (score.commit or "")[:7]) if part)


def points_of(grade: HomeworkGrade) -> str:
    return grade.state if grade.points is None else two(grade.points)


def two(points: Fraction | None) -> str:
    from grading.export.cells import maybe

    return maybe(points) or "–"


def number(points: Fraction | None) -> str:
    from grading.report.words import number

    return number(points)


def arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def as_float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
