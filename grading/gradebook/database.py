"""The gradebook's file: its tables, who may write to it, and what can be read from it.

SQLite through SQLAlchemy. `content` and `sighting` are a log of what was ever read, which only grows and whose form
never changes; everything else follows from it and is made again where the form changes. Nothing here judges.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel
from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    select,
    tuple_,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from grading.errors import GradingError, UsageError
from grading.gradebook.attempts import Attempt
from grading.gradebook.claims import Claim, key_of, read
from grading.score import Digests, Score

SCHEMA = 1
"""Of all tables but the log. Another number, and the next ingest makes them again from the log."""
OURS = 0x67726164  # "grad": SQLite's application_id
AT_A_TIME = 300  # attempts that one query names
PATIENCE = 60  # seconds that SQLite waits for another process

Tell = Callable[[str], None]
Model = TypeVar("Model", bound=BaseModel)
State = Literal["graded", "error"]


def silent(line: str) -> None:
    pass


log = MetaData()

CONTENT = Table(
    "content",
    log,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256 of the body
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON, compressed by zlib
)
SIGHTING = Table(
    "sighting",
    log,
    Column("number", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("content", LargeBinary),  # None: the file was gone
    Column("raw", LargeBinary),  # SHA-256 of the file
    Column("seen_at", Text, nullable=False),
    Index("sighting_path", "path"),
)

derived = MetaData()

FILE = Table(
    "file",
    derived,
    Column("path", Text, primary_key=True),  # from the database's directory
    Column(
        "stamp", Text, nullable=False
    ),  # how the file looked from outside when it was read; "" is never so
    Column("raw", LargeBinary),
    Column("sighting", Integer),  # the latest
    Column("problem", Text),
    Column("gone", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
CLAIM = Table(
    "claim",
    derived,
    Column("sighting", Integer, primary_key=True),
    Column("student", Text, primary_key=True),
    Column("homework", Text, nullable=False),
    Column("which", Text, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("reasons", Text, nullable=False),  # a JSON list, as flags
    Column("flags", Text, nullable=False),
    Column("origin", Text),
    # The score, without its tasks
    Column("state", Text, nullable=False),
    Column("login", Text, nullable=False),
    Column("repository", Text),
    Column("hash", Text),
    Column("submitted_at", Text),
    Column("time_source", Text),
    Column("provisional", Boolean, nullable=False),
    Column("deadline", Text),
    Column("days_late", Integer, nullable=False),
    Column("penalty", Text),  # exact, as 1/3
    Column("points", Text),
    Column("max_points", Text, nullable=False),
    Column("final_points", Text),
    Column("submission", Text),
    Column("tests", Text),
    Column("environment", Text),
    Column("reason", Text),
    Index("claim_attempt", "student", "homework", "which"),
)
ATTEMPT = Table(
    "attempt",
    derived,
    Column("student", Text, primary_key=True),
    Column("homework", Text, primary_key=True),
    Column("which", Text, primary_key=True),
    Column("sighting", Integer, nullable=False),  # the one that counts
    Column("doubt", Text),  # why it is not verified
    sqlite_with_rowid=False,
)

_ONLY_GROWS = """\
CREATE TRIGGER IF NOT EXISTS {table}_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'what was recorded is not changed'); END"""


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that a file once said of an attempt. `counts`: it is what the gradebook goes by, and `doubt` of it."""

    key: tuple[str, str, str]
    path: str
    seen_at: datetime
    state: State
    points: Fraction | None
    final_points: Fraction | None
    verified: bool
    reasons: tuple[str, ...]
    flags: tuple[str, ...]
    origin: str | None
    counts: bool
    doubt: str | None


# What can be read from it


def attempts(
    database: Path, *, student: str | None = None, homework: str | None = None, whole: bool = False
) -> list[Attempt]:
    """What counts for each attempt, by student, homework and attempt; of one student or homework, if given.

    Only `whole` scores have their tasks (`tasks` is empty otherwise): everything else of a score is always there.
    Raises UsageError where there is no gradebook, or one of another version.
    """
    with reading(database) as connection:
        if whole:
            return _whole(connection, database, _of(ATTEMPT, student, homework))
        query = _counting(_of(ATTEMPT, student, homework), *_HEAD)
        with _collecting_later():
            return _attempts(connection.execute(query).all(), _place(database))


