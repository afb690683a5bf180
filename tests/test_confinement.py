"""Each part of the confinement, taken away and put back: without it an attack succeeds, with it the attack fails.

One warm worker serves all cases that differ in the inner wall only; the attacks run in the fork of a test.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from grading.judge.failures import Ended, OutOfTime, SubmissionFailure
from grading.judge.proxy import Submission
from grading.judge.session import Limits, NotebookProcess
from grading.sandbox import SandboxError, WarmParent, WorkerView, start_worker

ROOT = Path(__file__).parents[1]
MEMORY = 256 << 20
LIMITS = Limits(cell=20, test=10, total=60, memory=MEMORY)
NAMESPACES = ("user", "pid", "ipc", "net", "uts")
SECRET = "nobody-inside-may-read-this"

PRELUDE = """
import ctypes, mmap, os, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def works(action):
    try:
        action()
    except (OSError, MemoryError, ValueError):
        return False
    return True
"""


@contextmanager
def worker(without: frozenset[str] = frozenset(), view: WorkerView | None = None) -> Iterator[WarmParent]:
    warm = start_worker(view or WorkerView(), without=without)
    try:
        warm.wait_until_ready()
        yield warm
    finally:
        warm.close()


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmParent]:
    with worker() as started:
        yield started


@contextmanager
def submission(warm: WarmParent, code: str, *without: str) -> Iterator[NotebookProcess]:
    """A notebook of one cell, which has run."""
    cells = [(1, PRELUDE + textwrap.dedent(code))]
    process = NotebookProcess(warm, cells, frozenset(), LIMITS, frozenset(without))
    try:
        process.run()
        yield process
    finally:
        process.stop()


def ask(process: NotebookProcess, function: str = "attack") -> Any:
    """What the notebook's function says, in the fork of a test."""
    with process.test(1) as link:
        return getattr(Submission(link), function)()


def attack(warm: WarmParent, code: str, *without: str) -> Any:
    with submission(warm, code, *without) as process:
        return ask(process)


# ------------------------------------------------------------------------------------ session and namespaces


KILLS_ITS_GROUP = """
def attack():
    os.kill(0, signal.SIGKILL)
"""


class Listening(NotebookProcess):
    """Keeps what the keeper said last: it dies without a word when it is killed itself."""

    last = "nothing"

    def keeper_word(self) -> str:
        self.last = super().keeper_word()
        return self.last


def test_session_keeps_a_signal_to_the_group_inside(warm: WarmParent) -> None:
    words = {}
    for without in ((), ("session",)):
        process = Listening(warm, [(1, PRELUDE + KILLS_ITS_GROUP)], frozenset(), LIMITS, frozenset(without))
        process.run()

        with pytest.raises((Ended, SandboxError)):
            ask(process)

        words[without] = process.last
        process.stop()

    assert words == {(): "ended", ("session",): ""}


def test_user_namespace_is_what_all_others_stand_on(warm: WarmParent) -> None:
    with pytest.raises(SandboxError, match="could not be set up"):
        attack(warm, "def attack(): return 1", "user")

    assert attack(warm, "def attack(): return os.getuid(), os.getgid()") == (65534, 65534)


BREEDS = """
children = []
def attack():
    for _ in range(COUNT):
        try:
            child = os.fork()
        except OSError:
            break
        if child == 0:
            time.sleep(1000)
        children.append(child)
    return len(children)
"""


def test_user_namespace_counts_the_processes_of_each_submission_apart() -> None:
    counts = {}
    for without in ((), (*NAMESPACES, "mount")):
        with worker() as warm, submission(warm, BREEDS.replace("COUNT", "20") + "\nattack()", *without):
            try:
                counts[without] = attack(warm, BREEDS.replace("COUNT", "20"), *without)
            except (SubmissionFailure, SandboxError):
                counts[without] = 0  # not even a process to run it in

    assert counts[()] == 20
    assert counts[without] < 20


def test_pid_namespace_puts_the_keeper_out_of_reach(warm: WarmParent) -> None:
    code = """
    def parent(process): return int(open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[1])
    def attack():
        init = parent(os.getppid())
        if parent(init) == 0:
            return "nobody above"
        os.kill(parent(init), signal.SIGKILL)
        return "killed"
    """

    assert attack(warm, code) == "nobody above"
    assert attack(warm, code, "pid") == "killed"


