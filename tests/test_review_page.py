"""The pages for going through a class: students' notebooks shown and harmless, and reviews that count as they say."""

from __future__ import annotations

import base64
import json
import random
import re
import shutil
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import typer
from typer.testing import CliRunner

from grading.gradebook.attempts import Attempt
from grading.gradebook.terms import read_terms
from grading.late import PerDay
from grading.notebook import parse_notebook
from grading.report.handed_in import handed_in
from grading.report.notebook_page import lay_out
from grading.report.review import Review
from grading.report.review_commands import add_commands
from grading.report.standing import Mark
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score
from grading.score_file import load_score, write_score

if TYPE_CHECKING:
    from browser import Looker
    from playwright.sync_api import Page

TOY = Path(__file__).parent / "homeworks/toy"
DUE = datetime(2026, 10, 4, 21, 59, tzinfo=UTC)
COURSE = """\
name: A course of "one" homework </script>
timezone: Europe/Berlin
salt: nobody-guesses-this
homeworks: [{name: toy, weight: 1, deadline: 2026-10-04T23:59:00+02:00}]
"""
LONG = "W" * 300
ROSTER = f"""\
username,first_name,last_name
ada,Ada,Ärmel
bob,Bob,"<b onclick=alert(1)>Bold</b>"
cem,Cem,\u202eCezik {LONG}
dora,,
emil,,
fay,فاطمة,الزهراء
gus,Gus,Gone
"""

# Notebooks


def notebook(*cells: Mapping[str, Any]) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def text(source: str, **keys: Any) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source, **keys}


