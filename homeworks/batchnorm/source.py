# %% [markdown]
# # Normalise
#
# Batch norm is the strangest layer there is. It is the only one in which examples talk to each other: what comes out for *your* digit depends
# on the other digits in the batch. It leads two lives, one in training and one afterwards. And it has a memory that no gradient ever touches.
# Most of the bugs that people have with it come from one of these three, and you will have met them all by tonight.
#
# You write it forwards (section 1) and backwards, first step by step and then in one line (2, 3), make it a module that PyTorch's own can be
# exchanged for (4), meet its relatives (5), make it vanish from a network that is done training (6), and in the end a network that cannot be
# trained at all learns to read (7).
#
# **How it works.** Each section has an idea, a stub to fill in, and a check. Replace `raise NotImplementedError` by your code, run the
# cell, run the check below it. `✓` is right, `✗` tells you in words what is wrong, `…` is still to do. The hidden tests ask for the same
# properties with other numbers and shapes, so when all checks say `✓` you are very likely done. You get points for every property that
# holds (if your code keeps the house rules), so leave a stub you cannot solve as it is and go on.
#
# **House rules**, for every function in this notebook:
#
# * The first dimension of a tensor is the batch, the second (where nothing else is said) the channels. `float32` in gives `float32` out,
#   `float64` in gives `float64` out.
# * An argument is never changed in place, except where the docstring says so.
# * A library function that *is* the answer is forbidden. A single one costs the *whole* section: its other functions are then not
#   looked at, so a stub is better. All of `mean`, `var`, `sqrt`, `rsqrt`, `einsum` and so on are welcome.
#
# | section | forbidden |
# |---|---|
# | 1, 5 | anything in `torch.nn` (so also in `F`), and twins of it such as `torch.batch_norm` and `torch.layer_norm` |
# | 2, 3 | the same, and autograd: here you differentiate by hand |
# | 4, 7 | `nn.BatchNorm1d`, `F.batch_norm` and all their relatives (`nn.LayerNorm`, `F.group_norm`, ...), and twins of them such as `torch.batch_norm`. The rest of `torch.nn` is welcome |
# | 6 | the library's own folding (`torch.nn.utils.fuse_conv_bn_eval` and the like) and recalibration (`torch.optim.swa_utils.update_bn`). A momentum of `None` is welcome |
#
# And the points:
#
# | section | points |
# |---|---|
# | 1 Batch norm, forwards | 20 |
# | 2 Batch norm, backwards, step by step | 20 |
# | 3 Batch norm, backwards, in one line | 10 |
# | 4 A module with a memory, and one prediction | 12 + 3 |
# | 5 The relatives | 15 |
# | 6 Make it disappear, make it remember | 10 |
# | 7 Boss: unlearnable | 10 |

# %%
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # for the checks: see the house rules
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


def agrees(actual, expected, hint, rtol=1e-9, atol=1e-12):
    """Is it a tensor, of the right shape and dtype, finite, and (only then) right?"""
    assert isinstance(actual, torch.Tensor), f"a torch tensor was asked for, not a {type(actual).__name__}"
    assert actual.shape == expected.shape, f"the shape is {tuple(actual.shape)}, not {tuple(expected.shape)}"
    assert actual.dtype == expected.dtype, (
        f"{expected.dtype} in must give {expected.dtype} out, not {actual.dtype}"
    )
    assert torch.isfinite(actual).all(), f"there is a NaN or an infinity in the result. {hint}"
    assert torch.allclose(actual, expected, rtol=rtol, atol=atol), hint


# %% [markdown]
# ## 1. Batch norm, forwards (20 points)
#
# Take a batch of $N$ examples with $C$ channels each. Look at one channel: a column of $N$ numbers. Shift it to mean 0, scale it to variance
# 1, and then let the network choose a mean $\beta$ and a scale $\gamma$ that it likes better:
#
# $$\mu = \frac1N\sum_i x_i \qquad \sigma^2 = \frac1N\sum_i (x_i-\mu)^2 \qquad \hat x_i = \frac{x_i-\mu}{\sqrt{\sigma^2+\varepsilon}} \qquad
# y_i = \gamma\,\hat x_i + \beta$$
#
# That is its first life. Later, when the network is used, examples may come one by one, and there is no batch to take a mean of. So during
# training each channel keeps a *running* mean and variance, and in its second life (`training=False`) they stand in for $\mu$ and $\sigma^2$:
#
# $$\mathrm{run} \leftarrow (1-\mathrm{momentum})\cdot \mathrm{run} + \mathrm{momentum}\cdot \text{the batch's}$$
#
# Three conventions, all of them PyTorch's, and each has cost somebody a week:
#
# * $\sigma^2$ is the *biased* variance when it normalises (divide by $N$), and the *unbiased* one when it is stored (divide by $N-1$).
# * `momentum` is the weight of the *new* batch. (Everywhere else in deep learning it is that of the old value.)
# * $\varepsilon$ is added to the variance, *inside* the root.
#
# And a trap for `float32`: the variance as "mean of the squares minus square of the mean" subtracts two large numbers that are nearly equal.
# For a column around 1000 with a spread of 1, nothing is left. Subtract the mean first.