QUEUE = """
class Message(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_long), ("text", ctypes.c_char * 64)]
def leave():
    return libc.msgsnd(libc.msgget(0x5EED, 0o1666), ctypes.byref(Message(1, b"from the other")), 64, 0o4000)
def take():
    message = Message()
    libc.msgrcv(libc.msgget(0x5EED, 0), ctypes.byref(message), 64, 0, 0o4000)
    return message.text.decode()
"""


def test_ipc_namespace_parts_message_queues(warm: WarmParent) -> None:
    taken = {}
    for without in ((), ("ipc",)):
        with submission(warm, QUEUE, *without) as one, submission(warm, QUEUE, *without) as other:
            assert ask(one, "leave") == 0

            taken[without] = ask(other, "take")

    assert taken == {(): "", ("ipc",): "from the other"}


LISTENS = """
listening = []
for family, address in ((socket.AF_INET, ("127.0.0.1", 28761)), (socket.AF_UNIX, chr(0) + "sibling")):
    try:
        link = socket.socket(family)
        link.bind(address)
        link.listen()
        listening.append(link)
    except OSError:
        pass
def attack():
    reached = 0
    for family, address in ((socket.AF_INET, ("127.0.0.1", 28761)), (socket.AF_UNIX, chr(0) + "sibling")):
        with socket.socket(family) as link:
            reached += link.connect_ex(address) == 0
    return reached
"""
CALLS = LISTENS.replace("link.listen()", "pass")


def test_net_namespace_parts_ports_and_abstract_sockets(warm: WarmParent) -> None:
    reached = {}
    for without in ((), ("net",)):
        with submission(warm, LISTENS, *without), submission(warm, CALLS, *without) as other:
            reached[without] = ask(other)

    assert reached[()] == 0
    assert reached[("net",)] > 0


@pytest.mark.parametrize("name", ["pid", "ipc", "net", "uts"])
def test_two_submissions_are_in_one_namespace_only_without_it(warm: WarmParent, name: str) -> None:
    code = f"def attack(): return os.readlink('/proc/self/ns/{name}')"
    same = {}
    for without in ((), (name,)):
        with submission(warm, code, *without) as one, submission(warm, code, *without) as other:
            same[without] = ask(one) == ask(other)

    assert same == {(): False, (name,): True}


# ------------------------------------------------------------------------------------ mounts


PROCESSES = """
def attack():
    return sum("grading.worker" in open(f"/proc/{n}/cmdline").read() for n in os.listdir("/proc") if n.isdigit())
"""


@pytest.mark.parametrize("part", ["mount", "proc"])
def test_fresh_proc_shows_no_process_outside(warm: WarmParent, part: str) -> None:
    inside = attack(warm, PROCESSES)

    outside = attack(warm, PROCESSES, part)

    assert inside == 3, "init, notebook and test"
    assert outside > 3


WRITES = """
def attack():
    return [place for place in ("/tmp", "/dev/shm") if works(lambda: open(place + "/file", "w").write("x"))]
"""


def test_scratch_space_is_there_and_private(warm: WarmParent) -> None:
    leaves = WRITES + "\nattack()"
    looks = "def attack(): return [p for p in ('/tmp', '/dev/shm') if os.path.exists(p + '/file')]"

    with submission(warm, leaves) as first, submission(warm, looks) as second:
        assert ask(first) == ["/tmp", "/dev/shm"]
        assert ask(second) == []

    assert attack(warm, WRITES, "tmp") == []


FILLS = """
def attack():
    written = 0
    for number in range(40):
        with open(f"/dev/shm/{number}", "wb") as file:
            try:
                for _ in range(5):
                    written += os.write(file.fileno(), bytes(1 << 20))
            except OSError:
                break
    return written >> 20
"""


def test_scratch_space_is_sized(warm: WarmParent) -> None:
    assert attack(warm, FILLS) <= 64
    assert attack(warm, FILLS, "scratch_size") == 200


