"""Plain rows, whoever reads the bytes: who may ask, which way they go, and a wrapper for any ASGI server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.memory import Fresh
from headrace.access.networks import network_of
from headrace.core.errors import HeadraceError
from headrace.core.identity import Principal
from headrace.core.ports import Clock, Epoch
from headrace.serving.heads import Form, Head, Heads, ParsedHeads
from headrace.serving.microbatch import Asked, Lane, MicroBatches
from headrace.serving.wire import JSON, Receive, Scope, Send

SLOWEST_S = 30.0
_MAX_STANDING = 4096
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]
Answered = tuple[bytes, ...]
"""The body of an answer, and how it is recorded."""


class Admitted(NamedTuple):
    """Who may ask; not from ``ends_s`` on, by the monotonic clock."""

    principal: Principal
    ends_s: float | None


class Standing(NamedTuple):
    """What a head came to, and of which moment that is.

    Attributes:
        lane: where all its rows go; None: each is drawn anew.
    """

    admitted: Admitted
    lane: Lane | None
    moment: object
    edition: object


class Scoring:
    """Who may have rows answered quickly, and by which way.

    Args:
        headers: sent with answers to records, beside those that every answer has.
        slowest_s: how long a client may take to send the rest of a request that it has begun.

    Example::

        standing = scoring.stand(head, network)
        scoring.ask(standing, head, trace_id, body, answer, give_up)
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

    def stand(self, head: Head, network: str) -> Standing | None:
        """What a head comes to at this moment; None: the ordinary way says why to nothing."""
        moment, edition = self._fresh.now(), self.batches.edition
        admitted = self.admit(head, network)
        if admitted is None:
            return None
        lane = self._find_lane(head, admitted.principal)
        fixed = lane if lane is not None and self.batches.is_fixed(head.project) else None
        return Standing(admitted, fixed, moment, edition)

    def stands(self, standing: Standing) -> bool:
        """Whether nobody's rights and no route can have changed since, and no token or grant is over."""
        admitted, _, moment, edition = standing
        return (
            moment is self._fresh.now()
            and edition is self.batches.edition
            and (admitted.ends_s is None or not self.has_ended(admitted))
        )

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

    def has_ended(self, admitted: Admitted) -> bool:
        """Whether the token or the grant is over."""
        return admitted.ends_s is not None and self.clock.monotonic_s() >= admitted.ends_s

    def ask(
        self,
        standing: Standing,
        head: Head,
        trace_id: str | None,
        body: bytes,
        answer: Callable[[bytes, bytes], None],
        give_up: Callable[[], None],
    ) -> bool:
        """Have a row answered at the end of this turn of the loop; False: the ordinary way has to.

        Args:
            answer, give_up: one of them is called, as :class:`Asked` says.
        """
        clock, principal = self.clock, standing.admitted.principal
        started_s = clock.monotonic_s()
        lane = standing.lane or self._find_lane(head, principal)
        values = None if lane is None else lane.one.read(head.form, body)
        if lane is None or values is None:
            return False
        self._gatekeeper.seen(principal)
        prepare_ms = (clock.monotonic_s() - started_s) * 1000
        self.batches.add(lane, Asked(values, head.form, trace_id, prepare_ms, answer, give_up))
        return True

    def _find_lane(self, head: Head, principal: Principal) -> Lane | None:
        """Where its rows go; None: the ordinary way knows."""
        try:
            return self.batches.lane(head.project, principal)
        except HeadraceError:
            return None


class PlainRows:
    """ASGI wrapper: answers plain rows with what arrived beside them, and leaves the rest to ``inner``.

    Called, it gives what is to be awaited: a server that guesses how to ask is told ``interface="asgi3"``.

    Example::

        app = PlainRows(InferenceApp(handler, gatekeeper), scoring)
    """

    def __init__(self, inner: Asgi, scoring: Scoring) -> None:
        self._inner = inner
        self._scoring = scoring
        self._heads = ParsedHeads()
        self._standing: dict[tuple[str, str, str], Standing] = {}
        self._start: dict[Form, list[tuple[bytes, bytes]]] = {
            form: [(b"content-type", JSON), *headers] for form, headers in scoring.headers.items()
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        found = None
        if scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]:
            found = self._heads.find(scope["path"], scope["headers"])
        # No step of our own on the way: it would be held, and passed through, by each that stays open.
        answer = self._inner if found is None else partial(self._plain, *found)
        return answer(scope, receive, send)

    async def _plain(
        self, head: Head, trace_id: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        message = await receive()
        body = message.get("body", b"")
        standing = self._stand(head, scope.get("client")) if len(body) == head.body_bytes else None
        answered = None
        if standing is not None:
            waits: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()
            done = partial(_settle, waits)
            if self._scoring.ask(standing, head, trace_id, body, done, done):
                answered = await waits
        if answered is None:
            await self._inner(scope, _again(message, receive), send)
            return
        body, recorded = answered
        headers = [
            *self._start[head.form],
            (b"headrace-record", recorded),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _stand(self, head: Head, client: Sequence[Any] | None) -> Standing | None:
        """As the last time, if nothing can have changed since."""
        asked = (head.authorization, head.project, client[0] if client else "")
        standing = self._standing.get(asked)
        if standing is None or not self._scoring.stands(standing):
            if len(self._standing) >= _MAX_STANDING:
                self._standing = {}
            standing = self._scoring.stand(head, network_of(client))
            if standing is not None:
                self._standing[asked] = standing
        return standing


def _settle(waits: asyncio.Future[Answered | None], *answered: bytes) -> None:
    """Without an answer: it was given up."""
    if not waits.done():
        waits.set_result(answered or None)


def _again(message: MutableMapping[str, Any], receive: Receive) -> Receive:
    """``receive`` with a message before it that has been taken already."""
    left = [message]

    async def receiving() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return receiving
