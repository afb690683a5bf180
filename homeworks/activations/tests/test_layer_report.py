"""A report on each hidden layer: dead, saturated, size of activations and of gradients; and the prediction."""

import math
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from grading.judge import assert_close, check, weight

FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
SIZES = (5, 19, 13, 11, 4)
EXAMPLES = 23


def network(generator, activation):
    """Weights, biases, X, labels. In a relu network 7, 3 and 5 units are planted dead, and one more in each layer
    is on for a single example only; in the others, a unit in each layer is stuck at the flat end."""
    weights = [torch.randn(o, i, generator=generator, dtype=torch.float64) for i, o in pairwise(SIZES)]
    weights = [weight * math.sqrt(4 / weight.shape[1]) for weight in weights]
    biases = [torch.randn(o, generator=generator, dtype=torch.float64) / 2 for o in SIZES[1:]]
    h = X = torch.randn(EXAMPLES, SIZES[0], generator=generator, dtype=torch.float64)
    for w, bias, dead in zip(weights[:-1], biases[:-1], (7, 3, 5), strict=True):
        sick = torch.randperm(len(bias), generator=generator)[: dead + 1]
        if activation == "relu":
            bias[sick[1:]] = -1000.0
            highest = (h @ w[sick[0]]).sort().values[-2:]
            bias[sick[0]] = -highest.mean()
        else:
            bias[sick[0]] = 1000.0
        h = FUNCTIONS[activation](h @ w.T + bias)
    return weights, biases, X, torch.randint(SIZES[-1], (EXAMPLES,), generator=generator)


def expected_report(weights, biases, X, labels, activation):
    activations, h = [], X.clone().requires_grad_()
    for w, bias in zip(weights[:-1], biases[:-1], strict=True):
        h = FUNCTIONS[activation](h @ w.T + bias)
        activations.append(h)
    loss = F.cross_entropy(h @ weights[-1].T + biases[-1], labels)
    gradients = torch.autograd.grad(loss, activations)
    slopes = {
        "relu": lambda a: (a > 0).double(),
        "tanh": lambda a: 1 - a**2,
        "sigmoid": lambda a: a * (1 - a),
    }
    return [
        {
            "dead": (a == 0).all(0).double().mean().item(),
            "saturated": (slopes[activation](a) < 0.01).double().mean().item(),
            "rms": a.square().mean().sqrt().item(),
            "grad_rms": g.square().mean().sqrt().item(),
        }
        for a, g in zip(activations, gradients, strict=True)
    ]


def assert_reported(submission, generator, key, hints):
    """The report is a list with a dict for each hidden layer, changes nothing, and has the right number under `key`.

    Each test asks for its own key, so that one forgotten key costs no other."""
    for activation, hint in hints.items():
        given = network(generator, activation)
        expected = [layer[key] for layer in expected_report(*given, activation)]

        actual = [number(layer, key) for layer in layers(submission, *given, activation)]

        assert_close(actual, expected, rtol=1e-6, hint=f'"{key}" in a network with {activation}: {hint}')


def layers(submission, weights, biases, X, labels, activation):
    report = submission.layer_report(weights, biases, X, labels, activation)

    for tensor in (*weights, *biases, X, labels):
        check(not submission.changed(tensor), "layer_report changed one of its arguments in place")
    check(isinstance(report, list), f"layer_report must return a list of dicts, not {kind(report)}")
    hidden = len(weights) - 1
    check(
        len(report) == hidden,
        f"{hidden} hidden layers and an output layer: expected {hidden} dicts, one a hidden layer, not {len(report)}",
    )
    for layer in report:
        check(isinstance(layer, dict), f"each entry of the list must be a dict, not {kind(layer)}")
    return report


def number(layer, key):
    """The value under the key as a float. (Over the wire, a NumPy scalar has become an array without dimensions.)"""
    check(key in layer, f'a dict without "{key}"')
    value = layer[key].detach() if isinstance(layer[key], torch.Tensor) else layer[key]
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        result = None
    check(result is not None, f'"{key}" must be a number (whatever float() takes), not {kind(value)}')
    check(math.isfinite(result), f'"{key}" is NaN or infinite')
    return result


def kind(value):
    words = "None" if value is None else f"a {type(value).__name__}"
    return f"{words} of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor | np.ndarray) else words


@weight(2)
def test_dead(submission, generator):
    """A unit is dead if its output is exactly 0 for every example; "dead" is the fraction of such units in a layer."""
    relu = (
        "first ask for each unit whether it is 0 for *all* examples (the rows), then average over the units"
    )
    assert_reported(
        submission,
        generator,
        "dead",
        {"relu": relu, "tanh": "dead is an output of exactly 0, not a flat slope"},
    )


@weight(2)
def test_saturated(submission, generator):
    """ "saturated" is the fraction of all entries (examples × units) where the slope is below 0.01."""
    hints = {
        "relu": "the slope is 0 where the output is 0, else 1",
        "tanh": "the slope is 1 - a² at the output a",
        "sigmoid": "the slope is a(1 - a) at the output a",
    }
    assert_reported(submission, generator, "saturated", hints)


@weight(2)
def test_rms(submission, generator):
    """ "rms" is the root of the mean square of a layer's activations, over all examples and units."""
    hint = (
        "sqrt(mean(a²)) of the output of the activation: not the standard deviation, which subtracts the mean"
    )
    assert_reported(submission, generator, "rms", dict.fromkeys(FUNCTIONS, hint))


@weight(2)
def test_grad_rms(submission, generator):
    """ "grad_rms" is the root mean square of the gradient of the mean loss with respect to a layer's activations."""
    hint = (
        "the loss is the cross-entropy averaged over the examples (not summed), and the gradient is with respect "
        "to what comes out of the activation (not what goes in)"
    )
    assert_reported(submission, generator, "grad_rms", dict.fromkeys(FUNCTIONS, hint))


@weight(2)  # the 2 points for the prediction, which asks nothing of layer_report
def test_prediction(submission):
    """Predict, then run: how many of the five weight matrices of the patient get a gradient."""
    answers = submission.ANSWERS

    check(isinstance(answers, dict), "ANSWERS must be a dict")
    prediction = answers.get("matrices_with_a_gradient")
    check(
        prediction is not None,
        'no prediction yet: put a number from 0 to 5 into ANSWERS["matrices_with_a_gradient"]',
    )
    check(type(prediction) in (int, float), "the prediction must be a number from 0 to 5")
    hint = (
        "a weight gets a gradient only where there is an error behind it *and* an activation in front of it"
    )
    check(prediction == 1, f"not so: {hint}. The check below your prediction shows the gradients")
