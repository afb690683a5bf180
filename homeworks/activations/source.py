# %% [markdown]
# # The zoo
#
# A network without activation functions is one long matrix product: however deep, it can draw nothing but a straight line. All that a
# network *can* do, it can do because of the small bent functions between its layers. This homework is a walk through their zoo. You build
# the animals (sections 1 to 4), learn to see which of them are ill (5), let them draw any curve through any points (6), and in the end you
# bring a dead network back to life (7).
#
# **How it works.** Each section has an idea, a stub to fill in, and a check. Replace `raise NotImplementedError` by your code, run the
# cell, run the check below it. `✓` is right, `✗` tells you in words what is wrong, `…` is still to do. The hidden tests ask for the same
# properties with other numbers and shapes, so when all checks say `✓` you are very likely done. You get points for every function that
# works (if it keeps the house rules), so leave a stub you cannot solve as it is and go on.
#
# **House rules**, for every function in this notebook:
#
# * Tensors come in any shape. `float32` in gives `float32` out, `float64` in gives `float64` out.
# * An argument is never changed in place.
# * A library function that *is* the answer (`torch.relu` in `relu`, anything in `torch.nn` in sections 1 to 4) is forbidden, and so is
#   autograd where you are asked to differentiate by hand (sections 2 to 4) or not to train (section 6). A single one costs the *whole*
#   section: its other functions are then not looked at, so a stub is better. All of `torch.exp`, `log1p`, `where`, `clamp`, `erf`,
#   `tanh`, `logsumexp` and so on are welcome.
#
# | section | points |
# |---|---|
# | 1 Sigmoid and its family | 15 |
# | 2 Rectifiers and their derivatives | 20 |
# | 3 GELU, forwards and backwards | 15 |
# | 4 Softmax | 15 |
# | 5 A health report for a network, and one prediction | 8 + 2 |
# | 6 A network without training | 15 |
# | 7 Boss: revive | 10 |

# %%
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # for the checks and section 5: in sections 1 to 4 it would be the answer

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
            "right to about six digits, but no further: did it pass through float32 on the way? (So does a plain number "
            f"in torch.where(x > 0, 1.0, ...), and a new tensor without dtype=x.dtype.) If not: {hint}"
        )
    raise AssertionError(hint)


# %% [markdown]
# ## 1. Sigmoid and its family (15 points)
#
# The oldest animal of the zoo squeezes any number into $(0, 1)$. Its logarithm is the loss of every binary classifier, and its integral is
# a soft ReLU:
#
# $$\sigma(x) = \frac{1}{1+e^{-x}} \qquad \log\sigma(x) = -\log(1+e^{-x}) \qquad \mathrm{softplus}(x) = \log(1+e^{x})$$
#
# Typed in just so, all three break. In `float32`, $e^{89}$ is already infinite, and `log(1 + 1e-20)` is 0. Two observations mend it:
#
# * $e^{-|x|}$ never overflows, and each of the three can be written with it. (Try: what is $\sigma(x)$ for negative $x$ when you multiply
#   numerator and denominator by $e^{x}$?)
# * `torch.log1p(z)` is $\log(1+z)$ without losing a tiny $z$.
#
# And one trap. `torch.where(x >= 0, a, b)` computes *both* sides, and autograd walks back through both. If the side that was not chosen is
# infinite, its gradient is `0 · inf = NaN`, and a right value comes with a wrong gradient. Make both sides finite. (Exactly at 0 the gradient
# is not tested: $e^{-|x|}$ has none there.)


# %%
def sigmoid(x):
    """1 / (1 + exp(-x)), elementwise.

    x: float tensor of any shape. Returns the same shape and dtype, right to 1e-12 (in float64).
    Value *and* gradient (by autograd, through this function) are finite and right at ±1e4, also in float32.
    """
    ### BEGIN SOLUTION
    z = torch.exp(-x.abs())
    return torch.where(x >= 0, 1 / (1 + z), z / (1 + z))
    ### END SOLUTION


def log_sigmoid(x):
    """log(sigmoid(x)), elementwise.

    Accurate *relative* to its own size, also where it is tiny: log_sigmoid(40.) is -4.2e-18, not 0.
    Value and gradient are finite and right at ±1e4, also in float32: log_sigmoid(-1e4) is -1e4, not -inf.
    """
    ### BEGIN SOLUTION
    return -softplus(-x)
    ### END SOLUTION


def softplus(x):
    """log(1 + exp(x)), elementwise.

    Accurate relative to its own size, also where it is tiny: softplus(-40.) is 4.2e-18, not 0.
    Value and gradient are finite and right at ±1e4, also in float32: softplus(1e4) is 1e4, not inf.
    """
    ### BEGIN SOLUTION
    return x.clamp(min=0) + torch.log1p(torch.exp(-x.abs()))
    ### END SOLUTION


# %% tags=["check"]
@check("sigmoid has the right values")
def _():
    x = torch.linspace(-20, 20, 24, dtype=torch.float64).reshape(4, 6)
    agrees(call(sigmoid, x), torch.sigmoid(x), "the values differ from 1 / (1 + exp(-x))")
    single = x.float()
    agrees(
        call(sigmoid, single), torch.sigmoid(single), "the values are off in float32", rtol=1e-5, atol=1e-6
    )


