"""The course grade as data: a weighted sum of components, what may stand in its place, and what it is called.

Pure: no file, and no rounding but the one that the course asks for. A component is the sum of homeworks' course
points (`homework`), a number that somebody enters, such as an exam (`manual`), or such a number that is added
on top, whatever way the rest was reached (`bonus`).

In order: a homework sum keeps its best and makes up for what is excused; each component is cut at its cap; the
weighted sum or the best waiver that applies, whichever is more; plus the bonus; cut at the formula's cap;
rounded; and that is what pass marks and scale look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, StringConstraints

from grading.exact import Exact, exact
from grading.strict import Configuration

HOMEWORK = "homework"  # the component that is the sum of the homeworks
PASSED, FAILED = "passed", "failed"  # what the grade is called where there are pass marks and no scale

Kind = Literal["homework", "manual", "bonus"]


def _ratio(value: object) -> Fraction:
    """A number, or one whole number over another as in 10/14."""
    if isinstance(value, str):
        above, slash, below = (part.strip() for part in value.partition("/"))
        if slash and above.isdecimal() and below.isdecimal() and int(below):
            return exact(Fraction(int(above), int(below)))
        raise ValueError("should be a number, or one over another as in 10/14")
    return exact(value)


def _label(value: object) -> object:
    """Grades may be called 5, 4, 3: whole numbers to YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Weight = Annotated[Fraction, PlainValidator(_ratio), Field(ge=0)]
Points = Annotated[Exact, Field(ge=0)]
Positive = Annotated[Exact, Field(gt=0)]
Label = Annotated[str, BeforeValidator(_label), StringConstraints(min_length=1, max_length=40)]


class Component(Configuration):
    """A part of the grade: its name, and what one point of it weighs.

    `best` and `drop_lowest` are of a homework sum, which is of all homeworks or of those under `homeworks`, and choose
    among those with a weight; `max` is what may be entered by hand, and `cap` what counts of a component. Below its
    pass mark, a component fails the course.
    """

    name: Name
    weight: Weight
    kind: Kind | None = None
    homeworks: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    best: Annotated[int, Field(gt=0)] | None = None
    drop_lowest: Annotated[int, Field(gt=0)] | None = None
    max: Positive | None = None
    cap: Positive | None = None
    pass_mark: Points | None = None

    @property
    def sort(self) -> Kind:
        """What it is: without `kind`, the one called homework is the homeworks' sum and any other is entered."""
        return self.kind or ("homework" if self.name == HOMEWORK else "manual")

    def sums(self, homework: str) -> bool:
        """Whether a homework's points are part of it."""
        return self.sort == HOMEWORK and (self.homeworks is None or homework in self.homeworks)

    def kept(self, homeworks: int) -> int:
        """How many of so many homeworks, each with a weight, count."""
        if self.best is not None:
            return min(self.best, homeworks)
        return min(homeworks, max(1, homeworks - (self.drop_lowest or 0)))

    def most(self, weights: Iterable[Fraction]) -> Fraction | None:
        """The most points one can have in it, given its homeworks' weights. None: nobody said."""
        most = reachable(self, weights) if self.sort == HOMEWORK else self.max
        if most is None or self.cap is None:
            return most if most is not None else self.cap
        return min(most, self.cap)

    def counted(self, points: Fraction) -> Fraction:
        return points if self.cap is None else min(points, self.cap)


class Waiver(Configuration):
    """One component alone, at its own weight, for those who have at least so many points in it."""

    component: Name
    at_least: Points
    weight: Weight


class Rounding(Configuration):
    """To a multiple of `to`; `half` says where the middle goes."""

    to: Positive
    half: Literal["up", "down", "even"] = "up"


class Grade(Configuration):
    """A step of the scale: what a total of at least so many points is called."""

    grade: Label
    at_least: Points


class GradeFormula(Configuration):
    """Σ weight × component, or the best waiver that applies, whichever is more.

    `out_of` is what the components should make together, bonus aside: a check, and nothing else. Who misses a
    pass mark has the last grade of the scale; a waiver that applies stands for the other components' pass marks.
    """

    components: tuple[Component, ...] = (Component(name=HOMEWORK, weight=Fraction(1)),)
    waivers: tuple[Waiver, ...] = ()
    out_of: Positive | None = None
    cap: Positive | None = None
    pass_mark: Points | None = None
    rounding: Rounding | None = None
    scale: tuple[Grade, ...] = ()

    @property
    def has_pass_marks(self) -> bool:
        return self.pass_mark is not None or any(one.pass_mark is not None for one in self.components)


@dataclass(frozen=True, slots=True)
class Result:
    """The total, what it is called (None without scale and pass marks, or below the scale), what was done to it, and
    the sum that it began with, for a person to add up again: "" where it is one component as it is."""

    total: Fraction
    grade: str | None
    steps: tuple[str, ...]
    sum: str


def total(formula: GradeFormula, points: Mapping[str, Fraction]) -> Fraction:
    """The grade for points by component; one that is missing counts 0. A student may always have the better way."""
    return result(formula, points).total


