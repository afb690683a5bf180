"""The gradebook: every score once, nothing lost or silently changed, whatever the files and the processes do."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingesting import NOW, ingest_and_count, ingest_with_files_of

from grading.errors import UsageError
from grading.github.store import Record, Store
from grading.gradebook import database as gradebook
from grading.gradebook.claims import Refused, read
from grading.gradebook.database import attempts, dump, history
from grading.gradebook.ingest import Ingested, ingest, rebuild
from grading.late import PerDay
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score
from grading.score_file import load_score, write_score

DEADLINE = datetime(2026, 10, 4, 22, tzinfo=UTC)
COMMIT = "c0" * 20


def score(points: int = 80, student: str | None = "ada", **changes: Any) -> Score:
    """A third of the points is never a whole number, so what is exact stays visible."""
    tests = [
        Outcome("test_one", "passed", points, "the mean is 0.1", 0.01),
        Outcome("test_two", "failed", 100 - points),
    ]
    fields: dict[str, Any] = {
        "homework": "cnn",
        "tasks": [TaskOutcome("conv", Fraction(100, 3), tests), TaskOutcome("pool", Fraction(200, 3), tests)],
        "policy": PerDay(),
        "timezone": UTC,
        "submitted_at": DEADLINE + timedelta(hours=1),
        "time_source": "push",
        "deadline": DEADLINE,
        "student": student,
        "repository": "dl-course/cnn-ada",
        "commit": COMMIT,
        "confined": True,
        "digests": Digests(submission="5b" * 32, tests="7e" * 32, environment="3e" * 32),
    }
    return build_score(**fields | changes)


def error(reason: str = "no sandbox", **changes: Any) -> Score:
    return score(tasks=[], reason=reason, **changes)


def record(points: int = 80, **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "homework": "cnn",
        "student": "ada",
        "members": ("ada",),
        "repository": "dl-course/cnn-ada",
        "repository_id": 7,
        "commit": COMMIT,
        "status": "verified",
        "pushed_at": DEADLINE,
        "submitted_at": DEADLINE + timedelta(hours=1),
        "time_source": "push",
        "origin": "reported",
        "reported_points": Fraction(points),
        "central_points": None,
        "score": score(points),
    }
    return Record.model_validate(fields | changes)


class Book:
    """A gradebook, a directory of score files beside it, and what was told."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.database = place / "gradebook.db"
        self.scores = place / "scores"
        self.scores.mkdir()
        self.told: list[str] = []

    def put(self, name: str, content: Score | bytes) -> Path:
        path = self.scores / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Score):
            content = content.model_dump_json(indent=2).encode()
        path.write_bytes(content)
        return path

    def ingest(self, *directories: Path, again: bool = False) -> Ingested:
        self.told.clear()
        how = rebuild if again else ingest
        return how(self.database, directories or (self.scores,), tell=self.told.append, clock=lambda: NOW)

    def attempts(self, **how: Any) -> list[Any]:
        return attempts(self.database, **how)

    def points(self) -> list[Fraction | None]:
        return [attempt.score.points for attempt in self.attempts()]

    def dump(self) -> list[str]:
        return list(dump(self.database))


@pytest.fixture
def book(place: Path) -> Book:
    return Book(place)


# What is recorded


def test_a_score_is_recorded_as_it_stands_in_its_file(book: Book) -> None:
    path = book.put("ada.json", score(85, submitted_at=DEADLINE + timedelta(days=1, seconds=1)))

    done = book.ingest()

    (attempt,) = book.attempts(whole=True)
    assert (done.files, done.new, done.unchanged, done.refused) == (1, 1, 0, ())
    assert attempt.score == load_score(path)
    assert attempt.verified
    assert attempt.path == str(path)