# %%
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    """Batch normalisation of every channel of x.

    x: (N, C) float tensor, in training N >= 2; gamma, beta, run_mean, run_var: (C,), of the same dtype.
    training: True: normalise by the mean and the biased variance (divided by N) of the batch, for each channel.
              False: normalise by run_mean and run_var.
    In both cases y = gamma * (x - mean) / sqrt(variance + eps) + beta.

    Returns (y, new_run_mean, new_run_var), of shapes (N, C), (C,), (C,).
    In training, new_run = (1 - momentum) * run + momentum * (that of this batch), where the variance of the batch is here
    the unbiased one (divided by N - 1). The new running statistics are plain numbers: no gradient flows into them
    (requires_grad is False). Otherwise the running statistics come back as they were given.

    No argument changes in place. y is differentiable (by autograd, through this function) with respect to x, gamma and
    beta; in training the mean and the variance depend on x, and so does the gradient. In float32, y is still right to
    1e-2 for a channel with mean 1000 and variance 1. A channel whose values are all the same comes out as beta.
    """
    ### BEGIN SOLUTION
    if training:
        mean, var = x.mean(dim=0), x.var(dim=0, correction=0)
        unbiased = x.detach().var(dim=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * unbiased
    else:
        mean, var = run_mean, run_var
    y = gamma * (x - mean) / torch.sqrt(var + eps) + beta
    return y, run_mean, run_var
    ### END SOLUTION


# %% tags=["check"]
def some(*shape, start=0.0, dtype=torch.float64):
    """Numbers of both signs that look like noise; the same ones every time."""
    return torch.linspace(start + 1, start + 50, math.prod(shape), dtype=dtype).mul(7).sin().reshape(shape)


def batch(n=6, c=4):
    """x, gamma, beta, run_mean, run_var for bn_forward: every channel has a mean and a scale of its own."""
    x = (some(n, c) + torch.arange(c)) * torch.linspace(0.5, 3, c, dtype=torch.float64)
    return x, 2 + some(c, start=1), some(c, start=2), some(c, start=3), 2 + some(c, start=4)


def forward(x, gamma, beta, run_mean, run_var, training, *others):
    """What bn_forward returns: three tensors, its arguments left alone."""
    result = call(bn_forward, x, gamma, beta, run_mean, run_var, training, *others)
    return three(result, "y, run_mean, run_var")


def three(result, names):
    assert isinstance(result, (tuple, list)), f"return three tensors ({names}), not a {type(result).__name__}"
    assert len(result) == 3, f"return three tensors ({names}), not {len(result)}"
    return result


@check("bn_forward in training: y")
def _():
    x, gamma, beta, *running = batch()
    one, zero = torch.ones_like(beta), torch.zeros_like(beta)
    xhat, *_ = forward(x, one, zero, *running, True)
    expected = F.batch_norm(x, None, None, training=True)
    hint = "with gamma 1 and beta 0, every column has mean 0 and (biased) variance 1: over which dimension do you sum?"
    agrees(xhat.mean(dim=0), zero, hint, atol=1e-9)
    agrees(xhat, expected, "is the variance the biased one (divided by N), and eps inside the root?")
    y, *_ = forward(x, gamma, beta, *running, True)
    agrees(y, gamma * expected + beta, "gamma and beta come after normalising: gamma * xhat + beta")
    y, *_ = forward(x, gamma, beta, *running, True, 0.1, 0.7)
    expected = F.batch_norm(x, None, None, gamma, beta, True, eps=0.7)
    agrees(
        y, expected, "with eps=0.7: is it added to the variance, inside the root, and is the argument used?"
    )


@check("bn_forward in training: the running statistics")
def _():
    x, gamma, beta, run_mean, run_var = batch()
    expected_mean, expected_var = run_mean.clone(), run_var.clone()
    F.batch_norm(x, expected_mean, expected_var, training=True, momentum=0.3)
    x.requires_grad_()
    _, mean, var = forward(x, gamma, beta, run_mean, run_var, True, 0.3)
    agrees(mean.detach(), expected_mean, "run_mean: momentum is the weight of the new batch")
    agrees(var.detach(), expected_var, "run_var: what is stored is the unbiased variance (divided by N - 1)")
    assert not any(statistic.requires_grad for statistic in (mean, var)), (
        "the running statistics drag the graph of the batch along: detach"
    )


@check("bn_forward in use: the running statistics take the batch's place, and stay")
def _():
    x, gamma, beta, run_mean, run_var = batch()
    y, mean, var = forward(x, gamma, beta, run_mean, run_var, False)
    expected = F.batch_norm(x, run_mean, run_var, gamma, beta, False)
    agrees(y, expected, "with training=False, normalise by run_mean and run_var (which is a variance)")
    agrees(mean, run_mean, "with training=False, run_mean comes back as it was")
    agrees(var, run_var, "with training=False, run_var comes back as it was")


@check("bn_forward: the gradient flows through mean and variance too")
def _():
    x, gamma, beta, *running = batch()
    leaves = [tensor.requires_grad_() for tensor in (x, gamma, beta)]
    g = some(*x.shape, start=5)
    mine = torch.autograd.grad(forward(x, gamma, beta, *running, True)[0], leaves, g, allow_unused=True)
    right = torch.autograd.grad(F.batch_norm(x, None, None, gamma, beta, True), leaves, g)
    for name, gradient, expected in zip(("x", "gamma", "beta"), mine, right):
        assert gradient is not None, f"no gradient arrives at {name}"
        agrees(
            gradient, expected, f"the gradient of {name}: mean and variance depend on x, do not detach them"
        )


@check("bn_forward in float32, far from zero, and for a constant channel")
def _():
    x = some(50, 2).mul(1.4).float() + 1000
    one, zero = torch.ones(2), torch.zeros(2)
    y, *_ = forward(x, one, zero, zero, one, True)
    expected = F.batch_norm(x.double(), None, None, training=True).float()
    agrees(y, expected, "too little is left of the variance: subtract the mean before you square", atol=1e-2)
    y, *_ = forward(torch.full((4, 2), 3.0), one, one / 2, zero, one, True)
    agrees(y, torch.full((4, 2), 0.5), "a channel that is constant comes out as beta", atol=1e-3)


# %% [markdown]
# ## 2. Batch norm, backwards, step by step (20 points)
#
# Autograd would do this for you. Do it once by hand, and nothing in any network's backward pass will frighten you again. Here is the whole
# forward pass in small steps, each a function you could differentiate in your sleep:
#
# ```
# mu   = x.mean(over the batch)       (C,)
# xc   = x - mu                       (N, C)      x, centred
# sq   = xc ** 2                      (N, C)
# var  = sq.mean(over the batch)      (C,)
# std  = sqrt(var + eps)              (C,)
# inv  = 1 / std                      (C,)
# xhat = xc * inv                     (N, C)
# y    = gamma * xhat + beta          (N, C)
# ```
#
# Walk it from the bottom to the top, and at each name write down the gradient of the loss with respect to it. Two rules are enough:
#
# * What was **broadcast** on the way forward is **summed** on the way back. `inv` (one number a channel) was multiplied into $N$ rows, so its
#   gradient collects from $N$ rows. And the mean, which sums forward, spreads a gradient evenly, a share of $1/N$ for each row.
# * What was **used twice** gets **two gradients, added**. `xc` goes into `sq` and into `xhat`; `x` goes into `mu` and into `xc`.
#
# Each name is graded by itself: where your value follows from those that you have found before it in *your* walk, it counts as right, even
# if they were not. (Only `dx` is also compared with the truth.)


# %%
def bn_backward(dy, x, gamma, eps=1e-5):
    """The gradient of a loss with respect to everything on the way through batch norm in training, by hand.

    dy: gradient of the loss with respect to y, (N, C); x: (N, C), what went into batch norm; gamma: (C,).
    (beta and the running statistics are not needed. Compute of the forward pass again what you need.)

    Returns a dict of ten tensors. "d" and a name of the forward pass above mean the gradient of the loss with
    respect to that value, in its shape and dtype, all paths added up:
    "dbeta", "dgamma", "dinv", "dstd", "dvar", "dmu": (C,)
    "dxhat", "dsq", "dxc", "dx": (N, C)
    So "dxc" is the sum of what comes through xhat and through sq, and "dx" of what comes through xc and through mu.
    """
    ### BEGIN SOLUTION
    n = len(x)
    xc = x - x.mean(dim=0)
    std = torch.sqrt((xc**2).mean(dim=0) + eps)
    d = {"dbeta": dy.sum(dim=0), "dgamma": (dy * xc / std).sum(dim=0), "dxhat": dy * gamma}
    d["dinv"] = (d["dxhat"] * xc).sum(dim=0)
    d["dstd"] = -d["dinv"] / std**2
    d["dvar"] = d["dstd"] / (2 * std)
    d["dsq"] = (d["dvar"] / n).expand(x.shape)
    d["dxc"] = d["dxhat"] / std + 2 * xc * d["dsq"]
    d["dmu"] = -d["dxc"].sum(dim=0)
    d["dx"] = d["dxc"] + d["dmu"] / n
    return d
    ### END SOLUTION


# %% tags=["check"]
STEPS = {
    "dbeta": "look at y = gamma * xhat + beta. What was broadcast on the way forward?",
    "dgamma": "look at y = gamma * xhat + beta. What was gamma multiplied by, and into how many rows?",
    "dxhat": "look at y = gamma * xhat + beta. Nothing was broadcast to xhat",
    "dinv": "look at xhat = xc * inv. What was broadcast on the way forward?",
    "dstd": "look at inv = 1 / std. What is the derivative of 1/s, and its sign?",
    "dvar": "look at std = sqrt(var + eps). What is the derivative of a root?",
    "dsq": "look at var = mean of sq. What share of the gradient does each of the N rows get?",
    "dxc": "where was xc used on the way forward? There are two places",
    "dmu": "look at xc = x - mu. What was broadcast on the way forward, and with which sign?",
    "dx": "where was x used on the way forward? There are two places",
}


def by_autograd(dy, x, gamma, eps):
    """The same gradients, by autograd through the forward pass."""
    v = {"x": x.clone().requires_grad_()}
    v["mu"] = v["x"].mean(dim=0)
    v["xc"] = v["x"] - v["mu"]
    v["sq"] = v["xc"] ** 2
    v["var"] = v["sq"].mean(dim=0)
    v["std"] = torch.sqrt(v["var"] + eps)
    v["inv"] = 1 / v["std"]
    v["xhat"] = v["xc"] * v["inv"]
    v["gamma"], v["beta"] = gamma.clone().requires_grad_(), torch.zeros_like(gamma, requires_grad=True)
    y = v["gamma"] * v["xhat"] + v["beta"]
    return {f"d{name}": g for name, g in zip(v, torch.autograd.grad(y, list(v.values()), dy))}


@check("bn_backward, from the bottom to the top")
def _():
    x, gamma, *_ = batch()
    dy = some(*x.shape, start=6)
    for eps in (0.3, 1e-5):
        mine = call(bn_backward, dy, x, gamma, eps)
        assert isinstance(mine, dict), f"return a dict, not a {type(mine).__name__}"
        right = by_autograd(dy, x, gamma, eps)
        for name, hint in STEPS.items():
            assert name in mine, f'the dict has no "{name}"'
            try:
                agrees(mine[name], right[name], hint)
            except AssertionError as wrong:
                raise AssertionError(f"{name} (with eps={eps}): {wrong}") from None


# %% [markdown]
# ## 3. Batch norm, backwards, in one line (10 points)
#
# Put the ten steps into each other, and nearly everything cancels:
#
# $$\frac{\partial L}{\partial x_i} = \frac{\gamma}{\sqrt{\sigma^2+\varepsilon}}\Big(g_i \;-\; \frac1N\sum_j g_j \;-\; \hat x_i\,\frac1N\sum_j g_j\,\hat x_j\Big)
# \qquad g = \frac{\partial L}{\partial y}$$
#
# Read it: batch norm takes out of the gradient whatever would move the mean of the column (second term), and whatever would stretch it (third
# term). Both would be in vain, as the next forward pass normalises them away. (And here is why the usual test,
# `y.sum().backward()`, tests nothing: put $g = 1$ into the formula.)
#
# This is how frameworks do it. They keep only $\hat x$ and $1/\sqrt{\sigma^2+\varepsilon}$ from the forward pass, and need nothing else.


# %%
def bn_backward_fast(dy, xhat, inv, gamma):
    """The gradients of batch norm in training from what the forward pass has kept, in closed form.

    dy: gradient of the loss with respect to y, (N, C); xhat: (x - mean) / sqrt(var + eps), (N, C);
    inv: 1 / sqrt(var + eps), (C,); gamma: (C,).
    Returns (dx, dgamma, dbeta), of shapes (N, C), (C,), (C,): those of bn_backward.

    Without a Python loop over examples or channels: for 8192 of either it is at least 4 times as fast as such a loop in
    NumPy.
    """
    ### BEGIN SOLUTION
    dbeta, dgamma = dy.sum(dim=0), (dy * xhat).sum(dim=0)
    dx = gamma * inv * (dy - (dbeta + xhat * dgamma) / len(dy))
    return dx, dgamma, dbeta
    ### END SOLUTION


# %% tags=["check"]
def normalised(n, c, eps=1e-5):
    """dy, xhat, inv, gamma, as a forward pass leaves them; and x."""
    x, gamma, *_ = batch(n, c)
    inv = 1 / torch.sqrt(x.var(dim=0, correction=0) + eps)
    return (some(n, c, start=7), (x - x.mean(dim=0)) * inv, inv, gamma), x


def fast(*given):
    return three(call(bn_backward_fast, *given), "dx, dgamma, dbeta")


@check("bn_backward_fast gives what bn_backward gives")
def _():
    (dy, xhat, inv, gamma), x = normalised(6, 4)
    right = by_autograd(dy, x, gamma, 1e-5)
    dx, dgamma, dbeta = fast(dy, xhat, inv, gamma)
    agrees(dbeta, right["dbeta"], "dbeta: the sum of dy over the batch")
    agrees(dgamma, right["dgamma"], "dgamma: the sum of dy * xhat over the batch")
    agrees(dx, right["dx"], "dx: are both terms subtracted, each divided by N, and gamma * inv in front?")


@check("bn_backward_fast is fast")
def _():
    def best_time(f, given):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            f(*given)
            times.append(time.perf_counter() - start)
        return min(times)

    def in_a_loop(dy, xhat, inv, gamma):
        for g, h, i, c in zip(dy.T, xhat.T, inv, gamma):
            c * i * (g - (g.sum() + h * (g * h).sum()) / len(g))

    loop = best_time(in_a_loop, [tensor.numpy() for tensor in normalised(4, 8192)[0]])
    for shape in ((4, 8192), (8192, 4)):
        (dy, xhat, inv, gamma), _ = normalised(*shape)
        agrees(
            fast(dy, xhat, inv, gamma)[2], dy.sum(dim=0), "dbeta is wrong for many rows or columns", atol=1e-9
        )
        ratio = loop / best_time(bn_backward_fast, (dy, xhat, inv, gamma))
        assert ratio > 4, (
            f"for {shape} it is {ratio:.1f} times as fast as a loop in NumPy: is there a loop in it?"
        )


# %% [markdown]
# ## 4. A module with a memory (12 points, and 3 for a prediction)
#
# Now make it a layer. A module has three kinds of tensors, and batch norm is the first layer that needs all of them:
#
# * **parameters**, which the optimiser changes: `weight` ($\gamma$, at first ones) and `bias` ($\beta$, at first zeros);
# * **buffers**, which nobody changes but the layer itself, and which are still saved, loaded and moved with the model: `running_mean` (zeros),
#   `running_var` (ones), and the counter `num_batches_tracked` (0, an integer tensor without dimensions). `self.register_buffer(name, tensor)`
#   makes one;
# * and plain attributes, which are forgotten when the model is saved.
#
# With PyTorch's names, shapes and dtypes, a state saved from `nn.BatchNorm1d` or `nn.BatchNorm2d` loads into yours, and the other way round.
#
# The layer takes `(N, C)`, or images `(N, C, H, W)`. With images, a channel is normalised over all examples *and* all pixels: as far as batch
# norm is concerned, every pixel is one more example. So move the channels to the end, make a table of $N \cdot H \cdot W$ rows, use what you
# have, and put everything back into place.


# %%
class BatchNorm(nn.Module):
    """Batch normalisation for inputs (N, C) and (N, C, H, W), exchangeable with nn.BatchNorm1d and nn.BatchNorm2d.

    BatchNorm(num_features, eps=1e-5, momentum=0.1), where num_features is C.
    Parameters: weight, bias. Buffers: running_mean, running_var ((C,), in the dtype of the
    parameters), num_batches_tracked (torch.long, ()).

    In training mode: normalise with the batch, update the running statistics as bn_forward does (for images the unbiased
    variance divides by N*H*W - 1), and count num_batches_tracked up by one. They may be replaced or changed in place,
    but carry no graph. In eval mode: normalise with the running statistics, and change nothing. A batch of one is fine.
    Shape and dtype (that of the parameters: after .double() everything is float64) come out as they went in. x need not
    be contiguous.
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        ### BEGIN SOLUTION
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        rows = x.movedim(1, -1)
        y, self.running_mean, self.running_var = bn_forward(
            rows.reshape(-1, x.shape[1]),
            self.weight,
            self.bias,
            self.running_mean,
            self.running_var,
            self.training,
            self.momentum,
            self.eps,
        )
        if self.training:
            self.num_batches_tracked += 1
        return y.reshape(rows.shape).movedim(-1, 1)
        ### END SOLUTION


# %% tags=["check"]
def twins(c, images=False):
    """Your module and PyTorch's, in float64, with the same parameters and momentum 0.3."""
    theirs = (nn.BatchNorm2d if images else nn.BatchNorm1d)(c, momentum=0.3).double()
    _, gamma, beta, run_mean, run_var = batch(c=c)
    theirs.load_state_dict(
        dict(
            zip(theirs.state_dict(), (gamma, beta, run_mean, run_var, torch.tensor(5)))
        )  # in this order: weight, bias, ...
    )
    mine = BatchNorm(c, momentum=0.3).double()
    mine.load_state_dict(theirs.state_dict(), strict=True)
    return mine, theirs


@check("BatchNorm has the parameters and buffers of PyTorch's")
def _():
    mine, theirs = BatchNorm(3), nn.BatchNorm1d(3)
    assert {name for name, _ in mine.named_parameters()} == {"weight", "bias"}, (
        "the parameters are weight and bias, and no more: running statistics are buffers"
    )
    state = mine.state_dict()
    for name, expected in theirs.state_dict().items():
        assert name in state, f"{name} is missing from the state: use register_buffer, not a plain attribute"
        agrees(state[name], expected, f"{name} starts with other values")
    theirs.load_state_dict(state, strict=True)


for images in (False, True):

    @check(f"BatchNorm normalises {'images' if images else 'rows'}, in training and in use")
    def _(images=images):
        mine, theirs = twins(3, images)
        for start in (0, 1, 2):
            x = some(*((4, 3, 5, 2) if images else (4, 3)), start=start) + start
            x = x.transpose(2, 3) if images else x  # not contiguous
            agrees(
                call(mine.forward, x), theirs(x), "in training mode: over which dimensions do you normalise?"
            )
        for name, expected in theirs.state_dict().items():
            agrees(mine.state_dict()[name], expected, f"{name} is wrong after three batches")
        mine.eval(), theirs.eval()
        agrees(mine(x[:1]), theirs(x[:1]), "in eval mode, for a batch of one")
        for name, expected in theirs.state_dict().items():
            agrees(mine.state_dict()[name], expected, f"{name} has changed in eval mode")


@check("BatchNorm learns: gradients for weight, bias and x, and no graph in the buffers")
def _():
    mine, theirs = twins(3, images=True)
    gradients = []
    for module in (mine, theirs):
        x = some(4, 3, 2, 5).requires_grad_()
        module(x).mul(some(4, 3, 2, 5, start=8)).sum().backward()
        gradients.append((x.grad, module.weight.grad, module.bias.grad))
    for name, gradient, expected in zip(("x", "weight", "bias"), *gradients):
        assert gradient is not None, f"no gradient arrives at {name}"
        agrees(gradient, expected, f"the gradient of {name} is wrong")
    assert not any(buffer.requires_grad for buffer in mine.buffers()), "a buffer carries a graph: detach"


# %% [markdown]
# ### Predict, then run
#
# A linear layer, and batch norm behind it. You multiply the weights of the linear layer by 10. Batch norm divides by a standard deviation that
# is now ten times as large, so what comes out is the same (up to $\varepsilon$), and so is the loss. **Before you run the next check**: the
# gradient of the loss with respect to those weights is now *how many times* what it was before? (1 if it is the same. You may change your
# answer after you have seen the right one. But do think first: the loss as a function of the weights is a mountain on which you have just
# walked ten times as far away from the origin.)

# %%
### BEGIN SOLUTION
ANSWERS = {"gradient_of_larger_weights": 0.1}
### STARTER: ANSWERS = {"gradient_of_larger_weights": None}  # a number
### END SOLUTION


# %% tags=["check"]
@check("your prediction")
def _():
    prediction = ANSWERS["gradient_of_larger_weights"]
    if prediction is None:
        raise NotImplementedError
    sizes = []
    for factor in (1, 10):
        weight = (factor * some(4, 5)).requires_grad_()
        loss = (
            F.batch_norm(some(9, 5, start=1) @ weight.T, None, None, training=True)
            .mul(some(9, 4, start=2))
            .sum()
        )
        sizes.append(torch.autograd.grad(loss, weight)[0].norm().item())
        print(
            f"   weights times {factor}: the loss is {loss.item():.4f}, the norm of the gradient {sizes[-1]:.4f}"
        )
    assert math.isclose(prediction, sizes[1] / sizes[0], rel_tol=1e-2), (
        "not so: look at the lines above. If f(10 w) = f(w) for all w, what do you get when you differentiate both sides?"
    )


# %% [markdown]
# ### The figure: what batch norm is good for
#
# Left, the network of section 7, before its first step: how much of the gradient arrives at each of its layers, with your batch norm and
# without. (Layer 7 is the last and has no sigmoid behind it, so nothing is lost there.) Right, a network for digits with
# three hidden layers of ReLU, trained for a few seconds from initial weights that are too small or too large by a factor.


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


def mlp(sizes, activation, gain=1.0, norm=None):
    """Linear layers with Xavier's initial weights times a gain, biases 0, and (norm and) an activation between them."""
    layers = []
    for i, o in zip(sizes, sizes[1:]):
        layers.append(nn.Linear(i, o))
        nn.init.xavier_uniform_(layers[-1].weight, gain=gain)
        nn.init.zeros_(layers[-1].bias)
        layers += [norm(o), activation()] if norm else [activation()]
    return nn.Sequential(*layers[: -2 if norm else -1])  # nothing behind the last


def train(net, X, labels, epochs, seed=0):
    """SGD with learning rate 0.05 and momentum 0.9 on batches of 64; by hand, as importing torch's takes seconds."""
    net.train()
    velocities = [torch.zeros_like(p) for p in net.parameters()]
    shuffle = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(X), generator=shuffle).split(64):
            loss = F.cross_entropy(net(X[rows]), labels[rows])
            gradients = torch.autograd.grad(loss, list(net.parameters()))
            with torch.no_grad():
                for p, velocity, gradient in zip(net.parameters(), velocities, gradients):
                    p -= 0.05 * velocity.mul_(0.9).add_(gradient)
    net.eval()


