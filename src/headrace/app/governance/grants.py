"""Roles for a while: asking, deciding, giving back, and taking one in an emergency."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from headrace.access.grants import (
    BREAK_GLASS_S,
    LONGEST_S,
    USUAL_S,
    Approve,
    End,
    Refuse,
    standing,
    transition,
)
from headrace.access.incidents import Step
from headrace.app.composition import App
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import ROLES, Decision, Grant, Principal, Role
from headrace.core.ids import new_id

SHORTEST_S = 60
LONGEST_REASON = 2000
RESOURCES = ("project", "workspace")


def ask(
    app: App,
    me: Principal,
    role: str,
    resource: str,
    reason: str,
    *,
    subject: str | None = None,
    duration_s: int = USUAL_S,
) -> Grant:
    """Ask for ``role`` on ``resource`` (``project:NAME`` or ``workspace:NAME``) for a while.

    It holds from the moment somebody else has approved it, for ``duration_s`` seconds.

    Args:
        subject: the service or agent that needs it; ``me`` when not given.

    Raises:
        Denied: ``me`` has no right to ask, or holds it by a grant only.
        InvalidInput: a role that cannot be granted, no reason, or a duration out of bounds.
    """
    permitted = app.gatekeeper.require(me, "grant.ask", _resource(resource))
    wanted = _role(role)
    if wanted == "admin":
        raise InvalidInput(
            "The role admin is not granted for a while: somebody who administers can do it for you. In an "
            "emergency: headrace access grant break-glass"
        )
    holder = me if subject is None or subject == me.name else _machine(app, me, subject)
    if wanted in holder.roles:
        raise InvalidInput(f"{holder.name!r} has the role {wanted} already; nothing has to be granted.")
    grant = _grant(
        app,
        me,
        holder.name,
        wanted,
        resource=resource,
        reason=reason,
        duration_s=duration_s,
        longest_s=LONGEST_S,
    )
    return _add(app, me, grant, "grant.ask", permitted)


def decide(app: App, me: Principal, grant_id: str, decision: Literal["approved", "refused"]) -> Grant:
    """Approve or refuse a grant that somebody else asked for, for somebody else.

    Raises:
        Denied: ``me`` asked for it, gets it, or may not decide grants by roles of its own.
        Conflict: it was decided meanwhile.
    """
    permitted = app.gatekeeper.require(me, "grant.decide", f"grant:{grant_id}")
    grant, now = _found(app, me, grant_id), app.clock.now()
    event = Approve(by=me.name, at=now) if decision == "approved" else Refuse(by=me.name, at=now)
    detail = {"decision": decision} | permitted.basis
    return _change(app, me, transition(grant, event), "grant.decide", detail)


def end(app: App, me: Principal, grant_id: str) -> Grant:
    """End a grant before its time: one's own, or as somebody who decides grants.

    Raises:
        Denied: it is somebody else's, and ``me`` may not decide grants.
        Conflict: it is over, or has not begun.
    """
    grant = app.store.grants.find(grant_id)
    own = grant is not None and me.name in (grant.subject, grant.asked_by)
    permitted = app.gatekeeper.require(me, "project.read" if own else "grant.decide", f"grant:{grant_id}")
    ended = transition(_found(app, me, grant_id), End(by=me.name, at=app.clock.now()))
    return _change(app, me, ended, "grant.end", permitted.basis)


def break_glass(
    app: App, me: Principal, role: str, resource: str, reason: str, duration_s: int = BREAK_GLASS_S
) -> Grant:
    """Take ``role`` on ``resource`` at once, for an hour at most. It raises an incident.

    The review afterwards is that incident: it stays open until somebody other than ``me`` has closed it.

    Raises:
        Denied: ``me`` is no person who operates or administers.
        InvalidInput: no reason, or a duration out of bounds.
    """
    permitted = app.gatekeeper.require(me, "grant.break_glass", _resource(resource))
    now = app.clock.now()
    asked = _grant(
        app,
        me,
        me.name,
        _role(role),
        resource=resource,
        reason=reason,
        duration_s=duration_s,
        longest_s=BREAK_GLASS_S,
    )
    grant = replace(
        asked, state="active", ends_at=now + timedelta(seconds=duration_s), break_glass=True, decided_at=now
    )
    # The alert with it: there is no moment at which the role is held and nobody is told.
    with app.store.transaction():
        raised = app.access.incidents.open(
            "break_glass",
            me.name,
            me.workspace,
            title=f"{me.name} took a role in an emergency",
            evidence={"grant": grant.id} | _detail(grant),
        )
        app.access.incidents.step(raised.id, Step(kind="note", by=me.name, at=now, text=_taken(grant)))
        return _add(app, me, grant, "grant.break_glass", permitted)


def grants(app: App, me: Principal, state: str | None = None) -> list[Grant]:
    """Grants as they stand at this moment, oldest first: one's own; all, for whoever may see all rights."""
    app.gatekeeper.require(me, "project.read", f"workspace:{me.workspace}")
    every = app.gatekeeper.allows(me, "access.read", f"workspace:{me.workspace}")
    now = app.clock.now()
    found = [standing(grant, now) for grant in app.store.grants.list(workspace=me.workspace)]
    return [
        grant
        for grant in found
        if (every or me.name in (grant.subject, grant.asked_by)) and state in (None, grant.state)
    ]


