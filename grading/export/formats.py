"""A score in other systems' formats, one file each, beside each other.

Writes each file whole or not at all, and none before all of them are known. What stands in them is `classroom50`'s
and `gradescope`'s.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Literal

from grading.atomic import write_atomically
from grading.export import classroom50, gradescope
from grading.homework import Homework
from grading.score import Score

Format = Literal["classroom50", "gradescope"]
FILES: dict[Format, str] = {
    "classroom50": "classroom50-result.json",
    "gradescope": "gradescope-results.json",
}


def write_formats(
    score: Score,
    homework: Homework,
    directory: Path,
    *,
    only: Collection[Format] = tuple(FILES),
    course_name: str | None = None,
    login: str | None = None,
    github_id: int | None = None,
    assignment_type: classroom50.AssignmentType = "individual",
    environment: Mapping[str, str] = {},
    zone: tzinfo = UTC,
) -> list[Path]:
    """Write the score in each format of `only` into a directory that is there, and say where.

    `zone` is for Gradescope, the rest for Classroom 50 (see `classroom50.result`). Raises GradingError for a score
    in error and UsageError for one that does not count or that lacks what a format asks for; then nothing is
    written, and what was there stays.
    """
    contents: dict[Format, dict[str, object]] = {}
    if "classroom50" in only:
        contents["classroom50"] = classroom50.result(
            score,
            course_name,
            login,
            github_id,
            homework=homework,
            assignment_type=assignment_type,
            environment=environment,
        )
    if "gradescope" in only:
        contents["gradescope"] = gradescope.results(score, homework, zone=zone)
    encoded = {directory / FILES[name]: _encode(content) for name, content in contents.items()}
    for path, content in encoded.items():
        write_atomically(path, content)
    return list(encoded)


def _encode(content: dict[str, object]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2)
    return f"{text}\n".encode("utf-8", "backslashreplace")  # a lone surrogate's escape is JSON's, too
