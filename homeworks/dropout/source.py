# %% [markdown]
# # Noise as a teacher
#
# Imagine a school in which every morning half of the teachers stay at home, and nobody knows which half. No pupil can rely on one teacher,
# no teacher on a colleague who always corrects the mistakes. It sounds like a bad idea. For neural networks it is one of the best there
# are, and it fits into one line of code. It is also a line that many people get subtly wrong, in ways that no error message will show.
#
# In this homework you write it (sections 1 to 3), bend it to images and deep networks (4), find out what it does on average with pen and
# paper (5), use it to ask a network how sure it is (6), and in the end you train a network by a teacher who lies three times out of ten (7).
#
# **How it works.** Each section has an idea, a stub to fill in, and a check. Replace `raise NotImplementedError` by your code, run the
# cell, run the check below it. `✓` is right, `✗` tells you in words what is wrong, `…` is still to do. The hidden tests ask for the same
# properties with other numbers and shapes, so when all checks say `✓` you are very likely done. You get points for every section that
# works (if it keeps the house rules), so leave a stub you cannot solve as it is and go on.
#
# **House rules**, for every function in this notebook:
#
# * `p` is the probability to **drop**, never to keep. `p = 0` (drop nothing) and, but for section 5, `p = 1` (drop everything) are legal,
#   and both may come as an `int`.
# * `float32` in gives `float32` out, `float64` in gives `float64` out, and an argument is never changed in place.
# * Tensors need not be contiguous: a transposed one, or another view with strides of its own, is a legal input. (`view` may refuse it,
#   `reshape` does not.)
# * `generator` is a `torch.Generator` to draw from. Two generators in the same state give the same result, and each call that draws moves
#   its generator on, so that the next call with it gives something else. (In eval mode, for `p = 0` and for `p = 1` a call need not draw.)
#   Without one (`None`), take torch's own or any other source of random numbers. No test compares your random numbers with somebody
#   else's: the tests look at what you drop, and count.
# * A library function that *is* the answer is forbidden, and a single one costs the *whole* section, so a stub is better:
#   * sections 1, 2 and 4: the library's dropouts (`torch.dropout`, `F.dropout` and their relatives) and all else in `torch.nn`, so `F` too;
#     in section 2 autograd as well. `torch.rand`, `torch.bernoulli`, `where`, `masked_fill`, NumPy are all welcome;
#   * sections 3 and 7: only the library's dropouts, functions and layers. `nn.Module`, `F.linear`, `F.relu` and so on are welcome;
#   * section 5: autograd, optimisers and ready-made regressions (scikit-learn, `scipy.optimize`). `torch.linalg` is welcome;
#   * section 6: nothing is forbidden.
#
# | section | points |
# |---|---|
# | 1 Dropout | 20 |
# | 2 Dropout, backwards | 10 |
# | 3 Dropout as a layer | 10 |
# | 4 Drop what belongs together | 15 |
# | 5 What the noise does on average | 15 |
# | 6 A network that knows when it guesses | 15 |
# | 7 Boss: liar, and two predictions | 13 + 2 |

# %%
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # for sections 3, 6 and 7 (but not its dropouts): in 1, 2 and 4 it would be the answer
from torch import nn  # for sections 3, 6 and 7, likewise

# %% [markdown]
# Some small tools that the checks use. Nothing to do here.


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


def agrees(actual, expected, hint, rtol=1e-9, atol=1e-12, not_finite=None):
    """Is it a tensor, of the right shape and dtype, finite, and (only then) right?"""
    assert isinstance(actual, torch.Tensor), f"a torch tensor was asked for, not a {type(actual).__name__}"
    assert actual.shape == expected.shape, f"the shape is {tuple(actual.shape)}, not {tuple(expected.shape)}"
    assert actual.dtype == expected.dtype, (
        f"{expected.dtype} in must give {expected.dtype} out, not {actual.dtype}"
    )
    assert torch.isfinite(actual).all(), f"there is a NaN or an infinity in the result. {not_finite or hint}"
    if torch.allclose(actual, expected, rtol=rtol, atol=atol):
        return
    if actual.dtype == torch.float64 and torch.allclose(
        actual, expected, rtol=1e-6, atol=1e-7 if atol else 0.0
    ):
        hint = (
            "right to about six digits, but no further: did it pass through float32 on the way? (So does a bool divided "
            f"by a number, and a new tensor without dtype=x.dtype.) If not: {hint}"
        )
    raise AssertionError(hint)


def about(share, p, n, what):
    """Is this share of n random draws p, up to six standard deviations? (By chance it is not once in 500 million.)"""
    sigma = (p * (1 - p) / n) ** 0.5
    assert abs(share - p) <= 6 * sigma, f"{what}: {share:.3f} for p = {p}. (p is the probability to *drop*.)"


# %% [markdown]
# ## 1. Dropout (20 points)
#
# In training, each entry of $x$ is set to 0 with probability $p$, each for itself, and the survivors are scaled up:
#
# $$y_i = \begin{cases} 0 & \text{with probability } p \\ x_i / (1-p) & \text{otherwise} \end{cases}$$
#
# The scale makes the *expected* value of $y_i$ equal to $x_i$, whatever $p$ is. So the layer behind sees inputs of the same size in training
# and in use, and in use there is nothing at all to do: in eval mode, dropout hands its input on as it is.
#
# Three places where it goes wrong. Entries of one row (or column, or example) must not share their fate: one random number for each *entry*.
# Each call draws anew. And at $p = 1$ the scale is $1/0$, which times 0 is NaN, in the value or in the gradient.


