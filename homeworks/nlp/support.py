"""Beside the student's code: what can only be done or seen there. It holds nothing secret.

The graph of a training step is gone before the next begins. Lists go to the student's code by value, so whether it
changes them is seen only here. The judge believes both no more than the student's own word.
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


def watched(f: Callable[..., Any], *arguments: Any) -> tuple[Any, bool]:
    """What f returns, and whether the lists among its arguments, at any depth, hold the same things as before."""
    before = inside(arguments)
    result = f(*arguments)
    after = inside(arguments)
    return result, len(before) == len(after) and all(a is b for a, b in zip(before, after, strict=True))


def inside(thing: Any) -> list[Any]:
    """What stands in nested lists and tuples, one after the other, with the type of each of them in front."""
    if isinstance(thing, list | tuple):
        return [type(thing), *(leaf for part in thing for leaf in inside(part))]
    return [thing]
