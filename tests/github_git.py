"""A bare git repository on this machine, made and read by git's plumbing, and served as git serves it over HTTP."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

Content = bytes | str | tuple[str, bytes] | None
"""A file of a commit: its bytes or text, (mode, bytes), or None to take it away."""


@dataclass(frozen=True)
class Git:
    """A bare repository, driven by plumbing: no checkout, no configuration of this machine's."""

    path: Path

    ENVIRONMENT = {  # noqa: RUF012
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }

    @classmethod
    def create(cls, path: Path, like: Git | None = None) -> Git:
        """An empty repository; it may name the objects of `like`, as a fork does."""
        for folder in ("objects/info", "refs/heads"):
            (path / folder).mkdir(parents=True)
        (path / "HEAD").write_text("ref: refs/heads/main\n")
        (path / "config").write_text(
            "[core]\nbare = true\nrepositoryformatversion = 0\n[http]\nreceivepack = true\n"
            "[uploadpack]\nallowAnySHA1InWant = true\n[transfer]\nhideRefs = refs/kept\n[gc]\nauto = 0\n"
        )
        if like is not None:
            (path / "objects/info/alternates").write_text(f"{like.path / 'objects'}\n")
        return cls(path)

    def __call__(
        self, *arguments: str, data: bytes = b"", environment: Mapping[str, str] = MappingProxyType({})
    ) -> bytes:
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            input=data,
            capture_output=True,
            env={**self.ENVIRONMENT, **environment},
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout

    def commit(
        self, files: Mapping[str, Content], parent: str | None, author: str, date: datetime, message: str
    ) -> str:
        who = f"{author} <{author}@example.org> {int(date.timestamp())} +0000"
        text = message.encode()
        stream = [
            f"commit refs/kept/{os.urandom(8).hex()}\nmark :1\nauthor {who}\ncommitter {who}\n".encode(),
            b"data %d\n%s\n" % (len(text), text),
            f"from {parent}\n".encode() if parent else b"",
        ]
        for path, content in files.items():
            if content is None:
                stream.append(f"D {path}\n".encode())
                continue
            mode, data = content if isinstance(content, tuple) else ("100644", content)
            data = data.encode() if isinstance(data, str) else data
            stream.append(f"M {mode} inline {path}\n".encode() + b"data %d\n%s\n" % (len(data), data))
        marks = self.path / f"marks-{os.urandom(8).hex()}"
        self("fast-import", "--quiet", f"--export-marks={marks}", data=b"".join(stream))
        sha = marks.read_text().split()[1]
        marks.unlink()
        return sha

    def copy_commit(self, like: str, author: str, date: datetime) -> str:
        """A first commit with the files of another, as a copy of a template has."""
        who = {"NAME": author, "EMAIL": f"{author}@example.org", "DATE": f"{int(date.timestamp())} +0000"}
        signed = {f"GIT_{role}_{key}": who[key] for role in ("AUTHOR", "COMMITTER") for key in who}
        made = self("commit-tree", "-m", "Initial commit", f"{like}^{{tree}}", environment=signed)
        return made.decode().strip()

    def set_head(self, branch: str, sha: str) -> None:
        self("update-ref", f"refs/heads/{branch}", sha)

    def heads(self) -> dict[str, str]:
        found = self("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads").decode().split()
        return {
            ref.removeprefix("refs/heads/"): sha for ref, sha in zip(found[::2], found[1::2], strict=True)
        }

    def has(self, sha: str) -> bool:
        return self._ok("cat-file", "-e", sha)

    def contains(self, sha: str, earlier: str) -> bool:
        return self._ok("merge-base", "--is-ancestor", earlier, sha)

    def resolve(self, name: str) -> str | None:
        """A commit's or tree's SHA, from one or from a branch's name."""
        found = self("rev-parse", "--verify", "--quiet", f"{name}^{{}}") if self._ok_name(name) else b""
        return found.decode().strip() or None

    def tree(self, sha: str, *, deep: bool = False) -> list[dict[str, Any]]:
        entries = []
        for line in self("ls-tree", "-l", "-z", *(["-r", "-t"] if deep else []), sha).decode().split("\0"):
            if line:
                what, path = line.split("\t", 1)
                mode, kind, name, size = what.split()
                entry: dict[str, Any] = {"path": path, "mode": mode, "type": kind, "sha": name}
                entries.append(entry | ({"size": int(size)} if kind == "blob" else {}))
        return entries

    def archive(self, sha: str, prefix: str) -> bytes:
        return self("archive", "--format=tar.gz", f"--prefix={prefix}/", sha)

    def _ok(self, *arguments: str) -> bool:
        try:
            self(*arguments)
        except RuntimeError:
            return False
        return True

    def _ok_name(self, name: str) -> bool:
        return not name.startswith("-") and self._ok("rev-parse", "--verify", "--quiet", f"{name}^{{}}")

    def serve(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, user: str
    ) -> tuple[int, dict[str, str], bytes]:
        """What `git http-backend` answers to one request: status, headers, content."""
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        environment = self.ENVIRONMENT | {
            "GIT_PROJECT_ROOT": str(self.path),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": method,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": user,
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, env=environment, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        answered = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        return int(answered.pop("Status", "200").split()[0]), answered, content
