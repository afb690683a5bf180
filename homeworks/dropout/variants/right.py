# %% [dropout] torch.bernoulli with the probability to keep
def dropout(x, p, training, generator=None):
    if not training or p == 0:
        return x.clone()
    if p == 1:
        return torch.zeros_like(x)
    return x * torch.bernoulli(torch.full_like(x, 1 - p), generator=generator) / (1 - p)


# %% [dropout] rand < 1 - p and where; p = 1 apart, without a graph
def dropout(x, p, training, generator=None):
    if p == 1 and training:
        return x.detach() * 0
    if training:
        keep = torch.rand(x.shape, dtype=torch.float64, generator=generator) < 1 - p
        return torch.where(keep, x / (1 - p), 0.0).to(x.dtype)
    return x


# %% [dropout] NumPy's generator, seeded by torch's if there is one
RNG = np.random.default_rng()


def dropout(x, p, training, generator=None):
    if not training:
        return x
    rng = RNG
    if generator is not None:
        rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
    keep = torch.from_numpy(np.asarray(rng.random(tuple(x.shape)) >= p))
    return x * keep.to(x.dtype) * (0.0 if p == 1 else 1 / (1 - p))


# %% [dropout] masked_fill, on a copy
def dropout(x, p, training, generator=None):
    y = x + 0
    if training and p > 0:
        dropped = torch.empty(x.shape).uniform_(generator=generator) < p
        y = y.masked_fill(dropped, 0)
        if p < 1:
            y = y / (1 - p)
    return y


# %% [dropout] exactly k of n dropped
def dropout(x, p, training, generator=None, *, exactly=True):
    if not training:
        return x
    n = x.numel()
    keep = torch.ones(n, dtype=torch.bool)
    keep[torch.randperm(n, generator=generator)[: round(p * n)]] = False
    return x * keep.view(x.shape) / (1 - p if p < 1 else 1)


# %% [dropout] in place on a clone, the mask by bernoulli_
def dropout(x, p, training, generator=None):
    y = x.clone()
    if training:
        y *= torch.empty_like(x, requires_grad=False).bernoulli_(1 - p, generator=generator).detach()
        y /= max(1 - p, 1e-12)
    return y


# %% [dropout] an autograd function of one's own
class Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, mask):
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx, g):
        (mask,) = ctx.saved_tensors
        return g * mask, None


def dropout(x, p, training, generator=None):
    if not training:
        return x
    mask = (torch.rand(x.shape, generator=generator) > p).to(x.dtype) if p < 1 else torch.zeros_like(x)
    return Masked.apply(x, mask / (1 - p) if 0 < p < 1 else (mask if p else torch.ones_like(x)))


# %% [dropout_backward] the mask as bool, with p, in a dict
def dropout_forward(x, p, training, generator=None):
    if not training:
        return x, None
    keep = torch.rand(x.shape, generator=generator) >= p
    scale = 0 if p == 1 else 1 / (1 - p)
    return x * keep * scale, {"keep": keep, "scale": scale}


def dropout_backward(g, cache):
    if cache is None:
        return g
    return g * cache["keep"] * cache["scale"]


# %% [dropout_backward] the mask as float, in a tuple, and the gradient by masked_fill
def dropout_forward(x, p, training, generator=None):
    mask = torch.ones_like(x)
    if training:
        mask = torch.bernoulli(mask * (1 - p), generator=generator)
    return x * mask / (1 - p if training and p < 1 else 1), (mask, p, training)


def dropout_backward(g, cache):
    mask, p, training = cache
    g = g.clone()
    if training and p < 1:
        g /= 1 - p
    return g.masked_fill(mask == 0, 0.0)


# %% [dropout_backward] the cache is a function
def dropout_forward(x, p, training, generator=None):
    factor = dropout(torch.ones_like(x), p, training, generator)
    return [x * factor, lambda g: factor * g]


