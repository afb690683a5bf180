"""The hidden suite under pytest: collected once in the warm judge, run in a fork of it for each submission.

pytest runs with its own configuration, without conftest files or foreign plugins. The list of tests is what was
collected from the homework, never what ran: a test without a verdict is an error.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grading.errors import GradingError
from grading.judge.failures import OutOfTime, SubmissionFailure
from grading.judge.proxy import Explainer, Link, Submission
from grading.judge.session import NotebookProcess
from grading.sandbox import SandboxError

CONFIGURATION = Path(__file__).with_name("pytest.ini")
SECONDS_BEYOND_THE_LIMIT = 30  # for the judge's own part of a test
UNUSABLE = "the test could not use what your code returned ({}); check its type and shape"
NOT_OF_THE_ANSWER = (MemoryError, OSError, pytest.skip.Exception)  # whatever the submission answered
STOPPED_HERE = (SystemExit, KeyboardInterrupt)


@dataclass(slots=True, frozen=True)
class HiddenTest:
    """One collected test. `name` is the function's name, with its parameters; weight is 0 for a gate."""

    task: str
    name: str
    weight: int
    gate: bool
    property: str


@dataclass(slots=True, frozen=True)
class Verdict:
    """verdict: passed, failed (the submission is wrong) or error (we could not tell)."""

    test: HiddenTest
    verdict: str
    message: str = ""
    seconds: float = 0.0


