"""Networks that carry dropout layers to where the tests want them.

Loaded in the worker, beside the student's code: nothing here is secret, and no expected value is computed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def nested(layer: nn.Module) -> nn.Sequential:
    """The layer, two containers deep."""
    return nn.Sequential(nn.Identity(), nn.Sequential(layer))


class Watched(nn.Module):
    """Two dropouts and two batch norms at several depths. What each pass sees goes to the test, which answers with
    the logits."""

    def __init__(self, dropout: Callable[[float], nn.Module], watch: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.first = dropout(0.5)
        self.body = nn.ModuleList([nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), dropout(0.5))])
        self.norm = nn.BatchNorm2d(5)
        self.gain = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.watch = watch

    def dropouts(self) -> list[nn.Module]:
        return [self.first, self.body[0][2]]

    def others(self) -> list[nn.Module]:
        return [module for module in self.modules() if module not in self.dropouts()]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = [dropout(torch.ones(12, 10, 1, 1)) for dropout in self.dropouts()]
        self.body[0][0](torch.arange(12.0).reshape(4, 3))
        self.norm(torch.arange(40.0).reshape(2, 5, 2, 2))
        others = any(module.training for module in self.others())
        return self.gain * self.watch(x, noise, others)


def mc_predict(
    predict: Callable[..., Any],
    dropout: Any,
    watch: Callable[..., torch.Tensor],
    modes: list[bool],
    x: torch.Tensor,
    T: int,
) -> dict[str, Any]:
    """What the student's mc_predict makes of a watched network, and how it leaves it.

    dropout: the class of its dropout layers, or the name of one in torch.nn. modes: whether each module is in train
    mode, over and over.
    """
    network = Watched(getattr(nn, dropout) if isinstance(dropout, str) else dropout, watch)
    for number, module in enumerate(network.modules()):
        module.training = modes[number % len(modes)]
    before = [module.training for module in network.modules()]
    statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        answer = predict(network, x, T)
    except ZeroDivisionError:  # the test's own, in the middle of a pass
        answer = None
    return {
        "answer": answer,
        "modes_kept": [module.training for module in network.modules()] == before,
        "statistics_kept": all(torch.equal(b, statistics[name]) for name, b in network.named_buffers()),
    }
