# %% [fans] swapped
# says: stored as (out, in)
def fans(shape, groups=1):
    area = math.prod(shape[2:])
    return shape[0] * area // groups, shape[1] * area


# %% [fans] the kernel's area is forgotten
# says: area of the kernel
def fans(shape, groups=1):
    if len(shape) < 2:
        raise ValueError
    return shape[1], shape[0] // groups


# %% [fans] only the first dimension of the kernel
# says: all its dimensions
def fans(shape, groups=1):
    area = shape[2] if len(shape) > 2 else 1
    return shape[1] * area, shape[0] * area // groups


# %% [fans] groups ignored
# says: only one in `groups`
def fans(shape, groups=1):
    if len(shape) < 2:
        raise ValueError
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area


# %% [fans] fan_in divided by the groups once more
# says: already
def fans(shape, groups=1):
    if len(shape) < 2:
        raise ValueError
    area = math.prod(shape[2:])
    return shape[1] * area // groups, shape[0] * area // groups


# %% [fans] the groups multiplied into fan_in
# says: multiplied by nothing
def fans(shape, groups=1):
    if len(shape) < 2:
        raise ValueError
    area = math.prod(shape[2:])
    return shape[1] * groups * area, shape[0] * area // groups


# %% [fans] floats
# says: // a whole number
def fans(shape, groups=1):
    if len(shape) < 2:
        raise ValueError
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area / groups


# %% [fans] a bias gets fans
# says: must raise ValueError
def fans(shape, groups=1):
    shape = (*shape, 1, 1)
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area // groups


# %% [fans] a bias raises IndexError
# says: must raise ValueError
def fans(shape, groups=1):
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area // groups


# %% [xavier_kaiming] fan_out by default
# says: is fan_in the second dimension
def kaiming_normal_(w, mode="fan_out", a=0.0, generator=None):
    return w.data.normal_(0, kaiming_std(w, mode, a), generator=generator)


# %% [xavier_kaiming] the variance used as a std
# says: not a variance
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    with torch.no_grad():
        return w.normal_(0, kaiming_std(w, mode, a) ** 2, generator=generator)


# %% [xavier_kaiming] Xavier's variance used as a std
# says: not a variance
def xavier_normal_(w, gain=1.0, generator=None):
    with torch.no_grad():
        return w.normal_(0, gain * 2 / sum(fans(w.shape)), generator=generator)


# %% [xavier_kaiming] LeCun: 1 for 2
# says: too small
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    with torch.no_grad():
        return w.normal_(0, kaiming_std(w, mode, a) / math.sqrt(2), generator=generator)


# %% [xavier_kaiming] uniform within the std
# says: b / √3
def kaiming_uniform_(w, mode="fan_in", a=0.0, generator=None):
    bound = kaiming_std(w, mode, a)
    with torch.no_grad():
        return w.uniform_(-bound, bound, generator=generator)


# %% [xavier_kaiming] Xavier uniform within the std
# says: b / √3
def xavier_uniform_(w, gain=1.0, generator=None):
    bound = gain * math.sqrt(2 / sum(fans(w.shape)))
    with torch.no_grad():
        return w.uniform_(-bound, bound, generator=generator)


# %% [xavier_kaiming] uniform where normal is asked
# says: not normal
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    return kaiming_uniform_(w, mode, a, generator)


# %% [xavier_kaiming] normal where uniform is asked
# says: not uniform
def xavier_uniform_(w, gain=1.0, generator=None):
    return xavier_normal_(w, gain, generator)


# %% [xavier_kaiming] from 0 to b
# says: not (0, b)
def xavier_uniform_(w, gain=1.0, generator=None):
    bound = math.sqrt(3) * gain * math.sqrt(2 / sum(fans(w.shape)))
    with torch.no_grad():
        return w.uniform_(0, bound, generator=generator)


