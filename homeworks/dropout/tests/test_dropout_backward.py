"""Dropout by hand, forwards and backwards: what the pass back remembers of the pass before."""

import torch
from oracles import (
    assert_fresh,
    assert_one_factor,
    assert_scaled,
    assert_share,
    assert_without_pattern,
    at_work,
    away_from_zero,
    like,
    parts,
    share,
)

from grading.judge import assert_close, assert_tensor, check, gate, weight

WRONG_MASK = (
    "multiply g by the mask and the scale of this very forward pass, which dropout_forward put into the cache"
)


@gate
def test_what_they_return(submission, generator):
    """dropout_forward returns y, like x, and a cache; dropout_backward returns a tensor like g."""
    for training in (True, False):
        for dtype in (torch.float32, torch.float64):
            x = away_from_zero(generator, 3, 5, 7, dtype=dtype)
            g = torch.randn(3, 5, 7, generator=generator, dtype=dtype)

            _, cache = forward(submission, x, 0.4, training)

            like(submission.dropout_backward(g, cache), g, "dropout_backward")


# A cache may be a list of tuples, and what a call returns has at most 20,000 parts: below, x has some 3,000 entries
# at most.


@weight(1)
def test_forward_pass(submission, generator):
    """dropout_forward drops entries with probability p, each for itself, and divides the others by 1 - p."""
    hint = "draw one random number for each entry"
    for shape in ((40, 2, 38), (2, 39, 38)):
        x = away_from_zero(generator, *shape)

        first, second = (forward(submission, x, 0.5, True)[0] for _ in range(2))

        assert_without_pattern(first == 0, 0.5, ("first index", "second index", "third index"), hint)
        assert_fresh(first, second, 0.5, "dropout_forward")

    x = away_from_zero(generator, 40, 50)
    passes = torch.stack([forward(submission, x, 0.2, True)[0] for _ in range(16)])
    assert_scaled(passes, x.expand(16, 40, 50), 0.2, "dropout_forward")
    assert_share(passes == 0, 0.2, "entries")


@weight(4)
def test_same_mask_and_scale(submission, generator):
    """The gradient is 0 where x was dropped, and g / (1 - p) where it survived."""
    for p, dtype in ((0.3, torch.float64), (0.75, torch.float64), (0.7, torch.float32)):
        x = away_from_zero(generator, 17, 29, dtype=dtype)
        g = torch.randn(17, 29, generator=generator, dtype=dtype)

        y, cache = forward(submission, x, p, True)
        gradient = submission.dropout_backward(g, cache)

        at_work(y, x, "dropout_forward")
        assert_close(
            gradient, expected(g, y, p), rtol=1e-10 if dtype == torch.float64 else 1e-6, hint=WRONG_MASK
        )


@weight(2)
def test_each_pass_has_its_own_cache(submission, generator):
    """Several forward passes may wait for their gradients, which come in any order, and twice if asked for twice."""
    xs = [away_from_zero(generator, 17, 29) for _ in range(3)]
    g = torch.randn(17, 29, generator=generator, dtype=torch.float64)

    passes = [(p, *forward(submission, x, p, True)) for x, p in zip(xs, (0.3, 0.6, 0.3), strict=True)]

    for number in (1, 0, 2, 0):
        p, y, cache = passes[number]
        at_work(y, xs[number], "dropout_forward")
        hint = (
            "keep what the pass back needs in the cache, not in a global variable, and change nothing in it"
        )
        assert_close(submission.dropout_backward(g, cache), expected(g, y, p), hint=hint)


@weight(2)
def test_where_x_is_zero(submission, generator):
    """An entry of x that is 0 is not the same as a dropped one: it has a gradient if it survived."""
    p = 0.3
    hint = "the mask cannot be read off y, which is 0 wherever x is: keep it in the cache"
    dropped = []
    for _ in range(8):
        x, g = (away_from_zero(generator, 40, 50) for _ in range(2))
        x[x < 0] = 0.0

        y, cache = forward(submission, x, p, True)
        gradient = submission.dropout_backward(g, cache)

        assert_tensor(gradient, shape=g.shape, dtype=g.dtype, hint=hint)
        assert_one_factor(gradient, g, "dropout_backward")
        check(torch.equal(gradient[x != 0] == 0, y[x != 0] == 0), WRONG_MASK)
        dropped.append([share(gradient[where] == 0) for where in (x == 0, x != 0)])

    # Of 8,000 entries each: 0.1 is 14 standard deviations of the difference.
    zero, other = torch.tensor(dropped).mean(dim=0).tolist()
    check(abs(zero - other) < 0.1, f"entries where x is 0 are to be dropped as often as others: {hint}")


