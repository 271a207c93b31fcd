"""The kill switch of calls to language models: of one project, or of all; who, why, and undone by whom."""

from __future__ import annotations

from dataclasses import replace

from headrace.access.privacy.redacting import without_secrets
from headrace.app.composition import App
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.store.llm_decisions import Stop

RIGHT = "release.rollback"
"""Whoever may take a release back may stop its calls."""


def stop(app: App, me: Principal, project: str | None, reason: str) -> Stop:
    """Make no call of a project any more, or none at all of the workspace of ``me``; of ``main``, nobody's.

    Every process refuses from its next look on, within a second on this machine; answers that are under
    way end. One that is stopped already stays as it was stopped.

    Raises:
        Denied: ``me`` may not.
        NotFound: there is no such project.
        InvalidInput: no reason is given.
    """
    subject = _subject(me, project)
    permitted = app.gatekeeper.require(me, RIGHT, subject)
    workspace = me.workspace if project is None else app.store.projects.workspace(project)
    said = _said(reason)
    with app.store.transaction():
        known = app.store.llm_stops.list(subject=subject)
        for one in known:
            if one.state == "on":
                return one
        made = app.store.llm_stops.add(
            Stop(
                id=derived_id("llm-stop", subject, str(len(known))),
                workspace=workspace,
                subject=subject,
                reason=said,
                by=me.name,
                at=app.clock.now(),
            )
        )
        detail = {"stop": made.id, "reason": made.reason}
        app.store.audit.append(me.name, "llm.stop", subject, detail | permitted.basis)
        app.store.epoch.advance()
    return made


def resume(app: App, me: Principal, project: str | None, reason: str) -> Stop:
    """Let the calls be made again.

    Raises:
        Denied: ``me`` may not.
        NotFound: they are not stopped.
        InvalidInput: no reason is given.
        Conflict: somebody else has done so at the same time.
    """
    subject = _subject(me, project)
    permitted = app.gatekeeper.require(me, RIGHT, subject)
    said = _said(reason)
    with app.store.transaction():
        standing = app.store.llm_stops.list(subject=subject, state="on")
        if not standing:
            raise NotFound(f"Calls of {subject} are not stopped. List what is: headrace llm stops")
        ended = app.store.llm_stops.change(
            replace(
                standing[0],
                state="over",
                revision=standing[0].revision + 1,
                ended_by=me.name,
                ended_at=app.clock.now(),
                ended_because=said,
            )
        )
        detail = {"stop": ended.id, "reason": ended.ended_because}
        app.store.audit.append(me.name, "llm.resume", subject, detail | permitted.basis)
        app.store.epoch.advance()
    return ended


def stops(app: App, me: Principal) -> list[Stop]:
    """All stops of the workspace of ``me``, the newest first. Raises Denied."""
    app.gatekeeper.require(me, "project.read", f"workspace:{me.workspace}")
    return app.store.llm_stops.list(workspace=me.workspace)[::-1]


def _subject(me: Principal, project: str | None) -> str:
    return f"workspace:{me.workspace}" if project is None else f"project:{project}"


def _said(reason: str) -> str:
    """Why, without the key that has leaked: everybody who is refused reads it."""
    if not reason.strip() or len(reason) > 2000:
        raise InvalidInput("Say why, in at most 2,000 characters: whoever is refused reads it.")
    return without_secrets(reason.strip())
