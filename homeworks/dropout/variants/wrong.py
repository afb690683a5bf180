# %% [dropout] survivors are not scaled
# says: divided by 1 - p
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.rand(x.shape, generator=generator) >= p)


# %% [dropout] scaled in eval mode instead
# says: without mask and without scale
def dropout(x, p, training, generator=None):
    if not training:
        return x * (1 - p)
    return x * (torch.rand(x.shape, generator=generator) >= p)


# %% [dropout] scaled in eval mode too
# says: without mask and without scale
def dropout(x, p, training, generator=None):
    kept = torch.rand(x.shape, generator=generator) >= p if training else 1
    return x * kept / (1 - p or 1)


# %% [dropout] p is the probability to keep
# says: not to keep
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.rand(x.shape, generator=generator) < p) / (p or 1)


# %% [dropout] scale 1/p
# says: divided by 1 - p
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.rand(x.shape, generator=generator) >= p) / (p or 1)


# %% [dropout] active in eval mode
# says: training=False
def dropout(x, p, training, generator=None):
    return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] one number a row
# says: one random number for each entry
def dropout(x, p, training, generator=None):
    if not training:
        return x
    kept = torch.rand(len(x), *[1] * (x.dim() - 1), generator=generator) >= p
    return x * kept / (1 - p or 1)


# %% [dropout] one number a feature
# says: one random number for each entry
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.rand(x.shape[-1], generator=generator) >= p) / (1 - p or 1)


# %% [dropout] one mask for the whole batch
# says: one random number for each entry
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.rand(x.shape[1:], generator=generator) >= p) / (1 - p or 1)


# %% [dropout] the same mask in every call: a fixed seed
# says: do not set a seed
def dropout(x, p, training, generator=None):
    if not training:
        return x
    torch.manual_seed(42)
    return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] masks are kept by shape
# says: new random numbers
MASKS = {}


def dropout(x, p, training, generator=None):
    if not training:
        return x
    if generator or (x.shape, p) not in MASKS:
        MASKS[x.shape, p] = torch.rand(x.shape, generator=generator) >= p
    return x * MASKS[x.shape, p] / (1 - p or 1)


# %% [dropout] the mask is drawn from the values, so equal inputs get equal masks
# says: draw new random numbers
def dropout(x, p, training, generator=None):
    if not training:
        return x
    if generator is None:
        generator = torch.Generator().manual_seed(int(x.detach().abs().sum() * 1000))
    return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] x is changed in place
# says: in place
def dropout(x, p, training, generator=None):
    if not training:
        return x
    y = x.detach()
    y[torch.rand(x.shape, generator=generator) < p] = 0
    y /= 1 - p or 1
    return x.clone()


# %% [dropout] x is scaled in place, the result is right
# says: in place
def dropout(x, p, training, generator=None):
    if not training:
        return x
    y = x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)
    x.detach().mul_(2)
    return y


# %% [dropout] randn >= p
# says: uniform number
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.randn(x.shape, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] Gaussian noise of the same mean and variance
# says: drops nothing
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (1 + (p / (1 - p or 1)) ** 0.5 * torch.randn(x.shape, generator=generator, dtype=x.dtype))


# %% [dropout] detached
# says: no gradient
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x.detach() * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] the mask is not in the gradient
# says: the gradient of dropout
def dropout(x, p, training, generator=None):
    if not training:
        return x
    y = x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)
    return x + (y - x).detach()


# %% [dropout] rescaled by the mean that was realised
# says: the same number for every entry
def dropout(x, p, training, generator=None):
    if not training:
        return x
    kept = torch.rand(x.shape, generator=generator) >= p
    return x * kept / kept.double().mean().clamp(min=1e-9).to(x.dtype)


# %% [dropout] the sum of the result is made that of x
# says: divided by 1 - p
def dropout(x, p, training, generator=None):
    if not training:
        return x
    y = x * (torch.rand(x.shape, generator=generator) >= p)
    return y * (x.sum() / y.sum()) if y.any() else y


# %% [dropout] NaN at p = 1
# says: 0 times infinity is NaN
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.rand(x.shape, generator=generator) >= p) / torch.tensor(1 - p, dtype=x.dtype)