# %% [xavier_kaiming] from 0 to b, with the right std
# says: the mean is not 0
def kaiming_uniform_(w, mode="fan_in", a=0.0, generator=None):
    bound = 2 * math.sqrt(3) * kaiming_std(w, mode, a)
    with torch.no_grad():
        return w.uniform_(0, bound, generator=generator)


# %% [xavier_kaiming] the library's default a=√5
# says: too small
def kaiming_uniform_(w, mode="fan_in", a=math.sqrt(5), generator=None):
    bound = math.sqrt(3) * kaiming_std(w, mode, a)
    with torch.no_grad():
        return w.uniform_(-bound, bound, generator=generator)


# %% [xavier_kaiming] truncated at two std, not corrected
# says: too small
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    std = kaiming_std(w, mode, a)
    with torch.no_grad():
        w.normal_(0, std, generator=generator)
        while (far := w.abs() > 2 * std).any():
            w[far] = torch.empty(int(far.sum()), dtype=w.dtype).normal_(0, std, generator=generator)
        return w


# %% [xavier_kaiming] clamped at two std
# says: standard deviation is too small
def xavier_normal_(w, gain=1.0, generator=None):
    std = gain * math.sqrt(2 / sum(fans(w.shape)))
    with torch.no_grad():
        return w.normal_(0, std, generator=generator).clamp_(-2 * std, 2 * std)


# %% [xavier_kaiming] filled with zeros
# says: too small
def xavier_normal_(w, gain=1.0, generator=None):
    return w.data.zero_()


# %% [xavier_kaiming] signs only: right mean and std
# says: occur more than once
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    with torch.no_grad():
        signs = torch.randint(0, 2, w.shape, generator=generator) * 2 - 1
        return w.copy_(signs * kaiming_std(w, mode, a))


# %% [xavier_kaiming] one row, repeated
# says: draw each entry by itself
def xavier_normal_(w, gain=1.0, generator=None):
    std = gain * math.sqrt(2 / sum(fans(w.shape)))
    with torch.no_grad():
        return w.copy_(torch.randn(w.shape[1:], generator=generator, dtype=w.dtype) * std)


# %% [xavier_kaiming] a seed fixed inside
# says: is a seed fixed
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    torch.manual_seed(0)
    with torch.no_grad():
        return w.normal_(0, kaiming_std(w, mode, a), generator=generator)


# %% [xavier_kaiming] the generator is ignored
# says: generator=generator
def kaiming_uniform_(w, mode="fan_in", a=0.0, generator=None):
    bound = math.sqrt(3) * kaiming_std(w, mode, a)
    with torch.no_grad():
        return w.uniform_(-bound, bound)


# %% [xavier_kaiming] a new tensor returned, the parameter untouched
# says: left w as it was
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    return torch.randn(w.shape, dtype=w.dtype, generator=generator) * kaiming_std(w, mode, a)


# %% [xavier_kaiming] nothing returned
# says: return w itself
def xavier_uniform_(w, gain=1.0, generator=None):
    bound = math.sqrt(3) * gain * math.sqrt(2 / sum(fans(w.shape)))
    with torch.no_grad():
        w.uniform_(-bound, bound, generator=generator)


# %% [xavier_kaiming] fails on parameters
# says: leaf Variable
def xavier_normal_(w, gain=1.0, generator=None):
    return w.normal_(0, gain * math.sqrt(2 / sum(fans(w.shape))), generator=generator)


# %% [xavier_kaiming] fails on what is not contiguous
# says: your code raised
def kaiming_uniform_(w, mode="fan_in", a=0.0, generator=None):
    bound = math.sqrt(3) * kaiming_std(w, mode, a)
    with torch.no_grad():
        w.view(-1).uniform_(-bound, bound, generator=generator)
        return w


# %% [xavier_kaiming] gain squared
# says: multiplies the std, once
def xavier_normal_(w, gain=1.0, generator=None):
    with torch.no_grad():
        return w.normal_(0, gain**2 * math.sqrt(2 / sum(fans(w.shape))), generator=generator)