def test_without_its_tasks_a_score_is_the_same_otherwise(book: Book) -> None:
    book.put("ada.json", score(85, submitted_at=DEADLINE + timedelta(days=2)))
    book.put("bob.json", error(student="bob"))
    book.ingest()

    heads, whole = book.attempts(), book.attempts(whole=True)

    assert [head.score for head in heads] == [
        attempt.score.model_copy(update={"tasks": ()}) for attempt in whole
    ]
    assert [head.score.model_fields_set for head in heads] == [set(Score.model_fields)] * 2


def test_twice_is_once(book: Book) -> None:
    for name in ("ada", "bob"):
        book.put(f"{name}.json", score(student=name))
    book.ingest()
    before = book.dump()

    done = book.ingest()

    assert (done.files, done.unchanged, done.new, done.replaced) == (2, 2, 0, 0)
    assert book.dump() == before
    assert book.told == []


def test_a_directory_given_twice_or_in_two_ways_is_one(book: Book) -> None:
    book.put("cnn/ada.json", score())

    done = book.ingest(book.scores, book.scores / "cnn", book.scores / ".." / "scores")

    assert (done.files, done.new) == (1, 1)


def test_an_attempt_is_one_of_a_student_at_a_homework(book: Book) -> None:
    book.put("1.json", score(student="Ada"))
    book.put("2.json", score(student="ADA"))
    book.put("3.json", score(student="ada", homework="nlp"))
    book.put("4.json", score(student="grace"))
    book.put("5.json", score(student="ada", commit="d0" * 20))

    book.ingest()

    found = sorted((a.score.student.casefold(), a.score.homework, a.score.commit) for a in book.attempts())
    assert found == [
        ("ada", "cnn", COMMIT),
        ("ada", "cnn", "d0" * 20),
        ("ada", "nlp", COMMIT),
        ("grace", "cnn", COMMIT),
    ]


def test_without_a_commit_an_attempt_is_what_was_handed_in(book: Book) -> None:
    for name, submission in (("1", "aa" * 32), ("2", "aa" * 32), ("3", "bb" * 32)):
        book.put(f"{name}.json", score(commit=None, digests=Digests(submission=submission)))
    for name, hours in (("4", 1), ("5", 1), ("6", 2)):
        moment = DEADLINE + timedelta(hours=hours)
        book.put(f"{name}.json", score(commit=None, digests=Digests(), submitted_at=moment))

    done = book.ingest()

    assert (done.files, done.new) == (6, 4)


def test_one_student_can_be_asked_for_in_any_case(book: Book) -> None:
    book.put("1.json", score(student="Ada"))
    book.put("2.json", score(student="grace"))
    book.put("3.json", score(student="ada", homework="nlp"))
    book.ingest()

    assert [a.score.homework for a in book.attempts(student="aDA")] == ["cnn", "nlp"]
    assert [a.score.student for a in book.attempts(homework="cnn")] == ["Ada", "grace"]
    assert book.attempts(student="nobody") == []


# What changes


def test_a_changed_file_is_a_new_version_and_the_old_one_is_kept(book: Book) -> None:
    path = book.put("ada.json", score(80))
    book.ingest()
    book.put("ada.json", score(60))

    done = book.ingest()

    assert (done.new, done.replaced, done.unchanged) == (0, 1, 0)
    assert book.points() == [60]
    assert book.told == [
        "scores/ada.json: ada, cnn, commit c0c0c0c0c0c0c: 72 points → 54 points; the earlier score is kept"
    ]
    kept = history(book.database, student="Ada")
    assert [(one.points, one.counts, one.path, one.seen_at) for one in kept] == [
        (80, False, str(path), NOW),
        (60, True, str(path), NOW),
    ]


def test_a_change_in_the_same_moment_that_keeps_the_size_is_seen(book: Book) -> None:
    for points in (80, 60, 70, 50):
        book.put("ada.json", score(points))
        book.ingest()

    assert book.points() == [50]
    assert [one.points for one in history(book.database, student="ada")] == [80, 60, 70, 50]


def test_a_file_that_is_only_written_otherwise_is_the_same_score(book: Book) -> None:
    path = book.put("ada.json", score())
    book.ingest()
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))

    done = book.ingest()

    assert (done.unchanged, done.replaced, book.told) == (1, 0, [])
    assert len(history(book.database, student="ada")) == 1


