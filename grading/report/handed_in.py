"""What was handed in for one homework: each submission with its score, whom it counts for, and its notebook's file.

Scores and files know students and teams by different names; here they are brought together. Opens a notebook only
where nothing but its digest says which score is its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import count
from typing import Literal

from grading.course import Course
from grading.errors import GradingError
from grading.grade import read_submission
from grading.gradebook.attempts import Attempt
from grading.gradebook.table import GradeTable, HomeworkGrade
from grading.homework import Homework
from grading.late import ON_TIME, final_points, lateness
from grading.report.standing import Mark
from grading.roster import Person, Roster
from grading.score import Score
from grading.submissions import Stored
from grading.teams import Teams

Only = Literal["all", "counting", "latest"]

_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Who:
    """A student, or a team whose work is that of all its members. `people` are those of the roster."""

    name: str
    people: tuple[Person, ...] = ()
    team: bool = False

    @property
    def key(self) -> str:
        return self.name.casefold()


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt of theirs. `points` is what lateness leaves, by the deadline that holds now; `counts`: the logins
    for whom it does."""

    score: Score
    verified: bool
    days_late: int
    points: Fraction | None
    mark: Mark
    counts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A submission. `tried` is None where it has no score, `stored` where its notebook is not there; `other`: the
    notebook that is there is not the one that has this score."""

    who: Who
    file: str
    tried: Tried | None
    stored: Stored | None
    grades: tuple[tuple[Person, HomeworkGrade], ...] = ()
    history: tuple[tuple[Tried, str | None], ...] = ()
    """All attempts of theirs, in order, each with the file of its page where there is one."""
    other: bool = False


@dataclass(slots=True)
class _Theirs:
    who: Who
    attempts: list[Attempt] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)


def handed_in(
    homework: Homework,
    course: Course,
    roster: Roster,
    teams: Teams,
    table: GradeTable,
    attempts: Iterable[Attempt],
    stored: Sequence[Stored],
    only: Only,
    marks: Mapping[str, Mark],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> tuple[HandedIn, ...]:
    """The submissions, by the students' names.

    `counting`: those that count for somebody, and the latest where none does; `latest`; or `all`. `table` are the
    grades, `marks` by an attempt's path; `progress` is told how many notebooks were looked
    at, and of how many.
    """
    groups = _groups(homework, roster, teams, attempts, stored)
    looked_at = count(1)
    grades = {row.person.username.casefold(): row.homeworks for row in table.students}
    place = table.homeworks.index(homework.name)
    found: list[HandedIn] = []
    for theirs in groups:
        own = tuple((one, grades[one.username.casefold()][place]) for one in theirs.who.people)
        tries = _tries(theirs, own, course, marks)
        matched, left = _match(homework, tries, theirs.stored, lambda: progress(next(looked_at), len(stored)))
        found += _chosen(homework, theirs.who, own, tries, matched, left, only)
    return tuple(sorted(found, key=_by_name))


def nothing_from(found: Sequence[HandedIn], table: GradeTable) -> tuple[Person, ...]:
    """Students of whom there is neither a score nor a notebook."""
    known = {person.username for one in found for person in one.who.people}
    return tuple(row.person for row in table.students if row.person.username not in known)


def _by_name(one: HandedIn) -> tuple[str, str, datetime, str]:
    first = one.who.people[0] if one.who.people and not one.who.team else None
    name = f"{first.last_name} {first.first_name}".strip() if first else ""
    when = one.tried.score.submitted_at if one.tried else None
    return (name or one.who.name).casefold(), one.who.key, when or _EVER, one.file


# Whose


def _groups(
    homework: Homework, roster: Roster, teams: Teams, attempts: Iterable[Attempt], stored: Iterable[Stored]
) -> list[_Theirs]:
    team_of = {
        name.casefold(): team
        for team in teams.teams
        if homework.name in team.homeworks
        for name in (team.name, *team.members)
    }
    students = {person.username.casefold(): person for person in roster.students}
    groups: dict[str, _Theirs] = {}

    def theirs(name: str) -> _Theirs:
        team = team_of.get(name.casefold())
        person = students.get(name.casefold())
        if team is not None:
            members = tuple(students[one.casefold()] for one in team.members if one.casefold() in students)
            who = Who(team.name, members, team=True)
        else:
            who = Who(person.username, (person,)) if person else Who(name)
        return groups.setdefault(who.key, _Theirs(who))

    for attempt in attempts:
        if attempt.score.homework == homework.name and attempt.score.student:
            theirs(attempt.score.student).attempts.append(attempt)
    for one in stored:
        theirs(one.student).stored.append(one)
    return list(groups.values())


# Their attempts


def _tries(
    theirs: _Theirs,
    grades: Sequence[tuple[Person, HomeworkGrade]],
    course: Course,
    marks: Mapping[str, Mark],
) -> list[Tried]:
    """In the order of time. An attempt of a team that stands there once for each member is one."""
    once: dict[object, Tried] = {}
    deadline = next((grade.deadline for _, grade in grades), None)
    for attempt in theirs.attempts:
        score = attempt.score
        late, points = ON_TIME, score.points
        if score.submitted_at is not None and deadline is not None and score.submitted_at > deadline:
            late = lateness(course.late, score.submitted_at, deadline, course.zone)
            points = None if score.points is None else final_points(score.points, late)
        mark = marks.get(attempt.path, Mark())
        counts = tuple(person.username for person, grade in grades if _is_that(grade, score))
        tried = Tried(score, attempt.verified, late.days_late, points, mark, counts)
        once.setdefault(_which(score), tried)
    return sorted(once.values(), key=lambda one: (one.score.submitted_at or _EVER, str(_which(one.score))))


def _which(score: Score) -> tuple[object, ...]:
    return score.commit, score.digests.submission, score.submitted_at, score.points, score.reason


def _is_that(grade: HomeworkGrade, score: Score) -> bool:
    """Whether it is the attempt that the grade was made from."""
    made_from = (grade.commit, grade.submitted_at, grade.raw)
    return (
        score.confined
        and grade.raw is not None
        and made_from == (score.commit, score.submitted_at, score.points)
    )


# Their notebooks


def _match(
    homework: Homework, tries: Sequence[Tried], stored: Sequence[Stored], seen: Callable[[], None]
) -> tuple[dict[int, Stored], list[Stored]]:
    """The file of each attempt, by its place, and the files that are of none: the commit says it, else the digest."""
    matched: dict[int, Stored] = {}
    left: list[Stored] = []
    for one in stored:
        digest = None if one.commit else _digest(one, homework)
        of = [
            place
            for place, tried in enumerate(tries)
            if (one.commit == tried.score.commit if one.commit else digest == tried.score.digests.submission)
        ]
        for place in of:
            before = matched.setdefault(place, one)
            graded = tries[place].score.digests.submission
            if before is not one and _digest(before, homework) != graded == _digest(one, homework):
                matched[place] = one  # of several notebooks in one commit, the one that was graded
        if not of:
            left.append(one)
        seen()
    return matched, left


def _digest(one: Stored, homework: Homework) -> str | None:
    try:
        return read_submission(one.path, homework).digest
    except GradingError:
        return None


# Which of them have a page


def _chosen(
    homework: Homework,
    who: Who,
    grades: tuple[tuple[Person, HomeworkGrade], ...],
    tries: Sequence[Tried],
    matched: Mapping[int, Stored],
    left: Sequence[Stored],
    only: Only,
) -> list[HandedIn]:
    counting = [place for place, tried in enumerate(tries) if tried.counts]
    places = list(range(len(tries)))
    if only == "latest" or (only == "counting" and not counting):
        places = places[-1:]
    elif only == "counting":
        places = counting
    spare = [one for one in left if one.commit is None]
    files = {place: matched.get(place) for place in places}
    others = {place for place in places if files[place] is None and len(places) == len(spare) == 1}
    for place in others:  # one score and one notebook: shown side by side, with a warning
        files[place] = spare.pop()
    unscored = left if only == "all" else [] if tries else left[-1:]
    shown: list[tuple[int | None, Stored | None]] = [(place, files[place]) for place in places]
    shown += [(None, one) for one in unscored if one not in files.values()]
    keys = [_key(None if place is None else tries[place].score, one) for place, one in shown]
    names = [_file_name(homework, who, key, keys[:i].count(key)) for i, key in enumerate(keys)]
    pages = {place: name for (place, _), name in zip(shown, names, strict=True)}
    history = tuple((tried, pages.get(place)) for place, tried in enumerate(tries))
    return [
        HandedIn(who, name, None if place is None else tries[place], one, grades, history, place in others)
        for (place, one), name in zip(shown, names, strict=True)
    ]


def _key(score: Score | None, stored: Stored | None) -> str:
    """What tells a submission from the others of the same student."""
    if score is not None:
        return score.commit or f"{score.digests.submission} {score.submitted_at}"
    return (stored.commit or f"{stored.path.parent.name}/{stored.path.name}") if stored else ""


def _file_name(homework: Homework, who: Who, key: str, before: int) -> str:
    """The same for the same submission, another for any other, on any file system. `before`: how many had that key."""
    readable = re.sub(r"[^a-z0-9]+", "-", who.key)[:40].strip("-")
    told = "\0".join([homework.name, who.key, key, *([str(before)] if before else [])])
    digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{readable or 'student'}-{digest[:10]}.html"
