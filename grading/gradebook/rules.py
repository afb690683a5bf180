"""What an instructor decides about single students: small YAML files beside `course.yml`, reviewed like code.

`extensions.yml`, `reviews.yml`, `excused.yml`, `plagiarism.yml` and `manual.yml`; a file that is not there has no
rules in it. Reads and checks, and resolves whom each line is about; what follows for a grade is `compute`'s.
A login, team or section is written as the roster and `teams.yml` have it, logins in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, PlainValidator, StringConstraints

from grading.configuration import Location, Problem, did_you_mean, read_configuration
from grading.course import Course, Deadline, another_offset
from grading.exact import Exact, exact
from grading.homework import TOTAL_POINTS
from grading.roster import STUDENT, Roster
from grading.strict import Configuration
from grading.teams import Team, Teams
from grading.total import Component, two_decimals

EXTENSIONS, REVIEWS, EXCUSED = "extensions.yml", "reviews.yml", "excused.yml"
PLAGIARISM, MANUAL = "plagiarism.yml", "manual.yml"
ALL = "all"  # homeworks

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Key = tuple[str, str]
"""A login in lower case (`casefold`), and a homework."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A later deadline for one student and homework."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Review:
    """What a person changed after the penalty: `points` more or less, or, if `to` is given, that many.

    Above the homework's maximum only with `bonus`, and never below 0.
    """

    points: Fraction
    to: Fraction | None
    bonus: bool
    task: str | None
    reason: str
    feedback: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Plagiarism:
    """Found in one homework; all of the student's work counts 0."""

    homework: str
    reason: str


