"""Sigmoid, its logarithm and its integral: right values, and value and gradient finite however large x is."""

import pytest
import torch
from oracles import ask, assert_agrees, derivative, points, pulled_back

from grading.judge import assert_close, weight

FAMILY = {
    "sigmoid": lambda x: torch.special.expit(x),
    "log_sigmoid": lambda x: -torch.logaddexp(-x, torch.zeros_like(x)),
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
}
OVERFLOW = "write it with exp(-|x|), which is never larger than 1"


@weight(2)
def test_sigmoid_values(submission, generator):
    """sigmoid(x) is 1 / (1 + exp(-x)) to 1e-12, for any shape."""
    x = points(generator, scale=6.0)

    assert_agrees(
        submission, "sigmoid", x, FAMILY["sigmoid"], hint="compare with 1 / (1 + exp(-x)): mind the sign of x"
    )


@weight(2)
@pytest.mark.parametrize("name", ["log_sigmoid", "softplus"])
def test_relative_accuracy(submission, generator, name):
    """log_sigmoid and softplus are right relative to their own size, also where they are tiny."""
    x = torch.cat([points(generator), points(generator, scale=15.0)])

    # 1e-9 and not 1e-10: the library's own softplus turns linear at 20, which is off by 1e-10
    hint = f"{name} loses its digits where exp is small: log(1 + z) of a tiny z is log1p(z)"
    assert_agrees(submission, name, x, FAMILY[name], hint=hint, rtol=1e-9, atol=0.0)


@weight(1)
@pytest.mark.parametrize("name", list(FAMILY))
def test_values_far_out(submission, generator, name):
    """At ±1e4 the value is finite and right, also in float32."""
    x = far_out(generator)

    y = ask(submission, name, x)

    assert_close(
        y, FAMILY[name](x.double()).float(), rtol=1e-5, atol=1e-6, hint=f"{name} far from 0: {OVERFLOW}"
    )


@weight(2)
@pytest.mark.parametrize("name", list(FAMILY))
def test_gradients(submission, generator, name):
    """The gradient that autograd finds is right near 0 and far out, at ±1e4 in float32, and never NaN."""
    x = far_out(generator).requires_grad_()
    cotangent = 1 + torch.rand(x.shape, generator=generator)

    gradient = pulled_back(name, ask(submission, name, x), x, cotangent)

    expected = (cotangent * derivative(FAMILY[name])(x.double())).float()
    assert_close(gradient, expected, rtol=1e-4, atol=1e-5, hint=f"the gradient of {name}: {OVERFLOW}")


def far_out(generator):
    """±1e4 and ±100, where exp overflows in float32, among ordinary numbers; never 0, where |x| has a kink."""
    near = 0.1 + 3 * torch.rand(4, generator=generator)
    return torch.cat([torch.tensor([-1e4, 1e4, -100.0, 100.0]), near, -near]).reshape(3, 4)
