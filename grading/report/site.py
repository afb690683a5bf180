"""The dashboard: a directory of pages for the course, each homework and each student, that needs no server.

Renders and writes what `standing` found out. A file is written whole or not at all; what an earlier run wrote and
nobody needs any more is removed, and nothing else is ever touched: `site.json` says what is ours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from grading.atomic import write_atomically
from grading.errors import UsageError
from grading.report import figures
from grading.report.item_analysis import TaskItem, worth_a_look
from grading.report.pages import TEMPLATES, render
from grading.report.standing import UNUSUAL, HomeworkStanding, Standing, StudentStanding, Tried, Work
from grading.roster import Person
from grading.total import two_decimals

INDEX, STUDENTS = "index.html", "students.html"
SCRIPT, PLOTLY = "assets/site.js", "assets/plotly.min.js"
MANIFEST = "site.json"
OURS = re.compile(r"(?:(?:students|assets)/)?[a-z0-9][a-z0-9_.-]*\.(?:html|js)")

NEVER = datetime.min.replace(tzinfo=UTC)
MOST_ROWS = 500
MOST_PROPERTIES = 15
FEW = 10
"""A longer list is folded."""

SHORT = {"missing": "missing", "not due yet": "", "excused": "excused", **UNUSUAL}
Marked = tuple[Work, Tried, str]


@dataclass(frozen=True, slots=True)
class Titles:
    """What homeworks and their tasks are called; without a title they have their names."""

    homeworks: Mapping[str, str]
    tasks: Mapping[tuple[str, str], str]

    def homework(self, name: str) -> str:
        return self.homeworks.get(name, name)

    def task(self, homework: str, task: str) -> str:
        return self.tasks.get((homework, task), task)


@dataclass(frozen=True, slots=True)
class Written:
    """What a run wrote, by path in the site, with its size in bytes, and what it removed."""

    files: Mapping[str, int]
    removed: tuple[str, ...]


def write_site(
    out: Path, standing: Standing, titles: Titles, *, progress: Callable[[int, int], None] = lambda *_: None
) -> Written:
    """Write the site into a directory, made where there is none.

    Raises UsageError where a file stands in the way that no earlier run wrote, before anything is changed.
    """
    contents = dict(site(standing, titles))
    earlier = _earlier(out)
    for name in contents:
        if name not in earlier and (out / name).exists():
            raise UsageError(
                f"{out / name}: was not written by grading report; give another directory, or move it away"
            )
    _make_directories(out)
    _write_manifest(out, {*earlier, *contents})  # first: after a kill, the next run knows what may be ours
    sizes: dict[str, int] = {}
    for name, content in contents.items():
        progress(len(sizes), len(contents))
        data = content()
        write_atomically(out / name, data)
        sizes[name] = len(data)
    removed = sorted(earlier - contents.keys())
    for name in removed:
        _remove(out / name)
    _write_manifest(out, contents)
    return Written(sizes, tuple(removed))


def site(standing: Standing, titles: Titles) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Every file of the site, and how it is made."""
    page = _Pages(standing, titles)
    yield INDEX, page.course
    yield STUDENTS, page.students
    for homework in standing.homeworks:
        yield homework_page(homework.homework.name), partial(page.homework, homework)
    for student in standing.students:
        yield student_page(student.person.username), partial(page.student, student)
    yield SCRIPT, (TEMPLATES / "site.js").read_bytes
    yield PLOTLY, lambda: get_plotlyjs().encode()


def homework_page(name: str) -> str:
    return f"homework-{_file_name(name)}.html"


def student_page(login: str) -> str:
    return f"students/student-{_file_name(login.casefold())}.html"


def _file_name(name: str) -> str:
    """The name itself where any disk can hold it; else what it can hold of it, and a digest. A disk that ignores case
    tells any two names apart, since a name with a digest has a dot."""
    if re.fullmatch(r"[a-z0-9_-]{1,60}", name):
        return name
    kept = re.sub(r"[^a-z0-9_-]+", "-", name.lower())[:40]
    return f"{kept}.{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


# Pages


