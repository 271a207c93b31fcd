"""Leave to deviate from a rule: asked for, decided by others in proportion to its size, over by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from headrace.app.composition import App
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal, Resource
from headrace.core.ids import new_id
from headrace.core.release import Waiver
from headrace.projects.rules import is_answered
from headrace.releases.waivers import Decide, End, Size, check_request, missing, transition

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
    app.gatekeeper.require(principal, "waiver.ask", f"project:{project}")
    declared = app.store.projects.get(project)
    check_request(rule, size, days, declared.risk)
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
    app.store.audit.append(principal.name, "waiver.ask", f"project:{project}", detail)
    return app.store.waivers.add(wanted)


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
    waiver = find(app, waiver_id)
    app.gatekeeper.require(principal, "waiver.decide", resource_of(waiver))
    event = Decide(
        by=principal.name,
        roles=(*principal.roles, *app.access.grants.roles(principal.name, resource_of(waiver))),
        agree=decision == "approved",
        at=app.clock.now(),
        comment=comment,
    )
    moved = transition(waiver, event)
    detail = {"waiver": waiver.id, "rule": waiver.rule, "decision": decision, "comment": comment}
    app.store.audit.append(principal.name, "waiver.decide", f"project:{waiver.subject}", detail)
    return app.store.waivers.change(moved)


def end(app: App, principal: Principal, waiver_id: str, comment: str = "") -> Waiver:
    """Give leave back before its time; whoever may ask for it may."""
    waiver = find(app, waiver_id)
    app.gatekeeper.require(principal, "waiver.ask", f"project:{waiver.subject}")
    moved = transition(waiver, End(by=principal.name, at=app.clock.now(), comment=comment))
    app.store.audit.append(
        principal.name, "waiver.end", f"project:{waiver.subject}", {"waiver": waiver.id, "comment": comment}
    )
    return app.store.waivers.change(moved)


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
        NotFound: there is none, or more than one.
        Denied: its project is not for ``principal``.
    """
    found = find(app, waiver_id)
    app.gatekeeper.require(principal, "project.read", f"project:{found.subject}")
    return _standing(app, found)


def _standing(app: App, waiver: Waiver) -> Standing:
    now = app.clock.now()
    return Standing(
        waiver=waiver,
        holds=waiver.state == "granted" and now < waiver.ends_at,
        missing=missing(waiver) if now < waiver.ends_at else "",
    )


def find(app: App, text: str) -> Waiver:
    """The waiver with this id, or whose id begins with it.

    Raises:
        NotFound: there is none, or more than one.
    """
    found = app.store.waivers.find(text)
    if found is not None:
        return found
    close = [one for one in app.store.waivers.list() if len(text) >= 4 and one.id.startswith(text)]
    if len(close) != 1:
        raise NotFound(
            f"There is {'more than one' if close else 'no'} waiver {text!r}. List them: "
            "headrace project waivers"
        )
    return close[0]


def resource_of(waiver: Waiver) -> Resource:
    """The waiver as the rules see it."""
    return Resource(kind="waiver", name=waiver.id, workspace=waiver.workspace, authors=(waiver.asked_by,))
