"""A student's report: what is said of a submission, and the page that says it."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from markdown_it import MarkdownIt

from grading.homework import Homework, Task
from grading.late import NoPenalty, PerDay, PointsThenEvery
from grading.notebook import Cell
from grading.report.feedback import Feedback, feedback
from grading.report.markdown import in_markdown
from grading.report.student_page import student_page
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score

if TYPE_CHECKING:
    from browser import Looker
    from playwright.sync_api import Page

HOMEWORKS = Path(__file__).parent / "homeworks"
DEADLINE = datetime(2026, 11, 1, 22, 59, tzinfo=UTC)
ON_TIME = DEADLINE - timedelta(hours=14)
LATE = DEADLINE + timedelta(hours=30)

ROWS = Task(id="rows", title="Rows of a table", points=50, names=("rows",))
SUMS = Task(id="sums", title="Sums of rows", points=30, names=("sums",), needs=("rows",))
BOSS = Task(id="boss", title="Boss: <all> & more", points=20, names=("boss",))
HOMEWORK = Homework(
    title="A small homework",
    tasks=(ROWS, SUMS, BOSS),
    name="small",
    directory=Path("small"),
    notebook="small.ipynb",
)

CELLS = (
    Cell(1, "import torch"),
    Cell(2, "def rows(x):\n    y = x + 1\n    return y[7]\n\n"),
    Cell(3, "def boss(x):\n    return torch.softmax(x, 0)  # " + "so long " * 40),
)

RAISED = "Each row is there.\nrows: your code raised IndexError in cell 2, line 3: index out of range"
WRONG = "Each row is right.\n3 of 7 values are wrong. Hint: is the mean taken over the last dimension?"
STUB = "{}\n{}: not implemented yet (raise NotImplementedError in cell {}, line 2)"
FORBIDDEN = "cell 3, line 2 uses torch.softmax, which this task asks you to write yourself"


def failed(message: str, weight: int = 1) -> Outcome:
    return Outcome("test_x", "failed", weight, message)


def passed(weight: int = 1) -> Outcome:
    return Outcome("test_y", "passed", weight)


def score(
    tests: Mapping[str, Sequence[Outcome]] | None = None, *, at: datetime | None = ON_TIME, **fields: Any
) -> Score:
    """A score of HOMEWORK; the tasks that are not named are all right."""
    outcomes = [TaskOutcome(t.id, t.points, (tests or {}).get(t.id, [passed()])) for t in HOMEWORK.tasks]
    kept: dict[str, Any] = {
        "homework": "small", "student": "ada", "policy": PerDay(), "timezone": UTC, "deadline": DEADLINE,
        "confined": True, "digests": Digests(), "submitted_at": at, "commit": "c" * 40,
    }  # fmt: skip
    return build_score(tasks=outcomes, **kept | fields)


def told(of: Score, earlier: Sequence[Score] | None = None, **settings: Any) -> Feedback:
    kept: dict[str, Any] = {"zone": ZoneInfo("Europe/Berlin"), "late": PerDay(), "cells": CELLS}
    return feedback(of, HOMEWORK, earlier, **kept | settings)


MIXED = score(
    {
        "rows": [failed(RAISED, 2), failed(WRONG), passed(2)],
        "sums": [failed(WRONG), passed()],
        "boss": [failed(FORBIDDEN, 0), failed(FORBIDDEN), failed(FORBIDDEN)],
    },
    at=LATE,
    provisional=True,
)


# What the next points are


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ({}, ""),
        ({"rows": [failed(WRONG), passed(4)]},
         "1 more test of Rows of a table is worth 10 points: 3 of 7 values are wrong. Hint: is the mean taken"),
        # what brings most is next; of two that bring as much the one of fewer tests
        ({"rows": [failed(WRONG), failed(RAISED, 2), passed(2)]},
         "1 more test of Rows of a table is worth 20 points: rows: your code raised"),
        ({"rows": [failed(WRONG), failed("It is fast.\n3 of 7 values are wrong. Hint: is the mean taken over the"
                                         " last dimension?"), failed(RAISED, 2)]},
         "1 more test of Rows of a table is worth 25 points: rows: your code raised"),
        # tests that fail for one reason are one mend
        ({"rows": [failed("It is whole.\nrows took too long"), failed("It is fast.\nrows took too long"),
                   failed(WRONG), passed(6)]},
         "2 more tests of Rows of a table are worth 11.11 points: rows took too long"),
        # a gate brings what lies behind it, at most
        ({"boss": [failed(WRONG, 0), failed(WRONG), failed(WRONG)], "rows": [failed(RAISED), passed(4)]},
         "2 more tests of Boss: <all> & more are worth up to 20 points: 3 of 7"),
        # what rests on something broken waits
        ({"sums": [failed(WRONG)], "rows": [failed(RAISED), passed(9)]},
         "1 more test of Rows of a table is worth 5 points: rows"),
        # what is not written yet is no mend, and where all is unwritten the beginning is next
        ({"rows": [failed(STUB.format("Rows.", "rows", 2))], "boss": [failed(FORBIDDEN), passed(19)]},
         "1 more test of Boss: <all> & more is worth 1 point: cell 3, line 2 uses torch.softmax"),
        ({"rows": [failed(STUB.format("Rows.", "rows", 2)), passed(9)], "boss": [failed(STUB.format("B.", "b", 3))]},
         "1 more test of Rows of a table is worth 5 points: rows: not implemented yet"),
    ],
)  # fmt: skip
def test_the_next_points_are_the_smallest_mend_that_brings_most(
    tests: dict[str, list[Outcome]], said: str
) -> None:
    assert told(score(tests)).next_points.startswith(said)
    assert bool(told(score(tests)).next_points) == bool(said)


def test_next_points_are_counted_before_the_penalty_and_not_told_of_an_error() -> None:
    late = told(score({"rows": [failed(WRONG), passed(4)]}, at=LATE))
    unsure = told(score({"rows": [failed(WRONG), Outcome("test_z", "error", 1, "the worker is gone")]}))

    assert " is worth 10 points before the late penalty: " in late.next_points
    assert unsure.next_points == ""


def test_each_point_that_was_lost_is_the_worth_of_one_finding() -> None:
    for task in told(MIXED).tasks:
        lost = sum((reason.points for found in task.findings for reason in found.reasons), Fraction(0))
        assert task.points is not None
        assert task.points + lost == task.max_points


# A day later


@pytest.mark.parametrize(
    ("at", "policy", "said"),
    [
        (DEADLINE - timedelta(days=3), PerDay(), ""),
        (DEADLINE - timedelta(days=1), PerDay(), ""),  # then exactly at the deadline
        (DEADLINE - timedelta(hours=23), PerDay(), "81 points"),
        (DEADLINE + timedelta(hours=1), PerDay(), "72 points"),
        (DEADLINE + timedelta(days=2, hours=1), PerDay(), ""),  # 30% are lost already
        (DEADLINE + timedelta(hours=1), PointsThenEvery(), "82 points"),
        (DEADLINE - timedelta(hours=1), NoPenalty(), ""),
        (DEADLINE - timedelta(hours=1), NoPenalty(hard_after_hours=1), "0 points"),
        (None, PerDay(), ""),
    ],
)
def test_what_the_same_work_would_get_a_day_later(at: datetime | None, policy: Any, said: str) -> None:
    now = score({"rows": [failed(WRONG), passed(4)]}, at=at, policy=policy)

    assert told(now, late=policy).a_day_later == said


def test_nothing_changes_in_a_day_without_a_deadline_points_or_a_verdict() -> None:
    nothing = {task.id: [failed(WRONG)] for task in HOMEWORK.tasks}

    assert told(score(at=LATE, deadline=None)).a_day_later == ""
    assert told(score(nothing, at=LATE)).a_day_later == ""
    assert told(score(at=LATE, reason="no sandbox")).a_day_later == ""


# The student's own lines


def excerpts(message: str, cells: Sequence[Cell] = CELLS) -> list[tuple[int, int, list[str]]]:
    of = told(score({"rows": [failed(message)]}), cells=cells)
    return [
        (excerpt.cell, excerpt.line, [line for _, line in excerpt.lines])
        for task in of.tasks
        for found in task.findings
        for reason in found.reasons
        for excerpt in reason.excerpts
    ]


def test_the_line_that_raised_is_shown_between_its_neighbours() -> None:
    assert excerpts(RAISED) == [(2, 3, ["    y = x + 1", "    return y[7]"])]  # an empty line is no neighbour
    assert excerpts("a\nit raised KeyError in cell 2, line 1") == [(2, 1, ["def rows(x):", "    y = x + 1"])]


def test_every_place_that_a_message_speaks_of_is_shown_once() -> None:
    both = (
        "a\nyour code raised NameError in cell 3, line 1: name 'rows' is not defined; your notebook has no rows: "
        "cell 2 defines it, but it stopped at line 2 with ValueError: see cell 3, line 1"
    )

    assert [(cell, line) for cell, line, _ in excerpts(both)] == [(3, 1), (2, 2)]
    assert [(cell, line) for cell, line, _ in excerpts(FORBIDDEN)] == [(3, 2)]


@pytest.mark.parametrize(
    "message",
    ["a\nin cell 9, line 1", "a\nin cell 2, line 99", "a\nin cell 2, line 0", "a\nin cell 2", "a\nline 2",
     STUB.format("a", "rows", 2), "a\nin cell 99999999999999999999, line 2"],
)  # fmt: skip
def test_what_is_not_there_or_not_written_yet_is_not_shown(message: str) -> None:
    assert excerpts(message) == []


def test_without_the_notebook_all_else_is_said() -> None:
    gone, there = told(MIXED, cells=()), told(MIXED)

    assert "cell 2, line 3" in in_markdown(gone)
    assert "return y[7]" not in in_markdown(gone)
    assert gone.next_points == there.next_points


# The page says what the summary says


def summary_in_words(of: Feedback) -> str:
    """The text of the Markdown, as it is read."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(in_markdown(of))
    parts = [part for token in parsed for part in ([token], token.children or [])]
    words = [inner.content for part in parts for inner in part if inner.type in ("text", "text_special")]
    code = [html.unescape(token.content) for token in parsed if token.type == "html_block"]
    return in_one_line(" ".join(words + code))


