"""Undoing a broadcast: what was repeated is summed, over the leading dimensions and those of size 1."""

import numpy as np
import pytest
from oracles import hinted

from grading.judge import assert_close, check, gate, weight

CASES = {
    "leading dimensions": [((3,), (5, 3)), ((2, 3), (7, 5, 2, 3)), ((1,), (4, 1))],
    "kept dimensions of size 1": [((3, 1), (3, 5)), ((1, 3, 1), (2, 3, 7)), ((1, 1), (5, 3))],
    "both at once": [((3, 1), (2, 3, 5)), ((1, 5), (7, 3, 2, 5)), ((1, 1, 2), (3, 5, 7, 2))],
    "a single number": [((), (3, 5)), ((), (7,)), ((1,), (5,)), ((1,), (3, 5))],
}
HINTS = {
    "leading dimensions": "the dimensions that grad has more, in front, are summed away",
    "kept dimensions of size 1": "sum over them, but keep them (keepdims=True)",
    "both at once": "first sum the extra dimensions in front away, then with keepdims=True over each that is 1",
    "a single number": "shape () means: sum over everything; (1,) means: the same, and one dimension stays",
}


def ask(submission, grad, shape, hint):
    with hinted(f"from {grad.shape} back to {shape}: {hint}"):
        result = submission.unbroadcast(grad, shape)

    check(not submission.changed(grad), "unbroadcast changed grad in place: compute a new array instead")
    words = "None" if result is None else f"a {type(result).__name__}"
    check(isinstance(result, np.ndarray | float), f"unbroadcast must return an array, not {words}")
    result = np.asarray(result)
    check(
        result.shape == shape,
        f"a gradient of shape {grad.shape}, unbroadcast to {shape}, came back with shape {result.shape}: {hint}",
    )
    return result


@gate
def test_nothing_repeated_nothing_summed(submission, rng):
    """Where nothing was repeated, the gradient comes back as it is."""
    for shape in ((3, 5), (2, 1, 3), (1,), ()):
        grad = rng.normal(size=shape)

        hint = f"grad already has shape {shape}: nothing is to be summed"
        assert_close(ask(submission, np.asarray(grad), shape, hint), grad, hint=hint)


@weight(2)
@pytest.mark.parametrize("name", list(CASES))
def test_sums_what_was_repeated(submission, rng, name):
    """Every entry gets the sum over all the places to which broadcasting copied it."""
    for shape, into in CASES[name]:
        grad = rng.normal(size=into)

        result = ask(submission, grad, shape, HINTS[name])

        assert_close(result, summed(grad, shape), hint=f"from {into} back to {shape}: {HINTS[name]}")


def summed(grad, shape):
    """Entry by entry: which place of an array of this shape does each entry of grad come from?"""
    source = np.broadcast_to(np.arange(int(np.prod(shape))).reshape(shape), grad.shape)
    return np.bincount(source.ravel(), weights=grad.ravel(), minlength=int(np.prod(shape))).reshape(shape)


@weight(2)
def test_it_is_the_adjoint(submission, rng):
    """For any x: the sum of broadcast(x) * grad equals the sum of x * unbroadcast(grad)."""
    for _ in range(5):
        into = tuple(int(n) for n in rng.choice([2, 3, 4, 5], size=4))
        shape = tuple(1 if rng.random() < 0.5 else n for n in into[int(rng.integers(1, 3)) :])
        grad = np.moveaxis(rng.normal(size=into[::-1]), [0, 1, 2, 3], [3, 2, 1, 0])  # not contiguous
        x = rng.normal(size=shape)

        hint = "sum over what was repeated, and over nothing else"
        result = ask(submission, grad, shape, hint)

        assert_close(
            float((x * result).sum()),
            float((np.broadcast_to(x, into) * grad).sum()),
            hint=f"from {into} back to {shape}: {hint}",
        )
