# %% [bn_forward] lerp, var_mean, rsqrt and addcmul
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    if not training:
        return (x - run_mean) * (run_var + eps).rsqrt() * gamma + beta, run_mean, run_var
    var, mean = torch.var_mean(x, dim=0, unbiased=False)
    y = torch.addcmul(beta, (x - mean) * torch.rsqrt(eps + var), gamma)
    with torch.no_grad():
        n = x.size(0)
        return y, torch.lerp(run_mean, mean, momentum), run_var.lerp(var * n / (n - 1), momentum)


# %% [bn_forward] one scale and one shift a channel, running statistics changed in place on a copy
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    run_mean, run_var = run_mean.clone(), run_var.clone()
    if training:
        mean = sum(x) / len(x)
        squares = (x - mean[None, :]).pow(2).sum(dim=0)
        run_mean.mul_(1 - momentum).add_(mean.detach(), alpha=momentum)
        run_var.mul_(1 - momentum).add_(squares.detach(), alpha=momentum / (len(x) - 1))
        var = squares / len(x)
    else:
        mean, var = run_mean, run_var
    scale = gamma * (var + eps) ** -0.5
    return [(x - mean) * scale + beta, run_mean, run_var]


# %% [bn_forward] an autograd function with the closed form, and keywords more than asked
class Normalisation(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        inv = 1 / torch.sqrt(x.var(0, correction=0) + eps)
        xhat = (x - x.mean(0)) * inv
        ctx.save_for_backward(xhat, inv, gamma)
        return xhat * gamma + beta

    @staticmethod
    def backward(ctx, g):
        xhat, inv, gamma = ctx.saved_tensors
        dx = gamma * inv * (g - g.mean(0) - xhat * (g * xhat).mean(0))
        return dx, (g * xhat).sum(0), g.sum(0), None


def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5, *, remember=True):
    if not training:
        return gamma * (x - run_mean) / (run_var + eps).sqrt() + beta, run_mean, run_var
    y = Normalisation.apply(x, gamma, beta, eps)
    z = x.detach()
    run_mean = run_mean + momentum * (z.mean(0) - run_mean)
    run_var = run_var + momentum * (torch.cov(z.T).diagonal() - run_var)
    return y, run_mean, run_var


# %% [bn_forward] column by column, the running statistics by NumPy
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    columns = []
    for c in range(x.shape[1]):
        column = x[:, c]
        mean = column.mean() if training else run_mean[c]
        var = ((column - mean) ** 2).mean() if training else run_var[c]
        columns.append(gamma[c] * (column - mean) / torch.sqrt(var + eps) + beta[c])
    if training:
        a = x.detach().numpy()
        run_mean = ((1 - momentum) * run_mean.numpy() + momentum * a.mean(0)).astype(a.dtype)
        run_var = ((1 - momentum) * run_var.numpy() + momentum * a.var(0, ddof=1)).astype(a.dtype)
        run_mean, run_var = torch.from_numpy(run_mean), torch.from_numpy(run_var)
    return torch.stack(columns, dim=1), run_mean, run_var


# %% [bn_backward] other words: einsum, everything from the closed form, more names than asked
def bn_backward(dy, x, gamma, eps=1e-5):
    N, C = x.shape
    mu = torch.einsum("nc->c", x) / N
    xc = x - mu
    var = torch.einsum("nc,nc->c", xc, xc) / N
    inv = (var + eps).rsqrt()
    xhat = inv * xc
    dxhat = torch.einsum("nc,c->nc", dy, gamma)
    dinv = torch.einsum("nc,nc->c", dxhat, xc)
    dvar = -0.5 * dinv * inv**3
    dx = inv / N * (N * dxhat - dxhat.sum(0) - xhat * (dxhat * xhat).sum(0))
    dxc = inv * (dxhat - xhat * (dxhat * xhat).mean(0))
    return {
        "dx": dx,
        "dmu": -dxc.sum(axis=0),
        "dxc": dxc,
        "dsq": torch.ones_like(x) * dvar / N,
        "dvar": dvar,
        "dstd": dinv * -(inv**2),
        "dinv": dinv,
        "dxhat": dxhat,
        "dgamma": torch.einsum("nc,nc->c", dy, xhat),
        "dbeta": torch.einsum("nc->c", dy),
        "dscaled": dy,
    }


