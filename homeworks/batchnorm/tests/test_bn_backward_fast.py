"""Batch norm backwards in closed form, from what the forward pass has kept."""

import time

import numpy as np
import torch
from oracles import assert_right, assert_untouched, batch, noise, tensors_of

from grading.judge import check, gate, weight


def given(generator, n=7, c=5, eps=1e-5):
    """dy, xhat, inv, gamma, as a forward pass leaves them."""
    x, gamma, *_ = batch(generator, n, c)
    inv = 1 / torch.sqrt(x.var(0, correction=0) + eps)
    return noise(generator, n, c), (x - x.mean(0)) * inv, inv, gamma


def answer(submission, dy, xhat, inv, gamma):
    result = submission.bn_backward_fast(dy, xhat, inv, gamma)
    shapes = {"dx": dy.shape, "dgamma": gamma.shape, "dbeta": gamma.shape}
    return tensors_of(result, "bn_backward_fast", shapes, dy.dtype)


def closed_form(dy, xhat, inv, gamma):
    return gamma * inv * (dy - dy.mean(0) - xhat * (dy * xhat).mean(0))


def wrong_turns(dy, xhat, inv, gamma):
    """What goes wrong most often, and what it then gives."""
    mean, stretch, front = dy.mean(0), xhat * (dy * xhat).mean(0), gamma * inv
    n = len(dy)
    return {
        "mean and variance depend on x too: both the term with the mean of dy and that with xhat are missing": front
        * dy,
        "the term with the mean of dy is missing": front * (dy - stretch),
        "the term with xhat is missing: the variance depends on x too": front * (dy - mean),
        "the sums over the batch are to be divided by N": front * (dy - n * mean - n * stretch),
        "it is N times too large: each term has its 1/N": n * front * (dy - mean - stretch),
        "gamma is missing": inv * (dy - mean - stretch),
        "inv is missing: dx is gamma * inv times the bracket": gamma * (dy - mean - stretch),
    }


@gate
def test_three_tensors(submission, generator):
    """bn_backward_fast returns dx (N, C), dgamma and dbeta (C,), in the dtype of dy."""
    answer(submission, *given(generator))


@weight(8)
def test_dx(submission, generator):
    """dx, in closed form, is the gradient of the loss with respect to x."""
    for n, c, eps in ((7, 5, 1e-5), (4, 3, 0.4)):
        arguments = given(generator, n, c, eps)

        dx, *_ = answer(submission, *arguments)

        hint = "gamma * inv * (dy - mean of dy - xhat * mean of dy * xhat), with means over the batch"
        for turn, value in wrong_turns(*arguments).items():
            if torch.allclose(dx, value, rtol=1e-6, atol=1e-8):
                hint = turn
        assert_right(dx, closed_form(*arguments), hint=hint)


@weight(2)
def test_dgamma(submission, generator):
    """dgamma is the sum of dy * xhat over the batch."""
    dy, xhat, inv, gamma = given(generator)

    _, dgamma, _ = answer(submission, dy, xhat, inv, gamma)

    hint = "the second of the three: the sum of dy * xhat over the batch, not the mean, and not of x"
    assert_right(dgamma, (dy * xhat).sum(0), hint=hint)


@weight(2)
def test_dbeta(submission, generator):
    """dbeta is the sum of dy over the batch."""
    dy, xhat, inv, gamma = given(generator)

    *_, dbeta = answer(submission, dy, xhat, inv, gamma)

    assert_right(dbeta, dy.sum(0), hint="the last of the three: the sum of dy over the batch, not the mean")


@weight(2)
def test_single_precision_and_arguments(submission, generator):
    """In float32 the results are float32, and what they are in float64 to three digits, and no argument changes."""
    double = given(generator)
    single = tuple(tensor.float() for tensor in double)

    in_single, in_double = answer(submission, *single), answer(submission, *double)

    for name, mine, expected in zip(("dx", "dgamma", "dbeta"), in_single, in_double, strict=True):
        check(expected.std() > 1e-6, f"{name} is the same everywhere")
        near = torch.allclose(mine.double(), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
        check(near, f"{name} is one thing in float64 and another in float32")
    assert_untouched(submission, "bn_backward_fast", *single)


# How many times as fast as the loop, over the wire, on two busy cores: without a loop 9 to 28; with torch in a loop .3
# or .4, with NumPy in a loop 1.
@weight(6)
def test_no_loop(submission, generator):
    """Without a loop over channels or examples: for 8192 of them at least 4 times as fast as such a loop in NumPy."""
    for n, c in ((4, 8192), (8192, 4)):
        arguments = given(generator, n, c)
        hint = "the speed of a wrong dx does not count: mend that first"
        assert_right(answer(submission, *arguments)[0], closed_form(*arguments), hint=hint)

        arrays = [tensor.contiguous().numpy() for tensor in arguments]
        loop = best_time(over_examples if n > c else over_channels, arrays, 3)
        best = best_time(submission.bn_backward_fast, arguments, 5)

        check(
            4 * best < loop,
            f"for {n} examples of {c} channels it is not 4 times as fast as a loop in NumPy: is there a loop over the "
            f"{'examples' if n > c else 'channels'} in it? Sums and products of whole tensors do without",
        )


def best_time(f, arguments, repetitions):
    """Other work on the machine can only add to a time."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        f(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def over_channels(dy, xhat, inv, gamma):
    dx = np.empty_like(dy)
    for c in range(dy.shape[1]):
        g, h = dy[:, c], xhat[:, c]
        dx[:, c] = gamma[c] * inv[c] * (g - (g.sum() + h * (g * h).sum()) / len(g))
    return dx


def over_examples(dy, xhat, inv, gamma):
    dx, n = np.empty_like(dy), len(dy)
    dbeta, dgamma = np.zeros_like(gamma), np.zeros_like(gamma)
    for g, h in zip(dy, xhat, strict=True):
        dbeta += g
        dgamma += g * h
    for i in range(n):
        dx[i] = gamma * inv * (dy[i] - (dbeta + xhat[i] * dgamma) / n)
    return dx
