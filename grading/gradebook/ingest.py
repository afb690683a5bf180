"""Score files into the gradebook: each is read once, recorded for good, and told where it is not taken.

Files are never changed. A kill at any moment leaves what was recorded in whole batches; the next run does the rest.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import stat
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert

from grading.errors import UsageError
from grading.gradebook.claims import Claim, Content, Key, Refused, Standing, counting, doubt, read
from grading.gradebook.database import (
    ATTEMPT,
    CLAIM,
    CONTENT,
    FILE,
    SCHEMA,
    SIGHTING,
    Tell,
    create,
    damaged,
    head_row,
    listed,
    locked,
    silent,
    version_of,
    writing,
)
from grading.progress import Progress, no_progress
from grading.score_file import LARGEST_FILE
from grading.submissions import FOLDER

BATCH = 500
"""Files of one transaction."""
NO_SCORES = ("scores", FOLDER)
"""Of a store: the copies of what its records say, and what students handed in, who may name a file as they like."""
SETTLED = 2 * 10**9
"""A file that changed so few nanoseconds before it was read could change again and look the same from outside."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What came of it. `files` were looked at; `refused` says in a line each which are not taken, and why."""

    files: int = 0
    unchanged: int = 0
    """Files that say what they said before."""
    new: int = 0
    """Attempts that the gradebook did not know."""
    replaced: int = 0
    """Attempts for which something else counts now than before; what counted is kept."""
    kept: int = 0
    """Errors that did not replace a score."""
    gone: int = 0
    """Files that were there before; what they said is kept."""
    unverified: int = 0
    """Attempts of the whole gradebook that somebody has to look at."""
    refused: tuple[str, ...] = ()


def utc_now() -> datetime:
    return datetime.now(UTC)


def ingest(
    database: Path,
    directories: Sequence[Path],
    *,
    tell: Tell = silent,
    progress: Progress = no_progress,
    clock: Clock = utc_now,
) -> Ingested:
    """Record what all score files (*.json) below the directories say, and what a store's records say of them.

    Doing it twice is doing it once, and the order does not matter. A file that says something else than before is a
    new version; the old one is kept. Raises UsageError for a directory that is none or a file that is no gradebook,
    GradingError where the machine fails.
    """
    roots = _roots(database, directories)
    with locked(database, tell), writing(database) as engine:
        run = _Run(engine, database, tell, progress, clock)
        run.prepare()
        return run.ingest(roots)


def rebuild(
    database: Path,
    directories: Sequence[Path],
    *,
    tell: Tell = silent,
    progress: Progress = no_progress,
    clock: Clock = utc_now,
) -> Ingested:
    """Make the gradebook again, to the same state, from what it read and from the files; then ingest these.

    What files said before they were changed stands only in the gradebook itself, so that is carried over. One that is
    damaged is put aside as `<name>.damaged-1`, and the files alone are what there is. It is one transaction: readers
    see the old gradebook until there is the new one.
    """
    roots = _roots(database, directories)
    with locked(database, tell):
        _put_damaged_aside(database, tell)
        with writing(database) as engine:
            run = _Run(engine, database, tell, progress, clock)
            run.prepare(again=True)
            return run.ingest(roots)


# Which files there are


@dataclass(frozen=True, slots=True)
class _Root:
    path: Path
    """Absolute"""
    name: str
    """From the database's directory"""


def _roots(database: Path, directories: Sequence[Path]) -> list[_Root]:
    base = os.path.realpath(database.parent)
    roots = {}
    for given in directories:
        if not given.is_dir():
            raise UsageError(f"{given}: no such directory; give one that has score files in it")
        path = Path(os.path.realpath(given))
        if path.name == "scores" and (path.parent / "records").is_dir():
            path = path.parent  # the records say what is known of these scores
        name = os.path.relpath(path, base)
        roots[name] = _Root(path, name)
    return list(roots.values())


