"""From attempts to grades: what a course's formula, deadlines and rules make of what was handed in.

Pure: no file, no clock, no rounding but the one that the formula asks for; the same attempts in any order give
the same table. Only a verified attempt that was graded in the sandbox counts. Lateness is recomputed from the
raw points with the extension that holds for each student, so what a score file says of it is not used. A team's
attempt, or one of its members', is everyone's in it. Attempts at homeworks that the course does not have, and
those without a student, are not for this table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from fractions import Fraction

from grading.course import Course, CourseHomework
from grading.gradebook.attempts import Attempt
from grading.gradebook.rules import Entered, Plagiarism, Review, Rules
from grading.gradebook.table import GradeTable, HomeworkGrade, StudentGrade
from grading.gradebook.words import how_many, moment
from grading.homework import TOTAL_POINTS
from grading.late import ON_TIME, Lateness, effective_deadline, final_points, lateness
from grading.roster import Person, Roster
from grading.score import Score
from grading.teams import Teams
from grading.total import Component, GradeFormula, homework_sum, reachable, result, two_decimals

_NEVER = datetime.max.replace(tzinfo=UTC)
_EVER = datetime.min.replace(tzinfo=UTC)


def compute(
    course: Course, roster: Roster, teams: Teams, rules: Rules, attempts: Iterable[Attempt]
) -> GradeTable:
    """The grades of every student of the roster, those without any attempt included."""
    credited = _Credited(roster, teams)
    names = {homework.name for homework in course.homeworks}
    handed_in: dict[tuple[str, str], dict[Hashable, Attempt]] = defaultdict(dict)
    unknown: dict[str, str] = {}
    for attempt in attempts:
        holder, homework = attempt.score.student, attempt.score.homework
        if holder is None or homework not in names:
            continue
        folded = holder.casefold()
        logins = credited.by(holder, homework)
        if not logins:
            unknown[folded] = min(holder, unknown.get(folded, holder))
        identity = attempt.identity
        for login in logins:
            # A team's attempt may be recorded for each of its members: then each has it once, as their own.
            found = handed_in[login, homework]
            before = found.setdefault(identity, attempt)
            if before is not attempt and attempt.closeness(login) < before.closeness(login):
                found[identity] = attempt
    of_everyone = {key: tuple(found.values()) for key, found in handed_in.items()}
    grades = _Grades(course, rules)
    return GradeTable(
        course=course.name,
        homeworks=tuple(homework.name for homework in course.homeworks),
        weights={homework.name: homework.weight for homework in course.homeworks},
        students=tuple(grades.of(person, of_everyone) for person in sorted(roster.students, key=_by_name)),
        unknown=tuple(unknown[folded] for folded in sorted(unknown)),
    )


def _by_name(person: Person) -> tuple[str, str, str]:
    return person.last_name.casefold(), person.first_name.casefold(), person.username.casefold()


class _Credited:
    """Whose an attempt is: logins in lower case, by the name it was handed in under."""

    def __init__(self, roster: Roster, teams: Teams) -> None:
        self._roster = roster
        self._teams = {
            (name.casefold(), homework): [member.casefold() for member in team.members]
            for team in teams.teams
            for homework in team.homeworks
            for name in (team.name, *team.members)
        }

    def by(self, holder: str, homework: str) -> Sequence[str]:
        folded = holder.casefold()
        alone = (folded,) if self._roster.by_login(holder) else ()
        return self._teams.get((folded, homework), alone)


@dataclass(frozen=True, slots=True)
class _Counted:
    """An attempt that may count, and what lateness leaves of it: points, and the share of all that there are."""

    attempt: Attempt
    raw: Fraction
    late: Lateness
    points: Fraction
    share: Fraction


@dataclass(frozen=True, slots=True)
class _Standing:
    """A homework's grade, and the least and most course points it may turn out to be: equal but in error."""

    grade: HomeworkGrade
    least: Fraction
    most: Fraction