def accuracy(net, X, labels):
    with torch.no_grad():
        return (net(X).argmax(dim=1) == labels).float().mean().item()


# %% tags=["demo"]
def figure():
    import matplotlib.pyplot as plt

    images, labels = digits()
    images, labels, new, truth = images[:1280], labels[:1280], images[1280:], labels[1280:]
    factors = 2.0 ** torch.arange(-6, 7)
    arrives, reads = {}, {}
    for name, norm in (("with batch norm", BatchNorm), ("without", None)):
        torch.manual_seed(0)
        net = mlp([64] * 7 + [10], nn.Sigmoid, norm=norm)
        weights = [layer.weight for layer in net if isinstance(layer, nn.Linear)]
        gradients = torch.autograd.grad(F.cross_entropy(net(images), labels), weights)
        arrives[name] = [gradient.square().mean().sqrt().item() for gradient in gradients]
        reads[name] = []
        for factor in factors.tolist():
            torch.manual_seed(1)
            net = mlp([64, 64, 64, 64, 10], nn.ReLU, gain=math.sqrt(2) * factor, norm=norm)
            train(net, images, labels, epochs=2)
            reads[name].append(100 * accuracy(net, new, truth))

    # Okabe and Ito's colours, which the colour-blind can tell apart, and a line style and a mark of its own for each.
    styles = {"with batch norm": ("#0072B2", "-", "o"), "without": ("#D55E00", "--", "s")}
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    for name, (colour, line, mark) in styles.items():
        look = {"color": colour, "linestyle": line, "marker": mark, "linewidth": 2, "label": name}
        left.semilogy(range(1, 8), arrives[name], **look)
        right.semilogx(factors, reads[name], base=2, **look)
    right.axhline(10, color="grey", linestyle=":", linewidth=1)
    right.annotate("guessing", (factors[-1], 11), ha="right", va="bottom", color="dimgrey")
    left.set(
        title="Before the first step: the gradient at each layer\nof a network with six hidden layers of sigmoids",
        xlabel="layer (1: next to the input)",
        ylabel="rms of the weights' gradient",
    )
    right.set(
        title="After two epochs: digits read right,\nfrom initial weights of every size",
        xlabel="size of the initial weights (2⁰: about He's)",
        ylabel="new digits read right, in %",
        ylim=(0, 100),
    )
    left.legend()
    right.legend(loc="center left", bbox_to_anchor=(0.0, 0.35))
    plt.show()


