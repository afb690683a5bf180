"""How a student stands in a table and in a note, the same in every format."""

from __future__ import annotations

from grading.export.cells import neutralised
from grading.gradebook.table import GradeTable
from grading.roster import Person

PEOPLE = ("username", "first_name", "last_name", "email", "section", "github_id")


def about(person: Person) -> tuple[str, ...]:
    """The cells below PEOPLE."""
    texts = (person.username, person.first_name, person.last_name, person.email, person.section)
    return (*map(neutralised, texts), "" if person.github_id is None else str(person.github_id))


def who(person: Person) -> str:
    """Login and name, on one line: two students may have one name."""
    name = neutralised(f"{person.first_name} {person.last_name}".strip())
    return f"{person.username} ({name})" if name else person.username


def unknown(table: GradeTable) -> list[str]:
    """A note for everyone who has scores and is on no roster."""
    return [f"{neutralised(login)}: has scores and is not on the roster; left out" for login in table.unknown]
