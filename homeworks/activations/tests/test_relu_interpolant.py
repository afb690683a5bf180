"""A one-hidden-layer ReLU network through given points, written down rather than trained."""

import numpy as np
import torch

from grading.judge import assert_close, assert_tensor, check, gate, weight


def curve(generator, n):
    """n points sorted by x, at uneven distances from 0.1 to 1.1, with ys of both signs and not around 0."""
    xs = (0.1 + torch.rand(n, generator=generator, dtype=torch.float64)).cumsum(0) - n / 4
    return xs, 3 * torch.randn(n, generator=generator, dtype=torch.float64) + 2


def outputs(network, x):
    """What the network says about float64 numbers; its own numbers count for what they are, in whatever dtype."""
    W1, b1, W2, b2 = (tensor.detach().double() for tensor in network)
    return (torch.relu(x[:, None] @ W1.T + b1) @ W2.T + b2)[:, 0]


def precision(network):
    """1e-8; for a network in a smaller dtype only as good as that is. (The dtype has a test of its own.)"""
    return 1e-8 if all(tensor.dtype == torch.float64 for tensor in network) else 1e-3


def build(submission, xs, ys):
    """The four tensors, each finite and of the right shape, or the test fails."""
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
        assert_tensor(tensor, shape=shape, hint=f"{name}, with {h} hidden units")
    return network


def assert_follows(network, x, y, largest, hint):
    """The network is y at x, up to its precision times the largest |y|."""
    off = (outputs(network, x) - y).abs().max().item() / largest
    if precision(network) < off < 1e-5:
        hint = f"nearly, but not to 1e-8: did it pass through float32 on the way? If not: {hint}"
    assert_close(outputs(network, x), y, rtol=0.0, atol=precision(network) * largest, hint=hint)


def assert_through(submission, xs, ys, hint):
    assert_follows(build(submission, xs, ys), xs, ys, ys.abs().max().item(), hint)


@gate
def test_four_tensors(submission, generator):
    """relu_interpolant returns W1 (h, 1), b1 (h,), W2 (1, h), b2 (1,), all finite."""
    build(submission, *curve(generator, 5))


@weight(1)
def test_dtype_of_the_points(submission, generator):
    """A network for float32 points is float32, one for float64 points float64, and goes through them."""
    for dtype in (torch.float64, torch.float32):
        xs, ys = (points.to(dtype) for points in curve(generator, 5))

        network = build(submission, xs, ys)

        for tensor, name in zip(network, ("W1", "b1", "W2", "b2"), strict=True):
            assert_tensor(
                tensor,
                dtype=dtype,
                hint=f"{name} must have the dtype of the points: say dtype=xs.dtype for a new tensor",
            )
        largest = ys.abs().max().item()
        assert_follows(network, xs.double(), ys.double(), largest, f"it misses some of 5 points of {dtype}")


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


@weight(3)
def test_straight_between_neighbours(submission, generator):
    """Between two neighbouring points the network is the straight line that joins them."""
    xs, ys = curve(generator, 9)
    x = xs[0] + (xs[-1] - xs[0]) * torch.rand(200, generator=generator, dtype=torch.float64)

    network = build(submission, xs, ys)

    line = torch.from_numpy(np.interp(x.numpy(), xs.numpy(), ys.numpy()))
    hint = "it bends or jumps between the points: put the corners at the points, and nowhere else"
    assert_follows(network, x, line, ys.abs().max().item(), hint)


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
