"""Asking providers' models: once more after a failure, another one where the first cannot, none that is down.

Nothing is asked again once anything of an answer has been handed on, and nothing that a provider has refused
for what was asked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from headrace.core.errors import NotFound
from headrace.core.ports import Clock
from headrace.gateway.llm.anthropic.upstream import Translated
from headrace.gateway.llm.breaker import CLOSED, Breaker
from headrace.gateway.llm.connections import (
    Connections,
    Reply,
    Stream,
    UpstreamDown,
    UpstreamRefused,
    UpstreamSlow,
)
from headrace.gateway.llm.endpoints import Endpoint, Target, undeclared
from headrace.gateway.llm.retrying import AGAIN, ELSEWHERE, USUAL, Retrying, told_s
from headrace.gateway.llm.sse import UpstreamBroken

__all__ = [
    "Endpoint",
    "Reply",
    "Stream",
    "Target",
    "UpstreamBroken",
    "UpstreamDown",
    "UpstreamRefused",
    "Upstreams",
]

BodyFor = Callable[[str], bytes]
"""Makes the request for one model, by the provider's own name of it."""
_KEY_REFUSED = frozenset((401, 403))
_Failure = UpstreamDown | UpstreamBroken
_Got = TypeVar("_Got", bound=Stream | Reply)


@dataclass(frozen=True)
class _Asking(Generic[_Got]):
    """What is asked, of whom: ``once`` asks one endpoint one time. ``under_way``: who is asked now;
    ``come_to``: whose turn it is or has been."""

    targets: Sequence[Target]
    path: str
    body_for: BodyFor
    once: Callable[[Endpoint, Target, str, bytes], Awaitable[_Got]]
    under_way: list[Target] = field(default_factory=list)
    come_to: list[Target] = field(default_factory=list)

    def others(self) -> list[Target]:
        """Those of another endpoint than whose turn it is or has been."""
        known = {one.endpoint for one in self.come_to or self.targets[:1]}
        return [one for one in self.targets if one.endpoint not in known]


