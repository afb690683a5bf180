# %% [markdown]
# # Build your own autograd
#
# `loss.backward()` looks like magic, and is none: it is the chain rule, kept in order. In this homework you build the machine that does it,
# out of nothing but NumPy: first the walk through a computation from its end to its beginning (section 1), then a number that remembers how
# it was made (2), then an array that does (3 and 4), a loss (5), and an instrument that tells a right gradient from a wrong one (6). In the
# end a neural network learns to read digits with *your* engine, and with nothing else (7).
#
# **How it works.** Each section has an idea, a stub to fill in, and a check. Replace `raise NotImplementedError` by your code, run the
# cell, run the check below it. `✓` is right, `✗` tells you in words what is wrong, `…` is still to do. The hidden tests ask for the same
# properties with other numbers and shapes, so when all checks say `✓` you are very likely done. You get points for every function that
# works, so leave a stub you cannot solve as it is and go on.
#
# **House rules**, for the whole notebook:
#
# * NumPy and Python's own library only. `torch`, `jax`, `scipy` and whatever else knows how to differentiate, or to do the work for you, is
#   forbidden; a single use of it costs the section that it stands in.
# * Everything is computed in `float64`.
# * Arguments are never changed in place. (What `push` adds to is a gradient, not an argument. And `gradcheck` may move an entry of an
#   input, if it puts the old number back.)
# * The classes come with a skeleton: `data`, `grad`, `parents`, `push`. Add what you like, but keep these four as they are described. The
#   hidden tests look at them.
#
# | section | points | rests on |
# |---|---|---|
# | 1 In which order? | 10 | |
# | 2 A number that remembers | 20 | |
# | 3 Undoing a broadcast | 10 | |
# | 4 An array that remembers | 25 | 3 |
# | 5 The loss | 10 | 4 |
# | 6 Trust, but measure: an instrument, and one prediction | 8 + 2 | |
# | 7 Boss: train | 15 | 1, 4, 5 |

# %%
import math
import time
import traceback
from pathlib import Path

import numpy as np

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
    arrays = [array for array in arguments if isinstance(array, np.ndarray)]
    copies = [array.copy() for array in arrays]
    result = f(*arguments, **keywords)
    assert all(map(np.array_equal, arrays, copies)), (
        f"{f.__name__} changed its argument in place: compute a new array instead"
    )
    return result


def agrees(actual, expected, hint, rtol=1e-6, atol=1e-7):
    """Are these numbers, of the right shape, finite, and (only then) right?"""
    assert isinstance(actual, (int, float, np.ndarray, np.number)), (
        f"numbers were asked for, not a {type(actual).__name__}. {hint}"
    )
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"the shape is {actual.shape}, not {expected.shape}. {hint}"
    assert np.isfinite(actual).all(), f"there is a NaN or an infinity in the result. {hint}"
    assert np.allclose(actual, expected, rtol=rtol, atol=atol), hint


# %% [markdown]
# ## 1. In which order? (10 points)
#
# Take $y = (a + b)\cdot b$. Computing it leaves a trail, a graph of *nodes*:
#
# ```
#   a ──►┌─────┐
#        │ a+b │──►┌─────┐
#   b ─┬►└─────┘   │  y  │
#      └──────────►└─────┘
# ```
#
# In this notebook a **node** is any object with
#
# * `parents`: the nodes that it was computed from, a tuple (empty for an input);
# * `grad`: the gradient of the final result with respect to this node, as far as it is known;
# * `push(grad)`: a function. It is told the gradient of the final result with respect to this node, and *adds* to the `grad` of each parent
#   the parent's share of it: the chain rule, one step back.
#
# Each node knows only its neighbours, and that is enough, if they push in the right order. Here `b` is used twice. The node `a+b` may push
# only after `y` has, for before that its own gradient is not complete. In general:
#
# > A node may push only when *all* nodes that were computed from it have pushed.
#
# A list in which every node comes after its parents is called a **topological order**. Walk it from the end to the beginning, and the rule is
# kept. There are two well-known ways to find one. Either go deep first, and write a node down *when you leave it*, that is, when all of its
# parents have been written down. Or count for every node how many consumers it still waits for. (To write nodes down as you meet them is
# neither, and wrong.)
#
# Two things to watch. Many paths may lead to one node, so remember which ones you have seen, or you walk all of them: 40 diamonds in a row
# have 10¹² paths. And a network over a long text is a chain of many thousand nodes, but a Python function that calls itself gives up at a
# depth of about 1,000. So no recursion: a list makes a fine stack.


# %%
def topological_order(root):
    """Every node that root was computed from, root too, each once, and each after all of its parents.

    root: a node, that is, something with `parents`, as above. Two nodes are the same if they are one object (`is`; `id(node)` is a
    number to remember it by), whatever `==` says of them. A node may be twice among the parents of another: x + x.
    Returns a list, root last. Of several such orders, each is right.

    Not recursive: no function calls itself, and a chain of 20,000 nodes is put in order like any other. (A higher
    sys.setrecursionlimit is no way out.) The time grows in proportion to the number of nodes and parents, not with the
    number of paths, nor with the square of the number of nodes.
    """
    ### BEGIN SOLUTION
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, parents_are_there = stack.pop()
        if parents_are_there:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order
    ### END SOLUTION


def backward(root):
    """Run the gradient back from root, whose grad has been set by the caller.

    Calls node.push(node.grad) on every node that root was computed from, root first, each once, and each after all nodes that were
    computed from it. (Nodes without parents have nothing to push, and may be left out.) Returns nothing.
    """
    ### BEGIN SOLUTION
    for node in reversed(topological_order(root)):
        node.push(node.grad)
    ### END SOLUTION


# %% tags=["check"]
class Dot:
    """A node for the checks of this section: every parent gets the gradient as it is."""

    def __init__(self, name, *parents):
        self.name, self.parents, self.grad, self.pushed = name, parents, 0, 0

    def push(self, grad):
        self.pushed += 1
        for parent in self.parents:
            parent.grad += grad


def example():
    """a, b, and y = (a + b) * b with a detour, in the order in which they were made."""
    a, b = Dot("a"), Dot("b")
    c = Dot("a+b", a, b)
    d = Dot("b+b", b, b)
    e = Dot("d+c", d, c)
    return a, b, c, d, e, Dot("y", c, b, e)