# %%
def dropout(x, p, training, generator=None):
    """Sets entries to 0 at random and scales the others up.

    x: float tensor of any shape. p: the probability to drop, 0 <= p <= 1.
    training=True:  each entry, independently of all others and of all earlier calls, is 0 with probability p, else
                    x / (1 - p). For p = 1 all entries are 0, never NaN, and so is the gradient; or the result has none
                    there (requires_grad=False).
    training=False: returns x itself or a copy of it, for every p.
    generator: a torch.Generator to draw from (see the house rules); None for any other source.
    Returns a tensor of x's shape and dtype. The gradient with respect to x flows through it (autograd does that by
    itself, if you use torch's operations and do not detach anything).
    """
    ### BEGIN SOLUTION
    if not training:
        return x
    kept = torch.rand(x.shape, generator=generator) >= p
    return x * kept / (1 - p or 1)
    ### END SOLUTION


# %% tags=["check"]
@check("dropout: what survives is scaled, and everything else is 0")
def _():
    for dtype in (torch.float64, torch.float32):
        x = torch.linspace(1, 3, 24, dtype=dtype).reshape(2, 3, 4) * torch.tensor([-1, 1, 1, -1])
        for p in (0.2, 0.5, 0.9, 0):
            y = call(dropout, x, p, True)
            assert isinstance(y, torch.Tensor), "return a tensor"
            expected = torch.where(y == 0, torch.zeros_like(x), x / (1 - p))
            agrees(y, expected, f"for p = {p}, an entry is neither 0 nor x / (1 - p)", rtol=1e-6)


@check("dropout: x need not be contiguous")
def _():
    x = torch.linspace(1, 3, 60, dtype=torch.float64).reshape(12, 5).T
    y = call(dropout, x, 0.5, True)
    agrees(y, torch.where(y == 0, torch.zeros_like(x), 2 * x), "an entry is neither 0 nor x / (1 - p)")
    agrees(call(dropout, x, 0.5, False), x, "in eval mode x comes back", rtol=0)


@check("dropout: as many are dropped as p says, in every row and every column")
def _():
    for p in (0.15, 0.6):
        lost = call(dropout, torch.ones(200, 300), p, True) == 0
        about(lost.float().mean().item(), p, lost.numel(), "the share of dropped entries is wrong")
        for axis, n in ((1, 300), (0, 200)):
            for share in lost.float().mean(axis).tolist():
                about(
                    share,
                    p,
                    n,
                    "one number for each entry, not one a row or a column. Dropped in one of them",
                )


@check("dropout: a new mask for every call")
def _():
    first, second = (dropout(torch.ones(200, 200), 0.5, True) == 0 for _ in range(2))
    share = (first & second).float().mean().item()
    about(
        share,
        0.25,
        40_000,
        "two calls should drop the same entry one time in four for p = 0.5, if independent",
    )


@check("dropout: nothing happens in eval mode")
def _():
    x = torch.linspace(-2, 2, 60).reshape(5, 12)
    assert (call(dropout, x, 0.5, True) != x).any(), "nothing happens in training either"
    for p in (0.5, 1):
        agrees(call(dropout, x, p, False), x, "in eval mode x comes back: no mask and no scale", rtol=0)


@check("dropout: p = 1 gives zeros")
def _():
    x = torch.linspace(-2, 2, 60, requires_grad=True)
    assert (dropout(x, 0.5, True) != 0).any(), "everything is dropped for p = 0.5 too"
    y = dropout(x, 1, True)
    agrees(y.detach(), torch.zeros(60), "not all are 0", not_finite="0/0, or 0 times infinity?")
    if y.requires_grad:
        (gradient,) = torch.autograd.grad(y.sum(), x)
        agrees(
            gradient, torch.zeros(60), "its gradient is not 0", not_finite="The gradient is 0 times infinity"
        )


@check("dropout: the gradient has the same holes and the same scale")
def _():
    x = torch.linspace(1, 3, 60, dtype=torch.float64, requires_grad=True)
    g = torch.linspace(-1, 2, 60, dtype=torch.float64)
    y = dropout(x, 0.4, True)
    assert y.requires_grad, "the result has no gradient: was something detached?"
    (gradient,) = torch.autograd.grad(y, x, g)
    agrees(gradient, g * (y.detach() != 0) / 0.6, "the gradient is 0 where x was dropped, else g / (1 - p)")


@check("dropout: draws from the generator that it gets")
def _():
    x = torch.ones(300)
    one, other = (torch.Generator().manual_seed(7) for _ in range(2))
    first, again = (call(dropout, x, 0.5, True, generator=g) for g in (one, other))
    assert torch.equal(first, again), "two generators in the same state give two results"
    assert not torch.equal(first, dropout(x, 0.5, True, generator=one)), (
        "a second call with the same generator gives the same mask: it must move on"
    )


