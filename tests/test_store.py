"""The store: what is kept stays, a kill leaves whole lines, and nobody writes beside somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from collecting import files_in, score

from grading.errors import GradingError, UsageError
from grading.github.store import KnownRepository, Record, Store
from grading.score_file import load_score

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
COMMIT = "d4" * 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "scores", clock=lambda: NOW)


def known(**changes: Any) -> KnownRepository:
    fields: dict[str, Any] = {
        "at": NOW,
        "repository_id": 7,
        "name": "dl-course/cnn-ada",
        "homework": "cnn",
        "student": "ada",
        "event": "assigned",
    }
    return KnownRepository(**fields | changes)


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "homework": "cnn",
        "student": "ada",
        "members": ("ada",),
        "repository": "dl-course/cnn-ada",
        "repository_id": 7,
        "commit": COMMIT,
        "status": "verified",
        "pushed_at": NOW,
        "submitted_at": NOW,
        "time_source": "push",
        "origin": "reported",
        "reported_points": 80,
        "central_points": None,
        "score": score(80, student="ada", commit=COMMIT),
    }
    return Record.model_validate(fields | changes)


# The journal


def test_what_is_appended_is_read_back_in_its_order(store: Store) -> None:
    store.append("cnn", 7, "run", "1", {"status": "queued"})
    store.append("cnn", 7, "run", "1", {"status": "completed", "name": "naïve \ud800"})

    entries = Store(store.directory).journal("cnn", 7)

    assert [(entry.kind, entry.key, entry.data["status"]) for entry in entries] == [
        ("run", "1", "queued"),
        ("run", "1", "completed"),
    ]
    assert entries[1].data["name"] == "naïve \ud800"
    assert {entry.at for entry in entries} == {NOW}


def test_the_same_is_written_once_and_a_change_is_a_new_line(store: Store) -> None:
    wrote = [store.append("cnn", 7, "run", "1", {"attempt": attempt}) for attempt in (1, 1, 2, 2, 1)]

    assert wrote == [True, False, True, False, True]
    assert len(Store(store.directory).journal("cnn", 7)) == 3


def test_several_facts_are_one_write_and_only_new_ones_count(store: Store) -> None:
    facts = [("run", str(number), {"id": number}) for number in range(3)]

    assert [store.append_all("cnn", 7, facts), store.append_all("cnn", 7, facts)] == [3, 0]


def test_repositories_and_homeworks_have_a_journal_each(store: Store) -> None:
    store.append("cnn", 7, "run", "1", {})
    store.append("cnn", 8, "run", "2", {})
    store.append("nlp", 7, "run", "3", {})

    assert [entry.key for entry in store.journal("cnn", 7)] == ["1"]
    assert store.journal("nlp", 9) == []


@pytest.mark.parametrize("torn", [b'{"at":"2026', b"{", b"\xff\xfe", b'{"at":1}'])
def test_a_torn_last_line_is_ignored_and_cut_off_by_the_next_write(store: Store, torn: bytes) -> None:
    store.append("cnn", 7, "run", "1", {"id": 1})
    path = store.directory / "evidence/cnn/7.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    fresh = Store(store.directory, clock=lambda: NOW)

    assert [entry.key for entry in fresh.journal("cnn", 7)] == ["1"]
    fresh.append("cnn", 7, "run", "2", {"id": 2})

    assert path.read_bytes().startswith(whole + b'{"at":')
    assert [entry.key for entry in Store(store.directory).journal("cnn", 7)] == ["1", "2"]


def test_a_torn_line_longer_than_what_replaces_it_leaves_nothing(store: Store) -> None:
    store.append("cnn", 7, "run", "1", {})
    path = store.directory / "evidence/cnn/7.jsonl"
    path.write_bytes(path.read_bytes() + b"x" * 10_000)

    store.append("cnn", 7, "run", "2", {})

    assert len(path.read_bytes()) < 300


def test_a_broken_line_in_the_middle_is_told_with_its_place(store: Store) -> None:
    store.append("cnn", 7, "run", "1", {})
    path = store.directory / "evidence/cnn/7.jsonl"
    path.write_bytes(b"garbage\n" + path.read_bytes())

    with pytest.raises(UsageError, match=r"7\.jsonl:1: is not what was written there"):
        Store(store.directory).journal("cnn", 7)


def test_what_another_process_wrote_since_is_read(store: Store) -> None:
    store.append("cnn", 7, "run", "1", {})
    Store(store.directory).append("cnn", 7, "run", "2", {})

    store.append("cnn", 7, "run", "3", {})

    assert [entry.key for entry in store.journal("cnn", 7)] == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "", ".", "..", "a/b", ".hidden", "a\0b"])
def test_no_name_leads_out_of_the_store(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="no file can be named so"):
        store.append(name, 7, "run", "1", {})
    with pytest.raises(UsageError, match="no file can be named so"):
        store.write_record(record(student=name))


# Repositories


def test_what_is_known_of_a_repository_is_a_line_each_time_it_changes(store: Store) -> None:
    renamed = known(name="dl-course/mine", event="renamed")
    wrote = [store.know(line) for line in (known(), known(at=NOW.replace(year=2027)), renamed, renamed)]

    assert wrote == [True, False, True, False]
    assert [line.name for line in Store(store.directory).repositories()] == [
        "dl-course/cnn-ada",
        "dl-course/mine",
    ]


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert (store.repositories(), store.journal("cnn", 7), list(store.records())) == ([], [], [])
    assert not store.directory.exists()


# Artifacts


def test_an_artifact_is_found_by_its_digest_and_kept_once(store: Store) -> None:
    digests = {store.keep_artifact(b"zip"), store.keep_artifact(b"zip")}

    (digest,) = digests
    assert store.artifact(digest) == b"zip"
    assert len(list((store.directory / "artifacts").iterdir())) == 1


def test_a_damaged_or_missing_artifact_is_told(store: Store) -> None:
    digest = store.keep_artifact(b"zip")
    (store.directory / "artifacts" / f"{digest}.zip").write_bytes(b"other")

    with pytest.raises(GradingError, match="is damaged; restore it"):
        store.artifact(digest)
    with pytest.raises(GradingError, match="cannot be read"):
        store.artifact("0" * 64)


# Records


def test_a_record_is_written_where_it_changes_and_its_score_for_each_member(store: Store) -> None:
    owls = record(student="owls", members=("ada", "grace"))

    assert [store.write_record(owls), store.write_record(owls)] == [True, False]
    assert list(Store(store.directory).records()) == [owls]
    for member in ("ada", "grace"):
        assert load_score(store.directory / f"scores/cnn/{member}/{COMMIT}.json").student == member


@pytest.mark.parametrize(("status", "origin"), [("unverified", "reported"), ("missing", None)])
def test_only_a_verified_score_is_one_to_export(store: Store, status: str, origin: str | None) -> None:
    store.write_record(record(status=status, origin=origin))

    assert not (store.directory / "scores").exists()


def test_what_no_longer_follows_goes_and_other_homeworks_stay(store: Store) -> None:
    store.write_record(record(homework="nlp"))
    store.replace_records("cnn", [record(), record(commit="e" * 40)])
    left = store.directory / f"records/cnn/ada/.{COMMIT}.json.0123.tmp"
    left.write_bytes(b"what a kill left")

    changed = store.replace_records("cnn", [record(status="unverified", reasons=("edited",))])

    assert changed == 4  # one record written, one removed, two scores removed
    assert sorted(files_in(store.directory)) == [
        f"records/cnn/ada/{COMMIT}.json",
        f"records/nlp/ada/{COMMIT}.json",
        f"scores/nlp/ada/{COMMIT}.json",
    ]


def test_a_record_that_is_none_is_told(store: Store) -> None:
    store.write_record(record())
    path = store.directory / f"records/cnn/ada/{COMMIT}.json"
    path.write_text("{}")

    with pytest.raises(UsageError, match="is no record; remove it and collect again"):
        list(store.records())


# One writer


def test_a_second_writer_is_sent_away_and_may_come_back(store: Store) -> None:
    other = Store(store.directory)

    with store.writing():
        store.append("cnn", 7, "run", "1", {})  # the holder itself goes on
        with pytest.raises(UsageError, match="another collect runs there"):
            other.append("cnn", 7, "run", "2", {})
    other.append("cnn", 7, "run", "2", {})

    assert len(store.journal("cnn", 7)) == 2


def test_a_killed_writer_holds_no_lock(store: Store) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from grading.github.store import Store\n"
        "with Store(Path(sys.argv[1])).writing(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(store.directory)], check=False)

    assert ended.returncode == -9
    assert store.append("cnn", 7, "run", "1", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(UsageError, match="choose another --store"):
        Store(tmp_path / "scores").append("cnn", 7, "run", "1", {})


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "scores").write_text("")

    with pytest.raises(UsageError, match="choose another --store"):
        Store(tmp_path / "scores").append("cnn", 7, "run", "1", {})
