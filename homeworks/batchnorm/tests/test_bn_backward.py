"""Batch norm backwards, step by step: each gradient on the way is asked for by its name."""

import pytest
import torch
from oracles import assert_right, assert_untouched, batch, noise

from grading.judge import assert_tensor, check, gate, weight

ROWS = ("dxhat", "dsq", "dxc", "dx")  # (N, C); the others are (C,)


def given(generator):
    """dy, x, gamma."""
    x, gamma, *_ = batch(generator)
    return noise(generator, *x.shape), x, gamma


def forward(x, eps):
    """The forward pass by its names."""
    xc = x - x.mean(dim=0)
    std = torch.sqrt((xc**2).mean(dim=0) + eps)
    return xc, std, xc / std


def step(name, d, dy, x, gamma, eps):
    """The gradient `name`, from the gradients d of the steps behind it (forwards), which are asked of d when needed."""
    xc, std, xhat = forward(x, eps)
    n = len(x)
    steps = {
        "dbeta": lambda: dy.sum(dim=0),
        "dgamma": lambda: (dy * xhat).sum(dim=0),
        "dxhat": lambda: dy * gamma,
        "dinv": lambda: (d["dxhat"] * xc).sum(dim=0),
        "dstd": lambda: -d["dinv"] / std**2,
        "dvar": lambda: d["dstd"] / (2 * std),
        "dsq": lambda: d["dvar"].expand(x.shape) / n,
        "dxc": lambda: d["dxhat"] / std + 2 * xc * d["dsq"],
        "dmu": lambda: -d["dxc"].sum(dim=0),
        "dx": lambda: d["dxc"] + (d["dmu"] / n),
    }
    return steps[name]()


NAMES = ("dbeta", "dgamma", "dxhat", "dinv", "dstd", "dvar", "dsq", "dxc", "dmu", "dx")
NEEDS = {
    "dinv": ["dxhat"],
    "dstd": ["dinv"],
    "dvar": ["dstd"],
    "dsq": ["dvar"],
    "dxc": ["dxhat", "dsq"],
    "dmu": ["dxc"],
    "dx": ["dxc", "dmu"],
}
HINTS = {
    "dbeta": "y = gamma * xhat + beta, and beta was broadcast to every row: the sum of dy over the batch",
    "dgamma": "y = gamma * xhat + beta: the sum of dy * xhat (of the normalised x, not of x) over the batch",
    "dxhat": "y = gamma * xhat + beta: dy * gamma",
    "dinv": "xhat = xc * inv, and inv was broadcast to every row: the sum of dxhat * xc over the batch",
    "dstd": "inv = 1 / std: the derivative is -1 / std²",
    "dvar": "std = sqrt(var + eps): the derivative is 1 / (2 std)",
    "dsq": "var is the mean of sq: every row gets an equal share, 1 / N of dvar",
    "dxc": "xc was used twice, so two gradients are added: dxhat * inv through xhat, and 2 * xc * dsq through sq",
    "dmu": "xc = x - mu, and mu was broadcast to every row: minus the sum of dxc over the batch",
    "dx": "x was used twice, so two gradients are added: dxc through xc, and 1 / N of dmu through mu",
}


def right_gradients(dy, x, gamma, eps):
    d = {}
    for name in NAMES:
        d[name] = step(name, d, dy, x, gamma, eps)
    return d


def answer(submission, dy, x, gamma, *eps):
    result = submission.bn_backward(dy, x, gamma, *eps)
    check(
        isinstance(result, dict), f"bn_backward returns a dict of ten tensors, not a {type(result).__name__}"
    )
    return result


def gradient(d, name, x):
    """One of them, if it is there and a finite tensor of the right shape and dtype."""
    check(name in d, f'the dict has no "{name}"')
    shape = tuple(x.shape) if name in ROWS else (x.shape[1],)
    hint = f'"{name}" has the shape and dtype of what it is the gradient of'
    return assert_tensor(d[name], shape=shape, dtype=x.dtype, hint=hint)


@gate
def test_a_dict(submission, generator):
    """bn_backward returns a dict of tensors."""
    answer(submission, *given(generator))


