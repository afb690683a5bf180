"""The course: its homeworks, deadlines and late policy, and how grades combine, read from `course.yml`.

The salt may come from the environment instead, so that the file can be shown. Homeworks are read one at a
time, when asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

from grading.configuration import Problem, did_you_mean, read_configuration
from grading.errors import UsageError
from grading.exact import Exact
from grading.homework import Homework, load_homework
from grading.late import LatePolicy, PerDay
from grading.strict import Configuration
from grading.total import HOMEWORK, Component, GradeFormula

SALT_VARIABLE = "GRADING_SALT"
LEAST_SALT = 16  # characters
EXAMPLE_SALT = "replace-me-or-set-GRADING_SALT"


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        known = available_timezones()
        near = did_you_mean(name, known) if known else "is the package tzdata installed?"
        hint = near if len(near) < 60 else "write one such as Europe/Berlin"
        raise ValueError(f"no such time zone; {hint}") from None
    return name


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("should be a date and time with a zone, as in 2026-10-04T23:59:00+03:00") from None


DirectoryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Salt = Annotated[str, StringConstraints(min_length=1)]
Deadline = Annotated[AwareDatetime, BeforeValidator(_moment)]


class CourseHomework(Configuration):
    """One homework in the course: what its 100 points weigh in course points, and when it is due."""

    name: DirectoryName
    weight: Annotated[Exact, Field(ge=0)]
    deadline: Deadline | None = None
    salt: Salt | None = None
    """Where students' runs grade, each homework has a salt of its own, and the course's stays at home."""


def _names_homework(pattern: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]*(\{(homework|student)\}[A-Za-z0-9._-]*)+", pattern):
        raise ValueError("should be a name with {homework} in it, and letters, digits and any of -_.")
    if (pattern.count("{homework}"), pattern.count("{student}")) != (1, 0):
        raise ValueError("should have {homework} in it once, and nothing else in braces")
    return pattern


def _names_both(pattern: str) -> str:
    _names_homework(pattern.replace("{student}", "student", 1))
    if "{student}" not in pattern:
        raise ValueError("should have {homework} and {student} in it, once each")
    return pattern


AccountName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9])*$")]
RepositoryName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


class OnGitHub(Configuration):
    """Where the course is on GitHub, and how it grades there.

    `central` says which pushes the instructor's own repository grades beside those that no run graded: none, all,
    the last of each day in the course's zone, or the last before the deadline and, after it, of each day.
    """

    organisation: AccountName
    bundle: RepositoryName = "bundle"
    template: Annotated[str, AfterValidator(_names_homework)] = "{homework}-starter"
    repository: Annotated[str, AfterValidator(_names_both)] = "{homework}-{student}"
    grade_on_push: bool = True
    central: Literal["none", "all", "last_of_day", "before_deadline"] = "none"
    pass_mark: Annotated[Exact, Field(ge=0, le=100)] | None = None
    """A push with fewer points, before any penalty, is a red run. Without it, only our failures are."""
    writes_per_minute: int = Field(default=60, gt=0)


class CourseKeys(Configuration):
    """What stands in `course.yml`."""

    name: Annotated[str, StringConstraints(min_length=1)]
    timezone: Annotated[str, AfterValidator(_is_zone)]
    salt: Salt | None = None
    time_source: Literal["pipeline_finish", "push"] = "pipeline_finish"
    counts: Literal["best", "last"] = "best"
    late: LatePolicy = PerDay()
    grade: GradeFormula = GradeFormula()
    github: OnGitHub | None = None
    homeworks: tuple[CourseHomework, ...] = Field(min_length=1)


class Course(CourseKeys):
    """A course and where it is. `homeworks_in`: where its homeworks are, if not beside the file."""

    path: Path
    homeworks_in: Path | None = None

    @property
    def directory(self) -> Path:
        return self.homeworks_in or self.path.parent

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def homework(self, name: str) -> CourseHomework:
        """The course's entry for a homework. Raises UsageError, naming those that exist."""
        for homework in self.homeworks:
            if homework.name == name:
                return homework
        known = ", ".join(homework.name for homework in self.homeworks)
        raise UsageError(f'{self.path}: no homework "{name}"; there is: {known}')

    def salt_of(self, name: str) -> str:
        """What the hidden inputs of a homework are made from: its own salt, or one derived from the course's.

        Raises UsageError where there is neither.
        """
        if own := self.homework(name).salt:
            return own
        if self.salt is None:
            raise UsageError(f"{self.path}: salt: missing; add it, or set {SALT_VARIABLE}")
        return hmac.new(self.salt.encode(), f"homework/{name}".encode(), hashlib.sha256).hexdigest()

    def secret_salt_of(self, name: str) -> str:
        """The same, where students' work is graded for good. Raises UsageError for one that could be guessed."""
        salt = self.homework(name).salt or self.salt or ""
        if salt == EXAMPLE_SALT:
            raise UsageError(self._guessable("is still the example's"))
        if salt and len(salt) < LEAST_SALT:
            raise UsageError(self._guessable(f"has fewer than {LEAST_SALT} characters"))
        return self.salt_of(name)

    def _guessable(self, what: str) -> str:
        return (
            f"{self.path}: salt: {what}, so that hidden inputs could be guessed; make one with "
            f"`python -c 'import secrets; print(secrets.token_hex(16))'` and write it there or set {SALT_VARIABLE}"
        )

    def load_homework(self, name: str) -> Homework:
        """The homework itself, from its directory. Raises UsageError."""
        return load_homework(self.directory / self.homework(name).name)


