"""HTTP/1.1 on loopback for the test server: requests in, answers out, whole or broken off as planned."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from github_server import GitHubServer

API = "/api/v3"


class Logged(NamedTuple):
    """A request as it came: path with its query, headers' names in lower case; status 0: never answered."""

    method: str
    path: str
    headers: dict[str, str]
    status: int


@dataclass
class Answer:
    status: int = 200
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None  # instead of JSON

    def body(self) -> bytes:
        if self.content is None:
            self.content = b"" if self.data is None else json.dumps(self.data, separators=(",", ":")).encode()
        return self.content


def handler_of(server: GitHubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 64 * 1024

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        def do_GET(self) -> None:
            body = self._body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            if self.path.startswith((API + "/", "/storage/")):
                target = self.path.removeprefix(API)
                asked = (
                    server.stored(target, headers)
                    if target.startswith("/storage/")
                    else server.answer(self.command, target, headers, body)
                )
                status = 0 if asked is None else asked.status
                server.requests.append(Logged(self.command, target, headers, status))
            else:
                asked = Answer(*server.git(self.command, self.path, headers, body))
                server.git_requests.append(Logged(self.command, self.path, headers, asked.status))
            self._send(asked)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = bytearray()
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return bytes(content)

        def _send(self, answer: Answer | None) -> None:
            if answer is None:
                self.close_connection = True
                return
            truncate = answer.headers.pop("x-test-truncate", None)
            body = answer.body()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.data is not None:
                self.send_header("Content-Type", "application/json; charset=utf-8")
            if answer.status not in (204, 304):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if truncate:
                body = body[: len(body) // 2]
                self.close_connection = True
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
