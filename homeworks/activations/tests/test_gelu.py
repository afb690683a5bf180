"""GELU, exact and by the tanh formula, and as an autograd function with a derivative by hand."""

import math

import torch
from oracles import ask, assert_agrees, assert_right, derivative, points, pulled_back

from grading.judge import assert_close, assert_tensor, check, weight


def exact(x):
    return x * torch.special.ndtr(x)


def by_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@weight(4)
def test_exact(submission, generator):
    """gelu(x) is x times the normal distribution function, exactly, when nothing else is said."""
    hint = (
        "x/2 * (1 + erf(x/√2)). Off in the fourth digit is the tanh formula, off in the "
        "second is x * sigmoid(1.702 x): both are approximations"
    )
    assert_agrees(submission, "gelu", points(generator), exact, hint=hint, atol=1e-10)


@weight(3)
def test_tanh(submission, generator):
    """gelu(x, "tanh") follows the tanh formula."""
    x = points(generator)

    hint = 'approximate="tanh": x/2 * (1 + tanh(√(2/π) * (x + 0.044715 x³))). Is it √(2/π), and is the argument used?'
    assert_agrees(submission, "gelu", x, by_tanh, "tanh", hint=hint, atol=1e-10)


@weight(2)
def test_far_out(submission):
    """Both kinds of gelu are finite and right at ±1e4 in float32."""
    x = torch.tensor([-1e4, -30.0, 30.0, 1e4])

    for kind, formula in (("none", exact), ("tanh", by_tanh)):
        y = ask(submission, "gelu", x, kind)

        hint = f'gelu(x, "{kind}") goes to 0 on the far left and to x on the far right'
        assert_close(y, formula(x.double()).float(), rtol=1e-5, atol=1e-6, hint=hint)


@weight(1)
def test_function_forward(submission, generator):
    """GELU.apply(x) is the exact gelu of x."""
    x = points(generator)

    y = submission.GELU.apply(x)

    check(not submission.changed(x), "GELU.forward changed its argument in place")
    assert_tensor(y, shape=x.shape, dtype=x.dtype, hint="GELU.apply(x) must keep shape and dtype")
    assert_right(y, exact(x), atol=1e-10, hint="GELU.forward is the exact one, not the tanh formula")


@weight(3)
def test_function_backward(submission, generator):
    """GELU.backward returns g times the derivative of gelu at x."""
    x = points(generator).requires_grad_()
    cotangent = torch.randn(x.shape, generator=generator, dtype=x.dtype)

    gradient = pulled_back("GELU.apply", submission.GELU.apply(x), x, cotangent)

    hint = "g * (Φ(x) + x * φ(x)): is the second part of the product rule there, and g?"
    assert_right(gradient, cotangent * derivative(exact)(x), atol=1e-10, hint=hint)


@weight(2)
def test_function_called_twice(submission, generator):
    """GELU used twice before the first backward remembers each x by itself."""
    first, second = (points(generator).requires_grad_() for _ in range(2))
    cotangent = torch.randn(first.shape, generator=generator, dtype=first.dtype)

    one, two = submission.GELU.apply(first), submission.GELU.apply(second)
    gradients = [pulled_back("GELU.apply", y, x, cotangent) for y, x in ((one, first), (two, second))]

    hint = "what backward needs belongs into ctx.save_for_backward: stored on the class, the second call overwrites it"
    for gradient, x in zip(gradients, (first, second), strict=True):
        assert_right(gradient, cotangent * derivative(exact)(x), atol=1e-10, hint=hint)
