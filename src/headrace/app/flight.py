"""The part of the flight check that only a person can tick, bound to the release that it is ticked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from headrace.app.compliance import waiver_for
from headrace.app.composition import App
from headrace.core.identity import Principal
from headrace.core.release import Release, Verdict
from headrace.projects.proofs import proofs_of
from headrace.releases.gates import verdict, waived
from headrace.releases.manifest import parent_of

SYSTEM = "system:flight"
GATE = "flight:"
"""What the gates of ticked items begin with."""
_RULE = "gate:flight_check"


@dataclass(frozen=True, kw_only=True)
class ToTick:
    """An item of the list that a person ticks.

    Attributes:
        asks: what they look at before they do.
        by, at, note: who ticked it, when, and what they say they saw; none of it while it is open.
    """

    name: str
    asks: str
    by: str = ""
    at: datetime | None = None
    note: str = ""

    @property
    def ticked(self) -> bool:
        """Whether somebody has."""
        return self.at is not None


def to_tick(app: App, release: Release) -> list[ToTick]:
    """The items of a release that people tick, in the order of their names."""
    asked = _asked(release)
    ticked = {one.gate: one for one in app.store.evidence.verdicts(release.id)} if asked else {}
    return [_item(name, asks, ticked.get(GATE + name)) for name, asks in sorted(asked.items())]


def _asked(release: Release) -> dict[str, str]:
    charter = release.manifest.charter
    return {} if charter is None else proofs_of(charter).flight


def _item(name: str, asks: str, found: Verdict | None) -> ToTick:
    if found is None:
        return ToTick(name=name, asks=asks)
    return ToTick(name=name, asks=asks, by=found.evidence["by"], at=found.at, note=found.reason)


def open_items(app: App, release: Release) -> list[str]:
    """Names of the items that nobody has ticked or waived: while there is one, no deployment starts."""
    return [one.name for one in to_tick(app, release) if not one.ticked]


def shown(app: App, me: Principal, release: Release) -> list[ToTick]:
    """The items for who may read the project. Raises Denied."""
    app.gatekeeper.require(me, "project.read", f"project:{release.project}")
    return to_tick(app, release)


def ticked_by(release: Release, item: ToTick, by: str, note: str, at: datetime) -> Verdict:
    """The verdict that says so."""
    evidence = {"by": by, "asks": item.asks, "digest": release.digest}
    return verdict(release.id, GATE + item.name, "passed", note, evidence=evidence, at=at)


def keep_tick(app: App, release: Release, judged: Verdict, *, by: str) -> None:
    """Record it, with its entry in the audit log."""
    detail = {"item": judged.gate.removeprefix(GATE), "note": judged.reason, "digest": release.digest}
    app.store.audit.append(by, "release.tick", f"release:{release.id}", detail)
    app.store.evidence.add_verdict(judged)


def settle_flight(app: App, release: Release) -> list[str]:
    """Tick what needs nobody, and return what is still open.

    A waiver of the gate ``flight_check`` ticks all. A retraining by the machine, from the code and the list
    that were ticked for the release before, takes those ticks over; what a waiver let through nobody ticked.
    """
    open_ = [one for one in to_tick(app, release) if not one.ticked]
    if not open_:
        return []
    waiver = waiver_for(app, release.project, _RULE, release.author)
    before = _taken_over(app, release)
    for item in open_:
        made = None
        if waiver is not None:
            made = ticked_by(release, item, waiver.asked_by, "nobody has ticked it", app.clock.now())
            made = waived(replace(made, outcome="failed"), waiver)
        elif item.name in before:
            one = before[item.name]
            note = f"ticked by {one.by} for the same code and charter: {one.note}"
            made = ticked_by(release, item, one.by, note, app.clock.now())
        if made is not None:
            with app.store.transaction():
                keep_tick(app, release, made, by=SYSTEM)
    return open_items(app, release)


def _taken_over(app: App, release: Release) -> dict[str, ToTick]:
    manifest = release.manifest
    before = parent_of(app.store.releases, manifest)
    if ":" not in release.author or before is None:
        return {}
    if before.manifest.code != manifest.code or _asked(before) != _asked(release):
        return {}
    by_leave = {one.gate for one in app.store.evidence.verdicts(before.id) if "waiver" in one.evidence}
    return {one.name: one for one in to_tick(app, before) if one.ticked and GATE + one.name not in by_leave}