def _scan(root: _Root, problems: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Path and stamp of every file that could be a score. Hidden ones and links are none."""
    store = (root.path / "records").is_dir()
    prefix = "" if root.name == "." else f"{root.name}/"
    waiting = [(str(root.path), prefix)]
    while waiting:
        place, name = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    path = f"{name}{entry.name}"
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if not (store and name == prefix and entry.name in NO_SCORES):
                            waiting.append((entry.path, f"{path}/"))
                    elif entry.name.endswith(".json"):
                        with contextlib.suppress(FileNotFoundError):
                            yield path, _stamp(entry.stat(follow_symlinks=False))
                    elif entry.is_symlink() and entry.is_dir():
                        problems[path] = "is a link, and not followed; give the directory itself"
        except OSError as error:
            if error.errno != errno.ENOENT:
                problems[name or "."] = f"cannot be read: {error.strerror}; check its permissions"


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _text(path: str) -> str:
    """A path as the database can hold it; a file's name is any bytes."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return path


def _printable(path: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in path)


# What they say


@dataclass(frozen=True, slots=True)
class _Found:
    """A file as it was read: from outside, its bytes, and what they say or why they are not taken."""

    path: str
    stamp: str
    raw: bytes | None
    content: Content | None = None
    problem: str | None = None


def _look(base: str, path: str, name: str, known: Mapping[str, Any]) -> _Found | None:
    """None where the file is gone by now, which the next run sees."""
    place = os.path.join(base, path)
    try:
        status, data = _bytes(place)
    except FileNotFoundError:
        return None
    except Refused as error:
        return _Found(name, "", None, problem=str(error))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}; check its permissions"
        return _Found(name, "", None, problem=problem)
    stamp = _stamp(status)
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < SETTLED:
        stamp = ""
    raw = hashlib.sha256(data).digest()
    before = known.get(name)
    if before is not None and before.raw == raw:
        return _Found(name, stamp, raw, problem=before.problem)
    try:
        return _Found(name, stamp, raw, read(data))
    except Refused as error:
        return _Found(name, stamp, raw, problem=str(error))


