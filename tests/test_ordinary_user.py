"""Grading as an ordinary user, without a single capability: what a laptop and a runner of GitHub's do.

Where the suite itself runs as root, the command is started in a mount namespace of its own that gives every user a
way to the interpreter and the checkout, as uid 1000 and for good.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GRADING = Path(sys.executable).parent / "grading"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may write to (pytest's own is closed to others)."""
    with tempfile.TemporaryDirectory(prefix="grading-user-") as name:
        os.chmod(name, 0o777)
        yield Path(name)


def as_ordinary_user(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        drop = "setpriv --reuid=1000 --regid=1000 --clear-groups --bounding-set=-all --no-new-privs"
        script = [*opened(Path(sys.base_prefix)), *opened(ROOT), "cd /", f"exec {drop} {shlex.join(words)}"]
        words = ["unshare", "--mount", "bash", "-ec", "\n".join(script)]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=200, env={**os.environ, "HOME": "/tmp"}
    )


def opened(path: Path) -> list[str]:
    """Shell lines that make `path` reachable where a directory above it is closed to others."""
    closed = [parent for parent in reversed(path.parents) if not parent.stat().st_mode & 1]
    if not closed:
        return []
    there, above = shlex.quote(str(path)), shlex.quote(str(closed[0]))
    return [
        "keep=$(mktemp -d)",
        f'mount --bind {there} "$keep"',
        f"mount -t tmpfs -o mode=755 tmpfs {above}",
        f"mkdir -p {there}",
        f'mount --move "$keep" {there} 2>/dev/null || mount --bind "$keep" {there}',
    ]


def test_the_doctor_finds_an_ordinary_user_healthy() -> None:
    said = as_ordinary_user(GRADING, "doctor")

    assert said.returncode == 0, said.stdout + said.stderr
    assert "FAIL" not in said.stdout


def test_an_ordinary_user_grades_in_the_sandbox(place: Path) -> None:
    starter = json.loads((ROOT / "tests" / "homeworks" / "toy" / "toy.ipynb").read_text())
    cell = {"cell_type": "code", "metadata": {}, "source": "import os\nos._exit(0)", "outputs": []}
    (place / "honest.ipynb").write_text(json.dumps(starter))
    (place / "leaves.ipynb").write_text(json.dumps(starter | {"cells": [*starter["cells"], cell]}))
    homeworks = ["--homeworks", ROOT / "tests" / "homeworks", "--homework", "toy"]

    said = as_ordinary_user(
        GRADING,
        "grade",
        place / "honest.ipynb",
        place / "leaves.ipynb",
        *homeworks,
        "--out",
        place / "scores",
    )

    assert said.returncode == 0, said.stdout + said.stderr
    scores = [json.loads(path.read_text()) for path in sorted((place / "scores").iterdir())]
    assert [(score["state"], score["confined"], score["points"]) for score in scores] == [
        ("graded", True, 0)
    ] * 2