@dataclass(frozen=True, slots=True)
class Entered:
    """Points entered by hand for one student and component. `how`: the rubric's criteria, one each."""

    points: Fraction
    how: tuple[str, ...] = ()
    feedback: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of a course, resolved: by login in lower case and, where it is about one, by homework.

    Reviews are in the order in which they were made. `manual` is by component, then by login; a component that is
    in it was graded, even if for nobody.
    """

    extensions: Mapping[Key, Extension] = field(default_factory=dict)
    reviews: Mapping[Key, tuple[Review, ...]] = field(default_factory=dict)
    excused: Mapping[Key, str] = field(default_factory=dict)
    plagiarism: Mapping[str, tuple[Plagiarism, ...]] = field(default_factory=dict)
    manual: Mapping[str, Mapping[str, Entered]] = field(default_factory=dict)


def read_rules(
    course: Course, roster: Roster, teams: Teams, at: Callable[[str], Path] | None = None
) -> Rules:
    """Read the files; `at` says where one of a name stands, which is beside the homeworks otherwise.

    Raises UsageError with file and line, for the first thing that is wrong.
    """
    known = _Known(course, roster, teams, at or course.directory.joinpath)
    return Rules(
        extensions=_extensions(known),
        reviews=_reviews(known),
        excused=_excused(known),
        plagiarism=_plagiarism(known),
        manual=_manual(known),
    )


# What stands in the files


class _Who(Configuration):
    """Exactly one of these."""

    student: str | None = None
    team: str | None = None
    section: str | None = None
    everyone: bool = False


class _Extension(_Who):
    homework: str
    until: Deadline
    reason: Text


class _Excused(_Who):
    homework: str
    reason: Text


class _Review(Configuration):
    student: str | None = None
    team: str | None = None
    homework: str
    task: str | None = None
    points: Exact | None = None
    set: Annotated[Exact, Field(ge=0)] | None = None
    bonus: bool = False
    reason: Text
    feedback: str = ""
    by: Text
    at: Deadline


class _Plagiarism(Configuration):
    student: str
    homework: str
    reason: Text


def _mark(value: object) -> str | Fraction:
    """A level by its name, or points."""
    return value if isinstance(value, str) else exact(value)


class _Criterion(Configuration):
    """Points up to `max`, or one of the levels."""

    name: Text
    max: Annotated[Exact, Field(gt=0)] | None = None
    levels: dict[str, Annotated[Exact, Field(ge=0)]] | None = Field(default=None, min_length=1)


class _Graded(Configuration):
    student: str | None = None
    team: str | None = None
    points: Annotated[Exact, Field(ge=0)] | None = None
    criteria: dict[str, Annotated[str | Fraction, PlainValidator(_mark)]] | None = None
    feedback: str = ""


class _Item(Configuration):
    component: str
    rubric: Annotated[tuple[_Criterion, ...], Field(min_length=1)] | None = None
    grades: tuple[_Graded, ...]


class _ExtensionsFile(Configuration):
    extensions: tuple[_Extension, ...]


class _ReviewsFile(Configuration):
    reviews: tuple[_Review, ...]


class _ExcusedFile(Configuration):
    excused: tuple[_Excused, ...]


class _PlagiarismFile(Configuration):
    plagiarism: tuple[_Plagiarism, ...]


class _ManualFile(Configuration):
    manual: tuple[_Item, ...]


File = TypeVar("File", bound=Configuration)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a rule may name."""

    course: Course
    roster: Roster
    teams: Teams
    at: Callable[[str], Path]

    @property
    def homeworks(self) -> list[str]:
        return [homework.name for homework in self.course.homeworks]

    def read(
        self, name: str, model: type[File], problems: Callable[[File], Iterable[Problem]]
    ) -> File | None:
        path = self.at(name)
        return read_configuration(path, model, problems) if path.exists() else None

    def team(self, name: str) -> Team | None:
        return next((team for team in self.teams.teams if team.name.casefold() == name.casefold()), None)

    def logins(self, rule: _Who | _Review | _Graded, homework: str | None) -> list[str]:
        """In lower case, whom a rule is about. A team's rule is for those homeworks that the team holds for."""
        if rule.student is not None:
            return [rule.student.casefold()]
        if rule.team is not None:
            team = self.team(rule.team)
            held = team is not None and (homework is None or homework in team.homeworks)
            return [member.casefold() for member in team.members] if team is not None and held else []
        everyone = self.roster.students
        section = rule.section if isinstance(rule, _Who) else None
        return [one.username.casefold() for one in everyone if section is None or one.section == section]

    def names_of(self, homework: str) -> list[str]:
        return self.homeworks if homework == ALL else [homework]

    def who_problems(self, rule: _Who | _Review | _Graded, here: Location) -> Iterator[Problem]:
        keys = [key for key in ("student", "team", "section", "everyone") if key in type(rule).model_fields]
        given = [key for key in keys if getattr(rule, key) not in (None, False)]
        if len(given) != 1:
            one_of = f"{', '.join(keys[:-1])} or {keys[-1]}"
            what = f"names {' and '.join(given)}; keep one" if given else f"names nobody; write {one_of}"
            yield here, what
        elif given == ["student"]:
            yield from self.student_problems(rule.student or "", (*here, "student"))
        elif given == ["team"] and self.team(rule.team or "") is None:
            names = [team.name for team in self.teams.teams]
            yield (*here, "team"), f'no team "{rule.team}" in teams.yml; {_near(rule.team or "", names)}'
        elif isinstance(rule, _Who) and given == ["section"]:
            sections = {one.section for one in self.roster.students if one.section}
            if rule.section not in sections:
                yield (
                    (*here, "section"),
                    f'no student of section "{rule.section}" in {self.roster.path}; '
                    + did_you_mean(rule.section or "", sections),
                )

    def student_problems(self, login: str, here: Location) -> Iterator[Problem]:
        person = self.roster.by_login(login)
        if person is None:
            everyone = [one.username for one in self.roster.students]
            yield here, f'"{login}" is not in {self.roster.path}; {_near(login, everyone)}'
        elif person.role != STUDENT:
            yield here, f'"{login}" is {person.role} in {self.roster.path}, no student; take the rule out'

    def homework_problems(
        self, homework: str, here: Location, team: str | None, *, every: bool = False
    ) -> Iterator[Problem]:
        known = self.homeworks
        if every and homework == ALL:
            return
        if homework not in known:
            yield (
                here,
                f'no homework "{homework}"; {did_you_mean(homework, [*known, ALL] if every else known)}',
            )
            return
        found = self.team(team) if team is not None else None
        if found is not None and homework not in found.homeworks:
            yield here, f"the team {found.name} is none for {homework}; write its students one by one"


