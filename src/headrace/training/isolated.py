"""An untouched model in processes of its own: a crash or a hang there is a failure of that model alone."""

from __future__ import annotations

import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.core.clock import SystemClock
from headrace.core.errors import Busy, InvalidInput, ModelFailed
from headrace.core.ports import Columns
from headrace.core.settings import read_settings
from headrace.data.frames import kind_of
from headrace.training.answering import LENGTH

_clock = SystemClock()
_START_S = 120.0
_LARGEST_ANSWER, _LONGEST_ERROR = 1 << 28, 2_000
"""Bytes and characters."""
_NEEDED = frozenset("PATH PYTHONPATH LD_LIBRARY_PATH LANG LC_ALL TZ TMPDIR SYSTEMROOT VIRTUAL_ENV".split())


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """How an untouched model is kept.

    Attributes:
        processes: how many requests it answers at once.
        timeout_s: how long one answer may take; then its process is killed, and the next request starts
            another one.
        waiting: how many requests may wait for a process.
    """

    processes: int = 1
    timeout_s: float = 10.0
    waiting: int = 64


class Isolated:
    """Asks a pickled model in another process. Safe to call from several threads.

    Args:
        pickled: the model; it is loaded over there, by the list of what is trusted.
        names: the columns that it takes, in order.
        code: modules of its own by their path, where it has any: then it may name what is not trusted, and
            its process has no network and none of our variables beside those that programs need.
    """

    def __init__(
        self,
        pickled: bytes,
        names: Sequence[str],
        *,
        classifies: bool,
        isolation: Isolation,
        code: Mapping[str, bytes] | None = None,
    ) -> None:
        self._names = list(names)
        self._classifies = classifies
        self._isolation = isolation
        self._folder = tempfile.TemporaryDirectory(prefix="headrace-model-")
        self._file = Path(self._folder.name) / "model.pkl"
        self._file.write_bytes(pickled)
        self._code = None if code is None else self._file.parent / "code"
        if self._code is not None:
            self._code.mkdir()
            for name, content in (code or {}).items():
                (self._code / name).parent.mkdir(parents=True, exist_ok=True)
                (self._code / name).write_bytes(content)
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(isolation.processes):
            self._idle.put(None)
        self._waiting = threading.BoundedSemaphore(isolation.waiting + isolation.processes)
        self._children: set[_Child] = set()
        self._end = weakref.finalize(self, _end_all, self._children, self._folder)

    def start(self) -> None:
        """Start a process now, so that the first request does not wait for it.

        Raises:
            InvalidInput: the model cannot be loaded.
        """
        child = self._idle.get()
        try:
            child = child or self._started()
        finally:
            self._idle.put(child)

    def ask(self, columns: Columns) -> NDArray[np.float64]:
        """Predictions ``(n_rows,)`` or probabilities ``(n_rows, n_classes)`` of raw rows.

        Raises:
            ModelFailed: the model raised, did not answer in time, or its process ended.
            Busy: too many requests wait already.
        """
        plain = {name: [kind_of(columns[name]), columns[name].tolist()] for name in self._names}
        asked = {"columns": plain, "names": self._names, "classifies": self._classifies}
        return self._in_turn(asked, max((len(values) for _, values in plain.values()), default=0))

    def ask_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """As :meth:`ask`, of prepared rows ``(n_rows, width)``."""
        plain = {"rows": rows.tolist(), "width": rows.shape[1]}
        return self._in_turn(plain | {"classifies": self._classifies}, len(rows))

    def _in_turn(self, asked: dict[str, Any], n_rows: int) -> NDArray[np.float64]:
        if not self._waiting.acquire(blocking=False):
            raise Busy(f"{self._isolation.waiting} requests wait for this model already. Try again later.")
        try:
            return self._asked(asked, n_rows)
        finally:
            self._waiting.release()

    def close(self) -> None:
        """End the processes."""
        self._end()

    def _asked(self, asked: dict[str, Any], n_rows: int) -> NDArray[np.float64]:
        try:
            child = self._idle.get(timeout=self._isolation.timeout_s)
        except queue.Empty:
            raise Busy("The model answers others all the time. Try again later.") from None
        try:
            if child is not None and child.is_gone():
                # It ended while nobody asked, such as for want of memory: no request is to blame.
                self._ended(child)
                child = None
            child = child or self._started()
            answer = child.ask(asked, self._isolation.timeout_s)
            numbers = None if "error" in answer else _numbers(answer, n_rows)
        except ModelFailed:
            self._ended(child)
            child = None
            raise
        finally:
            self._idle.put(child)
        if numbers is None:
            raise ModelFailed(str(answer["error"])[:_LONGEST_ERROR])
        return numbers

    def _started(self) -> _Child:
        child = _Child(self._file, self._code)
        self._children.add(child)
        try:
            said = child.read(_START_S)
        except ModelFailed:
            self._ended(child)
            raise
        if "error" in said:
            self._ended(child)
            raise InvalidInput(f"The package's model cannot be loaded: {said['error']}")
        return child

    def _ended(self, child: _Child | None) -> None:
        if child is not None:
            child.end()
            self._children.discard(child)


