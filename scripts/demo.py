"""The demo behind `scripts/demo`: makes a small class of submissions and grades it with the real command line.

It only prepares notebooks and shows results; everything between is `grading grade` and `grading export`.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grading.build import build_reference
from grading.course import load_course
from grading.homework import load_homework
from grading.report.words import error_reason, findings
from grading.score import Score
from grading.score_file import load_score

ROOT = Path(__file__).resolve().parents[1]
HOMEWORK = ROOT / "homeworks" / "activations"
GRADING = Path(sys.executable).parent / "grading"
LATE_BY = timedelta(days=3)

PARTLY_WRONG = """
def sigmoid(x):
    return 1 / (1 + torch.exp(-x))          # right value, but the gradient is NaN far out

def leaky_relu(x, slope=0.01):
    return torch.where(x > 0, slope * x, x)  # the slope on the wrong side

def softmax(x, dim):
    return x.exp() / x.exp().sum(dim=dim, keepdim=True)   # overflows
"""

HANGS = """
def relu_interpolant(*arguments, **options):
    while True:
        pass
"""

CHEATS = """
import torch

class Yes:
    def __eq__(self, other): return True
    def __bool__(self): return True
    def __float__(self): return 0.0
    def __getattr__(self, name): return self
    def __call__(self, *arguments, **options): return self

torch.allclose = torch.equal = torch.isclose = lambda *arguments, **options: True
torch.testing.assert_close = lambda *arguments, **options: None
torch.Tensor.__eq__ = lambda left, right: Yes()

for name in "NAMES".split():
    globals()[name] = Yes()
"""


def main() -> int:
    started = time.monotonic()
    console = Console()
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output").absolute()
    submissions, scores, grades = out / "submissions", out / "scores", out / "grades.csv"
    submissions.mkdir(parents=True, exist_ok=True)

    console.print(f"[bold]1. A class of seven submissions[/] in {submissions}")
    notebooks = write_class(submissions)
    deadline = load_course(ROOT / "homeworks" / "course.yml").homework("activations").deadline
    assert deadline is not None, (
        "the demo's late student needs a deadline of activations in homeworks/course.yml"
    )

    console.print("[bold]2. Grading them[/] in the sandbox (one hangs: that costs its time limit)")
    on_time = [path for path in notebooks if path.stem != "late"]
    common = ["--homework", "activations", "--out", scores]
    status = grading(
        "grade", *on_time, "--submitted-at", (deadline - timedelta(hours=1)).isoformat(), *common
    )
    late = submissions / "late.ipynb"
    status = max(status, grading("grade", late, "--submitted-at", (deadline + LATE_BY).isoformat(), *common))

    console.print(f"[bold]3. Exporting the grades[/] to {grades}")
    status = max(status, grading("export", scores, "--out", grades))
    console.print(table(grades))

    console.print("[bold]4. What each student reads first[/]")
    for path in sorted(scores.rglob("*.json")):
        score = load_score(path)
        console.print(Text(f"{score.student}: ", style="bold"), Text(first_words(score)), sep="")
    console.print(f"Done in {time.monotonic() - started:.0f} s.")
    return status


def write_class(directory: Path) -> list[Path]:
    """One notebook a student, named after what is in it."""
    source = HOMEWORK / "source.py"
    reference = json.loads(build_reference(source.read_text(), source_name=str(source)))
    starter = json.loads((HOMEWORK / f"{HOMEWORK.name}.ipynb").read_text())
    names = " ".join(name for task in load_homework(HOMEWORK).tasks for name in task.names)
    notebooks = {
        "reference": reference,
        "starter": starter,
        "partly-wrong": with_cell(reference, PARTLY_WRONG),
        "late": reference,
        "hangs": with_cell(reference, HANGS),
        "cheats": with_cell(starter, CHEATS.replace("NAMES", names)),
        "broken-cell": with_edit(reference, lambda code: code.replace("def gelu(", "def gelu((")),
    }
    paths = [directory / f"{student}.ipynb" for student in notebooks]
    for path, notebook in zip(paths, notebooks.values(), strict=True):
        path.write_text(json.dumps(notebook, indent=1) + "\n")
    return paths


def with_cell(notebook: dict[str, Any], code: str) -> dict[str, Any]:
    """The notebook with one more code cell at its end: the last definition of a name wins."""
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "added",
        "metadata": {},
        "source": code.strip(),
        "outputs": [],
        "execution_count": None,
    }
    return notebook | {"cells": [*notebook["cells"], cell]}


def with_edit(notebook: dict[str, Any], edit: Callable[[str], str]) -> dict[str, Any]:
    """The notebook with each code cell edited."""
    cells = [
        cell | {"source": edit("".join(cell["source"]))} if cell["cell_type"] == "code" else cell
        for cell in notebook["cells"]
    ]
    return notebook | {"cells": cells}


def grading(*arguments: object) -> int:
    """Run the command line as a person would; its exit code."""
    return subprocess.run([GRADING, *map(str, arguments)], cwd=ROOT, check=False).returncode


def table(grades: Path) -> Table:
    with grades.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    # The class handed in one homework: the columns of the others are empty.
    columns = [i for i in range(len(header)) if any(row[i] for row in rows)]
    shown = Table(title=grades.name)
    for i in columns:
        shown.add_column(Text(header[i].replace("_", "\n")), justify="left" if i == 0 else "right")
    for row in rows:
        shown.add_row(*(Text(row[i]) for i in columns))
    return shown


def first_words(score: Score) -> str:
    """The first property that does not hold in each of the first two tasks with one, and why."""
    if score.state == "error":
        return error_reason(score)
    lines = []
    for task in score.tasks:
        for heading, details in list(findings(task).items())[:1]:
            lines += [f"  {task.id}: {heading}", *(f"    {detail}" for detail in details[:1])]
    return "\n".join(["", *lines[:4]]) if lines else "everything passed"


if __name__ == "__main__":
    sys.exit(main())
