"""The dashboard as an instructor opens it: what stands on its pages, how they look, and what a later run replaces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from browser import Looker
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Page
from plotly.graph_objects import Figure
from typer.testing import CliRunner

from grading.cli import app
from grading.errors import UsageError
from grading.github.store import Record
from grading.gradebook.ingest import ingest
from grading.late import PerDay
from grading.report import figures
from grading.report.site import OURS, Titles, percent, student_page, write_site
from grading.report.site_commands import read_standing, titles_of
from grading.report.standing import (
    Bar,
    Standing,
    Work,
    points_in_bins,
    shares_in_bins,
    spread,
)
from grading.score import Digests, Outcome, Score, TaskOutcome, build_score

DUE = datetime(2020, 10, 5, tzinfo=UTC)
COURSE = """\
name: Deep Learning
timezone: Europe/Berlin
grade:
  components: [{name: homework, weight: 0.5}, {name: exam, weight: 0.5, max: 10}]
  scale: [{grade: A, at_least: 8}, {grade: B, at_least: 4}, {grade: F, at_least: 0}]
homeworks:
  - {name: cnn, weight: 6, deadline: 2020-10-05T00:00:00Z}
  - {name: nlp, weight: 4, deadline: 2020-10-19T00:00:00Z}
  - {name: rnn, weight: 1, deadline: 2999-01-01T00:00:00Z}
"""
HOMEWORK = """\
title: "{title}"
tasks:
  - {{id: conv, title: "A <convolution>", points: 60, names: [conv]}}
  - {{id: pool, title: "Pooling", points: 40, names: [pool]}}
"""
MARKUP = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
RIGHT_TO_LEFT = "\u202eעברית"
ROSTER = f"""\
username,first_name,last_name,email,section
Ada,Zoë,Lovelace,ada@example.org,A
grace,Grace,Hopper,,B
barbara,Barbara,Liskov,,B
con,{MARKUP},{RIGHT_TO_LEFT},,"<b>A</b>"
alan,Alan,{"Turing" * 40},,A
edsger,Edsger,Dijkstra,,A
"""
RULES = {
    "teams.yml": "teams:\n  - {name: owls, members: [grace, barbara], homeworks: [nlp]}\n",
    "manual.yml": "manual:\n  - component: exam\n    grades: [{student: ada, points: 8, feedback: Clear.}]\n",
    "reviews.yml": (
        "reviews:\n  - {student: grace, homework: cnn, points: -5, reason: copied <b>loop</b>,"
        " feedback: See <i>cell</i> 3., by: prof, at: 2020-11-01T12:00:00Z}\n"
    ),
}
TITLES = {"cnn": "Images <i>", "nlp": "Words", "rnn": "Time"}


def score(homework: str, student: str, points: int, hours: float, **changes: Any) -> Score:
    """0, 40, 70 or 100 points, so many hours after the deadline of the first homework."""
    wrong = f"it shifts with its input\n{MARKUP} {'x' * 400}"
    conv = [
        Outcome("test_shift", "passed" if points > 40 else "failed", message="" if points > 40 else wrong),
        Outcome(
            "test_edges", "passed" if points > 70 else "failed", message="" if points > 70 else "edges stay"
        ),
    ]
    pool = [
        Outcome("test_pool", "passed" if points else "failed", message="" if points else "the largest stays")
    ]
    fields: dict[str, Any] = {
        "homework": homework,
        "tasks": [TaskOutcome("conv", 60, conv), TaskOutcome("pool", 40, pool)],
        "policy": PerDay(),
        "timezone": UTC,
        "submitted_at": DUE + timedelta(hours=hours),
        "time_source": "push",
        "deadline": DUE,
        "student": student,
        "commit": f"{student}-{homework}-{hours}".encode().hex().ljust(40, "0")[:40],
        "confined": True,
        "digests": Digests(),
    }
    return build_score(**fields | changes)


ERROR = {"reason": "no sandbox on this machine"}
HANDED_IN = [
    (score("cnn", "ada", 40, -30), {"flags": ("re-run 3 times",)}),
    (score("cnn", "ada", 70, -20), {}),
    (score("cnn", "ada", 100, -10), {}),
    (score("cnn", "grace", 70, -3), {}),
    (score("cnn", "barbara", 100, 25), {}),
    (score("cnn", "con", 100, -1), {"status": "unverified", "reasons": (f"another workflow {MARKUP}",)}),
    (score("cnn", "edsger", 0, -1, **ERROR), {}),
    (score("nlp", "ada", 0, 200), {}),
    (score("nlp", "owls", 0, 210), {"members": ("grace", "barbara")}),
]


def record(score: Score, evidence: Mapping[str, Any]) -> Record:
    fields: dict[str, Any] = {
        "homework": score.homework,
        "student": score.student,
        "members": (score.student,),
        "repository": f"dl/{score.homework}-{score.student}",
        "repository_id": 7,
        "commit": score.commit,
        "status": "verified",
        "pushed_at": score.submitted_at,
        "submitted_at": score.submitted_at,
        "time_source": "push",
        "origin": "reported",
        "reported_points": score.points,
        "central_points": None,
        "score": score,
    }
    return Record.model_validate(fields | dict(evidence))


def write_course(place: Path) -> Path:
    homeworks = place / "homeworks"
    for name, title in TITLES.items():
        (homeworks / name / "tests").mkdir(parents=True)
        (homeworks / name / "homework.yml").write_text(HOMEWORK.format(title=title))
        for task in ("conv", "pool"):
            (homeworks / name / "tests" / f"test_{task}.py").touch()
    (homeworks / "course.yml").write_text(COURSE)
    (homeworks / "roster.csv").write_text(ROSTER)
    for name, content in RULES.items():
        (homeworks / name).write_text(content)
    return homeworks


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `homeworks` and `gradebook.db`."""
    place = tmp_path_factory.mktemp("course")
    write_course(place)
    for number, (one, evidence) in enumerate(HANDED_IN):
        file = place / "scores" / f"{number}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(record(one, evidence).model_dump_json())
    ingest(place / "gradebook.db", [place / "scores"])
    return place


