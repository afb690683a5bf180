"""What students get: everything they need, nothing they should not have, and a record of what was given when."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from course_on_github import COMMIT, HOMEWORKS, ROOT, course_on_github

from grading.course import Course, load_course
from grading.errors import UsageError
from grading.homework import Homework
from grading.notebook import percent_cells
from grading.release import (
    BundleRelease,
    TemplateRelease,
    append_release,
    late_in_words,
    read_releases,
    release,
    released_files,
)

NAMES = [entry.name for entry in load_course(HOMEWORKS / "course.yml").homeworks]
TOOLS = Path(sysconfig.get_path("scripts"))
DUE = datetime(2026, 10, 4, 21, 59, tzinfo=UTC)

each_homework = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return course_on_github(tmp_path)


def readme(course: Course, name: str = "activations") -> str:
    return released_files(course, course.load_homework(name), COMMIT)["README.md"].decode()


# What is in it


@each_homework
def test_a_template_holds_the_starter_the_data_and_what_is_needed_to_work(name, course, tmp_path):
    homework = course.load_homework(name)
    data = {path.name for path in homework.data_files}

    written = release(course, homework, tmp_path / "out", bundle_commit=COMMIT)

    assert {str(path.relative_to(tmp_path / "out")) for path in written} == data | {
        *(f"{Path(file).stem}.LICENSE.md" for file in data),
        homework.notebook,
        "README.md",
        "requirements.txt",
        ".gitignore",
        ".devcontainer/devcontainer.json",
        ".github/workflows/grade.yml",
    }
    assert set(written) == {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    for given in [homework.notebook, *data]:
        assert (tmp_path / "out" / given).read_bytes() == (homework.directory / given).read_bytes()


@each_homework
def test_no_byte_of_a_template_is_from_a_solution_a_hidden_test_or_a_variant(name, course):
    homework = course.load_homework(name)
    files = released_files(course, homework, COMMIT)
    texts = [content.decode(errors="replace") for content in files.values()]
    notebook = json.loads(files[homework.notebook])
    texts.append("\n".join("".join(cell["source"]) for cell in notebook["cells"]))
    everything = "\n".join(texts)
    lines = {line.strip() for line in everything.splitlines()}

    assert [line for line in instructors_lines(homework) if line in lines] == []
    assert [phrase for phrase in hidden_phrases(homework) if phrase in everything] == []
    for path in instructors_files(homework):
        assert path.read_bytes() not in files.values(), path
        assert path.name not in files


def instructors_files(homework: Homework) -> list[Path]:
    folders = [homework.tests_directory, homework.directory / "variants"]
    files = [path for folder in folders for path in folder.rglob("*") if "__pycache__" not in path.parts]
    beside = [homework.directory / file for file in ("source.py", "support.py", "homework.yml")]
    return [path for path in (*files, *beside) if path.is_file()] + [
        homework.directory / file for file in homework.submits
    ]


def instructors_lines(homework: Homework) -> list[str]:
    """Lines of solutions, variants and support code that stand nowhere in what the source shows to students."""
    shown, solved = source_lines(homework)
    for path in [*sorted((homework.directory / "variants").glob("*.py")), homework.support]:
        solved += [line.strip() for line in path.read_text().splitlines()] if path else []
    return [line for line in solved if line not in shown and len(line) > 8]


def source_lines(homework: Homework) -> tuple[set[str], list[str]]:
    """What the source shows to students, and what it solves."""
    shown, solved = set(), []
    inside = False
    for line in homework.source.read_text().splitlines():
        if re.search(r"### (BEGIN|END) SOLUTION", line):
            inside = "BEGIN" in line
        elif inside and "### STARTER:" not in line:
            solved.append(line.strip())
        else:
            shown.add(line.replace("### STARTER:", "").strip())
    return shown, solved


def hidden_phrases(homework: Homework) -> set[str]:
    """Names, docstrings, hints and judging statements of the hidden tests, and titles of variants.

    A hint that a visible check of the notebook gives in the same words is not hidden.
    """
    told = "\n".join(source_lines(homework)[0])
    phrases = set()
    for module in homework.tests_directory.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.FunctionDef | ast.Module):
                phrases |= {ast.get_docstring(node) or ""}
            if isinstance(node, ast.FunctionDef):
                phrases |= {node.name} if node.name.startswith("test_") else set()
                judged = (ast.unparse(statement) for statement in node.body)
                phrases |= {text for text in judged if re.search(r"submission|^assert|^check", text)}
            if isinstance(node, ast.keyword) and node.arg == "hint" and isinstance(node.value, ast.Constant):
                hint = str(node.value.value)
                phrases |= {hint} if hint not in told else set()
    for path in (homework.directory / "variants").glob("*.py"):
        phrases |= {
            cell.title for cell in percent_cells(path.read_text(), name=str(path)) if "[" in cell.title
        }
    return {phrase for phrase in phrases if len(phrase) > 8}


def test_the_same_inputs_give_the_same_bytes(course, tmp_path):
    homework = course.load_homework("cnn")

    for place in ("one", "two"):
        release(course, homework, tmp_path / place, bundle_commit=COMMIT)

    one, two = (contents(tmp_path / place) for place in ("one", "two"))
    assert one == two


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_starter_in_which_somebody_has_tried_things_is_not_released(course, tmp_path):
    directory = tmp_path / "homeworks" / "activations"
    directory.unlink()
    shutil.copytree(HOMEWORKS / "activations", directory)
    starter = directory / "activations.ipynb"
    starter.write_text(starter.read_text().replace("raise NotImplementedError", "return 1", 1))

    with pytest.raises(UsageError, match="run `grading build activations`"):
        released_files(course, course.load_homework("activations"), COMMIT)


# Where it goes


def test_a_second_release_replaces_the_first_and_keeps_its_git(course, tmp_path):
    homework = course.load_homework("activations")
    out = tmp_path / "out"
    release(course, homework, out, bundle_commit=COMMIT)
    (out / ".git").mkdir()
    (out / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (out / ".github/workflows/old.yml").write_text("on: push\n")
    (out / "README.md").write_text((out / "README.md").read_text() + "more\n")

    release(course, homework, out, bundle_commit=COMMIT)

    assert contents(out) == released_files(course, homework, COMMIT) | {
        ".git/HEAD": b"ref: refs/heads/main\n"
    }


@pytest.mark.parametrize("there", ["thesis.tex", "README.md", ".github/workflows/ci.yml"])
def test_a_directory_with_something_else_in_it_is_refused_and_left_as_it_was(there, course, tmp_path):
    out = tmp_path / "out"
    (out / there).parent.mkdir(parents=True)
    (out / there).write_text("mine\n")

    with pytest.raises(UsageError, match=re.escape(there.split("/")[0])):
        release(course, course.load_homework("activations"), out, bundle_commit=COMMIT)

    assert contents(out) == {there: b"mine\n"}


def test_a_release_of_one_homework_does_not_replace_that_of_another(course, tmp_path):
    release(course, course.load_homework("cnn"), tmp_path / "out", bundle_commit=COMMIT)
    before = contents(tmp_path / "out")

    with pytest.raises(UsageError, match="something else"):
        release(course, course.load_homework("activations"), tmp_path / "out", bundle_commit=COMMIT)

    assert contents(tmp_path / "out") == before


def test_a_file_that_somebody_added_to_a_release_is_named_and_kept(course, tmp_path):
    homework = course.load_homework("activations")
    release(course, homework, tmp_path / "out", bundle_commit=COMMIT)
    (tmp_path / "out/notes.txt").write_text("mine\n")

    with pytest.raises(UsageError, match=r"notes\.txt"):
        release(course, homework, tmp_path / "out", bundle_commit=COMMIT)

    assert (tmp_path / "out/notes.txt").read_text() == "mine\n"


def test_without_grading_on_push_there_is_no_workflow_and_an_old_one_goes(tmp_path):
    course = course_on_github(tmp_path)
    homework = course.load_homework("activations")
    release(course, homework, tmp_path / "out", bundle_commit=COMMIT)
    central = course_on_github(
        tmp_path, github="{organisation: o, grade_on_push: false, central: last_of_day}"
    )

    release(central, homework, tmp_path / "out", bundle_commit="")

    assert not (tmp_path / "out/.github").exists()
    text = (tmp_path / "out/README.md").read_text()
    assert "fetches the last push of each day" in text
    assert ".github" not in text
    assert "Actions" not in text


@pytest.mark.parametrize(
    ("github", "commit", "said"),
    [("", COMMIT, "github: missing"), ("{organisation: o}", "", "push the bundle first")],
)
def test_what_is_not_known_yet_is_said_with_its_mend(github, commit, said, tmp_path):
    course = course_on_github(tmp_path, github=github)

    with pytest.raises(UsageError, match=said):
        released_files(course, course.load_homework("activations"), commit)


# The workflow


def workflow(course: Course, name: str) -> str:
    files = released_files(course, course.load_homework(name), COMMIT)
    return files[".github/workflows/grade.yml"].decode()


@pytest.mark.parametrize("name", ["activations", "cnn"])
def test_the_workflow_is_what_github_accepts_and_a_strict_audit_finds_nothing(name, course, tmp_path):
    file = tmp_path / ".github/workflows/grade.yml"
    file.parent.mkdir(parents=True)
    file.write_text(workflow(course, name))

    schema = ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(file))
    for command in (schema, ("zizmor", "--offline", "--persona=auditor", "--no-progress", str(file))):
        checked = subprocess.run(
            [TOOLS / command[0], *command[1:]],
            capture_output=True,
            text=True,
            env=os.environ | {"NO_COLOR": "1"},
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_workflow_fits_the_one_that_it_calls(course):
    called = yaml.safe_load((ROOT / ".github/workflows/grade.yml").read_text())
    asked = called[True]["workflow_call"]  # YAML 1.1 reads `on` as true
    needed = [job.get("permissions", {}) for job in called["jobs"].values()]

    job = yaml.safe_load(workflow(course, "cnn"))["jobs"]["grade"]

    assert job["uses"] == f"deep-course/bundle/.github/workflows/grade.yml@{COMMIT}"
    assert job["with"] == {"homework": "cnn", "bundle": "deep-course/bundle", "ref": "main"}
    assert job["with"].keys() == asked["inputs"].keys()
    assert job["secrets"].keys() == asked["secrets"].keys()
    # What the called job asks for and the caller does not give would stop every run before it starts.
    assert job["permissions"] == {name: level for one in needed for name, level in one.items()}
    assert set(job["permissions"].values()) == {"read"}


def test_only_pushes_with_something_to_grade_cost_minutes(course):
    pushes = {name: yaml.safe_load(workflow(course, name))[True]["push"] for name in ("activations", "cnn")}

    assert pushes["activations"] == {"branches": ["main"], "paths": ["**.ipynb"]}
    assert pushes["cnn"] == {"branches": ["main"], "paths": ["**.ipynb", "**/wandering_digits.npz"]}


# What the student reads


def test_the_readme_says_what_to_do_by_when_and_for_how_many_points(course):
    text = readme(course, "cnn")

    assert "# Seeing by sliding" in text
    assert "| Convolution, backwards | 15 | Convolution, fast |" in text
    assert "**Deadline: Sunday, 29 November 2026, 23:59 CET (Europe/Berlin).**" in text
    assert "git add cnn.ipynb wandering_digits.npz\n" in text
    assert "`wandering_digits.npz` (at most 64 KiB)" in text
    assert "upload `digits.npz`" in text
    for word in (
        "Summary",
        "Colab",
        "Codespaces",
        "uv pip install --torch-backend cpu -r requirements.txt",
        "jupyter lab",
    ):
        assert word in text


def test_a_homework_without_deadline_says_so_and_nothing_of_lateness(course):
    text = readme(course, "batchnorm")

    assert "**Deadline: none.**" in text
    assert "ate work" not in text
    assert "the best one counts." in text


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            "{kind: per_day}",
            (
                "Late work loses 10% of its points for every started 24 hours after the deadline, at most 30%: a "
                "second late is one day, and so are 24 hours; a second more is two."
            ),
        ),
        (
            "{kind: per_day, rate: 0.125, cap: 1, day: calendar}",
            (
                "Late work loses 12.5% of its points for every started day after the deadline, at most 100%. Days end"
                " at midnight (Europe/Berlin); what is left of the deadline's own day belongs to the first."
            ),
        ),
        ("{kind: per_day, rate: 0.5, cap: 0.3}", "Late work loses 30% of its points, however late it is."),
        ("{kind: per_day, rate: 0}", "Late work loses nothing."),
        (
            "{kind: points_then_every, at_once: 2, points: 2, hours: 12}",
            (
                "Late work loses 2 points at once and 2 points more for every started 12 hours: 4 in the first 12 "
                "hours, 6 in the next, and so on, and never more than it has."
            ),
        ),
        (
            "{kind: points_then_every, at_once: 0, points: 1, hours: 1}",
            (
                "Late work loses 1 point for every started hour: 1 in the first hour, 2 in the next, and so on, and "
                "never more than it has."
            ),
        ),
        (
            "{kind: points_then_every, at_once: 5, points: 0}",
            "Late work loses 5 points, however late it is, and never more than it has.",
        ),
        ("{kind: none}", "Late work loses nothing."),
        (
            "{kind: none, hard_after_hours: 72}",
            (
                "Late work loses nothing. After Wednesday, 7 October 2026, 23:59 CEST (Europe/Berlin), nothing counts"
                " any more."
            ),
        ),
        ("{kind: per_day, hard_after_hours: 0}", "What comes later does not count."),
    ],
)
def test_the_course_s_own_late_policy_is_put_into_words(policy, words, tmp_path):
    course = course_on_github(tmp_path, late=policy)

    assert " ".join(late_in_words(course, DUE)) == words


@pytest.mark.parametrize(
    ("github", "more", "words"),
    [
        ("{organisation: o}", "", "A push is handed in when its grading has finished"),
        ("{organisation: o}", "time_source: push", "A push is handed in when it arrives at GitHub"),
        ("{organisation: o}", "counts: last", "the last push counts."),
        ("{organisation: o}", "", "A run is red only where the grader itself failed"),
        ("{organisation: o, pass_mark: 50}", "", "A run is red below 50 points"),
        ("{organisation: o, central: all}", "", "grades every push once more"),
        ("{organisation: o, grade_on_push: false}", "", "A push is handed in when it arrives at GitHub"),
        (
            "{organisation: o, grade_on_push: false, central: before_deadline}",
            "",
            "the last push before the deadline",
        ),
    ],
)
def test_the_course_s_settings_are_put_into_words(github, more, words, tmp_path):
    course = course_on_github(tmp_path, github=github, more=more)

    assert words in readme(course)


def test_titles_are_text_whatever_is_in_them(tmp_path):
    directory = homework_named(
        tmp_path, title="A | B <script> [x](javascript:y) *z*", notebook="my work.ipynb"
    )
    course = load_course(directory.parent / "course.yml")

    text = readme(course, "toy")

    assert "<script>" not in text
    assert "](javascript" not in text
    assert "| B" not in text
    assert "git add 'my work.ipynb'\n" in text


def homework_named(tmp_path: Path, *, title: str, notebook: str) -> Path:
    """A homework without source, as somebody may keep one, in a course of its own."""
    directory = tmp_path / "homeworks" / "toy"
    (directory / "tests").mkdir(parents=True)
    (directory / "tests/test_one.py").write_text("")
    (directory / notebook).write_text(json.dumps({"cells": [code_cell("import sklearn, os, torch")]}))
    (directory / "homework.yml").write_text(
        textwrap.dedent(f"""\
            title: {title!r}
            notebook: {notebook}
            tasks: [{{id: one, title: {title!r}, points: 100, names: [one]}}]
            """)
    )
    (directory.parent / "course.yml").write_text(
        "{name: Toys, timezone: UTC, salt: s, github: {organisation: o}, homeworks: [{name: toy, weight: 1}]}\n"
    )
    return directory


def code_cell(source: str) -> dict[str, object]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}


def test_requirements_are_what_the_notebook_imports_in_the_versions_that_are_tested(course, tmp_path):
    torch = (ROOT / "constraints.txt").read_text().split("\ntorch==")[1].split("\n")[0].rpartition(".")[0]
    toy = load_course(
        homework_named(tmp_path / "toys", title="Toy", notebook="toy.ipynb").parent / "course.yml"
    )

    def lines(course: Course, name: str) -> list[str]:
        text = released_files(course, course.load_homework(name), COMMIT)["requirements.txt"].decode()
        return [line for line in text.splitlines() if not line.startswith("#")]

    assert lines(toy, "toy") == ["jupyterlab", "scikit-learn", f"torch=={torch}.*"]
    assert not [line for line in lines(course, "backprop") if "torch" in line]
    untested = ("jupyterlab", "scikit-learn")
    assert all("==" in line for line in lines(course, "dropout") if not line.startswith(untested))


def test_a_codespace_opens_with_the_notebook(course):
    file = released_files(course, course.load_homework("nlp"), COMMIT)[".devcontainer/devcontainer.json"]

    container = json.loads(file)

    assert container["postCreateCommand"].endswith(
        "uv pip install --system --torch-backend cpu -r requirements.txt"
    )
    assert container["customizations"]["codespaces"]["openFiles"] == ["nlp.ipynb"]


# The record

AT = datetime(2026, 10, 1, 8, tzinfo=UTC)
FIRST = BundleRelease(at=AT, commit="1" * 40, homeworks=("zoo",), tests={"zoo": "a"})
SECOND = BundleRelease(at=AT, commit="2" * 40, homeworks=("zoo", "cnn"), tests={"zoo": "b", "cnn": "c"})
TEMPLATE = TemplateRelease(
    at=AT, homework="zoo", github_tree="3" * 40, bundle_commit="1" * 40, commit="4" * 40
)
WITHOUT = TemplateRelease(at=AT, homework="zoo", github_tree=None, bundle_commit=None, commit="5" * 40)


def test_what_was_released_once_stays_good(tmp_path):
    path = tmp_path / "releases.jsonl"
    mended = TEMPLATE.model_copy(update={"github_tree": "6" * 40})
    for line in (FIRST, TEMPLATE, SECOND, WITHOUT, mended):
        append_release(path, line)

    releases = read_releases(path)

    assert releases.lines == (FIRST, TEMPLATE, SECOND, WITHOUT, mended)
    assert releases.trees("zoo") == {"3" * 40, "6" * 40}
    assert releases.trees("cnn") == frozenset()
    assert releases.bundle_commits == {"1" * 40, "2" * 40}
    assert releases.tests("zoo") == {"a", "b"}
    assert releases.released == ("zoo", "cnn")
    assert releases.latest_bundle == "2" * 40


def test_where_nothing_was_released_nothing_is_known(tmp_path):
    releases = read_releases(tmp_path / "releases.jsonl")

    assert (releases.released, releases.latest_bundle, releases.trees("zoo")) == ((), None, frozenset())


def test_a_line_that_a_kill_left_unfinished_is_ignored_and_cut_off(tmp_path):
    path = tmp_path / "releases.jsonl"
    append_release(path, FIRST)
    whole = path.read_bytes()
    following = (SECOND.model_dump_json() + "\n").encode()

    for length in range(len(following)):
        path.write_bytes(whole + following[:length])
        complete = length == len(following) - 1  # only its newline is missing

        assert read_releases(path).lines == ((FIRST, SECOND) if complete else (FIRST,))
        append_release(path, TEMPLATE)
        assert read_releases(path).lines == ((FIRST, SECOND, TEMPLATE) if complete else (FIRST, TEMPLATE))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{broken", "2: "),
        ('{"kind": "bundle"}', "2: bundle.at"),
        ('{"kind": "other"}', "2: "),
        (SECOND.model_dump_json().replace("2" * 40, "main"), "2: bundle.commit"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_written_after_it(line, said, tmp_path):
    path = tmp_path / "releases.jsonl"
    path.write_text(f"{FIRST.model_dump_json()}\n{line}\n{TEMPLATE.model_dump_json()}\n")
    before = path.read_bytes()

    for act in (lambda: read_releases(path), lambda: append_release(path, SECOND)):
        with pytest.raises(UsageError) as caught:
            act()
        assert str(caught.value).startswith(f"{path}:{said}")
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_releasing_loads_neither_torch_nor_pytest():
    modules = "grading.release, grading.bundle, grading.github.push"
    code = f"import sys, {modules}; print({{'torch', 'pytest'}} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout == "set()\n"