def assert_step(submission, generator, name):
    """The gradient is right, or follows from the (usable, if wrong) gradients above it in the student's own walk."""
    for eps in (1e-5, 0.4):
        dy, x, gamma = given(generator)
        d = answer(submission, dy, x, gamma, eps)
        mine = gradient(d, name, x)
        right = right_gradients(dy, x, gamma, eps)
        if torch.allclose(mine, right[name], rtol=1e-9, atol=1e-11):
            continue
        above = NEEDS.get(name, [])
        expected = right[name]
        if above and all(usable(d.get(one), right[one]) for one in above):
            expected = step(name, d, dy, x, gamma, eps)
        assert_right(mine, expected, hint=HINTS[name])


def usable(mine, right):
    """Whether a step can be judged from this wrong gradient: one that is all the same would let constants pass."""
    same_kind = isinstance(mine, torch.Tensor) and (mine.shape, mine.dtype) == (right.shape, right.dtype)
    return same_kind and bool(mine.isfinite().all()) and bool(mine.std() > 1e-6)


@weight(1)
@pytest.mark.parametrize("name", ["dbeta", "dgamma", "dxhat", "dmu", "dx"])
def test_gradient(submission, generator, name):
    """Each gradient on the way back follows from those behind it, by the rule of its own step."""
    assert_step(submission, generator, name)


@weight(2)
@pytest.mark.parametrize("name", ["dinv", "dstd", "dvar", "dsq", "dxc"])
def test_inner_gradient(submission, generator, name):
    """Each gradient on the way back, into the variance and out of it, follows by the rule of its own step."""
    assert_step(submission, generator, name)


@weight(3)
def test_dx(submission, generator):
    """ "dx", what all of it is for, is the gradient of the loss with respect to x."""
    for eps in (1e-5, 0.4):
        dy, x, gamma = given(generator)

        d = answer(submission, dy, x, gamma, eps)
        dx = gradient(d, "dx", x)

        right, hint = right_gradients(dy, x, gamma, eps), HINTS["dx"]
        follows = all(usable(d.get(one), right[one]) for one in NEEDS["dx"])
        if follows and torch.allclose(dx, step("dx", d, dy, x, gamma, eps)):
            hint = "it follows from dxc and dmu, but something above it is wrong: mend that first"
        assert_right(dx, right["dx"], hint=hint)


@weight(1)
def test_default_eps(submission, generator):
    """When nothing else is said, eps is 1e-5."""
    dy, x, gamma = given(generator)
    x = x / 300  # a variance that eps matters to

    default, said, large = (
        gradient(answer(submission, dy, x, gamma, *eps), "dx", x) for eps in ((), (1e-5,), (0.4,))
    )

    check(not torch.allclose(said, large), '"dx" is the same for every eps: is the argument used?')
    check(
        torch.allclose(default, said, rtol=1e-9),
        "eps is 1e-5 by default: without eps, dx is another one",
    )


@weight(1)
def test_single_precision(submission, generator):
    """In float32 all gradients are float32, and what they are in float64 to three digits."""
    double = given(generator)
    dy, x, gamma = (tensor.float() for tensor in double)

    d, in_double = answer(submission, dy, x, gamma), answer(submission, *double)

    right = right_gradients(*double, 1e-5)
    names = [name for name in NAMES if usable(in_double.get(name), right[name])]
    check(names, "in float64 there is no gradient of the right shape and dtype yet: mend that first")
    for name in names:
        mine, expected = gradient(d, name, x).double(), in_double[name]
        near = torch.allclose(mine, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
        check(near, f'"{name}" is one thing in float64 and another in float32')


@weight(1)
def test_arguments_stay(submission, generator):
    """bn_backward changes no argument in place."""
    dy, x, gamma = given(generator)

    d = answer(submission, dy, x, gamma)

    check((gradient(d, "dx", x) - dy).abs().max() > 1e-6, '"dx" is dy: nothing has been computed')
    gradient(d, "dbeta", x)
    assert_untouched(submission, "bn_backward", dy, x, gamma)