def _near(name: str, known: Iterable[str]) -> str:
    """A near name, but not the list of a whole class."""
    hint = did_you_mean(name, known)
    return hint if hint.startswith("did") else "check the spelling"


# Extensions


def _extensions(known: _Known) -> dict[Key, Extension]:
    file = known.read(EXTENSIONS, _ExtensionsFile, lambda file: _extension_problems(file, known))
    found: dict[Key, Extension] = {}
    for rule in file.extensions if file else ():
        for homework in known.names_of(rule.homework):
            for login in known.logins(rule, homework):
                before = found.get((login, homework))
                if before is None or rule.until > before.until:
                    found[login, homework] = Extension(rule.until.astimezone(UTC), rule.reason)
    return found


def _extension_problems(file: _ExtensionsFile, known: _Known) -> Iterator[Problem]:
    """Two for the same student, team, section or everyone and homework are a slip. Of a student's own, the team's,
    the section's and everyone's, the latest holds: nobody's extension is shortened by another."""
    earlier: dict[tuple[str, str], datetime] = {}
    for i, rule in enumerate(file.extensions):
        here: Location = ("extensions", i)
        wrong = [
            *known.who_problems(rule, here),
            *known.homework_problems(rule.homework, (*here, "homework"), rule.team, every=True),
        ]
        if wrong:
            yield from wrong
            continue
        if slip := another_offset(rule.until, known.course.zone):
            yield (*here, "until"), slip
        yield from _late_enough(rule, here, known.course)
        target = _target(rule)
        for homework in known.names_of(rule.homework):
            until = earlier.setdefault((target, homework), rule.until)
            if until != rule.until:
                yield (
                    (*here, "until"),
                    f"{target} has an extension for {homework} already, until {until.isoformat()}; keep one",
                )
                break


def _late_enough(rule: _Extension, here: Location, course: Course) -> Iterator[Problem]:
    extended = [one for one in course.homeworks if rule.homework in (one.name, ALL)]
    deadlines = [one.deadline for one in extended if one.deadline is not None]
    if not deadlines:
        what = "no homework has a deadline" if rule.homework == ALL else f"{rule.homework} has no deadline"
        yield (*here, "homework"), f"{what}, so there is nothing to extend"
    elif rule.until <= min(deadlines):
        due = min(deadlines).isoformat()
        yield (*here, "until"), f"can never apply: the deadline is {due}; write a later moment"


def _target(rule: _Who) -> str:
    if rule.student is not None:
        return rule.student.casefold()
    if rule.team is not None:
        return f"team {rule.team.casefold()}"
    return "everyone" if rule.section is None else f"section {rule.section}"


# Reviews


def _reviews(known: _Known) -> dict[Key, tuple[Review, ...]]:
    file = known.read(REVIEWS, _ReviewsFile, lambda file: _review_problems(file, known))
    found: dict[Key, list[Review]] = {}
    for rule in sorted(file.reviews if file else (), key=lambda rule: rule.at):
        review = Review(
            points=rule.points or Fraction(),
            to=rule.set,
            bonus=rule.bonus,
            task=rule.task,
            reason=rule.reason,
            feedback=rule.feedback.strip(),
            by=rule.by,
            at=rule.at.astimezone(UTC),
        )
        for login in known.logins(rule, rule.homework):
            found.setdefault((login, rule.homework), []).append(review)
    return {key: tuple(reviews) for key, reviews in found.items()}


