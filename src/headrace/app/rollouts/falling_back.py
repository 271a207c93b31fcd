"""Letting the fallback answer once the live release cannot be trusted: what asks for it, and what is done.

What asks for it is a finding; its alert has the policy's action and is closed once that is done. Where a
process was killed in between, the alert is open, and the traffic moved or not: repeating it changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from headrace.app.alerting.alerts import close_alert, raise_on_findings
from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.app.rollouts.deliver import follow_live
from headrace.app.rollouts.fallbacks import SYSTEM, ready
from headrace.app.rollouts.recommending import held_against, worse_findings
from headrace.core.errors import Conflict, HeadraceError, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.record import Alert, Finding
from headrace.core.release import Release, Route
from headrace.monitoring.ingest import ingest
from headrace.releases import delivery
from headrace.releases.observing import count_answers
from headrace.releases.rollout import Observation, Shares, judge
from headrace.store import Store
from headrace.store.records import decode_failure

_log = logging.getLogger(__name__)
KIND = "fallback"
RECENT_S = 60.0
_AT_ONCE = 10_000


class Cause(NamedTuple):
    """Why the live release cannot be trusted; the same ``key`` asks once."""

    key: str
    title: str
    window: tuple[datetime, datetime]
    evidence: dict[str, Any]
    size: float


class FallingBack:
    """Looks at live releases again and again, and acts as their projects declare.

    Example::

        FallingBack(app).look("cars")
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._failures: dict[str, _Failures] = {}

    def look(self, name: str) -> None:
        """Find out whether the live release can be trusted, and do what the policy says if not.

        Where nothing is live, the fallback answers already, or none is declared, there is nothing to do.
        """
        store = self._app.store
        project, route = self._app.access.charters.in_force(name), store.rollouts.route(name)
        if project.fallback is None or route is None:
            return
        if not route.stands_in:
            for cause in self._causes(project, route):
                store.findings.add(_finding(project, route.live, cause, self._app.clock.now()))
            raise_on_findings(self._app, name)
        for alert, finding in _open(store, name):
            if alert.action == "automatic":
                self._act(project, alert, finding)

    def _causes(self, project: Project, route: Route) -> Iterator[Cause]:
        failing = self._failing(project, route)
        if failing is not None:
            yield failing
        # A candidate that is on its way is the better answer to a model that is worse than it was.
        if self._app.store.rollouts.find_active(project.name) is None:
            yield from _degraded(self._app, project, route.live)

    def _failing(self, project: Project, route: Route) -> Cause | None:
        """By the rule that aborts a canary: more requests failed than chance explains at the allowed rate."""
        assert project.fallback is not None
        store, now = self._app.store, self._app.clock.now()
        since = now - timedelta(seconds=RECENT_S)
        failed = self._failures.setdefault(project.name, _Failures(store, project.name)).count(
            route.live, since
        )
        if failed < project.fallback.failures:
            return None
        ingest(project.name, store.events, store.tables, numeric=numeric_inputs(store, project))
        answered = count_answers(store, project.name, route.live, since)
        seen = Observation(answered=answered, failed=failed)
        model = project.gates.model
        outcome, reason = judge(seen, project.rollout, model.margin, Shares.of(project))
        if outcome != "failed":
            return None
        # A person who has rolled back to it since is told again only if it goes on failing then.
        key = f"failing {route.live} {route.revision}"
        evidence: dict[str, Any] = {
            "failed": failed,
            "answered": answered,
            "allowed": project.rollout.max_error_rate,
        }
        return Cause(
            key, f"{reason} in the last minute", (since, now), evidence, failed / (failed + answered)
        )

    def _act(self, project: Project, alert: Alert, finding: Finding) -> None:
        app = self._app
        try:
            done = let_stand_in(app, project, finding.release_id, finding.title, by=SYSTEM)
        except HeadraceError as error:
            # Such as a fallback that nobody has approved yet: the alert stays open, and the next look tries.
            _log.warning("The fallback of %s cannot stand in: %s", project.name, error)
            return
        close_alert(app.store, alert, SYSTEM, f"{done.manifest.subject.ref} stands in")


def let_stand_in(app: App, project: Project, instead_of: str, reason: str, *, by: str) -> Release:
    """Give all traffic to the project's fallback; once it has it, nothing changes.

    Raises:
        Conflict: no fallback stands by, something else is live by now, or an A/B test shares the traffic.
        HeadraceError: the fallback cannot be loaded either.
    """
    store, name = app.store, project.name
    route = store.rollouts.route(name)
    if route is not None and route.stands_in:
        release = store.releases.get(route.live)
    else:
        if route is None or route.live != instead_of:
            raise Conflict(f"Release {instead_of} of {name!r} is not live any more.")
        found = ready(store, project)
        if found is None:
            raise Conflict(
                f"No fallback of {name!r} stands by. Build it with 'headrace run --fallback' in its folder "
                "and have it approved."
            )
        app.scorers.of_release(found.id)
        release = delivery.stand_in(store, found.id, reason, app.clock.now(), by=by)
    try:
        follow_live(app, name, by=by)
    except HeadraceError as error:
        # The traffic has moved; the tracker's alias is told again by the next release.
        _log.warning("The tracker was not told of %s: %s", release.id, error)
    return release


