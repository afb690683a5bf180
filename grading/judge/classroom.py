"""Grades many submissions of one homework: one warm judge, one warm worker, forks for the rest.

Each submission is judged in a fork of this process, which talks to its own fork of the worker; a fork that dies
or overstays becomes an error of that submission and touches no other.
"""

from __future__ import annotations

import ast
import ctypes
import difflib
import gc
import json
import os
import re
import selectors
import signal
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grading.forbidden import find_forbidden
from grading.judge.failures import printable
from grading.judge.session import CellOutcome, Limits, NotebookProcess
from grading.judge.suite import HiddenTest, Run, Suite, Verdict
from grading.sandbox import SandboxError, WarmParent
from grading.submitted import NO_FILES, SubmittedFiles

UNKNOWN_NAME = re.compile(r"name '(\w+)' is not defined.*")
MOST_LETTERS = 200_000  # of a cell that is parsed here
START_AND_END = 120.0  # seconds that the judge's fork may take beyond the submission's own time


@dataclass(slots=True, frozen=True)
class TaskRules:
    """What the judge must know of a task: the names it asks for, and the library names it forbids."""

    id: str
    names: tuple[str, ...]
    forbidden: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Work:
    """One submission to judge. `cells` are (number, source); `secret` makes its hidden inputs; `tasks` are those
    to judge it on."""

    key: str
    cells: tuple[tuple[int, str], ...]
    skip: frozenset[int]
    secret: bytes
    tasks: frozenset[str]
    files: SubmittedFiles = NO_FILES


@dataclass(slots=True, frozen=True)
class Judged:
    """What the judge found. `error` says why we could not tell; then there may be no verdicts."""

    key: str
    verdicts: tuple[Verdict, ...] = ()
    cells: Mapping[int, CellOutcome] | None = None
    error: str = ""
    seconds: float = 0.0


