"""The judge's hold on the processes of one submission: starts them, runs the cells, starts and ends tests.

Limits of time are kept here, from outside. Whatever happens in the worker is either the submission's own doing,
which becomes an outcome or a SubmissionFailure, or ours, which becomes a SandboxError.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from grading import wire
from grading.judge.failures import Ended, OutOfTime, SubmissionFailure, printable
from grading.judge.proxy import NO_EXPLANATION, Explainer, Link
from grading.sandbox import SandboxError, WarmParent

MOST_STARTS = 12
GRACE = 3.0  # seconds for the worker's own, softer limit of a cell to work
ANSWER = 10.0  # seconds for trusted code to answer, on a busy machine
START = 60.0  # seconds for a fork and its namespaces, however busy the machine
LAST_GASP = 2.0  # seconds from the first sign of a dying warm parent to the last


@dataclass(slots=True, frozen=True)
class Limits:
    """cell, test, total: seconds. memory: bytes beyond what the warm parent holds."""

    cell: float = 60.0
    test: float = 10.0
    total: float = 300.0
    memory: int = 1 << 30


@dataclass(slots=True, frozen=True)
class CellOutcome:
    """How a cell ended. state: ok, skipped, failed, syntax, slow, ended, memory."""

    state: str
    kind: str = ""
    text: str = ""
    line: int = 0


class NotebookProcess:
    """One submission in the worker. `cells` are (number, source); `skip` the numbers of those not to run; `files`
    lie beside the notebook."""

    def __init__(
        self,
        warm: WarmParent,
        cells: list[tuple[int, str]],
        skip: frozenset[int],
        limits: Limits,
        without: frozenset[str] = frozenset(),
        files: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self.warm = warm
        self.cells = cells
        self.files = files
        self.limits = limits
        self.without = without
        self.outcomes = {number: CellOutcome("skipped") for number in skip}
        self.sources: list[tuple[int, str]] = []
        self.starts = 0
        self.test_reported = False
        self.kernel_kills = kernel_kills()
        self.end_of_time = time.monotonic() + limits.total
        self.keeper: socket.socket | None = None
        self.orders: wire.Wire | None = None

    def run(self) -> None:
        """Starts the process and runs the cells; a cell that ends the process is left out the next time."""
        while True:
            self.start()
            if self.run_cells() or self.starts >= MOST_STARTS or time.monotonic() > self.end_of_time:
                return

    def start(self) -> None:
        self.stop()
        self.starts += 1
        keeper, keeper_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        notebook, notebook_there = socket.socketpair()
        file = os.memfd_create("submission", os.MFD_CLOEXEC)
        submission = {
            "cells": self.cells,
            "files": {name: base64.b64encode(content).decode() for name, content in self.files.items()},
        }
        with open(file, "wb", closefd=False) as place:
            place.write(json.dumps(submission).encode())
        os.lseek(file, 0, os.SEEK_SET)
        settings = {
            "memory": self.limits.memory,
            "confined": self.warm.confined,
            "without": sorted(self.without),
        }
        request = json.dumps(settings).encode()
        try:
            socket.send_fds(
                self.warm.control, [request], [keeper_there.fileno(), notebook_there.fileno(), file]
            )
        except OSError:
            raise SandboxError(f"the worker is gone: {self.warm.last_words()}") from None
        finally:
            keeper_there.close()
            notebook_there.close()
            os.close(file)
        self.keeper = keeper
        self.orders = wire.Wire(notebook, wire.Report)
        try:
            frame = self.orders.receive(time.monotonic() + START)
            self.sources = [(number, source) for number, source in json.loads(frame.buffers[0])]
        except wire.WireError:
            why = self.keeper_word()
            if not why:
                self.check_worker(LAST_GASP)
            raise SandboxError(f"the sandbox could not be set up: {why or 'no answer'}") from None

    def run_cells(self) -> bool:
        """Whether the process lived to the end of the notebook."""
        assert self.orders is not None
        skip = sorted(number for number, outcome in self.outcomes.items() if outcome.state in LEFT_OUT)
        wanted = [number for number, _ in self.cells if number not in skip]
        seconds = max(0.1, min(self.limits.cell, self.end_of_time - time.monotonic()))
        for number in wanted:
            try:
                if number == wanted[0]:
                    self.orders.send(wire.RunCells(skip=skip, seconds=seconds))
                report = self.orders.receive(time.monotonic() + seconds + GRACE).message
                if not isinstance(report, wire.CellDone) or report.number != number:
                    raise wire.WireError("a report out of order")
                text, kind = printable(report.text, 200), printable(report.kind, 80)
                state = report.state if report.state in ("ok", "failed", "syntax", "slow") else "failed"
                self.outcomes[number] = CellOutcome(state, kind, text, report.line)
            except wire.WireTimeout:
                self.outcomes[number] = CellOutcome("slow")
                return False
            except wire.WireError:
                self.outcomes[number] = CellOutcome(
                    "memory" if self.explain_end() == OUT_OF_MEMORY else "ended"
                )
                return False
        try:
            if not wanted:
                return True
            self.orders.receive(time.monotonic() + ANSWER)  # CellsDone
            self.end_left_over()
            return True
        except (wire.WireError, OSError):
            self.check_worker()
            return False

    @contextmanager
    def test(self, seed: int, explainer: Explainer = NO_EXPLANATION) -> Iterator[Link]:
        """A fork for one test. Raises SubmissionFailure where the submission has no process or no time left."""
        if time.monotonic() > self.end_of_time:
            raise OutOfTime("earlier tests used up the time for the whole notebook; mend those first")
        if self.orders is None and self.starts < MOST_STARTS:
            self.run()
        if self.orders is None:
            raise Ended("the notebook's process does not stay alive; mend what ends it first")
        self.test_reported = False
        ours, theirs = socket.socketpair()
        deadline = min(time.monotonic() + self.limits.test, self.end_of_time)
        link = Link(ours, deadline, explainer, self.explain_test_end)
        with theirs:
            try:
                self.orders.send(wire.StartTest(seed=seed), descriptors=(theirs.fileno(),), deadline=deadline)
            except wire.WireError:
                raise Ended(self.explain_end()) from None
        try:
            yield link
        finally:
            link.wire.close()
            self.end_test()

    def end_test(self) -> None:
        """Ends what the test left running; where the notebook process does not answer, it is started afresh."""
        try:
            if self.orders is None:
                raise wire.WireClosed("stopped")
            self.end_left_over()
            while not self.test_reported:
                ended = self.orders.receive(time.monotonic() + ANSWER).message
                self.test_reported = isinstance(ended, wire.TestEnded)
        except (wire.WireError, OSError):
            self.check_worker()
            self.stop()

    def end_left_over(self) -> None:
        """Ends every process but the notebook's own. Raises WireClosed or OSError where that cannot be done."""
        if self.keeper is None:
            raise wire.WireClosed("stopped")
        self.keeper.send(b"clean")
        if self.keeper_word() != "clean":
            raise wire.WireClosed("gone")

    def explain_test_end(self) -> SubmissionFailure:
        """In words, why the fork of a test hung up."""
        if self.orders is not None:
            try:
                ended = self.orders.receive(time.monotonic() + ANSWER).message
                if isinstance(ended, wire.TestEnded):
                    self.test_reported = True
                    return Ended(how_it_ended(ended.code))
            except wire.WireError:
                pass
        return Ended(self.explain_end())

    def explain_end(self) -> str:
        """Why the submission's processes are gone. Raises SandboxError where it was not their own doing."""
        kept = self.keeper is not None
        if self.keeper is not None:
            with suppress(OSError):
                self.keeper.shutdown(
                    socket.SHUT_WR
                )  # a keeper that still watches ends the namespace, and says so
        word = self.keeper_word()
        self.stop()
        self.check_worker()
        if kept and not word:
            raise SandboxError(f"the keeper of the submission is gone: {self.warm.last_words()}")
        if word == "memory":
            return OUT_OF_MEMORY
        if kernel_kills() > self.kernel_kills:
            raise SandboxError(
                "the machine ran out of memory: grade fewer at a time (--jobs), or on a larger one"
            )
        return "it ended the Python process (exit, kill or a crash)"

    def check_worker(self, seconds: float = 0.0) -> None:
        """Raises SandboxError where the warm parent is gone, or goes within so many seconds."""
        poll = select.poll()
        poll.register(self.warm.control, 0)
        poll.register(self.warm.ended, select.POLLIN)
        if poll.poll(seconds * 1000):
            raise SandboxError(f"the worker's warm parent is gone: {self.warm.last_words()}")

    def keeper_word(self) -> str:
        if self.keeper is None:
            return ""
        self.keeper.settimeout(ANSWER)
        try:
            return self.keeper.recv(4096).decode(errors="replace").removeprefix("refused ")
        except OSError:
            return ""

    def stop(self) -> None:
        """Hangs up: the keeper kills the namespace."""
        if self.orders is not None:
            self.orders.close()
        if self.keeper is not None:
            self.keeper.close()
        self.keeper = self.orders = None


LEFT_OUT = ("skipped", "slow", "ended", "memory")
OUT_OF_MEMORY = "it used more memory than the limit"


def how_it_ended(code: int) -> str:
    """In a student's words: an exit code, or minus the number of the signal that ended the process."""
    if code == -signal.SIGSEGV:
        return "it crashed Python (segmentation fault)"
    if code < 0:
        return f"it ended the Python process (signal {-code})"
    return "it ended the Python process (exit)"


def kernel_kills() -> int:
    """How many processes the kernel has ended for want of memory since the machine started."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