def in_one_line(words: str) -> str:
    return re.sub(r"\s+", "", words.replace("\u200b", ""))


def statements(of: Feedback) -> list[str]:
    """All that there is to say, but for points that stand in a table or beside a bar."""
    said = [
        of.title,
        of.homework,
        of.lateness,
        *of.notes,
        of.counts,
        of.next_points,
        of.a_day_later,
        of.everywhere,
    ]
    said += [of.reason, of.about_cells]
    for task in of.tasks:
        said += [task.title, task.mend_first, task.more]
        for found in task.findings:
            said += [found.what, found.worth]
            for reason in found.reasons:
                said += [reason.words, *(line for excerpt in reason.excerpts for _, line in excerpt.lines)]
    return [words for words in said if words]


NO_NOTEBOOK = "there is no small.ipynb and nothing that could be it"
CASES = {
    "passed": told(score(), earlier=[score(at=ON_TIME - timedelta(days=1), commit="d" * 40)]),
    "mixed": told(MIXED, earlier=[score(commit="e" * 40)]),
    "unconfined": told(score({"boss": [failed(WRONG), passed()]}, at=None, confined=False)),
    "error": told(score({"rows": [Outcome("test_z", "error", 1, "a fault in the hidden test")]}, reason="no room")),
    "empty": told(score({task.id: [failed(NO_NOTEBOOK), failed(NO_NOTEBOOK)] for task in HOMEWORK.tasks})),
    "starter": told(score({t.id: [failed(STUB.format("It is right.", t.id, 2)),
                                  failed(STUB.format("It is fast.", t.id, 2))] for t in HOMEWORK.tasks})),
}  # fmt: skip


