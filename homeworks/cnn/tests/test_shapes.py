"""How many outputs, how much padding, how far a network sees; and the prediction. All in one dimension."""

import torch
import torch.nn.functional as F

from grading.judge import assert_close, check, weight


def places(n, k, s=1, p=0, d=1):
    """How often the kernel fits, counted rather than computed."""
    return len(range(0, n + 2 * p - d * (k - 1), s))


def draw(rng, low, high):
    return int(rng.integers(low, high))


@weight(1)
def test_without_padding_or_stride(submission, rng):
    """out_size counts the places of a kernel in a row, without any option."""
    for _ in range(4):
        k = draw(rng, 2, 6)
        n = k + draw(rng, 1, 20)
        assert_close(
            submission.out_size(n, k),
            places(n, k),
            hint=f"n={n}, k={k}: the last start is n - k, the first 0",
        )


@weight(1)
def test_padding_and_dilation(submission, rng):
    """Padding lies at both ends, and a dilated kernel covers d·(k-1)+1 pixels."""
    for d in (1, 2, 3):
        k, p = draw(rng, 2, 5), draw(rng, 1, 4)
        n = d * k + draw(rng, 1, 20)
        hint = f"n={n}, k={k}, p={p}, d={d}: n + 2p pixels, and the kernel covers d·(k-1)+1 of them"
        assert_close(submission.out_size(n, k, 1, p, d), places(n, k, 1, p, d), hint=hint)


@weight(1)
def test_stride_leaves_the_rest(submission, rng):
    """With a stride, pixels that are left over at the end give no further output."""
    s, k = draw(rng, 3, 6), draw(rng, 2, 5)
    for rest in range(s):
        n = k + s * draw(rng, 2, 6) + rest
        hint = f"n={n}, k={k}, s={s}: divide and round *down*, then add 1 for the first place"
        assert_close(submission.out_size(n, k, s), places(n, k, s), hint=hint)


@weight(1)
def test_a_kernel_that_hardly_fits_or_not_at_all(submission, rng):
    """A kernel that fits exactly gives one output, one that fits nowhere none."""
    for s in (1, 2, 4):
        k, d = draw(rng, 3, 7), draw(rng, 1, 4)
        covered = d * (k - 1) + 1
        for n, outputs in ((covered, 1), (covered - 1, 0), (max(1, covered - 2 * s - 1), 0)):
            hint = f"n={n}, k={k}, s={s}, d={d}: 1 if it fits exactly, 0 (never less) if it does not fit"
            assert_close(submission.out_size(n, k, s, 0, d), outputs, hint=hint)


def pad_of(submission, k, s, d):
    pair = submission.same_pad(k, s, d)
    check(isinstance(pair, tuple | list) and len(pair) == 2, "same_pad must return a pair (before, after)")
    return pair


@weight(1)
def test_padding_that_keeps_the_size(submission, rng):
    """With stride 1, same_pad keeps the size, for odd and even kernels and with dilation."""
    first = draw(rng, 2, 6)
    for k, d in ((first, 1), (first + 1, 1), (first, 3), (first + 1, 2)):
        total = d * (k - 1)
        hint = (
            f"k={k}, s=1, d={d}: with stride 1 the padding makes up for what the kernel takes away, d·(k-1) in all; "
            "half of it before, half after, the odd one after"
        )
        assert_close(pad_of(submission, k, 1, d), (total // 2, (total + 1) // 2), hint=hint)


@weight(1)
def test_padding_with_a_stride(submission, rng):
    """With stride s, same_pad gives n / s outputs with as few zeros as possible."""
    s = draw(rng, 2, 5)
    for k, d in ((s + 2, 1), (s + 3, 2), (s, 1), (s - 1, 1)):
        total = max(0, d * (k - 1) + 1 - s)
        hint = (
            f"k={k}, s={s}, d={d}: the last of n / s windows starts at n - s, so how far does it reach beyond the end? "
            "Never less than 0"
        )
        assert_close(pad_of(submission, k, s, d), (total // 2, (total + 1) // 2), hint=hint)


def field(layers):
    """From back to front: what k outputs of a layer see."""
    seen = 1
    for k, s, d in reversed(layers):
        seen = (seen - 1) * s + d * (k - 1) + 1
    return seen


@weight(1)
def test_field_of_view_without_strides(submission, rng):
    """Each layer of stride 1 lets one output see d·(k-1) pixels more."""
    layers = [(draw(rng, 2, 6), 1, draw(rng, 1, 4)) for _ in range(4)]

    for depth in (1, 2, 4, 0):
        hint = f"{depth} layers with stride 1: start with 1 pixel, and add d·(k-1) at each layer"
        assert_close(submission.receptive_field(layers[:depth]), field(layers[:depth]), hint=hint)


@weight(1)
def test_field_of_view_with_strides(submission, rng):
    """After a stride, neighbours are further apart, so that later layers see more of the picture."""
    layers = [(draw(rng, 2, 5), draw(rng, 2, 4), draw(rng, 1, 3)) for _ in range(4)]

    for depth in (1, 2, 4):
        hint = f"{depth} layers with strides: what a layer adds counts times all strides *in front of* it, not its own"
        assert_close(submission.receptive_field(layers[:depth]), field(layers[:depth]), hint=hint)


@weight(2)
def test_prediction(submission, generator):
    """The prediction: how many of the 100 numbers are equal to the one in the middle."""
    y = torch.ones(1, 1, 10, 10, dtype=torch.float64)
    for _ in range(3):
        y = F.conv2d(y, 0.1 + torch.rand(1, 1, 3, 3, generator=generator, dtype=torch.float64), padding=1)
    equal = torch.isclose(y, y[0, 0, 5, 5]).sum().item()

    answers = submission.ANSWERS

    check(
        isinstance(answers, dict) and "equal_to_the_middle" in answers,
        'ANSWERS["equal_to_the_middle"] is missing: write your prediction there, a number from 1 to 100',
    )
    prediction = answers["equal_to_the_middle"]
    check(
        isinstance(prediction, int | float),
        'ANSWERS["equal_to_the_middle"] is not a number: write your prediction there, from 1 to 100',
    )
    check(
        prediction == equal,
        "not so. Each 3×3 convolution carries the zeros of the padding one pixel further inwards, from all four sides",
    )
