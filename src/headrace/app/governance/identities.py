"""Who is known here: added, reviewed, frozen and ended, each only by somebody who may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headrace.app.composition import App
from headrace.core.errors import Denied, ProofNeeded
from headrace.core.identity import MAIN, Kind, Principal

_MIGHTY = {"admin", "validator"}
"""Roles that hand out rights or let things go live."""


def add(
    app: App,
    me: Principal,
    name: str,
    roles: Sequence[str],
    *,
    kind: Kind | None = None,
    workspace: str | None = None,
    owner: str | None = None,
    purpose: str = "",
    expires_at: datetime | None = None,
    review_by: datetime | None = None,
) -> Principal:
    """Make an identity known in one's own workspace, or in another that one sets up.

    Raises:
        Denied: ``me`` may not, or it is their own identity.
        InvalidInput, Conflict: as :meth:`headrace.access.identities.Identities.add`.
    """
    where = workspace or me.workspace
    if where == me.workspace:
        app.gatekeeper.require(me, "access.write", f"principal:{name}")
    else:
        _require_set_up(app, me, where)
        _only_set_up(app, where, name)
    before = app.store.principals.find(name)
    added = app.identities.add(
        name,
        roles,
        actor=me.name,
        kind=kind,
        workspace=where,
        owner=owner,
        purpose=purpose,
        expires_at=expires_at,
        review_by=review_by,
    )
    _watch_escalation(app, me, before, added)
    return added


def _require_set_up(app: App, me: Principal, workspace: str) -> None:
    """Raises Denied with whom to ask: by name as far as ``me`` sees them, and alike for every workspace."""
    try:
        app.gatekeeper.require(me, "workspace.write", f"workspace:{workspace}")
    except ProofNeeded:
        raise
    except Denied as error:
        seen = (
            known(app, me) if app.gatekeeper.allows(me, "project.read", f"workspace:{me.workspace}") else []
        )
        names = [one.name for one in seen if one.workspace == MAIN and _helps(app, one)]
        of_main = f"an administrator of {MAIN!r}" + (f" ({', '.join(names)})" if names else "")
        raise Denied(
            f"{error} Who belongs to a workspace is for its own administrators, and a new one is set up by "
            f"{of_main}. Ask them."
        ) from error


def _only_set_up(app: App, workspace: str, name: str) -> None:
    """Whoever sets up a workspace gives it its first administrator, and no more."""
    people = app.store.principals.list()
    in_charge = [one for one in people if one.workspace == workspace and "admin" in one.roles]
    if in_charge:
        helping = [one.name for one in in_charge if _helps(app, one)]
        raise Denied(
            f"The workspace {workspace!r} has been set up: who belongs to it is for its own administrators. "
            + (f"Ask {' or '.join(helping)}." if helping else "None of them can act now.")
        )
    if any(one.name == name for one in people):
        raise Denied(
            f"The first administrator of a workspace is somebody new, and {name!r} is known already. Choose "
            "another name."
        )


def _helps(app: App, one: Principal) -> bool:
    """Whether one is an administrator whom people can ask."""
    return "admin" in one.roles and one.kind == "person" and one.may_act(app.clock.now())


def _watch_escalation(app: App, me: Principal, before: Principal | None, after: Principal) -> None:
    """Somebody becomes an administrator, or gets to decide what goes live: whoever watches sees it."""
    gained = set(after.roles) & _MIGHTY - set(() if before is None else before.roles)
    if before is None:
        gained &= {"admin"}
    if gained:
        app.access.incidents.open(
            "escalation",
            after.name,
            after.workspace,
            title=f"{after.name} was made {', '.join(sorted(gained))} by {me.name}",
            evidence={"gained": sorted(gained), "by": me.name},
        )


def known(app: App, me: Principal) -> list[Principal]:
    """Everybody in the workspaces that ``me`` may see."""
    app.gatekeeper.require(me, "project.read", f"workspace:{me.workspace}")
    everybody = app.store.principals.list()
    return [p for p in everybody if app.gatekeeper.allows(me, "project.read", f"principal:{p.name}")]


def remove_role(app: App, me: Principal, name: str, role: str) -> Principal:
    """Take one role away. Raises Denied, NotFound, InvalidInput, Conflict."""
    _may_change(app, me, name)
    return app.identities.remove_role(name, role, actor=me.name)


def set_expiry(app: App, me: Principal, name: str, expires_at: datetime | None = None) -> Principal:
    """Let an identity end then, or now. Raises Denied, NotFound, InvalidInput, Conflict."""
    _may_change(app, me, name)
    return app.identities.set_expiry(name, expires_at or app.clock.now(), actor=me.name)


def review(app: App, me: Principal, name: str, review_by: datetime) -> Principal:
    """Say that an identity is still needed. Raises Denied, NotFound, InvalidInput."""
    _may_change(app, me, name)
    return app.identities.review(name, review_by, actor=me.name)


def freeze(app: App, me: Principal, name: str, reason: str) -> Principal:
    """Let an identity do nothing for now. Raises Denied, NotFound, InvalidInput, Conflict."""
    _may_change(app, me, name)
    return app.identities.freeze(name, reason, actor=me.name)


def unfreeze(app: App, me: Principal, name: str) -> Principal:
    """Let a frozen identity act again. Raises Denied, NotFound."""
    _may_change(app, me, name)
    return app.identities.unfreeze(name, actor=me.name)


def _may_change(app: App, me: Principal, name: str) -> None:
    app.gatekeeper.require(me, "access.write", f"principal:{name}")