ALIKE = ("unconfined", "starter", "empty")  # nothing in them is laid out otherwise


def words_of(page: Page) -> str:
    return in_one_line(page.title() + page.evaluate("() => document.body.textContent"))


@pytest.mark.parametrize("case", CASES)
def test_page_and_summary_say_the_same_and_both_all_there_is(case: str, look: Looker, tmp_path: Path) -> None:
    of = CASES[case]
    at = written(tmp_path / f"{case}.html", of)
    page = look.open(at) if case in ALIKE else look(at)

    shown = words_of(page)
    markdown = summary_in_words(of)

    for words in statements(of):
        assert in_one_line(words) in markdown, words
        assert in_one_line(words) in shown.replace("Notgraded", "notgraded"), words
    assert in_one_line(of.headline) in markdown
    assert in_one_line(of.headline) in shown
    points = [task.locator(".number").inner_text() for task in page.locator(".tasks > li").all()]
    table = [tuple(re.findall(r"[\d.]+|–", row.split("|")[-3] + row.split("|")[-2])) for row in rows(of)]
    assert [tuple(re.findall(r"[\d.]+|–", cell)) for cell in points] == table
    assert len(table) == 3


def rows(of: Feedback) -> list[str]:
    lines = in_markdown(of).splitlines()
    return lines[lines.index("| --- | ---: | ---: |") + 1 :][:3]