def _review_problems(file: _ReviewsFile, known: _Known) -> Iterator[Problem]:
    for i, rule in enumerate(file.reviews):
        here: Location = ("reviews", i)
        wrong = [
            *known.who_problems(rule, here),
            *known.homework_problems(rule.homework, (*here, "homework"), rule.team),
        ]
        yield from wrong
        if not wrong and rule.task is not None:
            tasks = [task.id for task in known.course.load_homework(rule.homework).tasks]
            if rule.task not in tasks:
                yield (
                    (*here, "task"),
                    f'no task "{rule.task}" in {rule.homework}; {did_you_mean(rule.task, tasks)}',
                )
        if (rule.points is None) == (rule.set is None):
            yield here, "write points, as in -5 or +5, or set, as in 60, and not both"
        elif rule.points is not None and not rule.points:
            yield (*here, "points"), "0 points change nothing; write +n or -n, or set"
        elif rule.set is not None and rule.task is not None:
            yield (*here, "task"), "set is for a whole homework; for a task write points, as in -5 or +5"
        elif rule.set is not None and rule.set > TOTAL_POINTS and not rule.bonus:
            yield (
                (*here, "set"),
                f"is above the homework's {TOTAL_POINTS} points; add bonus: true if that is meant",
            )
        if rule in file.reviews[:i]:
            yield here, "the same review stands above already; remove one of the two"


# Excused, plagiarism


def _excused(known: _Known) -> dict[Key, str]:
    file = known.read(EXCUSED, _ExcusedFile, lambda file: _excused_problems(file, known))
    return {
        (login, rule.homework): rule.reason
        for rule in reversed(file.excused if file else ())  # the first reason stays
        for login in known.logins(rule, rule.homework)
    }


def _excused_problems(file: _ExcusedFile, known: _Known) -> Iterator[Problem]:
    for i, rule in enumerate(file.excused):
        yield from known.who_problems(rule, ("excused", i))
        yield from known.homework_problems(rule.homework, ("excused", i, "homework"), rule.team)


def _plagiarism(known: _Known) -> dict[str, tuple[Plagiarism, ...]]:
    file = known.read(PLAGIARISM, _PlagiarismFile, lambda file: _plagiarism_problems(file, known))
    found: dict[str, tuple[Plagiarism, ...]] = {}
    for rule in file.plagiarism if file else ():
        login = rule.student.casefold()
        found[login] = (*found.get(login, ()), Plagiarism(rule.homework, rule.reason))
    return found


def _plagiarism_problems(file: _PlagiarismFile, known: _Known) -> Iterator[Problem]:
    for i, rule in enumerate(file.plagiarism):
        yield from known.student_problems(rule.student, ("plagiarism", i, "student"))
        yield from known.homework_problems(rule.homework, ("plagiarism", i, "homework"), None)


# What is entered by hand


def _manual(known: _Known) -> dict[str, dict[str, Entered]]:
    file = known.read(MANUAL, _ManualFile, lambda file: _manual_problems(file, known))
    return {
        item.component: {
            login: _entered(graded, item.rubric or ())
            for graded in item.grades
            for login in known.logins(graded, None)
        }
        for item in (file.manual if file else ())
    }


def _entered(graded: _Graded, rubric: Sequence[_Criterion]) -> Entered:
    feedback = graded.feedback.strip()
    if graded.criteria is None:
        return Entered(graded.points or Fraction(), feedback=feedback)
    marks = [(criterion, graded.criteria[criterion.name]) for criterion in rubric]
    points = [_points_for(criterion, mark) or Fraction() for criterion, mark in marks]
    how = tuple(
        f"{criterion.name}: {mark}, {two_decimals(worth)}"
        if criterion.levels
        else f"{criterion.name}: {two_decimals(worth)} of {two_decimals(criterion.max or worth)}"
        for (criterion, mark), worth in zip(marks, points, strict=True)
    )
    return Entered(sum(points, Fraction()), how, feedback)


