# %% [bn_forward] identity
# says: nothing has been normalised
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    return x, run_mean, run_var


# %% [bn_forward] only y is returned
# says: returns 3 tensors
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = (x.mean(0), x.var(0, correction=0)) if training else (run_mean, run_var)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta


# %% [bn_forward] the biased variance is stored
# says: divided by N - 1
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * var.detach()
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] the unbiased variance normalises
# says: *biased* variance
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * var.detach()
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] momentum is the weight of the old value
# says: momentum is the weight of the *new* batch
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = momentum * run_mean + (1 - momentum) * mean.detach()
        run_var = momentum * run_var + (1 - momentum) * x.detach().var(0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] momentum is ignored
# says: momentum
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = 0.9 * run_mean + 0.1 * mean.detach()
        run_var = 0.9 * run_var + 0.1 * x.detach().var(0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] eps outside the root
# says: sqrt(variance + eps)
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * (x - mean) / (torch.sqrt(var) + eps) + beta, run_mean, run_var


# %% [bn_forward] eps is 1e-3 by default
# says: eps is 1e-5 by default
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-3):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] the batch's statistics in use, too
# says: the batch's own mean and variance play no part
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = x.mean(0), x.var(0, correction=0)
    if training:
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] the running statistics change in use
# says: only training changes the running statistics
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = (x.mean(0), x.var(0, correction=0)) if training else (run_mean, run_var)
    y = gamma * (x - mean) / torch.sqrt(var + eps) + beta
    if len(x) > 1:
        run_mean = (1 - momentum) * run_mean + momentum * x.detach().mean(0)
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return y, run_mean, run_var


# %% [bn_forward] a running standard deviation
# says: a variance, no standard deviation
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, std = run_mean, run_var
    if training:
        mean, std = x.mean(0), torch.sqrt(x.var(0, correction=0) + eps)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().std(0)
    return gamma * (x - mean) / std + beta, run_mean, run_var


# %% [bn_forward] the statistics are detached
# says: mean and variance detached
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.detach().mean(0), x.detach().var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] gamma and beta are never applied
# says: gamma * xhat + beta
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return (x - mean) / torch.sqrt(var + eps), run_mean, run_var


# %% [bn_forward] gamma and beta are applied before normalising
# says: in this order
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    x = gamma * x + beta
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return (x - mean) / torch.sqrt(var + eps), run_mean, run_var


# %% [bn_forward] gamma scales beta, too
# says: gamma * xhat + beta
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * ((x - mean) / torch.sqrt(var + eps) + beta), run_mean, run_var


# %% [bn_forward] the running statistics normalise in training
# says: in training not the running one
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    if training:
        run_mean = (1 - momentum) * run_mean + momentum * x.detach().mean(0)
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * (x - run_mean) / torch.sqrt(run_var + eps) + beta, run_mean, run_var


# %% [bn_forward] over the channels instead of the batch
# says: dim=0
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(1, keepdim=True), x.var(1, correction=0, keepdim=True)
        run_mean = (1 - momentum) * run_mean + momentum * x.detach().mean(0)
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] one mean and variance for all channels
# says: each column
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(), x.var(correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * x.detach().mean(0)
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] divided by the variance
# says: under a root
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma * (x - mean) / (var + eps) + beta, run_mean, run_var


# %% [bn_forward] the graph is kept in the running statistics
# says: detach
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean
        run_var = (1 - momentum) * run_var + momentum * x.var(0)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] the running statistics change in place
# says: in place
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean.mul_(1 - momentum).add_(momentum * mean.detach())
        run_var.mul_(1 - momentum).add_(momentum * x.detach().var(0))
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] the variance as the mean of the squares minus the square of the mean
# says: subtract the mean first
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    mean, var = run_mean, run_var
    if training:
        mean = x.mean(0)
        var = ((x * x).mean(0) - mean**2).clamp(min=0)
        n = len(x)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * var.detach() * n / (n - 1)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta, run_mean, run_var


# %% [bn_forward] silently float32
# says: dtype
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    x = x.float()
    mean, var = run_mean.float(), run_var.float()
    if training:
        mean, var = x.mean(0), x.var(0, correction=0)
        run_mean = (1 - momentum) * run_mean + momentum * mean.detach()
        run_var = (1 - momentum) * run_var + momentum * x.detach().var(0)
    return gamma.float() * (x - mean) / torch.sqrt(var + eps) + beta.float(), run_mean, run_var