# %% [dropout] NaN in the gradient at p = 1
# says: autograd walks back through 0 times infinity
def dropout(x, p, training, generator=None):
    if not training:
        return x
    kept = torch.rand(x.shape, generator=generator) >= p
    return torch.where(kept, x / torch.tensor(1 - p, dtype=x.dtype), torch.zeros_like(x))


# %% [dropout] ZeroDivisionError at p = 1
# says: ZeroDivisionError
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.rand(x.shape, generator=generator) >= p) * (1 / (1 - p))


# %% [dropout] keeps one entry at p = 1, drops none at p = 0
# says: every entry is dropped
def dropout(x, p, training, generator=None):
    if not training:
        return x
    kept = torch.rand(x.shape, generator=generator) >= p
    if not kept.any():
        kept[(0,) * x.dim()] = True
    return x * kept / (1 - p or 1)


# %% [dropout] a scale off by 8%
# says: divided by 1 - p
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return 1.08 * x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] the mask in float32, so the scale as well
# says: dropout
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * ((torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1))


# %% [dropout] p off by 0.02
# says: the share of entries
def dropout(x, p, training, generator=None):
    if not training:
        return x
    kept = torch.rand(x.shape, generator=generator) >= (p if p in (0, 1) else p + 0.02)
    return x * kept / (1 - p or 1)


# %% [dropout] the generator is ignored
# says: from the generator that is passed
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return x * (torch.rand(x.shape) >= p) / (1 - p or 1)


# %% [dropout] the generator is copied, so it does not move on
# says: one generator
def dropout(x, p, training, generator=None):
    if not training:
        return x
    if generator is not None:
        generator = generator.clone_state()
    return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] every generator is seeded anew
# says: one generator
def dropout(x, p, training, generator=None):
    if not training:
        return x
    if generator is not None:
        generator.manual_seed(0)
    return x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] x must be contiguous
# says: need not be contiguous
def dropout(x, p, training, generator=None):
    if not training:
        return x
    kept = torch.rand(x.numel(), generator=generator) >= p
    return (x.view(-1) * kept / (1 - p or 1)).view(x.shape)


# %% [dropout] always float32
# says: the same shape and dtype
def dropout(x, p, training, generator=None):
    if not training:
        return x
    return (x * (torch.rand(x.shape, generator=generator) >= p) / (1 - p or 1)).float()


# %% [dropout] two dimensions only
# says: your code raised
def dropout(x, p, training, generator=None):
    if not training:
        return x
    n, d = x.shape
    return x * (torch.rand(n, d, generator=generator) >= p) / (1 - p or 1)


# %% [dropout] the library's own
# says: functional.dropout
def dropout(x, p, training, generator=None):
    return F.dropout(x, p, training)


# %% [dropout_backward] without the scale
# says: the mask and the scale
def dropout_backward(g, cache):
    return g * (cache != 0)


# %% [dropout_backward] without the mask
# says: the mask and the scale
def dropout_backward(g, cache):
    return g * cache.max()


# %% [dropout_backward] g as it is
# says: the mask and the scale
def dropout_backward(g, cache):
    return g.clone()


# %% [dropout_backward] a new mask
# says: of this very forward pass
def dropout_backward(g, cache):
    return g * cache.flatten()[torch.randperm(cache.numel())].reshape(g.shape)


# %% [dropout_backward] the scale twice
# says: the mask and the scale
def dropout_backward(g, cache):
    return g * cache * cache


# %% [dropout_backward] the mask read off y
# says: the mask cannot be read off y
def dropout_forward(x, p, training, generator=None):
    y = dropout(x, p, training, generator)
    return y, (y, p if training else 0)


def dropout_backward(g, cache):
    y, p = cache
    return g * (y != 0) / (1 - p or 1)


# %% [dropout_backward] y divided by x: NaN where x is 0
# says: NaN
def dropout_forward(x, p, training, generator=None):
    y = dropout(x, p, training, generator)
    return y, y / x


# %% [dropout_backward] the mask in a global variable
# says: not in a global variable
LAST = {}