# %% [markdown]
# ## 2. Dropout, backwards (10 points)
#
# The same by hand, as a library does it. Dropout multiplies each entry by a number that does not depend on $x$, so backwards it multiplies
# each entry of the gradient by *the same* number. Not by a similar one: if the pass back drew new random numbers, each unit would be taught
# by the mistakes of another. What the pass back has to know, the forward pass writes down in a `cache`.
#
# A trap: do not ask later where $y$ is 0. Behind a relu half of $x$ is 0 anyway, and those entries were not all dropped.


# %%
def dropout_forward(x, p, training, generator=None):
    """Dropout as in section 1, and a note for the way back.

    x, p, training, generator: as in section 1.
    Returns (y, cache): y as in section 1 (autograd need not get through it); cache: whatever you like.
    """
    ### BEGIN SOLUTION
    if not training:
        p = 0
    kept = torch.rand(x.shape, generator=generator) >= p
    cache = kept.to(x.dtype) / (1 - p or 1)
    return x * cache, cache
    ### END SOLUTION


def dropout_backward(g, cache):
    """The gradient of a loss with respect to x, given the gradient g with respect to y.

    g: same shape and dtype as x. cache: from the call of dropout_forward that is meant. Several may be waiting at a
    time, and the same one may be asked for twice.
    Returns a tensor of the shape and dtype of g: 0 where x was dropped, else g / (1 - p); zeros for p = 1. For
    training=False: g itself or a copy.
    """
    ### BEGIN SOLUTION
    return g * cache
    ### END SOLUTION


# %% tags=["check"]
def forward_of(*arguments):
    """What dropout_forward returns: two things, the first like x."""
    result = call(dropout_forward, *arguments)
    assert isinstance(result, (tuple, list)), f"return y and the cache, not a {type(result).__name__}"
    assert len(result) == 2, f"return two things, y and the cache, not {len(result)}"
    assert isinstance(result[0], torch.Tensor), "the first thing that dropout_forward returns is a tensor"
    return result


@check("dropout_backward knows what each forward pass dropped")
def _():
    x = torch.linspace(1, 3, 80, dtype=torch.float64).reshape(5, 16)
    g = torch.linspace(-3, 2, 80, dtype=torch.float64).reshape(5, 16)
    passes = [(p, *forward_of(x, p, True)) for p in (0.3, 0.3, 0.8, 1, 0)]
    for p, y, cache in passes:
        expected = torch.where(y == 0, torch.zeros_like(x), x / (1 - p or 1))
        agrees(y, expected, f"forward, p = {p}: an entry is neither 0 nor x / (1 - p)")
        for _ in range(2):
            expected = torch.where(y == 0, torch.zeros_like(g), g / (1 - p or 1))
            hint = f"p = {p}: is it the mask of this very forward pass, and its scale?"
            agrees(call(dropout_backward, g, cache), expected, hint)
    assert 0 < (passes[2][1] == 0).sum() < 80, "the forward pass drops all, or nothing"


@check("dropout_forward draws from the generator that it gets")
def _():
    x = torch.ones(300)
    one, other = (torch.Generator().manual_seed(8) for _ in range(2))
    first, again, second = (forward_of(x, 0.5, True, g)[0] for g in (one, other, one))
    assert torch.equal(first, again), "two generators in the same state give two results"
    assert not torch.equal(first, second), (
        "a second call with the same generator gives the same mask: it must move on"
    )


@check("dropout_forward and dropout_backward: x and g need not be contiguous")
def _():
    x, g = (torch.linspace(low, 3, 60, dtype=torch.float64).reshape(12, 5).T for low in (1, -2))
    y, cache = forward_of(x, 0.5, True)
    agrees(y, torch.where(y == 0, torch.zeros_like(x), 2 * x), "an entry is neither 0 nor x / (1 - p)")
    hint = "the gradient is 0 where x was dropped, else g / (1 - p)"
    agrees(call(dropout_backward, g, cache), torch.where(y == 0, torch.zeros_like(g), 2 * g), hint)


@check("dropout_backward in eval mode")
def _():
    x, g = torch.linspace(1, 3, 80), torch.linspace(-3, 2, 80)
    assert (forward_of(x, 0.5, True)[0] == 0).any(), "nothing is dropped in training"
    y, cache = forward_of(x, 0.5, False)
    agrees(y, x, "in eval mode y is x", rtol=0)
    agrees(call(dropout_backward, g, cache), g, "in eval mode the gradient is g", rtol=0)


@check("dropout_backward where x itself is 0")
def _():
    y, cache = forward_of(torch.zeros(10_000), 0.3, True)
    lost = call(dropout_backward, torch.ones(10_000), cache) == 0
    about(
        lost.float().mean().item(),
        0.3,
        10_000,
        "x = 0 is not the same as dropped: dropped in the backward pass",
    )


# %% [markdown]
# ## 3. Dropout as a layer (10 points)
#
# A network knows by itself whether it is training: `model.train()` and `model.eval()` set the attribute `training` of every module inside,
# however deep. A layer only has to look at its own `self.training` whenever it is called.
#
# (All of `torch.nn` is allowed here, but for its dropouts.)


