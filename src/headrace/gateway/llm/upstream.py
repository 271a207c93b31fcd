"""Asking providers' models: once more after a failure, another one where the first cannot, none that is down.

Nothing is asked again once anything of an answer has been handed on, and nothing that a provider has refused
for what was asked.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
    "Question",
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
_Once = Callable[[Endpoint, Target, str, bytes, Callable[[], None]], Awaitable[_Got]]


class _Turns:
    """Of two who ask at once: the one that has failed asks nobody again while the other may yet answer."""

    def __init__(self) -> None:
        self._waits: asyncio.Future[None] | None = None

    async def again(self) -> None:
        """Wait until the other has failed for good, or waits as well: then it is ours to go on."""
        if self._waits is None:
            self._waits = asyncio.get_running_loop().create_future()
            await self._waits

    def end(self, task: asyncio.Task[_Got]) -> None:
        """One of both is done, and unless it has answered the other may go on."""
        if _has_answered(task):
            return
        if self._waits is None:
            self._waits = asyncio.get_running_loop().create_future()
        if not self._waits.done():
            self._waits.set_result(None)


@dataclass(frozen=True)
class Question:
    """What is asked, and of whom.

    Attributes:
        targets: whom to ask, in order.
        path: below the endpoint's address, such as ``/chat/completions``.
        hedge_after_s: ask another endpoint as well, if a target has one, when no answer has come after this
            long; the first answer, or piece of one, counts, and the other is cancelled. Both may be billed.
        at_work: once the call is cancelled, it has those who had begun to work.
        in_vain: who took too long, or broke off: they may have worked all the same, and bill it.
    """

    targets: Sequence[Target]
    path: str
    body_for: BodyFor
    hedge_after_s: float | None = None
    at_work: list[Target] = field(default_factory=list)
    in_vain: list[Target] = field(default_factory=list)


@dataclass
class _Asking(Generic[_Got]):
    """How it is asked: ``once`` asks one endpoint one time. ``under_way``: who is asked now; ``come_to``:
    whose turn it is or has been; ``left_to_another``: whose turn never comes here. ``turns``: with whom else
    asks at the same time."""

    question: Question
    once: _Once[_Got]
    under_way: list[Target] = field(default_factory=list)
    come_to: list[Target] = field(default_factory=list)
    left_to_another: list[Target] = field(default_factory=list)
    turns: _Turns | None = None

    async def again(self) -> None:
        """Before the same endpoint is asked once more."""
        if self.turns is not None:
            await self.turns.again()

    def others(self) -> list[Target]:
        """Those of another endpoint than whose turn it is or has been."""
        known = {one.endpoint for one in self.come_to or self.question.targets[:1]}
        return [one for one in self.question.targets if one.endpoint not in known]


class Upstreams:
    """All endpoints, asked as above. Safe to use from several event loops; close it in each.

    Args:
        endpoints: by name.
        key: the key that an endpoint wants, by the key's name; never logged.
        sleep: waits between two tries.
        drawn: a number from 0 to 1, for waits that do not coincide.

    Example::

        upstreams = Upstreams(read_providers(path).endpoints(), keys.get, clock)
        question = Question([Target.parse("openai/gpt-4o-mini")], "/chat/completions", body_for)
        reply = await upstreams.call(question)
        stream = await upstreams.begin(question)
        async for data in stream:
            ...
        await upstreams.end(stream)
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

    async def call(self, question: Question) -> Reply:
        """A whole answer; where all refuse, the last refusal as it came.

        Raises:
            NotFound: an endpoint was not declared.
            UpstreamDown, UpstreamBroken: none has answered; the last failure.
        """
        got, lost = await self._hedged(question, self._connections.whole)
        return got._replace(lost=lost) if lost else got

    async def begin(self, question: Question) -> Stream:
        """An answer in pieces; its first has come already. End it by :meth:`end`, whatever happens.

        Raises:
            NotFound: an endpoint was not declared.
            UpstreamRefused: all refuse; it has the last refusal.
            UpstreamDown, UpstreamBroken: none has begun to answer; the last failure.
        """
        found, lost = await self._hedged(question, self._connections.stream)
        if isinstance(found, Reply):
            raise UpstreamRefused(found._replace(lost=lost))
        found.lost = lost
        return found

    async def end(self, stream: Stream, error: Exception | None = None) -> None:
        """Stop the provider's work, unless it has ended.

        Args:
            error: what the stream broke off with.
        """
        name = stream.target.endpoint
        if isinstance(error, UpstreamBroken):
            self._note(self.endpoint(stream.target), error)
        elif stream.is_done and self.breaker(name) is not CLOSED:
            self._breakers[name] = self.breaker(name).answered()
        await stream.close()

    async def close(self) -> None:
        """Close the connections of the running event loop."""
        await self._connections.close()

    async def _ask(self, asking: _Asking[_Got]) -> _Got:
        """Ask one after the other; the last failure counts, and a refusal more than a failure."""
        endpoints = [(target, self.endpoint(target)) for target in asking.question.targets]
        refused: _Got | None = None
        failure: _Failure = UpstreamDown("No model was named that could be asked.")
        for target, endpoint in endpoints:
            if target in asking.left_to_another:
                continue
            if target.endpoint in {one.endpoint for one in asking.come_to}:
                await asking.again()
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
        body = asking.question.body_for(target.model)
        n_failed = 0

        def sent() -> None:
            asking.under_way[:] = (target,)

        while True:
            got: _Got | _Failure
            try:
                got = await asking.once(endpoint, target, asking.question.path, body, sent)
            except (UpstreamDown, UpstreamBroken) as error:
                got = error
            if isinstance(got, UpstreamSlow | UpstreamBroken):
                asking.question.in_vain.extend(asking.under_way)
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
            await asking.again()
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
        elif breaker.is_open or (breaker is not CLOSED and not isinstance(got, Stream)):
            self._breakers[endpoint.name] = breaker.answered()  # a stream that has begun may yet break off
        if status in _KEY_REFUSED:
            self._connections.forget_key(endpoint)

    async def _hedged(self, question: Question, once: _Once[_Got]) -> tuple[_Got, tuple[Target, ...]]:
        """Ask, and another endpoint as well where it takes long; with who had begun to work for nothing."""
        asking = _Asking(question, once, question.at_work)
        after_s = question.hedge_after_s
        if after_s is None or not asking.others():
            return await self._ask(asking), ()
        askings = [asking]
        tasks = [asyncio.ensure_future(self._ask(asking))]
        won: asyncio.Task[_Got] | None = None
        try:
            done, _ = await asyncio.wait(tasks, timeout=after_s)
            if not done and (others := asking.others()):
                asking.turns = turns = _Turns()
                asking.left_to_another.extend(others)
                askings.append(_Asking(replace(question, targets=others), once, turns=turns))
                tasks.append(asyncio.ensure_future(self._ask(askings[1])))
                for task in tasks:
                    task.add_done_callback(turns.end)
            waiting = set(tasks)
            while waiting and won is None:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                won = next((task for task in tasks if task.done() and _has_answered(task)), None)
            lost = await _ended(tasks, askings, won)
            asking.under_way.clear()
        except asyncio.CancelledError:
            asking.under_way[:] = await _ended(tasks, askings, None)
            raise
        return (won or _last_refused(tasks)).result(), lost


def _has_answered(task: asyncio.Task[_Got]) -> bool:
    """Whether it came to an answer, or to a refusal of what was asked."""
    if task.cancelled() or task.exception() is not None:
        return False
    got = task.result()
    return not (isinstance(got, Reply) and got.status in ELSEWHERE)


def _last_refused(tasks: Sequence[asyncio.Task[_Got]]) -> asyncio.Task[_Got]:
    """Of those without an answer: a refusal counts more than a failure, and the last one most."""
    refused = [task for task in tasks if task.exception() is None]
    return (refused or tasks)[-1]


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
