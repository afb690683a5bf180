"""`grading explain`: everything that is known of one student's work, for whoever asks why a grade is what it is.

Reads and tells, and decides nothing: which attempt counts and what follows from it is `compute`'s. What a student chose
(names, messages) is shown as text.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, tzinfo
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.errors import UsageError
from grading.gradebook.commands import plain, tell, write
from grading.gradebook.words import how_many, moment
from grading.options import HOMEWORKS, HomeworksOption, RosterOption, course_and_people

if TYPE_CHECKING:
    from grading.course import Course
    from grading.gradebook.attempts import Attempt
    from grading.gradebook.rules import Rules
    from grading.gradebook.table import HomeworkGrade, StudentGrade
    from grading.roster import Roster
    from grading.score import Score, TaskScore
    from grading.teams import Teams

SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Earlier:
    """Another thing that was recorded of an attempt, and what stands in its place now."""

    points: Fraction | None
    path: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """An attempt, and what is known beside its score."""

    attempt: Attempt
    doubt: str = ""
    flags: tuple[str, ...] = ()
    earlier: tuple[Earlier, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An attempt as it is told: `penalty` and `points` by today's rules, `why` it counts or does not."""

    number: int
    handed_in_by: str | None
    submitted_at: datetime | None
    commit: str | None
    repository: str | None
    path: str
    raw: Fraction | None
    max_points: Fraction
    days_late: int
    penalty: Fraction | None
    points: Fraction | None
    verified: bool
    counts: bool
    why: str
    flags: tuple[str, ...]
    earlier: tuple[Earlier, ...]