# %% [bn_backward] row by row
def bn_backward(dy, x, gamma, eps=1e-5):
    n = x.shape[0]
    xc = x - x.mean(0, keepdim=True)
    std = (xc.square().sum(0) / n + eps).sqrt()
    d = dict.fromkeys(("dbeta", "dgamma", "dinv", "dmu"), 0)
    d["dxhat"] = torch.stack([row * gamma for row in dy])
    for i in range(n):
        d["dbeta"] = d["dbeta"] + dy[i]
        d["dgamma"] = d["dgamma"] + dy[i] * xc[i] / std
        d["dinv"] = d["dinv"] + d["dxhat"][i] * xc[i]
    d["dstd"] = d["dinv"] * (-1 / std.square())
    d["dvar"] = 0.5 * d["dstd"] / std
    d["dsq"] = torch.stack([d["dvar"] / n] * n)
    d["dxc"] = torch.stack([d["dxhat"][i] / std + 2 * xc[i] * d["dsq"][i] for i in range(n)])
    for i in range(n):
        d["dmu"] = d["dmu"] - d["dxc"][i]
    d["dx"] = d["dxc"] + (d["dmu"] / n)[None, :]
    return d


# %% [bn_backward_fast] NumPy
def bn_backward_fast(dy, xhat, inv, gamma):
    g, h = dy.numpy(), xhat.numpy()
    dbeta, dgamma = g.sum(axis=0), (g * h).sum(axis=0)
    dx = (gamma.numpy() * inv.numpy()) * (g - dbeta / g.shape[0] - h * dgamma / g.shape[0])
    return torch.from_numpy(dx), torch.from_numpy(dgamma), torch.from_numpy(dbeta)


# %% [bn_backward_fast] projections, einsum, a list
def bn_backward_fast(dy, xhat, inv, gamma):
    n = dy.size(0)
    dgamma = torch.einsum("nc,nc->c", dy, xhat)
    centred = dy - dy.mean(0)
    return [torch.addcmul(centred, xhat, dgamma, value=-1 / n) * (gamma * inv), dgamma, dy.sum(0)]


# %% [module] from a bare module: statistics in place, images by sums over dimensions, no bn_forward
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.register_parameter("weight", nn.Parameter(torch.ones(num_features)))
        self.register_parameter("bias", nn.Parameter(torch.zeros(num_features)))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.num_features, self.eps, self.momentum = num_features, eps, momentum

    def forward(self, x):
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(dims), x.var(dims, unbiased=False)
            with torch.no_grad():
                n = x.numel() // x.size(1)
                self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (n / (n - 1)), self.momentum)
        scale = self.weight / torch.sqrt(var + self.eps)
        return x * scale.view(shape) + (self.bias - mean * scale).view(shape)


# %% [module] buffers replaced by new ones, images by permute, the statistics through .data
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1, device=None):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.Tensor(num_features))
        self.bias = nn.Parameter(torch.Tensor(num_features))
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.int64))

    def forward(self, x):
        if x.ndim == 4:
            n, c, h, w = x.shape
            y = self.forward_rows(x.permute(0, 2, 3, 1).contiguous().view(n * h * w, c))
            return y.view(n, h, w, c).permute(0, 3, 1, 2)
        return self.forward_rows(x)

    def forward_rows(self, x):
        y, mean, var = bn_forward(
            x, self.weight, self.bias, self.running_mean, self.running_var, self.training, self.momentum, self.eps
        )
        self.running_mean.data = mean.data
        self.running_var.data = var.data
        if self.training:
            self.num_batches_tracked = self.num_batches_tracked + 1
        return y


# %% [module] the prediction as a fraction
ANSWERS = {"gradient_of_larger_weights": 1 / 10, "why": "f(10 w) = f(w)"}


# %% [other_norms] one function for all of them
def standardise(x, eps):
    return (x - x.mean(-1, keepdim=True)) * torch.rsqrt(x.var(-1, unbiased=False, keepdim=True) + eps)


def layer_norm(x, gamma, beta, eps=1e-5):
    return torch.addcmul(beta, standardise(x, eps), gamma)


def group_norm(x, groups, gamma, beta, eps=1e-5):
    parts = x.unflatten(1, (groups, -1)).flatten(2)
    shape = (x.shape[1],) + (1,) * (x.ndim - 2)
    return standardise(parts, eps).reshape(x.shape) * gamma.reshape(shape) + beta.reshape(shape)


def rms_norm(x, gamma, eps=1e-5):
    return gamma * (x / (x.pow(2).mean(dim=-1, keepdim=True) + eps).sqrt())


# %% [other_norms] loops over groups, einsum, powers
def layer_norm(x, gamma, beta, eps=1e-5):
    d = x.shape[-1]
    xc = x - (x.sum(-1) / d)[..., None]
    var = torch.einsum("...d,...d->...", xc, xc) / d
    return xc * (var[..., None] + eps) ** -0.5 * gamma + beta


def group_norm(x, groups, gamma, beta, eps=1e-5):
    out = []
    for i, part in enumerate(x.chunk(groups, dim=1)):
        flat = part.reshape(part.shape[0], -1)
        one = torch.ones(flat.shape[1], dtype=x.dtype)
        y = layer_norm(flat, one, 0 * one, eps).reshape(part.shape)
        k = part.shape[1]
        for c in range(k):
            out.append(y[:, c] * gamma[i * k + c] + beta[i * k + c])
    return torch.stack(out, dim=1)