def written(path: Path, of: Feedback) -> Path:
    path.write_text(student_page(of), encoding="utf-8")
    return path


def test_a_reason_that_fails_everything_is_said_once(tmp_path: Path) -> None:
    page, markdown = student_page(CASES["empty"]), in_markdown(CASES["empty"])

    assert page.count(NO_NOTEBOOK) == 1
    assert markdown.count(NO_NOTEBOOK.replace("_", "&#95;")) == 1


# Whatever a student wrote is text


HOSTILE = (
    "</style></title><script>document.title = 'run'</script>",
    "<img src=http://localhost:9/x onerror=\"document.title='run'\">",
    "{{ 7 * 7 }} {% raise %} {# no #} ${7*7}",
    "\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link \x00 \x08 \u2028 \ud800",
    "\u202e\u2066 gnp.exe שלום עולם مرحبا بالعالم \u2069",
    "x" * 5_000,
    "Zalgo " + "a\u0301\u0327\u0332" * 300,
    "&lt;b&gt; &#60;i&#62; <!-- ]]> -->",
)


def hostile(words: str) -> Feedback:
    """The same submission whatever the words are; they stand in every place that a student can write to."""
    cells = (Cell(1, f"first\n{words}\nlast"),)
    tests = {
        "rows": [
            failed(f"{words}\nyour code raised {words} in cell 1, line 2: {words}"),
            failed(f"B\n{words}"),
        ]
    }
    return told(
        score(tests, student=words, repository=words).model_copy(update={"commit": words}),
        cells=cells,
        late=None,
    )


def test_hostile_words_are_shown_as_text_and_leave_the_layout_as_it_is(look: Looker, tmp_path: Path) -> None:
    plain = elements(look.open(written(tmp_path / "plain.html", hostile("plain"))))

    page = look.open(written(tmp_path / "hostile.html", hostile(" ".join(HOSTILE))))

    assert elements(page) == plain
    page.set_viewport_size({"width": 390, "height": 844})
    look.inspect(page, "hostile, phone")
    assert page.title() == "A small homework: 50 of 100 points, on time"
    shown = page.evaluate("() => document.body.textContent")
    for words in (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[7], "red", "שלום עולם"):
        assert shown.count(words) >= 4, words
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]", shown)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.html", "plain.html"]


@pytest.mark.parametrize("words", HOSTILE)
def test_in_the_summary_a_line_of_the_notebook_ends_nothing(words: str) -> None:
    for line in (words, f"</pre> {words}", f"# {words}", f"\t- {words}", f"a\r# {words}"):
        assert shape(hostile(line)) == shape(hostile("plain"))


