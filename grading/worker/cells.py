"""Runs the cells of a notebook in order, as Restart and run all would, and reports how each one ended.

Magics and shell lines do nothing; a cell that fails or does not parse costs only what it defines.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import codeop
import inspect
import linecache
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 200
MEASURING = ("time", "timeit", "prun")
WRAPPING_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")


@dataclass(slots=True, frozen=True)
class Outcome:
    """How a cell ended. state: ok, failed, syntax, slow; kind, text and line say what was raised, and where."""

    state: str
    kind: str = ""
    text: str = ""
    line: int = 0


class CellTooSlow(BaseException):
    """Raised inside a cell at its time limit; the judge has a harder one for code that will not hear it."""


class Shell:
    """Stands in for IPython's: nothing happens, whatever is asked of it, but `%time` and its kind run their line."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace = namespace

    def run_line_magic(self, name: str, line: str, *rest: Any) -> None:
        if name in MEASURING and not line.startswith("-"):
            exec(line, self.namespace)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **keywords: None


def plain_python(source: str) -> str:
    """The cell without magics and shell lines, line for line; unchanged where it is plain Python already."""
    if parses(source):
        return source
    lines = source.splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines and lines[first].lstrip().startswith("%%"):
        if not lines[first].lstrip().startswith(WRAPPING_MAGICS):
            return ""
        lines[first] = ""
        source = "\n".join(lines) + "\n"
        if parses(source):
            return source
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        transformed = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
    except Exception:
        return source  # a syntax error, which running the cell will name
    if not parses(transformed):
        return source
    blank = next((number for number, line in enumerate(source.splitlines()) if line.strip()), 0)
    return "\n" * blank + transformed  # IPython drops these lines, and the numbers below would be off


def parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def fresh_namespace() -> types.ModuleType:
    """The module that cells run in. It is not __main__, and it is importable, so that dataclasses and pickle work."""
    module = types.ModuleType("notebook")
    sys.modules["notebook"] = module
    shell = Shell(module.__dict__)
    module.__dict__.update(
        get_ipython=lambda: shell, display=lambda *things, **keywords: None, input=no_input
    )
    return module


def no_input(prompt: object = "") -> str:
    raise EOFError("input() has nobody to ask while the notebook is graded")


def run_cells(
    cells: Sequence[tuple[int, str]], module: types.ModuleType, seconds: float
) -> Iterator[tuple[int, Outcome]]:
    """Runs (number, plain Python) in order; yields how each ended. `seconds` is the limit of each."""
    compiler = Compiler()
    for number, source in cells:
        yield number, run_cell(number, source, module.__dict__, seconds, compiler)


class Compiler(codeop.Compile):
    """Compiles as Jupyter does: `from __future__` holds for the cells below, and `await` may stand at top level."""

    def __init__(self) -> None:
        super().__init__()
        self.flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def run_cell(
    number: int, source: str, namespace: dict[str, Any], seconds: float, compiler: Compiler | None = None
) -> Outcome:
    name = f"<cell {number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        code = (compiler or Compiler())(source, name, "exec")
    except SyntaxError as error:
        return Outcome("syntax", type(error).__name__, str(error.msg)[:MAX_TEXT], error.lineno or 0)
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return Outcome("syntax", type(error).__name__, str(error)[:MAX_TEXT])
    signal.signal(signal.SIGALRM, stop_cell)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, namespace))
        else:
            exec(code, namespace)
    except CellTooSlow:
        return Outcome("slow")
    except BaseException as error:
        return describe(error, number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Outcome("ok")


def stop_cell(number: int, frame: Any) -> None:
    raise CellTooSlow


def describe(error: BaseException, number: int) -> Outcome:
    """Type, message and the line at which this cell stopped."""
    try:
        text = str(error)[:MAX_TEXT]
    except BaseException:
        text = ""
    return Outcome("failed", type(error).__name__[:80], text, place_of(error, number)[1])


def place_of(error: BaseException, only: int = 0) -> tuple[int, int]:
    """(cell, line) of the deepest frame in a cell (in cell `only`, if given), (0, 0) where there is none."""
    place, step = (0, 0), error.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if name.startswith("<cell ") and name[6:-1].isdigit() and only in (0, int(name[6:-1])):
            place = (int(name[6:-1]), step.tb_lineno)
        step = step.tb_next
    return place


def builtin_bases(error: BaseException) -> list[str]:
    """Names of the builtin exceptions the error is a kind of, nearest first."""
    return [base.__name__ for base in type(error).__mro__ if getattr(builtins, base.__name__, None) is base]
