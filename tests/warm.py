"""Our programs, started by a fork of a process that has loaded their modules already.

Hundreds of tests start ``python -m headrace ...`` or a worker. Two seconds of such a process go into
loading modules, which proves nothing more the second time. While :func:`warm` holds, a nursery of each kind
of program loads them once for all processes of tests, and what is started is a fork of it: a process of its
own, with its own arguments, folder, environment, descriptors, session and end. Tests whose subject is the
start itself take the fixture ``cold``.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Program(NamedTuple):
    """One of ours: the interpreter's flags, its module or file, and the nursery that forks it."""

    flags: tuple[str, ...]
    target: str
    nursery: str

    @property
    def is_file(self) -> bool:
        """Whether it is run by its path."""
        return self.target.endswith(".py")

    @property
    def command(self) -> list[str]:
        """How its command begins."""
        return [sys.executable, *self.flags, *([] if self.is_file else ["-m"]), self.target]


WORKERS, COMMANDS = "workers", "commands"
PROGRAMS = (
    Program((), "headrace", COMMANDS),
    Program(("-P",), "headrace", COMMANDS),
    Program(("-P", "-X", "faulthandler"), "headrace.training.worker", WORKERS),
    Program(("-P",), "headrace.training.tied", WORKERS),
    Program(("-P",), "headrace.training.own_tests_process", WORKERS),
)
_FLAGS = {WORKERS: ["-P", "-X", "faulthandler"], COMMANDS: list[str]()}
_ENVIRONMENTS = {
    COMMANDS: dict[str, str](),
    WORKERS: {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")} | {"PYTHONHASHSEED": "0"},
}
_START = str(Path(__file__).with_name("nursery.py"))
_SIZE = 4
_run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:16]
_place = {"folder": Path(tempfile.gettempdir()) / f"headrace-tests-{_run}"}
_holds: dict[str, socket.socket] = {}
_started: list[subprocess.Popen[bytes]] = []
_cold = subprocess.Popen


class Forked(subprocess.Popen[Any]):
    """``subprocess.Popen`` that asks a nursery for what that knows how to start."""

    _told: socket.socket | None = None
    """Says the pid, and in the end how it ended."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        executable, preexec, _, pass_fds, cwd, env, _, _, shell = rest[:9]
        pipes, session = rest[9:15], rest[-2]
        program = None if shell or executable or preexec else _program(args, env)
        parent: Any = super()
        if program is None:
            parent._execute_child(args, *rest)
            return
        p2cread, _, _, c2pwrite, _, errwrite = pipes
        given = {0: p2cread, 1: c2pwrite, 2: errwrite}
        given = {fd: fd if mine == -1 else mine for fd, mine in given.items()} | {fd: fd for fd in pass_fds}
        asked = {
            "command": args,
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": bool(session),
            "fds": list(given),
        }
        hold(program.nursery)
        self._told = _connected(program.nursery)
        data = json.dumps(asked).encode()
        socket.send_fds(self._told, [len(data).to_bytes(_SIZE, "big")], list(given.values()))
        self._told.sendall(data)
        self.pid = received(self._told)
        vars(self)["_child_created"] = True
        parent._close_pipe_fds(*pipes)

    def _wait(self, timeout: float | None) -> int | None:
        if self._told is None:
            parent: Any = super()
            code: int | None = parent._wait(timeout)
            return code
        if not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.returncode

    def _internal_poll(self, *more: Any, **named: Any) -> int | None:
        if self._told is None:
            parent: Any = super()
            code: int | None = parent._internal_poll(*more, **named)
            return code
        self._has_ended(0)
        return self.returncode

    def _has_ended(self, timeout: float | None) -> bool:
        if self._told is not None and self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                return False
            self.returncode = os.waitstatus_to_exitcode(received(self._told))
            self._told.close()
        return True


@contextmanager
def warm() -> Iterator[None]:
    """Start our programs as forks until the block ends; a project's own tests without plug-ins of ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", Forked)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield


@contextmanager
def cold() -> Iterator[None]:
    """Start them as everybody does until the block ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", _cold)
        yield


def typed(folder: Path) -> str:
    """What a shell's PATH begins with; while tests are warm, its ``headrace`` is one in ``folder``."""
    installed = str(Path(sys.executable).parent)
    if subprocess.Popen is _cold:
        return installed
    hold(COMMANDS)
    folder.mkdir(exist_ok=True)
    program = folder / "headrace"
    started = [sys.executable, "-IS", str(Path(__file__).with_name("typed.py")), str(address(COMMANDS))]
    program.write_text(f'#!/bin/sh\nexec {shlex.join([*started, sys.executable])} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return os.pathsep.join([str(folder), installed])


def hold(nursery: str) -> None:
    """Have this nursery up for as long as this process lives: it ends when nobody is connected any more."""
    if nursery in _holds:
        return
    address(nursery).parent.mkdir(exist_ok=True)
    with address(nursery).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if nursery in _holds:  # another thread of ours has waited, too
            return
        with suppress(OSError):
            _holds[nursery] = _connected(nursery)
            return
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        started = _cold(
            [sys.executable, *_FLAGS[nursery], _START, nursery, str(_place["folder"])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=inherited | _ENVIRONMENTS[nursery],
            start_new_session=True,
        )
        _started.append(started)  # it outlives us if others hold it: nobody is to wait for it
        assert started.stdout is not None
        with started.stdout as said:
            assert said.readline(), f"the nursery of {nursery} ended before it was ready"
        _holds[nursery] = _connected(nursery)


def let_go() -> None:
    """Hold no nursery any more; a process that has been forked from who does starts with this."""
    while _holds:
        _holds.popitem()[1].close()


def lie_in(folder: Path) -> None:
    """Make this process one of the tests that have their nurseries in this folder."""
    _place["folder"] = folder


def address(nursery: str) -> Path:
    """Where a nursery listens."""
    return _place["folder"] / nursery


def leave(nursery: str) -> None:
    """Take away what a nursery that has ended leaves behind."""
    for path in (address(nursery), address(nursery).with_suffix(".lock")):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # the other one is still there
        address(nursery).parent.rmdir()


def received(told: socket.socket) -> int:
    """A number that the other end says."""
    data = told.recv(_SIZE, socket.MSG_WAITALL)
    assert len(data) == _SIZE, "the nursery has ended"
    return int.from_bytes(data, "big")


def known(command: list[str]) -> Program | None:
    """The program that this command starts: one of the package, or one that tests are made with."""
    named = command[2:3] if command[1:2] == ["-m"] else command[1:2]
    made_here = [name for name in named if name.startswith(("tests.", str(Path(__file__).parent)))]
    ours = (*PROGRAMS, *(Program((), name, COMMANDS) for name in made_here))
    return next((one for one in ours if command[: len(one.command)] == one.command), None)


def _connected(nursery: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(str(address(nursery)))
    except OSError:
        link.close()
        raise
    return link


def _program(args: Any, env: Any) -> Program | None:
    """As :func:`known`, if it runs on the modules that its nursery has loaded."""
    same = (env or os.environ).get("PYTHONPATH") == os.environ.get("PYTHONPATH")
    return known(args) if same and isinstance(args, list) else None
