# %% [sigmoid] identity
# says: sigmoid
def sigmoid(x):
    return x


log_sigmoid = softplus = sigmoid


# %% [sigmoid] NaN gradient at -1e4: both branches of where, one infinite
# says: 0 * inf is NaN
def sigmoid(x):
    return torch.where(x >= 0, 1 / (1 + torch.exp(-x)), torch.exp(x) / (1 + torch.exp(x)))


# %% [sigmoid] softplus overflows
# says: exp(-|x|)
def softplus(x):
    return torch.log(1 + torch.exp(x))


# %% [sigmoid] softplus right in value, NaN in its gradient
# says: torch.where
def softplus(x):
    return torch.where(x > 20, x, torch.log1p(torch.exp(x)))


# %% [sigmoid] log of sigmoid
# says: log1p
def log_sigmoid(x):
    return torch.log(sigmoid(x))


# %% [sigmoid] log without log1p: tiny values lost
# says: log1p
def softplus(x):
    return x.clamp(min=0) + torch.log(1 + torch.exp(-x.abs()))


# %% [sigmoid] clamped to ±30 against overflow
# says: far from 0
def softplus(x):
    return torch.log1p(torch.exp(x.clamp(-30, 30)))


# %% [sigmoid] silently float32
# says: dtype
def sigmoid(x):
    z = torch.exp(-x.float().abs())
    return torch.where(x >= 0, 1 / (1 + z), z / (1 + z))


# %% [sigmoid] by NumPy: no gradient
# says: no gradient
def sigmoid(x):
    return torch.from_numpy(np.exp(-np.logaddexp(0, -x.detach().numpy())))


# %% [sigmoid] in place
# says: in place
def sigmoid(x):
    y = x.detach()
    y.neg_().exp_().add_(1).reciprocal_()
    return y


# %% [rectifiers] identity
# says: relu
def relu(x):
    return x


leaky_relu = elu = selu = silu = d_relu = d_leaky_relu = d_elu = d_selu = d_silu = lambda x, *_: x


# %% [rectifiers] absolute value
# says: else 0
def relu(x):
    return x.abs()


# %% [rectifiers] relu in place
# says: in place
def relu(x):
    return x.clamp_(min=0)


# %% [rectifiers] slope on the positive side
# says: on the negative side
def leaky_relu(x, slope=0.01):
    return torch.where(x > 0, slope * x, x)


# %% [rectifiers] max(x, slope * x)
# says: slope > 1
def leaky_relu(x, slope=0.01):
    return torch.maximum(x, slope * x)


# %% [rectifiers] the slope argument is ignored
# says: slope
def leaky_relu(x, slope=0.01):
    return torch.where(x > 0, x, 0.01 * x)


# %% [rectifiers] derivative of elu without alpha
# says: alpha
def d_elu(x, alpha=1.0):
    return torch.where(x > 0, torch.ones_like(x), torch.exp(x.clamp(max=0)))


# %% [rectifiers] derivative by plain numbers, so through float32
# says: did it pass through float32
def d_leaky_relu(x, slope=0.01):
    return torch.where(x > 0, 1.0, slope).to(x.dtype)


# %% [rectifiers] derivative of silu wrong far out, but finite
# says: d_silu far from 0: the product rule
def d_silu(x, beta=1.0):
    s = torch.sigmoid(beta * x)
    return torch.where(x.abs() > 50, torch.full_like(x, 0.5), s + beta * x * s * (1 - s))


# %% [rectifiers] derivative of elu at the activated value
# says: into
def d_elu(x, alpha=1.0):
    y = elu(x, alpha)
    return torch.where(y > 0, torch.ones_like(x), alpha * torch.exp(y.clamp(max=0)))


# %% [rectifiers] derivative of silu at the activated value
# says: what goes into silu
def d_silu(x, beta=1.0):
    y = silu(x, beta)
    s = torch.sigmoid(beta * y)
    return s + beta * y * s * (1 - s)


# %% [rectifiers] exp for expm1
# says: expm1
def elu(x, alpha=1.0):
    return torch.where(x > 0, x, alpha * (torch.exp(x.clamp(max=0)) - 1))


# %% [rectifiers] alpha on both sides
# says: alpha
def elu(x, alpha=1.0):
    return alpha * torch.where(x > 0, x, torch.expm1(x.clamp(max=0)))


# %% [rectifiers] elu by multiplying masks: inf times 0
# says: 0 * inf
def elu(x, alpha=1.0):
    return (x > 0) * x + (x <= 0) * (alpha * torch.expm1(x))


