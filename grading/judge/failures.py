"""What a hidden test may find wrong with a submission. Each is the submission's failure, never the grader's."""

from __future__ import annotations

import functools
import re

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


class SubmissionFailure(Exception):
    """The submission is wrong; the message is what the student reads. `where`: the function that was called."""

    where = ""


class HandleError(SubmissionFailure):
    """Something that is not a plain value was used as one."""


class OutOfTime(SubmissionFailure):
    """No answer before the test's limit."""


class Ended(SubmissionFailure):
    """The process that ran the student's code crashed, left, used too much memory, or answered nonsense."""


class MissingName(SubmissionFailure):
    """The notebook does not define what the test asks for."""


class RemoteError(SubmissionFailure):
    """The student's code raised an exception. It is also a builtin exception of the same kind, where there is
    one, so that a test can say `with pytest.raises(ValueError)`."""

    kind = ""
    text = ""


CATCHABLE = {
    kind.__name__: kind
    for kind in (ValueError, TypeError, IndexError, KeyError, LookupError, RuntimeError, NotImplementedError,
                 ZeroDivisionError, OverflowError, ArithmeticError, AttributeError, AssertionError, StopIteration)
}  # fmt: skip


@functools.cache
def remote_error_class(name: str) -> type[RemoteError]:
    return type(f"Remote{name}", (RemoteError, CATCHABLE[name]), {})


def remote_error(kind: str, text: str, bases: list[str], cell: int, line: int) -> RemoteError:
    """The exception to raise here for one that the student's code raised there."""
    kind, text = printable(kind, 80), printable(text, 200)
    base = next((name for name in bases if name in CATCHABLE), None)
    where = f" in cell {cell}, line {line}" if cell else ""
    if kind == "MemoryError" or "can't allocate memory" in text:
        words = f"your code used more memory than the limit{where}"
    elif base == "NotImplementedError":
        words = f"not implemented yet (raise NotImplementedError{where})"
    else:
        words = f"your code raised {kind}{where}" + (f": {text}" if text else "")
    error = remote_error_class(base)(words) if base else RemoteError(words)
    error.kind, error.text = kind, text
    return error


def printable(text: str, limit: int) -> str:
    """One line without control characters, at most `limit` characters: a student's text, made fit for any log."""
    text = UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