def result(formula: GradeFormula, points: Mapping[str, Fraction]) -> Result:
    """The same, with what it is called and how it came about. More points never make less of either."""
    steps: list[str] = []
    counted: dict[str, Fraction] = {}
    for component in formula.components:
        entered = points.get(component.name, Fraction())
        counted[component.name] = component.counted(entered)
        if component.cap is not None and entered > component.cap:
            steps.append(
                f"{component.name}: {two_decimals(entered)} counts as its cap, {two_decimals(component.cap)}"
            )
    found, added = _best_way(formula, counted, steps)
    for component in formula.components:
        if component.sort == "bonus" and (extra := component.weight * counted[component.name]):
            found += extra
            steps.append(f"{component.name}: {two_decimals(extra)} on top")
    if formula.cap is not None and found > formula.cap:
        steps.append(f"{two_decimals(found)} counts as the cap, {two_decimals(formula.cap)}")
        found = formula.cap
    if formula.rounding is not None and (rounded := rounded_to(found, formula.rounding)) != found:
        steps.append(f"{two_decimals(found)} rounded to {two_decimals(rounded)}")
        found = rounded
    missed = _missed(formula, counted, found)
    return Result(found, _grade(formula, found, failed=bool(missed)), (*steps, *missed), added)


def homework_sum(
    component: Component, earned: Sequence[tuple[Fraction, Fraction]], excused: Sequence[Fraction] = ()
) -> Fraction | None:
    """The sum of course points: from points and weight of each homework that counts, and the weights of excused ones.

    With `best` or `drop_lowest`, those with the most course points are kept. An excused homework leaves the sum
    and what could be reached in it, and the rest counts for the whole: points × all that could be reached / what
    can be reached without it. None where everything that weighs is excused: there is nothing to go by.
    """
    points = sorted((points for points, weight in earned if weight), reverse=True)
    found = sum(points[: component.kept(len(points))], Fraction())
    if not excused:
        return found
    weights = [weight for _, weight in earned]
    everything, left = reachable(component, [*weights, *excused]), reachable(component, weights)
    if not left:
        return None if everything else found
    return found * everything / left


def reachable(component: Component, weights: Iterable[Fraction]) -> Fraction:
    """The most course points that homeworks of such weights make together."""
    weights = sorted((weight for weight in weights if weight), reverse=True)
    return sum(weights[: component.kept(len(weights))], Fraction())


def rounded_to(value: Fraction, rounding: Rounding) -> Fraction:
    """The nearest multiple; from the middle, `up` is to the larger one and `even` to the even multiple."""
    below, rest = divmod(value / rounding.to, 1)
    half = Fraction(1, 2)
    up = rest > half or (
        rest == half and (rounding.half == "up" or (rounding.half == "even" and below % 2 == 1))
    )
    return rounding.to * (below + up)


def two_decimals(value: Fraction) -> str:
    """For people: rounded half away from zero, once."""
    hundredths = int(abs(value) * 100 + Fraction(1, 2))
    sign = "-" if value < 0 and hundredths else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02}"


def _best_way(
    formula: GradeFormula, counted: Mapping[str, Fraction], steps: list[str]
) -> tuple[Fraction, str]:
    """The weighted sum or the best waiver, and how it is added up."""
    weighed = [one for one in formula.components if one.sort != "bonus"]
    best = sum((one.weight * counted[one.name] for one in weighed), Fraction())
    better = None
    for waiver in formula.waivers:
        if _applies(waiver, counted) and (way := waiver.weight * counted[waiver.component]) > best:
            best, better = way, waiver
    parts = [(one.weight, one.name) for one in weighed]
    if better is not None:
        parts = [(better.weight, better.component)]
        steps.append(
            f"waiver: {better.component} of at least {two_decimals(better.at_least)} counts alone, {two_decimals(best)}"
        )
    if all(weight == 1 for weight, _ in parts) and len(parts) < 2:
        return best, ""
    added = " + ".join(f"{_weight(weight)} × {name} {two_decimals(counted[name])}" for weight, name in parts)
    return best, f"{added} = {two_decimals(best)}"


def _weight(weight: Fraction) -> str:
    """As somebody would write it: 0.7, or 5/7."""
    return f"{float(weight):g}" if 100 * weight % 1 == 0 else str(weight)


def _applies(waiver: Waiver, counted: Mapping[str, Fraction]) -> bool:
    return counted.get(waiver.component, Fraction()) >= waiver.at_least


def _missed(formula: GradeFormula, counted: Mapping[str, Fraction], found: Fraction) -> list[str]:
    missed = {
        one.name: f"not passed: {one.name} {_below(counted[one.name], one.pass_mark)}"
        for one in formula.components
        if one.pass_mark is not None and counted[one.name] < one.pass_mark
    }
    if any(_applies(waiver, counted) and waiver.component not in missed for waiver in formula.waivers):
        missed = {}
    lines = list(missed.values())
    if formula.pass_mark is not None and found < formula.pass_mark:
        lines.append(f"not passed: the total {_below(found, formula.pass_mark)}")
    return lines


def _below(points: Fraction, mark: Fraction) -> str:
    """What is compared is exact, what is read is rounded: the two may look alike."""
    less, more = two_decimals(points), two_decimals(mark)
    return f"{less} is below {more}" if less != more else f"just misses {more}"


def _grade(formula: GradeFormula, found: Fraction, *, failed: bool) -> str | None:
    if failed:
        return formula.scale[-1].grade if formula.scale else FAILED
    if formula.scale:
        return next((step.grade for step in formula.scale if found >= step.at_least), None)
    return PASSED if formula.has_pass_marks else None
