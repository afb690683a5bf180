"""A made class: students who worked alone, and copies of some of them in disguise. Nothing of it is run.

Honest students are put together, task by task, from solutions that were written apart from one another: the reference
and the right variants of a homework. Its wrong variants are the reference with a mistake, and count as from the same
pen. Two students are honest strangers where no task of theirs is from the same pen; two who share a pen in some tasks
are what they are, copies in so many tasks. What a solution leaves out stays the starter's stub.
"""

from __future__ import annotations

import ast
import builtins
import functools
import json
import random
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from grading.build import build_reference
from grading.grade import read_starter
from grading.homework import Homework
from grading.notebook import parse_notebook
from grading.variants import titled_cells

Cells = tuple[str, ...]
Disguise = Callable[[Cells, random.Random], Cells]


@dataclass(frozen=True, slots=True)
class Solution:
    """One task solved. Those of one pen were written from one another: the reference, and what is wrong about it."""

    task: str
    pen: str
    code: str


@dataclass(frozen=True, slots=True)
class Student:
    cells: Cells
    pens: Mapping[str, str]


def solutions(homework: Homework) -> dict[str, list[Solution]]:
    """For each task the reference's, then the right variants, then the wrong ones."""
    text = homework.source.read_text(encoding="utf-8")
    reference = parse_notebook(build_reference(text, source_name=str(homework.source)).encode())
    found: dict[str, list[Solution]] = {}
    for task in homework.tasks:
        own = [cell.source for cell in reference.cells if defined(cell.source) & {*task.names}]
        found[task.id] = [Solution(task.id, "reference", "\n\n\n".join(own))]
    for kind in ("right", "wrong"):
        for number, (cell, _, task_id, _) in enumerate(titled_cells(homework, kind)):
            if task_id is not None:
                pen = f"right {number}" if kind == "right" else "reference"
                found[task_id].append(Solution(task_id, pen, cell.source))
    return found


def handed_in(homework: Homework, chosen: Sequence[Solution]) -> Cells:
    """The cells of a notebook in which these tasks are solved so, in the place of the starter's stubs."""
    cells = [cell.source for cell in read_starter(homework).cells]
    for solution in chosen:
        names = defined(solution.code)
        places = [number for number, cell in enumerate(cells) if defined(cell) & names]
        for number in places:
            cells[number] = without(cells[number], names)
        at = places[0] if places else len(cells) - 1
        cells[at] = "\n\n\n".join(filter(None, (cells[at].strip(), solution.code)))
    return tuple(cell for cell in cells if cell.strip())


def crowd(homework: Homework, size: int, seed: int = 0) -> dict[str, Student]:
    """Students who took one solution a task, each pen as likely as the next."""
    draw = random.Random(seed)
    pens = {
        task: [[one for one in known if one.pen == pen] for pen in dict.fromkeys(one.pen for one in known)]
        for task, known in solutions(homework).items()
    }
    students = {}
    for number in range(size):
        chosen = [draw.choice(draw.choice(of_task)) for of_task in pens.values()]
        pen = {solution.task: solution.pen for solution in chosen}
        students[f"student-{number:02}"] = Student(handed_in(homework, chosen), pen)
    return students


def in_common(one: Student, other: Student) -> int:
    """The number of tasks in which both have a solution from the same pen."""
    return sum(other.pens[task] == pen for task, pen in one.pens.items())


def write(directory: Path, students: Mapping[str, Sequence[str]]) -> Path:
    """Notebooks called LOGIN.ipynb."""
    directory.mkdir(parents=True, exist_ok=True)
    for login, cells in students.items():
        (directory / f"{login}.ipynb").write_bytes(notebook(cells))
    return directory


def notebook(cells: Sequence[str]) -> bytes:
    code = [
        {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
        for source in cells
    ]
    return json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}).encode()


# Python text


