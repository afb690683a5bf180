"""The relatives of batch norm, which normalise each example by itself."""

import pytest
import torch
from oracles import assert_right, assert_untouched, noise, pulled_back

from grading.judge import assert_close, assert_tensor, check, weight

SHAPES = [(7,), (5, 7), (2, 3, 5, 7)]  # of layer_norm and rms_norm
GROUPED = [(3, 6), (3, 6, 5), (2, 6, 5, 4)]  # of group_norm


def norm(submission, name, x, *others):
    """The result, of x's shape and dtype."""
    y = getattr(submission, name)(x, *others)

    given = f"{name} was given {str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}"
    return assert_tensor(y, shape=x.shape, dtype=x.dtype, hint=f"{given} and returns the same, all finite")


def affine(generator, d):
    gamma = noise(generator, d)
    return torch.where(gamma < 0, gamma - 0.3, gamma + 0.3), noise(generator, d)


def vectors(generator, shape):
    """Every vector along the last dimension has a mean and a scale of its own; not contiguous."""
    x = noise(generator, *shape[::-1]).permute(*range(len(shape))[::-1])
    return x * (1 + noise(generator, *shape[:-1], 1).abs()) + 2 * noise(generator, *shape[:-1], 1)


def layers(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return gamma * centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps) + beta


def grouped(x, groups, gamma, beta, eps=1e-5):
    """Group by group."""
    width = x.shape[1] // groups
    parts = []
    for g in range(groups):
        part = x[:, g * width : (g + 1) * width]
        dims = tuple(range(1, x.ndim))
        centred = part - part.mean(dims, keepdim=True)
        parts.append(centred / torch.sqrt(centred.square().mean(dims, keepdim=True) + eps))
    wide = (1, -1, *[1] * (x.ndim - 2))
    return torch.cat(parts, 1) * gamma.reshape(wide) + beta.reshape(wide)


def by_rms(x, gamma, eps=1e-5):
    return gamma * x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps)


def assert_same_gradients(submission, name, formula, x, parameters, cotangent, *between):
    """The gradients of x and of the parameters agree with those of the formula."""
    leaves = {"x": x, **parameters}
    mine = {key: leaf.clone().requires_grad_() for key, leaf in leaves.items()}
    theirs = {key: leaf.clone().requires_grad_() for key, leaf in leaves.items()}
    y = norm(submission, name, mine["x"], *between, *[mine[key] for key in parameters])
    found = pulled_back(y, mine, cotangent)
    right = formula(theirs["x"], *between, *[theirs[key] for key in parameters])
    for key, expected in pulled_back(right, theirs, cotangent).items():
        hint = f"the gradient of {key}: what x is divided by depends on x too, so do not detach it"
        assert_right(found[key], expected, hint=hint)


@weight(3)
@pytest.mark.parametrize("shape", SHAPES, ids=["1d", "2d", "4d"])
def test_layer_norm(submission, generator, shape):
    """layer_norm standardises every vector along the last dimension, whatever is in front of it."""
    x = vectors(generator, shape)
    gamma, beta = affine(generator, 7)

    y = norm(submission, "layer_norm", x, gamma, beta)

    hint = (
        "over the last dimension (dim=-1, keepdim=True), not over the batch; with the biased variance; gamma and "
        "beta, one entry for each place in the vector, after it"
    )
    assert_right(y, layers(x, gamma, beta), hint=hint)


@weight(2)
def test_layer_norm_eps(submission, generator):
    """In layer_norm, eps is added to the variance, inside the root."""
    x = vectors(generator, (3, 2000)) / 2  # so long that biased and unbiased hardly differ

    y = norm(submission, "layer_norm", x, torch.ones_like(x[0]), torch.zeros_like(x[0]), 0.3)

    expected = layers(x, 1, 0, 0.3)
    assert_close(y, expected, rtol=1e-3, atol=1e-3, hint="sqrt(variance + eps), and is the argument used?")


@weight(2)
def test_layer_norm_gradient(submission, generator):
    """layer_norm passes the right gradients to x, gamma and beta."""
    x, (gamma, beta) = vectors(generator, (5, 7)), affine(generator, 7)

    parameters = {"gamma": gamma, "beta": beta}
    assert_same_gradients(submission, "layer_norm", layers, x, parameters, noise(generator, 5, 7))