class Upstreams:
    """All endpoints, asked as above. Safe to use from several event loops; close it in each.

    Args:
        endpoints: by name.
        key: the key that an endpoint wants, by the key's name; never logged.
        sleep: waits between two tries.
        drawn: a number from 0 to 1, for waits that do not coincide.

    Example::

        upstreams = Upstreams(read_providers(path).endpoints(), keys.get, clock)
        reply = await upstreams.call([Target.parse("openai/gpt-4o-mini")], "/chat/completions", body_for)
        async with upstreams.stream(targets, "/chat/completions", body_for) as stream:
            async for data in stream:
                ...
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        key: Callable[[str], str],
        clock: Clock,
        *,
        retrying: Retrying = USUAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        drawn: Callable[[], float] = random.random,
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._retrying = retrying
        self._sleep = sleep
        self._drawn = drawn
        self._connections = Translated(Connections(key))
        self._breakers: dict[str, Breaker] = {}

    def endpoint(self, target: Target) -> Endpoint:
        """Where a model is reached.

        Raises:
            NotFound: its endpoint was not declared, or has no registered model of this name.
        """
        found = self._endpoints.get(target.endpoint)
        if found is None:
            raise NotFound(undeclared(target.endpoint, self._endpoints))
        found.check(target.model)
        return found

    def breaker(self, endpoint: str) -> Breaker:
        """Whether an endpoint is left alone for now."""
        return self._breakers.get(endpoint, CLOSED)

    async def call(
        self,
        targets: Sequence[Target],
        path: str,
        body_for: BodyFor,
        *,
        hedge_after_s: float | None = None,
    ) -> Reply:
        """A whole answer; where all refuse, the last refusal as it came.

        Args:
            targets: whom to ask, in order.
            path: below the endpoint's address, such as ``/chat/completions``.
            hedge_after_s: ask another endpoint as well, if a target has one, when no answer has come after
                this long; the first answer counts, and the other is cancelled. Both may be billed.

        Raises:
            NotFound: an endpoint was not declared.
            UpstreamDown, UpstreamBroken: none has answered; the last failure.
        """
        asking = _Asking(targets, path, body_for, self._connections.whole)
        got, lost = await self._hedged(asking, hedge_after_s)
        return got._replace(lost=lost) if lost else got

    @asynccontextmanager
    async def stream(
        self,
        targets: Sequence[Target],
        path: str,
        body_for: BodyFor,
        *,
        hedge_after_s: float | None = None,
    ) -> AsyncIterator[Stream]:
        """An answer in pieces; its first has come already. To leave it stops the provider's work.

        Args:
            hedge_after_s: as for :meth:`call`; the first piece counts.

        Raises:
            NotFound: an endpoint was not declared.
            UpstreamRefused: all refuse; it has the last refusal.
            UpstreamDown, UpstreamBroken: none has begun to answer; the last failure.
        """
        asking: _Asking[Stream | Reply] = _Asking(targets, path, body_for, self._connections.stream)
        found, lost = await self._hedged(asking, hedge_after_s)
        if isinstance(found, Reply):
            raise UpstreamRefused(found._replace(lost=lost))
        found.lost = lost
        try:
            yield found
        except UpstreamBroken as error:
            self._note(self.endpoint(found.target), error)
            raise
        finally:
            await found.close()

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        await self._connections.close()

    async def _ask(self, asking: _Asking[_Got]) -> _Got:
        """Ask one after the other; the last failure counts, and a refusal more than a failure."""
        endpoints = [(target, self.endpoint(target)) for target in asking.targets]
        refused: _Got | None = None
        failure: _Failure = UpstreamDown("No model was named that could be asked.")
        for target, endpoint in endpoints:
            asking.come_to.append(target)
            got = await self._one(asking, target, endpoint)
            if isinstance(got, UpstreamDown | UpstreamBroken):
                failure = got
            elif isinstance(got, Reply) and got.status in ELSEWHERE:
                refused = got
            else:
                return got
        if refused is not None:
            return refused
        raise failure

    async def _one(self, asking: _Asking[_Got], target: Target, endpoint: Endpoint) -> _Got | _Failure:
        """Ask one, and once more where that may help."""
        if failure := self._left_alone(endpoint):
            return failure
        body = asking.body_for(target.model)
        n_failed = 0
        while True:
            got: _Got | _Failure
            asking.under_way[:] = (target,)
            try:
                got = await asking.once(endpoint, target, asking.path, body)
            except (UpstreamDown, UpstreamBroken) as error:
                got = error
            asking.under_way.clear()  # not where it was cancelled: there it may have begun to work
            self._note(endpoint, got)
            told: float | None = None
            if isinstance(got, Reply):
                if got.status not in AGAIN:
                    return got
                told = told_s(got.headers, self._clock.now())
            elif isinstance(got, Stream | UpstreamSlow):
                return got
            n_failed += 1
            wait_s = self._retrying.wait_s(n_failed, told, self._drawn())
            if wait_s is None:
                return got
            await self._sleep(wait_s)
            if self._left_alone(endpoint):
                return got

    def _left_alone(self, endpoint: Endpoint) -> UpstreamDown | None:
        """Why it is not asked now; None: it is."""
        breaker = self._breakers.get(endpoint.name, CLOSED)
        if not breaker.is_open:
            return None
        now_s = self._clock.monotonic_s()
        if breaker.allows(now_s):
            self._breakers[endpoint.name] = breaker.asked(now_s)
            return None
        return UpstreamDown(
            f"{endpoint.name} has failed {breaker.n_failed} times in a row and is left alone for another "
            f"{breaker.until_s - now_s:.0f} s."
        )

    def _note(self, endpoint: Endpoint, got: Stream | Reply | _Failure) -> None:
        breaker = self._breakers.get(endpoint.name, CLOSED)
        status = got.status if isinstance(got, Reply) else 200
        if status >= 500 or isinstance(got, UpstreamDown | UpstreamBroken):
            self._breakers[endpoint.name] = breaker.failed(self._clock.monotonic_s())
        elif breaker is not CLOSED:
            self._breakers[endpoint.name] = breaker.answered()
        if status in _KEY_REFUSED:
            self._connections.forget_key(endpoint)

    async def _hedged(self, asking: _Asking[_Got], after_s: float | None) -> tuple[_Got, tuple[Target, ...]]:
        """Ask, and another endpoint as well where it takes long; with who had begun to work for nothing."""
        if after_s is None or not asking.others():
            return await self._ask(asking), ()
        askings = [asking]
        tasks = [asyncio.ensure_future(self._ask(asking))]
        won: asyncio.Task[_Got] | None = None
        try:
            done, _ = await asyncio.wait(tasks, timeout=after_s)
            if not done and (others := asking.others()):
                askings.append(replace(asking, targets=others, under_way=[], come_to=[]))
                tasks.append(asyncio.ensure_future(self._ask(askings[1])))
            waiting = set(tasks)
            while waiting and won is None:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                won = next((task for task in tasks if task.done() and _has_answered(task)), None)
        finally:
            lost = await _ended(tasks, askings, won)
        return (won or tasks[0]).result(), lost


def _has_answered(task: asyncio.Task[_Got]) -> bool:
    """Whether it came to an answer, or to a refusal of what was asked."""
    if task.cancelled() or task.exception() is not None:
        return False
    got = task.result()
    return not (isinstance(got, Reply) and got.status in ELSEWHERE)


async def _ended(
    tasks: Sequence[asyncio.Task[_Got]], askings: Sequence[_Asking[_Got]], won: asyncio.Task[_Got] | None
) -> tuple[Target, ...]:
    """Stop all but the one that has won; whose work was for nothing."""
    lost: list[Target] = []
    for task in tasks:
        task.cancel()  # what is done already stays as it is
    await asyncio.gather(*tasks, return_exceptions=True)
    for task, asking in zip(tasks, askings, strict=True):
        if task is won:
            continue
        if task.cancelled():
            lost += asking.under_way
        elif _has_answered(task):
            got = task.result()
            lost.append(got.target)
            if isinstance(got, Stream):
                await got.close()
    return tuple(lost)