@pytest.fixture(scope="module")
def standing(course: Path) -> Standing:
    now = DUE + timedelta(days=60)
    return read_standing(course / "gradebook.db", course / "homeworks", None, now=now)


@pytest.fixture(scope="module")
def site(course: Path) -> Path:
    out = course / "site"
    done = report(course / "gradebook.db", out, course / "homeworks")
    assert json.loads(done) == {
        "index": str(out / "index.html"),
        "students": 6,
        "homeworks": 3,
        "files": 1 + 1 + 3 + 6 + 2,
        "removed": [],
    }
    return out


def report(scores: Path, out: Path, homeworks: Path) -> str:
    command = ["report", str(scores), "--out", str(out), "--homeworks", str(homeworks), "--json"]
    ran = CliRunner().invoke(app, command, catch_exceptions=False)
    assert ran.exit_code == 0
    return ran.stdout


def drawn(page: Page) -> Page:
    page.wait_for_selector("html[data-drawn]", state="attached")
    return page


# How it looks


@pytest.mark.parametrize("name", ["index.html", "homework-cnn.html", "students/student-con.html"])
def test_a_page_is_fit_to_look_at(look: Looker, site: Path, name: str) -> None:
    if name == "homework-cnn.html":  # what the others have, it has too
        page = drawn(look(site / name, root=site))
    else:
        page = drawn(look.open(site / name, root=site))
        page.set_viewport_size({"width": 390, "height": 844})
        look.inspect(page, f"{name}, phone")

    figures = page.locator("figure")
    assert figures.count() > 0
    for figure in figures.all():
        assert figure.locator("svg.main-svg").count() > 0
        assert figure.locator(".plot").get_attribute("aria-label")
        assert figure.locator("table tbody tr").count() > 0
    colour = "() => getComputedStyle(document.querySelector('.xtick text')).fill"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"before => ({colour})() !== before", arg=light)


def test_without_scripts_the_numbers_are_there_to_read(look: Looker, site: Path) -> None:
    index = look.open(site / "index.html", scripts=False, root=site)
    students = look.open(site / "students.html", scripts=False, root=site)

    assert not index.locator(".plot").first.is_visible()
    table = index.get_by_role("region", name="Submissions over time").get_by_role("table")
    assert table.get_by_role("row", name="2020-10-04").inner_text().split("\t") == [
        "2020-10-04",
        "3",
        "0",
        "2",
    ]
    assert not students.locator("form").is_visible()
    assert students.get_by_role("link", name="Grace Hopper").is_visible()


def test_a_student_is_found_with_the_keyboard(look: Looker, site: Path) -> None:
    page = look.open(site / "students.html", root=site)
    rows = page.locator("tbody tr:visible")
    assert rows.count() == 6

    page.keyboard.type("zoe LOVE")
    assert page.locator("output").inner_text() == "1 student"
    page.keyboard.press("Escape")
    page.keyboard.type("b")
    assert rows.count() == 3  # barbara, another of section B, and the markup in a section
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")

    page.wait_for_url("**/students/student-*.html")
    assert page.get_by_role("heading", level=1).inner_text() == "Grace Hopper"


