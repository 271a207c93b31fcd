"""A process that loads the modules of one of our programs and forks once for each that is started.

``python nursery.py NAME FOLDER``; see :mod:`tests.warm`. It has one thread, as forks need it.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:] = [path for path in sys.path if path != str(Path(__file__).parent)]
_PATH = list(sys.path)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import warm  # noqa: E402 - only this import needs the path

sys.path[:] = _PATH

LOADED = {
    warm.COMMANDS: """headrace.app.workflows headrace.cli.main headrace.web.server alembic.command
        alembic.context cedarpy cryptography.fernet cyclonedx.model.bom cyclonedx.output.json
        dbos._sys_db_sqlite duckdb flask flask_cors license_expression
        mlflow.store.model_registry.sqlalchemy_store mlflow.store.tracking.sqlalchemy_store
        mlflow.tracking onnx picklescan.scanner pyarrow.dataset pyarrow.parquet scipy.stats
        sqlalchemy.dialects.postgresql sqlalchemy.dialects.sqlite""".split(),
    warm.WORKERS: """headrace.training.own_tests_process headrace.training.tied headrace.training.worker
        duckdb lightgbm onnx pandas pyarrow.parquet pytest scipy.stats skl2onnx sklearn.compose
        sklearn.ensemble sklearn.linear_model sklearn.pipeline sklearn.preprocessing sklearn.tree""".split(),
}
"""Neither deltalake nor onnxruntime: they start threads as they are loaded, which a fork does not have."""
_HIGH = 512
"""Our own descriptors are from here on: those below are the programs'."""


class Nursery:
    """Forks what it is asked for, and tells each asker how that ended."""

    def __init__(self, address: Path) -> None:
        address.unlink(missing_ok=True)
        self._listener = _high(socket.socket(socket.AF_UNIX))
        self._listener.bind(str(address))
        self._listener.listen(64)
        self._wake, self._waker = (_high(end) for end in socket.socketpair())
        self._waker.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno())
        self._links: set[socket.socket] = set()
        self._children: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Until the last process that is connected has gone."""
        waited = [self._listener, self._wake]
        while True:
            for ready in select.select([*waited, *self._links], [], [])[0]:
                if ready is self._listener:
                    self._links.add(_high(self._listener.accept()[0]))
                elif ready is self._wake:
                    self._wake.recv(4096)
                    self._reap()
                else:
                    self._answer(ready)
            if not self._links:
                return

    def _answer(self, link: socket.socket) -> None:
        """The first message on a link is a program to start; none comes from who only holds us."""
        head, fds, _, _ = socket.recv_fds(link, 4, 64)
        if not head:
            self._links.discard(link)
            link.close()
            return
        asked = json.loads(link.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
        program = warm.known(asked["command"])
        assert program is not None
        pid = fork(program, asked, fds, (self._listener, self._wake, self._waker, *self._links))
        for fd in fds:
            os.close(fd)
        self._links.discard(link)
        self._children[pid] = link
        link.sendall(pid.to_bytes(4, "big"))

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            link = self._children.pop(pid)
            with suppress(OSError):  # nobody waits any more
                link.sendall(status.to_bytes(4, "big"))
            link.close()


def _high(link: socket.socket) -> socket.socket:
    moved = socket.socket(fileno=fcntl.fcntl(link, fcntl.F_DUPFD_CLOEXEC, _HIGH))
    link.close()
    return moved


def fork(program: warm.Program, asked: dict[str, Any], fds: list[int], ours: Iterable[socket.socket]) -> int:
    """Fork a process that is what ``python -m MODULE`` is as a new one; its pid."""
    pid = os.fork()
    if pid == 0:
        for link in ours:
            link.close()
        warm.let_go()
        _become(asked, fds)
        sys.argv = [program.target, *asked["command"][len(program.command) :]]
        if "-W" in program.flags:
            warnings.simplefilter("ignore")
        if "-P" not in program.flags:
            sys.path.insert(0, str(Path(program.target).parent) if program.is_file else asked["cwd"])
        os._exit(_run(program))
    return pid


def _become(asked: dict[str, Any], fds: list[int]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if asked["session"]:
        os.setsid()
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH) for fd in fds]
    os.closerange(3, _HIGH)
    for fd, wanted in zip(moved, asked["fds"], strict=True):
        os.dup2(fd, wanted)
        os.close(fd)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    tempfile.tempdir = None
    random.seed()
    np.random.seed()  # noqa: NPY002 - of what draws from the global generator
    sys.dont_write_bytecode = bool(asked["env"].get("PYTHONDONTWRITEBYTECODE"))


def _run(program: warm.Program) -> int:
    code: object = 0
    try:
        if program.is_file:
            runpy.run_path(program.target, run_name="__main__")
        else:
            runpy.run_module(program.target, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - the interpreter itself does so with what nobody has caught
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)  # noqa: T201
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def main(name: str, folder: str) -> None:
    """Load the modules, and serve."""
    warm.lie_in(Path(folder))
    for module in LOADED[name]:
        import_module(module)
    if name == warm.COMMANDS:
        warm.hold(warm.WORKERS)  # which they start
    served = Nursery(warm.address(name))
    gc.collect()
    gc.freeze()
    os.write(1, b"ready\n")
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    with warm.warm():
        served.serve()
    warm.leave(name)
    os._exit(0)  # native libraries would complain of what a process takes with it that has done nothing


if __name__ == "__main__":
    main(*sys.argv[1:])