# %% [bn_forward] PyTorch's own
# says: torch.nn.functional.batch_norm
def bn_forward(x, gamma, beta, run_mean, run_var, training, momentum=0.1, eps=1e-5):
    run_mean, run_var = run_mean.clone(), run_var.clone()
    y = F.batch_norm(x, run_mean, run_var, gamma, beta, training, momentum, eps)
    return y, run_mean, run_var


# %% [bn_backward] a dict of zeros
# says: dxhat * xc
def bn_backward(dy, x, gamma, eps=1e-5):
    names = {"dbeta": gamma, "dgamma": gamma, "dinv": gamma, "dstd": gamma, "dvar": gamma, "dmu": gamma}
    names |= {"dxhat": x, "dsq": x, "dxc": x, "dx": x}
    return {name: torch.zeros_like(value) for name, value in names.items()}


# %% [bn_backward] dgamma from x
# says: not of x
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    return reference(dy, x, gamma, eps) | {"dgamma": (dy * x).sum(0)}


# %% [bn_backward] dbeta is a mean
# says: the sum of dy over the batch
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    return reference(dy, x, gamma, eps) | {"dbeta": dy.mean(0)}


# %% [bn_backward] dx without the mean's part
# says: two gradients are added
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = reference(dy, x, gamma, eps)
    return d | {"dx": d["dxc"].clone()}


# %% [bn_backward] dxc without the variance's part
# says: xc was used twice
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = reference(dy, x, gamma, eps)
    d["dxc"] = d["dxhat"] / torch.sqrt(x.var(0, correction=0) + eps)
    d["dmu"] = -d["dxc"].sum(0)
    d["dx"] = d["dxc"] + d["dmu"] / len(x)
    return d


# %% [bn_backward] off by N: the share of each row is forgotten
# says: 1 / N of dvar
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = reference(dy, x, gamma, eps)
    d["dsq"] = d["dvar"].expand(x.shape)
    d["dxc"] = d["dxhat"] / torch.sqrt(x.var(0, correction=0) + eps) + 2 * (x - x.mean(0)) * d["dsq"]
    d["dmu"] = -d["dxc"].sum(0)
    d["dx"] = d["dxc"] + d["dmu"]
    return d


# %% [bn_backward] the sign of dstd
# says: the derivative is -1 / std²
# says: something above it is wrong: mend that first
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = reference(dy, x, gamma, eps)
    xc, std = x - x.mean(0), torch.sqrt(x.var(0, correction=0) + eps)
    d["dstd"] = d["dinv"] / std**2
    d["dvar"] = d["dstd"] / (2 * std)
    d["dsq"] = (d["dvar"] / len(x)).expand(x.shape)
    d["dxc"] = d["dxhat"] / std + 2 * xc * d["dsq"]
    d["dmu"] = -d["dxc"].sum(0)
    d["dx"] = d["dxc"] + d["dmu"] / len(x)
    return d


# %% [bn_backward] dvar without the half
# says: 1 / (2 std)
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = reference(dy, x, gamma, eps)
    return d | {"dvar": 2 * d["dvar"]}


# %% [bn_backward] dmu with the wrong sign
# says: minus the sum
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = reference(dy, x, gamma, eps)
    return d | {"dmu": -d["dmu"]}


# %% [bn_backward] dinv not summed over the batch
# says: dinv
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = reference(dy, x, gamma, eps)
    return d | {"dinv": d["dxhat"] * (x - x.mean(0))}


# %% [bn_backward] dxhat without gamma
# says: dy * gamma
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    return reference(dy, x, gamma, eps) | {"dxhat": dy}


# %% [bn_backward] eps is ignored
# says: "dx"
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    return reference(dy, x, gamma, 1e-5)


# %% [bn_backward] eps is 1e-3 by default
# says: eps is 1e-5 by default
def bn_backward(dy, x, gamma, eps=1e-3, reference=bn_backward):
    return reference(dy, x, gamma, eps)


# %% [bn_backward] names are missing
# says: the dict has no "dstd"
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = reference(dy, x, gamma, eps)
    return {name: d[name] for name in ("dx", "dgamma", "dbeta")}


