"""Mutants: the reference solution with one small change each, which the hidden tests must notice.

What survives the tests is either judged equivalent, with a reason, in the homework's variants/equivalent.yml, or shows
that a test is missing.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from grading.build import solution_lines
from grading.configuration import Problem, read_configuration
from grading.homework import Homework
from grading.notebook import Cell, Notebook, percent_cells, read_percent
from grading.strict import Configuration

Words = Annotated[str, StringConstraints(min_length=1)]


@dataclass(slots=True, frozen=True)
class Mutant:
    """The reference with one change. `name`: where, and what into what; `tasks`: those it may break."""

    name: str
    notebook: Notebook
    tasks: frozenset[str]


class Equivalent(Configuration):
    """Mutants that no test can tell from the reference. `mutants`: names, in which * stands for anything."""

    mutants: tuple[Words, ...] = Field(min_length=1)
    reason: Words


class EquivalentKeys(Configuration):
    equivalent: tuple[Equivalent, ...] = ()


def without_reason(homework: Homework, survivors: Sequence[Mutant], everything: bool) -> list[Mutant]:
    """The survivors for which variants/equivalent.yml gives no reason.

    Raises UsageError with file and line, also (if `everything` was tried) for a name that no survivor has.
    """
    path = homework.directory / "variants" / "equivalent.yml"
    if not path.is_file():
        return list(survivors)
    names = [mutant.name for mutant in survivors]

    def stale(keys: EquivalentKeys) -> Iterable[Problem]:
        for i, entry in enumerate(keys.equivalent):
            for j, pattern in enumerate(entry.mutants):
                if everything and not any(matches(name, pattern) for name in names):
                    yield (
                        ("equivalent", i, "mutants", j),
                        f"no survivor is called {pattern!r}; remove the entry",
                    )

    keys = read_configuration(path, EquivalentKeys, stale)
    patterns = [pattern for entry in keys.equivalent for pattern in entry.mutants]
    return [m for m in survivors if not any(matches(m.name, pattern) for pattern in patterns)]


def matches(name: str, pattern: str) -> bool:
    """Only * is special: brackets stand for themselves."""
    return fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))


def mutants_of(homework: Homework) -> list[Mutant]:
    """Every mutant of the solutions in source.py, in order."""
    text = homework.source.read_text(encoding="utf-8-sig")
    code = [cell for cell in percent_cells(text, name=str(homework.source)) if cell.kind == "code"]
    reference = read_percent(homework.source)
    known: Counter[str] = Counter()
    mutants = []
    for number, cell in enumerate(code, start=1):
        lines = solution_lines(cell, str(homework.source))
        if not lines:
            continue
        tree = ast.parse(cell.source)
        for top in tree.body:
            tasks = tasks_of(top, tree, homework)
            for change in changes_in(top, lines):
                with change:
                    source = ast.unparse(tree)
                name = f"{name_of(top)}: {change.words}"
                known[name] += 1
                if known[name] > 1:
                    name = f"{name} ({known[name]})"
                mutants.append(Mutant(name, with_cell(reference, number, source), tasks))
    return mutants


def with_cell(notebook: Notebook, number: int, source: str) -> Notebook:
    return Notebook(
        tuple(Cell(cell.number, source) if cell.number == number else cell for cell in notebook.cells)
    )


def tasks_of(top: ast.stmt, tree: ast.Module, homework: Homework) -> frozenset[str]:
    """The tasks that ask for what the statement defines; for a helper, those of its cell, or all of them."""
    own = {task.id for task in homework.tasks if names_of(top) & set(task.names)}
    beside = {task.id for task in homework.tasks for other in tree.body if names_of(other) & set(task.names)}
    return frozenset(own or beside or {task.id for task in homework.tasks})


def names_of(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign() | ast.AnnAssign():
            return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return set()


def name_of(statement: ast.stmt) -> str:
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return first_line(statement)


# One change


class Change:
    """A node of a tree and what takes its place, for as long as the change is entered; None takes it out of a list."""

    def __init__(
        self, statement: ast.stmt, parent: ast.AST, field: str, index: int | None, new: ast.AST | None
    ) -> None:
        self.parent, self.field, self.index, self.new = parent, field, index, new
        self.old = getattr(parent, field) if index is None else getattr(parent, field)[index]
        self.words = f"{first_line(self.old)} → {first_line(new) if new is not None else 'nothing'}"
        if self.old is not statement:
            self.words += f" in {shortened(first_line(statement))}"

    def __enter__(self) -> None:
        place: Any = getattr(self.parent, self.field)
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        elif self.new is None:
            del place[self.index]
        else:
            place[self.index] = self.new

    def __exit__(self, *_: object) -> None:
        place: Any = getattr(self.parent, self.field)
        if self.index is None:
            setattr(self.parent, self.field, self.old)
        elif self.new is None:
            place.insert(self.index, self.old)
        else:
            place[self.index] = self.old


def first_line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


def shortened(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def changes_in(top: ast.stmt, lines: frozenset[int]) -> Iterator[Change]:
    """Every change to what stands on these lines, each to be entered before the next is asked for."""
    todo: list[tuple[ast.AST, ast.stmt]] = [(top, top)]
    while todo:
        parent, statement = todo.pop()
        if isinstance(parent, ast.Raise | ast.Assert | ast.JoinedStr):
            continue  # the words of an error are the student's own
        for field, index, child in children(parent):
            if field in ("annotation", "returns", "decorator_list", "ctx", "op", "ops"):
                continue
            inside = child if isinstance(child, ast.stmt) else statement
            todo.append((child, inside))
            line = getattr(child, "lineno", None)
            if line is None or line not in lines:
                continue
            for new in replacements(child):
                yield Change(inside, parent, field, index, ast.fix_missing_locations(new))
            if isinstance(parent, ast.Call) and field == "keywords":
                yield Change(inside, parent, field, index, None)


def children(parent: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    for field, value in ast.iter_fields(parent):
        if isinstance(value, ast.AST):
            yield field, None, value
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield field, index, item


# What takes the place of a node

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
ORDER_MATTERS = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}


def replacements(node: ast.AST) -> Iterator[ast.AST]:
    """Flipped comparison, other operator, swapped operands or arguments, dropped term or call, changed constant,
    removed statement."""
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(value * 2 if value else 1.0)
        case ast.Compare(ops=ops):
            for index, operator in enumerate(ops):
                for other in COMPARISONS[type(operator)]:
                    changed = copy.copy(node)
                    changed.ops = [other() if i == index else op for i, op in enumerate(ops)]
                    yield changed
        case ast.BinOp(left=left, op=operator, right=right):
            if other_operator := OPERATORS.get(type(operator)):
                yield ast.BinOp(left, other_operator(), right)
            if isinstance(operator, ORDER_MATTERS):
                yield ast.BinOp(right, operator, left)
            yield left
            yield right
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
            for index in range(len(values)):
                left_over = values[:index] + values[index + 1 :]
                yield left_over[0] if len(left_over) == 1 else ast.BoolOp(operator, left_over)
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.Call(func=ast.Attribute(value=value), args=[], keywords=[]):
            yield value
        case ast.Call(func=function, args=[first, second, *others], keywords=keywords):
            if not isinstance(first, ast.Starred) and not isinstance(second, ast.Starred):
                yield ast.Call(function, [second, first, *others], keywords)
        case ast.Slice(lower=lower, upper=upper, step=step):
            if lower is not None:
                yield ast.Slice(None, upper, step)
            if upper is not None:
                yield ast.Slice(lower, None, step)
        case ast.If(body=body, orelse=orelse):
            yield ast.If(ast.Constant(True), body, [])
            yield ast.If(ast.Constant(False), body, orelse)
        case ast.AugAssign(target=target, op=operator, value=value):
            if other_operator := OPERATORS.get(type(operator)):
                yield ast.AugAssign(target, other_operator(), value)
            yield ast.Assign([target], value)
            yield ast.Pass()
        case ast.Assign() | ast.Raise() | ast.Break() | ast.Continue() | ast.Delete() | ast.Assert():
            yield ast.Pass()
        case ast.Expr(value=value) if not isinstance(value, ast.Constant):
            yield ast.Pass()
