# %% [markdown]
# # Seeing by sliding
#
# A cat in the left corner of a picture is the same cat in the right corner. A fully connected layer does not know that: it has other weights
# for every place, and must learn the cat anew in each. A convolution has one small set of weights, the kernel, and slides it over the picture.
# That is nearly the whole idea. In this homework you count where a kernel fits (section 1), slide it slowly (2) and fast (3), run the gradient
# back through it (4), pool (5), build kernels by hand that blur, find edges and play the Game of Life (6), mend a broken network (7), and
# at last teach a network of fewer than 10,000 numbers to find and read a digit wherever it wanders (8).
#
# **How it works.** Each section has an idea, a stub to fill in, and a check. Replace `raise NotImplementedError` by your code, run the
# cell, run the check below it. `✓` is right, `✗` tells you in words what is wrong, `…` is still to do. The hidden tests ask for the same
# properties with other numbers and shapes, so when all checks say `✓` you are very likely done. You get points for every function that
# works (if it keeps the house rules), so leave a stub you cannot solve as it is and go on.
#
# **House rules**, for every function in this notebook:
#
# * Images and kernels are torch tensors: images `(N, C, H, W)`, that is examples, channels, height, width; kernels `(O, C, KH, KW)`.
#   `float32` in gives `float32` out, `float64` in gives `float64` out.
# * Images (and their gradients) may lie in memory in any order, such as channels last. `x.reshape(...)` does not mind, `x.view(...)` does.
# * Sizes come as **pairs, height first**: `stride=(2, 1)` goes two steps down and one step to the right.
# * An argument is never changed in place.
# * Gradients need not pass through your functions: you write them by hand.
# * A library function that *is* the answer is forbidden, by whatever name (`torch.ops` and the like too), and a single one costs the
#   *whole* section, so a stub is better. Helpers and functions of earlier sections count with the section that calls them. Welcome
#   everywhere are `F.pad`, `Tensor.unfold` (a view, which copies nothing), `as_strided`, `einsum`, `torch.fft` and so on.
#
# | section | forbidden |
# |---|---|
# | 2 | every convolution of any library (NumPy's and SciPy's too); `F.unfold` and `F.fold`, which are `im2col` and `col2im` |
# | 3 and 4 | the same, and autograd |
# | 5 | every pooling of any library, and autograd |
# | 6 | the filters of SciPy (`scipy.signal`, `scipy.ndimage`); those of `torch` are welcome from here on |
# | 8 | `pickle` and `torch.load` |
#
# | section | points |
# |---|---|
# | 1 Sizes and fields of view, and one prediction | 8 + 2 |
# | 2 Convolution, slowly | 15 |
# | 3 Convolution, fast | 15 |
# | 4 Convolution, backwards | 15 |
# | 5 Pooling | 15 |
# | 6 Kernels by hand, and the Game of Life | 10 |
# | 7 Eight faults | 5 |
# | 8 Boss: wandering digits | 15 |

# %%
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# %% [markdown]
# Three small tools that the checks use. Nothing to do here.


# %%
def check(says):
    """Run a check as soon as it is defined, and say in words how it went."""

    def run(test):
        try:
            test()
        except NotImplementedError:
            print(f"…  {says}: not implemented yet")
        except AssertionError as wrong:
            print(f"✗  {says}\n      {wrong}")
        except Exception as error:
            print(f"✗  {says}\n      your code raised {type(error).__name__}: {error}")
        else:
            print(f"✓  {says}")

    return run


def call(f, *arguments, **keywords):
    """What f returns for these arguments, which it must leave as they are."""
    tensors = [tensor for tensor in arguments if isinstance(tensor, torch.Tensor)]
    copies = [tensor.detach().clone() for tensor in tensors]
    result = f(*arguments, **keywords)
    assert all(map(torch.equal, tensors, copies)), (
        f"{f.__name__} changed its argument in place: compute a new tensor instead"
    )
    return result


def agrees(actual, expected, hint, rtol=1e-9, atol=1e-11):
    """Is it a tensor, of the right shape and dtype, finite, and (only then) right?"""
    assert isinstance(actual, torch.Tensor), f"a torch tensor was asked for, not a {type(actual).__name__}"
    assert actual.shape == expected.shape, (
        f"the shape is {tuple(actual.shape)}, not {tuple(expected.shape)}. {hint}"
    )
    assert actual.dtype == expected.dtype, f"the dtype is {actual.dtype}, not {expected.dtype}"
    if expected.is_floating_point():
        assert torch.isfinite(actual).all(), f"there is a NaN or an infinity in the result. {hint}"
    if torch.allclose(actual, expected, rtol=rtol, atol=atol):
        return
    if actual.dtype == torch.float64 and torch.allclose(actual, expected, rtol=1e-5, atol=1e-5):
        hint = (
            "right to about six digits, but no further: did it pass through float32 on the way? (A new tensor "
            f"is float32 unless it is told its dtype.) If not: {hint}"
        )
    raise AssertionError(hint)


# %% [markdown]
# ## 1. Sizes and fields of view (8 points, and 2 for a prediction)
#
# All of this section is about one dimension; height and width are each like it. A kernel of $k$ numbers slides over a row of $n$ pixels.
#
# * **Padding** $p$ puts $p$ zeros in front of the row and $p$ behind it.
# * **Stride** $s$: the kernel moves $s$ pixels at a time.
# * **Dilation** $d$: its numbers lie $d$ pixels apart. The first and the last are then $d\,(k-1)$ apart, so the kernel covers
#   $d\,(k-1)+1$ pixels.
#
# The kernel starts at pixel $0, s, 2s, \dots$ of the padded row for as long as its last number is still inside. So the number of outputs is
#
# $$\Big\lfloor \frac{n + 2p - d\,(k-1) - 1}{s} \Big\rfloor + 1$$
#
# Two questions come up in every design. *How much padding keeps the size?* And: *how much of the picture does one number deep in the network
# see?* That is its **receptive field**. For the second, walk from front to back and ask at each layer how many pixels of the *picture* lie
# between two neighbours of its *input*. Strides make that number grow.


