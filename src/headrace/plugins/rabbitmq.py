"""RabbitMQ as the queue of requests that are answered later.

Each lane has a durable quorum queue, one for items that come again later, and one for those that were set
aside, which are its dead letters. A message holds an id and nothing else: what was asked stays in the store.
Publishing waits for the broker's confirmation, and an item is acknowledged when it is given back; so what a
process held comes back as soon as its connection is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import threading
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from headrace.core.errors import Unavailable
from headrace.core.ports import Taken

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

_T = TypeVar("_T")
_WAIT_S = 15.0
_PARTING_S = 3.0
"""How long a connection is asked to end in order; the broker notices by itself that one is gone."""
_ATTEMPT, _DELIVERIES = "x-headrace-attempt", "x-delivery-count"
_MANY = 1_000_000
"""Deliveries before the broker itself sets an item aside, or drops a dead letter: not its to decide."""


@dataclass
class _Open:
    """A connection, its channel, the lanes declared there, and what was taken by it; ``lost`` is done once it
    has ended."""

    connection: AbstractConnection
    channel: AbstractChannel
    lost: asyncio.Future[Any]
    lanes: dict[str, AbstractQueue] = field(default_factory=dict)
    held: dict[str, AbstractIncomingMessage] = field(default_factory=dict)
    n_taken: int = 0


class RabbitQueue:
    """Implements ``Queue``.

    Args:
        url: ``amqp://USER:PASSWORD@HOST/VHOST``.
        lanes: the lanes that there are; one that was put into here is known anyway.
        prefix: what the names of its queues begin with.

    Raises:
        Unavailable: aio-pika is not installed.
    """

    def __init__(self, url: str, lanes: Callable[[], Sequence[str]], *, prefix: str = "headrace") -> None:
        if importlib.util.find_spec("aio_pika") is None:
            raise Unavailable(
                "HEADRACE_BROKER_URL names RabbitMQ, and aio-pika is not installed. Install it with "
                "pip install 'headrace[rabbitmq]'."
            )
        self._url = url
        self._lanes = lanes
        self._prefix = prefix
        self._turns: dict[str, int] = {}
        self._open: _Open | None = None
        self._starting = threading.Lock()
        self._one_at_a_time: asyncio.Lock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def put(self, lane: str, item: str) -> None:
        async def put(opened: _Open) -> None:
            queue = await self._queue(opened, lane)
            await self._publish(opened, queue.name, item, attempt=0)

        self._call(put)

    def revive(self, lane: str, items: Collection[str]) -> None:
        async def revive(opened: _Open) -> None:
            queue = await self._queue(opened, lane)
            for item in items:
                await self._publish(opened, queue.name, item, attempt=0)
            await self._dig_up(opened, lane, frozenset(items))

        self._call(revive)

    def take(self, most: int, lease_s: float) -> list[Taken]:  # noqa: ARG002 - a broken connection ends it
        return self._call(lambda opened: self._take(opened, most))

    def done(self, taken: Taken) -> None:
        async def done(opened: _Open) -> None:
            message = opened.held.pop(taken.receipt, None)
            if message is not None:
                await message.ack()

        self._call(done)

    def again(self, taken: Taken, after_s: float) -> None:
        async def again(opened: _Open) -> None:
            message = opened.held.get(taken.receipt)
            if message is not None:
                name = self._name(taken.lane, "later")
                await self._publish(opened, name, taken.item, attempt=taken.attempt, after_s=after_s)
                await opened.held.pop(taken.receipt).ack()

        self._call(again)

    def bury(self, taken: Taken) -> None:
        async def bury(opened: _Open) -> None:
            message = opened.held.pop(taken.receipt, None)
            if message is not None:
                await message.reject(requeue=False)

        self._call(bury)

    def waiting(self) -> dict[str, int]:
        async def waiting(opened: _Open) -> dict[str, int]:
            found = {}
            for lane in self._known():
                held = sum(message.routing_key == self._name(lane) for message in opened.held.values())
                found[lane] = held + sum([await self._length(opened, lane, kind) for kind in ("", "later")])
            return {lane: n for lane, n in found.items() if n}

        return self._call(waiting, tries=2)

    def buried(self) -> dict[str, int]:
        async def buried(opened: _Open) -> dict[str, int]:
            found = {lane: await self._length(opened, lane, "dead") for lane in self._known()}
            return {lane: n for lane, n in found.items() if n}

        return self._call(buried, tries=2)

    def close(self) -> None:
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result(_WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def _known(self) -> list[str]:
        return sorted({*self._lanes(), *self._turns})

    def _name(self, lane: str, kind: str = "") -> str:
        return ".".join(filter(None, (self._prefix, lane, kind)))

    async def _take(self, opened: _Open, most: int) -> list[Taken]:
        """One item of each lane in turn, from the lane that had its turn longest ago."""
        taken: list[Taken] = []
        lanes = sorted(self._known(), key=lambda lane: self._turns.get(lane, 0))
        while lanes and len(taken) < most:
            for lane in list(lanes):
                message = await (await self._queue(opened, lane)).get(fail=False, timeout=_WAIT_S)
                if message is None:
                    lanes.remove(lane)
                    continue
                opened.n_taken += 1
                self._turns[lane] = opened.n_taken
                receipt = f"{id(opened)}:{opened.n_taken}"
                opened.held[receipt] = message
                attempt = _count(message, _ATTEMPT) + _count(message, _DELIVERIES) + 1
                taken.append(Taken(lane, message.body.decode(), attempt, receipt))
                if len(taken) == most:
                    break
        return taken

    async def _publish(
        self, opened: _Open, name: str, item: str, *, attempt: int, after_s: float | None = None
    ) -> None:
        """Returns once the broker has stored it; one that no queue takes is an error."""
        from aio_pika import DeliveryMode, Message

        message = Message(
            item.encode(),
            delivery_mode=DeliveryMode.PERSISTENT,
            headers={_ATTEMPT: attempt},
            expiration=None if after_s is None else timedelta(seconds=after_s),
        )
        await opened.channel.default_exchange.publish(message, name, mandatory=True, timeout=_WAIT_S)

    async def _queue(self, opened: _Open, lane: str) -> AbstractQueue:
        """The lane's queue; declared once for each connection."""
        found = opened.lanes.get(lane)
        if found is None:
            self._turns.setdefault(lane, 0)
            await self._declare(opened, self._name(lane, "dead"), {})
            back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self._name(lane)}
            await self._declare(opened, self._name(lane, "later"), back)
            aside = {
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": self._name(lane, "dead"),
            }
            found = opened.lanes[lane] = await self._declare(opened, self._name(lane), aside)
        return found

    async def _declare(self, opened: _Open, name: str, arguments: dict[str, Any]) -> AbstractQueue:
        return await opened.channel.declare_queue(
            name,
            durable=True,
            arguments={"x-queue-type": "quorum", "x-delivery-limit": _MANY, **arguments},
            timeout=_WAIT_S,
        )

    async def _length(self, opened: _Open, lane: str, kind: str) -> int:
        await self._queue(opened, lane)
        found = await opened.channel.declare_queue(
            self._name(lane, kind), durable=True, passive=True, timeout=_WAIT_S
        )
        return found.declaration_result.message_count or 0

    async def _dig_up(self, opened: _Open, lane: str, items: frozenset[str]) -> None:
        """Take items that were put again out of the dead letters; the others stay."""
        others = []
        dead = await opened.channel.declare_queue(self._name(lane, "dead"), passive=True, timeout=_WAIT_S)
        for _ in range(dead.declaration_result.message_count or 0):
            message = await dead.get(fail=False, timeout=_WAIT_S)
            if message is None:
                break
            if message.body.decode() in items:
                await message.ack()
            else:
                others.append(message)
        for message in others:
            await message.reject(requeue=True)

    def _call(self, act: Callable[[_Open], Coroutine[Any, Any, _T]], *, tries: int = 1) -> _T:
        """Run ``act`` on this queue's own event loop, one after the other.

        Args:
            tries: how often; more than once only what changes nothing, as a broken connection does not tell
                whether it was done.

        Raises:
            Unavailable: the broker does not answer.
        """
        from aio_pika.exceptions import AMQPError, DeliveryError

        try:
            return asyncio.run_coroutine_threadsafe(self._acting(act, tries), self._running()).result()
        except (AMQPError, DeliveryError, OSError, TimeoutError, RuntimeError) as error:
            raise Unavailable(
                f"The broker in HEADRACE_BROKER_URL does not answer ({type(error).__name__}). "
                "Start it, or correct the address; nothing that was acknowledged is lost."
            ) from error

    async def _acting(self, act: Callable[[_Open], Coroutine[Any, Any, _T]], tries: int) -> _T:
        if self._one_at_a_time is None:
            self._one_at_a_time = asyncio.Lock()
        async with self._one_at_a_time:
            while True:
                tries -= 1
                try:
                    opened = await self._connected()
                    return await _done(act(opened), 2 * _WAIT_S, opened.lost)
                except BaseException as error:
                    # What was held comes back by itself, from the broker.
                    await self._disconnect()
                    if not tries or isinstance(error, TimeoutError) or not isinstance(error, Exception):
                        raise

    async def _connected(self) -> _Open:
        from aio_pika import connect

        opened = self._open
        if opened is None or opened.lost.done() or opened.channel.is_closed:
            await self._disconnect()
            connection = await _done(connect(self._url, timeout=_WAIT_S), 2 * _WAIT_S)
            if connection.transport is None:
                raise ConnectionResetError("It was lost as soon as it was made.")
            opened = self._open = _Open(
                connection,
                connection.channel(publisher_confirms=True),
                connection.transport.connection.closing,
            )
            await _done(opened.channel.initialize(), _WAIT_S, opened.lost)
        return opened

    async def _disconnect(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            with contextlib.suppress(Exception):  # whatever it says of its end, it is used no more
                await _done(opened.connection.close(), _PARTING_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="headrace-rabbitmq", daemon=True
                )
                self._thread.start()
            return self._loop


async def _done(doing: Coroutine[Any, Any, _T], wait_s: float, *lost: asyncio.Future[Any]) -> _T:
    """What ``doing`` gives; it is waited for no longer than its connection lasts: aiormq may wait on for an
    answer that cannot come, also when it is cancelled.

    Raises:
        TimeoutError: the time is over.
        ConnectionResetError: the connection is lost.
    """
    task = asyncio.ensure_future(doing)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # also where nobody waits
    try:
        await asyncio.wait((task, *lost), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        failed = task.done() and (task.cancelled() or task.exception() is not None)
        if any(one.done() for one in lost) and (failed or not task.done()):
            # Of what was under way aiormq says many things, among them that it was cancelled.
            raise ConnectionResetError("The connection was lost meanwhile.")
        if not task.done():
            raise TimeoutError(f"Nothing was heard for {wait_s:g} seconds.")
        return task.result()
    finally:
        task.cancel()


def _count(message: AbstractIncomingMessage, header: str) -> int:
    value = message.headers.get(header, 0)
    return value if isinstance(value, int) else 0
