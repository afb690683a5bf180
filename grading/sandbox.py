"""Starts the worker's warm parent inside bubblewrap: what it may see of this machine, and nothing else.

This is the outer wall; each submission gets its own inner one (grading/worker/confine.py) in a fork.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from grading.errors import GradingError

PACKAGE = Path(__file__).parent
BUBBLEWRAP_MISSING = (
    "the sandbox needs bubblewrap, and there is no bwrap on PATH: install it "
    "(apt-get install bubblewrap, dnf install bubblewrap) and run `grading doctor`"
)
# For every numeric library, fixed before Python starts: a pool of threads does not survive a fork.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage"
ENVIRONMENT = {
    **ONE_THREAD,
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    # A fork and its end take 3 ms instead of 12 where what torch's import left lies in huge pages: Python's objects
    # go into the C library's heap, and that asks the kernel for such pages, once it has read HUGE_PAGES.
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUTF8": "1",
}


class SandboxError(GradingError):
    """The worker could not be started, or its warm parent is gone: our fault, never a score."""


@dataclass(slots=True, frozen=True)
class WorkerView:
    """What of a homework the worker may see: modules to import beforehand, support code, data files."""

    preload: tuple[str, ...] = ()
    support: Path | None = None
    data: tuple[Path, ...] = ()


@dataclass(slots=True)
class WarmParent:
    """The running warm parent: `control` takes requests for submissions (see grading/worker/__main__.py)."""

    process: subprocess.Popen[bytes]
    ended: int  # a descriptor that can be read from when the process has ended, here and in every fork
    control: socket.socket
    log: IO[bytes]
    confined: bool
    places: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)

    def wait_until_ready(self) -> None:
        """Blocks until torch is imported there; SandboxError with the worker's own words where it never will be."""
        try:
            word = self.control.recv(64)
        except OSError:
            word = b""
        if word != b"ready":
            self.process.wait()
            raise SandboxError(f"the sandbox did not start: {self.last_words()}; run `grading doctor`")

    def last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or f"exit code {self.process.poll()}"

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        os.close(self.ended)
        self.log.close()
        for place in self.places:
            place.cleanup()


def start_worker(
    view: WorkerView, *, confined: bool = True, without: frozenset[str] = frozenset()
) -> WarmParent:
    """Starts the warm parent and returns at once, so that the judge imports torch at the same time.

    `without` leaves parts of the outer wall out ("environment", "view", "network", "threads", "nobody"): for the tests
    of each part.
    Raises SandboxError where bubblewrap is missing.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
    settings = {"preload": list(view.preload), "support": view.support is not None, "become_nobody": False}
    places: list[tempfile.TemporaryDirectory[str]] = []
    if confined:
        bubblewrap = shutil.which("bwrap")
        if bubblewrap is None:
            raise SandboxError(BUBBLEWRAP_MISSING)
        settings["become_nobody"] = os.geteuid() == 0 and "nobody" not in without
        command = [bubblewrap, *bubblewrap_options(view, without), *worker_command(theirs.fileno(), settings)]
        environment: Mapping[str, str] = {**os.environ} if "environment" in without else {}
        directory = "/"
    else:
        place = unconfined_view(view)
        places.append(place)
        command = [sys.executable, "-P", "-m", "grading.worker", str(theirs.fileno()), json.dumps(settings)]
        environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([place.name, *site_directories()])}
        directory = place.name
    with theirs:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory, env=dict(environment),
            pass_fds=[theirs.fileno()], start_new_session=True,
        )  # fmt: skip
    return WarmParent(process, os.pidfd_open(process.pid), ours, log, confined, places)


def bubblewrap_options(view: WorkerView, without: frozenset[str] = frozenset()) -> list[str]:
    """The view of the file system, the environment and the namespaces of the warm parent."""
    options = ["--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if "network" not in without:
        options.append("--unshare-net")
    if os.geteuid() == 0:
        for capability in ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID"):
            options += ["--cap-add", capability]
    else:
        options += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
    for directory in (
        "/usr",
        "/usr/share",
        "/etc",
        "/sys",
        "/sys/kernel",
        "/sys/kernel/mm",
        "/app",
        "/app/grading",
        "/python",
        "/site",
        "/homework",
    ):
        options += ["--dir", directory]  # made on the way to a mount, they would be closed to all but root
    for directory in ("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/share/zoneinfo", "/etc/ld.so.cache",
                      "/etc/alternatives", HUGE_PAGES):  # fmt: skip
        options += ["--ro-bind-try", directory, directory]
    for place in ("/lib", "/lib64", "/lib32"):
        if os.path.islink(place):
            options += ["--symlink", os.readlink(place), place]
        elif os.path.isdir(place):
            options += ["--ro-bind", place, place]
    for source, target in python_mounts(view).items():
        options += ["--ro-bind", source, target]
    mounts_proc_itself = os.geteuid() == 0 and "nobody" not in without
    options += ["--dir" if mounts_proc_itself else "--proc", "/proc"]
    options += ["--dev", "/dev", "--dir", "/dev/shm", "--dir", "/tmp"]
    if "view" in without:
        options += ["--ro-bind", "/", "/host"]
    options += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
    if "environment" not in without:
        options.append("--clearenv")
    for name, value in worker_environment().items():
        if not ("threads" in without and name in ONE_THREAD):
            options += ["--setenv", name, value]
    return options


def python_mounts(view: WorkerView) -> dict[str, str]:
    """Where the interpreter, its packages, the worker's code and the homework's own files are, and go."""
    mounts = {}
    if sys.base_prefix != "/usr":
        for part in ("bin", "lib"):
            mounts[f"{sys.base_prefix}/{part}"] = f"/python/{part}"
    for number, directory in enumerate(site_directories()):
        mounts[directory] = f"/site/{number}"
    mounts[str(PACKAGE / "__init__.py")] = "/app/grading/__init__.py"
    mounts[str(PACKAGE / "wire.py")] = "/app/grading/wire.py"
    mounts[str(PACKAGE / "worker")] = "/app/grading/worker"
    if view.support is not None:
        mounts[str(view.support.absolute())] = "/homework/support.py"
    for file in view.data:
        mounts[str(file.absolute())] = f"/homework/{file.name}"
    return mounts


def site_directories() -> list[str]:
    places = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return list(dict.fromkeys(str(Path(place)) for place in places if Path(place).is_dir()))


def worker_environment() -> dict[str, str]:
    path = ["/app", *(f"/site/{number}" for number in range(len(site_directories())))]
    return {**ENVIRONMENT, "PYTHONPATH": ":".join(path), "LD_LIBRARY_PATH": "/python/lib"}


def worker_command(control: int, settings: Mapping[str, object]) -> Sequence[str]:
    executable = Path(os.path.realpath(sys.executable))
    if sys.base_prefix != "/usr":
        executable = Path("/python/bin") / executable.name
    return [str(executable), "-P", "-m", "grading.worker", str(control), json.dumps(settings)]


def unconfined_view(view: WorkerView) -> tempfile.TemporaryDirectory[str]:
    """For authors without a sandbox: the same places, as links in a temporary directory."""
    place = tempfile.TemporaryDirectory(prefix="grading-")
    package = Path(place.name, "grading")
    package.mkdir()
    for name in ("__init__.py", "wire.py", "worker"):
        (package / name).symlink_to(PACKAGE / name)
    homework = Path(place.name, "homework")
    homework.mkdir()
    if view.support is not None:
        (homework / "support.py").symlink_to(view.support.absolute())
    for file in view.data:
        (homework / file.name).symlink_to(file.absolute())
    return place