@check("log_sigmoid and softplus are accurate even where they are tiny")
def _():
    x = torch.linspace(-45, 45, 31, dtype=torch.float64)
    hint = "is off, relative to its own size: did you use log1p?"
    agrees(call(softplus, x), torch.logaddexp(x, torch.zeros_like(x)), f"softplus {hint}", atol=0)
    agrees(call(log_sigmoid, x), F.logsigmoid(x), f"log_sigmoid {hint}", atol=0)


@check("Values and gradients survive ±1e4 in float32")
def _():
    expected = {
        sigmoid: ([0.0, 1.0], [0.0, 0.0]),
        log_sigmoid: ([-1e4, 0.0], [1.0, 0.0]),
        softplus: ([0.0, 1e4], [0.0, 1.0]),
    }
    for f, (values, slopes) in expected.items():
        x = torch.tensor([-1e4, 1e4], requires_grad=True)
        y = call(f, x)
        agrees(
            y.detach(),
            torch.tensor(values),
            f"{f.__name__} has a wrong value at ±1e4",
            not_finite=f"{f.__name__} at ±1e4: does exp overflow on the way?",
        )
        (gradient,) = torch.autograd.grad(y.sum(), x)
        assert torch.isfinite(gradient).all(), (
            f"the gradient of {f.__name__} is {gradient.tolist()} at ±1e4: "
            "is the side of torch.where that was not chosen infinite, or does exp overflow on the way?"
        )
        agrees(gradient, torch.tensor(slopes), f"{f.__name__} has a wrong gradient at ±1e4")


# %% [markdown]
# ## 2. Rectifiers and their derivatives (20 points)
#
# Sigmoids let at most a quarter of the gradient through, so ten of them in a row let through a millionth. The rectifier lets all of it
# through, or nothing; its relatives leak a little, or bend more gently:
#
# | | $f(x)$ for $x > 0$ | $f(x)$ for $x \le 0$ |
# |---|---|---|
# | `relu` | $x$ | $0$ |
# | `leaky_relu` | $x$ | $\mathrm{slope}\cdot x$ |
# | `elu` | $x$ | $\alpha\,(e^x - 1)$ |
# | `selu` | $\lambda x$ | $\lambda\,\alpha\,(e^x - 1)$ with the two constants below |
# | `silu` | $x\,\sigma(\beta x)$ | the same |
#
# Write each, and beside it its derivative by hand. A derivative takes the *same* arguments as its function: `d_elu(x)` is the slope of
# `elu` at the point `x`, where `x` is what goes *into* `elu`, not what came out.
#
# Two things to watch. The slope may be *larger* than 1, so `max(x, slope·x)` is not a leaky ReLU. And near zero $e^x - 1$ loses all its
# digits: $e^{10^{-12}}-1$ comes out with four right ones. `torch.expm1` keeps them all.
#
# `torch.sigmoid` is allowed from here on: you have earned it.

# %%
# Klambauer et al. 2017: with these two, activations keep mean 0 and variance 1 from layer to layer.
SELU_SCALE = 1.0507009873554804934193349852946  # λ
SELU_ALPHA = 1.6732632423543772848170429916717  # α


def relu(x):
    """x where positive, else 0."""
    ### BEGIN SOLUTION
    return x.clamp(min=0)
    ### END SOLUTION


def d_relu(x):
    """The derivative of relu at x. At 0 exactly, anything in [0, 1] is accepted."""
    ### BEGIN SOLUTION
    return (x > 0).to(x.dtype)
    ### END SOLUTION


def leaky_relu(x, slope=0.01):
    """x where positive, else slope * x. The slope may be any number >= 0, also above 1."""
    ### BEGIN SOLUTION
    return torch.where(x > 0, x, slope * x)
    ### END SOLUTION


def d_leaky_relu(x, slope=0.01):
    """The derivative of leaky_relu at x; at 0 exactly, anything between the two slopes."""
    ### BEGIN SOLUTION
    return torch.where(x > 0, torch.ones_like(x), torch.full_like(x, slope))
    ### END SOLUTION


def elu(x, alpha=1.0):
    """x where positive, else alpha * (exp(x) - 1), with all digits for tiny x. Finite for ±1e4 in float32."""
    ### BEGIN SOLUTION
    return torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))
    ### END SOLUTION


def d_elu(x, alpha=1.0):
    """The derivative of elu at x. Finite for ±1e4 in float32. At 0 exactly, anything between 1 and alpha."""
    ### BEGIN SOLUTION
    return torch.where(x > 0, torch.ones_like(x), alpha * torch.exp(x.clamp(max=0)))
    ### END SOLUTION


def selu(x):
    """SELU_SCALE * elu(x, SELU_ALPHA)."""
    ### BEGIN SOLUTION
    return SELU_SCALE * elu(x, SELU_ALPHA)
    ### END SOLUTION


def d_selu(x):
    """The derivative of selu at x; at 0 exactly, anything between the slopes on either side."""
    ### BEGIN SOLUTION
    return SELU_SCALE * d_elu(x, SELU_ALPHA)
    ### END SOLUTION


def silu(x, beta=1.0):
    """x * sigmoid(beta * x), also called swish. Finite for ±1e4 in float32."""
    ### BEGIN SOLUTION
    return x * torch.sigmoid(beta * x)
    ### END SOLUTION


def d_silu(x, beta=1.0):
    """The derivative of silu with respect to x (not beta). Finite for ±1e4 in float32."""
    ### BEGIN SOLUTION
    s = torch.sigmoid(beta * x)
    return s + beta * x * s * (1 - s)
    ### END SOLUTION


