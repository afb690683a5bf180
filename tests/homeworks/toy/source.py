# %% [markdown]
# # Three toys

# %%
import torch

# %% [markdown]
# ## Center: each row minus its mean


# %%
def center(x):
    ### BEGIN SOLUTION
    return x - x.mean(dim=-1, keepdim=True)
    ### END SOLUTION


# %% tags=["check"]
assert center(torch.ones(2, 3)).abs().max() == 0

# %% [markdown]
# ## Length: Euclidean, of each row, without the library's norm


# %%
def length(x):
    ### BEGIN SOLUTION
    return (x * x).sum(dim=-1).sqrt()
    ### END SOLUTION


# %% [markdown]
# ## Twice: f of f of x


# %%
def twice(f, x):
    ### BEGIN SOLUTION
    return f(f(x))
    ### END SOLUTION