@check("topological_order: every node once, after its parents")
def _():
    nodes = example()
    order = topological_order(nodes[-1])
    assert isinstance(order, list), f"return a list, not a {type(order).__name__}"
    names = [getattr(node, "name", "?") for node in order]
    assert len(names) == len(set(names)), f"a node stands in it more than once: {names}"
    assert set(names) == {node.name for node in nodes}, (
        f"not every node is in it, or something else is: {names}"
    )
    for node in order:
        for parent in node.parents:
            assert names.index(parent.name) < names.index(node.name), (
                f"{node.name} before its parent {parent.name}: {names}"
            )


@check("topological_order: 15 diamonds in a row, and a chain of 20,000")
def _():
    node = Dot("input")
    for _ in range(15):
        node = Dot("join", Dot("left", node), Dot("right", node))
    assert len(topological_order(node)) == 46, (
        "46 nodes, but 32,768 paths: look at each node once, not once a path"
    )
    node = Dot("input")
    for _ in range(20_000):
        node = Dot("link", node)
    assert len(topological_order(node)) == 20_001, "a chain of 20,001 nodes"


@check("topological_order: no function calls itself")
def _():
    depths = []

    class Watched(Dot):
        @property
        def parents(self):
            depths.append(sum(1 for _ in traceback.walk_stack(None)))
            return self.before

        @parents.setter
        def parents(self, before):
            self.before = before

    node = Watched("input")
    for _ in range(300):
        node = Watched("link", node)
    topological_order(node)
    assert max(depths) - min(depths) < 100, (
        "in a chain, each node is reached by one more function inside another: use a list as a stack"
    )


@check("topological_order: two nodes are the same only if they are one object")
def _():
    class Twin(Dot):
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 0

    a, b = Twin("a"), Twin("b")
    assert len(topological_order(Twin("y", a, b, a))) == 3, (
        "three nodes, all == to each other: remember id(node), not the node, and compare with `is`, not with == or `in`"
    )


@check("topological_order: four times the nodes take about four times as long")
def _():
    chains = {}
    for length in (2_000, 8_000):
        node = Dot("input")
        for _ in range(length):
            node = Dot("link", node)
        chains[length] = node
    seconds = {2_000: [], 8_000: []}
    for _ in range(5):
        for length, node in chains.items():
            start = time.perf_counter()
            topological_order(node)
            seconds[length].append(time.perf_counter() - start)
    assert min(seconds[8_000]) < 9 * min(seconds[2_000]), (
        "it takes much longer than that: `in` a list looks at all of the list; a set of id(node) knows at once"
    )


@check("backward: every node pushes once, and when its gradient is complete")
def _():
    nodes = example()
    nodes[-1].grad = 1
    backward(nodes[-1])
    assert all(node.pushed == 1 for node in nodes if node.parents), "not every node has pushed exactly once"
    assert [node.grad for node in nodes] == [2, 5, 2, 1, 1, 1], (
        f"the grads are {[node.grad for node in nodes]}, but y reaches the nodes on 2, 5, 2, 1, 1, 1 paths. "
        "Did a node push before its gradient was complete?"
    )


# %% [markdown]
# ## 2. A number that remembers (20 points)
#
# Now the nodes. A `Value` is a number that remembers what it was computed from. Python lets a class say what `+` means, so that
# `(a + b) * b` is an ordinary line of code, and leaves a graph behind.
#
# Every operation does the same three things: compute the number, name the parents, and say how a gradient goes back. With
# $y = f(a, b)$ and $g = \partial L/\partial y$, what `push(g)` adds is
#
# $$\frac{\partial L}{\partial a} \mathrel{+}= g\cdot\frac{\partial f}{\partial a} \qquad\qquad
# \frac{\partial L}{\partial b} \mathrel{+}= g\cdot\frac{\partial f}{\partial b}$$
#
# `+=` and not `=`: an input that is used twice, as in `x + x`, gets a share on each path, and the sum is its gradient.
#
# A number may stand on either side: `a - 2` and `2 - a`. For the second, Python asks the `2` first, which has never heard of a `Value`, and
# then calls `a.__rsub__(2)`, the *reflected* operation.
#
# You need not write every operation from its derivative: `a - b` is `a + (-b)`, and $a / b$ is $a \cdot b^{-1}$.
#
# The hidden tests of this section and the next ones walk the graph themselves. They count also when section 1 is not there yet. (The checks below need it.)


# %%
def as_value(x):
    """x, if it is a Value, else a Value of the number x."""
    return x if isinstance(x, Value) else Value(x)