# %%
def out_size(n, k, s=1, p=0, d=1):
    """How many outputs a kernel gives that slides over n pixels. All arguments and the result are integers.

    k: length of the kernel; s: stride; p: zeros at *each* end; d: dilation.
    What is left over at the end, too short for one more stride, is not used. 0 if the kernel fits nowhere.
    """
    ### BEGIN SOLUTION
    return max(0, (n + 2 * p - d * (k - 1) - 1) // s + 1)
    ### END SOLUTION


def same_pad(k, s=1, d=1):
    """The padding (before, after), two integers, that makes n / s outputs of n pixels, for every n that s divides.

    k, s, d: kernel, stride and dilation as above. With s = 1 the size stays the same, whence the name.
    As few zeros as possible; if their number is odd, the odd one goes to the end: (1, 2), not (2, 1).
    """
    ### BEGIN SOLUTION
    total = max(0, d * (k - 1) + 1 - s)
    return total // 2, total - total // 2
    ### END SOLUTION


def receptive_field(layers):
    """How many neighbouring pixels of the input (in one dimension) one output of the last layer can see.

    layers: a list of (k, s, d) = (kernel, stride, dilation), front to back; pooling is a layer like any other.
    Counted from the first to the last pixel seen, also if a dilated kernel skips some in between.
    No padding: what is asked for is an output far from the edges. 1 for an empty list.
    """
    ### BEGIN SOLUTION
    field, step = 1, 1
    for k, s, d in layers:
        field += d * (k - 1) * step
        step *= s
    return field
    ### END SOLUTION


# %% tags=["check"]
@check("out_size counts the places where the kernel fits")
def _():
    for n, k, s, p, d in (
        (9, 3, 1, 0, 1),
        (9, 4, 1, 2, 1),
        (10, 3, 1, 1, 3),
        (11, 3, 4, 0, 1),
        (12, 2, 5, 1, 2),
    ):
        places = len(range(0, n + 2 * p - d * (k - 1), s))
        hint = f"out_size(n={n}, k={k}, s={s}, p={p}, d={d}): count the starts 0, s, 2s, ... in the padded row by hand"
        assert out_size(n, k, s, p, d) == places, hint
    assert out_size(7, 7) == 1, "a kernel as long as the row fits exactly once"
    for n, k, s in ((4, 7, 1), (3, 9, 2)):
        assert out_size(n, k, s) == 0, "a kernel that fits nowhere gives 0 outputs"


@check("same_pad keeps n / s outputs, with as few zeros as possible")
def _():
    for k, s, d in ((3, 1, 1), (5, 1, 1), (4, 1, 1), (3, 1, 4), (3, 2, 1), (5, 3, 2), (2, 2, 1), (1, 3, 1)):
        pair = same_pad(k, s, d)
        assert isinstance(pair, (tuple, list)), f"return a pair (before, after), not a {type(pair).__name__}"
        before, after = pair
        case = f"same_pad(k={k}, s={s}, d={d})"
        for n in (12 * s, 13 * s):
            outputs = len(range(0, n + before + after - d * (k - 1), s))
            assert outputs == n // s, f"{case}: {n} pixels give {outputs} outputs, not {n // s}"
        fewer = len(range(0, 12 * s + before + after - 1 - d * (k - 1), s))
        assert before + after == 0 or fewer != 12, f"{case}: fewer zeros would do"
        assert after - before in (0, 1), f"{case}: half before, half after, the odd one after"


@check("receptive_field")
def _():
    assert receptive_field([]) == 1, "without a layer, a pixel sees itself"
    assert receptive_field([(3, 1, 1), (3, 1, 1)]) == 5, "two 3-kernels with stride 1 see five pixels"
    assert receptive_field([(3, 1, 4)]) == 9, "a dilated kernel: from its first to its last pixel"
    assert receptive_field([(2, 2, 1), (3, 1, 1)]) == 6, (
        "after a layer of stride 2, neighbours are two pixels of the picture apart: (2, 2, 1) and then (3, 1, 1) see six"
    )
    assert receptive_field([(3, 1, 1), (2, 2, 1)]) == 4, (
        "the stride of a layer counts for the layers after it only"
    )


# %% [markdown]
# ### Predict, then run
#
# A convolution treats all places alike, so it cannot tell where it is. Or can it? A picture of 10×10 pixels, *all of them 1*, goes through
# three convolutions, one after the other. Each has one 3×3 kernel of positive random numbers, no bias, stride 1, and zero padding 1, so
# the picture stays 10×10.
#
# **Before you run the next check**: of the 100 numbers that come out, how many are equal to the one in the middle? Write your prediction
# down. (You may change it after you have seen the answer. But do think first: which numbers know that the picture has an edge?)

# %%
### BEGIN SOLUTION
ANSWERS = {"equal_to_the_middle": 16}
### STARTER: ANSWERS = {"equal_to_the_middle": None}  # a number from 1 to 100
### END SOLUTION


# %% tags=["check"]
@check("your prediction")
def _():
    prediction = ANSWERS["equal_to_the_middle"]
    if prediction is None:
        raise NotImplementedError
    torch.manual_seed(0)
    y = torch.ones(1, 1, 10, 10, dtype=torch.float64)
    for _ in range(3):
        kernel = 0.1 + torch.rand(1, 1, 3, 3, dtype=torch.float64)
        y = F.conv2d(y, kernel / kernel.sum(), padding=1)
    y = y[0, 0]
    for row in y.tolist():
        print("   " + " ".join(f"{value:.2f}" for value in row))
    equal = torch.isclose(y, y[5, 5]).sum().item()
    assert prediction == equal, (
        "not so: look at the numbers above. Each layer carries the zeros of the padding one pixel further inwards"
    )


# %% [markdown]
# So zero padding tells a network where the edges are. That is sometimes a help. In section 8, where digits wander, it is something to know.

# %% [markdown]
# ## 2. Convolution, slowly (15 points)
#
# Lay the kernel on the picture, multiply what lies on top of each other, sum over rows, columns *and channels*, add the bias. Then slide on:
#
# $$y[n, o, i, j] = b[o] + \sum_{c,\,u,\,v} w[o, c, u, v]\;\,\tilde x[n,\; c,\; s_h\, i + d_h\, u,\;\, s_w\, j + d_w\, v]$$
#
# where $\tilde x$ is $x$ with zeros around it: $p_h$ rows above and as many below, $p_w$ columns to the left and as many to the right. Every
# output channel $o$ has a kernel of its own, and each kernel looks at all input channels.
#
# (A mathematician flips the kernel first, and calls what we do *cross-correlation*. Networks learn their kernels, so nobody flips.)
#
# Loops are fine here: this one is to be right, not fast. But the picture is rarely a square, and neither is the kernel.


# %%
def conv2d_naive(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    """The convolution of the formula above: the kernel is not flipped.

    x: (N, C, H, W); w: (O, C, KH, KW); b: (O,), or None for no bias. One float dtype for all.
    stride, pad, dilation: pairs of integers, height first. pad: zeros on *each* of the two sides.
    The kernel (with its dilation) fits into the padded image at least once.

    Returns y: (N, O, OH, OW), where OH and OW are what section 1 says, in the dtype of x.
    """
    ### BEGIN SOLUTION
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    down, right = (d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:]))
    tops = range(0, x.shape[2] - down + 1, stride[0])
    lefts = range(0, x.shape[3] - right + 1, stride[1])
    y = x.new_zeros(len(x), len(w), len(tops), len(lefts))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            patch = x[:, :, top : top + down : dilation[0], left : left + right : dilation[1]]
            y[:, :, i, j] = torch.einsum("ncuv,ocuv->no", patch, w)
    return y if b is None else y + b[:, None, None]
    ### END SOLUTION


