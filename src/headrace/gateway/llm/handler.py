"""The one way of a call to an LLM: access, route, guards, prompt, budget, provider, guards, record.

It takes our types and returns our types; :mod:`headrace.web.openai` translates HTTP. Bytes of the provider's
answer go to the caller as they came.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.privacy.fields import FieldRules
from headrace.core.errors import Denied, InvalidInput, NotFound, ProofNeeded, Unavailable
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.ports import Clock
from headrace.core.release import Route
from headrace.gateway.guardrails.together import MOST_BYTES, Together
from headrace.gateway.llm.cached import AnswerCache, Place, place_of
from headrace.gateway.llm.calls import BLOCKED, BROKEN_OFF, ENDED, SENT, Asked, Call, Endings
from headrace.gateway.llm.chat import NOTHING, UNREAD, Answered, ChatRequest, Gathered, Usage
from headrace.gateway.llm.declared import Declared
from headrace.gateway.llm.drafting import Drafting, DraftStream, whole
from headrace.gateway.llm.guarding import Blocked, Guarded
from headrace.gateway.llm.loaded import LoadedPrompts, require_pinned
from headrace.gateway.llm.naming import pointed
from headrace.gateway.llm.permits import Permits
from headrace.gateway.llm.pins import hit_of
from headrace.gateway.llm.shadow import require_a_name, told
from headrace.gateway.llm.spending import Spending
from headrace.gateway.llm.steps import Parent
from headrace.gateway.llm.upstream import Question, Reply, Stream, UpstreamBroken, UpstreamRefused, Upstreams

_MAX_NAME = 63
_DONE = b"[DONE]"
_OPERATORS = frozenset((401, 402, 403, 404))
"""What a provider says of our key, our account or our choice of a model: the caller can mend none of it."""
_INLINE_BYTES = 64 << 10
_In = TypeVar("_In")
_Out = TypeVar("_Out")
_log = logging.getLogger(__name__)


class Chosen(Protocol):
    """The release that answers, and in which part."""

    @property
    def release_id(self) -> str:
        """The release."""

    @property
    def arm(self) -> str:
        """Such as ``live`` or ``canary``."""


class Routes(Protocol):
    """Which release answers for a project."""

    def get(self, project: str) -> Route:
        """Raises NotFound: none does."""

    def is_elsewhere(self, project: str) -> bool:
        """Whether it is live, and no language model."""

    def all(self) -> list[Route]:
        """Of every project."""

    def choose(self, route: Route, key: str) -> Chosen:
        """Always the same one for the same key while the route stands."""


class Replied(NamedTuple):
    """A whole answer, as the provider gave it; ``status`` other than 200 is the provider's own refusal, and
    ``retry_after`` how long it wants its callers to wait. What ``is_draft`` waits for a person. ``cached``:
    whether it was given before; None where the project keeps no answers."""

    status: int
    body: bytes
    answer_id: str
    release_id: str
    retry_after: str | None = None
    is_draft: bool = False
    cached: bool | None = None


class LlmHandler:
    """Answers calls for the projects whose answers are texts."""

    def __init__(
        self,
        *,
        routes: Routes,
        prompts: LoadedPrompts,
        upstreams: Upstreams,
        declared: Declared,
        permits: Permits,
        spending: Spending,
        endings: Endings,
        drafting: Drafting,
        cache: AnswerCache,
        clock: Clock,
        gatekeeper: Gatekeeper,
        rules_of: Callable[[str], FieldRules],
    ) -> None:
        self._routes = routes
        self._prompts = prompts
        self._upstreams = upstreams
        self._declared = declared
        self._permits = permits
        self._spending = spending
        self._endings = endings
        self._drafting = drafting
        self._cache = cache
        self._clock = clock
        self._gatekeeper = gatekeeper
        self._rules_of = rules_of
        self._together = Together()

    async def answer(self, principal: Principal, asked: Asked, parent: Parent | None = None) -> Replied:
        """Answer once the answer is whole and on record.

        Args:
            parent: the caller's step in a trace.

        Raises:
            Denied, NotFound, InvalidInput: as the request deserves.
            Blocked: a guard lets it, or its answer, not through.
            OverBudget: it could cost more than is left.
            Unavailable: no model of the release answers, or the answer cannot be recorded.
            Stopped: the project's calls were stopped meanwhile, or ``principal`` has lost the role for them.
            Unauthenticated: ``principal`` was frozen or ended meanwhile, or its token revoked.
        """
        keep_on = self._permits.begin(principal, asked.model)
        call = await self._begin(principal, asked, parent)
        return await self._whole(call, keep_on, self._place(principal, call))

    async def _whole(self, call: Call, keep_on: Callable[[], None], place: Place | None = None) -> Replied:
        try:
            reply = None if place is None else self._cache.find(place, call.targets)
            if place is not None:
                call.cached = reply is not None
            if reply is None:
                reply = await self._upstreams.call(self._question(call))
                call.lost = reply.lost
        except BaseException as error:
            # Also where the caller has gone: what was held back must not stay so.
            await self._endings.failed(call, error)
            raise
        ending = self._replied(call, reply, keep_on, place)
        # A draft is for somebody else as well: whoever asked may go.
        return await (self._endings.to_the_end(ending) if call.is_draft else ending)

    async def _replied(
        self, call: Call, reply: Reply, keep_on: Callable[[], None], place: Place | None
    ) -> Replied:
        """What becomes of a provider's whole answer."""
        answered: Answered | None = None
        try:
            if reply.status in _OPERATORS:
                raise _refused(reply)
            if reply.status != 200:
                await self._endings.failed(call, _answered_with(reply))
                wait = reply.headers.get("retry-after")
                return Replied(reply.status, reply.body, call.id, call.loaded.release_id, wait)
            call.target, answered = reply.target, UNREAD
            answered = call.asked.read(reply.body)
            if call.cached:
                answered = answered._replace(usage=Usage(), is_counted=True)  # nobody did anything for it
            keep_on()
            body = await _aside(partial(call.asked.checked, call.guarded), reply.body, len(reply.body))
        except Blocked:
            await self._endings.answered(call, (answered or NOTHING)._replace(text="", finish=BLOCKED))
            raise
        except InvalidInput as error:
            await self._endings.failed(call, error, answered)
            raise Unavailable(str(error)) from error  # it is the provider that was not understood
        except BaseException as error:
            await self._endings.failed(call, error, answered)
            raise
        await self._endings.answered(call, answered)
        if place is not None and not call.cached and not answered.tools:
            self._cache.keep(place, reply._replace(lost=()), call.at.timestamp())
        if call.is_draft:
            body = await self._drafting.keep(call, body)
        return Replied(
            reply.status,
            body,
            call.id,
            call.loaded.release_id,
            is_draft=call.is_draft,
            cached=call.cached,
        )

    async def stream(
        self, principal: Principal, asked: ChatRequest, parent: Parent | None = None
    ) -> LlmStream | DraftStream:
        """Begin to answer piece by piece; raises as :meth:`answer` where nothing has come yet.

        The last piece is given once the whole answer is on record. Close what is returned: a caller who goes
        away ends the provider's work, and what was said until then is recorded and paid.
        """
        keep_on = self._permits.begin(principal, asked.model)
        call = await self._begin(principal, asked, parent)
        if call.is_draft:
            replied = await self._whole(call, keep_on)
            if replied.status != 200:
                headers = {} if replied.retry_after is None else {"retry-after": replied.retry_after}
                raise UpstreamRefused(
                    Reply(replied.status, headers, replied.body, call.target or call.targets[0])
                )
            return DraftStream(replied.body, replied.answer_id, replied.release_id)
        try:
            source = await self._upstreams.begin(self._question(call))
        except UpstreamRefused as error:
            call.lost = error.reply.lost
            await self._endings.failed(call, _answered_with(error.reply))
            if error.reply.status in _OPERATORS:
                raise _refused(error.reply) from error
            raise
        except BaseException as error:
            await self._endings.failed(call, error)
            raise
        call.target, call.lost = source.target, source.lost
        call.filled = SENT  # thousands of streams may be open
        return LlmStream(
            call, source, self._upstreams, self._endings, self._clock, keep_on, usage=asked.usage
        )

    def projects(self, principal: Principal) -> list[str]:
        """What ``principal`` may ask now, by name."""
        listed = (route.project for route in self._routes.all())
        return [name for name in listed if self._gatekeeper.allows(principal, "predict", f"project:{name}")]

    def _place(self, principal: Principal, call: Call) -> Place | None:
        """Where the answer is kept, if the project keeps any; what waits for a person is asked anew."""
        rules = self._declared.of(call.rules.project).cache
        return None if rules is None or call.is_draft else place_of(call, principal, rules)

    def _question(self, call: Call) -> Question:
        """What its providers are asked; a second one as well, after as long as the project says."""
        after_ms = self._declared.of(call.rules.project).hedge_after_ms
        return Question(
            call.targets,
            call.asked.path,
            call.filled.for_model,
            hedge_after_s=None if after_ms is None else after_ms / 1000,
            at_work=call.at_work,
            in_vain=call.in_vain,
        )

    async def _route(self, principal: Principal, name: str) -> Route:
        """Which releases answer for what a call names; who has misspelt it reads where the names are.

        Raises:
            Denied, NotFound: ``principal`` may not ask it, or nothing of that name answers.
        """
        try:
            return await self._named(principal, name)
        except ProofNeeded:
            raise
        except (Denied, NotFound) as error:
            hint = await asyncio.to_thread(self._pointed, principal, name[:_MAX_NAME])
            raise type(error)(f"{error} {hint}") from error

    def _pointed(self, principal: Principal, name: str) -> str:
        known = [route.project for route in self._routes.all()]
        return pointed(
            name, known, lambda one: self._gatekeeper.allows(principal, "predict", f"project:{one}")
        )

    async def _named(self, principal: Principal, name: str) -> Route:
        shadow = self._permits.shadow
        if len(name) > _MAX_NAME:
            shadow.model(name, principal.name, principal.workspace)
            raise NotFound(f"There is no project {told(name)[:_MAX_NAME]!r}...; 'model' names a project.")
        resource = f"project:{name}"
        if not self._gatekeeper.allows(principal, "predict", resource):
            shadow.model(name, principal.name, principal.workspace)
            require_a_name(name)
            await asyncio.to_thread(self._gatekeeper.require, principal, "predict", resource)
        try:
            route = self._routes.get(name)
        except NotFound:
            if not self._routes.is_elsewhere(name):
                shadow.model(name, principal.name, principal.workspace)
            require_a_name(name)
            raise
        # Not before: what callers name is kept with the use, and may be anything.
        self._gatekeeper.used(principal, "predict", resource)
        return route

    async def _begin(self, principal: Principal, asked: Asked, parent: Parent | None) -> Call:
        route = await self._route(principal, asked.model)
        now = self._clock.now()
        call_id = new_id(now)
        chosen = self._routes.choose(route, asked.user or call_id)
        loaded = self._prompts.find(chosen.release_id)
        if loaded is None:
            loaded = await asyncio.to_thread(self._prompts.get, chosen.release_id)
        call = Call(
            id=call_id,
            asked=asked,
            principal=principal.name,
            arm=chosen.arm,
            loaded=loaded,
            guarded=Guarded(loaded.pipeline, waits=asked.n_bytes > MOST_BYTES),
            rules=self._rules_of(asked.model),
            parent=parent,
            at=now,
            started_s=self._clock.monotonic_s(),
        )
        if loaded.moved:
            require_pinned(loaded, self._declared.of(call.rules.project))
            call.guarded.hits += [hit_of(one.part) for one in loaded.moved]
        call.is_draft = self._drafting.holds(call)
        if call.is_draft:
            call.asked = whole(asked)
        project, wanted = call.rules.project, asked.targets(loaded)
        permitted = self._permits.find(principal, project, wanted)
        if permitted is None:
            permitted = await asyncio.to_thread(self._permits.require, principal, project, wanted)
        call.targets = self._declared.permitted(project, permitted)
        try:
            call.filled = await _aside(partial(call.asked.filled, loaded.prompt), call.guarded, asked.n_bytes)
        except Blocked:
            await self._endings.answered(call, NOTHING._replace(finish=BLOCKED))
            raise
        call.guarded.sources = call.filled.texts
        call.charge = await self._spending.reserve(
            principal, call.rules.project, call.targets, call.filled, now
        )
        self._together.ask(call.guarded.later or (), call.guarded.advised)
        return call


