# %% [markdown]
# # Keep the signal alive
#
# Whisper a sentence down a row of thirty people. If each passes it on a little too softly, the last one hears nothing; a little too loudly,
# and the last one goes deaf. A deep network is such a row. Each layer multiplies by a random matrix, and a factor a little below 1, which nobody
# would notice in a network of three, leaves next to nothing in one of thirty. Then there is nothing to learn from, whatever the optimiser.
#
# *How large should random weights be?* is therefore the first question of deep learning. You answer it by counting (sections 1 and 2),
# for any activation (3), measure that the answer is right (4), find random matrices that keep *every* length (5), apply it all to a whole
# model (6), and in the end tune a network that no formula knows, by listening to it (7).
#
# **How it works.** Each section has an idea, a stub to fill in, and a check. Replace `raise NotImplementedError` by your code, run the
# cell, run the check below it. `✓` is right, `✗` tells you in words what is wrong, `…` is still to do. The hidden tests ask for the same
# properties with other numbers and shapes, so when all checks say `✓` you are very likely done. You get points for every property that
# holds (if the function keeps the house rules), so leave a stub you cannot solve as it is and go on.
#
# **House rules:**
#
# * A function whose name ends in `_` fills its argument `w` **in place** and returns it, as `torch.Tensor.normal_` does. The tensor may
#   be a parameter (`w.requires_grad` is true), `float32` or `float64`, and need not be contiguous. PyTorch lets you fill a parameter
#   only inside `with torch.no_grad():`, or by way of `w.data`. Every other function leaves its arguments as they are, unless its
#   docstring says otherwise.
# * Random means random: nobody fixes a seed inside a function, and no particular stream of numbers is expected. Where there is an argument
#   `generator`, it is a `torch.Generator` that alone decides what is drawn, or `None` for any source of randomness you like.
# * A library function that *is* the answer is forbidden: all of `torch.nn` in sections 1, 2, 3 and 5, and `torch.nn.init` in section 6.
#   In sections 4 and 7 all of `torch.nn` is allowed. Tensor methods such as `w.normal_()`, `w.uniform_()` and everything in `torch.linalg` are welcome.
#
# | section | points |
# |---|---|
# | 1 Fans | 10 |
# | 2 Xavier and Kaiming | 20 |
# | 3 The gain of any function | 10 |
# | 4 The profile of a signal, and one prediction | 13 + 2 |
# | 5 Orthogonal weights | 10 |
# | 6 A whole model | 15 |
# | 7 Boss: lsuv | 20 |

# %%
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn  # for sections 4, 6 and 7 and the checks: elsewhere it would be the answer

# %% [markdown]
# Five small tools that the checks use. Nothing to do here.


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


def filled(f_, w, *arguments, **keywords):
    """What f_ puts into w, which it must fill with finite numbers and return."""
    shape, dtype = w.shape, w.dtype
    w.data.fill_(math.nan)
    result = f_(w, *arguments, **keywords)
    assert not torch.isnan(w).all(), (
        f"{f_.__name__} left w as it was: fill the tensor itself (w.normal_(...), w.copy_(...)); `w = ...` only "
        "gives the name w to something new"
    )
    assert (w.shape, w.dtype) == (shape, dtype), f"{f_.__name__} changed the shape or dtype of w"
    assert torch.isfinite(w).all(), (
        f"{f_.__name__} put a NaN or an infinity into w, or filled only part of it"
    )
    assert result is w, f"{f_.__name__} must return w itself"
    return w.detach()


def number(value, what):
    """The value as a float."""
    try:
        return float(value)
    except Exception:
        raise AssertionError(
            f"{what} must be a number (whatever float() takes), not a {type(value).__name__}"
        ) from None


def limited(f):
    """f with the limits that it has in the grader: 1 MB a call, 10,000 calls."""
    calls = 0

    def limited_f(z):
        nonlocal calls
        calls += 1
        assert calls <= 10_000, "f was called more than 10,000 times: give it many numbers at once"
        assert z.nbytes <= 2**20, "f was given more than 1 MB at once: give it fewer numbers a call"
        return f(z)

    return limited_f


# %% [markdown]
# ## 1. Fans (10 points)
#
# One output of a linear layer is a sum of `fan_in` products. If inputs and weights are independent with mean 0, variances add up:
#
# $$z = \sum_{i=1}^{\mathrm{fan\_in}} w_i\,x_i \qquad\Rightarrow\qquad \mathrm{Var}(z) = \mathrm{fan\_in}\cdot\mathrm{Var}(w)\cdot\mathrm{Var}(x)$$
#
# Backwards the same happens with the other number: one input goes into `fan_out` outputs, so its gradient is a sum of `fan_out` products.
# All of initialisation is to count these two right.
#
# In a convolution, an output sees one *patch* of every channel that it looks at. With groups, each output channel looks only at the
# channels of its own group, and each input channel is looked at only by the outputs of its own group. PyTorch stores the weight as
# `(out_channels, in_channels / groups, *kernel)`: one of the two is divided by `groups` already. Which one is not?


# %%
def fans(shape, groups=1):
    """How many products an output is a sum of, and how many outputs an input goes into.

    shape: of a weight, a tuple, list or torch.Size: (out, in) of a linear layer, or
    (out_channels, in_channels / groups, *kernel) of a convolution in one, two or three dimensions.
    groups: number of groups of the convolution; it divides the number of output channels.

    Returns (fan_in, fan_out), two ints. Borders and stride are ignored, as everybody does: every input is taken to
    meet every position of the kernel. A shape with fewer than two dimensions, such as a bias has, raises ValueError.
    """
    ### BEGIN SOLUTION
    if len(shape) < 2:
        raise ValueError("a weight has at least two dimensions")
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area // groups
    ### END SOLUTION