# %% tags=["check"]
def random_numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_images(n, channels, height, width, seed=0):
    """In memory as a camera has them: channels last."""
    return random_numbers(n, height, width, channels, seed=seed).permute(0, 3, 1, 2)


OPTIONS = (
    ("no option", {}),
    ("stride=(1, 3)", {"stride": (1, 3)}),
    ("stride=(2, 1)", {"stride": (2, 1)}),
    ("pad=(2, 0)", {"pad": (2, 0)}),
    ("pad=(0, 1)", {"pad": (0, 1)}),
    ("dilation=(1, 3)", {"dilation": (1, 3)}),
    ("dilation=(2, 1)", {"dilation": (2, 1)}),
    ("all of them", {"stride": (3, 2), "pad": (1, 3), "dilation": (2, 3)}),
)
HINTS = {
    "no": "is the kernel flipped, or height and width swapped? Does the sum go over the channels too?",
    "st": "is the stride used, for height and width each its own?",
    "pa": "are there zeros on both sides, for height and width each its own?",
    "di": "the numbers of the kernel lie `dilation` pixels apart: height first",
    "al": "each option for itself may be right: do they work together?",
}


def check_convolution(conv):
    x, w, b = random_images(2, 3, 9, 11), random_numbers(4, 3, 2, 3, seed=1), random_numbers(4, seed=2)
    for title, options in OPTIONS:
        library = {{"pad": "padding"}.get(name, name): pair for name, pair in options.items()}
        expected = F.conv2d(x, w, **library)
        agrees(call(conv, x, w, **options), expected, f"wrong with {title}: {HINTS[title[:2]]}")
    agrees(call(conv, x, w, b), F.conv2d(x, w, b), "wrong with a bias: one number for each output channel")
    singles = x.float(), w.float(), b.float()
    agrees(call(conv, *singles), F.conv2d(*singles), "wrong in float32", rtol=1e-4, atol=1e-5)


@check("conv2d_naive")
def _():
    check_convolution(conv2d_naive)


# %% [markdown]
# ## 3. Convolution, fast (15 points)
#
# Processors love one thing: large matrix products. So write every patch that the kernel ever lies on as a *column* of one big matrix. Then all
# kernels meet all patches in a single product. The picture is copied many times over (nine times for a 3×3 kernel), and it is still worth it:
#
# $$\mathrm{columns} = \mathrm{im2col}(x) \qquad\qquad y = W\,\mathrm{columns} + b, \qquad W = w \text{ with one kernel a row}$$
#
# Build the columns without a Python loop over the *picture*. A loop over the few numbers of the *kernel* is cheap: the number at
# row $u$, column $v$ of the kernel meets the pixels of a shifted and strided slice of the padded picture, all at once.
#
# And its counterpart, `col2im`: every entry of `columns` goes back to the pixel where it came from, and where several come to the same pixel
# they are **added**. That is no inverse, it is the *transpose*: $\langle \mathrm{im2col}(x), z\rangle = \langle x, \mathrm{col2im}(z)\rangle$ for all
# $x$ and $z$. You will need it in the next section.
#
# (Is the order right? The check asks `F.unfold` and `F.fold`, which are these two, and you may look at what they give. Only your functions may
# not call them.)


