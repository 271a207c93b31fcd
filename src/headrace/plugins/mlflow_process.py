"""Keeps the team's MLflow server as a child process: started when first asked for, again when it has died.

A process of its own, because MLflow takes 2 to 8 seconds to import and 265 MB to hold, reads its settings
from the environment, and must not share its libraries' state with ours. Nobody but the owner of the home
can reach its socket, so that every request passes through our door.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headrace.core.errors import NotFound, Unavailable
from headrace.core.ports import Clock

_PATIENCE_S = 120.0
_POLL_S = 0.05
_END_S = 5.0
_OURS = ("HEADRACE_", "MLFLOW_", "_MLFLOW_", "PYTHONWARNINGS")


class MlflowProcess:
    """The server over ``url``; constructing it starts nothing. Safe to use from several threads.

    Args:
        url: ``sqlite:///FILE``.
        artifacts: the folder that it keeps artefacts in.
        environment: what the process inherits, without our settings and MLflow's.

    Example::

        process = MlflowProcess("sqlite:////home/me/.headrace/mlflow.sqlite", artifacts, env, clock)
        httpx.AsyncHTTPTransport(uds=str(process.socket()))
    """

    def __init__(self, url: str, artifacts: Path, environment: Mapping[str, str], clock: Clock) -> None:
        self._url = url
        self._artifacts = artifacts
        self._environment = environment
        self._clock = clock
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._closed = False

    def socket(self) -> Path:
        """The unix socket of a server that answers; starts one, and waits for it, where there is none.

        Raises:
            NotFound: the full MLflow is not installed.
            Unavailable: it does not start.
        """
        child = self._child
        if child is not None and child.is_alive():
            return child.socket
        with self._lock:
            if self._closed:
                raise Unavailable("Headrace is going down, and MLflow's server with it. Try again later.")
            if self._child is None or not self._child.is_alive():
                self._end()
                require_server()
                self._child = _Child(self._url, self._artifacts, self._kept())
                self._child.wait(self._clock)
            return self._child.socket

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return None if self._child is None else self._child.process.pid

    def close(self) -> None:
        """End the child; none is started again."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _kept(self) -> dict[str, str]:
        return {name: value for name, value in self._environment.items() if not name.startswith(_OURS)}


class _Child:
    """One process and the folder that only its owner may enter, with the socket in it."""

    def __init__(self, url: str, artifacts: Path, environment: dict[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headrace-mlflow-"))  # a socket's path must be short
        self.socket = self.folder / "socket"
        life, self._ours = os.pipe()
        told = {"url": url, "artifacts": str(artifacts), "socket": str(self.socket), "life": life}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "headrace.plugins.mlflow_server", json.dumps(told)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self.folder,
                pass_fds=(life,),
            )
        os.close(life)

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def wait(self, clock: Clock) -> None:
        """Return once it accepts connections."""
        deadline_s = clock.monotonic_s() + _PATIENCE_S
        while self.is_alive() and clock.monotonic_s() < deadline_s:
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self.socket)) == 0:
                    return
            clock.sleep(_POLL_S)
        last = (self.folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        self.end()
        raise Unavailable(f"MLflow's server does not start: {' '.join(last)[:300] or 'no reason given'}.")

    def end(self) -> None:
        """Stop it, softly first."""
        self.process.terminate()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
        shutil.rmtree(self.folder, ignore_errors=True)


def require_server() -> None:
    """Raises NotFound when only MLflow's client is installed."""
    try:
        version("mlflow")
    except PackageNotFoundError as error:
        raise NotFound(
            "MLflow's server is not installed here. Install it with: pip install 'headrace[mlflow]'"
        ) from error
