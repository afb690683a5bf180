"""What a run says on GitHub: annotations, summary, log and what is known of earlier pushes. All that a student can
write stands in them as text."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from github_server import GitHubServer
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from workflow_run import Command, commands_in

from grading.github.api import GitHub
from grading.github.client import Client
from grading.github.earlier import MOST_ARTIFACTS, earlier_attempts, read_earlier
from grading.homework import Homework, load_homework
from grading.late import PerDay
from grading.report.annotations import MOST, annotations
from grading.report.markdown import summary, text
from grading.report.terminal import show_score
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score

TOY = Path(__file__).parent / "homeworks/toy"
DEADLINE = datetime(2026, 11, 1, 22, 59, tzinfo=UTC)
ON_TIME = DEADLINE - timedelta(hours=14)

COMMANDS = [
    "::error::planted",
    "   ::add-mask::e",
    "a\n::stop-commands::x",
    "\r::error::x",
    "##[error]x",
    "log ##[add-mask]e",
    "###[warning]x",
    ":::error::x",
    "%0A::error::planted",
    "\x1b[31m\x1b]8;;http://x\x07",
    "\u2028::error::x",
    "\x85::error::x",
]


@pytest.fixture(scope="module")
def homework() -> Homework:
    return load_homework(TOY)


def score(
    *failing: str,
    message: str = "",
    reason: str | None = None,
    at: datetime | None = ON_TIME,
    commit: str = "c" * 40,
    **fields: Any,
) -> Score:
    """A score of the toy homework in which the tasks named have lost all points."""
    points = {"center": 40, "length": 30, "twice": 30}
    tasks = [
        TaskOutcome(task, worth, [outcome(task, task in failing, message)]) for task, worth in points.items()
    ]
    kept: dict[str, Any] = {"homework": "toy", "confined": True, "student": "ada"} | fields
    return build_score(
        tasks=tasks,
        policy=PerDay(),
        timezone=UTC,
        submitted_at=at,
        deadline=DEADLINE,
        time_source="push",
        provisional=True,
        commit=commit,
        digests=Digests(),
        reason=reason,
        **kept,
    )


def outcome(task: str, failed: bool, message: str) -> Outcome:
    told = message or f"It does not hold for {task}"
    return Outcome(f"test_{task}_x", "failed" if failed else "passed", 1, told)


def notebook(*cells: str, **layout: Any) -> bytes:
    code = [
        {"cell_type": "code", "metadata": {}, "source": cell.splitlines(keepends=True), "outputs": []}
        for cell in cells
    ]
    prose = {"cell_type": "markdown", "metadata": {}, "source": ["def center(x):\n"]}
    document = {"cells": [prose, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, **({"indent": 1} | layout)).encode()


def one_command(lines: Sequence[str]) -> Command:
    assert len(lines) == 1
    (command,) = commands_in(lines[0])
    return command


# Annotations


def test_a_task_that_lost_points_is_a_warning_where_its_cell_begins(homework: Homework) -> None:
    content = notebook("import torch\n", "def center(x):\n    return x\n", "def twice(f):\n    return f\n")

    command = one_command(annotations(score("center"), homework, "my toy.ipynb", content))

    line = int(command.properties["line"])
    assert content.decode().splitlines()[line - 1] == "  {"
    assert '"def center' in "".join(content.decode().splitlines()[line:][:5])
    assert command == Command(
        "warning",
        {"file": "my toy.ipynb", "line": str(line), "title": "Rows with mean zero: 0 of 40 points"},
        "It does not hold for center",
    )


def test_those_that_lost_most_come_first_and_full_points_are_not_spoken_of(homework: Homework) -> None:
    lines = annotations(score("length", "center"), homework, "toy.ipynb", notebook("x = 1"))

    assert [command.properties["title"] for command in commands_in("\n".join(lines))] == [
        "Rows with mean zero: 0 of 40 points",
        "The length of a row: 0 of 30 points",
    ]


def test_what_is_wrong_with_the_file_is_said_once(homework: Homework) -> None:
    lines = annotations(
        score("center", "length", "twice", message="no toy.ipynb: name it so"), homework, None
    )

    command = one_command(lines)
    assert (command.message, command.properties.keys()) == ("no toy.ipynb: name it so", {"title"})


def test_there_are_never_more_than_github_shows(homework: Homework) -> None:
    task = homework.tasks[0]
    many = homework.model_copy(
        update={"tasks": tuple(task.model_copy(update={"id": f"t{n}"}) for n in range(MOST + 5))}
    )
    outcomes = [TaskOutcome(task.id, 10, [outcome(task.id, True, "")]) for task in many.tasks]

    lines = annotations(of(outcomes), many, "toy.ipynb", notebook("x = 1"), Fraction(50))

    assert [command.name for command in commands_in("\n".join(lines))] == ["warning"] * MOST + ["error"]


def of(outcomes: list[TaskOutcome]) -> Score:
    return build_score(
        homework="toy",
        tasks=outcomes,
        max_points=sum(task.points for task in outcomes),
        policy=PerDay(),
        timezone=UTC,
        confined=True,
        digests=Digests(),
    )


@pytest.mark.parametrize(
    ("points", "mark", "red"),
    [((), Fraction(100), False), (("length",), Fraction(70), False), (("length",), Fraction(141, 2), True)],
)
def test_points_below_the_pass_mark_are_an_error(
    homework: Homework, points: tuple[str, ...], mark: Fraction, red: bool
) -> None:
    late = DEADLINE + timedelta(days=3)  # the penalty does not make a run red

    lines = annotations(score(*points, at=late), homework, "toy.ipynb", notebook("x = 1"), mark)

    assert ("Below the pass mark" in lines[-1] if lines else False) is red


def test_a_failure_of_ours_is_an_error_that_says_whose_it_is(homework: Homework) -> None:
    failed = score(reason="no sandbox:\n::error::x")

    command = one_command(annotations(failed, homework, "toy.ipynb", notebook("x = 1"), Fraction(50)))

    assert (command.name, command.properties["title"]) == ("error", "The grader failed, not your fault")
    assert "no sandbox" in command.message


@pytest.mark.parametrize(
    ("failed", "cells", "found"),
    [
        ("center", ["def center(x): 1", "def center(x): 2"], 1),  # the last definition counts
        ("center", ["center = lambda x: x", "center(2) == 3"], 0),
        ("center", ["x = 1\nclass center:\n    pass"], 0),
        ("center", ["center: object = len"], 0),
        ("center", ["    def center(x): 1", "def off_center(x): 1", "# def center(x)"], None),
        ("center", [], None),
    ],
)
def test_the_line_is_that_of_the_last_cell_that_defines_the_name(
    homework: Homework, failed: str, cells: list[str], found: int | None
) -> None:
    content = notebook(*cells)

    command = one_command(annotations(score(failed), homework, "toy.ipynb", content))

    starts = [
        number
        for number, line in enumerate(content.decode().splitlines(), 1)
        if line == '   "cell_type": "code",'
    ]
    assert int(command.properties["line"]) == (1 if found is None else starts[found] - 1)


def test_of_several_names_the_one_that_failed_is_shown(homework: Homework) -> None:
    names = ("relu", "leaky_relu", "d_relu")
    task = homework.tasks[0].model_copy(update={"names": names})
    changed = homework.model_copy(update={"tasks": (task,)})
    content = notebook(*(f"def {name}(x): pass" for name in names), indent=None)
    lines = content.decode().replace('{"cell_type"', '\n{"cell_type"')
    outcomes = [TaskOutcome("center", 100, [Outcome("test_leaky_relu_at_zero", "failed", 1, "relu?")])]

    command = one_command(annotations(of(outcomes), changed, "toy.ipynb", lines.encode()))

    assert "def leaky_relu" in lines.splitlines()[int(command.properties["line"]) - 1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"not JSON",
        b"[]",
        b'{"cells": 1}',
        b'{"cells": [1, null, {}, {"cell_type": "code"}]}',
        b'{"cells": [], "cells": [{"cell_type": "code", "source": "def center(x): 1"}]}',
        b'{"worksheets": [{"cells": [{"cell_type": "code", "input": "def center(x): 1"}]}]}',
        b"\xef\xbb\xbf" + b'{"cells": [{"cell_type": "code", "source": "def center(x): 1"}]}',
        '{"cells": [{"cell_type": "code", "source": "def center(x): 1"}]}'.encode("utf-16"),
        b'{"cells": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": ' + b"9" * 5_000 + b', "cells": [{"cell_type": "code", "source": "def center(x): 1"}]}',
    ],
)
def test_whatever_the_file_holds_there_is_a_line(homework: Homework, content: bytes) -> None:
    command = one_command(annotations(score("center"), homework, "toy.ipynb", content))

    assert command.properties["line"] == "1"


@given(cells=st.lists(st.text(max_size=30)), indent=st.sampled_from([None, 0, 1, 4]), data=st.data())
def test_the_line_is_found_however_the_file_is_laid_out(
    cells: list[str], indent: int | None, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(cells)))
    cells = [*cells[:at], "def center(x):\n    return 'here'\n", *cells[at:]]
    content = notebook(*cells, indent=indent, ensure_ascii=data.draw(st.booleans()))

    command = one_command(annotations(score("center"), load_homework(TOY), "toy.ipynb", content))

    lines = content.decode().split("\n")
    here = next(number for number, line in enumerate(lines) if "'here'" in line)
    assert 0 <= here - (int(command.properties["line"]) - 1) <= 8


# Nothing that a student writes is more than text


@pytest.mark.parametrize("hostile", COMMANDS)
def test_in_an_annotation_there_is_one_command_and_it_is_ours(homework: Homework, hostile: str) -> None:
    scored = score("center", message=f"{hostile}\n{hostile}")

    for line in annotations(scored, homework, f"{hostile}.ipynb", notebook("def center(x): 1")):
        (command,) = commands_in(line)
        assert command.name == "warning"
        assert command.properties["title"] == "Rows with mean zero: 0 of 40 points"
        assert command.properties.get("file", f"{hostile}.ipynb") == f"{hostile}.ipynb"
        assert "\n" not in line
        assert line.replace("\u200b", "").isprintable()


@given(message=st.text(), name=st.text())
def test_no_text_breaks_out_of_an_annotation(message: str, name: str) -> None:
    scored = score("center", message=message)

    lines = annotations(scored, load_homework(TOY), name, notebook("def center(x): 1"))

    assert one_command(lines).properties["title"] == "Rows with mean zero: 0 of 40 points"


@pytest.mark.parametrize("hostile", COMMANDS)
def test_in_the_log_there_is_no_command_wherever_a_line_is_wrapped(homework: Homework, hostile: str) -> None:
    width = 40
    for shift in range(width):
        shown = io.StringIO()
        scored = score("center", message=f"{'x' * shift}{hostile}\n{hostile}", student=hostile)

        show_score(Console(file=shown, width=width, highlight=False), scored, homework)

        assert commands_in(shown.getvalue()) == []
        assert "\x1b" not in shown.getvalue()


def test_colons_in_a_row_make_no_command_where_a_line_is_wrapped(homework: Homework) -> None:
    for shift in range(120):
        shown = io.StringIO()
        scored = score("center", message=f"{'x' * shift}:::::::error :::planted")

        show_score(Console(file=shown, width=120, highlight=False), scored, homework)

        assert commands_in(shown.getvalue()) == []


MARKUP = [
    "| a | b |",
    "**bold** _it_ ~~no~~ `code` \\| $x$",
    "[a](javascript:alert(1)) ![b](http://x/y.png) <http://x>",
    "<script>alert(1)</script> <img src=x onerror=y> <!-- --> &lt;b&gt; &#60;b&#62;",
    "- a",
    "12. a",
    "1) a",
    "# a",
    "> a",
    "---",
    "***",
    "```",
    "~~~",
    "    code",
    "+ a",
    "===",
    "[ref]: http://x",
    "a\nb\r\n\n# c",
    "\x1b[31m",
    ":::",
]


@pytest.mark.parametrize("hostile", MARKUP)
def test_in_the_summary_students_words_are_text(homework: Homework, hostile: str) -> None:
    plain = shape(summary(score("center", message="a\nb"), homework))

    scored = score("center", message=f"{hostile}\n{hostile}", student=hostile)

    assert shape(summary(scored, homework)) == plain


@given(words=st.text(alphabet=st.characters() | st.sampled_from("|`*_[]()<>#-+.!~:&\\ \n1"), max_size=40))
def test_any_words_are_one_paragraph_of_text(words: str) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text(words))

    assert [token.type for token in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"])
    assert {child.type for token in tokens for child in token.children or ()} <= {"text", "text_special"}


@pytest.mark.parametrize(
    "words", ["@everyone", "@org/team", "#12", "a@b.c", "www.x.y", "WWW.x.y", "https://x.y", "x://y"]
)
def test_what_github_would_link_after_all_markup_is_broken_up(words: str) -> None:
    rendered = MarkdownIt("commonmark").render(text(words))

    assert not re.search(r"@\w|#\w|www\.|://", rendered, re.IGNORECASE)


def shape(markdown: str) -> list[str]:
    """What the Markdown is made of, without its words."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    tokens = [part for token in parsed for part in (token, *(token.children or ()))]
    return [token.type for token in tokens if token.type not in ("text", "text_special")]