# %% tags=["check"]
def check_fans(says, shape, groups, expected, hint):
    @check(says)
    def _():
        pair = fans(shape, groups)
        assert isinstance(pair, (tuple, list)), "return two numbers, (fan_in, fan_out)"
        assert len(pair) == 2, "return two numbers, (fan_in, fan_out)"
        for mine, right, name in zip(pair, expected, ("fan_in", "fan_out")):
            assert mine == right, f"{name} of a weight of shape {tuple(shape)}: {hint}"
            assert type(mine) is int, (
                f"{name} must be an int, not a {type(mine).__name__}: // divides whole numbers"
            )


check_fans("fans of a linear layer", (6, 4), 1, (4, 6), "a weight is stored as (out, in)")
check_fans("fans of a convolution", torch.Size([6, 4, 3, 5]), 1, (60, 90), "times the area of the kernel")
check_fans("fans of a convolution in one dimension", [8, 3, 5], 1, (15, 40), "times the size of the kernel")
check_fans(
    "fans of a convolution in two groups",
    (10, 3, 4, 4),
    2,
    (48, 80),
    "shape[1] is the number of channels *in a group* already; an input goes into the outputs of its group only",
)


@check("a bias has no fans")
def _():
    try:
        fans((5,))
    except ValueError:
        return
    raise AssertionError("fans((5,)) must raise ValueError")


# %% [markdown]
# ## 2. Xavier and Kaiming (20 points)
#
# **Xavier** (Glorot and Bengio, 2010) wants to keep the variance forwards, which asks for $1/\mathrm{fan\_in}$, and backwards, which asks for
# $1/\mathrm{fan\_out}$, and takes the mean of the two fans. **Kaiming** (He et al., 2015) decides for one of them (`mode`), and knows
# that a ReLU throws half of the square away, a leaky ReLU of slope $a$ a little less:
#
# $$\mathrm{std}_\text{Xavier} = \mathrm{gain}\cdot\sqrt{\frac{2}{\mathrm{fan\_in}+\mathrm{fan\_out}}} \qquad\qquad
# \mathrm{std}_\text{Kaiming} = \sqrt{\frac{2}{(1+a^2)\cdot\mathrm{fan}}}$$
#
# Both are a *standard deviation*. How the numbers are distributed around 0 hardly matters, so there is a normal and a uniform flavour of each.
# How wide must a uniform distribution be to have this standard deviation? (On $(-b, b)$ its variance is $b^2/3$.)


# %%
def xavier_uniform_(w, gain=1.0, generator=None):
    """Fills w with independent uniform numbers, mean 0, std gain * sqrt(2 / (fan_in + fan_out)); returns w.

    w: float tensor with at least two dimensions, a weight of a linear layer or convolution (of one group).
    """
    ### BEGIN SOLUTION
    bound = math.sqrt(3) * gain * math.sqrt(2 / sum(fans(w.shape)))
    with torch.no_grad():
        return w.uniform_(-bound, bound, generator=generator)
    ### END SOLUTION


def xavier_normal_(w, gain=1.0, generator=None):
    """As xavier_uniform_, with normal numbers of the same std.

    (Or normal numbers cut off at two standard deviations or further out, if the std comes out right all the same.)
    """
    ### BEGIN SOLUTION
    std = gain * math.sqrt(2 / sum(fans(w.shape)))
    with torch.no_grad():
        return w.normal_(0, std, generator=generator)
    ### END SOLUTION


def kaiming_uniform_(w, mode="fan_in", a=0.0, generator=None):
    """Fills w with independent uniform numbers, mean 0, std sqrt(2 / ((1 + a²) * fan)); returns w.

    w: float tensor with at least two dimensions, a weight of a linear layer or convolution (of one group).
    mode: "fan_in" or "fan_out", the fan that is meant.
    a: slope of the leaky ReLU behind the layer; 0 is a plain ReLU.
    """
    ### BEGIN SOLUTION
    bound = math.sqrt(3) * kaiming_std(w, mode, a)
    with torch.no_grad():
        return w.uniform_(-bound, bound, generator=generator)
    ### END SOLUTION


def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    """As kaiming_uniform_, with normal numbers of the same std (or such that are cut off, as in xavier_normal_)."""
    ### BEGIN SOLUTION
    with torch.no_grad():
        return w.normal_(0, kaiming_std(w, mode, a), generator=generator)
    ### END SOLUTION


### BEGIN SOLUTION
def kaiming_std(w, mode, a):
    fan_in, fan_out = fans(w.shape)
    fan = fan_in if mode == "fan_in" else fan_out
    return math.sqrt(2 / ((1 + a**2) * fan))


### STARTER: # A function that two of them share may stand here.
### END SOLUTION