@dataclass(frozen=True, slots=True)
class TaskTold:
    """A task of the attempt that counts, and each property that does not hold with what was found out about it."""

    task: str
    title: str
    points: Fraction | None
    max_points: Fraction
    failed: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class HomeworkTold:
    grade: HomeworkGrade
    attempts: tuple[Told, ...]
    tasks: tuple[TaskTold, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    student: StudentGrade
    homeworks: tuple[HomeworkTold, ...]


def add_commands(app: typer.Typer) -> None:
    app.command("explain")(explain_command)


def explain_command(
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES", help="The gradebook, a directory of scores, the store, or one score."
        ),
    ],
    login: Annotated[
        str | None,
        typer.Argument(metavar="LOGIN", help="Whose; one score says it itself.", show_default=False),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--homework", metavar="NAME", help="Only this one; all by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    roster: RosterOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Say all that is known of a student's work, for an appeal.

    Every attempt, which one counts and why, what it lost and for what, what was recorded before, and the way from there
    to the total.
    """
    from grading.gradebook.rules import read_rules
    from grading.report.terminal import waiting

    if is_score(scores):
        score = one_score(scores, login, only)
        if as_json:
            print(score.model_dump_json(indent=2))
        else:
            write(lines_of_score(score))
        return
    if login is None:
        raise UsageError(f"{scores}: whose work? give a login after it")
    course, people, teams = course_and_people(homeworks, roster)
    names = [course.homework(only).name] if only else [homework.name for homework in course.homeworks]
    person = people.by_login(login)
    if person is None or person not in people.students:
        raise UsageError(f"{login}: is no student in {people.path}; give a login as it stands there")
    rules = read_rules(course, people, teams)
    with waiting("reading scores"):
        known = known_of(scores, course, teams, person.username)
    explained = explain(course, people, teams, rules, person.username, known, names)
    if as_json:
        said = asdict(explained)
        del said["student"]["homeworks"]  # they stand under `homeworks`, with their attempts
        print(json.dumps(said, default=plain, indent=2))
    else:
        show(explained, course.zone)


# What is known


def known_of(scores: Path, course: Course, teams: Teams, login: str) -> list[Known]:
    """A student's attempts at all homeworks, with a team's: each once, as their own where it is recorded for each
    member. Raises UsageError."""
    found: dict[Hashable, Known] = {}
    for one in all_of(scores, course, teams, login):
        identity = one.attempt.identity
        before = found.setdefault(identity, one)
        if one.attempt.closeness(login) < before.attempt.closeness(login):
            found[identity] = one
    return [*found.values()]


def all_of(scores: Path, course: Course, teams: Teams, login: str) -> Iterator[Known]:
    from grading.gradebook.regrade import holders, store_of

    names = {homework.name: holders(teams, login, homework.name) for homework in course.homeworks}

    def theirs(score: Score) -> bool:
        return (score.student or "").casefold() in names.get(score.homework, ())

    if scores.is_file():
        yield from from_gradebook(scores, frozenset[str]().union(*names.values()), theirs)
    elif (store := store_of(scores)) is not None:
        yield from from_store(store, theirs)
    else:
        yield from from_files(scores, course, theirs)


def from_gradebook(database: Path, names: Iterable[str], theirs: Callable[[Score], bool]) -> Iterator[Known]:
    from grading.gradebook.claims import key_of
    from grading.gradebook.database import Kept, attempts, history

    for name in sorted(names):
        found = attempts(database, student=name, whole=True)
        kept: dict[tuple[str, str, str], list[Kept]] = defaultdict(list)
        for one in history(database, student=name):  # read later, it knows of all that were found
            kept[one.key].append(one)
        for attempt in found:
            if theirs(attempt.score):
                said = kept[key_of(attempt.score)]
                now = next(one for one in said if one.counts)
                earlier = tuple(Earlier(one.points, one.path, one.seen_at) for one in said if not one.counts)
                yield Known(attempt, now.doubt or "", now.flags, earlier)


def from_store(store: Path, theirs: Callable[[Score], bool]) -> Iterator[Known]:
    from grading.gradebook.attempts import Attempt
    from grading.gradebook.claims import Refused, read

    for path in sorted((store / "records").glob("*/*/*.json")):
        try:
            claims = read(path.read_bytes()).claims
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}; check permissions") from error
        except Refused as error:
            tell([f"{path}: {error}"])
            continue
        for claim in claims:
            if theirs(claim.score):
                doubt = "" if claim.verified else "; ".join(claim.reasons) or "nothing is known of its run"
                yield Known(Attempt(claim.score, claim.verified, str(path)), doubt, claim.flags)


def from_files(scores: Path, course: Course, theirs: Callable[[Score], bool]) -> Iterator[Known]:
    from grading.export.course_csv import load_scores
    from grading.gradebook.attempts import Attempt
    from grading.score_file import load_score

    found, skipped = load_scores(scores, course, whole=False)
    tell(skipped)
    for path, score in found:
        if theirs(score):
            yield Known(Attempt(load_score(path), verified=True, path=str(path)))


# What follows from it


def explain(
    course: Course,
    people: Roster,
    teams: Teams,
    rules: Rules,
    login: str,
    known: Sequence[Known],
    names: Sequence[str],
) -> Explained:
    """`names`: the homeworks to tell of; the total is always that of all."""
    from grading.gradebook.compute import compute

    everyone = compute(course, people, teams, rules, [one.attempt for one in known]).students
    student = next(one for one in everyone if one.person.username == login)
    told = [
        homework_told(course, grade, [one for one in known if one.attempt.score.homework == grade.homework])
        for grade in student.homeworks
        if grade.homework in names
    ]
    return Explained(student, tuple(told))


def homework_told(course: Course, grade: HomeworkGrade, known: Sequence[Known]) -> HomeworkTold:
    ordered = sorted(known, key=lambda one: in_order(one.attempt))
    alike = [i for i, one in enumerate(ordered) if is_counting(one.attempt, grade)]  # more than one: copies
    counting = (alike[0] if course.counts == "best" else alike[-1]) if alike else None
    told = [attempt_told(i, one, i == counting, grade, course) for i, one in enumerate(ordered)]
    best = None if counting is None else told[counting]
    attempts = tuple(
        replace(one, why=why(one, other, best, grade, course.counts))
        for one, other in zip(told, ordered, strict=True)
    )
    if counting is None:
        return HomeworkTold(grade, attempts, ())
    titles = {task.id: task.title for task in course.load_homework(grade.homework).tasks}
    tasks = ordered[counting].attempt.score.tasks
    return HomeworkTold(grade, attempts, tuple(task_told(task, titles.get(task.id, "")) for task in tasks))


def attempt_told(place: int, known: Known, counts: bool, grade: HomeworkGrade, course: Course) -> Told:
    """By today's deadline, as `compute` has it: what its file says of lateness is not used."""
    from grading.late import ON_TIME, final_points, lateness

    score = known.attempt.score
    late = ON_TIME
    if score.submitted_at is not None:
        late = lateness(course.late, score.submitted_at, grade.deadline, course.zone)
    return Told(
        number=place + 1,
        handed_in_by=score.student,
        submitted_at=score.submitted_at,
        commit=score.commit,
        repository=score.repository,
        path=known.attempt.path,
        raw=score.points,
        max_points=score.max_points,
        days_late=late.days_late,
        penalty=None if score.points is None else late.penalty(score.points),
        points=None if score.points is None else final_points(score.points, late),
        verified=known.attempt.verified,
        counts=counts,
        why="",
        flags=known.flags,
        earlier=known.earlier,
    )


def why(told: Told, known: Known, best: Told | None, grade: HomeworkGrade, counts: str) -> str:
    """Why an attempt counts, or does not; `best` is the one that does."""
    from grading.report.words import error_reason

    score = known.attempt.score
    if told.counts:
        how = "the best after the penalty" if counts == "best" else "the last"
        return f"counts: {how if grade.attempts > 1 else 'the only one'}"
    if not told.verified:
        return f"not verified, so it does not count: {known.doubt or 'nobody said why'}"
    if told.points is None:
        return f"not judged, by our fault: {error_reason(score)}"
    if not score.confined:
        return "graded without a sandbox, so it does not count"
    if best is None or best.points is None:
        return "excused" if grade.state == "excused" else "does not count"
    if counts == "last":
        return "not the last"
    if told.points / told.max_points < best.points / best.max_points:
        return "fewer points than the one that counts"
    return "as many points as the one that counts, which was first"


def is_counting(attempt: Attempt, grade: HomeworkGrade) -> bool:
    score = attempt.score
    usable = attempt.verified and score.confined and grade.raw is not None
    same = (score.commit, score.submitted_at, score.points) == (grade.commit, grade.submitted_at, grade.raw)
    return usable and same


def in_order(attempt: Attempt) -> tuple[datetime, str, str]:
    """By time, as `compute` numbers them; what has none is later than all."""
    score = attempt.score
    return score.submitted_at or datetime.max.replace(tzinfo=UTC), score.commit or "", attempt.path


def task_told(task: TaskScore, title: str) -> TaskTold:
    from grading.report.words import findings

    return TaskTold(task.id, title, task.points, task.max_points, findings(task))


# In words


def show(explained: Explained, zone: tzinfo) -> None:
    from grading.gradebook.table import way_to_total
    from grading.gradebook.terminal import print_table, table_of

    person = explained.student.person
    name = f"{person.first_name} {person.last_name}".strip()
    write([f"{person.username}{f' ({name})' if name else ''}"])
    for told in explained.homeworks:
        write(["", f"{told.grade.homework}: {two(told.grade.points) or told.grade.state}"])
        if told.attempts:
            headings = ("", "handed in", "commit", "raw", "late", "points", "")
            print_table(table_of(headings, [row(attempt, zone) for attempt in told.attempts]))
        write(lines_of_homework(told, person.username, zone))
    write(["", *way_to_total(explained.student)])


def row(told: Told, zone: tzinfo) -> tuple[str, ...]:
    late = how_many(told.days_late, "day")
    if told.penalty is not None:
        late += f", −{two(100 * told.penalty)} %"
    return (
        str(told.number),
        moment(told.submitted_at, zone) if told.submitted_at is not None else "",
        (told.commit or "")[:7],
        two(told.raw),
        late if told.days_late else "",
        two(told.points),
        told.why,
    )


def lines_of_homework(told: HomeworkTold, login: str, zone: tzinfo) -> Iterator[str]:
    for attempt in told.attempts:
        if attempt.handed_in_by and attempt.handed_in_by.casefold() != login.casefold():
            yield f"  attempt {attempt.number}: handed in by {attempt.handed_in_by}"
        yield from (f"  attempt {attempt.number}: {flag}" for flag in attempt.flags)
        for one in attempt.earlier:
            where = "before" if one.path == attempt.path else "elsewhere"
            points = f"{two(one.points)} points" if one.points is not None else "no score"
            read = f"read {moment(one.seen_at, zone)} from {one.path}"
            yield f"  attempt {attempt.number}, {where}: {points}, {read}"
    if told.tasks:
        number = next(attempt.number for attempt in told.attempts if attempt.counts)
        yield f"  tasks of attempt {number}:"
        for task in told.tasks:
            yield from lines_of_task(task)
    if told.grade.how:
        yield "  how it came about:"
    yield from (f"    {line}" for line in told.grade.how)
    yield from (f"    feedback: {line}" for line in told.grade.feedback.splitlines())


def lines_of_task(task: TaskTold) -> Iterator[str]:
    points = f"{two(task.points) or 'not judged'} of {two(task.max_points)}"
    yield f"    {task.task}: {points}{f' ({task.title})' if task.title else ''}"
    for what, details in task.failed.items():
        yield f"      • {what}"
        yield from (f"        {line}" for detail in details for line in detail.splitlines())


# One score


def is_score(path: Path) -> bool:
    """Whether this is a file, and no gradebook."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE)) != SQLITE
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error


def one_score(path: Path, login: str | None, homework: str | None) -> Score:
    from grading.score_file import load_score

    score = load_score(path)
    if login is not None and login.casefold() != (score.student or "").casefold():
        raise UsageError(f"{path}: is a score of {score.student}, not of {login}; give {login}'s")
    if homework is not None and homework != score.homework:
        raise UsageError(f"{path}: is a score of {score.homework}, not of {homework}; give another")
    return score


def lines_of_score(score: Score) -> Iterator[str]:
    """What the file says, its own idea of lateness included; no rule of the course is applied to it."""
    from grading.report.words import headline

    names = (score.student or "nobody", score.homework, score.repository, score.commit)
    yield ", ".join(name for name in names if name)
    if score.submitted_at is not None:
        source = {
            "pipeline_finish": "when its run had finished",
            "push": "when it was pushed",
            "given": "as given",
        }
        how = source.get(score.time_source or "", "") + (", provisional" if score.provisional else "")
        yield f"handed in {moment(score.submitted_at, UTC)}{f' ({how})' if how else ''}"
    if score.deadline is not None:
        yield f"deadline {moment(score.deadline, UTC)}"
    yield headline(score)
    if not score.confined:
        yield "graded without a sandbox, so it does not count"
    for what in ("submission", "tests", "environment"):
        yield f"digest of the {what}: {getattr(score.digests, what) or 'none'}"
    for task in score.tasks:
        yield from lines_of_task(task_told(task, ""))


# How things are written


def two(points: Fraction | None) -> str:
    """Points as people read them; nothing where there are none."""
    from grading.export.cells import maybe

    return maybe(points)
