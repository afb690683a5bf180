"""From evidence to records, without any server: hostile zips and scores, what a score may claim, and when.

What students can do on GitHub itself is in test_collect.
"""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from collecting import BUNDLE, COURSE, DAY, DEADLINE, MINUTE, RELEASED, RELEASES, START, score

from grading.errors import GradingError
from grading.github.artifact import MOST_SCORE_BYTES, read_score
from grading.github.evidence import Evidence, attempts, grade_jobs, read_evidence
from grading.github.store import Entry, Record
from grading.github.verify import Owned, verify
from grading.late import NoPenalty, PointsThenEvery
from grading.score import Digests, Score

OWNED = Owned("cnn", "ada", ("ada",), 7, ("dl-course/cnn-ada",), assigned=True)
COMMIT = "d4" * 20
TEMPLATE = "0a" * 20
PUSHED = DEADLINE - DAY


# The zip, and what is in it


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            info.compress_type = compression
            archive.writestr(info, content)
    return buffer.getvalue()


def good() -> bytes:
    return score().model_dump_json().encode()


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("score.json")
    info.external_attr = 0o120777 << 16
    return info


def encrypted() -> bytes:
    content = bytearray(zip_of(("score.json", good())))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def nul_in_its_name() -> bytes:
    return zip_of(("score.jsonX.txt", good())).replace(b"score.jsonX.txt", b"score.json\0.txt")


def claims_a_small_size() -> bytes:
    content = bytearray(zip_of(("score.json", b" " * 10**6)))
    at = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, at + 24, 10)
    return bytes(content)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: b"", "the artifact is no zip, or a damaged one"),
        (lambda: b"<html>Unicorn!</html>", "the artifact is no zip, or a damaged one"),
        (lambda: zip_of(("score.json", good()))[:-30], "the artifact is no zip, or a damaged one"),
        (lambda: zip_of(), "the artifact has no score.json"),
        (lambda: zip_of(("scores.json", good())), "the artifact has no score.json"),
        (lambda: zip_of(("../score.json", good())), "the artifact has no score.json"),
        (lambda: zip_of(("/score.json", good())), "the artifact has no score.json"),
        (lambda: zip_of(("SCORE.JSON", good())), "the artifact has no score.json"),
        (lambda: zip_of(("sub/score.json", good())), "the artifact has no score.json"),
        (nul_in_its_name, "the artifact has no score.json"),
        (
            lambda: zip_of(("score.json", good()), ("score.json", good())),
            "the artifact has more than one score.json",
        ),
        (
            lambda: zip_of(("score.json", good()), ("a/../score.json", good())),
            "the artifact has more than one score.json",
        ),
        (
            lambda: zip_of(("score.json", good()), (".\\Score.json", good())),
            "the artifact has more than one score.json",
        ),
        (lambda: zip_of((link(), b"/etc/passwd")), "score.json is a link"),
        (encrypted, "score.json is encrypted"),
        (
            lambda: zip_of(("score.json", good()), compression=zipfile.ZIP_LZMA),
            "score.json is compressed in a way that no runner uses",
        ),
        (
            lambda: zip_of(("score.json", b" " * (MOST_SCORE_BYTES + 1))),
            "score.json is larger than 2 MiB",
        ),
        (
            lambda: zip_of(*((f"{number}.txt", b"") for number in range(200)), ("score.json", good())),
            "the artifact has more than 100 files",
        ),
        (claims_a_small_size, "the artifact is no zip, or a damaged one"),
    ],
)
def test_a_hostile_zip_is_a_reason_in_words(make: Callable[[], bytes], reason: str) -> None:
    assert read_score(make()) == reason


def test_a_zip_of_gigabytes_costs_its_bound_and_no_more() -> None:
    bomb = zip_of(("score.json", bytes(400 * 2**20)))
    tracemalloc.start()

    found = read_score(bomb)

    assert found == "score.json is larger than 2 MiB"
    assert tracemalloc.get_traced_memory()[1] < 5 * MOST_SCORE_BYTES
    tracemalloc.stop()


def test_what_stands_beside_the_score_is_not_looked_at() -> None:
    found = read_score(zip_of(("result.json", b"{"), ("../../etc/passwd", b"x"), ("score.json", good())))

    assert found == score()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"score"',
        b"\xff\xfe{}",
        b"{" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        good().replace(b'"points":80', b'"points":' + b"9" * 400),
        good().replace(b'"points":80', b'"points":1e999'),
        good().replace(b'"points":80', b'"points":NaN'),
        good().replace(b'"points":80', b'"points":100'),
        good().replace(b'"points":80', b'"points":"80"'),
        good().replace(b'"points":80', b'"points":-80'),
        good().replace(b'"max_points":100', b'"max_points":0'),
        good().replace(b'"schema_version":1', b'"schema_version":2'),
        good()[:-1] + b',"extra":1}',
        good()[:-1] + b',"\\u0000\\u001b[31m::error::\\n":1}',
        good().replace(b'"homework":"cnn"', b'"homework":"\\ud800"'),
    ],
)
def test_a_hostile_score_is_a_reason_in_one_printable_line(content: bytes) -> None:
    found = read_score(zip_of(("score.json", content)))

    assert isinstance(found, str)
    assert found.startswith("score.json is no score (")
    assert found.isprintable()
    assert len(found) < 500


