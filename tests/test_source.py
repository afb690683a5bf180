"""A student's repository at a commit: what is graded is fetched as git keeps it, and nothing else can be written."""

from __future__ import annotations

from pathlib import Path

import pytest
from github_server import GitHubServer
from github_world import Repository

import grading.github.source as source
from grading.errors import NotebookError
from grading.github.answers import TreeEntry
from grading.github.connect import connect
from grading.github.source import graded, take_source

NOTEBOOK = "zoo.ipynb"


@pytest.fixture
def repository(github: GitHubServer) -> Repository:
    return github.add_repository("zoo-ada", {"README.md": "Zoo"})


def taken(github: GitHubServer, repository: Repository, place: Path, files: dict) -> dict[str, bytes | None]:
    """What is there afterwards, by path; None is a link."""
    commit = github.push(repository, files, actor=github.owner)
    inside = place / "inside"
    inside.mkdir()
    take_source(connect(None), repository.full_name, commit, inside, NOTEBOOK, ("weights.npz",))
    assert [path.name for path in place.iterdir()] == ["inside"]
    found = sorted(path for path in inside.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path.relative_to(inside)): None if path.is_symlink() else path.read_bytes() for path in found}


def test_the_notebook_and_what_is_handed_in_with_it_are_fetched_and_nothing_else(
    github: GitHubServer, repository: Repository, tmp_path: Path
) -> None:
    files = {
        NOTEBOOK: "{}",
        "weights.npz": "w",
        "old/zoo.ipynb": "[]",
        "conftest.py": "raise SystemExit",
        "big.pt": b"x" * 10**6,
    }

    assert taken(github, repository, tmp_path, files) == {NOTEBOOK: b"{}", "weights.npz": b"w"}
    assert len(github.asked("/git/blobs/")) == 2


def test_without_it_every_notebook_is_fetched_with_what_lies_beside_it(
    github: GitHubServer, repository: Repository, tmp_path: Path
) -> None:
    files = {
        "a folder/день.ipynb": "[]",
        "a folder/weights.npz": "w",
        "weights.npz": "no notebook beside it",
        ".hidden/x.ipynb": "{}",
        "d/" * 12 + "deep.ipynb": "{}",
    }

    assert taken(github, repository, tmp_path, files) == {
        "a folder/weights.npz": b"w",
        "a folder/день.ipynb": b"[]",
    }


def test_no_attribute_changes_what_was_committed(
    github: GitHubServer, repository: Repository, tmp_path: Path
) -> None:
    files = {
        NOTEBOOK: "$Format:%D$ $Id$\r\n",
        "weights.npz": "w",
        ".gitattributes": f"{NOTEBOOK} export-subst ident text eol=lf\nweights.npz export-ignore\n",
    }

    assert taken(github, repository, tmp_path, files) == {
        NOTEBOOK: b"$Format:%D$ $Id$\r\n",
        "weights.npz": b"w",
    }


def test_a_file_that_is_too_large_is_not_fetched_and_seen_to_be_too_large(
    github: GitHubServer, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 1000)

    found = taken(github, repository, tmp_path, {NOTEBOOK: "x" * 1001})

    assert len(found[NOTEBOOK] or b"") == 1001
    assert not github.asked("/git/blobs/")


def test_a_repository_of_more_files_than_github_lists_is_told_so(
    github: GitHubServer, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import github_shapes

    whole = github_shapes.git_tree
    monkeypatch.setattr(github_shapes, "git_tree", lambda *parts: whole(*parts) | {"truncated": True})

    with pytest.raises(NotebookError, match="too many files to be looked through"):
        taken(github, repository, tmp_path, {NOTEBOOK: "{}"})


@pytest.mark.parametrize(
    "path",
    [
        "/etc/x.ipynb",
        "../x.ipynb",
        "a/../../x.ipynb",
        "a\0b.ipynb",
        ".git/x.ipynb",
        "x" * 300 + ".ipynb",
        "a/" * 9 + "x.ipynb",
    ],
)
def test_no_name_leads_anywhere_else(path: str, tmp_path: Path) -> None:
    entry = TreeEntry(path=path, mode="100644", type="blob", sha="a" * 40, size=2)

    for chosen in graded([entry], NOTEBOOK, ()):
        source._write(tmp_path / "inside" / chosen.path, b"{}")

    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []


def test_links_stay_links_and_lead_nowhere(tmp_path: Path) -> None:
    entries = [
        TreeEntry(path=NOTEBOOK, mode="120000", type="blob", sha="a" * 40, size=11),
        TreeEntry(path="module", mode="160000", type="commit", sha="a" * 40),
    ]

    (chosen,) = graded(entries, NOTEBOOK, ())
    source._write(tmp_path / chosen.path, None)

    assert (tmp_path / NOTEBOOK).is_symlink()
    assert not (tmp_path / NOTEBOOK).exists()
