"""A one-hidden-layer ReLU network through given points, written down rather than trained."""

import numpy as np
import torch

from grading.judge import assert_close, assert_tensor, check, gate, weight


def curve(generator, n):
    """n points sorted by x, at uneven distances from 0.1 to 1.1, with ys of both signs and not around 0."""
    xs = (0.1 + torch.rand(n, generator=generator, dtype=torch.float64)).cumsum(0) - n / 4
    return xs, 3 * torch.randn(n, generator=generator, dtype=torch.float64) + 2


def outputs(network, x):
    W1, b1, W2, b2 = network
    return (torch.relu(x[:, None] @ W1.T + b1) @ W2.T + b2)[:, 0]


def build(submission, xs, ys):
    """The four tensors, each of the right shape and dtype, or the test fails."""
    network = submission.relu_interpolant(xs, ys)

    for points in (xs, ys):
        check(
            not submission.changed(points),
            "relu_interpolant changed the points in place: sort into a new tensor",
        )
    check(isinstance(network, tuple | list) and len(network) == 4, "return four tensors: W1, b1, W2, b2")
    assert_tensor(network[1], hint="b1 is a tensor of shape (h,)")
    h = network[1].numel()
    check(h >= 1, "the network needs at least one hidden unit, also for a single point")
    shapes = {"W1": (h, 1), "b1": (h,), "W2": (1, h), "b2": (1,)}
    for tensor, (name, shape) in zip(network, shapes.items(), strict=True):
        assert_tensor(
            tensor,
            shape=shape,
            dtype=xs.dtype,
            hint=f"{name}, with {h} hidden units and points of {xs.dtype}",
        )
    return network


def assert_through(submission, xs, ys, hint):
    network = build(submission, xs, ys)
    assert_close(outputs(network, xs), ys, rtol=0.0, atol=1e-8 * ys.abs().max().item(), hint=hint)


@gate
def test_four_tensors(submission, generator):
    """relu_interpolant returns W1 (h, 1), b1 (h,), W2 (1, h), b2 (1,), finite and in the dtype of the points."""
    for dtype in (torch.float64, torch.float32):
        xs, ys = curve(generator, 5)
        build(submission, xs.to(dtype), ys.to(dtype))


@weight(4)
def test_through_sorted_points(submission, generator):
    """The network goes through all points, when they come sorted by x."""
    for n in (3, 7, 29):
        xs, ys = curve(generator, n)
        hint = (
            f"it misses some of {n} points. The weight of relu(x - x_k) is the *change* of slope at x_k, and the slope "
            "between neighbours is Δy / Δx"
        )
        assert_through(submission, xs, ys, hint)


@weight(3)
def test_through_unsorted_points(submission, generator):
    """The network goes through all points, in whatever order they come."""
    xs, ys = curve(generator, 11)
    order = torch.cat(
        [torch.randperm(10, generator=generator) + 1, torch.tensor([0])]
    )  # the leftmost comes last

    assert_through(submission, xs[order], ys[order], "sort the points by x first, and take the ys along")


@weight(4)
def test_straight_between_neighbours(submission, generator):
    """Between two neighbouring points the network is the straight line that joins them."""
    xs, ys = curve(generator, 9)
    x = xs[0] + (xs[-1] - xs[0]) * torch.rand(200, generator=generator, dtype=torch.float64)

    network = build(submission, xs, ys)

    line = torch.from_numpy(np.interp(x.numpy(), xs.numpy(), ys.numpy()))
    hint = "it bends or jumps between the points: put the corners at the points, and nowhere else"
    assert_close(outputs(network, x), line, rtol=0.0, atol=1e-8 * ys.abs().max().item(), hint=hint)


@weight(2)
def test_far_away_and_close_together(submission, generator):
    """The network still goes through points that lie far from 0 and close to each other."""
    xs, ys = curve(generator, 11)

    assert_through(submission, 100 + xs / 20, ys, "it misses points near x = 100 that are about 0.03 apart")


@weight(2)
def test_one_and_two_points(submission, generator):
    """One point is enough, and so are two."""
    for n in (1, 2):
        xs, ys = curve(generator, n)
        assert_through(submission, xs, ys, f"with {n} point{'s' * (n > 1)} there is hardly a slope to change")