# %%
class Dropout(nn.Module):
    """dropout as a layer: at work in train mode, without effect in eval mode.

    p: the probability to drop, by default 0.5. What is not in [0, 1], NaN too, raises a ValueError at once.
    The attribute `p`, a plain number, can be read, and changed later: every call uses what it is then.
    There are no parameters and no buffers, so the state_dict is empty.
    """

    def __init__(self, p=0.5):
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability, not {p}")
        self.p = p
        ### END SOLUTION

    def forward(self, x):
        """x: float tensor of any shape. Returns the same shape and dtype, with a fresh mask at every call."""
        ### BEGIN SOLUTION
        return dropout(x, self.p, self.training)
        ### END SOLUTION


# %% tags=["check"]
@check("Dropout in train mode and in eval mode, also deep inside a model")
def _():
    x = torch.linspace(1, 3, 200)
    layer = Dropout(0.25)
    model = nn.Sequential(nn.Identity(), nn.Sequential(layer))
    y, again = call(model, x), call(model, x)
    agrees(y, torch.where(y == 0, torch.zeros_like(x), x / 0.75), "neither 0 nor x / (1 - p)", rtol=1e-5)
    assert (y == 0).any(), "nothing was dropped in train mode"
    assert not torch.equal(y, again), "the second call dropped the same entries"
    model.eval()
    agrees(call(model, x), x, "after model.eval() the layer must do nothing: look at self.training", rtol=0)
    model.train()
    layer.p = 1
    agrees(call(model, x), torch.zeros(200), "layer.p = 1 was set later, and not used")


@check("Dropout takes probabilities only, 0.5 by default, and has nothing to learn")
def _():
    for p in (-0.1, 1.5, float("nan")):
        try:
            Dropout(p)
        except ValueError:
            continue
        raise AssertionError(f"Dropout({p}) should raise a ValueError")
    for p in (0, 1):
        try:
            Dropout(p)
        except ValueError:
            raise AssertionError(f"p = {p} is legal") from None
    assert Dropout().p == 0.5, "the default is 0.5"
    assert not list(Dropout(0.3).state_dict()), "no parameters and no buffers: p is a plain number"


# %% [markdown]
# ## 4. Drop what belongs together (15 points)
#
# Neighbouring pixels of a feature map say nearly the same. Whoever drops one of them has taken nothing away: the next layer reads it off its
# neighbours. So `dropout2d` drops whole **channels**: for each example and each channel *one* random number decides about the whole map.
#
# And a residual network computes $h + f(h)$. There one can drop the whole branch $f$, for one example of the batch and not for the next:
# `drop_path` drops whole **examples**. That makes very deep networks trainable, as in training most are short.
#
# All else is as before: the survivors are scaled by $1/(1-p)$, in eval mode nothing happens. You may use your `dropout`, but need not.


# %%
def dropout2d(x, p, training, generator=None):
    """Dropout of whole channels.

    x: (N, C, H, W). Each of the N·C maps x[n, c], independently of the others, is all 0 with probability p, else
    x[n, c] / (1 - p). The same channel of two examples is two maps.
    p, training, generator, result and gradient: as in section 1.
    """
    ### BEGIN SOLUTION
    return x * dropout(x.new_ones(*x.shape[:2], 1, 1), p, training, generator)
    ### END SOLUTION


def drop_path(x, p, training, generator=None):
    """Dropout of whole examples.

    x: (N, ...) with any number of further dimensions, also none. Each x[n], independently of the others, is all 0 with
    probability p, else x[n] / (1 - p).
    p, training, generator, result and gradient: as in section 1.
    """
    ### BEGIN SOLUTION
    return x * dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), p, training, generator)
    ### END SOLUTION


# %% tags=["check"]
def check_structured(f, shape, together, whole):
    """f drops x of this shape in pieces of its last dimensions `together`."""

    @check(f"{f.__name__} of shape {shape} drops whole {whole}, and scales the others")
    def _():
        x = torch.rand(shape, dtype=torch.float64) + 1
        y = call(f, x, 0.4, True)
        agrees(y, torch.where(y == 0, torch.zeros_like(x), x / 0.6), "an entry is neither 0 nor x / (1 - p)")
        lost = (y == 0).flatten(together)
        assert (lost == lost[..., :1]).all(), (
            f"one of the {whole} is dropped in part: one random number for each"
        )
        lost = lost[..., 0].double()
        about(lost.mean().item(), 0.4, lost.numel(), f"the share of dropped {whole} is wrong")
        if lost.dim() == 2:
            for axis in (0, 1):
                for share in lost.mean(axis).tolist():
                    about(
                        share, 0.4, lost.shape[axis], "a number for each channel of *each* example. Dropped"
                    )

    @check(f"{f.__name__} of shape {shape} in eval mode, at p = 1, and with a gradient")
    def _():
        x = (torch.rand(shape, dtype=torch.float64) + 1).requires_grad_()
        g = torch.randn(shape, dtype=torch.float64)
        y = f(x, 0.3, True)
        assert 0 < (y == 0).sum() < y.numel(), "in training, some are dropped and some are not"
        (gradient,) = torch.autograd.grad(y, x, g)
        agrees(
            gradient, g * (y.detach() != 0) / 0.7, "the gradient has the holes and the scale of the result"
        )
        agrees(f(x.detach(), 0.3, False), x.detach(), "in eval mode x comes back", rtol=0)
        agrees(f(x.detach(), 1, True), torch.zeros(shape, dtype=torch.float64), "p = 1 drops everything")

    @check(f"{f.__name__} of shape {shape} draws from its generator, and takes views")
    def _():
        x = (torch.rand(shape[::-1], dtype=torch.float64) + 1).permute(*range(len(shape))[::-1])
        one, other = (torch.Generator().manual_seed(9) for _ in range(2))
        first, again, second = (call(f, x, 0.5, True, generator=g) for g in (one, other, one))
        agrees(first, torch.where(first == 0, torch.zeros_like(x), 2 * x), "neither 0 nor x / (1 - p)")
        assert torch.equal(first, again), "two generators in the same state give two results"
        assert not torch.equal(first, second), (
            "a second call with the same generator gives the same mask: it must move on"
        )


