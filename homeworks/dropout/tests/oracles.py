"""What several test modules ask of anything that drops: which entries, how many, and with what they have in common.

No random stream is pinned. A share of n draws is accepted within six standard deviations of a binomial, which a right
solution misses by chance with probability 2e-9; less variance (exactly k of n dropped, say) is as good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from grading.judge import assert_close, assert_tensor, check

KEEP = (
    "p is the probability to drop, not to keep; a uniform number in [0, 1) is compared with it; and each is dropped "
    "for itself, by a random number of its own"
)


def away_from_zero(
    generator: torch.Generator, *shape: int, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Random numbers of both signs, none of them near 0, so that a 0 in the result was dropped. Contiguous."""
    x = torch.randn(shape, generator=generator, dtype=dtype)
    return x + x.sign()


def like(y: Any, x: torch.Tensor, what: str) -> torch.Tensor:
    """The result, if it is a tensor of x's shape and dtype."""
    given = f"{str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}"
    hint = f"{what} was given {given} and must return the same shape and dtype"
    return assert_tensor(y, shape=x.shape, dtype=x.dtype, finite=False, hint=hint).detach()


def at_work(y: Any, x: torch.Tensor, what: str) -> None:
    """In training, with p well inside (0, 1), a large x is dropped in part. (Else the test at hand proves nothing.)"""
    dropped = like(y, x, what) == 0
    check(bool(dropped.any()), f"{what} drops nothing in training")
    check(not bool(dropped.all()), f"{what} drops everything in training")


def assert_scaled(y: torch.Tensor, x: torch.Tensor, p: float, what: str) -> None:
    """Every entry is 0 or x / (1 - p)."""
    expected = torch.where(y == 0, torch.zeros_like(x), x / (1 - p))
    hint = f"{what} with p = {p}: what is not set to 0 is divided by 1 - p, the same number for every entry"
    rtol = 1e-10 if x.dtype == torch.float64 else 1e-6
    check(torch.isfinite(y).all(), f"{what} with p = {p} returns a NaN or an infinity")
    assert_close(y, expected, rtol=rtol, hint=hint)


def assert_one_factor(y: torch.Tensor, x: torch.Tensor, what: str) -> None:
    """Every entry is 0 or x times a number that is the same for all (whichever it is)."""
    factors = y[y != 0] / x[y != 0]
    hint = f"{what}: an entry is neither 0 nor the x at its own place, scaled"
    assert_close(factors, factors[:1].expand(len(factors)), rtol=1e-6, hint=hint)


def assert_share(dropped: torch.Tensor, p: float, what: str, hint: str = KEEP) -> None:
    """The share of the dropped is p, up to six standard deviations."""
    check(
        abs(share(dropped) - p) <= six_sigma(p, dropped.numel()),
        f"the share of {what} that is dropped is wrong. {hint}",
    )


def assert_without_pattern(dropped: torch.Tensor, p: float, axes: tuple[str, ...], hint: str) -> None:
    """Whatever one index, or two of three indices, are held at, the share of the dropped is p.

    In the largest that is used, (40, 50, 60), that asks 7,500 shares: false alarm below 2e-5.
    """
    for fixed, lines in slices(dropped.double()):
        n = dropped.numel() // lines.numel()
        off = (lines - p).abs().max().item()
        held = " and ".join(axes[axis] for axis in fixed)
        check(
            off <= six_sigma(p, n), f"too many, or too few, are dropped for one and the same {held}. {hint}"
        )


def slices(x: torch.Tensor) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
    """Means of x with one or two of its axes held."""
    every = range(x.dim())
    for held in [(a,) for a in every] + [(a, b) for a in every for b in every if a < b]:
        others = [axis for axis in every if axis not in held]
        if others:
            yield held, x.mean(dim=others)


def assert_fresh(
    first: torch.Tensor,
    second: torch.Tensor,
    p: float,
    what: str,
    hint: str = "draw new random numbers in every call (and do not set a seed)",
) -> None:
    """Two calls drop the same entry with probability p², as they do if they are independent.

    Given how many each of them drops, the number that both drop is hypergeometric, no wider than a binomial.
    """
    both = share((first == 0) & (second == 0))
    check(
        abs(both - p * p) <= six_sigma(p * p, first.numel()),
        f"two calls of {what} in a row are not independent: {hint}",
    )


def assert_pulled_back(
    y: torch.Tensor, x: torch.Tensor, p: float, cotangent: torch.Tensor, what: str
) -> None:
    """The gradient with respect to x is the cotangent where y is not 0, over 1 - p."""
    gradient = pulled_back(y, x, cotangent, what)
    kept = y.detach() != 0
    hint = f"the gradient of {what} is 0 where x was dropped, else g / (1 - p)"
    assert_close(gradient, torch.where(kept, cotangent / (1 - p), torch.zeros_like(cotangent)), hint=hint)


def pulled_back(y: torch.Tensor, x: torch.Tensor, cotangent: torch.Tensor, what: str) -> torch.Tensor:
    """The gradient with respect to x of (y * cotangent).sum(), through the submission's own graph."""
    lost = f"the result of {what} has no gradient: detach, .data, .item() and NumPy cut it off"
    check(y.requires_grad, lost)
    (gradient,) = torch.autograd.grad(y, x, cotangent, allow_unused=True)
    check(gradient is not None, lost)
    return assert_tensor(gradient, shape=x.shape, hint=f"the gradient of {what}: 0 times infinity is NaN")


def parts(result: Any, names: tuple[str, ...], what: str) -> list[Any]:
    """The things that a function returns, if there are as many as there are names."""
    check(
        isinstance(result, tuple | list) and len(result) == len(names),
        f"{what} must return {len(names)} things: {', '.join(names)}",
    )
    return list(result)


def share(condition: torch.Tensor) -> float:
    return condition.double().mean().item()


def six_sigma(p: float, n: int) -> float:
    return 6 * (p * (1 - p) / n) ** 0.5 + 1e-9
