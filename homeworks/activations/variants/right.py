# %% [sigmoid] by the tanh, log1p with a clamp, softplus turning linear at 20 as the library's does
def sigmoid(x):
    return 0.5 * (1 + torch.tanh(x / 2))


def softplus(x):
    return torch.where(x > 20, x, torch.log1p(torch.exp(x.clamp(max=20))))


def log_sigmoid(x):
    return x.clamp(max=0) - torch.log1p(torch.exp(-torch.abs(x)))


# %% [sigmoid] by logaddexp
def softplus(x):
    return torch.logaddexp(x, torch.zeros_like(x))


def log_sigmoid(x):
    return -torch.logaddexp(-x, torch.zeros_like(x))


def sigmoid(x):
    return torch.exp(log_sigmoid(x))


# %% [sigmoid] an autograd function of one's own, and a keyword more than asked
class Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = 1 / (1 + torch.exp(-x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y * (1 - y)


def sigmoid(x, temperature=1.0):
    return Sigmoid.apply(x / temperature)


# %% [sigmoid] by the tanh alone, which in float32 is right to 1e-7, though not relative to a tiny value
def sigmoid(x):
    return (1 + torch.tanh(x / 2)) / 2


# %% [rectifiers] masks; the derivative of relu is 1 at 0, those of the others are the left ones
def relu(x):
    return x * (x > 0)


def d_relu(x):
    return (x >= 0) * torch.ones_like(x)


def leaky_relu(x, slope=0.01):
    return x.clamp(min=0) + slope * x.clamp(max=0)


def d_leaky_relu(x, slope=0.01):
    positive = (x > 0).to(x.dtype)
    return positive + slope * (1 - positive)


def elu(x, alpha=1.0):
    return torch.maximum(x, torch.zeros_like(x)) + alpha * torch.expm1(torch.minimum(x, torch.zeros_like(x)))


def d_elu(x, alpha=1.0):
    return torch.where(x > 0, 1.0, elu(x, alpha) + alpha)


# %% [rectifiers] d_relu is a half at 0, silu by the tanh, selu written out
def d_relu(x):
    return (torch.sign(x) + 1) / 2


def silu(x, beta=1.0):
    return x * (1 + torch.tanh(beta * x / 2)) / 2


def d_silu(x, beta=1.0):
    s = (1 + torch.tanh(beta * x / 2)) / 2
    return s * (1 + beta * x * (1 - s))


def selu(x):
    y = SELU_SCALE * x
    return torch.where(x > 0, y, SELU_SCALE * SELU_ALPHA * x.expm1())


def d_selu(x):
    return torch.where(x > 0, SELU_SCALE, SELU_SCALE * SELU_ALPHA * x.exp()).to(x.dtype)


# %% [rectifiers] in place, but on a copy of its own
def relu(x):
    y = x.clone()
    y[y < 0] = 0
    return y


def leaky_relu(x, slope=0.01):
    y = x.clone()
    y[x < 0] *= slope
    return y


# %% [gelu] ndtr rather than erf; the function saves the slope rather than x
def gelu(x, approximate="none"):
    if approximate == "none":
        return x * torch.special.ndtr(x)
    return x / 2 + x / 2 * torch.tanh((2 / math.pi) ** 0.5 * x * (1 + 0.044715 * x * x))


class GELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        below = torch.special.ndtr(x)
        ctx.save_for_backward(below + x * torch.exp(-x * x / 2) / (2 * math.pi) ** 0.5)
        return x * below

    @staticmethod
    def backward(ctx, g):
        (slope,) = ctx.saved_tensors
        return slope * g


# %% [gelu] setup_context apart, and x and y saved; erfc
def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * torch.pow(x, 3))))
    return 0.5 * x * torch.erfc(-x * 2**-0.5)


