"""The gain of any function: of well-known ones, and of some that no table has.

All functions are such that 100,000 draws are right to .5% (one standard deviation) or better; 3% are allowed.
"""

import math

import pytest
import torch

from grading.judge import check, weight

GRID = torch.linspace(-12, 12, 40001, dtype=torch.float64)
DENSITY = torch.exp(-(GRID**2) / 2) / torch.exp(-(GRID**2) / 2).sum()


def assert_gain(submission, formula, hint):
    value = submission.gain(lambda z: formula(torch.as_tensor(z)))

    value = value.detach() if isinstance(value, torch.Tensor) else value
    try:
        mine = float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        mine = None
    check(mine is not None, "gain must return a number (whatever float() takes)")
    check(math.isfinite(mine), "the gain is NaN or infinite")
    mean_square = (formula(GRID).square() * DENSITY).sum().item()
    check(abs(mine * math.sqrt(mean_square) - 1) < 0.03, hint)


@weight(2)
def test_relu(submission, rng):
    """The gain of relu, and of c · relu, which is 1/c times as large."""
    c = 0.2 + rng.random() / 2

    for factor in (1.0, c):
        hint = "is it one over the *root* of E[f(z)²], the mean not subtracted?"
        assert_gain(submission, lambda z, factor=factor: factor * torch.relu(z), f"relu: {hint}")


@weight(1)
def test_leaky_relu(submission, rng):
    """The gain of a leaky ReLU."""
    slope = 0.5 + rng.random()

    assert_gain(
        submission,
        lambda z: torch.where(z > 0, z, slope * z),
        "leaky relu: one over the root of E[f(z)²], to which the negative side adds too",
    )


@weight(1)
def test_tanh(submission):
    """The gain of tanh, by its definition."""
    assert_gain(
        submission,
        torch.tanh,
        "tanh: one over the root of E[f(z)²]. 5/3, the library's number, is a rule of thumb and 5% off",
    )


def shifted(rng):
    a, b = 0.5 + rng.random(), 1 + rng.random()
    return lambda z: a * torch.tanh(z) + b


def wave(rng):
    a, b = 1 + 2 * rng.random(), rng.random()
    return lambda z: torch.sin(a * z + b)


def stairs(rng):
    a = 0.3 + rng.random() / 2
    return lambda z: torch.where(z > a, 2.0, -0.5).to(z.dtype)


def far_out(rng):
    a = 0.5 + rng.random() / 2
    return lambda z: torch.where(z.abs() > 1.6, a * z, 0 * z)


@weight(2)
@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (shifted, "a function with a mean that is not 0: E[f(z)²] is not the variance of f(z)"),
        (wave, "a function that no table has: compute E[f(z)²] from the f that is given, with z normal"),
        (stairs, "a function with a jump: compute E[f(z)²] from the f that is given, with z normal"),
        (far_out, "a function that is 0 for small z: z is normal, and its tails count (up to 5 or so)"),
    ],
    ids=["shifted", "wave", "stairs", "far_out"],
)
def test_any_function(submission, rng, make, hint):
    """The gain of a function that no table has."""
    assert_gain(submission, make(rng), hint)