# %% [xavier_kaiming] gain ignored
# says: the gain multiplies
def xavier_uniform_(w, gain=1.0, generator=None):
    bound = math.sqrt(6 / sum(fans(w.shape)))
    with torch.no_grad():
        return w.uniform_(-bound, bound, generator=generator)


# %% [xavier_kaiming] the leaky slope is not squared
# says: a *squared*
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    fan = fans(w.shape)[mode != "fan_in"]
    with torch.no_grad():
        return w.normal_(0, math.sqrt(2 / ((1 + a) * fan)), generator=generator)


# %% [xavier_kaiming] mode ignored
# says: mode="fan_out"
def kaiming_uniform_(w, mode="fan_in", a=0.0, generator=None):
    bound = math.sqrt(3) * kaiming_std(w, "fan_in", a)
    with torch.no_grad():
        return w.uniform_(-bound, bound, generator=generator)


# %% [xavier_kaiming] Xavier with fan_in only
# says: fan_in + fan_out
def xavier_normal_(w, gain=1.0, generator=None):
    with torch.no_grad():
        return w.normal_(0, gain / math.sqrt(fans(w.shape)[0]), generator=generator)


# %% [xavier_kaiming] the area of the kernel forgotten
# says: of a convolution
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    fan = w.shape[1] if mode == "fan_in" else w.shape[0]
    with torch.no_grad():
        return w.normal_(0, math.sqrt(2 / ((1 + a**2) * fan)), generator=generator)


# %% [gain] a table
# says: no table
def gain(f):
    z = torch.tensor([-1.0, 1.0])
    if torch.equal(f(z), torch.tanh(z)):
        return 1.5926
    if f(z)[0] == 0:
        return math.sqrt(2) / float(f(z)[1])
    slope = -float(f(z)[0])
    return math.sqrt(2 / (1 + slope**2))


# %% [gain] the mean square itself
# says: one over the *root*
def gain(f):
    return float(f(torch.randn(100_000)).square().mean())


# %% [gain] the root is forgotten
# says: one over the *root*
def gain(f):
    return 1 / float(f(torch.randn(100_000)).square().mean())


# %% [gain] the mean subtracted
# says: mean not subtracted
def gain(f):
    return 1 / float(f(torch.randn(100_000)).std())


# %% [gain] the mean of |f|
# says: *root* of E
def gain(f):
    return 1 / float(f(torch.randn(100_000)).abs().mean())


# %% [gain] always √2
# says: the gain
def gain(f):
    return math.sqrt(2)


# %% [gain] 2 for relu
# says: relu
def gain(f):
    return 2.0


# %% [gain] z uniform rather than normal
# says: z is normal
def gain(f):
    z = (torch.rand(100_000, dtype=torch.float64) - 0.5) * math.sqrt(12)
    return 1 / float(f(z).square().mean().sqrt())


# %% [gain] a grid that stops at 2
# says: its tails count
def gain(f):
    z = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float((f(z) ** 2 * density).sum() * (z[1] - z[0])) ** -0.5


# %% [gain] 300 draws
# says: E[f(z)²]
def gain(f):
    return 1 / float(f(torch.randn(300, generator=torch.Generator().manual_seed(3))).square().mean().sqrt())


# %% [signal_profile] the std, which subtracts the mean
# says: not the std
def rms(tensor):
    return tensor.double().std(correction=0).item()


# %% [signal_profile] the mean of the absolute values
# says: sqrt(mean(a²))
def rms(tensor):
    return tensor.double().abs().mean().item()


# %% [signal_profile] the norm: no mean
# says: sqrt(mean(a²))
def rms(tensor):
    return tensor.double().norm().item()


# %% [signal_profile] the mean square, no root
# says: sqrt(mean(a²))
def rms(tensor):
    return tensor.double().square().mean().item()