# %% tags=["check"]
def check_rectifier(f, d_f, arguments, library):
    x = torch.linspace(-4, 5, 30, dtype=torch.float64).reshape(5, 6)

    @check(f"{f.__name__} has the right values")
    def _():
        agrees(call(f, x, *arguments), library(x), "the values differ from the table above")
        single = x.float()
        agrees(
            call(f, single, *arguments),
            library(single),
            "the values are off in float32",
            rtol=1e-5,
            atol=1e-6,
        )

    @check(f"{d_f.__name__} is the slope of {f.__name__}")
    def _():
        points = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(library(points).sum(), points)
        hint = f"{d_f.__name__}(x) differs from the slope of {f.__name__} at x"
        agrees(call(d_f, x, *arguments), slope, hint)


check_rectifier(relu, d_relu, (), F.relu)
check_rectifier(leaky_relu, d_leaky_relu, (0.2,), lambda x: F.leaky_relu(x, 0.2))
check_rectifier(elu, d_elu, (1.7,), lambda x: F.elu(x, 1.7))
check_rectifier(selu, d_selu, (), F.selu)
check_rectifier(silu, d_silu, (1.4,), lambda x: x * torch.sigmoid(1.4 * x))


@check("leaky_relu with a slope above 1")
def _():
    x = torch.tensor([-2.0, 3.0])
    hint = "max(x, slope * x) picks the wrong side when slope > 1"
    agrees(call(leaky_relu, x, 1.5), torch.tensor([-3.0, 3.0]), hint)


@check("elu and selu keep all digits near zero")
def _():
    x = torch.tensor([-1e-12], dtype=torch.float64)
    hint = "exp(x) - 1 loses its digits near zero: use torch.expm1"
    agrees(call(elu, x, 1.3), 1.3 * x, hint, atol=0)
    agrees(call(selu, x), SELU_SCALE * SELU_ALPHA * x, hint, atol=0)


@check("elu, silu and their derivatives are finite at ±1e4 in float32")
def _():
    x = torch.tensor([-1e4, 1e4])
    slopes = (0.0, 1.0)
    for f, arguments, expected in (
        (elu, (1.3,), (-1.3, 1e4)),
        (d_elu, (1.3,), slopes),
        (silu, (), (0.0, 1e4)),
        (d_silu, (), slopes),
    ):
        agrees(
            call(f, x, *arguments),
            torch.tensor(expected),
            f"{f.__name__} is wrong at ±1e4",
            not_finite=f"{f.__name__} at ±1e4: does exp overflow on the way? inf / inf and 0 * inf are NaN",
        )


# %% [markdown]
# ## 3. GELU, forwards and backwards (15 points)
#
# GELU weighs $x$ by the probability that a standard normal variable is smaller: $x\,\Phi(x)$. It is the animal inside BERT and GPT-2, and
# the reason why one has to ask *which* GELU: early code replaced $\Phi$ by a cheap curve, and every model trained with it must be run with it.
#
# $$\text{exact:}\quad x\,\Phi(x) = \tfrac{x}{2}\Big(1+\mathrm{erf}\frac{x}{\sqrt 2}\Big) \qquad\qquad
# \text{tanh:}\quad \tfrac{x}{2}\Big(1+\tanh\big(\sqrt{2/\pi}\,(x + 0.044715\,x^3)\big)\Big)$$
#
# Then teach autograd a new function. A `torch.autograd.Function` has a `forward` that computes, and a `backward` that takes $g$, the
# gradient of the loss with respect to the *output*, and returns the one with respect to the *input*: $g \cdot f'(x)$. You need the
# derivative of $x\,\Phi(x)$: the product rule, and $\Phi'(x) = e^{-x^2/2}/\sqrt{2\pi}$.
#
# What `backward` needs of `forward`, `ctx.save_for_backward` keeps, separately for every call. (A layer is often used twice before the
# first `backward`: what is stored on the class is overwritten.)


# %%
def gelu(x, approximate="none"):
    """x times the standard normal distribution function at x.

    approximate: "none" for the exact one (the default), "tanh" for the tanh formula.
    Right to 1e-10 (in float64), finite at ±1e4 in float32.
    """
    ### BEGIN SOLUTION
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
    ### END SOLUTION


class GELU(torch.autograd.Function):
    """The exact GELU with its derivative by hand: y = GELU.apply(x)."""

    @staticmethod
    def forward(ctx, x):
        """The exact gelu of x; keeps in ctx what backward needs."""
        ### BEGIN SOLUTION
        ctx.save_for_backward(x)
        return gelu(x)
        ### END SOLUTION

    @staticmethod
    def backward(ctx, g):
        """g: gradient of the loss with respect to the output. Returns the one with respect to x."""
        ### BEGIN SOLUTION
        (x,) = ctx.saved_tensors
        below = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        density = torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
        return g * (below + x * density)
        ### END SOLUTION


# %% tags=["check"]
@check("gelu is exact by default")
def _():
    x = torch.linspace(-5, 5, 33, dtype=torch.float64)
    hint = "differs from x/2 (1 + erf(x/√2)); off by 1e-4 to 1e-2 means: an approximation where the exact one was asked"
    agrees(call(gelu, x), F.gelu(x), hint, atol=1e-10)
    single = x.float()
    agrees(call(gelu, single), F.gelu(single), "the values are off in float32", rtol=1e-5, atol=1e-6)


