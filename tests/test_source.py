"""A student's repository as an archive: what is graded comes out, and nothing else can."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

import grading.github.source as source
from grading.errors import NotebookError
from grading.github.source import unpack


def archive(*members: tuple[str, bytes] | tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def unpacked(directory: Path, data: bytes) -> dict[str, bytes]:
    inside = directory / "inside"
    inside.mkdir()
    unpack(data, inside, lambda name: name.endswith(".ipynb") or name == "weights.npz")
    assert sorted(path.name for path in directory.iterdir()) == ["inside"]
    return {str(path.relative_to(inside)): path.read_bytes() for path in inside.rglob("*") if path.is_file()}


def test_notebooks_and_the_files_handed_in_with_them_come_out(tmp_path: Path) -> None:
    data = archive(
        ("course-x-1a2b/zoo.ipynb", b"{}"),
        ("course-x-1a2b/a folder/день.ipynb", b"[]"),
        ("course-x-1a2b/weights.npz", b"w"),
        ("course-x-1a2b/conftest.py", b"raise SystemExit"),
        ("course-x-1a2b/.github/x.ipynb", b"hidden"),
    )

    assert unpacked(tmp_path, data) == {"zoo.ipynb": b"{}", "a folder/день.ipynb": b"[]", "weights.npz": b"w"}


def test_nothing_is_written_through_a_link_or_outside(tmp_path: Path) -> None:
    (tmp_path.parent / "victim.ipynb").write_bytes(b"untouched")
    data = archive(
        link("r/folder", str(tmp_path.parent)),
        ("r/folder/victim.ipynb", b"changed"),
        link("r/zoo.ipynb", "/etc/passwd"),
        link("r/hard.ipynb", "r/folder/victim.ipynb", tarfile.LNKTYPE),
        ("r/../../victim.ipynb", b"changed"),
        ("/etc/evil.ipynb", b"changed"),
        ("../evil.ipynb", b"changed"),
        link("r/device.ipynb", "", tarfile.CHRTYPE),
    )

    files = unpacked(tmp_path, data)

    assert (tmp_path.parent / "victim.ipynb").read_bytes() == b"untouched"
    assert files.keys() <= {"folder/victim.ipynb", "evil.ipynb"}
    assert not Path("/etc/evil.ipynb").exists()


def test_names_that_no_file_can_have_are_passed_over(tmp_path: Path) -> None:
    data = archive(
        ("r/" + "x" * 300 + ".ipynb", b"long"),
        ("r/zoo.ipynb", b"{}"),
        ("r/zoo.ipynb/inner.ipynb", b"a file is no folder"),
        ("r/" + "d/" * 40 + "deep.ipynb", b"deep"),
    )

    assert unpacked(tmp_path, data) == {"zoo.ipynb": b"{}"}


def test_a_bomb_is_stopped_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_UNPACKED", 2**20)
    data = archive(("r/zeros.bin", bytes(2**22)))

    with pytest.raises(NotebookError, match="too large to be looked through"):
        unpacked(tmp_path, data)


def test_more_notebooks_than_anybody_writes_are_stopped(tmp_path: Path) -> None:
    data = archive(*((f"r/{number}.ipynb", b"") for number in range(source.MOST_FILES + 1)))

    with pytest.raises(NotebookError, match="too large"):
        unpacked(tmp_path, data)


@pytest.mark.parametrize(
    "data",
    [b"", b"not an archive", gzip.compress(b"not a tar"), archive(("r/zoo.ipynb", b"{}" * 9999))[:-40]],
    ids=["empty", "text", "no tar", "cut short"],
)
def test_what_is_no_archive_is_told_and_raises_nothing_else(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NotebookError, match="cannot be read"):
        unpacked(tmp_path, data)
