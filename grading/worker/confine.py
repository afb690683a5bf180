"""Confinement of one submission: namespaces, mounts, limits, capabilities, system calls.

Called in a fork of the warm parent, before any byte of a student's is read. The order matters: what a step
needs must still be allowed when it runs. Numbers and flags are those of linux/{sched,mount,prctl,seccomp}.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from dataclasses import dataclass

LIBC = ctypes.CDLL(None, use_errno=True)

NAMESPACES = {
    "user": 0x10000000,
    "pid": 0x20000000,
    "ipc": 0x08000000,
    "net": 0x40000000,
    "uts": 0x04000000,
}
CLONE_NEWNS = 0x00020000
INNER_UID = 65534

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
LAST_CAPABILITY = 40

# Ways to keep memory or data that no limit and no namespace counts (memory files, System V segments, kernel
# keyrings), and large kernel interfaces that no homework needs.
DENIED_SYSCALLS = {
    "x86_64": {
        "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "add_key": 248, "request_key": 249, "keyctl": 250,
        "io_uring_setup": 425, "userfaultfd": 323, "bpf": 321, "perf_event_open": 298,
    },
    "aarch64": {
        "memfd_create": 279, "memfd_secret": 447, "shmget": 194, "add_key": 217, "request_key": 218, "keyctl": 219,
        "io_uring_setup": 425, "userfaultfd": 282, "bpf": 280, "perf_event_open": 241,
    },
}  # fmt: skip
AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
EPERM, ENOSYS = 1, 38


@dataclass(slots=True, frozen=True)
class Confinement:
    """What one submission may use, and which parts of the confinement are on.

    memory, scratch and file sizes are in bytes; memory counts beyond what the warm parent already holds.
    `without` names parts to leave out: for the tests that show what each part is there for.
    """

    memory: int
    scratch: int = 64 << 20
    file_size: int = 64 << 20
    descriptors: int = 64
    processes: int = 32
    without: frozenset[str] = frozenset()


class ConfinementError(OSError):
    """A step was refused by the kernel; the message names the step."""


def check(result: int, step: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise ConfinementError(code, f"{step}: {os.strerror(code)}")
    return result


def enter_namespaces(confinement: Confinement) -> None:
    """New namespaces for this process and its children, one non-zero user mapped. The next fork is pid 1."""
    # not the mounts: those are the init's alone, so that the keeper still sees every process
    flags = sum(flag for name, flag in NAMESPACES.items() if name not in confinement.without)
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    check(LIBC.unshare(flags), "new namespaces (unshare)")
    if "user" not in confinement.without:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{INNER_UID} {outer_uid} 1")
        write("/proc/self/gid_map", f"{INNER_UID} {outer_gid} 1")


def mount_private_view(confinement: Confinement) -> None:
    """A fresh /proc, and sized scratch space on /tmp and /dev/shm. Run by the namespace's pid 1."""
    if "mount" in confinement.without:
        return
    check(LIBC.unshare(CLONE_NEWNS), "a new mount namespace (unshare)")
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    if "proc" not in confinement.without and "pid" not in confinement.without:
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if "tmp" not in confinement.without:
        options = f"size={confinement.scratch},mode=1777,nr_inodes=20000"
        if "scratch_size" in confinement.without:
            options = "mode=1777"
        for place in ("/tmp", "/dev/shm"):
            mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, options)
    if "user" not in confinement.without and "nested_users" not in confinement.without:
        write("/proc/sys/user/max_user_namespaces", "0")


def limit_resources(confinement: Confinement) -> None:
    """Address space, file size, descriptors, processes; no core files."""
    size = int(read("/proc/self/statm").split()[0]) * resource.getpagesize()
    limits = {
        "memory": (resource.RLIMIT_AS, size + confinement.memory),
        "file_size": (resource.RLIMIT_FSIZE, confinement.file_size),
        "descriptors": (resource.RLIMIT_NOFILE, confinement.descriptors),
        "processes": (resource.RLIMIT_NPROC, confinement.processes),
        "core": (resource.RLIMIT_CORE, 0),
        "queues": (resource.RLIMIT_MSGQUEUE, 0),
    }
    for name, (kind, value) in limits.items():
        if name not in confinement.without:
            resource.setrlimit(kind, (value, value))


def drop_privileges(confinement: Confinement) -> None:
    """No capability now or later, no new privileges, a filter on system calls."""
    if "capabilities" not in confinement.without:
        for capability in range(LAST_CAPABILITY + 1):
            LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        header = struct.pack("Ii", 0x20080522, 0)
        check(LIBC.capset(header, bytes(24)), "dropping capabilities (capset)")
    if "no_new_privileges" not in confinement.without:
        check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges (prctl)")
    if "syscalls" not in confinement.without:
        filter_system_calls()


def hide_process() -> None:
    """No other process of the same user may trace this one or read its memory."""
    check(LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "hiding a process (prctl)")


def show_process() -> None:
    check(LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "showing a process (prctl)")


def die_with_parent() -> None:
    check(LIBC.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0), "dying with the parent (prctl)")


def become_nobody() -> None:
    """Started by root: mount /proc while we may, then become uid 65534 for good (before anything else runs)."""
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.setgroups([])
    os.setresgid(INNER_UID, INNER_UID, INNER_UID)
    os.setresuid(INNER_UID, INNER_UID, INNER_UID)
    show_process()  # a change of user hides a process from itself: its own /proc would belong to root


def filter_system_calls() -> None:
    """A seccomp program: EPERM for DENIED_SYSCALLS, an end to foreign architectures."""
    machine = platform.machine()
    if machine not in DENIED_SYSCALLS:
        return
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, errno, kill = 0x7FFF0000, 0x00050000, 0x80000000
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, AUDIT_ARCHITECTURE[machine]),
        (give, 0, 0, kill),
        (load, 0, 0, 0),
        (at_least, 0, 1, 0x40000000),  # the x32 numbers of x86_64
        (give, 0, 0, errno | ENOSYS),
    ]
    for number in DENIED_SYSCALLS[machine].values():
        program += [(equal, 0, 1, number), (give, 0, 0, errno | EPERM)]
    program.append((give, 0, 0, allow))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    check(LIBC.prctl(PR_SET_SECCOMP, 2, header, 0, 0), "filtering system calls (seccomp)")


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    names = [None if text is None else text.encode() for text in (source, target, kind)]
    result = LIBC.mount(*names, ctypes.c_ulong(flags), options.encode() or None)
    check(result, f"mounting {kind or 'private view'} on {target}")


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise ConfinementError(error.errno, f"writing {path}: {error.strerror}") from None
