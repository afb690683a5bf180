"""A student's notebook as HTML for a page of ours: what it says, and nothing that it could do.

Code and printed text are escaped, Markdown and HTML pass a sanitiser, and pictures are decoded and checked. Nothing is
run, fetched or read from disk; and however large or odd a notebook is, its HTML has a size and takes a time.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import signal
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, Literal, NoReturn, TypeVar
from urllib.parse import unquote

import nh3
from markupsafe import Markup, escape
from mistune import HTMLRenderer
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers.python import PythonLexer
from pygments.token import STANDARD_TYPES

from grading.notebook import parse_notebook
from grading.report.annotations import defines
from grading.report.pages import inert

MOST_BYTES = 4_000_000  # of HTML, pictures included
FRAME = 200  # bytes that the page puts around a cell or an output
MOST_SECONDS = 3.0  # of the processor, for all that is laid out of one notebook
MOST_CODE = 60_000  # characters of one cell
MOST_MARKDOWN = 20_000
MOST_HTML = 100_000  # of one output: the sanitiser takes quadratic time where tags are nested
MOST_TAGS = 300_000  # formatting tags × all tags: an HTML parser repeats open ones in each paragraph
MOST_TEXT = 10_000  # of one output, from both its ends
MOST_RAW_TEXT = 200_000  # looked at of one output
MOST_OUTPUTS = 30  # of one cell
MOST_LEFT_OUT = 5  # things that are named of one cell
MOST_SPANS = 1_000  # columns and rows that its cells of tables go over
MOST_PICTURE = 1_500_000  # characters in base 64
MOST_PICTURES = 50  # of one cell
MOST_PIXELS = 25_000_000

Kind = Literal["code", "markdown", "raw"]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell. `number` counts code cells from 1, as scores do; `defines`: which of the homework's names are defined
    here last; `left_out`: in words, what is in the cell and not shown."""

    kind: Kind
    number: int | None
    source: Markup
    outputs: tuple[Markup, ...] = ()
    left_out: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    as_in_starter: bool = False

    @property
    def foldable(self) -> bool:
        """Nothing of the student's work stands in it."""
        return self.as_in_starter and not self.defines