# %% [rectifiers] selu constants swapped
# says: swapped
def selu(x):
    return SELU_ALPHA * elu(x, SELU_SCALE)


# %% [rectifiers] selu without its scale
# says: SELU_SCALE
def selu(x):
    return elu(x, SELU_ALPHA)


def d_selu(x):
    return d_elu(x, SELU_ALPHA)


# %% [rectifiers] beta ignored
# says: beta
def silu(x, beta=1.0):
    return x * torch.sigmoid(x)


# %% [rectifiers] beta outside the sigmoid
# says: inside the sigmoid
def silu(x, beta=1.0):
    return beta * x * torch.sigmoid(x)


# %% [rectifiers] derivative of silu forgets beta
# says: beta
def d_silu(x, beta=1.0):
    s = torch.sigmoid(beta * x)
    return s + x * s * (1 - s)


# %% [rectifiers] derivative of silu: inf over inf
# says: inf / inf
def d_silu(x, beta=1.0):
    e = torch.exp(-beta * x)
    return (1 + e + beta * x * e) / (1 + e) ** 2


# %% [rectifiers] derivative as booleans
# says: dtype
def d_relu(x):
    return x > 0


# %% [rectifiers] silently float32
# says: dtype
def silu(x, beta=1.0):
    return (x * torch.sigmoid(beta * x)).float()


# %% [rectifiers] 2-D only
# says: your code raised
def relu(x):
    rows, columns = x.shape
    return torch.stack([x[i].clamp(min=0) for i in range(rows)])


# %% [gelu] identity
# says: gelu
def gelu(x, approximate="none"):
    return x


class GELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g


# %% [gelu] tanh when exact is asked
# says: tanh formula
def gelu(x, approximate="none"):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


# %% [gelu] exact when tanh is asked
# says: is the argument used
def gelu(x, approximate="none"):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


# %% [gelu] x * sigmoid(1.702 x)
# says: 1.702
def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x * torch.sigmoid(1.702 * x)


# %% [gelu] sqrt(2 pi) for sqrt(2 / pi)
# says: √(2/π)
def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 * math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


# %% [gelu] erf without sqrt(2)
# says: erf(x/√2)
def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + torch.erf(x))


