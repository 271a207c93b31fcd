"""One request to one endpoint, over connections that are kept: whole, or piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from headrace.core.errors import Unavailable, UserError
from headrace.gateway.llm.endpoints import Endpoint, Target
from headrace.gateway.llm.sse import Event, EventReader, UpstreamBroken

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

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

    def __init__(self, answer: aiohttp.ClientResponse, target: Target, endpoint: Endpoint) -> None:
        self.target = target
        self.lost: tuple[Target, ...] = ()
        self.is_done = False
        self._answer = answer
        self._idle_s = endpoint.idle_timeout_s
        self._reader = EventReader()
        self._ready: list[Event] = []

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for arrived in self.batches():
            for data in arrived:
                yield data

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """The same events, those together that have arrived together."""
        while True:
            arrived: list[bytes] = []
            for event in self._ready:
                arrived.append(event.data)
                if event.data == _DONE or event.name == _LAST:
                    self.is_done = True
                    break
            self._ready = []
            if arrived:
                yield arrived
            if self.is_done or not await self._more(self._idle_s):
                return

    async def begin(self, wait_s: float) -> None:
        """Wait for the first event, which :meth:`__aiter__` then gives."""
        while not self._ready:
            if not await self._more(wait_s):
                raise UpstreamBroken(f"{self.target} answered with a stream of no events. Ask again.")

    async def _more(self, wait_s: float) -> bool:
        """Wait for further bytes; whether the stream goes on."""
        try:
            async with asyncio.timeout(wait_s):
                data = await self._answer.content.readany()
        except TimeoutError as error:
            said = f"nothing came for {wait_s:g} s, or its time is over"
            raise UpstreamBroken(f"{self.target} has stalled: {said}. Ask again.") from error
        except Exception as error:
            raise _broken(self.target, error) from error
        if data:
            self._ready += self._reader.feed(data)
            return True
        if not self._reader.is_between:
            raise UpstreamBroken(f"{self.target} broke off in the middle of an event. Ask again.")
        return False

    async def close(self) -> None:
        """Stop the provider's work, unless it has ended: then its connection is kept for the next."""
        content = self._answer.content
        if self.is_done and not content.at_eof():
            try:
                async with asyncio.timeout(_LINGER_S):
                    while not content.at_eof():
                        await content.readany()
            except Exception:  # noqa: BLE001  the answer is complete; this connection is just not kept
                self.is_done = True
        self._answer.close()


class Connections:
    """Connections to endpoints, kept open for each event loop; no redirect is followed, and no proxy asked.

    Args:
        key: the key that an endpoint wants, by its name. It is asked once, and again after a refusal.
    """

    def __init__(self, key: Callable[[str], str]) -> None:
        self._key = key
        self._sessions: dict[tuple[asyncio.AbstractEventLoop, str], aiohttp.ClientSession] = {}
        self._headers: dict[str, dict[str, str]] = {}
        self._urls: dict[tuple[str, str], URL] = {}

    async def whole(self, endpoint: Endpoint, target: Target, path: str, body: bytes) -> Reply:
        """Ask once, and wait for all of the answer.

        Raises:
            UpstreamDown: there was no answer.
            UpstreamBroken: it broke off, or is too large.
        """
        answer = await self._ask(endpoint, target, path, body)
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
        form: Callable[[aiohttp.ClientResponse, Target, Endpoint], Stream] = Stream,
    ) -> Stream | Reply:
        """Ask once, and wait for the first event; a reply is a refusal. Close the stream, whatever happens.

        Args:
            form: what gives the events.

        Raises:
            UpstreamDown: there was no answer.
            UpstreamBroken: it broke off before its first event, or is no stream.
        """
        try:
            async with asyncio.timeout(endpoint.first_byte_timeout_s):
                answer = await self._ask(endpoint, target, path, body)
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
        for place in [place for place in self._sessions if place[0] is loop]:
            await self._sessions.pop(place).close()

    def forget_key(self, endpoint: Endpoint) -> None:
        """Ask for its key again next time: it may have been replaced."""
        self._headers.pop(endpoint.name, None)

    async def _ask(
        self, endpoint: Endpoint, target: Target, path: str, body: bytes
    ) -> aiohttp.ClientResponse:
        """Wait for its head; the session's own timeouts hold."""
        try:
            return await self._session(endpoint).post(
                self._url(endpoint, path),
                data=body,
                headers=self._signed(endpoint),
                allow_redirects=False,
            )
        except TimeoutError as error:
            raise _slow(target, endpoint.total_timeout_s) from error
        except Exception as error:
            if not _is_network(error):
                raise
            raise UpstreamDown(f"{target} cannot be reached ({type(error).__name__}).") from error

    async def _whole(
        self, answer: aiohttp.ClientResponse, endpoint: Endpoint, target: Target, most_bytes: int
    ) -> Reply:
        content, parts, n_bytes = answer.content, [], 0
        try:
            while not content.at_eof():
                # What is here already needs no clock: most answers come with their head.
                async with nullcontext() if content.is_eof() else asyncio.timeout(endpoint.idle_timeout_s):
                    part = await content.readany()
                n_bytes += len(part)
                if n_bytes > most_bytes:
                    raise UpstreamBroken(f"{target} answered more than {most_bytes} bytes.")
                parts.append(part)
        except TimeoutError as error:
            raise UpstreamBroken(f"{target} has stalled in the middle of its answer. Ask again.") from error
        except Exception as error:
            raise _broken(target, error) from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status, headers, parts[0] if len(parts) == 1 else b"".join(parts), target)

    def _url(self, endpoint: Endpoint, path: str) -> URL:
        found = self._urls.get((endpoint.base_url, path))
        if found is None:
            from yarl import URL

            found = self._urls[endpoint.base_url, path] = URL(endpoint.base_url + path, encoded=True)
        return found

    def _signed(self, endpoint: Endpoint) -> dict[str, str]:
        found = self._headers.get(endpoint.name)
        if found is None:
            plain = {"content-type": "application/json", "accept-encoding": "identity"}
            try:
                key = self._key(endpoint.secret)
            except UserError as error:  # it is the operator who can mend it, and not who asks
                raise UpstreamDown(f"{endpoint.name} cannot be asked without its key. {error}") from error
            found = self._headers[endpoint.name] = plain | endpoint.key_headers(key)
        return found

    def _session(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        place = (asyncio.get_running_loop(), endpoint.name)
        found = self._sessions.get(place)
        if found is None:
            found = self._sessions[place] = _opened(endpoint)
        return found


def _opened(endpoint: Endpoint) -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=endpoint.max_connections, limit_per_host=0, ttl_dns_cache=60, keepalive_timeout=60
        ),
        timeout=aiohttp.ClientTimeout(
            total=endpoint.total_timeout_s, sock_connect=endpoint.connect_timeout_s
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("user-agent", "accept", "accept-encoding"),
    )


def _slow(target: Target, wait_s: float) -> UpstreamSlow:
    return UpstreamSlow(f"{target} did not begin to answer within {wait_s:g} s.")


def _is_network(error: Exception) -> bool:
    import aiohttp

    return isinstance(error, aiohttp.ClientError | OSError)


def _broken(target: Target, error: Exception) -> Exception:
    """What is said of a connection that failed; anything else is as it was."""
    if isinstance(error, Unavailable) or not _is_network(error):
        return error
    return UpstreamBroken(f"{target} broke off in the middle of its answer. Ask again.")