class Value:
    """A number that remembers how it was made.

    data: the number. grad: the gradient of some final result with respect to it; 0 (or None) before anything arrives.
    parents: a tuple of the Values it was computed from. push(grad): adds to the grad of each parent its share; see section 1.

    `other` is a Value or a plain number (int or float), below. Every operation returns a new Value and changes no operand's data.
    """

    def __init__(self, data, parents=(), push=lambda grad: None):
        self.data = float(data)
        self.grad = 0.0
        self.parents = parents
        self.push = push

    def backward(self):
        """The gradient of this Value with respect to all it was computed from; adds to what is in their grad.

        Call it once per graph: what is left in the grad of the nodes in between would be pushed a second time.
        """
        self.grad = 1.0
        backward(self)

    def __add__(self, other):
        """self + other"""
        ### BEGIN SOLUTION
        other = as_value(other)

        def push(grad):
            self.grad += grad
            other.grad += grad

        return Value(self.data + other.data, (self, other), push)
        ### END SOLUTION

    def __mul__(self, other):
        """self * other"""
        ### BEGIN SOLUTION
        other = as_value(other)

        def push(grad):
            self.grad += grad * other.data
            other.grad += grad * self.data

        return Value(self.data * other.data, (self, other), push)
        ### END SOLUTION

    def __pow__(self, other):
        """self ** other.

        For a plain number `other`, self may be negative where that gives a real number: (-2) ** 3, (-2) ** -1. It may be 0
        where `other` is 1 or more: 0 ** 2, 0 ** 1. (0 ** 0, and 0 to the power of anything else below 1, is not asked for.)
        For a Value `other`, self is positive, and *both* get a gradient.
        """
        ### BEGIN SOLUTION
        exponent = as_value(other)
        data = self.data**exponent.data

        def push(grad):
            self.grad += grad * exponent.data * self.data ** (exponent.data - 1)
            if exponent is other:
                exponent.grad += grad * data * math.log(self.data)

        return Value(data, (self, exponent), push)
        ### END SOLUTION

    def __neg__(self):
        """-self"""
        ### BEGIN SOLUTION
        return self * -1
        ### END SOLUTION

    def __sub__(self, other):
        """self - other"""
        ### BEGIN SOLUTION
        return self + -other
        ### END SOLUTION

    def __truediv__(self, other):
        """self / other"""
        ### BEGIN SOLUTION
        return self * other**-1
        ### END SOLUTION

    def __radd__(self, number):
        """number + self, for a plain number, as in the other four below"""
        ### BEGIN SOLUTION
        return self + number
        ### END SOLUTION

    def __rmul__(self, number):
        """number * self"""
        ### BEGIN SOLUTION
        return self * number
        ### END SOLUTION

    def __rsub__(self, number):
        """number - self"""
        ### BEGIN SOLUTION
        return -self + number
        ### END SOLUTION

    def __rtruediv__(self, number):
        """number / self"""
        ### BEGIN SOLUTION
        return self**-1 * number
        ### END SOLUTION

    def __rpow__(self, number):
        """number ** self, for a positive number"""
        ### BEGIN SOLUTION
        return as_value(number) ** self
        ### END SOLUTION

    def exp(self):
        """e to the power of self"""
        ### BEGIN SOLUTION
        data = math.exp(self.data)

        def push(grad):
            self.grad += grad * data

        return Value(data, (self,), push)
        ### END SOLUTION

    def tanh(self):
        """The hyperbolic tangent, which is ±1 for ±1000, and no overflow."""
        ### BEGIN SOLUTION
        data = math.tanh(self.data)

        def push(grad):
            self.grad += grad * (1 - data**2)

        return Value(data, (self,), push)
        ### END SOLUTION

    def relu(self):
        """self where positive, else 0. At 0 exactly the slope is not tested."""
        ### BEGIN SOLUTION
        slope = float(self.data > 0)

        def push(grad):
            self.grad += grad * slope

        return Value(self.data * slope, (self,), push)
        ### END SOLUTION


# %% tags=["check"]
def check_slopes(says, expression, *numbers, hint, plain=None):
    """Compares an expression of Values with the same of plain numbers, and its gradients with differences."""

    @check(says)
    def _():
        f = plain or expression
        values = [Value(number) for number in numbers]
        result = expression(*values)
        assert isinstance(result, Value), f"the result must be a Value, not a {type(result).__name__}"
        agrees(result.data, f(*numbers), f"the value is wrong. {hint}")
        result.backward()
        for i, value in enumerate(values):
            up, down = (f(*numbers[:i], numbers[i] + step, *numbers[i + 1 :]) for step in (1e-5, -1e-5))
            arrived = 0.0 if value.grad is None else value.grad
            agrees(arrived, (up - down) / 2e-5, f"the gradient of input {i + 1} is wrong. {hint}")


check_slopes("a + b", lambda a, b: a + b, 1.5, -2.0, hint="both get the gradient as it is")
check_slopes("a * b", lambda a, b: a * b, 1.5, -2.0, hint="each gets the gradient times the other")
check_slopes("a - b", lambda a, b: a - b, 1.5, -2.0, hint="the second gets the opposite sign")
check_slopes("a / b", lambda a, b: a / b, 1.5, -2.0, hint="the slope for b is -a/b²")
check_slopes("-a", lambda a: -a, 1.5, hint="the slope is -1")
check_slopes("a ** 3", lambda a: a**3, -1.7, hint="n a^(n-1), also for a negative a")
for n in (1, 2):
    check_slopes(
        f"a ** {n} where a is 0", lambda a, n=n: a**n, 0.0, hint="n a^(n-1), and nothing is divided by a"
    )
check_slopes("a ** b", lambda a, b: a**b, 1.7, -0.6, hint="the slope for b is a^b log(a)")
check_slopes("a.exp()", lambda a: a.exp(), 0.8, plain=math.exp, hint="the slope of exp is exp")
check_slopes("a.tanh()", lambda a: a.tanh(), 0.8, plain=math.tanh, hint="1 - t², where t is what comes out")
check_slopes("a.tanh() for a huge a", lambda a: a.tanh(), -800.0, plain=math.tanh, hint="it is ±1 far out")
check_slopes("a.relu()", lambda a: a.relu(), 0.8, plain=lambda a: a, hint="slope 1 for a positive a")
check_slopes(
    "a.relu() for a negative a", lambda a: a.relu(), -0.8, plain=lambda a: 0.0, hint="value and slope are 0"
)
for says, number_beside in {
    "a + 2, a - 2, a * 2, a / 2": lambda a: (a + 2) * (a - 2) + (a * 2) * (a / 2),
    "2 + a, 2 - a, 2 * a, 2 / a, 2 ** a": lambda a: (2 + a) * (2 - a) + (2 * a) * (2 / a) + 2**a,
}.items():
    check_slopes(says, number_beside, 1.3, hint="plain numbers, on the left or on the right")
check_slopes("x + x", lambda x: x + x, 1.3, hint="gradients accumulate: +=, not =")
check_slopes(
    "a diamond, and three consumers at different depths",
    lambda a, b: ((a * b).tanh() * a - b).exp() * (a * b) + a,
    0.7,
    -1.2,
    plain=lambda a, b: math.exp(math.tanh(a * b) * a - b) * (a * b) + a,
    hint="gradients accumulate: +=, not =",
)

# %% [markdown]
# ## 3. Undoing a broadcast (10 points)
#
# Numbers one by one are slow. From here on a node holds a whole array, and there is only one new idea in that. When NumPy adds a bias of
# shape `(5,)` to a batch of shape `(3, 5)`, it *repeats* the bias three times. The gradient that comes back has shape `(3, 5)`, but the bias has five
# entries. Each was used three times, and so it gets the sum of three gradients.
#
# NumPy's rule: shapes are aligned at their *ends*. Where one array has fewer dimensions, it is repeated along new ones in front; where it
# has size 1 and the other more, it is repeated along that dimension. So to go back, sum over both.


