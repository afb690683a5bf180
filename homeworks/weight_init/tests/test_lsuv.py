"""Boss: lsuv on networks with planted biases and unknown activations, and what eight quiet layers learn with it."""

import math
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from grading.judge import assert_tensor, check, gate, weight

DIGITS = Path(__file__).parent.parent / "digits.npz"
SIZES = (23, 37, 61, 29, 53, 31)
TRAINING, SHOWN = 1297, 500  # examples that the network learns from; of these, how many `lsuv` is shown
EIGHT_LAYERS = (64, *(128,) * 7, 10)
NETWORKS, EPOCHS, BATCH, RATE = 3, 8, 32, 0.05


@gate
def test_new_weights(submission, generator):
    """lsuv returns a list of new weights of the same shapes and dtype."""
    tuned(submission, *network(generator, "bent"))


@weight(6)
def test_first_layer(submission, generator):
    """The first layer's pre-activations have a standard deviation within 0.03 of 1, with its bias."""
    for name in ACTIVATIONS:
        given = network(generator, name)

        std = stds(tuned(submission, *given), *given[1:])[0]

        check(
            abs(std - 1) <= 0.03,
            "the std of the first layer's z = X @ W.T + b, over all entries, is not within 0.03 of 1. Dividing W once "
            "is not enough, as the bias is not divided: repeat until it is",
        )


@weight(3)
@pytest.mark.parametrize("name", ["quiet", "wave", "bent"])
def test_every_layer_is_heard(submission, generator, name):
    """Every layer's pre-activations have a standard deviation within 0.3 of 1, whatever the activation."""
    given = network(generator, name)

    assert_within(
        0.3,
        stds(tuned(submission, *given), *given[1:]),
        "Is z measured with its bias and before f, as often as it takes (ten rounds may not be enough), and h = f(z) "
        "handed on from the *new* weights?",
    )


@weight(3)
@pytest.mark.parametrize("name", ["quiet", "wave", "bent"])
def test_every_layer_exactly(submission, generator, name):
    """Every layer's pre-activations have a standard deviation within 0.03 of 1, whatever the activation."""
    given = network(generator, name)

    hint = "Repeat until it is, ten rounds may not be enough, and work from front to back"
    assert_within(0.03, stds(tuned(submission, *given), *given[1:]), hint)


@weight(3)
def test_biases_and_data_are_left_alone(submission, generator):
    """lsuv changes neither the biases nor X."""
    weights, biases, X, f = network(generator, "bent")

    new = tuned(submission, weights, biases, X, f)

    for given in (*biases, X):
        message = "lsuv changed the biases or X in place: only weights may change"
        check(not submission.changed(given), message)
    assert_multiples(new, weights)


@weight(3)
def test_one_number_a_matrix(submission, generator):
    """Each matrix that comes back is the given one times one positive number."""
    given = network(generator, "quiet")

    new = tuned(submission, *given)

    assert_multiples(new, given[0])


# Accuracy on new digits, median of three networks: reference .966 mean, .004 std, .958 min over 24 seeds (as good where
# every std is tuned to .9 or 1.1). Over 8 seeds each: Kaiming, Xavier (also with a gain of 5/3), orthogonal, PyTorch's
# default, and lsuv with relu for f .090 every time; normal weights of std 1 .116 (with 64 units a layer they would
# reach .82, hence 128); with the std of f(z) made 1 instead of that of z .922, .009 std.
@weight(12)
def test_learns_at_all(submission, generator):
    """Eight quiet layers with your weights read at least 60% of new digits, as a median of three."""
    assert_accuracy(submission, generator, 0.60)


@weight(9)
def test_learns_well(submission, generator):
    """Eight quiet layers with your weights read at least 80% of new digits, as a median of three."""
    assert_accuracy(submission, generator, 0.80)


@weight(9)
def test_learns_very_well(submission, generator):
    """Eight quiet layers with your weights read at least 88% of new digits, as a median of three."""
    assert_accuracy(submission, generator, 0.88)


def assert_within(margin, found, hint):
    for layer, std in enumerate(found, 1):
        check(
            abs(std - 1) <= margin,
            f"the std of the z of layer {layer} of {len(found)} is further than {margin} from 1. {hint}",
        )


def assert_multiples(new, weights):
    for number, (w, old) in enumerate(zip(new, weights, strict=True), 1):
        factor = (w.double() * old).sum() / old.double().square().sum()
        expected = factor.float() * old
        check(
            factor > 0 and torch.allclose(w, expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item()),
            f"weight {number} is not a positive multiple of what it was: scale the whole matrix by one number, not "
            "rows or entries by their own, and draw nothing new",
        )


def assert_accuracy(submission, generator, least):
    if "accuracy" not in TRAINED:
        TRAINED["accuracy"] = accuracy(submission, generator)
    right = TRAINED["accuracy"]
    check(
        right >= least,
        f"it reads {right:.0%} of the digits, less than {least:.0%}: where a layer is too quiet, no gradient reaches "
        "the layers in front of it, and where it is too loud, every step is too large",
    )


