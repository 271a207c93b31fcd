"""Whose turn it is: how many requests a model that takes its time answers at once, and how many may wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from headrace.core.errors import Busy
from headrace.core.project import ServingSpec

_Result = TypeVar("_Result")


class Turns:
    """The turns of one model, in threads of its own: one that hangs keeps no thread from another.

    Args:
        spec: ``concurrency`` requests are answered at once, and ``queue`` wait, for ``timeout_s`` at most.

    Example::

        scored = await Turns("r1", project.serving).take(score, loaded, values)
    """

    def __init__(self, release_id: str, spec: ServingSpec) -> None:
        self.spec = spec
        self._release_id = release_id
        self._threads = ThreadPoolExecutor(spec.concurrency, thread_name_prefix=f"headrace-{release_id[:8]}")
        self._lock = threading.Lock()
        self._taken = 0

    async def take(self, call: Callable[..., _Result], *given: object) -> _Result:
        """What ``call`` returns, called with ``given`` in a thread when its turn has come.

        Raises:
            Busy: too many wait already, or the others took too long.
        """
        most = self.spec.concurrency + self.spec.queue
        with self._lock:
            if self._taken >= most:
                raise Busy(
                    f"{self.spec.queue} requests wait for release {self._release_id} already. Try again "
                    "later; serving.concurrency and serving.queue say how many are answered, and may wait."
                )
            self._taken += 1
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        def turn() -> _Result:
            loop.call_soon_threadsafe(begun.set)
            return call(*given)

        result = self._threads.submit(turn)
        # Once the thread is free again, which may be long after whoever asked has left.
        result.add_done_callback(self._give_back)
        try:
            async with asyncio.timeout(self.spec.timeout_s):
                await begun.wait()
        except TimeoutError:
            if result.cancel():
                raise Busy(
                    f"Release {self._release_id} answered others for {self.spec.timeout_s:g} s. "
                    "Try again later."
                ) from None
        except asyncio.CancelledError:
            result.cancel()
            raise
        return await asyncio.wrap_future(result)

    def _give_back(self, _result: Future[_Result]) -> None:
        with self._lock:
            self._taken -= 1
