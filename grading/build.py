"""Makes the starter notebook from a homework's source: the same cells, without the solutions.

A solution must never reach a starter: markers that do not pair up, or only look like markers, are errors with file and
line. The same source always gives the same bytes, and a cell keeps its id while other cells are edited.
"""

from __future__ import annotations

import ast
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from grading.errors import UsageError
from grading.notebook import PercentCell, percent_cells

SOURCE = "source.py"


def build(
    directory: Path, check: bool = False, built: Callable[[int, int], None] = lambda done, of: None
) -> list[Path]:
    """Write the starter of the homework in `directory`, or of every homework below it; the paths that changed.

    With `check` nothing is written: the paths returned are those out of step with their source. `built` is told how
    many of how many are made.
    """
    from grading.homework import load_homework

    sources = (
        [directory / SOURCE] if (directory / SOURCE).is_file() else sorted(directory.glob(f"*/{SOURCE}"))
    )
    if not sources:
        raise UsageError(f"{directory}: no {SOURCE} here or one folder below; give a homework's directory")
    starters = {}
    for source in sources:
        try:
            text = source.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{source}: cannot be read ({error}); expected a UTF-8 file") from None
        starters[source.parent / load_homework(source.parent).notebook] = build_starter(
            text, source_name=str(source)
        )
        built(len(starters), len(sources))
    changed = [path for path, starter in starters.items() if _stored(path) != starter.encode()]
    if not check:
        for path in changed:
            _replace(path, starters[path])
    return changed


def build_starter(source_text: str, *, source_name: str) -> str:
    """What students get, as nbformat 4.5 JSON: solutions replaced, no outputs, stable ids."""
    return _notebook(source_text, source_name, _without_solution)


def build_reference(source_text: str, *, source_name: str) -> str:
    """The same notebook with the solutions left in and the markers gone, to be executed as a whole."""
    return _notebook(source_text, source_name, _without_markers)


# Solutions: each line of a cell with its part in it

_BEGIN = re.compile(r"\s*#{1,3}\s*BEGIN SOLUTION\b")
_END = re.compile(r"\s*#{1,3}\s*END SOLUTION\b")
_STARTER = re.compile(r"(\s*)#{1,3}\s*STARTER:\s?(.*)")
_TRAILING = re.compile(r"(?P<code>\s*[^\s#].*?)\s*#{1,3}\s*SOLUTION\s*$")
_ASSIGNED = re.compile(r"(\s*[A-Za-z_][\w.,\[\] ]*(?::[^=]+)?=)(?!=)")
_MARKER_LIKE = re.compile(r"#.*\b(?i:(begin|end)[ _-]*sol|starter\s*:)|#\s*SOLUTION\b")
_STUB = "raise NotImplementedError"


def _without_solution(cell: PercentCell, name: str) -> str:
    lines: list[str] = []
    indent, told = "", False
    for part, line in _parts(cell, name):
        if part == "begin":
            indent, told = line[: len(line) - len(line.lstrip())], False
        elif part == "starter":
            match = _STARTER.match(line)
            assert match is not None
            lines.append((match[1] + match[2]).rstrip())
            told = True
        elif part == "end" and not told:
            lines.append(indent + _STUB)
        elif part == "line":
            if assigned := _ASSIGNED.match(line):
                lines.append(f"{assigned[1]} ...")
            else:
                stub = line[: len(line) - len(line.lstrip())] + _STUB
                lines += [stub] if lines[-1:] != [stub] else []
        elif part == "text":
            lines.append(line)
    return "\n".join(lines)


def _without_markers(cell: PercentCell, name: str) -> str:
    return "\n".join(line for part, line in _parts(cell, name) if part in ("text", "solution", "line"))


