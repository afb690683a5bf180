"""Killed at any point, a regrade and an export leave what was or what shall be; run again, it is as if never killed."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import Forks
from regrading import DAY, NOW, Class, scored

from grading.gradebook.database import dump, history
from grading.gradebook.ingest import ingest


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


# Recording a regrade


def files_graded_again(place: Path) -> Class:
    """Score files, and results by the present tests that are not recorded yet."""
    place.mkdir()
    made = Class.new(place)
    for number, digest in enumerate(("aa", "bb", "cc", "aa")):
        login = ("ada", "grace", "alan", "ada")[number]
        made.put(f"{login}-{number}", scored(login, digest * 32, {}, number=number, late=number * DAY))
    for digest, points in (("aa", {"center": 20}), ("bb", {"length": 3}), ("cc", {})):
        made.result(digest * 32, points)
    return made


def store_graded_again(place: Path) -> Class:
    """The same in a store, with a team."""
    place.mkdir()
    made = Class.new(place)
    teams = "teams: [{name: owls, members: [kay, emmy], homeworks: [toy]}]\n"
    (made.homeworks / "teams.yml").write_text(teams)
    for number, (login, digest) in enumerate((("ada", "aa"), ("ada", "bb"), ("owls", "cc")), start=1):
        made.pushed(login, number, scored(login, digest * 32, {}, number=number, late=number * DAY))
    for digest, points in (("aa", {"center": 20}), ("bb", {"length": 3}), ("cc", {"twice": 0})):
        made.result(digest * 32, points)
    return made


def everything(made: Class) -> dict[str, list[Any]]:
    """All files but locks and what a kill left unfinished; of a journal each line without when it was written."""
    found = {}
    for path in sorted(made.place.rglob("*")):
        if path.is_file() and path.suffix != ".tmp" and path.name != ".lock" and "book.db" not in path.name:
            lines: list[Any] = path.read_bytes().split(b"\n")
            if path.suffix == ".jsonl" and path.parent.name == "toy":
                lines = [{**json.loads(line), "at": ""} for line in lines if line]
            found[str(path.relative_to(made.place))] = lines
    return found


def record(forks: Forks, made: Class, kill_at: int | None = None) -> tuple[int, int]:
    return forks.run(
        made.place,
        "regrade",
        kill_at,
        name="toy",
        scores="./scores",
        homeworks="./homeworks",
        save=True,
        as_json=True,
    )


def killed_while_recording(
    forks: Forks, place: Path, make: Callable[[Path], Class], kills: int, seed: int
) -> None:
    chance = random.Random(seed)
    undisturbed = make(place / "undisturbed")
    book(undisturbed)
    code, touches = record(forks, undisturbed)
    assert code == 0
    expected, known = everything(undisturbed), book(undisturbed)
    assert known != book(make(place / "before"))
    killed = 0
    while killed < kills:
        made = make(place / f"after-{killed}")
        book(made)
        while (code := record(forks, made, chance.randint(1, touches))[0]) != 0:
            assert code == -signal.SIGKILL
            killed += 1
            if chance.random() < 0.3:
                book(made)  # somebody ingests what is there by now
        assert everything(made) == expected, killed
        assert book(made) == known, killed
        assert not made.work.exists()
        shutil.rmtree(made.place)


def book(made: Class) -> list[str]:
    """What a gradebook knows after it has read the scores again; each attempt of old, and what was recorded since."""
    database = made.place / "book.db"
    ingest(database, [made.scores], clock=lambda: NOW)
    return list(dump(database))


def test_killed_while_it_records_score_files(forks: Forks, place: Path) -> None:
    killed_while_recording(forks, place, files_graded_again, kills=45, seed=1)


def test_killed_while_it_records_in_a_store(forks: Forks, place: Path) -> None:
    killed_while_recording(forks, place, store_graded_again, kills=45, seed=2)


def test_what_the_gradebook_has_then_is_each_score_twice(forks: Forks, place: Path) -> None:
    made = files_graded_again(place / "class")
    book(made)
    assert record(forks, made, 60)[0] == -signal.SIGKILL
    book(made)
    assert record(forks, made)[0] == 0
    book(made)

    kept = [
        one for login in ("ada", "grace", "alan") for one in history(place / "class/book.db", student=login)
    ]

    assert sorted((one.key[0], one.points, one.counts) for one in kept) == [
        ("ada", 80, True),
        ("ada", 80, True),
        ("ada", 100, False),
        ("ada", 100, False),
        ("alan", 100, False),
        ("alan", 100, True),
        ("grace", 73, True),
        ("grace", 100, False),
    ]


# Exporting

FORMATS: dict[str, dict[str, Any]] = {
    "course": {},
    "wide": {"excel": True},
    "long": {},
    "classroom": {"only": ["toy"]},
    "canvas": {"only": ["toy"], "canvas": "./canvas.csv"},
    "moodle": {"only": ["toy"], "key": "username"},
}
CANVAS = "Student,ID,SIS User ID,SIS Login ID,Section,toy (17)\n    Points Possible,,,,,100\nAda,11,,ada,,\n"


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory) -> Class:
    made = Class.new(tmp_path_factory.mktemp("class"))
    (made.place / "canvas.csv").write_text(CANVAS)
    return made


@pytest.mark.parametrize("kind", FORMATS)
def test_killed_while_it_exports_the_file_is_the_old_or_the_new_one_whole(
    forks: Forks, exporting: Class, kind: str
) -> None:
    out = exporting.place / f"{kind}.csv"

    def export(kill_at: int | None = None) -> tuple[int, int]:
        where = {"scores": "./scores", "homeworks": "./homeworks", "out": f"./{out.name}"}
        return forks.run(exporting.place, "export", kill_at, kind=kind, **where, **FORMATS[kind])

    exporting.put("ada", scored("ada", "aa" * 32, {"center": 20}))
    assert export()[0] == 0
    old = out.read_bytes()
    exporting.put("ada", scored("ada", "aa" * 32, {}))
    code, touches = export()
    new = out.read_bytes()
    assert (code, old == new) == (0, False)
    chance = random.Random(kind)
    met = set()

    for kill_at in [*chance.sample(range(1, touches - 9), 3), *range(touches - 9, touches + 1)]:
        out.write_bytes(old)
        assert export(kill_at)[0] == -signal.SIGKILL
        met.add(out.read_bytes())

    assert met == {old, new}
    out.write_bytes(old)
    assert export()[0] == 0
    assert out.read_bytes() == new