# %% tags=["check"]
def check_random(f_, shape, std, **keywords):
    given = "".join(f", {key}={value!r}" for key, value in keywords.items())

    @check(f"{f_.__name__}(w{given}) for w of shape {'×'.join(map(str, shape))}: mean, std, distribution")
    def _():
        w = filled(f_, torch.empty(shape, dtype=torch.float64), **keywords)
        assert abs(w.mean()) < 6 * std / math.sqrt(w.numel()), (
            "the mean is not 0: is the interval (-b, b), not (0, b)?"
        )
        off = w.std().item() / std
        assert abs(off - 1) < 0.03, (
            f"the std is {off:.3f} times what it should be. Is it a std and not a variance, the right fan, and for a "
            "uniform distribution b = √3 · std?"
        )
        kurtosis = ((w - w.mean()) ** 4).mean() / w.var() ** 2
        if "uniform" in f_.__name__:
            assert abs(kurtosis - 1.8) < 0.05, "these numbers are not uniform"
            assert w.abs().max() <= math.sqrt(3) * std * (1 + 1e-9), "a number is outside (-b, b)"
        else:
            assert 2.25 < kurtosis < 3.2, "these numbers are not normal"


TALL, WIDE, KERNEL = (360, 90), (90, 360), (60, 20, 5, 5)
check_random(xavier_uniform_, TALL, math.sqrt(2 / 450))
check_random(xavier_uniform_, KERNEL, 1.5 * math.sqrt(2 / 2000), gain=1.5)
check_random(xavier_normal_, WIDE, math.sqrt(2 / 450))
check_random(xavier_normal_, KERNEL, 0.5 * math.sqrt(2 / 2000), gain=0.5)
check_random(kaiming_uniform_, TALL, math.sqrt(2 / 90))
check_random(kaiming_uniform_, WIDE, math.sqrt(2 / 1.25 / 90), mode="fan_out", a=0.5)
check_random(kaiming_uniform_, KERNEL, math.sqrt(2 / 500))
check_random(kaiming_normal_, WIDE, math.sqrt(2 / 360))
check_random(kaiming_normal_, TALL, math.sqrt(2 / 1.25 / 360), mode="fan_out", a=0.5)
check_random(kaiming_normal_, KERNEL, math.sqrt(2 / 500))


@check("parameters, float32, tensors that are not contiguous; new numbers at every call")
def _():
    for f_ in (xavier_uniform_, xavier_normal_, kaiming_uniform_, kaiming_normal_):
        first = filled(f_, nn.Parameter(torch.empty(7, 5).T)).clone()
        second = filled(f_, nn.Parameter(torch.empty(7, 5).T))
        assert not torch.equal(first, second), f"{f_.__name__} draws the same numbers again: is a seed fixed?"
        again = [filled(f_, torch.empty(5, 3), generator=torch.Generator().manual_seed(4)) for _ in range(2)]
        assert torch.equal(*again), f"{f_.__name__}: the same generator must give the same numbers"


# %% [markdown]
# ## 3. The gain of any function (10 points)
#
# Where does Kaiming's 2 come from? If $z$ is standard normal, then $\mathbb{E}\,\mathrm{relu}(z)^2 = \tfrac12$: the mean square of the signal is
# halved, and weights larger by $\sqrt2$ make up for it. The same works for every function: the factor that restores the mean square is
#
# $$\mathrm{gain}(f) = \frac{1}{\sqrt{\mathbb{E}\,f(z)^2}} \qquad\qquad z \sim \mathcal{N}(0, 1)$$
#
# Libraries keep a table of gains for a handful of functions (and its entry for tanh, 5/3, is a rule of thumb). You need no table: an
# expectation is an integral, $\int f(z)^2\,\varphi(z)\,dz$ with $\varphi(z) = e^{-z^2/2}/\sqrt{2\pi}$, or an average over many draws.


# %%
def gain(f):
    """1 / sqrt(E[f(z)²]) for a standard normal z.

    f: any elementwise function; it takes a float tensor of any shape and returns one of the same shape and dtype. It may
    have kinks and jumps, and is bounded by some 100 where |z| < 10. What f(z)² adds to the expectation is not concentrated
    in the far tails. The f of the check and of the grader takes at most 1 MB a call, which is enough for 100,000
    numbers in float64, and at most 10,000 calls.

    Returns a number (whatever float() takes), right to 3%. For such an f, a sum over a fine grid is, and so is an average
    over 100,000 draws.
    """
    ### BEGIN SOLUTION
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2)
    return ((f(z) ** 2 * density).sum() / density.sum()).rsqrt()
    ### END SOLUTION


# %% tags=["check"]
def check_gain(says, f, expected, hint):
    @check(f"the gain of {says}")
    def _():
        mine = number(gain(limited(f)), "the gain")
        assert abs(mine / expected - 1) < 0.03, f"yours is {mine:.4f}. {hint}"


check_gain("relu", torch.relu, math.sqrt(2), "Is it one over the *root* of the mean square?")
check_gain("tanh", torch.tanh, 1.5926, "Not the 5/3 of the tables: E[tanh(z)²] is about 0.394")
check_gain("x + 2", lambda x: x + 2, 1 / math.sqrt(5), "The mean of f(z) belongs to its square")
check_gain("3 · sign(x)", lambda x: 3 * torch.sign(x), 1 / 3, "E[f(z)²] is 9, wherever z is")