@weight(2)
def test_eval_mode(submission, generator):
    """With training=False y is x and the gradient is g."""
    x = away_from_zero(generator, 17, 29)
    g = torch.randn(17, 29, generator=generator, dtype=torch.float64)
    at_work(forward(submission, x, 0.5, True)[0], x, "dropout_forward")

    for p in (0.5, 1):
        y, cache = forward(submission, x, p, False)

        check(torch.equal(y, x), f"dropout_forward with training=False, p = {p}: y is x as it is")
        hint = f"with training=False, p = {p}, neither mask nor scale: the gradient is g"
        assert_close(submission.dropout_backward(g, cache), g, rtol=1e-15, hint=hint)


@weight(1)
def test_edges(submission, generator):
    """With p = 1 value and gradient are 0, with p = 0 they come through as they are."""
    x = away_from_zero(generator, 17, 29)
    g = torch.randn(17, 29, generator=generator, dtype=torch.float64)
    at_work(forward(submission, x, 0.5, True)[0], x, "dropout_forward")

    for p in (1, 0):
        y, cache = forward(submission, x, p, True)

        hint = f"p = {p}" + (
            ": 1 / (1 - p) is infinite, and 0 times infinity is NaN" if p else " drops nothing"
        )
        assert_close(y, x * (1 - p), rtol=1e-15, hint=hint)
        assert_close(
            submission.dropout_backward(g, cache), g * (1 - p), rtol=1e-15, hint=f"the gradient, {hint}"
        )


@weight(1)
def test_arguments_are_left_alone(submission, generator):
    """Neither x nor g is changed in place."""
    x = away_from_zero(generator, 17, 29)
    g = torch.randn(17, 29, generator=generator, dtype=torch.float64)

    y, cache = forward(submission, x, 0.4, True)
    submission.dropout_backward(g, cache)

    at_work(y, x, "dropout_forward")
    check(not submission.changed(x), "dropout_forward changed x in place: compute a new tensor instead")
    check(not submission.changed(g), "dropout_backward changed g in place: compute a new tensor instead")


@weight(1)
def test_generator(submission, generator):
    """Two generators in the same state give the same y, and one moves on from call to call."""
    x = away_from_zero(generator, 17, 29)
    seed = int(torch.randint(1 << 40, (), generator=generator))
    one, other = (submission.generator(seed) for _ in range(2))

    first, again, second = (forward(submission, x, 0.4, True, each)[0] for each in (one, other, one))

    at_work(first, x, "dropout_forward")
    check(torch.equal(first, again), "dropout_forward must draw from the generator that is passed")
    check(
        not torch.equal(first, second),
        "dropout_forward: two calls with one generator gave the same mask. Draw from the generator itself, which "
        "moves on, and not from a copy or by a seed",
    )


@weight(1)
def test_views(submission, generator):
    """x and g need not be contiguous: they may be transposed."""
    x, g = (away_from_zero(generator, 29, 17).T for _ in range(2))

    y, cache = forward(submission, x, 0.3, True)
    gradient = submission.dropout_backward(g, cache)

    at_work(y, x, "dropout_forward of a transposed x")
    assert_one_factor(y, x, "dropout_forward of a transposed x")
    assert_one_factor(like(gradient, g, "dropout_backward"), g, "dropout_backward of a transposed g")
    check(torch.equal(gradient == 0, y == 0), WRONG_MASK)


def forward(submission, x, *others):
    """y, known to be like x, and the cache."""
    y, cache = parts(submission.dropout_forward(x, *others), ("y", "cache"), "dropout_forward")
    return like(y, x, "dropout_forward"), cache


def expected(g, y, p):
    return torch.where(y == 0, torch.zeros_like(g), g / (1 - p))
