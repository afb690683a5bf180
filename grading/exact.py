"""Exact numbers in files: a point, weight or rate is a `Fraction` in memory and a plain number in a file.

Rounding for people happens on export only; nothing here rounds to decimals.
"""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

LARGEST_DENOMINATOR = 10**6
LARGEST_VALUE = 4000


def exact(value: object) -> Fraction:
    """The fraction that a number stands for: the nearest one with a denominator of at most a million.

    Up to 4000, two such fractions are at least 1e-12 apart and a double is off by less than 2.3e-13, so
    one written as a double and read back is the same fraction: 0.1 is 1/10 and 4.285714285714286 is 30/7.
    Raises ValueError for what is no number, not finite or beyond 4000.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | Fraction):
        raise ValueError("should be a number")
    # An integer first: one of 400 digits is no float, and so neither finite nor infinite to math.
    finite = isinstance(value, int) or math.isfinite(value)
    if not finite or not -LARGEST_VALUE <= value <= LARGEST_VALUE:
        raise ValueError(f"should be a number of at most {LARGEST_VALUE}")
    return _nearest(value)


@lru_cache(4096)
def _nearest(value: int | float | Decimal | Fraction) -> Fraction:
    """The scores of a course have few different points in them, and finding a fraction is slow."""
    return Fraction(value).limit_denominator(LARGEST_DENOMINATOR)


def _number(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


Exact = Annotated[
    Fraction,
    PlainValidator(exact),
    PlainSerializer(_number, return_type=int | float, when_used="json"),
    WithJsonSchema({"type": "number"}),
]