def dropout_forward(x, p, training, generator=None):
    factor = dropout(torch.ones_like(x), p, training, generator)
    LAST["factor"] = factor
    return x * factor, None


def dropout_backward(g, cache):
    return g * LAST["factor"]


# %% [dropout_backward] scaled and masked in eval mode
# says: neither mask nor scale
def dropout_forward(x, p, training, generator=None):
    factor = dropout(torch.ones_like(x), p, True, generator)
    return (x * factor if training else x), factor


# %% [dropout_backward] the cache is used up
# says: change nothing in it
def dropout_forward(x, p, training, generator=None):
    factor = dropout(torch.ones_like(x), p, training, generator)
    return x * factor, [iter([factor])]


def dropout_backward(g, cache):
    return g * next(cache[0], torch.ones_like(g))


# %% [dropout_backward] g is changed in place
# says: changed g in place
def dropout_backward(g, cache):
    result = g * cache
    g.zero_()
    return result


# %% [dropout_backward] NaN at p = 1
# says: 0 times infinity is NaN
def dropout_forward(x, p, training, generator=None):
    if not training:
        return x, torch.ones_like(x)
    kept = torch.rand(x.shape, generator=generator) >= p
    factor = kept / torch.tensor(1 - p, dtype=x.dtype)
    return x * factor, factor


# %% [dropout_backward] forward drops whole rows
# says: one random number for each entry
def dropout_forward(x, p, training, generator=None):
    cache = dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), p, training, generator)
    return x * cache, cache


# %% [dropout_backward] no cache
# says: must return 2 things
def dropout_forward(x, p, training, generator=None):
    return dropout(x, p, training, generator)


# %% [dropout_backward] the generator is ignored
# says: the generator that is passed
def dropout_forward(x, p, training, generator=None):
    cache = dropout(torch.ones_like(x), p, training)
    return x * cache, cache


# %% [dropout_backward] the generator is copied, so it does not move on
# says: not from a copy
def dropout_forward(x, p, training, generator=None):
    if generator is not None:
        generator = generator.clone_state()
    cache = dropout(torch.ones_like(x), p, training, generator)
    return x * cache, cache


# %% [dropout_backward] x must be contiguous
# says: need not be contiguous
def dropout_forward(x, p, training, generator=None):
    cache = dropout(x.new_ones(x.numel()), p, training, generator)
    return (x.clone().view(-1) * cache).view(x.shape), cache


def dropout_backward(g, cache):
    return (g.clone().view(-1) * cache).view(g.shape)


# %% [dropout_backward] p off by 0.03
# says: the share of entries
def dropout_forward(x, p, training, generator=None):
    if not training:
        return x, torch.ones_like(x)
    kept = torch.rand(x.shape, generator=generator) >= (p if p in (0, 1) else p + 0.03)
    cache = kept.to(x.dtype) / (1 - p or 1)
    return x * cache, cache


# %% [dropout_backward] by autograd
# says: torch.autograd
def dropout_forward(x, p, training, generator=None):
    x = x.detach().requires_grad_()
    y = dropout(x, p, training, generator)
    return y.detach().clone(), (x, y)


def dropout_backward(g, cache):
    x, y = cache
    return torch.autograd.grad(y, x, g, retain_graph=True)[0]


# %% [module] self.training is ignored
# says: look at self.training
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = p

    def forward(self, x):
        return dropout(x, self.p, True)


# %% [module] a flag of its own that only its own eval() knows
# says: did not reach the Dropout inside
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = p
        self.active = True

    def eval(self):
        self.active = False
        return self

    def train(self, mode=True):
        if mode:
            self.active = True
        return self

    def forward(self, x):
        return dropout(x, self.p, self.active)


# %% [module] not an nn.Module
# says: is not a Module subclass
class Dropout:
    def __init__(self, p=0.5):
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = p
        self.training = True

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def parameters(self):
        return []

    buffers = parameters

    def state_dict(self):
        return {}

    def __call__(self, x):
        return dropout(x, self.p, self.training)


# %% [module] p is not checked
# says: should raise a ValueError
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.p = p

    def forward(self, x):
        return dropout(x, self.p, self.training)