# %%
def im2col(x, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    """All patches of the images as columns.

    x: (N, C, H, W); kernel: (KH, KW); stride, pad (with zeros), dilation: pairs as above.
    Returns (N, C·KH·KW, OH·OW). Row (c·KH + u)·KW + v holds what the kernel's number (u, v) meets in channel c, which is
    the order of w.flatten(1); column i·OW + j is the output at row i, column j.
    """
    ### BEGIN SOLUTION
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
    starts = [n - d * (k - 1) for n, k, d in zip(x.shape[2:], kernel, dilation)]
    slices = [
        x[:, :, u : u + starts[0] : stride[0], v : v + starts[1] : stride[1]]
        for u in range(0, dilation[0] * kernel[0], dilation[0])
        for v in range(0, dilation[1] * kernel[1], dilation[1])
    ]
    return torch.stack(slices, dim=2).flatten(3).flatten(1, 2)
    ### END SOLUTION


def col2im(columns, shape, kernel, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    """The transpose of im2col: every entry goes back to its pixel, entries of the same pixel are added.

    columns: (N, C·KH·KW, OH·OW) in the order of im2col; shape: (N, C, H, W), that of the images.
    What belongs to the padding is dropped; a pixel that no patch covers is 0. Returns (N, C, H, W).
    """
    ### BEGIN SOLUTION
    N, C, H, W = shape
    x = columns.new_zeros(N, C, H + 2 * pad[0], W + 2 * pad[1])
    starts = [n - d * (k - 1) for n, k, d in zip(x.shape[2:], kernel, dilation)]
    outputs = [len(range(0, n, s)) for n, s in zip(starts, stride)]
    patches = columns.reshape(N, C, *kernel, *outputs)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            top, left = u * dilation[0], v * dilation[1]
            x[:, :, top : top + starts[0] : stride[0], left : left + starts[1] : stride[1]] += patches[
                :, :, u, v
            ]
    return x[:, :, pad[0] : pad[0] + H, pad[1] : pad[1] + W]
    ### END SOLUTION


def conv2d_fast(x, w, b=None, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    """The same as conv2d_naive, all arguments too, by one matrix product.

    For 4 images of 3×32×28 and 8 kernels of 3×3×5, at least 15 times as fast as four Python loops (over images, output
    channels, rows, columns) with a NumPy product and sum inside. The way above is about 100 times as fast; with a
    Python loop over the places of the picture you will not get there.
    """
    ### BEGIN SOLUTION
    columns = im2col(x, w.shape[2:], stride, pad, dilation)
    y = w.flatten(1) @ columns
    if b is not None:
        y = y + b[:, None]
    rows = range(0, x.shape[2] + 2 * pad[0] - dilation[0] * (w.shape[2] - 1), stride[0])
    return y.unflatten(2, (len(rows), -1))
    ### END SOLUTION


# %% tags=["check"]
CASES = (
    ((2, 3), (1, 1), (0, 0), (1, 1)),
    ((3, 2), (2, 1), (0, 0), (1, 1)),
    ((2, 3), (1, 1), (1, 2), (1, 1)),
    ((3, 2), (2, 3), (2, 1), (2, 3)),
)


@check("im2col: the right patches in the right order")
def _():
    x = random_images(2, 3, 9, 11)
    for kernel, stride, pad, dilation in CASES:
        expected = F.unfold(x, kernel, dilation, pad, stride)
        hint = (
            f"wrong for kernel={kernel}, stride={stride}, pad={pad}, dilation={dilation}: row (c·KH + u)·KW + v, column "
            "i·OW + j"
        )
        agrees(call(im2col, x, kernel, stride, pad, dilation), expected, hint)


@check("col2im: added up at the right pixels")
def _():
    shape = (2, 3, 9, 11)
    for kernel, stride, pad, dilation in CASES:
        columns = F.unfold(random_images(*shape), kernel, dilation, pad, stride)
        expected = F.fold(columns, shape[2:], kernel, dilation, pad, stride)
        hint = (
            f"wrong for kernel={kernel}, stride={stride}, pad={pad}, dilation={dilation}: where patches overlap their "
            "entries are added (+=), and the padding is cut off at the end"
        )
        agrees(call(col2im, columns, shape, kernel, stride, pad, dilation), expected, hint)


@check("conv2d_fast equals the library's")
def _():
    check_convolution(conv2d_fast)


def four_loops(x, w):
    """A slow convolution to race against."""
    N, _, H, W = x.shape
    channels, _, KH, KW = w.shape
    y = np.empty((N, channels, H - KH + 1, W - KW + 1))
    for n in range(N):
        for o in range(channels):
            for i in range(y.shape[2]):
                for j in range(y.shape[3]):
                    y[n, o, i, j] = (x[n, :, i : i + KH, j : j + KW] * w[o]).sum()
    return y


def seconds(f, *arguments):
    start = time.perf_counter()
    f(*arguments)
    return time.perf_counter() - start


@check("conv2d_fast is fast")
def _():
    x, w = random_images(4, 3, 32, 28), random_numbers(8, 3, 3, 5)
    slow, fast = [], []
    for _ in range(5):  # the best of several, in turns: other programs are running too
        slow.append(seconds(four_loops, x.numpy(), w.numpy()))
        fast += [seconds(conv2d_fast, x, w) for _ in range(5)]
    ratio = min(slow) / min(fast)
    print(f"   {ratio:.0f} times as fast as four loops")
    assert ratio >= 15, (
        f"only {ratio:.1f} times as fast as four Python loops: build the columns by slices, and multiply once"
    )


# %% [markdown]
# ## 4. Convolution, backwards (15 points)
#
# A loss $L$ was computed from $y = \mathrm{conv}(x, w, b)$, and $g = \partial L/\partial y$ is known: one number for each output. A convolution is
# *linear*, so going back is quiet work. Write it as in section 3, $y = W\,\mathrm{columns} + b$ for each image. Then
#
# $$\frac{\partial L}{\partial W} = \sum_n g_n\,\mathrm{columns}_n^{\!\top} \qquad \frac{\partial L}{\partial b} = \sum_{n,i,j} g \qquad
# \frac{\partial L}{\partial\,\mathrm{columns}} = W^{\!\top} g \;\;\text{and then home with}\;\; \frac{\partial L}{\partial x} = \mathrm{col2im}(\dots)$$
#
# The kernel and the bias serve all images and all places, so their gradients are *sums* over all of them. And there is an identity that a right
# `dx` cannot escape. Without bias, for any $g$:
#
# $$\langle \mathrm{conv}(x), g\rangle = \langle x, dx\rangle$$
#
# You need not do it with matrices. Loops are fine too, speed is not tested here.


# %%
def conv2d_backward(g, x, w, stride=(1, 1), pad=(0, 0), dilation=(1, 1)):
    """The gradients of a loss with respect to the input, the kernels and the bias of a convolution.

    g: (N, O, OH, OW), gradient of the loss with respect to the output of conv2d_naive(x, w, b, stride, pad, dilation).
    x: (N, C, H, W); w: (O, C, KH, KW); pairs as before. All of one float dtype.
    Returns (dx, dw, db) of the shapes of x, w and b = (O,). Sums over the batch, not means.
    """
    ### BEGIN SOLUTION
    g = g.flatten(2)
    columns = im2col(x, w.shape[2:], stride, pad, dilation)
    dx = col2im(w.flatten(1).T @ g, x.shape, w.shape[2:], stride, pad, dilation)
    dw = (g @ columns.mT).sum(0).reshape(w.shape)
    return dx, dw, g.sum((0, 2))
    ### END SOLUTION


# %% tags=["check"]
@check("conv2d_backward returns the gradients")
def _():
    for stride, pad, dilation in (
        ((1, 1), (0, 0), (1, 1)),
        ((2, 3), (0, 0), (1, 1)),
        ((1, 1), (1, 2), (1, 1)),
        ((1, 1), (0, 0), (3, 2)),
        ((3, 2), (2, 1), (2, 3)),
    ):
        x, w = (
            random_images(3, 2, 9, 10).requires_grad_(),
            random_numbers(4, 2, 3, 2, seed=1).requires_grad_(),
        )
        b = random_numbers(4, seed=2).requires_grad_()
        y = F.conv2d(x, w, b, stride, pad, dilation)
        g = random_images(*y.shape, seed=3)
        expected = torch.autograd.grad(y, (x, w, b), g)
        gradients = call(conv2d_backward, g, x.detach(), w.detach(), stride, pad, dilation)
        assert isinstance(gradients, (tuple, list)), "return three tensors: dx, dw, db"
        assert len(gradients) == 3, f"return three tensors, dx, dw, db, not {len(gradients)}"
        hints = {
            "dx": "patches overlap, so their gradients are added; the padding is cut off",
            "dw": "a sum over all images and all places",
            "db": "a sum over images, rows and columns",
        }
        for (name, hint), gradient, right in zip(hints.items(), gradients, expected):
            agrees(
                gradient,
                right,
                f"{name} is wrong with stride={stride}, pad={pad}, dilation={dilation}: {hint}",
            )


@check("The adjoint identity, in float32 as well")
def _():
    x, w = random_images(2, 3, 7, 8).float(), random_numbers(5, 3, 3, 2, seed=1).float()
    g = random_images(2, 5, 4, 9, seed=2).float()
    dx = call(conv2d_backward, g, x, w, (2, 1), (1, 1))[0]
    assert dx.dtype == torch.float32, f"float32 in must give float32 out, not {dx.dtype}"
    one, other = (F.conv2d(x, w, None, (2, 1), (1, 1)) * g).sum(), (x * dx).sum()
    assert torch.isclose(one, other, rtol=1e-3), "<conv(x), g> and <x, dx> differ"


# %% [markdown]
# ## 5. Pooling (15 points)
#
# A convolution says *where* something was found. Pooling says: *somewhere around here*. A window slides over each channel for itself, and of what
# lies in it only the largest number remains, or the mean.
#
# Mind the padding. For a maximum, a zero at the edge is not neutral: if all pixels are negative, it wins. Neutral is $-\infty$. For a mean, we
# only count pixels that are really there, so that a white picture stays white up to its edges.
#
# Backwards, a maximum is a switch. The gradient of an output goes to the pixel that won its window, all of it, and to no other; the
# gradients of overlapping windows with the same winner are added. If several pixels tie, any of them may take it, or they share it, so long
# as no gradient is lost and none is made up.


# %%
def maxpool(x, kernel, stride, pad=(0, 0)):
    """The largest number in each window, for each channel of each image.

    x: (N, C, H, W), finite; kernel, stride, pad: pairs, height first. Padding is -inf: it never wins.
    2·pad <= kernel, so there is a real pixel in each window. Sizes as in section 1: what is left over is not used.
    Returns (N, C, OH, OW).
    """
    ### BEGIN SOLUTION
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), value=-math.inf)
    return x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).amax((4, 5))
    ### END SOLUTION


