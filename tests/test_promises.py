"""What is promised of every homework of the course: verdicts on every seed, and notebooks that run.

A homework that is added to `homeworks/course.yml` is held to them with no line written here.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest

from grading.build import build_reference
from grading.course import load_course
from grading.notebook import percent_cells

ROOT = Path(__file__).parents[1]
GRADING = Path(sysconfig.get_path("scripts"), "grading")
COURSE = load_course(ROOT / "homeworks/course.yml")
NAMES = [homework.name for homework in COURSE.homeworks]

each_homework = pytest.mark.parametrize("name", NAMES)


@each_homework
@pytest.mark.timeout(900)
def test_a_homework_keeps_its_promises(name):
    checked = check(name, "--seeds", "1", "--reference-seeds", "3")

    assert checked.returncode == 0, checked.stdout + checked.stderr


@each_homework
@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_homework_keeps_its_promises_in_every_task_on_every_seed(name):
    checked = check(name, "--full", "--seeds", "5", "--reference-seeds", "30")

    assert checked.returncode == 0, checked.stdout + checked.stderr


@each_homework
@pytest.mark.full
@pytest.mark.timeout(3600)
def test_every_small_change_of_the_reference_is_noticed_or_explained(name):
    checked = check(name, "--mutants")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GRADING, "check", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@each_homework
def test_a_homework_has_enough_variants(name):
    variants = COURSE.load_homework(name).directory / "variants"

    wrong, right = (titles(variants / f"{kind}.py") for kind in ("wrong", "right"))

    assert len(wrong) >= 15
    assert len(right) >= 5
    tasks = {task.id for task in COURSE.load_homework(name).tasks}
    assert {match[1] for title in wrong if (match := re.match(r"\[(\w+)\]", title))} == tasks


def titles(file: Path) -> list[str]:
    return [cell.title for cell in percent_cells(file.read_text(), name=str(file)) if cell.title]


# The notebooks


@each_homework
@pytest.mark.timeout(900)
def test_the_reference_runs_from_top_to_bottom(name, executed):
    ended, _ = executed(name, "reference")

    assert ended.returncode == 0, ended.stderr


@each_homework
@pytest.mark.timeout(900)
def test_the_starter_runs_up_to_what_is_left_to_write(name, executed):
    ended, ran = executed(name, "starter")

    assert ended.returncode == 0, ended.stderr
    errors = [
        (output.ename, output.evalue)
        for cell in ran.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
    assert {kind for kind, _ in errors} <= {"NotImplementedError"}, errors


@pytest.fixture(scope="module")
def executed(request, tmp_path_factory):
    """How a notebook of a homework ended, and the notebook with its outputs.

    All that this run asks for are begun at once, one on each core.
    """
    kinds = {
        test_the_reference_runs_from_top_to_bottom.__name__: "reference",
        test_the_starter_runs_up_to_what_is_left_to_write.__name__: "starter",
    }
    asked = [
        (item.callspec.params["name"], kinds[item.originalname])
        for item in request.session.items
        if item.module is request.module and item.originalname in kinds
    ]
    # Parsing stays in this thread: in Python 3.11 two that parse at once may fail each other.
    notebooks = {each: laid_out(*each, tmp_path_factory.mktemp("-".join(each))) for each in asked}
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        runs = {each: cores.submit(execute, path, each[1]) for each, path in notebooks.items()}
        yield lambda *each: runs[each].result()


def laid_out(name: str, kind: str, place: Path) -> Path:
    """A notebook of a homework, in a directory with what a student's repository holds."""
    homework = COURSE.load_homework(name)
    for file in homework.data_files:
        (place / file.name).write_bytes(file.read_bytes())
    text = homework.starter.read_text()
    if kind == "reference":
        text = build_reference(homework.source.read_text(), source_name=str(homework.source))
    nbformat.validate(nbformat.reads(text, as_version=4))
    (place / homework.notebook).write_text(text)
    return place / homework.notebook


def execute(path: Path, kind: str) -> tuple[subprocess.CompletedProcess[str], Any]:
    """The notebook after Restart and run all."""
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output", "ran.ipynb"]
    command += ["--ExecutePreprocessor.timeout=300", "--ExecutePreprocessor.kernel_name=python3"]
    ended = subprocess.run(
        [*command, *(["--allow-errors"] if kind == "starter" else []), path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    ran = path.with_name("ran.ipynb")
    return ended, nbformat.read(ran, as_version=4) if ran.exists() else None


@each_homework
def test_the_starter_holds_no_line_of_a_solution(name):
    homework = COURSE.load_homework(name)
    starter = json.loads(homework.starter.read_text())
    given = {line.strip() for cell in starter["cells"] for line in "".join(cell["source"]).splitlines()}

    left = [line for line in solution_lines(homework.source.read_text()) if line in given]

    assert left == []
    assert "SOLUTION" not in homework.starter.read_text()


def solution_lines(source: str) -> list[str]:
    """Lines that stand in solutions only, and say something."""
    solution, outside, inside = [], set(), False
    for line in source.splitlines():
        if "BEGIN SOLUTION" in line:
            inside = True
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            outside.add(line.strip())
        elif "STARTER:" not in line:
            solution.append(line.strip())
    return [line for line in solution if line not in outside and len(line) > 8]


@each_homework
def test_the_starter_holds_no_output_and_no_count(name):
    starter = json.loads(COURSE.load_homework(name).starter.read_text())

    code = [cell for cell in starter["cells"] if cell["cell_type"] == "code"]

    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@each_homework
def test_the_starter_holds_nothing_of_the_hidden_tests(name):
    homework = COURSE.load_homework(name)
    starter = " ".join("".join(cell["source"]) for cell in json.loads(homework.starter.read_text())["cells"])

    for module in sorted(homework.tests_directory.glob("*.py")):
        tree = ast.parse(module.read_text())
        names = [
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
        ]
        words = {
            ast.get_docstring(node)
            for node in [tree, *tree.body]
            if isinstance(node, ast.FunctionDef | ast.Module)
        }
        judged = [text for text in statements(tree) if re.search(r"submission|^assert|^check", text)]
        for hidden in [*names, *filter(None, words), *judged]:
            assert hidden not in starter, f"{module.name}: {hidden}"


def statements(tree: ast.Module) -> list[str]:
    """What stands in the bodies of a module's functions, statement by statement."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [ast.unparse(node) for function in functions for node in function.body]


@each_homework
def test_the_starter_asks_for_every_name_that_is_graded(name):
    homework = COURSE.load_homework(name)
    starter = homework.starter.read_text()

    for task in homework.tasks:
        for wanted in task.names:
            assert re.search(rf"\b{wanted}\b", starter), f"{task.id}: {wanted}"
