"""Orthogonal weights: orthonormal columns or rows, times the gain, in no preferred direction."""

import math

import pytest
import torch
from oracles import (
    assert_generator_decides,
    assert_random,
    assert_returns_it,
    assert_takes_any_tensor,
    filled,
)

from grading.judge import assert_close, check, weight


def draw(submission, shape, *gain, dtype=torch.float64):
    return filled(submission, "orthogonal_", torch.empty(shape, dtype=dtype), *gain).flatten(1)


def assert_orthogonal(w, gain, hint, tolerance=1e-9):
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    scaled = product / gain**2
    unit = torch.eye(len(product), dtype=w.dtype)
    check(
        torch.allclose(scaled, unit, rtol=tolerance, atol=tolerance)
        or not torch.allclose(scaled, unit, rtol=1e-5, atol=1e-5),
        "right to about six digits, but no further: did it pass through float32 on the way?",
    )
    assert_close(scaled, unit, rtol=tolerance, atol=tolerance, hint=hint)


@weight(2)
def test_tall(submission):
    """A weight with more rows than columns has orthonormal columns."""
    assert_orthogonal(draw(submission, (23, 11)), 1.0, "more rows than columns: WᵀW = I")


@weight(2)
def test_wide(submission):
    """A weight with more columns than rows has orthonormal rows."""
    hint = "more columns than rows: WWᵀ = I (WᵀW cannot be I). Take the transpose of a tall one"
    assert_orthogonal(draw(submission, (11, 23)), 1.0, hint)


@weight(1)
def test_square(submission):
    """A square weight is an orthogonal matrix."""
    assert_orthogonal(draw(submission, (13, 13)), 1.0, "square: WᵀW = WWᵀ = I")


@weight(1)
@pytest.mark.parametrize("shape", [(7, 5, 3, 2), (40, 3, 2, 5)], ids=["wide", "tall"])
def test_convolution(submission, shape):
    """A convolution counts as the matrix with a row for each output channel."""
    w = draw(submission, shape)

    assert_orthogonal(w, 1.0, "a convolution: the matrix is (out, in * area), w.flatten(1)")


@weight(1)
@pytest.mark.parametrize("shape", [(11, 5), (5, 11)], ids=["tall", "wide"])
def test_gain(submission, rng, shape):
    """The gain multiplies the matrix: WᵀW or WWᵀ is gain² times the identity."""
    gain = 1.3 + rng.random()

    assert_orthogonal(draw(submission, shape, gain), gain, "the gain multiplies W itself, once")


@weight(1)
def test_float32(submission):
    """A float32 weight is orthogonal as well as float32 can."""
    w = draw(submission, (11, 5), dtype=torch.float32)

    assert_orthogonal(w.double(), 1.0, "float32: WᵀW = I to four digits", tolerance=1e-4)


@weight(1)
@pytest.mark.parametrize("shape", [(3, 2), (2, 3)], ids=["tall", "wide"])
def test_no_direction_is_preferred(submission, shape):
    """No direction is preferred: averaged over many calls, each entry of the matrix vanishes."""
    calls = 150
    total = sum(draw(submission, shape).clone() for _ in range(calls))

    # An entry of a random orthonormal column of length 3 has the mean 0 and the variance 1/3: 6 sigma, 1e-8 for six.
    check(
        (total / calls).abs().max() < 6 * math.sqrt(1 / 3 / calls),
        "some entries are not 0 on average: QR fixes the signs its own way, so multiply each column of Q by the sign "
        "of the entry of R's diagonal that belongs to it (each column, not each row)",
    )


@weight(1)
def test_new_numbers_at_every_call(submission):
    """Two calls give different matrices."""
    assert_random(submission, "orthogonal_")


@weight(1)
def test_the_result_is_w(submission):
    """The function returns the tensor that it has filled."""
    assert_returns_it(submission, "orthogonal_")


@weight(1)
def test_generator(submission, rng):
    """The generator decides what is drawn: the same seed, the same matrix."""
    assert_generator_decides(submission, "orthogonal_", int(rng.integers(1 << 30)))


@weight(1)
def test_any_tensor(submission):
    """A float32 parameter that is not contiguous is filled in place."""
    assert_takes_any_tensor(submission, "orthogonal_")