class GELU(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return gelu(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        below = torch.where(x == 0, 0.5, y / torch.where(x == 0, 1.0, x))
        return g * (below + x * torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))


# %% [softmax] by the logsumexp
def softmax(x, dim):
    return torch.exp(x - x.logsumexp(dim=dim, keepdim=True))


def log_softmax(x, dim):
    return x - torch.logsumexp(x, dim, True)


# %% [softmax] the wanted dimension last, the whole Jacobian, a default for dim
def softmax(x, dim=-1):
    z = x.movedim(dim, -1)
    z = (z - z.amax(-1, keepdim=True)).exp()
    return (z / z.sum(-1, keepdim=True)).movedim(-1, dim)


def softmax_vjp(g, y, dim=-1):
    y, g = y.movedim(dim, -1), g.movedim(dim, -1)
    jacobian = torch.diag_embed(y) - y[..., :, None] * y[..., None, :]
    return torch.einsum("...ij,...j->...i", jacobian, g).movedim(-1, dim)


# %% [layer_report] retain_grad, and 0-d tensors for numbers
def layer_report(weights, biases, X, labels, activation="relu"):
    weights = [w.clone().requires_grad_() for w in weights]
    h, kept = X, []
    for w, b in zip(weights[:-1], biases[:-1]):
        h = getattr(torch, activation)(F.linear(h, w, b))
        h.retain_grad()
        kept.append(h)
    F.cross_entropy(F.linear(h, weights[-1], biases[-1]), labels).backward()
    report = []
    for a in kept:
        a, g = a.detach(), a.grad
        slope = {"relu": torch.where(a > 0, 1.0, 0.0), "tanh": 1 - a * a, "sigmoid": a - a * a}[activation]
        dead = a.abs().amax(0) == 0
        report.append({
            "units": a.shape[1],
            "dead": dead.sum() / len(dead),
            "saturated": (slope < 0.01).sum() / a.numel(),
            "rms": a.norm() / a.numel() ** 0.5,
            "grad_rms": g.norm() / g.numel() ** 0.5,
        })
    return report


# %% [layer_report] the gradient by hand
def layer_report(weights, biases, X, labels, activation="relu"):
    a = [X]
    for w, b in zip(weights[:-1], biases[:-1]):
        a.append(getattr(torch, activation)(a[-1] @ w.T + b))
    p = torch.softmax(a[-1] @ weights[-1].T + biases[-1], dim=1)
    delta = (p - F.one_hot(labels, p.shape[1])) / len(X)
    report = []
    for i in range(len(weights) - 1, 0, -1):
        out = a[i]
        g = delta @ weights[i]
        slope = (out > 0).to(out) if activation == "relu" else 1 - out**2 if activation == "tanh" else out * (1 - out)
        delta = g * slope
        report.insert(0, dict(
            dead=float((out == 0).all(0).float().mean()),
            saturated=float((slope < 0.01).double().mean()),
            rms=math.sqrt((out**2).mean()),
            grad_rms=math.sqrt((g**2).mean()),
        ))
        report[0]["dead"] = (out == 0).all(0).sum().item() / out.shape[1]
    return report


# %% [layer_report] NumPy scalars of two dtypes, arrays and tensors without dimensions, one with a graph
reference_report = layer_report


def layer_report(weights, biases, X, labels, activation="relu"):
    return [
        {
            "dead": np.float32(layer["dead"]),
            "saturated": np.float64(layer["saturated"]),
            "rms": torch.tensor(layer["rms"], requires_grad=True),
            "grad_rms": np.array(layer["grad_rms"]),
        }
        for layer in reference_report(weights, biases, X, labels, activation)
    ]


# %% [layer_report] the prediction as a float
ANSWERS = {"matrices_with_a_gradient": 1.0}

# %% [relu_interpolant] corners looking left, from the last point
def relu_interpolant(xs, ys):
    xs, order = torch.sort(xs, descending=True)
    ys = ys[order]
    if len(xs) == 1:
        return xs.new_ones(1, 1), -xs, xs.new_zeros(1, 1), ys
    slopes = (ys[1:] - ys[:-1]) / (xs[:-1] - xs[1:])
    changes = slopes.clone()
    changes[1:] -= slopes[:-1]
    return -torch.ones(len(slopes), 1, dtype=xs.dtype), xs[:-1], changes[None], ys[:1]


# %% [relu_interpolant] a triangular system rather than slopes
def relu_interpolant(xs, ys):
    order = torch.argsort(xs)
    x, y = xs[order], ys[order]
    left = torch.cat([x[:1] - 1, x[:-1]])
    A = torch.relu(x[:, None] - left[None, :])
    c = torch.linalg.solve_triangular(A, y[:, None], upper=False)
    return torch.ones(len(x), 1, dtype=x.dtype), -left, c.T, torch.zeros(1, dtype=x.dtype)


# %% [relu_interpolant] a tent of three units for each point
def relu_interpolant(xs, ys):
    x, order = xs.sort()
    y = ys[order]
    left, right = torch.cat([x[:1] - 1, x[:-1]]), torch.cat([x[1:], x[-1:] + 1])
    up, down = 1 / (x - left), 1 / (right - x)
    corners = torch.cat([left, x, right])
    heights = torch.cat([y * up, -y * (up + down), y * down])
    return [torch.ones_like(corners).reshape(-1, 1), -corners, heights.reshape(1, -1), torch.zeros_like(x[:1])]


# %% [relu_interpolant] NumPy inside, one step at a time
def relu_interpolant(xs, ys):
    x, y = xs.numpy(), ys.numpy()
    order = np.argsort(x)
    x, y = x[order], y[order]
    changes, slope = np.zeros_like(x), 0.0
    for k in range(len(x) - 1):
        new = (y[k + 1] - y[k]) / (x[k + 1] - x[k])
        changes[k], slope = new - slope, new
    return torch.ones(len(x), 1).to(xs), torch.from_numpy(-x), torch.from_numpy(changes)[None], torch.from_numpy(y[:1])


# %% [revive] the mean rather than the median, in a loop over the units
def revive(weights, biases, X):
    new, h = [b.clone() for b in biases], X
    for w, b in zip(weights[:4], new[:4]):
        z = h @ w.T + b
        for unit in range(64):
            if z[:, unit].max() <= 0:
                b[unit] -= z[:, unit].mean()
        h = (h @ w.T + b).clamp(min=0)
    return new


# %% [revive] all units that were dead, each on for another fraction of the examples
def revive(weights, biases, X):
    h, dead = X, []
    for w, b in zip(weights[:-1], biases[:-1]):
        h = torch.relu(h @ w.T + b)
        dead.append((h == 0).all(0))
    h, new = X, []
    for w, b, was_dead in zip(weights[:-1], biases[:-1], dead):
        z = h @ w.T + b
        sick = was_dead | (z <= 0).all(0)
        place = (torch.linspace(0.25, 0.75, len(b)) * len(X)).long()
        quantile = z.sort(0).values[place, torch.arange(len(b))]
        new.append(torch.where(sick, b - quantile, b))
        h = torch.relu(h @ w.T + new[-1])
    return tuple(new) + (biases[-1],)
