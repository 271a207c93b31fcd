"""One request to one endpoint, over connections that are kept: whole, or piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import NamedTuple

from headrace.core.errors import Unavailable, UserError
from headrace.gateway.llm.endpoints import Endpoint, Target
from headrace.gateway.llm.http_client import Answer, Pool
from headrace.gateway.llm.sse import Event, EventReader, UpstreamBroken

MOST_BYTES = 64 << 20
"""Of a whole answer."""
_MOST_REFUSAL_BYTES = 1 << 20
_LINGER_S = 0.05
_DONE = b"[DONE]"
_LAST = b"message_stop"
_STREAM = "text/event-stream"


class UpstreamDown(Unavailable):
    """An endpoint could not be reached, did not answer in time, or hung up before it answered."""


class UpstreamSlow(UpstreamDown):
    """An endpoint did not answer in time: it may still be at work, and bill it, so it is not asked again."""


class Reply(NamedTuple):
    """A whole answer, as it came; header names are in lower case. ``lost``: who was asked as well, and had
    begun to work when it was told to stop."""

    status: int
    headers: dict[str, str]
    body: bytes
    target: Target
    lost: tuple[Target, ...] = ()


class UpstreamRefused(Unavailable):
    """A provider refused what should have become a stream; ``reply`` is what it said."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"{reply.target} answered {reply.status}. Its own words are in the answer.")
        self.reply = reply


class Stream:
    """The events of one answer as they come; go through it once.

    It gives each event's data without its name. The last is ``[DONE]`` where the provider speaks as OpenAI
    does; where it ends without its last event, ``is_done`` stays false.

    Raises, as it is gone through:
        UpstreamBroken: it was cut, stalled, or is no stream of events.
    """

    def __init__(self, answer: Answer, target: Target, endpoint: Endpoint) -> None:
        self.target = target
        self.lost: tuple[Target, ...] = ()
        self.is_done = False
        self._answer = answer
        self._idle_s = endpoint.idle_timeout_s
        self._reader = EventReader()
        self._ready: list[Event] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while arrived := await self.more():
            for data in arrived:
                yield data

    async def more(self) -> list[bytes]:
        """The events that have arrived since, waiting for one; none at the end."""
        while not self._ready:
            if self.is_done or not await self._more(self._idle_s):
                return []
        arrived: list[bytes] = []
        for event in self._ready:
            arrived.append(event.data)
            if event.data == _DONE or event.name == _LAST:
                self.is_done = True
                break
        self._ready = []
        return arrived

    async def begin(self, wait_s: float) -> None:
        """Wait for the first event, which :meth:`__aiter__` then gives."""
        while not self._ready:
            if not await self._more(wait_s):
                raise UpstreamBroken(f"{self.target} answered with a stream of no events. Ask again.")

    async def _more(self, wait_s: float) -> bool:
        """Wait for further bytes; whether the stream goes on."""
        try:
            data = await self._answer.read(wait_s)
        except TimeoutError as error:
            said = f"nothing came for {wait_s:g} s, or its time is over"
            raise UpstreamBroken(f"{self.target} has stalled: {said}. Ask again.") from error
        except OSError as error:
            raise _broken(self.target) from error
        if data:
            self._ready += self._reader.feed(data)
            return True
        if not self._reader.is_between:
            raise UpstreamBroken(f"{self.target} broke off in the middle of an event. Ask again.")
        return False

    async def close(self) -> None:
        """Stop the provider's work, unless it has ended: then its connection is kept for the next."""
        try:
            if self.is_done and not self._answer.is_whole:
                # The answer is complete: at worst this connection is not kept.
                with suppress(OSError):
                    async with asyncio.timeout(_LINGER_S):
                        while await self._answer.read():
                            pass
        finally:
            self._answer.close()


