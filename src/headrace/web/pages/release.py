"""``/releases/{id}``: what was proved, what differs, who decided, how it went live; and the decision."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from headrace.app.business.kpis import kpis
from headrace.app.composition import App
from headrace.app.elsewhere.attaching import stated
from headrace.app.flight import GATE as TICKED
from headrace.app.llm.examples import Examples, examples
from headrace.app.operations import decide, find_release
from headrace.app.overviews import reading
from headrace.app.rollouts.comparing import difference
from headrace.app.ticking import may_tick, tick
from headrace.core.identity import Principal
from headrace.core.release import Release, Verdict
from headrace.gateway.prompts import is_prompt
from headrace.releases.manifest import parent_of
from headrace.web.identity import principal_of
from headrace.web.pages.causes import cause_of
from headrace.web.pages.differences import changes
from headrace.web.pages.evidence import Block, blocks
from headrace.web.pages.formats import subject
from headrace.web.pages.forms import read_comment, read_form
from headrace.web.pages.kpis import newest_kpis
from headrace.web.pages.rendering import parts_of, renderer_of

LOOK = "canary look"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict and its evidence as tables."""

    verdict: Verdict
    blocks: list[Block]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Whether the reader may decide; if not, why not."""

    may_approve: bool
    may_reject: bool
    why_not: str = ""
    lacks_proof: bool = False


def show(request: Request) -> Response:
    """One release."""
    app, me = parts_of(request).app, principal_of(request.scope)
    report = reading.release_report(app, me, find_release(app, me, request.path_params["release_id"]).id)
    release = report.release
    judged = [Judged(verdict=v, blocks=blocks(v.evidence)) for v in report.verdicts]
    present, found = reading.route(app, me, release.project), difference(app, me, release.id)
    return renderer_of(request).page(
        request,
        "release.html",
        report=report,
        release=release,
        manifest=release.manifest,
        gates=[one for one in judged if not one.verdict.gate.startswith((LOOK, TICKED))],
        may_tick=release.state == "waiting" and may_tick(app, me, release),
        looks=[one for one in judged if one.verdict.gate.startswith(LOOK)],
        difference=found,
        rewritten=changes(*found.prompt) if found.prompt else [],
        kpis=newest_kpis(
            kpis(app, me, release.project, release.id), lambda _: subject(release.manifest.subject.ref)
        ),
        choice=choice_of(app, me, release),
        examples=_examples(app, me, release),
        cause=cause_of(release.manifest.cause),
        route=present,
        metric_name=metric_name(release),
        parent=parent_of(app.store.releases, release.manifest),
        stated=stated(app, release) if release.state == "external" else None,
    )


def _examples(app: App, me: Principal, release: Release) -> Examples | None:
    """What both answer, while there is something to decide or mend, and for whoever may read rows at all."""
    mends = release.state == "refused" and is_prompt(release.manifest.subject.ref)
    shows = release.state == "waiting" or mends
    if not shows or not app.gatekeeper.allows(me, "data.read", f"project:{release.project}"):
        return None
    return examples(app, me, release.id)


async def settle(request: Request) -> Response:
    """Approve or reject, as the page's buttons say."""
    parts, me = parts_of(request), principal_of(request.scope)
    form = await read_form(request)
    release_id, decision = request.path_params["release_id"], form.get("decision", "")
    release = await run_in_threadpool(
        decide, parts.app, parts.work, me, release_id, decision, read_comment(form)
    )
    return RedirectResponse(f"/releases/{release.id}", 303)


async def tick_item(request: Request) -> Response:
    """Tick an item of the flight check, with the note beside it."""
    parts, me = parts_of(request), principal_of(request.scope)
    form = await read_form(request)
    release_id, items = request.path_params["release_id"], [form["item"]] if form.get("item") else []
    release = await run_in_threadpool(
        tick, parts.app, parts.work, me, release_id, items, read_comment({"comment": form.get("note", "")})
    )
    return RedirectResponse(f"/releases/{release.id}#flight", 303)


def choice_of(app: App, me: Principal, release: Release) -> Choice:
    """The reader's rights on a waiting release; on any other there is nothing to decide."""
    if release.state != "waiting":
        return Choice(may_approve=False, may_reject=False)
    if release.author == me.name:
        why = "You made this release, so somebody else has to decide."
        return Choice(may_approve=False, may_reject=False, why_not=why)
    resource = f"release:{release.id}"
    approve, reject = (app.gatekeeper.allows(me, f"release.{act}", resource) for act in ("approve", "reject"))
    lacks_proof = app.gatekeeper.lacks_proof(me, "release.approve", resource)
    may = approve or reject or lacks_proof
    why = "" if may else f"Your roles ({', '.join(me.roles)}) may not decide. A validator can."
    return Choice(may_approve=approve, may_reject=reject, why_not=why, lacks_proof=lacks_proof)


def metric_name(release: Release) -> str:
    """The loss that the model gate judges by."""
    return next((check.measure for check in release.manifest.checks if check.name == "model"), "")