def load_course(path: Path, homeworks_in: Path | None = None) -> Course:
    """Read `course.yml`, for homeworks beside it or in another directory. The salt in GRADING_SALT, if set, replaces
    the file's. Raises UsageError with file and line.
    """
    keys = read_configuration(path, CourseKeys, lambda keys: _problems(keys, homeworks_in or path.parent))
    fields = {key: getattr(keys, key) for key in CourseKeys.model_fields}
    salt = os.environ.get(SALT_VARIABLE) or keys.salt
    return Course(**fields | {"path": path, "homeworks_in": homeworks_in, "salt": salt})


def _problems(keys: CourseKeys, directory: Path) -> Iterator[Problem]:
    names = [homework.name for homework in keys.homeworks]
    there = {found.parent.name for found in directory.glob("*/homework.yml")}
    for i, name in enumerate(names):
        if name in names[:i]:
            yield ("homeworks", i, "name"), f'a second entry for "{name}"; remove one of the two'
        deadline = keys.homeworks[i].deadline
        if deadline is not None and (slip := another_offset(deadline, ZoneInfo(keys.timezone))):
            yield ("homeworks", i, "deadline"), slip
        if name not in there:
            where = directory / name / "homework.yml"
            yield ("homeworks", i, "name"), f"there is no {where}; {did_you_mean(name, there)}"
    yield from _grade_problems(keys)


def another_offset(moment: datetime, zone: ZoneInfo) -> str:
    """What is wrong with a moment whose offset is neither the zone's at that time nor UTC's: often the clocks were
    changed in between, and the hour is another one than it looks. Nothing if it is right."""
    there = moment.astimezone(zone)
    if moment.utcoffset() in (timedelta(), there.utcoffset()):
        return ""
    meant = moment.replace(tzinfo=zone)
    return f"is {there:%H:%M} in {zone.key}, got {moment.isoformat()}; write {meant.isoformat()} if that hour is meant"


def _grade_problems(keys: CourseKeys) -> Iterator[Problem]:
    formula = keys.grade
    names = [component.name for component in formula.components]
    most: dict[str, Fraction | None] = {}
    for i, component in enumerate(formula.components):
        if component.name in names[:i]:
            yield (
                ("grade", "components", i, "name"),
                f'a second component "{component.name}"; remove one of the two',
            )
            continue
        for where, message in _component_problems(component, keys):
            yield ("grade", "components", i, *where), message
        most[component.name] = _most_of(component, keys)
    yield from _uncounted_homeworks(keys)
    for i, waiver in enumerate(formula.waivers):
        here = ("grade", "waivers", i)
        reach = most.get(waiver.component)
        if waiver.component not in names:
            yield (
                (*here, "component"),
                f'no component "{waiver.component}"; {did_you_mean(waiver.component, names)}',
            )
        elif reach is not None and waiver.at_least > reach:
            yield (
                (*here, "at_least"),
                f"can never apply: {_reached(formula, waiver.component, reach)}; lower it",
            )
    yield from _result_problems(formula, most)


