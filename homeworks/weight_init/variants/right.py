# %% [fans] loops, a list, whole numbers by int()
def fans(shape, groups=1):
    out, inner, *kernel = shape
    for size in kernel:
        out, inner = out * size, inner * size
    return [inner, int(out / groups)]


# %% [fans] by a tensor on the meta device
def fans(shape, groups=1):
    w = torch.empty(tuple(shape), device="meta")
    if w.dim() <= 1:
        raise ValueError(f"no fans for {shape}")
    return w[0].numel(), w[: shape[0] // groups, 0].numel()


# %% [xavier_kaiming] NumPy's generators
def numpy_of(generator):
    if generator is None:
        return np.random.default_rng()
    return np.random.default_rng(torch.randint(1 << 40, (1,), generator=generator).item())


def put(w, numbers):
    w.data.copy_(torch.from_numpy(numbers))
    return w


def xavier_uniform_(w, gain=1.0, generator=None):
    bound = gain * np.sqrt(6 / np.sum(fans(w.shape)))
    return put(w, numpy_of(generator).uniform(-bound, bound, size=tuple(w.shape)))


def xavier_normal_(w, gain=1.0, generator=None):
    return put(w, numpy_of(generator).normal(scale=gain * np.sqrt(2 / np.sum(fans(w.shape))), size=tuple(w.shape)))


def kaiming_uniform_(w, mode="fan_in", a=0.0, generator=None):
    bound = np.sqrt(6 / (1 + a * a) / dict(zip(("fan_in", "fan_out"), fans(w.shape)))[mode])
    return put(w, bound * (2 * numpy_of(generator).random(tuple(w.shape)) - 1))


def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    scale = np.sqrt(2 / (1 + a * a) / dict(zip(("fan_in", "fan_out"), fans(w.shape)))[mode])
    return put(w, scale * numpy_of(generator).standard_normal(tuple(w.shape)))


# %% [xavier_kaiming] built transposed, in float32 whatever is asked, entries shuffled by hand
@torch.no_grad()
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    fan = fans(w.shape)[mode == "fan_out"]
    turned = torch.randn(tuple(w.shape)[::-1], generator=generator) * (2 / fan / (1 + a**2)) ** 0.5
    w[...] = turned.permute(*reversed(range(w.dim())))
    return w


@torch.no_grad()
def xavier_uniform_(w, gain=1.0, generator=None):
    r = torch.rand(w.T.shape if w.dim() == 2 else w.shape, generator=generator, dtype=torch.float64) - 0.5
    r = r * gain * 2 * (6 / (fans(w.shape)[0] + fans(w.shape)[1])) ** 0.5
    w.copy_(r.T if w.dim() == 2 else r)
    return w


# %% [xavier_kaiming] truncated at two standard deviations, and corrected
def truncated_(w, std, generator):
    with torch.no_grad():
        tail = math.erf(-2 / math.sqrt(2))
        u = torch.rand(w.shape, generator=generator, dtype=torch.float64) * (1 - 1e-12) * -tail * 2 + tail
        return w.copy_(torch.erfinv(u) * math.sqrt(2) * std / 0.8796256610342398)


def xavier_normal_(w, gain=1.0, generator=None):
    return truncated_(w, gain * math.sqrt(2 / sum(fans(w.shape))), generator)


def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None):
    return truncated_(w, kaiming_std(w, mode, a), generator)


# %% [xavier_kaiming] Box and Muller, under other names for the arguments behind the first
def kaiming_normal_(w, mode="fan_in", a=0.0, generator=None, dtype=torch.float64):
    with torch.no_grad():
        u, v = torch.rand(2, w.numel(), generator=generator, dtype=dtype)
        z = torch.sqrt(-2 * torch.log1p(-u)) * torch.cos(2 * math.pi * v)
        w.copy_((z * kaiming_std(w, mode, a)).view(w.shape))
    return w


# %% [gain] 100,000 draws
def gain(f):
    return 1 / f(torch.randn(100_000, dtype=torch.float64)).square().mean().sqrt()


# %% [gain] NumPy's Gauss–Hermite nodes would miss a jump: many draws in many calls, float32
def gain(f):
    squares = [f(torch.randn(500, 100)).pow(2).mean().item() for _ in range(40)]
    return np.float64(np.mean(squares) ** -0.5)


# %% [gain] quantiles at equal steps, as a tensor without dimensions
def gain(f):
    z = torch.special.ndtri((torch.arange(50_000, dtype=torch.float64) + 0.5) / 50_000)
    return torch.rsqrt(torch.mean(f(z) ** 2))


# %% [signal_profile] backwards by hand
def signal_profile(weights, x, g, activation="relu"):
    def size(t):
        peak = t.abs().max()
        return 0.0 if peak == 0 else (peak * ((t / peak) ** 2).mean().sqrt())

    a = [x]
    for w in weights:
        z = torch.einsum("ni,oi->no", a[-1], w)
        a.append(z.clamp(min=0) if activation == "relu" else z.tanh())
    backward = []
    for w, out in zip(reversed(weights), reversed(a)):
        backward.append(size(g))
        slope = (out > 0).to(out) if activation == "relu" else 1 - out * out
        g = (g * slope) @ w
    return tuple(map(size, a[1:])), backward[::-1]


