"""HTTP to GitHub: paged, conditional, paced, and repeated only where repeating cannot do a thing twice.

Knows nothing of courses. The token goes to the API's own origin and nowhere else: to no other server, into no
message, onto no disk.
"""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import json
import os
import re
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import httpx

from grading.errors import GradingError, UsageError

PER_PAGE = 100
MOST_ANSWER_BYTES = 64 * 2**20
JSON = "application/vnd.github+json"
MOST_REDIRECTS = 5

NOTHING: Mapping[str, str] = MappingProxyType({})


class Refused(UsageError):
    """GitHub understood and said no: 401, 403, 404, 409, 410, 422. The message names the mend."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotFound(Refused):
    """404: it is not there, or this token may not see it."""


class Gone(Refused):
    """410: it was there, and has expired or been switched off."""


class Unavailable(GradingError):
    """GitHub, or the way to it, does not answer, or asks for more patience than there is. Run it again later."""


class Uncertain(Unavailable):
    """A write was sent, its answer was lost, and sending it again could do it twice. Look before repeating."""


class TooLarge(GradingError):
    """A download passed the bound it was asked with; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Answered:
    """`headers` are looked up in any case. `unchanged`: GitHub said that what was on disk still holds."""

    status: int
    data: Any
    headers: Mapping[str, str]
    unchanged: bool = False


def silent(line: str) -> None:
    """Tell nobody."""