class Suite:
    """A pytest plugin around the hidden tests of one homework. `serve` runs in place of pytest's own loop."""

    def __init__(
        self, tests_directory: Path, tasks: Sequence[str], serve: Callable[[Suite], None], seconds: float
    ) -> None:
        self.tests_directory = tests_directory
        self.tasks = tasks
        self.serve = serve
        self.seconds = seconds
        self.items: list[tuple[HiddenTest, pytest.Function]] = []
        self.problems: list[str] = []
        self.served = False
        self.failure: BaseException | None = None
        self.run: Run | None = None
        self.outcome: tuple[str, str] | None = None

    @property
    def tests(self) -> list[HiddenTest]:
        return [test for test, _ in self.items]

    def main(self) -> None:
        """Collects the tests and calls `serve`. Raises GradingError where the hidden tests themselves are broken."""
        for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_THEME"):
            os.environ.pop(name, None)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        modules = [str(self.tests_directory / f"test_{task}.py") for task in self.tasks]
        options = [
            "-c",
            str(CONFIGURATION),
            f"--rootdir={self.tests_directory}",
            "--noconftest",
            "--assert=plain",
        ]
        options += [
            "-p",
            "no:cacheprovider",
            "-p",
            "no:terminal",
            "-p",
            "no:faulthandler",
            "-p",
            "no:doctest",
        ]
        options += ["-p", "no:junitxml", "-p", "no:pastebin", "-p", "no:logging", "-p", "pytest_timeout"]
        options += [
            "--capture=no",
            f"--timeout={self.seconds + SECONDS_BEYOND_THE_LIMIT}",
            "--timeout-method=signal",
        ]
        pytest.main([*options, *modules], plugins=[self])
        if self.failure is not None:
            raise self.failure
        if not self.served:
            raise GradingError(
                f"the hidden tests cannot be collected: {' | '.join(self.problems) or 'pytest failed'}"
            )

    # pytest's hooks, in the order in which it calls them

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
            self.problems.append(f"{report.nodeid}: {lines[-1] if lines else 'failed'}")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        order = {task: number for number, task in enumerate(self.tasks)}
        for item in items:
            assert isinstance(item, pytest.Function)
            self.items.append((describe(item), item))
        self.items.sort(key=lambda pair: (order[pair[0].task], not pair[0].gate))
        for task in self.tasks:
            if not any(test.task == task and test.weight for test in self.tests):
                self.problems.append(f"test_{task}.py: no test with a weight")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not self.problems:
            self.served = True
            try:
                self.serve(self)
            except BaseException as error:  # pytest would print it and go on
                self.failure = error
        return True

    def pytest_keyboard_interrupt(self, excinfo: Any) -> None:
        self.failure = KeyboardInterrupt()

    @pytest.fixture
    def submission(self) -> Submission:
        """The student's notebook, behind the wire."""
        assert self.run is not None
        return Submission(self.run.open_link())

    @pytest.fixture
    def rng(self) -> np.random.Generator:
        """Fresh inputs: the same for the same submission and test, different for every other."""
        assert self.run is not None
        return np.random.default_rng(self.run.seed("rng"))

    @pytest.fixture
    def generator(self) -> torch.Generator:
        """The same, for torch."""
        assert self.run is not None
        return torch.Generator().manual_seed(self.run.seed("generator"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        if call.excinfo is not None and self.outcome is None:
            assert self.run is not None
            self.outcome = self.run.judge_exception(call.excinfo.value, Path(item.path))
        return (yield)

    # in the fork for one submission

    def run_all(self, run: Run) -> list[Verdict]:
        """The verdict of every test of the run's tasks, gates first within each task."""
        self.run = run
        verdicts = []
        closed: dict[str, str] = {}
        for test, item in self.items:
            if test.task not in run.tasks:
                continue
            if test.task in run.refused:
                verdicts.append(Verdict(test, "failed", run.refused[test.task]))
                continue
            if test.task in closed:
                verdicts.append(Verdict(test, "failed", closed[test.task]))
                continue
            verdict = self.run_one(test, item, run)
            verdicts.append(verdict)
            if test.gate and verdict.verdict == "failed":
                closed[test.task] = verdict.message
        return verdicts

    def run_one(self, test: HiddenTest, item: pytest.Function, run: Run) -> Verdict:
        self.outcome = None
        run.begin(test)
        start = time.monotonic()
        try:
            item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        except STOPPED_HERE as error:
            self.outcome = ("error", f"{type(error).__name__} in the judge")
        finally:
            run.end()
        verdict, detail = self.outcome or ("passed", "")
        message = "" if verdict == "passed" else "\n".join(part for part in (test.property, detail) if part)
        return Verdict(test, verdict, message, round(time.monotonic() - start, 3))


class Run:
    """One submission's way through the suite. `refused`: tasks that fail unseen, and why (forbidden names)."""

    def __init__(
        self,
        process: NotebookProcess,
        secret: bytes,
        explainer: Explainer,
        refused: Mapping[str, str],
        tasks: Collection[str],
    ) -> None:
        self.process = process
        self.secret = secret
        self.explainer = explainer
        self.refused = refused
        self.tasks = tasks
        self.test = HiddenTest("", "", 0, False, "")
        self.link: Link | None = None
        self.stack = ExitStack()

    def seed(self, purpose: str) -> int:
        """63 bits from the submission's secret, the test's name and what they are for."""
        words = f"{self.test.task}/{self.test.name}/{purpose}".encode()
        return int.from_bytes(hmac.new(self.secret, words, hashlib.sha256).digest()[:8], "big") >> 1

    def begin(self, test: HiddenTest) -> None:
        self.test = test
        self.link = None
        self.stack = ExitStack()
        common = self.seed("global")
        random.seed(common)
        np.random.seed(common % (1 << 32))
        torch.default_generator.manual_seed(common)  # not of every accelerator, for each test

    def open_link(self) -> Link:
        if self.link is None:
            self.link = self.stack.enter_context(self.process.test(self.seed("worker"), self.explainer))
        return self.link

    def end(self) -> None:
        self.stack.close()
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)

    def judge_exception(self, error: BaseException, module: Path) -> tuple[str, str]:
        """(verdict, what the student or the instructor reads) for what a test raised."""
        if isinstance(error, SandboxError):
            return "error", str(error)
        if isinstance(error, SubmissionFailure):
            return "failed", str(error)
        if isinstance(error, AssertionError):
            own = raised_in(error, module)
            return "failed", str(error) if own else "a value is wrong"
        if isinstance(error, pytest.fail.Exception):
            if "Timeout" in str(error):
                return "failed", str(OutOfTime("it took longer than the time limit"))
            silent = "DID NOT RAISE" in str(error)
            return "failed", "it should have raised an exception here" if silent else str(error)
        answered = self.link is not None and (self.link.answered or self.link.dead is not None)
        if answered and isinstance(error, Exception) and not isinstance(error, NOT_OF_THE_ANSWER):
            return "failed", UNUSABLE.format(type(error).__name__)
        return "error", f"a fault in the hidden test: {type(error).__name__} at {place_in(error, module)}"


def raised_in(error: BaseException, module: Path) -> bool:
    """Whether the exception was raised by the test module itself rather than by a library it called."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and Path(step.tb_frame.f_code.co_filename).parent == module.parent


def place_in(error: BaseException, module: Path) -> str:
    """File and line of the hidden suite, for its author; never the text of the exception, which may hold values."""
    place, step = module.name, error.__traceback__
    while step is not None:
        file = Path(step.tb_frame.f_code.co_filename)
        if file.parent == module.parent:
            place = f"{file.name}:{step.tb_lineno}"
        step = step.tb_next
    return place


def describe(item: pytest.Function) -> HiddenTest:
    gate = item.get_closest_marker("gate") is not None
    mark = item.get_closest_marker("weight")
    weight = 0 if gate else int(mark.args[0]) if mark else 1
    words = " ".join((item.function.__doc__ or "").split("\n\n")[0].split())
    return HiddenTest(item.path.stem.removeprefix("test_"), item.name, weight, gate, words)