try:
    figure()
except NotImplementedError:
    print("The figure appears when BatchNorm is there.")
except Exception as error:
    print(f"No figure yet: {type(error).__name__}: {error}. It needs BatchNorm to be right.")

# %% [markdown]
# The right side follows from your prediction. Whenever the weights in front of a batch norm grow, their gradient shrinks, and the next step is smaller;
# weights that were initialised ten times too large get there all the same, only more slowly. So the *scale* of the weights no longer matters
# for what the network computes, only for how fast it learns. That is one half of the secret of batch norm, and the left side shows the other:
# a gradient arrives at every layer.

# %% [markdown]
# ## 5. The relatives (15 points)
#
# Batch norm needs a batch. For a single sentence, for two large images, or for a network that is trained on eight machines, that is a nuisance.
# Its relatives normalise each example by itself, so examples no longer talk, there is only one life, and no memory. They differ in *which
# numbers* share a mean and a variance:
#
# | | one mean and variance for | where you meet it |
# |---|---|---|
# | batch norm | one channel, all examples (and pixels) | images |
# | `layer_norm` | one vector along the last dimension | transformers |
# | `group_norm` | one example, a group of neighbouring channels, all their pixels | images, small batches |
# | `rms_norm` | one vector along the last dimension; the mean is not subtracted | language models, as it is cheaper |
#
# All variances are biased, and eps goes inside the root, as before. Written well, each of them is two or three lines.