def dropout_backward(g, cache):
    return cache(g)


# %% [dropout_backward] the cache is an object, the mask in NumPy
class Cache:
    def __init__(self, mask, scale):
        self.mask, self.scale = mask, scale


def dropout_forward(x, p, training, generator=None):
    if not training:
        p = 0.0
    draws = torch.rand(x.shape, generator=generator, dtype=torch.float64).numpy()
    cache = Cache(draws >= p, 1 / (1 - p) if p < 1 else 1.0)
    return x * torch.from_numpy(cache.mask) * cache.scale, cache


def dropout_backward(g, cache):
    return g * torch.from_numpy(cache.mask) * cache.scale


# %% [dropout_backward] the cache is a list of pairs, entry by entry
def dropout_forward(x, p, training, generator=None):
    y = dropout(x.new_ones(x.shape), p, training, generator)
    cache = [(factor != 0, factor) for factor in y.flatten().tolist()]
    return x * y, cache


def dropout_backward(g, cache):
    return torch.tensor([factor if kept else 0.0 for kept, factor in cache], dtype=g.dtype).reshape(g.shape) * g


# %% [module] a property that checks p again, and an extra argument
class Dropout(nn.Module):
    def __init__(self, p=0.5, generator=None):
        super().__init__()
        self.p = p
        self.generator = generator

    @property
    def p(self):
        return self._p

    @p.setter
    def p(self, p):
        if not (p >= 0 and p <= 1):
            raise ValueError("p must be between 0 and 1")
        self._p = float(p)

    def forward(self, x):
        if not self.training:
            return x.clone()
        return dropout(x, self.p, True, self.generator)

    def extra_repr(self):
        return f"p={self.p}"


# %% [module] the mask as a plain attribute
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        if p != p or p < 0 or p > 1:
            raise ValueError
        super().__init__()
        self.p = p
        self.mask = None

    def forward(self, x):
        self.mask = dropout(torch.ones_like(x), self.p, self.training)
        return x * self.mask


# %% [structured] masks of their own, expanded
def dropout2d(x, p, training, generator=None):
    if not training:
        return x
    keep = torch.rand(x.shape[0], x.shape[1], generator=generator) >= p
    return x * keep[:, :, None, None].expand_as(x) / (1 - p or 1)


def drop_path(x, p, training, generator=None):
    if not training:
        return x.clone()
    keep = torch.rand(len(x), generator=generator) >= p
    return torch.einsum("n...,n->n...", x, keep.to(x.dtype)) / (1 - p or 1)


# %% [structured] drop_path for every channel, a loop over examples
def dropout2d(x, p, training, generator=None):
    return drop_path(x.flatten(0, 1), p, training, generator).view(x.shape)


def drop_path(x, p, training, generator=None):
    if not training:
        return x
    draws = torch.rand(len(x), generator=generator).tolist()
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return torch.stack([row * (scale if draw >= p else 0.0) for row, draw in zip(x, draws)])


# %% [structured] exactly k of n, picked by indices
def drop_path(x, p, training, generator=None):
    if not training:
        return x
    factor = torch.full((len(x),), 1 / (1 - p) if p < 1 else 0.0, dtype=x.dtype)
    factor[torch.randperm(len(x), generator=generator)[: int(p * len(x))]] = 0
    return (x.reshape(len(x), -1) * factor[:, None]).reshape(x.shape)


def dropout2d(x, p, training, generator=None):
    n, c, h, w = x.shape
    return drop_path(x.reshape(n * c, h, w), p, training, generator).reshape(n, c, h, w)


# %% [as_regulariser] mean of the squares; ridge as least squares with more rows
def dropout_moments(x, w, p):
    keep = 1 - p
    z = x * w
    second = (z**2).sum(1) / keep + z.sum(1) ** 2 - (z**2).sum(1)
    return [z.sum(1), second - z.sum(1) ** 2]


