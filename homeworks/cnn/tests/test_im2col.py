"""Patches as columns, back again, and the convolution as one product: right, and fast by the judge's clock."""

import time

import numpy as np
import torch
from oracles import ask, assert_alive, assert_right, conv, folded, kernels, tensor, unfolded

from grading.judge import check, weight

SHAPE = (5, 3, 8, 11)
OPTIONS = (
    ((4, 2), (2, 3), (1, 2), (2, 3)),
    ((2, 4), (3, 2), (2, 1), (3, 1)),
    ((4, 2), (1, 1), (2, 1), (1, 2)),
)  # kernel, stride, pad, dilation
ORDER = "row (c·KH + u)·KW + v is what number (u, v) of the kernel meets in channel c; column i·OW + j is output (i, j)"


def said(options):
    return "kernel={}, stride={}, pad={}, dilation={}".format(*options)


@weight(2)
def test_patches_become_columns(submission, generator):
    """im2col without options: each patch is a column, channels before rows before columns."""
    x = tensor(generator, *SHAPE)

    for kernel in ((4, 2), (2, 4)):
        columns = ask(submission, "im2col", x, kernel)
        assert_right(columns, unfolded(x, kernel), hint=f"im2col with kernel={kernel}: {ORDER}")


@weight(2)
def test_patches_with_all_options(submission, generator):
    """im2col with stride, padding and dilation."""
    x = tensor(generator, *SHAPE)

    for options in OPTIONS:
        columns = ask(submission, "im2col", x, *options)
        hint = f"im2col with {said(options)}: rows first, zeros on both sides; leftovers are not used"
        assert_right(columns, unfolded(x, *options), hint=hint)


@weight(2)
def test_overlaps_are_added(submission, generator):
    """col2im without options: every entry goes home, and what comes to the same pixel is added."""
    for kernel in ((4, 2), (2, 4)):
        columns = tensor(generator, *unfolded(torch.zeros(SHAPE), kernel).shape)
        image = ask(submission, "col2im", columns, SHAPE, kernel)
        hint = (
            f"col2im with kernel={kernel}: patches overlap, so add to the pixel (+=), do not assign. With a list of "
            f"indices, += counts a repeated one once. {ORDER}"
        )
        assert_right(image, folded(columns, SHAPE, kernel), hint=hint)


@weight(2)
def test_home_with_all_options(submission, generator):
    """col2im with stride, padding and dilation: padding is cut off, pixels that no patch covers are 0."""
    for options in OPTIONS:
        columns = tensor(generator, *unfolded(torch.zeros(SHAPE), *options).shape)
        image = ask(submission, "col2im", columns, SHAPE, *options)
        hint = f"col2im with {said(options)}: collect in a padded image, then cut the padding off on all four sides"
        assert_right(image, folded(columns, SHAPE, *options), hint=hint)


@weight(1)
def test_transposes_of_each_other(submission, generator):
    """⟨im2col(x), z⟩ = ⟨x, col2im(z)⟩ for all x and z."""
    for options in (OPTIONS[0], ((4, 2), (1, 1), (0, 0), (1, 1))):
        x = tensor(generator, *SHAPE, shift=1.0)
        columns = ask(submission, "im2col", x, *options)
        assert_alive(columns, "im2col")
        z = tensor(generator, *unfolded(x, *options).shape, shift=1.0)
        check(
            columns.shape == z.shape,
            f"im2col with {said(options)} has another shape than (N, C·KH·KW, OH·OW)",
        )
        image = ask(submission, "col2im", z, SHAPE, *options)
        assert_alive(image, "col2im")
        check(image.shape == x.shape, "col2im has another shape than it was told")

        hint = f"with {said(options)}, col2im is not the transpose of im2col: same order, same places, and added up"
        assert_right((x * image).sum(), (columns * z).sum(), rtol=1e-9, hint=hint)


@weight(3)
def test_equal_to_the_slow_one(submission, generator):
    """conv2d_fast follows the formula, with and without a bias and with all options."""
    x, w, b = tensor(generator, *SHAPE), kernels(generator, 7, 3, 4, 2), tensor(generator, 7)

    for arguments in (
        (x, w),
        (x, w, b),
        (x, w, b, (2, 3), (1, 2), (2, 3)),
        (x, w, None, (1, 2), (3, 1), (1, 2)),
    ):
        y = ask(submission, "conv2d_fast", *arguments)
        which = "with {} bias, {}".format(
            "a" if len(arguments) > 2 and arguments[2] is not None else "no",
            "stride={}, pad={}, dilation={}".format(*arguments[3:]) if arguments[3:] else "no other option",
        )
        hint = f"{which}: is the order of the kernel's numbers that of the columns' rows, and OH × OW not OW × OH?"
        assert_right(y, conv(*arguments), hint=f"conv2d_fast {hint}")


@weight(1)
def test_single_precision(submission, generator):
    """float32 in gives float32 out, in all three functions."""
    x, w, b = (
        tensor(generator, *SHAPE).float(),
        kernels(generator, 7, 3, 4, 2).float(),
        tensor(generator, 7).float(),
    )
    kernel, *others = OPTIONS[0]
    columns = unfolded(x, kernel, *others)

    loose = {"rtol": 1e-4, "atol": 1e-4}
    assert_right(ask(submission, "im2col", x, kernel, *others), columns, hint="im2col in float32", **loose)
    image = ask(submission, "col2im", columns, SHAPE, kernel, *others)
    assert_right(image, folded(columns, SHAPE, kernel, *others), hint="col2im in float32", **loose)
    y = ask(submission, "conv2d_fast", x, w, b, *others)
    assert_right(y, conv(x, w, b, *others), hint="conv2d_fast in float32", **loose)


def four_loops(x, w):
    n, _, height, width = x.shape
    o, _, kh, kw = w.shape
    y = np.empty((n, o, height - kh + 1, width - kw + 1))
    for a in range(n):
        for b in range(o):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    y[a, b, i, j] = (x[a, :, i : i + kh, j : j + kw] * w[b]).sum()
    return y


# Four loops against one call, its way over the wire included, at 4×3×32×28, 8 kernels of 3×5 (46 ms for the loops):
# the reference 51 to 62 times as fast, FFT 36, a loop over the 15 numbers of the kernel 25; a loop over the 720 places
# with a matrix product in each at most 9, with einsum 5.
@weight(2)
def test_fast(submission, generator):
    """conv2d_fast is at least 15 times as fast as four Python loops with NumPy inside."""
    x = torch.randn(4, 3, 32, 28, generator=generator, dtype=torch.float64)
    w = torch.randn(8, 3, 3, 5, generator=generator, dtype=torch.float64)
    assert_right(ask(submission, "conv2d_fast", x, w), conv(x, w), hint="conv2d_fast on images of 32×28")
    arrays = x.numpy(), w.numpy()

    slow, fast = [], []
    for _ in range(5):  # in turns, and the best of each: what else runs on the machine disturbs both
        slow.append(seconds(four_loops, *arrays))
        fast += [seconds(submission.conv2d_fast, x, w) for _ in range(3)]

    ratio = min(slow) / min(fast)
    check(
        ratio >= 15,
        f"it is {ratio:.0f} times as fast as four Python loops: a Python loop over the kernel's numbers is fine, one "
        "over the places of the picture is too slow. Build the columns by slices, and multiply once",
    )


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start
