"""The store on a branch: opened whole, saved as one commit, and never over somebody else's push."""

from __future__ import annotations

from pathlib import Path

import pytest
from workflow_run import git

from grading.errors import GradingError, UsageError
from grading.github.branch import commit_store, open_store, remote


@pytest.fixture
def url(tmp_path: Path) -> str:
    bare = tmp_path / "course.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare")
    return bare.as_uri()


def opened(directory: Path, url: str) -> Path:
    open_store(directory, url, "scores", "a-token", lambda line: None)
    return directory


def saved(directory: Path, url: str) -> bool:
    return commit_store(directory, url, "scores", "a-token", "Scores", lambda line: None)


def test_the_first_time_the_store_is_empty_and_the_branch_is_made(tmp_path: Path, url: str) -> None:
    first = opened(tmp_path / "first", url)
    (first / "evidence").mkdir()
    (first / "evidence/1.jsonl").write_text("{}\n")
    (first / ".lock").touch()

    assert saved(first, url)

    again = opened(tmp_path / "again", url)
    assert (again / "evidence/1.jsonl").read_text() == "{}\n"
    assert not (again / ".lock").exists()


def test_nothing_new_makes_no_commit_and_what_is_new_goes_on_top(tmp_path: Path, url: str) -> None:
    store = opened(tmp_path / "store", url)
    (store / "a").write_text("1")
    saved(store, url)

    assert not saved(store, url)
    (store / "a").write_text("2")
    assert saved(store, url)
    assert git(tmp_path / "course.git", "rev-list", "--count", "scores").strip() == "2"


def test_another_push_in_between_is_not_overwritten(tmp_path: Path, url: str) -> None:
    mine, theirs = opened(tmp_path / "mine", url), opened(tmp_path / "theirs", url)
    (theirs / "theirs").write_text("1")
    saved(theirs, url)
    (mine / "mine").write_text("1")

    with pytest.raises(GradingError, match="somebody else has pushed to scores"):
        saved(mine, url)

    assert git(tmp_path / "course.git", "ls-tree", "--name-only", "scores").split() == ["theirs"]


def test_a_directory_that_holds_something_is_not_opened_over(tmp_path: Path, url: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/precious").touch()

    with pytest.raises(UsageError, match="is not empty"):
        opened(tmp_path / "store", url)
    with pytest.raises(UsageError, match="was not opened"):
        saved(tmp_path / "store", url)


def test_outside_actions_there_is_no_branch_to_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)

    with pytest.raises(UsageError, match="an ordinary directory"):
        remote()