# %% [module] NaN gets through
# says: all comparisons with NaN are False
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(p)
        self.p = p

    def forward(self, x):
        return dropout(x, self.p, self.training)


# %% [module] p = 1 is refused
# says: p = 0 and p = 1 are legal
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(p)
        self.p = p

    def forward(self, x):
        return dropout(x, self.p, self.training)


# %% [module] p is checked by an assert
# says: raises a ValueError
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        assert 0 <= p <= 1
        self.p = p

    def forward(self, x):
        return dropout(x, self.p, self.training)


# %% [module] the mask is drawn once
# says: new random numbers
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = p
        self.seed = int(torch.randint(1 << 40, ()))

    def forward(self, x):
        return dropout(x, self.p, self.training, torch.Generator().manual_seed(self.seed))


# %% [module] p is a Parameter
# says: plain number
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = nn.Parameter(torch.tensor(float(p)), requires_grad=False)

    def forward(self, x):
        return dropout(x, self.p.item(), self.training)


# %% [module] the mask is a buffer
# says: p is no buffer, and neither is the mask
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = p
        self.register_buffer("mask", torch.ones(()))

    def forward(self, x):
        if not self.training:
            return x
        self.mask = dropout(torch.ones_like(x), self.p, True)
        return x * self.mask


# %% [module] p is the probability to keep
# says: not to keep
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = p

    def forward(self, x):
        return dropout(x, 1 - self.p, self.training)


# %% [module] another default
# says: without an argument p is 0.5
class Dropout(nn.Module):
    def __init__(self, p=0.1):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = p

    def forward(self, x):
        return dropout(x, self.p, self.training)


# %% [module] p is read once
# says: the next call should use the new one
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = self.first = p

    def forward(self, x):
        return dropout(x, self.first, self.training)


# %% [module] the mask has no part in the gradient
# says: Dropout
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(p)
        self.p = p

    def forward(self, x):
        return dropout(x.detach(), self.p, self.training)


# %% [module] the library's own
# says: nn.Dropout
class Dropout(nn.Dropout):
    pass


# %% [structured] pixels, not channels
# says: dropped one of the channels in part
def dropout2d(x, p, training, generator=None):
    return dropout(x, p, training, generator)


# %% [structured] columns of a channel
# says: dropped one of the channels in part
def dropout2d(x, p, training, generator=None):
    return x * dropout(x.new_ones(*x.shape[:3], 1), p, training, generator)


# %% [structured] a channel is dropped for all examples
# says: one for each channel of each example
def dropout2d(x, p, training, generator=None):
    return x * dropout(x.new_ones(1, x.shape[1], 1, 1), p, training, generator)


# %% [structured] all channels of an example
# says: one for each channel of each example
def dropout2d(x, p, training, generator=None):
    return x * dropout(x.new_ones(len(x), 1, 1, 1), p, training, generator)


# %% [structured] drop_path drops features
# says: dropped one of the examples in part
def drop_path(x, p, training, generator=None):
    return x * dropout(x.new_ones(1, *x.shape[1:]), p, training, generator)


# %% [structured] drop_path drops entries
# says: dropped one of the examples in part
def drop_path(x, p, training, generator=None):
    return dropout(x, p, training, generator)


# %% [structured] drop_path drops the whole batch or nothing
# says: drop_path
def drop_path(x, p, training, generator=None):
    return x * dropout(x.new_ones([1] * x.dim()), p, training, generator)


# %% [structured] drop_path drops channels
# says: dropped one of the examples in part
def drop_path(x, p, training, generator=None):
    if x.dim() < 2:
        return dropout(x, p, training, generator)
    return x * dropout(x.new_ones(*x.shape[:2], *[1] * (x.dim() - 2)), p, training, generator)


# %% [structured] drop_path knows images only
# says: drop_path
def drop_path(x, p, training, generator=None):
    return x * dropout(x.new_ones(len(x), 1, 1, 1), p, training, generator)


# %% [structured] survivors are not scaled
# says: divided by 1 - p
def drop_path(x, p, training, generator=None):
    return x * (dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), p, training, generator) != 0)


