"""A number that all processes of a home share, in eight bytes of mapped memory."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable
from pathlib import Path

from headrace.core.ports import Epoch

_BYTES = 8


class SharedEpoch:
    """Implements ``Epoch`` on one machine: a change in one process is seen by all others at their next read.

    Processes on other machines do not see it; what they remember must also grow old by itself.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size < _BYTES:
            os.ftruncate(self._file, _BYTES)
        self._memory = mmap.mmap(self._file, _BYTES)
        self._number = memoryview(self._memory).cast("Q")

    def read(self) -> int:
        return self._number[0]

    def advance(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._number[0] += 1
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the file; closing again is no error."""
        if not self._memory.closed:
            self._number.release()
            self._memory.close()
            os.close(self._file)


class EpochAfterwards:
    """Implements ``Epoch`` over another one: others are told of a change once they can see it.

    Args:
        afterwards: calls what it is given once the transaction under way, if any, is durable.
    """

    def __init__(self, epoch: Epoch, afterwards: Callable[[Callable[[], None]], None]) -> None:
        self._epoch = epoch
        self._afterwards = afterwards

    def read(self) -> int:
        return self._epoch.read()

    def advance(self) -> None:
        self._afterwards(self._epoch.advance)