class _Grades:
    def __init__(self, course: Course, rules: Rules) -> None:
        self._course = course
        self._zone = course.zone
        self._rules = rules

    def of(self, person: Person, handed_in: Mapping[tuple[str, str], Sequence[Attempt]]) -> StudentGrade:
        login = person.username.casefold()
        standings = [
            self._standing(login, homework, handed_in.get((login, homework.name), ()))
            for homework in self._course.homeworks
        ]
        if found := self._rules.plagiarism.get(login):
            return self._plagiarised(person, standings, found)
        return self._total(person, standings)

    # One homework

    def _standing(self, login: str, homework: CourseHomework, attempts: Sequence[Attempt]) -> _Standing:
        key = (login, homework.name)
        extension = self._rules.extensions.get(key)
        grade = HomeworkGrade(
            homework=homework.name,
            state="missing",
            max_points=Fraction(TOTAL_POINTS),
            deadline=effective_deadline(homework.deadline, extension.until if extension else None),
            attempts=len(attempts),
        )
        if (reason := self._rules.excused.get(key)) is not None:
            how = f"excused: {reason}; the other homeworks count for the whole"
            return _Standing(replace(grade, state="excused", how=(how,)), Fraction(), Fraction())
        if extension is not None and grade.deadline == extension.until:
            grade = _told(grade, f"extension until {self._moment(extension.until)}: {extension.reason}")
        reviews = self._rules.reviews.get(key, ())
        if (counted := self._counting(attempts, homework, grade)) is not None:
            grade = self._graded(login, grade, counted, attempts)
            return self._reviewed(grade, homework, counted.points, reviews)
        grade = _uncounted(grade, attempts)
        if grade.state == "error":
            return self._unsure(grade, homework, reviews)
        if reviews:
            return self._reviewed(grade, homework, Fraction(), reviews)
        return _Standing(grade, Fraction(), Fraction())

    def _counting(
        self, attempts: Sequence[Attempt], homework: CourseHomework, grade: HomeworkGrade
    ) -> _Counted | None:
        """The best after the penalty, ties to the earliest; or simply the last."""
        counted = [
            self._after_penalty(attempt, attempt.score.points, homework, grade.deadline)
            for attempt in attempts
            if attempt.verified and attempt.score.confined and attempt.score.points is not None
        ]
        if not counted:
            return None
        if self._course.counts == "last":
            return max(counted, key=lambda one: (one.attempt.score.submitted_at or _EVER, *_name(one)))
        counted.sort(key=lambda one: _order(one.attempt))
        return max(counted, key=lambda one: one.share)  # the first of equals

    def _after_penalty(
        self, attempt: Attempt, raw: Fraction, homework: CourseHomework, deadline: datetime | None
    ) -> _Counted:
        submitted = attempt.score.submitted_at
        late, points = ON_TIME, raw
        if submitted is not None and deadline is not None and submitted > deadline:
            late = lateness(self._course.late, submitted, deadline, self._zone)
            points = final_points(raw, late)
        return _Counted(attempt, raw, late, points, points / attempt.score.max_points)

    def _graded(
        self, login: str, grade: HomeworkGrade, counted: _Counted, attempts: Sequence[Attempt]
    ) -> HomeworkGrade:
        score = counted.attempt.score
        grade = replace(
            grade,
            state="graded",
            max_points=score.max_points,
            raw=counted.raw,
            days_late=counted.late.days_late,
            penalty=counted.late.penalty(counted.raw),
            submitted_at=score.submitted_at,
            commit=score.commit,
            repository=score.repository,
        )
        number = sorted(attempts, key=_order).index(counted.attempt) + 1
        why = "the best after the penalty" if self._course.counts == "best" else "the last"
        which = f"attempt {number} of {len(attempts)} counts: {why}" if len(attempts) > 1 else "one attempt"
        return _told(
            grade,
            which,
            *_left_out(attempts),
            f"raw: {two_decimals(counted.raw)} of {two_decimals(score.max_points)} points{self._whose(login, score)}",
            self._lateness(counted, grade.deadline),
        )

    def _whose(self, login: str, score: Score) -> str:
        commit = f", commit {score.commit[:7]}" if score.commit else ""
        by = f", handed in by {score.student}" if score.student and score.student.casefold() != login else ""
        return commit + by

    def _lateness(self, counted: _Counted, deadline: datetime | None) -> str:
        submitted = counted.attempt.score.submitted_at
        if submitted is None:
            return "handed in at a time that nobody recorded, so not late"
        at = f"handed in {self._moment(submitted)}"
        if deadline is None:
            return f"{at}; there is no deadline"
        if submitted <= deadline:
            return f"{at}; in time, the deadline was {self._moment(deadline)}"
        lost = counted.raw - counted.points
        return (
            f"late: {at}, {how_many(counted.late.days_late, 'day')} after {self._moment(deadline)}: "
            f"{two_decimals(lost)} points lost ({two_decimals(100 * counted.late.penalty(counted.raw))} %), "
            f"{two_decimals(counted.points)} left"
        )

    def _moment(self, when: datetime) -> str:
        return moment(when, self._zone)

    # Reviews

    def _reviewed(
        self, grade: HomeworkGrade, homework: CourseHomework, points: Fraction, reviews: Sequence[Review]
    ) -> _Standing:
        for review in reviews:
            points, line = _review(points, grade.max_points, review, self._zone)
            grade = _told(grade, line)
        feedback = "\n".join(review.feedback for review in reviews if review.feedback)
        earned = points / grade.max_points * homework.weight
        grade = replace(grade, state="graded", points=points, course_points=earned, feedback=feedback)
        grade = _told(
            grade,
            f"{two_decimals(points)} of {two_decimals(grade.max_points)} × {two_decimals(homework.weight)} = "
            f"{two_decimals(earned)} course points",
        )
        return _Standing(grade, earned, earned)

    def _unsure(self, grade: HomeworkGrade, homework: CourseHomework, reviews: Sequence[Review]) -> _Standing:
        """Of what we could not judge, only a review that sets the points makes a grade."""
        least = self._reviewed(grade, homework, Fraction(), reviews)
        most = self._reviewed(grade, homework, grade.max_points, reviews)
        if least.grade.points == most.grade.points:
            return least
        grade = replace(grade, feedback=least.grade.feedback)
        if reviews:
            grade = _told(grade, f"{how_many(len(reviews), 'review')} to add once it is judged")
        return _Standing(grade, least.least, most.most)

    # All together

    def _total(self, person: Person, standings: Sequence[_Standing]) -> StudentGrade:
        login = person.username.casefold()
        formula = self._course.grade
        least: dict[str, Fraction] = {}
        most: dict[str, Fraction] = {}
        components: dict[str, Fraction | None] = {}
        notes: list[str] = []
        for component in formula.components:
            name = component.name
            if component.sort == "homework":
                least[name], most[name] = self._sum(component, standings, notes)
            else:
                least[name] = most[name] = self._entered(component, login, notes)
            entered = component.sort == "homework" or name in self._rules.manual
            sure = component.counted(least[name]) == component.counted(most[name])
            components[name] = component.counted(least[name]) if entered and sure else None
        low, high = result(formula, least), result(formula, most)
        sure = (low.total, low.grade) == (high.total, high.grade)
        if not sure:
            notes.append("no total: it depends on what could not be judged")
        return StudentGrade(
            person=person,
            homeworks=tuple(standing.grade for standing in standings),
            components=components,
            total=low.total if sure else None,
            grade=low.grade if sure and not self._awaited(formula) else None,
            sum=low.sum if sure else "",
            adjustments=(*notes, *(low.steps if sure else ())),
            remarks=self._remarks(login),
        )

    def _sum(
        self, component: Component, standings: Sequence[_Standing], notes: list[str]
    ) -> tuple[Fraction, Fraction]:
        """The least and the most that the homeworks of a component may make; a note for what is unusual."""
        weights = {homework.name: homework.weight for homework in self._course.homeworks}
        within = [standing for standing in standings if component.sums(standing.grade.homework)]
        there = [standing for standing in within if standing.grade.state != "excused"]
        excused = [standing.grade.homework for standing in within if standing.grade.state == "excused"]
        ends = [
            homework_sum(
                component,
                [(getattr(standing, end), weights[standing.grade.homework]) for standing in there],
                [weights[name] for name in excused],
            )
            for end in ("least", "most")
        ]
        if excused:
            notes.append(
                f"{component.name}: excused from {', '.join(excused)}; the rest counts for the whole"
            )
        weighing = sum(weights[standing.grade.homework] > 0 for standing in there)
        if (kept := component.kept(weighing)) < weighing:
            notes.append(f"{component.name}: the best {kept} of {weighing} count")
        if ends[0] is None or ends[1] is None:
            notes.append(f"{component.name}: excused from all of it, so there is nothing to go by")
            return Fraction(), reachable(component, (weights[name] for name in excused))
        return ends[0], ends[1]

    def _entered(self, component: Component, login: str, notes: list[str]) -> Fraction:
        entered: Entered | None = self._rules.manual.get(component.name, {}).get(login)
        if entered is not None:
            return entered.points
        if component.sort == "manual":
            what = "nothing entered" if component.name in self._rules.manual else "not entered yet"
            notes.append(f"{component.name}: {what}, counts 0")
        return Fraction()

    def _remarks(self, login: str) -> dict[str, tuple[str, ...]]:
        found = {}
        for component in self._course.grade.components:
            if entered := self._rules.manual.get(component.name, {}).get(login):
                feedback = (line for line in entered.feedback.splitlines() if line.strip())
                found[component.name] = (*entered.how, *feedback)
        return {name: lines for name, lines in found.items() if lines}

    def _awaited(self, formula: GradeFormula) -> bool:
        """Whether a part that matters was entered for nobody yet: then nothing is called passed or failed."""
        return any(
            one.sort == "manual" and (one.weight or one.pass_mark) and one.name not in self._rules.manual
            for one in formula.components
        )

    def _plagiarised(
        self, person: Person, standings: Sequence[_Standing], found: Sequence[Plagiarism]
    ) -> StudentGrade:
        """All of the student's work counts 0, what is entered by hand and what could not be judged included."""
        lines = [f"plagiarism in {one.homework}: {one.reason}; all work counts 0" for one in found]
        homeworks = [
            _told(
                replace(standing.grade, state="graded", points=Fraction(), course_points=Fraction()), *lines
            )
            if standing.grade.state in ("graded", "error")
            else standing.grade
            for standing in standings
        ]
        formula = self._course.grade
        nothing = {component.name: Fraction() for component in formula.components}
        ended = result(formula, nothing)
        return StudentGrade(
            person=person,
            homeworks=tuple(homeworks),
            components=nothing,
            total=ended.total,
            grade=ended.grade,
            adjustments=(*lines, *ended.steps),
            remarks=self._remarks(person.username.casefold()),
        )


