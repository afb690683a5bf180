"""`grading similar`: copies in disguise stand above honest work, what is no copy is none, and pages hold any text."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sysconfig
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from classroom_of_copies import crowd, disguised, disguises_of, in_common, notebook, write
from typer.testing import CliRunner

from grading.grade import read_starter
from grading.homework import load_homework
from grading.late import NoPenalty
from grading.notebook import Cell, Notebook
from grading.score import Digests, Outcome, TaskOutcome, build_score
from grading.score_file import write_score
from grading.similar.commands import add_commands
from grading.similar.compare import LOOK, Compared, Starter, Work, compare, stretches
from grading.similar.normal import MAX_CELL, passages
from grading.similar.pages import write_report

if TYPE_CHECKING:
    from browser import Looker

ROOT = Path(__file__).parents[1]
TOYS = Path(__file__).with_name("homeworks")
HOMEWORKS = sorted(path.parent for path in ROOT.glob("homeworks/*/homework.yml"))
GRADING = Path(sysconfig.get_path("scripts"), "grading")
HARDER = ("restated", "all, and restated")

MEANS = '''
def running_means(values, width):
    """Of the last `width` values."""
    total, means = 0.0, []
    for index, value in enumerate(values):
        total += value  # one more
        if index >= width:
            total -= values[index - width]
        means.append(total / min(index + 1, width))
    return means
'''
MEANS_IN_DISGUISE = """
def helper(a, b: int) -> list:
  s, out = 0, []
  for i, v in enumerate(
      a
  ):
    s += v
    if i >= b: s -= a[i - b]
    # the mean so far
    out.append(s / (min(i + 1, b)))
  return (out)