def test_students_are_sorted_by_any_column(look: Looker, site: Path) -> None:
    page = look.open(site / "students.html", root=site)
    logins = page.locator("tbody td:nth-child(2)")

    page.get_by_role("button", name="total").click()
    page.get_by_role("button", name="total").click()

    assert logins.first.inner_text() == "Ada"
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("total")


# What stands on it


def test_the_course_page_says_who_needs_a_look(look: Looker, site: Path) -> None:
    page = look.open(site / "index.html", scripts=False, root=site)
    page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
    words = page.locator("main").inner_text()

    for expected in (
        "1 attempt could not be judged",
        "no sandbox on this machine",
        f"not verified: another workflow {MARKUP}",
        "re-run 3 times",
        "1 student with two or more homeworks missing",
        "Images <i>",
        "A <convolution>",
    ):
        assert expected in words


def test_the_homework_page_has_the_item_analysis(look: Looker, site: Path) -> None:
    page = look.open(site / "homework-cnn.html", scripts=False, root=site)

    cells = page.get_by_role("region", name="Points by task").get_by_role("row").all_inner_texts()

    # ada 100, grace 70, barbara 100: conv 60 30 60 of 60, pool 40 40 40
    assert cells[1].split("\t") == [
        "A <convolution>",
        "60",
        "50",
        "0.83",
        "67%",
        "0%",
        "undefined: everyone has the same in all the rest",
    ]
    assert cells[2].split("\t") == [
        "Pooling",
        "40",
        "40",
        "1.00",
        "100%",
        "0%",
        "undefined: everyone has the same in it",
    ]
    assert "cnn, 6 course points; due 5 Oct 02:00." in page.inner_text("main")
    assert "rnn, 1 course point;" in (site / "homework-rnn.html").read_text()
    fails = page.get_by_role("region", name="Properties that do not hold").get_by_role("row")
    assert fails.nth(1).inner_text().split() == "edges stay A <convolution> 1 of 3".split()


def test_the_student_page_says_how_the_grade_came_about(look: Looker, site: Path) -> None:
    page = look.open(site / "students/student-grace.html", scripts=False, root=site)
    words = page.locator("main").inner_text()

    for expected in (
        "0.5 × homework 3.90 + 0.5 × exam 0.00 = 1.95",
        "raw: 70.00 of 100.00 points",
        "review: -5.00 points: 65.00 (copied <b>loop</b>; prof, 2020-11-01)",
        "See <i>cell</i> 3.",
        "65 of 100",
        "edges stay",
    ):
        assert expected in words


def test_on_paper_a_table_breaks_no_word_and_leaves_nothing_out(look: Looker, site: Path) -> None:
    page = look.open(site / "students/student-grace.html", scripts=False, root=site)
    page.set_viewport_size({"width": 680, "height": 960})  # A4 less its margins

    page.emulate_media(media="print")

    table = page.get_by_role("region", name="Points after lateness and reviews")
    for words in (table.get_by_text("homework", exact=True), table.get_by_text("Words", exact=True)):
        lines = "one => { const all = new Range(); all.selectNodeContents(one); return all.getClientRects().length; }"
        assert words.evaluate(lines) == 1
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 680


# What it counts


def work(standing: Standing, homework: str, login: str) -> Work:
    (found,) = [
        work
        for one in standing.homeworks
        for work in one.works
        if one.homework.name == homework and work.person.username == login
    ]
    return found


def test_everyone_stands_somewhere(standing: Standing) -> None:
    statuses = {
        homework: {
            login: work(standing, homework, login).status
            for login in ("Ada", "grace", "barbara", "con", "alan", "edsger")
        }
        for homework in TITLES
    }

    assert list(statuses["cnn"].values()) == ["in time", "in time", "late", "unverified", "missing", "error"]
    assert list(statuses["nlp"].values()) == [
        "in time",
        "in time",
        "in time",
        "missing",
        "missing",
        "missing",
    ]
    assert set(statuses["rnn"].values()) == {"not due yet"}
    assert [student.missing for student in standing.students if len(student.missing) > 1] == [("cnn", "nlp")]


