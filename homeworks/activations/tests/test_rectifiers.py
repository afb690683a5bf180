"""Rectifiers and their derivatives by hand: values, slopes, digits near zero, and what happens far out.

Nothing is asked of a derivative at 0 exactly, where any slope between the two sides is right.
"""

import pytest
import torch
from oracles import ask, assert_agrees, derivative, points

from grading.judge import assert_close, weight

SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # Klambauer et al. 2017


def relu(x):
    return torch.where(x > 0, x, torch.zeros_like(x))


def leaky_relu(x, slope=0.01):
    return torch.where(x > 0, x, slope * x)


def elu(x, alpha=1.0):
    return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))


def selu(x):
    return SCALE * elu(x, ALPHA)


def silu(x, beta=1.0):
    return x * torch.special.expit(beta * x)


FAMILY = {f.__name__: f for f in (relu, leaky_relu, elu, selu, silu)}
VALUE_HINTS = {
    "relu": "x where x > 0, else 0",
    "leaky_relu": "x where x > 0, slope * x elsewhere: is the slope used, and on the negative side?",
    "elu": "x where x > 0, alpha * (exp(x) - 1) elsewhere: alpha is on the negative side only",
    "selu": "SELU_SCALE multiplies both sides, SELU_ALPHA the negative one: are the two swapped?",
    "silu": "x * sigmoid(beta * x): is beta used, and inside the sigmoid?",
}
SLOPE_HINTS = {
    "relu": "1 where x > 0, else 0",
    "leaky_relu": "1 where x > 0, slope elsewhere",
    "elu": "1 where x > 0, alpha * exp(x) elsewhere: is alpha there, and is x what goes *into* elu?",
    "selu": "SELU_SCALE times the derivative of elu with SELU_ALPHA",
    "silu": "the product rule, s + beta * x * s * (1 - s) with s = sigmoid(beta * x): x is what goes into silu",
}


def arguments_of(name, generator):
    """Once the default, once a number that is not 1 and not the default."""
    number = 1.2 + torch.rand((), generator=generator).item()
    return {"leaky_relu": [(), (number / 5,)], "elu": [(), (number,)], "silu": [(), (number,)]}.get(
        name, [()]
    )


def formula_of(name, arguments):
    return lambda x: FAMILY[name](x, *arguments)


@weight(1)
@pytest.mark.parametrize("name", list(FAMILY))
def test_values(submission, generator, name):
    """The function has the values of its row in the table."""
    x = points(generator)

    for arguments in arguments_of(name, generator):
        formula = formula_of(name, arguments)
        assert_agrees(submission, name, x, formula, *arguments, hint=f"{name}: {VALUE_HINTS[name]}")


@weight(2)
@pytest.mark.parametrize("name", list(FAMILY))
def test_derivatives(submission, generator, name):
    """The derivative, d_relu(x) and so on, is the slope of its function at the point x."""
    x = points(generator)

    for arguments in arguments_of(name, generator):
        slope = derivative(formula_of(name, arguments))
        assert_agrees(submission, f"d_{name}", x, slope, *arguments, hint=f"d_{name}: {SLOPE_HINTS[name]}")


@weight(1)
def test_a_slope_above_one(submission, generator):
    """leaky_relu multiplies the negative side by the slope, also when the slope is larger than 1."""
    x = points(generator)
    slope = 1.5 + torch.rand((), generator=generator).item()

    hint = "max(x, slope * x) picks the wrong side when slope > 1: decide by the sign of x"
    assert_agrees(submission, "leaky_relu", x, formula_of("leaky_relu", (slope,)), slope, hint=hint)


@weight(1)
@pytest.mark.parametrize("name", ["elu", "selu"])
def test_digits_near_zero(submission, generator, name):
    """elu and selu keep all their digits for x just below 0."""
    x = -1e-9 * (0.1 + torch.rand(11, generator=generator, dtype=torch.float64))

    y = ask(submission, name, x)

    assert_close(
        y,
        FAMILY[name](x),
        atol=0.0,
        hint=f"{name}: exp(x) - 1 loses its digits near 0, torch.expm1(x) keeps them",
    )


@weight(1)
@pytest.mark.parametrize("name", ["elu", "silu"])
def test_far_out(submission, name):
    """elu and silu and their derivatives are finite and right at ±1e4 in float32."""
    x = torch.tensor([-1e4, -100.0, 100.0, 1e4])

    for asked, formula in ((name, FAMILY[name]), (f"d_{name}", derivative(FAMILY[name]))):
        y = ask(submission, asked, x)

        hint = f"{asked} far from 0: {(SLOPE_HINTS if asked != name else VALUE_HINTS)[name]}"
        if not torch.isfinite(y).all():
            hint = f"{asked} far from 0: does exp overflow on the way? Then inf / inf and 0 * inf are NaN"
        assert_close(y, formula(x.double()).float(), rtol=1e-5, atol=1e-6, hint=hint)
