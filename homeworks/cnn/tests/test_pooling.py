"""Maximum and mean over windows, and the gradient of the maximum; at ties every legal one is right."""

import torch
import torch.nn.functional as F
from oracles import ask, assert_right, tensor

from grading.judge import check, weight

ASIDE = (((2, 3), (2, 3), (0, 0)), ((3, 2), (3, 2), (0, 0)))  # kernel, stride, pad
OVERLAPPING = (((3, 2), (2, 1), (0, 0)), ((2, 4), (1, 3), (0, 0)))
PADDED = (((2, 4), (1, 3), (1, 2)), ((3, 5), (2, 3), (1, 0)), ((4, 3), (3, 2), (0, 1)))


def images(generator):
    """Eight by eleven pixels, all negative."""
    return -tensor(generator, 2, 3, 8, 11).abs() - 0.1


def largest(x, windows):
    return F.max_pool2d(x, *windows)


def mean(x, windows):
    return F.avg_pool2d(x, *windows, count_include_pad=False)


def said(windows):
    return "kernel={}, stride={}, pad={}".format(*windows)


def assert_pools(submission, generator, name, formula, cases, hint):
    for windows in cases:
        x = images(generator)
        y = ask(submission, name, x, *windows)
        assert_right(y, formula(x, windows), hint=f"{name} with {said(windows)}: {hint}")


@weight(2)
def test_largest_of_each_window(submission, generator):
    """maxpool keeps the largest of each window, for windows that lie side by side."""
    hint = "each channel for itself; rows come first; what is left over at the end is not used"
    assert_pools(submission, generator, "maxpool", largest, ASIDE, hint)


@weight(2)
def test_largest_of_overlapping_windows(submission, generator):
    """maxpool with a stride other than the kernel's size."""
    hint = "windows start every `stride` pixels, and may overlap or leave gaps"
    assert_pools(submission, generator, "maxpool", largest, OVERLAPPING, hint)


@weight(2)
def test_padding_never_wins(submission, generator):
    """maxpool pads with minus infinity: for images that are negative everywhere, zero would win at the edges."""
    hint = "pad with -inf, not with 0, and on both sides, rows first"
    assert_pools(submission, generator, "maxpool", largest, PADDED, hint)


def assert_routes(submission, generator, cases, hint):
    for windows in cases:
        x = images(generator).requires_grad_()
        y = largest(x, windows)
        g = tensor(generator, *y.shape, shift=0.5)
        (expected,) = torch.autograd.grad(y, x, g)
        dx = ask(submission, "maxpool_backward", g, x.detach(), *windows)
        assert_right(dx, expected, hint=f"maxpool_backward with {said(windows)}: {hint}")


@weight(3)
def test_winner_takes_all(submission, generator):
    """maxpool_backward gives the gradient of each window to the pixel that was the largest in it, and to no other."""
    hint = "look for the winner in each window of each channel for itself; its place counts in the image"
    assert_routes(submission, generator, ASIDE, hint)


@weight(2)
def test_who_wins_twice_gets_both(submission, generator):
    """maxpool_backward adds up the gradients of overlapping windows with the same winner."""
    assert_routes(
        submission, generator, OVERLAPPING, "a pixel may win several windows: add (+=), do not assign"
    )


@weight(2)
def test_gradient_with_padding(submission, generator):
    """maxpool_backward with padding returns a gradient of the shape of x."""
    hint = "collect in a padded image (padded with -inf), then cut the padding off on all four sides"
    assert_routes(submission, generator, PADDED, hint)


@weight(2)
def test_a_tie(submission, generator):
    """Where pixels tie, the shares of their window's gradient are not negative and add up to it."""
    x = torch.randint(0, 2, (2, 3, 8, 10), generator=generator).double()
    x[0, 0], x[1, 2, :4] = 1.0, 0.0  # and whole windows of one value
    g = tensor(generator, 2, 3, 4, 5, shift=3.0)

    dx = ask(submission, "maxpool_backward", g, x, (2, 2), (2, 2))

    hint = "of the shape of x, when pixels tie"
    assert_right(dx, x, rtol=1e9, atol=1e9, hint=hint)
    total = F.avg_pool2d(dx, 2) * 4
    hint = "the shares of tied pixels must add up to the gradient of the window; it does not go in full to each of them"
    assert_right(total, g, hint=hint)
    spread = g.repeat_interleave(2, 2).repeat_interleave(2, 3)
    winners = F.max_pool2d(x, 2).repeat_interleave(2, 2).repeat_interleave(2, 3) == x
    check(
        not dx[~winners].any() and (dx * spread >= 0).all(),
        "a share has the wrong sign, or went to a pixel that was not the largest of its window",
    )


@weight(2)
def test_mean_of_each_window(submission, generator):
    """avgpool is the mean of each window, side by side or overlapping."""
    hint = "the sum divided by the number of pixels in the window; each channel for itself; rows first"
    assert_pools(submission, generator, "avgpool", mean, (*ASIDE, *OVERLAPPING), hint)


@weight(2)
def test_padding_does_not_count(submission, generator):
    """avgpool with padding is the mean of the real pixels: a constant image stays constant up to its edges."""
    hint = "padding counts neither in the sum nor in the divisor: divide by the number of *real* pixels in each window"
    assert_pools(submission, generator, "avgpool", mean, PADDED, hint)


@weight(1)
def test_single_precision(submission, generator):
    """float32 in gives float32 out, in all three functions."""
    x = images(generator).float()
    windows = PADDED[0]
    y = largest(x.requires_grad_(), windows)
    g = tensor(generator, *y.shape).float()
    (dx,) = torch.autograd.grad(y, x, g)
    x, y = x.detach(), y.detach()

    loose = {"rtol": 1e-4, "atol": 1e-5}
    assert_right(ask(submission, "maxpool", x, *windows), y, hint="maxpool in float32", **loose)
    assert_right(
        ask(submission, "avgpool", x, *windows), mean(x, windows), hint="avgpool in float32", **loose
    )
    assert_right(
        ask(submission, "maxpool_backward", g, x, *windows), dx, hint="maxpool_backward in float32", **loose
    )