def _component_problems(component: Component, keys: CourseKeys) -> Iterator[Problem]:
    """Within the component."""
    known = [homework.name for homework in keys.homeworks]
    weighing = [one.name for one in keys.homeworks if one.weight and component.sums(one.name)]
    others = ("homeworks", "best", "drop_lowest") if component.sort != HOMEWORK else ("max",)
    for key in others:
        if getattr(component, key) is not None:
            kind = "what is entered by hand" if key == "max" else "a sum of homeworks"
            yield (key,), f"is of {kind}, and this is kind {component.sort}; take it out or change kind"
    if component.sort == HOMEWORK:
        for j, name in enumerate(component.homeworks or ()):
            if name not in known:
                yield ("homeworks", j), f'no homework "{name}"; {did_you_mean(name, known)}'
        if component.best is not None and component.drop_lowest is not None:
            yield ("drop_lowest",), "says the same as best, another way; keep one of the two"
        for key, least in (("best", 0), ("drop_lowest", 1)):
            count = getattr(component, key)
            if count is not None and count + least > len(weighing):
                yield (key,), f"{len(weighing)} homeworks weigh something in it, so {count} is too many"
        if component.weight and component.homeworks and not _most_of(component, keys):
            yield ("weight",), "weighs nothing: its homeworks have weight 0; give them weights"
    if component.sort == "bonus" and component.pass_mark is not None:
        yield ("pass_mark",), "a bonus is not for passing; take it out"
    reach = _most_of(component, keys)
    if reach is not None and component.pass_mark is not None and component.pass_mark > reach:
        yield ("pass_mark",), f"can never be reached: {component.name} is at most {float(reach):g}; lower it"


def _most_of(component: Component, keys: CourseKeys) -> Fraction | None:
    return component.most(one.weight for one in keys.homeworks if component.sums(one.name))


def _uncounted_homeworks(keys: CourseKeys) -> Iterator[Problem]:
    for i, homework in enumerate(keys.homeworks):
        within = [one.name for one in keys.grade.components if one.sums(homework.name)]
        if not within and homework.weight:
            yield (
                ("homeworks", i, "weight"),
                f"{homework.name} counts in no component under grade; put it in one, or give it weight 0",
            )
        if len(within) > 1:
            yield (
                ("homeworks", i, "name"),
                f"{homework.name} counts in {' and in '.join(within)}; take it out of one, under grade",
            )


def _result_problems(formula: GradeFormula, most: Mapping[str, Fraction | None]) -> Iterator[Problem]:
    known = [one.weight * (most.get(one.name) or 0) for one in formula.components if one.sort != "bonus"]
    open_ended = [
        one.name for one in formula.components if one.sort != "bonus" and most.get(one.name) is None
    ]
    if formula.out_of is not None and open_ended:
        yield ("grade", "out_of"), f"{open_ended[0]} has no max to add up; give it one"
    elif formula.out_of is not None and sum(known) != formula.out_of:
        yield (
            ("grade", "out_of"),
            f"weights and maxima add up to {float(sum(known)):g}, not {float(formula.out_of):g}; mend one of them",
        )
    for i, (above, step) in enumerate(pairwise(formula.scale), start=1):
        if step.at_least >= above.at_least:
            yield (
                ("grade", "scale", i, "at_least"),
                f"should be below {above.grade}'s {float(above.at_least):g}; write the scale from the top down",
            )
    labels = [step.grade for step in formula.scale]
    for i, label in enumerate(labels):
        if label in labels[:i]:
            yield ("grade", "scale", i, "grade"), f'a second grade "{label}"; remove one of the two'
    if formula.has_pass_marks and formula.scale and formula.scale[-1].at_least > 0:
        yield (
            ("grade", "scale", len(formula.scale) - 1, "at_least"),
            "who misses a pass mark has the last grade; let it begin at 0",
        )
    if formula.pass_mark is not None and formula.cap is not None and formula.pass_mark > formula.cap:
        yield ("grade", "pass_mark"), f"can never be reached: the cap is {float(formula.cap):g}; lower it"


def _reached(formula: GradeFormula, name: str, most: Fraction) -> str:
    component = next(one for one in formula.components if one.name == name)
    if component.sort == HOMEWORK and component.cap is None and component.homeworks is None:
        return f"the homeworks weigh {float(most):g} points together"
    return f"{name} is at most {float(most):g}"