@dataclass(frozen=True, slots=True)
class Run:
    """Cells in a row that are all foldable, or all not. `about`: the headings in those that are."""

    foldable: bool
    cells: tuple[CellView, ...]
    about: str = ""

    @property
    def outputs(self) -> int:
        return sum(bool(cell.outputs or cell.left_out) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class NotebookView:
    """A notebook laid out. `cells_left_out`: how many cells at its end had no room."""

    runs: tuple[Run, ...] = ()
    cells_left_out: int = 0

    @property
    def cells(self) -> tuple[CellView, ...]:
        return tuple(cell for run in self.runs for cell in run.cells)


@dataclass(frozen=True, slots=True)
class _Raw:
    """A cell as it stands in the file; only `source` is known to be what it should."""

    kind: Kind
    number: int | None
    source: str
    cell: Mapping[str, object]


def lay_out(data: bytes, *, starter: frozenset[str] = frozenset(), names: Sequence[str] = ()) -> NotebookView:
    """The notebook in a file's bytes.

    `starter`: what `texts` found in the homework's own; `names`: what the homework asks for. Raises NotebookError.
    """
    cells = _cells_of(data)
    defined = _where_defined(cells, names)
    page = _Page()
    views: list[tuple[_Raw, CellView]] = []
    for position, raw in enumerate(cells):
        source, outputs, left_out = page.cell(raw)
        if source is None:
            break
        view = CellView(
            raw.kind,
            raw.number,
            source,
            tuple(outputs),
            _counted(left_out),
            defined.get(position, ()),
            as_in_starter=_comparable(raw) in starter,
        )
        views.append((raw, view))
    return NotebookView(tuple(_runs(views)), len(cells) - len(views))


def texts(data: bytes) -> frozenset[str]:
    """What stands in a notebook's cells, so that what a student left as it was can be told. Raises NotebookError."""
    return frozenset(_comparable(raw) for raw in _cells_of(data) if raw.source.strip())


# From the file's bytes to cells


def _cells_of(data: bytes) -> list[_Raw]:
    """Code cells are those that are graded, with the same numbers."""
    code = iter(parse_notebook(data).cells)  # refuses what is no notebook, or too much of one
    document = json.loads(
        data.decode(json.detect_encoding(data), "replace").lstrip("\ufeff"), parse_int=float
    )
    return [_raw(cell, code) for cell in _listed(document) if isinstance(cell, dict)]


def _raw(cell: dict[str, object], code: Iterator[Any]) -> _Raw:
    match cell.get("cell_type"):
        case "code":
            graded = next(code)
            return _Raw("code", graded.number, graded.source, cell)
        case "markdown" | "heading":  # the latter up to format 3
            return _Raw("markdown", None, _joined(cell.get("source")), cell)
        case _:
            return _Raw("raw", None, _joined(cell.get("source")), cell)


def _listed(document: dict[str, Any]) -> list[object]:
    if isinstance(cells := document.get("cells"), list):
        return cells
    sheets = [sheet.get("cells") for sheet in document["worksheets"] if isinstance(sheet, dict)]
    return [cell for cells in sheets if isinstance(cells, list) for cell in cells]


def _joined(value: object) -> str:
    if isinstance(value, list):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _comparable(raw: _Raw) -> str:
    lines = "\n".join(line.rstrip() for line in raw.source.splitlines()).strip("\n")
    return f"{raw.kind}: {lines}"


def _where_defined(cells: Sequence[_Raw], names: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """By a cell's position. The last definition of a name is the one that is graded."""
    found: dict[int, tuple[str, ...]] = {}
    for name in names:
        for position in range(len(cells) - 1, -1, -1):
            raw = cells[position]
            if raw.kind == "code" and name in raw.source and defines(raw.source, name):
                found[position] = (*found.get(position, ()), name)
                break
    return found


def _runs(views: Sequence[tuple[_Raw, CellView]]) -> Iterator[Run]:
    for foldable, group in groupby(views, key=lambda pair: pair[1].foldable):
        pairs = list(group)
        about = " · ".join(_headings([raw for raw, _ in pairs])) if foldable else ""
        yield Run(foldable, tuple(view for _, view in pairs), about if len(about) <= 90 else f"{about[:89]}…")


def _counted(words: Sequence[str]) -> tuple[str, ...]:
    """Each once, and how often."""
    counts = Counter(words)
    named = [one if times == 1 else f"{one} ({times} times)" for one, times in counts.items()]
    more = sum([*counts.values()][MOST_LEFT_OUT:])
    return (*named[:MOST_LEFT_OUT], f"{more} more things") if more else tuple(named)


def _headings(cells: Sequence[_Raw]) -> list[str]:
    lines = [line for raw in cells if raw.kind == "markdown" for line in raw.source.splitlines()]
    return [line.lstrip("#").strip().replace("`", "") for line in lines if re.match(r"#{1,6} ", line)]


# One page, which has only so much room and patience


class _Page:
    def __init__(self) -> None:
        self._room = MOST_BYTES
        self._patience = _Patience(MOST_SECONDS)

    def cell(self, raw: _Raw) -> tuple[Markup | None, list[Markup], list[str]]:
        """Its source, its outputs, and what is left out in words. No source: there is no more room for cells."""
        allowance = _Allowance(raw.cell.get("attachments"))
        left_out = allowance.left_out
        shown = raw.source
        if len(shown) > MOST_CODE:
            shown = shown[:MOST_CODE]
            left_out.append(f"the last {len(raw.source) - MOST_CODE:,} characters of the cell")
        source = self._source(raw, _tidy(shown), allowance)
        if not self._fits(source):
            source = _plain(_tidy(shown[:MOST_TEXT]))
            left_out += ["the cell's layout, and most of what is in it"]
            if not self._fits(source):
                return None, [], []
        outputs = self._outputs(raw, allowance) if raw.kind == "code" else []
        return source, outputs, left_out

    def _fits(self, html: Markup) -> bool:
        size = len(html.encode()) + FRAME
        if size > self._room:
            return False
        self._room -= size
        return True

    def _source(self, raw: _Raw, text: str, allowance: _Allowance) -> Markup:
        if raw.kind == "code":
            lines = self._patience(lambda: _highlighted(text)) or tuple(map(escape, text.split("\n")))
            return _numbered(lines, raw.number)
        if raw.kind == "markdown" and (html := self._markdown(text, allowance)) is not None:
            return html
        return _plain(text)

    def _markdown(self, text: str, allowance: _Allowance) -> Markup | None:
        """None: too much of it, or too odd, to be laid out."""
        if len(text) > MOST_MARKDOWN:
            return None
        html = self._patience(lambda: _rendered(text, True))
        if html is not None and _multiplies(html):
            html = self._patience(lambda: _rendered(text, False))
        return None if html is None else self._sanitised(html, allowance)

    def _sanitised(self, html: str, allowance: _Allowance) -> Markup | None:
        """None: too much time is gone. It is no Python, and cannot be stopped; but its time is counted."""
        return self._patience(lambda: _sanitised(html, allowance), stops=False)

    # Outputs

    def _outputs(self, raw: _Raw, allowance: _Allowance) -> list[Markup]:
        found = _merged(raw.cell.get("outputs"))
        shown: list[Markup] = []
        for output in found[:MOST_OUTPUTS]:
            html = self._output(output, allowance)
            if html is None:
                continue
            if self._fits(html):
                shown.append(html)
            else:
                allowance.left_out.append("an output, or the page would be too large")
        if len(found) > MOST_OUTPUTS:
            allowance.left_out.append(f"{len(found) - MOST_OUTPUTS:,} more outputs")
        return shown

    def _output(self, output: Mapping[str, object], allowance: _Allowance) -> Markup | None:
        match output.get("output_type"):
            case "stream":
                kind = "errors" if output.get("name") == "stderr" else "printed"
                return _printed(_joined(output.get("text")), kind)
            case "error":
                name, value = _joined(output.get("ename")), _joined(output.get("evalue"))
                traceback = output.get("traceback")
                lines = (
                    [line for line in traceback if isinstance(line, str)]
                    if isinstance(traceback, list)
                    else []
                )
                return _printed("\n".join(lines) or f"{name}: {value}", "errors")
            case "display_data" | "execute_result":
                data = output.get("data")
                return self._displayed(data if isinstance(data, dict) else {}, allowance)
            case other:
                allowance.left_out.append(f"an output of the type {inert(str(other))[:40]}")
                return None

    def _displayed(self, data: Mapping[str, object], allowance: _Allowance) -> Markup | None:
        """The first of its forms that can be shown."""
        left_out = allowance.left_out
        before = len(left_out)
        for form in PICTURES:
            if form in data and (source := allowance.checked(form, data[form])) is not None:
                return Markup('<img class="picture" loading="lazy" alt="a picture" src="{}">').format(source)
        if "image/svg+xml" in data:
            left_out.append("an SVG picture")
        html = _joined(data.get("text/html"))
        if html and len(html) <= MOST_HTML and not _multiplies(html):
            shown = self._sanitised(_tidy(html), allowance)
            if shown is not None and (shown.striptags() or "<img" in shown):
                return shown
        if markdown := _joined(data.get("text/markdown")):
            laid_out = self._markdown(_tidy(markdown), allowance)
            if laid_out is not None:
                return laid_out
        for form in ("text/plain", "text/latex", "text/markdown"):
            if text := _joined(data.get(form)):
                return _printed(text, "printed")
        if len(left_out) == before:
            left_out.append(f"an output of the type {inert(', '.join(map(str, data)))[:60] or 'nothing'}")
        return None


class _TooLong(Exception):
    pass


def _ring(*signal_and_frame: object) -> NoReturn:
    raise _TooLong


class _Patience:
    """So many seconds of the processor for everything. Regular expressions of others are slow on some texts, and look
    for signals now and then; only a process's main thread can set the alarm."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def __call__(self, work: Callable[[], Result], stops: bool = True) -> Result | None:
        """The result; None where it took too long, or the text was too much for the work. Without `stops` the work is
        done to its end, and only what follows may find no time left."""
        if self._left <= 0:
            return None
        before = signal.signal(signal.SIGVTALRM, _ring)
        start = time.process_time()
        try:
            try:
                signal.setitimer(signal.ITIMER_VIRTUAL, self._left if stops else 0)
                return work()
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        except Exception:  # whatever a parser may trip over
            return None
        finally:
            signal.signal(signal.SIGVTALRM, before)
            self._left -= time.process_time() - start


# Code


@lru_cache(maxsize=300)  # most cells of a class are the starter's
def _highlighted(text: str) -> tuple[str, ...]:
    """The lines, each whole by itself."""
    return tuple(highlight(text, _PYTHON, _SPANS).removesuffix("\n").split("\n"))


_PYTHON = PythonLexer(stripnl=False)
_SPANS = HtmlFormatter(nowrap=True)


def _numbered(lines: Sequence[str], cell: int | None) -> Markup:
    """A line that is too long is wrapped, and keeps its number: the page draws it."""
    numbered = [
        f'<span class="line" id="cell-{cell}-{i}">{line}\n</span>' for i, line in enumerate(lines, start=1)
    ]
    return Markup(f'<pre class="code"><code>{"".join(numbered)}</code></pre>')


def _plain(text: str) -> Markup:
    return Markup("<pre>{}</pre>").format(text)


# Printed text


def _tidy(text: str) -> str:
    """Without control characters, and without what turns the direction of what follows."""
    return text if text.replace("\n", "").isprintable() else inert(text, newlines=True)


def _printed(text: str, kind: str) -> Markup | None:
    """Both ends of a text as a terminal would leave it: a progress bar stands in it once."""
    gone = max(len(text) - MOST_RAW_TEXT, 0)
    half = MOST_RAW_TEXT // 2
    parts = [text[:half], text[-half:]] if gone else [text]
    tidy = ["\n".join(map(_last_state, part.split("\n"))) for part in parts]
    whole = _tidy("\n".join(tidy)).strip("\n")
    if not whole.strip():
        return None
    if not gone and len(whole) <= MOST_TEXT:
        return Markup('<pre class="{}" dir="auto">{}</pre>').format(kind, whole)
    left = gone + max(len(whole) - MOST_TEXT, 0)
    head, tail = whole[: MOST_TEXT // 2], whole[-MOST_TEXT // 2 :]
    between = Markup('<p class="left-out">… {} characters are left out …</p>').format(f"{left:,}")
    return Markup('<pre class="{0}" dir="auto">{1}</pre>{2}<pre class="{0}" dir="auto">{3}</pre>').format(
        kind, head, between, tail
    )


def _last_state(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


def _merged(outputs: object) -> list[Mapping[str, object]]:
    """What was printed in pieces is one text."""
    merged: list[dict[str, object]] = []
    pieces: list[list[str]] = []
    for output in outputs if isinstance(outputs, list) else ():
        if not isinstance(output, dict):
            continue
        stream = output.get("output_type") == "stream"
        before = merged[-1] if merged else {}
        if stream and before.get("output_type") == "stream" and before.get("name") == output.get("name"):
            pieces[-1].append(_joined(output.get("text")))
        else:
            merged.append(output)
            pieces.append([_joined(output.get("text"))])
    return [
        {**output, "text": "".join(texts)} if output.get("output_type") == "stream" else output
        for output, texts in zip(merged, pieces, strict=True)
    ]


# Markdown


class _Renderer(IPythonRenderer):
    def __init__(self, escape: bool) -> None:
        super().__init__(escape=escape, exclude_anchor_links=True)

    def heading(self, text: str, level: int, **attrs: object) -> str:
        """Below the page's own headings, all on one step: what stands between two of them may be folded."""
        return f'<h3 class="level-{level}">{text}</h3>\n'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """Left for the sanitiser, which knows the cell's pictures."""
        return str(HTMLRenderer.image(self, text, url, title))

    def block_code(self, code: str, info: str | None = None) -> str:
        python = (info or "").strip().lower() in ("python", "py", "python3", "ipython", "ipython3")
        shown = highlight(code, _PYTHON, _SPANS) if python else escape(code)
        return f"<pre><code>{shown}</code></pre>\n"

    def inline_math(self, body: str) -> str:
        return f'<code class="math">${escape(body)}$</code>'

    def block_math(self, body: str) -> str:
        return f'<code class="math block">$${escape(body)}$$</code>'

    def latex_environment(self, name: str, body: str) -> str:
        return f'<code class="math block">{super().latex_environment(name, body)}</code>'


_WITH_HTML, _WITHOUT_HTML = MarkdownWithMath(_Renderer(False)), MarkdownWithMath(_Renderer(True))


@lru_cache(maxsize=300)
def _rendered(text: str, with_html: bool) -> str:
    """HTML that is still the student's. Without `with_html`, tags in it are text, so that all that is left is whole."""
    return str((_WITH_HTML if with_html else _WITHOUT_HTML).render(text))


# HTML of a student's

PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
"""The forms of pictures that are shown, and how each begins. SVG is a document with scripts, and none of them."""

TAGS = set(
    "a abbr b blockquote br caption cite code dd del details div dl dt em h3 hr i img ins kbd li ol p pre q s samp"
    " small span strong sub summary sup table tbody td tfoot th thead tr tt u ul var".split()
)
GONE_WITH_CONTENT = set(
    "script style svg math iframe frame frameset object embed applet template noscript noembed noframes textarea title"
    " select audio video canvas".split()
)
HIGHLIGHT = {name for name in STANDARD_TYPES.values() if name}
FORMATTING = re.compile(r"<(?:a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)\b", re.IGNORECASE)


def _multiplies(html: str) -> bool:
    """Whether an HTML parser may make far more of it than it looks like: formatting that is left open is opened again
    in each paragraph."""
    return len(FORMATTING.findall(html)) * html.count("<") > MOST_TAGS


def _sanitised(html: str, allowance: _Allowance) -> Markup:
    return _cleaned(html, allowance) if "<img" in html.lower() else _cleaned_without_pictures(html)


@lru_cache(maxsize=300)
def _cleaned_without_pictures(html: str) -> Markup:
    return _cleaned(html, _Allowance(None))


def _cleaned(html: str, allowance: _Allowance) -> Markup:
    """Only what is known to do nothing. What is mended here is mended first: the sanitiser has the last word."""
    html = re.sub(r"<(/?)h[1-6]\b", r"<\1h3", html, flags=re.IGNORECASE)
    html = re.sub(r"<th\b[^<>]*>\s*</th>", "<td></td>", html, flags=re.IGNORECASE)  # a heading of nothing
    clean = nh3.clean(
        html,
        tags=TAGS,
        clean_content_tags=GONE_WITH_CONTENT,
        attributes={
            "a": {"href"},
            "img": {"src"},
            "td": {"colspan", "rowspan"},
            "th": {"colspan", "rowspan"},
        },
        attribute_filter=allowance.attribute,
        link_rel="noopener noreferrer",
        set_tag_attribute_values={  # one each: the order of several is left to chance
            "a": {"title": "the student's link"},
            "img": {"alt": "the student's picture"},
        },
        url_schemes={"http", "https", "mailto", "data", "attachment"},
        allowed_classes={
            "span": HIGHLIGHT,
            "code": {"math", "block"},
            "h3": {f"level-{level}" for level in range(1, 7)},
        },
    )
    if "<table" in clean:
        clean = f'<div class="scroll" role="group" tabindex="0" aria-label="table">{clean}</div>'
    return Markup(clean)


class _Allowance:
    """What a cell may have of all that is dear: pictures, which are attached once and shown any number of times, and
    tables whose cells go over several columns and rows, which browsers lay out slowly. `left_out`: what it has not."""

    def __init__(self, attachments: object) -> None:
        self._attached = attachments if isinstance(attachments, dict) else {}
        self._pictures = MOST_PICTURES
        self._spans = MOST_SPANS
        self.left_out: list[str] = []

    def attribute(self, tag: str, name: str, value: str) -> str | None:
        """For the sanitiser: the value that an attribute may have, None where it goes."""
        match tag, name:
            case "img", "src":
                return self._source(value)
            case "a", "href":
                return value if re.match(r"(?:https?://|mailto:)", value, re.IGNORECASE) else None
            case _, "colspan" | "rowspan":
                if not re.fullmatch(r"[1-9][0-9]?", value):
                    return None
                self._spans -= int(value)
                return value if self._spans >= 0 else None
        return value

    def _source(self, url: str) -> str | None:
        if url.startswith("attachment:"):
            forms = self._attached.get(unquote(url.removeprefix("attachment:")))
            for form in PICTURES:
                if isinstance(forms, dict) and form in forms:
                    return self.checked(form, forms[form])
        embedded = re.match(r"data:(image/[a-z]+);base64,", url[:40])
        if embedded and embedded[1] in PICTURES:
            return self.checked(embedded[1], url[embedded.end() :])
        self.left_out.append("a picture that is not in the notebook, or no PNG, JPEG or GIF")
        return None

    def checked(self, form: str, value: object) -> str | None:
        """The picture as a data URL, if it is one of that form, and not one too large or too many."""
        self._pictures -= 1
        if self._pictures < 0:
            self.left_out.append(f"a picture beyond the first {MOST_PICTURES}")
            return None
        encoded = "".join(_joined(value).split())
        if len(encoded) > MOST_PICTURE:
            self.left_out.append(f"a picture of {len(encoded) * 3 // 4 // 1000:,} kB")
            return None
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        size = _pixels(data) if data.startswith(PICTURES[form]) else None
        if size is None:
            self.left_out.append("a picture that cannot be read")
            return None
        if size > MOST_PIXELS:
            self.left_out.append(f"a picture of {size:,} pixels")
            return None
        return f"data:{form};base64,{encoded}"


def _pixels(data: bytes) -> int | None:
    """Width × height, from where each form has them."""
    try:
        if data.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith(b"GIF"):
            width, height = struct.unpack_from("<HH", data, 6)
        else:
            height, width = struct.unpack_from(">HH", data, _start_of_frame(data) + 5)
    except (struct.error, IndexError):
        return None
    return int(width) * int(height)


def _start_of_frame(jpeg: bytes) -> int:
    """Raises IndexError where there is none."""
    at = 2
    while True:
        marker = jpeg[at + 1]
        if jpeg[at] != 0xFF:
            raise IndexError
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return at
        alone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8
        at += (1 if marker == 0xFF else 2) if alone else 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