# %% [gelu] backward without the second part of the product rule
# says: product rule
class GELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return gelu(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


# %% [gelu] backward forgets g
# says: and g
class GELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return gelu(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)


# %% [gelu] backward keeps x on the class
# says: save_for_backward
class GELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        GELU.x = x
        return gelu(x)

    @staticmethod
    def backward(ctx, g):
        x = GELU.x
        below, density = 0.5 * (1 + torch.erf(x / math.sqrt(2))), torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
        return g * (below + x * density)


# %% [gelu] the function by its tanh formula
# says: exact one
class GELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return gelu(x, "tanh")

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        below, density = 0.5 * (1 + torch.erf(x / math.sqrt(2))), torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
        return g * (below + x * density)


# %% [softmax] identity
# says: softmax
def softmax(x, dim):
    return x


log_softmax = softmax


def softmax_vjp(g, y, dim):
    return g


# %% [softmax] uniform
# says: softmax
def softmax(x, dim):
    return torch.full_like(x, 1 / x.shape[dim])


# %% [softmax] no max subtraction
# says: subtract the maximum
def softmax(x, dim):
    z = torch.exp(x)
    return z / z.sum(dim, keepdim=True)


# %% [softmax] the maximum of the whole tensor
# says: not that of the whole tensor
def softmax(x, dim):
    z = torch.exp(x - x.max())
    return z / z.sum(dim, keepdim=True)


# %% [softmax] dim fixed to the last
# says: sum over dim
def softmax(x, dim):
    z = torch.exp(x - x.amax(-1, keepdim=True))
    return z / z.sum(-1, keepdim=True)


# %% [softmax] sum over the wrong dim
# says: sum over dim
def softmax(x, dim):
    z = torch.exp(x - x.amax(dim, keepdim=True))
    return z / z.sum(0, keepdim=True)


# %% [softmax] sum over everything
# says: sum over dim
def softmax(x, dim):
    z = torch.exp(x - x.max())
    return z / z.sum()


# %% [softmax] 2-D only
# says: softmax
def softmax(x, dim):
    if dim in (0, -2):
        return softmax(x.T, 1).T
    z = torch.exp(x - x.amax(1)[:, None])
    return z / z.sum(1)[:, None]


# %% [softmax] log of softmax
# says: logsumexp
def log_softmax(x, dim):
    return torch.log(softmax(x, dim))


# %% [softmax] log of softmax plus a little
# says: log_softmax
def log_softmax(x, dim):
    return torch.log(softmax(x, dim) + 1e-12)


# %% [softmax] in place on the input
# says: in place
def softmax(x, dim):
    x -= x.amax(dim, keepdim=True)
    x.exp_()
    return x / x.sum(dim, keepdim=True)


# %% [softmax] vjp without the dot term
# says: is the sum there
def softmax_vjp(g, y, dim):
    return g * y * (1 - y)


# %% [softmax] vjp over the wrong dim
# says: over dim
def softmax_vjp(g, y, dim):
    return y * (g - (g * y).sum(-1, keepdim=True))


# %% [softmax] vjp applies softmax once more
# says: softmax_vjp
def softmax_vjp(g, y, dim):
    y = softmax(y, dim)
    return y * (g - (g * y).sum(dim, keepdim=True))


# %% [softmax] silently float32
# says: dtype
def softmax(x, dim):
    z = torch.exp((x - x.amax(dim, keepdim=True)).float())
    return z / z.sum(dim, keepdim=True)


# %% [layer_report] nothing but zeros
# says: *all* examples
# says: standard deviation
def layer_report(weights, biases, X, labels, activation="relu"):
    return [{"dead": 0.0, "saturated": 0.0, "rms": 0.0, "grad_rms": 0.0} for _ in weights[:-1]]


# %% [layer_report] still a stub: the prediction counts by itself
# says: not implemented yet
def layer_report(weights, biases, X, labels, activation="relu"):
    raise NotImplementedError


# %% [layer_report] a stub, and another prediction: both are said
# says: not implemented yet
# says: not so
def layer_report(weights, biases, X, labels, activation="relu"):
    raise NotImplementedError


ANSWERS = {"matrices_with_a_gradient": 5}

# %% [layer_report] one key forgotten
# says: a dict without "grad_rms"
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report = reference_report(weights, biases, X, labels, activation)
    return [{key: layer[key] for key in ("dead", "saturated", "rms")} for layer in report]


# %% [layer_report] a number for each unit
# says: "rms" must be a number (whatever float() takes), not a Tensor of shape (19,)
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report, h = reference_report(weights, biases, X, labels, activation), X
    for layer, w, b in zip(report, weights, biases):
        h = getattr(torch, activation)(h @ w.T + b)
        layer["rms"] = h.square().mean(0).sqrt()
    return report


# %% [layer_report] dead is the mean of zeros
# says: *all* examples
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report, h = reference_report(weights, biases, X, labels, activation), X
    for layer, w, b in zip(report, weights, biases):
        h = getattr(torch, activation)(h @ w.T + b)
        layer["dead"] = (h == 0).double().mean().item()
    return report


# %% [layer_report] dead over the units, not over the examples
# says: rows
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report, h = reference_report(weights, biases, X, labels, activation), X
    for layer, w, b in zip(report, weights, biases):
        h = getattr(torch, activation)(h @ w.T + b)
        layer["dead"] = (h == 0).all(dim=1).double().mean().item()
    return report


# %% [layer_report] dead where the unit is dead for most examples
# says: *all* examples
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report, h = reference_report(weights, biases, X, labels, activation), X
    for layer, w, b in zip(report, weights, biases):
        h = getattr(torch, activation)(h @ w.T + b)
        layer["dead"] = ((h == 0).double().mean(0) > 0.95).double().mean().item()
    return report


# %% [layer_report] saturated by the size of the output, for every activation
# says: saturated
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report, h = reference_report(weights, biases, X, labels, activation), X
    for layer, w, b in zip(report, weights, biases):
        h = getattr(torch, activation)(h @ w.T + b)
        layer["saturated"] = (h.abs() > 0.99).double().mean().item()
    return report


# %% [layer_report] standard deviation for rms
# says: subtracts the mean
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report, h = reference_report(weights, biases, X, labels, activation), X
    for layer, w, b in zip(report, weights, biases):
        h = getattr(torch, activation)(h @ w.T + b)
        layer["rms"] = h.std().item()
    return report


# %% [layer_report] gradients of the summed loss
# says: not summed
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report = reference_report(weights, biases, X, labels, activation)
    return [{**layer, "grad_rms": layer["grad_rms"] * len(X)} for layer in report]


# %% [layer_report] gradients before the activation
# says: not what goes in
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report, before, h = reference_report(weights, biases, X, labels, activation), [], X.clone().requires_grad_()
    for w, b in zip(weights[:-1], biases[:-1]):
        before.append(h @ w.T + b)
        h = getattr(torch, activation)(before[-1])
    loss = F.cross_entropy(h @ weights[-1].T + biases[-1], labels)
    gradients = torch.autograd.grad(loss, before)
    return [{**layer, "grad_rms": g.square().mean().sqrt().item()} for layer, g in zip(report, gradients)]


# %% [layer_report] the activation argument is ignored
# says: tanh
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    return reference_report(weights, biases, X, labels, "relu")


# %% [layer_report] the output layer is reported too
# says: one a hidden layer
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    report = reference_report(weights, biases, X, labels, activation)
    return [*report, report[-1]]


# %% [layer_report] another prediction
# says: not so
ANSWERS = {"matrices_with_a_gradient": 2}

# %% [relu_interpolant] the mean of the points
# says: misses
def relu_interpolant(xs, ys):
    one = torch.zeros(1, 1, dtype=xs.dtype)
    return one, one[0], one, ys.mean()[None]


# %% [relu_interpolant] the identity
# says: misses
def relu_interpolant(xs, ys):
    one = torch.ones(1, 1, dtype=xs.dtype)
    return one, 0 * one[0], one, 0 * one[0]


# %% [relu_interpolant] not sorted
# says: sort the points
def relu_interpolant(xs, ys):
    flat = xs.new_zeros(1)
    slopes = torch.cat([flat, ys.diff() / xs.diff(), flat])
    return torch.ones_like(xs)[:, None], -xs, slopes.diff()[None, :], ys[:1].clone()


# %% [relu_interpolant] xs sorted, ys left behind
# says: take the ys along
def relu_interpolant(xs, ys):
    xs = xs.sort().values
    flat = xs.new_zeros(1)
    slopes = torch.cat([flat, ys.diff() / xs.diff(), flat])
    return torch.ones_like(xs)[:, None], -xs, slopes.diff()[None, :], ys[:1].clone()


# %% [relu_interpolant] slopes instead of changes of slope
# says: change
def relu_interpolant(xs, ys):
    order = xs.argsort()
    xs, ys = xs[order], ys[order]
    slopes = torch.cat([ys.diff() / xs.diff(), xs.new_zeros(1)])
    return torch.ones_like(xs)[:, None], -xs, slopes[None, :], ys[:1].clone()


# %% [relu_interpolant] no output bias
# says: misses
reference_interpolant = relu_interpolant


def relu_interpolant(xs, ys):
    W1, b1, W2, b2 = reference_interpolant(xs, ys)
    return W1, b1, W2, torch.zeros_like(b2)


# %% [relu_interpolant] no hidden unit for a single point
# says: at least one hidden unit
def relu_interpolant(xs, ys):
    order = xs.argsort()
    xs, ys = xs[order], ys[order]
    slopes = torch.cat([xs.new_zeros(1), ys.diff() / xs.diff()])
    return torch.ones_like(xs)[1:, None], -xs[:-1], slopes.diff()[None, :], ys[:1].clone()


# %% [relu_interpolant] random corners and least squares: through the points, and anywhere in between
# says: straight line
def relu_interpolant(xs, ys):
    h = 20 * len(xs) + 20
    low, high = xs.min(), xs.max()
    corners = low - 1 + (high - low + 2) * torch.rand(h, dtype=xs.dtype)
    W1 = torch.where(torch.rand(h, 1) < 0.5, -1.0, 1.0).to(xs.dtype)
    b1 = -W1[:, 0] * corners
    hidden = torch.relu(xs[:, None] @ W1.T + b1)
    W2 = torch.linalg.lstsq(hidden, ys[:, None], driver="gelsd").solution.T
    return W1, b1, W2, torch.zeros(1, dtype=xs.dtype)


# %% [relu_interpolant] shapes as vectors
# says: W1
reference_interpolant = relu_interpolant


def relu_interpolant(xs, ys):
    W1, b1, W2, b2 = reference_interpolant(xs, ys)
    return W1[:, 0], b1, W2[0], b2[0]


# %% [relu_interpolant] new tensors without a dtype: float32 beside float64
# says: dtype=xs.dtype
reference_interpolant = relu_interpolant


def relu_interpolant(xs, ys):
    W1, b1, W2, b2 = reference_interpolant(xs, ys)
    return torch.ones(len(xs), 1), b1, W2, b2


# %% [relu_interpolant] float64 whatever the points are
# says: dtype of the points
reference_interpolant = relu_interpolant


def relu_interpolant(xs, ys):
    return tuple(tensor.double() for tensor in reference_interpolant(xs, ys))


# %% [relu_interpolant] silently float32
# says: dtype
reference_interpolant = relu_interpolant


def relu_interpolant(xs, ys):
    return tuple(tensor.float() for tensor in reference_interpolant(xs, ys))


# %% [relu_interpolant] sorted in place
# says: in place
reference_interpolant = relu_interpolant


def relu_interpolant(xs, ys):
    order = xs.argsort()
    xs[:], ys[:] = xs[order].clone(), ys[order].clone()
    return reference_interpolant(xs, ys)


# %% [revive] nothing is done
# says: still dead
def revive(weights, biases, X):
    return [bias.clone() for bias in biases]


# %% [revive] all biases zero
# says: lift dead units only
def revive(weights, biases, X):
    return [torch.zeros_like(bias) for bias in biases]


# %% [revive] all biases one
# says: lift dead units only
def revive(weights, biases, X):
    return [torch.ones_like(bias) for bias in biases]


# %% [revive] zero for the dead: those with negative weights stay dead
# says: negative weights
def revive(weights, biases, X):
    new, h = [], X
    for w, b in zip(weights[:-1], biases[:-1]):
        h = torch.relu(h @ w.T + b)
        new.append(torch.where((h == 0).all(0), torch.zeros_like(b), b))
    return [*new, biases[-1]]


# %% [revive] all layers at once, from the activations of the network as handed over
# says: from front to back
def revive(weights, biases, X):
    new, h = [], X
    for w, b in zip(weights[:-1], biases[:-1]):
        z = h @ w.T + b
        h = torch.relu(z)
        new.append(torch.where((h == 0).all(0), b - z.median(0).values, b))
    return [*new, biases[-1]]


# %% [revive] on for a single example
# says: off for nearly every example
def revive(weights, biases, X):
    new, h = [], X
    for w, b in zip(weights[:-1], biases[:-1]):
        z = h @ w.T + b
        new.append(torch.where((z <= 0).all(0), b - z.amax(0) + 0.001, b))
        h = torch.relu(h @ w.T + new[-1])
    return [*new, biases[-1]]


# %% [revive] on for every example
# says: on for nearly every example
def revive(weights, biases, X):
    new, h = [], X
    for w, b in zip(weights[:-1], biases[:-1]):
        z = h @ w.T + b
        new.append(torch.where((z <= 0).all(0), b - z.amin(0) + 0.1, b))
        h = torch.relu(h @ w.T + new[-1])
    return [*new, biases[-1]]


# %% [revive] a hundred for the dead
# says: still dead
def revive(weights, biases, X):
    new, h = [], X
    for w, b in zip(weights[:-1], biases[:-1]):
        h = torch.relu(h @ w.T + b)
        new.append(torch.where((h == 0).all(0), torch.full_like(b, 100.0), b))
    return [*new, biases[-1]]


# %% [revive] every unit lifted to its median, healthy ones too
# says: lift dead units only
def revive(weights, biases, X):
    new, h = [], X
    for w, b in zip(weights[:-1], biases[:-1]):
        z = h @ w.T + b
        new.append(b - z.median(0).values)
        h = torch.relu(h @ w.T + new[-1])
    return [*new, biases[-1]]


# %% [revive] the weights are changed instead
# says: nothing but new biases
def revive(weights, biases, X):
    for w in weights:
        w.abs_()
    return biases


# %% [revive] the biases are changed in place
# says: clone it
def revive(weights, biases, X):
    h = X
    for w, b in zip(weights[:-1], biases[:-1]):
        z = h @ w.T + b
        dead = (z <= 0).all(0)
        b[dead] -= z.median(0).values[dead]
        h = torch.relu(h @ w.T + b)
    return biases


# %% [revive] the last layer's biases are forgotten
# says: the last layer's too
def revive(weights, biases, X):
    new, h = [], X
    for w, b in zip(weights[:-1], biases[:-1]):
        z = h @ w.T + b
        new.append(torch.where((z <= 0).all(0), b - z.median(0).values, b))
        h = torch.relu(h @ w.T + new[-1])
    return new