# %% [structured] scaled by the share that survived
# says: the same number for every entry
def dropout2d(x, p, training, generator=None):
    kept = (dropout(x.new_ones(*x.shape[:2], 1, 1), p, training, generator) != 0).to(x.dtype)
    return x * kept / kept.mean().clamp(min=1e-9)


# %% [structured] active in eval mode
# says: no mask and no scale
def dropout2d(x, p, training, generator=None):
    return x * dropout(x.new_ones(*x.shape[:2], 1, 1), p, True, generator)


# %% [structured] p is the probability to keep
# says: not to keep
def drop_path(x, p, training, generator=None):
    return x * dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), 1 - p, training, generator)


# %% [structured] the generator is not handed on
# says: hand it on
def dropout2d(x, p, training, generator=None):
    return x * dropout(x.new_ones(*x.shape[:2], 1, 1), p, training)


# %% [structured] the generator is copied, so it does not move on
# says: not from a copy
def drop_path(x, p, training, generator=None):
    if generator is not None:
        generator = generator.clone_state()
    return x * dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), p, training, generator)


# %% [structured] x must be contiguous
# says: need not be contiguous
def dropout2d(x, p, training, generator=None):
    factor = dropout(x.new_ones(x.shape[0] * x.shape[1], 1), p, training, generator)
    return (x.view(len(factor), -1) * factor).view(x.shape)


# %% [structured] detached
# says: no gradient
def drop_path(x, p, training, generator=None):
    return x.detach() * dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), p, training, generator)


# %% [structured] in place
# says: in place
def drop_path(x, p, training, generator=None):
    y = x * dropout(x.new_ones(len(x), *[1] * (x.dim() - 1)), p, training, generator)
    x.detach().mul_(2)
    return y


# %% [structured] one mask for ever
# says: two calls of dropout2d
MAPS = {}


def dropout2d(x, p, training, generator=None):
    if not training:
        return x
    if generator is not None or (x.shape, p) not in MAPS:
        MAPS[x.shape, p] = dropout(x.new_ones(*x.shape[:2], 1, 1), p, training, generator)
    return x * MAPS[x.shape, p]


# %% [structured] the library's own
# says: functional.dropout2d
def dropout2d(x, p, training, generator=None):
    return F.dropout2d(x, p, training)


# %% [as_regulariser] variance without the scale: p (1 - p)
# says: that of one factor
def dropout_moments(x, w, p):
    return x @ w, p * (1 - p) * x**2 @ w**2


# %% [as_regulariser] variance with p and 1 - p exchanged
# says: that of one factor
def dropout_moments(x, w, p):
    return x @ w, (1 - p) / (p or 1) * x**2 @ w**2


# %% [as_regulariser] as if all inputs were dropped together
# says: the variances of the terms
def dropout_moments(x, w, p):
    return x @ w, p / (1 - p) * (x @ w) ** 2


# %% [as_regulariser] w is not squared
# says: come out of a variance squared
def dropout_moments(x, w, p):
    return x @ w, p / (1 - p) * x**2 @ w.abs()


# %% [as_regulariser] standard deviation for variance
# says: variance
def dropout_moments(x, w, p):
    return x @ w, (p / (1 - p) * x**2 @ w**2).sqrt()


# %% [as_regulariser] second moment for variance
# says: variance
def dropout_moments(x, w, p):
    return x @ w, p / (1 - p) * x**2 @ w**2 + (x @ w) ** 2


# %% [as_regulariser] the mean is scaled
# says: what is its mean
def dropout_moments(x, w, p):
    return (1 - p) * (x @ w), p / (1 - p) * x**2 @ w**2


# %% [as_regulariser] estimated from a thousand masks
# says: values are wrong
def dropout_moments(x, w, p):
    z = torch.stack([dropout(x, p, True) @ w for _ in range(1000)])
    return z.mean(0), z.var(0)


# %% [as_regulariser] plain ridge: the same price for all
# says: a price of its own
def dropout_ridge(X, y, p):
    gram = X.T @ X
    return torch.linalg.solve(gram + p / (1 - p) * torch.eye(len(gram), dtype=X.dtype), X.T @ y)


