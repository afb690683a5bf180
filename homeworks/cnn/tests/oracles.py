"""What several test modules ask in the same way. Expected values come from torch in float64, in the judge.

Nothing here keeps a graph or a gradient that could reach the submission.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from grading.judge import assert_close, assert_tensor, check

Pair = tuple[int, int]
ONES: Pair = (1, 1)
NONE: Pair = (0, 0)


def tensor(generator: torch.Generator, *shape: int, shift: float = 0.0) -> torch.Tensor:
    """Random float64 numbers of both signs; an image is not contiguous, as a photograph (N, H, W, C) often is."""
    if len(shape) == 4:
        n, c, h, w = shape
        values = torch.randn(n, h, w, c, generator=generator, dtype=torch.float64).permute(0, 3, 1, 2)
    else:
        values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values + shift


def kernels(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """The same for the kernels of a layer, which are contiguous."""
    return tensor(generator, *shape).contiguous()


def ask(submission: Any, name: str, *arguments: Any) -> Any:
    """The function's answer, given that it leaves its arguments alone."""
    answer = getattr(submission, name)(*arguments)

    for given in arguments:
        if isinstance(given, torch.Tensor):
            check(
                not submission.changed(given),
                f"{name} changed its argument in place: compute a new tensor instead",
            )
    return answer


def assert_right(
    actual: Any, expected: torch.Tensor, *, hint: str, rtol: float = 1e-9, atol: float = 1e-10
) -> None:
    """Of the right shape, dtype and finite, and then right; a result as good as float32 is told so, before the hint."""
    value = assert_tensor(actual, shape=expected.shape, dtype=expected.dtype, hint=hint).detach()
    close = torch.allclose(value, expected, rtol=rtol, atol=atol)
    as_float32 = expected.dtype == torch.float64 and torch.allclose(value, expected, rtol=1e-5, atol=1e-5)
    check(
        close or not as_float32,
        "right to about six digits, but no further: did it pass through float32 on the way? (A new tensor is "
        f"float32 unless it is told its dtype.) If not: {hint}",
    )
    assert_close(value, expected, rtol=rtol, atol=atol, hint=hint)


def assert_alive(y: torch.Tensor, name: str) -> None:
    """Not one number everywhere: what follows compares the function with itself, and a constant agrees with itself."""
    check((y != y.flatten()[0]).any(), f"{name} gives the same number everywhere")


def conv(
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None = None,
    stride: Pair = ONES,
    pad: Pair = NONE,
    dilation: Pair = ONES,
) -> torch.Tensor:
    return F.conv2d(x, w, b, stride, pad, dilation)


def unfolded(
    x: torch.Tensor, kernel: Pair, stride: Pair = ONES, pad: Pair = NONE, dilation: Pair = ONES
) -> torch.Tensor:
    return F.unfold(x, kernel, dilation, pad, stride)


def folded(
    columns: torch.Tensor,
    shape: tuple[int, int, int, int],
    kernel: Pair,
    stride: Pair = ONES,
    pad: Pair = NONE,
    dilation: Pair = ONES,
) -> torch.Tensor:
    return F.fold(columns, shape[2:], kernel, dilation, pad, stride)