def _numbers(answer: dict[str, Any], n_rows: int) -> NDArray[np.float64]:
    """What a process says that runs code of others: taken for what it should be only where it is."""
    try:
        numbers = np.array(answer.get("numbers"), dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.ndim not in (1, 2) or len(numbers) != n_rows:
        raise ModelFailed(f"the model answered with no number for each of {n_rows} rows")
    return numbers


class IsolatedEngine:
    """An estimator with code of its own, in a process of its own."""

    def __init__(self, isolated: Isolated) -> None:
        self._isolated = isolated

    def ask(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """As :meth:`headrace.training.engines.Engine.ask`. Raises as :meth:`Isolated.ask`."""
        return self._isolated.ask_rows(rows)

    def ask_row(self, row: list[float]) -> Any:
        """As :meth:`headrace.training.engines.Engine.ask_row`."""
        answer = self.ask(np.array([row], dtype=np.float64))[0]
        return answer.tolist() if answer.ndim else float(answer)

    def close(self) -> None:
        """End its process."""
        self._isolated.close()


class _Child:
    """One process that answers."""

    def __init__(self, file: Path, code: Path | None) -> None:
        life, self._life = os.pipe()
        self._answers, answers = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "headrace.training.answering",
                    str(file),
                    str(answers),
                    str(life),
                    *([] if code is None else [str(code)]),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment() if code is None else _bare_environment(file.parent),
                cwd=None if code is None else file.parent,
                pass_fds=(life, answers),
                start_new_session=True,
            )
        finally:
            os.close(life)
            os.close(answers)

    def ask(self, asked: Any, timeout_s: float) -> dict[str, Any]:
        data = msgspec.msgpack.encode(asked)
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(len(data).to_bytes(LENGTH, "big") + data)
                self._process.stdin.flush()
        except (BrokenPipeError, OSError):
            raise ModelFailed(self._how_it_ended()) from None
        return self.read(timeout_s)

    def read(self, timeout_s: float) -> dict[str, Any]:
        until_s = _clock.monotonic_s() + timeout_s
        size = int.from_bytes(self._bytes(LENGTH, until_s, timeout_s), "big")
        if size > _LARGEST_ANSWER:
            raise ModelFailed(f"the model answered with {size:,} bytes, more than any answer takes")
        try:
            answer: dict[str, Any] = msgspec.msgpack.decode(self._bytes(size, until_s, timeout_s), type=dict)
        except msgspec.DecodeError:
            raise ModelFailed("the model wrote into the pipe of its answers") from None
        return answer

    def _bytes(self, n_bytes: int, until_s: float, timeout_s: float) -> bytes:
        read = bytearray()
        while len(read) < n_bytes:
            left_s = until_s - _clock.monotonic_s()
            if left_s <= 0 or not select.select([self._answers], [], [], left_s)[0]:
                raise ModelFailed(f"the model hung: it did not answer within {timeout_s:g} s")
            some = os.read(self._answers, n_bytes - len(read))
            if not some:
                raise ModelFailed(self._how_it_ended())
            read += some
        return bytes(read)

    def _how_it_ended(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.returncode
        if code is not None and code < 0:
            return f"the model's process ended by {signal.Signals(-code).name}"
        return f"the model's process ended with exit code {code}"

    def is_gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Kill it, and whatever it started; nothing of it is left."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        for descriptor in (self._life, self._answers):
            with suppress(OSError):
                os.close(descriptor)


def _end_all(children: set[_Child], folder: tempfile.TemporaryDirectory[str]) -> None:
    for child in list(children):
        child.end()
    children.clear()
    folder.cleanup()


def _environment() -> dict[str, str]:
    """Ours without Headrace's own settings, which may hold secrets; one thread."""
    inherited = {k: v for k, v in read_settings().environment.items() if not k.startswith("HEADRACE_")}
    return inherited | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


def _bare_environment(folder: Path) -> dict[str, str]:
    """What a program needs to start, and nothing that may be a secret; ``folder`` is its home."""
    needed = {k: v for k, v in _environment().items() if k in _NEEDED or k.endswith("_NUM_THREADS")}
    return needed | {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
