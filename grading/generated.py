"""A directory that is generated whole: written anew each time, and never over files that somebody else put there.

The first line of its README.md says what it is and who writes it: only a directory whose own README.md starts with the
same line, or an empty one, is written to. A `.git` in it stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from grading.errors import UsageError

README = "README.md"
KEPT = {".git"}


def marker_of(readme: bytes) -> bytes:
    """The first line, which says whose directory it is."""
    return readme.partition(b"\n")[0].strip()


def write_generated(
    directory: Path,
    files: Mapping[str, bytes],
    *,
    executable: Collection[str] = (),
    retired: Collection[str] = (),
) -> list[Path]:
    """Make `directory` hold `files` (by path, with `/`) and nothing else but `.git`; the paths written, in order.

    `retired` are names at the top that an earlier version may have left. Raises UsageError, before anything is
    changed, where something else is there.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in directory.iterdir()} - KEPT
        _check(directory, there, files, retired)
        (directory / README).write_bytes(files[README])  # first: killed later, it is still known as ours
        for name in sorted(there - {README}):
            _remove(directory / name)
        paths = [directory / name for name in sorted(files)]
        for name, path in zip(sorted(files), paths, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
            if name in executable:
                path.chmod(0o755)
    except OSError as error:
        where = error.filename or directory
        raise UsageError(f"{where}: cannot be written ({error.strerror}); choose another directory") from None
    return paths


def _check(directory: Path, there: set[str], files: Mapping[str, bytes], retired: Collection[str]) -> None:
    readme = directory / README
    own = readme.is_file() and not readme.is_symlink() and marker_of(readme.read_bytes())
    if there and own != marker_of(files[README]):
        raise UsageError(
            f"{directory}: holds something else ({_listed(there)}); give an empty directory or a new one"
        )
    known = {name.partition("/")[0] for name in files} | set(retired)
    if foreign := there - known:
        raise UsageError(
            f"{directory}: holds {_listed(foreign)}, which does not belong to it; move that away, "
            "or give an empty directory"
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _listed(names: Collection[str]) -> str:
    first = sorted(names)[:3]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")
