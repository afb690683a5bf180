"""Tries the whole sandbox on this machine, step by step, and names the mend for each step that fails."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grading.errors import GradingError
from grading.sandbox import WorkerView, bubblewrap_options, start_worker, worker_command

SWITCHES = {  # kernel setting: the value that forbids user namespaces to an ordinary user
    "kernel/unprivileged_userns_clone": "0",
    "user/max_user_namespaces": "0",
    "kernel/apparmor_restrict_unprivileged_userns": "1",
}
OPENED = {"0": "1", "1": "0"}


@dataclass(slots=True, frozen=True)
class Finding:
    """One thing that was tried; `mend` says what to do where it failed."""

    what: str
    healthy: bool
    mend: str = ""


def examine() -> Iterator[Finding]:
    """Each step in the order in which the grader needs it; the first that fails is the last that is tried."""
    for step in (system, python, bubblewrap, user_namespaces, outer_wall, inner_wall):
        finding = step()
        yield finding
        if not finding.healthy:
            return


def system() -> Finding:
    mend = "grade in a Linux virtual machine, in WSL 2, in Codespaces, or on GitHub Actions"
    return Finding(
        f"{platform.system()} {platform.release()} on {platform.machine()}", sys.platform == "linux", mend
    )


def python() -> Finding:
    version = platform.python_version()
    mend = "make the environment with Python 3.11, 3.12 or 3.13: PYTHON=python3.11 scripts/bootstrap"
    return Finding(f"Python {version} at {sys.base_prefix}", (3, 11) <= sys.version_info[:2] <= (3, 13), mend)


def bubblewrap() -> Finding:
    path = shutil.which("bwrap")
    if path is None:
        return Finding(
            "bubblewrap", False, "install it: apt-get install bubblewrap, or dnf install bubblewrap"
        )
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return Finding(
        f"{said.stdout.strip() or 'bubblewrap'} at {path}", said.returncode == 0, "reinstall bubblewrap"
    )


def user_namespaces() -> Finding:
    """The kernel settings that stop an ordinary user; root needs none of them but a number above 0."""
    for name, forbidding in SWITCHES.items():
        file = Path("/proc/sys", name)
        value = file.read_text().strip() if file.exists() else None
        if value == forbidding and (os.geteuid() != 0 or name.startswith("user/")):
            setting = name.replace("/", ".")
            number = "10000" if name.startswith("user/") else OPENED[value]
            return Finding(f"{setting} = {value}", False, f"run: sudo sysctl -w {setting}={number}")
    return Finding("user namespaces are allowed", True)


def outer_wall() -> Finding:
    """bubblewrap with the worker's own view, and Python inside it."""
    options = bubblewrap_options(WorkerView())
    interpreter = worker_command(0, {})[0]
    command = ["bwrap", *options, interpreter, "-P", "-c", "import grading.worker.confine, msgspec"]
    said = subprocess.run(
        command, capture_output=True, text=True, check=False, env={}, executable=shutil.which("bwrap")
    )
    words = "Python in bubblewrap"
    if said.returncode == 0:
        return Finding(words, True)
    last = (said.stderr.strip().splitlines() or ["no message"])[-1]
    if last.startswith("bwrap:"):
        refused = "ermission" in last or "not permitted" in last
        mend = (
            "allow user namespaces: in a container, start it with --privileged"
            if refused
            else "is a path missing?"
        )
        return Finding(f"{words}: {last}", False, mend)
    mend = f"make Python ({sys.base_prefix}), its packages ({sys.prefix}) and this checkout readable for every user"
    return Finding(f"{words}: {last}", False, mend)


def inner_wall() -> Finding:
    """The real worker, and in it the namespaces, limits and fork of one submission and one test."""
    words = "a submission in its own namespaces"
    try:
        warm = start_worker(WorkerView())
    except GradingError as error:
        return Finding(f"{words}: {error}", False, "see the line above")
    try:
        warm.wait_until_ready()
        from grading.judge.proxy import Submission
        from grading.judge.session import Limits, NotebookProcess

        process = NotebookProcess(warm, [(1, "answer = 42")], frozenset(), Limits(cell=10, test=10, total=60))
        process.run()
        with process.test(0) as link:
            answered = Submission(link).answer == 42
        process.stop()
        return Finding(words, answered, "the worker gives wrong answers: run scripts/test")
    except GradingError as error:
        restricted = Path("/etc/apparmor.d/bwrap-userns-restrict").exists()
        mend = (
            "AppArmor takes bubblewrap's rights away: sudo ln -s /etc/apparmor.d/bwrap-userns-restrict "
            "/etc/apparmor.d/disable/ && sudo apparmor_parser -R /etc/apparmor.d/bwrap-userns-restrict"
            if restricted
            else "the kernel refuses nested namespaces: in a container, start it with --privileged or use a machine"
        )
        return Finding(f"{words}: {error}", False, mend)
    finally:
        warm.close()
