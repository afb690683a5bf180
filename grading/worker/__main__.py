"""The warm parent: imports torch once, then forks a keeper, an init and a notebook for each submission.

    warm parent ─ keeper (watches memory, kills)        outside the submission's pid namespace
                    └ init (pid 1, reaps)               inside it, from here on
                        └ notebook (pid 2, the student's code)
                            └ one fork a test

It never holds a byte of a submission: descriptors are passed on, and the notebook process reads them.
Requests arrive on the control socket as JSON (memory, confined, without) with three descriptors: the keeper's
socket, the notebook's socket, and a file with the cells and files that were handed in.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from grading.worker import confine
from grading.worker.keeper import keep


def main() -> None:
    gc.disable()  # until all is imported: looking for garbage takes a quarter of the time of torch's import
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(sys.argv[2])
    if settings["become_nobody"]:
        confine.become_nobody()
    from grading.worker import notebook  # imports torch: after the change of user, as everything is

    for module in settings["preload"]:
        importlib.import_module(module)
    notebook.warm_up()
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control.send(b"ready")
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 65536, 3)
        if not request:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            start_submission(json.loads(request), descriptors, settings["support"], notebook.serve)
        for descriptor in descriptors:
            os.close(descriptor)


def start_submission(request: dict[str, Any], descriptors: list[int], support: bool, serve: Any) -> NoReturn:
    """In the keeper: builds the inner wall, forks the init and the notebook process, then watches them."""
    keeper_socket, notebook_socket, submission = descriptors
    status = 1
    try:
        confinement = None
        if request["confined"]:
            confinement = confine.Confinement(memory=request["memory"], without=frozenset(request["without"]))
        os.setsid()
        confine.die_with_parent()
        judge = socket.socket(fileno=keeper_socket)
        try:
            if confinement is not None:
                close_descriptors_except(keeper_socket, notebook_socket, submission)
                confine.enter_namespaces(confinement)
            init = os.fork()
        except OSError as error:
            judge.send(f"refused {error}".encode())
            raise
        if init == 0:
            run_init(confinement, judge, notebook_socket, submission, support, serve)
        os.close(notebook_socket)
        os.close(submission)
        keep(judge, init, sys.maxsize if "watchdog" in request["without"] else request["memory"])
        status = 0
    except Exception:
        traceback.print_exc()
    os._exit(status)


def run_init(
    confinement: confine.Confinement | None,
    judge: socket.socket,
    notebook_socket: int,
    submission: int,
    support: bool,
    serve: Any,
) -> NoReturn:
    """pid 1 of the submission's namespace: confines itself, forks the notebook process, reaps until it ends."""
    try:
        channel = socket.socket(fileno=notebook_socket)
        if confinement is None:
            os.setsid()
        else:
            try:
                if "session" not in confinement.without:
                    os.setsid()
                confine.mount_private_view(confinement)
                confine.limit_resources(confinement)
                confine.drop_privileges(confinement)
                if "hide_process" not in confinement.without:
                    confine.hide_process()
            except OSError as error:
                judge.send(f"refused {error}".encode())
                os._exit(1)
        judge.close()
        notebook_process = os.fork()
        if notebook_process == 0:
            if confinement is not None:
                confine.show_process()
            silence()
            serve(channel, submission, support)
            os._exit(0)
        channel.close()
        os.close(submission)
        while True:
            ended, status = os.wait()
            if ended == notebook_process:
                os._exit(os.waitstatus_to_exitcode(status) & 0x7F)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def close_descriptors_except(*kept: int) -> None:
    """Every descriptor but these and the three standard ones."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2 and number not in kept:
            try:
                os.close(number)
            except OSError:
                continue  # the listing's own descriptor


def silence() -> None:
    """What a student prints goes nowhere: it may hold inputs, and a log would take it for commands."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if null > 2:
        os.close(null)


main()