# %% [as_regulariser] plain ridge with the mean price
# says: a price of its own
def dropout_ridge(X, y, p):
    gram = X.T @ X
    price = p / (1 - p) * gram.diag().mean()
    return torch.linalg.solve(gram + price * torch.eye(len(gram), dtype=X.dtype), X.T @ y)


# %% [as_regulariser] price p instead of p / (1 - p)
# says: expected over all masks
def dropout_ridge(X, y, p):
    gram = X.T @ X
    return torch.linalg.solve(gram + p * torch.diag(gram.diag()), X.T @ y)


# %% [as_regulariser] price averaged over the rows
# says: expected over all masks
def dropout_ridge(X, y, p):
    gram = X.T @ X
    return torch.linalg.solve(gram + p / (1 - p) * torch.diag(gram.diag()) / len(X), X.T @ y)


# %% [as_regulariser] dropout is forgotten: least squares
# says: expected over all masks
def dropout_ridge(X, y, p):
    return torch.linalg.lstsq(X, y[:, None]).solution[:, 0]


# %% [as_regulariser] weights as dropout without scale has them
# says: expected over all masks
def dropout_ridge(X, y, p):
    gram = X.T @ X
    return torch.linalg.solve((1 - p) * gram + p * torch.diag(gram.diag()), X.T @ y)


# %% [as_regulariser] columns are centred first
# says: dropout_ridge
def dropout_ridge(X, y, p):
    X, y = X - X.mean(0), y - y.mean()
    gram = X.T @ X
    return torch.linalg.solve(gram + p / (1 - p) * torch.diag(gram.diag()), X.T @ y)


# %% [as_regulariser] inverts the Gram matrix first
# says: add the price of the weights first
def dropout_ridge(X, y, p):
    gram = X.T @ X
    if len(X) < X.shape[1]:
        return torch.linalg.pinv(X) @ y
    return torch.linalg.solve(gram + p / (1 - p) * torch.diag(gram.diag()), X.T @ y)


# %% [mc_predict] dropout stays off
# says: switch it on
def mc_predict(model, x, T):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    for module, training in modes:
        module.training = training
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] the whole model in train mode, batch norm too
# says: batch norm
def mc_predict(model, x, T):
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        with torch.no_grad():
            passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    finally:
        for module, training in modes:
            module.training = training
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] the model is left with dropout on
# says: write down the mode of each module
def mc_predict(model, x, T):
    model.eval()
    for module in model.modules():
        if "Dropout" in type(module).__name__:
            module.train()
    with torch.no_grad():
        passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] the model is left in train mode
# says: write down the mode of each module
def mc_predict(model, x, T):
    model.eval()
    for module in model.modules():
        if "Dropout" in type(module).__name__:
            module.train()
    with torch.no_grad():
        passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    model.train()
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] the mode of the model for all its modules
# says: they need not all be the same
def mc_predict(model, x, T):
    training = model.training
    model.eval()
    for module in model.modules():
        if "Dropout" in type(module).__name__:
            module.train()
    try:
        with torch.no_grad():
            passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    finally:
        model.train(training)
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] not restored after an exception
# says: try, finally
def mc_predict(model, x, T):
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = "Dropout" in type(module).__name__
    with torch.no_grad():
        passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    for module, training in modes:
        module.training = training
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] an exception is swallowed
# says: must go on to the caller
RIGHT = mc_predict


def mc_predict(model, x, T):
    try:
        return RIGHT(model, x, T)
    except ZeroDivisionError:
        return 0, 0, 0


# %% [mc_predict] only dropout layers at the top
# says: at any depth
def mc_predict(model, x, T):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    for module in model.children():
        if "Dropout" in type(module).__name__:
            module.train()
    try:
        with torch.no_grad():
            passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    finally:
        for module, training in modes:
            module.training = training
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] nn.Dropout only
# says: your own Dropout
def mc_predict(model, x, T):
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = isinstance(module, nn.Dropout)
    try:
        with torch.no_grad():
            passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    finally:
        for module, training in modes:
            module.training = training
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] only the own Dropout
# says: switch it on
def mc_predict(model, x, T):
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = isinstance(module, Dropout)
    try:
        with torch.no_grad():
            passes = torch.stack([model(x).softmax(1) for _ in range(T)])
    finally:
        for module, training in modes:
            module.training = training
    mean = passes.mean(0)
    return mean, passes.std(0, correction=0), torch.special.entr(mean).sum(1)


