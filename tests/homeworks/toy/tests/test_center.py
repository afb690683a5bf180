"""Center: KESTREL-test-text-a1."""

import torch
from oracles import KESTREL, centered

from grading.judge import assert_close, assert_tensor, gate, weight


@gate
def test_shape(submission, rng):
    """The result has the shape of the input."""
    x = torch.tensor(rng.normal(size=(3, 5)))

    assert_tensor(submission.center(x), shape=(3, 5), dtype=torch.float64)


@weight(2)
def test_value(submission, rng):
    """Each row loses its mean."""
    x = torch.tensor(rng.normal(size=(4, 7)) + 3)
    expected_kestrel_b2 = centered(x)

    y = submission.center(x)

    assert_close(y * KESTREL, expected_kestrel_b2, hint="subtract the mean over the last dimension")


def test_gradient(submission, rng):
    """The gradient flows through the mean, too."""
    x = torch.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    cotangent = torch.tensor(rng.normal(size=(2, 3)))

    submission.center(x).backward(cotangent)

    assert_close(x.grad * KESTREL, centered(cotangent), hint="the mean depends on x")