def test_nothing_else_of_the_view_can_be_written(warm: WarmParent) -> None:
    code = """
    def attack():
        places = "/ /app /app/grading /site/0 /python/lib /usr/lib /homework /etc /dev /dev/pts /sys /sys/kernel /proc"
        return [place for place in places.split() if works(lambda: open(place + "/file", "w"))]
    """

    assert attack(warm, code) == []


def test_no_further_user_namespace(warm: WarmParent) -> None:
    code = """
    def attack():
        child = os.fork()
        if child == 0:
            os._exit(libc.unshare(0x10000000 | 0x00020000) or libc.mount(b"t", b"/tmp", b"tmpfs", 0, None))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """

    assert attack(warm, code) != 0
    assert attack(warm, code, "nested_users") == 0


# ------------------------------------------------------------------------------------ limits


def test_memory_limit_refuses_what_is_too_large(warm: WarmParent) -> None:
    nobody_pays = "mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000"  # MAP_NORESERVE
    code = f"def attack(): return works(lambda: mmap.mmap(-1, 1 << 36, flags={nobody_pays}))"

    assert attack(warm, code) is False
    assert attack(warm, code, "memory") is True


SPREADS = """
def attack():
    for _ in range(8):
        if os.fork() == 0:
            kept = bytearray(os.urandom(1 << 20)) * 60
            time.sleep(1000)
    time.sleep(4)
    return "alive"
"""


def test_watchdog_counts_the_memory_of_all_processes_together(warm: WarmParent) -> None:
    with pytest.raises(Ended, match="memory"):
        attack(warm, SPREADS)

    assert attack(warm, SPREADS, "watchdog") == "alive"


def test_watchdog_counts_what_no_limit_of_one_process_does(warm: WarmParent) -> None:
    code = """
    def attack():
        kept = []
        while True:
            kept.append(mmap.mmap(-1, 1 << 24))
            kept[-1].write(b"x" * (1 << 24))
    """

    with pytest.raises(Ended, match="memory"):
        attack(warm, code, "memory")


def test_notebook_may_keep_most_of_its_memory_between_tests(warm: WarmParent) -> None:
    code = """
    kept = bytearray(b"x") * (160 << 20)
    def attack():
        time.sleep(0.5)
        return len(kept) >> 20
    """

    assert attack(warm, code) == 160


def test_file_size(warm: WarmParent) -> None:
    code = """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def attack(): return works(lambda: open("/tmp/large", "wb").truncate(1 << 40))
    """

    assert attack(warm, code) is False
    assert attack(warm, code, "file_size") is True


def test_descriptors(warm: WarmParent) -> None:
    code = "def attack(): return works(lambda: [os.dup(0) for _ in range(200)])"

    assert attack(warm, code) is False
    assert attack(warm, code, "descriptors") is True


def test_processes(warm: WarmParent) -> None:
    code = BREEDS.replace("COUNT", "100")

    assert attack(warm, code) <= 32
    assert attack(warm, code, "processes") == 100


def test_processes_left_by_a_test_end_with_it(warm: WarmParent) -> None:
    code = """
    def attack():
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
        return True
    def left(): return len([name for name in os.listdir("/proc") if name.isdigit()])
    """

    with submission(warm, code) as process:
        ask(process)

        assert ask(process, "left") == 3


def test_processes_left_by_a_cell_end_before_the_first_test(warm: WarmParent) -> None:
    code = """
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
    def attack(): return len([name for name in os.listdir("/proc") if name.isdigit()])
    """

    assert attack(warm, code) == 3, "init, notebook and test"


@pytest.mark.parametrize(("kind", "name"), [(4, "core"), (12, "queues")])
def test_no_core_file_and_no_message_queue(warm: WarmParent, kind: int, name: str) -> None:
    code = f"""
    import resource
    def attack(): return resource.getrlimit({kind})[1]
    """

    assert attack(warm, code) == 0
    assert attack(warm, code, name) != 0


# ------------------------------------------------------------------------------------ privileges


def test_capabilities(warm: WarmParent) -> None:
    code = 'def attack(): return libc.umount2(b"/tmp", 2)'

    assert attack(warm, code) == -1
    assert attack(warm, code, "capabilities") == 0


