"""What every table for other people has in common: how a number and a text stand in a cell, and the rows in a file.

Knows nothing of grades but that nobody may lose one unseen: what a file leaves out is said beside it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from grading.total import two_decimals

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # all but the tab
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True)
class Exported:
    """A file's bytes, and in one line each what is not in it, or not as it was, and why."""

    content: bytes
    notes: tuple[str, ...] = ()


def maybe(value: Fraction | None) -> str:
    """The number, or an empty cell where there is none."""
    return "" if value is None else two_decimals(value)


def neutralised(text: str) -> str:
    """Text that no spreadsheet takes for a formula, on one line, without control characters."""
    safe = f"'{text}" if text.startswith(FORMULA_STARTS) else text
    return CONTROL.sub(" ", safe)


def encode(rows: Iterable[Sequence[str]], *, excel: bool = False, quote_all: bool = False) -> bytes:
    """UTF-8 with line feeds; with `excel`, a byte order mark and CRLF."""
    text = io.StringIO(newline="")
    csv.writer(
        text,
        lineterminator="\r\n" if excel else "\n",
        quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL,
    ).writerows(rows)
    # a lone surrogate, which a YAML escape can make, has no UTF-8
    return text.getvalue().encode("utf-8-sig" if excel else "utf-8", "backslashreplace")