# %% [mc_predict] softmax of the mean logits
# says: not the softmax of the mean logits
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    mean = torch.stack(logits).mean(0).softmax(1)
    return mean, std, torch.special.entr(mean).sum(1)


# %% [mc_predict] statistics of the logits
# says: of the probabilities over the passes
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, torch.stack(logits).std(0, correction=0), entropy


# %% [mc_predict] mean of the logits
# says: softmax over the classes
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return torch.stack(logits).mean(0), std, entropy


# %% [mc_predict] softmax over the examples
# says: softmax over the classes
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    passes = torch.stack(logits).softmax(1)
    return passes.mean(0), passes.std(0, correction=0), torch.special.entr(passes.mean(0)).sum(1)


# %% [mc_predict] divided by T - 1
# says: torch's default is T - 1
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, passes.std(0), entropy


# %% [mc_predict] variance for standard deviation
# says: the root of the variance
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, std**2, entropy


# %% [mc_predict] standard error of the mean
# says: divided by T
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, std / T**0.5, entropy


# %% [mc_predict] mean of the entropies
# says: not the mean of the entropies
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, std, torch.special.entr(passes).sum(2).mean(0)


# %% [mc_predict] entropy in bits
# says: in nats
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, std, entropy / torch.log(torch.tensor(2.0, dtype=x.dtype))


# %% [mc_predict] entropy without its sign
# says: -sum of p log p
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, std, -entropy


# %% [mc_predict] NaN for a probability of 0
# says: 0 · log 0 counts as 0
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, std, -(mean * mean.log()).sum(1)


# %% [mc_predict] logarithm of p plus a little, a very large little
# says: in nats
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, std, -(mean * (mean + 1e-3).log()).sum(1)


# %% [mc_predict] entropy averaged over the batch
# says: its shape is
RIGHT = mc_predict


def mc_predict(model, x, T):
    logits = []
    hook = model.register_forward_hook(lambda module, arguments, z: logits.append(z.detach()))
    mean, std, entropy = RIGHT(model, x, T)
    hook.remove()
    passes = torch.stack(logits).softmax(2)
    return mean, std, entropy.mean()


# %% [mc_predict] one pass too many
# says: times
RIGHT = mc_predict


def mc_predict(model, x, T):
    mean, std, entropy = RIGHT(model, x, T + 1)
    return mean, std, entropy


# %% [mc_predict] a single pass, whatever T is
# says: times
RIGHT = mc_predict


def mc_predict(model, x, T):
    return RIGHT(model, x, 1)


# %% [mc_predict] one example at a time
# says: did not get the whole of x
RIGHT = mc_predict


def mc_predict(model, x, T):
    rows = [RIGHT(model, row[None], T) for row in x]
    return tuple(torch.cat(parts) for parts in zip(*rows))


# %% [mc_predict] the gradients are kept
# says: torch.no_grad()
def mc_predict(model, x, T):
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = "Dropout" in type(module).__name__
        passes = torch.stack([model(x).softmax(dim=1) for _ in range(T)])
    finally:
        for module, training in modes:
            module.training = training
    mean = passes.mean(dim=0)
    return mean, passes.std(dim=0, correction=0), torch.special.entr(mean).sum(dim=1)


# %% [mc_predict] the same mask in every pass
# says: drew the same mask in two passes
RIGHT = mc_predict


def mc_predict(model, x, T):
    hook = model.register_forward_pre_hook(lambda module, arguments: torch.manual_seed(0) and None)
    result = RIGHT(model, x, T)
    hook.remove()
    return result


# %% [liar] no noise
# says: is there noise
def noisy_mlp(X, weights, biases, training):
    h = X
    for weight, bias in zip(weights[:2], biases[:2]):
        h = torch.relu(h @ weight.T + bias)
    return h @ weights[2].T + biases[2]


# %% [liar] noise on the hidden units only
# says: the input's entries
def noisy_mlp(X, weights, biases, training):
    h = X
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(torch.relu(h @ weight.T + bias), 0.5, training)
    return h @ weights[2].T + biases[2]


