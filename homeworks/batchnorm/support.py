"""Networks of the framework's own for the student's functions to work on, and a plain optimiser for the boss.

Loaded in the worker, beside the student's code: nothing here is secret, and nothing here decides points.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def fill(module: nn.Module, values: dict[str, torch.Tensor]) -> None:
    """Gives tensors of a module, be they parameters, buffers or plain attributes, these values."""
    for name, value in values.items():
        getattr(module, name).detach().copy_(value)


def sigmoid_network(weights: list[torch.Tensor], biases: list[torch.Tensor]) -> nn.Sequential:
    """Linear layers with these weights and biases, and a sigmoid behind each but the last."""
    layers: list[nn.Module] = []
    for weight, bias in zip(weights, biases, strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        fill(linear, {"weight": weight, "bias": bias})
        layers += [linear, nn.Sigmoid()]
    return nn.Sequential(*layers[:-1])


class Descent:
    """SGD with momentum, by hand: the first optimiser of a process costs seconds of imports."""

    def __init__(self, net: nn.Module, rate: float, momentum: float) -> None:
        self.parameters = list(net.parameters())
        self.velocities = [torch.zeros_like(p) for p in self.parameters]
        self.rate, self.momentum = rate, momentum

    def step(self) -> None:
        with torch.no_grad():
            for p, velocity in zip(self.parameters, self.velocities, strict=True):
                if p.grad is not None:
                    p -= self.rate * velocity.mul_(self.momentum).add_(p.grad)
                    p.grad = None


class Shouting(nn.Module):
    """Does one thing in training and another in use, as dropout does, but is of a class that no library knows."""

    def forward(self, x: Any) -> Any:
        return 3 * x + 1 if self.training else x


class Branch(nn.Module):
    """Batch norms at several depths, with dropout (or another layer) in between; one is used on a table of rows."""

    def __init__(self, between: nn.Module | None = None) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv2d(2, 5, 2), nn.BatchNorm2d(5, momentum=0.25))
        self.between = between or nn.Dropout(0.5)
        self.back = nn.ModuleList(
            [nn.Sequential(nn.Linear(30, 7), nn.BatchNorm1d(7, momentum=0.4)), nn.Linear(7, 3)]
        )

    def forward(self, x: Any) -> Any:
        h = self.between(torch.relu(self.front(x))).flatten(1)
        for layer in self.back:
            h = layer(h)
        return h