class Connections:
    """Connections to endpoints, kept open for each event loop; no redirect is followed, and no proxy asked.

    Args:
        key: the key that an endpoint wants, by its name. It is asked once, and again after a refusal.
    """

    def __init__(self, key: Callable[[str], str]) -> None:
        self._key = key
        self._pools: dict[tuple[asyncio.AbstractEventLoop, str], Pool] = {}
        self._heads: dict[tuple[str, str], bytes] = {}

    async def whole(
        self, endpoint: Endpoint, target: Target, path: str, body: bytes, sent: Callable[[], None]
    ) -> Reply:
        """Ask once, and wait for all of the answer.

        Args:
            sent: called as soon as the provider may be at work.

        Raises:
            UpstreamDown: there was no answer.
            UpstreamBroken: it broke off, or is too large.
        """
        answer = await self._ask(endpoint, target, path, body, sent)
        try:
            return await self._whole(answer, endpoint, target, MOST_BYTES)
        except BaseException:
            answer.close()
            raise

    async def stream(
        self,
        endpoint: Endpoint,
        target: Target,
        path: str,
        body: bytes,
        sent: Callable[[], None],
        form: Callable[[Answer, Target, Endpoint], Stream] = Stream,
    ) -> Stream | Reply:
        """Ask once, and wait for the first event; a reply is a refusal. Close the stream, whatever happens.

        Args:
            sent: as for :meth:`whole`.
            form: what gives the events.

        Raises:
            UpstreamDown: there was no answer.
            UpstreamBroken: it broke off before its first event, or is no stream.
        """
        try:
            async with asyncio.timeout(endpoint.first_byte_timeout_s):
                answer = await self._ask(endpoint, target, path, body, sent)
        except TimeoutError as error:
            raise _slow(target, endpoint.first_byte_timeout_s) from error
        try:
            if answer.status != 200:
                return await self._whole(answer, endpoint, target, _MOST_REFUSAL_BYTES)
            if not answer.headers.get("content-type", "").startswith(_STREAM):
                raise UpstreamBroken(f"{target} answered with what is no stream of events.")
            stream = form(answer, target, endpoint)
            await stream.begin(endpoint.first_byte_timeout_s)
            return stream
        except BaseException:
            answer.close()
            raise

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        loop = asyncio.get_running_loop()
        for place in [place for place in self._pools if place[0] is loop]:
            self._pools.pop(place).close()

    def forget_key(self, endpoint: Endpoint) -> None:
        """Ask for its key again next time: it may have been replaced."""
        for place in [place for place in self._heads if place[0] == endpoint.name]:
            del self._heads[place]

    async def _ask(
        self, endpoint: Endpoint, target: Target, path: str, body: bytes, sent: Callable[[], None]
    ) -> Answer:
        """Wait for its head."""
        try:
            pool = self._pool(endpoint)
            head = self._head(pool, endpoint, path)
            return await pool.post(head, body, timeout_s=endpoint.total_timeout_s, sent=sent)
        except TimeoutError as error:
            raise _slow(target, endpoint.total_timeout_s) from error
        except OSError as error:
            raise UpstreamDown(f"{target} cannot be reached ({type(error).__name__}).") from error

    async def _whole(self, answer: Answer, endpoint: Endpoint, target: Target, most_bytes: int) -> Reply:
        parts, n_bytes = [], 0
        try:
            while True:
                part = await answer.read(endpoint.idle_timeout_s)
                if not part:
                    break
                n_bytes += len(part)
                if n_bytes > most_bytes:
                    raise UpstreamBroken(f"{target} answered more than {most_bytes} bytes.")
                parts.append(part)
        except TimeoutError as error:
            raise UpstreamBroken(f"{target} has stalled in the middle of its answer. Ask again.") from error
        except OSError as error:
            if answer.status >= 400:
                raise UpstreamDown(f"{target} broke off while it refused ({answer.status}).") from error
            raise _broken(target) from error
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return Reply(answer.status, answer.headers, body, target)

    def _head(self, pool: Pool, endpoint: Endpoint, path: str) -> bytes:
        """What a request begins with, our key included."""
        found = self._heads.get((endpoint.name, path))
        if found is None:
            try:
                signed = endpoint.key_headers(self._key(endpoint.secret))
            except UserError as error:  # it is the operator who can mend it, and not who asks
                raise UpstreamDown(f"{endpoint.name} cannot be asked without its key. {error}") from error
            plain = {"content-type": "application/json", "accept-encoding": "identity"}
            try:
                found = pool.head(path, plain | signed)
            except ValueError as error:
                raise UpstreamDown(f"{endpoint.name} cannot be asked with its key. {error}") from error
            self._heads[endpoint.name, path] = found
        return found

    def _pool(self, endpoint: Endpoint) -> Pool:
        place = (asyncio.get_running_loop(), endpoint.name)
        found = self._pools.get(place)
        if found is None:
            found = self._pools[place] = Pool(
                endpoint.base_url,
                most=endpoint.max_connections,
                connect_timeout_s=endpoint.connect_timeout_s,
            )
        return found


def _slow(target: Target, wait_s: float) -> UpstreamSlow:
    return UpstreamSlow(f"{target} did not begin to answer within {wait_s:g} s.")


def _broken(target: Target) -> UpstreamBroken:
    return UpstreamBroken(f"{target} broke off in the middle of its answer. Ask again.")