# %% [bn_backward] a tuple
# says: a dict of ten tensors
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    return tuple(reference(dy, x, gamma, eps).values())


# %% [bn_backward] dy is changed in place
# says: in place
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    d = {name: value.clone() for name, value in reference(dy, x, gamma, eps).items()}
    dy *= gamma
    return d


# %% [bn_backward] by autograd
# says: torch.autograd.grad
def bn_backward(dy, x, gamma, eps=1e-5):
    v = {"x": x.clone().requires_grad_()}
    v["mu"] = v["x"].mean(dim=0)
    v["xc"] = v["x"] - v["mu"]
    v["sq"] = v["xc"] ** 2
    v["var"] = v["sq"].mean(dim=0)
    v["std"] = torch.sqrt(v["var"] + eps)
    v["inv"] = 1 / v["std"]
    v["xhat"] = v["xc"] * v["inv"]
    v["gamma"], v["beta"] = gamma.clone().requires_grad_(), torch.zeros_like(gamma, requires_grad=True)
    y = v["gamma"] * v["xhat"] + v["beta"]
    return {f"d{name}": g for name, g in zip(v, torch.autograd.grad(y, list(v.values()), dy))}


# %% [bn_backward] silently float32
# says: dtype
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    return reference(dy.float(), x.float(), gamma.float(), eps)


# %% [bn_backward] float64, whatever goes in
# says: dtype
def bn_backward(dy, x, gamma, eps=1e-5, reference=bn_backward):
    return reference(dy.double(), x.double(), gamma.double(), eps)


# %% [bn_backward_fast] float64, whatever goes in
# says: dtype
def bn_backward_fast(dy, xhat, inv, gamma, reference=bn_backward_fast):
    return reference(dy.double(), xhat.double(), inv.double(), gamma.double())


# %% [bn_backward_fast] dx without both terms
# says: both the term
def bn_backward_fast(dy, xhat, inv, gamma):
    return gamma * inv * dy, (dy * xhat).sum(0), dy.sum(0)


# %% [bn_backward_fast] dx without the mean
# says: the term with the mean of dy is missing
def bn_backward_fast(dy, xhat, inv, gamma):
    dgamma = (dy * xhat).sum(0)
    return gamma * inv * (dy - xhat * dgamma / len(dy)), dgamma, dy.sum(0)


# %% [bn_backward_fast] dx without the x̂ term
# says: the term with xhat is missing
def bn_backward_fast(dy, xhat, inv, gamma):
    return gamma * inv * (dy - dy.mean(0)), (dy * xhat).sum(0), dy.sum(0)


# %% [bn_backward_fast] off by N in the sums
# says: divided by N
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    return gamma * inv * (dy - dbeta - xhat * dgamma), dgamma, dbeta


# %% [bn_backward_fast] N times too large
# says: N times too large
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    return gamma * inv * (len(dy) * dy - dbeta - xhat * dgamma), dgamma, dbeta


# %% [bn_backward_fast] gamma forgotten
# says: gamma is missing
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    return inv * (dy - (dbeta + xhat * dgamma) / len(dy)), dgamma, dbeta


# %% [bn_backward_fast] inv forgotten
# says: inv is missing
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    return gamma * (dy - (dbeta + xhat * dgamma) / len(dy)), dgamma, dbeta


# %% [bn_backward_fast] dgamma and dbeta are means
# says: not the mean
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.mean(0), (dy * xhat).mean(0)
    return gamma * inv * (dy - dbeta - xhat * dgamma), dgamma, dbeta


# %% [bn_backward_fast] dgamma and dbeta the other way round
# says: the second of the three
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    return gamma * inv * (dy - (dbeta + xhat * dgamma) / len(dy)), dbeta, dgamma


# %% [bn_backward_fast] a loop over the channels
# says: a loop over the channels
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    dx = torch.empty_like(dy)
    for c in range(dy.shape[1]):
        g, h = dy[:, c], xhat[:, c]
        dx[:, c] = gamma[c] * inv[c] * (g - (dbeta[c] + h * dgamma[c]) / len(dy))
    return dx, dgamma, dbeta


# %% [bn_backward_fast] a loop over the examples
# says: a loop over the examples
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    rows = [gamma * inv * (g - (dbeta + h * dgamma) / len(dy)) for g, h in zip(dy, xhat)]
    return torch.stack(rows), dgamma, dbeta