# Which attempt counts so far


@pytest.mark.parametrize(
    ("counts", "now", "earlier", "said"),
    [
        ("best", score(), [], "this push, 100 points"),
        ("best", score("length"), [score(at=ON_TIME - timedelta(days=1), commit="abc1234" + "0" * 33)],
         "your push of 31 Oct 09:59 (abc1234), 100 points"),
        ("best", score(at=DEADLINE + timedelta(hours=30)), [score("length", commit="d" * 40)],
         "this push, 80 points"),
        ("best", score(at=DEADLINE + timedelta(days=3)), [score("twice", commit="d" * 40)],
         "your push of 1 Nov 09:59 (ddddddd), 70 points"),  # the same points: the earliest
        ("last", score("length"), [score(at=ON_TIME - timedelta(days=1), commit="d" * 40)],
         "this push, 70 points"),
        ("best", score(reason="no sandbox"), [score(at=None, commit="d" * 40)], "your push (ddddddd), 100 points"),
        ("best", score(reason="no sandbox"), [score("twice")], "this push, 70 points"),  # graded in an earlier run
    ],
)  # fmt: skip
def test_the_summary_says_which_attempt_counts_so_far(
    homework: Homework, counts: Any, now: Score, earlier: list[Score], said: str
) -> None:
    written = summary(now, homework, earlier, counts=counts, zone=ZoneInfo("Europe/Berlin"))

    assert f"**Counts so far:** {said}\n" in written
    assert "the time that counts is fixed when the grades are collected" in written