def dropout_ridge(X, y, p):
    price = (p / (1 - p)) ** 0.5 * X.norm(dim=0)
    rows = torch.cat([X, torch.diag(price)])
    right = torch.cat([y, torch.zeros(X.shape[1], dtype=X.dtype)])
    return torch.linalg.lstsq(rows, right[:, None]).solution.squeeze(1)


# %% [as_regulariser] einsum, and the inverse
def dropout_moments(x, w, p):
    return torch.einsum("nd,d->n", x, w), torch.einsum("nd,nd,d,d->n", x, x, w, w) * (1 / (1 - p) - 1)


def dropout_ridge(X, y, p):
    gram = X.T @ X
    off = gram - torch.diag(torch.diagonal(gram))
    return torch.linalg.inv(torch.diag(torch.diagonal(gram)) / (1 - p) + off) @ X.T @ y


# %% [as_regulariser] by NumPy
def dropout_moments(x, w, p):
    x, w = x.numpy(), w.numpy()
    return torch.from_numpy(x @ w), torch.from_numpy((np.square(x * w)).sum(axis=1) * x.dtype.type(p / (1 - p)))


def dropout_ridge(X, y, p):
    X, y = X.numpy(), y.numpy()
    gram = X.T @ X
    gram = gram + X.dtype.type(p / (1 - p)) * np.diag(np.diag(gram))
    return torch.from_numpy(np.linalg.solve(gram, X.T @ y))


# %% [mc_predict] by isinstance, running sums, a context manager
import contextlib


@contextlib.contextmanager
def only_dropout(model):
    before = {module: module.training for module in model.modules()}
    model.eval()
    kinds = (Dropout, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
    for module in before:
        if isinstance(module, kinds):
            module.train()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@torch.no_grad()
def mc_predict(model, x, T):
    total = squares = 0
    with only_dropout(model):
        for _ in range(T):
            p = torch.softmax(model(x), dim=-1)
            total, squares = total + p, squares + p * p
    mean = total / T
    std = (squares / T - mean * mean).clamp(min=0).sqrt()
    return mean, std, -torch.xlogy(mean, mean).sum(-1)


# %% [mc_predict] inference mode, names of modules, population statistics by hand
def mc_predict(model, x, T):
    flags = {name: module.training for name, module in model.named_modules()}
    try:
        model.eval()
        model.apply(lambda module: module.train() if "drop" in type(module).__name__.lower() else None)
        passes = []
        with torch.inference_mode():
            while len(passes) < T:
                passes.append(F.softmax(model(x), dim=1).numpy())
    finally:
        for name, module in model.named_modules():
            module.training = flags[name]
    passes = np.stack(passes)
    mean = torch.from_numpy(passes.mean(axis=0))
    entropy = -(mean * mean.clamp(min=1e-300).log()).sum(dim=1)
    return [mean, torch.from_numpy(passes.std(axis=0)), entropy]


# %% [liar] written out, with layers, dropout in front of relu
def noisy_mlp(X, weights, biases, training):
    noise, half = Dropout(0.2).train(training), Dropout(0.5).train(training)
    h1 = torch.relu(half(F.linear(noise(X), weights[0], biases[0])))
    h2 = torch.relu(half(F.linear(h1, weights[1], biases[1])))
    return F.linear(h2, weights[2], biases[2])


# %% [liar] masks of its own
def noisy_mlp(X, weights, biases, training):
    def drop(x, p):
        return torch.where(torch.rand(x.shape) < p, 0.0, x / (1 - p)).to(x.dtype) if training else x

    h = drop(X, 0.2)
    *hidden, last = zip(weights, biases)
    for weight, bias in hidden:
        h = drop((h @ weight.mT + bias).clamp(min=0), 0.5)
    return h @ last[0].mT + last[1]


ANSWERS = {"lies_repeated_without_noise": 0.95, "lies_repeated_with_dropout": 0}
