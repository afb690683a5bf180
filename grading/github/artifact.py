"""The score in an artifact's zip: bytes that anybody may have made, read within bounds and never unpacked.

Whatever is wrong is a reason in words, never an exception.
"""

from __future__ import annotations

import io
import posixpath
import stat
import zipfile

from pydantic import ValidationError

from grading.score import Score

NAME = "score.json"
MOST_ENTRIES = 100
MOST_SCORE_BYTES = 2 * 2**20
ENCRYPTED = 0x1


def read_score(content: bytes) -> Score | str:
    """The one `score.json` in a zip, or why there is none."""
    found = read_member(content)
    if isinstance(found, str):
        return found
    try:
        return Score.model_validate_json(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = in_words(".".join(map(str, first["loc"])))
        return f"{NAME} is no score ({where + ': ' if where else ''}{in_words(first['msg'])})"
    except Exception as error:  # numbers beyond any float, and what else a stranger thinks of
        return f"{NAME} is no score ({type(error).__name__})"


def read_member(content: bytes) -> bytes | str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                return f"the artifact has more than {MOST_ENTRIES} files"
            alike = [entry for entry in entries if is_alike(entry.orig_filename)]
            if len(alike) > 1:
                return f"the artifact has more than one {NAME}"
            if not alike or alike[0].orig_filename != NAME:
                return f"the artifact has no {NAME}"
            entry = alike[0]
            if stat.S_ISLNK(entry.external_attr >> 16):
                return f"{NAME} is a link"
            if entry.flag_bits & ENCRYPTED:
                return f"{NAME} is encrypted"
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                return f"{NAME} is compressed in a way that no runner uses"
            with archive.open(entry) as file:
                data = file.read(MOST_SCORE_BYTES + 1)
    except zipfile.BadZipFile:
        return "the artifact is no zip, or a damaged one"
    except Exception as error:  # `zipfile` raises a dozen kinds for what is malformed
        return f"the artifact cannot be read ({type(error).__name__})"
    if len(data) > MOST_SCORE_BYTES:
        return f"{NAME} is larger than {MOST_SCORE_BYTES // 2**20} MiB"
    return data


def is_alike(name: str) -> bool:
    """Whether some tool would unpack it as `score.json`."""
    plain = posixpath.normpath(name.split("\0")[0].replace("\\", "/")).lstrip("/")
    return plain.casefold() == NAME


def in_words(text: str, most: int = 200) -> str:
    """A stranger's text as part of a line: printable, and not too long."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    plain = " ".join(plain.split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
