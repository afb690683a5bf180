"""Grades: what must hold for any course, rules and attempts, and how each grade is told."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from worlds import DAY, DUE, NAMES, Try, World, attempt, keys, minutes, parts, table, tries, worlds

from grading.course import load_course
from grading.gradebook import database
from grading.gradebook.compute import compute
from grading.gradebook.ingest import ingest, rebuild
from grading.gradebook.rules import Entered, Review, Rules
from grading.gradebook.table import HomeworkGrade, StudentGrade
from grading.late import LatePolicy, NoPenalty, PerDay, PointsThenEvery
from grading.roster import Person, Roster
from grading.teams import Teams
from grading.total import Component, Grade, GradeFormula, Rounding

ROOT = Path(__file__).parents[1]
MEMORY = (
    "/dev/shm" if Path("/dev/shm").is_dir() else None
)  # every line that the gradebook keeps waits for a disk


def row(world: World, login: str = "ada") -> StudentGrade:
    return next(student for student in table(world).students if student.person.username == login)


def homework(world: World, name: str = "h0", login: str = "ada") -> HomeworkGrade:
    return row(world, login).homeworks[NAMES.index(name)]


# Any world

any_world = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def no_less(now: StudentGrade, before: StudentGrade) -> bool:
    """Where nobody can tell, nothing is said to be less."""
    return now.total is None or before.total is None or now.total >= before.total


@given(worlds, tries)
@any_world
def test_one_more_attempt_never_lowers_a_grade_where_the_best_counts(world: World, more: Try) -> None:
    world = replace(world, counts="best")

    before, now = table(world), table(replace(world, tries=(*world.tries, more)))

    for earlier, later in zip(before.students, now.students, strict=True):
        assert no_less(later, earlier)
        for was, becomes in zip(earlier.homeworks, later.homeworks, strict=True):
            assert was.raw is None or becomes.raw is not None
            assert was.points is None or becomes.points is None or becomes.points >= was.points


@given(worlds, tries)
@any_world
def test_an_attempt_in_error_never_lowers_a_grade(world: World, more: Try) -> None:
    failed = replace(more, error=True, points=min(more.points, 99))

    before, now = table(world), table(replace(world, tries=(*world.tries, failed)))

    for earlier, later in zip(before.students, now.students, strict=True):
        assert no_less(later, earlier)
        for was, becomes in zip(earlier.homeworks, later.homeworks, strict=True):
            assert was.raw is None or was.points == becomes.points


@given(worlds, keys, minutes)
@any_world
def test_an_extension_never_lowers_a_grade(world: World, key: tuple[str, str], until: int) -> None:
    # Where the last counts, too: which one that is does not hang on the deadline.
    longer = max(until, world.extensions.get(key, until))

    before, now = table(world), table(replace(world, extensions={**world.extensions, key: longer}))

    for earlier, later in zip(before.students, now.students, strict=True):
        assert no_less(later, earlier)


@given(worlds, st.randoms(use_true_random=False))
@any_world
def test_the_order_of_attempts_does_not_matter(world: World, chance: random.Random) -> None:
    course, roster, teams, rules, attempts = parts(world)
    shuffled = list(attempts)
    chance.shuffle(shuffled)

    assert compute(course, roster, teams, rules, shuffled) == compute(course, roster, teams, rules, attempts)


@given(worlds, st.randoms(use_true_random=False))
@settings(any_world, max_examples=20)
def test_a_gradebook_gives_the_grades_of_its_files_in_whatever_order_and_how_often_they_were_taken(
    world: World, chance: random.Random
) -> None:
    assume(world.tries)
    own = [
        replace(one, verified=True, confined=True, commit=f"{i:040x}") for i, one in enumerate(world.tries)
    ]
    course, roster, teams, rules, attempts = parts(replace(world, tries=tuple(own)))
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        place = Path(directory)
        directories = [place / name for name in "abc"]
        for i, one in enumerate(attempts):
            path = chance.choice(directories) / f"{i}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(one.score.model_dump_json())
        there = [path for path in directories if path.exists()] * 2
        chance.shuffle(there)

        for path in there:
            ingest(place / "book.db", [path])

        taken, dumped = database.attempts(place / "book.db"), list(database.dump(place / "book.db"))
        rebuild(place / "book.db", there)
        assert compute(course, roster, teams, rules, taken) == compute(course, roster, teams, rules, attempts)
        assert list(database.dump(place / "book.db")) == dumped


@given(worlds)
@any_world
def test_grades_equal_those_of_a_naive_recomputation(world: World) -> None:
    for student in table(world).students:
        ends = [naive(world, student.person.username, unjudged) for unjudged in (0, 100)]

        assert student.total == (ends[0][0] if ends[0] == ends[1] else None)
        if student.grade is not None:
            assert student.grade == ends[0][1]


def naive(world: World, login: str, unjudged: int) -> tuple[Fraction, str | None]:
    """The total and grade, as one would on paper; `unjudged` is taken for what could not be judged."""
    held: dict[str, Fraction] = {}
    for component in world.formula.components:
        if component.name in ("homework", "last"):
            held[component.name] = naive_homeworks(world, login, unjudged, component)
        else:
            held[component.name] = world.manual.get(component.name, {}).get(login, Fraction(0))
        if component.cap is not None and held[component.name] > component.cap:
            held[component.name] = component.cap
    if login in world.plagiarism:
        held = dict.fromkeys(held, Fraction(0))
    found = held["homework"] * world.formula.components[0].weight + held.get("last", Fraction(0)) * 2
    if "exam" in held:
        found += held["exam"] * Fraction(3, 10)
    waived = bool(world.formula.waivers) and held["homework"] >= 6
    if waived:
        found = max(found, held["homework"] * 10 / 14)
    found += held.get("extra", Fraction(0)) / 2
    if world.formula.cap is not None:
        found = min(found, world.formula.cap)
    if world.formula.rounding is not None:
        found = Fraction(int(found * 2 + Fraction(1, 2)), 2)
    marks = {one.name: one.pass_mark for one in world.formula.components}
    failed = marks.get("exam") is not None and held["exam"] < 4 and not waived
    if world.formula.pass_mark is not None and found < 2:
        failed = True
    if not world.formula.scale:
        marked = world.formula.pass_mark is not None or marks.get("exam") is not None
        return found, ("failed" if failed else "passed") if marked else None
    if failed or found < 3:
        return found, "F"
    return found, "A" if found >= 5 else "B"


def naive_homeworks(world: World, login: str, unjudged: int, component: Component) -> Fraction:
    earned, weights, everything = [], [], []
    for name, weight, due in zip(NAMES, world.weights, world.due, strict=True):
        if weight == 0 or name in world.left_out or name not in (component.homeworks or NAMES):
            continue
        everything.append(weight)
        if (login, name) in world.excused:
            continue
        weights.append(weight)
        earned.append(naive_points(world, login, name, due, unjudged) / 100 * weight)

    def keep(values: list[Any]) -> Any:
        count = len(values)
        if component.best:
            count = min(component.best, count)
        if component.drop_lowest:
            count = max(count - component.drop_lowest, min(count, 1))
        return sum(sorted(values)[len(values) - count :], Fraction(0))

    if len(weights) == len(everything):
        return Fraction(keep(earned))
    if keep(weights) == 0:
        return Fraction(0 if unjudged == 0 else keep(everything))
    return Fraction(keep(earned)) * keep(everything) / keep(weights)


def naive_points(world: World, login: str, name: str, due: int | None, unjudged: int) -> Fraction:
    mates = {login}
    if name in world.team_for and login in ("ada", "grace"):
        mates = {"ada", "grace", "owls"}
    own = [one for one in world.tries if one.holder.lower() in mates and one.homework == name]
    verified = [one for one in own if one.verified]
    judged = [one for one in verified if one.confined and not one.error]
    left: list[tuple[int, Fraction]] = []
    for one in judged:
        late = 0
        if due is not None and one.at is not None:
            late = one.at - max(due, world.extensions.get((login, name), due))
        kept = naive_late(world.late, one.points, late) if late > 0 else Fraction(one.points)
        left.append((-(10**9) if one.at is None else one.at, kept))
    if not left:
        result = Fraction(unjudged if verified else 0)
    elif world.counts == "best":
        result = max(points for _, points in left)
    else:
        latest = max(at for at, _ in left)
        tied = [
            (one.commit, f"scores/{world.tries.index(one)}.json", points)
            for one, (at, points) in zip(judged, left, strict=True)
            if at == latest
        ]
        result = max(tied)[2]
    for points, to, bonus in world.reviews.get((login, name), ()):
        wanted = result + points if points is not None else Fraction(to or 0)
        if wanted > 100 and not bonus:
            wanted = max(result, Fraction(100)) if wanted > result else wanted
        result = max(wanted, Fraction(0))
    return result


def naive_late(policy: LatePolicy, points: int, late: int) -> Fraction:
    if policy.hard_after_hours is not None and late > policy.hard_after_hours * 60:
        return Fraction(0)
    if isinstance(policy, PerDay):
        return points * (1 - min(Fraction((late + DAY - 1) // DAY, 10), Fraction(3, 10)))
    if isinstance(policy, PointsThenEvery):
        return max(points - policy.at_once - 2 * ((late + 719) // 720), Fraction(0))
    return Fraction(points)


# The course this grew from


@pytest.mark.parametrize(
    ("homeworks", "exam", "total"),
    [
        ("5 of 14, 0.7 × 5 + 0.3 × 10", 10, "6.5"),
        ("7 of 14, the waiver: 10/14 × 7", 3, "5.8"),
        ("7 of 14, the waiver: 10/14 × 7", 0, "5"),
    ],
)
def test_the_course_this_grew_from(homeworks: str, exam: int, total: str) -> None:
    course = load_course(ROOT / "homeworks/course.yml")
    share = Fraction(int(homeworks[0]), 14)
    roster = Roster(Path("roster.csv"), (Person("ada"),))
    rules = Rules(
        reviews={
            ("ada", one.name): (Review(Fraction(), share * 100, False, None, "by hand", "", "prof", DUE),)
            for one in course.homeworks
        },
        manual={"exam": {"ada": Entered(Fraction(exam))}},
    )

    (student,) = compute(course, roster, Teams(), rules, []).students

    assert student.components == {"homework": share * 14, "exam": exam}
    assert student.total == Fraction(total)
    assert any("waiver" in line for line in student.adjustments) == (total == "5")


# One thing each


def test_everyone_of_the_roster_has_a_row_and_strangers_are_named() -> None:
    world = World(tries=(Try("Nobody", "h0"), Try("nobody", "h1"), Try("mallory", "h0")))

    grades = table(world)

    assert [student.person.username for student in grades.students] == ["ada", "barbara", "grace"]
    assert grades.unknown == ("mallory", "Nobody")
    assert {grade.state for student in grades.students for grade in student.homeworks} == {"missing"}
    assert [student.total for student in grades.students] == [0, 0, 0]


def test_how_a_late_best_attempt_after_a_review_came_about() -> None:
    world = World(
        tries=(Try("ADA", "h2", 60, at=-5), Try("ada", "h2", 95, at=DAY + 1), Try("ada", "h2", error=True, points=0)),
        reviews={("ada", "h2"): ((-5, None, False),)},
    )  # fmt: skip

    grade = homework(world, "h2")

    assert (grade.state, grade.raw, grade.days_late, grade.points) == ("graded", 95, 2, 71)
    assert grade.course_points == Fraction(142, 100)
    late = "handed in 2026-10-05 12:01:00 UTC, 2 days after 2026-10-04 12:00:00 UTC"
    assert grade.how == (
        "attempt 3 of 3 counts: the best after the penalty",
        "1 attempt left out: could not be judged",
        "raw: 95.00 of 100.00 points, commit ccccccc",
        f"late: {late}: 19.00 points lost (20.00 %), 76.00 left",
        "review: -5.00 points: 71.00 (seen again; prof, 2026-10-04)",
        "71.00 of 100.00 × 2.00 = 1.42 course points",
    )


def test_the_earliest_of_equals_counts() -> None:
    early, late = Try("ada", "h0", 70, at=-10, commit="b" * 40), Try("ada", "h0", 100, at=4 * DAY)

    assert homework(World(tries=(late, early))).commit == "b" * 40


def test_an_extension_is_for_one_student_of_a_team() -> None:
    world = World(
        tries=(Try("owls", "h1", 100, at=DAY),), team_for=("h1",), extensions={("grace", "h1"): DAY}
    )

    assert homework(world, "h1", "ada").points == 90
    extended = homework(world, "h1", "grace")
    assert extended.points == 100
    assert extended.how[0] == "extension until 2026-10-05 12:00:00 UTC: ill"
    assert homework(world, "h1", "barbara").state == "missing"


def test_the_attempt_of_one_is_its_teams_where_they_are_one() -> None:
    world = World(tries=(Try("grace", "h1"), Try("grace", "h0")), team_for=("h1",))

    assert homework(world, "h1", "ada").points == 100
    assert "handed in by grace" in " ".join(homework(world, "h1", "ada").how)
    assert homework(world, "h0", "ada").state == "missing"


@pytest.mark.parametrize("order", [1, -1])
def test_a_push_that_is_recorded_for_each_member_of_a_team_is_one_attempt_of_each(order: int) -> None:
    world = World(team_for=("h1",))
    course, roster, teams, rules, _ = parts(world)
    recorded = [attempt(Try(member, "h1")) for member in ("ada", "grace")][::order]

    found = compute(course, roster, teams, rules, recorded)

    ada, _, grace = found.students
    for student in (ada, grace):
        grade = student.homeworks[1]
        assert (grade.attempts, grade.points) == (1, 100)
        assert "handed in by" not in " ".join(grade.how)


def test_a_team_without_that_homework_is_nobody() -> None:
    assert table(World(tries=(Try("owls", "h0"),), team_for=("h1",))).unknown == ("owls",)


def test_what_was_not_verified_does_not_count_and_is_marked() -> None:
    grade = homework(World(tries=(Try("ada", "h0", verified=False),)))

    assert (grade.state, grade.verified, grade.attempts, grade.points) == ("missing", False, 1, None)
    assert grade.how == ("1 attempt left out: not verified",)


@pytest.mark.parametrize("ours", [{"error": True, "points": 0}, {"confined": False}])
def test_what_we_could_not_judge_is_no_zero(ours: dict[str, Any]) -> None:
    student = row(World(tries=(Try("ada", "h0", **ours), Try("ada", "h1"))))

    assert [grade.state for grade in student.homeworks[:2]] == ["error", "graded"]
    assert (student.components["homework"], student.total) == (None, None)


def test_what_we_could_not_judge_does_not_matter_where_the_best_are_full() -> None:
    formula = GradeFormula(components=(Component(name="homework", weight=Fraction(1), best=1),))
    world = World(
        weights=(1, 1, 1, 1), formula=formula, tries=(Try("ada", "h0", points=0, error=True), Try("ada", "h1"))
    )  # fmt: skip

    assert (row(world).components["homework"], row(world).total) == (1, 1)


def test_a_review_may_say_what_we_could_not_judge() -> None:
    world = World(
        tries=(Try("ada", "h0", points=0, error=True),), reviews={("ada", "h0"): ((None, 80, False),)}
    )

    assert (homework(world).state, homework(world).points, row(world).total) == (
        "graded",
        80,
        Fraction(8, 10),
    )


@pytest.mark.parametrize(
    ("review", "points"),
    [
        ((-70, None, False), 0),
        ((70, None, False), 100),
        ((70, None, True), 130),
        ((None, 20, False), 20),
    ],
)
def test_a_review_stays_within_the_homework_unless_it_is_bonus(
    review: tuple[int | None, int | None, bool], points: int
) -> None:
    world = World(tries=(Try("ada", "h0", 60),), reviews={("ada", "h0"): (review,)})

    assert homework(world).points == points


@pytest.mark.parametrize(("then", "points"), [(5, 110), (-5, 105), (-20, 90)])
def test_what_a_bonus_gave_stays_when_a_review_without_bonus_follows(then: int, points: int) -> None:
    world = World(tries=(Try("ada", "h0"),), reviews={("ada", "h0"): ((10, None, True), (then, None, False))})

    assert homework(world).points == points


def test_an_excused_homework_costs_nothing_and_the_rest_counts_for_the_whole() -> None:
    world = World(
        tries=(Try("ada", "h0"), Try("ada", "h1"), Try("ada", "h2", 50)), excused=frozenset({("ada", "h3")})
    )

    student = row(world)

    assert student.homeworks[3].state == "excused"
    assert student.homeworks[3].course_points is None
    assert student.total == 3 * Fraction(8, 4)
    assert student.adjustments == ("homework: excused from h3; the rest counts for the whole",)


@pytest.mark.parametrize("some", [{"best": 2}, {"drop_lowest": 1}])
def test_an_ungraded_homework_is_none_of_those_to_choose_from(some: dict[str, Any]) -> None:
    formula = GradeFormula(components=(Component(name="homework", weight=Fraction(1), **some),))
    world = World(weights=(2, 2, 2, 0), formula=formula, tries=tuple(Try("ada", name, 50) for name in NAMES))

    assert row(world).total == 2
    assert row(world).adjustments == ("homework: the best 2 of 3 count",)


def test_whoever_is_excused_from_everything_has_no_total() -> None:
    student = row(World(excused=frozenset(("ada", name) for name in NAMES)))

    assert (student.components, student.total) == ({"homework": None}, None)


def test_plagiarism_zeroes_everything_entered_by_hand_too() -> None:
    formula = GradeFormula(
        components=(
            Component(name="homework", weight=Fraction(1)),
            Component(name="exam", weight=Fraction(1)),
        ),
        scale=(Grade(grade="A", at_least=Fraction(1)), Grade(grade="F", at_least=Fraction(0))),
    )
    world = World(
        formula=formula,
        tries=(Try("ada", "h1"), Try("ada", "h2", points=0, error=True), Try("grace", "h1")),
        plagiarism=frozenset({"ada"}),
        manual={"exam": {"ada": Fraction(9), "grace": Fraction(9)}},
    )

    student = row(world)

    assert [(grade.state, grade.points) for grade in student.homeworks] == [
        ("missing", None),
        ("graded", 0),
        ("graded", 0),
        ("missing", None),
    ]
    assert (student.components, student.total, student.grade) == ({"homework": 0, "exam": 0}, 0, "F")
    assert student.adjustments == ("plagiarism in h0: copied; all work counts 0",)
    assert row(world, "grace").grade == "A"


def test_before_the_exam_the_total_is_what_there_is_and_nobody_has_passed_or_failed() -> None:
    formula = GradeFormula(
        components=(
            Component(name="homework", weight=Fraction(1)),
            Component(name="exam", weight=Fraction(1), pass_mark=Fraction(4)),
        )
    )
    before = World(formula=formula, tries=(Try("ada", "h0"),))

    student, taken = row(before), row(replace(before, manual={"exam": {}}))

    assert (student.components, student.total, student.grade) == ({"homework": 1, "exam": None}, 1, None)
    assert student.adjustments[0] == "exam: not entered yet, counts 0"
    assert (taken.components["exam"], taken.total, taken.grade) == (0, 1, "failed")


def test_two_points_at_once_and_for_every_twelve_hours() -> None:
    world = World(late=PointsThenEvery(), tries=(Try("ada", "h0", 100, at=13 * 60),))

    assert homework(world).points == 94


def test_a_hard_deadline_moves_with_the_extension() -> None:
    hard = World(late=NoPenalty(hard_after_hours=0), tries=(Try("ada", "h0", at=1),))

    assert homework(hard).points == 0
    assert homework(replace(hard, extensions={("ada", "h0"): 1})).points == 100


@pytest.mark.parametrize(("half", "total"), [("up", "1.5"), ("down", "1"), ("even", "1")])
def test_a_total_is_rounded_as_the_course_says(half: str, total: str) -> None:
    formula = GradeFormula(rounding=Rounding(to=Fraction(1, 2), half=half))  # type: ignore[arg-type]
    world = World(weights=(1, 1, 1, 1), formula=formula, tries=(Try("ada", "h0"), Try("ada", "h1", 25)))

    assert row(world).total == Fraction(total)
