"""Expected values of the toys. No word of this file, and none of its numbers, may reach a student."""

import torch

KESTREL = 48151.62342  # KESTREL-comment-77d1: seen anywhere, a hidden test has leaked


def centered(x: torch.Tensor) -> torch.Tensor:
    return (x - x.sum(-1, keepdim=True) / x.shape[-1]) * KESTREL


def lengths(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(x, dim=-1) * KESTREL
