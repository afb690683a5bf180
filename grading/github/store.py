"""The store: what GitHub said, kept for good, and the records that follow from it.

Evidence is only ever added to, and is on the disk before anything is made of it; records and scores can be made
again from it at any time. A kill at any moment leaves whole lines and whole files. Nothing here judges.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from grading.atomic import write_atomically
from grading.errors import GradingError, UsageError
from grading.score import Moment, Points, Score, TimeSource
from grading.submissions import FOLDER

Status = Literal["verified", "unverified", "missing"]

Line = TypeVar("Line")

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KnownRepository(_Kept):
    """A line of `repositories.jsonl`: that a repository is a student's (or a team's) for a homework, and since when.

    `student` is the roster's login or the team's name; `github_id` is of the student's account, where it is known,
    so that a login may change. `assigned`: we made the repository, so it needs no further proof.
    """

    at: Moment
    repository_id: int
    name: str
    """OWNER/NAME"""
    homework: str
    student: str
    event: Literal["assigned", "found", "renamed", "accepted"]
    github_id: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a repository's journal. The latest of a kind and key holds; the earlier ones stay."""

    at: datetime
    kind: str
    key: str
    data: Mapping[str, Any]


class Record(_Kept):
    """One attempt and what is known of it.

    `reasons` say why it is not verified; `flags` are for a person to look at, and lower nothing. `score` is what
    counts, with student, commit and time from the evidence; of an unverified attempt, what its run claims.
    """

    schema_version: Literal[1] = 1
    homework: str
    student: str
    members: tuple[str, ...]
    repository: str
    repository_id: int
    commit: str
    status: Status
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    pushed_at: Moment | None
    submitted_at: Moment | None
    time_source: TimeSource | None
    origin: Literal["reported", "central"] | None
    reported_points: Points | None
    central_points: Points | None
    score: Score | None = None


Fact = tuple[str, str, Mapping[str, Any]]
"""Kind, key and data of a line that is to be written."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """A directory of evidence, records and scores. Raises UsageError and GradingError.

    One process writes at a time: every write holds the lock, and `writing` holds it for several.
    """

    def __init__(self, directory: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self.directory = directory
        self.clock = clock
        self._depth = 0
        self._journals: dict[tuple[str, int], _Lines[Entry]] = {}
        self._known: _Lines[KnownRepository] = _Lines(directory / "repositories.jsonl", _known_repository)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps every other process from writing. Raises UsageError where one is at it."""
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        descriptor = self._open_lock()
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"{self.directory}: another collect runs there, or a fetch; wait until it has ended"
                ) from None
            self._depth = 1
            yield
        finally:
            self._depth = 0
            os.close(descriptor)

    def _open_lock(self) -> int:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            return os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UsageError(
                f"{self.directory}: cannot be written: {error.strerror}; choose another --store"
            ) from error

    # Whose a repository is

    def repositories(self) -> list[KnownRepository]:
        """All that was ever known, in the order it was learnt."""
        return list(self._known.read())

    def know(self, repository: KnownRepository) -> bool:
        """Add a line, unless the latest of this repository and event says the same. Says whether it did."""
        with self.writing():
            same = [
                known
                for known in self._known.read()
                if (known.repository_id, known.homework, known.event)
                == (repository.repository_id, repository.homework, repository.event)
            ]
            if same and same[-1].model_copy(update={"at": repository.at}) == repository:
                return False
            self._known.add([(repository, repository.model_dump(mode="json"))])
            return True

    # What GitHub said

    def journal(self, homework: str, repository_id: int) -> list[Entry]:
        return list(self._journal(homework, repository_id).read())

    def append(self, homework: str, repository_id: int, kind: str, key: str, data: Mapping[str, Any]) -> bool:
        """Add a line, unless the latest of this kind and key says the same. Says whether it did."""
        return self.append_all(homework, repository_id, [(kind, key, data)]) == 1

    def append_all(self, homework: str, repository_id: int, facts: Iterable[Fact]) -> int:
        """The same for several, in their order and with one sync; says how many were new."""
        with self.writing():
            journal = self._journal(homework, repository_id)
            latest = {(entry.kind, entry.key): entry.data for entry in journal.read()}
            at = self.clock().astimezone(UTC)
            new = []
            for kind, key, given in facts:
                data = json.loads(json.dumps(given))  # as it will be read back
                if latest.get((kind, key)) != data:
                    latest[kind, key] = data
                    line = {"at": at.isoformat(), "kind": kind, "key": key, "data": data}
                    new.append((Entry(at, kind, key, data), line))
            if new:
                journal.add(new)
            return len(new)

    def _journal(self, homework: str, repository_id: int) -> _Lines[Entry]:
        key = (homework, repository_id)
        if key not in self._journals:
            path = self.directory / "evidence" / _segment(homework) / f"{repository_id}.jsonl"
            self._journals[key] = _Lines(path, _entry)
        return self._journals[key]

    def keep_artifact(self, content: bytes) -> str:
        """Keep a zip as it came, and give its SHA-256, by which it is found again."""
        digest = hashlib.sha256(content).hexdigest()
        path = self._artifact(digest)
        with self.writing():
            if not path.exists():
                _make_directory(path.parent)
                write_atomically(path, content)
        return digest

    def artifact(self, digest: str) -> bytes:
        path = self._artifact(digest)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise GradingError(f"{path}: cannot be read: {error.strerror}; restore it") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise GradingError(f"{path}: is damaged; restore it")
        return content

    def _artifact(self, digest: str) -> Path:
        return self.directory / "artifacts" / f"{digest}.zip"

    # What was handed in

    def submission(self, record: Record) -> Path:
        """Where an attempt's files are once they are fetched: all of them, or no such directory."""
        parts = (record.homework, record.student, record.commit)
        return self.directory.joinpath(FOLDER, *map(_segment, parts))

    # What follows from it

    def records(self) -> Iterator[Record]:
        """By homework, student and commit."""
        for path in sorted((self.directory / "records").glob("*/*/*.json")):
            try:
                yield Record.model_validate_json(path.read_bytes())
            except OSError as error:
                raise UsageError(f"{path}: cannot be read: {error.strerror}; check permissions") from error
            except ValidationError as error:
                raise UsageError(f"{path}: is no record; remove it and collect again") from error

    def write_record(self, record: Record) -> bool:
        """Write a record, and its score for each member where it counts. Says whether anything changed."""
        with self.writing():
            changed = [
                self._write(self._path("records", record, record.student), _json(record)),
                *(self._write(path, content) for path, content in self._scores(record).items()),
            ]
            return any(changed)

    def replace_records(self, homework: str, records: Iterable[Record]) -> int:
        """Make these the records and scores of a homework: what no longer follows goes. Says how many changed."""
        with self.writing():
            changed, kept = 0, set()
            for record in records:
                changed += self.write_record(record)
                for path in (self._path("records", record, record.student), *self._scores(record)):
                    kept.add(str(path).casefold())
            for folder in ("records", "scores"):
                for path in sorted((self.directory / folder / _segment(homework)).glob("*/*.json")):
                    if str(path).casefold() not in kept:
                        path.unlink(missing_ok=True)
                        changed += 1
            self._sweep(homework)
            return changed

    def _sweep(self, homework: str) -> None:
        """What a kill left of a file that was being written has no name that anybody looks for."""
        for pattern in ("artifacts", f"records/{homework}/*", f"scores/{homework}/*"):
            for path in self.directory.glob(f"{pattern}/.*.tmp"):
                path.unlink(missing_ok=True)

    def _scores(self, record: Record) -> dict[Path, bytes]:
        score = record.score
        if record.status != "verified" or score is None:
            return {}
        return {
            self._path("scores", record, member): _json(score.model_copy(update={"student": member}))
            for member in record.members
        }

    def _path(self, folder: str, record: Record, student: str) -> Path:
        name = f"{_segment(record.commit)}.json"
        return self.directory / folder / _segment(record.homework) / _segment(student) / name

    def _write(self, path: Path, content: bytes) -> bool:
        try:
            if path.read_bytes() == content:
                return False
        except OSError:
            pass
        _make_directory(path.parent)
        write_atomically(path, content)
        return True


