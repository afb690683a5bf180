"""Where a course stands, as data for pages: each student's work, each homework, and all of it together. Pure.

Grades are those of the table and are never computed here; what is added is what a table does not show: every attempt,
when it came, what it left to mend, and who needs a person's eye.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from fractions import Fraction
from statistics import quantiles
from typing import Literal

from grading.course import Course, CourseHomework
from grading.gradebook.attempts import Attempt
from grading.gradebook.table import GradeTable, HomeworkGrade, StudentGrade
from grading.report.item_analysis import FailedProperty, TaskItem, failed_properties, item_analysis
from grading.report.words import number, properties
from grading.roster import Person
from grading.score import Score
from grading.teams import Teams

Status = Literal["in time", "late", "missing", "not due yet", "unverified", "error", "excused", "by hand"]
"""Of one student's homework. `unverified`: there are attempts, and none that may count; `error`: we could not tell;
`by hand`: no attempt counts, and a rule gives the points."""

UNUSUAL = {"unverified": "not verified", "error": "not judged"}
"""How people are told."""

Whole = Callable[[Sequence[Attempt]], Sequence[Attempt]]
"""The same attempts with all that their scores say, in any order."""

FEW_ATTEMPTS = 10
"""So many are counted one by one until a homework is solved; more in groups."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Why an attempt needs a person's eye: `doubt` where it is not verified, and `flags`, which lower nothing."""

    doubt: str | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a distribution."""

    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Day:
    """Attempts of one day in the course's zone, and how many students had handed in anything by its end."""

    day: date
    in_time: int
    late: int
    students: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How shares or points lie: quartiles by linear interpolation between the nearest ranks."""

    of: int
    mean: Fraction
    least: Fraction
    lower: Fraction
    median: Fraction
    upper: Fraction
    most: Fraction


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt of a student's, in the order of time. `problem` says why it cannot count, where it cannot."""

    attempt: Attempt
    late: bool
    counts: bool
    problem: str
    flags: tuple[str, ...]

    @property
    def score(self) -> Score:
        return self.attempt.score

    @property
    def solves(self) -> bool:
        return not self.problem and self.score.points == self.score.max_points


@dataclass(frozen=True, slots=True)
class TaskDone:
    """What a submission has of one task, and the properties that it does not have."""

    id: str
    points: Fraction | None
    max_points: Fraction
    failed: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Nothing is lacking: a gate may fail without costing points."""
        return self.points == self.max_points and not self.failed


@dataclass(frozen=True, slots=True)
class Work:
    """One student's work on one homework. `solved_at`: the number of the first attempt with all points."""

    person: Person
    grade: HomeworkGrade
    status: Status
    tried: tuple[Tried, ...]
    solved_at: int | None

    @property
    def counting(self) -> Attempt | None:
        return next((one.attempt for one in self.tried if one.counts), None)

    @property
    def share(self) -> Fraction | None:
        """Of the homework's points, after lateness and reviews."""
        return None if self.grade.points is None else self.grade.points / self.grade.max_points


@dataclass(frozen=True, slots=True)
class HomeworkStanding:
    """One homework. Distributions are of students; tasks and properties are of the submissions that count, so that a
    team's counts once."""

    homework: CourseHomework
    due: bool
    works: tuple[Work, ...]
    tasks: tuple[TaskItem, ...]
    failed: tuple[FailedProperty, ...]
    submissions: int
    spread: Spread | None
    shares: tuple[Bar, ...]
    days: tuple[Day, ...]
    lateness: tuple[Bar, ...]
    solved: tuple[Bar, ...]
    attempts: int

    def having(self, *statuses: Status) -> tuple[Work, ...]:
        return tuple(work for work in self.works if work.status in statuses)

    @property
    def expected(self) -> int:
        """Students who are not excused."""
        return sum(work.status != "excused" for work in self.works)

    @property
    def handed_in(self) -> int:
        """Students with an attempt, whether it counts or not."""
        return sum(bool(work.tried) for work in self.works if work.status != "excused")

    @property
    def solvers(self) -> int:
        return sum(work.solved_at is not None for work in self.works)