def test_nothing_is_said_of_what_counts_where_nothing_is_known(homework: Homework) -> None:
    assert "Counts so far" not in summary(score(), homework, None)
    assert "Counts so far" not in summary(score(reason="no sandbox"), homework, [])


# Earlier pushes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHubServer]:
    with GitHubServer(tmp_path / "server", light=True) as server:
        server.add_repository("toy-ada", trees={".github": "0" * 40})
        yield server
        assert server.drift == []


class Quick(Client):
    pauses = ()


def asked(server: GitHubServer, out: Path, told: list[str]) -> list[Score] | None:
    with Quick(server.token, base=server.api) as client:
        earlier_attempts(GitHub(client), "dl-course/toy-ada", "toy", out, told.append)
    return read_earlier(out)


def upload(server: GitHubServer, content: Any, name: str = "score-toy", **fields: Any) -> str:
    sha = server.push("toy-ada", actor=server.owner)
    server.upload(server.run("toy-ada", sha), name, content, **fields)
    return sha


def test_earlier_scores_are_fetched_with_the_commit_that_github_names(
    server: GitHubServer, tmp_path: Path
) -> None:
    told: list[str] = []
    first = upload(server, {"score.json": score("length", commit="e" * 40).model_dump_json()})
    upload(server, {"score.json": score(homework="other").model_dump_json()}, name="score-other")

    found = asked(server, tmp_path / "earlier.json", told)

    assert found == [score("length", commit=first)]
    assert told == []