# %% [bn_backward_fast] the Jacobian of each channel written down
# says: dx
def bn_backward_fast(dy, xhat, inv, gamma):
    n = len(dy)
    jacobian = torch.eye(n, dtype=dy.dtype)[..., None] - xhat[:, None] * xhat[None] / n
    dx = gamma * inv * (jacobian * dy[None]).sum(1)
    return dx, (dy * xhat).sum(0), dy.sum(0)


# %% [bn_backward_fast] in place
# says: in place
def bn_backward_fast(dy, xhat, inv, gamma):
    dbeta, dgamma = dy.sum(0), (dy * xhat).sum(0)
    dy -= (dbeta + xhat * dgamma) / len(dy)
    return gamma * inv * dy, dgamma, dbeta


# %% [module] running statistics are parameters
# says: buffers, not learnt
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.running_mean = nn.Parameter(torch.zeros(num_features), requires_grad=False)
        self.running_var = nn.Parameter(torch.ones(num_features), requires_grad=False)
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        rows = x.movedim(1, -1)
        running = self.running_mean, self.running_var
        y, mean, var = bn_forward(
            rows.flatten(0, -2), self.weight, self.bias, *running, self.training, self.momentum, self.eps
        )
        self.running_mean.data, self.running_var.data = mean.detach().clone(), var.detach().clone()
        self.num_batches_tracked += self.training
        return y.reshape(rows.shape).movedim(-1, 1)


# %% [module] running statistics are plain attributes
# says: register_buffer
class BatchNorm(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        nn.Module.__init__(self)
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.running_mean, self.running_var = torch.zeros(num_features), torch.ones(num_features)
        self.num_batches_tracked = torch.tensor(0)


# %% [module] num_batches_tracked is missing
# says: num_batches_tracked
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        rows = x.movedim(1, -1)
        running = self.running_mean, self.running_var
        y, self.running_mean, self.running_var = bn_forward(
            rows.flatten(0, -2), self.weight, self.bias, *running, self.training, self.momentum, self.eps
        )
        return y.reshape(rows.shape).movedim(-1, 1)


# %% [module] the counter never counts
# says: one more for each batch
class BatchNorm(BatchNorm):
    def forward(self, x):
        counted = self.num_batches_tracked.clone()
        y = super().forward(x)
        self.num_batches_tracked = counted
        return y


# %% [module] the counter counts in eval mode, too
# says: none in eval mode
class BatchNorm(BatchNorm):
    def forward(self, x):
        self.num_batches_tracked += not self.training
        return super().forward(x)


# %% [module] buffers that are not saved
# says: persistent=False
class BatchNorm(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        self._non_persistent_buffers_set |= {"running_mean", "running_var"}


# %% [module] weight and bias are no parameters
# says: not among the parameters
class BatchNorm(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features, eps, momentum)
        del self.weight, self.bias
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))


# %% [module] other names: gamma and beta
# says: weight
class BatchNorm(nn.Module):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.gamma = nn.Parameter(torch.ones(num_features))
        self.beta = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x):
        rows = x.movedim(1, -1)
        running = self.running_mean, self.running_var
        y, self.running_mean, self.running_var = bn_forward(
            rows.flatten(0, -2), self.gamma, self.beta, *running, self.training, self.momentum, self.eps
        )
        if self.training:
            self.num_batches_tracked += 1
        return y.reshape(rows.shape).movedim(-1, 1)


# %% [module] self.training is ignored
# says: self.training
class BatchNorm(BatchNorm):
    def forward(self, x):
        mode, self.training = self.training, True
        y = super().forward(x)
        self.training = mode
        return y


# %% [module] the running statistics are never updated
# says: running_mean has not changed in training mode
class BatchNorm(BatchNorm):
    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        y = super().forward(x)
        self.running_mean, self.running_var = mean, var
        return y


# %% [module] the running statistics change in eval mode, too
# says: only training mode updates
class BatchNorm(BatchNorm):
    def forward(self, x):
        y = super().forward(x)
        if not self.training and len(x) > 1:
            rows = x.detach().movedim(1, -1).flatten(0, -2)
            self.running_mean = 0.9 * self.running_mean + 0.1 * rows.mean(0)
            self.running_var = 0.9 * self.running_var + 0.1 * rows.var(0)
        return y