# %%
def unbroadcast(grad, shape):
    """The gradient for an array of this shape that was broadcast to the shape of grad: what was repeated is summed.

    grad: array; shape: a tuple that NumPy broadcasts to grad.shape, such as (5,) or (3, 1) or () to (3, 5).
    Returns an array of exactly this shape. Where nothing was repeated this is grad, or a copy of it.
    (For the shape (), a NumPy number is as good as an array.)
    """
    ### BEGIN SOLUTION
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return grad.sum(axis=repeated, keepdims=True)
    ### END SOLUTION


# %% tags=["check"]
@check("unbroadcast sums what was repeated")
def _():
    grad = np.arange(30.0).reshape(2, 3, 5)
    for shape, expected in {
        (2, 3, 5): grad,
        (3, 5): grad.sum(axis=0),
        (5,): grad.sum(axis=(0, 1)),
        (): grad.sum(),
        (2, 1, 5): grad.sum(axis=1, keepdims=True),
        (3, 1): grad.sum(axis=(0, 2))[:, None],
        (1, 1): grad.sum().reshape(1, 1),
    }.items():
        agrees(call(unbroadcast, grad, shape), expected, f"from (2, 3, 5) back to {shape}")


# %% [markdown]
# ## 4. An array that remembers (25 points)
#
# A `Tensor` is a `Value` whose number is an array. What `push` is given, and what it adds, are arrays: the gradient of the final result (a
# single number) with respect to each entry. Most rules you know. The rest follows from one question: *into which entries of the result did
# this entry go, and with which factor?*
#
# * **matmul**: from $C_{ij} = \sum_k A_{ik} B_{kj}$ follows $\bar A = \bar C B^\top$ and $\bar B = A^\top \bar C$, where the bar means "gradient of". In a stack
#   of matrices, $\top$ swaps the *last two* axes, and a matrix that meets a whole stack is broadcast.
# * **sum**: every entry went into one sum, so the gradient of the sum is handed to all of them. First give it back the axes that it lost.
# * **mean**: a sum, and a division by how many were summed.
# * **reshape**, **transpose**: entries change places, so gradients travel back to the old places. (Careful with three axes: the inverse of "first to the
#   end" is "last to the front", not the same again.)
# * **getitem**: gradients go back to the places that were taken. A place that was taken twice gets both, and `g[[1, 1]] += 1` adds only *one* of
#   them. `np.add.at` does what you mean.
#
# And a trap. `self.grad = grad` does not copy: two tensors then share one array, and the next `+=` changes both. In the skeleton, `grad` starts
# as zeros of its own, and `self.grad += …` is safe.


# %%
def as_tensor(x):
    """x, if it is a Tensor, else a Tensor of the number or array x."""
    return x if isinstance(x, Tensor) else Tensor(x)


class Tensor:
    """An array that remembers how it was made.

    data: float64 array. grad: array of the same shape, the gradient of some final result; zeros (or None) before anything arrives.
    parents, push(grad): as in section 1. push neither changes the array it is given nor keeps it as somebody's grad.

    `other` is a Tensor, an array, or a plain number. Every operation returns a new Tensor and changes no operand's data.
    """

    __array_ufunc__ = (
        None  # lets `array + tensor` come here, where NumPy would go through the tensor entry by entry
    )

    def __init__(self, data, parents=(), push=lambda grad: None):
        self.data = np.asarray(data, dtype=np.float64)
        self.grad = np.zeros_like(self.data)
        self.parents = parents
        self.push = push

    def backward(self):
        """The gradient of the sum of all entries (here mostly: one) with respect to all it was computed from. Once per graph."""
        self.grad = np.ones_like(self.data)
        backward(self)

    def __add__(self, other):
        """self + other, broadcast as in NumPy"""
        ### BEGIN SOLUTION
        other = as_tensor(other)

        def push(grad):
            self.grad += unbroadcast(grad, self.data.shape)
            other.grad += unbroadcast(grad, other.data.shape)

        return Tensor(self.data + other.data, (self, other), push)
        ### END SOLUTION

    def __mul__(self, other):
        """self * other, entry by entry, broadcast as in NumPy"""
        ### BEGIN SOLUTION
        other = as_tensor(other)

        def push(grad):
            self.grad += unbroadcast(grad * other.data, self.data.shape)
            other.grad += unbroadcast(grad * self.data, other.data.shape)

        return Tensor(self.data * other.data, (self, other), push)
        ### END SOLUTION

    def __matmul__(self, other):
        """self @ other. Both have at least two axes; those before the last two are a stack, broadcast as in NumPy."""
        ### BEGIN SOLUTION
        other = as_tensor(other)

        def push(grad):
            self.grad += unbroadcast(grad @ other.data.swapaxes(-1, -2), self.data.shape)
            other.grad += unbroadcast(self.data.swapaxes(-1, -2) @ grad, other.data.shape)

        return Tensor(self.data @ other.data, (self, other), push)
        ### END SOLUTION

    # The rest of the arithmetic follows. Nothing to do here.
    def __radd__(self, other):
        return self + other

    def __rmul__(self, other):
        return self * other

    def __rmatmul__(self, other):
        return as_tensor(other) @ self

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + as_tensor(other) * -1.0

    def __rsub__(self, other):
        return self * -1.0 + other

    def sum(self, axis=None, keepdims=False):
        """The sum over an axis (also counted from the end), a tuple of axes, or all of them (None).

        keepdims: the summed axes stay, with size 1. Shapes are as np.sum has them.
        """
        ### BEGIN SOLUTION
        kept = self.data.sum(axis=axis, keepdims=True)

        def push(grad):
            self.grad += grad.reshape(kept.shape)

        return Tensor(kept if keepdims else kept.squeeze(axis), (self,), push)
        ### END SOLUTION

    def mean(self, axis=None, keepdims=False):
        """The mean over an axis, a tuple of axes, or all of them; as np.mean. (There is no `/`: multiply by 1/n.)"""
        ### BEGIN SOLUTION
        total = self.sum(axis, keepdims)
        return total * (total.data.size / self.data.size)
        ### END SOLUTION

    def reshape(self, *shape):
        """The same entries in another shape, given as numbers: t.reshape(2, -1)."""
        ### BEGIN SOLUTION

        def push(grad):
            self.grad += grad.reshape(self.data.shape)

        return Tensor(self.data.reshape(*shape), (self,), push)
        ### END SOLUTION

    def transpose(self, *axes):
        """The axes in another order, as numbers: axis i of the result is axis axes[i] of self. Without any: turned round.

        axes: each of 0, …, ndim - 1 once; as np.transpose.
        """
        ### BEGIN SOLUTION

        def push(grad):
            self.grad += grad.transpose(*np.argsort(axes))

        return Tensor(self.data.transpose(*axes), (self,), push)
        ### END SOLUTION

    def exp(self):
        """e to the power of each entry"""
        ### BEGIN SOLUTION
        data = np.exp(self.data)

        def push(grad):
            self.grad += grad * data

        return Tensor(data, (self,), push)
        ### END SOLUTION

    def log(self):
        """The natural logarithm of each entry, all of them positive"""
        ### BEGIN SOLUTION

        def push(grad):
            self.grad += grad / self.data

        return Tensor(np.log(self.data), (self,), push)
        ### END SOLUTION

    def relu(self):
        """Each entry where it is positive, else 0. At 0 exactly the slope is not tested."""
        ### BEGIN SOLUTION
        slope = self.data > 0

        def push(grad):
            self.grad += grad * slope

        return Tensor(self.data * slope, (self,), push)
        ### END SOLUTION

    def __getitem__(self, index):
        """self[index], for whatever NumPy takes as an index: numbers, slices, `...`, None, arrays of integers or booleans.

        An entry that is taken several times gets the sum of its gradients.
        """
        ### BEGIN SOLUTION

        def push(grad):
            np.add.at(self.grad, index, grad)

        return Tensor(self.data[index], (self,), push)
        ### END SOLUTION


