"""Processes that the tests start, and kill: each tells its parent what was acknowledged."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from headrace.core.clock import SystemClock
from headrace.core.ids import new_id
from headrace.core.ports import DataKeys, Transaction
from headrace.core.settings import Settings
from headrace.store import open_store
from headrace.store.events import SegmentLog
from headrace.store.tables import DeltaTables
from headrace.testing import FakeClock, make_model

_context = multiprocessing.get_context("forkserver")
# By name of our own modules: the server of Python 3.11 does not know where the tests lie.
_context.set_forkserver_preload(
    ["headrace.app.operations", "headrace.store.tables", "headrace.testing", "pytest"]
)


class Child:
    """A process and the messages it has sent."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        self._messages, sender = _context.Pipe(duplex=False)
        self.process = _context.Process(target=work, args=(sender, *arguments), daemon=True)
        self.process.start()
        sender.close()

    def messages(self) -> Iterator[Any]:
        """What it sends, until it ends."""
        while True:
            try:
                yield self._messages.recv()
            except (EOFError, OSError):
                return

    def next(self) -> Any:
        """The next message; fails after half a minute."""
        assert self._messages.poll(30), "the child process said nothing"
        return self._messages.recv()

    def kill(self) -> list[Any]:
        """SIGKILL it; returns the messages that were not read yet."""
        self.process.kill()
        rest = list(self.messages())
        self.process.join(30)
        return rest

    def finish(self) -> list[Any]:
        """Let it end; returns the messages that were not read yet."""
        rest = list(self.messages())
        self.process.join(30)
        assert self.process.exitcode == 0
        return rest


@contextmanager
def running(*children: Child) -> Iterator[None]:
    """Leave no process behind, whatever the test does."""
    try:
        yield
    finally:
        for child in children:
            child.process.kill()
            child.process.join(30)


def append_events(sender: Connection, path: Path, stream: str, keys: DataKeys | None) -> None:
    """Append from four threads for ever; send each record once it is acknowledged."""
    log = SegmentLog(path, new_id(SystemClock().now()), segment_bytes=200_000, keys=keys)
    lock = threading.Lock()

    def work(thread: int) -> None:
        randomly = random.Random()
        for n in range(1_000_000):
            name = f"{log_id}:{thread}:{n}:".encode()
            batch = [name + b"%d:" % i + randomly.randbytes(randomly.randrange(4000)) for i in range(3)]
            log.append(stream, batch)
            with lock:
                sender.send(batch)

    log_id = new_id(SystemClock().now())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))


def append_audit(sender: Connection, settings: Settings, n_entries: int) -> None:
    """Append entries from four threads; send actor and number of each once it is acknowledged."""
    store = open_store(settings, SystemClock())
    name = f"child{os.getpid()}"
    lock = threading.Lock()

    def work(n: int) -> None:
        store.audit.append(name, "act", f"thing:{n}", {"n": n})
        with lock:
            sender.send((name, n))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(n_entries)))
    store.close()


def take_items(sender: Connection, settings: Settings, lease_s: float) -> None:
    """Take what waits in the queue, send it, and keep it."""
    sender.send([one.item for one in open_store(settings, FakeClock()).queue.take(10, lease_s)])
    threading.Event().wait()


def number_models(sender: Connection, settings: Settings, run_ids: list[str]) -> None:
    """Register runs from four threads; send run and number."""
    store = open_store(settings, SystemClock())

    def work(run_id: str) -> tuple[str, int]:
        return run_id, store.models.add(make_model(run_id=run_id)).version

    with ThreadPoolExecutor(4) as threads:
        sender.send(list(threads.map(work, run_ids)))
    store.close()


def append_rows(sender: Connection, path: Path, table: str, first: int, n_appends: int) -> None:
    """Append one row at a time from four threads; send the versions."""
    tables = DeltaTables(path, SystemClock())

    def work(n: int) -> int:
        return tables.append(table, {"n": np.array([float(first + n)])})

    with ThreadPoolExecutor(4) as threads:
        sender.send(list(threads.map(work, range(n_appends))))


def append_positions(
    sender: Connection, path: Path, table: str, n_positions: int, keys: DataKeys | None = None, first: int = 1
) -> None:
    """Append each position from ``first`` on as one row; send it once it is acknowledged."""
    tables = DeltaTables(path, SystemClock(), keys)
    for position in range(first, n_positions + 1):
        tables.append(table, {"n": np.array([float(position)])}, transaction=Transaction("segment", position))
        sender.send(position)


def open_home(sender: Connection, settings: Settings) -> None:
    """Open a store that may not exist yet, and say so."""
    store = open_store(settings, SystemClock())
    sender.send(store.audit.verify().sequence)
    store.close()


def register(sender: Connection, settings: Settings, executor_id: str) -> None:
    """Register as a live process and wait to be killed."""
    store = open_store(settings, SystemClock())
    store.executors.register(executor_id, "worker", None)
    sender.send("registered")
    threading.Event().wait(60)