def maxpool_backward(g, x, kernel, stride, pad=(0, 0)):
    """The gradient of a loss with respect to x, where g is the one with respect to maxpool(x, kernel, stride, pad).

    g: (N, C, OH, OW). Returns (N, C, H, W). Among pixels that tie, the gradient of their window may go to any of them, or
    be shared among them; all shares together are the gradient.
    """
    ### BEGIN SOLUTION
    x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]), value=-math.inf)
    dx = torch.zeros_like(x)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            rows = slice(i * stride[0], i * stride[0] + kernel[0])
            columns = slice(j * stride[1], j * stride[1] + kernel[1])
            window = x[:, :, rows, columns]
            wins = (window == window.amax((2, 3), keepdim=True)).to(g.dtype)
            dx[:, :, rows, columns] += wins / wins.sum((2, 3), keepdim=True) * g[:, :, i : i + 1, j : j + 1]
    return dx[:, :, pad[0] : dx.shape[2] - pad[0], pad[1] : dx.shape[3] - pad[1]]
    ### END SOLUTION


def avgpool(x, kernel, stride, pad=(0, 0)):
    """The mean of each window, for each channel of each image. Arguments and result as for maxpool.

    The mean of the *real* pixels of the window: padding counts neither in the sum nor in the divisor.
    """

    ### BEGIN SOLUTION
    def sums(x):
        x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
        return x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1]).sum((4, 5))

    return sums(x) / sums(torch.ones_like(x))
    ### END SOLUTION


# %% tags=["check"]
WINDOWS = (
    ((2, 3), (2, 3), (0, 0), "windows side by side"),
    ((3, 2), (2, 1), (0, 0), "windows that overlap"),
    (
        (2, 4),
        (1, 3),
        (1, 2),
        "padding: -inf for the maximum; for the mean it counts neither in the sum nor the divisor",
    ),
)


@check("maxpool and avgpool")
def _():
    x = random_images(2, 3, 8, 9) - 4  # nearly all negative
    for kernel, stride, pad, hint in WINDOWS:
        expected = F.max_pool2d(x, kernel, stride, pad)
        agrees(call(maxpool, x, kernel, stride, pad), expected, f"maxpool, {hint}")
        expected = F.avg_pool2d(x, kernel, stride, pad, count_include_pad=False)
        agrees(call(avgpool, x, kernel, stride, pad), expected, f"avgpool, {hint}")
    for f in (maxpool, avgpool):
        assert call(f, x.float(), (2, 2), (2, 2)).dtype == torch.float32, (
            f"{f.__name__}: float32 in, float32 out"
        )


@check("maxpool_backward gives each gradient to the winner")
def _():
    for kernel, stride, pad, hint in WINDOWS:
        x = (random_images(2, 3, 8, 9, seed=1) - 4).requires_grad_()
        y = F.max_pool2d(x, kernel, stride, pad)
        g = random_images(*y.shape, seed=2)
        (expected,) = torch.autograd.grad(y, x, g)
        agrees(
            call(maxpool_backward, g, x.detach(), kernel, stride, pad), expected, f"maxpool_backward, {hint}"
        )


@check("maxpool_backward, when pixels tie")
def _():
    x = torch.tensor([[[[5.0, 5.0, 1.0, 2.0], [0.0, 5.0, 2.0, 2.0]]]], dtype=torch.float64)
    g = torch.tensor([[[[6.0, -3.0]]]], dtype=torch.float64)
    dx = call(maxpool_backward, g, x, (2, 2), (2, 2))
    assert dx.shape == x.shape, f"the shape is {tuple(dx.shape)}, not {tuple(x.shape)}"
    assert not dx[x < 2].any(), "a pixel that did not win has got a gradient"
    total = torch.stack([dx[..., :2].sum(), dx[..., 2:].sum()])
    agrees(total, g.flatten(), "the shares of tied pixels must add up to the gradient: not all of it to each")


# %% [markdown]
# ## 6. Kernels by hand, and the Game of Life (10 points)
#
# Long before anybody learned kernels, people wrote them down. From here on `F.conv2d` is yours: you have earned it.
#
# * **Blur.** A bell, $e^{-(u^2+v^2)/2\sigma^2}$ around the centre, divided by its sum.
# * **Sobel.** The slope of the brightness: to the right, a difference $(-1, 0, 1)$ along the row, smoothed by $(1, 2, 1)$ along the column; downwards the
#   same, transposed. Divided by 8, it is the slope in units of brightness per pixel.
# * **Sharpen.** Take the pixel, and add a little of what makes it different from its surroundings: $x + a\,(x - \text{mean of its four neighbours})$.
#
# And one more convolution, found by John Conway in 1970. On a board of cells, dead (0) or alive (1), every cell counts its eight neighbours. A
# living cell with two or three living neighbours stays alive, a dead one with exactly three comes alive, all others are dead in the next
# generation. A kernel counts all neighbours at once. (It can do more. With a cleverly chosen number in its centre, *one* comparison of its
# output tells life from death.)


# %%
def gaussian_kernel(k, sigma):
    """A float64 tensor (k, k), proportional to exp(-(u² + v²) / (2·sigma²)), with sum 1.

    u and v: distance in pixels from the centre of the kernel, which for an even k lies between pixels: for k = 2, u is
    -1/2 and 1/2.
    """
    ### BEGIN SOLUTION
    u = torch.arange(k, dtype=torch.float64) - (k - 1) / 2
    bell = torch.exp(-(u**2) / (2 * sigma**2))
    return torch.outer(bell, bell) / bell.sum() ** 2
    ### END SOLUTION


def sobel_kernels():
    """(right, down): two float64 tensors (3, 3), for F.conv2d, which does not flip them.

    Where the picture grows brighter by a for each pixel to the right and by b for each pixel downwards, `right` gives a
    and `down` gives b: positive when it grows brighter, and divided by 8.
    """
    ### BEGIN SOLUTION
    right = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([-1.0, 0, 1])).double() / 8
    return right, right.T
    ### END SOLUTION