def _order(attempt: Attempt) -> tuple[datetime, str, str]:
    """By time; what has none is later than all."""
    score = attempt.score
    return score.submitted_at or _NEVER, score.commit or "", attempt.path


def _name(counted: _Counted) -> tuple[str, str]:
    return counted.attempt.score.commit or "", counted.attempt.path


def _told(grade: HomeworkGrade, *lines: str) -> HomeworkGrade:
    return replace(grade, how=(*grade.how, *lines))


def _left_out(attempts: Sequence[Attempt]) -> list[str]:
    """What does not count, and why, one line a reason."""
    reasons = {
        "not verified": sum(not one.verified for one in attempts),
        "could not be judged": sum(one.verified and one.score.state == "error" for one in attempts),
        "graded without a sandbox": sum(
            one.verified and one.score.state == "graded" and not one.score.confined for one in attempts
        ),
    }
    return [f"{how_many(count, 'attempt')} left out: {why}" for why, count in reasons.items() if count]


def _uncounted(grade: HomeworkGrade, attempts: Sequence[Attempt]) -> HomeworkGrade:
    """Nothing counts. It is our fault if a verified attempt was not judged, or was without a sandbox."""
    if not attempts:
        return _told(grade, "nothing handed in")
    grade = _told(grade, *_left_out(attempts))
    ours = [attempt for attempt in attempts if attempt.verified]
    if not ours:
        return replace(grade, verified=False)
    reason = next((one.score.reason for one in sorted(ours, key=_order) if one.score.reason), None)
    why = f": {reason}" if reason else ""
    return _told(replace(grade, state="error"), f"could not be judged by our fault{why}; grade it again")


def _review(points: Fraction, most: Fraction, review: Review, zone: tzinfo) -> tuple[Fraction, str]:
    """Points after a review, and the line that tells of it. Without `bonus` it lifts nothing above the most."""
    wanted = points + review.points if review.to is None else review.to
    after = max(Fraction(), wanted if review.bonus else min(wanted, max(most, points)))
    what = (
        f"{'+' if review.points > 0 else ''}{two_decimals(review.points)} points"
        if review.to is None
        else f"set to {two_decimals(review.to)} points"
    )
    task = f" for {review.task}" if review.task else ""
    bound = "" if after == wanted else f", but not {'below 0' if wanted < 0 else 'above the maximum'}"
    day = f"{review.at.astimezone(zone):%Y-%m-%d}"
    bonus = " of bonus" if review.bonus else ""
    return (
        after,
        f"review: {what}{bonus}{task}{bound}: {two_decimals(after)} ({review.reason}; {review.by}, {day})",
    )
