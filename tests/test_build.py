"""The starter: everything of the source but its solutions, byte for byte the same each time."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from grading.build import build, build_reference, build_starter
from grading.errors import UsageError
from grading.notebook import parse_notebook, parse_percent, percent_cells

SOURCE = '''\
# %% [markdown]
# # The zoo
# Formulas: $\\\\frac{1}{2}$

# %%
import math

# %matplotlib inline

# %% [markdown]
# ## Sigmoid (15 points)

# %%
def sigmoid(x):
    """The logistic function."""
    ### BEGIN SOLUTION
    secret = math.exp(-x)

    return 1 / (1 + secret)
    ### END SOLUTION


def softplus(x):
    # BEGIN SOLUTION
    return math.log1p(math.exp(x))
    # END SOLUTION


# %% tags=["check"]
assert sigmoid(0) == 0.5

# %%
### BEGIN SOLUTION
ANSWERS = {"dead": 0.7}
### STARTER: ANSWERS = {
### STARTER:     "dead": None,
### STARTER: }
### END SOLUTION

# %% tags=["demo", "figure"]
print(sigmoid(1))
'''


def starter(source: str) -> list[str]:
    return [
        cell.source for cell in parse_notebook(build_starter(source, source_name="source.py").encode()).cells
    ]


def ids(source: str) -> list[str]:
    return [cell["id"] for cell in json.loads(build_starter(source, source_name="source.py"))["cells"]]


def test_solutions_become_stubs() -> None:
    code = starter(SOURCE)

    assert code[1] == (
        'def sigmoid(x):\n    """The logistic function."""\n    raise NotImplementedError\n\n\n'
        "def softplus(x):\n    raise NotImplementedError"
    )
    assert code[3] == 'ANSWERS = {\n    "dead": None,\n}'


def test_nothing_of_a_solution_is_left() -> None:
    text = build_starter(SOURCE, source_name="source.py")

    for piece in ("secret", "log1p", "0.7", "SOLUTION", "STARTER"):
        assert piece not in text


def test_a_trailing_marker_empties_its_line() -> None:
    code = starter(
        "# %%\n"
        "rate: float = 0.1  # SOLUTION\n"
        "a, b = 1, 2 # SOLUTION\n"
        "def f(x):\n"
        "    y = x == 2  # SOLUTION\n"
        "    if x == 2:\n"
        "        print(x)  ### SOLUTION\n"
        "        return x == 3  # SOLUTION\n"
    )

    assert code[0].split("\n") == [
        "rate: float = ...",
        "a, b = ...",
        "def f(x):",
        "    y = ...",
        "    if x == 2:",
        "        raise NotImplementedError",
    ]


def test_the_reference_keeps_solutions_and_loses_markers() -> None:
    cells = parse_notebook(build_reference(SOURCE, source_name="source.py").encode()).cells
    namespace: dict[str, object] = {"__name__": "reference"}
    for cell in cells:
        exec(re.sub(r"^%.*", "", cell.source, flags=re.MULTILINE), namespace)

    assert namespace["ANSWERS"] == {"dead": 0.7}
    assert all("SOLUTION" not in cell.source and "STARTER" not in cell.source for cell in cells)


def test_the_starter_is_a_valid_notebook_without_outputs_that_keeps_tags() -> None:
    text = build_starter(SOURCE, source_name="source.py")

    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert text.endswith("}\n")
    assert "\r" not in text
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")
    assert [cell.metadata.get("tags") for cell in notebook.cells][-1] == ["demo", "figure"]
    assert build_starter(SOURCE, source_name="source.py") == text


def test_a_source_with_other_newlines_gives_the_same_starter() -> None:
    assert build_starter(SOURCE.replace("\n", "\r\n"), source_name="source.py") == build_starter(
        SOURCE, source_name="source.py"
    )


def test_magics_are_comments_in_the_source_and_magics_in_the_starter() -> None:
    assert "%matplotlib inline" in starter(SOURCE)[0].split("\n")


def test_ids_are_unique_and_speak() -> None:
    assert ids(SOURCE) == [
        "the-zoo-markdown",
        "the-zoo-code",
        "sigmoid-markdown",
        "sigmoid-code",
        "sigmoid-check",
        "sigmoid-code-2",
        "sigmoid-demo",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import math\n", "import math\nimport torch\n"),
        ("Formulas", "Other formulas"),
        ("15 points", "20 points"),
        ("secret = math.exp(-x)", "secret = 1"),
        ("print(sigmoid(1))", "print('x')"),
    ],
)
def test_ids_stay_when_a_cell_is_edited(old: str, new: str) -> None:
    assert old in SOURCE

    assert ids(SOURCE.replace(old, new)) == ids(SOURCE)


def test_ids_of_equal_or_foreign_headings_differ() -> None:
    source = "# %% [markdown]\n# # Идея\n\n# %%\n1\n\n# %% [markdown]\n# # Идея\n\n# %%\n2\n"

    assert ids(source) == ["section-markdown", "section-code", "section_2-markdown", "section_2-code"]


@pytest.mark.parametrize(
    ("source", "line", "says"),
    [
        ("# %%\n### BEGIN SOLUTION\nx = 1\n", 2, "without an END SOLUTION"),
        ("# %%\n### BEGIN SOLUTION\nx = 1\n# %%\n### END SOLUTION\n", 2, "without an END SOLUTION"),
        ("# %%\nx = 1\n### END SOLUTION\n", 3, "without a BEGIN SOLUTION"),
        ("# %%\n### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION\n", 3, "inside the one of line 2"),
        ("# %%\n### STARTER: x = 1\n", 2, "outside of a solution"),
        ("# %%\n\n\n### begin solution\nx = 1\n", 4, "looks like a solution marker"),
        ("# %%\n### BEGIN_SOLUTION\nx = 1\n", 2, "looks like a solution marker"),
        ("# %%\nx = 1  # BEGIN SOLUTION\n", 2, "looks like a solution marker"),
        ("# %%\nx = 1  # SOLUTION NO PROMPT\n", 2, "looks like a solution marker"),
        ("# %%\n# SOLUTION\nx = 1\n", 2, "looks like a solution marker"),
        ("# %% [markdown]\n# Text\n# ### BEGIN SOLUTION\n", 3, "in a text cell"),
        (
            "# %%\nif True:\n### BEGIN SOLUTION\n    x = 1\n### END SOLUTION\n",
            2,
            "no Python without the markers",
        ),
        ("# %% tags=[check]\nx = 1\n", 1, "tags"),
    ],
)
def test_a_marker_that_does_not_work_is_an_error_with_file_and_line(
    source: str, line: int, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as error:
        build_starter(source, source_name="zoo/source.py")

    assert str(error.value).startswith(f"zoo/source.py:{line}:")
    assert "\n" not in str(error.value)


def test_the_source_is_read_as_jupytext_reads_it() -> None:
    theirs = jupytext.reads(SOURCE, fmt="py:percent").cells

    ours = percent_cells(SOURCE)

    assert [(cell.kind, cell.source, list(cell.tags)) for cell in ours] == [
        (cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in theirs
    ]


# Homeworks on disk


@pytest.fixture
def homework(tmp_path: Path) -> Path:
    directory = tmp_path / "zoo"
    (directory / "tests").mkdir(parents=True)
    (directory / "tests" / "test_sigmoid.py").write_text("")
    (directory / "homework.yml").write_text(
        "title: The zoo\nnotebook: animals.ipynb\n"
        "tasks: [{id: sigmoid, title: Sigmoid, points: 100, names: [sigmoid]}]\n"
    )
    (directory / "source.py").write_text(SOURCE)
    return directory


def test_building_writes_the_starter_once(homework: Path) -> None:
    first, second = build(homework), build(homework)

    assert first == [homework / "animals.ipynb"]
    assert second == []
    assert (homework / "animals.ipynb").read_text() == build_starter(SOURCE, source_name="source.py")
    assert sorted(path.name for path in homework.iterdir()) == [
        "animals.ipynb",
        "homework.yml",
        "source.py",
        "tests",
    ]


def test_a_folder_of_homeworks_is_built_as_a_whole(homework: Path) -> None:
    assert build(homework.parent) == [homework / "animals.ipynb"]


def test_checking_writes_nothing_and_names_what_is_out_of_step(homework: Path) -> None:
    missing = build(homework, check=True)
    was_written = (homework / "animals.ipynb").exists()
    build(homework)
    (homework / "source.py").write_text(SOURCE.replace("0.5", "1 / 2"))

    assert missing == [homework / "animals.ipynb"]
    assert not was_written
    assert build(homework, check=True) == [homework / "animals.ipynb"]


def test_an_error_in_one_source_leaves_every_starter_alone(homework: Path) -> None:
    build(homework)
    before = (homework / "animals.ipynb").read_bytes()
    (homework / "source.py").write_text(SOURCE.replace("### END SOLUTION", ""))

    with pytest.raises(UsageError, match=r"zoo/source\.py:"):
        build(homework)

    assert (homework / "animals.ipynb").read_bytes() == before


def test_a_directory_without_a_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no source\.py"):
        build(tmp_path)


SOURCES = sorted((Path(__file__).parents[1] / "homeworks").glob("*/source.py"))


@pytest.mark.parametrize("path", SOURCES, ids=[path.parent.name for path in SOURCES])
def test_no_starter_of_ours_holds_a_solution(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    solved = parse_percent(text, name=str(path)).cells

    stubs = starter(text)

    blocks = 0
    for cell, stub in zip(solved, stubs, strict=True):
        for block in re.findall(r"BEGIN SOLUTION\n(.*?)\n[^\n]*END SOLUTION", cell.source, re.DOTALL):
            lines = [line for line in block.split("\n") if line.strip() and "### STARTER:" not in line]
            blocks += 1
            assert "\n".join(lines) not in stub
            assert not set(lines) & set(stub.split("\n")) - {line for line in lines if len(line.strip()) < 12}
        ast.parse(re.sub(r"^[%!].*", "", stub, flags=re.MULTILINE))
    assert blocks > 0