@check('gelu(x, approximate="tanh") follows the tanh formula')
def _():
    x = torch.linspace(-5, 5, 33, dtype=torch.float64)
    y = call(gelu, x, approximate="tanh")
    agrees(y, F.gelu(x, approximate="tanh"), "look at √(2/π) and 0.044715", atol=1e-10)


@check("GELU.apply(x) is gelu(x)")
def _():
    x = torch.linspace(-4, 4, 30, dtype=torch.float64).reshape(2, 3, 5)
    agrees(call(GELU.apply, x), F.gelu(x), "forward differs from the exact gelu", atol=1e-10)


@check("GELU.backward returns g times the derivative, for two calls in a row")
def _():
    first = torch.linspace(-4, 4, 7, dtype=torch.float64, requires_grad=True)
    second = torch.linspace(-1, 2, 7, dtype=torch.float64, requires_grad=True)
    g = torch.linspace(2, -3, 7, dtype=torch.float64)
    y = GELU.apply(first) + 2 * GELU.apply(second)
    mine = torch.autograd.grad(y, (first, second), g)
    assert torch.equal(g, torch.linspace(2, -3, 7, dtype=torch.float64)), "backward changed g in place"
    right = torch.autograd.grad(F.gelu(first) + 2 * F.gelu(second), (first, second), g)
    for gradient, expected in zip(mine, right):
        agrees(gradient, expected, "is it g * (Φ(x) + x φ(x)), with the x of this very call?", atol=1e-10)


# %% [markdown]
# ## 4. Softmax (15 points)
#
# Softmax turns any numbers into probabilities, along one dimension of a tensor:
#
# $$y_i = \frac{e^{x_i}}{\sum_j e^{x_j}} \qquad\qquad \log y_i = x_i - \log\sum_j e^{x_j}$$
#
# Adding a constant to all $x_i$ changes nothing, and that saves us from overflow: subtract the largest. The logarithm deserves a function of
# its own: with logits $(0, -1000)$, $y_2$ underflows to 0 and its logarithm is $-\infty$, though the right answer is plainly $-1000$.
#
# Backwards, softmax is not elementwise: every output depends on every input. Given $g = \partial L/\partial y$, the chain rule gives
#
# $$\frac{\partial L}{\partial x_i} = \sum_j g_j \frac{\partial y_j}{\partial x_i} = y_i\Big(g_i - \sum_j g_j\,y_j\Big)$$
#
# a *vector-Jacobian product*: the whole Jacobian is never written down. (Here is why the usual test, `y.sum().backward()`, tests nothing:
# put $g = 1$ into the formula.)


# %%
def softmax(x, dim):
    """exp(x) / sum of exp(x) along dim.

    x: float tensor of any shape; dim: any of its dimensions, also counted from the end (-1).
    Right to 1e-12 (in float64) for logits of any size: 1e4, or -1e4, is no reason for a NaN.
    """
    ### BEGIN SOLUTION
    z = torch.exp(x - x.amax(dim, keepdim=True))
    return z / z.sum(dim, keepdim=True)
    ### END SOLUTION