# %% [module] images: over examples only, each pixel by itself
# says: over dimensions 0, 2 and 3
class BatchNorm(BatchNorm):
    def forward(self, x):
        if x.ndim == 2 or not self.training:
            return super().forward(x)
        super().forward(x)
        y = (x - x.mean(0)) / torch.sqrt(x.var(0, correction=0) + self.eps)
        return self.weight[:, None, None] * y + self.bias[:, None, None]


# %% [module] images: over pixels only, each image by itself
# says: over all examples and all pixels
class BatchNorm(BatchNorm):
    def forward(self, x):
        if x.ndim == 2 or not self.training:
            return super().forward(x)
        super().forward(x)
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        return self.weight[:, None, None] * (x - mean) / torch.sqrt(var + self.eps) + self.bias[:, None, None]


# %% [module] images: reshaped without moving the channels
# says: over dimensions 0, 2 and 3
class BatchNorm(BatchNorm):
    def forward(self, x):
        return super().forward(x.reshape(-1, x.shape[1])).reshape(x.shape)


# %% [module] images: only rows are taken
# says: images
class BatchNorm(BatchNorm):
    def forward(self, x):
        n, c = x.shape
        return super().forward(x)


# %% [module] images: by view, which an image that was turned does not allow
# says: not contiguous
class BatchNorm(BatchNorm):
    def forward(self, x):
        if x.ndim == 2:
            return super().forward(x)
        n, c, h, w = x.shape
        rows = x.view(n, c, h * w).transpose(1, 2).reshape(-1, c)
        return super().forward(rows).reshape(n, h * w, c).transpose(1, 2).reshape(n, c, h, w)


# %% [module] the graph is kept in the buffers
# says: carries the graph
class BatchNorm(BatchNorm):
    def forward(self, x):
        mean, var = self.running_mean.detach(), self.running_var.detach()
        self.running_mean, self.running_var = mean, var
        y = super().forward(x)
        if self.training:
            rows = x.movedim(1, -1).flatten(0, -2)
            self.running_mean = (1 - self.momentum) * mean + self.momentum * rows.mean(0)
            self.running_var = (1 - self.momentum) * var + self.momentum * rows.var(0)
        return y


# %% [module] momentum and eps are not kept
# says: is the argument kept
class BatchNorm(BatchNorm):
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__(num_features)


# %% [module] always float32
# says: dtype
class BatchNorm(BatchNorm):
    def forward(self, x):
        return super().forward(x).float()


# %% [module] a child of PyTorch's
# says: torch.nn.BatchNorm2d
class BatchNorm(nn.BatchNorm2d):
    def _check_input_dim(self, x):
        pass


# %% [module] the prediction is the inverse
# says: differentiate both sides
ANSWERS = {"gradient_of_larger_weights": 10}


# %% [other_norms] layer_norm over the batch
# says: not over the batch
def layer_norm(x, gamma, beta, eps=1e-5):
    return gamma * (x - x.mean(0)) / torch.sqrt(x.var(0, correction=0) + eps) + beta


# %% [other_norms] layer_norm over all but the batch
# says: whatever is in front of it
def layer_norm(x, gamma, beta, eps=1e-5):
    dims = tuple(range(1, x.ndim)) or (0,)
    mean, var = x.mean(dims, keepdim=True), x.var(dims, correction=0, keepdim=True)
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta


# %% [other_norms] layer_norm with the unbiased variance
# says: biased variance
def layer_norm(x, gamma, beta, eps=1e-5):
    return gamma * (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + eps) + beta


# %% [other_norms] layer_norm with eps outside the root
# says: sqrt(variance + eps)
def layer_norm(x, gamma, beta, eps=1e-5):
    return gamma * (x - x.mean(-1, keepdim=True)) / (x.std(-1, correction=0, keepdim=True) + eps) + beta


# %% [other_norms] layer_norm with detached statistics
# says: do not detach
def layer_norm(x, gamma, beta, eps=1e-5):
    z = x.detach()
    return gamma * (x - z.mean(-1, keepdim=True)) / torch.sqrt(z.var(-1, correction=0, keepdim=True) + eps) + beta


# %% [other_norms] layer_norm without gamma and beta
# says: gamma
def layer_norm(x, gamma, beta, eps=1e-5):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + eps)


