"""Which process this is, and whether another one still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Protocol

_GONE = ("Z", "X")


def boot_id(proc: Path = Path("/proc")) -> str:
    """What is new each time that the machine starts; ``""`` where it cannot be seen."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Processes(Protocol):
    """The processes of one machine."""

    @property
    def host(self) -> str:
        """Name of the machine, its present boot and its process namespace: pids mean something in it."""

    @property
    def pid(self) -> int:
        """Id of this process."""

    def started(self, pid: int) -> str | None:
        """When a process started, in the machine's own unit; ``""`` if unknown, None if it is gone."""


class MachineProcesses:
    """The machine that this runs on; on Linux by way of ``/proc``.

    A process id alone is not enough, for it is given again after its process has ended; the start time
    tells the two apart. A zombie, which only waits to be collected, counts as gone.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc

    @property
    def host(self) -> str:
        """Host name, boot id and process namespace, separated by ``/``."""
        try:
            namespace = str((self._proc / "self/ns/pid").readlink())
        except OSError:
            namespace = ""
        return f"{socket.gethostname()}/{boot_id(self._proc)}/{namespace}"

    @property
    def pid(self) -> int:
        """Id of this process."""
        return os.getpid()

    def started(self, pid: int) -> str | None:
        """Start time in clock ticks since boot, ``""`` if it cannot be seen, None if it is gone."""
        try:
            # The command, in brackets, may itself hold spaces and brackets.
            fields = (self._proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
            return None if fields[0] in _GONE else fields[19]
        except (OSError, IndexError):
            return "" if _answers(pid) else None


def mark_of(machine: Processes) -> str:
    """What names this process to :func:`is_gone`."""
    return f"{machine.host}#{machine.pid}#{machine.started(machine.pid) or ''}"


def is_gone(mark: str, machine: Processes) -> bool:
    """Whether the process that left a mark has ended for sure: it was on this machine, and is not any more.

    >>> is_gone(mark_of(MachineProcesses()), MachineProcesses()), is_gone("elsewhere#1#7", MachineProcesses())
    (False, False)
    """
    host, pid, began = (*mark.split("#"), "", "")[:3]
    if host != machine.host or not pid.isdecimal():
        return False
    started = machine.started(int(pid))
    return started is None or bool(began and started and began != started)


def _answers(pid: int) -> bool:
    """Whether a process with this id exists, also where ``/proc`` hides those of other users."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
