"""The three gradients of a convolution, contracted with a random cotangent."""

import torch
from oracles import NONE, ONES, ask, assert_right, conv, kernels, tensor

from grading.judge import check, gate, weight

MANY = (((2, 3), (1, 2), (2, 3)), ((3, 2), (2, 1), (3, 2)))  # stride, pad, dilation
DX, DW, DB = range(3)


def problem(generator, stride=ONES, pad=NONE, dilation=ONES, dtype=torch.float64):
    """Arguments of conv2d_backward, and the three right answers."""
    x = tensor(generator, 5, 2, 8, 11).to(dtype).requires_grad_()
    w = kernels(generator, 7, 2, 4, 3).to(dtype).requires_grad_()
    b = tensor(generator, 7).to(dtype).requires_grad_()
    y = conv(x, w, b, stride, pad, dilation)
    g = tensor(generator, *y.shape, shift=0.5).to(dtype)
    gradients = torch.autograd.grad(y, (x, w, b), g)
    return (g, x.detach(), w.detach(), stride, pad, dilation), gradients


def backward(submission, arguments):
    gradients = ask(submission, "conv2d_backward", *arguments)
    check(isinstance(gradients, tuple | list) and len(gradients) == 3, "return three tensors: dx, dw, db")
    return gradients


@gate
def test_three_of_them(submission, generator):
    """conv2d_backward returns three gradients, and leaves its arguments alone."""
    backward(submission, problem(generator)[0])


@weight(2)
def test_for_the_bias(submission, generator):
    """db sums g over images, rows and columns: one number for each output channel."""
    arguments, expected = problem(generator)

    gradients = backward(submission, arguments)

    assert_right(gradients[DB], expected[DB], hint="db: a sum, over images, rows and columns, not a mean")


@weight(3)
def test_for_the_kernels(submission, generator):
    """dw, without options: g times what the kernel met, summed over all images and all places."""
    arguments, expected = problem(generator)

    gradients = backward(submission, arguments)

    assert_right(
        gradients[DW],
        expected[DW],
        hint="dw: a sum over *all* images (no mean) and places, of the shape of w",
    )


@weight(3)
def test_for_the_images(submission, generator):
    """dx, without options: each output gives its gradient, times the kernel, to the pixels that it saw."""
    arguments, expected = problem(generator)

    gradients = backward(submission, arguments)

    hint = "dx: patches overlap, so what comes to the same pixel is added; and each output used the kernel as it is"
    assert_right(gradients[DX], expected[DX], hint=hint)


@weight(2)
def test_for_the_kernels_with_options(submission, generator):
    """dw with stride, padding and dilation."""
    for options in MANY:
        arguments, expected = problem(generator, *options)
        gradients = backward(submission, arguments)
        hint = (
            "dw with stride={}, pad={}, dilation={}: what did the kernel meet in the *padded* image?".format(
                *options
            )
        )
        assert_right(gradients[DW], expected[DW], hint=hint)


@weight(2)
def test_for_the_images_with_options(submission, generator):
    """dx with stride, padding and dilation has the shape of x, and is 0 where no output looked."""
    for options in MANY:
        arguments, expected = problem(generator, *options)
        gradients = backward(submission, arguments)
        hint = (
            "dx with stride={}, pad={}, dilation={}: cut the padding off on all four sides at the end; "
            "pixels that a stride left over get 0"
        )
        assert_right(gradients[DX], expected[DX], hint=hint.format(*options))


@weight(2)
def test_adjoint(submission, generator):
    """⟨conv(x), g⟩ = ⟨x, dx⟩ for any g, whatever the options."""
    for options in (((2, 1), (0, 2), (1, 3)), *MANY):
        (g, x, w, *_), _ = problem(generator, *options)
        elsewhere = tensor(generator, *x.shape)
        dx = backward(submission, (g, elsewhere, w, *options))[DX]

        hint = "with stride={}, pad={}, dilation={}, ⟨conv(x), g⟩ and ⟨x, dx⟩ differ: dx depends on g and w, not on x"
        check(isinstance(dx, torch.Tensor) and dx.shape == x.shape, "dx has another shape than x")
        forward = (conv(x, w, None, *options) * g).sum()
        assert_right((x * dx).sum(), forward, rtol=1e-8, atol=1e-8, hint=hint.format(*options))


@weight(1)
def test_single_precision(submission, generator):
    """float32 in gives float32 out, for all three gradients."""
    arguments, expected = problem(generator, *MANY[0], dtype=torch.float32)

    gradients = backward(submission, arguments)

    for name, gradient, right in zip(("dx", "dw", "db"), gradients, expected, strict=True):
        assert_right(gradient, right, rtol=1e-3, atol=1e-3, hint=f"{name} in float32")
