"""The notebook process, pid 2 of its namespace: runs the cells once, then forks one child a test.

Everything before the first cell runs is trusted; nothing after it is.
"""

from __future__ import annotations

import base64
import json
import os
import random
import runpy
import signal
import socket
import sys
import tempfile
import types
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch

from grading import wire
from grading.worker import cells as running
from grading.worker.answers import answer

HOMEWORK_PLACES = (Path("/homework"), Path(__file__).absolute().parents[2] / "homework")


def serve(channel: socket.socket, submission: int, support: bool) -> None:
    """Reads the submission, tells the judge what its cells are as plain Python, then does what it orders until it
    hangs up."""
    orders = wire.Wire(channel, wire.Order, descriptors=True)
    with open(submission, encoding="utf-8") as file:
        submitted = json.load(file)
    sources = [(number, running.plain_python(source)) for number, source in submitted["cells"]]
    homework = next(place for place in HOMEWORK_PLACES if place.is_dir())
    supporting = load_support(homework) if support else types.ModuleType("support")
    enter_scratch(homework, submitted["files"])
    orders.send(wire.Sources(), [json.dumps(sources).encode()])
    # Until here a fault is ours, from here on it is the submission's.
    sys.path[:] = [place for place in sys.path if place != "/app"]
    torch.set_num_threads(1)
    set_seeds(0)
    module = running.fresh_namespace()
    try:
        while True:
            frame = orders.receive()
            if isinstance(frame.message, wire.RunCells):
                wanted = [(number, source) for number, source in sources if number not in frame.message.skip]
                for number, outcome in running.run_cells(wanted, module, frame.message.seconds):
                    report = wire.CellDone(
                        number=number,
                        state=outcome.state,
                        kind=outcome.kind,
                        text=outcome.text,
                        line=outcome.line,
                    )
                    orders.send(report)
                orders.send(wire.CellsDone())
            else:
                start_test(orders, frame, module, supporting)
    except wire.WireClosed:
        os._exit(0)


def start_test(
    orders: wire.Wire, frame: wire.Frame, module: types.ModuleType, support: types.ModuleType
) -> None:
    """Forks a test, lets it answer on the wire that came along, and reports how it ended."""
    reap()
    child = os.fork()
    if child == 0:
        run_test(orders, frame, module, support)
    for descriptor in frame.descriptors:
        os.close(descriptor)
    while True:
        try:
            _, status = os.waitpid(child, 0)
            break
        except InterruptedError:
            continue
    orders.send(wire.TestEnded(code=os.waitstatus_to_exitcode(status)))


def reap() -> None:
    """Lets go of children of the student's that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def run_test(
    orders: wire.Wire, frame: wire.Frame, module: types.ModuleType, support: types.ModuleType
) -> NoReturn:
    code = 1
    try:
        orders.close()
        signal.setitimer(signal.ITIMER_REAL, 0)
        set_seeds(frame.message.seed)
        answer(socket.socket(fileno=frame.descriptors[0]), module, support)
        code = 0
    finally:
        os._exit(code)


def load_support(homework: Path) -> types.ModuleType:
    """The homework's support.py, run before any student code."""
    module = types.ModuleType("support")
    module.__dict__.update(runpy.run_path(str(homework / "support.py")))
    return module


def enter_scratch(homework: Path, files: dict[str, str]) -> None:
    """The directory a notebook runs in: it may write there, and finds beside it the homework's data and the files
    that were handed in (in base64)."""
    if not os.access("/tmp", os.W_OK):
        return
    scratch = Path(
        tempfile.mkdtemp(
            prefix="notebook-", dir="/tmp" if homework == HOMEWORK_PLACES[0] else homework.parent
        )
    )
    for file in homework.iterdir():
        if file.name != "support.py":
            (scratch / file.name).symlink_to(file)
    for name, content in files.items():
        (scratch / name).write_bytes(base64.b64decode(content))
    os.chdir(scratch)


def warm_up() -> None:
    """What torch sets up at its first backward, and NumPy at its first random number, before anything is forked."""
    torch.ones(1, requires_grad=True).sum().backward()
    set_seeds(0)


def set_seeds(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    torch.default_generator.manual_seed(seed)  # not of every accelerator, in each test
