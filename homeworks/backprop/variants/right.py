# %% [topo] counting consumers (Kahn), with a deque and dictionaries
from collections import Counter, deque


def topological_order(root):
    nodes, waiting, found = {id(root): root}, Counter(), deque([root])
    while found:
        for parent in found.popleft().parents:
            waiting[id(parent)] += 1
            if id(parent) not in nodes:
                nodes[id(parent)] = parent
                found.append(parent)
    ready, order = deque([root]), []
    while ready:
        order.append(ready.popleft())
        for parent in order[-1].parents:
            waiting[id(parent)] -= 1
            if waiting[id(parent)] == 0:
                ready.append(parent)
    return order[::-1]


# %% [topo] iterators on the stack, a dictionary from id to node, and leaves left out on the way back
def topological_order(root):
    order, seen, stack = [], {id(root): root}, [(root, iter(root.parents))]
    while stack:
        node, parents = stack[-1]
        for parent in parents:
            if id(parent) not in seen:
                seen[id(parent)] = parent
                stack.append((parent, iter(parent.parents)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def backward(root):
    order = topological_order(root)
    while order:
        node = order.pop()
        if node.parents:
            node.push(node.grad)


# %% [value] local slopes in a list; gradients are None before anything arrives, also where none does; parents are a set; more operations than asked
class Value:
    def __init__(self, data, slopes=(), name=""):
        self.data = np.float64(data)
        self.grad = None
        self.slopes = list(slopes)
        self.parents = {node for node, _ in self.slopes}
        self.name = name

    def __repr__(self):
        return f"Value({self.data})"

    def push(self, grad):
        for node, slope in self.slopes:
            node.grad = (0.0 if node.grad is None else node.grad) + grad * slope

    def backward(self):
        self.grad = 1.0
        backward(self)

    @staticmethod
    def wrap(x):
        return x if isinstance(x, Value) else Value(x)

    def __add__(self, other):
        other = Value.wrap(other)
        return Value(self.data + other.data, [(self, 1.0), (other, 1.0)])

    def __sub__(self, other):
        other = Value.wrap(other)
        return Value(self.data - other.data, [(self, 1.0), (other, -1.0)])

    def __mul__(self, other):
        other = Value.wrap(other)
        return Value(self.data * other.data, [(self, other.data), (other, self.data)])

    def __truediv__(self, other):
        other = Value.wrap(other)
        return Value(self.data / other.data, [(self, 1 / other.data), (other, -self.data / other.data**2)])

    def __pow__(self, other):
        if isinstance(other, Value):
            return (self.log() * other).exp()
        return Value(self.data**other, [(self, other * self.data ** (other - 1))])

    def __neg__(self):
        return Value(-self.data, [(self, -1.0)])

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return Value(other) - self

    def __rtruediv__(self, other):
        return Value(other) / self

    def __rpow__(self, other):
        return (self * math.log(other)).exp()

    def exp(self):
        return Value(np.exp(self.data), [(self, np.exp(self.data))])

    def log(self):
        return Value(np.log(self.data), [(self, 1 / self.data)])

    def sin(self):
        return Value(np.sin(self.data), [(self, np.cos(self.data))])

    def tanh(self):
        return Value(np.tanh(self.data), [(self, 1 / np.cosh(np.clip(self.data, -300, 300)) ** 2)])

    def relu(self):
        return self * 1.0 if self.data > 0 else Value(0.0)  # which no gradient goes through, so it has no parents


# %% [value] closures that read the gradient of their own result, as in micrograd
class Value:
    def __init__(self, data, parents=()):
        self.data = data
        self.grad = 0
        self.parents = tuple(parents)
        self._back = None

    def push(self, grad):
        self.grad = grad
        if self._back:
            self._back()

    def backward(self):
        self.grad = 1
        backward(self)

    def _made(self, data, parents, back):
        out = Value(data, parents)
        out._back = lambda: back(out.grad)
        return out

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)

        def back(g):
            self.grad += g
            other.grad += g

        return self._made(self.data + other.data, (self, other), back)

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)

        def back(g):
            self.grad += g * other.data
            other.grad += g * self.data

        return self._made(self.data * other.data, (self, other), back)

    def __pow__(self, other):
        if not isinstance(other, Value):

            def back(g):
                self.grad += g * other * float(self.data) ** (other - 1)

            return self._made(float(self.data) ** other, (self,), back)
        out = self.data**other.data

        def back(g):
            self.grad += g * other.data * out / self.data
            other.grad += g * out * math.log(self.data)

        return self._made(out, (self, other), back)

    def exp(self):
        e = math.exp(self.data)

        def back(g):
            self.grad += g * e

        return self._made(e, (self,), back)

    def tanh(self):
        t = 2 / (1 + math.exp(-2 * abs(self.data))) - 1
        t = t if self.data > 0 else -t

        def back(g):
            self.grad += g * (1 - t) * (1 + t)

        return self._made(t, (self,), back)

    def relu(self):
        def back(g):
            self.grad += g if self.data > 0 else 0

        return self._made(self.data if self.data > 0 else 0, (self,), back)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + other * -1

    def __truediv__(self, other):
        return self * (other**-1 if isinstance(other, Value) else 1 / other)

    def __radd__(self, other):
        return Value(other) + self

    def __rsub__(self, other):
        return Value(other) + self * -1

    def __rmul__(self, other):
        return Value(other) * self

    def __rtruediv__(self, other):
        return Value(other) * self**-1

    def __rpow__(self, other):
        return Value(other) ** self


