"""Runs a command that ends with whoever asked: ``python -m headrace.training.tied LIFE COMMAND...``.

``LIFE`` is the descriptor of a pipe. When its other end closes, because the asking process went, however it
went, the command and whatever it has started are killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main(life: str, *command: str) -> int:
    """Run the command; returns its exit code. The process must lead a group of its own."""
    threading.Thread(target=_end_with_parent, args=(int(life),), daemon=True).start()
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


def _end_with_parent(life: int) -> None:
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
