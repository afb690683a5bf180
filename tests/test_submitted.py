"""Files handed in beside a notebook: read as data, used in the sandbox, and missed in words."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from grading.errors import UsageError
from grading.homework import load_homework

GRADING = Path(sysconfig.get_path("scripts"), "grading")

SOLUTION = """
import numpy as np

def total():
    return float(np.load("weights.npz", allow_pickle=False)["w"].sum())

def beside():
    import os
    return sorted(os.listdir("."))
"""
TESTS = '''
def test_total(submission):
    """total() adds up the numbers in weights.npz."""
    assert submission.total() > 0, "the sum is wrong"


def test_nothing_else_is_there(submission):
    """Beside the notebook lie the homework's data and the file that is asked for."""
    names = submission.beside()

    assert names == ["given.txt", "weights.npz"] or names == ["given.txt"], "something else is there"
'''
HOMEWORK = """
title: Weights
tasks: [{id: total, title: Total, points: 100, names: [total, beside]}]
data: [given.txt]
submits: {weights.npz: 4}
"""
COURSE = "{name: C, timezone: UTC, salt: s, homeworks: [{name: weights, weight: 1}]}"


@pytest.fixture(scope="module")
def homeworks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("homeworks")
    homework = place / "weights"
    (homework / "tests").mkdir(parents=True)
    (place / "course.yml").write_text(COURSE)
    (homework / "homework.yml").write_text(HOMEWORK)
    (homework / "tests/test_total.py").write_text(TESTS)
    (homework / "given.txt").write_text("given")
    np.savez(homework / "weights.npz", w=np.ones(3))
    return place


def test_a_file_beside_the_notebook_is_read_in_the_sandbox(homeworks: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", w=np.ones(3))
    (tmp_path / "other.npz").write_bytes(b"not asked for")

    score = graded(homeworks, tmp_path)

    assert score["points"] == 100, score


def test_a_checkout_hands_in_what_lies_beside_its_notebook(homeworks: Path, tmp_path: Path) -> None:
    notebook_in(tmp_path)
    np.savez(tmp_path / "weights.npz", w=np.ones(3))
    place = tmp_path / "score.json"

    subprocess.run(
        [GRADING, "grade", "--repo", tmp_path, *arguments(homeworks), "--out", place], capture_output=True
    )

    assert json.loads(place.read_text())["points"] == 100


def test_a_missing_file_costs_what_needs_it_and_is_named(homeworks: Path, tmp_path: Path) -> None:
    score = graded(homeworks, tmp_path)

    assert score["points"] == 50
    assert "no file weights.npz was handed in" in message(score)


def test_a_file_that_is_too_large_is_left_out(homeworks: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"0" * (4 * 1024 + 1))

    score = graded(homeworks, tmp_path)

    assert score["points"] == 50
    assert "larger than 4 KB" in message(score)


def test_a_link_is_not_followed(homeworks: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").symlink_to(homeworks / "weights/weights.npz")

    score = graded(homeworks, tmp_path)

    assert score["points"] == 50
    assert "weights.npz is a link" in message(score)


def test_bytes_that_are_no_weights_are_the_submissions_failure(homeworks: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes(b"PK\x03\x04 not really")

    score = graded(homeworks, tmp_path)

    assert (score["state"], score["points"]) == ("graded", 50)
    assert "BadZipFile" in message(score)


def test_other_weights_are_another_submission(homeworks: Path, tmp_path: Path) -> None:
    digests = []
    for value in (1, 2, 2):
        np.savez(tmp_path / "weights.npz", w=np.full(3, value))
        digests.append(graded(homeworks, tmp_path)["digests"]["submission"])

    assert digests[0] != digests[1]
    assert digests[1] == digests[2]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("submits: {../weights.npz: 4}", "submits"),
        ("submits: {.hidden: 4}", "submits"),
        ("submits: {weights.npz: 0}", "submits.weights.npz"),
        ("submits: {weights.npz: 4000}", "submits.weights.npz"),
        ("submits: {absent.npz: 4}", "the reference solution hands it in too"),
        ("submits: {given.txt: 4}", "either given or handed in"),
    ],
)
def test_a_homework_that_asks_for_a_strange_file_is_refused(
    homeworks: Path, tmp_path: Path, line: str, complaint: str
) -> None:
    homework = tmp_path / "weights"
    (homework / "tests").mkdir(parents=True)
    for name in ("tests/test_total.py", "given.txt", "weights.npz"):
        (homework / name).write_bytes((homeworks / "weights" / name).read_bytes())
    (homework / "source.py").touch()
    (homework / "homework.yml").write_text(HOMEWORK.replace("submits: {weights.npz: 4}", line))

    with pytest.raises(UsageError, match=rf"homework\.yml:\d+: .*{complaint}"):
        load_homework(homework)


def graded(homeworks: Path, place: Path) -> dict[str, Any]:
    """The score of a notebook in this directory, with what lies beside it."""
    out = place / "score.json"
    command = [GRADING, "grade", notebook_in(place), *arguments(homeworks), "--out", out]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    score: dict[str, Any] = json.loads(out.read_text())
    out.unlink()
    return score


def arguments(homeworks: Path) -> list[object]:
    return ["--homework", "weights", "--homeworks", homeworks]


def notebook_in(place: Path) -> Path:
    path = place / "weights.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SOLUTION)]), path)
    return path


def message(score: dict[str, Any]) -> str:
    return " ".join(test["message"] for test in score["tasks"][0]["tests"])