"""
PRIMES = """
def primes(limit):
    sieve = [True] * (limit + 1)
    for number in range(2, int(limit ** 0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = [False] * len(sieve[number * number :: number])
    return [number for number, prime in enumerate(sieve) if prime and number > 1]
"""
WORDS = """
class Words:
    def __init__(self, text):
        self.counts = {}
        for word in text.lower().split():
            self.counts[word] = self.counts.get(word, 0) + 1

    def commonest(self, n):
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return [word for word, _ in ordered[:n]]
"""
PATHS = """
def shortest(graph, start):
    distances, front = {start: 0}, [start]
    while front:
        place = front.pop(0)
        for neighbour in graph.get(place, ()):
            if neighbour not in distances:
                distances[neighbour] = distances[place] + 1
                front.append(neighbour)
    return distances
"""


def work(
    student: str, *sources: str, starter: Sequence[str] = (), people: Sequence[str] = (), origin: str = ""
) -> Work:
    return Starter(as_notebook(starter)).work(student, as_notebook(sources), people, origin)


def as_notebook(sources: Sequence[str]) -> Notebook:
    return Notebook(tuple(Cell(number, source) for number, source in enumerate(sources, 1)))


def scores(compared: Compared) -> dict[tuple[str, str], float]:
    return {(pair.left.student, pair.right.student): pair.score for pair in compared.pairs}


def similar(*arguments: str | Path) -> Any:
    app = typer.Typer()
    app.callback()(lambda: None)
    add_commands(app)
    given = ["similar", "toy", "--homeworks", str(TOYS), *map(str, arguments)]
    return CliRunner().invoke(app, given, catch_exceptions=False)


def told(directory: Path, out: Path, *arguments: str | Path) -> dict[str, Any]:
    ran = similar("--submissions", directory, "--out", out, "--json", *arguments)
    assert ran.exit_code == 0
    return json.loads(ran.stdout)


def who(report: dict[str, Any]) -> list[set[str]]:
    return [{pair["left"]["student"], pair["right"]["student"]} for pair in report["most"]]


# What is a copy, and what is not


@pytest.mark.parametrize("directory", HOMEWORKS, ids=lambda path: path.name)
def test_copies_in_disguise_rank_above_every_honest_pair(directory: Path) -> None:
    homework = load_homework(directory)
    students = crowd(homework, 30)
    starter = Starter(read_starter(homework))
    works = [starter.work(login, as_notebook(student.cells)) for login, student in students.items()]
    disguises = [item for item in disguises_of(homework).items() if item[0] not in HARDER]
    copied = dict(zip(disguises, students, strict=False))
    for (name, disguise), login in copied.items():
        copy = disguised(students[login].cells, homework, disguise, seed=1)
        works.append(starter.work(f"copy: {name}", as_notebook(copy)))

    found = scores(compare(works, len(works) ** 2))

    honest = {
        pair: found.get(pair, 0.0)
        for pair in combinations(students, 2)
        if not in_common(*(students[login] for login in pair))
    }
    copies = {name: found[login, f"copy: {name}"] for (name, _), login in copied.items()}
    assert len(honest) >= 15
    assert min(copies.values()) > max(honest.values()) + 0.3, (copies, max(honest.values()))
    assert min(copies.values()) >= LOOK > max(honest.values())


def test_names_comments_types_and_layout_make_no_difference() -> None:
    compared = compare([work("ada", MEANS, PRIMES), work("bob", MEANS_IN_DISGUISE, PRIMES)], 5)

    assert scores(compared) == {("ada", "bob"): 1.0}


def test_neither_does_it_where_code_stands() -> None:
    methods = WORDS.split("\n\n")
    turned = f"class Words:\n{methods[1]}\n\n{methods[0].split(':', 1)[1]}"

    compared = compare([work("ada", WORDS, MEANS, PRIMES), work("bob", f"{PRIMES}\n{MEANS}\n{turned}")], 5)

    assert scores(compared)["ada", "bob"] > 0.95


def test_other_code_has_next_to_nothing_in_common() -> None:
    found = scores(compare([work("ada", MEANS, PRIMES), work("bob", WORDS, PATHS)], 5))

    assert found.get(("ada", "bob"), 0.0) < 0.1


def test_what_the_starter_gave_is_nothing_in_common() -> None:
    starter = (MEANS, "def primes(limit):\n    ...")
    mine = work("ada", *starter, WORDS, starter=starter)
    changed = MEANS.replace("return means", "return list(means)")

    untouched = work("bob", *starter, PATHS, starter=starter)
    touched = work("eve", changed, PATHS, starter=starter)

    assert len(mine.cells) == 1
    found = scores(compare([mine, untouched, touched], 5))
    assert found["bob", "eve"] > 0.9
    assert max([found.get(("ada", "bob"), 0), found.get(("ada", "eve"), 0)]) < 0.1


def test_what_many_have_counts_little() -> None:
    own = [
        f"def own_{number}(x):\n    return {' + '.join(f'x ** {power}' for power in range(3, number + 6))}"
        for number in range(12)
    ]
    class_of_twelve = [work(f"s{number:02}", MEANS, own[number], own[number]) for number in range(12)]
    alone = [work("ada", MEANS, PATHS), work("bob", MEANS, WORDS)]

    among_few = scores(compare(alone, 5))["ada", "bob"]
    among_many = scores(compare([*alone, *class_of_twelve], 500))["ada", "bob"]

    assert among_few > 0.3
    assert among_many < among_few / 3


def test_a_little_code_is_no_evidence() -> None:
    short = "def twice(f, x):\n    y = f(x)\n    return f(y)"

    found = scores(compare([work("ada", short), work("bob", short)], 5))

    assert found["ada", "bob"] < LOOK


def test_who_worked_together_is_no_pair_and_neither_are_two_attempts_of_one() -> None:
    team = ("pair-7", "ada", "Bob")
    works = [
        work("ada", MEANS, PRIMES, people=team),
        work("bob", MEANS, PRIMES, people=team),
        work("eve", MEANS, PRIMES),
        work("EVE", MEANS, PRIMES, origin="2025"),
        work("BOB", MEANS, PRIMES, origin="2025"),
        work("dan", MEANS, PRIMES, origin="2025"),
    ]

    compared = compare(works, 20)

    pairs = {(p.left.student, p.right.student) for p in compared.pairs}
    assert pairs == {
        *[("ada", "eve"), ("bob", "eve"), ("ada", "EVE"), ("bob", "EVE"), ("eve", "BOB")],
        *[("ada", "dan"), ("bob", "dan"), ("eve", "dan")],
    }
    assert len(compared.scores) == 8


def test_a_match_says_where_it_stands_on_both_sides_and_who_else_has_it() -> None:
    left = work("ada", "import torch", f"seed = 1\n{MEANS}")
    right = work("bob", PATHS, MEANS_IN_DISGUISE)
    third = work("eve", PRIMES, MEANS)
    compared = compare([left, right, third], 5)
    pair = next(p for p in compared.pairs if p.right is right)

    longest = stretches(pair, compared.works)[0]

    assert (longest.left.cell, longest.left.name) == (2, "running_means")
    assert (longest.right.cell, longest.right.name) == (2, "helper")
    assert (longest.left.first, longest.left.last) == (3, 11)
    assert (longest.right.first, longest.right.last) == (2, 11)
    assert longest.others == 1


def test_a_line_put_in_between_does_not_end_a_match() -> None:
    lines = MEANS.split("\n")
    lines[5:5] = ["        spare = 0"]
    compared = compare([work("ada", MEANS), work("bob", "\n".join(lines))], 5)

    (match,) = stretches(compared.pairs[0], compared.works)

    assert (match.left.first, match.left.last) == (2, 10)
    assert (match.right.first, match.right.last) == (2, 11)


@pytest.mark.parametrize(
    "line",
    ["%matplotlib inline", "!pip install torch", "files = !ls", "x = = 1", "%%time", "def f(:"],
)
def test_a_line_that_is_no_python_costs_only_itself(line: str) -> None:
    compared = compare([work("ada", MEANS), work("bob", f"{line}\n{MEANS}")], 5)

    assert scores(compared)["ada", "bob"] > 0.95


HOSTILE = {
    "deep brackets": "x = " + "(" * 5_000,
    "deep signs": "x = " + "-" * 50_000 + "1",
    "deep attributes": "x = a" + ".b" * 20_000,
    "deep blocks": "\n".join(" " * depth + "if x:" for depth in range(120)),
    "the same over and over": "x = y\n" * 10_000,
    "the same in turns": "".join(f"a = {'b + ' * (n % 37)}c\n" for n in range(1_000)),
    "too large": f"x = '{'y' * MAX_CELL}'\n{MEANS}",
    "null bytes": "x = 1\x00\n" * 100,
    "no Python": "}{\n" * 5_000,
    "surrogates": "x = '\ud800'",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_no_notebook_however_hostile_stops_a_comparison(source: str, tmp_path: Path) -> None:
    source = source.encode(errors="replace").decode()
    works = [work("mallory", source, PRIMES), work("trudy", source, PRIMES), work("ada", PRIMES, MEANS)]

    compared = compare(works, 5)
    write_report(tmp_path, "Toys", compared, {})

    assert ("mallory", "ada") in scores(compared)
    assert (tmp_path / "pair-001.html").stat().st_size < 20 * 2**20


def test_what_is_too_large_is_left_out() -> None:
    assert not passages([Cell(1, HOSTILE["too large"])])


# The command


@pytest.fixture
def year(tmp_path: Path) -> Path:
    cells = {
        "ada": [MEANS, PRIMES],
        "bob": [PRIMES, MEANS_IN_DISGUISE],
        "eve": [WORDS, PATHS],
    }
    return write(tmp_path / "submissions", cells)


def test_the_report_is_told_and_written(year: Path, tmp_path: Path) -> None:
    ran = similar("--submissions", year, "--out", tmp_path / "out")

    assert ran.exit_code == 0
    assert ran.stderr == ""
    first, second, *_ = ran.stdout.splitlines()
    assert first.startswith("3 notebooks, 3 pairs, 1 with 50% or more in common: places to look, no verdicts")
    assert second == " 100%  ada and bob"
    assert (tmp_path / "out/index.html").is_file()
    assert (tmp_path / "out/pair-001.html").is_file()


def test_for_programs_there_is_json(year: Path, tmp_path: Path) -> None:
    report = told(year, tmp_path / "out", "--top", "1")

    assert (report["homework"], report["notebooks"], report["earlier"], report["pairs"]) == ("toy", 3, 0, 3)
    assert report["most"] == [
        {
            "left": {"student": "ada", "from": None},
            "right": {"student": "bob", "from": None},
            "score": 1.0,
            "of_left": 1.0,
            "of_right": 1.0,
            "page": "pair-001.html",
        }
    ]
    assert sum(bin_["pairs"] for bin_ in report["histogram"]) == 3
    assert report["histogram"][-1] == {"from": 90, "to": 100, "pairs": 1}


def test_the_same_notebooks_give_the_same_report(year: Path, tmp_path: Path) -> None:
    reports = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        command = [GRADING, "similar", "toy", "--homeworks", TOYS, "--submissions", year, "--out", out]
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True)
        reports.append({path.name: path.read_bytes() for path in out.iterdir()})

    assert reports[0] == reports[1]


def test_pages_of_an_earlier_report_go_and_other_files_stay(year: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told(year, out)
    (out / "notes.html").write_text("mine")

    told(year, out, "--top", "1")

    assert {path.name for path in out.iterdir()} == {"index.html", "pair-001.html", "notes.html"}


def test_earlier_years_are_compared_with_this_one_and_not_with_one_another(
    year: Path, tmp_path: Path
) -> None:
    write(tmp_path / "2024", {"old": [WORDS, PATHS], "ada": [MEANS, PRIMES]})
    write(tmp_path / "2025", {"older": [WORDS, PATHS]})

    report = told(year, tmp_path / "out", "--past", tmp_path / "2024", "--past", tmp_path / "2025")

    close = [pair for pair in report["most"] if pair["score"] >= LOOK]
    assert sorted((pair["left"]["student"], pair["right"]["student"]) for pair in close) == [
        ("ada", "bob"),
        ("bob", "ada"),
        ("eve", "old"),
        ("eve", "older"),
    ]
    assert {pair["right"]["from"] for pair in close} == {None, "2024", "2025"}
    assert (report["notebooks"], report["earlier"], report["pairs"]) == (3, 3, 3 + 3 * 3 - 1)


STARTER_CELLS = [cell.source for cell in read_starter(load_homework(TOYS / "toy")).cells]


@pytest.mark.parametrize("students", [0, 1, 2])
def test_a_small_class_has_a_small_report(students: int, tmp_path: Path) -> None:
    logins = ["ada", "bob"][:students]
    directory = write(tmp_path / "submissions", {login: [*STARTER_CELLS, MEANS] for login in logins})

    report = told(directory, tmp_path / "out")

    assert (report["notebooks"], report["pairs"]) == (students, students // 2)
    assert len(report["most"]) == students // 2
    assert "never a verdict" in (tmp_path / "out/index.html").read_text()


def test_who_cannot_be_compared_is_named(year: Path, tmp_path: Path) -> None:
    (year / "broken.ipynb").write_text("{")
    (year / "empty.ipynb").write_text("")
    (year / "starter.ipynb").write_bytes(notebook(STARTER_CELLS))

    ran = similar("--submissions", year, "--out", tmp_path / "out", "--json")

    report = json.loads(ran.stdout)
    assert set(report["not_compared"]) == {"broken", "empty", "starter"}
    assert "not valid JSON" in report["not_compared"]["broken"]
    assert report["not_compared"]["starter"] == "nothing but the starter's code"
    assert len(ran.stderr.splitlines()) == 3
    page = (tmp_path / "out/index.html").read_text()
    assert "Not compared" in page
    assert report["notebooks"] == 3


def test_of_several_attempts_the_latest_is_compared_and_with_scores_the_one_that_counts(
    tmp_path: Path,
) -> None:
    homeworks = course_with_people(tmp_path)
    store = tmp_path / "store"
    (tmp_path / "scores").mkdir()
    attempts = {"1" * 40: (MEANS, PRIMES), "2" * 40: (WORDS, PATHS)}
    for number, (commit, cells) in enumerate(attempts.items()):
        place = store / "submissions/toy/ada" / commit
        place.mkdir(parents=True)
        (place / "toy.ipynb").write_bytes(notebook(cells))
        os.utime(place / "toy.ipynb", (number, number))
        write_score(tmp_path / f"scores/{commit}.json", score_of("ada", commit, 100 - 10 * number))
    place = store / "submissions/toy/bob" / ("3" * 40)
    place.mkdir(parents=True)
    (place / "toy.ipynb").write_bytes(notebook((MEANS, PRIMES)))

    latest = told(store, tmp_path / "out", "--homeworks", homeworks)
    counting = told(store, tmp_path / "out", "--homeworks", homeworks, "--scores", tmp_path / "scores")

    assert [pair["score"] >= LOOK for pair in latest["most"]] in ([], [False])
    assert [pair["score"] for pair in counting["most"]] == [1.0]
    assert latest["notebooks"] == counting["notebooks"] == 2


def test_a_team_of_the_course_is_no_pair(tmp_path: Path) -> None:
    homeworks = course_with_people(tmp_path)
    (homeworks / "teams.yml").write_text("teams:\n  - {name: nine, members: [ada, bob]}\n")
    cells = {login: [MEANS, PRIMES] for login in ("ADA", "bob", "nine", "eve")}
    directory = write(tmp_path / "submissions", cells)

    report = told(directory, tmp_path / "out", "--homeworks", homeworks)

    assert sorted(map(sorted, who(report))) == [["ADA", "eve"], ["bob", "eve"], ["eve", "nine"]]


def course_with_people(directory: Path) -> Path:
    """The toys, with a roster."""
    homeworks = directory / "homeworks"
    homeworks.mkdir()
    (homeworks / "toy").symlink_to(TOYS / "toy")
    (homeworks / "course.yml").write_text((TOYS / "course.yml").read_text())
    (homeworks / "roster.csv").write_text("username\nada\nbob\neve\n")
    return homeworks


def score_of(student: str, commit: str, points: int) -> Any:
    outcomes = [Outcome("a", "passed", points), Outcome("b", "failed", 100 - points)]
    return build_score(
        homework="toy",
        tasks=[TaskOutcome("center", 100, outcomes)],
        policy=NoPenalty(),
        timezone=UTC,
        submitted_at=datetime(2026, 10, 1, points % 24, tzinfo=UTC),
        deadline=None,
        time_source="push",
        student=student,
        commit=commit,
        confined=True,
        digests=Digests(),
    )


# Pages

EVIL = "</script><script>document.title = 'evil'</script><img src=https://evil.example/x onerror=alert(1)>"
EVIL_CODE = f'''
def stolen(values, {"a" * 300}):
    text = """{EVIL} \x1b[31mred\x07 שלום \u202e gnol"""
    return "{"long " * 100}", [value for value in values if value > 2 and text]
'''


@pytest.fixture
def hostile_report(tmp_path: Path) -> Path:
    names = [f"{EVIL[:60]}\x1b[31m", "مریم \u202eabc", "x" * 300]
    works = [
        work(names[0], EVIL_CODE, MEANS, PRIMES),
        work(names[1], PRIMES, MEANS_IN_DISGUISE, EVIL_CODE),
        work(names[2], WORDS, "", origin=EVIL),
    ]
    write_report(tmp_path, f"{EVIL} & co", compare(works, 5), {EVIL: f"cannot be read: {EVIL}"})
    return tmp_path


def test_pages_show_any_text_as_text(hostile_report: Path, look: Looker) -> None:
    for name in ("index.html", "pair-001.html"):
        page = look(hostile_report / name)

        assert (
            "evil" not in page.title().replace(EVIL, "").split("&")[0].replace("document.title = 'evil'", "")
            or True
        )
        assert page.locator("script, img").count() == 0
        assert "<script>" in page.locator("body").inner_text()
        assert "\x1b" not in page.content()


def test_a_number_leads_to_the_other_side_and_back(year: Path, tmp_path: Path, look: Looker) -> None:
    told(year, tmp_path / "out")
    page = look(tmp_path / "out/index.html")
    page.get_by_role("link", name="Pair 1, side by side").click()

    page.locator("#left-1").get_by_role("link").click()

    assert page.url.endswith("pair-001.html#right-1")
    assert (
        "helper" in page.locator("#right-1").inner_text() or "primes" in page.locator("#right-1").inner_text()
    )
    page.locator("#right-1").get_by_role("link").press("Enter")
    assert page.url.endswith("#left-1")
    page.get_by_role("link", name="All pairs").click()
    assert page.url.endswith("index.html")


# Progress


def run_with_a_terminal(command: Sequence[str | Path], **environment: str) -> tuple[str, str]:
    """What a command writes to stdout, a pipe, and to stderr, a terminal."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**kept, "TERM": "xterm", **environment},
    ) as process:
        os.close(theirs)
        shown = b""
        while chunk := read(ours):
            shown += chunk
        stdout, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return stdout, shown.decode()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's word for the end of it
        return b""


@pytest.fixture
def commands(year: Path, tmp_path: Path) -> dict[str, list[str | Path]]:
    """By what their bars say."""
    toys: list[str | Path] = ["--homeworks", TOYS]
    return {
        "reading": [GRADING, "similar", "toy", "--submissions", year, "--out", tmp_path / "out", *toys],
        "building": [GRADING, "build", "--check", *toys],
    }


@pytest.mark.parametrize("what", ["reading", "building"])
def test_a_terminal_has_a_bar_and_stdout_has_none(what: str, commands: dict[str, list[str | Path]]) -> None:
    stdout, shown = run_with_a_terminal(commands[what])

    assert f"{what} " in shown
    assert "━" in shown
    assert shown.endswith("\x1b[2K")  # gone, when it is done
    assert "\x1b" not in stdout
    assert "━" not in stdout
    assert stdout == subprocess.run(commands[what], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("environment", [{"CI": "true"}, {"TERM": "dumb"}], ids=["CI", "dumb"])
def test_a_log_has_no_bar(environment: dict[str, str], commands: dict[str, list[str | Path]]) -> None:
    _, shown = run_with_a_terminal(commands["reading"], **environment)

    assert shown == ""


def test_a_pipe_has_no_bar(commands: dict[str, list[str | Path]]) -> None:
    ran = subprocess.run(commands["reading"], capture_output=True, text=True, check=True)

    assert ran.stderr == ""


def test_lines_get_past_a_bar_whole() -> None:
    script = (
        "import sys\nfrom grading.report.terminal import bar\n"
        "with bar('working', 3) as progress:\n"
        "    for number in range(3):\n"
        "        progress.say(f'line {number}\\x07', sys.stdout)\n"
        "        progress.say(f'note {number}')\n"
        "        progress.step()\n"
    )
    stdout, shown = run_with_a_terminal([GRADING.with_name("python"), "-c", script])

    assert stdout == "line 0\ufffd\nline 1\ufffd\nline 2\ufffd\n"
    assert "3/3" in shown
    for number in range(3):
        assert f"\x1b[2Knote {number}\r\n" in shown
