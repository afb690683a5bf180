"""Dropout: how many are dropped, which, what becomes of the others, and what the gradient sees."""

import pytest
import torch
from oracles import (
    assert_fresh,
    assert_one_factor,
    assert_pulled_back,
    assert_scaled,
    assert_share,
    assert_without_pattern,
    at_work,
    away_from_zero,
    like,
    pulled_back,
)

from grading.judge import assert_close, assert_tensor, check, gate, weight


@gate
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [True, False])
def test_shape_and_dtype(submission, generator, dtype, training):
    """The result has the shape and the dtype of x, for x with any number of dimensions."""
    for shape in ((11,), (3, 7), (2, 3, 5, 7)):
        x = away_from_zero(generator, *shape, dtype=dtype)

        like(submission.dropout(x, 0.3, training), x, "dropout")


@weight(4)
def test_survivors(submission, generator):
    """What survives is divided by 1 - p, so that on average nothing changes; the rest is exactly 0."""
    for p, dtype in ((0.1, torch.float64), (0.3, torch.float64), (0.8, torch.float64), (0.7, torch.float32)):
        x = away_from_zero(generator, 11, 50, dtype=dtype)

        y = submission.dropout(x, p, True)

        at_work(y, x, "dropout")
        assert_scaled(y, x, p, "dropout")


@weight(1)
@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.85])
def test_share_of_the_dropped(submission, generator, p):
    """Of 100,000 entries, as many are dropped as the probability p says."""
    x = away_from_zero(generator, 250, 400)

    y = submission.dropout(x, p, True)

    assert_share(like(y, x, "dropout") == 0, p, "entries")


@weight(3)
def test_entries_are_independent(submission, generator):
    """Each entry is dropped for itself: no row, column or example shares its fate."""
    p = 0.5
    x = away_from_zero(generator, 40, 50, 60)

    y = like(submission.dropout(x, p, True), x, "dropout")

    hint = "draw one random number for each entry: torch.rand(x.shape)"
    assert_without_pattern(y == 0, p, ("first index", "second index", "third index"), hint)


@weight(2)
def test_calls_are_independent(submission, generator):
    """Each call draws a new mask, for the same x and for another one of its shape."""
    p = 0.4
    x, other = (away_from_zero(generator, 150, 200) for _ in range(2))

    first, second, third = (like(submission.dropout(each, p, True), x, "dropout") for each in (x, x, other))

    at_work(first, x, "dropout")
    assert_fresh(first, second, p, "dropout")
    assert_fresh(second, third, p, "dropout")


@weight(3)
def test_eval_mode(submission, generator):
    """With training=False nothing is dropped and nothing is scaled, whatever p is."""
    x = away_from_zero(generator, 23, 31)
    at_work(submission.dropout(x, 0.5, True), x, "dropout")

    for p in (0.5, 0.2, 0, 1):
        y = like(submission.dropout(x, p, False), x, "dropout")

        check(
            torch.equal(y, x), f"training=False, p = {p}: return x as it is, without mask and without scale"
        )


@weight(1)
def test_drop_nothing(submission, generator):
    """With p = 0 nothing changes in training either."""
    x = away_from_zero(generator, 23, 31)
    at_work(submission.dropout(x, 0.5, True), x, "dropout")

    for p in (0, 0.0):
        y = like(submission.dropout(x, p, True), x, "dropout")

        assert_close(y, x, rtol=1e-15, hint="p = 0 drops nothing and divides by 1")


@weight(2)
def test_drop_everything(submission, generator):
    """With p = 1 all is 0, and nothing NaN or infinite."""
    x = away_from_zero(generator, 23, 31)
    at_work(submission.dropout(x, 0.5, True), x, "dropout")

    for p in (1, 1.0):
        y = submission.dropout(x, p, True)

        hint = "with p = 1 the scale 1 / (1 - p) is infinite, and 0 times infinity is NaN: treat it apart"
        assert_tensor(y, finite=True, hint=hint)
        assert_close(y, torch.zeros_like(x), hint="with p = 1 every entry is dropped")


