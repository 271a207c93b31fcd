"""Something looks wrong: anybody says so, somebody looks into it, and what came of it is kept."""

from __future__ import annotations

from typing import Literal

from headrace.access.identities import required_text
from headrace.access.incidents import FLAGGED, SYSTEM, Step, resource_of
from headrace.app.composition import App
from headrace.app.finding import find_one
from headrace.core.errors import Conflict
from headrace.core.identity import MAIN, Incident, Principal, Resource

_Kind = Literal["take", "note", "close"]


def flag(app: App, me: Principal, name: str, why: str) -> Incident:
    """Say that something about the identity ``name`` looks suspicious. Whoever has a role may.

    A second flag while the first is being looked into becomes a note of it.

    Raises:
        Denied: ``name`` belongs to another workspace.
        NotFound: nobody is known by this name.
        InvalidInput: ``why`` is empty or too long.
    """
    app.gatekeeper.require(me, "incident.raise", f"principal:{name}")
    subject = app.store.principals.get(name)
    said = required_text(why, f"Flagging {name!r} needs a reason")
    raised = app.access.incidents.open(
        FLAGGED,
        subject.name,
        subject.workspace,
        title=f"{me.name} finds something about {name} suspicious",
        raised_by=me.name,
    )
    # The words themselves are a note, like those of everybody who says so afterwards.
    return _step(app, me, raised, "note", said)


def incidents(app: App, me: Principal, state: str | None = None) -> list[Incident]:
    """Incidents that ``me`` may look into, newest first. Raises Denied."""
    app.gatekeeper.require(me, "incident.work", Resource(kind="incident", name="all", workspace=me.workspace))
    found = app.store.incidents.list(workspace=me.workspace, state=state)
    return [one for one in reversed(found) if app.gatekeeper.allows(me, "incident.work", resource_of(one))]


def incident(app: App, me: Principal, incident_id: str) -> Incident:
    """One incident by its id, or by the first letters of it. Raises NotFound, Denied."""
    return find_one(
        incidents(app, me),
        incident_id,
        lambda one: (one.id,),
        what="incident",
        how="headrace access incident ls",
    )


def incidents_about(app: App, me: Principal, name: str) -> list[Incident]:
    """Incidents about one identity that ``me`` may look into, newest first; none if they look into none."""
    found = app.store.incidents.list(workspace=me.workspace, subject=name)
    return [one for one in reversed(found) if app.gatekeeper.allows(me, "incident.work", resource_of(one))]


def take(app: App, me: Principal, incident_id: str) -> Incident:
    """Look into an incident. Raises NotFound, Denied, Conflict."""
    return _step(app, me, incident(app, me, incident_id), "take")


def note(app: App, me: Principal, incident_id: str, text: str) -> Incident:
    """Write down what was found out. Raises NotFound, Denied, Conflict, InvalidInput."""
    return _step(app, me, incident(app, me, incident_id), "note", text)


def close(app: App, me: Principal, incident_id: str, resolution: str) -> Incident:
    """Say what came of it. Raises NotFound, Denied, Conflict, InvalidInput."""
    return _step(app, me, incident(app, me, incident_id), "close", resolution)


def notice(app: App) -> list[Incident]:
    """Raise what is out of the ordinary since the last time, and freeze whom the settings say."""
    raised = []
    for alarm in app.access.activity.look():
        subject = app.store.principals.find(alarm.principal)
        one = app.access.incidents.open(
            alarm.kind,
            alarm.principal,
            MAIN if subject is None else subject.workspace,
            title=alarm.title,
            evidence=alarm.evidence,
        )
        raised.append(one)
        if subject is not None and subject.frozen is None and alarm.kind in app.settings.freeze_on:
            _freeze(app, one)
    return raised


def _freeze(app: App, raised: Incident) -> None:
    said = f"frozen, because HEADRACE_FREEZE_ON names {raised.kind}"
    try:
        app.identities.freeze(raised.subject, f"{raised.kind}, incident {raised.id}", actor=SYSTEM)
    except Conflict as error:
        said = f"not frozen: {error}"
    step = Step(kind="note", by=SYSTEM, at=app.clock.now(), text=said)
    app.access.incidents.step(raised.id, step)


def _step(app: App, me: Principal, found: Incident, kind: _Kind, text: str = "") -> Incident:
    step = Step(kind=kind, by=me.name, at=app.clock.now(), text=text)
    return app.access.incidents.step(found.id, step)