# %% [signal_profile] retain_grad, NumPy scalars
def signal_profile(weights, x, g, activation="relu"):
    h = x.detach().clone().requires_grad_(True)
    kept = []
    for w in weights:
        h = getattr(torch, activation)(torch.nn.functional.linear(h, w))
        h.retain_grad()
        kept.append(h)
    h.backward(g)
    size = lambda t: np.sqrt(np.mean(t.detach().numpy().astype(np.float64) ** 2))
    return [size(a) for a in kept], [size(a.grad) for a in kept]


# %% [signal_profile] the prediction as a rounded float
ANSWERS = {"kaiming_over_lecun": 3.3e4}


# %% [orthogonal] by the SVD: U Vᵀ
def orthogonal_(w, gain=1.0, generator=None):
    a = torch.randn(w.shape, dtype=torch.float64, generator=generator).reshape(len(w), -1)
    u, _, vt = torch.linalg.svd(a, full_matrices=False)
    w.data.copy_((u @ vt * gain).view(w.shape))
    return w


# %% [orthogonal] Gram and Schmidt, twice, in a loop
def orthogonal_(w, gain=1.0, generator=None):
    rows, columns = len(w), w[0].numel()
    n, k = max(rows, columns), min(rows, columns)
    basis = []
    for _ in range(k):
        v = torch.randn(n, dtype=torch.float64, generator=generator)
        for _ in range(2):
            for b in basis:
                v = v - (v @ b) * b
        basis.append(v / v.norm())
    q = torch.stack(basis)
    with torch.no_grad():
        w.copy_(gain * (q if rows <= columns else q.T).reshape(w.shape))
    return w


# %% [orthogonal] NumPy's QR of the whole, signs at random
@torch.no_grad()
def orthogonal_(w, gain=1.0, generator=None):
    flat = w.reshape(w.shape[0], -1)
    n = max(flat.shape)
    a = torch.randn(n, n, generator=generator, dtype=torch.float64).numpy()
    q = np.linalg.qr(a)[0] * torch.randint(0, 2, (n,), generator=generator).mul(2).sub(1).numpy()
    w.copy_(torch.from_numpy(gain * q[: flat.shape[0], : flat.shape[1]]).reshape(w.shape))
    return w


# %% [init_model] uniform, by the parameters' names, parameters replaced
def init_model(model):
    L = len(model.blocks)
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            p.data = torch.zeros_like(p)
        elif "norm" in name:
            p.data = torch.ones_like(p)
        elif name == "head.weight":
            torch.Tensor.normal_(p.data, std=0.01)
        else:
            p.data = kaiming_uniform_(torch.empty_like(p)) / (math.sqrt(2 * L) if "outer" in name else 1)


# %% [init_model] block by block, new Parameter objects, a small Xavier for the head, the model returned
def init_model(model):
    def give(module, factor=1.0):
        module.weight = nn.Parameter(factor * kaiming_normal_(torch.empty_like(module.weight)).detach())
        module.bias = nn.Parameter(torch.zeros_like(module.bias))

    def reset(norm):
        norm.load_state_dict({"weight": torch.ones_like(norm.weight), "bias": torch.zeros_like(norm.bias)})

    branches = [branch for block in model.blocks for branch in block.children()]
    give(model.stem)
    reset(model.norm)
    for branch in branches:
        reset(branch.norm)
        give(branch.inner)
        give(branch.outer, len(branches) ** -0.5)
    give(model.head)
    xavier_uniform_(model.head.weight, gain=0.2)
    return model


# %% [init_model] a generic reset first, then the exceptions
@torch.no_grad()
def init_model(model):
    def start(module):
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif hasattr(module, "weight"):
            kaiming_uniform_(module.weight, mode="fan_in", a=0.0)
            module.bias.fill_(0.0)

    model.apply(start)
    for block in model.blocks:
        for branch in (block.first, block.second):
            branch.outer.weight /= math.sqrt(2 * len(model.blocks))
    model.head.weight.uniform_(-0.02, 0.02)


# %% [lsuv] the quadratic equation for the factor rather than a loop
def lsuv(weights, biases, X, f):
    new, h = [], X
    for w, b in zip(weights, biases):
        a = (h @ w.T).double()
        c = b.double().expand_as(a)
        A, B = a.var(), c.var()
        C = ((a - a.mean()) * (c - c.mean())).sum() / (a.numel() - 1)
        s = (-C + (C * C + A * (1 - B)).sqrt()) / A
        new.append(w * s.float())
        h = f(h @ new[-1].T + b)
    return new


# %% [lsuv] bisection, in place, biased std, a tuple
def lsuv(weights, biases, X, f):
    h = X
    for w, b in zip(weights, biases):
        z = torch.mm(h, w.t())
        low, high = 0.0, 1.0
        while (high * z + b).std(correction=0) < 1:
            high *= 2
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if (middle * z + b).std(correction=0) < 1 else (low, middle)
        w *= high
        h = f(torch.addmm(b, h, w.t()))
    return tuple(weights)


# %% [lsuv] NumPy inside, forty rounds, f called on a part at a time
def lsuv(weights, biases, X, f):
    result, h = [], X.numpy()
    for w, b in zip(weights, biases):
        w, b = w.numpy().copy(), b.numpy()
        for _ in range(40):
            w /= (h @ w.T + b).std()
        result.append(torch.from_numpy(w))
        z = torch.from_numpy(h @ w.T + b)
        h = torch.cat([f(part) for part in z.split(50)]).numpy()
    return result