# %% [markdown]
# ## 4. The profile of a signal (13 points, and 2 for a prediction)
#
# So far this is theory. Now measure: send a signal through a deep network and a gradient back, and write down at each layer how large they
# are. "How large" is the root mean square, over all examples and units.
#
# The network has no biases, $a_0 = x$ and $a_l = f(a_{l-1} W_l^\top)$. Backwards it starts with $g = \partial L/\partial a_L$ at the last layer,
# and asks for $\partial L/\partial a_l$ at every layer. Autograd is welcome (`torch.autograd.grad` takes several inputs at once, and
# `grad_outputs=`), and by hand it is two lines.
#
# Signals of $10^{-25}$ are no exception here, and a `float32` below $10^{-38}$ is 0. What is the square of $10^{-25}$?


# %%
def signal_profile(weights, x, g, activation="relu"):
    """Root mean square of activations and gradients, layer by layer.

    weights: list of L >= 1 tensors (out, in), front to back, as in nn.Linear; x: (n, in of the first layer).
    Layer l computes a_l = f(a_{l-1} @ W_l.T), with a_0 = x; the last layer too. No biases.
    activation: f, "relu" or "tanh".
    g: (n, out of the last layer), the gradient of a loss with respect to a_L. All tensors are of one float dtype.

    Returns (forward, backward), two lists of L numbers (whatever float() takes), for the layers 1 to L, front to back:
    forward   sqrt(mean(a_l²)) over all entries, after the activation, the mean not subtracted
    backward  the same of the gradient of the loss with respect to a_l (after the activation); the last is the rms of g
    Right to 1e-9 in float64 and to 1e-4 in float32, also for entries of 1e-25 or 1e25, whose squares float32 cannot hold.
    """
    ### BEGIN SOLUTION
    f = {"relu": torch.relu, "tanh": torch.tanh}[activation]
    activations, h = [], x.detach().requires_grad_()
    for weight in weights:
        h = f(h @ weight.T)
        activations.append(h)
    gradients = torch.autograd.grad(h, activations, g)
    return [rms(a) for a in activations], [rms(d) for d in gradients]
    ### END SOLUTION


### BEGIN SOLUTION
def rms(tensor):
    return tensor.double().square().mean().sqrt()


### STARTER: # A function for the root mean square may stand here.
### END SOLUTION


# %% tags=["check"]
def profile_of(weights, x, g, activation):
    """What signal_profile returns, as two lists of floats."""
    copies = [weight.clone() for weight in weights]
    profile = call(signal_profile, list(weights), x, g, activation)
    assert all(map(torch.equal, weights, copies)), "signal_profile changed the weights in place"
    assert isinstance(profile, (tuple, list)), "return two lists, (forward, backward)"
    assert len(profile) == 2, "return two lists, (forward, backward)"
    for name, values in zip(("forward", "backward"), profile):
        assert isinstance(values, (tuple, list)), f"{name} must be a list, not a {type(values).__name__}"
        assert len(values) == len(weights), (
            f"{name} has {len(values)} numbers for {len(weights)} layers: x itself is not counted"
        )
    return [[number(value, "each entry") for value in values] for values in profile]


def near(values, expected, rtol=1e-9):
    return all(math.isclose(value, right, rel_tol=rtol) for value, right in zip(values, expected))


@check("signal_profile on a network small enough to do by hand")
def _():
    weights = [torch.tensor([[1.0, 0.0], [0.0, -2.0]]), torch.tensor([[3.0, 4.0]])]
    x, g = torch.tensor([[3.0, 1.0], [4.0, -2.0]]), torch.tensor([[1.0], [-2.0]])
    forward, backward = profile_of(weights, x, g, "relu")  # a_1 is [[3, 0], [4, 4]], a_2 is [[9], [28]]
    assert near(forward, [math.sqrt(41 / 4), math.sqrt(865 / 2)], 1e-5), (
        "forward: sqrt(mean(a²)) of what comes out of relu, over all examples and units"
    )
    assert near(backward, [math.sqrt(125 / 4), math.sqrt(5 / 2)], 1e-5), (
        "backward: the gradient with respect to a_1 is g @ W_2 here, [[3, 4], [-6, -8]], and with respect to a_2 it is g"
    )


@check("signal_profile knows tanh")
def _():
    weights = [torch.tensor([[0.5]]).double(), torch.tensor([[2.0]]).double()]
    x, g = torch.tensor([[1.0]]).double(), torch.tensor([[3.0]]).double()
    a_1 = math.tanh(0.5)
    a_2 = math.tanh(2 * a_1)
    forward, backward = profile_of(weights, x, g, "tanh")
    assert near(forward, [a_1, a_2]), "forward: the last layer has its activation too"
    assert near(backward, [3 * (1 - a_2**2) * 2, 3]), (
        "backward: through tanh (slope 1 - a²), then through the weight"
    )


@check("signal_profile of whispers and of shouts")
def _():
    for size in (1e-25, 1e25):
        weights = [torch.tensor([[2.0]]), torch.tensor([[1.0]])]
        forward, backward = profile_of(weights, torch.tensor([[size]]), torch.tensor([[size]]), "relu")
        assert near(forward + backward, [2 * size, 2 * size, size, size], 1e-4), (
            f"entries of {size:.0e}: their squares do not fit into float32; square in float64"
        )


# %% [markdown]
# ### Predict, then run
#
# The simplest recipe keeps the variance of a *linear* layer: weights with variance $1/\mathrm{fan\_in}$ (LeCun, 1998). Kaiming's have variance
# $2/\mathrm{fan\_in}$: a mere factor of $\sqrt2 \approx 1.41$ in the weights.
#
# Take thirty ReLU layers without biases, LeCun's weights, and the same weights times $\sqrt2$. **Before you run the next check**: how many times
# larger is the rms of the activations after layer 30 in the second network? Write your prediction down; within 10% counts as right. (You
# may change it after you have seen the answer. But do think first: what does relu do to an input that is $\sqrt2$ times as large?)