check_structured(dropout2d, (80, 60, 2, 3), 2, "channels")
check_structured(drop_path, (3000, 2, 3), 1, "examples")
check_structured(drop_path, (3000, 2), 1, "examples")

# %% [markdown]
# ## 5. What the noise does on average (15 points)
#
# Why does noise help? For one linear unit the answer can be worked out. Let $\tilde x$ be $x$ after dropout, $\tilde x_j = m_j x_j$, where
# the factor $m_j$ is 0 with probability $p$ and $1/(1-p)$ otherwise. The factors are independent. What are mean and variance of one of
# them? And so of
#
# $$\tilde x \cdot w = \sum_j m_j\,x_j\,w_j\,?$$
#
# Once you have these two, look at linear regression with dropout on its inputs, trained for so long that all masks have been seen:
#
# $$L(w) = \mathbb{E} \sum_i \big(y_i - \tilde x_i \cdot w\big)^2 = \sum_i \Big[\big(y_i - \mathbb{E}\,\tilde x_i \cdot w\big)^2 + \mathrm{Var}(\tilde x_i \cdot w)\Big]$$
#
# The second term does not know the data's labels: it is a price for large weights. So dropout is a kind of ridge regression, but one with its
# own price for each feature. Set the gradient to zero, and you have the solution that all this noise converges to, without drawing a single
# random number.


# %%
def dropout_moments(x, w, p):
    """Mean and variance, over all masks, of dropout(x, p, training=True) @ w.

    x: (n, d); w: (d,); of one float dtype. 0 <= p < 1.
    Returns (mean, variance), each (n,), exactly (nothing is drawn). The variance is E[z²] - (E[z])², not its root.
    """
    ### BEGIN SOLUTION
    return x @ w, p / (1 - p) * x**2 @ w**2
    ### END SOLUTION


def dropout_ridge(X, y, p):
    """The weights w with the smallest expected loss sum_i E[(y_i - dropout(X)_i @ w)²], in closed form.

    X: (n, d), no column all 0; y: (n,); of one float dtype. No bias. 0 <= p < 1.
    For p = 0 that is ordinary least squares, and X has full column rank then. For p > 0, n may be smaller than d.
    Returns w: (d,).
    """
    ### BEGIN SOLUTION
    gram = X.T @ X
    return torch.linalg.solve(gram + p / (1 - p) * torch.diag(gram.diag()), X.T @ y)
    ### END SOLUTION


# %% tags=["check"]
def every_mask(d, p):
    """All factors (m_1, …, m_d) that dropout may draw, and the probability of each."""
    kept = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * d)
    return kept / (1 - p), (kept * (1 - p) + (1 - kept) * p).prod(dim=1)


@check("dropout_moments, against all 32 masks of five inputs")
def _():
    x = torch.linspace(-2, 3, 20, dtype=torch.float64).reshape(4, 5)
    w = torch.tensor([1.5, -0.5, 2.0, 0.3, -1.0], dtype=torch.float64)
    for p in (0.3, 0.75, 0):
        result = call(dropout_moments, x, w, p)
        assert isinstance(result, (tuple, list)), f"return mean and variance, not a {type(result).__name__}"
        assert len(result) == 2, f"return two things, mean and variance, not {len(result)}"
        factors, probabilities = every_mask(5, p)
        z = x * w @ factors.T  # (4 examples, 32 masks)
        mean = z @ probabilities
        agrees(result[0], mean, f"the mean is wrong for p = {p}")
        hint = f"the variance is wrong for p = {p}: add up the variances of the m_j x_j w_j"
        agrees(result[1], z**2 @ probabilities - mean**2, hint, atol=1e-9)


@check("dropout_ridge, against the expected loss over all masks")
def _():
    X = torch.linspace(-2, 3, 35, dtype=torch.float64).mul(7).cos().reshape(7, 5) * torch.arange(1, 6)
    y = torch.linspace(1, 4, 7, dtype=torch.float64).square().sin()
    for p, rows in ((0, 7), (0.5, 7), (0.2, 7), (0.2, 3)):
        factors, probabilities = every_mask(5, p)
        noisy = X[:rows, None] * factors  # (rows, 32 masks, 5)
        w = call(dropout_ridge, X[:rows], y[:rows], p)
        assert isinstance(w, torch.Tensor), f"return the weights, a tensor, not a {type(w).__name__}"
        assert w.shape == (5,), f"the weights are of shape (d,), not {tuple(w.shape)}"
        assert w.dtype == X.dtype, f"float64 in must give float64 out, not {w.dtype}"
        slope = torch.einsum("rm,rmd,m->d", noisy @ w - y[:rows, None], noisy, probabilities)
        assert slope.abs().max() < 1e-8, (
            f"p = {p}, {rows} rows: at your w the expected loss still has a slope"
        )


