"""The keeper of one submission: outside its pid namespace, so that nothing inside can touch it.

It ends the namespace when its memory passes the limit or when the judge hangs up, and between two tests it ends
whatever the last one left running. Limits of time are the judge's.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from dataclasses import dataclass

PAGE = os.sysconf("SC_PAGE_SIZE")
WATCH_EVERY = 50  # milliseconds
END_WITHIN = 5.0  # seconds


@dataclass(slots=True, frozen=True)
class Usage:
    """Pages of one process: its own (in bytes), and those of shared memory it has touched."""

    anonymous: int
    shared: int


def keep(judge: socket.socket, init: int, memory: int) -> None:
    """Serves the judge until the namespace is gone. Answers: `clean` to `clean`, then `memory` or `ended`."""
    ended = os.pidfd_open(init)
    inherited = usage_of(os.getpid()).anonymous
    poll = select.poll()
    poll.register(judge, select.POLLIN)
    poll.register(ended, select.POLLIN)
    word = b"ended"
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(WATCH_EVERY)}
        if ended in ready:
            break
        if judge.fileno() in ready:
            request = judge.recv(16)
            if request == b"clean" and end_left_over(init):
                judge.send(b"clean")
                continue
            break  # the judge hung up, or what a test left running would not end
        if uses_more_than(memory, init, inherited):
            word = b"memory"
            break
    kill(init)
    os.waitpid(init, 0)
    try:
        judge.send(word)
    except OSError:
        pass  # nobody is left to hear it


def end_left_over(init: int) -> bool:
    """Kills every process of the namespace but its init and the notebook process. Whether they are gone in time:
    on a busy machine a large process takes a while to end."""
    give_up = time.monotonic() + END_WITHIN
    while time.monotonic() < give_up:
        left = descendants(init)[1:]
        if not left:
            return True
        for process in left:
            kill(process)
        time.sleep(0.001)
    return False


def descendants(init: int) -> list[int]:
    """Processes below the init, the notebook process (its first child) first; the dead do not count."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = process_fields(int(name))
            if fields and fields[0] != "Z":
                parents.setdefault(int(fields[1]), []).append(int(name))
    found, front = [], [init]
    while front:
        children = sorted(parents.get(front.pop(0), ()))
        found += children
        front += children
    return found


def process_fields(process: int) -> list[str]:
    """State, parent, … of /proc/PID/stat: what follows the name, which may hold anything."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return []


def uses_more_than(limit: int, init: int, inherited: int) -> bool:
    """Whether the namespace's processes hold more bytes than the limit beyond what they inherited.

    What forks share is counted in each at first. Only where that is too much is it worth the time to ask the kernel
    for each process's fair share; and where there are many, which could hide an inherited copy each.
    """
    processes = [init, *descendants(init)]
    usages = [usage_of(process) for process in processes]
    beyond = sum(max(0, usage.anonymous - inherited) + usage.shared for usage in usages)
    if beyond <= limit and len(processes) <= 4:
        return False
    kept = proportional(os.getpid())  # the keeper holds nothing but what was inherited
    return sum(max(0, proportional(process) - kept) for process in processes) > limit


def usage_of(process: int) -> Usage:
    values = status_lines(f"/proc/{process}/status")
    return Usage(values.get("RssAnon", 0), values.get("RssShmem", 0))


def proportional(process: int) -> int:
    """The process's fair share of what it holds, shared pages divided among their holders."""
    values = status_lines(f"/proc/{process}/smaps_rollup")
    return values.get("Pss_Anon", 0) + values.get("Pss_Shmem", 0)


def status_lines(path: str) -> dict[str, int]:
    values = {}
    try:
        with open(path) as file:
            for line in file:
                name, _, rest = line.partition(":")
                if rest.endswith("kB\n"):
                    values[name] = int(rest.split()[0]) << 10
    except OSError:
        pass  # the process has just ended
    return values


def kill(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        pass  # it has just ended
