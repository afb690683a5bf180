"""git, driven by its plumbing in a temporary repository of its own, and nothing of the user's set-up.

No configuration, hook or stored credential of the user's takes part. The token goes to git through its environment:
never into an argument, an address or a file, and by git to no other server than the one that it is for. Nothing is ever
pushed by force.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from grading.errors import GradingError, UsageError

BRANCH = "main"
AUTHOR = ("grading", "grading@localhost")
SECONDS = 600


def tree_of(directory: Path, folder: str) -> str | None:
    """The SHA-1 that git gives the tree of a folder at the top of a directory; None where there is none."""
    if not (directory / folder).is_dir():
        return None
    with Work("", "", str(directory)) as work:
        return work.git("rev-parse", f"{work.tree(directory, only=folder)}:{folder}")


class Work:
    """A repository of its own, in a temporary directory, beside the one at `url`."""

    def __init__(self, url: str, token: str, name: str, branch: str = BRANCH) -> None:
        self.url, self.name, self.ref = url, name, f"refs/heads/{branch}"
        self._secrets = [token, _basic(token)] if token else []
        self._place = tempfile.TemporaryDirectory(prefix="grading-git-")
        self.place = Path(self._place.name)
        self._environment = _environment(self.place, url, token, name)

    def __enter__(self) -> Work:
        self.git("init", "--quiet", "--template=", str(self.place / "repository"))
        return self

    def __exit__(self, *_: object) -> None:
        self._place.cleanup()

    def heads(self) -> dict[str, str]:
        """The remote's branches, by their full names, and the commits they are at."""
        listed = (line.split() for line in self.git("ls-remote", "--heads", self.url).splitlines())
        return {ref: commit for commit, ref in listed}

    def fetch(self) -> str:
        """The branch's commit, fetched with its files."""
        self.git("fetch", "--quiet", "--depth=1", "--no-tags", self.url, self.ref)
        return self.git("rev-parse", "FETCH_HEAD")

    def check_out(self, commit: str, directory: Path) -> None:
        """Put the files at a commit into a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        self.git("read-tree", commit)
        self.git("checkout-index", "--all", work_tree=directory)

    def put(self, directory: Path, tip: str | None, message: str, *, without: Collection[str] = ()) -> str:
        """One commit with the directory's files on top of `tip`, pushed; `tip` itself where it has the same files."""
        tree = self.tree(directory, without=without)
        if tip is not None and self.git("rev-parse", f"{tip}^{{tree}}") == tree:
            return tip
        parent = ["-p", tip] if tip is not None else []
        commit = self.git("commit-tree", tree, *parent, "-m", message)
        self.git("push", "--quiet", self.url, f"{commit}:{self.ref}")
        return commit

    def tree(self, directory: Path, *, only: str = ".", without: Collection[str] = ()) -> str:
        """The SHA-1 of the tree of a directory's files, but for those named at its top; a `.git` never counts."""
        self.git("read-tree", "--empty")
        self.git("add", "--all", "--force", "--", only, work_tree=directory)
        if without:
            self.git("rm", "--cached", "--quiet", "--ignore-unmatch", "--", *without, work_tree=directory)
        return self.git("write-tree")

    def git(self, *arguments: str, work_tree: Path | None = None) -> str:
        """What git prints. Raises UsageError where the server refuses, GradingError where something else fails."""
        environment = self._environment | ({"GIT_WORK_TREE": str(work_tree.resolve())} if work_tree else {})
        try:
            said = subprocess.run(
                ["git", *arguments],
                cwd=work_tree or self.place,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise UsageError("git is not installed; install it, and run this again") from None
        except subprocess.TimeoutExpired:
            raise GradingError(f"{self.name}: no answer within {SECONDS} s; run this again later") from None
        if said.returncode:
            raise self._failure(arguments[0], said.stderr)
        return said.stdout.strip()

    def _failure(self, command: str, words: str) -> GradingError:
        for secret in self._secrets:
            words = words.replace(secret, "***")
        lines = [" ".join(line.split()) for line in words.splitlines() if line.strip()]
        said = next((line for line in lines if re.search(_TELLING, line)), (lines or ["no message"])[-1])
        if re.search(_OVERTAKEN, words):
            return GradingError(f"{self.name}: somebody else has just pushed to it; run this again")
        if command in ("ls-remote", "fetch", "push") and re.search(_REFUSED, words):
            return UsageError(
                f"{self.name}: GitHub refuses git's {command} ({said[:200]}); the token needs write access there, and "
                "the scopes repo and workflow"
            )
        return GradingError(f"{self.name}: git {command} failed ({said[:200]}); run this again later")


_OVERTAKEN = r"non-fast-forward|fetch first|stale info|cannot lock ref|incorrect old value"
_REFUSED = (
    r"(?i)authentication failed|could not read username|permission|denied|forbidden|not found|\b40[134]\b"
    r"|remote rejected|refusing|declined|does not appear to be a git repository"
)
_TELLING = r"(?i)rejected|refus|denied|forbidden|declined|^(fatal|error):"


def _basic(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


def _environment(place: Path, url: str, token: str, name: str) -> dict[str, str]:
    """Nothing of the user's but the way out to the network; the token for the one server, and none other."""
    null = os.devnull
    settings = {
        "core.attributesFile": null,
        "core.autocrlf": "false",
        "core.excludesFile": null,
        "core.fileMode": "true",
        "core.hooksPath": null,
        "credential.helper": "",
        "gc.auto": "0",
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": "60",
        "maintenance.auto": "false",
    }
    address = urlsplit(url)
    if token:
        if address.scheme != "https" and not (address.scheme == "http" and _is_loopback(address.hostname)):
            raise GradingError(
                f"{name}: would be pushed to {url}, to which a token is not sent; it has to be https"
            )
        settings[f"http.{address.scheme}://{address.netloc}/.extraHeader"] = (
            f"Authorization: Basic {_basic(token)}"
        )
    kept = ["PATH", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"]
    kept += ["SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"]
    environment = {variable: os.environ[variable] for variable in kept if variable in os.environ}
    environment |= {
        "HOME": str(place),
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": "file:http:https",
        "GIT_CONFIG_COUNT": str(len(settings)),
        "GIT_CONFIG_GLOBAL": null,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DIR": str(place / "repository" / ".git"),
        "GIT_TERMINAL_PROMPT": "0",
    }
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": AUTHOR[0], f"GIT_{role}_EMAIL": AUTHOR[1]}
    for number, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