# %% tags=["check"]
def check_tensor(says, expression, plain, *shapes, hint):
    """Compares an expression of Tensors with the same one of arrays, and its gradients with differences.

    The result is multiplied by random numbers before it is summed: with a gradient of ones, many a mistake cannot be seen.
    """

    @check(says)
    def _():
        random = np.random.default_rng(0)
        arrays = [np.asarray(random.uniform(0.5, 2, size=shape)) for shape in shapes]
        copies = [array.copy() for array in arrays]
        tensors = [Tensor(array) for array in arrays]
        result = expression(*tensors)
        assert isinstance(result, Tensor), f"the result must be a Tensor, not a {type(result).__name__}"
        agrees(result.data, plain(*arrays), f"the value is wrong. {hint}")
        result.grad = cotangent = random.normal(size=result.data.shape)
        given = np.copy(cotangent)
        backward(result)
        for i, (tensor, array) in enumerate(zip(tensors, copies)):
            difference = np.zeros(array.shape)
            for place in np.ndindex(array.shape):
                ends = []
                for step in (1e-5, -1e-5):
                    moved = array.copy()
                    moved[place] += step
                    ends.append((plain(*copies[:i], moved, *copies[i + 1 :]) * given).sum())
                difference[place] = (ends[0] - ends[1]) / 2e-5
            arrived = np.zeros(array.shape) if tensor.grad is None else tensor.grad
            agrees(arrived, difference, f"the gradient of input {i + 1} of {len(tensors)} is wrong. {hint}")
            assert np.array_equal(array, tensor.data), "the data of an input has changed"
        assert np.array_equal(cotangent, given), "push changed the gradient that it was given"


def check_same(says, expression, *shapes, hint):
    check_tensor(says, expression, expression, *shapes, hint=hint)


check_same("a + b, broadcast", lambda a, b: a + b, (3, 1, 4), (2, 1), hint="unbroadcast each gradient")
check_same("a * b, broadcast", lambda a, b: a * b, (3, 1, 4), (2, 1), hint="the gradient times the *other*")
check_same(
    "numbers and arrays beside it", lambda a: 2 * (a + 1) - np.arange(3.0) * a, (2, 3), hint="as_tensor"
)
check_same("a @ b", lambda a, b: a @ b, (2, 3), (3, 4), hint="ā = c̄ bᵀ, b̄ = aᵀ c̄")
check_same(
    "a @ b for stacks",
    lambda a, b: a @ b,
    (5, 1, 2, 3),
    (2, 3, 4),
    hint="ᵀ swaps the last two axes; unbroadcast",
)
for axis, keep in ((None, False), (1, False), (-1, True), ((0, 2), False)):
    arguments = f"axis={axis}, keepdims={keep}"
    check_same(
        f"sum({arguments})",
        lambda a, axis=axis, keep=keep: a.sum(axis=axis, keepdims=keep),
        (2, 3, 4),
        hint="give grad its lost axes back, with size 1",
    )
    check_same(
        f"mean({arguments})",
        lambda a, axis=axis, keep=keep: a.mean(axis=axis, keepdims=keep),
        (2, 3, 4),
        hint="divide by how many went into each mean, in the gradient too",
    )
check_same("reshape", lambda a: a.reshape(4, -1), (2, 3, 2), hint="the gradient gets the old shape")
check_same("transpose(1, 2, 0)", lambda a: a.transpose(1, 2, 0), (2, 3, 4), hint="by the inverse permutation")
check_same("transpose()", lambda a: a.transpose(), (2, 3, 4), hint="all axes turned round")
check_tensor("exp", lambda a: a.exp(), np.exp, (2, 3), hint="the slope of exp is exp")
check_tensor("log", lambda a: a.log(), np.log, (2, 3), hint="the slope is 1/a")
check_tensor(
    "relu", lambda a: (a - 1.2).relu(), lambda a: np.maximum(a - 1.2, 0), (4, 3), hint="slope 1 or 0"
)
check_same("a[1:, ..., 0]", lambda a: a[1:, ..., 0], (3, 2, 2), hint="back to the places that were taken")
check_same(
    "a[[1, 2, 1]]",
    lambda a: a[np.array([1, 2, 1])],
    (4, 2),
    hint="row 1 is taken twice and gets both gradients: np.add.at",
)
check_tensor(
    "gradients accumulate, and nobody shares them",
    lambda a, b: (a + b) + a * b.exp() + (a + a).transpose() @ b,
    lambda a, b: (a + b) + a * np.exp(b) + (a + a).transpose() @ b,
    (3, 3),
    (3, 3),
    hint="add to self.grad; never store an array that somebody else has as well",
)

