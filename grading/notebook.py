"""Reads notebooks: any .ipynb (or percent-format .py) in, code cells out.

It runs in the trusted process on bytes that a student chose. It executes nothing, trusts no stored output, count,
kernel, tag or id, bounds what it reads, and answers what it cannot read with a NotebookError in plain words.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from grading.errors import NotebookError, UsageError
from grading.student_file import FileProblem, Obstacle, read_student_file

MAX_BYTES = 50 * 2**20
MAX_CELLS = 5_000
MAX_VALUES = 3_000_000  # JSON values in the whole file: about 400 MB of Python objects at the very worst
MAX_ENTRIES = 20_000  # files and folders looked at in a repository
MAX_DEPTH = 8  # folders below its root
MAX_CANDIDATES = 20  # notebooks opened when none has the expected name


@dataclass(slots=True, frozen=True)
class Cell:
    """A code cell; `number` counts code cells from 1, as In[n] does after *Restart and run all*."""

    number: int
    source: str
    tags: frozenset[str] = frozenset()
    id: str | None = None


@dataclass(slots=True, frozen=True)
class Notebook:
    cells: tuple[Cell, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the code cells' sources in order; outputs, metadata and ids do not count."""
        framed = hashlib.sha256()
        for cell in self.cells:
            source = cell.source.encode("utf-8", "surrogatepass")
            framed.update(len(source).to_bytes(8, "big"))
            framed.update(source)
        return framed.hexdigest()


# Jupyter notebooks


def read_notebook(path: Path, *, max_bytes: int = MAX_BYTES) -> Notebook:
    """The notebook at `path`, which must be a regular file: a link is not followed, a pipe is not waited for.

    NotebookError: the file is not a readable notebook. UsageError: there is no such file, or it cannot be opened.
    """
    data = _read_file(path, max_bytes)
    try:
        return parse_notebook(data)
    except NotebookError as error:
        raise NotebookError(f"{_shown(path.name)}: {error}") from None