def test_attempts_until_solved_count_those_who_never_solve_it(standing: Standing) -> None:
    cnn, nlp, _ = standing.homeworks

    assert {bar.label: bar.count for bar in cnn.solved if bar.count} == {
        "1": 1,
        "3": 1,
        "not yet": 3,
        "no try": 1,
    }
    assert {bar.label: bar.count for bar in nlp.solved if bar.count} == {"not yet": 3, "no try": 3}
    assert work(standing, "cnn", "con").solved_at is None  # it is not verified


def test_a_team_has_handed_in_once(standing: Standing) -> None:
    nlp = standing.homeworks[1]

    assert (nlp.attempts, nlp.submissions, nlp.handed_in) == (2, 2, 3)
    assert [(day.in_time, day.late, day.students) for day in nlp.days] == [(2, 0, 3)]
    assert [item.of for item in nlp.tasks] == [2, 2]


def test_submissions_are_counted_by_day_against_each_deadline(standing: Standing) -> None:
    days = {day.day.isoformat(): (day.in_time, day.late, day.students) for day in standing.homeworks[0].days}

    # 2020-10-05T00:00Z is two in the morning in Berlin, where days begin
    assert days == {
        "2020-10-03": (1, 0, 1),
        "2020-10-04": (3, 0, 2),
        "2020-10-05": (2, 0, 4),
        "2020-10-06": (0, 1, 5),
    }


def test_distributions() -> None:
    thirds = [Fraction(i, 3) for i in range(4)]

    assert [bar for bar in shares_in_bins(thirds) if bar.count] == [
        Bar("0–9", 1),
        Bar("30–39", 1),
        Bar("60–69", 1),
        Bar("100", 1),
    ]
    assert shares_in_bins([Fraction(11, 10)])[-1] == Bar("more", 1)
    assert points_in_bins([Fraction(0), Fraction(1), Fraction(14)], Fraction(14))[::13] == (
        Bar("0–1", 1),
        Bar("13–14", 1),
    )
    assert points_in_bins([]) == ()
    assert spread([]) is None
    assert spread([Fraction(3)]) is not None
    of_four = spread([Fraction(1), Fraction(2), Fraction(3), Fraction(10)])
    assert of_four is not None
    # ranks 0 to 3: quartiles at 0.75, 1.5 and 2.25
    assert (of_four.lower, of_four.median, of_four.upper, of_four.mean) == (
        Fraction(7, 4),
        Fraction(5, 2),
        Fraction(19, 4),
        4,
    )


@given(
    st.lists(st.builds(Fraction, st.integers(0, 4000), st.integers(1, 12)), min_size=1, max_size=9),
    st.none() | st.integers(1, 500),
)
def test_every_total_is_in_one_bar(totals: list[Fraction], out_of: int | None) -> None:
    bars = points_in_bins(totals, None if out_of is None else Fraction(out_of))

    assert sum(bar.count for bar in bars) == len(totals)
    assert len(bars) <= 20
    assert len({bar.label for bar in bars}) == len(bars)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, "–"),
        (0, "0%"),
        (Fraction(1, 999), "<1%"),
        (Fraction(1, 8), "13%"),
        (Fraction(999, 1000), ">99%"),
        (1, "100%"),
    ],
)
def test_a_share_in_words_never_claims_all_or_nothing(share: Fraction | None, words: str) -> None:
    assert percent(None if share is None else Fraction(share)) == words


# Files


def small(standing: Standing, students: int = 0) -> Standing:
    return replace(standing, students=standing.students[:students])


NO_TITLES = Titles({}, {})


def test_a_later_run_removes_what_it_wrote_and_nothing_else(standing: Standing, tmp_path: Path) -> None:
    write_site(tmp_path, small(standing, 2), NO_TITLES)
    own = tmp_path / "students" / "notes.html"
    own.write_text("mine")
    before = set(tmp_path.rglob("*.html"))

    written = write_site(tmp_path, small(standing, 1), NO_TITLES)

    (gone,) = before - set(tmp_path.rglob("*.html"))
    assert written.removed == (gone.relative_to(tmp_path).as_posix(),)
    assert own.read_text() == "mine"