# %% [signal_profile] squared in float32
# says: square in float64
def rms(tensor):
    return tensor.square().mean().sqrt().item()


# %% [signal_profile] through float32
# says: did it pass through float32
def signal_profile(weights, x, g, activation="relu"):
    f = {"relu": torch.relu, "tanh": torch.tanh}[activation]
    h, activations = x.float().detach().requires_grad_(), []
    for w in weights:
        h = f(h @ w.float().T)
        activations.append(h)
    gradients = torch.autograd.grad(h, activations, g.float())
    return [rms(a) for a in activations], [rms(d) for d in gradients]


# %% [signal_profile] before the activation
# says: not what goes into the activation
def signal_profile(weights, x, g, activation="relu"):
    f = getattr(torch, activation)
    h, zs = x.detach().requires_grad_(), []
    for w in weights:
        zs.append(h @ w.T)
        h = f(zs[-1])
    return [rms(z) for z in zs], [rms(d) for d in torch.autograd.grad(h, zs, g)]


# %% [signal_profile] the gradient before the activation
# says: not z_l, which goes in
def signal_profile(weights, x, g, activation="relu"):
    f = getattr(torch, activation)
    h, zs, activations = x.detach().requires_grad_(), [], []
    for w in weights:
        zs.append(h @ w.T)
        h = f(zs[-1])
        activations.append(h)
    return [rms(a) for a in activations], [rms(d) for d in torch.autograd.grad(h, zs, g)]


# %% [signal_profile] the gradient of the sum: g ignored
# says: not from ones
def signal_profile(weights, x, g, activation="relu"):
    f = getattr(torch, activation)
    h, activations = x.detach().requires_grad_(), []
    for w in weights:
        h = f(h @ w.T)
        activations.append(h)
    return [rms(a) for a in activations], [rms(d) for d in torch.autograd.grad(h.sum(), activations)]


# %% [signal_profile] the gradients back to front
# says: front to back
def signal_profile(weights, x, g, activation="relu"):
    f = getattr(torch, activation)
    h, activations = x.detach().requires_grad_(), []
    for w in weights:
        h = f(h @ w.T)
        activations.append(h)
    gradients = torch.autograd.grad(h, activations, g)
    return [rms(a) for a in activations], [rms(d) for d in gradients][::-1]


# %% [signal_profile] x counted as a layer
# says: x itself is not counted
def signal_profile(weights, x, g, activation="relu"):
    f = getattr(torch, activation)
    h = x.detach().requires_grad_()
    activations = [h]
    for w in weights:
        h = f(h @ w.T)
        activations.append(h)
    return [rms(a) for a in activations], [rms(d) for d in torch.autograd.grad(h, activations, g)]


# %% [signal_profile] the last layer without an activation
# says: the last layer's too
def signal_profile(weights, x, g, activation="relu"):
    f = getattr(torch, activation)
    h, activations = x.detach().requires_grad_(), []
    for i, w in enumerate(weights):
        h = h @ w.T
        h = f(h) if i < len(weights) - 1 else h
        activations.append(h)
    return [rms(a) for a in activations], [rms(d) for d in torch.autograd.grad(h, activations, g)]


# %% [signal_profile] always relu
# says: tanh
def signal_profile(weights, x, g, activation="relu"):
    h, activations = x.detach().requires_grad_(), []
    for w in weights:
        h = torch.relu(h @ w.T)
        activations.append(h)
    return [rms(a) for a in activations], [rms(d) for d in torch.autograd.grad(h, activations, g)]


# %% [signal_profile] g scaled in place
# says: in place
def signal_profile(weights, x, g, activation="relu"):
    f = getattr(torch, activation)
    h, activations = x.detach().requires_grad_(), []
    for w in weights:
        h = f(h @ w.T)
        activations.append(h)
    sizes = [rms(d) for d in torch.autograd.grad(h, activations, g)]
    g /= len(x)
    return [rms(a) for a in activations], sizes