def parse_notebook(data: bytes) -> Notebook:
    """The code cells of a notebook of any format version; whatever is missing or null is read as empty."""
    # Bytes that are no UTF-8 mostly sit in a comment or a string: replaced, they cost at most their own cell.
    text = data.decode(json.detect_encoding(data), "replace").lstrip("\ufeff")
    if not text or text.isspace():
        raise NotebookError("the file is empty: save the notebook in Jupyter, and commit and push it again")
    _bound_values(text)
    try:
        document = json.loads(
            text, parse_int=float
        )  # float: int() takes quadratic time and refuses long digits
    except RecursionError:
        raise NotebookError(
            "the file is nested too deeply for a notebook: save it in Jupyter, and push it again"
        ) from None
    except ValueError as error:
        raise NotebookError(_why_not_json(text, error)) from None
    code = [cell for cell in _cells(document) if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    if len(code) > MAX_CELLS:
        raise NotebookError(
            f"{len(code)} code cells, at most {MAX_CELLS} are read: delete those you do not need"
        )
    return Notebook(
        tuple(
            Cell(number, _clean(_source(cell)), _tags(cell), _id(cell))
            for number, cell in enumerate(code, start=1)
        )
    )


def skip_unchanged(notebook: Notebook, starter: Notebook) -> frozenset[int]:
    """Numbers of the cells that are still a `demo` or `check` cell of the starter: they need not run.

    Only the starter's tags count. A text that the starter also has in an ordinary cell is never skipped.
    """
    skippable = {_comparable(cell.source) for cell in starter.cells if cell.tags & {"demo", "check"}}
    skippable -= {_comparable(cell.source) for cell in starter.cells if not cell.tags & {"demo", "check"}}
    return frozenset(cell.number for cell in notebook.cells if _comparable(cell.source) in skippable)


def find_notebook(repo: Path, homework_notebook_name: str, starter: Notebook) -> Path:
    """The notebook to grade in a checkout: the homework's name at the root, else the only one grown from the starter.

    Copies of one another count as one. Links are never followed, hidden folders never entered.
    """
    if not repo.is_dir():
        raise UsageError(f"{_shown(str(repo))}: no such directory; give the path of a checkout")
    name = homework_notebook_name
    named = repo / name
    if _is_regular(named):
        return named

    found = sorted(_notebooks_in(repo), key=lambda path: (len(path.parts), path))
    rename = f"name your notebook {name}, put it at the top of the repository, and push again"
    if len(found) > MAX_CANDIDATES:
        raise NotebookError(
            f"no {name}, but {len(found)} other notebooks, too many to look through: {rename}"
        )
    grown: dict[str, Path] = {}
    budget = MAX_BYTES * 2
    for path in found:
        try:
            candidate = read_notebook(path, max_bytes=min(MAX_BYTES, budget))
        except (NotebookError, UsageError):
            if len(found) == 1:
                return path  # reading it again says what is wrong with it, which helps more than "not found"
            continue
        budget -= min(budget, path.lstat().st_size)
        if _descends(candidate, starter):
            grown.setdefault(candidate.digest, path)
    if len(grown) == 1:
        return next(iter(grown.values()))

    if grown:
        names = _listed(path.relative_to(repo) for path in grown.values())
        raise NotebookError(f"no {name}, and {len(grown)} notebooks that could be meant ({names}): {rename}")
    if named.is_symlink():
        raise NotebookError(
            f"{name} is a link, and links are not followed: put the notebook itself there, and push"
        )
    if found:
        names = _listed(path.relative_to(repo) for path in found)
        raise NotebookError(
            f"no {name}, and no other notebook was made from the homework's ({names}): {rename}"
        )
    raise NotebookError(f"no {name}, nor any other notebook (.ipynb): {rename}")


# Percent format: sources and variants, written by instructors, so that errors are UsageErrors with file and line


@dataclass(slots=True, frozen=True)
class PercentCell:
    """One `# %%` cell: what stands behind the marker, and the text below it, which starts at `line` of the file."""

    kind: Literal["code", "markdown", "raw"]
    title: str
    tags: tuple[str, ...]
    source: str
    line: int


def read_percent(path: Path) -> Notebook:
    """The code cells of a .py file in jupytext's percent format."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: cannot be read ({_reason(error)}); expected a UTF-8 file with # %% cells"
        ) from None
    return parse_percent(text, name=str(path))


def parse_percent(text: str, *, name: str = "source.py") -> Notebook:
    """The code cells of `text`; `name` is how errors call the file."""
    code = [cell for cell in percent_cells(text, name=name) if cell.kind == "code"]
    return Notebook(
        tuple(Cell(number, cell.source, frozenset(cell.tags)) for number, cell in enumerate(code, start=1))
    )


def percent_cells(text: str, *, name: str = "source.py") -> tuple[PercentCell, ...]:
    """All cells, in order. Text above the first marker is a code cell without a title, but for a jupytext header."""
    lines = _clean(text).split("\n")
    start = _after_header(lines)
    marks = [index for index in range(start, len(lines)) if _MARKER.match(lines[index])]
    cells = []
    if any(line.strip() for line in lines[start : marks[0] if marks else len(lines)]):
        cells.append(_percent_cell("", lines, start - 1, marks[0] if marks else len(lines), name))
    for mark, end in pairwise([*marks, len(lines)]):
        cells.append(_percent_cell(lines[mark].partition("%%")[2].strip(), lines, mark, end, name))
    return tuple(cells)


_MARKER = re.compile(r"# ?%%(\s|$)")
_TAGS = re.compile(r"(?:^|\s)tags\s*=\s*(\[.*?\])(?=\s|$)")
_MAGIC = re.compile(r"# ?((?:%{1,2}|!)[A-Za-z])")  # a comment in the source, so that it is Python
_QUOTED = re.compile(r"""[rR]?(\"\"\"|''')\n?(.*?)\n?\1""", re.DOTALL)


def _percent_cell(heading: str, lines: list[str], mark: int, end: int, name: str) -> PercentCell:
    first, last = mark + 1, end
    while last > first and not lines[last - 1].strip():
        last -= 1
    while first < last and not lines[first].strip():
        first += 1
    kind: Literal["code", "markdown", "raw"] = "code"
    for word in ("markdown", "md", "raw", "code"):
        if heading.startswith(f"[{word}]"):
            heading = heading.removeprefix(f"[{word}]").strip()
            kind = "markdown" if word == "md" else word  # type: ignore[assignment]
    tags: tuple[str, ...] = ()
    if match := _TAGS.search(heading):
        try:
            tags = tuple(dict.fromkeys(str(tag) for tag in json.loads(match[1])))
        except ValueError:
            raise UsageError(
                f'{name}:{mark + 1}: tags cannot be read; write them as tags=["check"]'
            ) from None
        heading = (heading[: match.start()] + heading[match.end() :]).strip()
    body = lines[first:last]
    if kind == "code":
        source = "\n".join(line[found.start(1) :] if (found := _MAGIC.match(line)) else line for line in body)
    elif quoted := _QUOTED.fullmatch("\n".join(body)):
        source = quoted[2]
    else:
        source = "\n".join(re.sub(r"^# ?", "", line) for line in body)
    return PercentCell(kind, heading, tags, source, first + 1)


def _after_header(lines: list[str]) -> int:
    """Where cells begin: behind jupytext's header, YAML between two lines of `# ---`, if there is one."""
    if lines[0].rstrip() != "# ---":
        return 0
    for index in range(1, len(lines)):
        if lines[index].rstrip() == "# ---":
            return index + 1
        if not lines[index].startswith("#"):
            break
    return 0


# Bytes from a file


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        return read_student_file(path, max_bytes)
    except FileProblem as problem:
        name, place = _shown(path.name), _shown(str(path))
        match problem.obstacle:
            case Obstacle.LINK:
                raise NotebookError(
                    f"{name} is a link, and links are not followed: put the notebook itself there"
                ) from None
            case Obstacle.NOT_A_FILE:
                raise NotebookError(
                    f"{name} is not an ordinary file: put the notebook itself there"
                ) from None
            case Obstacle.TOO_LARGE:
                raise NotebookError(
                    f"{name} is larger than {max_bytes / 2**20:.0f} MB: clear its outputs "
                    "(in Jupyter: Kernel, Restart and clear outputs), save, and push again"
                ) from None
            case Obstacle.DIRECTORY:
                raise UsageError(
                    f"{place}: is a directory; give the path of a notebook, or use --repo"
                ) from None
            case Obstacle.UNREADABLE:
                raise UsageError(
                    f"{place}: cannot be opened ({problem.reason}); give the path of a notebook"
                ) from None


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _notebooks_in(repo: Path) -> Iterator[Path]:
    seen = 0
    folders = [(repo, 0)]
    while folders:
        folder, depth = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    seen += 1
                    if seen > MAX_ENTRIES:
                        raise NotebookError(
                            f"the repository has more than {MAX_ENTRIES} files and no notebook of the expected name "
                            "at its top: remove what does not belong to the homework"
                        )
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if depth < MAX_DEPTH:
                            folders.append((Path(entry.path), depth + 1))
                    elif entry.name.lower().endswith(".ipynb") and entry.is_file(follow_symlinks=False):
                        yield Path(entry.path)
        except OSError:
            continue


# JSON to cells


# Possessive, and closed by the end of the text too: linear on any input.
_STRING = re.compile(r'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_CONFLICT = re.compile(r"^[<>|]{7} |^<{7}|^={7}$", re.MULTILINE)


def _bound_values(text: str) -> None:
    """Refuse what would become gigabytes of objects, before it does; a long printed output is only one value."""
    if sum(map(text.count, "[{,")) <= MAX_VALUES:
        return
    bare = _STRING.sub("", text)
    if sum(map(bare.count, "[{,")) > MAX_VALUES:
        raise NotebookError(
            f"the file holds more than {MAX_VALUES} values: clear the outputs "
            "(in Jupyter: Kernel, Restart and clear outputs), save, and push again"
        )


def _why_not_json(text: str, error: ValueError) -> str:
    start = text[:200].lstrip().lower()
    if conflict := _CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        return (
            f"line {line} has the marker of an unfinished merge (<<<<<<< or >>>>>>>): keep one of the two versions, "
            "open the notebook in Jupyter to see that it loads, and push again"
        )
    if start.startswith("version https://git-lfs"):
        return "a Git LFS pointer, not the notebook: run `git lfs untrack '*.ipynb'`, add the file again, and push"
    if start.startswith(("<!doctype", "<html")):
        return "a web page, not a notebook: download the file itself (on GitHub: Download raw file), and push that"
    where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
    return (
        f"not a notebook: it is not valid JSON{where}; open it in Jupyter, mend or restore it, and push again"
    )


def _cells(document: object) -> list[object]:
    if isinstance(document, dict):
        cells = document.get("cells")
        if isinstance(cells, list):
            return cells
        sheets = document.get("worksheets")  # up to format 3
        if isinstance(sheets, list):
            lists = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
            return [cell for cells in lists if isinstance(cells, list) for cell in cells]
    raise NotebookError(
        "valid JSON, but not a notebook (it has no cells): push the .ipynb file that Jupyter saves"
    )


def _source(cell: dict[str, object]) -> str:
    source = cell.get("source")
    if source is None:
        source = cell.get("input")  # up to format 3
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _tags(cell: dict[str, object]) -> frozenset[str]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return (
        frozenset(_clean(tag) for tag in tags if isinstance(tag, str))
        if isinstance(tags, list)
        else frozenset()
    )


def _id(cell: dict[str, object]) -> str | None:
    metadata = cell.get("metadata")
    for holder in (cell, metadata):  # Colab keeps it in the metadata
        if isinstance(holder, dict) and isinstance(value := holder.get("id"), str):
            return _clean(value)
    return None


# Text


def _clean(text: str) -> str:
    """Newlines as Python itself reads them, and no lone surrogates, which nothing further on could encode."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _comparable(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.splitlines()).strip("\n")


def _descends(candidate: Notebook, starter: Notebook) -> bool:
    """Whether a quarter of the starter's code cells are still there, by id or by text: one import is not enough."""
    ids = {cell.id for cell in candidate.cells} - {None}
    texts = {_comparable(cell.source) for cell in candidate.cells} - {""}
    kept = sum(cell.id in ids or _comparable(cell.source) in texts for cell in starter.cells)
    return kept > 0 and kept * 4 >= len(starter.cells)


def _shown(name: str) -> str:
    """A file's name fit for one line of a message: a name is the student's choice, too."""
    name = "".join(char if char.isprintable() else "?" for char in name)
    return name if len(name) <= 120 else f"{name[:117]}..."


def _listed(names: Iterable[Path]) -> str:
    shown = [_shown(str(name)) for name in names]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "not UTF-8"