# %% [markdown]
# ## 5. The loss (10 points)
#
# A classifier gives a number for every class, the *logits* $z$, and softmax makes probabilities of them. The loss is minus the logarithm of the
# probability of the right class $y$, averaged over the examples:
#
# $$L = \frac1n\sum_{i=1}^n -\log\frac{e^{z_{i,y_i}}}{\sum_j e^{z_{ij}}} = \frac1n\sum_{i=1}^n\Big(\log\sum_j e^{z_{ij}} - z_{i,y_i}\Big)$$
#
# Take the right-hand side, and it needs nothing but operations of section 4. One more thought: $e^{1000}$ is infinite, but subtracting the same
# number from all logits of a row changes nothing. And that number is a *constant*, so it needs no gradient. (Or write a node of its own with
# the famous derivative $\partial L/\partial z = (\mathrm{softmax}(z) - \text{one-hot}(y)) / n$. Both are right.)


# %%
def cross_entropy(logits, labels):
    """The cross-entropy of softmax(logits), averaged over the examples.

    logits: Tensor of shape (n, classes); labels: array (n,) of integers of any type, the right classes.
    Returns a Tensor of shape (), through which gradients reach the logits. Value and gradient are right for logits of any
    size, such as ±10,000: no NaN, no infinity.
    """
    ### BEGIN SOLUTION
    shifted = logits - logits.data.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return (shifted.exp().sum(axis=1).log() - chosen).mean()
    ### END SOLUTION


# %% tags=["check"]
def check_loss(says, z, labels, hint):
    @check(says)
    def _():
        logits = Tensor(z)
        loss = call(cross_entropy, logits, labels)
        assert isinstance(loss, Tensor), f"the loss must be a Tensor, not a {type(loss).__name__}"
        shifted = z - z.max(axis=1, keepdims=True)
        softmax = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        one_hot = np.eye(z.shape[1])[labels]
        expected = (np.log(np.exp(shifted).sum(axis=1)) - (shifted * one_hot).sum(axis=1)).mean()
        agrees(loss.data, expected, f"the value is wrong. {hint}")
        (loss * 2).backward()
        agrees(logits.grad, 2 * (softmax - one_hot) / len(z), f"the gradient is wrong. {hint}")


check_loss(
    "cross_entropy",
    np.array([[1.0, -2.0, 0.5], [0.3, 0.2, -1.0]]),
    np.array([2, 0], dtype=np.uint8),
    "the *mean* over the two examples of log Σ exp(z) - z[label]",
)
check_loss(
    "cross_entropy of large logits",
    np.array([[1e4, -1e4, 0.5], [3.0, 2.0, -1.0], [-1e4, -1e4 - 1, -1e4]]),
    np.array([1, 2, 0]),
    "subtract the largest of each row first",
)

# %% [markdown]
# ## 6. Trust, but measure (8 points, and 2 for a prediction)
#
# How do you find out whether a gradient is right? By measuring it. The slope is what $f$ gains on a small step, and it is better measured to
# both sides:
#
# $$\text{one-sided:}\quad \frac{f(x+\varepsilon)-f(x)}{\varepsilon} \qquad\qquad \text{central:}\quad \frac{f(x+\varepsilon)-f(x-\varepsilon)}{2\,\varepsilon}$$
#
# `gradcheck` does this for every entry of every input and compares with the gradient that was claimed. When do the two agree? Not when they differ by
# less than `1e-6`: a function that you multiply by `1e-7` would then have any gradient you like. Compare with the size of the gradient: an entry
# counts as right if its error is at most `1e-4` times the *largest* entry of the gradient for that input. (Not times that entry itself: where the true
# slope is zero, rounding leaves `1e-11` or so, and that is no mistake.)


# %%
def gradcheck(f, inputs, eps=1e-6):
    """Does f return the right gradients at these inputs?

    f: f(*inputs) returns (value, gradients): the value is a number, gradients is a list with one array for each input.
    inputs: list of float64 arrays of any shape, with at least one entry each, which need not be contiguous. They come back as
    they were, bit for bit: work on a copy, or move an entry in place and then put the old number back. f does not change what it
    is given, and can be called at other points.

    Each entry of each input is moved by eps to both sides, and (f(x + eps) - f(x - eps)) / (2 eps) is measured. Returns True if
    there are as many gradients as inputs, and for each input, with the claimed gradient g and the measured slopes s,

        g has the shape of the input,    and    max|g - s| <= 1e-4 * max(max|g|, max|s|)

    (so all zeros agree with all zeros). Returns False otherwise, also when g holds a NaN or an infinity. Tests do not ask for the
    fourth digit: a gradient that ought to be accepted is right to 1e-6 of the largest entry, one that ought to be rejected is
    wrong by 1% of it or more.
    """
    ### BEGIN SOLUTION
    gradients = f(*inputs)[1]
    if len(gradients) != len(inputs):
        return False
    for number, (x, claimed) in enumerate(zip(inputs, gradients)):
        measured = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            ends = []
            for step in (eps, -eps):
                moved = x.copy()
                moved[place] += step
                ends.append(f(*inputs[:number], moved, *inputs[number + 1 :])[0])
            measured[place] = (ends[0] - ends[1]) / (2 * eps)
        largest = max(np.abs(claimed).max(), np.abs(measured).max())
        if np.shape(claimed) != x.shape or not np.abs(claimed - measured).max() <= 1e-4 * largest < np.inf:
            return False
    return True
    ### END SOLUTION


# %% tags=["check"]
def check_gradcheck(says, value, right, wrong, inputs, hint):
    @check(says)
    def _():
        copies = [x.copy() for x in inputs]
        for gradient, expected in ((right, True), (wrong, False)):
            answer = gradcheck(lambda *x, claimed=gradient: (value(*x), claimed(*x)), inputs)
            assert isinstance(answer, (bool, np.bool_)), (
                f"return True or False, not a {type(answer).__name__}"
            )
            assert bool(answer) == expected, (
                "it rejects a right gradient. " if expected else "it accepts a wrong one. "
            ) + hint
        assert all(map(np.array_equal, inputs, copies)), (
            "its inputs did not come back as they were: put the old number back, or work on a copy"
        )