class Client:
    """One token's requests, one at a time. Raises Refused, Unavailable, Uncertain, and UsageError for `base`."""

    pauses: ClassVar[tuple[float, ...]] = (0.5, 2, 5, 10)
    """Seconds before each repetition of a request that failed; there are no more repetitions than these."""
    secondary_pause: ClassVar[float] = 60
    """Seconds to wait for a limit that says neither how long nor until when; doubled each time."""
    margin: ClassVar[float] = 1
    """Seconds added to a moment that GitHub gives in whole seconds, and the least to wait for a limit."""

    def __init__(
        self,
        token: str,
        *,
        base: str,
        cache: Path | None = None,
        writes_per_minute: int = 60,
        patience: float = 900,
        tell: Callable[[str], None] = silent,
    ) -> None:
        self.requests = 0
        self.unchanged = 0
        self._token = token
        self._base = _checked_base(base)
        self._cache = None if cache is None else _Cache(cache, token, tell)
        self._between_writes = 60 / writes_per_minute
        self._next_write = 0.0
        self._patience = patience
        self._tell = tell
        self._http = httpx.Client(
            headers={"User-Agent": "grading", "X-GitHub-Api-Version": "2022-11-28"},
            timeout=httpx.Timeout(60, connect=15),
            trust_env=not _is_loopback(self._base),  # a proxy is for the way out of this machine
            verify=_trusted(),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # What is asked

    def get(self, path: str, parameters: Mapping[str, str] = NOTHING) -> Answered:
        """Read what stands at `path`, from disk where GitHub says that it has not changed."""
        return self._get(self._url(path, parameters), path)

    def pages(
        self, path: str, parameters: Mapping[str, str] = NOTHING, *, key: str | None = None
    ) -> Iterator[list[Any]]:
        """Read a list page by page; `key` names it where it is wrapped in an object with its total."""
        url = self._url(path, {"per_page": str(PER_PAGE), **parameters})
        seen: set[httpx.URL] = set()
        while url not in seen:
            seen.add(url)
            answer = self._get(url, path)
            items, following = _items(answer, key, path), _next_page(answer)
            if answer.unchanged and following is None and len(items) >= PER_PAGE:
                # The page is as it was, but it was full: whether another follows now stood in a header.
                answer = self._get(url, path, conditional=False)
                items, following = _items(answer, key, path), _next_page(answer)
            yield items
            if following is None:
                return
            url = self._same_origin(url, following, path)
        raise GradingError(f"GitHub, {path}: its pages go round in a circle; run it again later")

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        repeatable: bool | None = None,
    ) -> Answered:
        """Write. PUT, PATCH and DELETE say how things shall be and may be repeated; a POST makes one more."""
        may_repeat = method != "POST" if repeatable is None else repeatable
        self._pace()
        try:
            reply, _ = self._follow(method, self._url(path), path, body=body, repeatable=may_repeat)
        finally:
            self._next_write = time.monotonic() + self._between_writes
        if not reply.succeeded:
            raise self._refusal(reply, path)
        return Answered(reply.status, reply.data, reply.headers)

    def download(self, path: str, most_bytes: int, *, accept: str = JSON) -> bytes:
        """The bytes that GitHub gives, or keeps elsewhere and is asked for there without the token. Raises TooLarge."""
        reply, url = self._follow(
            "GET", self._url(path), path, most_bytes=most_bytes, reads_json=False, accept=accept
        )
        if reply.status not in (302, 303):
            if reply.succeeded:
                return reply.body
            raise self._refusal(reply, path)
        for _ in range(MOST_REDIRECTS):
            url = self._elsewhere(url, reply, path)
            reply = self._ask("GET", url, path, token=False, most_bytes=most_bytes, reads_json=False)
            if reply.succeeded:
                return reply.body
            if not reply.redirects:
                break
        raise Unavailable(
            f"GitHub, {path}: the place where it keeps the file answered {reply.status}; run it again"
        )

    # How it is asked

    def _get(self, url: httpx.URL, path: str, *, conditional: bool = True) -> Answered:
        reply, url = self._follow("GET", url, path, conditional=conditional)
        kept = reply.kept
        if reply.status == 304 and kept is not None:
            self.unchanged += 1
            headers = httpx.Headers(kept.headers)
            headers.update(reply.headers)
            return Answered(200, kept.data, headers, unchanged=True)
        if not reply.succeeded:
            raise self._refusal(reply, path)
        if self._cache is not None:
            self._cache.keep(url, reply)
        return Answered(reply.status, reply.data, reply.headers)

    def _follow(
        self, method: str, url: httpx.URL, path: str, *, conditional: bool = False, **how: Any
    ) -> tuple[_Reply, httpx.URL]:
        """Ask, and ask again where a renamed repository has gone; the answer, and whose it is."""
        for _ in range(MOST_REDIRECTS):
            kept = self._cache.find(url) if self._cache is not None and conditional else None
            reply = self._ask(method, url, path, kept=kept, **how)
            if reply.status not in (301, 307, 308):
                return reply, url
            gone_to = self._same_origin(url, reply.headers.get("location", ""), path)
            url = gone_to if gone_to.query else gone_to.copy_with(query=url.query or None)
        raise GradingError(f"GitHub, {path}: redirects without an end; run it again later")

    def _ask(
        self,
        method: str,
        url: httpx.URL,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        kept: _Kept | None = None,
        token: bool = True,
        repeatable: bool = True,
        most_bytes: int = MOST_ANSWER_BYTES,
        reads_json: bool = True,
        accept: str = JSON,
    ) -> _Reply:
        """One answer below 500, through faults and limits of rate."""
        request = self._http.build_request(method, url, json=body)
        if token:
            request.headers["Authorization"] = f"Bearer {self._token}"
            request.headers["Accept"] = accept
        if not reads_json:
            request.headers["Accept-Encoding"] = "identity"
        if kept is not None:
            request.headers["If-None-Match"] = kept.etag
        pauses = iter(self.pauses)
        unexplained = 0
        while True:
            sent = True
            try:
                reply = self._once(request, path, kept, most_bytes, reads_json)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                fault, sent = _fault(error), False
            except (httpx.TransportError, httpx.DecodingError, _Malformed) as error:
                fault = _fault(error)
            else:
                pause = self._limited(reply, unexplained)
                if pause is not None:
                    unexplained += not reply.says_when
                    self._wait(pause, path)
                    continue
                if reply.status < 500:
                    return reply
                fault = f"GitHub answered {reply.status}"
            if sent and not repeatable:
                raise Uncertain(
                    f"GitHub, {method} {path}: {fault}, and whether it was done is unknown; "
                    "look there, then run it again"
                )
            pause = next(pauses, None)
            if pause is None:
                raise Unavailable(
                    f"GitHub, {path}: {fault}, {len(self.pauses) + 1} times; "
                    "check the connection and https://www.githubstatus.com, and run it again in some minutes"
                )
            time.sleep(pause)

    def _once(
        self, request: httpx.Request, path: str, kept: _Kept | None, most_bytes: int, reads_json: bool
    ) -> _Reply:
        self.requests += 1
        response = self._http.send(request, stream=True)
        if not response.is_success:  # what GitHub says of a fault may be longer than a small file
            most_bytes = MOST_ANSWER_BYTES
        try:
            content = bytearray()
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > most_bytes:
                    raise TooLarge(f"GitHub, {path}: more than {most_bytes} bytes; not taken")
        finally:
            response.close()
        reply = _Reply(response.status_code, response.headers, bytes(content), kept=kept)
        if reads_json or not reply.succeeded:
            reply.parse()
        return reply

    def _pace(self) -> None:
        time.sleep(max(0.0, self._next_write - time.monotonic()))

    def _limited(self, reply: _Reply, unexplained: int) -> float | None:
        """Seconds that GitHub wants us to wait, or None where it refused for another reason, or not at all."""
        if reply.status not in (403, 429):
            return None
        after = reply.headers.get("retry-after", "")
        if after.isdecimal():
            return float(after)
        if reply.headers.get("x-ratelimit-remaining") == "0":
            reset = reply.headers.get("x-ratelimit-reset", "")
            return max(0.0, float(reset) - _now_there(reply)) + self.margin if reset.isdecimal() else 0.0
        if reply.status == 429 or re.search(r"secondary rate|abuse detection", reply.message, re.IGNORECASE):
            return self.secondary_pause * 2.0**unexplained
        return None

    def _wait(self, pause: float, path: str) -> None:
        seconds = max(pause, self.margin)
        until = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%H:%M:%S UTC")
        if seconds > self._patience:
            raise Unavailable(f"GitHub, {path}: the limit of requests is reached; run it again after {until}")
        self._patience -= seconds
        if seconds >= 1:
            self._tell(f"GitHub's limit of requests is reached; waiting until {until}")
        time.sleep(seconds)

    # Where it is asked

    def _url(self, path: str, parameters: Mapping[str, str] = NOTHING) -> httpx.URL:
        if not re.fullmatch(r"(/[\w.@:+~-]+)+", path, re.ASCII) or {".", ".."} & set(path.split("/")):
            raise UsageError(f'"{_one_line(path)}" is no path of GitHub\'s API; check the names in it')
        url = httpx.URL(str(self._base).rstrip("/") + path)
        return url.copy_merge_params(dict(sorted(parameters.items()))) if parameters else url

    def _same_origin(self, here: httpx.URL, there: str, path: str) -> httpx.URL:
        url = _join(here, there, path)
        if _origin(url) != _origin(self._base):
            raise GradingError(
                f"GitHub, {path}: points to another server, {_one_line(url.host)}; "
                "not followed, since the token is not for it"
            )
        return url

    def _elsewhere(self, here: httpx.URL, reply: _Reply, path: str) -> httpx.URL:
        url = _join(here, reply.headers.get("location", ""), path)
        if url.scheme != "https" and not (_is_loopback(url) and _is_loopback(self._base)):
            raise GradingError(f"GitHub, {path}: points to an address without https; not followed")
        return url

    # What a refusal means

    def _refusal(self, reply: _Reply, path: str) -> GradingError:
        kind, why = _refused(reply)
        message = f"GitHub, {path}: {why}".replace(self._token, "…")
        return GradingError(message) if kind is None else kind(message, reply.status)