@functools.cache
def defined(source: str) -> frozenset[str]:
    """What a cell defines at its top level; nothing where it is no Python."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return frozenset()
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)} - {"_"}
    for node in body:
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(names)


def without(source: str, names: Set[str]) -> str:
    """A cell without the definitions of these names at its top level."""
    lines = source.split("\n")
    for node in reversed(ast.parse(source).body):
        if defined(ast.get_source_segment(source, node) or "") & names:
            start = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
            del lines[start - 1 : node.end_lineno]
    return "\n".join(lines)


# Disguises: of the cells that are a student's own


def disguised(cells: Cells, homework: Homework, disguise: Disguise, seed: int = 0) -> Cells:
    """A copy of a notebook, its own cells in disguise and the starter's left as they are."""
    given = {cell.source.strip() for cell in read_starter(homework).cells}
    own = tuple(cell for cell in cells if cell.strip() not in given)
    changed = list(disguise(own, random.Random(seed)))
    copy: list[str] = []
    for cell in cells:
        if cell.strip() in given:
            copy.append(cell)
        elif changed:
            copy.append(changed.pop(0))
    return (*copy, *changed)


def renamed(keep: set[str]) -> Disguise:
    """Every variable, parameter, helper and attribute of one's own; `keep` is what tests ask for."""

    def disguise(cells: Cells, draw: random.Random) -> Cells:
        trees = [ast.parse(cell) for cell in cells]
        nodes = [node for tree in trees for node in ast.walk(tree)]
        bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        bound |= {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and on_self(node) and isinstance(node.ctx, ast.Store)
        }
        in_text = [part for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)]
        fixed = keep | set(dir(builtins)) | {part.id for part in in_text if isinstance(part, ast.Name)}
        fixed |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and not on_self(node)}
        fixed |= {name for name in bound if name.startswith("__")} | {"self", "cls", "ctx"}
        new = {
            name: f"{draw.choice('abcdefghk')}{number}" for number, name in enumerate(sorted(bound - fixed))
        }
        return tuple(with_names(cell, tree, new) for cell, tree in zip(cells, trees, strict=True))

    return disguise


def on_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def with_names(cell: str, tree: ast.AST, new: Mapping[str, str]) -> str:
    """The text with names replaced where they stand as names: not in calls' keywords, not in text."""
    lines = [line.encode() for line in cell.split("\n")]
    places: list[tuple[int, int, str]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name):
                places.append((node.lineno, node.col_offset, name))
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                start = lines[node.lineno - 1].index(name.encode(), node.col_offset + 3)
                places.append((node.lineno, start, name))
            case ast.Attribute(attr=name) if on_self(node) and node.end_lineno and node.end_col_offset:
                places.append((node.end_lineno, node.end_col_offset - len(name.encode()), name))
    for number, start, name in sorted(places, reverse=True):
        line, length = lines[number - 1], len(name.encode())
        if name in new and line[start : start + length] == name.encode():
            lines[number - 1] = line[:start] + new[name].encode() + line[start + length :]
    return b"\n".join(lines).decode()


def reordered(cells: Cells, draw: random.Random) -> Cells:
    """Cells, what stands in them, and the methods of a class in another order."""
    shuffled = []
    for cell in draw.sample(cells, len(cells)):
        tree = ast.parse(cell)
        draw.shuffle(tree.body)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                draw.shuffle(node.body)
        shuffled.append("\n\n\n".join(map(ast.unparse, tree.body)))
    return tuple(shuffled)


def commented(cells: Cells, draw: random.Random) -> Cells:
    """The comments and docstrings that there are go, and others come."""
    return tuple(
        with_comments(ast.unparse(NewDocstrings(draw).visit(ast.parse(cell))), draw) for cell in cells
    )


WORDS = "first now the rest of this value shape mean result each entry then check keep sum over axis".split()


def words(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=6))


class NewDocstrings(ast.NodeTransformer):
    def __init__(self, draw: random.Random) -> None:
        self.draw = draw

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            del node.body[0]
        node.body.insert(0, ast.Expr(ast.Constant(words(self.draw))))
        return ast.fix_missing_locations(node)


def with_comments(cell: str, draw: random.Random) -> str:
    starts = {node.lineno for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.stmt)}
    lines = []
    for number, line in enumerate(cell.split("\n"), 1):
        if number in starts:
            lines.append(f"{line[: len(line) - len(line.lstrip())]}# {words(draw)}")
        lines.append(f"{line}  # {words(draw)}" if number in starts else line)
    return "\n".join(lines)


def reformatted(cells: Cells, draw: random.Random) -> Cells:
    """Other indentation, brackets, quotes and line breaks."""
    return tuple("\n".join(map(spread, ast.unparse(ast.parse(cell)).split("\n"))) for cell in cells)


