"""``/projects/{name}/prompts``, ``/budgets`` and ``/guards``: what is special to projects that ask LLMs."""

from __future__ import annotations

from collections import Counter

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from headrace.app.llm.agent_files import compared, instructed
from headrace.app.llm.budget_standings import budget_standings, calls_without_price
from headrace.app.llm.guard_hits import Found, GuardedDay, guard_hits, guards_loosened
from headrace.app.llm.prompt_versions import PromptVersion, both_prompts, prompt_versions, the_version
from headrace.gateway.llm.guard_words import DONE, meaning, where
from headrace.web.identity import principal_of
from headrace.web.pages.differences import changes
from headrace.web.pages.places import bar_of
from headrace.web.pages.project import texts_project
from headrace.web.pages.rendering import parts_of, renderer_of

_SHOWN = 50
_DAYS = 30


async def show(request: Request) -> Response:
    """The versions of the prompt, and what differs between two, the newest two unless said."""
    parts, me = parts_of(request), principal_of(request.scope)
    name = await run_in_threadpool(texts_project, request)
    found = await run_in_threadpool(prompt_versions, parts.app, me, name)
    before, after = _chosen(
        found, request.query_params.get("before", ""), request.query_params.get("after", "")
    )
    groups, text, files, told = [], "", [], None
    if before is not None and after is not None:
        both = await run_in_threadpool(both_prompts, parts.app, before, after)
        groups, text = changes(both.before.text, both.after.text), both.after.text
        files, told = compared(*both), await run_in_threadpool(instructed, parts.app, after, both.after)
    return renderer_of(request).page(
        request,
        "prompts.html",
        project=name,
        bar=await run_in_threadpool(bar_of, request, name),
        versions=found[:_SHOWN],
        n_versions=len(found),
        measures=list(dict.fromkeys(measure for one in found[:_SHOWN] for measure in one.evaluation)),
        before=before,
        after=after,
        groups=groups,
        text=text,
        files=files,
        told=told,
    )


async def show_budgets(request: Request) -> Response:
    """What may be spent, and what of it is."""
    parts, me = parts_of(request), principal_of(request.scope)
    name = await run_in_threadpool(texts_project, request)
    found = await run_in_threadpool(budget_standings, parts.app, me, name)
    unpriced = await run_in_threadpool(calls_without_price, parts.app, me, name)
    return renderer_of(request).page(
        request,
        "budgets.html",
        project=name,
        bar=await run_in_threadpool(bar_of, request, name),
        standings=found,
        unpriced=unpriced,
    )


async def show_guards(request: Request) -> Response:
    """What guards found."""
    parts, me = parts_of(request), principal_of(request.scope)
    name = await run_in_threadpool(texts_project, request)
    found = await run_in_threadpool(guard_hits, parts.app, me, name, days=_DAYS)
    loosened = await run_in_threadpool(guards_loosened, parts.app, me, name)
    kinds = _kinds(found)
    return renderer_of(request).page(
        request,
        "guards.html",
        project=name,
        bar=await run_in_threadpool(bar_of, request, name),
        days=found[::-1],
        n_days=_DAYS,
        meaning=meaning,
        where=where,
        done=DONE,
        kinds=kinds,
        loosened=loosened,
        most=max(kinds.values(), default=1),
        requests=sum(day.requests for day in found),
        blocked=sum(day.blocked for day in found),
    )


def _chosen(
    found: list[PromptVersion], before: str, after: str
) -> tuple[PromptVersion | None, PromptVersion | None]:
    """The two to compare: the newest and the one before it, unless versions are named."""
    if not found:
        return None, None
    later = the_version(found, after) if after else found[0]
    if before:
        return the_version(found, before), later
    at = found.index(later)
    return found[min(at + 1, len(found) - 1)], later


def _kinds(days: list[GuardedDay]) -> dict[Found, int]:
    """All kinds of hits, the most frequent first."""
    together: Counter[Found] = Counter()
    for day in days:
        together.update(day.hits)
    return dict(together.most_common())