def shape(of: Feedback) -> list[str]:
    """What the Markdown is made of, and the tags in it."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(in_markdown(of))
    return [part for token in parsed for part in (token.type, *re.findall("<[^>]*>", token.content))]


def elements(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        "() => [...document.querySelectorAll('*')].map(e => e.tagName + e.getAttributeNames().sort().join())"
    )
    return [element for element in found if not element.startswith("SCRIPT")]


# On paper


CLIPPED = """() => [...document.querySelectorAll('body *')].filter(element => {
    const box = element.getBoundingClientRect();
    const hides = getComputedStyle(element).overflowX !== 'visible' && element.textContent.trim();
    const clipped = hides && !element.matches('.unseen') && element.scrollWidth > element.clientWidth;
    return clipped || box.right > document.documentElement.clientWidth + 1;
}).map(element => element.outerHTML.slice(0, 200))"""


def test_it_prints_on_white_with_no_text_cut_off(look: Looker, tmp_path: Path) -> None:
    page = look.open(written(tmp_path / "print.html", hostile(HOSTILE[5])))
    page.set_viewport_size({"width": 680, "height": 960})  # A4 less its margins

    page.emulate_media(media="print", color_scheme="dark")

    assert page.evaluate(CLIPPED) == []
    colours = page.evaluate(
        "() => (({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
    )
    assert colours == ["rgb(28, 33, 40)", "rgb(255, 255, 255)"]
    assert not page.locator(".skip").is_visible()
    assert page.locator(".tasks").is_visible()


def test_without_a_mouse_a_task_leads_to_what_to_mend_of_it(look: Looker, tmp_path: Path) -> None:
    page = look.open(written(tmp_path / "keys.html", CASES["mixed"]))

    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.url.endswith("#task-rows")
    assert page.evaluate("() => document.querySelector(':target h3').textContent").startswith(
        "Rows of a table"
    )


# From the command line


def grading(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "grading.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


def toy(path: Path, *cells: str) -> Path:
    code = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": cell} for cell in cells]
    path.write_text(json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_a_page_a_student_is_written_while_a_class_is_graded(tmp_path: Path) -> None:
    (tmp_path / "bob.ipynb").write_text("no notebook")
    toy(
        tmp_path / "ada.ipynb",
        "def center(x):\n    mean = x.mean(0)\n    return x.no_such_method()  # <-- here",
    )

    ran = grading(
        "grade", tmp_path / "ada.ipynb", tmp_path / "bob.ipynb", "--homework", "toy", "--homeworks", HOMEWORKS,
        "--report", tmp_path / "pages", "--summary", tmp_path / "summary.md",
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert f"Each student's page is in {tmp_path / 'pages'}." in ran.stdout
    pages = {path.name: path.read_text() for path in (tmp_path / "pages").iterdir()}
    assert sorted(pages) == ["ada-toy.html", "bob-toy.html"]
    assert "return x.no_such_method()  # &lt;-- here" in pages["ada-toy.html"]
    assert "return x.no_such_method()  # <-- here" in html.unescape((tmp_path / "summary.md").read_text())
    assert pages["bob-toy.html"].count("bob.ipynb: not a notebook") == 1


def test_where_the_grader_fails_the_page_says_so(tmp_path: Path) -> None:
    notebook, empty = toy(tmp_path / "ada.ipynb", ""), tmp_path / "empty"
    empty.mkdir()

    ran = grading(
        "grade", notebook, "--homework", "toy", "--homeworks", HOMEWORKS, "--report", tmp_path / "page.html",
        PATH=str(empty),
    )  # fmt: skip

    assert ran.returncode == 3
    page = (tmp_path / "page.html").read_text()
    assert "Not graded, and not your fault" in page
    assert "no bwrap on PATH" in page


def test_one_page_for_two_notebooks_is_refused_before_grading(tmp_path: Path) -> None:
    notebooks = [toy(tmp_path / name, "") for name in ("ada.ipynb", "bob.ipynb")]

    ran = grading(
        "grade", *notebooks, "--homework", "toy", "--homeworks", HOMEWORKS, "--report", tmp_path / "one.html"
    )

    assert ran.returncode == 2
    assert "one.html: is one file for 2 pages; give a directory" in ran.stderr
    assert ran.stderr.count("\n") == 1
