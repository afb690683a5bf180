"""Regrading: who changes and why is said first, recording keeps what was, and nothing is believed by its name."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sysconfig
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from killing import Forks
from regrading import DAY, DEADLINE, FAULTY, HALF, NOW, OLD, RIGHT, Class, scored

from grading.errors import UsageError
from grading.grade import environment_digest
from grading.gradebook.claims import key_of
from grading.gradebook.database import attempts, history
from grading.gradebook.ingest import ingest
from grading.gradebook.regrade import Recorded, Regraded, find, record, recorded, with_result
from grading.roster import read_roster
from grading.score import Digests, Score
from grading.score_file import load_score
from grading.teams import Teams

GRADING = Path(sysconfig.get_path("scripts"), "grading")
SAME = ("student", "repository", "commit", "submitted_at", "time_source", "provisional")


@pytest.fixture
def made(tmp_path: Path) -> Class:
    return Class.new(tmp_path)


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


# With the real grader: once, for all of these


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Class, subprocess.CompletedProcess[str]]:
    """A class after `grading regrade` without --record.

    ada's first attempt lived on a weak test, her second lost points to a wrong one; alan handed in the same as grace;
    emmy's is at the mercy of a faulty test; kay's is not stored; linus was graded with the present tests.
    """
    made = Class.new(tmp_path_factory.mktemp("class"))
    half = made.hand_in("ada", 1, HALF)
    right = made.hand_in("ada", 2, RIGHT)
    made.hand_in("grace", 3, RIGHT)
    fresh = Digests(submission="11" * 32, tests=made.tests, environment=environment_digest())
    made.put("ada-1", scored("ada", half, {}, number=1, provisional=True))
    made.put(
        "ada-2", scored("ada", right, {"length": 0}, number=2, late=DAY / 2, time_source="pipeline_finish")
    )
    made.put("grace", scored("grace", right, {}, number=3))
    made.put("alan", scored("alan", right, {"center": 10}, number=4, late=5 * DAY, repository=None))
    made.put("emmy", scored("emmy", made.hand_in("emmy", 7, FAULTY), {"twice": 0}, number=7))
    made.put("kay", scored("kay", "bb" * 32, {}, number=6))
    made.put("linus", scored("linus", None, {}, number=5, digests=fresh))
    before = files(made.scores)
    killed_while_grading(made)
    ran = subprocess.run(
        [GRADING, "regrade", "toy", "scores", "--submissions", "submissions", "--homeworks", "homeworks"],
        cwd=made.place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert files(made.scores) == before  # nothing is recorded yet
    return made, ran


POINTS = (("replace", 1), ("socketpair", 1), ("fork_exec", 1), ("replace", 1), ("fork", 2))
"""Where it is killed, one after the other: before the work directory has its label, twice before the worker is started,
before the first result has its name, and when it has and the next submission is to be judged."""


def killed_while_grading(made: Class) -> None:
    """Each time it goes on from where it was killed."""
    there: dict[str, bytes] = {}
    with Forks("torch", "grading.judge.classroom") as forks:
        for name, number in POINTS:
            where = {"scores": "./scores", "homeworks": "./homeworks", "submissions": "./submissions"}
            code, _ = forks.run(made.place, "regrade", number, touches=name, name="toy", jobs=1, **where)
            assert code == -signal.SIGKILL, name
            results = {path.name: path.read_bytes() for path in made.work.glob("graded/*.json")}
            assert all(load_score(made.work / "graded" / name).state == "graded" for name in results)
            assert there.items() <= results.items()
            there = results
    assert len(there) == 1


def test_who_changes_and_why_is_listed_before_anything_is_recorded(
    graded: tuple[Class, subprocess.CompletedProcess[str]],
) -> None:
    _, ran = graded

    assert (ran.returncode, ran.stderr) == (3, "")  # emmy's could not be judged
    lines = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    assert lines[0] == "toy: who changes, and why"
    assert [line for line in lines if line.startswith(("ada, ", "alan, ", "grace", "linus"))] == [
        "ada, 2026-10-03 23:59:00 CEST, 0000000: 100 → 60",
        "ada, 2026-10-05 11:59:00 CEST, 0000000: 70 → 100, after the penalty 63 → 90",
        "alan, 2026-10-09 23:59:00 CEST, 0000000: 70 → 100, after the penalty 49 → 70",
    ]
    assert lines[2] == "center: 40 → 0"
    assert "test_value: passed → failed: Each row loses its mean." in lines
    assert "test_gradient: new, failed: The gradient flows through the mean, too." in lines
    assert "test_old: gone, was failed" in lines
    at = lines.index("what counts")
    assert lines[at + 1 : at + 5] == [
        "student points course points",
        "ada 100.00 → 90.00 10.00 → 9.00",
        "alan 49.00 → 70.00 4.90 → 7.00",
        "",
    ]
    assert "tests that are gone: center/test_old, length/test_old, twice/test_value, twice/test_old" in lines
    assert any(line.startswith("emmy") and "a fault in the hidden test: OSError" in line for line in lines)
    assert any(line.startswith("kay") and "`grading fetch toy --all`" in line for line in lines)
    assert (
        "7 attempts: 3 changed, 1 as before, 1 up to date, 1 not stored, 1 not judged, by our fault; 2 grades changed"
        in lines
    )
    assert lines[-1] == "Nothing is recorded yet: the same with --record records 4 scores."
    assert "\x1b" not in ran.stdout


def test_the_same_work_is_graded_once_and_what_could_not_be_judged_is_no_result(
    graded: tuple[Class, subprocess.CompletedProcess[str]],
) -> None:
    made, _ = graded

    results = [load_score(path) for path in (made.work / "graded").glob("*.json")]

    assert sorted(score.points or 0 for score in results) == [60, 100]
    assert {score.student for score in results} == {None}


def test_what_is_recorded_are_the_listed_points_and_nothing_else_of_an_attempt(
    graded: tuple[Class, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    before, _ = graded
    made = Class(Path(shutil.copytree(before.place, tmp_path / "copy")))
    students = [f"--student={login}" for login in ("Ada", "alan", "grace", "linus")]

    code, said = made.regrade(*students, "--record")

    assert (code, said) == (0, "")
    found = {}
    for path in made.scores.iterdir():
        old, new = load_score(before.scores / path.name), load_score(path)
        assert [getattr(old, key) for key in SAME] == [getattr(new, key) for key in SAME]
        assert (new.deadline, new.days_late, new.confined) == (DEADLINE, old.days_late, True)
        assert new.digests.submission == old.digests.submission
        found[path.stem] = (new.points, new.final_points, new.digests.tests == made.tests)
    assert found == {
        "ada-1": (60, 60, True),
        "ada-2": (100, 90, True),
        "alan": (100, 70, True),
        "grace": (100, 100, True),
        "linus": (100, 100, True),
        "emmy": (70, 70, False),  # not among those named
        "kay": (100, 100, False),
    }
    assert not made.work.exists()


# Without it: what is in the work directory is as the grader would have left it


def two_attempts(made: Class) -> None:
    """ada's and grace's, with results that take points from one and give points to the other."""
    made.put("ada", scored("ada", "aa" * 32, {}, number=1))
    made.put("grace", scored("grace", "bb" * 32, {"length": 10}, number=2, late=DAY))
    made.result("aa" * 32, {"center": 20})
    made.result("bb" * 32, {})


def test_in_the_gradebook_both_are_kept_and_the_newer_counts_where_it_is_lower(made: Class) -> None:
    two_attempts(made)
    book = made.place / "book.db"
    ingest(book, [made.scores], clock=lambda: NOW)

    assert made.regrade("--record") == (0, "")
    done = ingest(book, [made.scores], clock=lambda: NOW + DAY)

    assert (done.replaced, done.new) == (2, 0)
    assert [attempt.score.points for attempt in attempts(book)] == [80, 100]
    assert [(one.points, one.counts) for one in history(book, student="ada")] == [(100, False), (80, True)]
    assert [(one.points, one.counts) for one in history(book, student="grace")] == [(80, False), (100, True)]


def test_done_twice_is_done_once(made: Class, capsys: pytest.CaptureFixture[str]) -> None:
    two_attempts(made)
    made.regrade("--record")
    after = files(made.place)
    capsys.readouterr()

    assert made.regrade("--record") == (0, "")

    assert files(made.place) == after
    assert "2 attempts: 2 up to date; 0 grades changed\n0 scores recorded.\n" in capsys.readouterr().out


def test_what_took_longer_is_nothing_new(made: Class, capsys: pytest.CaptureFixture[str]) -> None:
    two_attempts(made)
    made.regrade("--record")
    after = files(made.scores)
    for digest, points in (("aa" * 32, {"center": 20}), ("bb" * 32, {})):
        made.result(digest, points)
        path = made.work / f"graded/{digest}.json"
        path.write_text(path.read_text().replace('"seconds": 0.0', '"seconds": 1.5'))

    made.regrade("--all", "--record")

    assert files(made.scores) == after
    assert "0 scores recorded" in capsys.readouterr().out


def test_a_result_of_other_tests_is_none(made: Class) -> None:
    two_attempts(made)
    with (made.homeworks / "toy/tests/test_twice.py").open("a") as file:
        file.write("\n# mended again\n")
    before = files(made.scores)

    code, said = made.regrade("--record")

    assert code == 2
    assert said == (
        "--submissions: 2 attempts to grade again; give the directory with the notebooks, or get those of a store with "
        "`grading fetch toy --all`"
    )
    assert files(made.scores) == before


def test_a_weight_that_changed_changes_points_without_any_verdict(made: Class) -> None:
    made.put("ada", scored("ada", "aa" * 32, {"center": 10}, number=1))
    made.result("aa" * 32, {"center": 30})

    assert made.regrade("--record") == (0, "")

    assert load_score(made.scores / "ada.json").points == 90


def test_only_the_students_named_are_touched(made: Class) -> None:
    two_attempts(made)

    assert made.regrade("--student", "GRACE", "--record") == (0, "")

    assert load_score(made.scores / "ada.json").points == 100
    assert load_score(made.scores / "grace.json").points == 100
    assert sorted(path.stem for path in (made.work / "graded").iterdir()) == ["aa" * 32]  # kept for ada


def test_an_attempt_in_error_gets_its_score_and_an_error_beside_a_score_is_left(made: Class) -> None:
    failed = {"tasks": [], "reason": "no \x1b[31msandbox"}
    made.put("ada", scored("ada", "aa" * 32, {}, number=1))
    made.put("ada", scored("ada", "aa" * 32, {}, number=1, **failed))  # beside it
    made.put("grace", scored("grace", "bb" * 32, {}, number=2, **failed))
    note = (made.scores / "ada.error.json").read_bytes()
    for digest in ("aa", "bb"):
        made.result(digest * 32, {"twice": 0})

    made.regrade("--record")

    assert load_score(made.scores / "grace.json").points == 70
    assert load_score(made.scores / "ada.json").points == 70
    assert (made.scores / "ada.error.json").read_bytes() == note


def test_a_score_that_changed_meanwhile_is_not_overwritten(made: Class) -> None:
    two_attempts(made)
    path = made.scores / "ada.json"
    old = load_score(path)
    newer = scored("ada", "cc" * 32, {}, number=9)
    made.put("ada", newer)
    result = load_score(made.work / f"graded/{'aa' * 32}.json")
    change = Regraded(Recorded(old, path), "changed", with_result(old, result, made.course))
    people = read_roster(made.homeworks / "roster.csv")

    with pytest.raises(Exception, match="has changed since it was read; run it again"):
        record([change], made.scores, made.course, people, Teams())

    assert load_score(path) == newer


def test_the_penalty_is_todays_and_the_time_is_the_stored_one(made: Class) -> None:
    made.put("ada", scored("ada", "aa" * 32, {}, late=timedelta(hours=1)))
    made.result("aa" * 32, {})
    course = made.homeworks / "course.yml"
    course.write_text(course.read_text().replace("2026-10-04T23:59", "2026-10-03T23:30"))

    made.regrade("--record")

    score = load_score(made.scores / "ada.json")
    assert (score.submitted_at, score.days_late, score.final_points) == (DEADLINE + timedelta(hours=1), 2, 80)


@pytest.mark.parametrize("digest", ["../../outside", "AA" * 32, "", "\x1b[31m", None])
def test_a_digest_that_is_none_leads_nowhere(
    made: Class, digest: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    made.put("ada", scored("ada", digest, {}, commit="../../outside"))
    made.put("grace", scored("grace", "bb" * 32, {}, number=2))
    made.result("bb" * 32, {"length": 0})
    outside = made.put("../outside", load_score(made.work / f"graded/{'bb' * 32}.json"))

    assert made.regrade("--record") == (0, "")

    assert outside.exists()
    assert load_score(made.scores / "ada.json").points == 100
    shown = capsys.readouterr().out
    assert "1 not stored" in shown
    assert "\x1b" not in shown


def test_names_and_messages_are_text(made: Class, capsys: pytest.CaptureFixture[str]) -> None:
    login = "[red]e\u202ev\x1b[31m\n::error::x"
    made.put("eve", scored(login, "aa" * 32, {}))
    made.result("aa" * 32, {"center": 0})
    path = made.work / f"graded/{'aa' * 32}.json"
    path.write_text(path.read_text().replace("It is as it was.", "[link=x]\\u001b[2J::warning::"))

    assert made.regrade() == (0, "")

    shown = capsys.readouterr().out
    assert "[red]e" in shown
    assert "[link=x]" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    assert "::" not in shown


def test_a_submission_is_found_by_what_is_in_it_and_without_a_digest_by_its_commit(made: Class) -> None:
    homework = made.course.load_homework("toy")
    digest = made.hand_in("somebody-else", 1, RIGHT)
    made.hand_in("ada", 2, HALF)
    broken = made.place / f"submissions/submissions/toy/ada/{3:040x}"
    broken.mkdir()
    for name in ("another.ipynb", "toy.ipynb"):
        (broken / name).write_text(f"{name} is no notebook")
    asked: list[tuple[int, int]] = []

    made.hand_in(f"ada/{4:040x}", 3, RIGHT)  # ada calls a directory of a later commit like the earlier one

    found, unreadable = find(
        {digest, f"commit-{3:040x}"},
        {f"{3:040x}"},
        made.place / "submissions",
        homework,
        lambda *at: asked.append(at),
    )

    assert unreadable == []
    assert found[digest].digest == digest
    assert found[f"commit-{3:040x}"].problem.startswith("toy.ipynb: ")
    assert asked[0] == (0, 5)


# In a store


def test_in_a_store_it_becomes_a_central_score_as_collect_would_derive_it(made: Class) -> None:
    made.pushed("ada", 1, scored("ada", "aa" * 32, {}))
    made.pushed("ada", 2, scored("ada", "bb" * 32, {}, late=DAY))
    made.pushed("grace", 3, scored("grace", "aa" * 32, {}, late=2 * DAY))
    made.result("aa" * 32, {"center": 20})
    made.result("bb" * 32, {"twice": 15})
    before = {record.commit: record for record in made.store().records()}

    assert made.run("regrade", "toy", made.scores / "scores", "--record") == (0, "")

    after = {record.commit: record for record in made.store().records()}
    assert {key[-1]: record.central_points for key, record in after.items()} == {"1": 80, "2": 85, "3": 80}
    assert [score.final_points for score in scores_of(made)] == [80, Fraction(765, 10), 64]
    for commit, now in after.items():
        was = before[commit]
        kept = ("student", "members", "repository_id", "submitted_at", "time_source", "pushed_at", "status")
        assert [getattr(now, key) for key in kept] == [getattr(was, key) for key in kept]
    assert made.derive() == 0
    journal = list(made.store().journal("toy", before[f"{1:040x}"].repository_id))
    assert [entry.key[-1] for entry in journal if entry.kind == "central"] == ["1", "2", "1", "2"]

    assert made.regrade("--record") == (0, "")
    assert list(made.store().journal("toy", before[f"{1:040x}"].repository_id)) == journal


def scores_of(made: Class) -> list[Score]:
    return [load_score(path) for path in sorted((made.scores / "scores").rglob("*.json"))]


def test_a_teams_work_changes_for_everyone_in_it(made: Class, capsys: pytest.CaptureFixture[str]) -> None:
    teams = "teams: [{name: owls, members: [ada, grace], homeworks: [toy]}]\n"
    (made.homeworks / "teams.yml").write_text(teams)
    made.pushed("owls", 1, scored("owls", "aa" * 32, {}))
    made.result("aa" * 32, {"center": 20})

    assert made.regrade("--student", "ada", "--record", "--json") == (0, "")

    said = json.loads(capsys.readouterr().out)
    assert [(one["student"], one["after"]["course_points"]) for one in said["students"]] == [
        ("ada", 8),
        ("grace", 8),
    ]
    assert [(score.student, score.points) for score in scores_of(made)] == [("ada", 80), ("grace", 80)]


def test_the_digest_that_an_unverified_run_claims_is_not_believed(
    made: Class, capsys: pytest.CaptureFixture[str]
) -> None:
    made.pushed("ada", 1, scored("ada", "aa" * 32, {"center": 0}))
    (real,) = made.store().records()
    claimed = scored("grace", "bb" * 32, {}, number=2)  # the digest of somebody's good work
    doubt = "the commit's .github is none that was released"
    changes = {"student": "grace", "members": ("grace",), "commit": f"{2:040x}", "score": claimed}
    made.store().write_record(
        real.model_copy(update={**changes, "status": "unverified", "reasons": (doubt,)})
    )
    made.result("aa" * 32, {"center": 40})
    made.result("bb" * 32, {"center": 40})

    assert made.regrade("--record", "--all") == (0, "")

    shown = capsys.readouterr().out
    assert (
        f"not verified ({doubt}), so nobody can say what was handed in; `grading central` grades it" in shown
    )
    assert {record.student: record.status for record in made.store().records()} == {
        "ada": "verified",
        "grace": "unverified",
    }


def test_a_repository_that_changed_hands_is_left_to_collect(made: Class) -> None:
    made.pushed("ada", 1, scored("ada", "aa" * 32, {}))
    made.result("aa" * 32, {"center": 0})
    (line,) = made.store().repositories()
    made.store().know(line.model_copy(update={"student": "grace"}))
    before = files(made.scores)

    code, said = made.regrade("--record")

    assert code == 2
    assert said.endswith(f"{1:040x}.json: is of grace by now; run grading collect, then this again")
    assert files(made.scores) == before


def test_a_record_that_changed_meanwhile_is_left_as_it_is(made: Class) -> None:
    made.pushed("ada", 1, scored("ada", "aa" * 32, {}))
    made.result("aa" * 32, {"center": 0})
    read, _ = recorded(made.scores, made.course, "toy")
    after = with_result(read[0].score, load_score(made.work / f"graded/{'aa' * 32}.json"), made.course)
    (record_then,) = made.store().records()
    made.store().write_record(record_then.model_copy(update={"status": "unverified", "reasons": ("forged",)}))
    before = files(made.scores)

    with pytest.raises(UsageError, match="has changed since it was read; run it again"):
        record(
            [Regraded(read[0], "changed", after)],
            made.scores,
            made.course,
            read_roster(made.homeworks / "roster.csv"),
            Teams(),
        )

    assert files(made.scores) == before


# What is wrong is one line


def refused(made: Class, *arguments: object) -> str:
    before = files(made.place)
    code, said = made.run("regrade", *arguments)
    assert code in (2, 3), said
    assert "\n" not in said
    assert files(made.place) == before
    return said


def test_what_cannot_be_is_told_in_one_line_and_changes_nothing(
    made: Class, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_attempts(made)
    scores, other = made.scores, made.place / "elsewhere"
    other.mkdir()
    (other / "mine.txt").touch()

    assert 'no homework "cnn"' in refused(made, "cnn", scores)
    assert "no scores of other there" in refused(made, "other", scores)
    assert "no such directory" in refused(made, "toy", made.place / "nowhere")
    assert "is a file; give the directory" in refused(made, "toy", scores / "ada.json")
    assert "--student adda: has no score of toy" in refused(made, "toy", scores, "--student", "adda")
    assert "has other files in it" in refused(made, "toy", scores, "--work", other)
    shutil.copytree(scores, other / "graded")
    (other / "mine.txt").unlink()
    assert "has other files in it" in refused(made, "toy", scores, "--work", other)
    assert "is among the scores" in refused(made, "toy", scores, "--work", scores / "work")
    assert "--jobs 0" in refused(made, "toy", scores, "--jobs", 0)

    label = made.work / "regrade.json"
    label.write_text(label.read_text().replace("toy", "other"))
    assert "is for other of A course of two homeworks" in refused(made, "toy", scores)
    shutil.rmtree(made.work)
    assert "no such directory" in refused(made, "toy", scores, "--submissions", made.place / "nowhere")
    assert "no submission of toy there" in refused(made, "toy", scores, "--submissions", other)

    made.hand_in("ada", 1, RIGHT)
    digest = made.hand_in("grace", 2, HALF)
    made.put("ada", scored("ada", digest, {}))
    monkeypatch.setenv("PATH", str(other))
    code, said = made.regrade("--submissions", "submissions")
    assert (code, "the sandbox needs bubblewrap" in said) == (3, True)

    course = made.homeworks / "course.yml"
    course.write_text(course.read_text().replace("nobody-guesses-this-salt", "salt"))
    assert "hidden inputs could be guessed" in refused(made, "toy", scores, "--submissions", "submissions")


def test_a_store_among_the_scores_is_not_written_over(made: Class) -> None:
    made.pushed("ada", 1, scored("ada", "aa" * 32, {}))
    made.result("aa" * 32, {"center": 0})

    assert "has the store" in refused(made, "toy", made.place, "--work", made.work)
    assert key_of(scores_of(made)[0]) == ("ada", "toy", f"commit {1:040x}")
    assert scores_of(made)[0].digests.tests == OLD