@weight(1)
def test_gradient_of_nothing(submission, generator):
    """With p = 1 the gradient is 0 (if there is one), not NaN."""
    x = away_from_zero(generator, 23, 31).requires_grad_()
    at_work(submission.dropout(x, 0.5, True), x, "dropout")

    y = submission.dropout(x, 1.0, True)

    if y.requires_grad:
        (gradient,) = torch.autograd.grad(
            y, x, torch.randn(x.shape, generator=generator).double(), allow_unused=True
        )
        if gradient is not None:
            hint = "with p = 1 the gradient is 0 everywhere; if it is NaN, autograd walks back through 0 times infinity"
            assert_close(gradient, torch.zeros_like(x), hint=hint)
    assert_close(y.detach(), torch.zeros_like(x), hint="with p = 1 every entry is dropped")


@weight(3)
def test_gradient(submission, generator):
    """The gradient goes through the same mask and the same scale as the value."""
    for p in (0.35, 0.6):
        x = away_from_zero(generator, 13, 41).requires_grad_()
        cotangent = torch.randn(x.shape, generator=generator, dtype=x.dtype)

        y = submission.dropout(x, p, True)

        at_work(y, x, "dropout")
        assert_pulled_back(y, x, p, cotangent, "dropout")


@weight(1)
def test_gradient_in_eval_mode(submission, generator):
    """In eval mode the gradient comes back as it is."""
    x = away_from_zero(generator, 13, 41).requires_grad_()
    cotangent = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    at_work(submission.dropout(x, 0.5, True), x, "dropout")

    y = submission.dropout(x, 0.3, False)

    assert_close(
        pulled_back(y, x, cotangent, "dropout"), cotangent, hint="training=False: the gradient of x itself"
    )


@weight(2)
def test_input_is_left_alone(submission, generator):
    """x itself is not changed, in training and in eval mode."""
    x = away_from_zero(generator, 13, 41)

    at_work(submission.dropout(x, 0.5, True), x, "dropout")
    submission.dropout(x, 1, True)
    submission.dropout(x, 0.5, False)

    check(not submission.changed(x), "dropout changed its argument in place: compute a new tensor instead")


@weight(1)
def test_equal_generators(submission, generator):
    """Two generators in the same state give the same result."""
    x = away_from_zero(generator, 13, 41)
    seed = int(torch.randint(1 << 40, (), generator=generator))

    first, second = (submission.dropout(x, 0.5, True, generator=submission.generator(seed)) for _ in range(2))

    at_work(first, x, "dropout")
    hint = "draw all random numbers from the generator that is passed: torch.rand(…, generator=generator)"
    assert_close(second, first, hint=hint)


@weight(1)
def test_generator_moves_on(submission, generator):
    """Two calls with one generator give two different masks, and so do two generators with different seeds."""
    p = 0.5
    x = away_from_zero(generator, 100, 200)
    seed = int(torch.randint(1 << 40, (), generator=generator))
    one, other = submission.generator(seed), submission.generator(seed + 1)

    first, second, third = (
        like(submission.dropout(x, p, True, generator=each), x, "dropout") for each in (one, one, other)
    )

    at_work(first, x, "dropout")
    moves = (
        "the numbers are drawn from the generator itself, which moves on, and not from a copy or by a seed"
    )
    assert_fresh(first, second, p, "dropout with one generator", moves)
    assert_fresh(first, third, p, "dropout with two generators", moves)


@weight(1)
def test_views(submission, generator):
    """x need not be contiguous: it may be transposed, or every second row of another tensor."""
    for x in (away_from_zero(generator, 41, 13).T, away_from_zero(generator, 26, 41)[::2]):
        y = submission.dropout(x, 0.3, True)

        at_work(y, x, "dropout of a view")
        assert_one_factor(y.detach(), x, "dropout of a view")