def _bytes(place: str) -> tuple[os.stat_result, bytes]:
    """Nothing but a plain file is opened for long, and no more is read than a score can have."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Refused("is no plain file; put the score itself there") from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("is no plain file; put the score itself there")
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(LARGEST_FILE + 1)
    finally:
        os.close(descriptor)
    if len(data) > LARGEST_FILE:
        raise Refused(f"larger than {LARGEST_FILE // 2**20} MiB, so it is no score; remove it")
    return status, data


# Into the tables


@dataclass(slots=True)
class _Counts:
    recorded: int = 0
    vanished: int = 0
    new: int = 0
    replaced: int = 0
    kept: int = 0
    gone: int = 0


@dataclass(slots=True)
class _Run:
    """One ingest, which has the gradebook to itself."""

    engine: Engine
    database: Path
    tell: Tell
    progress: Progress
    clock: Clock
    counts: _Counts = field(default_factory=_Counts)
    base: str = field(init=False)
    """What paths in the gradebook begin from"""
    since: int = 0
    """The last sighting before this batch"""

    def __post_init__(self) -> None:
        self.base = os.path.realpath(self.database.parent)

    def prepare(self, again: bool = False) -> None:
        """Tables as this version has them, made again from the log where another version made them."""
        with self.engine.begin() as connection:
            version = version_of(connection, self.database)
            if version == SCHEMA and not again:
                return
            refused: dict[str, str] = {}
            if version == SCHEMA:
                query = select(FILE.c.path, FILE.c.problem).where(FILE.c.problem.is_not(None))
                refused = {row.path: str(row.problem) for row in connection.execute(query)}
            create(connection)
            if version:
                if not again:
                    self.tell(f"{self.database}: was made by another version; making it again")
                self._replay(connection, refused)

    def ingest(self, roots: Sequence[_Root]) -> Ingested:
        problems: dict[str, str] = {}
        real: dict[str, str] = {}
        found: dict[str, str] = {}
        for root in roots:
            for path, stamp in _scan(root, problems):
                name = _text(path)
                found[name] = stamp
                if name is not path:
                    real[name] = path
        with self.engine.begin() as connection:
            query = select(FILE.c.path, FILE.c.stamp).where(~FILE.c.gone)
            remembered: dict[str, str] = {path: stamp for path, stamp in connection.execute(query).all()}  # noqa: C416
        changed = sorted(path for path, stamp in found.items() if remembered.get(path) != stamp)
        missing = [path for path in remembered.keys() - found.keys() if self._is_gone(path, roots)]
        self.progress(0, len(changed))
        for start in range(0, len(changed), BATCH):
            batch = changed[start : start + BATCH]
            self._record([(path, real.get(path, path)) for path in batch])
            self.progress(start + len(batch), len(changed))
        for start in range(0, len(missing), BATCH):
            self._forget(sorted(missing)[start : start + BATCH])
        return self._summary(found, problems)

    def _summary(self, found: Mapping[str, str], problems: Mapping[str, str]) -> Ingested:
        with self.engine.begin() as connection:
            refused = connection.execute(
                select(FILE.c.path, FILE.c.problem).where(FILE.c.problem.is_not(None)).order_by(FILE.c.path)
            )
            files = [(path, problem) for path, problem in refused if path in found]
            lines = [
                f"{_printable(path)}: {problem}" for path, problem in (*sorted(problems.items()), *files)
            ]
            unverified = connection.execute(
                select(func.count()).select_from(ATTEMPT).where(ATTEMPT.c.doubt.is_not(None))
            ).scalar_one()
        for line in lines:
            self.tell(line)
        counts = self.counts
        return Ingested(
            files=len(found),
            unchanged=len(found) - counts.recorded - counts.vanished - len(files),
            new=counts.new,
            replaced=counts.replaced,
            kept=counts.kept,
            gone=counts.gone,
            unverified=unverified,
            refused=tuple(lines),
        )

    def _is_gone(self, path: str, roots: Sequence[_Root]) -> bool:
        if not any(_below(path, root.name) for root in roots):
            return False
        try:
            os.lstat(os.path.join(self.base, path))
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            pass
        return False

    # A batch

    def _record(self, batch: Sequence[tuple[str, str]]) -> None:
        """What the files of a batch say, in one transaction."""
        with self.engine.begin() as connection:
            known = {row.path: row for row in connection.execute(_files([name for name, _ in batch]))}
            looked = [_look(self.base, path, name, known) for name, path in batch]
            found = [one for one in looked if one is not None]
            self.counts.vanished += len(looked) - len(found)
            number = self.since = connection.execute(select(func.max(SIGHTING.c.number))).scalar() or 0
            at = self.clock().astimezone(UTC).isoformat()
            contents, sightings, claims, files = [], [], [], []
            stirred = []
            for one in found:
                before = known.get(one.path)
                latest = None if before is None else before.sighting
                said = None if before is None or before.gone else before.content
                if one.content is not None and one.content.digest != said:
                    number += 1
                    latest = number
                    contents.append(_content_row(one.content))
                    sightings.append(
                        {
                            "number": number,
                            "path": one.path,
                            "content": one.content.digest,
                            "raw": one.raw,
                            "seen_at": at,
                        }
                    )
                    claims += [head_row(claim, number) for claim in one.content.claims]
                    stirred.append(one.path)
                elif before is not None and before.problem != one.problem:
                    stirred.append(one.path)
                gone = one.content is None and before is not None and before.gone
                files.append(_file_row(one, latest, gone))
            self.counts.recorded += len(sightings)
            _add(connection, contents, sightings, claims, files)
            self._derive(connection, _touched(connection, stirred))

    def _forget(self, paths: Sequence[str]) -> None:
        """Nothing is forgotten but that the files are there."""
        with self.engine.begin() as connection:
            here = FILE.c.path.in_(paths)
            known = select(FILE.c.path).where(here, FILE.c.sighting.is_not(None)).order_by(FILE.c.path)
            number = connection.execute(select(func.max(SIGHTING.c.number))).scalar() or 0
            at = self.clock().astimezone(UTC).isoformat()
            gone = [
                {"number": number + i, "path": path, "content": None, "raw": None, "seen_at": at}
                for i, path in enumerate(connection.execute(known).scalars(), 1)
            ]
            _add(connection, [], gone, [], [])
            connection.execute(delete(FILE).where(here, FILE.c.sighting.is_(None)))
            connection.execute(update(FILE).where(here).values(gone=True, stamp="", raw=None, problem=None))
            self._derive(connection, _touched(connection, paths))
            self.counts.gone += len(paths)

    def _replay(self, connection: Connection, refused: Mapping[str, str]) -> None:
        """Everything that follows from the log, from the beginning; what was refused is no part of it."""
        total = connection.execute(select(func.count()).select_from(SIGHTING)).scalar_one()
        last = 0
        files: dict[str, dict[str, Any]] = {}
        for start in range(0, total, BATCH):
            self.progress(start, total)
            rows = connection.execute(
                select(SIGHTING.c.number, SIGHTING.c.path, SIGHTING.c.raw, SIGHTING.c.content, CONTENT.c.body)
                .outerjoin(CONTENT, CONTENT.c.digest == SIGHTING.c.content)
                .where(SIGHTING.c.number > last)
                .order_by(SIGHTING.c.number)
                .limit(BATCH)
            ).all()
            claims: list[dict[str, Any]] = []
            for number, path, raw, content, body in rows:
                last = number
                if content is None:
                    if path in files:
                        files[path] |= {"gone": True, "raw": None}
                    continue
                try:
                    claims += [head_row(claim, number) for claim in _from_log(content, body)]
                except Refused as error:
                    self.tell(f"{_printable(path)}: what was recorded of it cannot be read any more: {error}")
                    continue
                files[path] = {
                    "path": path,
                    "stamp": "",
                    "raw": raw,
                    "sighting": number,
                    "problem": None,
                    "gone": False,
                }
            _add(connection, [], [], claims, [])
        for path, problem in refused.items():
            nothing = {"path": path, "stamp": "", "raw": None, "sighting": None, "gone": False}
            files[path] = nothing | files.get(path, {}) | {"raw": None, "problem": problem}
        for batch in _batches(files.values()):
            _add(connection, [], [], [], batch)
        keys = connection.execute(select(CLAIM.c.student, CLAIM.c.homework, CLAIM.c.which).distinct())
        everything = [(student, homework, which) for student, homework, which in keys]
        for some in _batches(everything):
            self._derive(connection, some, quiet=True)

    def _derive(self, connection: Connection, keys: Iterable[Key], quiet: bool = False) -> None:
        """What counts for these attempts now."""
        for batch in _batches(keys):
            before = {
                (row.student, row.homework, row.which): row
                for row in connection.execute(select(ATTEMPT).where(_among(ATTEMPT, batch)))
            }
            rows = []
            for key, claims in _standing(connection, batch).items():
                best = counting(claims)
                why = doubt(best, claims)
                row = before.get(key)
                if row is None or (row.sighting, row.doubt) != (best.sighting, why):
                    student, homework, which = key
                    rows.append(
                        {
                            "student": student,
                            "homework": homework,
                            "which": which,
                            "sighting": best.sighting,
                            "doubt": why,
                        }
                    )
                if not quiet:
                    self._say(key, row, best, why, claims)
            if rows:
                put = insert(ATTEMPT)
                put = put.on_conflict_do_update(
                    index_elements=_KEY,
                    set_={"sighting": put.excluded.sighting, "doubt": put.excluded.doubt},
                )
                connection.execute(put, rows)

    def _say(self, key: Key, row: Any, best: Standing, why: str | None, claims: Sequence[Standing]) -> None:
        def tell(words: str) -> None:
            who = ", ".join((_printable(key[0])[:40], _printable(key[1])[:40], _printable(key[2])[:20]))
            self.tell(f"{_printable(best.path)}: {who}: {words}")

        if row is None:
            self.counts.new += 1
        elif row.sighting != best.sighting:
            self.counts.replaced += 1
            before = next(one for one in claims if one.sighting == row.sighting)
            tell(f"{_words(before)} → {_words(best)}; the earlier score is kept")
        elif best.graded and any(one.sighting > self.since and not one.graded for one in claims):
            self.counts.kept += 1
            tell(f"a later error does not replace {_words(best)}")
        if why is not None and (row is None or row.doubt != why):
            tell(f"not verified: {why}")


_KEY = ("student", "homework", "which")


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    waiting = iter(rows)
    while batch := list(itertools.islice(waiting, BATCH)):
        yield batch


def _below(path: str, root: str) -> bool:
    if root == ".":
        return not path.startswith("../")
    return path.startswith(f"{root}/")


def _words(one: Standing) -> str:
    return f"{float(one.points):g} points" if one.graded else "no score"


def _files(paths: Sequence[str]) -> Any:
    return (
        select(FILE, SIGHTING.c.content)
        .outerjoin(SIGHTING, SIGHTING.c.number == FILE.c.sighting)
        .where(FILE.c.path.in_(paths))
    )


def _content_row(content: Content) -> dict[str, Any]:
    return {"digest": content.digest, "kind": content.kind, "body": zlib.compress(content.body, 1)}


def _from_log(digest: bytes, body: bytes | None) -> tuple[Claim, ...]:
    with contextlib.suppress(zlib.error):
        data = zlib.decompress(body or b"")
        if hashlib.sha256(data).digest() == digest:
            return read(data).claims
    raise Refused("it is damaged; restore the gradebook from a copy")


def _file_row(found: _Found, sighting: int | None, gone: bool) -> dict[str, Any]:
    return {
        "path": found.path,
        "stamp": found.stamp,
        "raw": found.raw,
        "sighting": sighting,
        "problem": found.problem,
        "gone": gone,
    }


def _add(
    connection: Connection,
    contents: Sequence[Mapping[str, Any]],
    sightings: Sequence[Mapping[str, Any]],
    claims: Sequence[Mapping[str, Any]],
    files: Sequence[Mapping[str, Any]],
) -> None:
    if contents:
        connection.execute(insert(CONTENT).on_conflict_do_nothing(), contents)
    if sightings:
        connection.execute(insert(SIGHTING), sightings)
    if claims:
        connection.execute(insert(CLAIM), claims)
    if files:
        put = insert(FILE)
        changes = {name: put.excluded[name] for name in ("stamp", "raw", "sighting", "problem", "gone")}
        connection.execute(put.on_conflict_do_update(index_elements=["path"], set_=changes), files)


def _touched(connection: Connection, paths: Sequence[str]) -> list[Key]:
    """The attempts of which these files ever said something."""
    query = (
        select(CLAIM.c.student, CLAIM.c.homework, CLAIM.c.which)
        .join(SIGHTING, SIGHTING.c.number == CLAIM.c.sighting)
        .where(SIGHTING.c.path.in_(paths))
        .distinct()
    )
    return sorted((student, homework, which) for student, homework, which in connection.execute(query))


def _among(table: Any, keys: Sequence[Key]) -> Any:
    return tuple_(table.c.student, table.c.homework, table.c.which).in_(keys)


def _standing(connection: Connection, keys: Sequence[Key]) -> dict[Key, list[Standing]]:
    query = (
        select(
            CLAIM.c.student,
            CLAIM.c.homework,
            CLAIM.c.which,
            CLAIM.c.sighting,
            SIGHTING.c.path,
            CONTENT.c.kind,
            CONTENT.c.digest,
            FILE.c.sighting.label("latest"),
            FILE.c.gone,
            FILE.c.problem,
            CLAIM.c.state,
            CLAIM.c.verified,
            CLAIM.c.reasons,
            CLAIM.c.provisional,
            CLAIM.c.submitted_at,
            CLAIM.c.final_points,
        )
        .join(SIGHTING, SIGHTING.c.number == CLAIM.c.sighting)
        .join(CONTENT, CONTENT.c.digest == SIGHTING.c.content)
        .join(FILE, FILE.c.path == SIGHTING.c.path)
        .where(_among(CLAIM, keys))
    )
    found: dict[Key, list[Standing]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.student, row.homework, row.which].append(
            Standing(
                sighting=row.sighting,
                path=row.path,
                kind=row.kind,
                digest=row.digest,
                latest=row.latest,
                gone=row.gone,
                problem=row.problem,
                graded=row.state == "graded",
                verified=row.verified,
                reasons=listed(row.reasons),
                provisional=row.provisional,
                timed=row.submitted_at is not None,
                points=Fraction(row.final_points or 0),
            )
        )
    return found


def _put_damaged_aside(database: Path, tell: Tell) -> None:
    """Only where SQLite itself says that nothing can be read from it."""
    if not database.is_file():
        return
    try:
        with writing(database) as engine, engine.begin() as connection:
            version_of(connection, database)
            checked = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if checked == "ok":
            return
    except UsageError as error:
        if not damaged(error.__cause__):
            raise
    aside = next(
        path
        for number in itertools.count(1)
        if not (path := database.with_name(f"{database.name}.damaged-{number}")).exists()
    )
    for suffix in ("-wal", "-shm", ""):  # the log of one database must never stand beside another
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{database}{suffix}", f"{aside}{suffix}")
    tell(f"{database}: was damaged, and is kept as {aside.name}; made again from the files alone")