# %% [other_norms] layer_norm in place
# says: in place
def layer_norm(x, gamma, beta, eps=1e-5, reference=layer_norm):
    y = reference(x, gamma, beta, eps)
    x.detach().sub_(x.detach().mean(-1, keepdim=True))
    return y


# %% [other_norms] group_norm: groups of channels that are not neighbours
# says: group 0 is channels 0 to
def group_norm(x, groups, gamma, beta, eps=1e-5):
    wide = [1, -1, *[1] * (x.ndim - 2)]
    y = torch.empty_like(x)
    for g in range(groups):
        part = x[:, g::groups]
        dims = tuple(range(1, x.ndim))
        mean, var = part.mean(dims, keepdim=True), part.var(dims, correction=0, keepdim=True)
        y[:, g::groups] = (part - mean) / torch.sqrt(var + eps)
    return y * gamma.reshape(wide) + beta.reshape(wide)


# %% [other_norms] group_norm: over the batch as well
# says: each example and group
def group_norm(x, groups, gamma, beta, eps=1e-5):
    wide = [1, -1, *[1] * (x.ndim - 2)]
    blocks = x.reshape(len(x), groups, -1)
    mean, var = blocks.mean((0, 2), keepdim=True), blocks.var((0, 2), correction=0, keepdim=True)
    y = ((blocks - mean) / torch.sqrt(var + eps)).reshape(x.shape)
    return y * gamma.reshape(wide) + beta.reshape(wide)


