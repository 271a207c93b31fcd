"""Plain rows, whoever reads the bytes: who may ask, which way they go, and a wrapper for any ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.memory import Fresh
from headrace.access.networks import network_of
from headrace.core.errors import HeadraceError
from headrace.core.identity import Principal
from headrace.core.ports import Clock, Epoch
from headrace.serving.heads import Form, Head, Heads, plain_head
from headrace.serving.microbatch import Asked, Lane, MicroBatches
from headrace.serving.wire import JSON, Receive, Scope, Send

SLOWEST_S = 30.0
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


class Answered(NamedTuple):
    """The body of an answer, and how it is recorded."""

    body: bytes
    recorded: bytes


class Admitted(NamedTuple):
    """Who may ask; not from ``ends_s`` on, by the monotonic clock."""

    principal: Principal
    ends_s: float | None


class Scoring:
    """Who may have rows answered quickly, and by which way.

    Args:
        headers: sent with answers to records, beside those that every answer has.
        slowest_s: how long a client may take to send the rest of a request that it has begun.

    Example::

        answered = await scoring.answer(head, network, body)
    """

    def __init__(
        self,
        batches: MicroBatches,
        gatekeeper: Gatekeeper,
        epoch: Epoch,
        clock: Clock,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        slowest_s: float = SLOWEST_S,
    ) -> None:
        self.batches = batches
        self.heads = Heads()
        self.clock = clock
        self.slowest_s = slowest_s
        self.headers: dict[Form, tuple[tuple[bytes, bytes], ...]] = {"tensors": (), "record": headers}
        self._gatekeeper = gatekeeper
        self._fresh: Fresh[tuple[str, str, str], Admitted] = Fresh(epoch, clock)

    @property
    def moment(self) -> object:
        """Another object as soon as anybody's rights may have changed."""
        return self._fresh.now()

    def admit(self, head: Head, network: str) -> Admitted | None:
        """Who asks, if they may; None: the ordinary way says why not. The same for as long as nobody's rights
        have changed, and not beyond the end of the token, nor of a grant that it takes."""
        kept, asked = self._fresh.now(), (head.authorization, head.project, network)
        known = kept.get(asked)
        if known is not None and not self.has_ended(known):
            return known
        resource = f"project:{head.project}"
        try:
            principal = self._gatekeeper.authenticate(head.authorization, network)
            if not self._gatekeeper.allows(principal, "predict", resource):
                return None
            until = self._gatekeeper.stands_until(principal, "predict", resource)
        except HeadraceError:
            return None
        now = self.clock.now()
        left_s = [] if until is None else [(until - now).total_seconds()]
        if principal.session is not None and principal.session.expires_s is not None:
            left_s.append(principal.session.expires_s - now.timestamp())
        admitted = Admitted(principal, self.clock.monotonic_s() + min(left_s) if left_s else None)
        kept[asked] = admitted
        return admitted

    def note(self, principal: Principal, project: str) -> None:
        """Somebody asks again, by a right that was looked up before."""
        self._gatekeeper.seen(principal)
        self._gatekeeper.used(principal, "predict", f"project:{project}")

    def has_ended(self, admitted: Admitted) -> bool:
        """Whether the token or the grant is over."""
        return admitted.ends_s is not None and self.clock.monotonic_s() >= admitted.ends_s

    async def answer(self, head: Head, network: str, body: bytes) -> Answered | None:
        """Answer a row for a server that has a protocol of its own; None: the ordinary way has to."""
        admitted = self.admit(head, network)
        lane = None if admitted is None else self.find_lane(head, admitted.principal)
        if admitted is None or lane is None:
            return None
        started_s = self.clock.monotonic_s()
        values = lane.one.read(head.form, body)
        if values is None:
            return None
        self.note(admitted.principal, head.project)
        waits: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()

        def done(answered: Answered | None) -> None:
            if not waits.done():
                waits.set_result(answered)

        prepare_ms = (self.clock.monotonic_s() - started_s) * 1000
        asked = Asked(
            values, head, prepare_ms, lambda body, how: done(Answered(body, how)), lambda: done(None)
        )
        self.batches.add(lane, asked)
        return await waits

    def find_lane(self, head: Head, principal: Principal) -> Lane | None:
        """Where its rows go; None: the ordinary way knows."""
        try:
            return self.batches.lane(head.project, principal)
        except HeadraceError:
            return None


class PlainRows:
    """ASGI wrapper: answers plain rows with what arrived beside them, and leaves the rest to ``inner``.

    Example::

        app = PlainRows(InferenceApp(handler, gatekeeper), scoring)
    """

    def __init__(self, inner: Asgi, scoring: Scoring) -> None:
        self._inner = inner
        self._scoring = scoring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]:
            head = plain_head(scope["path"], scope["headers"])
            if head is not None:
                message = await receive()
                if await self._answer(head, scope, message, send):
                    return
                receive = _again(message, receive)
        await self._inner(scope, receive, send)

    async def _answer(self, head: Head, scope: Scope, message: MutableMapping[str, Any], send: Send) -> bool:
        """Answer a row whose body has come as a whole; False: nothing has been sent."""
        body = message.get("body", b"")
        if len(body) != head.body_bytes:
            return False
        answered = await self._scoring.answer(head, network_of(scope.get("client")), body)
        if answered is None:
            return False
        headers = [
            (b"content-type", JSON),
            (b"headrace-record", answered.recorded),
            *self._scoring.headers[head.form],
            (b"content-length", b"%d" % len(answered.body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answered.body})
        return True


def _again(message: MutableMapping[str, Any], receive: Receive) -> Receive:
    """``receive`` with a message before it that has been taken already."""
    left = [message]

    async def receiving() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return receiving
