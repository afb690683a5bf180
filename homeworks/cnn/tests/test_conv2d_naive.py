"""The convolution by its formula. Each option is first compared with the submission's own plain convolution, so that
one mistake in the plain one does not cost the options too; all together are compared with the right answer."""

import torch
import torch.nn.functional as F
from oracles import NONE, ONES, ask, assert_alive, assert_right, conv, kernels, tensor

from grading.judge import gate, weight


def given(generator):
    """Images 5×3×8×11, kernels 7×3×4×2: no two sizes are equal."""
    return tensor(generator, 5, 3, 8, 11), kernels(generator, 7, 3, 4, 2)


def plain(submission, x, w):
    y = ask(submission, "conv2d_naive", x, w)
    assert_alive(y, "conv2d_naive")
    return y.detach()


@gate
def test_a_tensor_of_the_right_shape(submission, generator):
    """Without options, conv2d_naive returns N×O×OH×OW finite numbers, and leaves its arguments alone."""
    x, w = given(generator)

    y = ask(submission, "conv2d_naive", x, w)

    assert_right(
        y, conv(x, w), hint="(N, O, H - KH + 1, W - KW + 1) without options, in the dtype of x", rtol=1e9
    )


@weight(3)
def test_slide_multiply_sum(submission, generator):
    """Without options, the kernel is laid on the image as it is, and the products are summed, over the channels too."""
    x, w = given(generator)

    y = ask(submission, "conv2d_naive", x, w)

    hint = "it does not follow the formula"
    if torch.allclose(y, conv(x, w.flip(2, 3)), atol=1e-6):
        hint = "the kernel is flipped: lay it on the image as it is"
    elif torch.allclose(y, conv(x[:, :1], w[:, :1]), atol=1e-6):
        hint = "only the first channel is used: the sum goes over the channels too"
    assert_right(y, conv(x, w), hint=hint)


@weight(1)
def test_of_one_pixel_and_as_large_as_the_image(submission, generator):
    """A kernel of one pixel mixes the channels; one as large as the image gives a single number."""
    x = tensor(generator, 2, 3, 4, 5)

    for size in (ONES, (4, 5)):
        w = kernels(generator, 7, 3, *size)
        y = ask(submission, "conv2d_naive", x, w)
        assert_right(y, conv(x, w), hint=f"wrong for a kernel of {size[0]}×{size[1]} on images of 4×5")


@weight(2)
def test_one_number_a_channel_is_added(submission, generator):
    """The bias adds one number to each output channel, the same at all places and for all images."""
    x, w = given(generator)
    b = tensor(generator, 7)
    y = plain(submission, x, w)

    with_bias = ask(submission, "conv2d_naive", x, w, b)

    hint = "with a bias, b[o] is added to all of output channel o, and to nothing else"
    assert_right(with_bias, y + b[:, None, None], hint=hint)


@weight(2)
def test_steps(submission, generator):
    """A stride of (2, 3) keeps every second row and every third column of what stride 1 gives."""
    x, w = given(generator)
    y = plain(submission, x, w)

    for stride in ((2, 3), (3, 1)):
        skipped = ask(submission, "conv2d_naive", x, w, None, stride)
        hint = f"stride={stride}: steps down come first, steps to the right second; leftovers are not used"
        assert_right(skipped, y[:, :, :: stride[0], :: stride[1]], hint=hint)


@weight(2)
def test_zeros_on_all_sides(submission, generator):
    """Padding (1, 3) is one row of zeros above and below, and three columns on the left and on the right."""
    x, w = given(generator)

    for pad in ((1, 3), (2, 0)):
        widened = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
        padded = ask(submission, "conv2d_naive", x, w, None, ONES, pad)
        hint = (
            f"pad={pad}: rows first, columns second, zeros on *both* sides of each, none around the channels"
        )
        assert_right(padded, plain(submission, widened, w), hint=hint)


@weight(2)
def test_spread_kernels(submission, generator):
    """With dilation (2, 3) the kernel's numbers lie two rows and three columns apart."""
    x, w = given(generator)

    for dilation in ((2, 3), (1, 4)):
        spread = w.new_zeros(7, 3, dilation[0] * 3 + 1, dilation[1] + 1)
        spread[:, :, :: dilation[0], :: dilation[1]] = w
        dilated = ask(submission, "conv2d_naive", x, w, None, ONES, NONE, dilation)
        hint = f"dilation={dilation}: as if there were zeros between the kernel's numbers: d·(k-1)+1 pixels, rows first"
        assert_right(dilated, plain(submission, x, spread), hint=hint)


@weight(2)
def test_all_at_once(submission, generator):
    """Bias, stride, padding and dilation work together."""
    x, w = given(generator)
    b = tensor(generator, 7)

    for options in (((2, 3), (1, 2), (3, 2)), ((3, 2), (2, 1), (1, 4))):
        y = ask(submission, "conv2d_naive", x, w, b, *options)
        hint = "stride={}, pad={}, dilation={} together: is one of them used with height and width swapped?"
        assert_right(y, conv(x, w, b, *options), hint=hint.format(*options))


@weight(1)
def test_single_precision(submission, generator):
    """float32 in gives float32 out."""
    x, w = (t.float() for t in given(generator))
    b = tensor(generator, 7).float()

    y = ask(submission, "conv2d_naive", x, w, b, (2, 1), (1, 0))

    hint = "images and kernels in float32"
    assert_right(y, conv(x, w, b, (2, 1), (1, 0)), rtol=1e-4, atol=1e-4, hint=hint)
