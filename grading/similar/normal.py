"""What is left of code when it is read to be compared: the kinds of its syntax nodes, in the order of the text.

Names, comments, docstrings, types, decorators, layout, numbers and words go, and so does what does nothing: whoever
changes them changes nothing here. A submission is a student's choice of bytes: it is parsed, never run, and bounded.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from grading.notebook import Cell

MAX_CELL = 200_000  # characters; a syntax tree takes up to a thousand bytes for each
MAX_TOTAL = 400_000
MAX_MENDS = 50  # lines of a cell that are no Python and are left out

UNSEEN = frozenset({"annotation", "ctx", "decorator_list", "returns", "type_params"})  # fields of nodes
CONSTANTS = ("NoneType", "bool", "ellipsis", "int", "str")
KINDS = {
    name: chr(number)
    for number, name in enumerate(
        sorted({name for name in dir(ast) if isinstance(getattr(ast, name), type)} | {*CONSTANTS}),
        start=ord("0"),
    )
}
KINDS |= dict.fromkeys(("float", "complex"), KINDS["int"]) | dict.fromkeys(
    ("bytes", "JoinedStr"), KINDS["str"]
)
KINDS["AnnAssign"] = KINDS["Assign"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A function, a method, or all else of a cell: wherever it is moved, it stays what it is.

    `text` has one character for each syntax node, and `lines` the line of the cell where it stands. `name` is what is
    defined, empty for all else.
    """

    cell: int
    name: str
    text: str
    lines: tuple[int, ...]


def passages(cells: Iterable[Cell]) -> tuple[Passage, ...]:
    """What there is to compare in these cells. A line that is no Python (a magic, a mistake) is left out, and so is
    what is too large."""
    found: list[Passage] = []
    room = MAX_TOTAL
    for cell in cells:
        room -= len(cell.source)
        if len(cell.source) <= MAX_CELL and room >= 0:
            found += _passages_of(cell.number, _parsed(cell.source).body)
    return tuple(found)


def _passages_of(cell: int, body: list[ast.stmt]) -> Iterator[Passage]:
    rest: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _passage(cell, statement.name, [statement])
            continue
        rest.append(statement)
        if isinstance(statement, ast.ClassDef):
            for method in filter(_is_method, statement.body):
                yield _passage(cell, f"{statement.name}.{getattr(method, 'name', '')}", [method])
    if rest:
        yield _passage(cell, "", rest)


def _passage(cell: int, name: str, statements: list[ast.stmt]) -> Passage:
    kinds: list[str] = []
    lines: list[int] = []
    line = 1
    nodes: list[ast.AST] = [one for one in reversed(statements) if not _says_nothing(one)]
    while nodes:  # no recursion: a tree may be deeper than Python's stack
        node = nodes.pop()
        line = getattr(node, "lineno", line)
        kinds.append(_kind(node))
        lines.append(line)
        nodes += reversed(list(_children(node)))
    return Passage(cell, name, "".join(kinds), tuple(lines))


def _kind(node: ast.AST) -> str:
    name = type(node.value).__name__ if isinstance(node, ast.Constant) else type(node).__name__
    return KINDS[name]


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.JoinedStr):
        return
    for field, value in ast.iter_fields(node):
        if field in UNSEEN:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _says_nothing(child):
                continue
            if not (isinstance(node, ast.ClassDef) and _is_method(child)):  # a passage of its own
                yield child


def _is_method(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _says_nothing(node: ast.AST) -> bool:
    """Whether a statement does nothing for what follows: docstrings, imports, `pass`, what is only printed."""
    match node:
        case ast.Pass() | ast.Import() | ast.ImportFrom() | ast.AnnAssign(value=None):
            return True
        case ast.Expr(value=ast.Constant() | ast.Call(func=ast.Name(id="print"))):
            return True
        case ast.Assert(test=ast.Constant()) | ast.If(test=ast.Constant(value=False), orelse=[]):
            return True
    return False


def _parsed(source: str) -> ast.Module:
    """The tree of a cell without the lines that are no Python; an empty one where too little is left."""
    lines = source.split("\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the student's escapes
        for _ in range(2 * MAX_MENDS):
            try:
                return ast.parse("\n".join(lines))
            except SyntaxError as error:
                number = min(error.lineno or 1, len(lines)) - 1
                line = lines[number].strip()
                if not line:
                    break
                indent = lines[number][: -len(lines[number].lstrip())]
                lines[number] = "" if line == "pass" else f"{indent}pass"
            except (RecursionError, MemoryError, ValueError):  # ValueError: null bytes
                break
    return ast.Module([], [])