# %%
def layer_norm(x, gamma, beta, eps=1e-5):
    """Every vector along the last dimension of x, normalised: gamma * (x - mean) / sqrt(variance + eps) + beta.

    x: (..., D) with any number of dimensions in front, also none; gamma, beta: (D,). The variance is biased.
    Returns the shape and dtype of x. Differentiable by autograd.
    """
    ### BEGIN SOLUTION
    var, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta
    ### END SOLUTION


def group_norm(x, groups, gamma, beta, eps=1e-5):
    """The channels of each example in groups, and each group normalised as a whole.

    x: (N, C) or (N, C, ...) with any number of dimensions behind; groups: a divisor of C; gamma, beta: (C,).
    Group 0 is the first C / groups channels, group 1 the next, and so on. Mean and biased variance are taken for each
    example and group, over the group's channels and everything behind; eps is inside the root. gamma and beta are applied
    after that, to each channel its own. Returns the shape and dtype of x. Differentiable by autograd.
    """
    ### BEGIN SOLUTION
    blocks = x.reshape(len(x), groups, -1)
    var, mean = torch.var_mean(blocks, dim=-1, correction=0, keepdim=True)
    xhat = ((blocks - mean) / torch.sqrt(var + eps)).reshape(x.shape)
    return (gamma * xhat.movedim(1, -1) + beta).movedim(-1, 1)
    ### END SOLUTION


