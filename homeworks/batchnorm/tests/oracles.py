"""What several test modules ask in the same way. Expected values are float64 and come from formulas, in the judge.

Nothing here keeps a graph or a gradient that could reach the submission.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from grading.judge import assert_close, assert_tensor, check

Tensors = tuple[torch.Tensor, ...]


def noise(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Normal random numbers in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def batch(generator: torch.Generator, n: int = 7, c: int = 5) -> Tensors:
    """x (n, c), not contiguous, every channel with a mean and a scale of its own; gamma; beta; run_mean; run_var."""
    x = noise(generator, c, n).T * (0.5 + 2 * torch.rand(c, generator=generator, dtype=torch.float64))
    x = x + 3 * noise(generator, c)
    gamma, beta, run_mean = (noise(generator, c) for _ in range(3))
    gamma = torch.where(gamma < 0, gamma - 0.3, gamma + 0.3)  # a scale near 0 would hide what it multiplies
    run_var = 0.2 + 3 * torch.rand(c, generator=generator, dtype=torch.float64)
    return x, gamma, beta, run_mean, run_var


def standardised(x: torch.Tensor, dims: int | tuple[int, ...], eps: float = 1e-5) -> torch.Tensor:
    """x minus its mean over these dimensions, over the root of its biased variance plus eps."""
    return (x - x.mean(dims, keepdim=True)) / torch.sqrt(x.var(dims, correction=0, keepdim=True) + eps)


def tensors_of(result: Any, name: str, shapes: dict[str, Sequence[int]], dtype: torch.dtype) -> Tensors:
    """The result as a tuple of finite tensors of these shapes and this dtype, or the test fails."""
    words = f"{name} returns {len(shapes)} tensors ({', '.join(shapes)})"
    check(isinstance(result, tuple | list) and len(result) == len(shapes), words)
    for part, (which, shape) in zip(result, shapes.items(), strict=True):
        hint = f"{which} of {name}: {tuple(shape)}, in the dtype of x, and finite"
        assert_tensor(part, shape=shape, dtype=dtype, hint=hint)
    return tuple(result)


def assert_untouched(submission: Any, name: str, *arguments: torch.Tensor) -> None:
    """The function changed none of these arguments in place."""
    for argument in arguments:
        check(
            not submission.changed(argument),
            f"{name} changed an argument in place: compute a new tensor instead",
        )


def assert_right(actual: torch.Tensor, expected: torch.Tensor, *, hint: str) -> None:
    """assert_close for float64 tensors of one shape, but a result as good as float32 is told so, before the hint."""
    right = torch.allclose(actual, expected, rtol=1e-9, atol=1e-11)
    as_float32 = torch.allclose(actual, expected, rtol=1e-5, atol=1e-6)
    check(
        right or not as_float32,
        "right to about six digits, but no further: did it pass through float32 on the way? (A new tensor without "
        f"dtype=x.dtype is float32.) If not: {hint}",
    )
    assert_close(actual, expected, rtol=1e-9, atol=1e-11, hint=hint)


def pulled_back(
    y: torch.Tensor, leaves: dict[str, torch.Tensor], cotangent: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The gradient of (y * cotangent).sum() with respect to each leaf, through the submission's own graph."""
    lost = "the result has no gradient: detach, .item(), .data and NumPy cut it off"
    check(y.requires_grad, lost)
    try:
        found = torch.autograd.grad(y, list(leaves.values()), cotangent, allow_unused=True)
    except RuntimeError as error:
        check(
            "inplace operation" not in str(error),
            "something that the gradient needs was overwritten (by *= or a function with _ at the end, say): compute a "
            "new tensor instead",
        )
        raise
    for name, gradient in zip(leaves, found, strict=True):
        check(
            gradient is not None,
            f"no gradient arrives at {name}: detach, .item(), .data and NumPy cut it off",
        )
    return dict(zip(leaves, found, strict=True))
