"""What several test modules ask in the same way, and byte-pair encoding and n-grams as the judge does them.

Nothing here keeps a graph or a gradient that could reach the submission.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from grading.judge import assert_close, assert_tensor, check

Pair = tuple[int, int]


def number(value: Any, what: str) -> float:
    """A plain number as a float, also where it comes as an array or tensor without dimensions."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    scalar = isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 0
    check(plain or scalar, f"{what} must be a number, not {kind(value)}")
    result = float(value)
    check(math.isfinite(result), f"{what} is NaN or infinite")
    return result


def whole(value: Any) -> int | None:
    """A whole number as an int, also where it comes as an array or tensor without dimensions; else None."""
    if isinstance(value, np.ndarray | torch.Tensor) and value.ndim == 0:
        value = value.item()
    return value if type(value) is int else None


def kind(value: Any) -> str:
    return "None (is a return missing?)" if value is None else f"a {type(value).__name__}"


def left_alone(submission: Any, name: str, *arguments: Any) -> Any:
    """What the function of that name returns for arguments whose lists it must leave as they are."""
    result, same = submission.support.watched(getattr(submission, name), *arguments)
    check(same is True, f"{name} changed a list that it was given: make a new one instead")
    return result


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Standard normal float64 numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def assert_right(actual: Any, expected: torch.Tensor, *, hint: str) -> None:
    """assert_close for float64 tensors; a result that is as good as float32 is told so, before the hint."""
    assert_tensor(actual, shape=expected.shape, dtype=expected.dtype, finite=False, hint=hint)
    single = torch.allclose(actual, expected, rtol=1e-5, atol=1e-6)
    check(
        torch.allclose(actual, expected, rtol=1e-9, atol=1e-11) or not single,
        "right to about six digits, but no further: did it pass through float32 on the way? A new tensor needs "
        f"dtype=x.dtype. If not: {hint}",
    )
    assert_close(actual, expected, rtol=1e-9, atol=1e-11, hint=hint)


# Byte-pair encoding


def merges_of(text: str, count: int) -> list[tuple[Pair, bool]]:
    """The merges, each with whether it was the only most frequent pair."""
    ids, merges = list(text.encode()), []
    while len(merges) < count and len(ids) > 1:
        counts = Counter(pairwise(ids))
        most = max(counts.values())
        best = sorted(pair for pair, times in counts.items() if times == most)
        merges.append((best[-1], len(best) == 1))
        ids = merged(ids, best[-1], 255 + len(merges))
    return merges


def merged(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    result, i = [], 0
    while i < len(ids):
        here = tuple(ids[i : i + 2]) == pair
        result.append(new if here else ids[i])
        i += 2 if here else 1
    return result


def encoded(text: str, merges: Sequence[Pair]) -> list[int]:
    ids = list(text.encode())
    for new, pair in enumerate(merges, 256):
        ids = merged(ids, pair, new)
    return ids


def words(rng: np.random.Generator, letters: str, count: int) -> str:
    """A text of `count` words, some of them frequent, from a small lexicon."""
    lexicon = ["".join(rng.choice(list(letters), size=rng.integers(2, 6))) for _ in range(12)]
    shares = 1 / np.arange(1, 13)
    return " ".join(rng.choice(lexicon, size=count, p=shares / shares.sum()))


def text_without_ties(rng: np.random.Generator, letters: str, count: int) -> tuple[str, list[Pair]]:
    """A text with its first `count` merges, at each of which one pair is the most frequent."""
    while True:
        text = words(rng, letters, 120)
        merges = merges_of(text, count)
        if all(alone for _, alone in merges):
            return text, [pair for pair, _ in merges]


# n-grams


class Grams:
    """The n-gram model of a text, smoothed by k."""

    def __init__(self, text: str, n: int, k: float) -> None:
        self.n, self.k = n, k
        self.size = len(set(text)) + 1
        self.windows: Counter[str] = Counter()
        self.contexts: Counter[str] = Counter()
        for context, char in self.asked(text):
            self.windows[context + char] += 1
            self.contexts[context] += 1

    def asked(self, text: str) -> Iterator[tuple[str, str]]:
        """Each character of a text with its context."""
        padded = "\n" * (self.n - 1) + text
        for i, char in enumerate(text):
            yield padded[i : i + self.n - 1], char

    def probability(self, context: str, char: str) -> float:
        """For a context of n - 1 characters."""
        return (self.windows[context + char] + self.k) / (self.contexts[context] + self.k * self.size)

    def bits(self, text: str) -> float:
        logs = [math.log2(self.probability(context, char)) for context, char in self.asked(text)]
        return -math.fsum(logs) / len(logs)
