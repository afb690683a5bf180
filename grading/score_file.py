"""Score files: the only place where a score is read from disk or written to it.

A score once recorded is never lost: files change whole or not at all, and an `error` never replaces a score.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from grading.atomic import write_atomically
from grading.errors import UsageError
from grading.score import Score

LARGEST_FILE = 16 * 2**20


def load_score(path: Path) -> Score:
    """Read a score. Raises UsageError, in one line, if the file cannot be read or is no score."""
    try:
        if not path.is_file():
            raise UsageError(f"{path}: no such file; give the path of a score.json")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
    if len(content) > LARGEST_FILE:
        raise UsageError(f"{path}: larger than {LARGEST_FILE // 2**20} MiB, so it is no score; remove it")
    try:
        return Score.model_validate_json(content)
    except ValidationError as error:
        raise UsageError(f"{path}: not a score: {_first(error)}; grade the submission again") from error


def write_score(path: Path, score: Score) -> Path:
    """Write a score whole or not at all, and say where it went.

    A score in `error` goes to `<name>.error.json` if the file at `path` is anything but another error; a
    graded one replaces what is there and removes that note.
    """
    beside = path.with_suffix(".error.json")
    target = beside if score.state == "error" and _is_precious(path) else path
    write_atomically(target, f"{score.model_dump_json(indent=2)}\n".encode())
    if score.state == "graded" and not _is_precious(beside):
        beside.unlink(missing_ok=True)
    return target


def _is_precious(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        return load_score(path).state != "error"
    except UsageError:
        return True  # not ours to judge, so not ours to replace


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
