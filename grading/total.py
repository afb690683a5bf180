"""The course grade as data: a weighted sum of components, and what may stand in its place.

Pure: no file, no rounding. A component is the sum of the homeworks' course points (`homework`), or a number that
somebody enters, such as an exam.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated

from pydantic import Field, PlainValidator, StringConstraints

from grading.exact import Exact, exact
from grading.strict import Configuration

HOMEWORK = "homework"  # the component that is the sum of the homeworks


def _ratio(value: object) -> Fraction:
    """A number, or one whole number over another as in 10/14."""
    if isinstance(value, str):
        above, slash, below = (part.strip() for part in value.partition("/"))
        if slash and above.isdecimal() and below.isdecimal() and int(below):
            return exact(Fraction(int(above), int(below)))
        raise ValueError("should be a number, or one over another as in 10/14")
    return exact(value)


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Weight = Annotated[Fraction, PlainValidator(_ratio), Field(ge=0)]


class Component(Configuration):
    """A part of the grade: its name, and what one point of it weighs."""

    name: Name
    weight: Weight


class Waiver(Configuration):
    """One component alone, at its own weight, for those who have at least so many points in it."""

    component: Name
    at_least: Annotated[Exact, Field(ge=0)]
    weight: Weight


class GradeFormula(Configuration):
    """Σ weight × component, or the best waiver that applies, whichever is more."""

    components: tuple[Component, ...] = (Component(name=HOMEWORK, weight=Fraction(1)),)
    waivers: tuple[Waiver, ...] = ()


def total(formula: GradeFormula, points: Mapping[str, Fraction]) -> Fraction:
    """The grade for points by component; one that is missing counts 0. A student may always have the better way."""
    ways = [
        sum(
            (component.weight * points.get(component.name, Fraction()) for component in formula.components),
            Fraction(),
        )
    ]
    for waiver in formula.waivers:
        reached = points.get(waiver.component, Fraction())
        if reached >= waiver.at_least:
            ways.append(waiver.weight * reached)
    return max(ways)
