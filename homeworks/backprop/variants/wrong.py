# %% [topo] pre-order: a node is written down when it is met
# says: when all of its parents are there
def topological_order(root):
    order, seen, stack = [], set(), [root]
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            order.append(node)
            stack.extend(node.parents)
    return order[::-1]


# %% [topo] breadth first
# says: when all of its parents are there
def topological_order(root):
    order = [root]
    for node in order:
        order.extend(parent for parent in node.parents if not any(parent is other for other in order))
    return order[::-1]


# %% [topo] root first
# says: the wrong way round
def topological_order(root):
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order[::-1]


def backward(root):
    for node in topological_order(root):
        node.push(node.grad)


# %% [topo] a shared node visited once a path
# says: more than once
def topological_order(root):
    order, stack = [], [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        else:
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order


# %% [topo] recursion
# says: a list as a stack
def topological_order(root):
    order, seen = [], set()

    def visit(node):
        if id(node) in seen:
            return
        seen.add(id(node))
        for parent in node.parents:
            visit(parent)
        order.append(node)

    visit(root)
    return order


# %% [topo] recursion, with a higher limit
# says: a list as a stack
import sys

sys.setrecursionlimit(10**6)


def topological_order(root):
    order, seen = [], set()

    def visit(node):
        if id(node) not in seen:
            seen.add(id(node))
            for parent in node.parents:
                visit(parent)
            order.append(node)

    visit(root)
    return order


# %% [topo] remembers the nodes themselves
# says: remember id(node), not the node
def topological_order(root):
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order


# %% [topo] looks through the whole list for each node
# says: a set of id(node)
def topological_order(root):
    order, seen, stack = [], [], [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.append(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order


# %% [topo] the root is left out
# says: keep the root
_whole_order = topological_order


def topological_order(root):
    return _whole_order(root)[:-1]


# %% [topo] the leaves are left out
# says: nodes are missing
_whole_order = topological_order


def topological_order(root):
    return [node for node in _whole_order(root) if node.parents]


# %% [topo] a generator
# says: must return a list
_whole_order = topological_order


def topological_order(root):
    return reversed(_whole_order(root)[::-1])


# %% [topo] backward from the front of the list
# says: from its end
def backward(root):
    for node in topological_order(root):
        node.push(node.grad)


# %% [topo] backward leaves the root out
# says: the root is one of them
def backward(root):
    for node in topological_order(root)[-2::-1]:
        node.push(node.grad)


# %% [topo] backward pushes depth first, once for each consumer
# says: more than once
def backward(root):
    stack = [root]
    while stack:
        node = stack.pop()
        node.push(node.grad)
        stack.extend(node.parents)


# %% [topo] backward pushes ones
# says: another number
def backward(root):
    for node in reversed(topological_order(root)):
        node.push(1.0)


# %% [topo] graphlib does the sorting
# says: graphlib
from graphlib import TopologicalSorter


def topological_order(root):
    known, waiting = {id(root): root}, [root]
    while waiting:
        for parent in waiting.pop().parents:
            if id(parent) not in known:
                known[id(parent)] = parent
                waiting.append(parent)
    graph = {name: [id(parent) for parent in node.parents] for name, node in known.items()}
    return [known[name] for name in TopologicalSorter(graph).static_order()]


# %% [value] overwrites instead of accumulating
# says: gradients accumulate
def _add(self, other):
    other = as_value(other)

    def push(grad):
        self.grad = grad
        other.grad = grad

    return Value(self.data + other.data, (self, other), push)


Value.__add__ = _add


# %% [value] product overwrites
# says: gradients accumulate
def _mul(self, other):
    other = as_value(other)

    def push(grad):
        self.grad = grad * other.data
        other.grad = grad * self.data

    return Value(self.data * other.data, (self, other), push)


Value.__mul__ = _mul


# %% [value] functions overwrite: exp, tanh, relu
# says: gradients accumulate
def _overwriting(f, slope):
    def operation(self):
        data = f(self.data)

        def push(grad):
            self.grad = grad * slope(data)

        return Value(data, (self,), push)

    return operation


Value.exp = _overwriting(math.exp, lambda y: y)
Value.tanh = _overwriting(math.tanh, lambda y: 1 - y * y)
Value.relu = _overwriting(lambda x: max(x, 0.0), lambda y: float(y > 0))


# %% [value] only the first parent is named
# says: among the parents
def _mul(self, other):
    other = as_value(other)

    def push(grad):
        self.grad += grad * other.data
        other.grad += grad * self.data

    return Value(self.data * other.data, (self,), push)


Value.__mul__ = _mul


# %% [value] the product's slopes not crossed
# says: times the *other* input
def _mul(self, other):
    other = as_value(other)

    def push(grad):
        self.grad += grad * self.data
        other.grad += grad * other.data

    return Value(self.data * other.data, (self, other), push)


Value.__mul__ = _mul


# %% [value] the gradient from above is forgotten
# says: exp
def _exp(self):
    data = math.exp(self.data)

    def push(grad):
        self.grad += data

    return Value(data, (self,), push)


Value.exp = _exp


# %% [value] sign of d(a/b)/db
# says: -a/b²
def _div(self, other):
    other = as_value(other)

    def push(grad):
        self.grad += grad / other.data
        other.grad += grad * self.data / other.data**2

    return Value(self.data / other.data, (self, other), push)


Value.__truediv__ = _div


# %% [value] a - b pushes +1 to both
# says: the opposite sign
def _sub(self, other):
    other = as_value(other)

    def push(grad):
        self.grad += grad
        other.grad += grad

    return Value(self.data - other.data, (self, other), push)


Value.__sub__ = _sub


# %% [value] number ** Value is missing
# says: __rpow__
del Value.__rpow__

# %% [value] reflected subtraction and division are missing
# says: 2.5 - a
del Value.__rsub__, Value.__rtruediv__

# %% [value] reflected subtraction the wrong way round
# says: the number comes first
Value.__rsub__ = Value.__sub__

# %% [value] reflected division the wrong way round
# says: the number comes first
Value.__rtruediv__ = Value.__truediv__


# %% [value] no number on the right
# says: plain number
def _add(self, other):
    def push(grad):
        self.grad += grad
        other.grad += grad

    return Value(self.data + other.data, (self, other), push)


def _radd(self, number):
    return _add(self, Value(number))


Value.__add__, Value.__radd__ = _add, _radd


# %% [value] a ** b: the exponent gets no gradient
# says: the exponent's slope
def _pow(self, other):
    exponent = as_value(other)

    def push(grad):
        self.grad += grad * exponent.data * self.data ** (exponent.data - 1)

    return Value(self.data**exponent.data, (self, exponent), push)


Value.__pow__ = _pow


# %% [value] a ** n by way of the logarithm: no negative a
# says: a ** n
def _pow(self, other):
    other = as_value(other)
    data = self.data**other.data

    def push(grad):
        self.grad += grad * other.data * data / self.data
        other.grad += grad * data * math.log(self.data)

    return Value(data, (self, other), push)


Value.__pow__ = _pow


# %% [value] a ** n: the slope by dividing by a
# says: with no division by a
_whole_pow = Value.__pow__


def _pow(self, other):
    if isinstance(other, Value):
        return _whole_pow(self, other)
    data = self.data**other

    def push(grad):
        self.grad += grad * other * data / self.data

    return Value(data, (self,), push)


Value.__pow__ = _pow


# %% [value] the power rule for a variable exponent: n a^(n-1) for both
# says: the exponent's slope
def _pow(self, other):
    exponent = as_value(other)
    data = self.data**exponent.data

    def push(grad):
        slope = exponent.data * self.data ** (exponent.data - 1)
        self.grad += grad * slope
        if exponent is other:
            exponent.grad += grad * slope

    return Value(data, (self, exponent), push)


Value.__pow__ = _pow


# %% [value] tanh' of what goes in
# says: what comes *out* of tanh
def _tanh(self):
    def push(grad):
        self.grad += grad * (1 - self.data**2)

    return Value(math.tanh(self.data), (self,), push)


Value.tanh = _tanh


# %% [value] tanh by exp overflows
# says: exp overflows there
def _tanh(self):
    data = (math.exp(2 * self.data) - 1) / (math.exp(2 * self.data) + 1)

    def push(grad):
        self.grad += grad * (1 - data**2)

    return Value(data, (self,), push)


Value.tanh = _tanh


# %% [value] relu lets every gradient through
# says: slope 0
def _relu(self):
    def push(grad):
        self.grad += grad

    return Value(max(self.data, 0.0), (self,), push)


Value.relu = _relu


# %% [value] an operand is changed in place
# says: changed on the way


def _div(self, other):
    other = as_value(other)
    other.data = 1 / other.data
    return self * other


Value.__truediv__ = _div


# %% [value] plain numbers come out of exp
# says: must be a Value
def _exp(self):
    return math.exp(self.data)


Value.exp = _exp


# %% [unbroadcast] leading dimensions kept
# says: shape
def unbroadcast(grad, shape):
    extra = grad.ndim - len(shape)
    for axis, size in enumerate(shape):
        if size == 1:
            grad = grad.sum(axis=axis + extra, keepdims=True)
    return grad


# %% [unbroadcast] kept dimensions forgotten
# says: keepdims=True
def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    return grad


# %% [unbroadcast] keepdims forgotten
# says: came back with shape
def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1 and grad.shape[axis] > 1:
            grad = grad.sum(axis=axis)
    return grad


# %% [unbroadcast] mean for sum
# says: sum
def unbroadcast(grad, shape):
    grad = grad.mean(axis=tuple(range(grad.ndim - len(shape))))
    return grad.mean(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


# %% [unbroadcast] takes the first copy instead of the sum
# says: sum over them
def unbroadcast(grad, shape):
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    return grad[tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)]


# %% [unbroadcast] extra dimensions summed from the end
# says: in front
def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(axis=-1)
    if grad.shape != tuple(shape):
        grad = np.resize(grad, shape)
    return grad


# %% [unbroadcast] a reshape to the smaller shape, the rest summed
# says: sum
def unbroadcast(grad, shape):
    return grad.reshape(-1, *shape).sum(axis=0)


# %% [unbroadcast] in place
# says: in place
_summed = unbroadcast


def unbroadcast(grad, shape):
    grad *= 1.5
    return _summed(grad, shape) / 1.5


# %% [unbroadcast] forgets shape ()
# says: shape
_summed = unbroadcast


def unbroadcast(grad, shape):
    return _summed(grad, shape or (1,))


# %% [tensor] no unbroadcast in the sum
# says: unbroadcast to its own shape
def _add(self, other):
    other = as_tensor(other)

    def push(grad):
        self.grad = self.grad + grad
        other.grad = other.grad + grad

    return Tensor(self.data + other.data, (self, other), push)


Tensor.__add__ = _add


# %% [tensor] no unbroadcast in the product
# says: unbroadcast to its own shape
def _mul(self, other):
    other = as_tensor(other)

    def push(grad):
        self.grad = self.grad + grad * other.data
        other.grad = other.grad + grad * self.data

    return Tensor(self.data * other.data, (self, other), push)


Tensor.__mul__ = _mul


# %% [tensor] overwrites instead of accumulating
# says: gradients accumulate
def _mul(self, other):
    other = as_tensor(other)

    def push(grad):
        self.grad = unbroadcast(grad * other.data, self.data.shape)
        other.grad = unbroadcast(grad * self.data, other.data.shape)

    return Tensor(self.data * other.data, (self, other), push)


Tensor.__mul__ = _mul


# %% [tensor] functions overwrite
# says: gradients accumulate
def _exp(self):
    data = np.exp(self.data)

    def push(grad):
        self.grad = grad * data

    return Tensor(data, (self,), push)


Tensor.exp = _exp


# %% [tensor] matmul transposes swapped
# says: a gets grad @ bᵀ
def _matmul(self, other):
    other = as_tensor(other)

    def push(grad):
        self.grad += unbroadcast(other.data.swapaxes(-1, -2) @ grad, self.data.shape)
        other.grad += unbroadcast(grad @ self.data.swapaxes(-1, -2), other.data.shape)

    return Tensor(self.data @ other.data, (self, other), push)


Tensor.__matmul__ = _matmul


# %% [tensor] matmul by .T: no stacks
# says: swapaxes
def _matmul(self, other):
    other = as_tensor(other)

    def push(grad):
        self.grad += grad @ other.data.T
        other.grad += self.data.T @ grad

    return Tensor(self.data @ other.data, (self, other), push)


Tensor.__matmul__ = _matmul


# %% [tensor] matmul of stacks, but none that is broadcast
# says: a matrix that met a whole stack
def _matmul(self, other):
    other = as_tensor(other)

    def push(grad):
        self.grad += grad @ other.data.swapaxes(-1, -2)
        other.grad += self.data.swapaxes(-1, -2) @ grad

    return Tensor(self.data @ other.data, (self, other), push)


Tensor.__matmul__ = _matmul


# %% [tensor] sum without giving the axis back
# says: its summed axes back
def _sum(self, axis=None, keepdims=False):
    def push(grad):
        self.grad += grad

    return Tensor(self.data.sum(axis=axis, keepdims=keepdims), (self,), push)


Tensor.sum = _sum


# %% [tensor] sum ignores keepdims
# says: keepdims=True
def _sum(self, axis=None, keepdims=False):
    kept = self.data.sum(axis=axis, keepdims=True)

    def push(grad):
        self.grad += grad.reshape(kept.shape)

    return Tensor(kept.squeeze(axis), (self,), push)


Tensor.sum = _sum


# %% [tensor] mean without 1/N in the gradient
# says: gradient divided as well
def _mean(self, axis=None, keepdims=False):
    total = self.sum(axis, keepdims)

    def push(grad):
        total.push(grad)

    return Tensor(self.data.mean(axis=axis, keepdims=keepdims), (self,), push)


Tensor.mean = _mean


# %% [tensor] mean divides by the whole size
# says: not by the whole size
def _mean(self, axis=None, keepdims=False):
    return self.sum(axis, keepdims) * (1 / self.data.size)


Tensor.mean = _mean


# %% [tensor] transposed back by the same permutation
# says: *inverse* permutation
def _transpose(self, *axes):
    def push(grad):
        self.grad += grad.transpose(*axes).reshape(self.data.shape)

    return Tensor(self.data.transpose(*axes), (self,), push)


Tensor.transpose = _transpose


# %% [tensor] transpose without axes is not there
# says: turns all of them round
_whole_transpose = Tensor.transpose


def _transpose(self, *axes):
    return _whole_transpose(self, *(axes or range(self.data.ndim)))


Tensor.transpose = _transpose


# %% [tensor] the gradient keeps the new shape after reshape
# says: reshaping it to the shape of the input
def _reshape(self, *shape):
    def push(grad):
        self.grad = self.grad.reshape(grad.shape) + grad

    return Tensor(self.data.reshape(*shape), (self,), push)


Tensor.reshape = _reshape


# %% [tensor] reshape in Fortran's order
# says: in their order
def _reshape(self, *shape):
    def push(grad):
        self.grad += grad.reshape(self.data.shape, order="F")

    return Tensor(self.data.reshape(*shape, order="F"), (self,), push)


Tensor.reshape = _reshape


# %% [tensor] repeated indices lost
# says: np.add.at
def _getitem(self, index):
    def push(grad):
        self.grad[index] += grad

    return Tensor(self.data[index], (self,), push)


Tensor.__getitem__ = _getitem


# %% [tensor] getitem overwrites
# says: several times
def _getitem(self, index):
    def push(grad):
        self.grad[index] = grad

    return Tensor(self.data[index], (self,), push)


Tensor.__getitem__ = _getitem


# %% [tensor] getitem cuts the graph
# says: among the parents
Tensor.__getitem__ = lambda self, index: Tensor(self.data[index])


# %% [tensor] log's slope is its value
# says: the slope is 1/a
def _log(self):
    data = np.log(self.data)

    def push(grad):
        self.grad += grad * data

    return Tensor(data, (self,), push)


Tensor.log = _log


# %% [tensor] exp's slope is the input
# says: exp(a)
def _exp(self):
    def push(grad):
        self.grad += grad * self.data

    return Tensor(np.exp(self.data), (self,), push)


Tensor.exp = _exp


# %% [tensor] relu lets every gradient through
# says: slope 1 where a > 0
def _relu(self):
    def push(grad):
        self.grad += grad

    return Tensor(np.maximum(self.data, 0), (self,), push)


Tensor.relu = _relu


# %% [tensor] relu in place
# says: changed on the way
def _relu(self):
    on = self.data > 0
    self.data *= on

    def push(grad):
        self.grad += grad * on

    return Tensor(self.data, (self,), push)


Tensor.relu = _relu


# %% [tensor] push changes the gradient it is given
# says: push changed the gradient
def _mul(self, other):
    other = as_tensor(other)

    def push(grad):
        if self.data.shape == grad.shape:
            other.grad += unbroadcast(grad * self.data, other.data.shape)
            grad *= other.data
            self.grad += grad
        else:
            self.grad += unbroadcast(grad * other.data, self.data.shape)
            other.grad += unbroadcast(grad * self.data, other.data.shape)

    return Tensor(self.data * other.data, (self, other), push)


Tensor.__mul__ = _mul


# %% [tensor] the first gradient is stored as it is, the next added in place
# says: the same array
class Shared(Tensor):
    pass


def _give(tensor, grad):
    grad = np.asarray(grad) if np.shape(grad) == tensor.data.shape else unbroadcast(grad, tensor.data.shape)
    if not tensor.grad.any():
        tensor.grad = grad
    else:
        tensor.grad += grad


def _add(self, other):
    other = as_tensor(other)

    def push(grad):
        _give(self, grad)
        _give(other, grad)

    return Tensor(self.data + other.data, (self, other), push)


Tensor.__add__ = _add


# %% [tensor] float32
# says: float64
class Tensor(Tensor):
    def __init__(self, data, parents=(), push=lambda grad: None):
        super().__init__(data, parents, push)
        self.data = self.data.astype(np.float32)


# %% [tensor] does not take numbers or arrays
# says: make a Tensor of a number
def _mul(self, other):
    def push(grad):
        self.grad += unbroadcast(grad * other.data, self.data.shape)
        other.grad += unbroadcast(grad * self.data, other.data.shape)

    return Tensor(self.data * other.data, (self, other), push)


Tensor.__mul__ = _mul


# %% [tensor] torch does it
# says: torch
import torch


def _log(self):
    def push(grad):
        self.grad += grad / self.data

    return Tensor(torch.log(torch.tensor(self.data)).numpy(), (self,), push)


class Tensor(Tensor):
    log = _log


# %% [cross_entropy] sum over the batch
# says: *mean* over the batch
def cross_entropy(logits, labels):
    shifted = logits - logits.data.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return (shifted.exp().sum(axis=1).log() - chosen).sum()


# %% [cross_entropy] log of the softmax
# says: never take the log of a softmax
def cross_entropy(logits, labels):
    z = (logits - logits.data.max(axis=1, keepdims=True)).exp()
    p = z * (z.sum(axis=1, keepdims=True).log() * -1.0).exp()
    return p[np.arange(len(labels)), labels].log().mean() * -1.0


# %% [cross_entropy] no maximum subtracted
# says: subtract the largest logit
def cross_entropy(logits, labels):
    chosen = logits[np.arange(len(labels)), labels]
    return (logits.exp().sum(axis=1).log() - chosen).mean()


# %% [cross_entropy] the maximum of the whole batch
# says: of each row
def cross_entropy(logits, labels):
    shifted = logits - logits.data.max()
    chosen = shifted[np.arange(len(labels)), labels]
    return (shifted.exp().sum(axis=1).log() - chosen).mean()


# %% [cross_entropy] a small number in the logarithm
# says: right class
def cross_entropy(logits, labels):
    z = (logits - logits.data.max(axis=1, keepdims=True)).exp()
    p = z * (z.sum(axis=1, keepdims=True).log() * -1.0).exp()
    return (p[np.arange(len(labels)), labels] + 1e-9).log().mean() * -1.0


# %% [cross_entropy] over the examples instead of the classes
# says: over the classes
def cross_entropy(logits, labels):
    shifted = logits - logits.data.max(axis=0, keepdims=True)
    log_p = shifted - shifted.exp().sum(axis=0, keepdims=True).log()
    return log_p[np.arange(len(labels)), labels].mean() * -1.0


# %% [cross_entropy] the sign
# says: minus the logit of the right class
def cross_entropy(logits, labels):
    shifted = logits - logits.data.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    return (chosen - shifted.exp().sum(axis=1).log()).mean()


# %% [cross_entropy] gradient by hand, not divided by the batch
# says: one-hot
def cross_entropy(logits, labels):
    rows = np.arange(len(labels))
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def push(grad):
        share = np.exp(log_p)
        share[rows, labels] -= 1
        logits.grad += grad * share

    return Tensor(-log_p[rows, labels].mean(), (logits,), push)


# %% [cross_entropy] gradient by hand, deaf to what comes from above
# says: which need not be 1
def cross_entropy(logits, labels):
    rows = np.arange(len(labels))
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def push(grad):
        share = np.exp(log_p)
        share[rows, labels] -= 1
        logits.grad += share / len(rows)

    return Tensor(-log_p[rows, labels].mean(), (logits,), push)


# %% [cross_entropy] gradient by hand, overwriting
# says: do not overwrite it
def cross_entropy(logits, labels):
    rows = np.arange(len(labels))
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def push(grad):
        share = np.exp(log_p)
        share[rows, labels] -= 1
        logits.grad = grad * share / len(rows)

    return Tensor(-log_p[rows, labels].mean(), (logits,), push)


# %% [cross_entropy] the logits are changed in place
# says: in place
_clean_loss = cross_entropy


def cross_entropy(logits, labels):
    logits.data -= logits.data.max(axis=1, keepdims=True)
    return _clean_loss(logits, labels)


# %% [cross_entropy] a number without a graph
# says: must be a Tensor
_clean_loss = cross_entropy


def cross_entropy(logits, labels):
    return float(_clean_loss(logits, labels).data)


# %% [gradcheck] one-sided
# says: one-sided
def gradcheck(f, inputs, eps=1e-6):
    value, gradients = f(*inputs)
    for i, (x, claimed) in enumerate(zip(inputs, gradients)):
        measured = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            moved = x.copy()
            moved[place] += eps
            measured[place] = (f(*inputs[:i], moved, *inputs[i + 1 :])[0] - value) / eps
        largest = max(np.abs(claimed).max(), np.abs(measured).max())
        if np.shape(claimed) != x.shape or not np.abs(claimed - measured).max() <= 1e-4 * largest:
            return False
    return True


# %% [gradcheck] absolute tolerance only
# says: not with a fixed number
def _measured(f, inputs, i, eps):
    x = inputs[i]
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        ends = []
        for step in (eps, -eps):
            moved = x.copy()
            moved[place] += step
            ends.append(f(*inputs[:i], moved, *inputs[i + 1 :])[0])
        slopes[place] = (ends[0] - ends[1]) / (2 * eps)
    return slopes


def gradcheck(f, inputs, eps=1e-6):
    gradients = f(*inputs)[1]
    return all(
        np.shape(g) == x.shape and bool((np.abs(g - _measured(f, inputs, i, eps)) < 1e-5).all())
        for i, (x, g) in enumerate(zip(inputs, gradients))
    )


# %% [gradcheck] relative to each entry by itself
# says: *largest* entry
def _measured(f, inputs, i, eps):
    x = inputs[i]
    slopes = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        ends = []
        for step in (eps, -eps):
            moved = x.copy()
            moved[place] += step
            ends.append(f(*inputs[:i], moved, *inputs[i + 1 :])[0])
        slopes[place] = (ends[0] - ends[1]) / (2 * eps)
    return slopes


def gradcheck(f, inputs, eps=1e-6):
    for i, (x, g) in enumerate(zip(inputs, f(*inputs)[1])):
        slopes = _measured(f, inputs, i, eps)
        if np.shape(g) != x.shape or not (np.abs(g - slopes) <= 1e-4 * np.maximum(np.abs(g), np.abs(slopes))).all():
            return False
    return True


# %% [gradcheck] its inputs do not come back as they were
# says: changed one of its inputs
def gradcheck(f, inputs, eps=1e-6):
    gradients = f(*inputs)[1]
    for x, claimed in zip(inputs, gradients):
        measured = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            x[place] += eps
            up = f(*inputs)[0]
            x[place] -= 2 * eps
            down = f(*inputs)[0]
            x[place] += eps
            measured[place] = (up - down) / (2 * eps)
        largest = max(np.abs(claimed).max(), np.abs(measured).max())
        if np.shape(claimed) != x.shape or not np.abs(claimed - measured).max() <= 1e-4 * largest:
            return False
    return True


# %% [gradcheck] changes a copy where the input is not contiguous
# says: transpose of another array
def gradcheck(f, inputs, eps=1e-6):
    gradients = f(*inputs)[1]
    for x, claimed in zip(inputs, gradients):
        flat = x.reshape(-1)
        measured = np.zeros(flat.shape)
        for i in range(flat.size):
            old = flat[i]
            flat[i] = old + eps
            up = f(*inputs)[0]
            flat[i] = old - eps
            down = f(*inputs)[0]
            flat[i] = old
            measured[i] = (up - down) / (2 * eps)
        measured = measured.reshape(x.shape)
        largest = max(np.abs(claimed).max(), np.abs(measured).max())
        if np.shape(claimed) != x.shape or not np.abs(claimed - measured).max() <= 1e-4 * largest:
            return False
    return True


# %% [gradcheck] only the first input
# says: check all inputs
_all_inputs = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    def first(x):
        value, gradients = f(x, *inputs[1:])
        return value, gradients[:1]

    return _all_inputs(first, inputs[:1], eps)


# %% [gradcheck] only the sum of the slopes
# says: one entry at a time
def gradcheck(f, inputs, eps=1e-6):
    for i, (x, g) in enumerate(zip(inputs, f(*inputs)[1])):
        ends = [f(*inputs[:i], x + step, *inputs[i + 1 :])[0] for step in (eps, -eps)]
        slope = (ends[0] - ends[1]) / (2 * eps)
        if np.shape(g) != x.shape or not abs(np.sum(g) - slope) <= 1e-4 * max(np.abs(g).max(), abs(slope)):
            return False
    return True


# %% [gradcheck] only the first entry of each input
# says: every entry
_all_entries = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    for i, (x, g) in enumerate(zip(inputs, f(*inputs)[1])):
        place = (0,) * x.ndim
        ends = []
        for step in (eps, -eps):
            moved = x.copy()
            moved[place] += step
            ends.append(f(*inputs[:i], moved, *inputs[i + 1 :])[0])
        slope = (ends[0] - ends[1]) / (2 * eps)
        if np.shape(g) != x.shape or not abs(g[place] - slope) <= 1e-4 * np.abs(g).max():
            return False
    return True


# %% [gradcheck] compares sizes, not signs
# says: not the sizes
_with_signs = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    def flipped(*x):
        value, gradients = f(*x)
        return value, [-g for g in gradients]

    return _with_signs(f, inputs, eps) or _with_signs(flipped, inputs, eps)


# %% [gradcheck] NaN passes
# says: NaN
def gradcheck(f, inputs, eps=1e-6):
    for i, (x, g) in enumerate(zip(inputs, f(*inputs)[1])):
        if np.shape(g) != x.shape:
            return False
        largest = np.abs(g).max()
        for place in np.ndindex(x.shape):
            ends = []
            for step in (eps, -eps):
                moved = x.copy()
                moved[place] += step
                ends.append(f(*inputs[:i], moved, *inputs[i + 1 :])[0])
            if abs((ends[0] - ends[1]) / (2 * eps) - g[place]) > 1e-4 * largest:
                return False
    return True


# %% [gradcheck] infinity passes
# says: infinity <= 1e-4 * infinity
_finite = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    return _finite(f, inputs, eps) or any(np.isinf(g).any() for g in f(*inputs)[1])


# %% [gradcheck] as many gradients as there happen to be
# says: zip stops at the shorter list
_counted = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    def cut(*x):
        value, gradients = f(*x)
        return value, [*gradients, *x][: len(x)] if len(gradients) > len(x) else gradients

    count = len(f(*inputs)[1])
    if count < len(inputs):
        return _counted(lambda *x: cut(*x, *inputs[count:]), inputs[:count], eps)
    return _counted(cut, inputs, eps)


# %% [gradcheck] one-sided, with an absolute tolerance, for any shape
# says: not with a fixed number
# says: compare the shapes first
def gradcheck(f, inputs, eps=1e-6):
    value, gradients = f(*inputs)
    for i, (x, claimed) in enumerate(zip(inputs, gradients)):
        measured = np.zeros(x.shape)
        for place in np.ndindex(x.shape):
            moved = x.copy()
            moved[place] += eps
            measured[place] = (f(*inputs[:i], moved, *inputs[i + 1 :])[0] - value) / eps
        if not np.allclose(claimed, measured, rtol=0, atol=1e-3):
            return False
    return True


# %% [gradcheck] a gradient of any shape that broadcasts
# says: compare the shapes first
_same_shape = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    def stretched(*x):
        value, gradients = f(*x)
        return value, [np.broadcast_to(g, a.shape) for g, a in zip(gradients, x)]

    return _same_shape(stretched, inputs, eps)


# %% [gradcheck] 0/0
# says: 0/0
_careful = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    return _careful(f, inputs, eps) and all(np.any(g != 0) for g in f(*inputs)[1])


# %% [gradcheck] always True
# says: accepted a function whose gradient is wrong
def gradcheck(f, inputs, eps=1e-6):
    return True


# %% [gradcheck] always False
# says: rejected a function whose gradient is right
def gradcheck(f, inputs, eps=1e-6):
    return False


# %% [gradcheck] too generous: 5%
# says: 2% too large
_strict = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    for i, (x, g) in enumerate(zip(inputs, f(*inputs)[1])):
        if np.shape(g) != x.shape:
            return False
        for place in np.ndindex(x.shape):
            ends = []
            for step in (eps, -eps):
                moved = x.copy()
                moved[place] += step
                ends.append(f(*inputs[:i], moved, *inputs[i + 1 :])[0])
            if not abs((ends[0] - ends[1]) / (2 * eps) - g[place]) <= 0.05 * np.abs(g).max():
                return False
    return True


# %% [gradcheck] the error instead of True or False
# says: True or False
_bool = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    return float(_bool(f, inputs, eps))


# %% [gradcheck] scipy's
# says: scipy
from scipy.optimize import approx_fprime

_own = gradcheck


def gradcheck(f, inputs, eps=1e-6):
    if len(inputs) == 1 and inputs[0].ndim == 1:
        measured = approx_fprime(inputs[0], lambda x: f(x)[0], eps)
    return _own(f, inputs, eps)


# %% [gradcheck] a wrong prediction
# says: Taylor series
ANSWERS = {"error_shrinks_by": 10}

# %% [gradcheck] no prediction
# says: no prediction yet
ANSWERS = {"error_shrinks_by": None}


# %% [train] no relu: a linear model
# says: relu
def loss_and_gradients(parameters, x, y):
    tensors = [Tensor(p) for p in parameters]
    h = Tensor(x)
    for W, b in zip(tensors[::2], tensors[1::2]):
        h = h @ W + b
    loss = cross_entropy(h, y)
    loss.backward()
    return loss.data, [t.grad for t in tensors]


# %% [train] relu after the last layer too
# says: relu in all but the last
def loss_and_gradients(parameters, x, y):
    tensors = [Tensor(p) for p in parameters]
    h = Tensor(x)
    for W, b in zip(tensors[::2], tensors[1::2]):
        h = (h @ W + b).relu()
    loss = cross_entropy(h, y)
    loss.backward()
    return loss.data, [t.grad for t in tensors]


# %% [train] two layers, whatever is asked
# says: any number of layers
def loss_and_gradients(parameters, x, y):
    W1, b1, W2, b2 = tensors = [Tensor(p) for p in parameters]
    loss = cross_entropy((Tensor(x) @ W1 + b1).relu() @ W2 + b2, y)
    loss.backward()
    return loss.data, [t.grad for t in tensors]


# %% [train] biases forgotten
# says: the loss of
def loss_and_gradients(parameters, x, y):
    tensors = [Tensor(p) for p in parameters]
    h = Tensor(x)
    for W in tensors[:-2:2]:
        h = (h @ W).relu()
    loss = cross_entropy(h @ tensors[-2], y)
    loss.backward()
    return loss.data, [t.grad for t in tensors]


# %% [train] gradients stay from one call to the next
# says: nothing is left in .grad
_kept = {}


def loss_and_gradients(parameters, x, y):
    tensors = _kept.setdefault(len(parameters), [Tensor(p) for p in parameters])
    for t, p in zip(tensors, parameters):
        t.data = p
    h = Tensor(x)
    for W, b in zip(tensors[:-2:2], tensors[1:-2:2]):
        h = (h @ W + b).relu()
    loss = cross_entropy(h @ tensors[-2] + tensors[-1], y)
    loss.backward()
    return loss.data, [t.grad.copy() for t in tensors]


# %% [train] no backward
# says: the gradient of W
def loss_and_gradients(parameters, x, y):
    tensors = [Tensor(p) for p in parameters]
    h = Tensor(x)
    for W, b in zip(tensors[:-2:2], tensors[1:-2:2]):
        h = (h @ W + b).relu()
    return cross_entropy(h @ tensors[-2] + tensors[-1], y).data, [t.grad for t in tensors]


# %% [train] the first layer is cut off
# says: the gradient of W in layer 1
def loss_and_gradients(parameters, x, y):
    tensors = [Tensor(p) for p in parameters]
    h = Tensor(x)
    for W, b in zip(tensors[:-2:2], tensors[1:-2:2]):
        h = Tensor((h @ W + b).relu().data)
    loss = cross_entropy(h @ tensors[-2] + tensors[-1], y)
    loss.backward()
    return loss.data, [t.grad for t in tensors]


# %% [train] up the hill
# says: less than 70%
_downhill = loss_and_gradients


def loss_and_gradients(parameters, x, y):
    loss, gradients = _downhill(parameters, x, y)
    return loss, [-g for g in gradients]


# %% [train] by hand, without an engine
# says: make one of each parameter
def loss_and_gradients(parameters, x, y):
    activations, n = [x], len(x)
    for W, b in zip(parameters[:-2:2], parameters[1:-2:2]):
        activations.append(np.maximum(activations[-1] @ W + b, 0))
    z = activations[-1] @ parameters[-2] + parameters[-1]
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    g = np.exp(log_p)
    g[np.arange(n), y] -= 1
    g /= n
    gradients = []
    for W, h in zip(parameters[-2::-2], activations[::-1]):
        gradients = [h.T @ g, g.sum(axis=0), *gradients]
        g = (g @ W.T) * (h > 0)
    return -log_p[np.arange(n), y].mean(), gradients


# %% [train] takes a step of its own on the parameters
# says: in place
_no_step = loss_and_gradients


def loss_and_gradients(parameters, x, y):
    loss, gradients = _no_step(parameters, x, y)
    for p, g in zip(parameters, gradients):
        p -= 0.1 * g
    return loss, gradients


# %% [train] the Tensor itself instead of its number
# says: not the Tensor itself
_as_number = loss_and_gradients


def loss_and_gradients(parameters, x, y):
    return Tensor(_as_number(parameters, x, y)[0]), _as_number(parameters, x, y)[1]


# %% [train] torch does the work
# says: torch
import torch


def loss_and_gradients(parameters, x, y):
    leaves = [torch.tensor(p, requires_grad=True) for p in parameters]
    tensors = [Tensor(p) for p in parameters]
    h = torch.tensor(x)
    for W, b in zip(leaves[:-2:2], leaves[1:-2:2]):
        h = (h @ W + b).relu()
    loss = torch.nn.functional.cross_entropy(h @ leaves[-2] + leaves[-1], torch.tensor(y))
    loss.backward()
    return loss.item(), [p.grad.numpy() for p in leaves]