# %% [signal_profile] predicted √2
# says: *each* layer
ANSWERS = {"kaiming_over_lecun": 1.41}


# %% [signal_profile] predicted 30 · √2
# says: *each* layer
ANSWERS = {"kaiming_over_lecun": 42}


# %% [orthogonal] a random matrix with rows of length 1
# says: WᵀW = I
def orthogonal_(w, gain=1.0, generator=None):
    with torch.no_grad():
        w.normal_(generator=generator)
        return w.copy_(gain * (w.flatten(1) / w.flatten(1).norm(dim=1, keepdim=True)).reshape(w.shape))


# %% [orthogonal] wide: WᵀW = I is tried, and cannot be
# says: WWᵀ = I
def orthogonal_(w, gain=1.0, generator=None):
    flat = w.flatten(1)
    n = max(flat.shape)
    q, r = torch.linalg.qr(torch.randn(n, n, dtype=w.dtype, generator=generator))
    q = (q * r.diagonal().sign())[:, : min(flat.shape)]
    padded = torch.zeros(n, n, dtype=w.dtype)
    padded[:, : min(flat.shape)] = q
    with torch.no_grad():
        return w.copy_(gain * padded[: flat.shape[0], : flat.shape[1]].reshape(w.shape))


# %% [orthogonal] the gain squared
# says: once
def orthogonal_(w, gain=1.0, generator=None, plain=orthogonal_):
    with torch.no_grad():
        return plain(w, gain**2, generator)


# %% [orthogonal] the gain ignored
# says: the gain multiplies W
def orthogonal_(w, gain=1.0, generator=None, plain=orthogonal_):
    return plain(w, 1.0, generator)


# %% [orthogonal] no signs: QR's own bias
# says: sign of the entry of R's diagonal
def orthogonal_(w, gain=1.0, generator=None):
    flat = w.flatten(1)
    a = torch.randn(max(flat.shape), min(flat.shape), dtype=w.dtype, generator=generator)
    q, _ = torch.linalg.qr(a)
    with torch.no_grad():
        return w.copy_(gain * (q if flat.shape[0] >= flat.shape[1] else q.T).reshape(w.shape))


# %% [orthogonal] the identity
# says: same number
def orthogonal_(w, gain=1.0, generator=None):
    with torch.no_grad():
        return w.copy_(gain * torch.eye(*w.flatten(1).shape).reshape(w.shape))


# %% [orthogonal] always the same matrix
# says: same numbers at every call
def orthogonal_(w, gain=1.0, generator=None, plain=orthogonal_):
    return plain(w, gain, torch.Generator().manual_seed(1))


# %% [orthogonal] the generator is ignored
# says: generator=generator
def orthogonal_(w, gain=1.0, generator=None, plain=orthogonal_):
    return plain(w, gain)


# %% [orthogonal] a convolution is not flattened
# says: your code raised
def orthogonal_(w, gain=1.0, generator=None):
    out, columns = w.shape
    a = torch.randn(max(out, columns), min(out, columns), dtype=w.dtype, generator=generator)
    q, r = torch.linalg.qr(a)
    q = q * r.diagonal().sign()
    with torch.no_grad():
        return w.copy_(gain * (q if out >= columns else q.T))


# %% [orthogonal] each position of a kernel for itself
# says: w.flatten(1)
def orthogonal_(w, gain=1.0, generator=None, plain=orthogonal_):
    with torch.no_grad():
        if w.dim() == 2:
            return plain(w, gain, generator)
        for matrix in w.flatten(2).unbind(2):
            plain(matrix, gain, generator)
        return w


# %% [orthogonal] through float32
# says: did it pass through float32
def orthogonal_(w, gain=1.0, generator=None, plain=orthogonal_):
    with torch.no_grad():
        return w.copy_(plain(torch.empty(w.shape), gain, generator))