def with_tasks(database: Path, heads: Iterable[Attempt]) -> list[Attempt]:
    """Those of the attempts that `heads` are the beginnings of, whole; in no order that means anything."""
    keys = sorted({key_of(head.score) for head in heads})
    column = tuple_(ATTEMPT.c.student, ATTEMPT.c.homework, ATTEMPT.c.which)
    with reading(database) as connection:
        return [
            attempt
            for start in range(0, len(keys), AT_A_TIME)
            for attempt in _whole(connection, database, [column.in_(keys[start : start + AT_A_TIME])])
        ]


def marked(database: Path) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    """By path, attempts that a person should look at: why one is not verified, and its flags."""
    wanted = ATTEMPT.c.doubt.is_not(None) | (CLAIM.c.flags != "[]")
    query = _counting([wanted], SIGHTING.c.path, ATTEMPT.c.doubt, CLAIM.c.flags)
    place = _place(database)
    with reading(database) as connection:
        return {place(path): (doubt, listed(flags)) for path, doubt, flags in connection.execute(query)}


def history(database: Path, *, student: str, homework: str | None = None) -> list[Kept]:
    """Everything that was ever recorded of a student's attempts, in the order it was learnt."""
    query = (
        select(CLAIM, SIGHTING.c.path, SIGHTING.c.seen_at, ATTEMPT.c.sighting, ATTEMPT.c.doubt)
        .join(SIGHTING, SIGHTING.c.number == CLAIM.c.sighting)
        .join(ATTEMPT, _same_attempt())
        .where(*_of(CLAIM, student, homework))
        .order_by(CLAIM.c.sighting)
    )
    place = _place(database)
    with reading(database) as connection:
        return [
            Kept(
                key=(row.student, row.homework, row.which),
                path=place(row.path),
                seen_at=datetime.fromisoformat(row.seen_at),
                state=row.state,
                points=_fraction(row.points),
                final_points=_fraction(row.final_points),
                verified=row.verified,
                reasons=listed(row.reasons),
                flags=listed(row.flags),
                origin=row.origin,
                counts=row.sighting == row.sighting_1,
                doubt=row.doubt,
            )
            for row in connection.execute(query)
        ]


def dump(database: Path) -> Iterator[str]:
    """All that a gradebook knows, a line each, in an order that only depends on what it knows."""
    queries = [
        select(SIGHTING.c.path, SIGHTING.c.number, SIGHTING.c.seen_at, CONTENT)
        .outerjoin(CONTENT, CONTENT.c.digest == SIGHTING.c.content)
        .order_by(SIGHTING.c.path, SIGHTING.c.number),
        select(SIGHTING.c.path, CLAIM)
        .join(CLAIM, CLAIM.c.sighting == SIGHTING.c.number)
        .order_by(SIGHTING.c.path, SIGHTING.c.number, CLAIM.c.student),
        select(FILE.c.path, FILE.c.problem, FILE.c.gone, FILE.c.sighting).order_by(FILE.c.path),
        select(ATTEMPT).order_by(ATTEMPT.c.student, ATTEMPT.c.homework, ATTEMPT.c.which),
    ]
    with reading(database) as connection:
        place: dict[int, str] = {}
        count: dict[str, int] = {}
        for number, path in connection.execute(
            select(SIGHTING.c.number, SIGHTING.c.path).order_by(SIGHTING.c.number)
        ):
            count[path] = count.get(path, 0) + 1
            place[number] = f"{path} #{count[path]}"
        for query in queries:
            for row in connection.execute(query).mappings():
                yield repr({name: _plain(name, value, place) for name, value in row.items()})


def _plain(name: str, value: Any, place: dict[int, str]) -> Any:
    if name in ("number", "sighting"):
        return place.get(value)
    if name == "body" and value is not None:
        return zlib.decompress(value)
    return value


_HEAD = (
    SIGHTING.c.path,
    ATTEMPT.c.doubt,
    CLAIM.c.state,
    CLAIM.c.homework,
    CLAIM.c.login,
    CLAIM.c.repository,
    CLAIM.c.hash,
    CLAIM.c.submitted_at,
    CLAIM.c.time_source,
    CLAIM.c.provisional,
    CLAIM.c.deadline,
    CLAIM.c.days_late,
    CLAIM.c.penalty,
    CLAIM.c.points,
    CLAIM.c.max_points,
    CLAIM.c.final_points,
    CLAIM.c.submission,
    CLAIM.c.tests,
    CLAIM.c.environment,
    CLAIM.c.reason,
)


