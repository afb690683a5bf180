"""`grading explain`: for an appeal, everything that is known of a student's work, and nothing of anybody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from regrading import DAY, NOW, Class, scored

from grading.gradebook.ingest import ingest

REVIEWS = """\
reviews:
  - {student: ada, homework: toy, points: -5, task: center, reason: copied loop, by: prof,
     at: 2026-12-02T12:00:00Z, feedback: "Look [red]again"}
"""
EXTENSIONS = """\
extensions:
  - {student: ada, homework: toy, until: 2026-10-05T02:00:00+02:00, reason: ill}
"""
LATE = (
    "late: handed in 2026-10-05 11:59:00 CEST, 1 day after 2026-10-05 02:00:00 CEST: 8.50 points lost (10.00 %), "
    "76.50 left"
)
TEAMS = "teams: [{name: owls, members: [ada, grace], homeworks: [toy]}]\n"


@pytest.fixture
def made(tmp_path: Path) -> Class:
    return Class.new(tmp_path)


def explained(made: Class, capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    """What it says, each line without its spaces."""
    capsys.readouterr()
    assert made.run("explain", *arguments) == (0, "")
    said = capsys.readouterr()
    assert said.err == ""
    return [" ".join(line.split()) for line in said.out.splitlines()]


def appealed(made: Class) -> Path:
    """ada handed in three times, and the second score was recorded anew; a gradebook that has read all of it."""
    (made.homeworks / "reviews.yml").write_text(REVIEWS)
    (made.homeworks / "extensions.yml").write_text(EXTENSIONS)
    made.put("1", scored("ada", "aa" * 32, {"center": 0}, number=1))
    made.put("2", scored("ada", "bb" * 32, {"length": 0}, number=2, late=DAY / 2))
    made.put("3", scored("ada", "cc" * 32, {}, number=3, late=DAY, tasks=[], reason="no room on the disk"))
    made.put("4", scored("grace", "dd" * 32, {}, number=4))
    ingest(made.place / "book.db", [made.scores], clock=lambda: NOW)
    made.put("2", scored("ada", "bb" * 32, {"length": 15}, number=2, late=DAY / 2))
    ingest(made.place / "book.db", [made.scores], clock=lambda: NOW + DAY)
    return made.place / "book.db"


def test_every_attempt_is_there_with_why_it_counts_and_what_it_lost(
    made: Class, capsys: pytest.CaptureFixture[str]
) -> None:
    said = explained(made, capsys, appealed(made), "ADA")

    assert said == [
        "ada (Ada)",
        "",
        "toy: 71.50",
        "handed in commit raw late points",
        "1 2026-10-03 23:59:00 CEST 0000000 60.00 60.00 fewer points than the one that counts",
        "2 2026-10-05 11:59:00 CEST 0000000 85.00 1 day, −10.00 % 76.50 counts: the best after the penalty",
        "3 2026-10-05 23:59:00 CEST 0000000 1 day not judged, by our fault: no room on the disk",
        "attempt 2, before: 70.00 points, read 2026-10-20 14:00:00 CEST from " + str(made.scores / "2.json"),
        "tasks of attempt 2:",
        "center: 40.00 of 40.00 (Rows with mean zero)",
        "length: 15.00 of 30.00 (The length of a row)",
        "• It is as it was.",
        "look again",
        "twice: 30.00 of 30.00 (A function applied twice)",
        "how it came about:",
        "extension until 2026-10-05 02:00:00 CEST: ill",
        "attempt 2 of 3 counts: the best after the penalty",
        "1 attempt left out: could not be judged",
        "raw: 85.00 of 100.00 points, commit 0000000",
        LATE,
        "review: -5.00 points for center: 71.50 (copied loop; prof, 2026-12-02)",
        "71.50 of 100.00 × 10.00 = 7.15 course points",
        "feedback: Look [red]again",
        "",
        "other: missing",
        "how it came about:",
        "nothing handed in",
        "",
        "homework: 7.15",
        "total: 7.15",
    ]


def test_for_programs_it_is_the_same(made: Class, capsys: pytest.CaptureFixture[str]) -> None:
    book = appealed(made)
    capsys.readouterr()

    assert made.run("explain", book, "ada", "--homework", "toy", "--json") == (0, "")

    said = json.loads(capsys.readouterr().out)
    (toy,) = said["homeworks"]
    assert (said["student"]["total"], toy["grade"]["course_points"]) == (7.15, 7.15)
    assert [(one["raw"], one["counts"], one["verified"]) for one in toy["attempts"]] == [
        (60, False, True),
        (85, True, True),
        (None, False, True),
    ]
    assert [one["points"] for one in toy["attempts"][1]["earlier"]] == [70]
    assert toy["tasks"][1]["failed"] == {"It is as it was.": ["look again"]}


def test_score_files_say_the_same_but_for_what_they_said_before(
    made: Class, capsys: pytest.CaptureFixture[str]
) -> None:
    book = appealed(made)

    from_book = explained(made, capsys, book, "ada")
    from_files = explained(made, capsys, made.scores, "ada")

    assert [line for line in from_book if ", before: " not in line] == from_files


def test_of_equal_attempts_the_first_counts_and_the_last_where_that_is_the_rule(
    made: Class, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        made.put(str(number), scored("ada", "aa" * 32, {"center": 0}, number=number, late=number * -DAY))

    best = explained(made, capsys, made.scores, "ada", "--homework", "toy")
    course = made.homeworks / "course.yml"
    course.write_text(f"counts: last\n{course.read_text()}")
    last = explained(made, capsys, made.scores, "ada", "--homework", "toy")

    assert [line.split("60.00 60.00 ")[1] for line in best[4:6]] == [
        "counts: the best after the penalty",
        "as many points as the one that counts, which was first",
    ]
    assert [line.split("60.00 60.00 ")[1] for line in last[4:6]] == ["not the last", "counts: the last"]


def test_what_is_not_verified_says_why_and_what_is_flagged_says_what(
    made: Class, capsys: pytest.CaptureFixture[str]
) -> None:
    made.pushed("ada", 1, scored("ada", "aa" * 32, {"center": 0}))
    (record,) = made.store().records()
    assert record.score is not None
    forged = record.score.model_copy(update={"commit": f"{2:040x}"})
    changes = {"commit": f"{2:040x}", "status": "unverified", "reasons": ("it was forged",), "score": forged}
    made.store().write_record(record.model_copy(update={**changes, "flags": ("re-run 3 times",)}))
    lost = {"commit": f"{3:040x}", "status": "missing", "reasons": ("its run was cancelled",), "score": None}
    made.store().write_record(record.model_copy(update=lost))
    ingest(made.place / "book.db", [made.scores])

    from_store = explained(made, capsys, made.scores, "ada")
    from_copies = explained(made, capsys, made.scores / "scores", "ada")
    from_book = explained(made, capsys, made.place / "book.db", "ada")

    assert [line.partition(" CEST 0000000 ")[2] for line in from_store[4:7]] == [
        "60.00 60.00 counts: the best after the penalty",
        "60.00 60.00 not verified, so it does not count: it was forged",
        "not judged, by our fault: its run was cancelled",
    ]
    assert "attempt 2: re-run 3 times" in from_store
    assert from_store == from_copies == from_book


def test_a_teams_attempt_is_told_to_each_of_it_and_who_handed_it_in(
    made: Class, capsys: pytest.CaptureFixture[str]
) -> None:
    (made.homeworks / "teams.yml").write_text(TEAMS)
    made.put("1", scored("owls", "aa" * 32, {"center": 0}, number=1))
    made.put("2", scored("Grace", "bb" * 32, {}, number=2, late=DAY))
    made.put("3", scored("alan", "cc" * 32, {}, number=3))
    ingest(made.place / "book.db", [made.scores])

    said = explained(made, capsys, made.place / "book.db", "ada", "--homework", "toy")

    assert said[4:8] == [
        "1 2026-10-03 23:59:00 CEST 0000000 60.00 60.00 fewer points than the one that counts",
        "2 2026-10-05 23:59:00 CEST 0000000 100.00 1 day, −10.00 % 90.00 counts: the best after the penalty",
        "attempt 1: handed in by owls",
        "attempt 2: handed in by Grace",
    ]


def test_what_is_recorded_for_each_of_a_team_is_told_once(
    made: Class, capsys: pytest.CaptureFixture[str]
) -> None:
    (made.homeworks / "teams.yml").write_text(TEAMS)
    made.pushed("owls", 1, scored("owls", "aa" * 32, {"center": 0}))
    ingest(made.place / "book.db", [made.scores])

    for scores in (made.scores, made.place / "book.db"):
        said = explained(made, capsys, scores, "grace", "--homework", "toy")

        assert [line for line in said if line.startswith("attempt ") or " CEST 0000000 " in line] == [
            "1 2026-10-03 23:59:00 CEST 0000000 60.00 60.00 counts: the only one",
            "attempt 1: the run's own score was not taken: no run of the course's workflow graded this push",
        ]


def test_of_copies_of_the_last_attempt_the_same_is_said_to_count_everywhere(
    made: Class, capsys: pytest.CaptureFixture[str]
) -> None:
    course = made.homeworks / "course.yml"
    course.write_text(f"counts: last\n{course.read_text()}")
    for name in ("a", "b"):
        made.put(name, scored("ada", "aa" * 32, {}))

    said = explained(made, capsys, made.scores, "ada", "--homework", "toy")

    assert [line.split("100.00 100.00 ")[1] for line in said[4:6]] == ["not the last", "counts: the last"]
    assert "attempt 2 of 2 counts: the last" in said


def test_one_score_says_what_is_in_its_file(made: Class, capsys: pytest.CaptureFixture[str]) -> None:
    path = made.put("ada", scored("ada", "aa" * 32, {"center": 10}, late=DAY, provisional=True))

    said = explained(made, capsys, path, "Ada")

    assert said == [
        f"ada, toy, dl-course/toy-ada, {1:040x}",
        "handed in 2026-10-05 21:59:00 UTC (when it was pushed, provisional)",
        "deadline 2026-10-04 21:59:00 UTC",
        "70 of 100 points, 1 day late, −10%: 63 points",
        f"digest of the submission: {'aa' * 32}",
        f"digest of the tests: {'0d' * 32}",
        f"digest of the environment: {'e0' * 32}",
        "center: 10.00 of 40.00",
        "• It is as it was.",
        "look again",
        "length: 30.00 of 30.00",
        "twice: 30.00 of 30.00",
    ]


def test_names_and_messages_are_text(made: Class, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[red]e\u202ev\x1b[31m\n::error::<script>" + "x" * 500
    people = made.homeworks / "roster.csv"
    people.write_text(people.read_text().replace("Ada", '"[b]\u202e::stop::"'))
    made.put("ada", scored("ada", "aa" * 32, {"center": 0}, repository=hostile))
    path = made.scores / "ada.json"
    path.write_text(
        path.read_text().replace("look again", "\\u001b[2J::warning::\\u202e[link=x]" + "y" * 500)
    )

    explained(made, capsys, made.scores, "ada")
    for arguments in ((made.scores, "ada"), (path,)):
        made.run("explain", *arguments)
        said = capsys.readouterr().out
        assert not {"\x1b", "\u202e"} & set(said)
        assert "::" not in said
        assert "[link=x]" in said


def test_what_cannot_be_is_told_in_one_line(made: Class) -> None:
    path = made.put("ada", scored("ada", "aa" * 32, {}))
    (made.place / "no.json").write_text("{}")
    (made.homeworks / "roster.csv").write_text("username,role\nada,student\ntutor,assistant\n")

    for arguments, said in (
        ((made.scores,), "whose work? give a login after it"),
        ((made.scores, "nobody"), "nobody: is no student in "),
        ((made.scores, "tutor"), "tutor: is no student in "),
        ((made.scores, "ada", "--homework", "cnn"), 'no homework "cnn"'),
        ((made.place / "nowhere", "ada"), "no such directory"),
        ((made.place / "no.json",), "not a score"),
        ((path, "grace"), "is a score of ada, not of grace; give grace's"),
        ((path, "--homework", "other"), "is a score of toy, not of other"),
    ):
        code, words = made.run("explain", *arguments)
        assert code == 2
        assert said in words
        assert "\n" not in words