_x = np.linspace(-1.1, 2.3, 6).reshape(2, 3)
_bottom = _x + 2e-6  # an array of its own, that stays where it is when an entry of _x is moved
check_gradcheck(
    "gradcheck: sin",
    lambda x: np.sin(x).sum(),
    lambda x: [np.cos(x)],
    lambda x: [-np.cos(x)],
    [_x],
    "sin(x).sum() has the gradient cos(x)",
)
check_gradcheck(
    "gradcheck: the second of two inputs, not contiguous",
    lambda x, w: (x * w).sum(),
    lambda x, w: [w, x],
    lambda x, w: [w, 1.02 * x],
    [_x, np.linspace(1, 2, 6).reshape(3, 2).T],
    "every input counts, and 2% is wrong",
)
check_gradcheck(
    "gradcheck: a single wrong entry",
    lambda x: (x**3).sum(),
    lambda x: [3 * x**2],
    lambda x: [3 * x**2 + (x == x.max())],
    [_x - _x[0, 1]],
    "every entry counts, and compare with the largest one",
)
for _size in (1e-7, 1e7):
    check_gradcheck(
        f"gradcheck: a function times {_size:g}",
        lambda x, size=_size: size * np.exp(x).sum(),
        lambda x, size=_size: [size * np.exp(x)],
        lambda x, size=_size: [size * 2 * np.exp(x)],
        [_x],
        "compare with the size of the gradient, not with a fixed number",
    )
check_gradcheck(
    "gradcheck: near a minimum",
    lambda x: ((x - _bottom) ** 2).sum(),
    lambda x: [2 * (x - _bottom)],
    lambda x: [-2 * (x - _bottom)],
    [_x],
    "a one-sided difference is off by eps/2 times the curvature: take the central one",
)
check_gradcheck(
    "gradcheck: an input that does not matter, and NaN",
    lambda x, idle: (x**2).sum(),
    lambda x, idle: [2 * x, 0 * idle],
    lambda x, idle: [2 * x, np.nan * idle],
    [_x, np.ones(2)],
    "two gradients of zero agree; NaN agrees with nothing",
)
check_gradcheck(
    "gradcheck: infinity",
    lambda x: (x**2).sum(),
    lambda x: [2 * x],
    lambda x: [np.where(x == x.max(), np.inf, 2 * x)],
    [_x],
    "an infinity was claimed, and infinity <= 1e-4 * infinity is true",
)
check_gradcheck(
    "gradcheck: a gradient for each input",
    lambda x, w: (x * w).sum(),
    lambda x, w: [w.copy(), x.copy()],
    lambda x, w: [w.copy()],
    [_x, _x + 1],
    "there were two inputs and one gradient: count them (zip stops at the shorter list)",
)

# %% [markdown]
# ### Predict, then run
#
# You measure the slope of a smooth function with the *central* difference, once with $\varepsilon = 10^{-2}$ and once with $\varepsilon = 10^{-3}$, ten times
# smaller. **By which factor does the error shrink?** For the one-sided difference it is 10: from
# $f(x+\varepsilon) = f(x) + \varepsilon f'(x) + \tfrac{\varepsilon^2}{2} f''(x) + \tfrac{\varepsilon^3}{6} f'''(x) + \dots$ the first term that is left over is
# $\tfrac{\varepsilon}{2} f''(x)$. Write the same for $f(x-\varepsilon)$, subtract, and see what is left over. Put the number down *before* you run the figure.

# %%
### BEGIN SOLUTION
ANSWERS = {"error_shrinks_by": 100}
### STARTER: ANSWERS = {"error_shrinks_by": None}  # a number: for the central difference, from eps = 1e-2 to 1e-3
### END SOLUTION


# %% tags=["check"]
@check("your prediction")
def _():
    prediction = ANSWERS["error_shrinks_by"]
    if prediction is None:
        raise NotImplementedError
    coarse, fine = (abs((math.exp(eps) - math.exp(-eps)) / (2 * eps) - 1) for eps in (1e-2, 1e-3))
    assert prediction == round(coarse / fine), (
        "not so: which power of eps is left over when you subtract? Or look at the slope in the figure"
    )
    print(f"   exp at 0: an error of {coarse:.1e} with eps = 1e-2, and of {fine:.1e} with eps = 1e-3")


# %% [markdown]
# ### The figure: what a gradient costs, and how good it is
#
# If slopes can be measured, why build an engine? Left, the error of a measured slope: where the curve rises to the right, the step is too
# large; where it rises to the left, the step is so small that the difference drowns in rounding. The engine has no step, and no such dilemma. Right, what it costs: to measure $n$ slopes, $f$ is computed
# $2n$ times. The engine computes it once, and walks back once. A small language model has $10^8$ parameters.