@dataclass(slots=True)
class _Reply:
    status: int
    headers: httpx.Headers
    body: bytes
    data: Any = None
    kept: _Kept | None = None

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300

    @property
    def redirects(self) -> bool:
        return self.status in (301, 302, 303, 307, 308)

    @property
    def says_when(self) -> bool:
        return "retry-after" in self.headers or self.headers.get("x-ratelimit-remaining") == "0"

    @property
    def message(self) -> str:
        """GitHub's own words, with what it says of each field."""
        if not isinstance(self.data, dict):
            return ""
        parts = [self.data.get("message")]
        errors = self.data.get("errors")
        for error in errors if isinstance(errors, list) else []:
            if isinstance(error, dict):
                named = " ".join(str(error[key]) for key in ("field", "code") if error.get(key))
                parts.append(error.get("message") or named)
            else:
                parts.append(error)
        return "; ".join(part for part in parts if isinstance(part, str) and part)

    def parse(self) -> None:
        """Raises _Malformed for a success whose body is no JSON; a refusal may say what it likes."""
        if not self.body and (self.status in (204, 205) or not self.succeeded):
            return
        try:
            self.data = json.loads(self.body)
        except (ValueError, RecursionError):
            if self.succeeded and self.status != 202:
                raise _Malformed from None