def sharpen_kernel(amount):
    """A float64 tensor (3, 3): the pixel, plus amount times (the pixel minus the mean of its four neighbours).

    The four neighbours are those above, below, left and right; the corners of the kernel are 0.
    """
    ### BEGIN SOLUTION
    kernel = torch.zeros(3, 3, dtype=torch.float64)
    kernel[1, :] = kernel[:, 1] = -amount / 4
    kernel[1, 1] = 1 + amount
    return kernel
    ### END SOLUTION


def life_step(board):
    """The next generation of the Game of Life.

    board: (H, W) with H, W >= 3, of zeros and ones, in any dtype (bool, integer or float).
    The board has no edge: what is left of the first column is the last column, above the first row is the last row.
    Returns a new board of the same shape and dtype.
    """
    ### BEGIN SOLUTION
    kernel = torch.ones(1, 1, 3, 3)
    kernel[0, 0, 1, 1] = 0.5
    around = F.pad(board[None, None].float(), (1, 1, 1, 1), mode="circular")
    count = F.conv2d(around, kernel)[0, 0]
    return ((count > 2) & (count < 4)).to(board.dtype)
    ### END SOLUTION


# %% tags=["check"]
def filtered(image, kernel):
    return F.conv2d(image[None, None], kernel[None, None])[0, 0]


def is_kernel(kernel, k):
    assert isinstance(kernel, torch.Tensor), f"return a tensor, not a {type(kernel).__name__}"
    assert kernel.shape == (k, k), f"the shape is {tuple(kernel.shape)}, not {(k, k)}"
    assert kernel.dtype == torch.float64, f"the dtype is {kernel.dtype}, not float64"


@check("gaussian_kernel")
def _():
    for k, sigma in ((3, 0.7), (4, 1.1), (7, 2.3)):
        kernel = gaussian_kernel(k, sigma)
        is_kernel(kernel, k)
        assert math.isclose(kernel.sum().item(), 1, abs_tol=1e-9), "its sum is not 1"
        for other in (kernel.T, kernel.flip(0)):
            assert torch.allclose(kernel, other), "it is not symmetric"
        first, second = kernel[0, 0].item(), kernel[0, 1].item()
        u = (k - 1) / 2
        assert math.isclose(math.log(second / first), (u**2 - (u - 1) ** 2) / (2 * sigma**2), rel_tol=1e-6), (
            "it falls off too fast or too slowly: exp(-(u² + v²) / (2·sigma²)), with sigma squared"
        )


@check("sobel_kernels measure a slope")
def _():
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    plane = (3 * columns - 2 * rows + 7).double()
    right, down = sobel_kernels()
    for kernel, slope, name in ((right, 3.0, "right"), (down, -2.0, "down")):
        is_kernel(kernel, 3)
        expected = torch.full((3, 4), slope, dtype=torch.float64)
        agrees(
            filtered(plane, kernel),
            expected,
            f"`{name}` gives another slope: sign, divisor, or the two swapped?",
        )
    assert torch.allclose(right[1], 2 * right[0]), "the row in the middle counts twice: smoothed by (1, 2, 1)"


@check("sharpen_kernel")
def _():
    image = random_numbers(5, 6, seed=3)
    kernel = sharpen_kernel(0.6)
    is_kernel(kernel, 3)
    around = (image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]) / 4
    pixel = image[1:-1, 1:-1]
    agrees(
        filtered(image, kernel), pixel + 0.6 * (pixel - around), "pixel + amount · (pixel - mean of the four)"
    )


@check("life_step: a glider moves by one row and one column in four generations")
def _():
    board = torch.zeros(6, 7, dtype=torch.int64)
    board[[1, 2, 3, 3, 3], [2, 3, 1, 2, 3]] = 1
    generations = [board]
    for _ in range(4 * 12):
        generations.append(call(life_step, generations[-1]))
    for row in range(6):
        print(
            "   " + "    ".join("".join("▓▓" if cell else "· " for cell in g[row]) for g in generations[:5])
        )
    hint = "count the eight neighbours (not the cell itself), then the two rules"
    agrees(generations[4], board.roll((1, 1), (0, 1)), hint)
    agrees(
        generations[48], board.roll((12, 12), (0, 1)), "lost at the edge: it should come in at the other side"
    )


@check("life_step on boards of every dtype")
def _():
    board, after = torch.zeros(2, 5, 6)
    board[2, 1:4] = 1  # three in a row become three in a column
    after[1:4, 2] = 1
    for dtype in (torch.bool, torch.uint8, torch.float32, torch.float64):
        agrees(call(life_step, board.to(dtype)), after.to(dtype), f"wrong for a board of {dtype}")


# %% [markdown]
# ## 7. Eight faults (5 points)
#
# Here is a small network for digits, with a training step and a way to measure its accuracy. Somebody wrote it late at night. It runs; it
# raises no error, at least not on the pictures that were tried; and it hardly learns. There are **eight faults** in this one cell: five in the
# network, three around it. Each is mended by changing or adding one line, and each is one that has cost somebody a weekend.
#
# What it is meant to be stands in the docstrings, and those are right. Keep the names of everything. Find as many as you can: each
# counts for itself. (The check below says what hurts, not where.)


# %%
class DigitNet(nn.Module):
    """Logits (N, 10) for images (N, 1, H, W) of any height and width from 8 on.

    Two stages of convolution (3×3, which keeps height and width), batch norm, ReLU and 2×2 max pooling; of each of the 16
    channels the strongest response anywhere; dropout of one half, in training only; a linear layer, `head`.
    """

    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION
        self.convs = nn.ModuleList([nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)])
        ### STARTER: self.convs = [nn.Conv2d(1, 8, 3, padding=(1, 0)), nn.Conv2d(8, 16, 3, padding=(1, 0))]
        ### END SOLUTION
        self.norms = nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(16)])
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = F.max_pool2d(torch.relu(norm(conv(x))), 2)
        ### BEGIN SOLUTION
        x = x.flatten(2).amax(2)
        x = F.dropout(x, 0.5, self.training)
        return self.head(x)
        ### STARTER: x = x.reshape(x.shape[1], x.shape[0], -1).amax(2).T  # (N, 16)
        ### STARTER: x = F.dropout(x, 0.5)
        ### STARTER: return torch.softmax(self.head(x), dim=1)
        ### END SOLUTION


def train_step(net, images, labels, lr):
    """One step of gradient descent: every parameter moves by -lr times the gradient of the loss on *this* batch.

    The loss is the cross-entropy of the network in training mode, averaged over the batch. Changes net in place.
    """
    ### BEGIN SOLUTION
    net.train().zero_grad()
    ### STARTER: net.train()
    ### END SOLUTION
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= lr * parameter.grad
    return loss.item()