def rms_norm(x, gamma, eps=1e-5):
    """gamma * x / sqrt(mean(x²) + eps), with the mean along the last dimension: nothing is subtracted or added.

    x: (..., D) with any number of dimensions in front, also none; gamma: (D,).
    Returns the shape and dtype of x. Differentiable by autograd.
    """
    ### BEGIN SOLUTION
    return gamma * x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps)
    ### END SOLUTION


# %% tags=["check"]
def same_slope(mine, right, x, hint):
    """Autograd finds the same gradient through both."""
    x = x.clone().requires_grad_()
    g = some(*x.shape, start=9)
    try:
        (gradient,) = torch.autograd.grad(mine(x), x, g, allow_unused=True)
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        raise AssertionError(
            "something that the gradient needs was overwritten (by *= or a function with _ at the end, say)"
        ) from None
    assert gradient is not None, "no gradient arrives at x: detach, .data and NumPy cut it off"
    agrees(gradient, torch.autograd.grad(right(x), x, g)[0], hint)


@check("layer_norm")
def _():
    gamma, beta = 2 + some(5), some(5, start=1)
    for shape in ((5,), (3, 5), (2, 3, 4, 5)):
        x = some(*shape, start=2) * 3 + 1
        for eps in (1e-5, 0.4):
            hint = (
                f"for x of shape {shape} and eps={eps}: over the last dimension, biased, eps inside the root?"
            )
            agrees(call(layer_norm, x, gamma, beta, eps), F.layer_norm(x, (5,), gamma, beta, eps), hint)
    hint = "the gradient is wrong: mean and variance depend on x"
    same_slope(lambda x: layer_norm(x, gamma, beta), lambda x: F.layer_norm(x, (5,), gamma, beta), x, hint)