# %% [markdown]
# ## 6. A network that knows when it guesses (15 points)
#
# A network in eval mode always gives the same answer, and always sounds sure. But a network trained with dropout is a crowd: each mask is
# another network. So leave dropout *on* in use, ask the crowd $T$ times, and look whether it agrees:
#
# $$\bar p = \frac1T\sum_{t=1}^{T}\mathrm{softmax}(z_t) \qquad s = \sqrt{\frac1T\sum_t \big(\mathrm{softmax}(z_t)-\bar p\big)^2} \qquad H = -\sum_c \bar p_c \log \bar p_c$$
#
# A large entropy $H$ says: please ask a human. This is known as Monte Carlo dropout (Gal and Ghahramani, 2016).
#
# The difficulty is in the modes. `model.train()` would switch dropout on, but batch norm too, which would then mix the examples and change
# its statistics. So everything is in eval mode but for the dropout layers. And whoever lends you a model wants it back as it was, each
# module in the mode in which it came. Also if something goes wrong on the way.
#
# (Nothing of the library is forbidden here.)


# %%
def mc_predict(model, x, T):
    """What a model predicts with dropout switched on, over T >= 1 passes.

    model: an nn.Module; model(x) gives logits (n, C), for x of shape (n, ...).
    A pass is one call model(x) with the whole x. In it all dropout layers of the model, at any depth, are in train mode
    (your Dropout and those of torch.nn: nn.Dropout, nn.Dropout2d, nn.AlphaDropout, ...), all other modules in eval mode.
    Afterwards, also if a pass raised an exception (which goes on to the caller), each module is in the mode in which it
    came, and these need not all be the same. Nothing else in the model changes.

    Returns (mean, std, entropy), without gradients, in the dtype of the logits:
    mean     (n, C) the mean over the passes of the *probabilities*, softmax of the logits over the classes
    std      (n, C) their standard deviation over the passes, divided by T, not T - 1: for T = 1 it is 0
    entropy  (n,)   of the mean, by natural logarithms; a probability of 0 adds 0 to it, not NaN
    """
    ### BEGIN SOLUTION
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = "Dropout" in type(module).__name__
        with torch.no_grad():
            passes = torch.stack([model(x).softmax(dim=1) for _ in range(T)])
    finally:
        for module, training in modes:
            module.training = training
    mean = passes.mean(dim=0)
    return mean, passes.std(dim=0, correction=0), torch.special.entr(mean).sum(dim=1)
    ### END SOLUTION


# %% tags=["check"]
class Spy(nn.Module):
    """A model for the checks: it says what was on during each pass, and remembers its logits."""

    def __init__(self, fails=False):
        super().__init__()
        self.inner = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
        self.gain = nn.Parameter(torch.ones(()))
        self.fails, self.logits, self.modes = fails, [], []

    def forward(self, x):
        self.modes.append([module.training for module in self.modules()])
        if self.fails:
            raise ZeroDivisionError("planted by the check")
        self.logits.append(torch.randn(len(x), 4, dtype=x.dtype) * 3 + torch.tensor([0, 0, 0, -2000]))
        self.inner(torch.rand(5, 3))
        return self.logits[-1] * self.gain


def predictions(model, x, T):
    """What mc_predict returns: three tensors."""
    result = call(mc_predict, model, x, T)
    assert isinstance(result, (tuple, list)), f"return mean, std and entropy, not a {type(result).__name__}"
    assert len(result) == 3, f"return three things, mean, std and entropy, not {len(result)}"
    assert all(isinstance(part, torch.Tensor) for part in result), "mean, std and entropy are tensors"
    assert len(model.logits) == T, f"model(x) was called {len(model.logits)} times for T = {T}"
    assert not any(part.requires_grad for part in result), "the result has a gradient: use torch.no_grad()"
    return result


@check("mc_predict: mean, standard deviation and entropy")
def _():
    for T in (7, 1):
        model = Spy()
        mean, std, entropy = predictions(model, torch.rand(5, 2, dtype=torch.float64), T)
        passes = torch.stack([logits.softmax(1) for logits in model.logits])
        expected = passes.mean(0)
        agrees(mean, expected, "the mean of the probabilities: first softmax over the classes, then the mean")
        agrees(
            std, (passes - expected).square().mean(0).sqrt(), f"std for T = {T}: divide by T, not by T - 1"
        )
        entropies = -torch.xlogy(expected, expected).sum(1)
        agrees(entropy, entropies, "the entropy of the mean, in nats", not_finite="0 · log(0) counts as 0")


@check("mc_predict: dropout on, everything else in eval mode, and the modes restored")
def _():
    for start in ([True] * 4, [False] * 4, [True, False, True, False]):
        for fails in (False, True):
            model = Spy(fails)
            for module, mode in zip(model.modules(), start):
                module.training = mode
            mean = model.inner[0].running_mean.clone()
            try:
                mc_predict(model, torch.rand(5, 2), 3)
                assert not fails, "an exception in the model did not reach the caller"
            except ZeroDivisionError:
                assert fails
            assert model.modes, "the model was never called"
            assert all(mode[3] for mode in model.modes), "dropout was off during a pass"
            assert not any(any(mode[:3]) for mode in model.modes), (
                "a module that is no dropout layer was in train mode during a pass"
            )
            assert torch.equal(mean, model.inner[0].running_mean), "batch norm's statistics have changed"
            came = "raised an exception" if fails else "went well"
            assert [module.training for module in model.modules()] == start, (
                f"after a call that {came}, the modules are not in the modes in which they came"
            )