def accuracy(net, images, labels):
    """The fraction of the images that the network, in evaluation mode, gives their own label."""
    with torch.no_grad():
        ### BEGIN SOLUTION
        predicted = net.eval()(images).argmax(dim=1)
        ### STARTER: predicted = net(images).argmax(dim=0)
        ### END SOLUTION
    return (predicted == labels).double().mean().item()


# %% tags=["check"]
@check("every layer is trained")
def _():
    kernels = [p for p in DigitNet().parameters() if p.ndim == 4]
    assert len(kernels) == 2, (
        f"only {len(kernels)} of the two convolutions will ever learn: net.parameters() does not know more of them"
    )


@check("images of 8×30 and of 30×8 are read")
def _():
    for shape in ((8, 30), (30, 8)):
        try:
            logits = DigitNet()(torch.rand(3, 1, *shape))
        except RuntimeError as error:
            raise AssertionError(
                f"those of {shape[0]}×{shape[1]} are not: do height and width have the same fate? ({error})"
            ) from None
        assert logits.shape == (3, 10), f"the shape of the logits is {tuple(logits.shape)}"
    first = DigitNet().convs[0](torch.rand(3, 1, 9, 12))
    assert first.shape == (3, 8, 9, 12), (
        f"before any pooling, an image of 9×12 has become one of {first.shape[2]}×{first.shape[3]}"
    )


@check("dropout drops in training, and in training only")
def _():
    torch.manual_seed(0)
    net, images = DigitNet(), torch.rand(4, 1, 20, 16)
    assert not torch.equal(net(images), net(images)), "nothing is dropped in training"
    net.eval()
    assert torch.equal(net(images), net(images)), "in evaluation mode, two answers to one question differ"


@check("each image is read for itself")
def _():
    torch.manual_seed(0)
    net, images = DigitNet().eval(), torch.rand(4, 1, 20, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(images)[0].square().sum(), images)
    assert not gradient[1:].any(), "in evaluation mode, the answer for the first image depends on the others"


@check("what comes out are logits")
def _():
    torch.manual_seed(0)
    y = DigitNet().eval()(torch.rand(4, 1, 20, 16))
    assert not torch.allclose(y.sum(1), torch.ones(4)), (
        "the ten numbers of each image sum to 1, so the loss cannot fall below 1.46, however sure the network is: what does "
        "F.cross_entropy expect?"
    )


@check("each training step follows its own gradient")
def _():
    torch.manual_seed(0)
    images, labels = torch.rand(4, 1, 20, 16), torch.tensor([1, 1, 2, 3])
    used, fresh = DigitNet(), DigitNet()
    nn.init.zeros_(used.head.weight)  # so that the logits are the bias, whatever the rest of the network does
    fresh.load_state_dict(used.state_dict())
    used.eval()
    for _ in range(3):
        train_step(used, images, labels, lr=0.0)
    train_step(used, images, labels, lr=1.0)
    train_step(fresh, images, labels, lr=1.0)
    assert used.training, "train_step does not put the network into training mode"
    assert torch.allclose(used.head.bias, fresh.head.bias, rtol=1e-4), (
        "after three steps with lr=0, which change nothing, a step goes elsewhere than without them. What is left over?"
    )


@check("measuring the accuracy leaves the network as it is")
def _():
    net = DigitNet()
    before = net.norms[0].running_mean.clone()
    accuracy(net, torch.rand(10, 1, 20, 16), torch.arange(10))
    assert torch.equal(net.norms[0].running_mean, before), (
        "it has become another network: the batch norm has learned from the test images"
    )


@check("accuracy compares the strongest of the ten logits with the label")
def _():
    net = DigitNet()
    nn.init.zeros_(net.head.weight)
    with torch.no_grad():
        net.head.bias.copy_(torch.eye(10)[3])  # it always says 3
    labels = torch.tensor([3, 3, 3, 0, 5, 7, 9, 3, 1, 2])
    assert math.isclose(accuracy(net, torch.rand(10, 1, 20, 16), labels), 0.4, abs_tol=1e-6), (
        "a network that always says 3 is right in 4 of 10 cases here, and accuracy says something else. The strongest of "
        "*what* does it compare with the label?"
    )
    net, images = DigitNet().eval(), torch.rand(5, 1, 20, 16)
    logits = net(images)
    if torch.equal(logits, net(images)):  # else the noise has to go first
        assert accuracy(net, images, logits.argmax(dim=1)) == 1, "each image has a strongest class of its own"


# %% [markdown]
# ## 8. Boss: wandering digits (15 points)
#
# A handwritten digit of 8×8 pixels lies somewhere on an empty sheet. Which one is it? You train on sheets of 16×16. You are scored on sheets of
# **24×24**. Your network may have 10,000 numbers, no more, and works on any sheet from 16×16 on.
#
# For a fully connected network this is hopeless. It needs a weight for each pixel, so it takes one size only; and what it has learned about a 3 in one
# corner says nothing about a 3 in the other. (Trained on sheets of 24×24, with 10,000 numbers, it reads about three digits in ten.)
#
# A stack of convolutions gives, at every place, some numbers that say what it sees there. At the end they must become *one* answer, whatever the
# size of the sheet and wherever the digit. So the last step before the linear layer is a pooling over **all** places. Mean or maximum? Look at the
# figure.


# %%
def digits():
    """1,797 handwritten digits: images (n, 1, 8, 8) in [0, 1], labels (n,)."""
    if Path("digits.npz").exists():
        with np.load("digits.npz") as file:
            images, labels = file["images"], file["labels"]
    else:  # a notebook opened alone, as in Colab
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return images, torch.tensor(labels, dtype=torch.long)


def wander(images, height, width):
    """Each image at a random place on an empty sheet of its own: (n, 1, height, width)."""
    sheets = torch.zeros(len(images), 1, height, width)
    tops = torch.randint(height - 7, (len(images),))
    lefts = torch.randint(width - 7, (len(images),))
    for sheet, image, top, left in zip(sheets, images, tops, lefts):
        sheet[:, top : top + 8, left : left + 8] = image
    return sheets