# %%
### BEGIN SOLUTION
ANSWERS = {"kaiming_over_lecun": 2**15}
### STARTER: ANSWERS = {"kaiming_over_lecun": None}  # a number: 1.4? 42? more? less?
### END SOLUTION


# %% tags=["check"]
@check("your prediction")
def _():
    prediction = ANSWERS["kaiming_over_lecun"]
    if prediction is None:
        raise NotImplementedError
    h = loud = torch.randn(100, 128, dtype=torch.float64)
    for _ in range(30):
        w = torch.randn(128, 128, dtype=torch.float64) / math.sqrt(128)
        h, loud = torch.relu(h @ w.T), torch.relu(loud @ (math.sqrt(2) * w).T)
    sizes = [a.square().mean().sqrt().item() for a in (h, loud)]
    print(f"   rms after layer 30: LeCun {sizes[0]:.2e}, Kaiming {sizes[1]:.2e}")
    assert abs(prediction / (sizes[1] / sizes[0]) - 1) < 0.1, (
        "not so: each of the thirty layers multiplies by the same factor. Divide the two numbers above"
    )


# %% [markdown]
# ## 5. Orthogonal weights (10 points)
#
# Kaiming keeps the mean square *on average*. Each single random matrix still stretches some directions and squashes others, and
# in a product of fifty the stretches multiply. An orthogonal matrix changes no length at all. If $W$ is not square, it cannot have both: with
# more rows than columns, its columns can be orthonormal ($W^\top W = I$), and with more columns than rows, its rows ($W W^\top = I$).
#
# The QR decomposition of a random matrix gives orthonormal columns. But QR algorithms fix the signs their own way (the upper left entry of
# LAPACK's $Q$ is never positive!), so the result is not equally likely in all directions. The mend: multiply each column of $Q$ by the sign
# of the entry of $R$'s diagonal that belongs to it (Mezzadri, 2007).


# %%
def orthogonal_(w, gain=1.0, generator=None):
    """Fills w with gain times a random matrix with orthonormal columns (tall) or rows (wide), and returns w.

    w: float tensor (out, in); a convolution (out, in, *kernel) counts as the matrix (out, in * area of the kernel).
    out >= in: WᵀW = gain² I. out <= in: WWᵀ = gain² I. Right to 1e-9 in float64, to 1e-4 in float32.
    Over many calls, every entry has the mean 0.
    """
    ### BEGIN SOLUTION
    out, columns = w.flatten(1).shape
    a = torch.randn(max(out, columns), min(out, columns), dtype=w.dtype, generator=generator)
    q, r = torch.linalg.qr(a)
    q = q * r.diagonal().sign()
    with torch.no_grad():
        return w.copy_(gain * (q if out >= columns else q.T).reshape(w.shape))
    ### END SOLUTION


# %% tags=["check"]
def check_orthogonal(says, shape, size):
    @check(f"orthogonal_: {says}")
    def _():
        w = filled(orthogonal_, torch.empty(shape, dtype=torch.float64), gain=size).flatten(1)
        product, which = (w.T @ w, "columns") if w.shape[0] >= w.shape[1] else (w @ w.T, "rows")
        unit = size**2 * torch.eye(len(product), dtype=torch.float64)
        assert torch.allclose(product.diagonal(), unit.diagonal(), rtol=1e-9), (
            f"the {which} do not have the length {size}"
        )
        assert torch.allclose(product, unit, atol=1e-9), (
            f"the {which} are not orthogonal to each other. (Tall: columns. Wide: rows. A convolution: flatten(1))"
        )


check_orthogonal("tall", (9, 4), 1.0)
check_orthogonal("wide, with a gain", (4, 9), 1.5)
check_orthogonal("square", (6, 6), 1.0)
check_orthogonal("a wide convolution", (4, 2, 3, 3), 1.0)
check_orthogonal("a tall convolution", (20, 2, 3), 0.5)


@check("orthogonal_: every entry has the mean 0, new numbers at every call, parameters, generators")
def _():
    mean = sum(filled(orthogonal_, torch.empty(3, 2)) for _ in range(300)) / 300
    assert mean.abs().max() < 6 * math.sqrt(1 / 3 / 300), (
        "some entries are not 0 on average: multiply the columns of Q by the signs of R's diagonal"
    )
    first, second = (filled(orthogonal_, nn.Parameter(torch.empty(5, 7).T)).clone() for _ in range(2))
    assert not torch.equal(first, second), "the same matrix again: is a seed fixed?"
    again = [
        filled(orthogonal_, torch.empty(5, 3), generator=torch.Generator().manual_seed(4)) for _ in range(2)
    ]
    assert torch.equal(*again), "the same generator must give the same matrix"


# %% [markdown]
# ### The figure: fifty layers
#
# Fifty layers of 256 ReLU units, and five ways to draw their weights, measured by your `signal_profile`. Left, how large the signal
# still is after each layer; in the middle, how large the gradient is on its way back from the last layer to the first. At the right, the
# signal again, of the two that stay, close up. Both wander, as both are random; the orthogonal one usually takes slightly smaller steps from layer
# to layer. (Run the cell again for other draws.)


