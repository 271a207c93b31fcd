"""Starts a worker process for a job and waits for what it leaves behind.

The worker's life hangs on a pipe: when this process goes, however it goes, the pipe closes and the
worker ends itself and whatever it started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.core.canonical import canonical_json
from headrace.core.errors import GateFailed, InternalError, InvalidInput, NotFound, UserCodeError
from headrace.core.settings import read_settings
from headrace.training.job import RESULT

LOG = "worker.log"
_LOG_BYTES = 200_000
_END_S = 5.0
# -P keeps the user's folder off the path: their onnx.py must not replace ours.
_FLAGS = ("-P", "-X", "faulthandler")
_ERRORS = {kind.__name__: kind for kind in (UserCodeError, InvalidInput, NotFound, GateFailed)}


class TimedOut(UserCodeError):
    """The worker had not come to its end when its time was over."""


@dataclass(frozen=True, kw_only=True)
class WorkerResult:
    """What a worker reported; its files lie in the job's output folder."""

    output: Path
    timings_s: dict[str, float] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)


def run_worker(
    job: Mapping[str, Any], folder: Path, *, cwd: Path, timeout_s: float, python: Path | None = None
) -> WorkerResult:
    """Run one job in a process of its own and wait for it.

    Args:
        job: what :mod:`headrace.training.worker` reads; ``folder/output`` is added as its output.
        folder: an empty folder of the job's own.
        cwd: the worker's working directory.
        python: of another environment that has Headrace too; nothing of this one reaches into it.

    Raises:
        UserCodeError: the user's code raised, ended the process or took too long (TimedOut).
        InvalidInput, NotFound: what it returned cannot be used, or something that the job names is absent.
        InternalError: the worker failed for another reason.
    """
    output = folder / "output"
    output.mkdir(parents=True)
    job_file = folder / "job.json"
    # Read by the worker as a descriptor number; it holds the other end for as long as we live.
    life, ours = os.pipe()
    try:
        job_file.write_bytes(canonical_json({**job, "output": str(output), "life": life}))
        with (folder / LOG).open("wb") as log:
            process = subprocess.Popen(
                [str(python or sys.executable), *_FLAGS, "-m", "headrace.training.worker", str(job_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=_environment(elsewhere=python is not None),
                pass_fds=(life,),
                start_new_session=True,
            )
        code = _wait(process, timeout_s)
    finally:
        os.close(life)
        os.close(ours)
    return _result(output, code, timeout_s)


def run_tied(
    command: Sequence[str],
    log: Path,
    *,
    timeout_s: float,
    cwd: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> int | None:
    """Run a command. It is killed, with all it has started, when it takes too long or this process goes.

    Args:
        log: what it prints is written there.
        cwd: its working directory, if it is not ours.
        extra: variables of its environment, beside ours without Headrace's settings.

    Returns:
        Its exit code, of a signal 256 less its number; None when it took longer than ``timeout_s``.
    """
    life, ours = os.pipe()
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "headrace.training.tied", str(life), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=_environment() | dict(extra or {}),
                pass_fds=(life,),
                start_new_session=True,
            )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(life)
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # It then ends the command, and what that has started even if it has left the group.
        os.close(ours)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def log_of(folder: Path) -> bytes:
    """The end of what the worker and the user's code printed."""
    path = folder / LOG
    return path.read_bytes()[-_LOG_BYTES:] if path.is_file() else b""


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """The exit code; None when it had to be stopped. Ends the worker's whole group in every case."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):  # nothing of the group may be left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(*, elsewhere: bool = False) -> dict[str, str]:
    """Ours without Headrace's own settings, which may hold secrets; one thread, stable hashes."""
    kept_back = ("HEADRACE_", "PYTHONPATH", "PYTHONHOME") if elsewhere else ("HEADRACE_",)
    inherited = {k: v for k, v in read_settings().environment.items() if not k.startswith(kept_back)}
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    return inherited | threads | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def _result(output: Path, code: int | None, timeout_s: float) -> WorkerResult:
    path = output / RESULT
    if code is None:
        raise TimedOut(
            f"The worker was stopped after {timeout_s:.0f} s without an end. "
            "Train on less data or with fewer rounds, or allow more time."
        )
    if not path.is_file():
        raise UserCodeError(_ended(code))
    report = json.loads(path.read_bytes())
    error = report.get("error")
    if error is not None:
        raise _ERRORS.get(error["kind"], InternalError)(error["message"])
    return WorkerResult(output=output, timings_s=report["timings_s"], report=report)


def _ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return (
            "The worker was killed (signal 9) before it finished. If nobody stopped it, the machine ran out "
            "of memory: train on less data or run fewer variants at once."
        )
    if code < 0:
        name = signal.Signals(-code).name
        return (
            f"The worker crashed ({name}) before it finished. Its log says where; look at native libraries."
        )
    return (
        f"The worker's process ended with exit code {code} before it finished. "
        "Does project.py end the process (os._exit)? Raise an exception instead."
    )