def _points_for(criterion: _Criterion, mark: str | Fraction) -> Fraction | None:
    """None: no level of it, or no points that it can have."""
    if criterion.levels is not None:
        return criterion.levels.get(str(mark))
    if isinstance(mark, str) or criterion.max is None or not 0 <= mark <= criterion.max:
        return None
    return mark


def _manual_problems(file: _ManualFile, known: _Known) -> Iterator[Problem]:
    components = {one.name: one for one in known.course.grade.components}
    entered = [name for name, one in components.items() if one.sort != "homework"]
    for i, item in enumerate(file.manual):
        here: Location = ("manual", i)
        component = components.get(item.component)
        if component is None:
            yield (
                (*here, "component"),
                f'no component "{item.component}" under grade in {known.course.path}; '
                + did_you_mean(item.component, entered),
            )
            continue
        if component.name not in entered:
            yield (
                (*here, "component"),
                f"{component.name} is the sum of homeworks; change their points in {REVIEWS}",
            )
            continue
        if item.component in [other.component for other in file.manual[:i]]:
            yield (*here, "component"), f"{item.component} stands above already; put all its grades there"
        rubric_problems = list(_rubric_problems(item, component, here))
        yield from rubric_problems
        if not rubric_problems:
            yield from _graded_problems(item, component, known, here)


def _rubric_problems(item: _Item, component: Component, here: Location) -> Iterator[Problem]:
    rubric = item.rubric or ()
    names = [criterion.name for criterion in rubric]
    for j, criterion in enumerate(rubric):
        where: Location = (*here, "rubric", j)
        if criterion.name in names[:j]:
            yield (*where, "name"), f'a second criterion "{criterion.name}"; remove one of the two'
        if (criterion.max is None) == (criterion.levels is None):
            yield where, "write max, or levels with their points, and not both"
    most = sum(criterion.max or max((criterion.levels or {}).values(), default=0) for criterion in rubric)
    if component.max is not None and most > component.max:
        allowed = two_decimals(component.max)
        yield (
            (*here, "rubric"),
            f"adds up to {two_decimals(Fraction(most))} where {component.name} has {allowed}; mend one of them",
        )


def _graded_problems(item: _Item, component: Component, known: _Known, here: Location) -> Iterator[Problem]:
    seen: set[str] = set()
    for j, graded in enumerate(item.grades):
        where: Location = (*here, "grades", j)
        wrong = list(known.who_problems(graded, where))
        yield from wrong
        yield from _mark_problems(graded, item.rubric or (), component, where)
        for login in () if wrong else known.logins(graded, None):
            if login in seen:
                yield where, f"{login} has a grade for {component.name} already; keep one"
            seen.add(login)


def _mark_problems(
    graded: _Graded, rubric: Sequence[_Criterion], component: Component, where: Location
) -> Iterator[Problem]:
    if (graded.points is None) == (graded.criteria is None):
        yield where, "write points, or criteria where there is a rubric, and not both"
    if graded.points is not None and component.max is not None and graded.points > component.max:
        yield (*where, "points"), f"{component.name} has at most {two_decimals(component.max)}"
    names = [criterion.name for criterion in rubric]
    for name in graded.criteria or ():
        if name not in names:
            yield (*where, "criteria", name), f"no criterion in the rubric; {did_you_mean(name, names)}"
    for criterion in rubric if graded.criteria is not None else ():
        mark = (graded.criteria or {}).get(criterion.name)
        if mark is None:
            yield (*where, "criteria"), f'says nothing of "{criterion.name}"; add it'
        elif _points_for(criterion, mark) is None:
            given = f'"{mark}"' if isinstance(mark, str) else two_decimals(mark)
            levels = ", ".join(criterion.levels or ())
            right = (
                f"one of the levels {levels}"
                if levels
                else f"0 to {two_decimals(criterion.max or Fraction())}"
            )
            yield (*where, "criteria", criterion.name), f"should be {right}, got {given}"