# %% tags=["demo"]
def figure():
    import matplotlib.pyplot as plt

    depth, width = 50, 256
    x = torch.randn(200, width, dtype=torch.float64)
    g = torch.randn(200, width, dtype=torch.float64)
    recipes = {
        "normal, std 1": lambda w: w.normal_(),
        "Kaiming": kaiming_normal_,
        "orthogonal, gain √2": lambda w: orthogonal_(w, math.sqrt(2)),
        "Xavier (here std $1/\\sqrt{n}$)": xavier_normal_,
        "PyTorch's default for nn.Linear": lambda w: kaiming_uniform_(w, a=math.sqrt(5)),
    }
    # Okabe and Ito's colours, which the colour-blind can tell apart, and a line style and a mark of its own for each.
    styles = [
        ("#D55E00", "-", "^"),
        ("#0072B2", "-", "o"),
        ("#009E73", "--", "s"),
        ("#CC79A7", "-.", "D"),
        ("#000000", ":", "v"),
    ]
    profiles = {
        name: signal_profile([fill_(torch.empty(width, width).double()) for _ in range(depth)], x, g)
        for name, fill_ in recipes.items()
    }
    figure, (*axes, close) = plt.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    figure.suptitle("50 layers of 256 ReLU units, with five kinds of random weights")
    for (name, profile), (colour, line, mark) in zip(profiles.items(), styles):
        panels = list(zip(axes, profile))
        if name.startswith(("Kaiming", "orthogonal")):
            panels.append((close, profile[0]))
        for axis, sizes in panels:
            axis.semilogy(
                range(1, depth + 1),
                [float(size) for size in sizes],
                color=colour,
                linestyle=line,
                marker=mark,
                markevery=5,
                label=name,
                linewidth=1.8,
            )
    for axis, title, what in zip(
        axes,
        ("The signal, on its way from layer 1 to 50", "The gradient, on its way from layer 50 to 1"),
        ("activations", "gradient"),
    ):
        axis.axhspan(1e-3, 1e3, color="0.92", zorder=0)
        axis.set(title=title, xlabel="layer", ylabel=f"rms of the {what}", ylim=(1e-21, 1e21), xlim=(0, 51))
    close.set(title="The signal, close up", xlabel="layer", ylabel="rms of the activations")
    close.set(
        ylim=(0.2, 5), xlim=(0, 51), yticks=[0.2, 0.5, 1, 2, 5], yticklabels=["0.2", "0.5", "1", "2", "5"]
    )
    close.minorticks_off()
    close.axhline(1, color="0.8", zorder=0)
    axes[0].text(49.5, 2e2, "within a factor of 1000", ha="right", va="top", color="0.35")
    axes[0].annotate(
        "on to 10$^{53}$", (19.6, 4e20), (24, 1e19), arrowprops={"arrowstyle": "->"}, va="center"
    )
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    plt.show()


try:
    figure()
except NotImplementedError:
    print("The figure appears when sections 2, 4 and 5 are there.")
except Exception as error:
    print(f"No figure yet: {type(error).__name__}: {error}. It needs sections 2, 4 and 5 to be right.")

# %% [markdown]
# ## 6. A whole model (15 points)
#
# Now a model as it stands in papers: a convolution, then residual blocks with layer norm, then a linear head. It is below, and there is
# nothing to do in it. Each of its $L$ blocks holds *two* branches, and each branch adds its output to the stream $h$:
#
# $$h \leftarrow h + \mathrm{branch}(h) \qquad\qquad \mathrm{branch}(h) = \mathrm{outer}(\mathrm{relu}(\mathrm{inner}(\mathrm{norm}(h))))$$
#
# Three things are new compared with a plain stack of layers.
#
# * **The stream grows.** $2L$ branches add up $2L$ variances. If the last layer of every branch is scaled by $1/\sqrt{2L}$, as in GPT-2,
#   all of them together add the variance of one.
# * **The first loss is known.** A model that knows nothing should give all $C$ classes the same probability, which costs $\log C$. Random logits of variance
#   $s^2$ cost about $s^2/2$ more: confident nonsense, and the first hundred steps go into unlearning it. So the head starts small. But not
#   at zero: no gradient gets past a head of zeros.
# * **Norms and biases** start as if they were not there: scale 1, shift 0, bias 0.


# %%
class Branch(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)

    def forward(self, h):
        return self.outer(torch.relu(self.inner(self.norm(h))))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = Branch(width)
        self.second = Branch(width)

    def forward(self, h):
        h = h + self.first(h)
        return h + self.second(h)


class ResidualNet(nn.Module):
    """Logits (n, classes) for images (n, 1, height, width). The tests use this class: leave it as it is."""

    def __init__(self, width, blocks, classes):
        super().__init__()
        self.stem = nn.Conv2d(1, width, kernel_size=3)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images):
        h = self.stem(images).flatten(2).transpose(1, 2)  # (n, positions, width)
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h.mean(dim=1)))


# %% [markdown]
# `model.named_modules()` walks through all parts of a model with their names, `blocks.0.first.outer` and so on; `isinstance` tells what a part is.


