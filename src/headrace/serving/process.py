"""How a process that answers requests is best set up, and what it uses of the machine."""

from __future__ import annotations

import gc
import os
import resource
import sys
from pathlib import Path
from typing import NamedTuple

KEEP_ALIVE_S = 120
"""How long an idle connection is kept. Longer than clients and proxies keep theirs (httpx 5 s, aiohttp 15 s,
nginx and AWS 60 s, Go 90 s), so that they close it: a server that does may meet a request on its way."""
_YOUNG_OBJECTS = 50_000
_STATM = Path("/proc/self/statm")
_MEMINFO = Path("/proc/meminfo")
_LIMIT = Path("/sys/fs/cgroup/memory.max")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Usage(NamedTuple):
    """What this process has used so far.

    Attributes:
        cpu_s: processor time, in user code and in the system's for it.
        memory_bytes: resident now.
        limit_bytes: memory that it may use: the container's, or the machine's; none where nobody says.
        n_cpus: processors that it may use at once; a container's share counts, so it may be a fraction.
    """

    cpu_s: float
    memory_bytes: int
    limit_bytes: int | None
    n_cpus: float


def usage() -> Usage:
    """What this process uses, as the system counts it (``getrusage``, ``/proc/self/statm``).

    >>> usage().cpu_s > 0
    True
    """
    times = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(
        times.ru_utime + times.ru_stime, _resident_bytes(times.ru_maxrss), _limit_bytes(), _usable_cpus()
    )


def _resident_bytes(most: int) -> int:
    """Resident now; where the system does not say, the most there ever was."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return most * (1 if sys.platform == "darwin" else 1024)


def _limit_bytes() -> int | None:
    found = []
    try:
        found.append(1024 * int(_MEMINFO.read_text(encoding="ascii").split()[1]))
        found.append(int(_LIMIT.read_text(encoding="ascii")))
    except (OSError, ValueError):  # "max" is no number: the machine's memory is the limit
        pass
    return min(found, default=None)


def _usable_cpus() -> float:
    n_cpus = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()[:2]
    except (OSError, ValueError):
        return n_cpus
    return n_cpus if quota == "max" else min(n_cpus, int(quota) / int(period))


def settle() -> None:
    """Keep the garbage collector away from what lives as long as the process.

    Call it once after start, when routes and models are loaded. Requests make almost no cycles, but by
    default the collector walks the whole program again and again on their account: 15 of 87 us per
    single-row request when measured.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