def test_a_file_of_somebody_elses_is_not_overwritten(standing: Standing, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")

    with pytest.raises(UsageError, match=r"index\.html: was not written by grading report"):
        write_site(tmp_path, small(standing), NO_TITLES)

    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_run_that_was_stopped_is_finished_by_the_next(standing: Standing, tmp_path: Path) -> None:
    def stop(done: int, of: int) -> None:
        if done == of - 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(tmp_path, small(standing, 3), NO_TITLES, progress=stop)
    left = {path.name for path in (tmp_path / "students").iterdir()}

    written = write_site(tmp_path, small(standing, 1), NO_TITLES)

    assert len(left) == 2
    assert {path.name for path in (tmp_path / "students").iterdir()} == {
        student_page(standing.students[0].person.username).removeprefix("students/")
    }
    assert set(written.files) == {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    } - {"site.json"}


@pytest.mark.parametrize("content", ["", "[]", '{"grading_site": 5}', '{"grading_site": [5]}'])
def test_a_damaged_list_of_what_is_ours_stops_the_run(
    standing: Standing, tmp_path: Path, content: str
) -> None:
    (tmp_path / "site.json").write_text(content)

    with pytest.raises(UsageError, match=r"site\.json: does not say what an earlier run wrote"):
        write_site(tmp_path, small(standing), NO_TITLES)


def test_a_list_of_what_is_ours_names_nothing_outside(standing: Standing, tmp_path: Path) -> None:
    (tmp_path / "precious.html").write_text("mine")
    out = tmp_path / "site"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "site.json").write_text(
        '{"grading_site": ["../precious.html", "notes.txt", "/etc/x.html", "students/../x.js"]}'
    )

    written = write_site(out, small(standing), NO_TITLES)

    assert written.removed == ()
    assert (tmp_path / "precious.html").exists()
    assert (out / "notes.txt").exists()


@given(
    st.lists(
        st.text(min_size=1) | st.sampled_from(["con", "Ada", "a.b", "a-b", "..", "x" * 300, "ß", "SS"]),
        min_size=2,
        max_size=2,
    )
)
def test_a_students_file_is_safe_and_nobody_elses(logins: list[str]) -> None:
    pages = [student_page(login) for login in logins]

    assert all(OURS.fullmatch(page) and page == page.lower() and len(page) < 100 for page in pages)
    same = logins[0].casefold() == logins[1].casefold()
    assert (pages[0] == pages[1]) == same


def test_what_stands_in_a_figure_cannot_end_its_script() -> None:
    figure = figures.counts([Bar("</script><!--\u2028", 1)], "<b>")

    assert not set("<>&\u2028") & set(figure)
    assert json.loads(figure)["data"][0]["x"] == ["&lt;/script&gt;&lt;!--\u2028"]


def test_every_figure_is_one_that_plotly_knows(standing: Standing) -> None:
    cnn = standing.homeworks[0]
    ada = next(one for one in standing.students if one.person.username == "Ada")
    assert cnn.spread is not None

    for figure in (
        figures.counts(cnn.shares, "points"),
        figures.over_time(cnn.days, [("cnn", DUE), ("nlp", DUE)], UTC),
        figures.spreads([("cnn", cnn.spread)]),
        figures.tasks(cnn.tasks, str.upper),
        figures.attempts(ada.works, str.upper, UTC),
    ):
        Figure(json.loads(figure))  # raises ValueError for a key or a value that is none of Plotly's


# Small courses


@pytest.mark.parametrize("students", [0, 1])
def test_a_course_where_nothing_was_handed_in(tmp_path: Path, students: int) -> None:
    homeworks = write_course(tmp_path)
    for name in RULES:
        (homeworks / name).unlink()
    (homeworks / "roster.csv").write_text("\n".join(ROSTER.splitlines()[: 1 + students]) + "\n")
    (tmp_path / "scores").mkdir()

    report(tmp_path / "scores", tmp_path / "site", homeworks)

    for page in ("index.html", "homework-cnn.html"):
        assert "Nothing has been handed in yet." in (tmp_path / "site" / page).read_text()
    assert len(list((tmp_path / "site" / "students").iterdir())) == students


def test_a_directory_of_score_files_and_a_homework_without_a_title(tmp_path: Path) -> None:
    homeworks = write_course(tmp_path)
    (homeworks / "rnn" / "homework.yml").write_text("")
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "ada.json").write_text(score("cnn", "ada", 70, -1).model_dump_json())

    read = read_standing(tmp_path / "scores", homeworks, None, now=DUE)

    assert work(read, "cnn", "Ada").grade.raw == 70
    assert [item.id for item in read.homeworks[0].tasks] == ["conv", "pool"]
    assert titles_of(read.course).homework("rnn") == "rnn"


def test_scores_that_are_not_there_are_the_users_move(course: Path, tmp_path: Path) -> None:
    command = [
        "report",
        str(tmp_path / "nowhere"),
        "--out",
        str(tmp_path / "site"),
        "--homeworks",
        str(course / "homeworks"),
    ]

    ran = CliRunner().invoke(app, command)

    assert isinstance(ran.exception, UsageError)
    assert not (tmp_path / "site").exists()
