"""Calls on the machines of a Ray cluster, given out as to processes of this one."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from itertools import cycle
from typing import Any

from headrace.core.errors import HeadraceError, InvalidInput, Unavailable

LOCAL = "local"
_PATIENCE_S = 10.0


class RayExecutor(Executor):
    """Workers on a Ray cluster, each of which begins once and then takes calls in turn.

    Every machine has Headrace and the same folders under the same paths. What a worker is sent, and what it
    gives back, travels as a pickle: the cluster must be one that is trusted as this process is.

    Args:
        address: ``HOST:PORT`` of a cluster, ``auto`` for the one that this machine belongs to, or ``local``
            for one that is started on this machine for as long as the executor lives.
        n_workers: how many, with one core each.
        begin: called with ``arguments`` in each worker before anything else.

    Raises:
        InvalidInput: Ray is not installed.
        Unavailable: the cluster does not answer.

    Example::

        with RayExecutor("local", 2, print, ["begun"]) as pool:
            pool.submit(pow, 2, 10).result()  # 1024
    """

    def __init__(
        self, address: str, n_workers: int, begin: Callable[..., object], arguments: Sequence[Any]
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise InvalidInput(
                "HEADRACE_RAY_ADDRESS is set and Ray is not installed. Next: pip install 'headrace[ray]'"
            )
        import ray

        self._owns = not ray.is_initialized()
        if self._owns:
            _connect(address)
        worker: Any = ray.remote(num_cpus=1)(_Worker)
        self._workers: list[Any] = [worker.remote(begin, arguments) for _ in range(n_workers)]
        self._turns = cycle(self._workers)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As :meth:`Executor.submit`; ``BrokenExecutor`` says that a worker is gone."""
        given: Future[Any] = Future()
        given.set_running_or_notify_cancel()
        asked = next(self._turns).call.remote(fn, args, kwargs)
        asked.future().add_done_callback(partial(_settle, given))
        return given

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """End the workers, whatever they do."""
        import ray

        for worker in self._workers:
            ray.kill(worker)
        self._workers = []
        if self._owns:
            ray.shutdown()
            self._owns = False


class _Worker:
    def __init__(self, begin: Callable[..., object], arguments: Sequence[Any]) -> None:
        begin(*arguments)

    def call(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """An error of ours is given back, because Ray raises it as one of its own otherwise."""
        try:
            return function(*args, **kwargs)
        except HeadraceError as error:
            return error


def _connect(address: str) -> None:
    import ray

    # Ray counts its users over the network unless it is told otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    dashboard = False if address == LOCAL else None
    host, _, port = address.rpartition(":")
    try:
        if host:  # where nobody listens, Ray would go on asking for minutes
            socket.create_connection((host, int(port)), _PATIENCE_S).close()
        ray.init(
            address=address, logging_level=logging.ERROR, log_to_driver=False, include_dashboard=dashboard
        )
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            f"No Ray cluster answers at {address} (HEADRACE_RAY_ADDRESS): {error}. "
            "Start it (ray start --head), or leave the variable out to score by processes of this machine."
        ) from error


def _settle(given: Future[Any], asked: Future[Any]) -> None:
    from ray.exceptions import RayError, RayTaskError

    error = asked.exception()
    if error is None:
        result = asked.result()
        given.set_exception(result) if isinstance(result, HeadraceError) else given.set_result(result)
    elif isinstance(error, RayError) and not isinstance(error, RayTaskError):
        given.set_exception(BrokenExecutor(f"A worker of the Ray cluster is gone: {error}"))
    else:
        given.set_exception(error)
