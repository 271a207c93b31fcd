"""Runs a command that ends with whoever asked: ``python -m headrace.training.tied LIFE COMMAND...``.

``LIFE`` is the descriptor of a pipe. When its other end closes, because the asking process went, however it
went, the command is killed. Whatever it has started is ended after it in every case.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_ADOPT = 36
"""PR_SET_CHILD_SUBREAPER of Linux."""
_MOST_ROUNDS = 100


def main(life: str, *command: str) -> int:
    """Run the command; returns its exit code. The process must lead a group of its own."""
    if sys.platform == "linux":
        # What the command starts and leaves behind becomes our child, in whatever group it is.
        ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    gone = threading.Event()
    threading.Thread(target=_end_with_parent, args=(int(life), process, gone), daemon=True).start()
    code = process.wait()
    _end_orphans()
    if gone.is_set():
        os.killpg(0, signal.SIGKILL)
    return code


def _end_with_parent(life: int, process: subprocess.Popen[bytes], gone: threading.Event) -> None:
    os.read(life, 1)
    gone.set()
    process.kill()


def _end_orphans() -> None:
    """Kill our children; their own become ours, so again, until none is left."""
    for _ in range(_MOST_ROUNDS):
        children = _children()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with suppress(ChildProcessError):
                os.waitpid(child, 0)
        if not children:
            return


def _children() -> list[int]:
    """Empty on a system that does not list them."""
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            found += map(int, path.read_text().split())
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
