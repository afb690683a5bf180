"""What several test modules ask in the same way. Expected values are float64 and come from formulas in the modules.

Nothing here keeps a graph or a gradient that could reach the submission.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from grading.judge import assert_close, assert_tensor, check

Elementwise = Callable[[torch.Tensor], torch.Tensor]


def points(generator: torch.Generator, *, scale: float = 3.0) -> torch.Tensor:
    """Random float64 numbers of both signs, shape (3, 5, 7), not contiguous."""
    return (scale * torch.randn(7, 5, 3, generator=generator, dtype=torch.float64)).transpose(0, 2)


def ask(submission: Any, name: str, x: torch.Tensor, *arguments: Any) -> torch.Tensor:
    """The result of an elementwise function: of x's shape and dtype, and x left alone, or the test fails."""
    y = getattr(submission, name)(x, *arguments)

    check(not submission.changed(x), f"{name} changed its argument in place: compute a new tensor instead")
    given = f"{str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)}"
    hint = f"{name} was given {given} and must return the same shape and dtype"
    return assert_tensor(y, shape=x.shape, dtype=x.dtype, finite=False, hint=hint)


def assert_agrees(
    submission: Any,
    name: str,
    x: torch.Tensor,
    formula: Elementwise,
    *arguments: Any,
    hint: str,
    rtol: float = 1e-10,
    atol: float = 1e-12,
) -> None:
    """The function follows the formula in float64, and answers float32 in float32 (there to five digits)."""
    assert_right(ask(submission, name, x, *arguments), formula(x), rtol=rtol, atol=atol, hint=hint)
    single = x.float()
    expected = formula(single.double()).float()
    assert_close(
        ask(submission, name, single, *arguments), expected, rtol=1e-4, atol=1e-5, hint=f"in float32: {hint}"
    )


def assert_right(
    actual: torch.Tensor, expected: torch.Tensor, *, hint: str, rtol: float = 1e-10, atol: float = 1e-12
) -> None:
    """assert_close for float64 tensors of one shape, but a result as good as float32 is told so, before the hint."""
    right = torch.allclose(actual, expected, rtol=rtol, atol=atol)
    as_float32 = torch.allclose(actual, expected, rtol=1e-6, atol=1e-7 if atol else 0.0)
    check(
        right or not as_float32,
        "right to about six digits, but no further: did it pass through float32 on the way? (So does a plain number in "
        f"torch.where(x > 0, 1.0, ...), and a new tensor without dtype=x.dtype.) If not: {hint}",
    )
    assert_close(actual, expected, rtol=rtol, atol=atol, hint=hint)


def derivative(formula: Elementwise) -> Elementwise:
    """The derivative of an elementwise formula, by autograd in the judge."""

    def slope(x: torch.Tensor) -> torch.Tensor:
        leaf = x.detach().clone().requires_grad_()
        return torch.autograd.grad(formula(leaf).sum(), leaf)[0]

    return slope


def pulled_back(name: str, y: torch.Tensor, x: torch.Tensor, cotangent: torch.Tensor) -> torch.Tensor:
    """The gradient with respect to x of (y * cotangent).sum(), through the submission's own graph."""
    lost = f"the result of {name} has no gradient: detach, .item(), .data and NumPy cut it off"
    check(y.requires_grad, lost)
    (gradient,) = torch.autograd.grad(y, x, cotangent, allow_unused=True)
    check(gradient is not None, lost)
    return assert_tensor(
        gradient,
        shape=x.shape,
        hint=f"the gradient of {name}: is the side of torch.where that was not chosen infinite, or does exp overflow "
        "on the way? Then 0 * inf is NaN",
    )
