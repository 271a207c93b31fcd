"""How LLMs answer in a process: the parts of the way to an answer, connected."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from headrace.access.memory import Memory
from headrace.access.privacy.fields import FieldRules
from headrace.app.answers.serving import answers_by
from headrace.app.compliance import waiver_for
from headrace.app.composition import App
from headrace.app.erasure_marks import MARKS, ErasureMarks
from headrace.app.llm.prompting import Ask, question_of
from headrace.app.llm.usage import permits_of
from headrace.core.errors import HeadraceError, InternalError, InvalidInput
from headrace.core.ids import Ref
from headrace.core.ports import Clock
from headrace.core.project import Project
from headrace.gateway.budgets import Budgets
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.llm.cached import AnswerCache
from headrace.gateway.llm.calls import Endings, Records
from headrace.gateway.llm.chat import Answered, ChatRequest, fill_in, read_answer
from headrace.gateway.llm.drafting import Drafting
from headrace.gateway.llm.endpoints import Providers, Target
from headrace.gateway.llm.guarding import Guarded, guards_of
from headrace.gateway.llm.handler import LlmHandler
from headrace.gateway.llm.loaded import Loaded, LoadedPrompts
from headrace.gateway.llm.permits import Permits
from headrace.gateway.llm.pins import answering_models, moved, pins_of
from headrace.gateway.llm.prices import FILE as PRICES
from headrace.gateway.llm.prices import read_prices
from headrace.gateway.llm.provider_keys import ProviderKeys
from headrace.gateway.llm.spending import Spending
from headrace.gateway.llm.upstream import Question, Upstreams
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import guards_personal, released_guards_personal
from headrace.releases.waivers import DRAFTS
from headrace.serving.routes import RouteTable

_AT_ONCE = 8
"""Questions of an evaluation set that wait for their answers at the same time."""
_NO_LLM = (
    "is no language model: it answers rows. Ask it at /v2/models/NAME/infer, or at /api/v1/predict/NAME, "
    "with its name in place of NAME."
)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The way to an answer of an LLM."""

    routes: RouteTable
    prompts: LoadedPrompts
    upstreams: Upstreams
    budgets: Budgets
    endings: Endings
    cache: AnswerCache
    handler: LlmHandler
    permits: Permits

    def refresh(self) -> None:
        """Follow what may be called and the routes, and read what they name before a request asks for it."""
        self.permits.refresh()
        self.routes.refresh()
        named = self.routes.release_ids()
        for release_id in named:
            self.prompts.get(release_id)
        self.prompts.keep(named)

    async def close(self) -> None:
        """Wait for what is being recorded, give back what was held, then end connections."""
        await self.endings.settle()
        await asyncio.to_thread(self.budgets.give_back, 0.0)
        await self.upstreams.close()


def gateway_of(app: App, records: Records, *, owner: str) -> Gateway:
    """Connect the parts; nothing is started or read yet.

    Args:
        owner: id of this process among the living ones.
    """
    routes = RouteTable(app.store.rollouts, app.clock, takes=answers_by(app, "prompt"), others=_NO_LLM)

    def load(release_id: str) -> Loaded:
        release = app.store.releases.get(release_id)
        app.signed.package(release)
        prompt = Prompt.from_bytes(app.store.artifacts.get(release.manifest.subject.package.digest))
        personal = released_guards_personal(release.manifest)
        pipeline = guards_of(prompt, personal=personal)
        targets, embedders, moderators = (
            tuple(Target.parse(model) for model in models)
            for models in (prompt.models, prompt.embeddings, prompt.moderations)
        )
        pins = pins_of(prompt, permits.providers, personal=personal)
        version = Ref.parse(release.manifest.subject.ref).version
        return Loaded(
            release_id=release_id,
            version=version,
            prompt=prompt,
            pipeline=pipeline,
            targets=targets,
            embedders=embedders,
            moderators=moderators,
            charter=release.manifest.charter,
            author=release.author,
            moved=moved(release.manifest.params, pins),
            answering=answering_models(release.manifest.params),
        )

    permits = permits_of(app)
    declared = permits.declared
    prompts, upstreams = LoadedPrompts(load), _upstreams(app, permits.providers)
    budgets = Budgets(app.store.budgets, app.clock, owner)
    spending = Spending(declared, budgets, read_prices(app.settings.home / PRICES))
    endings = Endings(spending, records, app.clock, _question)
    cache = AnswerCache(app.clock, ErasureMarks(app.settings.home / MARKS).last_s)
    handler = LlmHandler(
        routes=routes,
        prompts=prompts,
        upstreams=upstreams,
        declared=declared,
        permits=permits,
        spending=spending,
        endings=endings,
        drafting=drafting_of(app),
        cache=cache,
        clock=app.clock,
        gatekeeper=app.gatekeeper,
        rules_of=app.access.privacy.rules,
    )
    return Gateway(
        routes=routes,
        prompts=prompts,
        upstreams=upstreams,
        budgets=budgets,
        endings=endings,
        cache=cache,
        handler=handler,
        permits=permits,
    )


def drafting_of(app: App) -> Drafting:
    """What keeps answers as drafts; leave to answer without is a waiver that holds for the release."""

    def left(asked: tuple[str, str]) -> bool:
        return waiver_for(app, asked[0], DRAFTS, asked[1]) is not None

    kept = Memory(left, app.store.epoch, app.clock)
    return Drafting(app.store.drafts, app.payloads, left=kept.get, workspace_of=app.store.projects.workspace)


def _upstreams(app: App, providers: Providers) -> Upstreams:
    keys = ProviderKeys(app.settings.home / "keys", app.access.vault, app.settings.environment)
    return Upstreams(providers.endpoints(), keys.get, app.clock)


def ask_models(app: App) -> Ask:
    """Puts the questions of an evaluation set to a prompt's models, by the rules that hold for callers."""

    def ask(
        project: Project, prompt: Prompt, requests: Sequence[ChatRequest]
    ) -> list[Answered | HeadraceError]:
        permits, wanted = permits_of(app), [Target.parse(model) for model in prompt.models]
        allowed = permits.of_team(app.store.projects.workspace(project.name), project, wanted)
        targets = permits.declared.permitted(project, allowed)
        pipeline = guards_of(prompt, personal=guards_personal(project))
        upstreams = _upstreams(app, permits.providers)
        return asyncio.run(_ask_all(upstreams, prompt, targets, pipeline, requests, app.clock))

    return ask


async def _ask_all(
    upstreams: Upstreams,
    prompt: Prompt,
    targets: Sequence[Target],
    pipeline: Pipeline,
    requests: Sequence[ChatRequest],
    clock: Clock,
) -> list[Answered | HeadraceError]:
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(asked: ChatRequest) -> Answered | HeadraceError:
        guarded = Guarded(pipeline)
        async with turn:
            try:
                filled = fill_in(prompt, asked, guarded.request(asked.messages))
                started_s = clock.monotonic_s()
                reply = await upstreams.call(Question(targets, asked.path, filled.for_model))
                took_ms = (clock.monotonic_s() - started_s) * 1000
                if reply.status != 200:
                    return InvalidInput(f"{reply.target} answered {reply.status}: {reply.body[:300]!r}")
                guarded.sources = filled.texts
                return read_answer(guarded.answer(reply.body))._replace(took_ms=took_ms)
            except InternalError:
                raise
            except HeadraceError as error:
                return error

    try:
        return await asyncio.gather(*(one(asked) for asked in requests))
    finally:
        await upstreams.close()


def _question(rules: FieldRules) -> str:
    return question_of(rules.project)