@check("group_norm")
def _():
    gamma, beta = 2 + some(6), some(6, start=1)
    for shape in ((4, 6), (4, 6, 3), (2, 6, 3, 5)):
        x = some(*shape, start=2) * 3 + torch.arange(6).reshape(6, *[1] * (len(shape) - 2))
        for groups, eps in ((2, 1e-5), (3, 1e-5), (1, 0.4)):
            hint = f"for x of shape {shape}, {groups} groups and eps={eps}: is a group {6 // groups} neighbouring channels?"
            agrees(
                call(group_norm, x, groups, gamma, beta, eps), F.group_norm(x, groups, gamma, beta, eps), hint
            )
    hint = "the gradient is wrong: mean and variance depend on x"
    same_slope(lambda x: group_norm(x, 2, gamma, beta), lambda x: F.group_norm(x, 2, gamma, beta), x, hint)


@check("rms_norm")
def _():
    gamma = 2 + some(5)
    for shape in ((5,), (3, 5), (2, 3, 4, 5)):
        x = some(*shape, start=2) * 3 + 1
        for eps in (1e-5, 0.4):
            hint = (
                f"for x of shape {shape} and eps={eps}: the root of mean(x²) + eps, and no mean subtracted?"
            )
            agrees(call(rms_norm, x, gamma, eps), F.rms_norm(x, (5,), gamma, eps), hint)
    hint = "the gradient is wrong: mean(x²) depends on x"
    same_slope(lambda x: rms_norm(x, gamma), lambda x: F.rms_norm(x, (5,), gamma, 1e-5), x, hint)


# %% [markdown]
# ## 6. Make it disappear, make it remember (10 points)
#
# In its second life, batch norm multiplies each channel by a fixed number and adds another. A convolution in front of it can do that by itself:
# multiply its kernels and its bias, and the batch norm is gone. Most networks on a phone have had this done to them.
#
# $$W' = W\cdot\frac{\gamma}{\sqrt{\sigma^2+\varepsilon}} \qquad b' = (b-\mu)\cdot\frac{\gamma}{\sqrt{\sigma^2+\varepsilon}} + \beta$$
#
# The other way round, sometimes the memory is wrong: the weights were averaged, or the data have changed, or training was too short for the running
# statistics. Then show the network some batches again, without training it, and let it remember anew. Each batch counts the same, so the
# new running mean is the average of the batches' means, whatever `momentum` says. (`nn.BatchNorm2d` does this when its momentum is `None`.
# Or with momentum $1/k$ for batch $k$. Why is that the average?)


# %%
def fold_bn(conv, bn):
    """One convolution that does what conv and then bn do in eval mode.

    conv: nn.Conv2d, of any stride, padding (with zeros), dilation and groups, with or without a bias;
    bn: nn.BatchNorm2d for its output, with weight, bias, running_mean, running_var and eps.
    Returns a new nn.Conv2d with a bias, in the dtype of conv. conv and bn stay as they are, and bn is used in eval mode,
    whatever mode it is in.
    """
    ### BEGIN SOLUTION
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    bias = 0 if conv.bias is None else conv.bias
    folded = copy.deepcopy(conv)
    folded.weight = nn.Parameter(conv.weight * scale[:, None, None, None])
    folded.bias = nn.Parameter((bias - bn.running_mean) * scale + bn.bias)
    return folded
    ### END SOLUTION