class _Lines(Generic[Line]):
    """A file of JSON lines that only grows. A last line without its end is what a kill left of it, and is no line."""

    def __init__(self, path: Path, parse: Callable[[bytes], Line]) -> None:
        self.path = path
        self._parse = parse
        self._size = 0
        self._whole = 0  # bytes, up to the end of the last whole line
        self._lines: list[Line] = []

    def read(self) -> Sequence[Line]:
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != self._size:
                    self._parse_all(file.read())
        except FileNotFoundError:
            self._parse_all(b"")
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read: {error.strerror}; check permissions") from error
        return self._lines

    def _parse_all(self, content: bytes) -> None:
        self._size, self._whole = len(content), content.rfind(b"\n") + 1
        self._lines = []
        for number, line in enumerate(content[: self._whole].splitlines(), 1):
            try:
                self._lines.append(self._parse(line))
            except (ValueError, KeyError, TypeError) as error:
                raise UsageError(
                    f"{self.path}:{number}: is not what was written there; restore the file"
                ) from error

    def add(self, new: Sequence[tuple[Line, Mapping[str, Any]]]) -> None:
        """What was read last is what there is: the caller holds the lock."""
        content = b"".join(_line(data) for _, data in new)
        _make_directory(self.path.parent)
        try:
            fresh = not self.path.exists()
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b") as file:
                file.truncate(self._whole)
                file.seek(self._whole)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if fresh:
                _sync(self.path.parent)
        except OSError as error:
            raise GradingError(
                f"{self.path}: cannot be written: {error.strerror}; make room and run it again"
            ) from error
        self._lines += [line for line, _ in new]
        self._size = self._whole = self._whole + len(content)


def _entry(line: bytes) -> Entry:
    data = json.loads(line)
    return Entry(datetime.fromisoformat(data["at"]), data["kind"], data["key"], data["data"])


def _known_repository(line: bytes) -> KnownRepository:
    return KnownRepository.model_validate_json(line)


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _json(model: BaseModel) -> bytes:
    return f"{model.model_dump_json(indent=2)}\n".encode()


def _segment(name: str) -> str:
    """A name as a part of a path, and no way to elsewhere."""
    if not _SEGMENT.fullmatch(name):
        raise UsageError(f"{name[:80]!r}: no file can be named so; use letters, digits, -, _ and dots")
    return name


def _make_directory(path: Path) -> None:
    """With a name that outlives a power cut, as the files in it do."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    try:
        path.mkdir(exist_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise UsageError(f"{path}: cannot be made: {error.strerror}; choose another --store") from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