# %%
def init_model(model):
    """Gives a ResidualNet new initial parameters, in place, whatever they were before. Returns nothing.

    Every bias, of the layer norms too, is 0; the weight of every layer norm is 1.
    The weights of the stem and of every `inner`: kaiming_normal_ or kaiming_uniform_, fan_in, for a ReLU.
    The weights of every `outer`: the same, then times 1 / sqrt(2L), where L is the number of blocks of this model.
    The weights of the head: random and not 0, in any distribution, and so small that the first loss, as a mean over
    many draws, is at most 2.5% above log(number of classes). (All labels are equally frequent: then it is never below.
    Here `model.norm` hands inputs of rms 1 to the head.)
    """
    ### BEGIN SOLUTION
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            kaiming_normal_(module.weight)
            module.bias.data.zero_()
            if name.endswith("outer"):
                module.weight.data.mul_((2 * len(model.blocks)) ** -0.5)
            if name == "head":
                module.weight.data.mul_(0.1)
        elif isinstance(module, nn.LayerNorm):
            module.weight.data.fill_(1)
            module.bias.data.zero_()
    ### END SOLUTION


# %% tags=["check"]
def fresh_model(width, blocks, classes):
    """A model with useless parameters, after init_model."""
    model = ResidualNet(width, blocks, classes)
    for parameter in model.parameters():
        parameter.data.normal_(3.0, 1.0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    init_model(model)
    assert not all(map(torch.equal, before, model.parameters())), (
        "init_model changed nothing: fill the parameters of the model itself"
    )
    return model


def ratio(weights, expected):
    """The std of all these weights together, compared with the expected one."""
    return (torch.cat([w.detach().flatten() for w in weights]).std() / expected).item()


@check("init_model: biases 0, norms 1")
def _():
    for name, parameter in fresh_model(24, 3, 7).named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), f"{name} is not 0"
        elif "norm" in name:
            assert (parameter == 1).all(), f"{name} is not 1"


@check("init_model: Kaiming inside, outer layers scaled by 1/√(2L)")
def _():
    for L in (3, 6):
        model = fresh_model(64, L, 7)
        branches = [branch for block in model.blocks for branch in (block.first, block.second)]
        stem = ratio([model.stem.weight], math.sqrt(2 / 9))
        assert abs(stem - 1) < 0.18, (
            f"the std of the stem's weights is {stem:.2f} times Kaiming's (fan_in is 1·3·3)"
        )
        inner = ratio([branch.inner.weight for branch in branches], math.sqrt(2 / 64))
        assert abs(inner - 1) < 0.03, f"the std of the weights of inner is {inner:.2f} times Kaiming's"
        outer = ratio([branch.outer.weight for branch in branches], math.sqrt(2 / 128 / (2 * L)))
        assert abs(outer - 1) < 0.03, (
            f"with {L} blocks, the std of the weights of outer is {outer:.2f} times what was asked: every block holds *two* "
            "branches, so divide Kaiming's by √(2L)"
        )


@check("init_model: the first loss is log C, and the head is not 0")
def _():
    for classes in (7, 10):
        excess = 0
        for _ in range(16):
            model = fresh_model(32, 2, classes)
            head = model.head.weight.detach()
            assert len(head.unique(dim=0)) == classes, (
                "the head has equal rows: then no class can be told from another"
            )
            with torch.no_grad():
                logits = model(torch.randn(32, 1, 6, 7))
            loss = (logits.logsumexp(1) - logits.mean(1)).mean().item()  # a mean over all possible labels
            excess += (loss / math.log(classes) - 1) / 16
        assert excess < 0.025, (
            f"with {classes} classes the first loss is {excess:.1%} above log C: the logits are too large"
        )


# %% [markdown]
# ## 7. Boss: lsuv (20 points)
#
# All formulas so far know the activation, assume that the biases are 0, and that the data is normal. What if you know none of it? Then
# *listen*. "Layer-sequential unit variance" (Mishkin and Matas, 2016) sends real data through the network, layer by layer from front to
# back, measures the standard deviation of what each layer says, and turns its weights up or down until that is 1. Only then does it go on to the next layer, which
# hears what the layers in front *now* say.
#
# Two traps. With a bias, $z = hW^\top + b$, and dividing $W$ by the std of $z$ does not make that std 1: the bias is not divided. Do it
# again, and again, until it is within 0.01 of 1; how many rounds that takes depends on how quiet the start is. And `f` is any function: no formula for it, only what it does to
# the numbers that you give it.
#
# At the end we train eight layers with $f(z) = 0.25\,z\,\sigma(3z)$, a very quiet activation, for 8 epochs of plain SGD. With Xavier's, Kaiming's
# or PyTorch's own initial weights it learns nothing at all.
#
# What counts:
#
# * the first layer's $z$, over all its $n \times \mathrm{out}$ entries, has a std within 0.03 of 1 (2 points); every layer's is within 0.3 of 1 (3),
#   within 0.03 of 1 (3); each matrix is a positive multiple of what it was (1), and biases and `X` are untouched (1);
# * a network of 64, seven times 128 and 10 units, with $f(z) = 0.25\,z\,\sigma(3z)$, gets your weights (made from Kaiming's, for biases 0) and is
#   trained on digits (SGD 0.05, batches of 32, 8 epochs). It reads at least 60% (4), 80% (3), 88% (3) of new digits, as a median of
#   three networks.