# Evidence by hand


def activity(number: int, after: str, at: Any, kind: str = "push", before: str = TEMPLATE) -> Entry:
    data = {
        "id": number,
        "before": before,
        "after": after,
        "ref": "refs/heads/main",
        "timestamp": at.isoformat(),
        "activity_type": kind,
        "actor": {"login": "ada", "id": 3},
    }
    return Entry(START, "activity", str(number), data)


def evidence_of(claimed: Score, *more: Entry, run: Any = None, job: Any = None) -> tuple[Evidence, Any]:
    """One push, its run of two minutes, and the artifact with `claimed`."""
    started, ended = PUSHED + MINUTE, PUSHED + 3 * MINUTE
    called = {"path": f"dl-course/bundle/.github/workflows/grade.yml@{BUNDLE}", "sha": BUNDLE, "ref": None}
    the_run = {
        "id": 50,
        "run_number": 1,
        "run_attempt": 1,
        "event": "push",
        "status": "completed",
        "conclusion": "success",
        "head_sha": COMMIT,
        "head_branch": "main",
        "path": ".github/workflows/grade.yml",
        "created_at": PUSHED.isoformat(),
        "referenced_workflows": [called],
        "actor": None,
    }
    the_job = {
        "id": 60,
        "run_id": 50,
        "name": "grade / Grade",
        "head_sha": COMMIT,
        "status": "completed",
        "conclusion": "success",
        "started_at": started.isoformat(),
        "completed_at": ended.isoformat(),
    }
    artifact = {
        "id": 70,
        "name": "score-cnn",
        "size_in_bytes": 1000,
        "expired": False,
        "created_at": (ended - timedelta(seconds=1)).isoformat(),
        "digest": "sha256:" + "f0" * 32,
        "workflow_run": {"id": 50, "head_sha": COMMIT},
    }
    entries = [
        Entry(START, "repository", "", {"name": "dl-course/cnn-ada", "default_branch": "main"}),
        activity(1, TEMPLATE, START, "branch_creation", before="0" * 40),
        activity(2, COMMIT, PUSHED),
        Entry(START, "run", "50", the_run | (run or {})),
        Entry(START, "tree", COMMIT, {"commit": COMMIT, "sha": RELEASED, "problem": ""}),
        Entry(START, "jobs", "50/1", {"run": 50, "attempt": 1, "jobs": [the_job | (job or {})]}),
        Entry(START, "artifacts", "50/1", {"run": 50, "attempt": 1, "artifacts": [artifact]}),
        Entry(START, "artifact", "70", {"id": 70, "sha256": "f0" * 32, "problem": ""}),
    ]
    return read_evidence([*entries, *more]), lambda sha256: claimed


def record_of(claimed: Score, *more: Entry, course: Any = COURSE, **how: Any) -> Record:
    evidence, read = evidence_of(claimed, *more, **how)
    (record,) = verify(evidence, OWNED, course, RELEASES, read)
    return record


def central(claimed: Score) -> Entry:
    data = {"commit": COMMIT, "score": json.loads(claimed.model_dump_json())}
    return Entry(START, "central", COMMIT, data)


# What a score may claim


def test_a_score_that_fits_the_evidence_is_verified() -> None:
    record = record_of(score(80, commit=COMMIT, repository="DL-Course/cnn-ada"))

    assert (record.status, record.reasons, record.flags) == ("verified", (), ())
    assert record.score is not None
    assert record.score.tasks == score(80).tasks


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"homework": "nlp"}, "the score is of nlp"),
        ({"homework": "x\n\x1b[2J::error::" * 9}, "the score is of x [2J::error::x [2J::error::x [2J::erro…"),
        ({"commit": "9" * 40}, "the score names another commit"),
        ({"repository": "dl-course/cnn-grace"}, "the score names another repository"),
        ({"confined": False}, "graded without a sandbox"),
        ({"digests": Digests(tests="00" * 32)}, "graded with tests that were not released"),
        ({"digests": Digests()}, "graded with tests that were not released"),
    ],
)
def test_a_score_that_claims_something_else_is_not(claims: dict[str, Any], reason: str) -> None:
    record = record_of(score(80, **claims))

    assert (record.status, record.reasons) == ("unverified", (reason,))
    assert record.reported_points == 80
    assert record.score is not None
    assert (record.score.student, record.score.commit) == ("ada", COMMIT)


def test_all_reasons_are_given_and_not_only_the_first() -> None:
    record = record_of(score(80, confined=False), run={"referenced_workflows": []})

    assert record.reasons == ("the run called no reusable workflow", "graded without a sandbox")


def test_a_path_with_its_ref_is_the_same_workflow() -> None:
    record = record_of(score(), run={"path": ".github/workflows/grade.yml@refs/heads/main"})

    assert record.status == "verified"


