"""What can go wrong, sorted by whose move is next. Every message is one line: what, where, what to do."""


class GradingError(Exception):
    """We failed (exit 3): no sandbox, no memory on the machine, a fault in a hidden test."""

    exit_code = 3


class UsageError(GradingError):
    """The command line or the configuration is wrong (exit 2)."""

    exit_code = 2


class NotebookError(GradingError):
    """The student's file cannot be read as a notebook: a score of 0 that says why."""
