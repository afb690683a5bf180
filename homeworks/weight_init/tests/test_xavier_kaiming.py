"""Xavier and Kaiming: mean, standard deviation and distribution at 6 sigma, and the manners of a function in place.

40,000 numbers each: a std that is 5% off is always caught, one that is 2% off is not.
"""

import math

import pytest
import torch
from oracles import (
    assert_centred,
    assert_generator_decides,
    assert_random,
    assert_returns_it,
    assert_spread,
    assert_takes_any_tensor,
    filled,
    kurtosis,
)

from grading.judge import check, weight

NAMES = ("xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_")
LINEAR = ((400, 100), (100, 400))
KERNEL = (50, 16, 5, 10)  # fan_in 800, fan_out 2500

each_name = pytest.mark.parametrize("name", NAMES)
each_kaiming = pytest.mark.parametrize("name", NAMES[2:])


def draw(submission, name, shape, **keywords):
    return filled(submission, name, torch.empty(shape, dtype=torch.float64), **keywords)


def hint_of(name, words):
    width = " A uniform distribution on (-b, b) has the std b / √3." if "uniform" in name else ""
    return f"{name}: {words}{width}"


@each_name
@weight(3)
def test_standard_deviation(submission, name):
    """The numbers have the standard deviation of the formula, for tall and for wide weights of linear layers."""
    for out, inner in LINEAR:
        w = draw(submission, name, (out, inner))

        if "xavier" in name:
            std, words = math.sqrt(2 / (out + inner)), "√(2 / (fan_in + fan_out)), a std and not a variance."
        else:
            std = math.sqrt(2 / inner)
            words = "√(2 / fan_in) by default, a std and not a variance; is fan_in the second dimension?"
        assert_spread(w, std, hint=f"of a {out}×{inner} weight, {hint_of(name, words)}")


@each_name
@weight(1)
def test_mean(submission, name):
    """The numbers have the mean 0."""
    for shape in LINEAR:
        w = draw(submission, name, shape)

        check(w.std() > 0, f"{name}: all numbers are the same")
        assert_centred(w, hint=f"{name} draws from both sides of 0 alike, from (-b, b) and not (0, b)")


@each_name
@weight(2)
def test_distribution(submission, name):
    """The numbers are uniform, or normal, as the name says, and independent of each other."""
    w = draw(submission, name, LINEAR[0])

    check(
        w.unique().numel() > 0.9 * w.numel(),
        f"{name}: many numbers occur more than once: draw each entry by itself",
    )
    # The kurtosis of 40,000 numbers has a std of .006 if they are uniform, .025 if they are normal: at 6 sigma.
    # Normal numbers that are cut off at 2 std have 2.37, further out more: right as well.
    if "uniform" in name:
        check(abs(kurtosis(w) - 1.8) < 0.04, f"{name}: these numbers are not uniform")
        check(
            w.abs().max() <= math.sqrt(3.3) * w.std(),
            f"{name}: a uniform distribution has a sharp border, these numbers go beyond it",
        )
    else:
        check(
            2.25 < kurtosis(w) < 3.16,
            f"{name}: these numbers are not normal: is it a uniform distribution in disguise?",
        )


@each_name
@weight(1)
def test_convolution(submission, name):
    """The fans of a convolution count every position of the kernel."""
    w = draw(submission, name, KERNEL)

    std = math.sqrt(2 / 3300) if "xavier" in name else math.sqrt(2 / 800)
    assert_spread(w, std, hint=f"{name} of a convolution: use fans, which counts the area of the kernel")


@pytest.mark.parametrize("name", NAMES[:2])
@weight(1)
def test_xavier_gain(submission, rng, name):
    """Xavier's standard deviation is multiplied by the gain."""
    gain = 1.5 + rng.random()

    w = draw(submission, name, LINEAR[0], gain=gain)

    assert_spread(w, gain * math.sqrt(2 / 500), hint=f"{name}: the gain multiplies the std, once")


@each_kaiming
@weight(1)
def test_kaiming_fan_out(submission, name):
    """With mode="fan_out", Kaiming's standard deviation is by fan_out."""
    w = draw(submission, name, LINEAR[0], mode="fan_out")

    assert_spread(w, math.sqrt(2 / 400), hint=f'{name}: is mode="fan_out" looked at?')


@each_kaiming
@weight(1)
def test_kaiming_of_a_leaky_relu(submission, rng, name):
    """A leaky ReLU of slope a throws less away, so the weights are smaller: 2 / (1 + a²)."""
    slope = 0.8 + rng.random()

    w = draw(submission, name, LINEAR[1], a=slope)

    assert_spread(
        w, math.sqrt(2 / (1 + slope**2) / 400), hint=f"{name}: √(2 / ((1 + a²) · fan)): a *squared*"
    )


@each_name
@weight(1)
def test_new_numbers_at_every_call(submission, name):
    """Two calls fill in different numbers."""
    assert_random(submission, name)


@each_name
@weight(1)
def test_the_result_is_w(submission, name):
    """The function returns the tensor that it has filled."""
    assert_returns_it(submission, name)


@each_name
@weight(1)
def test_generator(submission, rng, name):
    """The generator decides what is drawn: the same seed, the same numbers."""
    assert_generator_decides(submission, name, int(rng.integers(1 << 30)))


@each_name
@weight(1)
def test_any_tensor(submission, name):
    """A float32 parameter that is not contiguous is filled in place."""
    assert_takes_any_tensor(submission, name)