class _Malformed(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Kept:
    etag: str
    headers: Mapping[str, str]
    data: Any


@dataclass(slots=True)
class _Cache:
    """Answers on disk, one file per address and token. An entry that is broken in any way is not there."""

    directory: Path
    token: str = field(repr=False)
    tell: Callable[[str], None]
    writable: bool = True

    HEADERS: ClassVar = ("etag", "link", "x-oauth-scopes")

    def find(self, url: httpx.URL) -> _Kept | None:
        try:
            first, _, body = self._path(url).read_bytes().partition(b"\n")
            entry = json.loads(first)
            if entry["url"] != str(url) or entry["sha256"] != hashlib.sha256(body).hexdigest():
                return None
            headers = {str(name): str(value) for name, value in entry["headers"].items()}
            return _Kept(headers["etag"], headers, json.loads(body))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def keep(self, url: httpx.URL, reply: _Reply) -> None:
        if not self.writable or reply.status != 200 or "etag" not in reply.headers:
            return
        entry = {
            "url": str(url),
            "headers": {name: reply.headers[name] for name in self.HEADERS if name in reply.headers},
            "sha256": hashlib.sha256(reply.body).hexdigest(),
        }
        path = self._path(url)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                # Not synced, unlike what counts: after a loss of power the checksum finds a torn entry.
                temporary.write_bytes(json.dumps(entry).encode() + b"\n" + reply.body)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            self.writable = False
            self.tell(
                f"{self.directory}: cannot be written ({error.strerror}); going on without, so the next time "
                "everything is asked for again"
            )

    def _path(self, url: httpx.URL) -> Path:
        mine = hashlib.sha256(self.token.encode()).digest()
        return self.directory / f"{hashlib.sha256(mine + str(url).encode()).hexdigest()}"


def _refused(reply: _Reply) -> tuple[type[Refused] | None, str]:
    """Which refusal an answer is, None where it is no refusal at all, and the words: why, and the mend."""
    words = _one_line(reply.message)
    said = f': "{words}"' if words else ""
    match reply.status:
        case 401:
            why = "the token was refused (401); it is wrong, expired or revoked: make a new one, set GITHUB_TOKEN"
            return Refused, why
        case 403:
            return Refused, _forbidden(reply, said)
        case 404:
            lacks = _lacking_scope(reply)
            mend = f"or {lacks}" if lacks else "and that the token may see it"
            return NotFound, f"not found (404); check the name, {mend}"
        case 409:
            return Refused, f"in conflict with what is there (409){said}; look there"
        case 410:
            return Gone, f"gone (410){said}; it has expired or was switched off"
        case 422:
            return Refused, f"not accepted (422){said}; mend what was asked for"
        case status if 400 <= status < 500:
            return Refused, f"refused ({status}){said}; mend what was asked for"
        case status:
            return None, f"an answer that GitHub does not document ({status}); run it again"


def _forbidden(reply: _Reply, said: str) -> str:
    """Why a 403, from the headers that say it, and the mend."""
    sign_on = re.search(r"url=(https://[^\s;,]+)", reply.headers.get("x-github-sso", ""))
    if sign_on:
        return (
            f"the token is not authorised for single sign-on (403); authorise it at {_one_line(sign_on[1])}"
        )
    lacks = _lacking_scope(reply)
    if lacks:
        return f"not allowed (403): {lacks}"
    permissions = _one_line(reply.headers.get("x-accepted-github-permissions", ""))
    mend = (
        f"give the token the permission {permissions}"
        if permissions
        else "check what its owner may do in the organisation, and the organisation's plan"
    )
    return f"not allowed with this token (403){said}; {mend}"


def _lacking_scope(reply: _Reply) -> str | None:
    """A classic token's missing scope and the mend; GitHub hides behind a 404 what a scope would show."""
    wanted, has = (_scopes(reply, name) for name in ("x-accepted-oauth-scopes", "x-oauth-scopes"))
    if "x-oauth-scopes" not in reply.headers or not wanted or wanted & has:
        return None
    return (
        f"the token lacks the scope {' or '.join(sorted(wanted))}, it has {', '.join(sorted(has)) or 'none'}; "
        "add it at https://github.com/settings/tokens"
    )


def _scopes(reply: _Reply, header: str) -> set[str]:
    return set(_one_line(reply.headers.get(header, "")).replace(" ", "").split(",")) - {""}


def _items(answer: Answered, key: str | None, path: str) -> list[Any]:
    data = answer.data
    items = data.get(key) if key is not None and isinstance(data, dict) else data
    if not isinstance(items, list):
        raise GradingError(
            f"GitHub, {path}: its answer is no list; run it again, and report it if it stays so"
        )
    return items


def _next_page(answer: Answered) -> str | None:
    for link in answer.headers.get("link", "").split(","):
        found = re.fullmatch(r'\s*<([^>]*)>\s*;(?:.*;)?\s*rel="?next"?\s*(?:;.*)?', link)
        if found:
            return found[1]
    return None


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The authorities that vouch for https; reading them takes longer than many a request."""
    return httpx.create_ssl_context()


def _checked_base(base: str) -> httpx.URL:
    try:
        url = httpx.URL(base)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL()
    if not url.host or url.userinfo or url.query or url.fragment:
        raise UsageError(
            f'"{_one_line(base)}" is no address of GitHub\'s API; set GITHUB_API_URL or unset it'
        )
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url)):
        raise UsageError(
            f'"{_one_line(base)}" would send the token unencrypted; write https in GITHUB_API_URL'
        )
    return url


def _is_loopback(url: httpx.URL) -> bool:
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _join(here: httpx.URL, there: str, path: str) -> httpx.URL:
    try:
        if there:
            return here.join(there)
    except httpx.InvalidURL:
        pass
    raise GradingError(f"GitHub, {path}: redirects to no address; run it again later")


def _now_there(reply: _Reply) -> float:
    """GitHub's clock, since its moments are given in it."""
    try:
        return parsedate_to_datetime(reply.headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return time.time()


def _fault(error: Exception) -> str:
    match error:
        case httpx.TimeoutException():
            return "no answer in time"
        case httpx.ConnectError():
            return f"cannot be reached ({_one_line(str(error)) or 'no connection'})"
        case httpx.TransportError():
            return "the connection broke off"
        case _:
            return "the answer is no JSON (is a proxy or a login page in between?)"


def _one_line(text: str) -> str:
    """Printable, on one line, 200 characters at most: safe to show in a terminal or a log."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 200 else f"{line[:199]}…"
