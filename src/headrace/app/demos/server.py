"""What demonstrations share: a home of their own, a server as a process, and what they report."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import httpx

from headrace.core.clock import SystemClock
from headrace.core.errors import Conflict
from headrace.core.settings import Settings, read_settings

AUTHOR = "demo-author"
_FOLDER = "demo"
_START_S = 60.0


class Tell(Protocol):
    """Where progress goes: a step's name, a note, and how much of it is done (0 to 1)."""

    def __call__(self, step: str, note: str = "", share: float | None = None) -> None:
        """Show it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of the closing table."""

    step: str
    what: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Server:
    """The demo's server process."""

    url: str
    process: subprocess.Popen[str]

    def wait(self) -> None:
        """Until it ends or somebody interrupts; it never outlives this call."""
        try:
            self.process.wait()
        except KeyboardInterrupt:
            pass
        finally:
            stop(self.process)


@dataclass(kw_only=True)
class DemoReport:
    """What came out: a table for people, ``summary`` for programs."""

    home: Path
    lines: list[Line] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    server: Server | None = None


def serve(settings: Settings, port: int, clock: SystemClock, tell: Tell) -> Server:
    """Start ``headrace up`` in the demonstration's home; returns once it answers.

    Raises:
        Conflict: it does not start, such as where the port is taken.
    """
    tell("serve", "starting the server", 0.0)
    log = settings.home / "server.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "headrace", "up", "--json", "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=out,
            text=True,
            env=dict(settings.environment),
        )
    url = f"http://127.0.0.1:{port}"
    _wait_until_ready(process, url, clock, log)
    tell("serve", url, 1.0)
    return Server(url=url, process=process)


def stop(process: subprocess.Popen[str]) -> None:
    """End the server: asked first, then not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[str], url: str, clock: SystemClock, log: Path) -> None:
    """Until the server answers."""
    said = process.stdout.readline() if process.stdout is not None else ""
    deadline_s = clock.monotonic_s() + _START_S
    while said and clock.monotonic_s() < deadline_s and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            clock.sleep(0.1)
    stop(process)
    reason = "\n".join(log.read_text(encoding="utf-8").splitlines()[-5:])
    raise Conflict(f"The demo's server did not start: {reason} Another port: headrace demo --port PORT")


def demo_settings() -> Settings:
    """A home of the demo's own inside the user's, emptied at each start: it is a demonstration."""
    given = read_settings()
    return settings_of(given, given.home / _FOLDER / f"{SystemClock().now():%Y%m%d-%H%M%S}")


def newest_home(settings: Settings) -> Path | None:
    """The home of the demonstration that was begun last, if any is kept."""
    return max((settings.home / _FOLDER).glob("*/"), default=None)


def settings_of(given: Settings, home: Path) -> Settings:
    """Settings of a demonstration's home: nothing of it is anywhere else."""
    environment = dict(given.environment) | {"HEADRACE_HOME": str(home), "HEADRACE_USER": AUTHOR}
    for name in ("HEADRACE_DATABASE_URL", "HEADRACE_STORAGE_URL", "HEADRACE_MLFLOW_URL"):
        environment.pop(name, None)
    return replace(read_settings(environment), environment=environment)
