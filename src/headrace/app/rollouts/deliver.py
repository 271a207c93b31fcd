"""The delivery of a release as a durable workflow: decision, canary, promotion or abort."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headrace.access.privacy.charters import settled
from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.compliance import approvals_needed, decides_itself
from headrace.app.composition import App
from headrace.app.durable import Durable
from headrace.app.flight import GATE, open_items, settle_flight
from headrace.core.errors import Conflict
from headrace.core.project import Project
from headrace.core.release import Approval, Outcome4, Release, Verdict
from headrace.monitoring.ingest import ingest
from headrace.monitoring.segments import Cut, cuts
from headrace.plugins.mlflow import ALIAS
from headrace.releases import delivery
from headrace.releases.delivery import SYSTEM
from headrace.releases.rollout import Stop
from headrace.releases.states import ReleaseEvent, overall
from headrace.store.documents import from_plain, to_plain

DECISION = "decision"
TICK = "tick"
_DAY_S = 86_400.0
_QUEUE_S = 5.0


class Deliveries:
    """Steps of :meth:`run`; each can be repeated without another effect."""

    def __init__(self, app: App, durable: Durable) -> None:
        self._app = app
        self._store = app.store
        self._durable = durable

    def run(self, release_id: str) -> str:
        """The workflow; returns the state in which the release ended."""
        step, receive = self._durable.step, self._durable.receive
        state = step("judge", self._judge, release_id)
        while state == "waiting":
            receive(DECISION, _DAY_S)
            state = step("decision", self._decision, release_id)
        if state in ("refused", "rejected", "standing_by"):
            return state
        while not step("begin", self._begin, release_id):
            receive(TICK, _QUEUE_S)
        rollout = step("start", self._start, release_id)
        while rollout == "canary":
            receive(TICK, self._project(release_id).rollout.interval_s)
            judged = step("look", self._look, release_id)
            rollout = step("apply", self._apply, release_id, judged)
        return step("finish", self._finish, release_id)

    def remind(self) -> None:
        """Tell deliveries again what was decided about them: whoever decided may have died before they could.

        A decision that has arrived before arrives no second time.
        """
        under_way = set(self._durable.unfinished("deliver"))
        for release in self._store.releases.list() if under_way else ():
            if release.state == "waiting" and f"deliver:{release.id}" in under_way:
                for approval in self._store.evidence.approvals(release.id):
                    send_decision(self._durable, approval)
                if not open_items(self._app, release):
                    send_ticked(self._durable, release)

    def _judge(self, release_id: str) -> str:
        release = self._store.releases.get(release_id)
        if release.state != "proposed":
            return release.state
        verdicts = self._store.evidence.verdicts(release_id)
        outcome = overall(verdicts)
        refused = self._refusal(release, verdicts, outcome)
        evidence = delivery.evidence_digest(self._store, release_id)
        detail = {"outcome": outcome, "digest": release.digest, "evidence": evidence}
        with self._store.transaction():
            self._note("release.judge", release_id, detail)
            if refused:
                return delivery.move(self._store, release_id, "gates_refused", refused).state
            release = delivery.move(self._store, release_id, "gates_passed")
            settle_flight(self._app, release)
            # An inconclusive gate is never decided by a machine.
            if outcome == "passed" and decides_itself(self._app, release):
                delivery.approve_by_policy(self._store, release, self._app.clock.now())
                return self._decision(release_id)
            return release.state

    def _refusal(self, release: Release, verdicts: Sequence[Verdict], outcome: Outcome4) -> str:
        """Why the release goes no further; empty if it does."""
        if outcome in ("failed", "error"):
            return "; ".join(f"{v.gate}: {v.reason}" for v in verdicts if v.outcome == outcome)
        try:
            self._app.signed.package(release)
        except Conflict as error:
            return str(error)
        return ""

    def _decision(self, release_id: str) -> str:
        release = self._store.releases.get(release_id)
        if release.state != "waiting":
            return release.state
        approvals = self._store.evidence.approvals(release_id)
        rejected = [approval for approval in approvals if approval.decision == "rejected"]
        if not rejected and len(approvals) < approvals_needed(self._app, release):
            return release.state
        if not rejected and settle_flight(self._app, release):
            return release.state  # nothing is deployed while an item is neither ticked nor waived
        event: ReleaseEvent = "reject" if rejected else "approve"
        why = "; ".join(f"{a.approver}: {a.comment}".rstrip(": ") for a in rejected or approvals)
        with self._store.transaction():
            decided = delivery.move(self._store, release_id, event, why)
            if event == "approve" and release.manifest.stands_in:
                decided = delivery.stand_by(self._store, release_id)
            return decided.state

    def _begin(self, release_id: str) -> bool:
        try:
            release = self._store.releases.get(release_id)
            delivery.begin(self._store, self._project(release_id), release, self._app.clock.now())
        except Conflict:
            return False
        return True

    def _start(self, release_id: str) -> str:
        with self._store.transaction():
            rollout = delivery.start(self._store, release_id, self._app.clock.now())
            if self._store.releases.get(release_id).state == "approved":  # the end of a test may have decided
                delivery.move(self._store, release_id, "start_rollout", rollout.reason)
        return rollout.state

    def _look(self, release_id: str) -> dict[str, Any]:
        project = self._project(release_id)
        ingest(
            project.name, self._store.events, self._store.tables, numeric=numeric_inputs(self._store, project)
        )
        judged = delivery.look(
            self._store,
            project,
            release_id,
            self._app.scorers.of_release,
            self._app.clock.now(),
            self._cuts(project, release_id),
        )
        plain: dict[str, Any] = to_plain(judged)
        return plain

    def _cuts(self, project: Project, release_id: str) -> list[Cut]:
        """The declared segments, cut as they are watched of the live release."""
        champion_id = self._store.rollouts.get(release_id).champion_id
        if champion_id is None or not project.monitors.segments:
            return []
        return cuts(project, self._app.scorers.baseline(champion_id))

    def _apply(self, release_id: str, judged: dict[str, Any]) -> str:
        return delivery.apply_look(self._store, self._project(release_id), from_plain(Verdict, judged)).state

    def _finish(self, release_id: str) -> str:
        release = delivery.finish(self._store, release_id)
        if release.state == "live":
            follow_live(self._app, release.project)
        return release.state

    def _project(self, release_id: str) -> Project:
        return rules_of(self._app, self._store.releases.get(release_id))

    def _note(self, action: str, release_id: str, detail: dict[str, Any]) -> None:
        self._store.audit.append(SYSTEM, action, f"release:{release_id}", detail)


def rules_of(app: App, release: Release) -> Project:
    """By which a release goes live: those that were approved with it, whatever is declared meanwhile."""
    return settled(app.access.charters.in_force(release.project), release.manifest.charter)


def send_decision(durable: Durable, approval: Approval) -> None:
    """Tell the delivery of a release that somebody has decided about it; once is enough."""
    key = f"{approval.release_id}:{approval.approver}"
    durable.send(f"deliver:{approval.release_id}", DECISION, approval.decision, key)


def send_ticked(durable: Durable, release: Release) -> None:
    """Tell the delivery of a release that its flight check is complete; once is enough."""
    durable.send(f"deliver:{release.id}", DECISION, "ticked", f"{release.id}:{GATE}")


def follow_live(app: App, project: str, *, by: str = SYSTEM) -> None:
    """Point the tracker's production alias at the version of the live release; the entry comes first."""
    route = app.store.rollouts.route(project)
    if route is None:
        return
    run_id = app.store.releases.get(route.live).manifest.run_id
    for model in app.store.models.list(project):
        if model.run_id == run_id and model.registry_version is not None:
            detail = {"alias": ALIAS, "version": model.registry_version, "release": route.live}
            app.store.audit.append(by, "alias.move", f"project:{project}", detail)
            app.tracker.set_live(project, model.registry_version)


def stop_rollout(app: App, release_id: str, by: str, at: datetime) -> None:
    """End a rollout on a person's word: the champion keeps the traffic from this moment."""
    delivery.apply(app.store, release_id, Stop(reason=f"stopped by {by}", at=at), by=by)
    delivery.finish(app.store, release_id, by=by)