def recalibrate_bn(model, batches):
    """New running statistics for every nn.BatchNorm1d and nn.BatchNorm2d in the model, from these batches alone.

    model: nn.Module, with batch norms at any depth, each with running statistics; batches: a list of tensors, each an input.
    Run each batch through the model once. While you do, batch norms are in training mode, so that each normalises with the
    batch's own statistics; everything else (dropout, and any module of any class that looks at self.training) is in eval
    mode.
    Afterwards, the running mean of a batch norm is the plain average over the batches of the batch means, its running
    variance that of the unbiased batch variances. Nothing is left of the old ones.

    Changes the model in place, but for the running statistics (and num_batches_tracked) it is as it was: all parameters,
    each batch norm's momentum, and the mode (training or eval) of each module, which need not be the same for all. What is
    returned does not matter.
    """
    ### BEGIN SOLUTION
    modes = {module: module.training for module in model.modules()}
    norms = [module for module in modes if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
    ### END SOLUTION


# %% tags=["check"]
def bn2d(c):
    """A batch norm with a past."""
    norm = nn.BatchNorm2d(c, eps=0.01).double()
    _, gamma, beta, run_mean, run_var = batch(c=c)
    norm.load_state_dict(dict(zip(norm.state_dict(), (gamma, beta, run_mean, run_var, torch.tensor(3)))))
    return norm


@check("fold_bn: one convolution does the work of both")
def _():
    torch.manual_seed(0)
    x = some(2, 4, 7, 8)
    for options in (
        {},
        {"bias": False},
        {"stride": 2, "padding": (2, 1), "groups": 2},
        {"dilation": (1, 2), "bias": False},
    ):
        conv, norm = nn.Conv2d(4, 6, 3, **options).double(), bn2d(6)
        before = [tensor.clone() for module in (conv, norm) for tensor in module.state_dict().values()]
        folded = fold_bn(conv, norm)
        after = [tensor for module in (conv, norm) for tensor in module.state_dict().values()]
        assert all(map(torch.equal, before, after)), "fold_bn changed conv or bn: make a new convolution"
        assert isinstance(folded, nn.Conv2d), f"return an nn.Conv2d, not a {type(folded).__name__}"
        with torch.no_grad():
            agrees(folded(x), norm.eval()(conv(x)), f"wrong for a convolution with {options or 'a bias'}")


class Moody(nn.Module):
    """A layer of somebody's own which, like dropout, does one thing in training and another in use."""

    def forward(self, x):
        return 3 * x if self.training else x


@check("recalibrate_bn: the running statistics are those of the batches, and nothing else has changed")
def _():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Sequential(nn.Dropout(0.5), Moody()), nn.Flatten(),
        nn.Sequential(nn.Linear(18, 5), nn.BatchNorm1d(5)),
    ).double()  # fmt: skip
    model[1].eval()
    batches = [some(n, 2, 4, 5, start=n) * n for n in (3, 4, 6)]
    for _ in range(2):
        model(batches[0])  # a past that must be forgotten
    first, second = model[1], model[5][1]
    first_inputs = [model[0](x).detach() for x in batches]
    second_inputs = []
    for z in first_inputs:
        h = torch.relu(F.batch_norm(z, None, None, first.weight, first.bias, True))
        second_inputs.append(model[5][0](h.flatten(1)).detach())
    parameters = [p.detach().clone() for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    recalibrate_bn(model, batches)
    for name, norm, inputs, dims, hint in (
        ("first", first, first_inputs, (0, 2, 3), ""),
        (
            "second",
            second,
            second_inputs,
            0,
            ". Is everything but the batch norms in eval mode while you measure?",
        ),
    ):
        mean = torch.stack([z.mean(dims) for z in inputs]).mean(0)
        var = torch.stack([z.var(dims) for z in inputs]).mean(0)
        says = f"of the {name} batch norm is not the average over the batches{hint}"
        agrees(norm.running_mean, mean, f"the running mean {says}")
        agrees(norm.running_var, var, f"the running variance {says}")
    assert all(map(torch.equal, parameters, model.parameters())), "a parameter has changed"
    assert modes == [module.training for module in model.modules()], "a module is in another mode than before"
    assert first.momentum == second.momentum == 0.1, "momentum is not what it was"


# %% [markdown]
# ## 7. Boss: unlearnable (10 points)
#
# Six hidden layers of 64 sigmoids, Xavier's initial weights, plain SGD with learning rate 0.05 and momentum 0.9. This network does not learn. Not
# slowly: not at all. After eight epochs it reads about 10% of the digits, as well as guessing, and after forty it still does. (To be fair: with
# *this* initialisation and *this* optimiser. With Adam and patience, or from larger initial weights, it can be trained.)
#
# The left half of the figure in section 4 says why: a sigmoid lets through at most a quarter of a gradient, and what comes out of it is always near one half, so
# all examples soon look the same. Put a batch norm in front of each sigmoid, so that every unit sees its examples spread out around
# the steep part of its curve. Then we train it for eight epochs, as before.
#
# In the end, one question about the second life, to think about (there is nothing to hand in). Give the trained network, in eval mode, 64 digits
# at once, and then one by one. Why must it say the same, and which bugs would you find if it did not?


# %%
def normalise(net):
    """The same network, with a BatchNorm (of section 4) in front of every sigmoid.

    net: nn.Sequential of nn.Linear and nn.Sigmoid in turn, a linear layer first and last. The layers may be of different
    widths, and there may be any number of them.
    Returns an nn.Module: in front of each sigmoid a new BatchNorm (float32) as wide as the linear layer before it, and for the rest
    net's own layers, or others with the same weights and biases, in the same order. net itself may be changed.

    What counts then, for a net with six hidden layers of 64, after eight epochs of SGD over 1,297 digits in batches of 64:
    * it reads at least 50% of new digits (3 points), 80% (2 more), 90% (2 more);
    * in eval mode it says the same of a digit alone and among 63 others, to 1e-4 (2).
    And before the first step it is just the network described above (1). (The points for training are for that network, or
    for one with the batch norms behind the sigmoids, and for no other.)
    """
    ### BEGIN SOLUTION
    layers = []
    for layer in net:
        if isinstance(layer, nn.Sigmoid):
            layers.append(BatchNorm(layers[-1].out_features))
        layers.append(layer)
    return nn.Sequential(*layers)
    ### END SOLUTION


# %% tags=["check"]
@check("normalise puts a batch norm in front of every sigmoid")
def _():
    torch.manual_seed(0)
    net = mlp([5, 7, 3, 4], nn.Sigmoid)
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    h = x = some(9, 5, dtype=torch.float32)
    for layer in linear[:-1]:
        h = torch.sigmoid(F.batch_norm(layer(h), None, None, training=True))
    expected = linear[-1](h).detach()
    mine = normalise(net)
    assert isinstance(mine, nn.Module), f"return an nn.Module, not a {type(mine).__name__}"
    hint = "in training mode it says something else than linear, batch norm, sigmoid, ..., linear would"
    agrees(mine(x).detach(), expected, hint, rtol=1e-4, atol=1e-4)


@check("The unlearnable network learns to read")
def _():
    images, labels = digits()
    torch.manual_seed(1)
    shuffled = torch.randperm(len(images))
    images, labels = images[shuffled], labels[shuffled]
    torch.manual_seed(2)
    net = normalise(mlp([64] * 7 + [10], nn.Sigmoid))
    train(net, images[:1297], labels[:1297], epochs=8)
    right = accuracy(net, images[1297:], labels[1297:])
    print(f"   after eight epochs it reads {right:.1%} of the digits that it has never seen")
    assert right >= 0.9, "less than 90%"
    with torch.no_grad():
        together = net(images[:64])
        alone = torch.cat([net(image[None]) for image in images[:64]])
    hint = (
        "in eval mode it says something else of a digit alone: does it use running statistics, and no others?"
    )
    agrees(alone, together, hint, rtol=0, atol=1e-4)


# %% [markdown]
# **Done?** *Restart the kernel and run all cells*: the grader does the same. Then commit and push.
#
# To take home: when a network with batch norm behaves strangely, ask the three questions. Who is in the batch? Which life is it in? And what does
# it remember?