def rms_norm(x, gamma, eps=1e-5):
    return x * gamma / torch.sqrt(torch.linalg.vecdot(x, x).unsqueeze(-1) / x.size(-1) + eps)


# %% [fold] a new convolution written out; momentum 1/k
def fold_bn(conv, bn):
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        dtype=conv.weight.dtype,
    )
    inv = torch.rsqrt(bn.running_var + bn.eps)
    with torch.no_grad():
        folded.weight.copy_(torch.einsum("o,oihw->oihw", bn.weight * inv, conv.weight))
        old = torch.zeros_like(bn.bias) if conv.bias is None else conv.bias
        folded.bias.copy_((old - bn.running_mean) * inv * bn.weight + bn.bias)
    return folded


@torch.no_grad()
def recalibrate_bn(model, batches):
    modes = [(m, m.training) for m in model.modules()]
    norms = [(m, m.momentum) for m, _ in modes if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    model.train(False)
    for k, x in enumerate(batches, 1):
        for m, _ in norms:
            m.training, m.momentum = True, 1 / k
        model(x)
    for m, momentum in norms:
        m.momentum = momentum
    for m, mode in modes:
        m.training = mode
    return model


# %% [fold] the batch norm asked for what it does to 0 and 1; hooks that measure
def fold_bn(conv, bn):
    probe = copy.deepcopy(bn).eval()
    c = conv.out_channels
    with torch.no_grad():
        zero = torch.zeros(1, c, 1, 1, dtype=conv.weight.dtype)
        shift = probe(zero).flatten()
        scale = probe(zero + 1).flatten() - shift
        folded = copy.deepcopy(conv)
        folded.weight.mul_(scale.view(c, 1, 1, 1))
        bias = shift if conv.bias is None else scale * conv.bias + shift
    folded.bias = nn.Parameter(bias)
    return folded


def recalibrate_bn(model, batches):
    modes = {name: module.training for name, module in model.named_modules()}
    norms = {n: m for n, m in model.named_modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))}
    seen = {name: [] for name in norms}
    old = {name: (m.running_mean.clone(), m.running_var.clone()) for name, m in norms.items()}
    hooks = []
    for name, m in norms.items():

        def measure(module, inputs, name=name):
            rows = inputs[0].transpose(0, 1).flatten(1)
            seen[name].append((rows.mean(1), rows.var(1)))

        hooks.append(m.register_forward_pre_hook(measure))
    model.eval()
    for m in norms.values():
        m.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    for hook in hooks:
        hook.remove()
    for name, m in norms.items():
        means, variances = zip(*seen[name])
        m.running_mean.copy_(sum(means) / len(means))
        m.running_var.copy_(sum(variances) / len(variances))
    for name, module in model.named_modules():
        module.training = modes[name]


# %% [unlearnable] in place: each sigmoid replaced by a pair
def normalise(net):
    for i, layer in enumerate(net):
        if isinstance(layer, nn.Sigmoid):
            net[i] = nn.Sequential(BatchNorm(net[i - 1].weight.shape[0]), nn.Sigmoid())
    return net


# %% [unlearnable] a module of its own, with a ModuleList, copies of the layers and torch.sigmoid
class Normalised(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.linear = nn.ModuleList([copy.deepcopy(layer) for layer in net if isinstance(layer, nn.Linear)])
        self.norms = nn.ModuleList([BatchNorm(layer.out_features) for layer in self.linear[:-1]])

    def forward(self, x):
        for linear, norm in zip(self.linear, self.norms):
            x = torch.sigmoid(norm(linear(x)))
        return self.linear[-1](x)


def normalise(net):
    return Normalised(net)


# %% functions of the others': a module on the closed form, a network inserted into
class Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        inv = torch.rsqrt(x.var(0, unbiased=False) + eps)
        xhat = (x - x.mean(0)) * inv
        ctx.save_for_backward(xhat, inv, gamma)
        return gamma * xhat + beta

    @staticmethod
    def backward(ctx, dy):
        return *bn_backward_fast(dy, *ctx.saved_tensors), None


def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    if training:
        var, mean = torch.var_mean(x.detach(), dim=0)
        run_mean = momentum * mean + (1 - momentum) * run_mean
        run_var = momentum * var + (1 - momentum) * run_var
        return Function.apply(x, gamma, beta, eps), run_mean, run_var
    return (x - run_mean) / torch.sqrt(run_var + eps) * gamma + beta, run_mean, run_var


def normalise(net):
    for i in reversed(range(len(net))):
        if isinstance(net[i], nn.Sigmoid):
            net.insert(i, BatchNorm(net[i - 1].out_features))
    return net