# %% tags=["demo"]
def figure():
    import matplotlib.pyplot as plt

    right, down = sobel_kernels()
    kernels = torch.stack([right, down])[:, None].float()

    def edges(sheets):
        """How steep the brightness is at each place, by the two kernels of section 6."""
        return F.conv2d(sheets, kernels, padding=1).square().sum(1).sqrt()

    torch.manual_seed(4)
    images, _ = digits()
    sheet = wander(images[3:4], 24, 24)
    sides = list(range(8, 41, 4))
    responses = [edges(wander(images[:300], side, side)) for side in sides]
    largest = [response.amax((1, 2)).mean().item() for response in responses]
    means = [response.mean((1, 2)).mean().item() for response in responses]

    _, (left, middle, plot) = plt.subplots(
        1, 3, figsize=(13, 4), layout="constrained", gridspec_kw={"width_ratios": [1, 1, 1.5]}
    )
    for axes, picture, title, label in (
        (left, sheet[0, 0], "A sheet of 24×24 pixels", "brightness"),
        (middle, edges(sheet)[0], "What two Sobel kernels see", "slope (brightness per pixel)"),
    ):
        shown = axes.imshow(picture, cmap="gray_r")
        axes.set(title=title, xlabel="column (pixels)", ylabel="row (pixels)")
        plt.colorbar(shown, ax=axes, location="bottom", shrink=0.8, label=label)
    plot.semilogy(sides, largest, color="#0072B2", marker="o", label="maximum over all places")
    plot.semilogy(sides, means, color="#D55E00", marker="s", linestyle="--", label="mean over all places")
    plot.set(
        title="What is left of a digit after pooling over the whole sheet",
        xlabel="side of the sheet (pixels)",
        ylabel="slope (brightness per pixel)",
        xticks=sides,
        yticks=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
    )
    plot.yaxis.set_major_formatter("{x:g}")
    plot.yaxis.set_minor_formatter("")
    plot.grid(alpha=0.3)
    plot.legend(title="average of 300 digits")
    plt.show()


try:
    figure()
except NotImplementedError:
    print("The figure appears when sobel_kernels of section 6 is there.")
except Exception as error:
    print(f"No figure yet: {type(error).__name__}: {error}. It needs sobel_kernels to be right.")

# %% [markdown]
# The maximum does not care how large the sheet is. The mean does: on 24×24, eight ninths of what it averages are empty paper. On a larger sheet the
# same digit counts less, so what the linear layer learned on 16×16 no longer fits on 24×24. And even on one size, the mean has a hard time:
# one clear "here is a loop" drowns among hundreds of places that have nothing to say, and its gradient is shared out among them all.
#
# Write two functions. `make_net` is your design; with `nn.Sequential`, `nn.Conv2d`, `nn.ReLU`, `nn.MaxPool2d`, `nn.Linear` and a pooling of your own it
# takes ten lines. (How much of a digit should one place see before the global pooling? You have `receptive_field`.)
# `build` is what the grader calls: the net with the trained weights, which the cell after it writes into the file `wandering_digits.npz`. **Hand
# that file in with the notebook.** The grader does not train.


# %%
def make_net():
    """A new network, an nn.Module: images (N, 1, H, W), float32, of any H, W >= 16, to logits (N, 10).

    All parameters and buffers together, as in state_dict(), are at most 10,000 numbers.
    """

    ### BEGIN SOLUTION
    class Strongest(nn.Module):
        def forward(self, x):
            return x.amax((2, 3))

    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 4, padding=2),
        nn.ReLU(),
        Strongest(),
        nn.Linear(32, 10),
    )
    ### END SOLUTION


def build():
    """The trained network, its weights read from wandering_digits.npz in the current directory.

    Returns an nn.Module like that of make_net. The file is the one that the next cell writes, an array for each entry of
    net.state_dict(), under its name: at most 64 KB, read with np.load.

    The grader calls net.eval() and asks about digits at random places on sheets of 24×24. It reads 80% of them (5 points),
    88% (5 more), 92% (5 more). All that the network knows is in its parameters (and buffers): it works on every sheet
    from 16×16, has at most 10,000 numbers in state_dict(), and knows nothing when they are all set to zero.
    """
    ### BEGIN SOLUTION
    net = make_net()
    with np.load("wandering_digits.npz") as file:
        net.load_state_dict({name: torch.from_numpy(array) for name, array in file.items()})
    return net
    ### END SOLUTION


# %% [markdown]
# The training, up to half a minute on a slow machine. Change what you like, but leave the first line. The grader runs the notebook's cells
# too: a training cell of your own goes below `if __name__ == "__main__":` as well. Otherwise the grader trains, and the fresh weights
# replace those that you handed in.


# %% tags=["demo"]
if __name__ == "__main__":
    try:
        torch.manual_seed(0)
        net = make_net()
        optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
        images, labels = digits()
        for epoch in range(15):
            sheets = wander(images, 16, 16)  # new places in every epoch
            for rows in torch.randperm(len(images)).split(64):
                loss = F.cross_entropy(net(sheets[rows]), labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            print(f"\r   epoch {epoch + 1}: loss {loss.item():.3f}", end="")
        print()
        np.savez(
            "wandering_digits.npz", **{name: tensor.numpy() for name, tensor in net.state_dict().items()}
        )
    except NotImplementedError:
        print("The training starts when make_net is there.")
    except Exception as error:
        print(f"No training yet: {type(error).__name__}: {error}")


# %% tags=["check"]
def reads(net, height, width):
    """The fraction of the digits that the network reads on sheets of this size."""
    images, labels = digits()
    with torch.no_grad():
        return (net(wander(images, height, width)).argmax(1) == labels).double().mean().item()


@check("build: a network for every size, with at most 10,000 numbers")
def _():
    net = build().eval()
    for shape in ((16, 16), (19, 16), (17, 30), (24, 24)):
        logits = net(torch.rand(3, 1, *shape))
        assert logits.shape == (3, 10), (
            f"{shape[0]}×{shape[1]}: the shape of the logits is {tuple(logits.shape)}"
        )
    numbers = sum(tensor.numel() for tensor in net.state_dict().values())
    size = Path("wandering_digits.npz").stat().st_size
    print(f"   {numbers} numbers in {size / 1024:.0f} KB")
    assert numbers <= 10_000, f"{numbers} numbers are more than 10,000"
    assert size <= 64 * 1024, "the file is larger than 64 KB: save float32, and nothing but the weights"


@check("build: it reads digits wherever they are")
def _():
    torch.manual_seed(1)
    net = build().eval()
    small, large = reads(net, 16, 16), reads(net, 24, 24)
    print(f"   on 16×16 it reads {small:.1%}, on 24×24 {large:.1%}")
    assert large >= 0.8, "less than 80% on 24×24" + (
        ": but on 16×16 it does: what depends on the size?" * (small > 0.9)
    )
    assert large >= 0.88, "less than 88%"
    assert large >= 0.92, "less than 92%"


@check("build: what it knows is in its parameters")
def _():
    net = build().eval()
    net.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in net.state_dict().items()})
    assert reads(net, 24, 24) <= 0.35, (
        "with all its numbers set to zero it still reads: some of its weights are hidden"
    )


# %% [markdown]
# **Done?** *Restart the kernel and run all cells*. The grader does nearly the same: it runs your cells, but nothing below
# `if __name__ == "__main__":`, and reads `wandering_digits.npz`. Then commit and push **both files**, the notebook and the weights.
#
# To take home: a convolution is one small set of weights for all places. That is why it needs few numbers, why it finds what it has learned
# anywhere, and why it does not mind the size of the picture, as long as nothing after it does.
