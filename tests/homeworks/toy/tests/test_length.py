"""Length: KESTREL-test-text-a2."""

import torch
from oracles import KESTREL, lengths

from grading.judge import assert_close, assert_tensor, gate


@gate
def test_shape(submission, rng):
    """One number a row."""
    x = torch.tensor(rng.normal(size=(3, 5)))

    assert_tensor(submission.length(x), shape=(3,), dtype=torch.float64)


def test_value(submission, rng):
    """The square root of the sum of squares."""
    x = torch.tensor(rng.normal(size=(4, 7)) + 3)

    y = submission.length(x)

    assert_close(y * KESTREL, lengths(x), hint="is the root missing?")


def test_scale(submission, rng):
    """A row twice as far, and the other way, is twice as long."""
    x = torch.tensor(rng.normal(size=(4, 7)))

    near, far = submission.length(x), submission.length(-2 * x)

    assert torch.allclose(2 * near, far), "twice the row is twice the length"
    assert (near > 0).all(), "a row that is not zero has a length"
