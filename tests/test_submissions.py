"""Stored submissions: whose each is, whatever names a student gave to what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading.homework import Homework, load_homework
from grading.submissions import stored

FIRST, SECOND = "a" * 40, "b" * 64


@pytest.fixture(scope="module")
def toy() -> Homework:
    return load_homework(Path(__file__).parent / "homeworks/toy")


def whose(directory: Path, homework: Homework) -> list[tuple[str, str | None, str]]:
    return [
        (one.student, one.commit, str(one.path.relative_to(directory))) for one in stored(directory, homework)
    ]


def put(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()


def test_in_a_store_it_is_the_students_at_the_commit_whatever_is_within(
    tmp_path: Path, toy: Homework
) -> None:
    store = tmp_path / ("c" * 40) / "store"  # where it stands says nothing
    forged = f"submissions/toy/eve/{FIRST}/ada/{SECOND}/toy.ipynb"
    put(store, forged, f"submissions/toy/ada/{SECOND}/toy.ipynb", f"submissions/cnn/ada/{FIRST}/cnn.ipynb")

    expected = [("ada", SECOND, f"submissions/toy/ada/{SECOND}/toy.ipynb"), ("eve", FIRST, forged)]
    assert whose(store, toy) == expected
    for within in ("submissions", "submissions/toy"):
        assert [one[:2] for one in whose(store / within, toy)] == [one[:2] for one in expected]


def test_in_a_plain_directory_it_is_whose_the_file_or_the_outermost_directory_is(
    tmp_path: Path, toy: Homework
) -> None:
    put(
        tmp_path, "ada.ipynb", "eve/toy.ipynb", "eve/ada.ipynb", f"eve/sub/ada/{FIRST}/toy.ipynb", "readme.md"
    )
    put(tmp_path, ".hidden.ipynb", "eve/.hidden/toy.ipynb")
    (tmp_path / "link.ipynb").symlink_to("ada.ipynb")
    (tmp_path / "linked").symlink_to("eve")

    assert whose(tmp_path, toy) == [
        ("ada", None, "ada.ipynb"),
        ("eve", None, "eve/ada.ipynb"),
        ("eve", None, f"eve/sub/ada/{FIRST}/toy.ipynb"),
        ("eve", None, "eve/toy.ipynb"),
    ]
    assert whose(tmp_path / "eve", toy)[-1] == ("sub", None, f"sub/ada/{FIRST}/toy.ipynb")