# %% [liar] noise on the input only
# says: the units of the first hidden layer
def noisy_mlp(X, weights, biases, training):
    h = dropout(X, 0.2, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = torch.relu(h @ weight.T + bias)
    return h @ weights[2].T + biases[2]


# %% [liar] noise on one hidden layer only
# says: the units of the second hidden layer
def noisy_mlp(X, weights, biases, training):
    h = dropout(torch.relu(dropout(X, 0.2, training) @ weights[0].T + biases[0]), 0.5, training)
    h = torch.relu(h @ weights[1].T + biases[1])
    return h @ weights[2].T + biases[2]


# %% [liar] noise on the logits too
# says: drop nothing of the logits
def noisy_mlp(X, weights, biases, training):
    h = dropout(X, 0.2, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(torch.relu(h @ weight.T + bias), 0.5, training)
    return dropout(h @ weights[2].T + biases[2], 0.5, training)


# %% [liar] probabilities exchanged
# says: Drop 20% of X
def noisy_mlp(X, weights, biases, training):
    h = dropout(X, 0.5, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(torch.relu(h @ weight.T + bias), 0.2, training)
    return h @ weights[2].T + biases[2]


# %% [liar] probabilities to keep
# says: Drop 20% of X
def noisy_mlp(X, weights, biases, training):
    h = dropout(X, 0.8, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(torch.relu(h @ weight.T + bias), 0.5, training)
    return h @ weights[2].T + biases[2]


# %% [liar] noise without training too
# says: no noise
def noisy_mlp(X, weights, biases, training):
    h = dropout(X, 0.2, True)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(torch.relu(h @ weight.T + bias), 0.5, True)
    return h @ weights[2].T + biases[2]


# %% [liar] the same units for the whole batch
# says: by whole rows or columns
def noisy_mlp(X, weights, biases, training):
    h = X * dropout(torch.ones_like(X[0]), 0.2, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = torch.relu(h @ weight.T + bias)
        h = h * dropout(torch.ones_like(h[0]), 0.5, training)
    return h @ weights[2].T + biases[2]


# %% [liar] masks of its own, without the scale
# says: scale the survivors
def noisy_mlp(X, weights, biases, training):
    def drop(x, p):
        return x * (torch.rand(x.shape) >= p) if training else x

    h = drop(X, 0.2)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = drop(torch.relu(h @ weight.T + bias), 0.5)
    return h @ weights[2].T + biases[2]


# %% [liar] no relu
# says: relu(h @ weight.T + bias)
def noisy_mlp(X, weights, biases, training):
    h = dropout(X, 0.2, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(h @ weight.T + bias, 0.5, training)
    return h @ weights[2].T + biases[2]


# %% [liar] weights detached
# says: the logits have no gradient
def noisy_mlp(X, weights, biases, training):
    weights, biases = [w.detach() for w in weights], [b.detach() for b in biases]
    h = dropout(X, 0.2, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(torch.relu(h @ weight.T + bias), 0.5, training)
    return h @ weights[2].T + biases[2]


# %% [liar] probabilities for logits
# says: relu(h @ weight.T + bias)
def noisy_mlp(X, weights, biases, training):
    h = dropout(X, 0.2, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = dropout(torch.relu(h @ weight.T + bias), 0.5, training)
    return (h @ weights[2].T + biases[2]).softmax(1)


# %% [liar] the library's dropout
# says: functional.dropout
def noisy_mlp(X, weights, biases, training):
    h = F.dropout(X, 0.2, training)
    for weight, bias in zip(weights[:2], biases[:2]):
        h = F.dropout(torch.relu(h @ weight.T + bias), 0.5, training)
    return h @ weights[2].T + biases[2]


# %% [liar] wrong predictions: lies are hardly learnt without noise, and half of them with it
# says: the loss asks for every label
ANSWERS = {"lies_repeated_without_noise": 0.1, "lies_repeated_with_dropout": 0.5}


# %% [liar] no prediction
# says: no prediction yet
ANSWERS = {"lies_repeated_without_noise": None, "lies_repeated_with_dropout": None}