# %% [orthogonal] a new tensor returned
# says: left w as it was
def orthogonal_(w, gain=1.0, generator=None, plain=orthogonal_):
    return plain(w.detach().clone(), gain, generator)


# %% [init_model] residual branches by 1/L
# says: variances add up
def init_model(model, plain=init_model):
    plain(model)
    L = len(model.blocks)
    for name, p in model.named_parameters():
        if name.endswith("outer.weight"):
            p.data *= math.sqrt(2 * L) / L


# %% [init_model] residual branches by 1/√L
# says: *two* branches
def init_model(model, plain=init_model):
    plain(model)
    for name, p in model.named_parameters():
        if name.endswith("outer.weight"):
            p.data *= math.sqrt(2)


# %% [init_model] residual branches by 1/(2L)
# says: variances add up
def init_model(model, plain=init_model):
    plain(model)
    for name, p in model.named_parameters():
        if name.endswith("outer.weight"):
            p.data /= math.sqrt(2 * len(model.blocks))


# %% [init_model] residual branches for three blocks, however many there are
# says: of this very model
def init_model(model, plain=init_model):
    plain(model)
    for name, p in model.named_parameters():
        if name.endswith("outer.weight"):
            p.data *= math.sqrt(2 * len(model.blocks) / 6)


# %% [init_model] residual branches not scaled
# says: 1/√(2L)
def init_model(model, plain=init_model):
    plain(model)
    for name, p in model.named_parameters():
        if name.endswith("outer.weight"):
            p.data *= math.sqrt(2 * len(model.blocks))


# %% [init_model] inner scaled as well
# says: inner has no other factor
def init_model(model, plain=init_model):
    plain(model)
    for name, p in model.named_parameters():
        if name.endswith("inner.weight"):
            p.data /= math.sqrt(2 * len(model.blocks))


# %% [init_model] Kaiming for the head too
# says: the head's weights are too large
def init_model(model, plain=init_model):
    plain(model)
    kaiming_normal_(model.head.weight)


# %% [init_model] LeCun for the head
# says: the head's weights are too large
def init_model(model, plain=init_model):
    plain(model)
    model.head.weight.data.normal_(0, model.head.in_features**-0.5)


# %% [init_model] a head of zeros
# says: no gradient reaches
def init_model(model, plain=init_model):
    plain(model)
    model.head.weight.data.zero_()


# %% [init_model] a constant head
# says: rows of the head are equal
def init_model(model, plain=init_model):
    plain(model)
    model.head.weight.data.fill_(0.01)


# %% [init_model] the head is forgotten
# says: still the old ones
def init_model(model, plain=init_model):
    old = model.head.weight.detach().clone()
    plain(model)
    model.head.weight.data.copy_(old)


# %% [init_model] PyTorch's default for all
# says: nor PyTorch's random ones
def init_model(model):
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


# %% [init_model] random biases
# says: not 0
def init_model(model, plain=init_model):
    plain(model)
    for name, p in model.named_parameters():
        if name.endswith("bias") and "norm" not in name:
            p.data.normal_(0, 0.01)


# %% [init_model] biases left as they were
# says: not 0
def init_model(model, plain=init_model):
    old = {name: p.detach().clone() for name, p in model.named_parameters() if name.endswith("bias")}
    plain(model)
    model.load_state_dict(old, strict=False)


# %% [init_model] norms of 0
# says: starts as if its scale were not there
def init_model(model, plain=init_model):
    plain(model)
    for name, p in model.named_parameters():
        if "norm.weight" in name:
            p.data.zero_()


# %% [init_model] norms left as they were
# says: not 1
def init_model(model, plain=init_model):
    old = {name: p.detach().clone() for name, p in model.named_parameters() if "norm" in name}
    plain(model)
    model.load_state_dict(old, strict=False)


# %% [init_model] zeros everywhere
# says: no gradient
def init_model(model):
    for name, p in model.named_parameters():
        p.data.fill_(1.0 if "norm.weight" in name else 0.0)


