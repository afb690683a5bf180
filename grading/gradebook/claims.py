"""What a file says of attempts, and which of several files counts for one. Pure: bytes and rows in, records out.

A file is a score, or a record of the store: a score with what is known of it. Nothing here decides about points.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from fractions import Fraction
from typing import Literal

import msgspec
from pydantic import ValidationError

from grading.github.store import Record
from grading.gradebook.attempts import UNCONFINED
from grading.score import Digests, Score

Kind = Literal["score", "record"]
Key = tuple[str, str, str]
"""Whose attempt, at what, and which: the login in lower case, the homework, the commit or what stands for it."""

MOST_DAYS = 10**6
MAX_POINTS = Fraction(100)  # of a homework; a push that left no score does not say


class Refused(Exception):
    """Why a file is not taken, in words for a person."""


@dataclass(frozen=True, slots=True)
class Claim:
    """That an attempt has a score. `reasons` say why it is not verified, `flags` are for a person to look at."""

    key: Key
    score: Score
    verified: bool = True
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a file says, whatever its spaces: `body` is the same for files that say the same."""

    kind: Kind
    body: bytes
    digest: bytes
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """A claim as the gradebook keeps it. `latest` was read last at its path; `problem` is of what is there now."""

    sighting: int
    path: str
    kind: Kind
    digest: bytes
    latest: int
    gone: bool
    problem: str | None
    graded: bool
    verified: bool
    reasons: tuple[str, ...]
    provisional: bool
    timed: bool
    points: Fraction


def read(data: bytes) -> Content:
    """Raises Refused for what is no score, and for one that cannot count."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise Refused(f"not a score: {_one_line(str(error))}; grade the submission again") from None
    try:
        if head.status is not None:
            record = Record.model_validate_json(data)
            return _content("record", record.model_dump_json(), tuple(_of_record(record)))
        score = Score.model_validate_json(data)
        return _content("score", score.model_dump_json(), (_of_score(score),))
    except ValidationError as error:
        raise Refused(f"not a score: {_first(error)}; grade the submission again") from None
    except (OverflowError, RecursionError) as error:
        raise Refused(f"not a score: {_one_line(str(error))}; grade the submission again") from None


def key_of(score: Score) -> Key:
    """Without a commit an attempt is known by what was handed in, and without that by when."""
    if score.commit is not None:
        which = f"commit {score.commit.lower()}"
    elif score.digests.submission is not None:
        which = f"submission {score.digests.submission}"
    elif score.submitted_at is not None:
        which = f"time {score.submitted_at.astimezone(UTC).isoformat()}"
    else:
        which = "unknown"
    return (score.student or "").casefold(), score.homework, which


def counting(standing: Sequence[Standing]) -> Standing:
    """Of all that was ever said of one attempt, what counts. The order in which files were read does not matter.

    At one path the later stands in for the earlier, but an error never for a score. Of several paths: a score before
    an error, what is still there before what is gone, verified before unverified, a record before a mere score, a
    time that is settled, any time, and then the more points.
    """
    by_path: dict[str, Standing] = {}
    for one in sorted(standing, key=lambda one: one.sighting):
        before = by_path.get(one.path)
        if before is None or one.graded or not before.graded:
            by_path[one.path] = one
    held = {one.path for one in standing if one.sighting == one.latest and not one.gone}
    candidates = sorted(by_path.values(), key=lambda one: one.path, reverse=True)
    return max(
        reversed(candidates),  # of equals the first path
        key=lambda one: (
            one.graded,
            one.path in held,
            doubt(one, standing) is None,
            one.kind == "record",
            not one.provisional,
            one.timed,
            one.points,
            one.digest,
        ),
    )


def doubt(one: Standing, standing: Iterable[Standing]) -> str | None:
    """Why a claim is not verified, or None. A record vouches for a score as long as it stands there and says so."""
    if not one.verified:
        return "; ".join(one.reasons) or "nothing is known of its run"
    if one.kind == "score":
        return None
    if one.gone:
        return "its record was withdrawn"
    if one.problem is not None:
        return "its record can no longer be read"
    now = [other for other in standing if other.path == one.path and other.sighting == one.latest]
    if not now:
        return "its record no longer names the student"
    return None if now[0].verified else "its record no longer says that it is verified"


def _content(kind: Kind, body: str, claims: tuple[Claim, ...]) -> Content:
    data = body.encode()
    return Content(kind, data, hashlib.sha256(data).digest(), claims)


def _of_score(score: Score) -> Claim:
    _acceptable(score)
    return Claim(key_of(score), score)


def _of_record(record: Record) -> Iterable[Claim]:
    score = record.score if record.score is not None else _nothing_known(record)
    if (score.homework, score.commit) != (record.homework, record.commit):
        raise Refused("the record and its score are of different attempts; collect again")
    logins = {member.casefold(): member for member in sorted(record.members or (record.student,))}
    for member in logins.values():
        own = score.model_copy(update={"student": member})
        _acceptable(own)
        yield Claim(
            key_of(own),
            own,
            verified=record.status != "unverified",
            reasons=record.reasons,
            flags=record.flags,
            origin=record.origin,
        )


def _acceptable(score: Score) -> None:
    if not score.student:
        raise Refused("names no student; grade it again with --student")
    if not score.confined:
        raise Refused(f"{_one_line(score.student)}, {_one_line(score.homework)}: {UNCONFINED}")
    if score.days_late > MOST_DAYS:
        raise Refused(f"not a score: late by {MOST_DAYS} days and more; grade the submission again")


def _nothing_known(record: Record) -> Score:
    """A push that left no score: nobody can tell what it is worth, which is not 0."""
    return Score(
        schema_version=1,
        state="error",
        homework=record.homework,
        student=record.student,
        repository=record.repository,
        commit=record.commit,
        submitted_at=record.submitted_at,
        time_source=record.time_source,
        provisional=False,
        deadline=None,
        days_late=0,
        penalty=None,
        points=None,
        max_points=MAX_POINTS,
        final_points=None,
        confined=True,
        digests=Digests(),
        tasks=(),
        reason="; ".join(record.reasons) or "no score was found",
    )


class _Head(msgspec.Struct):
    """Enough of a file to tell a record from a score."""

    status: object = None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return _one_line(f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}")


def _one_line(text: str) -> str:
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return plain if len(plain) <= 200 else f"{plain[:199]}…"
