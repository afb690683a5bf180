"""Options of the whole suite: `--full` adds the long checks (every seed, whole classes) to the ordinary run."""

from __future__ import annotations

import pytest

collect_ignore = ["homeworks", "benchmarks"]  # hidden tests, which the grader collects by itself


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long checks too (tests marked `full`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    long = [item for item in items if item.get_closest_marker("full")]
    items[:] = [item for item in items if not item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=long)
