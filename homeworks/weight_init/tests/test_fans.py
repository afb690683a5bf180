"""Fans: how many products an output is a sum of, and how many outputs an input goes into."""

import pytest
import torch

from grading.judge import check, weight

NAMES = ("fan_in", "fan_out")


def fans(submission, shape, *groups):
    pair = submission.fans(shape, *groups)

    check(
        isinstance(pair, list | tuple) and len(pair) == 2,
        "fans must return two numbers, (fan_in, fan_out)",
    )
    for value, name in zip(pair, NAMES, strict=True):
        check(
            type(value) in (int, float),
            f"{name} must be a plain int, not {'None' if value is None else f'a {type(value).__name__}'}",
        )
    return pair


def assert_fans(submission, shape, groups, expected, hint):
    pair = fans(submission, shape, *groups)

    wrong = [name for name, value, right in zip(NAMES, pair, expected, strict=True) if value != right]
    check(not wrong, f"{' and '.join(wrong)} of a weight of shape {tuple(shape)}: {hint}")


@weight(2)
def test_linear(submission, rng):
    """A linear layer's weight is (out, in): fan_in is in, fan_out is out."""
    out, inner = 50 + int(rng.integers(50)), 2 + int(rng.integers(40))

    assert_fans(submission, (out, inner), (), (inner, out), "it is stored as (out, in)")


@weight(2)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_convolutions(submission, rng, dimensions):
    """In a convolution, both fans count every position of the kernel."""
    out, inner = 20 + int(rng.integers(20)), 3 + int(rng.integers(9))
    kernel = [2, 5, 3][:dimensions]
    area = (2, 10, 30)[dimensions - 1]

    hint = "multiply both fans by the area of the kernel, all its dimensions"
    assert_fans(submission, [out, inner, *kernel], (), (inner * area, out * area), hint)


@weight(2)
def test_fan_in_with_groups(submission, rng):
    """With groups, shape[1] is the number of input channels in a group already."""
    groups = 2 + int(rng.integers(4))

    pair = fans(submission, torch.Size((7 * groups, 3, 2, 5)), groups)

    hint = "shape[1] is in_channels / groups already, so it is divided no further and multiplied by nothing"
    check(pair[0] == 30, f"fan_in of a convolution with groups: {hint}")


@weight(3)
def test_fan_out_with_groups(submission, rng):
    """With groups, an input channel goes into the output channels of its own group only."""
    groups = 2 + int(rng.integers(4))

    pair = fans(submission, (7 * groups, 3, 2, 5), groups)

    hint = "of all output channels, shape[0], only one in `groups` sees a given input channel"
    check(pair[1] == 70, f"fan_out of a convolution with groups: {hint}")


@weight(1)
def test_depthwise(submission, rng):
    """A depthwise convolution has as many groups as channels: both fans are the area of the kernel."""
    channels = 5 + int(rng.integers(20))

    hint = "one input channel, one output channel: what remains is the area of the kernel"
    assert_fans(submission, (channels, 1, 3, 5), (channels,), (15, 15), hint)


@weight(1)
def test_whole_numbers(submission):
    """Both fans are ints, also with groups."""
    for value, name in zip(fans(submission, (12, 5, 3), 4), NAMES, strict=True):
        check(type(value) is int, f"{name} must be an int: / gives a float, // a whole number")


@weight(1)
def test_a_bias_has_no_fans(submission):
    """A shape with fewer than two dimensions raises ValueError."""
    fans(submission, (3, 2))  # so that a stub's error is not taken for the one that is asked for
    for shape in ((5,), ()):
        try:
            submission.fans(shape)
        except ValueError:
            continue
        except (IndexError, TypeError, AssertionError):
            pass
        check(False, f"fans({shape}) must raise ValueError: a bias is no sum of products")
