"""The profile of a signal: root mean squares of activations and gradients, layer by layer; and the prediction."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from grading.judge import assert_close, check, weight

FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh}
SIZES = (5, 23, 13, 19, 7)
each_activation = pytest.mark.parametrize("activation", list(FUNCTIONS))


def network(generator, sizes=SIZES, dtype=torch.float64):
    """Weights, x and g; every layer is louder or quieter than the one in front of it."""
    weights = [
        torch.randn(o, i, generator=generator, dtype=dtype) * (0.7 + 0.4 * layer) / math.sqrt(i)
        for layer, (i, o) in enumerate(pairwise(sizes))
    ]
    x = 0.5 + torch.randn(17, sizes[0], generator=generator, dtype=dtype)
    return weights, x, torch.randn(17, sizes[-1], generator=generator, dtype=dtype)


def expected_profile(weights, x, g, activation):
    """Both lists by hand, in float64."""
    weights = [weight.double() for weight in weights]
    activations, h = [], x.double()
    for w in weights:
        h = FUNCTIONS[activation](h @ w.T)
        activations.append(h)
    gradients, d = [g.double()], g.double()
    for w, a in zip(weights[:0:-1], activations[:0:-1], strict=True):
        d = (d * ((a > 0).double() if activation == "relu" else 1 - a**2)) @ w
        gradients.append(d)
    return [[t.square().mean().sqrt().item() for t in ts] for ts in (activations, gradients[::-1])]


def profile(submission, weights, x, g, activation="relu"):
    """What signal_profile returns, as two lists of floats; its arguments are left alone."""
    lists = submission.signal_profile(weights, x, g, activation)

    for given in (*weights, x, g):
        check(not submission.changed(given), "signal_profile changed one of its arguments in place")
    check(
        isinstance(lists, list | tuple) and len(lists) == 2,
        "signal_profile must return two lists, (forward, backward)",
    )
    for name, values in zip(("forward", "backward"), lists, strict=True):
        check(
            isinstance(values, list | tuple),
            f"{name} must be a list of numbers, not a {type(values).__name__}",
        )
        check(
            len(values) == len(weights),
            f"{name} has {len(values)} numbers for {len(weights)} layers: one for each layer, x itself is not counted",
        )
    return [[number(value) for value in values] for values in lists]


def assert_right(values, expected, hint):
    check(
        np.allclose(values, expected, rtol=1e-9, atol=0)
        or not np.allclose(values, expected, rtol=1e-5, atol=0),
        "right to about six digits, but no further: did it pass through float32 on the way?",
    )
    assert_close(values, expected, rtol=1e-9, hint=hint)


def number(value):
    value = value.detach() if isinstance(value, torch.Tensor) else value
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        result = None
    kind = "None" if value is None else f"a {type(value).__name__}"
    if isinstance(value, torch.Tensor | np.ndarray):
        kind += f" of shape {tuple(value.shape)}"
    check(result is not None, f"each entry must be a number (whatever float() takes), not {kind}")
    return result


@each_activation
@weight(2)
def test_forward(submission, generator, activation):
    """The forward list holds the root mean square of each layer's activations."""
    given = network(generator)

    forward, _ = profile(submission, *given, activation)

    hint = (
        "sqrt(mean(a²)) over all examples and units of what comes out of the activation, the last layer's too: not the "
        "std, which subtracts the mean, and not what goes into the activation"
    )
    assert_right(forward, expected_profile(*given, activation)[0], f"{activation}: {hint}")


@each_activation
@weight(3)
def test_backward(submission, generator, activation):
    """The backward list holds the root mean square of the gradient with respect to each layer's activations."""
    given = network(generator)

    _, backward = profile(submission, *given, activation)

    hint = (
        "the gradient with respect to a_l, which comes out of the activation (not z_l, which goes in), starting from g "
        "(not from ones) at the last layer; front to back, so that the last entry is the rms of g"
    )
    assert_right(backward, expected_profile(*given, activation)[1], f"{activation}: {hint}")


@weight(1)
def test_one_layer(submission, generator):
    """A network of one layer has a profile of one layer."""
    given = network(generator, sizes=(5, 11))

    lists = profile(submission, *given)

    hint = "one layer: forward is the rms of relu(x @ W.T), backward the rms of g"
    assert_close(lists, expected_profile(*given, "relu"), rtol=1e-9, hint=hint)


@weight(1)
@pytest.mark.parametrize("size", [1e-12, 1e12], ids=["tiny", "huge"])
def test_whispers_and_shouts(submission, generator, size):
    """The profile is right for float32 signals whose squares float32 cannot hold, tiny or huge."""
    weights, x, g = network(generator, dtype=torch.float32)
    weights = [size * weights[0], weights[1], size * weights[2], weights[3]]
    g = g * size

    lists = profile(submission, weights, x, g)

    hint = "in float32 the square of 1e-25 is 0 and that of 1e25 infinite: square in float64"
    assert_close(lists, expected_profile(weights, x, g, "relu"), rtol=1e-4, atol=0.0, hint=hint)


@weight(2)  # of 15: the 2 points for the prediction, which asks nothing of signal_profile
def test_prediction(submission):
    """Predict, then run: how many times louder Kaiming's network is than LeCun's after thirty layers."""
    answers = submission.ANSWERS

    check(isinstance(answers, dict), "ANSWERS must be a dict")
    prediction = answers.get("kaiming_over_lecun")
    check(
        prediction is not None,
        'no prediction yet: put a number into ANSWERS["kaiming_over_lecun"]',
    )
    prediction = number(prediction)
    hint = "relu(c · z) is c · relu(z) for c > 0, so *each* layer multiplies by √2, and thirty do so in a row"
    check(abs(prediction / math.sqrt(2) ** 30 - 1) < 0.1, f"not so: {hint}")