def code(source: str, *outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": outputs}


def printed(words: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": words}


def displayed(**forms: Any) -> dict[str, Any]:
    return {
        "output_type": "display_data",
        "data": {form.replace("_", "/"): what for form, what in forms.items()},
    }


def png(width: int, height: int, noise: int = 0) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x1f\x77\xb4" * width) * min(height, 50))
    extra = chunk(b"teXt", random.Random(noise).randbytes(noise)) if noise else b""
    whole = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return base64.b64encode(whole).decode()


RIGHT = "def center(x):\n    return x - x.mean(dim=-1, keepdim=True)"
SCRIPT = "<script>window.owned = true</script>"
TURNING = "y = 'א' + 1 - 'ב'"  # letters from right to left turn what stands between them
HOSTILE_HTML = f"""\
{SCRIPT}<img src=x onerror="window.owned = true"><img src="http://127.0.0.1:9/spy.png"><svg onload="owned = true">
<script>owned = true</script></svg><iframe src="javascript:parent.owned = true"></iframe><iframe srcdoc="{SCRIPT}">
</iframe><object data="http://127.0.0.1:9/"></object><embed src="http://127.0.0.1:9/"><base href="http://127.0.0.1:9/">
<meta http-equiv="refresh" content="0; url=http://127.0.0.1:9/"><link rel="stylesheet" href="http://127.0.0.1:9/a.css">
<style>* {{ display: none !important }}</style><form action="http://127.0.0.1:9/"><input autofocus
onfocus="owned = true"><button>Sign in</button></form><video src="http://127.0.0.1:9/" autoplay></video>
<div id="main" class="skip" style="position: fixed; inset: 0; z-index: 99; background: red">Cover</div>
<a href="javascript:owned = true">run</a> <a href="data:text/html,{SCRIPT}">data</a> <a href="vbscript:x">vb</a>
<a href="JaVa&#x09;script:owned = true">tab</a> <a href="https://example.org/" onclick="owned = true">out</a>
<p style="font-size: 900px; margin-left: -5000px">{LONG}</p><table><tr><td colspan="9999">{LONG}</td></tr></table>
<noscript><p title="</noscript><img src=x onerror=owned=true>"></noscript><template>{SCRIPT}</template>
<div hidden contenteditable tabindex="1" role="alert" aria-hidden="true" data-x="1">plain</div><h1>Heading</h1>
<math><mtext><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=owned=true&gt;"></math>
"""
HOSTILE = notebook(
    text(f"# Hostile {SCRIPT} $x < {SCRIPT}$\n\n![spy](http://127.0.0.1:9/md.png) [run](javascript:owned=true)\n\n"
         f"[ref]: javascript:owned=true\n\n[ref] <javascript:owned=true> `{SCRIPT}`\n\n```mermaid\n{SCRIPT}\n```\n"),
    text(HOSTILE_HTML),
    text("![dot](attachment:dot.png)", attachments={"dot.png": {"image/png": png(40, 20)}}),
    code(f"{RIGHT}  # {SCRIPT} \u202e backwards \x1b[31m\n{'x = 1  # ' + LONG}\n{TURNING}",
         printed(f"\x1b[31;1mred\x1b[0m {SCRIPT} \x07\u202e{LONG}\n10%\r50%\r100%\nשלום עולם\n"),
         displayed(text_html=HOSTILE_HTML, text_plain="<plain>"),
         displayed(text_html=SCRIPT, application_javascript="owned = true", text_plain="only a script"),
         displayed(**{"image/svg+xml": f"<svg>{SCRIPT}</svg>"}),
         displayed(image_png=png(60, 30)), displayed(image_png=png(60_000, 60_000)), displayed(image_png="no base64!"),
         displayed(image_jpeg=base64.b64encode(b"<svg onload=owned=true>").decode()),
         displayed(**{"application/vnd.jupyter.widget-view+json": {"model_id": SCRIPT}}),
         {"output_type": "error", "ename": SCRIPT, "traceback": [f"\x1b[0;31mValueError\x1b[0m: {SCRIPT}"]},
         {"output_type": SCRIPT}, 7, {"output_type": "stream", "text": {"a": 1}}),
    {"cell_type": "raw", "source": HOSTILE_HTML},
    {"cell_type": SCRIPT, "source": [1, None]}, 7,
    code("def length(x):\n    raise ValueError(x)"),
)  # fmt: skip


class Reader(HTMLParser):
    """Looks at HTML with another parser than the one that made it harmless."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


# A class


@dataclass(frozen=True)
class Class:
    homeworks: Path
    scores: Path
    store: Path
    out: Path

    def review(
        self, out: Path | None = None, *options: str, submissions: Path | None = None
    ) -> dict[str, Any]:
        app = typer.Typer()
        add_commands(app)
        arguments = ["toy", self.scores, "--submissions", submissions or self.store, "--out", out or self.out]
        ran = CliRunner().invoke(
            app, [*map(str, arguments), "--homeworks", str(self.homeworks), "--json", *options]
        )
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return dict(json.loads(ran.stdout))

    def page(self, who: str) -> Path:
        (found,) = self.out.glob(f"{who}-*.html")
        return found

    def points(self, who: str) -> float | None:
        """What the grade is now, by the rules as they stand in the files."""
        terms = read_terms(self.homeworks)
        scores = [load_score(path) for path in self.scores.glob("*.json")]
        table = terms.grades([Attempt(score, verified=True, path="") for score in scores])
        (grade,) = [row.homeworks[0] for row in table.students if row.person.username == who]
        return None if grade.points is None else float(grade.points)


def score(
    student: str, at: datetime, failed: Mapping[str, str], *, commit: str, digest: str | None = None
) -> Score:
    """Tasks that are not named in `failed` are right."""
    tasks = [
        TaskOutcome(
            name,
            points,
            [
                Outcome("test_a", "passed"),
                Outcome("test_b", verdict_of(name, failed), 1, failed.get(name, "")),
            ],
        )
        for name, points in (("center", 40), ("length", 30), ("twice", 30))
    ]
    return build_score(
        homework="toy", tasks=tasks, policy=PerDay(), timezone=UTC, submitted_at=at, deadline=DUE, student=student,
        commit=commit, confined=True, digests=Digests(submission=digest),
    )  # fmt: skip


def verdict_of(task: str, failed: Mapping[str, str]) -> Any:
    return "passed" if task not in failed else "error" if failed[task] == "our fault" else "failed"


def a_class(place: Path) -> Class:
    homeworks = shutil.copytree(
        TOY, place / "homeworks/toy", ignore=shutil.ignore_patterns("__pycache__")
    ).parent
    (homeworks / "course.yml").write_text(COURSE)
    (homeworks / "roster.csv").write_text(ROSTER)
    (homeworks / "teams.yml").write_text("teams: [{name: owls, members: [dora, emil], homeworks: [toy]}]\n")
    made = Class(homeworks, place / "scores", place / "store", place / "out")
    made.scores.mkdir()
    starter = (TOY / "toy.ipynb").read_bytes()
    raised = f"It works.\nlength: your code raised ValueError in cell 2, line 2: {SCRIPT} {LONG}"
    handed_in = [
        ("ada", DUE - timedelta(days=2), {"twice": "f is used twice."}, starter),
        ("bob", DUE - timedelta(days=1), {"center": "no", "length": "no", "twice": "no"}, HOSTILE),
        (
            "bob",
            DUE + timedelta(hours=5),
            {"length": raised, "twice": f"{SCRIPT} in cell 99, line 1\n{LONG}"},
            HOSTILE,
        ),
        ("cem", DUE, {"center": "no", "length": "no", "twice": "no"}, b'{"cells": '),
        ("owls", DUE, {}, notebook(code(RIGHT))),
        ("fay", DUE, {"center": "our fault"}, notebook()),
        ("zoe", DUE, {}, starter),  # on no roster
    ]
    for number, (student, at, failed, content) in enumerate(handed_in):
        commit = f"{number:040x}"
        write_score(made.scores / f"{number}.json", score(student, at, failed, commit=commit))
        directory = made.store / "submissions/toy" / student / commit
        directory.mkdir(parents=True)
        (directory / "toy.ipynb").write_bytes(content)
    return made


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Class:
    made = a_class(tmp_path_factory.mktemp("class"))
    made.review()
    return made


# In a browser


def test_a_hostile_notebook_does_nothing_and_covers_nothing(group: Class, look: Looker) -> None:
    page = look(group.page("bob"))

    assert page.evaluate("() => window.owned") is None
    assert not page.query_selector_all(
        ":is(.notebook, .side ul) :is(script, style, svg, iframe, form, input, object)"
    )
    for button in ("Review", "Keys"):
        page.get_by_text(button, exact=True).first.click(trial=True)  # nothing lies above it
    own = page.locator("#notebook").bounding_box()["x"]
    theirs = [one.bounding_box()["x"] for one in page.locator(".cell h3").all()]
    assert theirs
    assert min(theirs) > own  # a heading that says what one of ours could say is set off
    (turning,) = page.locator(".line").filter(has_text=TURNING).all()
    lefts = turning.evaluate("line => [...line.children].map(one => one.getBoundingClientRect().left)")
    assert lefts == sorted(lefts)
    shown = page.inner_text("main")
    assert f"ValueError: {SCRIPT}" in shown
    assert f"red {SCRIPT} \ufffd\ufffd{LONG}\n100%\n" in shown
    assert "<b onclick=alert(1)>Bold</b>" in page.inner_text("h1")
    links = page.eval_on_selector_all(".notebook a[href]", "all => all.map(one => [one.href, one.rel])")
    assert {urlsplit(url).scheme for url, _ in links} <= {"https", "http", "mailto", "file"}
    assert ["https://example.org/", "noopener noreferrer"] in links
    pictures = page.eval_on_selector_all(".notebook img[src]", "all => all.map(one => one.naturalWidth)")
    assert pictures == [40, 60]


def test_the_list_and_a_page_can_be_read_without_scripts(group: Class, look: Looker) -> None:
    page = look(group.out / "index.html", scripts=False)
    page.emulate_media(forced_colors="active")
    strips = [page.locator(f"tr:has-text('{who}') .strip").screenshot() for who in ("owls", "ada", "bob")]
    assert len(set(strips)) == 3

    with page.expect_navigation():
        page.click("text=Ärmel")

    assert "f is used twice." in page.inner_text("main")
    with page.expect_navigation():
        page.click("nav >> text=Next")
    assert "فاطمة" in page.inner_text("h1")
    assert not page.query_selector("#form").is_visible()


def test_a_class_is_gone_through_by_keys_and_a_review_changes_the_grade_as_it_says(
    tmp_path: Path, look: Looker
) -> None:
    made = a_class(tmp_path)
    made.review()
    page = look(made.out / "index.html")

    page.keyboard.press("/")
    page.keyboard.type("b")
    assert rows(page) == ["bob"]
    page.keyboard.press("Backspace")
    page.select_option("[name=sort]", "points")
    page.select_option("[name=task]", "center")
    assert rows(page) == ["fay", "cem"]
    page.fill("[name=min]", "0")
    assert rows(page) == ["cem"]
    page.select_option("[name=task]", "twice")
    assert rows(page) == ["cem", "bob", "ada"]
    page.select_option("[name=show]", "late")
    assert rows(page) == ["bob"]
    page.select_option("[name=show]", "")
    page.press("[name=show]", "Escape")
    for key in ("j", "j", "k", "j"):
        page.keyboard.press(key)
    to_another_page(page, "Enter")
    assert "2 of 3 filtered" in page.inner_text("header")
    to_another_page(page, "j")
    assert "Ada" in page.inner_text("h1")
    assert page.get_attribute("a.next", "href") is None  # the last of them
    to_another_page(page, "ArrowLeft")
    page.click("text=cell 2, line 2")
    assert page.inner_text(".line.here").rstrip() == "    raise ValueError(x)"
    page.keyboard.press("?")
    look.inspect(page, "bob, with the keys")
    page.keyboard.press("Escape")

    page.keyboard.press("r")
    page.keyboard.type("-2,5")
    for words in ("The length", None, 'the "hint": #1 was ignored', "two\nlines: 'both' \\ kept", "prof"):
        page.keyboard.press("Tab")
        if words:
            page.keyboard.type(words)
    page.keyboard.press("Escape")
    before = page.inner_text("#yaml")
    page.reload()
    assert page.inner_text("#yaml") == before
    assert page.inner_text("#preview") == "63 → 60.5"
    look.inspect(page, "bob, reviewed")
    page.click("text=Another review")
    page.fill("[name=value]", "+1")
    page.fill("[name=reason]", "still good")
    assert page.inner_text("#preview") == "60.5 → 61.5"
    page.click("text=Copy")
    page.wait_for_selector("text=Copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == page.inner_text("#yaml")
    page.keyboard.press("Escape")
    to_another_page(page, "i")
    assert rows(page) == ["cem", "bob", "ada"]
    assert "2 reviews" in page.inner_text("tr:has-text('bob')")

    assert made.points("bob") == 63
    (made.homeworks / "reviews.yml").write_text(page.inner_text("#yaml"))
    assert made.points("bob") == 61.5
    first, second = read_terms(made.homeworks).rules.reviews["bob", "toy"]
    assert (first.task, first.reason, first.by) == ("length", 'the "hint": #1 was ignored', "prof")
    assert (first.feedback, second.by) == ("two\nlines: 'both' \\ kept", "prof")
    made.review()
    page.reload()
    assert "2 of those written here stand in it already" in page.inner_text("#about")
    look.inspect(page, "index, reviewed")


def to_another_page(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def rows(page: Page) -> list[str]:
    """Whose lines the list shows, in order."""
    names = page.eval_on_selector_all(
        "tr[data-place]:not([hidden]) a", "all => all.map(one => one.getAttribute('href').split('-')[0])"
    )
    return [str(name) for name in names]


def test_whatever_is_typed_the_yaml_says_it(group: Class, look: Looker, tmp_path: Path) -> None:
    homeworks = shutil.copytree(group.homeworks, tmp_path / "homeworks")
    odd = [
        "a: b # c", "- x", "'", '"', "\\", "\\n", "{a: 1}", "[*", "&a !b %c @d `e", "yes", "null", "1e3", "|", ">", "?",
        "\t tab", "two\nlines\r\n\nmore", "nel\x85sep\u2028par\u2029", "\x00\x01\x7f\x9f", "\u202eright\u200f",
        "\ufeffbom", "\ufffe\uffff", "\N{FACE WITH TEARS OF JOY}\U0010ffff", "</script><!--", "${x} %s {{ y }}",
        "ß" * 3000, "---", "...",
    ]  # fmt: skip
    page = look.open(group.page("owls"))

    written = page.evaluate(
        """all => yaml(all.map((words, i) => ({
            for: "team owls", kind: "points", value: `${i + 1}`, task: "", bonus: false, reason: `${words}.`,
            feedback: `.${words}.`, by: "ta", at: now(),
        })))""",
        odd,
    )

    (homeworks / "reviews.yml").write_text(written, encoding="utf-8")
    read = read_terms(homeworks).rules.reviews["emil", "toy"]
    assert [one.feedback for one in read] == [f".{words}." for words in odd]
    assert [one.reason for one in read] == [f"{words}.".strip() for words in odd]
    assert page.evaluate("() => quoted('lone \\ud800 and \\udfff')") == '"lone \\ufffd and \\ufffd"'
    amounts = {
        "5": "5", "+5": "5", "-2,5": "-2.5", " \u22123.25 ": "-3.25", ".5": "0.5", "-0": "0", "007": "7",
        "4000": "4000", "": None, "x": None, "1e3": None, "5.001": None, "4001": None, "--5": None, "0x10": None,
        "Infinity": None, "٣": None,
    }  # fmt: skip
    assert page.evaluate("all => all.map(amount)", list(amounts)) == list(amounts.values())


def test_a_team_is_reviewed_as_one_and_a_homework_in_error_can_be_set(group: Class, look: Looker) -> None:
    page = look.open(group.page("owls"))

    page.select_option("#for", label="emil")
    page.check("text=exactly")
    page.fill("[name=value]", "101")
    page.fill("[name=reason]", "found later")
    page.fill("[name=by]", "prof")

    assert page.inner_text("#status") == "Still missing: at most 100 points, or a bonus."
    page.check("text=a bonus")
    assert 'student: "emil"' in page.inner_text("#yaml")
    assert page.inner_text("#preview") == "100 → 101"
    page.reload()
    assert 'student: "emil"' in page.inner_text("#yaml")
    look.inspect(page, "owls, reviewed")
    page = look.open(group.page("fay"))
    page.fill("[name=value]", "5")
    assert page.inner_text("#preview") == "added once it is judged"


# What stands on the pages


def test_of_each_student_what_counts_the_latest_or_everything(group: Class, tmp_path: Path) -> None:
    counting = group.review(tmp_path / "counting")
    everything = group.review(tmp_path / "all", "--only", "all")
    latest = group.review(tmp_path / "latest", "--only", "latest")

    assert [page["who"] for page in counting["pages"]] == ["bob", "owls", "zoe", "ada", "fay", "cem"]
    assert counting["nothing"] == ["gus"]
    assert len(everything["pages"]) == 7
    assert latest["pages"] == counting["pages"]
    names = {page["file"] for page in everything["pages"]}
    assert {path.name for path in (tmp_path / "all").iterdir()} == names | {"index.html"}


def test_a_page_says_what_was_handed_in_and_what_became_of_it(group: Class) -> None:
    words = Reader(group.page("bob").read_text()).words

    for part in ("1 day late", "attempt 2 of 2 counts", "points lost (10.00 %)", "SCRIPT in cell 99"):
        assert part.replace("SCRIPT", SCRIPT) in words
    unreadable = Reader(group.page("cem").read_text()).words
    assert "cannot be read as a notebook: not a notebook: it is not valid JSON" in unreadable
    assert "on the roster" not in words
    assert "Nobody of this name is on the roster" in Reader(group.page("zoe").read_text()).words
    assert "could not be judged" in Reader(group.page("fay").read_text()).words


def test_what_the_gradebook_doubts_is_said(group: Class) -> None:
    terms = read_terms(group.homeworks)
    homework = terms.course.load_homework("toy")
    attempts = [
        Attempt(score("ada", DUE, {}, commit="a" * 40), verified=False, path="one"),
        Attempt(score("bob", DUE, {}, commit="b" * 40), verified=True, path="two"),
    ]
    marks = {"one": Mark(f"its workflow {SCRIPT} is not ours", ("pushed by another",))}
    table = terms.grades(attempts)

    found = handed_in(
        homework, terms.course, terms.roster, terms.teams, table, attempts, [], "counting", marks
    )
    review = Review(terms.course, homework, terms.rules, found, (), "counting")

    bob, ada = (Reader(review.page(place)).words for place in (0, 1))
    assert f"Not verified, so it does not count: its workflow {SCRIPT} is not ours." in ada
    assert "To look at: pushed by another." in ada
    assert "The notebook is not among the submissions that were given." in bob
    assert "ot verified" not in bob
    listed = Reader(review.index()).words
    assert ("unverified" in listed, "flagged" in listed) == (True, True)


def test_again_gives_the_same_bytes(group: Class, tmp_path: Path) -> None:
    group.review(tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in group.out.iterdir()
    }


def test_names_of_files_are_safe_for_any_name_of_a_student(group: Class, tmp_path: Path) -> None:
    names = ["..", "CON", "a b<c>", "ADA", "é" * 100, "-rf", "\udcff", "x.html?#", "semi;colon"]
    for number, name in enumerate(names):
        (tmp_path / "plain" / (name if name != ".." else "dots")).mkdir(parents=True)
        path = tmp_path / "plain" / (name if name != ".." else "dots") / "toy.ipynb"
        path.write_bytes(notebook(code(f"x = {number}")))

    made = group.review(tmp_path / "out", "--only", "all", submissions=tmp_path / "plain")

    files = [page["file"] for page in made["pages"]]
    assert (
        len(set(files)) == len(files) == 7 + len(names) - 1
    )  # ada is ADA, whose score has no other notebook
    assert all(re.fullmatch(r"[a-z0-9-]{1,70}\.html", name) for name in files)


def test_nothing_handed_in_by_anybody(group: Class, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    nobody = Class(group.homeworks, tmp_path / "none", tmp_path / "none", tmp_path / "out")

    made = nobody.review()

    assert made["pages"] == []
    assert len(made["nothing"]) == 7
    assert "nobody has handed in" in (tmp_path / "out/index.html").read_text()


def test_a_notebook_without_a_commit_is_known_by_its_digest(group: Class, tmp_path: Path) -> None:
    scores, plain = tmp_path / "scores", tmp_path / "plain"
    content = notebook(code("x = 1"))
    for name in (scores, plain):
        name.mkdir()
    for student, digest in (("ada", parse_notebook(content).digest), ("bob", "0" * 64)):
        kept = score(student, DUE, {}, commit="c" * 40, digest=digest).model_copy(update={"commit": None})
        write_score(scores / f"{student}.json", kept)
        (plain / f"{student}.ipynb").write_bytes(content)
    made = Class(group.homeworks, scores, plain, tmp_path / "out")

    made.review()

    assert "not the one that has this score" not in made.page("ada").read_text()
    assert "not the one that has this score" in made.page("bob").read_text()


def test_of_several_notebooks_in_a_commit_the_one_that_was_graded_is_shown(
    group: Class, tmp_path: Path
) -> None:
    scores, commit = tmp_path / "scores", "c" * 40
    directory = tmp_path / "submissions/toy/ada" / commit
    for name in (scores, directory):
        name.mkdir(parents=True)
    for name, content in (("first", "x = 1"), ("graded", "x = 'this one'"), ("other", "x = 3")):
        (directory / f"{name}.ipynb").write_bytes(notebook(code(content)))
    digest = parse_notebook((directory / "graded.ipynb").read_bytes()).digest
    write_score(scores / "ada.json", score("ada", DUE, {}, commit=commit, digest=digest))
    made = Class(group.homeworks, scores, tmp_path, tmp_path / "out")

    made.review()

    assert "this one" in made.page("ada").read_text()


# A notebook laid out


def test_only_what_is_known_to_do_nothing_comes_through() -> None:
    view = lay_out(HOSTILE)

    tags = [tag for cell in view.cells for html in (cell.source, *cell.outputs) for tag in Reader(html).tags]
    attributes = {(tag, name) for tag, found in tags for name in found}
    assert {tag for tag, _ in tags} <= {
        "a", "br", "code", "div", "h3", "img", "p", "pre", "span", "table", "tbody", "td", "tr"
    }  # fmt: skip
    assert attributes <= {
        ("a", "href"), ("a", "rel"), ("a", "title"), ("code", "class"), ("div", "aria-label"),
        ("div", "class"), ("div", "role"), ("div", "tabindex"), ("h3", "class"), ("img", "alt"), ("img", "class"),
        ("img", "loading"), ("img", "src"), ("pre", "class"), ("pre", "dir"), ("span", "class"), ("span", "id"),
        ("td", "colspan"),
    }  # fmt: skip
    urls = {found[name] for _, found in tags for name in ("href", "src") if name in found}
    assert all(str(url).startswith(("https://example.org/", "data:image/png;base64,")) for url in urls)
    assert ("td", {}) in tags  # a cell over 9999 columns


def test_cells_have_the_numbers_that_scores_speak_of_and_the_last_definition_is_the_one() -> None:
    view = lay_out(
        notebook(
            code("def f(): pass"), text("words"), code(""), {"cell_type": "raw"}, code("f = 2\nclass G: ...")
        ),
        names=["f", "G", "gone"],
    )

    assert [(cell.kind, cell.number, cell.defines) for cell in view.cells] == [
        ("code", 1, ()), ("markdown", None, ()), ("code", 2, ()), ("raw", None, ()), ("code", 3, ("f", "G")),
    ]  # fmt: skip


def test_a_huge_notebook_is_cut_and_says_what_is_left_out() -> None:
    picture = displayed(image_png=png(50, 50, noise=700_000))
    data = notebook(
        code("print('x' * 10**7)", printed("begin " + "x" * 48_000_000 + " end")),
        code("many", *[displayed(text_plain=f"value {i}") for i in range(1_000)]),
        code("pictures", *[picture] * 9, displayed(image_png=png(10, 10, noise=2_000_000))),
        code("long = 1\n" * 20_000),
        text("word <b>bold</b> " * 20_000),
        *[code("y = 'é'\n" * 1_000) for _ in range(60)],
        code("last = 1"),
    )

    view = lay_out(data)

    html = [str(html) for cell in view.cells for html in (cell.source, *cell.outputs)]
    assert sum(len(one.encode()) for one in html) <= 4_000_000
    begin, many, shown, long, *_ = view.cells
    assert re.search(r"begin xxx.* characters are left out .*xxx end", begin.outputs[0], re.DOTALL)
    assert many.left_out == ("970 more outputs",)
    assert 2 <= len(shown.outputs) < 9
    assert any("a picture of 2,000 kB" in words for words in shown.left_out)
    assert "the last 120,000 characters of the cell" in long.left_out
    assert view.cells_left_out > 0


def test_a_cell_has_only_so_much_of_what_is_dear() -> None:
    attached = {"a": {"image/png": png(50, 50, noise=9_000)}}
    wide = "<table>" + ("<tr>" + "<td colspan=99 rowspan=99>x" * 40) * 80  # a browser would take minutes
    data = notebook(
        text("![](attachment:a)" * 1_000, attachments=attached),
        code("odd", displayed(text_html=wide), *[{"output_type": f"kind {i}"} for i in range(20)]),
        *[text("")] * 50_000,
    )

    view = lay_out(data)

    many, odd, *empty = view.cells
    assert many.source.count("data:image/png") == 50
    assert many.left_out == ("a picture beyond the first 50 (950 times)",)
    spans = [
        int(found[name] or 0) for _, found in Reader(odd.outputs[0]).tags for name in found if "span" in name
    ]
    assert 900 < sum(spans) <= 1_000
    assert odd.left_out[-2:] == ("an output of the type kind 4", "15 more things")
    assert 10_000 < len(empty) < 50_000
    assert view.cells_left_out == 50_000 - len(empty)


def test_html_that_takes_long_is_shown_no_more_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grading.report.notebook_page.MOST_SECONDS", 0.02)
    slow = [
        displayed(text_html=f"<i>{i}</i>" + "<ul><li>" * 3_000, text_plain=f"plain {i}") for i in range(9)
    ]

    (cell,) = lay_out(notebook(code("x", *slow))).cells

    assert "plain 8" in cell.outputs[-1]
    assert "<ul>" not in cell.outputs[-1]


@pytest.mark.parametrize(
    "source",
    [
        "\\[" * 9_000,
        "\\begin{a}" * 2_000,
        "<div>" * 4_000,
        "<p>" + "".join(f"<b a={i}>" for i in range(1_000)) + "<p>x" * 2_000,
    ],
)
def test_a_text_made_to_be_slow_is_still_shown(source: str) -> None:
    (cell,) = lay_out(notebook(text(source), code("x"), *[])).cells[:1]

    assert 0 < len(cell.source) < 1_000_000


def test_what_is_as_in_the_starter_is_folded_unless_it_should_have_been_written(group: Class) -> None:
    page = group.page("ada").read_text()

    folded = re.findall(r'<details class="starter">(.*?)</details>', page, re.DOTALL)

    assert "3 cells as in the starter" in folded[0]
    assert "Center: each row minus its mean" in folded[0]
    assert "def center" not in "".join(folded)
    assert "def center" in Reader(page).words