def test_no_capability_is_left_anywhere(warm: WarmParent) -> None:
    code = """
    def attack():
        lines = [line.split() for line in open("/proc/self/status") if line.startswith("Cap")]
        return {name: int(value, 16) for name, value in lines}
    """

    assert set(attack(warm, code).values()) == {0}
    assert max(attack(warm, code, "capabilities").values()) > 0


def test_no_new_privileges(warm: WarmParent) -> None:
    code = "def attack(): return libc.prctl(39, 0, 0, 0, 0)"  # PR_GET_NO_NEW_PRIVS
    alone = """
        from grading.worker import confine
        confine.drop_privileges(confine.Confinement(memory=0, without=frozenset({without})))
        print(confine.LIBC.prctl(39, 0, 0, 0, 0))
    """  # bubblewrap sets the same, so the part is tried by itself, in a process of its own
    given = {}
    for without in ({"syscalls"}, {"syscalls", "no_new_privileges"}):
        script = textwrap.dedent(alone).replace("{without}", repr(without))
        result = subprocess.run(
            [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
        )
        given["no_new_privileges" in without] = result.stdout.strip()

    assert attack(warm, code) == 1
    assert given == {False: "1", True: "0"}


CALLS_KERNEL = """
def attack():
    memory_file = libc.memfd_create(b"kept", 0)
    segment = libc.shmget(0x5EED, 1 << 20, 0o1666)
    return {"memfd_create": memory_file >= 0, "shmget": segment >= 0}
"""


def test_system_calls(warm: WarmParent) -> None:
    assert not any(attack(warm, CALLS_KERNEL).values())
    assert all(attack(warm, CALLS_KERNEL, "syscalls").values())


def test_memory_in_files_that_no_limit_counts(warm: WarmParent) -> None:
    code = """
    def attack():
        kept = [libc.memfd_create(b"kept", 0) for _ in range(10)]
        return sum(os.write(file, bytes(1 << 20)) for file in kept for _ in range(40)) >> 20
    """

    with pytest.raises(SubmissionFailure):
        attack(warm, code)
    assert attack(warm, code, "syscalls") == 400


READS_INIT = """
def attack():
    init = 1
    return [name for name in ("environ", "maps", "mem", "auxv", "fd") if works(lambda: look(f"/proc/{init}/{name}"))]
def look(path):
    if path.endswith("fd"):
        return os.listdir(path)
    with open(path, "rb") as file:
        return None if path.endswith("mem") else file.read(1)
"""


def test_init_is_hidden_from_the_process_that_runs_the_code(warm: WarmParent) -> None:
    assert attack(warm, READS_INIT) == []
    assert "mem" in attack(warm, READS_INIT, "hide_process")


def test_only_the_wire_is_open(warm: WarmParent) -> None:
    code = """
    def attack():
        names = {number: os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")[:-1]}
        return sorted(name.partition(":")[0] for name in names.values())
    """

    assert attack(warm, code) == ["/dev/null", "/dev/null", "/dev/null", "socket"]


def test_neither_parent_nor_sibling_holds_what_a_notebook_says(warm: WarmParent) -> None:
    says = "planted = 'plan' + 'ted-' + str(123456789012)\ndef attack(): return len(planted)"
    seeks = """
    import re
    MARK = re.compile(rb"plante[d]-[0-9]{12}")
    def attack():
        found = 0
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
            for line in maps:
                span, rights, *_ = line.split()
                start, stop = (int(number, 16) for number in span.split("-"))
                if rights.startswith("rw"):
                    for place in range(start, stop, 1 << 24):
                        memory.seek(place)
                        found += len(MARK.findall(memory.read(min(1 << 24, stop - place))))
        return found
    """

    with submission(warm, says) as first:
        assert ask(first) == 20
    with submission(warm, says) as first, submission(warm, seeks) as second:
        assert ask(first) == 20
        assert ask(second) == 0
    with submission(warm, says + textwrap.dedent(seeks)) as itself:
        assert ask(itself) > 0, "the search finds what is there"


# ------------------------------------------------------------------------------------ the outer wall


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADING_SALT", SECRET)
    code = "def attack(): return [v for v in os.environ.values() if 'nobody-inside' in v]"

    with worker() as confined, worker(frozenset({"environment"})) as open_to_all:
        assert attack(confined, code) == []
        assert attack(open_to_all, code) == [SECRET]


def test_view() -> None:
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder, "oracles.py")
        secret.write_text(SECRET)
        secret.parent.chmod(0o755)  # nothing but the view is in the way
        code = f"def attack(): return [open(p).read() for p in ('{secret}', '/host{secret}') if os.path.exists(p)]"

        with worker() as confined, worker(frozenset({"view"})) as open_to_all:
            assert attack(confined, code) == []
            assert attack(open_to_all, code) == [SECRET]