def test_a_file_for_the_next_commit_leaves_the_attempt_before(book: Book) -> None:
    book.put("ada.json", score(80))
    book.ingest()
    book.put("ada.json", score(60, commit="d0" * 20))

    done = book.ingest()

    assert (done.new, done.replaced) == (1, 0)
    assert book.points() == [80, 60]
    assert [attempt.verified for attempt in book.attempts()] == [True, True]


def test_a_file_that_goes_takes_no_score_with_it(book: Book) -> None:
    path = book.put("ada.json", score(80))
    book.ingest()
    path.unlink()

    done = book.ingest()

    assert (done.gone, book.points()) == (1, [80])
    assert book.ingest().gone == 0


def test_what_is_there_counts_before_what_is_gone(book: Book) -> None:
    book.put("old/ada.json", score(80))
    book.ingest()
    shutil.rmtree(book.scores / "old")
    book.put("new/ada.json", score(60))

    book.ingest()

    assert book.points() == [60]


def test_directories_that_are_not_given_are_left_alone(book: Book) -> None:
    book.put("one/ada.json", score(80))
    book.put("two/bob.json", score(60, student="bob"))
    book.ingest()
    (book.scores / "two/bob.json").unlink()

    assert book.ingest(book.scores / "one").gone == 0
    assert book.ingest(book.scores / "two").gone == 1


@pytest.mark.parametrize("beside", [False, True])
def test_an_error_never_replaces_a_score(book: Book, beside: bool) -> None:
    book.put("ada.json", score(80))
    book.ingest()
    book.put("ada.error.json" if beside else "ada.json", error())

    done = book.ingest()

    assert (done.kept, done.replaced, book.points()) == (1, 0, [80])
    assert "a later error does not replace 72 points" in book.told[0]
    assert book.ingest().kept == 0


def test_after_an_error_the_latest_score_still_counts(book: Book) -> None:
    for content in (score(80), score(60), error()):
        book.put("ada.json", content)
        book.ingest()

    assert book.points() == [60]


def test_a_score_replaces_an_error(book: Book) -> None:
    path = book.scores / "ada.json"
    write_score(path, error())
    book.ingest()
    assert [attempt.score.reason for attempt in book.attempts()] == ["no sandbox"]
    write_score(path, score(80))

    done = book.ingest()

    assert (done.replaced, book.points()) == (1, [80])
    assert "no score → 72 points" in book.told[0]


def test_of_two_files_of_one_attempt_the_settled_time_counts_then_the_points(book: Book) -> None:
    book.put("1.json", score(90, provisional=True))
    book.put("2.json", score(70))
    book.put("3.json", score(80))
    book.put("4.json", score(100, submitted_at=None, time_source=None))

    done = book.ingest()

    assert (done.new, book.points()) == (1, [80])


def test_what_was_recorded_cannot_be_changed_in_the_database(book: Book) -> None:
    book.put("ada.json", score())
    book.ingest()
    connection = sqlite3.connect(book.database)

    for change in ("UPDATE sighting SET path = 'x'", "DELETE FROM sighting", "DELETE FROM content"):
        with pytest.raises(sqlite3.IntegrityError, match="what was recorded is not changed"):
            connection.execute(change)
    connection.close()


# What is refused


def test_a_score_without_a_sandbox_is_refused_each_time(book: Book) -> None:
    book.put("ada.json", score(100, confined=False))
    book.put("bob.json", error(student="bob", confined=False))

    first, second = book.ingest(), book.ingest()

    assert first.refused == second.refused == tuple(book.told)
    assert [line.partition(";")[0] for line in first.refused] == [
        "scores/ada.json: ada, cnn: graded without a sandbox, so it does not count",
        "scores/bob.json: bob, cnn: graded without a sandbox, so it does not count",
    ]
    assert (first.new, first.unchanged, book.attempts()) == (0, 0, [])