def fall_back(app: App, me: Principal, name: str, reason: str = "") -> Release:
    """Let the fallback answer on a person's word, such as when the policy only proposes it.

    Raises:
        Denied: ``me`` does not operate this project.
        NotFound: nothing of it is live.
        Conflict: no fallback stands by, or an A/B test shares the traffic.

    Example::

        fall_back(app, app.me(), "cars", "the sensor is broken").manifest.stands_in
    """
    permitted = app.gatekeeper.require(me, "release.rollback", f"project:{name}")
    store, project = app.store, app.access.charters.in_force(name)
    route = store.rollouts.route(name)
    if route is None:
        raise NotFound(f"Nothing of {name!r} is live: there is nothing to stand in for.")
    asked = _open(store, name)
    why = reason or "; ".join(finding.title for _, finding in asked) or "asked for"
    detail = {"reason": why} | permitted.basis
    store.audit.append(me.name, "release.fallback", f"project:{name}", detail)
    release = let_stand_in(app, project, route.live, f"{why} (by {me.name})", by=me.name)
    for alert, _ in asked:
        close_alert(store, alert, me.name, f"{release.manifest.subject.ref} stands in")
    return release


def proposed(app: App, name: str) -> Finding | None:
    """What asks a person to let the fallback answer, if something does and one stands by."""
    asked = _open(app.store, name)
    return (
        asked[-1][1] if asked and ready(app.store, app.access.charters.in_force(name)) is not None else None
    )


def _open(store: Store, name: str) -> list[tuple[Alert, Finding]]:
    """Alerts that ask for the fallback of what is live, or of what it stands in for."""
    route = store.rollouts.route(name)
    if route is None:
        return []
    about = {route.live}
    if route.stands_in:
        about.add(store.rollouts.get(route.live).champion_id or "")
    findings = {
        one.id: one for one in store.findings.list(name) if one.kind == KIND and one.release_id in about
    }
    alerts = [alert for alert in store.findings.alerts(name) if alert.state == "open"]
    return [(alert, findings[alert.finding_id]) for alert in alerts if alert.finding_id in findings]


def _degraded(app: App, project: Project, live_id: str) -> Iterator[Cause]:
    """What has been found of its losses beyond the declared ratio, unless the fallback is worse still."""
    assert project.fallback is not None
    live, standing = app.store.releases.get(live_id), ready(app.store, project)
    for worse in worse_findings(app, live):
        if worse.kind != "performance" or worse.size < project.fallback.loss_ratio:
            continue
        evidence: dict[str, Any] = {"finding": worse.id}
        if standing is not None:
            held = held_against(app, live, standing)
            if held.low is not None and held.low > 0:
                continue
            evidence["held against"] = asdict(held)
        yield Cause(f"degraded {worse.id}", worse.title, worse.window, evidence, worse.size)
        return


def _finding(project: Project, live_id: str, cause: Cause, at: datetime) -> Finding:
    return Finding(
        id=derived_id("finding", project.name, KIND, cause.key),
        project=project.name,
        kind=KIND,
        release_id=live_id,
        title=f"cannot be trusted: {cause.title}",
        window=cause.window,
        evidence=cause.evidence,
        size=cause.size,
        at=at,
    )


class _Failures:
    """The recent failures of a project, from the record; what was read before is not read again."""

    def __init__(self, store: Store, project: str) -> None:
        self._store = store
        self._stream = f"{project}/failures"
        self._read: dict[str, int] = {}
        self._recent: dict[str, tuple[datetime, str]] = {}

    def count(self, release_id: str, since: datetime) -> int:
        """How many requests a release could not answer since then."""
        for segment in self._store.events.segments(self._stream):
            offset = self._read.get(segment.name, 0)
            while offset < segment.size_bytes:
                records, offset = self._store.events.read(self._stream, segment.name, offset, _AT_ONCE)
                failures = [decode_failure(record) for record in records]
                self._recent |= {one.id: (one.at, one.release_id) for one in failures if one.at >= since}
                if not records:
                    break
            # What was deleted from it meanwhile has moved its records: it is read anew.
            self._read[segment.name] = offset if offset == segment.size_bytes else 0
        self._recent = {one: seen for one, seen in self._recent.items() if seen[0] >= since}
        return sum(of == release_id for _, of in self._recent.values())