# %% tags=["demo"]
def figure():
    import matplotlib.pyplot as plt

    def f(x):
        return (3 * x).tanh() * x.exp()

    def plain(x):
        return math.tanh(3 * x) * math.exp(x)

    at = 0.4
    exact = (3 / math.cosh(3 * at) ** 2 + math.tanh(3 * at)) * math.exp(at)
    value = Value(at)
    f(value).backward()
    steps = 10.0 ** np.arange(-15, -0.4, 0.25)
    rounding = np.finfo(float).eps
    one_sided = [abs((plain(at + h) - plain(at)) / h / exact - 1) for h in steps]
    central = [abs((plain(at + h) - plain(at - h)) / (2 * h) / exact - 1) for h in steps]
    engine = max(abs(value.grad / exact - 1), rounding)

    def seconds(work, *problem):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            work(*problem)
            times.append(time.perf_counter() - start)
        return min(times)

    def measure(w, x):
        for place in range(len(w)):
            for step in (1e-6, -1e-6):
                moved = w.copy()
                moved[place] += step
                np.log(np.exp(x @ moved).sum())

    def run_back(w, x):
        (Tensor(x) @ Tensor(w)).exp().sum().log().backward()

    sizes = [10, 30, 100, 300, 1000, 3000]
    problems = [(np.zeros((n, 1)), np.random.default_rng(n).normal(size=(8, n))) for n in sizes]
    measured = [seconds(measure, *problem) for problem in problems]
    backwards = [seconds(run_back, *problem) for problem in problems]

    # Okabe and Ito's colours, which the colour-blind can tell apart, and a line style and a mark of its own for each.
    blue, orange, green = "#0072B2", "#D55E00", "#009E73"
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    left.loglog(
        steps,
        np.maximum(one_sided, rounding / 4),
        "o--",
        color=orange,
        markersize=4,
        label="one-sided difference",
    )
    left.loglog(
        steps, np.maximum(central, rounding / 4), "s-", color=blue, markersize=4, label="central difference"
    )
    left.axhline(engine, color=green, linestyle="-.", linewidth=2, label="backward(), which has no ε")
    left.set(
        title="How good is the slope of tanh(3x)·exp(x) at 0.4?",
        xlabel="step ε",
        ylabel="relative error of the slope",
    )
    right.loglog(sizes, measured, "s-", color=blue, label="central differences")
    right.loglog(sizes, backwards, "^-.", color=green, label="backward()")
    right.set(
        title="How long does a gradient take?",
        xlabel="number of parameters",
        ylabel="time for one gradient, in seconds",
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    plt.show()


try:
    figure()
except NotImplementedError:
    print("The figure appears when sections 1 to 4 are there.")
except Exception as error:
    print(f"No figure yet: {type(error).__name__}: {error}. It needs sections 1 to 4 to be right.")

# %% [markdown]
# ## 7. Boss: train (15 points)
#
# Everything is there. You say what the network computes; your engine says how to make it better.
#
# The task: handwritten digits, 8×8 pixels, and *half of the images are inverted*, white on black or black on white. This is easy for you, and
# impossible for a linear model: whatever weight it gives to a pixel, what speaks for a 7 in one half speaks against it in the other. (On ordinary digits a
# linear model reads 97%, here at most about 30%. So a network that reads these digits really is one: without its bends, it *is* linear.)
#
# We hold the parameters, choose the batches and take the steps: 500 of them, on batches of 64, by gradient descent with momentum. All that you are
# asked for, at each step, is the loss and its gradients.


# %%
def loss_and_gradients(parameters, x, y):
    """The loss of a network on a batch, and its gradients, by your own engine.

    parameters: list [W1, b1, W2, b2, …] of float64 arrays, for any number of layers (one is the least): W is (inputs, outputs), b is (outputs,).
    x: (n, inputs of W1) float64 array; y: (n,) integer labels.
    Each layer computes h @ W + b, and each but the last then relu. The loss is cross_entropy of what the last one gives.

    Returns (loss, gradients): a number (loss.data, say, not a Tensor), and a list of arrays: for each parameter the gradient, of
    its shape. Nothing is changed in place, and nothing is left over from one call to the next.
    Make a Tensor of each parameter and let backward() do the work: the tests see to it that gradients come from Tensors.

    What counts: loss and gradients are right, for any number of layers (3 points). After 500 steps of gradient descent the
    64-128-10 network reads at least 70%, 85%, 91% of new digits, the median of three trainings (4 points each).
    """
    ### BEGIN SOLUTION
    tensors = [Tensor(parameter) for parameter in parameters]
    *hidden, (last_W, last_b) = zip(tensors[::2], tensors[1::2])
    h = Tensor(x)
    for W, b in hidden:
        h = (h @ W + b).relu()
    loss = cross_entropy(h @ last_W + last_b, y)
    loss.backward()
    return loss.data, [tensor.grad for tensor in tensors]
    ### END SOLUTION


# %%
def digits():
    """1,797 handwritten digits of 8×8 pixels: images (n, 64) in [0, 1], labels (n,). (Nothing to do in this cell.)"""
    if Path("digits.npz").exists():
        with np.load("digits.npz") as file:
            images, labels = file["images"], file["labels"]
    else:  # a notebook opened alone, as in Colab
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
    return images / 16.0, labels.astype(np.int64)


def predict(parameters, h):
    """What a network says of the images h, in plain NumPy."""
    for W, b in zip(parameters[:-2:2], parameters[1:-2:2]):
        h = np.maximum(h @ W + b, 0)
    return h @ parameters[-2] + parameters[-1]


def new_network(sizes, random):
    parameters = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        parameters += [random.normal(size=(inputs, outputs)) * np.sqrt(2 / inputs), np.zeros(outputs)]
    return parameters


# %% tags=["check"]
@check("loss_and_gradients: right for one, two and three layers, says your gradcheck")
def _():
    random = np.random.default_rng(0)
    for sizes in ((4, 3), (4, 6, 3), (4, 6, 5, 3)):
        # No bias is 0: behind a layer of units that are all off, it would put the next relu on its kink.
        parameters = [p + 0.1 * random.normal(size=p.shape) for p in new_network(sizes, random)]
        x, y = random.normal(size=(7, 4)), random.integers(3, size=7)
        copies = [p.copy() for p in parameters]
        loss, gradients = loss_and_gradients(parameters, x, y)
        assert all(map(np.array_equal, parameters, copies)), "it changed the parameters"
        logits = predict(parameters, x)
        expected = (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(7), y]).mean()
        agrees(loss, expected, f"the loss of a network of {len(sizes) - 1} layers is wrong")
        assert len(gradients) == len(parameters), "return a gradient for each parameter"
        assert gradcheck(lambda *p, x=x, y=y: loss_and_gradients(list(p), x, y), parameters), (
            f"a gradient is wrong in a network of {len(sizes) - 1} layers"
        )
        again = loss_and_gradients(parameters, x, y)[1]
        assert all(map(np.allclose, gradients, again)), (
            "the second call gives something else: does a gradient stay from the first?"
        )


@check("a network learns to read, dark on light or light on dark")
def _():
    random = np.random.default_rng(1)
    images, labels = digits()
    dark = random.random(len(images)) < 0.5
    images = np.where(dark[:, None], 1 - images, images)
    rows = random.permutation(len(images))
    parameters = new_network((64, 128, 10), random)
    speeds = [np.zeros_like(p) for p in parameters]
    for step in range(500):
        batch = rows[random.integers(1297, size=64)]
        loss, gradients = loss_and_gradients(parameters, images[batch], labels[batch])
        for p, speed, gradient in zip(parameters, speeds, gradients):
            speed *= 0.9
            speed += gradient
            p -= 0.05 * speed
        if step % 100 == 0 or step == 499:
            print(f"   step {step:3}: loss {float(loss):.3f}")
    new = rows[1297:]
    right = (predict(parameters, images[new]).argmax(axis=1) == labels[new]).mean()
    print(f"   it reads {right:.1%} of the digits that it has never seen")
    assert right >= 0.91, "less than 91%"


# %% [markdown]
# **Done?** *Restart the kernel and run all cells*: the grader does the same. Then commit and push.
#
# To take home: an engine for gradients is a graph, an order, and a list of local rules. PyTorch has a thousand rules where your Tensor has eleven, and
# runs them on other machines, but there is no more to the idea. You will never again have to take `loss.backward()` on trust.