# %% [unbroadcast] a loop; grad itself where there is nothing to do
def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and grad.shape[axis] > 1:
            grad = grad.sum(axis=axis, keepdims=True)
    return grad


# %% [unbroadcast] all axes at once, then a reshape
def unbroadcast(grad, shape):
    padded = (1,) * (np.ndim(grad) - len(shape)) + tuple(shape)
    axes = tuple(i for i in range(np.ndim(grad)) if padded[i] != grad.shape[i])
    return np.sum(grad, axis=axes).reshape(shape)


# %% [tensor] gradients None before anything arrives, never changed in place; einsum, divisions, and more operations than asked
class Tensor:
    __array_ufunc__ = None

    def __init__(self, data, parents=(), push=None):
        self.data = np.array(data, dtype=np.float64)
        self.grad = None
        self.parents = list(parents)
        self.push = push or (lambda grad: None)

    @property
    def shape(self):
        return self.data.shape

    def give(self, grad):
        grad = unbroadcast(grad, self.data.shape)
        self.grad = grad if self.grad is None else self.grad + grad

    def backward(self):
        self.grad = np.ones_like(self.data)
        backward(self)

    def __add__(self, other):
        other = as_tensor(other)
        return Tensor(self.data + other.data, (self, other), lambda g: (self.give(g), other.give(g)))

    def __sub__(self, other):
        other = as_tensor(other)
        return Tensor(self.data - other.data, (self, other), lambda g: (self.give(g), other.give(-g)))

    def __mul__(self, other):
        other = as_tensor(other)
        return Tensor(
            self.data * other.data, (self, other), lambda g: (self.give(g * other.data), other.give(g * self.data))
        )

    def __truediv__(self, other):
        other = as_tensor(other)
        y = self.data / other.data
        return Tensor(y, (self, other), lambda g: (self.give(g / other.data), other.give(-g * y / other.data)))

    def __matmul__(self, other):
        other = as_tensor(other)

        def push(g):
            self.give(np.einsum("...ij,...kj->...ik", g, other.data))
            other.give(np.einsum("...ij,...ik->...jk", self.data, g))

        return Tensor(np.einsum("...ij,...jk->...ik", self.data, other.data), (self, other), push)

    def __rmatmul__(self, other):
        return as_tensor(other) @ self

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return as_tensor(other) - self

    def __neg__(self):
        return Tensor(-self.data, (self,), lambda g: self.give(-g))

    def sum(self, axis=None, keepdims=False):
        def push(g):
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            self.give(np.broadcast_to(g, self.shape))

        return Tensor(np.sum(self.data, axis=axis, keepdims=keepdims), (self,), push)

    def mean(self, axis=None, keepdims=False):
        axes = range(self.data.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        return self.sum(axis, keepdims) / math.prod(self.shape[a] for a in axes)

    def reshape(self, *shape):
        return Tensor(self.data.reshape(shape), (self,), lambda g: self.give(g.reshape(self.shape)))

    def transpose(self, *axes):
        axes = axes or tuple(reversed(range(self.data.ndim)))
        inverse = [axes.index(i) for i in range(len(axes))]
        return Tensor(self.data.transpose(axes), (self,), lambda g: self.give(np.transpose(g, inverse)))

    def exp(self):
        y = np.exp(self.data)
        return Tensor(y, (self,), lambda g: self.give(g * y))

    def log(self):
        return Tensor(np.log(self.data), (self,), lambda g: self.give(g / self.data))

    def relu(self):
        return Tensor(np.maximum(self.data, 0), (self,), lambda g: self.give(np.where(self.data >= 0, g, 0)))

    def max(self, axis, keepdims=False):
        top = self.data == self.data.max(axis=axis, keepdims=True)
        return (self * top).sum(axis, keepdims)

    def __getitem__(self, index):
        def push(g):
            whole = np.zeros_like(self.data)
            np.add.at(whole, index, g)
            self.give(whole)

        return Tensor(self.data[index], (self,), push)


# %% [tensor] float64 kept by hand; sum by repeating; indexing through the numbers of the places
def _tensor_sum(self, axis=None, keepdims=False):
    axes = tuple(range(self.data.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(a % self.data.ndim for a in axes)
    kept = tuple(1 if a in axes else n for a, n in enumerate(self.data.shape))

    def push(grad):
        self.grad = self.grad + grad.reshape(kept) * np.ones_like(self.data)

    return Tensor(np.add.reduce(self.data, axis=axes, keepdims=keepdims), (self,), push)


def _tensor_getitem(self, index):
    places = np.arange(self.data.size).reshape(self.data.shape)[index]

    def push(grad):
        counted = np.bincount(np.ravel(places), weights=np.ravel(grad), minlength=self.data.size)
        self.grad = self.grad + counted.reshape(self.data.shape)

    return Tensor(self.data.reshape(-1)[places], (self,), push)


Tensor.sum, Tensor.__getitem__ = _tensor_sum, _tensor_getitem


# %% [cross_entropy] a node of its own, with the derivative by hand
def cross_entropy(logits, labels):
    n = len(logits.data)
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def push(grad):
        share = np.exp(log_probabilities)
        share[np.arange(n), labels] -= 1
        logits.grad = logits.grad + grad * share / n

    return Tensor(-log_probabilities[np.arange(n), labels].mean(), (logits,), push)


# %% [cross_entropy] one-hot, logaddexp, and a sum over the batch divided by its size
def cross_entropy(logits, labels):
    one_hot = np.eye(logits.data.shape[1])[np.asarray(labels, dtype=int)]
    constant = np.logaddexp.reduce(logits.data, axis=1, keepdims=True)
    log_p = logits - constant
    log_p = log_p - log_p.exp().sum(axis=1, keepdims=True).log()
    return (log_p * one_hot).sum() * (-1 / len(one_hot))


# %% [gradcheck] a matrix of all moves, errors relative by the norm, another eps
def gradcheck(f, inputs, eps=1e-5):
    inputs = [np.array(x, dtype=np.float64) for x in inputs]
    _, gradients = f(*inputs)
    answer = len(gradients) == len(inputs)
    for i, (x, g) in enumerate(zip(inputs, gradients)):
        if np.asarray(g).shape != x.shape or not np.isfinite(g).all():
            return False
        slopes = []
        for step in np.eye(x.size) * eps:
            around = [f(*inputs[:i], x + s * step.reshape(x.shape), *inputs[i + 1 :])[0] for s in (1, -1)]
            slopes.append((around[0] - around[1]) / (2 * eps))
        error = np.linalg.norm(np.ravel(g) - np.array(slopes))
        answer = answer and error <= 1e-4 * (np.linalg.norm(np.ravel(g)) + np.linalg.norm(slopes))
    return answer


# %% [gradcheck] moves the inputs themselves, and puts the old number back
def gradcheck(f, inputs, eps=1e-6, tolerance=1e-3):
    claimed = [np.array(gradient) for gradient in f(*inputs)[1]]
    for x, gradient in zip(inputs, claimed):
        if len(claimed) != len(inputs) or gradient.shape != x.shape or np.isinf(gradient).any():
            return np.False_
        measured = np.empty_like(x)
        for place in np.ndindex(*x.shape):
            old = x[place]
            x[place] = old + eps
            up = f(*inputs)[0]
            x[place] = old - eps
            down = f(*inputs)[0]
            x[place] = old
            measured[place] = (up - down) / (2 * eps)
        size = np.maximum(np.abs(gradient).max(), np.abs(measured).max())
        if not np.all(np.abs(gradient - measured) <= tolerance * size):
            return np.False_
    return np.True_


# %% [train] a class for the network, a tuple back, and the engine's backward called by its own name
class Layer:
    def __init__(self, W, b):
        self.W, self.b = Tensor(W), Tensor(b)

    def __call__(self, h):
        return h @ self.W + self.b


def loss_and_gradients(parameters, x, y):
    layers = [Layer(*parameters[i : i + 2]) for i in range(0, len(parameters), 2)]
    h = x
    for layer in layers[:-1]:
        h = layer(as_tensor(h)).relu()
    loss = cross_entropy(layers[-1](as_tensor(h)), y)
    loss.grad = np.array(1.0)
    backward(loss)
    return float(loss.data), tuple(p.grad for layer in layers for p in (layer.W, layer.b))


# %% everything anew: float subclasses aside, operators defined by loops over names
def _unary(f, slope):
    def operation(self):
        y = f(self.data)

        def push(grad):
            self.grad = self.grad + grad * slope(self.data, y)

        return type(self)(y, (self,), push)

    return operation


Value.exp = _unary(math.exp, lambda x, y: y)
Value.tanh = _unary(math.tanh, lambda x, y: 1 - y * y)
Value.relu = _unary(lambda x: max(0.0, x), lambda x, y: 0.0 if x < 0 else 1.0)
Tensor.exp = _unary(np.exp, lambda x, y: y)
Tensor.log = _unary(np.log, lambda x, y: 1 / x)
Tensor.relu = _unary(lambda x: np.where(x < 0, 0.0, x), lambda x, y: np.sign(y))


def unbroadcast(grad, shape):
    result = np.zeros(shape)
    views = np.broadcast_to(np.arange(result.size).reshape(shape), np.shape(grad))
    np.add.at(result.reshape(-1), views.reshape(-1), np.reshape(grad, -1))
    return result


def topological_order(root):
    depth, stack, nodes = {}, [root], {}
    while stack:  # the deepest level at which a node is needed, found when all of its parents' levels are known
        node = stack[-1]
        nodes[id(node)] = node
        missing = [parent for parent in node.parents if id(parent) not in depth]
        if missing:
            stack += missing
        else:
            depth[id(node)] = 1 + max((depth[id(parent)] for parent in node.parents), default=0)
            stack.pop()
    return sorted(nodes.values(), key=lambda node: depth[id(node)])