def log_softmax(x, dim):
    """log(softmax(x, dim)), without going through softmax: finite for logits of any size."""
    ### BEGIN SOLUTION
    shifted = x - x.amax(dim, keepdim=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()
    ### END SOLUTION


def softmax_vjp(g, y, dim):
    """The gradient with respect to x of a loss L, where y = softmax(x, dim).

    g: gradient of L with respect to y, same shape as y.
    y: the *output* of softmax (not x).
    """
    ### BEGIN SOLUTION
    return y * (g - (g * y).sum(dim, keepdim=True))
    ### END SOLUTION


# %% tags=["check"]
@check("softmax and log_softmax along every dimension")
def _():
    x = torch.linspace(-3, 3, 24, dtype=torch.float64).sin().mul(4).reshape(2, 3, 4)
    for dim in (0, 1, 2, -1, -2):
        agrees(
            call(softmax, x, dim),
            torch.softmax(x, dim),
            f"wrong along dim={dim}: is keepdim=True set, and dim used?",
        )
        hint = f"log_softmax is wrong along dim={dim}"
        agrees(call(log_softmax, x, dim), torch.log_softmax(x, dim), hint)


@check("softmax and log_softmax survive large logits")
def _():
    x = torch.tensor([[1e4, 1e4 - 1], [0.0, -1000.0]], dtype=torch.float64)
    hint = "softmax is wrong for large logits: subtract the largest along dim first"
    agrees(call(softmax, x, 1), torch.softmax(x, 1), hint)
    hint = "log_softmax is wrong for large logits: the logarithm of a softmax that is 0 is -inf"
    agrees(call(log_softmax, x, 1), torch.log_softmax(x, 1), hint, atol=1e-10)


@check("softmax_vjp is the gradient of softmax")
def _():
    x = torch.linspace(-3, 3, 24, dtype=torch.float64).sin().reshape(2, 3, 4).requires_grad_()
    g = torch.linspace(-2, 5, 24, dtype=torch.float64).cos().reshape(2, 3, 4)
    for dim in (0, 1, 2):
        y = torch.softmax(x, dim)
        (expected,) = torch.autograd.grad(y, x, g)
        hint = f"wrong for dim={dim}: is the sum over dim subtracted?"
        agrees(call(softmax_vjp, g, y.detach(), dim), expected, hint)


# %% [markdown]
# ## 5. A health report for a network (8 points, and 2 for a prediction)
#
# A unit that outputs 0 for *every* input is **dead**: no signal goes through it, no gradient comes back, so it never changes again. (A unit
# that is 0 for *most* inputs is no patient. That is how rectifiers work.) An activation is **saturated** where the function is so flat that
# next to nothing of the gradient passes: less than 1%. And the root mean square of activations and gradients, layer by layer, shows where
# a signal fades or explodes.
#
# Write a report for a fully connected network: run the examples through it, run the loss back, and measure at every hidden layer. To get at the
# gradient of something in the middle of a network, either call `retain_grad()` on it before `backward()`, or ask
# `torch.autograd.grad(loss, list_of_activations)`. Everything in torch is allowed here.


# %%
def layer_report(weights, biases, X, labels, activation="relu"):
    """How each hidden layer of a network is doing, on the examples X.

    weights: tensors (out, in), front to back, as in nn.Linear; biases: tensors (out,).
    X: (n, in of the first layer); labels: (n,) integers. All floats are of one dtype.
    activation: "relu", "tanh" or "sigmoid", after every layer but the last.
    A hidden layer computes a = activation(h @ weight.T + bias); the last one gives the logits. The loss is the
    cross-entropy, averaged over the examples.

    Returns a list with one dict for each hidden layer, front to back, of four numbers (whatever float() takes):
    "dead"       fraction of the units whose output is exactly 0 for every example
    "saturated"  fraction of all entries of a (n × units) at which the slope of the activation is below 0.01. In terms of the
                 output, the slope is 1 or 0 for relu (0 where a is 0), 1 - a² for tanh, a(1 - a) for sigmoid
    "rms"        root mean square of a: sqrt(mean(a²)) over all entries, the mean not subtracted
    "grad_rms"   root mean square of the gradient of the loss with respect to a (after the activation, not before)
    """
    ### BEGIN SOLUTION
    functions = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
    slopes = {
        "relu": lambda a: (a > 0).to(a.dtype),
        "tanh": lambda a: 1 - a**2,
        "sigmoid": lambda a: a * (1 - a),
    }

    activations, h = [], X.detach().clone().requires_grad_()
    for weight, bias in zip(weights[:-1], biases[:-1]):
        h = functions[activation](h @ weight.T + bias)
        activations.append(h)
    loss = F.cross_entropy(h @ weights[-1].T + biases[-1], labels)
    gradients = torch.autograd.grad(loss, activations)

    return [
        {
            "dead": (a == 0).all(dim=0).double().mean().item(),
            "saturated": (slopes[activation](a) < 0.01).double().mean().item(),
            "rms": a.square().mean().sqrt().item(),
            "grad_rms": g.square().mean().sqrt().item(),
        }
        for a, g in zip(activations, gradients)
    ]
    ### END SOLUTION


# %% tags=["check"]
KEYS = ("dead", "saturated", "rms", "grad_rms")


def report_of(weights, biases, X, *others):
    """What layer_report returns: a dict of floats for each hidden layer, its arguments left alone."""
    given = [*weights, *biases, X]
    copies = [tensor.clone() for tensor in given]
    report = layer_report(list(weights), list(biases), X, *others)

    assert all(map(torch.equal, given, copies)), "layer_report changed one of its arguments in place"
    assert isinstance(report, list), f"return a list of dicts, not a {type(report).__name__}"
    assert len(report) == len(weights) - 1, (
        f"return one dict for each *hidden* layer: {len(weights) - 1} here, not {len(report)}"
    )
    assert all(isinstance(layer, dict) for layer in report), "each entry of the list must be a dict"
    return [{key: number(value, key) for key, value in layer.items() if key in KEYS} for layer in report]


def number(value, key):
    try:
        return float(value)
    except Exception:
        shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
        raise AssertionError(
            f'"{key}" must be a number (whatever float() takes), not a {type(value).__name__}{shape}'
        ) from None


@check("layer_report on a network small enough to do by hand")
def _():
    weights = [
        torch.tensor([[1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]]),
        torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    ]
    biases = [torch.tensor([0.0, 0.0, -1.0]), torch.zeros(2)]
    X = torch.tensor([[3.0, 1.0], [4.0, -2.0]])  # after relu: [[3, 0, 0], [4, 2, 0]]
    (layer,) = report_of(weights, biases, X, torch.tensor([0, 1]))

    missing = [key for key in KEYS if key not in layer]
    assert not missing, f"the dict has no {missing}"
    assert math.isclose(layer["dead"], 1 / 3, rel_tol=1e-5), (
        "dead: one of the three units is 0 for both examples"
    )
    assert math.isclose(layer["saturated"], 1 / 2, rel_tol=1e-5), "saturated: three of the six entries are 0"
    assert math.isclose(layer["rms"], math.sqrt(29 / 6), rel_tol=1e-5), "rms: the root of (9 + 16 + 4) / 6"
    p, q = (
        1 / (1 + math.exp(3)),
        1 / (1 + math.exp(-2)),
    )  # the loss pulls on the logits by p and q, halved by the mean
    expected = math.sqrt(2 * (p**2 + q**2) / 4 / 6)
    assert math.isclose(layer["grad_rms"], expected, rel_tol=1e-5), (
        "grad_rms: of the gradient with respect to the output of the activation; is the loss a mean over the examples?"
    )


@check("layer_report knows tanh and sigmoid")
def _():
    x = torch.tensor([[-4.0], [1.0], [5.0], [6.0]])
    network = [torch.ones(1, 1), torch.ones(2, 1)], [torch.zeros(1), torch.zeros(2)]
    for activation, saturated in (("tanh", 3 / 4), ("sigmoid", 2 / 4)):
        (layer,) = report_of(*network, x, torch.zeros(4, dtype=torch.long), activation)
        assert math.isclose(layer["saturated"], saturated), (
            f"{activation}: saturated is where the slope is below 0.01"
        )
        assert layer["dead"] == 0, f"{activation}: dead means an output of exactly 0 for every example"


# %% [markdown]
# ### The figure: what comes back through twelve layers
#
# Left, the slopes of the zoo: what each animal lets through. Right, what that does to a gradient that travels back through twelve layers,
# measured by your `layer_report` on handwritten digits. All three networks have the initial weights that their textbook recommends.


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


# %% tags=["demo"]
def figure():
    import matplotlib.pyplot as plt

    x = torch.linspace(-4, 4, 400, dtype=torch.float64)
    s = sigmoid(x)
    slopes = {
        "sigmoid": s * (1 - s),
        "relu": d_relu(x),
        "leaky, 0.1": d_leaky_relu(x, 0.1),
        "elu": d_elu(x),
        "selu": d_selu(x),
        "silu": d_silu(x),
    }
    images, labels = digits()
    sizes = [64] * 13 + [10]
    reports = {}
    for activation, gain in (("relu", 2.0), ("tanh", 1.0), ("sigmoid", 1.0)):
        generator = torch.Generator().manual_seed(0)
        weights = [
            torch.randn(o, i, generator=generator) * math.sqrt(gain / i) for i, o in zip(sizes, sizes[1:])
        ]
        biases = [torch.zeros(o) for o in sizes[1:]]
        reports[activation] = layer_report(weights, biases, images - images.mean(), labels, activation)

    # Okabe and Ito's colours, which the colour-blind can tell apart, and a line style or a mark of its own for each.
    colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
    lines = ["-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2))]
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    for (name, slope), colour, line in zip(slopes.items(), colours, lines):
        left.plot(x, slope, label=name, color=colour, linestyle=line, linewidth=2)
    for (name, report), colour, mark in zip(reports.items(), colours, "os^"):
        right.semilogy(
            range(1, 13),
            [float(layer["grad_rms"]) for layer in report],
            color=colour,
            marker=mark,
            label=name,
        )
    left.set(title="What a unit lets through", xlabel="x", ylabel="slope at x")
    right.set(
        title="What arrives at the front of a network of 13 layers",
        xlabel="hidden layer",
        ylabel="rms of the gradient",
    )
    left.legend()
    right.legend()
    plt.show()


try:
    figure()
except NotImplementedError:
    print("The figure appears when sigmoid, the derivatives of section 2 and layer_report are there.")
except Exception as error:
    print(
        f"No figure yet: {type(error).__name__}: {error}. It needs sigmoid, section 2 and layer_report to be right."
    )

# %% [markdown]
# ### Predict, then run
#
# Below is the patient of section 7: a network for digits with four hidden layers of 64 ReLU units and five weight matrices, front to back
# `W1` (64×64), `W2`, `W3`, `W4` (64×64) and `W5` (10×64). It was trained, and then something went badly wrong: in layers 1, 2 and 4 two
# units in five were killed, and in layer 3 *all* of them. Layer 4 still has units with a positive bias, and so a positive output.
#
# **Before you run the next check**: the loss is run back through this network. How many of the five weight matrices get a gradient that is
# not zero everywhere? Write your prediction down as a number from 0 to 5. (You may change it after you have seen the answer. But do think
# first: the gradient of a weight is the error behind it *times the activation in front of it*.)

# %%
### BEGIN SOLUTION
ANSWERS = {"matrices_with_a_gradient": 1}
### STARTER: ANSWERS = {"matrices_with_a_gradient": None}  # a number from 0 to 5
### END SOLUTION


# %%
def logits(weights, biases, X):
    """What a ReLU network says about X. (Nothing to do in this cell.)"""
    for weight, bias in zip(weights[:-1], biases[:-1]):
        X = torch.relu(X @ weight.T + bias)
    return X @ weights[-1].T + biases[-1]


def train(weights, biases, X, labels, steps):
    """The network after some steps of Adam, as new weights and biases."""
    parameters = [p.clone().requires_grad_() for p in (*weights, *biases)]
    optimiser = torch.optim.Adam(parameters, lr=2e-3)
    for _ in range(steps):
        rows = torch.randint(len(X), (128,))
        loss = F.cross_entropy(logits(parameters[:5], parameters[5:], X[rows]), labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    parameters = [p.detach() for p in parameters]
    return parameters[:5], parameters[5:]


def patient(X, labels):
    """A trained network, with dead units planted in all four hidden layers."""
    sizes = [64, 64, 64, 64, 64, 10]
    weights = [torch.randn(o, i) * math.sqrt(2 / i) for i, o in zip(sizes, sizes[1:])]
    weights, biases = train(weights, [torch.zeros(o) for o in sizes[1:]], X, labels, steps=300)
    for weight, bias, fraction in zip(weights, biases, (0.4, 0.4, 1.0, 0.4)):
        sick = torch.randperm(64)[: round(fraction * 64)]
        by_bias, by_sign = sick[: len(sick) // 2], sick[len(sick) // 2 :]
        bias[by_bias] = -30 - 10 * torch.rand(len(by_bias))
        weight[by_sign], bias[by_sign] = (
            -weight[by_sign].abs(),
            -bias[by_sign].abs(),
        )  # its inputs are never negative
    return weights, biases


# %% tags=["check"]
@check("your prediction")
def _():
    prediction = ANSWERS["matrices_with_a_gradient"]
    if prediction is None:
        raise NotImplementedError
    torch.manual_seed(0)
    X, labels = digits()
    weights, biases = patient(X, labels)
    weights = [weight.requires_grad_() for weight in weights]
    gradients = torch.autograd.grad(F.cross_entropy(logits(weights, biases, X), labels), weights)
    largest = [gradient.abs().max().item() for gradient in gradients]
    print("   largest gradient in " + ", ".join(f"W{i}: {g:.1e}" for i, g in enumerate(largest, 1)))
    assert prediction == sum(g > 0 for g in largest), (
        "not so: a weight needs an error behind it *and* an activation in front of it. Look at the line above"
    )


# %% [markdown]
# ## 6. A network without training (15 points)
#
# Can a network with one hidden layer of rectifiers pass through *any* points? Yes, and you can write its weights down.
#
# Walk along a zigzag line from left to right. Up to the first point, be constant: the output bias. At every point the slope changes, by how
# much you know from the points. And a function whose slope changes by $c$ at the place $x_k$, and nowhere else, is $c \cdot \mathrm{relu}(x - x_k)$.
# So one hidden unit a point is enough:
#
# $$f(x) = y_1 + \sum_k c_k\,\mathrm{relu}(x - x_k)$$
#
# This is the whole of the "universal approximation theorem" in one dimension: a rectifier network *is* a zigzag line, and with enough corners
# a zigzag line follows any curve.


# %%
def relu_interpolant(xs, ys):
    """A network with one hidden ReLU layer through the points (xs[i], ys[i]), without training.

    xs: (n,) float tensor, n >= 1, all different, in *any* order; ys: (n,), of the same dtype.
    Returns (W1, b1, W2, b2) with shapes (h, 1), (h,), (1, h), (1,), for a number h >= 1 of hidden units of your choice,
    in the dtype of xs. The network is relu(x @ W1.T + b1) @ W2.T + b2 for x of shape (m, 1).

    It goes through all points (in float64 to 1e-8 of the largest |y|), and between two neighbours it is the straight
    line that joins them. Left of the first and right of the last point it may do what it likes.
    """
    ### BEGIN SOLUTION
    order = xs.argsort()
    xs, ys = xs[order], ys[order]
    flat = xs.new_zeros(1)
    slopes = torch.cat([flat, ys.diff() / xs.diff(), flat])
    return torch.ones_like(xs)[:, None], -xs, slopes.diff()[None, :], ys[:1].clone()
    ### END SOLUTION


# %% tags=["check"]
def network_through(xs, ys):
    """What relu_interpolant returns: four tensors of the right shapes and dtype."""
    network = call(relu_interpolant, xs, ys)
    assert isinstance(network, (tuple, list)), f"return four tensors, not a {type(network).__name__}"
    assert len(network) == 4, "return four tensors: W1, b1, W2, b2"
    for tensor in network:
        assert isinstance(tensor, torch.Tensor), f"return four tensors: one is a {type(tensor).__name__}"
    h = network[1].numel()
    assert h >= 1, "the network needs at least one hidden unit, also for a single point"
    for name, tensor, shape in zip(("W1", "b1", "W2", "b2"), network, ((h, 1), (h,), (1, h), (1,))):
        assert tuple(tensor.shape) == shape, f"{name} has shape {tuple(tensor.shape)}, not {shape}"
        assert tensor.dtype == xs.dtype, f"{name} is {tensor.dtype}, the points are {xs.dtype}"
    return network


def through(network, x):
    W1, b1, W2, b2 = network
    return (torch.relu(x[:, None] @ W1.T + b1) @ W2.T + b2)[:, 0]


@check("relu_interpolant goes through the points, and straight in between")
def _():
    xs = torch.tensor([-2.0, -1.5, 0.25, 1.0, 4.0], dtype=torch.float64)
    ys = torch.tensor([1.0, -3.0, 2.0, 2.0, 0.5], dtype=torch.float64)
    network = network_through(xs, ys)
    agrees(through(network, xs), ys, "it misses some of the points", rtol=1e-8, atol=1e-8)
    between = torch.linspace(-2, 4, 50, dtype=torch.float64)
    line = torch.from_numpy(np.interp(between, xs, ys))
    hint = "between the points it is not the straight line"
    agrees(through(network, between), line, hint, rtol=1e-8, atol=1e-8)


@check("relu_interpolant takes points in any order, and few of them")
def _():
    for xs, ys in (([2.0, -1.0, 0.5], [1.0, 4.0, -2.0]), ([3.0, 1.0], [0.0, 5.0]), ([0.7], [-2.0])):
        xs, ys = torch.tensor(xs), torch.tensor(ys)
        hint = f"it misses some of {len(xs)} points that are not sorted by x"
        agrees(through(network_through(xs, ys), xs), ys, hint, rtol=1e-4, atol=1e-4)


# %% [markdown]
# ## 7. Boss: revive (10 points)
#
# Back to the patient. Left alone it stays dead: no gradient passes layer 3, so after any amount of training it still guesses. You may change
# nothing but its **biases**, and of these only the ones of dead units. Then we train it for 200 steps, as anybody would, and look.
#
# There are two kinds of dead units in it. Some have a bias of about $-35$, and giving them a bias of zero helps. Others have only negative
# weights, and as their inputs are never negative, neither is their pre-activation ever positive: zero does not help those. What does a unit
# need, to be on for some examples and off for others? Look at its pre-activations `z = h @ w.T + b` over all examples: by how much would
# you have to lift them?
#
# And mind the order. When you repair layer 1, everything that layer 2 sees is new. (That is also why the check below finds some three in
# five dead in layer 4, where two in five were killed: layer 3 hands it nothing but zeros, and then every unit whose bias is not positive
# is silent.)


# %%
def revive(weights, biases, X):
    """New biases for a ReLU network in which most units are dead.

    weights: five tensors (out, in), as in nn.Linear; biases: five tensors (out,); X: (n, 64) examples. All float32.
    The four hidden layers compute relu(h @ weight.T + bias); the last layer has no relu.
    A unit is dead if its output is 0 for every row of X.

    Returns a list of five biases of the same shapes and dtype. The rule: change a bias only where the unit is dead, in
    the network as handed over or once the layers in front of it are repaired. All other biases, the last layer's too,
    come back exactly as they were, and the arguments stay untouched.

    What counts then:
    * of all hidden units, at most 45% are dead on X (3 points), at most 1% (3 more);
    * of the units that were dead, at least 92% are now on for part of the examples: for 5% to 95% of the rows of X (2);
    * after 200 steps of Adam (lr 2e-3, batches of 128) it reads at least 90% of new digits (2).
    """
    ### BEGIN SOLUTION
    repaired, h = [], X
    for weight, bias in zip(weights[:-1], biases[:-1]):
        z = h @ weight.T + bias
        dead = (z <= 0).all(dim=0)
        bias = torch.where(dead, bias - z.median(dim=0).values, bias)  # on for half of the examples
        repaired.append(bias)
        h = torch.relu(h @ weight.T + bias)
    return [*repaired, biases[-1].clone()]
    ### END SOLUTION


# %% tags=["check"]
def fractions_on(weights, biases, X):
    """For each hidden unit of each layer, the fraction of the rows of X for which it is on."""
    fractions = []
    for weight, bias in zip(weights[:-1], biases[:-1]):
        X = torch.relu(X @ weight.T + bias)
        fractions.append((X > 0).float().mean(dim=0))
    return torch.stack(fractions)


@check("revive brings the patient back to life")
def _():
    torch.manual_seed(1)
    images, labels = digits()
    shuffled = torch.randperm(len(images))
    train_rows, test_rows = shuffled[:1297], shuffled[1297:]
    X, y = images[train_rows], labels[train_rows]
    weights, biases = patient(X, y)
    copies = [tensor.clone() for tensor in (*weights, X, *biases)]
    repaired = revive(list(weights), list(biases), X)

    assert all(map(torch.equal, (*weights, X), copies)), (
        "revive changed the weights or X: nothing but new biases may come back"
    )
    assert all(map(torch.equal, biases, copies[6:])), (
        "revive changed a bias in place: clone it before you change it"
    )
    assert len(repaired) == 5, "return a list of five biases"
    before, after = fractions_on(weights, biases, X), fractions_on(weights, repaired, X)
    h = X
    for weight, old, new, on in zip(weights, biases, repaired, before):
        dead = (on == 0) | ((h @ weight.T + old).amax(dim=0) <= 0)
        assert torch.equal(new[~dead], old[~dead]), "a unit that is not dead has got another bias"
        h = torch.relu(h @ weight.T + new)
    assert torch.equal(repaired[-1], biases[-1]), "the biases of the last layer have changed"
    for name, on in (("before", before), ("after", after)):
        dead = ", ".join(f"{layer.eq(0).float().mean():.0%}" for layer in on)
        print(f"   dead {name}, layer by layer: {dead}")
    assert after.eq(0).float().mean() <= 0.45, "more than 45% of the units are still dead"
    assert after.eq(0).float().mean() <= 0.01, (
        "more than 1% of the units are still dead: did you lift those with negative weights, and go from front to back?"
    )
    on = after[before == 0]
    assert ((on >= 0.05) & (on <= 0.95)).float().mean() >= 0.92, (
        "too many of the units that were dead are on for hardly any example, or for nearly all"
    )
    weights, repaired = train(weights, repaired, X, y, steps=200)
    right = (logits(weights, repaired, images[test_rows]).argmax(dim=1) == labels[test_rows]).float().mean()
    print(f"   after 200 steps it reads {right:.1%} of the digits that it has never seen")
    assert right >= 0.9, "less than 90%"


# %% [markdown]
# **Done?** *Restart the kernel and run all cells*: the grader does the same. Then commit and push.
#
# To take home: a gradient goes through a unit only where the unit has a slope, and reaches a weight only where the weight has an input. All of
# initialisation, normalisation and residual connections, the next homeworks, is about keeping both alive.