# %% [other_norms] group_norm: groups is the number of channels in a group
# says: groups of 6 channels
def group_norm(x, groups, gamma, beta, eps=1e-5, reference=group_norm):
    return reference(x, x.shape[1] // groups, gamma, beta, eps)


# %% [other_norms] group_norm: each position by itself
# says: all behind
def group_norm(x, groups, gamma, beta, eps=1e-5):
    wide = [1, -1, *[1] * (x.ndim - 2)]
    blocks = x.reshape(len(x), groups, x.shape[1] // groups, -1)
    mean, var = blocks.mean(2, keepdim=True), blocks.var(2, correction=0, keepdim=True)
    y = ((blocks - mean) / torch.sqrt(var + eps)).reshape(x.shape)
    return y * gamma.reshape(wide) + beta.reshape(wide)


# %% [other_norms] group_norm: each channel by itself
# says: one mean and biased variance for each example and group
def group_norm(x, groups, gamma, beta, eps=1e-5, reference=group_norm):
    return reference(x, x.shape[1], gamma, beta, eps)


# %% [other_norms] group_norm: images only
# says: group
def group_norm(x, groups, gamma, beta, eps=1e-5, reference=group_norm):
    n, c, h, w = x.shape
    return reference(x, groups, gamma, beta, eps)


# %% [other_norms] group_norm with the unbiased variance
# says: biased variance
def group_norm(x, groups, gamma, beta, eps=1e-5):
    wide = [1, -1, *[1] * (x.ndim - 2)]
    blocks = x.reshape(len(x), groups, -1)
    y = (blocks - blocks.mean(-1, keepdim=True)) / torch.sqrt(blocks.var(-1, keepdim=True) + eps)
    return y.reshape(x.shape) * gamma.reshape(wide) + beta.reshape(wide)


# %% [other_norms] rms_norm subtracts the mean
# says: no mean of x is subtracted
def rms_norm(x, gamma, eps=1e-5):
    return layer_norm(x, gamma, torch.zeros_like(gamma), eps)


# %% [other_norms] rms_norm divides by the standard deviation
# says: no mean of x is subtracted
def rms_norm(x, gamma, eps=1e-5):
    return gamma * x / torch.sqrt(x.var(-1, correction=0, keepdim=True) + eps)


# %% [other_norms] rms_norm with the sum of the squares
# says: mean(x²)
def rms_norm(x, gamma, eps=1e-5):
    return gamma * x / torch.sqrt((x * x).sum(-1, keepdim=True) + eps)


# %% [other_norms] rms_norm with eps outside the root
# says: sqrt(mean(x²) + eps)
def rms_norm(x, gamma, eps=1e-5):
    return gamma * x / (torch.sqrt((x * x).mean(-1, keepdim=True)) + eps)


# %% [other_norms] rms_norm with an eps of 1e-8
# says: eps is 1e-5 by default
def rms_norm(x, gamma, eps=1e-8):
    return gamma * x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


# %% [other_norms] rms_norm of the whole tensor
# says: along the last dimension
def rms_norm(x, gamma, eps=1e-5):
    return gamma * x / torch.sqrt((x * x).mean() + eps)


# %% [other_norms] rms_norm overwrites what its gradient needs
# says: was overwritten
def rms_norm(x, gamma, eps=1e-5):
    y = x.clone()
    y /= torch.sqrt((y * y).mean(-1, keepdim=True) + eps)
    return gamma * y


# %% [other_norms] PyTorch's own
# says: torch.nn.functional.rms_norm
def rms_norm(x, gamma, eps=1e-5):
    return F.rms_norm(x, gamma.shape, gamma, eps)


# %% [fold] nothing is folded
# says: nothing is folded
def fold_bn(conv, bn):
    return conv


# %% [fold] the bias of the convolution is forgotten
# says: the bias
def fold_bn(conv, bn, reference=fold_bn):
    plain = copy.deepcopy(conv)
    plain.bias = None
    return reference(plain, bn)


# %% [fold] the running mean is forgotten
# says: running_mean
def fold_bn(conv, bn, reference=fold_bn):
    centred = copy.deepcopy(bn)
    centred.running_mean.zero_()
    return reference(conv, centred)


# %% [fold] gamma over the variance
# says: gamma / sqrt(running_var + eps)
def fold_bn(conv, bn, reference=fold_bn):
    squared = copy.deepcopy(bn)
    squared.running_var = (bn.running_var + bn.eps) ** 2 - bn.eps
    return reference(conv, squared)


# %% [fold] only a convolution with a bias
# says: A convolution without a bias gets one
def fold_bn(conv, bn):
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    folded = copy.deepcopy(conv)
    folded.weight = nn.Parameter((conv.weight * scale[:, None, None, None]).detach())
    folded.bias = nn.Parameter(((conv.bias - bn.running_mean) * scale + bn.bias).detach())
    return folded


# %% [fold] eps is 1e-5, whatever bn says
# says: bn.eps
def fold_bn(conv, bn, reference=fold_bn):
    other = copy.deepcopy(bn)
    other.eps = 1e-5
    return reference(conv, other)


# %% [fold] the scale runs over the input channels
# says: each *output* channel
def fold_bn(conv, bn, reference=fold_bn):
    folded = reference(conv, bn)
    scale = (bn.weight / torch.sqrt(bn.running_var + bn.eps))[: conv.weight.shape[1]]
    folded.weight = nn.Parameter((conv.weight * scale[None, :, None, None]).detach())
    return folded


# %% [fold] stride and padding are forgotten
# says: stride, padding
def fold_bn(conv, bn, reference=fold_bn):
    right = reference(conv, bn)
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, groups=conv.groups).double()
    folded.weight, folded.bias = right.weight, right.bias
    return folded


# %% [fold] conv itself is changed
# says: copy.deepcopy
def fold_bn(conv, bn, reference=fold_bn):
    right = reference(conv, bn)
    conv.weight, conv.bias = right.weight, right.bias
    return conv


# %% [fold] conv and bn one behind the other
# says: returns one nn.Conv2d
def fold_bn(conv, bn):
    return nn.Sequential(conv, bn.eval())


# %% [fold] the library's own
# says: torch.nn.utils.fusion.fuse_conv_bn_eval
def fold_bn(conv, bn):
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    return fuse_conv_bn_eval(conv.eval(), bn.eval())


# %% [fold] recalibration does nothing
# says: still the old ones
def recalibrate_bn(model, batches):
    return model


# %% [fold] recalibration with the old momentum
# says: whatever momentum says
def recalibrate_bn(model, batches):
    modes = {module: module.training for module in model.modules()}
    model.eval()
    for module in modes:
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.train()
            module.reset_running_stats()
    with torch.no_grad():
        for x in batches:
            model(x)
    for module, mode in modes.items():
        module.training = mode


# %% [fold] recalibration with the last batch alone
# says: each batch counts the same
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    reference(model, batches[-1:])


# %% [fold] recalibration with all batches as one
# says: each batch counts the same
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    reference(model, [torch.cat(batches)])


# %% [fold] recalibration does not forget
# says: nothing is left of the old statistics
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    resets = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in resets:
        norm.num_batches_tracked.zero_()
        norm.reset_running_stats = lambda norm=norm: norm.num_batches_tracked.fill_(1)
    reference(model, batches)


# %% [fold] recalibration with dropout
# says: dropout is in eval mode
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in modes if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


# %% [fold] recalibration puts nothing but nn.Dropout into eval mode
# says: looks at self.training
def recalibrate_bn(model, batches):
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in modes if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    momenta = [norm.momentum for norm in norms]
    model.train()
    for module in modes:
        if isinstance(module, nn.Dropout):
            module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


# %% [fold] recalibration leaves the model in training mode
# says: put it back
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    reference(model, batches)
    model.train()


# %% [fold] recalibration gives all modules the mode of the model
# says: remember module.training of each
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    mode = model.training
    reference(model, batches)
    model.train(mode)


# %% [fold] recalibration leaves momentum None
# says: momentum is not what it was
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    reference(model, batches)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = None


# %% [fold] recalibration resets weight and bias, too
# says: a parameter has changed
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    reference(model, batches)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.reset_parameters = None
            nn.init.ones_(module.weight)


# %% [fold] recalibration of the batch norms for images only
# says: deep in the model
def recalibrate_bn(model, batches):
    modes = {module: module.training for module in model.modules()}
    norms = [module for module in modes if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        for x in batches:
            model(x)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


# %% [fold] recalibration of one batch norm behind the other's running statistics
# says: each normalises with the batch's own statistics
def recalibrate_bn(model, batches, reference=recalibrate_bn):
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in modes if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    model.eval()
    for norm in norms:
        momentum, norm.momentum = norm.momentum, None
        norm.train()
        norm.reset_running_stats()
        with torch.no_grad():
            for x in batches:
                model(x)
        norm.eval()
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


# %% [unlearnable] nothing is normalised
# says: this is another network
def normalise(net):
    return net


# %% [unlearnable] batch norm behind the sigmoids
# says: linear, batch norm, sigmoid
def normalise(net):
    layers = []
    for layer in net:
        layers.append(layer)
        if isinstance(layer, nn.Sigmoid):
            layers.append(BatchNorm(layers[-2].out_features))
    return nn.Sequential(*layers)


# %% [unlearnable] batch norm in front of the first sigmoid only
# says: in front of every sigmoid
def normalise(net):
    return nn.Sequential(net[0], BatchNorm(net[0].out_features), *net[1:])


# %% [unlearnable] one batch norm for all
# says: batch norm
def normalise(net):
    layers, shared = [], BatchNorm(64)
    for layer in net:
        if isinstance(layer, nn.Sigmoid):
            layers.append(shared)
        layers.append(layer)
    return nn.Sequential(*layers)


# %% [unlearnable] ReLU for the sigmoids
# says: this is another network
def normalise(net):
    return nn.Sequential(*[nn.ReLU() if isinstance(layer, nn.Sigmoid) else layer for layer in net])


# %% [unlearnable] new weights
# says: net's own layers
def normalise(net, reference=normalise):
    for layer in net:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    return reference(net)


# %% [unlearnable] layer norm
# says: torch.nn.LayerNorm
def normalise(net):
    layers = []
    for layer in net:
        if isinstance(layer, nn.Sigmoid):
            layers.append(nn.LayerNorm(layers[-1].out_features))
        layers.append(layer)
    return nn.Sequential(*layers)


# %% [unlearnable] PyTorch's own
# says: torch.nn.BatchNorm1d
def normalise(net):
    layers = []
    for layer in net:
        if isinstance(layer, nn.Sigmoid):
            layers.append(nn.BatchNorm1d(layers[-1].out_features))
        layers.append(layer)
    return nn.Sequential(*layers)


# %% [unlearnable] always in training mode
# says: no example may depend on the others
class Stuck(BatchNorm):
    def train(self, mode=True):
        return super().train(True)


def normalise(net):
    layers = []
    for layer in net:
        if isinstance(layer, nn.Sigmoid):
            layers.append(Stuck(layers[-1].out_features))
        layers.append(layer)
    return nn.Sequential(*layers)


# %% [unlearnable] nothing requires a gradient
# says: no gradient flows through the network
def normalise(net, reference=normalise):
    net = reference(net)
    for p in net.parameters():
        p.requires_grad = False
    return net
