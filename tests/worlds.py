"""Random courses in plain numbers, and what grades are computed from: small enough to be recomputed by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from grading.course import Course, CourseHomework
from grading.gradebook.attempts import Attempt
from grading.gradebook.compute import compute
from grading.gradebook.rules import Entered, Extension, Plagiarism, Review, Rules
from grading.gradebook.table import GradeTable
from grading.late import LatePolicy, NoPenalty, PerDay, PointsThenEvery
from grading.roster import Person, Roster
from grading.score import Digests, Outcome, TaskOutcome, build_score
from grading.teams import Team, Teams
from grading.total import Component, Grade, GradeFormula, Rounding, Waiver

DUE = datetime(2026, 10, 4, 12, tzinfo=UTC)
DAY = 24 * 60  # minutes
LOGINS = ("ada", "grace", "barbara")
NAMES = ("h0", "h1", "h2", "h3")
PER_DAY = PerDay()
HOMEWORKS_ALONE = GradeFormula()


@dataclass(frozen=True)
class Try:
    """An attempt in plain numbers: whole points of 100, and minutes after 2026-10-04 12:00 UTC."""

    holder: str
    homework: str
    points: int = 100
    at: int | None = 0
    verified: bool = True
    confined: bool = True
    error: bool = False
    commit: str = "c" * 40


@dataclass(frozen=True)
class World:
    """A course, its rules and what was handed in, in plain numbers."""

    weights: tuple[int, ...] = (1, 1, 2, 4)
    due: tuple[int | None, ...] = (0, 0, 0, 0)
    counts: str = "best"
    late: LatePolicy = PER_DAY
    formula: GradeFormula = HOMEWORKS_ALONE
    tries: tuple[Try, ...] = ()
    team_for: tuple[str, ...] = ()
    """Homeworks for which ada and grace are the team `owls`."""
    extensions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    reviews: Mapping[tuple[str, str], tuple[tuple[int | None, int | None, bool], ...]] = field(
        default_factory=dict
    )
    """Points, or what they are set to, and whether it is bonus."""
    excused: frozenset[tuple[str, str]] = frozenset()
    plagiarism: frozenset[str] = frozenset()
    manual: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)
    logins: tuple[str, ...] = LOGINS
    left_out: frozenset[str] = frozenset()
    """Homeworks that the course does not have."""


def after(minutes: int | None) -> datetime | None:
    return None if minutes is None else DUE + timedelta(minutes=minutes)


def attempt(one: Try, number: int = 0) -> Attempt:
    tests = [
        Outcome("test_right", "passed", weight=one.points),
        Outcome("test_wrong", "error" if one.error else "failed", weight=100 - one.points),
    ]
    score = build_score(
        homework=one.homework,
        tasks=[TaskOutcome("all", 100, tests)],
        policy=PER_DAY,
        timezone=UTC,
        submitted_at=after(one.at),
        student=one.holder,
        commit=one.commit,
        confined=one.confined,
        digests=Digests(),
    )
    return Attempt(score, one.verified, f"scores/{number}.json")


def parts(world: World) -> tuple[Course, Roster, Teams, Rules, list[Attempt]]:
    course = Course(
        name="Course",
        timezone="UTC",
        salt="salt",
        counts=world.counts,
        late=world.late,
        grade=world.formula,
        homeworks=tuple(
            CourseHomework(name=name, weight=Fraction(weight), deadline=after(due))
            for name, weight, due in zip(NAMES, world.weights, world.due, strict=True)
            if name not in world.left_out
        ),
        path=Path("homeworks/course.yml"),
    )
    roster = Roster(Path("roster.csv"), tuple(Person(login, last_name=login) for login in world.logins))
    teams = Teams((Team("owls", ("ada", "grace"), world.team_for),) if world.team_for else ())
    rules = Rules(
        extensions={
            key: Extension(DUE + timedelta(minutes=until), "ill") for key, until in world.extensions.items()
        },
        reviews={
            key: tuple(
                Review(
                    points=Fraction(points or 0),
                    to=None if to is None else Fraction(to),
                    bonus=bonus,
                    task=None,
                    reason="seen again",
                    feedback="",
                    by="prof",
                    at=DUE,
                )
                for points, to, bonus in reviews
            )
            for key, reviews in world.reviews.items()
        },
        excused=dict.fromkeys(world.excused, "ill"),
        plagiarism={login: (Plagiarism("h0", "copied"),) for login in world.plagiarism},
        manual={
            name: {login: Entered(points) for login, points in entered.items()}
            for name, entered in world.manual.items()
        },
    )
    return course, roster, teams, rules, [attempt(one, i) for i, one in enumerate(world.tries)]


def table(world: World) -> GradeTable:
    return compute(*parts(world))


# Any world

keys = st.tuples(st.sampled_from(LOGINS), st.sampled_from(NAMES))
minutes = st.integers(-2 * DAY, 6 * DAY) | st.sampled_from([0, 1, DAY, DAY + 1, 3 * DAY, 3 * DAY + 1])
points = st.integers(0, 100) | st.sampled_from([0, 50, 100])
tries = st.builds(
    Try,
    holder=st.sampled_from([*LOGINS, "ADA", "owls", "nobody"]),
    homework=st.sampled_from(NAMES),
    points=points,
    at=minutes | st.none(),
    verified=st.sampled_from([True, True, True, False]),
    confined=st.sampled_from([True, True, True, False]),
    error=st.sampled_from([False, False, False, False, True]),
    commit=st.sampled_from(["a" * 40, "b" * 40]),
).map(lambda one: replace(one, points=min(one.points, 99)) if one.error else one)
reviews = st.lists(
    st.tuples(st.integers(-30, 30), st.none(), st.booleans())
    | st.tuples(st.none(), st.integers(0, 100), st.just(False)),
    max_size=2,
).map(tuple)
whole = st.integers(0, 10).map(Fraction)


@st.composite
def formulas(draw: st.DrawFn) -> GradeFormula:
    some = draw(st.sampled_from([{}, {"best": 2}, {"drop_lowest": 1}, {"cap": Fraction(5)}]))
    components: list[dict[str, Any]] = [
        {"name": "homework", "weight": draw(st.sampled_from([1, Fraction(7, 10)])), **some}
    ]
    if draw(st.booleans()):
        components[0]["homeworks"] = NAMES[:3]
        components.append({"name": "last", "kind": "homework", "weight": 2, "homeworks": NAMES[3:]})
    if draw(st.booleans()):
        mark = draw(st.sampled_from([None, Fraction(4)]))
        components.append({"name": "exam", "weight": Fraction(3, 10), "max": Fraction(10), "pass_mark": mark})
    if draw(st.booleans()):
        components.append(
            {"name": "extra", "kind": "bonus", "weight": Fraction(1, 2), "cap": draw(whole) + 1}
        )
    return GradeFormula(
        components=tuple(Component(**one) for one in components),
        waivers=draw(
            st.sampled_from(
                [(), (Waiver(component="homework", at_least=Fraction(6), weight=Fraction(10, 14)),)]
            )
        ),
        cap=draw(st.sampled_from([None, Fraction(6)])),
        pass_mark=draw(st.sampled_from([None, Fraction(2)])),
        rounding=draw(st.sampled_from([None, Rounding(to=Fraction(1, 2))])),
        scale=draw(
            st.sampled_from(
                [
                    (),
                    tuple(
                        Grade(grade=name, at_least=Fraction(least))
                        for name, least in (("A", 5), ("B", 3), ("F", 0))
                    ),
                ]
            )
        ),
    )


hard = st.sampled_from([None, None, 0, 30])
policies = (
    st.builds(PerDay, hard_after_hours=hard)
    | st.builds(PointsThenEvery, at_once=st.sampled_from([Fraction(0), Fraction(2)]), hard_after_hours=hard)
    | st.builds(NoPenalty, hard_after_hours=hard)
)
worlds = st.builds(
    World,
    weights=st.tuples(*[st.integers(0, 4)] * 4),
    due=st.tuples(*[st.none() | st.integers(-DAY, DAY)] * 4),
    counts=st.sampled_from(["best", "last"]),
    late=policies,
    formula=formulas(),
    tries=st.lists(tries, max_size=8).map(tuple),
    team_for=st.sampled_from([(), ("h1",), ("h1", "h3")]),
    extensions=st.dictionaries(keys, minutes, max_size=3),
    reviews=st.dictionaries(keys, reviews, max_size=3),
    excused=st.frozensets(keys, max_size=2),
    plagiarism=st.sampled_from([frozenset(), frozenset(), frozenset({"grace"})]),
    manual=st.fixed_dictionaries(
        {},
        optional={
            "exam": st.dictionaries(st.sampled_from(LOGINS), whole),
            "extra": st.dictionaries(st.sampled_from(LOGINS), whole),
        },
    ),
    logins=st.sampled_from([LOGINS, LOGINS, LOGINS[1:], LOGINS[:2]]),
    left_out=st.sampled_from([frozenset(), frozenset(), frozenset({"h2"})]),
)

# The same course and the same work, under other rules: what may stand beside the scores

RULES = tuple(one.name for one in fields(World) if one.name != "tries")


def under(other: World, world: World, changed: Collection[str]) -> World:
    return replace(world, **{name: getattr(other, name) for name in changed})


rule_changes = st.builds(
    lambda world, other, changed: (world, under(other, world, changed)),
    worlds,
    worlds,
    st.sets(st.sampled_from(RULES), min_size=1),
)