def head_row(claim: Claim, sighting: int) -> dict[str, Any]:
    """The row of a claim; `_attempts` reads it back."""
    score, (student, homework, which) = claim.score, claim.key
    return {
        "sighting": sighting,
        "student": student,
        "homework": homework,
        "which": which,
        "verified": claim.verified,
        "reasons": json.dumps(claim.reasons),
        "flags": json.dumps(claim.flags),
        "origin": claim.origin,
        "state": score.state,
        "login": score.student,
        "repository": score.repository,
        "hash": score.commit,
        "submitted_at": _moment_text(score.submitted_at),
        "time_source": score.time_source,
        "provisional": score.provisional,
        "deadline": _moment_text(score.deadline),
        "days_late": score.days_late,
        "penalty": _fraction_text(score.penalty),
        "points": _fraction_text(score.points),
        "max_points": str(score.max_points),
        "final_points": _fraction_text(score.final_points),
        "submission": score.digests.submission,
        "tests": score.digests.tests,
        "environment": score.digests.environment,
        "reason": score.reason,
    }


def listed(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _attempts(rows: Sequence[Any], place: Callable[[str], str]) -> list[Attempt]:
    """Rows that were checked when they were read from a file; numbers and deadlines recur, so each is made once."""
    fractions: dict[str | None, Fraction | None] = {None: None}
    moments: dict[str | None, datetime | None] = {None: None}

    def number(text: str | None) -> Fraction | None:
        if text not in fractions:
            fractions[text] = _fraction(text)
        return fractions[text]

    def moment(text: str | None) -> datetime | None:
        if text not in moments:
            moments[text] = _moment(text)
        return moments[text]

    found = []
    for (
        path,
        doubt,
        state,
        homework,
        login,
        repository,
        commit,
        submitted_at,
        time_source,
        provisional,
        deadline,
        days_late,
        penalty,
        points,
        max_points,
        final_points,
        submission,
        tests,
        environment,
        reason,
    ) in rows:
        values = {
            "schema_version": 1,
            "state": state,
            "homework": homework,
            "student": login,
            "repository": repository,
            "commit": commit,
            "submitted_at": _moment(submitted_at),
            "time_source": time_source,
            "provisional": provisional,
            "deadline": moment(deadline),
            "days_late": days_late,
            "penalty": number(penalty),
            "points": number(points),
            "max_points": number(max_points),
            "final_points": number(final_points),
            "confined": True,
            "digests": _unchecked(
                Digests, {"submission": submission, "tests": tests, "environment": environment}
            ),
            "tasks": (),
            "reason": reason,
        }
        score = _unchecked(Score, values)
        found.append(Attempt(score, doubt is None, place(path)))
    return found


@contextmanager
def _collecting_later() -> Iterator[None]:
    """All that is made here is kept: looking again and again for what is not would take most of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


_FIELDS: dict[type[BaseModel], set[str]] = {model: set(model.model_fields) for model in (Score, Digests)}


def _unchecked(model: type[Model], values: dict[str, Any]) -> Model:
    """What pydantic's `model_construct` makes of all of a model's fields, in a fifth of the time.

    All share one set of their fields' names: nobody can change a frozen model's, and a copy gets its own.
    """
    made = model.__new__(model)
    put = object.__setattr__
    put(made, "__dict__", values)
    put(made, "__pydantic_fields_set__", _FIELDS[model])
    put(made, "__pydantic_extra__", None)
    put(made, "__pydantic_private__", None)
    return made


def _whole(connection: Connection, database: Path, wanted: list[Any]) -> list[Attempt]:
    columns = (SIGHTING.c.path, ATTEMPT.c.doubt, ATTEMPT.c.student, CONTENT.c.body)
    query = _counting(wanted, *columns).join(CONTENT, CONTENT.c.digest == SIGHTING.c.content)
    place = _place(database)
    found = []
    for path, doubt, login, body in connection.execute(query):
        (score,) = [claim.score for claim in read(zlib.decompress(body)).claims if claim.key[0] == login]
        found.append(Attempt(score, doubt is None, place(path)))
    return found


def _counting(wanted: list[Any], *columns: Any) -> Any:
    return (
        select(*columns)
        .select_from(ATTEMPT)
        .join(CLAIM, (CLAIM.c.sighting == ATTEMPT.c.sighting) & (CLAIM.c.student == ATTEMPT.c.student))
        .join(SIGHTING, SIGHTING.c.number == ATTEMPT.c.sighting)
        .where(*wanted)
        .order_by(ATTEMPT.c.student, ATTEMPT.c.homework, ATTEMPT.c.which)
    )


def _of(table: Table, student: str | None, homework: str | None) -> list[Any]:
    wanted = []
    if student is not None:
        wanted.append(table.c.student == student.casefold())
    if homework is not None:
        wanted.append(table.c.homework == homework)
    return wanted


def _same_attempt() -> Any:
    return (
        (ATTEMPT.c.student == CLAIM.c.student)
        & (ATTEMPT.c.homework == CLAIM.c.homework)
        & (ATTEMPT.c.which == CLAIM.c.which)
    )


def _place(database: Path) -> Callable[[str], str]:
    """A path of the gradebook's as somebody here would write it."""
    if database.parent == Path():
        return lambda path: path
    parent = str(database.parent)
    return lambda path: os.path.normpath(f"{parent}/{path}") if path.startswith("..") else f"{parent}/{path}"


def _fraction(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


def _fraction_text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _moment_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


# Who reads and who writes


@contextmanager
def reading(database: Path) -> Iterator[Connection]:
    """One moment of the gradebook, whatever is written meanwhile."""
    if not database.is_file():
        raise UsageError(f"{database}: no gradebook there; make one with grading ingest")
    with troubles(database):
        engine = _engine(database, "BEGIN")
        try:
            with engine.begin() as connection:
                version = version_of(connection, database)
                if version == 0:
                    raise UsageError(f"{database}: the gradebook is empty; fill it with grading ingest")
                if version != SCHEMA:
                    raise UsageError(
                        f"{database}: was made by another version; bring it up to date with grading ingest"
                    )
                yield connection
        finally:
            engine.dispose()


@contextmanager
def locked(database: Path, tell: Tell = silent) -> Iterator[None]:
    """The gradebook to one process alone: others wait here, and may read. A killed process holds nothing.

    SQLite alone would keep the file whole, but not keep a slow process from recording, as the latest, what it read
    before another read something newer.
    """
    descriptor = _lock(database, tell)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing(database: Path) -> Iterator[Engine]:
    """For who holds the lock: one connection, for transactions that write."""
    with troubles(database):
        engine = _engine(database, "BEGIN IMMEDIATE")
        try:
            with engine.begin() as connection:
                version_of(connection, database)  # nothing of somebody else's is changed
            with engine.connect() as connection:  # which begins nothing by itself
                raw = connection.connection.dbapi_connection
                assert raw is not None
                raw.execute("PRAGMA journal_mode=WAL")
            yield engine
        finally:
            engine.dispose()


def _lock(database: Path, tell: Tell) -> int:
    path = database.with_name(f"{database.name}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(
            f"{database}: cannot be written: {error.strerror}; choose another place for the gradebook"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"{database}: another process writes to it; waiting until it has ended")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _engine(database: Path, begin: str) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(database)), poolclass=StaticPool, connect_args={"timeout": PATIENCE}
    )

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: object) -> None:
        connection.isolation_level = None  # `begin` says when a transaction begins, not the driver
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-65536")  # KiB

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def version_of(connection: Connection, database: Path) -> int:
    """The schema of what is there; 0 for nothing yet. Raises UsageError for a file of somebody else's."""
    ours = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if ours != OURS and (version or connection.exec_driver_sql("SELECT 1 FROM sqlite_schema").first()):
        raise UsageError(f"{database}: is a database, but no gradebook; give another path")
    if version > SCHEMA:
        raise UsageError(f"{database}: was made by a newer version of grading; update this one")
    return version


def create(connection: Connection) -> None:
    """Empty tables but for the log, which is kept as it is."""
    for table in _tables(connection):
        if table not in log.tables:
            connection.exec_driver_sql(f'DROP TABLE "{table}"')
    log.create_all(connection)
    derived.create_all(connection)
    for table in log.tables:
        for verb in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(_ONLY_GROWS.format(table=table, verb=verb))
    connection.exec_driver_sql(f"PRAGMA application_id={OURS}")
    connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA}")


def _tables(connection: Connection) -> Sequence[str]:
    rows = connection.exec_driver_sql(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return [name for (name,) in rows]


@contextmanager
def troubles(database: Path) -> Iterator[None]:
    """What SQLite says, in a line that says what to do."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        why = str(getattr(error, "orig", error))
        if damaged(error):
            raise UsageError(
                f"{database}: is damaged or no database ({why}); make it again with grading ingest --rebuild"
            ) from error
        if "readonly" in why or "unable to open" in why:
            raise UsageError(f"{database}: cannot be written: {why}; choose another place") from error
        raise GradingError(f"{database}: {why}; run it again") from error


def damaged(error: BaseException | None) -> bool:
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