# %%
def lsuv(weights, biases, X, f):
    """Weights that make every layer's pre-activation have a standard deviation of 1 on the data X.

    weights: list of tensors (out, in), front to back, already random, but perhaps 1,000 times too quiet.
    biases: list of tensors (out,), of any mean, but each of them with a std of at most 0.5.
    X: (n, in of the first layer), n at most 500. All are float32.
    Layer by layer z = h @ w.T + b, with h = X at first and h = f(z) of the layer in front after that. The last layer's z,
    the logits, counts too; no f behind it.
    f: an elementwise function, of which nothing is known: it takes a float tensor and returns one of the same shape and
    dtype. The f of the check and of the grader takes at most 1 MB a call and at most 10,000 calls: z for all of X fits
    in well.

    Returns a list of new weights of the same shapes and dtype, each of them the given matrix times *one* positive number.
    Weights may also be changed in place, but what counts is the list that comes back; biases and X stay as they are.
    """
    ### BEGIN SOLUTION
    new, h = [], X
    for weight, bias in zip(weights, biases):
        std = 0.0
        while abs(std - 1) > 0.005:
            std = (h @ weight.T + bias).std()
            weight = weight / std
        new.append(weight)
        h = f(h @ weight.T + bias)
    return new
    ### END SOLUTION


# %% tags=["check"]
def digits():
    """1,797 handwritten digits of 8×8 pixels: images (n, 64) with mean 0 and std 1, labels (n,)."""
    if Path("digits.npz").exists():
        with np.load("digits.npz") as file:
            images, labels = file["images"], file["labels"]
    else:  # a notebook opened alone, as in Colab
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32)
    return (images - images.mean()) / images.std(), torch.tensor(labels, dtype=torch.long)


def quiet(z):
    return 0.25 * z * torch.sigmoid(3 * z)


def random_network(sizes, size_of_biases):
    weights = [torch.randn(o, i) * math.sqrt(2 / i) for i, o in zip(sizes, sizes[1:])]
    draws = [torch.randn(o) for o in sizes[1:]]
    return weights, [size_of_biases * (1 + (b - b.mean()) / b.std()) for b in draws]


def tuned(weights, biases, X, f):
    """What lsuv returns: weights of the same shapes and dtype, biases and X left alone."""
    copies = [tensor.clone() for tensor in (*biases, X)]
    new = lsuv([weight.clone() for weight in weights], list(biases), X, limited(f))
    assert all(map(torch.equal, (*biases, X), copies)), (
        "lsuv changed the biases or X: only new weights come back"
    )
    assert isinstance(new, (list, tuple)), "return a list of weights"
    assert len(new) == len(weights), "return a weight for each layer"
    for weight, old in zip(new, weights):
        assert isinstance(weight, torch.Tensor), f"a weight is a {type(weight).__name__}, not a tensor"
        assert (weight.shape, weight.dtype) == (old.shape, old.dtype), "a weight has another shape or dtype"
        assert torch.isfinite(weight).all(), "a weight is NaN or infinite"
    return [weight.detach() for weight in new]


@check("lsuv makes every std 1, by one number a matrix")
def _():
    for f, start in ((quiet, 0.001), (torch.tanh, 1.0), (lambda z: torch.cos(2 * z), 1.0)):
        weights, biases = random_network([64, 40, 70, 50, 60, 30], 0.5)
        weights = [start * weight for weight in weights]
        h = X = digits()[0][:300]
        new = tuned(weights, biases, X, f)
        stds = []
        for weight, bias in zip(new, biases):
            z = h @ weight.T + bias
            stds.append(z.std().item())
            h = f(z)
        says = "the std of z, layer by layer, is " + ", ".join(f"{std:.2f}" for std in stds)
        assert all(abs(std - 1) < 0.3 for std in stds), (
            f"{says}. Do you measure z with its bias, as often as it takes, and hand f(z) of the *new* weights on?"
        )
        assert all(abs(std - 1) < 0.03 for std in stds), f"{says}. Repeat until each is within 0.01 of 1"
        for weight, old in zip(new, weights):
            factor = (weight * old).sum() / (old * old).sum()
            assert factor > 0, "a matrix has been multiplied by a negative number, or by 0"
            assert torch.allclose(weight, factor * old, rtol=1e-3, atol=1e-6), (
                "multiply each matrix by one positive number, not each row or entry by its own"
            )


@check("a network of eight layers with the quiet activation learns")
def _():
    images, labels = digits()
    shuffled = torch.randperm(len(images))
    X, y = images[shuffled[:1297]], labels[shuffled[:1297]]
    weights, biases = random_network([64] + [128] * 7 + [10], 0.0)
    weights = tuned(weights, biases, X[:500], quiet)

    def logits(h):
        for weight, bias in zip(weights[:-1], biases[:-1]):
            h = quiet(h @ weight.T + bias)
        return h @ weights[-1].T + biases[-1]

    parameters = [p.requires_grad_() for p in (*weights, *biases)]
    for _ in range(8):
        for rows in torch.randperm(len(X))[:1280].split(32):
            loss = nn.functional.cross_entropy(logits(X[rows]), y[rows])
            with torch.no_grad():
                for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
                    parameter -= 0.05 * gradient
    right = (logits(images[shuffled[1297:]]).argmax(dim=1) == labels[shuffled[1297:]]).float().mean()
    print(f"   after 8 epochs it reads {right:.1%} of the digits that it has never seen")
    assert right >= 0.88, "less than 88%"


# %% [markdown]
# **Done?** *Restart the kernel and run all cells*: the grader does the same. Then commit and push.
#
# To take home: a deep network is a product, and a product of many factors lives only if each factor is close to 1. Initialisation sets them to 1
# at the start. To keep them there while the weights move, you need the next two homeworks.