@pytest.mark.parametrize("name", ["Grade", "grade / Grade", "my homework / Grade"])
def test_the_grade_job_is_known_by_the_end_of_its_name(name: str) -> None:
    assert record_of(score(), job={"name": name}).status == "verified"


@pytest.mark.parametrize("name", ["Upgrade", "Grade / mine", "grade", "grade/Grade"])
def test_another_job_is_no_grade_job(name: str) -> None:
    evidence, _ = evidence_of(score(), job={"name": name})

    assert grade_jobs(evidence.jobs[50, 1]) == []
    assert record_of(score(), job={"name": name}).status == "unverified"


# When, and what it costs


def test_the_course_policy_and_deadline_decide_and_not_the_files_own() -> None:
    lenient = score(80, deadline=None, submitted_at=START, policy=NoPenalty())
    late = COURSE.homeworks[0].model_copy(update={"deadline": PUSHED - DAY})
    by_points = COURSE.model_copy(update={"homeworks": (late,), "late": PointsThenEvery()})

    found = record_of(lenient, course=by_points).score

    assert found is not None
    assert found.deadline == PUSHED - DAY
    assert (found.days_late, found.final_points, found.penalty) == (2, 72, Fraction(1, 10))


def test_a_homework_without_a_deadline_is_never_late() -> None:
    free = COURSE.model_copy(
        update={"homeworks": (COURSE.homeworks[0].model_copy(update={"deadline": None}),)}
    )

    found = record_of(score(80), course=free).score

    assert found is not None
    assert (found.deadline, found.days_late, found.final_points) == (None, 0, 80)


@pytest.mark.parametrize(
    ("conclusion", "source"),
    [
        ("success", "pipeline_finish"),
        ("failure", "pipeline_finish"),
        ("cancelled", "push"),
        ("skipped", "push"),
    ],
)
def test_the_end_of_a_job_counts_where_it_graded(conclusion: str, source: str) -> None:
    record = record_of(score(), job={"conclusion": conclusion})

    assert record.time_source == source
    assert record.submitted_at == (PUSHED if source == "push" else PUSHED + 3 * MINUTE)


def test_a_failed_job_without_a_graded_score_counts_from_the_push() -> None:
    record = record_of(score(tasks=[], reason="no sandbox"), job={"conclusion": "failure"})

    assert (record.status, record.submitted_at, record.time_source) == ("missing", PUSHED, "push")
    assert record.pushed_at == PUSHED


# Attempts


def test_the_templates_own_commit_is_no_attempt_even_if_it_is_pushed_back() -> None:
    back = activity(3, TEMPLATE, PUSHED + DAY, "force_push", before=COMMIT)

    evidence, _ = evidence_of(score(), back)

    assert [attempt.commit for attempt in attempts(evidence)] == [COMMIT]


def test_a_branch_made_anew_hides_no_attempt() -> None:
    anew = activity(3, COMMIT, PUSHED + DAY, "branch_creation", before="0" * 40)

    evidence, _ = evidence_of(score(), anew)

    assert [attempt.commit for attempt in attempts(evidence)] == [COMMIT]


def test_the_first_run_of_a_commit_counts_whatever_came_later() -> None:
    evidence, _ = evidence_of(score())
    again = evidence.runs[50].model_copy(update={"id": 51, "run_number": 9})
    evidence.take(Entry(START, "run", "51", again.model_dump(mode="json")))

    (attempt,) = attempts(evidence)

    assert attempt.run is not None
    assert attempt.run.id == 50


def test_an_entry_that_we_never_wrote_is_our_trouble() -> None:
    with pytest.raises(GradingError, match=r"entry 1 \(activity\) is not what was written"):
        read_evidence([Entry(START, "activity", "1", {"id": 1})])


def test_entries_of_other_commands_are_left_alone() -> None:
    assert record_of(score(), Entry(START, "member", "ada", {"invited": True})).status == "verified"


# Central scores


def test_a_central_score_outranks_with_the_time_of_the_push() -> None:
    record = record_of(score(80), central(score(40)))

    assert (record.origin, record.reported_points, record.central_points) == ("central", 80, 40)
    assert record.flags == ("reported 80 points, central 40",)
    assert (record.submitted_at, record.time_source) == (PUSHED + 3 * MINUTE, "pipeline_finish")


def test_the_latest_central_score_counts() -> None:
    record = record_of(score(80), central(score(40)), central(score(80)))

    assert (record.central_points, record.flags) == (80, ())


@pytest.mark.parametrize(
    "useless",
    [
        {"tasks": [], "reason": "no sandbox"},
        {"confined": False},
        {"homework": "nlp"},
    ],
    ids=["error", "unconfined", "another homework"],
)
def test_a_central_score_that_cannot_count_outranks_nothing(useless: dict[str, Any]) -> None:
    record = record_of(score(80), central(score(40, **useless)))

    assert (record.status, record.origin, record.central_points) == ("verified", "reported", None)


def test_a_central_error_does_not_take_back_an_earlier_central_score() -> None:
    record = record_of(score(80), central(score(40)), central(score(tasks=[], reason="no memory")))

    assert record.central_points == 40