@dataclass(frozen=True, slots=True)
class StudentStanding:
    """One student. `tasks` are those of the attempts that count, by homework."""

    grade: StudentGrade
    works: tuple[Work, ...]
    tasks: Mapping[str, tuple[TaskDone, ...]]

    @property
    def person(self) -> Person:
        return self.grade.person

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(work.grade.homework for work in self.works if work.status == "missing")


@dataclass(frozen=True, slots=True)
class Standing:
    """The whole course at one moment. `grades` is empty where no grade has a name; `out_of` is None where nobody said
    how many points there are."""

    course: Course
    now: datetime
    homeworks: tuple[HomeworkStanding, ...]
    students: tuple[StudentStanding, ...]
    unknown: tuple[str, ...]
    days: tuple[Day, ...]
    totals: tuple[Bar, ...]
    total: Spread | None
    grades: tuple[Bar, ...]
    components: Mapping[str, Spread | None] = field(default_factory=dict)


def standing(
    course: Course,
    table: GradeTable,
    teams: Teams,
    attempts: Iterable[Attempt],
    *,
    now: datetime,
    marks: Mapping[str, Mark] | None = None,
    whole: Whole = lambda heads: heads,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Standing:
    """Where the course stands at `now`, which only decides what is due.

    `attempts` are those that the table was computed from, with or without their tasks; `whole` adds the tasks of those
    that it is given. `marks` are by an attempt's path. `progress` is told how many homeworks are done, and of how many.
    """
    tried = _by_holder(attempts)
    marks = marks or {}
    works = [
        [_work(student.person, grade, tried, teams, marks, now) for grade in student.homeworks]
        for student in table.students
    ]
    done: dict[str, tuple[TaskDone, ...]] = {}
    homeworks = []
    for i, homework in enumerate(course.homeworks):
        progress(i, len(course.homeworks))
        own = [of_student[i] for of_student in works]
        scores = _counting_scores(own, whole)
        done |= {path: _tasks_done(score) for path, score in scores.items()}
        homeworks.append(_homework(homework, own, list(scores.values()), course.zone, now))
    totals = [student.total for student in table.students if student.total is not None]
    return Standing(
        course=course,
        now=now,
        homeworks=tuple(homeworks),
        students=tuple(
            StudentStanding(student, tuple(own), _tasks_of(own, done))
            for student, own in zip(table.students, works, strict=True)
        ),
        unknown=table.unknown,
        days=days([work for own in works for work in own], course.zone),
        totals=points_in_bins(totals, course.grade.out_of),
        total=spread(totals),
        grades=_grades(course, table.students),
        components={
            component.name: spread(
                [
                    points
                    for one in table.students
                    if (points := one.components.get(component.name)) is not None
                ]
            )
            for component in course.grade.components
        },
    )


# Distributions


def spread(values: Sequence[Fraction]) -> Spread | None:
    if not values:
        return None
    lower, median, upper = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    mean = sum(values, Fraction(0)) / len(values)
    return Spread(len(values), mean, min(values), lower, median, upper, max(values))


def shares_in_bins(shares: Iterable[Fraction]) -> tuple[Bar, ...]:
    """Per cent of all points, in tens; all of them, and more with a bonus, stand alone."""
    counts = Counter(min(int(share * 10), 10) if share <= 1 else 11 for share in shares)
    bars = [Bar(f"{10 * i}–{10 * i + 9}", counts[i]) for i in range(10)] + [Bar("100", counts[10])]
    return (*bars, Bar("more", counts[11])) if counts[11] else tuple(bars)


def points_in_bins(points: Sequence[Fraction], out_of: Fraction | None = None) -> tuple[Bar, ...]:
    """From 0 to the most there are, in at most 20 bars of 1, 2 or 5 times a power of ten, each without its upper end;
    the last bar has both."""
    if not points:
        return ()
    most = max(*points, out_of or Fraction(0), Fraction(1))
    width = next(
        width
        for power in range(-2, 10)
        for step in (1, 2, 5)
        if most / (width := step * Fraction(10) ** power) <= 20
    )
    last = max(0, -(-most // width) - 1)
    counts = Counter(max(0, min(int(one / width), last)) for one in points)
    return tuple(
        Bar(f"{number(i * width)}–{number((i + 1) * width)}", counts[i]) for i in range(int(last) + 1)
    )


def solved_in_bins(works: Iterable[Work]) -> tuple[Bar, ...]:
    """After how many attempts all points were there, with those who tried and never had them, and who never tried."""
    labels = [str(i) for i in range(1, FEW_ATTEMPTS + 1)]
    labels += ["11–20", "over 20", "not yet", "no try"]
    counts = Counter(_solved_label(work) for work in works if work.status != "excused")
    return tuple(Bar(label, counts[label]) for label in labels)


def days(works: Iterable[Work], zone: tzinfo) -> tuple[Day, ...]:
    """Days on which anything was handed in. An attempt that several members of a team share is one."""
    late: dict[date, dict[str, bool]] = defaultdict(dict)
    first: dict[str, date] = {}
    for work in works:
        for one in work.tried:
            if one.score.submitted_at is not None:
                day = one.score.submitted_at.astimezone(zone).date()
                late[day].setdefault(one.attempt.path, one.late)
                login = work.person.username
                first[login] = min(day, first.get(login, day))
    new = Counter(first.values())
    found, students = [], 0
    for day in sorted(late):
        students += new[day]
        behind = sum(late[day].values())
        found.append(Day(day, len(late[day]) - behind, behind, students))
    return tuple(found)


def lateness_in_bins(works: Iterable[Work]) -> tuple[Bar, ...]:
    counts: Counter[str] = Counter()
    most = 0
    for work in works:
        if work.status == "late":
            most = max(most, min(work.grade.days_late, 4))
            counts[_days_label(work.grade.days_late)] += 1
        else:
            counts[UNUSUAL.get(work.status, work.status)] += 1
    late = [_days_label(number) for number in range(1, most + 1)]
    others = ("missing", "not due yet", *UNUSUAL.values(), "excused", "by hand")
    labels = ["in time", *late, *(label for label in others if counts[label])]
    return tuple(Bar(label, counts[label]) for label in labels)


def _days_label(number: int) -> str:
    if number > 3:
        return "4 days late or more"
    return f"{number} {'day' if number == 1 else 'days'} late"


def _solved_label(work: Work) -> str:
    if work.solved_at is None:
        return "not yet" if work.tried else "no try"
    if work.solved_at <= FEW_ATTEMPTS:
        return str(work.solved_at)
    return "11–20" if work.solved_at <= 20 else "over 20"


def _grades(course: Course, students: Sequence[StudentGrade]) -> tuple[Bar, ...]:
    """In the order of the scale, and at last who has none yet."""
    counts = Counter(student.grade for student in students)
    known = [step.grade for step in course.grade.scale]
    others = sorted(grade for grade in counts if grade is not None and grade not in known)
    if not known and not others:
        return ()
    bars = [Bar(grade, counts[grade]) for grade in (*known, *others)]
    return (*bars, Bar("no grade yet", counts[None])) if counts[None] else tuple(bars)


# One student's work


_Tries = Mapping[tuple[str, str], Sequence[Attempt]]


def _by_holder(attempts: Iterable[Attempt]) -> _Tries:
    """By the name that an attempt was handed in under, in lower case, and homework."""
    found: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.score.student is not None:
            found[attempt.score.student.casefold(), attempt.score.homework].append(attempt)
    return found


def _work(
    person: Person,
    grade: HomeworkGrade,
    tries: _Tries,
    teams: Teams,
    marks: Mapping[str, Mark],
    now: datetime,
) -> Work:
    team = teams.of(person.username, grade.homework)
    names = dict.fromkeys(
        name.casefold() for name in ((team.name, *team.members) if team else (person.username,))
    )
    own = {
        attempt.path: attempt for name in names for attempt in tries.get((name, grade.homework), ())
    }.values()
    ordered = sorted(own, key=_by_time)
    counting = next((attempt for attempt in ordered if _is_counted(attempt, grade)), None)
    tried = tuple(
        Tried(
            attempt=attempt,
            late=_is_late(attempt, grade.deadline),
            counts=attempt is counting,
            problem=_problem(attempt, marks.get(attempt.path)),
            flags=marks[attempt.path].flags if attempt.path in marks else (),
        )
        for attempt in ordered
    )
    solved = next((number for number, one in enumerate(tried, start=1) if one.solves), None)
    return Work(person, grade, _status(grade, tried, now), tried, solved)


def _by_time(attempt: Attempt) -> tuple[datetime, str, str]:
    """As `compute` numbers them."""
    score = attempt.score
    return score.submitted_at or datetime.max.replace(tzinfo=UTC), score.commit or "", attempt.path


def _is_counted(attempt: Attempt, grade: HomeworkGrade) -> bool:
    score = attempt.score
    return (
        attempt.verified
        and score.confined
        and score.points is not None
        and (score.points, score.commit, score.submitted_at) == (grade.raw, grade.commit, grade.submitted_at)
    )


def _is_late(attempt: Attempt, deadline: datetime | None) -> bool:
    submitted = attempt.score.submitted_at
    return submitted is not None and deadline is not None and submitted > deadline


def _problem(attempt: Attempt, mark: Mark | None) -> str:
    if not attempt.verified:
        return f"not verified: {mark.doubt}" if mark is not None and mark.doubt else "not verified"
    if attempt.score.state == "error":
        why = f": {attempt.score.reason}" if attempt.score.reason else ""
        return f"could not be judged{why}"
    return "" if attempt.score.confined else "graded without a sandbox"


def _status(grade: HomeworkGrade, tried: Sequence[Tried], now: datetime) -> Status:
    if grade.state == "excused":
        return "excused"
    if grade.state == "error":
        return "error"
    if grade.state == "graded":
        if not any(one.counts for one in tried):
            return "by hand"
        return "late" if grade.days_late else "in time"
    if tried:
        return "unverified"
    return "not due yet" if grade.deadline is None or grade.deadline > now else "missing"


# One homework


def _counting_scores(works: Iterable[Work], whole: Whole) -> dict[str, Score]:
    """By path, the scores that count, each once."""
    heads = {counting.path: counting for work in works if (counting := work.counting) is not None}
    return {attempt.path: attempt.score for attempt in whole(list(heads.values()))}


def _tasks_done(score: Score) -> tuple[TaskDone, ...]:
    return tuple(
        TaskDone(task.id, task.points, task.max_points, tuple(failed.what for failed in properties(task)[0]))
        for task in score.tasks
    )


def _homework(
    homework: CourseHomework, works: Sequence[Work], scores: Sequence[Score], zone: tzinfo, now: datetime
) -> HomeworkStanding:
    shares = [
        work.share for work in works if work.grade.state == "graded" and work.tried and work.share is not None
    ]
    return HomeworkStanding(
        homework=homework,
        due=homework.deadline is not None and homework.deadline <= now,
        works=tuple(works),
        tasks=item_analysis(scores),
        failed=failed_properties(scores),
        submissions=len(scores),
        spread=spread(shares),
        shares=shares_in_bins(shares),
        days=days(works, zone),
        lateness=lateness_in_bins(works),
        solved=solved_in_bins(works),
        attempts=len({one.attempt.path for work in works for one in work.tried}),
    )


def _tasks_of(
    works: Iterable[Work], done: Mapping[str, tuple[TaskDone, ...]]
) -> dict[str, tuple[TaskDone, ...]]:
    return {
        work.grade.homework: done[counting.path]
        for work in works
        if (counting := work.counting) is not None and counting.path in done
    }
