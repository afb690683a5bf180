"""Softmax, its logarithm and its vector-Jacobian product, along any dimension and for logits of any size."""

import pytest
import torch
from oracles import assert_right

from grading.judge import assert_close, assert_tensor, check, weight

SHAPE = (2, 3, 5, 7)
DIMENSIONS = [0, 1, 2, 3, -1, -3]


def ask(submission, name, x, dim):
    """The result, of x's shape and dtype, with x left alone."""
    y = getattr(submission, name)(x, dim)

    check(not submission.changed(x), f"{name} changed its argument in place: compute a new tensor instead")
    hint = f"{name}(x, dim={dim}) for x of shape {tuple(x.shape)} must keep shape and dtype"
    return assert_tensor(y, shape=x.shape, dtype=x.dtype, finite=False, hint=hint)


@weight(3)
def test_softmax_along_any_dimension(submission, generator):
    """softmax(x, dim) is exp(x) over its sum along dim, for every dimension of a tensor of any shape."""
    x = 2 * torch.randn(SHAPE, generator=generator, dtype=torch.float64)

    for dim in DIMENSIONS:
        hint = f"softmax(x, dim={dim}) of a 4-D tensor: sum over dim and no other, with keepdim=True"
        assert_right(ask(submission, "softmax", x, dim), torch.softmax(x, dim), hint=hint)
    assert_close(ask(submission, "softmax", x.float(), 1), torch.softmax(x.float(), 1), rtol=1e-4, atol=1e-6)


@weight(2)
def test_log_softmax_along_any_dimension(submission, generator):
    """log_softmax(x, dim) is the logarithm of softmax, for every dimension of a tensor of any shape."""
    x = 2 * torch.randn(SHAPE, generator=generator, dtype=torch.float64)

    for dim in DIMENSIONS:
        hint = (
            f"log_softmax(x, dim={dim}) of a 4-D tensor: x minus log(sum(exp(x))) over dim, with keepdim=True"
        )
        assert_right(ask(submission, "log_softmax", x, dim), torch.log_softmax(x, dim), hint=hint)
    assert_close(
        ask(submission, "log_softmax", x.float(), 1), torch.log_softmax(x.float(), 1), rtol=1e-4, atol=1e-5
    )


@weight(1)
@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_softmax_of_large_logits(submission, generator, offset):
    """Adding the same number to all logits changes nothing, however large it is."""
    x = torch.randn(3, 5, generator=generator, dtype=torch.float64) + offset

    hint = (
        "exp overflows for large x and is 0 for all of very negative x: subtract the maximum along dim first"
    )
    assert_close(ask(submission, "softmax", x, 1), torch.softmax(x, 1), atol=1e-10, hint=hint)


@weight(1)
def test_softmax_maximum_along_dim(submission, generator):
    """Each row is stable by itself: a row of very negative logits is fine beside a row of large ones."""
    x = torch.randn(3, 5, generator=generator, dtype=torch.float64) + torch.tensor([[1e4], [0.0], [-1e4]])

    hint = "subtract the maximum along dim (amax(dim, keepdim=True)), not that of the whole tensor"
    assert_close(ask(submission, "softmax", x, 1), torch.softmax(x, 1), atol=1e-10, hint=hint)


@weight(3)
def test_log_softmax_of_large_logits(submission, generator):
    """log_softmax is finite where softmax itself would round to 0, or exp overflow."""
    x = torch.randn(3, 5, generator=generator, dtype=torch.float64) + torch.tensor([[1e4], [0.0], [-1e4]])
    x[:, 2] -= 2000

    hint = "log(softmax(x)) is -inf where softmax rounds to 0: use x - logsumexp(x), or subtract the maximum first"
    assert_close(ask(submission, "log_softmax", x, 1), torch.log_softmax(x, 1), atol=1e-10, hint=hint)


@weight(4)
def test_vector_jacobian_product(submission, generator):
    """softmax_vjp(g, y, dim) is the gradient of the loss with respect to what went into softmax."""
    for dim in DIMENSIONS:
        x = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
        g = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
        y = torch.softmax(x, dim)

        actual = submission.softmax_vjp(g, y, dim)

        check(not submission.changed(g), "softmax_vjp changed g in place: compute a new tensor instead")
        check(not submission.changed(y), "softmax_vjp changed y in place: compute a new tensor instead")
        assert_tensor(
            actual, shape=SHAPE, dtype=y.dtype, hint="softmax_vjp returns one gradient for each entry of x"
        )
        hint = (
            f"y * (g - sum of g * y over dim={dim}), with keepdim=True: is the sum there, and is it over dim?"
        )
        assert_right(actual, pulled_back(g, x, dim), hint=hint)


def pulled_back(g, x, dim):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(torch.softmax(leaf, dim), leaf, g)[0]