@weight(3)
@pytest.mark.parametrize("shape", GROUPED, ids=["rows", "sequences", "images"])
def test_group_norm(submission, generator, shape):
    """group_norm standardises each example's groups of neighbouring channels, with all that is behind them."""
    x = noise(generator, *shape) + 2 * noise(generator, *shape[:2], *[1] * (len(shape) - 2))
    gamma, beta = affine(generator, 6)

    for groups in (3, 2):
        y = norm(submission, "group_norm", x, groups, gamma, beta)

        hint = (
            f"{groups} groups of 6 channels: group 0 is channels 0 to {6 // groups - 1}. One mean and biased variance "
            "for each example and group, over its channels and all behind; then gamma and beta for each channel"
        )
        assert_right(y, grouped(x, groups, gamma, beta), hint=hint)


@weight(1)
def test_group_norm_extremes(submission, generator):
    """One group normalises each example as a whole; as many groups as channels normalise each channel by itself."""
    x = noise(generator, 3, 6, 5, 4) * 2 + 1
    gamma, beta = affine(generator, 6)

    for groups in (1, 6):
        y = norm(submission, "group_norm", x, groups, gamma, beta)

        assert_right(y, grouped(x, groups, gamma, beta), hint=f"with {groups} groups of 6 channels")


@weight(2)
def test_group_norm_eps(submission, generator):
    """In group_norm, eps is added to the variance, inside the root."""
    x = noise(generator, 3, 4, 30, 20) / 2  # so many that biased and unbiased hardly differ
    one, zero = torch.ones(4, dtype=x.dtype), torch.zeros(4, dtype=x.dtype)

    y = norm(submission, "group_norm", x, 2, one, zero, 0.3)

    expected = grouped(x, 2, one, zero, 0.3)
    assert_close(y, expected, rtol=1e-3, atol=2e-3, hint="sqrt(variance + eps), and is the argument used?")


@weight(2)
def test_group_norm_gradient(submission, generator):
    """group_norm passes the right gradients to x, gamma and beta."""
    x, (gamma, beta) = noise(generator, 3, 6, 5), affine(generator, 6)

    parameters = {"gamma": gamma, "beta": beta}
    assert_same_gradients(submission, "group_norm", grouped, x, parameters, noise(generator, 3, 6, 5), 3)


@weight(3)
@pytest.mark.parametrize("shape", SHAPES, ids=["1d", "2d", "4d"])
def test_rms_norm(submission, generator, shape):
    """rms_norm divides every vector along the last dimension by its root mean square, and subtracts nothing."""
    x = vectors(generator, shape) + 1
    gamma, _ = affine(generator, 7)

    y = norm(submission, "rms_norm", x, gamma)

    hint = (
        "gamma * x / sqrt(mean(x²) + eps), the mean along the last dimension: no mean of x is subtracted, neither "
        "before squaring nor from x"
    )
    assert_right(y, by_rms(x, gamma), hint=hint)


@weight(2)
def test_rms_norm_eps(submission, generator):
    """In rms_norm, eps is added to the mean of the squares, inside the root."""
    x = vectors(generator, (5, 7)) / 2

    y = norm(submission, "rms_norm", x, torch.ones_like(x[0]), 0.3)

    assert_close(y, by_rms(x, 1, 0.3), rtol=1e-6, hint="sqrt(mean(x²) + eps), and is the argument used?")


@weight(2)
def test_rms_norm_gradient(submission, generator):
    """rms_norm passes the right gradients to x and gamma."""
    x, (gamma, _) = vectors(generator, (5, 7)), affine(generator, 7)

    assert_same_gradients(submission, "rms_norm", by_rms, x, {"gamma": gamma}, noise(generator, 5, 7))


@weight(2)
@pytest.mark.parametrize("name", ["layer_norm", "group_norm", "rms_norm"])
def test_defaults_and_single_precision(submission, generator, name):
    """When nothing else is said, eps is 1e-5; float32 stays float32; and no argument changes."""
    x = (vectors(generator, (5, 6)) / 300).float()  # a variance that eps matters to
    gamma, beta = (tensor.float() for tensor in affine(generator, 6))
    arguments = {"layer_norm": (gamma, beta), "group_norm": (2, gamma, beta), "rms_norm": (gamma,)}[name]
    formula = {"layer_norm": layers, "group_norm": grouped, "rms_norm": by_rms}[name]

    y = norm(submission, name, x, *arguments)

    double = [value.double() if isinstance(value, torch.Tensor) else value for value in arguments]
    hint = f"{name} of a float32 x that is tiny: eps is 1e-5 by default"
    assert_close(y, formula(x.double(), *double), rtol=1e-3, atol=1e-4, hint=hint)
    check((y - x).abs().max() > 1e-3, f"{name} gives x back")
    assert_untouched(submission, name, x, gamma, beta)