def _grant(
    app: App,
    me: Principal,
    subject: str,
    role: Role,
    *,
    resource: str,
    reason: str,
    duration_s: int,
    longest_s: int,
) -> Grant:
    if not SHORTEST_S <= duration_s <= longest_s:
        raise InvalidInput(
            f"A grant lasts from {SHORTEST_S // 60} to {longest_s // 60} minutes, got {duration_s / 60:g}."
        )
    kind, _, name = resource.partition(":")
    if kind == "project":
        app.store.projects.get(name)
    return Grant(
        id=new_id(app.clock.now()),
        workspace=me.workspace,
        subject=subject,
        role=role,
        resource=resource,
        reason=_text(reason, "A grant needs a reason that whoever approves it can judge."),
        asked_by=me.name,
        asked_at=app.clock.now(),
        duration_s=duration_s,
    )


def _resource(resource: str) -> str:
    kind, _, name = resource.partition(":")
    if kind not in RESOURCES or not name:
        raise InvalidInput(f"{resource!r} cannot be granted. Expected project:NAME or workspace:NAME.")
    return resource


def _role(role: str) -> Role:
    for known in ROLES:
        if known == role:
            return known
    raise InvalidInput(f"There is no role {role!r}. Roles are {', '.join(ROLES)}.")


def _text(text: str, missing: str) -> str:
    said = " ".join(text.split())
    if not said:
        raise InvalidInput(missing)
    if len(said) > LONGEST_REASON:
        raise InvalidInput(f"At most {LONGEST_REASON} characters are kept, got {len(said)}. Say it shorter.")
    return said


def _machine(app: App, me: Principal, subject: str) -> Principal:
    """The service or agent that ``me`` asks for."""
    app.gatekeeper.require(me, "access.write", f"principal:{subject}")
    found = app.store.principals.get(subject)
    if found.kind == "person":
        raise InvalidInput(f"{subject!r} is a person: people ask for themselves.")
    return found


def _found(app: App, me: Principal, grant_id: str) -> Grant:
    grant = app.store.grants.find(grant_id)
    if grant is None or grant.workspace != me.workspace:
        raise NotFound(f"There is no grant {grant_id!r} here. List them: headrace access grant ls")
    return grant


def _add(app: App, me: Principal, grant: Grant, action: str, permitted: Decision) -> Grant:
    with app.store.transaction():
        app.store.audit.append(me.name, action, f"grant:{grant.id}", _detail(grant) | permitted.basis)
        app.store.epoch.advance()
        return app.store.grants.add(grant)


def _change(app: App, me: Principal, grant: Grant, action: str, more: dict[str, Any]) -> Grant:
    with app.store.transaction():
        app.store.audit.append(me.name, action, f"grant:{grant.id}", _detail(grant) | more)
        app.store.epoch.advance()
        return app.store.grants.change(grant)


def _taken(grant: Grant) -> str:
    return (
        f"took {grant.role} on {grant.resource} for {grant.duration_s // 60} minutes "
        f"(grant {grant.id}): {grant.reason}"
    )


def _detail(grant: Grant) -> dict[str, Any]:
    return {
        "subject": grant.subject,
        "role": grant.role,
        "resource": grant.resource,
        "reason": grant.reason,
        "duration_s": grant.duration_s,
    }
