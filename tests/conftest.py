"""What all tests share: `--full` adds the long checks (every seed, whole classes); `github` is a GitHub at hand, and
`look` a browser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from browser import Looker
    from github_server import GitHubServer
    from playwright.sync_api import Browser

collect_ignore = ["homeworks", "benchmarks"]  # hidden tests, which the grader collects by itself


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long checks too (tests marked `full`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    long = [item for item in items if item.get_closest_marker("full")]
    items[:] = [item for item in items if not item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=long)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is such a place: every line that the store keeps waits for the disk."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)


@pytest.fixture
def github(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GitHubServer]:
    """A GitHub on this machine, and an environment that points there; waits are short.

    At the end nothing may have been asked or answered that GitHub's own description does not know.
    """
    from github_server import GitHubServer

    from grading.github.client import Client

    monkeypatch.setattr(Client, "pauses", (0.01, 0.01, 0.01, 0.01))
    monkeypatch.setattr(Client, "margin", 0.01)
    monkeypatch.delenv("GH_TOKEN", raising=False)
    with GitHubServer(tmp_path_factory.mktemp("github")) as server:
        monkeypatch.setenv("GITHUB_API_URL", server.api)
        monkeypatch.setenv("GITHUB_SERVER_URL", server.web)
        monkeypatch.setenv("GITHUB_TOKEN", server.token)
        yield server
    assert server.drift == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For one module: while it is there, this thread has an event loop, and tests elsewhere start their own."""
    from browser import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def look(chromium: Browser) -> Iterator[Looker]:
    """Opens pages in a browser; at the end nothing that it met may have been wrong."""
    from browser import Looker

    looker = Looker(chromium)
    yield looker
    looker.close()
