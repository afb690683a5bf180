"""The notebook that every student of the benchmark hands in."""

# %% [markdown]
# # Three functions

# %%
import torch

torch.manual_seed(0)


# %% [markdown]
# ## Standardize


# %%
def standardize(x, dim, eps=1e-5):
    mean = x.mean(dim=dim, keepdim=True)
    variance = x.var(dim=dim, keepdim=True, unbiased=False)
    return (x - mean) / torch.sqrt(variance + eps)


# %% [markdown]
# ## Convolution: (channels in, length) with (channels out, channels in, width)


# %%
def conv1d(x, weight):
    width = weight.shape[2]
    columns = [
        torch.einsum("oiw,iw->o", weight, x[:, start : start + width])
        for start in range(x.shape[1] - width + 1)
    ]
    return torch.stack(columns, dim=1)


# %% [markdown]
# ## Cross-entropy


# %%
def cross_entropy(logits, labels):
    shifted = logits - logits.amax(dim=1, keepdim=True)
    log_normaliser = shifted.exp().sum(dim=1).log()
    return (log_normaliser - shifted[torch.arange(len(labels)), labels]).mean()