HOSTILE = {
    "empty": b"",
    "half": score().model_dump_json().encode()[:700],
    "null": b"null",
    "list": b"[]",
    "deep": b"[" * 10**5,
    "deep inside": b'{"tasks":' + b"[" * 10**5,
    "bytes": bytes(range(256)),
    "surrogate": score().model_dump_json().replace("test_one", "\\ud800").encode(),
    "surrogate student": score().model_dump_json().replace('"ada"', '"\\ud800"').encode(),
    "huge number": score().model_dump_json().replace('"days_late":1', '"days_late":1' + "0" * 30).encode(),
    "endless number": score().model_dump_json().replace('"days_late":1', '"days_late":1' + "0" * 5000).encode(),
    "infinity": score().model_dump_json().replace('"days_late":1', '"days_late":1e999').encode(),
    "first year": score().model_dump_json().replace("2026-10-04T23:00:00Z", "0001-01-01T00:00:00+23:00").encode(),
    "unknown key": score().model_dump_json().replace("{", '{"x":1,', 1).encode(),
    "wrong sum": score().model_dump_json().replace('"points":80', '"points":90').encode(),
    "nobody": score(student=None).model_dump_json().encode(),
    "no name": score(student="").model_dump_json().encode(),
    "a status": score().model_dump_json().replace("{", '{"status":"verified",', 1).encode(),
    "no record": record().model_dump_json().replace("verified", "trusted").encode(),
    "record of another": record(score=score(commit="d0" * 20)).model_dump_json().encode(),
    "schema": b'{"schema_version":2,"state":"graded"}',
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_score_is_told_in_one_line_and_stops_nothing(book: Book, name: str) -> None:
    book.put("bad.json", HOSTILE[name])
    book.put("good.json", score(student="grace"))

    done = book.ingest()

    (line,) = done.refused
    assert line.startswith("scores/bad.json: ")
    assert line.isprintable()
    assert len(line) < 400
    assert [attempt.score.student for attempt in book.attempts()] == ["grace"]
    assert (done.files, done.new) == (2, 1)
    assert book.ingest(again=True).refused == done.refused


def test_a_file_that_turns_bad_loses_nothing_and_can_turn_good_again(book: Book) -> None:
    book.put("ada.json", score(80))
    book.ingest()
    book.put("ada.json", HOSTILE["half"])
    assert len(book.ingest().refused) == 1
    assert book.points() == [80]
    book.put("ada.json", score(80))

    done = book.ingest()

    assert (done.refused, done.unchanged, done.replaced) == ((), 1, 0)
    assert len(history(book.database, student="ada")) == 1


def test_only_plain_files_are_opened(book: Book, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.json").write_text(score().model_dump_json())
    os.mkfifo(book.scores / "pipe.json")
    (book.scores / "endless.json").symlink_to("/dev/zero")
    (book.scores / "link.json").symlink_to(outside / "x.json")
    (book.scores / "place").symlink_to(outside)
    (book.scores / "broken.json").symlink_to("nowhere")

    done = book.ingest()

    assert [line.split(":")[0] for line in done.refused] == [
        "scores/place",
        "scores/broken.json",
        "scores/endless.json",
        "scores/link.json",
        "scores/pipe.json",
    ]
    assert book.attempts() == []


def test_hidden_and_temporary_files_are_nobodys_scores(book: Book) -> None:
    book.put(".git/x.json", b"{}")
    book.put(".ada.json.0123.tmp", b"{}")
    book.put("notes.txt", b"{}")

    assert book.ingest().files == 0


def test_a_name_that_is_no_text_is_read_and_told(book: Book) -> None:
    name = os.fsdecode(b"\xff\n.json")
    book.put(name, score(80))
    book.ingest()
    book.put(name, b"{}")

    (line,) = book.ingest().refused

    assert line.startswith("scores/\\xff?.json: not a score")
    assert book.points() == [80]


def test_too_much_is_not_read(book: Book) -> None:
    with book.put("big.json", b"").open("wb") as file:
        file.truncate(10**9)

    assert "larger than 16 MiB" in book.ingest().refused[0]


def test_any_name_can_be_a_students(book: Book) -> None:
    names = ["a\0b", "=1+1", "O'Hara; --", "é", "e\u0301", "عمر", "x" * 10_000, "\n"]
    for number, name in enumerate(names):
        book.put(f"{number}.json", score(student=name, homework=name))

    done = book.ingest()

    assert (done.new, done.refused) == (len(names), ())
    assert {a.score.student for a in book.attempts()} == set(names)
    assert [a.score.homework for a in book.attempts(student="a\0B", whole=True)] == ["a\0b"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_file_stops_an_ingest(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = bytearray((score() if data.draw(st.booleans()) else record()).model_dump_json().encode())
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(text) - 1))
        text[where : where + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    with suppress(Refused):
        content = read(bytes(text))
        assert read(content.body) == content


# What the store knows


def test_a_record_says_what_is_known_of_its_score(book: Book) -> None:
    store = Store(book.scores)
    doubt = "the commit's .github is none that was released for cnn"
    store.write_record(record(80, flags=("re-run 1 time",)))
    store.write_record(
        record(commit="d0" * 20, status="unverified", reasons=(doubt,), score=score(100, commit="d0" * 20))
    )

    done = book.ingest()

    assert (done.files, done.new, done.unverified) == (2, 2, 1)  # the score files are the records' copies
    assert [(a.score.points, a.verified) for a in book.attempts()] == [(80, True), (100, False)]
    first, second = history(book.database, student="ada")
    assert (first.flags, first.origin, first.doubt) == (("re-run 1 time",), "reported", None)
    assert (second.reasons, second.doubt) == ((doubt,), doubt)
    assert any(doubt in line for line in book.told)


def test_the_scores_of_a_store_are_read_with_their_records(book: Book) -> None:
    Store(book.scores).write_record(record(flags=("re-run 1 time",)))

    book.ingest(book.scores / "scores")

    assert [one.flags for one in history(book.database, student="ada")] == [("re-run 1 time",)]


def test_a_push_without_a_score_is_an_attempt_that_nobody_can_tell(book: Book) -> None:
    Store(book.scores).write_record(
        record(status="missing", reasons=("its run was cancelled",), score=None, origin=None)
    )

    book.ingest()

    (attempt,) = book.attempts(whole=True)
    assert (attempt.score.state, attempt.score.reason, attempt.score.commit) == (
        "error",
        "its run was cancelled",
        COMMIT,
    )


def test_everyone_in_a_team_has_the_attempt(book: Book) -> None:
    Store(book.scores).write_record(
        record(student="owls", members=("Ada", "grace"), score=score(student="owls"))
    )

    done = book.ingest()

    assert (done.files, done.new) == (1, 2)
    for whole in (False, True):
        assert [a.score.student for a in book.attempts(whole=whole)] == ["Ada", "grace"]


def test_a_score_is_verified_as_long_as_its_record_says_so(book: Book) -> None:
    store = Store(book.scores)
    store.write_record(record(80))
    book.ingest()

    store.write_record(record(80, status="unverified", reasons=("graded with tests that were not released",)))
    assert book.ingest().replaced == 1
    assert [attempt.verified for attempt in book.attempts()] == [False]

    store.write_record(record(80))
    book.ingest()
    assert [attempt.verified for attempt in book.attempts()] == [True]

    store.write_record(record(status="unverified", reasons=("the zip is no zip",), score=None))
    book.ingest()
    assert [(a.score.points, a.verified) for a in book.attempts()] == [(80, False)]

    store.write_record(record(80))
    book.ingest()
    store.replace_records("cnn", [])
    book.ingest()
    assert [(a.score.points, a.verified) for a in book.attempts()] == [(80, False)]
    assert history(book.database, student="ada")[-1].doubt == "its record was withdrawn"


def test_who_is_no_longer_of_a_team_keeps_the_score_unverified(book: Book) -> None:
    store = Store(book.scores)
    store.write_record(record(student="owls", members=("ada", "grace")))
    book.ingest()
    store.write_record(record(student="owls", members=("ada",)))

    book.ingest()

    assert [(a.score.student, a.verified) for a in book.attempts()] == [("ada", True), ("grace", False)]
    assert any("its record no longer names the student" in line for line in book.told)


# In any order, and again


PARTS = ("local", "again", "store")


def a_course(book: Book) -> list[Path]:
    """Files of every kind, of which several are of one attempt."""
    store = Store(book.scores / "store")
    for number, student in enumerate(("ada", "Grace", "émile")):
        for homework in ("cnn", "nlp"):
            for attempt in range(3):
                commit = f"{number}{attempt}" * 20
                own = score(50 + 10 * attempt, student, homework=homework, commit=commit)
                book.put(f"local/{homework}/{student}-{attempt}.json", own)
                if student == "ada":
                    book.put(
                        f"again/{homework}-{attempt}.json", score(75, "ADA", homework=homework, commit=commit)
                    )
    for attempt, status in enumerate(("verified", "unverified", "missing")):
        commit = f"0{attempt}" * 20
        known = None if status == "missing" else score(65, commit=commit)
        store.write_record(record(commit=commit, status=status, score=known, members=("ada", "grace")))
    book.put("again/error.json", error(commit="00" * 20))
    book.put("local/bad.json", b"{")
    return [book.scores / name for name in PARTS]


def test_a_gradebook_made_again_from_a_part_of_the_files_is_the_same(book: Book) -> None:
    parts = an_eventful_course(book)
    book.ingest(*parts)
    before = book.dump()

    book.ingest(parts[-1], again=True)

    assert book.dump() == before


def test_the_order_of_reading_does_not_matter(place: Path) -> None:
    dumps = []
    for number in range(6):
        (place / str(number)).mkdir()
        book = Book(place / str(number))
        parts = a_course(book)
        chance = random.Random(number)
        chance.shuffle(parts)
        if number % 2:
            book.ingest(*parts)
        else:
            for part in parts:
                book.ingest(part)
        dumps.append(book.dump())

    assert all(one == dumps[0] for one in dumps)
    assert len(dumps[0]) > 80


def an_eventful_course(book: Book) -> list[Path]:
    """The same after scores were changed, lost and found again."""
    parts = a_course(book)
    book.ingest(*parts)
    later(book)
    book.ingest(*parts)
    book.put("local/cnn/ada-1.json", score(55, commit="01" * 20))
    book.put("local/nlp/ada-0.json", score(50, homework="nlp", commit="00" * 20))
    return parts


def later(book: Book) -> None:
    book.put("local/cnn/ada-0.json", error(commit="00" * 20))
    book.put("local/cnn/ada-1.json", score(45, commit="01" * 20))
    book.put("local/cnn/ada-2.json", score(45, commit="0f" * 20))
    book.put("local/cnn/Grace-0.json", b"{")
    for name in ("local/nlp/ada-0.json", "again/cnn-1.json", "local/bad.json"):
        (book.scores / name).unlink()
    store = Store(book.scores / "store")
    store.write_record(record(commit="00" * 20, status="unverified", reasons=("changed",), score=None))


def test_a_gradebook_made_again_is_the_same(book: Book) -> None:
    parts = an_eventful_course(book)
    first = book.ingest(*parts)
    before = book.dump()

    done = book.ingest(*parts, again=True)

    assert book.dump() == before
    assert (done.new, done.replaced, done.gone) == (0, 0, 0)
    assert (done.unverified, done.refused) == (first.unverified, first.refused)


def test_a_lost_gradebook_is_made_again_from_the_files(book: Book) -> None:
    parts = a_course(book)
    for part in parts:
        book.ingest(part)
    before = book.dump()
    book.database.unlink()

    book.ingest(*parts)

    assert book.dump() == before


def test_a_gradebook_of_another_version_is_made_again(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = an_eventful_course(book)
    book.ingest(*parts)
    before = book.dump()
    connection = sqlite3.connect(book.database)
    connection.executescript(
        "ALTER TABLE claim DROP COLUMN verified; CREATE TABLE more (x); PRAGMA user_version=99;"
    )
    for module in ("database", "ingest"):
        monkeypatch.setattr(f"grading.gradebook.{module}.SCHEMA", 100)
    with pytest.raises(UsageError, match="made by another version; bring it up to date"):
        book.attempts()

    done = book.ingest(*parts)

    assert any("was made by another version" in line for line in book.told)
    assert (book.dump(), done.new) == (before, 0)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone() == (0,)
    connection.close()


def test_a_newer_gradebook_is_left_alone(book: Book) -> None:
    book.ingest()
    connection = sqlite3.connect(book.database)
    connection.execute(f"PRAGMA user_version={gradebook.SCHEMA + 1}")
    connection.close()

    for how in (book.ingest, book.attempts, lambda: book.ingest(again=True)):
        with pytest.raises(UsageError, match="newer version of grading; update this one"):
            how()


@pytest.mark.parametrize("damage", ["all", "pages"])
def test_a_damaged_gradebook_is_put_aside_and_made_again(book: Book, damage: str) -> None:
    parts = a_course(book)
    book.ingest(*parts)
    before = book.dump()
    content = book.database.read_bytes()
    spoilt = b"not a database" if damage == "all" else content[:8192] + b"\xa5" * (len(content) - 8192)
    book.database.write_bytes(spoilt)
    with pytest.raises(UsageError, match="grading ingest --rebuild"):
        book.dump()

    book.ingest(*parts, again=True)

    assert book.dump() == before
    assert (book.place / "gradebook.db.damaged-1").read_bytes() == spoilt


def test_somebody_elses_database_is_left_alone(book: Book) -> None:
    connection = sqlite3.connect(book.database)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = book.database.read_bytes()

    for how in (book.ingest, book.attempts, lambda: book.ingest(again=True)):
        with pytest.raises(UsageError, match="no gradebook; give another path"):
            how()

    assert book.database.read_bytes() == before


def test_a_gradebook_and_its_scores_can_move_together(book: Book, place: Path) -> None:
    parts = an_eventful_course(book)
    book.ingest(*parts)
    before = book.dump()
    (place / "moved").mkdir()
    for name in ("gradebook.db", "scores"):
        (place / name).rename(place / "moved" / name)
    book.database, book.scores = place / "moved/gradebook.db", place / "moved/scores"

    done = book.ingest(*(place / "moved" / part.relative_to(place) for part in parts))

    assert (done.new, done.replaced, done.gone) == (0, 0, 0)
    assert book.dump() == before


def test_what_cannot_be_is_told(book: Book) -> None:
    with pytest.raises(UsageError, match="no gradebook there; make one with grading ingest"):
        book.attempts()
    with pytest.raises(UsageError, match="no such directory"):
        book.ingest(book.scores / "nowhere")
    book.database = book.place / "nowhere" / "gradebook.db"
    with pytest.raises(UsageError, match="cannot be written"):
        book.ingest()


# Many processes


CONTEXT = multiprocessing.get_context("fork")


DAYS = (("ingest", None), ("ingest", later), ("rebuild", None))


def killed_everywhere(place: Path, kills: int, seed: int) -> None:
    """Courses that go through the same days; on each, ingest or rebuild is killed several times, then left alone."""
    chance = random.Random(seed)
    undisturbed = new_course(place, "undisturbed")
    touches = [len_of_a_day(undisturbed, *day) for day in DAYS]
    expected = undisturbed.dump()
    killed = 0
    while killed < kills:
        book = new_course(place, f"after-{killed}")
        for (how, change), most in zip(DAYS, touches, strict=True):
            if change is not None:
                change(book)
            killed += kill_several(book, how, most, chance)
        assert book.dump() == expected, killed
        shutil.rmtree(book.place)


def kill_several(book: Book, how: str, touches: int, chance: random.Random) -> int:
    """Until it has ended by itself; says how often it was killed. Nothing that was recorded goes."""
    recorded = logged(book)
    for killed in range(9):
        most = touches if how == "rebuild" else touches // 2  # an ingest goes on from where it was killed
        code = run_alone(book, how, chance.randint(1, most))
        assert logged(book) >= recorded
        recorded = logged(book)
        if code == 0:
            return killed
        assert code == -signal.SIGKILL
    assert run_alone(book, how, None) == 0
    return 9


def len_of_a_day(book: Book, how: str, change: Any) -> int:
    counted = CONTEXT.Value("i", 0)
    if change is not None:
        change(book)
    assert run_alone(book, how, None, counted) == 0
    return int(counted.value)


def new_course(place: Path, name: str) -> Book:
    (place / name).mkdir()
    book = Book(place / name)
    a_course(book)
    return book


def run_alone(book: Book, how: str, kill_at: int | None, counted: Any = None) -> int | None:
    parts = [book.scores / name for name in PARTS]
    process = CONTEXT.Process(target=ingest_and_count, args=(book.database, parts, how, kill_at, counted))
    process.start()
    process.join()
    return process.exitcode


def logged(book: Book) -> set[tuple[Any, ...]]:
    """What was ever recorded, of a database that is whole; nothing before its first transaction has ended."""
    if not book.database.exists():
        return set()
    with closing(sqlite3.connect(book.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            return set()
        return set(connection.execute("SELECT * FROM sighting"))


def test_killed_anywhere_and_run_again_it_is_as_if_never_killed(place: Path) -> None:
    killed_everywhere(place, kills=40, seed=5)


def test_killed_in_the_middle_of_a_write_it_is_as_if_never_killed(place: Path) -> None:
    undisturbed = new_course(place, "undisturbed")
    assert run_alone(undisturbed, "ingest", None) == 0
    book = new_course(place, "killed")
    parts = [book.scores / name for name in PARTS]
    recorded: set[tuple[Any, ...]] = set()
    killed = 0

    for most_bytes in range(1_000, 200_000, 14_321):
        process = CONTEXT.Process(target=ingest_with_files_of, args=(most_bytes, book.database, parts))
        process.start()
        process.join()
        killed += process.exitcode == -signal.SIGXFSZ
        assert logged(book) >= recorded
        recorded = logged(book)

    assert killed >= 5
    assert run_alone(book, "ingest", None) == 0
    assert book.dump() == undisturbed.dump()


@pytest.mark.full
def test_killed_two_hundred_times_it_is_as_if_never_killed(place: Path) -> None:
    killed_everywhere(place, kills=200, seed=6)


def test_eight_at_a_time_record_everything_once(book: Book, place: Path) -> None:
    parts = a_course(book)
    (place / "alone").mkdir()
    alone = Book(place / "alone")
    a_course(alone)
    alone.ingest(*(alone.scores / part.relative_to(book.scores) for part in parts))
    chance = random.Random(3)
    processes = []
    for number in range(8):
        own = parts if number < 4 else chance.sample(parts, 1)
        kill_at = 150 + 40 * number if number in (1, 3) else None
        args = (book.database, chance.sample(own, len(own)), "rebuild" if number == 6 else "ingest", kill_at)
        processes.append(CONTEXT.Process(target=ingest_and_count, args=args))

    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert sorted({process.exitcode for process in processes}) in ([-9, 0], [0])
    assert book.dump() == alone.dump()


def test_a_reader_meets_one_moment(book: Book) -> None:
    book.put("ada.json", score(80))
    book.ingest()

    with gradebook.reading(book.database) as connection:
        count = "SELECT count(*) FROM sighting"
        assert connection.exec_driver_sql(count).scalar() == 1
        book.put("bob.json", score(student="bob"))
        book.ingest()
        book.ingest(again=True)
        assert connection.exec_driver_sql(count).scalar() == 1

    assert len(book.attempts()) == 2