def test_what_is_no_score_of_this_homework_is_left_out_and_told(server: GitHubServer, tmp_path: Path) -> None:
    told: list[str] = []
    upload(server, {"score.json": score(confined=False).model_dump_json()})  # loads, and does not count
    upload(server, {"score.json": score(homework="other").model_dump_json()})
    upload(server, {"score.json": score().model_dump_json()}, expired=True)
    upload(server, {"score.json": "{}"})
    upload(server, {"other.json": "{}"})
    upload(server, {"score.json": b" " * 60_000_000})  # 60 kB in the zip
    upload(server, {"score.json": "\n::error::planted ##[error]x"})
    upload(server, b"PK\x03\x04 no zip")
    upload(server, b"x" * 2_000_000)

    found = asked(server, tmp_path / "earlier.json", told)

    assert found == []
    assert len(told) == 8
    assert all(line.startswith("earlier attempts: artifact ") for line in told)
    assert commands_in("\n".join(told)) == []


def test_only_the_latest_are_looked_at(server: GitHubServer, tmp_path: Path) -> None:
    content = {"score.json": score().model_dump_json()}
    commits = [upload(server, content) for _ in range(MOST_ARTIFACTS + 3)]

    found = asked(server, tmp_path / "earlier.json", [])

    assert found is not None
    assert {each.commit for each in found} == set(commits[3:])
    assert len(server.asked("/zip$")) == MOST_ARTIFACTS


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_told_and_nothing_is_claimed(server: GitHubServer, tmp_path: Path, status: int) -> None:
    told: list[str] = []
    server.fail_next("/artifacts", status, times=9)

    found = asked(server, tmp_path / "earlier.json", told)

    assert found is None
    assert len(told) == 1
    assert "not looked up" in told[0]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"points": 100}]', "[" * 100_000])
def test_a_file_that_does_not_hold_scores_says_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "earlier.json"
    file.write_text(content)

    assert not read_earlier(file)
    assert read_earlier(tmp_path / "missing.json") is None
