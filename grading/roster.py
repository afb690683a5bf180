"""Who takes the course: `roster.csv`, in the course's own columns or in those of the old Classroom's file.

Reads and checks, and writes nothing. A login is the same person in any case; an id stays where an account is renamed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grading.configuration import did_you_mean
from grading.errors import UsageError

STUDENT = "student"
COLUMNS = ("username", "first_name", "last_name", "email", "section", "github_id", "role")
CLASSROOM_COLUMNS = ("identifier", "github_username", "github_id", "name")

_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}")  # `_`: accounts that an enterprise manages
_ID = re.compile(r"[1-9][0-9]{0,17}")

Row = Mapping[str, str]


@dataclass(slots=True, frozen=True)
class Person:
    """One line of the roster. `identifier` is the old Classroom's own: a number, an address, whatever was typed."""

    username: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    section: str = ""
    github_id: int | None = None
    role: str = STUDENT
    identifier: str = ""


@dataclass(slots=True, frozen=True)
class Roster:
    """Everyone in the file's order; `students` are those whose role it is."""

    path: Path
    everyone: tuple[Person, ...]
    _by_login: dict[str, Person] = field(init=False, repr=False, compare=False)
    _by_id: dict[int, Person] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_login = {person.username.casefold(): person for person in self.everyone}
        by_id = {person.github_id: person for person in self.everyone if person.github_id is not None}
        object.__setattr__(self, "_by_login", by_login)
        object.__setattr__(self, "_by_id", by_id)

    @property
    def students(self) -> tuple[Person, ...]:
        return tuple(person for person in self.everyone if person.role == STUDENT)

    def by_login(self, login: str) -> Person | None:
        return self._by_login.get(login.casefold())

    def by_id(self, github_id: int) -> Person | None:
        return self._by_id.get(github_id)


def read_roster(path: Path) -> Roster:
    """Read a roster in either format. Raises UsageError with file and line, for the first thing that is wrong."""
    rows = _rows(path, _read(path))
    try:
        line, header = next(rows)
    except StopIteration:
        raise UsageError(f"{path}:1: the file is empty; begin with the line {','.join(COLUMNS)}") from None
    columns = [name.casefold() for name in header]
    person_of = _format(path, line, columns)
    everyone: list[Person] = []
    seen: dict[str | int, int] = {}
    for line, cells in rows:
        if len(cells) != len(columns):
            raise UsageError(
                f"{path}:{line}: {len(cells)} cells where the header has {len(columns)} columns; "
                "count the commas, and quote a cell that has one"
            )
        try:
            person = person_of(dict(zip(columns, cells, strict=True)))
        except ValueError as error:
            raise UsageError(f"{path}:{line}: {error}") from None
        _only_once(path, line, person, seen)
        everyone.append(person)
    return Roster(path, tuple(everyone))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file; write one line a student, below {','.join(COLUMNS)}"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check path and permissions") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text; save the file as CSV UTF-8") from error


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The line a row begins on, and its cells. Rows with nothing in them are what a spreadsheet leaves behind."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(f"{path}:{line}: not valid CSV: {error}; mend the quotes there") from error
        if any(cells):
            yield line, cells


def _format(path: Path, line: int, columns: Sequence[str]) -> Callable[[Row], Person]:
    """How a row of this header becomes a person."""
    if len(columns) == 1 and re.search(r"[;\t]", columns[0]):
        raise UsageError(
            f"{path}:{line}: the columns are not separated by commas; save the file as CSV with commas"
        )
    old = "github_username" in columns or "identifier" in columns
    login, known = ("github_username", CLASSROOM_COLUMNS) if old else ("username", COLUMNS)
    for i, name in enumerate(columns):
        if name not in known:
            raise UsageError(f'{path}:{line}: unknown column "{name}"; {did_you_mean(name, known)}')
        if name in columns[:i]:
            raise UsageError(f'{path}:{line}: the column "{name}" stands here a second time; remove one')
    if login not in columns:
        raise UsageError(f'{path}:{line}: the column "{login}" is missing; add it, with GitHub logins in it')
    return _classroom_person if old else _person


def _person(row: Row) -> Person:
    return Person(
        username=_login(row["username"]),
        first_name=row.get("first_name", ""),
        last_name=row.get("last_name", ""),
        email=row.get("email", ""),
        section=row.get("section", ""),
        github_id=_id(row.get("github_id", "")),
        role=row.get("role", "").casefold() or STUDENT,
    )


def _classroom_person(row: Row) -> Person:
    identifier = row.get("identifier", "")
    first, last = _names(row.get("name", ""))
    return Person(
        username=_login(row["github_username"]),
        first_name=first,
        last_name=last,
        email=identifier if "@" in identifier else "",
        github_id=_id(row.get("github_id", "")),
        identifier=identifier,
    )


def _names(name: str) -> tuple[str, str]:
    """First and last, of `Ada Lovelace` or `Lovelace, Ada`."""
    last, comma, first = name.partition(",")
    if not comma:
        first, _, last = name.rpartition(" ")
    return first.strip(), last.strip()


def _login(text: str) -> str:
    if not text:
        raise ValueError("no GitHub login; fill it in, or take the line out until it is known")
    if not _LOGIN.fullmatch(text):
        raise ValueError(
            f"{text[:80]!r} is no GitHub login; write the login alone, as it stands after github.com/"
        )
    return text


def _id(text: str) -> int | None:
    if text and not _ID.fullmatch(text):
        raise ValueError(f"github_id is {text[:40]!r}; write the account's whole number, or nothing")
    return int(text) if text else None


def _only_once(path: Path, line: int, person: Person, seen: dict[str | int, int]) -> None:
    """`seen`: the line of every login and id so far."""
    for key, what in (
        (person.username.casefold(), f"the login {person.username}"),
        (person.github_id, f"the github_id {person.github_id}"),
    ):
        if key is None:
            continue
        if key in seen:
            raise UsageError(
                f"{path}:{line}: {what} stands on line {seen[key]} already; remove one of the two"
            )
        seen[key] = line
