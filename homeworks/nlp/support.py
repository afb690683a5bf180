"""Beside the student's code: takes one gradient there, so that the graph of a step is gone before the next begins.

It holds nothing secret. The judge keeps the parameters, and believes the gradients no more than the student's own word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch


def loss_and_gradients(
    loss_of: Callable[..., Any], params: Mapping[str, Any], source: torch.Tensor, target: torch.Tensor
) -> tuple[Any, list[torch.Tensor | None]]:
    """The loss as it was returned, and its gradient with respect to each leaf of params in order (None if unused)."""
    leaves = [leaf for value in params.values() for leaf in (value if isinstance(value, list) else [value])]
    loss = loss_of(params, source, target)
    if not isinstance(loss, torch.Tensor) or loss.shape != () or not loss.requires_grad:
        return loss, []
    return loss.detach(), list(torch.autograd.grad(loss, leaves, allow_unused=True))
