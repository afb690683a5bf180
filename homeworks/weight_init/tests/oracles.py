"""What several test modules ask in the same way: that a tensor is filled in place, and how its numbers are spread."""

from __future__ import annotations

import math
from typing import Any

import torch

from grading.judge import assert_tensor, check


def filled(submission: Any, name: str, w: torch.Tensor, *arguments: Any, **keywords: Any) -> torch.Tensor:
    """What the function puts into w, which starts as NaN and must be filled with finite numbers."""
    with torch.no_grad():
        w.fill_(math.nan)

    getattr(submission, name)(w, *arguments, **keywords)

    check(
        not torch.isnan(w).all(),
        f"{name} left w as it was: fill the tensor itself (w.normal_(...), w.copy_(...)). Something new under the name "
        "w is lost when the function returns",
    )
    check(torch.isfinite(w).all(), f"{name} filled only part of w with numbers; the rest is NaN or infinite")
    return w.detach()


def assert_returns_it(submission: Any, name: str) -> None:
    """The result is w, filled."""
    w = torch.full((7, 5), math.nan, dtype=torch.float64)

    result = getattr(submission, name)(w)

    hint = f"{name} must fill w and return w itself"
    assert_tensor(result, shape=w.shape, dtype=w.dtype, hint=hint)
    check(torch.equal(result, w), hint)


def assert_spread(w: torch.Tensor, std: float, *, hint: str) -> None:
    """The standard deviation is right. At 6 sigma: the std of n normal numbers has itself a relative std of
    1/sqrt(2n), that of uniform ones is smaller, so a right solution fails with a probability below 2e-9."""
    ratio = w.double().std().item() / std
    margin = 6 / math.sqrt(2 * w.numel())
    off = "too small" if ratio < 1 else "too large"
    check(abs(ratio - 1) < margin, f"the standard deviation is {off}: {hint}")


def assert_centred(w: torch.Tensor, *, hint: str) -> None:
    """The mean is 0, compared with the numbers' own std, at 6 sigma (2e-9)."""
    w = w.double()
    check(w.mean().abs() <= 6 * w.square().mean().sqrt() / math.sqrt(w.numel()), f"the mean is not 0: {hint}")


def kurtosis(w: torch.Tensor) -> float:
    """3 for a normal distribution, 1.8 for a uniform one."""
    centred = w.double() - w.double().mean()
    return (centred.pow(4).mean() / centred.square().mean() ** 2).item()


def assert_random(submission: Any, name: str) -> None:
    """Two calls, two results."""
    first, second = (
        filled(submission, name, torch.empty(7, 5, dtype=torch.float64)).clone() for _ in range(2)
    )
    check(
        not torch.equal(first, second),
        f"{name} gives the same numbers at every call: is a seed fixed, or is nothing random in it?",
    )


def assert_generator_decides(submission: Any, name: str, seed: int) -> None:
    """Generators of the same seed give the same numbers, of another seed others."""
    first, again, other = (
        filled(
            submission,
            name,
            torch.empty(7, 5, dtype=torch.float64),
            generator=submission.generator(number),
        ).clone()
        for number in (seed, seed, seed + 1)
    )
    check(
        torch.equal(first, again),
        f"{name} gives other numbers with a generator of the same seed: draw with generator=generator",
    )
    check(
        not torch.equal(first, other), f"{name} gives the same numbers whatever the generator: draw from it"
    )


def assert_takes_any_tensor(submission: Any, name: str) -> None:
    """A float32 parameter that is not contiguous is filled like any other tensor."""
    w = torch.empty(5, 7).T.requires_grad_()

    w = filled(submission, name, w)

    check(w.unique().numel() > 30, f"{name} gives many entries of a 7×5 parameter the same number")
