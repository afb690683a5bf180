"""Pages: one HTML file each, which asks nothing of any network and runs no script but its own.

Templates stand in `templates/`. Whatever they are handed is text: escaped, and free of control characters. Nothing
here knows what a page is about.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from grading.report.words import moment, number

TEMPLATES = Path(__file__).with_name("templates")
COLOURS_OF_A_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
JOINERS = "\u200c\u200d"  # names of people, and emoji, are written with them


def render(template: str, **values: Any) -> str:
    """The page made of a template in `templates/` and what stands in it.

    `script`, where it is given, is the page's own script, and the only one that may run.
    """
    return environment().get_template(template).render(values)


@functools.cache
def environment() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[..., object]] = {
        "csp_hash": csp_hash,
        "inert": inert,
        "moment": in_zone,
        "points": number,
    }
    pages.filters.update(filters)
    return pages


def shown(value: object) -> object:
    """What any `{{ … }}` writes: text without control characters, and markup as it is."""
    return inert(value, newlines=True) if isinstance(value, str) and not isinstance(value, Markup) else value


def inert(text: str, newlines: bool = False) -> str:
    """Text without colours of a terminal and other control characters; on one line, unless `newlines`."""
    if text.isprintable():
        return text
    kept = f"{JOINERS}\n\t" if newlines else JOINERS
    return "".join(
        letter if letter.isprintable() or letter in kept else " " if letter.isspace() else "\ufffd"
        for letter in COLOURS_OF_A_TERMINAL.sub("", text)
    )


def in_zone(when: datetime | None, zone: tzinfo) -> str:
    """A moment in the course's zone; a dash where there is none."""
    return "–" if when is None else moment(when, zone)


def csp_hash(script: str) -> Markup:
    """How a page's policy names the one inline script that it allows."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Markup(f"'sha256-{digest}'")