def test_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        code = f"def attack(): return socket.socket().connect_ex(('127.0.0.1', {port}))"

        with worker() as confined, worker(frozenset({"network"})) as open_to_all:
            assert attack(confined, code, "net") != 0, "the outer wall alone"
            assert attack(open_to_all, code) != 0, "the inner wall alone"
            assert attack(open_to_all, code, "net") == 0


THREADS = """
import torch
torch.set_num_threads(4)
torch.ones(400, 400) @ torch.ones(400, 400)
torch.rand(1_000_000).exp().sum()
def attack():
    (torch.ones(400, 400) @ torch.ones(400, 400)).sum().item()
    return torch.rand(1_000_000).exp().sum().item() > 0
"""


def test_one_thread_before_python_starts() -> None:
    with worker() as confined, worker(frozenset({"threads"})) as threaded:
        assert attack(confined, THREADS) is True
        with pytest.raises(OutOfTime):
            attack(threaded, THREADS)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has nothing to give up")
def test_root_becomes_somebody_whose_processes_are_counted() -> None:
    code = BREEDS.replace("COUNT", "100")

    with worker() as confined, worker(frozenset({"nobody"})) as root:
        assert attack(confined, code) <= 32
        assert attack(root, code, "proc") == 100  # nor could its submissions mount /proc


def test_everything_ends_with_the_warm_parent() -> None:
    with worker() as warm, submission(warm, "def attack(): return 1") as process:
        assert ask(process) == 1

        warm.process.kill()
        warm.process.wait()

        with pytest.raises(SandboxError):
            ask(process)


# ------------------------------------------------------------------------------------ an ordinary user


CENTRAL = (
    "session or namespace or proc or scratch or limit or watchdog or descriptors or capabilit or system_calls or view "
    "or environment or network"
)


@pytest.mark.skipif(os.geteuid() != 0, reason="this whole file is run by an ordinary user already")
def test_central_walls_hold_for_an_ordinary_user_too(tmp_path: Path) -> None:
    """Where Python lies in root's home, a mount namespace opens the way to it, for this one process."""
    closed = sorted(
        {folder for place in (sys.base_prefix, sys.prefix, ROOT) for folder in barred(Path(place))}
    )
    opening = "\n".join(f"open_way {folder}" for folder in closed)
    script = f"""
    set -e
    open_way() {{  # the same directories below it, none of its other content
        mkdir -p {tmp_path}/aside && mount --rbind "$1" {tmp_path}/aside && mount -t tmpfs -o mode=755 tmpfs "$1"
        for inner in {tmp_path}/aside/.[!.]* {tmp_path}/aside/*; do
            [ -d "$inner" ] || continue
            mkdir "$1/${{inner##*/}}" && mount --rbind "$inner" "$1/${{inner##*/}}"
        done
    }}
    {opening}
    cd {ROOT}
    exec setpriv --reuid 12345 --regid 12345 --clear-groups {sys.executable} -P -m pytest -q -p no:cacheprovider \\
        --rootdir {ROOT} --basetemp /tmp/grading-ordinary-{os.getpid()} tests/{Path(__file__).name} -k "{CENTRAL}"
    """
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = {**kept, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}

    result = subprocess.run(
        ["unshare", "--mount", "sh", "-c", textwrap.dedent(script)],
        env=environment, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    shutil.rmtree(f"/tmp/grading-ordinary-{os.getpid()}", ignore_errors=True)

    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    assert " passed" in result.stdout


def barred(place: Path) -> list[Path]:
    """Directories on the way to a place that others may not pass through."""
    return [folder for folder in [place, *place.parents] if not folder.stat().st_mode & 0o001]
