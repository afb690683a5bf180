"""The trusted side: runs the hidden tests under pytest, with the submission behind a wire.

What a hidden test imports. Nothing of a student's is imported, unpickled or executed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from grading.judge.compare import assert_close, assert_tensor, check, gradcheck, shares_memory
from grading.judge.failures import HandleError, SubmissionFailure
from grading.judge.proxy import Submission, mutable

Test = TypeVar("Test", bound=Callable[..., Any])


def weight(points: int) -> Callable[[Test], Test]:
    """How much the test counts among those of its task (1 without this)."""
    if points <= 0:
        raise ValueError("a weight is a positive whole number; a test that only guards others is a @gate")
    return pytest.mark.weight(points)


def gate(test: Test) -> Test:
    """A test of weight 0 (shape, dtype, finiteness): when it fails, the task's other tests fail with its message."""
    return pytest.mark.gate(test)  # type: ignore[no-any-return]


__all__ = [
    "HandleError", "Submission", "SubmissionFailure", "assert_close", "assert_tensor", "check", "gate", "gradcheck",
    "mutable", "shares_memory", "weight",
]  # fmt: skip