def spread(line: str) -> str:
    """Two spaces for four, and what is returned in brackets on lines of its own."""
    code = line.lstrip(" ")
    indent = " " * ((len(line) - len(code)) // 2)
    if code.startswith("return "):
        return f"{indent}return (\n{indent}  {code.removeprefix('return ')}\n{indent})"
    return indent + code


DEAD = """
spare = 0
spare = len(str(spare))
print("here")
pass
"see above"
if False: spare = None
assert True
for spare in range(0): continue
spare = [spare for spare in range(3)]
"""


def padded(cells: Cells, draw: random.Random) -> Cells:
    """After every other statement of a function a line that does nothing."""
    return tuple(ast.unparse(Padded(draw).visit(ast.parse(cell))) for cell in cells)


class Padded(ast.NodeTransformer):
    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.dead = ast.parse(DEAD).body

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.FunctionDef | ast.For | ast.If | ast.While):
            node.body = [one for statement in node.body for one in self.with_line(statement)]
        return node

    def with_line(self, statement: ast.stmt) -> list[ast.stmt]:
        last = isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break)
        return [statement] if last or self.draw.random() < 0.5 else [statement, self.draw.choice(self.dead)]


def split(cells: Cells, draw: random.Random) -> Cells:
    """A cell for each thing that is defined."""
    return tuple(ast.unparse(node) for cell in cells for node in ast.parse(cell).body)


def merged(cells: Cells, draw: random.Random) -> Cells:
    return ("\n\n\n".join(cells),)


def annotated(cells: Cells, draw: random.Random) -> Cells:
    """With types where there were none."""
    return tuple(ast.unparse(Annotated().visit(ast.parse(cell))) for cell in cells)


class Annotated(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = ast.Name("object", ast.Load())
        for argument in node.args.args:
            argument.annotation = ast.Name("object", ast.Load())
        return node


def restated(cells: Cells, draw: random.Random) -> Cells:
    """Work: `+=` spelt out, comparisons turned round, results named before they are returned."""
    return tuple(ast.unparse(ast.fix_missing_locations(Restated().visit(ast.parse(cell)))) for cell in cells)


TURNED = {
    ast.Lt: ast.Gt,
    ast.Gt: ast.Lt,
    ast.LtE: ast.GtE,
    ast.GtE: ast.LtE,
    ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
}


class Restated(ast.NodeTransformer):
    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        before = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.Assign([node.target], ast.BinOp(before, node.op, node.value))

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) == 1 and type(node.ops[0]) in TURNED:
            node.ops = [TURNED[type(node.ops[0])]()]
            node.left, node.comparators = node.comparators[0], [node.left]
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST | list[ast.AST]:
        self.generic_visit(node)
        if node.value is None or isinstance(node.value, ast.Name | ast.Constant):
            return node
        return [
            ast.Assign([ast.Name("outcome", ast.Store())], node.value),
            ast.Return(ast.Name("outcome", ast.Load())),
        ]


def one_after_another(*disguises: Disguise) -> Disguise:
    def all_of_them(cells: Cells, draw: random.Random) -> Cells:
        for disguise in disguises:
            cells = disguise(cells, draw)
        return cells

    return all_of_them


def methods(homework: Homework) -> set[str]:
    """Names of the methods that the starter's classes have: tests call them."""
    trees = [ast.parse(cell.source) for cell in read_starter(homework).cells if defined(cell.source)]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def disguises_of(homework: Homework) -> dict[str, Disguise]:
    given = {name for cell in read_starter(homework).cells for name in defined(cell.source)}
    names = renamed(given | {name for task in homework.tasks for name in task.names} | methods(homework))
    everything = one_after_another(names, padded, annotated, reordered, split, commented, reformatted)
    return {
        "as it is": lambda cells, draw: cells,
        "names": names,
        "order": reordered,
        "comments": commented,
        "format": reformatted,
        "dead lines": padded,
        "cells split": split,
        "cells merged": merged,
        "types": annotated,
        "names, order, comments": one_after_another(names, reordered, commented),
        "all of these": everything,
        "restated": restated,
        "all, and restated": one_after_another(restated, everything),
    }