@check("mc_predict: your own Dropout counts as dropout")
def _():
    model = Spy()
    model.inner[1] = Dropout(0.5)
    model.eval()
    predictions(model, torch.rand(5, 2), 2)
    assert all(mode[3] for mode in model.modes), "your Dropout was off during a pass"


# %% [markdown]
# ## 7. Boss: liar (13 points, and 2 for your predictions)
#
# A pupil gets 300 handwritten digits to learn from. The teacher is a liar: 90 of the 300 labels, drawn at random, are wrong. The pupil is a
# network with two hidden layers of 128 units, 64-128-128-10, so some 26,000 weights: far more than it needs to learn three hundred answers
# by heart, lies included. Trained for long enough, can it still come to know better than its teacher?
#
# You write the pupil's forward pass, with noise on what it sees and thinks. The data, the weights, the loss and the training are ours
# (100 steps of AdamW, learning rate 5e-3, all 300 digits in each step), so nothing can be won by stopping early. Then, without noise, it
# reads 1,497 digits that it has never seen. At least 80%, 82% and 84% of them are asked for, in the mean of two runs.
#
# (All of `torch.nn` is allowed, but for its dropouts. Your `dropout` and `Dropout` are there for it.)


# %%
def noisy_mlp(X, weights, biases, training):
    """The logits of a network with two hidden layers, with dropout on its input and on its hidden units.

    X: (n, d) examples. weights: three tensors (out, in), as in nn.Linear; biases: three tensors (out,). One float dtype.
    A hidden layer computes relu(h @ weight.T + bias), the last one h @ weight.T + bias.
    training=True: of the input's entries 20% are dropped, and of the outputs of each hidden layer 50%, as `dropout`
    does it: each entry for itself, anew at each call, the survivors scaled up. Nothing is dropped of the logits.
    training=False: no noise at all.
    Returns (n, C) logits. Gradients reach weights and biases.
    """
    ### BEGIN SOLUTION
    h = dropout(X, 0.2, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(torch.relu(h @ weight.T + bias), 0.5, training)
    return h @ weights[2].T + biases[2]
    ### END SOLUTION


# %% [markdown]
# ### Predict, then run
#
# We train the pupil twice: *without* any noise, and *with* your dropout. After the last step we show it once more, without noise, the 90
# digits about which it was lied to, and count how often it **repeats the lie**.
#
# **Before you run the next check cell**, write down what you expect, each as a number from 0 (it repeats no lie) to 1 (all of them). Within 0.15 of
# what comes out counts as right. (You may change them after you have seen the answer. But do think first: what does the loss
# ask of it, and what would a pupil have to rely on, to remember a single odd picture?)

# %%
### BEGIN SOLUTION
ANSWERS = {"lies_repeated_without_noise": 1.0, "lies_repeated_with_dropout": 0.1}
### STARTER: ANSWERS = {"lies_repeated_without_noise": None, "lies_repeated_with_dropout": None}  # from 0 to 1
### END SOLUTION


# %%
def digits():
    """1,797 handwritten digits of 8×8 pixels: images (n, 64) in [0, 1], labels (n,)."""
    if Path("digits.npz").exists():
        with np.load("digits.npz") as file:
            images, labels = file["images"], file["labels"]
    else:  # a notebook opened alone, as in Colab
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
    return torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels, dtype=torch.long)


def school(noise, seed, every=100):
    """Trains the pupil for 100 steps. Returns, after every so many steps, three fractions: of true labels learnt, of lies
    repeated, and of new digits that it reads. (Nothing to do in this cell.)"""
    torch.manual_seed(seed)
    images, labels = digits()
    order = torch.randperm(len(images))
    X, told, new = images[order[:300]], labels[order[:300]], order[300:]
    lie = torch.randperm(300) < 90
    told = torch.where(lie, (told + torch.randint(1, 10, (300,))) % 10, told)

    weights = [torch.randn(o, i) * (2 / i) ** 0.5 for i, o in ((64, 128), (128, 128), (128, 10))]
    parameters = [p.requires_grad_() for p in (*weights, torch.zeros(128), torch.zeros(128), torch.zeros(10))]
    optimiser = torch.optim.AdamW(parameters, lr=5e-3)
    history = []
    for step in range(1, 101):
        loss = F.cross_entropy(noisy_mlp(X, parameters[:3], parameters[3:], noise), told)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % every:
            continue
        with torch.no_grad():
            said = [noisy_mlp(x, parameters[:3], parameters[3:], False).argmax(1) for x in (X, images[new])]
        right = [said[0][~lie] == told[~lie], said[0][lie] == told[lie], said[1] == labels[new]]
        history.append([part.float().mean().item() for part in right])
    return history