async def _aside(work: Callable[[_In], _Out], on: _In, n_bytes: int) -> _Out:
    """Do what takes long for much text off the event loop."""
    return work(on) if n_bytes <= _INLINE_BYTES else await asyncio.to_thread(work, on)


def _answered_with(reply: Reply) -> str:
    """Why a refused call failed, whole or in pieces."""
    return f"the provider answered {reply.status}"


def _refused(reply: Reply) -> Unavailable:
    """What the caller is told; the provider's own words may hold a part of our key."""
    _log.error("%s refuses us with status %d", reply.target, reply.status)
    return Unavailable(
        f"The provider of {reply.target} does not let us in, or has no such model (status {reply.status}). "
        "Whoever operates this server has to look at its key and its name in providers.yaml."
    )


class LlmStream:
    """An answer in pieces: go through its events once, and close it whatever happens."""

    is_draft = False

    def __init__(
        self,
        call: Call,
        source: Stream,
        upstreams: Upstreams,
        endings: Endings,
        clock: Clock,
        keep_on: Callable[[], None],
        *,
        usage: bool,
    ) -> None:
        self.answer_id = call.id
        self.release_id = call.loaded.release_id
        self._call = call
        self._source = source
        self._upstreams = upstreams
        self._endings = endings
        self._clock = clock
        self._keep_on = keep_on
        self._usage = usage
        self._gathered = Gathered()
        self._first_s: float | None = None
        self._ended = False

    async def events(self) -> AsyncIterator[list[bytes]]:
        """The data of each event, those together that go together; the last one is ``[DONE]``.

        Raises:
            Blocked: what follows may not go on.
            Unavailable: the provider breaks off, or sends what is no answer.
            Stopped: the project's calls were stopped meanwhile, or the caller has lost the role for them.
            Unauthenticated: the caller was frozen or ended meanwhile, or its token revoked.
        """
        while arrived := await self._source.more():
            self._keep_on()
            if self._first_s is None:
                self._first_s = self._clock.monotonic_s()
            pieces: list[bytes] = []
            try:
                for data in arrived:
                    pieces += self._pieces(data)
            except (Blocked, Unavailable):
                yield pieces  # what came before it is in order
                raise
            if pieces:
                yield pieces
            if arrived[-1:] == [_DONE]:
                await self._end(None)
                yield [_DONE]
                return
        raise UpstreamBroken("The provider's answer broke off before its end. Ask again.")

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        """What goes on of one event, before the last."""
        if data == _DONE:
            yield from self._call.guarded.rest()
            return
        try:
            chunk = self._gathered.add(data)
        except InvalidInput as error:
            raise Unavailable(str(error)) from error
        if self._usage or not chunk.get("usage") or chunk.get("choices"):
            yield from self._call.guarded.chunk(data, chunk)
        # else: the tokens, for which we have asked and the caller has not

    async def close(self, error: Exception | None = None) -> None:
        """End it, at its end or before.

        Args:
            error: what broke it off; the caller is gone unless it is given.
        """
        try:
            await self._end(error or asyncio.CancelledError())
        finally:
            await self._upstreams.end(self._source, error)

    async def _end(self, error: BaseException | None) -> None:
        if self._ended:
            return
        answered = self._gathered.answered
        self._ended = True
        if error is None:
            await self._endings.answered(self._call, answered, self._first_s)
        elif isinstance(error, Blocked):
            blocked = answered._replace(text="", finish=BLOCKED)
            await self._endings.answered(self._call, blocked, self._first_s)
        elif self._gathered.n_chunks and (isinstance(error, ENDED) or not isinstance(error, Exception)):
            gone = answered._replace(finish=BROKEN_OFF)
            await self._endings.answered(self._call, gone, self._first_s)
        else:
            await self._endings.failed(self._call, error, answered)
