"""``headrace`` as a shell finds it while the tests are warm: a nursery starts it in our place.

``python -IS typed.py ADDRESS PYTHON ARGUMENTS``; see :func:`tests.warm.typed`. It loads next to nothing.
"""

import json
import os
import signal
import socket
import sys

_SIZE = 4
_OURS = (0, 1, 2)


def main(address: str, python: str, *arguments: str) -> None:
    """End as the program does that we stand for, and hand on what it is told meanwhile."""
    asked = {
        "command": [python, "-m", "headrace", *arguments],
        "cwd": os.getcwd(),  # noqa: PTH109 - pathlib takes as long to load as all of this
        "env": dict(os.environ),
        "session": False,
        "fds": list(_OURS),
    }
    data = json.dumps(asked).encode()
    told = socket.socket(socket.AF_UNIX)
    told.connect(address)
    socket.send_fds(told, [len(data).to_bytes(_SIZE, "big")], _OURS)
    told.sendall(data)
    pid = _received(told)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    code = os.waitstatus_to_exitcode(_received(told))
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _received(told: socket.socket) -> int:
    return int.from_bytes(told.recv(_SIZE, socket.MSG_WAITALL), "big")


if __name__ == "__main__":
    main(*sys.argv[1:])