# %% tags=["check"]
@check("noisy_mlp without noise is the plain network")
def _():
    weights = [torch.linspace(-1, 2, o * i).sin().reshape(o, i) for i, o in ((4, 7), (7, 5), (5, 3))]
    biases = [torch.linspace(-1, 1, o) for o in (7, 5, 3)]
    h = X = torch.linspace(-1, 1, 24).reshape(6, 4)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = torch.relu(h @ weight.T + bias)
    y = call(noisy_mlp, X, weights, biases, False)
    agrees(
        y,
        h @ weights[2].T + biases[2],
        "for training=False it should be linear, relu, linear, relu, linear",
        rtol=1e-4,
    )


@check("noisy_mlp drops the right things")
def _():
    n, copies = 2000, 30
    eye, ones, none = torch.eye(5), torch.ones(5), torch.zeros
    up = eye.repeat_interleave(
        copies, dim=0
    )  # each entry to 30 units; of these some survive, so a 0 was 0 before
    down, zeros = up.T / copies, [none(5 * copies), none(5 * copies), none(5)]
    plans = {
        "the input (0.2)": (0.2, [up, up @ down, down], zeros),
        "the first hidden layer (0.5)": (
            0.5,
            [none(5, 5), up, down],
            [ones, none(5 * copies), none(5)],
        ),
        "the second hidden layer (0.5)": (
            0.5,
            [none(5, 5), none(5, 5), eye],
            [none(5), ones, none(5)],
        ),
    }
    for where, (p, weights, biases) in plans.items():
        y = noisy_mlp(torch.ones(n, 5), weights, biases, True)
        about((y == 0).float().mean().item(), p, 5 * n, f"the share that is dropped of {where} is wrong")
        assert abs(y.mean() - 1) < 0.1, (
            "on average the noise should change nothing: are the survivors scaled up?"
        )
    y = noisy_mlp(torch.ones(n, 5), [none(5, 5)] * 3, [none(5), none(5), torch.arange(5.0)], True)
    agrees(y, torch.arange(5.0).expand(n, 5), "nothing is to be dropped of the logits")


@check("noisy_mlp makes the pupil better than its teacher")
def _():
    read = sum(school(noise=True, seed=seed)[-1][2] for seed in (1, 2)) / 2
    print(f"   mean of two runs: it reads {read:.1%} of new digits, taught by a teacher who is right in 70%")
    for least in (0.80, 0.82, 0.84):
        assert read >= least, (
            f"less than {least:.0%}: is there noise on the input and on both hidden layers, of the right strength, and "
            "only for training=True?"
        )


@check("your predictions")
def _():
    names = ("lies_repeated_without_noise", "lies_repeated_with_dropout")
    if any(ANSWERS[name] is None for name in names):
        raise NotImplementedError
    repeated = [sum(school(noise, seed)[-1][1] for seed in (1, 2, 3)) / 3 for noise in (False, True)]
    print("   it repeats {:.0%} of the lies without noise, and {:.0%} with your dropout".format(*repeated))
    for name, share in zip(names, repeated):
        assert abs(ANSWERS[name] - share) <= 0.15, f"{name}: not so, look at the line above. Can you say why?"


# %% [markdown]
# ### The figure: what a pupil believes
#
# Left the network without noise, right the same with your dropout. Watch the order in which things happen on the left: what is true is learnt
# first, as each true digit speaks for all the others of its kind. The lies come later, each by heart, and every one of them costs.


# %% tags=["demo"]
def figure():
    import matplotlib.pyplot as plt

    titles = {False: "Without noise", True: "With dropout: 20% of the input, 50% of the hidden units"}
    names = ("true labels learnt", "new digits read", "lies repeated")
    runs = {noise: np.mean([school(noise, seed, every=2) for seed in (1, 2, 3)], axis=0) for noise in titles}

    # Okabe and Ito's colours, which the colour-blind can tell apart, and a line style and a mark of its own for each.
    styles = {0: ("#0072B2", "-", "o"), 2: ("#009E73", "--", "s"), 1: ("#D55E00", "-.", "^")}
    _, panels = plt.subplots(1, 2, figsize=(12, 4.2), sharey=True, layout="constrained")
    for panel, (noise, history) in zip(panels, runs.items()):
        for name, (column, (colour, line, mark)) in zip(names, styles.items()):
            steps = range(2, 101, 2)
            panel.plot(
                steps,
                100 * history[:, column],
                color=colour,
                linestyle=line,
                marker=mark,
                markevery=(2, 5),
                label=name,
            )
        panel.axhline(70, color="#777777", linestyle=":", linewidth=1)
        panel.text(
            100, 66.5, "dotted: labels that the teacher gets right", ha="right", va="top", color="#555555"
        )
        panel.set(title=titles[noise], xlabel="step of training", ylim=(-3, 103))
    panels[0].set_ylabel("share of the digits (%)")
    panels[1].legend(loc="center right", bbox_to_anchor=(1, 0.36))
    plt.suptitle("A network taught by a teacher who lies about 3 digits in 10 (mean of three runs)")
    plt.show()


try:
    figure()
except NotImplementedError:
    print("The figure appears when dropout and noisy_mlp are there.")
except Exception as error:
    print(f"No figure yet: {type(error).__name__}: {error}. It needs dropout and noisy_mlp to be right.")

# %% [markdown]
# **Done?** *Restart the kernel and run all cells*: the grader does the same. Then commit and push.
#
# To take home: noise that leaves the mean alone costs a network exactly as much as it relies on single inputs. What many examples agree on
# survives it, and what only one example says does not.