class _Pages:
    """Renders the pages of one site, with what all of their templates ask for."""

    def __init__(self, standing: Standing, titles: Titles) -> None:
        self._standing = standing
        self._titles = titles
        self._common: dict[str, Any] = {
            "standing": standing,
            "course": standing.course,
            "out_of": standing.course.grade.out_of,
            "figures": figures,
            "title": titles.homework,
            "task_title": titles.task,
            "homework_page": homework_page,
            "student_page": student_page,
            "full_name": full_name,
            "percent": percent,
            "share": share,
            "signed": signed,
            "count": count,
            "count_of": count_of,
            "days_late": lambda number: f"{count_of(number, 'day')} late" if number else "late",
            "few": FEW,
            "most_rows": MOST_ROWS,
        }

    def course(self) -> bytes:
        standing = self._standing
        works = [work for one in standing.homeworks for work in one.works]
        due = [one for one in standing.homeworks if one.due]
        handed_in = sum(one.handed_in for one in due)
        behind = [student for student in standing.students if len(student.missing) > 1]
        return self._page(
            "course.html.j2",
            INDEX,
            handed_in=share(handed_in, sum(one.expected for one in due)),
            late=share(
                sum(work.status == "late" for work in works),
                sum(work.status in ("late", "in time") for work in works),
            ),
            behind=sorted(behind, key=lambda student: -len(student.missing)),
            spreads=[(one.homework.name, one.spread) for one in standing.homeworks if one.spread],
            deadlines=_deadlines(standing.homeworks),
            open_totals=sum(student.grade.total is None for student in standing.students),
            hardest=hardest,
            **_needing_a_look(works),
        )

    def students(self) -> bytes:
        return self._page("site_students.html.j2", STUDENTS, short=SHORT)

    def homework(self, one: HomeworkStanding) -> bytes:
        name = one.homework.name
        return self._page(
            "homework.html.j2",
            homework_page(name),
            one=one,
            title_of_task=partial(self._titles.task, name),
            deadlines=_deadlines([one]),
            worth_a_look=worth_a_look,
            spoken=spoken,
            two_decimals=two_decimals,
            most_properties=MOST_PROPERTIES,
            **_needing_a_look(one.works),
        )

    def student(self, one: StudentStanding) -> bytes:
        attempts = [
            (work, number, tried) for work in one.works for number, tried in enumerate(work.tried, start=1)
        ]
        return self._page(
            "student_grades.html.j2",
            student_page(one.person.username),
            one=one,
            attempts=attempts,
            root="../",
        )

    def _page(self, template: str, here: str, **values: Any) -> bytes:
        page = render(template, **{"root": "", **self._common, "here": here, **values})
        return page.encode("utf-8", "replace")  # a lone surrogate in a name has no UTF-8


def _deadlines(homeworks: Iterable[HomeworkStanding]) -> list[tuple[str, datetime]]:
    """Of what has begun: a deadline far ahead would leave no room for the days there are."""
    return [
        (one.homework.name, one.homework.deadline)
        for one in homeworks
        if one.homework.deadline and (one.due or one.attempts)
    ]


def _needing_a_look(works: Sequence[Work]) -> dict[str, list[Marked]]:
    """Attempts, the newest first, each once whoever shares it."""
    tried = {one.attempt.path: (work, one) for work in reversed(works) for one in reversed(work.tried)}
    newest = sorted(tried.values(), key=lambda pair: pair[1].score.submitted_at or NEVER, reverse=True)
    return {
        "errors": [
            (work, one, one.problem)
            for work, one in newest
            if work.status == "error" and one.attempt.verified
        ],
        "unverified": [(work, one, one.problem) for work, one in newest if not one.attempt.verified],
        "flagged": [(work, one, "; ".join(one.flags)) for work, one in newest if one.flags],
    }


def hardest(homework: HomeworkStanding) -> TaskItem | None:
    """The task with the least share of its points, where there is one that was not solved by all."""
    item = min(homework.tasks, key=lambda item: item.difficulty, default=None)
    return item if item is not None and item.difficulty < 1 else None


# Words


def full_name(person: Person) -> str:
    return f"{person.first_name} {person.last_name}".strip() or person.username


def share(part: Fraction | int | None, of: Fraction | int) -> Fraction | None:
    return None if part is None or not of else Fraction(part) / of


def percent(value: Fraction | None) -> str:
    """Rounded half up, once; only all is 100%, and only nothing 0%."""
    if value is None:
        return "–"
    rounded = int(value * 100 + Fraction(1, 2))
    if rounded == 0 and value > 0:
        return "<1%"
    if rounded == 100 and value < 1:
        return ">99%"
    return f"{rounded}%"


def signed(value: float) -> str:
    text = f"{value:.2f}"
    return text.replace("-", "−") if float(text) else "0.00"


def count(found: Sized, what: str) -> str:
    return count_of(len(found), what)


def count_of(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def spoken(test: str) -> str:
    """A test's name as words, where nobody failed it and so nothing says what it is about."""
    return test.removeprefix("test_").replace("_", " ")


# What is ours in the directory


def _earlier(out: Path) -> set[str]:
    """What earlier runs may have written there."""
    path = out / MANIFEST
    if not path.exists():
        return set()
    try:
        files = json.loads(path.read_bytes())["grading_site"]
        return {name for name in files if OURS.fullmatch(name)}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{path}: does not say what an earlier run wrote; remove it and the pages beside it, "
            "or give another directory"
        ) from error


def _write_manifest(out: Path, files: Iterable[str]) -> None:
    write_atomically(out / MANIFEST, f"{json.dumps({'grading_site': sorted(files)}, indent=1)}\n".encode())


def _make_directories(out: Path) -> None:
    for name in ("students", "assets"):
        try:
            (out / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--out {out}: cannot be made ({error.strerror}); give another directory"
            ) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path}: is of an earlier run and cannot be removed: {error.strerror}; remove it"
        ) from error