class Classroom:
    """Judges works on up to `jobs` forks at a time. `without` leaves parts of the inner wall out, for tests."""

    def __init__(
        self,
        warm: WarmParent,
        tests_directory: Path,
        tasks: Sequence[TaskRules],
        limits: Limits,
        *,
        jobs: int = 1,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.warm = warm
        self.tests_directory = tests_directory
        self.tasks = tasks
        self.limits = limits
        self.jobs = jobs
        self.without = without
        self.tests: list[HiddenTest] = []

    def judge(self, works: Iterable[Work], done: Callable[[Judged], None]) -> None:
        """Calls `done` for each work as it is finished. Raises GradingError where nothing can be judged at all."""

        def serve(suite: Suite) -> None:
            self.tests = suite.tests
            # Before the forks: what torch imports at the first backward (0.3 s), and NumPy at the first number.
            torch.ones(1, requires_grad=True).backward(torch.ones(1))
            np.random.seed(0)
            self.warm.wait_until_ready()
            gc.freeze()
            gc.enable()  # grade() switched it off while everything was loaded
            self.judge_all(suite, works, done)

        names = [task.id for task in self.tasks]
        Suite(self.tests_directory, names, serve, self.limits.test).main()

    def judge_all(self, suite: Suite, works: Iterable[Work], done: Callable[[Judged], None]) -> None:
        waiting = iter(works)
        running: dict[int, Fork] = {}
        selector = selectors.DefaultSelector()
        try:
            while True:
                while len(running) < self.jobs and (work := next(waiting, None)) is not None:
                    fork = self.fork(suite, work, [fork.pipe for fork in running.values()])
                    running[fork.pipe] = fork
                    selector.register(fork.pipe, selectors.EVENT_READ)
                if not running:
                    return
                for key, _ in selector.select(timeout=1.0):
                    fork = running[key.fd]
                    if not fork.read():
                        selector.unregister(fork.pipe)
                        del running[fork.pipe]
                        done(fork.finish())
                for fork in running.values():
                    fork.end_if_late()
        finally:
            for fork in running.values():
                fork.kill()

    def fork(self, suite: Suite, work: Work, others: list[int]) -> Fork:
        ours, theirs = os.pipe()
        process = os.fork()
        if process == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                end_with_parent()
                for pipe in (ours, *others):
                    os.close(pipe)
                null = os.open(os.devnull, os.O_RDWR)
                for standard in (0, 1, 2):
                    os.dup2(null, standard)
                answer = json.dumps(self.judge_one(suite, work)).encode()
                say(theirs, answer)
                os._exit(0)
            except SandboxError as error:
                say(theirs, json.dumps({"error": str(error)}).encode())
            except BaseException:
                say(theirs, json.dumps({"error": f"a fault in the judge: {last_line()}"}).encode())
            finally:
                os._exit(1)
        os.close(theirs)
        tests = [test for test in suite.tests if test.task in work.tasks]
        return Fork(work, tests, process, ours, time.monotonic() + self.limits.total + START_AND_END)

    def judge_one(self, suite: Suite, work: Work) -> dict[str, Any]:
        """In the fork: everything about one submission, as plain data."""
        process = NotebookProcess(
            self.warm, list(work.cells), work.skip, self.limits, self.without, work.files.contents
        )
        try:
            process.run()
            cells = Cells(process, work.files.problems)
            refused = {task.id: words for task in self.tasks if (words := cells.forbidden(task))}
            verdicts = suite.run_all(Run(process, work.secret, cells, refused, work.tasks))
            return {
                "verdicts": [[verdict.verdict, verdict.message, verdict.seconds] for verdict in verdicts],
                "cells": {number: asdict(outcome) for number, outcome in process.outcomes.items()},
            }
        finally:
            process.stop()


class Fork:
    """A fork of the judge at work, and what it has said so far."""

    def __init__(self, work: Work, tests: list[HiddenTest], process: int, pipe: int, deadline: float) -> None:
        self.work = work
        self.tests = tests
        self.process = process
        self.pipe = pipe
        self.deadline = deadline
        self.start = time.monotonic()
        self.said = b""
        self.late = False

    def read(self) -> bool:
        piece = os.read(self.pipe, 1 << 20)
        self.said += piece
        return bool(piece)

    def end_if_late(self) -> None:
        if time.monotonic() > self.deadline:
            self.late = True
            self.kill()

    def kill(self) -> None:
        try:
            os.kill(self.process, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def finish(self) -> Judged:
        os.close(self.pipe)
        _, status = os.waitpid(self.process, 0)
        seconds = round(time.monotonic() - self.start, 3)
        if self.late:
            return Judged(
                self.work.key, error="the judge took longer than all limits together", seconds=seconds
            )
        try:
            answer = json.loads(self.said)
        except ValueError:
            code = os.waitstatus_to_exitcode(status)
            return Judged(self.work.key, error=f"the judge's process ended early ({code})", seconds=seconds)
        if "error" in answer:
            return Judged(self.work.key, error=answer["error"], seconds=seconds)
        verdicts = [Verdict(test, *said) for test, said in zip(self.tests, answer["verdicts"], strict=True)]
        cells = {int(number): CellOutcome(**outcome) for number, outcome in answer["cells"].items()}
        return Judged(self.work.key, tuple(verdicts), cells, seconds=seconds)


class Cells:
    """What the judge can say of a notebook without running it: the Explainer of its tests."""

    def __init__(self, process: NotebookProcess, file_problems: Mapping[str, str]) -> None:
        self.file_problems = file_problems
        self.outcomes = process.outcomes
        self.sources = process.sources
        self.originals = dict(process.cells)
        self.defined = {number: names_defined(source) for number, source in process.sources}

    def forbidden(self, task: TaskRules) -> str:
        """Why the task is refused unseen, or nothing."""
        if not task.forbidden:
            return ""
        ran = [(number, source) for number, source in self.sources if self.state(number) != "skipped"]
        hits = find_forbidden(ran, task.names, task.forbidden)
        if not hits:
            return ""
        hit = hits[0]
        where = f"cell {hit.cell}, line {hit.line}"
        return (
            f"{where} uses {printable(hit.what, 80)}, which this task asks you to write yourself; "
            "the task was not looked at any further"
        )

    def state(self, number: int) -> str:
        return self.outcomes[number].state if number in self.outcomes else "unseen"

    def explain_error(self, kinds: Collection[str], text: str) -> str:
        """What may lie behind an exception of the student's code: a cell that failed, a file that is not there."""
        if "NameError" in kinds and (unknown := UNKNOWN_NAME.fullmatch(text)):
            return self.failed_cell(unknown[1])
        if "OSError" in kinds:
            return "; ".join(why for name, why in self.file_problems.items() if name in text)
        return ""

    def explain_missing(self, name: str) -> str:
        """Why the notebook has no such name: which cell should have defined it, and what happened there."""
        return self.failed_cell(name) or self.similar_name(name)

    def failed_cell(self, name: str) -> str:
        for number, names in self.defined.items():
            if name in names and self.state(number) not in ("ok", "skipped"):
                return (
                    f"your notebook has no {name}: cell {number} defines it, but {self.what_happened(number)}"
                )
        for number, source in self.sources:
            if number not in self.outcomes or self.outcomes[number].state != "syntax" or name not in source:
                continue
            what = self.what_happened(number).removeprefix("it ")
            return f"your notebook has no {name}: cell {number}, where it should be, {what}"
        return ""

    def similar_name(self, name: str) -> str:
        everything = sorted(set().union(*self.defined.values())) if self.defined else []
        folded = {candidate.lower().replace("_", ""): candidate for candidate in everything}
        near = difflib.get_close_matches(name.lower().replace("_", ""), folded, n=1, cutoff=0.8)
        also = (
            f"; did you mean it by {printable(folded[near[0]], 60)}? The name must match exactly"
            if near
            else ""
        )
        return f"your notebook has no {name}{also}"

    def what_happened(self, number: int) -> str:
        outcome = self.outcomes.get(number, CellOutcome("unseen"))
        if outcome.state == "syntax":
            if "<<<<<<<" in self.originals.get(number, ""):
                return "it still holds the marks of a merge conflict (<<<<<<<)"
            return f"it is not valid Python ({outcome.kind}, line {outcome.line}: {outcome.text})"
        if outcome.state == "failed":
            return f"it stopped at line {outcome.line} with {outcome.kind}: {outcome.text}"
        return {
            "slow": "it ran longer than the time limit of a cell",
            "ended": "it ended the Python process",
            "memory": "it used more memory than the limit",
        }.get(outcome.state, "it was not reached")


def names_defined(source: str) -> frozenset[str]:
    """Names that a cell binds anywhere; none where it is too long to be worth a look, or does not parse."""
    if len(source) > MOST_LETTERS:
        return frozenset()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.alias():
                names.add((node.asname or node.name).split(".")[0])
    return frozenset(names)


def say(pipe: int, words: bytes) -> None:
    with open(pipe, "wb") as file:
        file.write(words)


def end_with_parent() -> None:
    """When the command is killed, its forks are not left behind."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, int(signal.SIGKILL), 0, 0, 0)


def last_line() -> str:
    return traceback.format_exc().strip().splitlines()[-1][:300]