def _parts(cell: PercentCell, name: str) -> Iterator[tuple[str, str]]:
    """(part, line) for each line: text, begin, solution, starter, end, or a single solution line without its marker."""
    begun = 0
    for number, line in enumerate(cell.source.split("\n"), start=cell.line):
        if _BEGIN.match(line):
            if begun:
                raise UsageError(
                    f"{name}:{number}: BEGIN SOLUTION inside the one of line {begun}; end that one first"
                )
            begun = number
            yield "begin", line
        elif _END.match(line):
            if not begun:
                raise UsageError(
                    f"{name}:{number}: END SOLUTION without a BEGIN SOLUTION above it in the cell"
                )
            begun = 0
            yield "end", line
        elif _STARTER.match(line):
            if not begun:
                raise UsageError(
                    f"{name}:{number}: STARTER outside of a solution; write it below BEGIN SOLUTION"
                )
            yield "starter", line
        elif trailing := _TRAILING.match(line):
            yield "solution" if begun else "line", trailing["code"]
        elif _MARKER_LIKE.search(line):
            raise UsageError(
                f"{name}:{number}: looks like a solution marker, but is none; write ### BEGIN SOLUTION, "
                "### END SOLUTION or ### STARTER: on a line of its own"
            )
        else:
            yield "solution" if begun else "text", line
    if begun:
        raise UsageError(f"{name}:{begun}: BEGIN SOLUTION without an END SOLUTION in the same cell; add it")


def solution_lines(cell: PercentCell, name: str) -> frozenset[int]:
    """Numbers, from 1, of the lines of a cell's source that are solution."""
    parts = [part for part, _ in _parts(cell, name)]
    return frozenset(number for number, part in enumerate(parts, start=1) if part in ("solution", "line"))


# The notebook around them


def _notebook(text: str, name: str, code: Callable[[PercentCell, str], str]) -> str:
    import nbformat

    cells: list[dict[str, object]] = []
    for cell, cell_id in _with_ids(percent_cells(text, name=name)):
        source = cell.source
        if cell.kind == "code":
            source = code(cell, name)
            _check_syntax(source, cell, name)
        elif marker := re.search(r"(BEGIN|END) SOLUTION", source):
            line = cell.line + source.count("\n", 0, marker.start())
            raise UsageError(
                f"{name}:{line}: a solution marker in a text cell; markers work in code cells only"
            )
        metadata = {"tags": list(cell.tags)} if cell.tags else {}
        fields = {
            "cell_type": cell.kind,
            "id": cell_id,
            "metadata": metadata,
            "source": source.splitlines(True),
        }
        cells.append(fields | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {}))
    document = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    nbformat.validate(nbformat.from_dict(document))
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _check_syntax(source: str, cell: PercentCell, name: str) -> None:
    lines = ["" if line.startswith(("%", "!", "?")) else line for line in source.split("\n")]
    try:
        ast.parse("\n".join(lines))
    except SyntaxError as error:
        raise UsageError(
            f"{name}:{cell.line}: line {error.lineno} of this cell is no Python without the markers "
            f"({error.msg}); check where its solution begins and ends"
        ) from None


def _with_ids(cells: tuple[PercentCell, ...]) -> Iterator[tuple[PercentCell, str]]:
    """Each cell with an id made of its section's heading, its role, and its count among those: no cell's text counts
    but a heading's, so that editing a cell leaves all ids alone."""
    section = "start"
    sections: Counter[str] = Counter([section])
    roles: Counter[str] = Counter()
    for cell in cells:
        if cell.kind == "markdown" and (heading := re.search(r"^#+ +(.+)$", cell.source, re.MULTILINE)):
            section = _slug(heading[1])
            sections[section] += 1
            if sections[section] > 1:
                section = f"{section}_{sections[section]}"
        role = next((tag for tag in ("check", "demo") if tag in cell.tags), cell.kind)
        cell_id = f"{section}-{role}"
        roles[cell_id] += 1
        yield cell, cell_id if roles[cell_id] == 1 else f"{cell_id}-{roles[cell_id]}"


def _slug(heading: str) -> str:
    heading = re.sub(r"\([^()]*\)", "", heading)  # points, mostly, which change
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "section"


def _stored(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, text: str) -> None:
    """Write all of it or nothing."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}); check the directory's permissions"
        ) from None
