"""People tick the flight check of a release; what waits for nothing else goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.access.identities import required_text
from headrace.app.compliance import approvals_needed
from headrace.app.composition import App
from headrace.app.flight import (
    ToTick,
    keep_tick,
    open_items,
    settle_flight,
    ticked_by,
    to_tick,
)
from headrace.app.operations import DECIDING, decide, find_release, settle
from headrace.app.rollouts.deliver import send_ticked
from headrace.app.workflows import Workflows
from headrace.core.errors import Conflict, Denied, NotFound
from headrace.core.identity import Principal
from headrace.core.release import Release


def may_tick(app: App, me: Principal, release: Release) -> bool:
    """Whoever builds the project, or may approve the release, may tick."""
    return app.gatekeeper.allows(me, "project.run", f"project:{release.project}") or app.gatekeeper.allows(
        me, "release.approve", f"release:{release.id}"
    )


def tick(
    app: App, work: Workflows, me: Principal, release_id: str, names: Sequence[str], note: str
) -> Release:
    """Tick items of a release that waits; each once. Returns the release as it stands then.

    Args:
        names: of the items; none: all that are open.
        note: what was looked at, and what was seen.

    Raises:
        Denied: ``me`` is no person, or neither builds the project nor may approve the release.
        NotFound: it has no such item.
        Conflict: it does not wait, nothing is open, or somebody has ticked the item before.
        InvalidInput: there is no note.
    """
    release = find_release(app, me, release_id)
    if not may_tick(app, me, release):
        app.gatekeeper.require(me, "project.run", f"project:{release.project}")
    said = _note_of(me, note)
    _require_waiting(release)
    left = settle_flight(app, release)
    items = {one.name: one for one in to_tick(app, release)}
    chosen = list(dict.fromkeys(names)) or left
    _require_open(release, items, chosen)
    now = app.clock.now()
    with app.store.transaction():
        for name in chosen:
            keep_tick(app, release, ticked_by(release, items[name], me.name, said, now), by=me.name)
    open_now = open_items(app, release)
    if not open_now:
        send_ticked(work.durable, release)
    given = len(app.store.evidence.approvals(release.id))
    if given and given >= approvals_needed(app, release) and not open_now:
        return settle(app, work, release.id, leaving=DECIDING)
    return app.store.releases.get(release.id)


def approve_looked(
    app: App, work: Workflows, me: Principal, release_id: str, comment: str, note: str
) -> Release:
    """Approve a release, and tick what is open of its flight check. Returns it as it stands then.

    The decision comes first: whose approval is refused has ticked nothing.

    Args:
        comment: kept with the decision; ``note``: what was looked at, kept with each tick.

    Raises:
        Denied: ``me`` is the author or no person, or has no role that may decide.
        Conflict: it does not wait, was decided otherwise, or is not what was signed.
        InvalidInput: there is no note.

    Example::

        approve_looked(app, work, me, release.id, "fine", "read twenty of the largest errors")
    """
    said = _note_of(me, note)
    release = decide(app, work, me, release_id, "approved", comment)
    if release.state != "waiting" or not open_items(app, release):
        return release
    return tick(app, work, me, release.id, (), said)


def why_not_kept(app: App, me: Principal, release: Release, note: str) -> str:
    """Why the flight check does not hold what ``me`` has just said of it; empty where it does.

    A tick stays as it was given: whoever approves again, or after everything is ticked, adds none.
    """
    items = to_tick(app, release)
    if any(one.by == me.name and one.note == note.strip() for one in items):
        return ""
    by = sorted({one.by for one in items if one.ticked})
    what = (
        f"it was ticked by {', '.join(by)} already, and a tick stays as it was given"
        if by
        else ("it has no item that a person ticks")
    )
    return f"Your note is not kept: nothing of the flight check of {release.id} is open, for {what}."


def _note_of(me: Principal, note: str) -> str:
    if me.kind != "person":
        raise Denied(f"{me.name!r} is a {me.kind}: only a person can say what they looked at.")
    return required_text(note, "Whoever ticks an item says what they looked at")


def _require_waiting(release: Release) -> None:
    if release.state not in ("proposed", "waiting"):
        raise Conflict(f"Release {release.id} is {release.state}: its flight check is over.")


def _require_open(release: Release, items: Mapping[str, ToTick], chosen: Sequence[str]) -> None:
    for name in chosen:
        if name not in items:
            raise NotFound(
                f"The flight check of {release.id} has no item {name[:80]!r} to tick (has: "
                f"{', '.join(items) or 'none'})."
            )
        if items[name].ticked:
            raise Conflict(f"{name!r} of {release.id} was ticked by {items[name].by!r} already.")