START = (3.0, 0.5, 1.0, 0.7, 2.0)
# Dividing by the std takes 13 or 14 rounds here, over 60 seeds; after ten, a std is off by 0.33 or more.
QUIET_START = (3.0, 0.001, 1.0, 0.001, 2.0)
TRAINED: dict[str, float] = {}  # one training for three thresholds


def accuracy(submission, generator):
    """The median accuracy of networks that the submission tuned and that are trained here."""
    networks = []
    for _ in range(NETWORKS):
        weights = kaiming(generator, EIGHT_LAYERS)
        biases = [torch.zeros(o) for o in EIGHT_LAYERS[1:]]
        rows = torch.randperm(TRAINING, generator=generator)[:SHOWN]
        networks.append(tuned(submission, weights, biases, digits()[0][rows], quiet))
    return train(networks, generator).median().item()


def tuned(submission, weights, biases, X, f):
    """What `lsuv` returns: finite tensors of the right shapes and dtype, or the test fails."""
    new = submission.lsuv(weights, biases, X, f)

    check(
        isinstance(new, list | tuple) and len(new) == len(weights),
        f"return a list of {len(weights)} weights, the last layer's too",
    )
    for number, (w, old) in enumerate(zip(new, weights, strict=True), 1):
        hint = f"weight {number}: same shape and dtype as before, all finite"
        assert_tensor(w, shape=old.shape, dtype=old.dtype, hint=hint)
    check(
        not all(map(torch.equal, new, weights)), "the weights that lsuv returns are those that it was given"
    )
    return [w.detach() for w in new]


def network(generator, name):
    """Weights, some too loud and some too quiet, biases of std 0.5 (their mean is not 0), data, and a function."""
    scales = QUIET_START if name == "quiet" else START
    weights = [w * scale for w, scale in zip(kaiming(generator, SIZES), scales, strict=True)]
    biases = [torch.randn(o, generator=generator) for o in SIZES[1:]]
    biases = [0.6 + 0.5 * (b - b.mean()) / b.std() for b in biases]
    X = 0.4 + torch.randn(211, SIZES[0], generator=generator)
    return weights, biases, X, ACTIVATIONS[name](generator)


def quiet(z):
    return 0.25 * z * torch.sigmoid(3 * z)


def wave(generator):
    a, b = torch.rand(2, generator=generator).tolist()
    return lambda z: 0.5 * torch.cos((1.5 + a) * z + b)


def bent(generator):
    a = 1 + torch.rand((), generator=generator).item()
    return lambda z: torch.where(z > 0, a * z, 0.3 * z)


ACTIVATIONS = {"quiet": lambda _: quiet, "wave": wave, "bent": bent}


def kaiming(generator, sizes):
    return [torch.randn(o, i, generator=generator) * math.sqrt(2 / i) for i, o in pairwise(sizes)]


def stds(weights, biases, X, f):
    found = []
    for w, b in zip(weights, biases, strict=True):
        z = X @ w.T + b
        found.append(z.std().item())
        X = f(z)
    return found


def train(networks, generator):
    """Accuracies on new digits after plain SGD, all networks side by side, with the gradient by hand."""
    images, labels = digits()
    n = len(networks)
    weights = [torch.stack(ws).transpose(1, 2).contiguous() for ws in zip(*networks, strict=True)]
    biases = [torch.zeros(n, 1, w.shape[2]) for w in weights]
    for _ in range(EPOCHS):
        order = torch.stack([torch.randperm(TRAINING, generator=generator) for _ in range(n)])
        for rows in order.split(BATCH, dim=1)[:-1]:
            activations, slopes = [images[rows]], []
            for w, b in zip(weights, biases, strict=True):
                z = torch.baddbmm(b, activations[-1], w)
                s = torch.sigmoid(3 * z)
                activations.append(0.25 * z * s)
                slopes.append(0.25 * s * (1 + 3 * z * (1 - s)))
            d = torch.softmax(z, dim=2)
            d.scatter_add_(2, labels[rows][:, :, None], torch.full((n, BATCH, 1), -1.0))
            d /= BATCH
            for layer in reversed(range(len(weights))):
                gradient = activations[layer].transpose(1, 2) @ d
                biases[layer] -= RATE * d.sum(1, keepdim=True)
                if layer:
                    d = (d @ weights[layer].transpose(1, 2)) * slopes[layer - 1]
                weights[layer] -= RATE * gradient
    h = images[TRAINING:].expand(n, -1, -1)
    for w, b in zip(weights, biases, strict=True):
        z = torch.baddbmm(b, h, w)
        h = quiet(z)
    return (z.argmax(2) == labels[TRAINING:]).float().mean(1)


@cache
def digits():
    """Images (1797, 64) with mean 0 and std 1, and labels, shuffled once and for all."""
    with np.load(DIGITS) as file:
        images = torch.tensor(file["images"], dtype=torch.float32)
        labels = torch.tensor(file["labels"], dtype=torch.long)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    return ((images - images.mean()) / images.std())[order], labels[order]