# %% [init_model] a copy is initialised, and returned
# says: fill the parameters of the model that it is given
def init_model(model, plain=init_model):
    import copy

    model = copy.deepcopy(model)
    plain(model)
    return model


# %% [init_model] fan_out
# says: fan_in
def init_model(model, plain=init_model):
    plain(model)
    for name, p in model.named_parameters():
        if name.endswith(("inner.weight", "stem.weight")):
            kaiming_normal_(p, mode="fan_out")


# %% [init_model] the stem is forgotten
# says: stem
def init_model(model, plain=init_model):
    old = model.stem.weight.detach().clone()
    plain(model)
    model.stem.weight.data.copy_(old)


# %% [init_model] a seed fixed inside
# says: is a seed fixed
def init_model(model, plain=init_model):
    torch.manual_seed(7)
    plain(model)


# %% [lsuv] one pass only
# says: repeat until it is
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        new.append(w / (h @ w.T + b).std())
        h = f(h @ new[-1].T + b)
    return new


# %% [lsuv] measured without the bias
# says: with its bias
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        new.append(w / (h @ w.T).std())
        h = f(h @ new[-1].T + b)
    return new


# %% [lsuv] measured behind the activation
# says: before f
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        for _ in range(12):
            w = w / f(h @ w.T + b).std()
        new.append(w)
        h = f(h @ w.T + b)
    return new


# %% [lsuv] all layers measured in the old network
# says: *new* weights
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        old = w
        for _ in range(20):
            w = w / (h @ w.T + b).std()
        new.append(w)
        h = f(h @ old.T + b)
    return new


# %% [lsuv] two rounds
# says: repeat until it is
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        for _ in range(2):
            w = w / (h @ w.T + b).std()
        new.append(w)
        h = f(h @ w.T + b)
    return new


# %% [lsuv] ten rounds
# says: as often as it takes
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        for _ in range(10):
            w = w / (h @ w.T + b).std()
        new.append(w)
        h = f(h @ w.T + b)
    return new


# %% [lsuv] the last layer is left out
# says: further than 0.3 from 1
def lsuv(weights, biases, X, f, plain=lsuv):
    return plain(weights[:-1], biases[:-1], X, f) + [weights[-1]]


# %% [lsuv] relu in place of f
# says: whatever the activation
def lsuv(weights, biases, X, f, plain=lsuv):
    return plain(weights, biases, X, torch.relu)


# %% [lsuv] each unit by its own number
# says: by one number
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        w = w / (h @ w.T).std(dim=0)[:, None]
        for _ in range(20):
            w = w / (h @ w.T + b).std()
        new.append(w)
        h = f(h @ w.T + b)
    return new


# %% [lsuv] drawn anew, orthogonal
# says: draw nothing new
def lsuv(weights, biases, X, f, plain=lsuv):
    return plain([orthogonal_(torch.empty_like(w)) for w in weights], biases, X, f)


# %% [lsuv] the biases divided in place as well
# says: only weights may change
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        std = (h @ w.T + b).std()
        b /= std
        new.append(w / std)
        h = f(h @ new[-1].T + b)
    return new


# %% [lsuv] Kaiming again, whatever f is
# says: positive multiple
def lsuv(weights, biases, X, f):
    return [kaiming_normal_(torch.empty_like(w)) for w in weights]


# %% [lsuv] handed back as they were
# says: are those that it was given
def lsuv(weights, biases, X, f):
    return weights


# %% [lsuv] a sum of squares of 1 in place of a std: the mean is counted
# says: from 1
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        for _ in range(20):
            w = w / (h @ w.T + b).square().mean().sqrt()
        new.append(w)
        h = f(h @ w.T + b)
    return new


# %% [lsuv] the mean of each unit's std
# says: over all entries
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        w = w / (h @ w.T + b).std(dim=0).mean()
        new.append(w)
        h = f(h @ w.T + b)
    return new
