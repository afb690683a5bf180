"""What hidden tests assert with. A failure says what is off and the author's hint, never an expected value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.autograd.gradcheck import GradcheckError

from grading.judge.failures import SubmissionFailure
from grading.judge.proxy import Remote

RTOL, ATOL = 1e-10, 1e-12


def check(condition: Any, message: str) -> None:
    """Fails with the message unless the condition, a bool, is true."""
    if isinstance(condition, Remote):
        bool(condition)
    if not bool(condition):
        raise SubmissionFailure(message)


def assert_tensor(
    actual: Any,
    *,
    shape: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
    finite: bool = True,
    hint: str = "",
) -> torch.Tensor:
    """The value is a torch tensor of this shape and dtype, all finite. Returns it."""
    if not isinstance(actual, torch.Tensor):
        raise SubmissionFailure(said(f"it returned {a_kind_of(actual)}, expected a torch tensor", hint))
    if shape is not None and tuple(actual.shape) != tuple(shape):
        raise SubmissionFailure(said(f"its shape is {tuple(actual.shape)}, expected {tuple(shape)}", hint))
    if dtype is not None and actual.dtype != dtype:
        raise SubmissionFailure(said(f"its dtype is {actual.dtype}, expected {dtype}", hint))
    if finite and not bool(torch.isfinite(actual).all()):
        kind = "NaN" if bool(torch.isnan(actual).any()) else "inf"
        raise SubmissionFailure(said(f"it contains {kind}", hint))
    return actual


def assert_close(
    actual: Any, expected: Any, *, rtol: float = RTOL, atol: float = ATOL, hint: str = ""
) -> None:
    """The value equals the expected one within atol + rtol·|expected|, element by element (NaN equals NaN).

    expected: torch tensor, NumPy array, number, or a (nested) list, tuple or dict of them; the value must be of
    the same kind, shape and dtype kind (bool, integer, float, complex). A tensor and an array, and a number and a
    0-d array, count as different kinds only where the expected value is a tensor.
    """
    if isinstance(expected, dict):
        if not isinstance(actual, dict) or set(actual) != set(expected):
            raise SubmissionFailure(
                said(f"it returned {a_kind_of(actual)}, expected a dict with the stated keys", hint)
            )
        for key, part in expected.items():
            assert_close(actual[key], part, rtol=rtol, atol=atol, hint=hint)
        return
    if isinstance(expected, list | tuple):
        if not isinstance(actual, list | tuple) or len(actual) != len(expected):
            raise SubmissionFailure(
                said(f"it returned {a_kind_of(actual)}, expected {len(expected)} values", hint)
            )
        for item, part in zip(actual, expected, strict=True):
            assert_close(item, part, rtol=rtol, atol=atol, hint=hint)
        return
    if isinstance(expected, torch.Tensor):
        assert_tensor(actual, shape=expected.shape, finite=False, hint=hint)
    value, wanted = as_array(actual, hint), as_array(expected, "")
    if value.shape != wanted.shape:
        raise SubmissionFailure(said(f"its shape is {value.shape}, expected {wanted.shape}", hint))
    if (value.dtype.kind == "b") != (wanted.dtype.kind == "b") or (value.dtype.kind == "c") > (
        wanted.dtype.kind == "c"
    ):
        raise SubmissionFailure(
            said(f"its values are of dtype {value.dtype}, not of the kind asked for", hint)
        )
    compare(value, wanted, rtol, atol, hint)


def compare(value: Any, wanted: Any, rtol: float, atol: float, hint: str) -> None:
    if value.dtype.kind == "b":
        close = value == wanted
    else:
        common = np.complex128 if "c" in (value.dtype.kind, wanted.dtype.kind) else np.float64
        if value.dtype.kind in "iu" and wanted.dtype.kind in "iu":
            close = value == wanted
        else:
            close = np.isclose(
                value.astype(common), wanted.astype(common), rtol=rtol, atol=atol, equal_nan=True
            )
    if bool(close.all()):
        return
    raise SubmissionFailure(said(how_far_off(value, wanted, close), hint))


def how_far_off(value: Any, wanted: Any, close: Any) -> str:
    """How many values differ and what they have in common, in words."""
    wrong, count = int((~close).sum()), int(close.size)
    words = "the value is wrong" if count == 1 else f"{wrong} of {count} values are wrong"
    if value.dtype.kind in "fc" and not np.isfinite(value).all() and np.isfinite(wanted).all():
        return f"{words}; some are NaN or inf"
    off, right = value[~close].astype(np.complex128), wanted[~close].astype(np.complex128)
    if count > 1 and not (value != value.flat[0]).any() and (wanted != wanted.flat[0]).any():
        return f"{words}; all of yours are the same number"
    if np.allclose(off, -right, rtol=1e-4, atol=0):
        return f"{words}; those have the wrong sign"
    if wrong > 2 and (np.abs(right) > 1e-12).all():
        ratio = off / right
        factor = ratio.flat[0]
        if np.abs(ratio - 1).max() < 1e-6:
            return f"{words}, but only in their last digits"
        if np.allclose(ratio, factor, rtol=1e-4, atol=0) and abs(factor) > 1e-12 and abs(factor - 1) > 1e-3:
            return f"{words}; those are off by one common factor"
    if wrong > 2 and np.allclose(off - right, (off - right).flat[0], rtol=1e-4, atol=0):
        return f"{words}; those are off by one common amount"
    return words


def gradcheck(
    f: Callable[..., Any], inputs: Any, *, hint: str = "", atol: float = 1e-5, rtol: float = 1e-3
) -> None:
    """The gradient of f agrees with finite differences at these float64 inputs (torch.autograd.gradcheck)."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    try:
        torch.autograd.gradcheck(f, inputs, atol=atol, rtol=rtol)
    except GradcheckError:
        raise SubmissionFailure(said("its gradient does not agree with finite differences", hint)) from None
    except (ValueError, TypeError) as error:
        if isinstance(error, SubmissionFailure):
            raise
        raise SubmissionFailure(
            said("its gradient could not be taken: the result must depend on the input", hint)
        ) from None


def shares_memory(one: Any, other: Any) -> bool:
    """Whether two tensors or two arrays share memory (a result and an argument, say)."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        pointer = one.untyped_storage().data_ptr()
        return pointer != 0 and pointer == other.untyped_storage().data_ptr()
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return bool(np.may_share_memory(one, other))
    return False


def as_array(value: Any, hint: str) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach().resolve_conj().resolve_neg()
        return (value.float() if value.dtype is torch.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray | bool | int | float | complex | list | tuple):
        try:
            array = np.asarray(value)
        except (ValueError, OverflowError):
            array = np.asarray(None)
        if array.dtype.kind in "biufc":
            return array
    raise SubmissionFailure(said(f"it returned {a_kind_of(value)}, expected numbers", hint))


def a_kind_of(value: Any) -> str:
    """What a value is, in words."""
    if value is None:
        return "None (is a return missing?)"
    if isinstance(value, Remote):
        return repr(value).removesuffix(" of the submission>").removeprefix("<")
    names = {torch.Tensor: "a torch tensor", np.ndarray: "a NumPy array", float: "a float", int: "an int", str: "a str",
             bool: "a bool", list: f"a list of {len(value)}" if isinstance(value, list) else "",
             tuple: f"a tuple of {len(value)}" if isinstance(value, tuple) else "", dict: "a dict"}  # fmt: skip
    return names.get(type(value), f"a {type(value).__name__}")


def said(what: str, hint: str) -> str:
    return f"{what}. Hint: {hint}" if hint else what
