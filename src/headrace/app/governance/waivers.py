"""Leave to deviate from a rule: asked for, decided by others in proportion to its size, over by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from headrace.app.composition import App
from headrace.app.finding import find_one
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.core.project import Project
from headrace.core.release import Waiver
from headrace.projects.llm import never_alone
from headrace.projects.rules import is_answered
from headrace.releases.waivers import DRAFTS, Decide, End, Size, check_request, missing, transition

_MAX_REASON = 2000


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A waiver, whether it gives leave at this moment, and who still has to agree."""

    waiver: Waiver
    holds: bool
    missing: str


def ask(
    app: App, principal: Principal, project: str, rule: str, *, reason: str, days: int, size: Size
) -> Waiver:
    """Ask for leave to deviate from ``rule`` (``gate:model``, ``control:canary``) for some days.

    Raises:
        InvalidInput: the rule cannot be waived, the size or the days do not fit, or no reason is given.
    """
    permitted = app.gatekeeper.require(principal, "waiver.ask", f"project:{project}")
    declared = app.store.projects.get(project)
    check_request(rule, size, days, declared.risk)
    if rule == DRAFTS and any(never_alone(one) for one in _charters(app, declared)):
        raise InvalidInput(
            f"Answers of {project!r} are never without a person: llm.oversight says that something hangs on "
            "each of them, or that all are drafts. No leave can be given."
        )
    if not is_answered(reason) or len(reason) > _MAX_REASON:
        raise InvalidInput(f"A waiver needs a reason of 1 to {_MAX_REASON} characters. Give --reason TEXT.")
    now = app.clock.now()
    wanted = Waiver(
        id=new_id(now),
        workspace=app.store.projects.workspace(project),
        subject=project,
        rule=rule,
        reason=reason.strip(),
        size=size,
        asked_by=principal.name,
        asked_at=now,
        ends_at=now + timedelta(days=days),
    )
    detail = {"waiver": wanted.id, "rule": rule, "size": size, "days": days, "reason": wanted.reason}
    with app.store.transaction():
        app.store.audit.append(principal.name, "waiver.ask", f"project:{project}", detail | permitted.basis)
        return app.store.waivers.add(wanted)


def _charters(app: App, declared: Project) -> list[Project]:
    """What is declared, and what is released."""
    route = app.store.rollouts.route(declared.name)
    released = app.store.releases.some(list(route.releases)) if route is not None else []
    return [declared, *(one.manifest.charter for one in released if one.manifest.charter is not None)]


def decide(
    app: App,
    principal: Principal,
    waiver_id: str,
    decision: Literal["approved", "rejected"],
    comment: str = "",
) -> Waiver:
    """Agree to a waiver or refuse it; never one's own.

    Raises:
        Denied: it is their own, or their roles may not decide.
        Conflict: they have decided before, or somebody else has ended it meanwhile.
    """
    waiver = find(app, principal, waiver_id)
    resource = app.access.resources.describe(f"waiver:{waiver.id}", principal)
    permitted = app.gatekeeper.require(principal, "waiver.decide", resource)
    event = Decide(
        by=principal.name,
        roles=(*principal.roles, *app.access.grants.roles(principal.name, resource)),
        agree=decision == "approved",
        at=app.clock.now(),
        comment=comment,
    )
    moved = transition(waiver, event)
    detail = {"waiver": waiver.id, "rule": waiver.rule, "decision": decision, "comment": comment}
    return _change(app, principal, "waiver.decide", moved, detail | permitted.basis)


def end(app: App, principal: Principal, waiver_id: str, comment: str = "") -> Waiver:
    """Give leave back before its time; whoever may ask for it may."""
    waiver = find(app, principal, waiver_id)
    permitted = app.gatekeeper.require(principal, "waiver.ask", f"project:{waiver.subject}")
    moved = transition(waiver, End(by=principal.name, at=app.clock.now(), comment=comment))
    detail = {"waiver": waiver.id, "comment": comment}
    return _change(app, principal, "waiver.end", moved, detail | permitted.basis)


def _change(app: App, principal: Principal, action: str, waiver: Waiver, detail: dict[str, Any]) -> Waiver:
    with app.store.transaction():
        app.store.audit.append(principal.name, action, f"project:{waiver.subject}", detail)
        return app.store.waivers.change(waiver)


def waivers(app: App, principal: Principal, project: str | None = None) -> list[Standing]:
    """Waivers of one project, or of all that ``principal`` may see; the oldest first."""
    if project is not None:
        app.gatekeeper.require(principal, "project.read", f"project:{project}")
        app.store.projects.get(project)
    return [
        _standing(app, waiver)
        for waiver in app.store.waivers.list(workspace=principal.workspace, subject=project)
        if project is not None
        or app.gatekeeper.allows(principal, "project.read", f"project:{waiver.subject}")
    ]


def waiver(app: App, principal: Principal, waiver_id: str) -> Standing:
    """One waiver by its id, or by how it begins.

    Raises:
        NotFound: there is none that ``principal`` may read, or more than one.
    """
    return _standing(app, find(app, principal, waiver_id))


def _standing(app: App, waiver: Waiver) -> Standing:
    now = app.clock.now()
    return Standing(
        waiver=waiver,
        holds=waiver.state == "granted" and now < waiver.ends_at,
        missing=missing(waiver) if now < waiver.ends_at else "",
    )


def find(app: App, me: Principal, text: str) -> Waiver:
    """The waiver with this id, or whose id begins with it, among those that ``me`` may read.

    Raises:
        NotFound: there is none, or more than one.
    """
    known = [standing.waiver for standing in waivers(app, me)]
    return find_one(known, text, lambda one: (one.id,), what="waiver", how="headrace project waivers")
