"""One round of watching as a durable workflow, and what follows from its findings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from headrace.app.alerting.alerts import SYSTEM, close_alert, raise_on_findings
from headrace.app.alerting.cases import lapse
from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.build import BuildRequest
from headrace.app.compliance import watch_compliance
from headrace.app.composition import App
from headrace.app.data.histories import tell_truth
from headrace.app.durable import Durable
from headrace.app.learning import due
from headrace.app.overviews.reviews import watch_review
from headrace.app.overviews.service_levels import watch_availability
from headrace.app.rollouts.fallbacks import missing
from headrace.app.rollouts.falling_back import FallingBack
from headrace.app.rollouts.recommending import keep_recommendation
from headrace.checks.packs import Measured, Scored
from headrace.core.errors import Conflict
from headrace.core.ids import derived_id, new_id
from headrace.core.project import Project
from headrace.monitoring.ingest import feedback_table, ingest, outcomes_table, predictions_table
from headrace.monitoring.joining import count_labels
from headrace.monitoring.monitors import MEASURERS, MONITORS, ignored, n_sharing
from headrace.monitoring.places import Place
from headrace.monitoring.triggers import Standing, answered, next_retraining, standing_findings
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import watermark
from headrace.store.documents import to_plain
from headrace.training.lock import code_digest
from headrace.training.measuring import measure

_ALL = MONITORS | MEASURERS
_PATIENCE_S, _POLL_S, _TRIES = 30.0, 0.1, 3
_IN_FLIGHT = ("proposed", "waiting", "approved", "rolling_out")


class Watching:
    """Steps of :meth:`run`; each can be repeated without another effect."""

    def __init__(self, app: App, durable: Durable) -> None:
        self._app = app
        self._store = app.store
        self._durable = durable
        self._seen: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._looked: dict[tuple[str, str], tuple[Project, dict[Place, str]]] = {}
        self.falling_back = FallingBack(app)

    def run(self, name: str) -> dict[str, Any]:
        """The workflow: ingest, measure, conclude, react. Returns counts and the build it started."""
        step = self._durable.step
        ingested = step("ingest", self._ingest, name)
        findings = [found for monitor in _ALL for found in step(monitor, self._monitor, name, monitor)]
        findings += step("availability", self._availability, name)
        findings += step("standing", self._standing, name)
        step("compliance", self._compliance, name)
        findings += step("review", self._review, name)
        busy = any(build.startswith(f"build:{name}:") for build in self._durable.unfinished("build"))
        request = step("react", self._react_to_all, name, busy)
        if request is not None:
            self._durable.child("build", request["build_id"], request)
        step("recommend", self._recommend, name)
        return {
            "ingested": ingested,
            "findings": findings,
            "build": None if request is None else request["build_id"],
        }

    def begin(self, name: str) -> str | None:
        """Start a round, unless one is under way in any process; None then."""
        with self._store.alone("watch", name):
            return None if self._durable.unfinished("watch", f"watch:{name}:") else self.start(name)

    def run_next(self, name: str) -> dict[str, Any]:
        """Start a round, after the one that is under way if there is one, and wait for what it returns.

        Two at once would answer the same alerts. One that does not end is not waited for any longer than
        half a minute: its process may be gone.
        """
        deadline_s = self._app.clock.monotonic_s() + _PATIENCE_S
        begun = self.begin(name)
        while begun is None and self._app.clock.monotonic_s() < deadline_s:
            self._app.clock.sleep(_POLL_S)
            begun = self.begin(name)
        result: dict[str, Any] = self._durable.result(begun or self.start(name))
        return result

    def start(self, name: str) -> str:
        """Start a round now; returns its id."""
        workflow_id = f"watch:{name}:{new_id(self._app.clock.now())}"
        self._durable.start("watch", workflow_id, name)
        return workflow_id

    def _ingest(self, name: str) -> int:
        project = self._store.projects.get(name)
        numeric = numeric_inputs(self._store, project)
        added = ingest(name, self._store.events, self._store.tables, numeric=numeric)
        tell_truth(self._app, project)
        return added

    def _monitor(self, name: str, monitor: str) -> list[str]:
        """A measurer looks only if something has come since this process last kept what it measured; others,
        of what comes after the answers, only at windows of which something has."""
        project = self._app.access.charters.in_force(name)
        of = predictions_table(name), outcomes_table(name), feedback_table(name)
        seen = project, *(self._store.tables.version(table) for table in of)
        if monitor in MEASURERS and self._seen.get((name, monitor)) == seen:
            return []
        before, looked = self._looked.get((name, monitor), (None, {}))
        watch = Watch(
            project=project,
            tables=self._store.tables,
            evidence=self._store.evidence,
            baseline_of=self._app.scorers.baseline,
            known=self._store.findings.list(name),
            now=self._app.clock.now(),
            measure=partial(self._measure, name),
            n_monitors=n_sharing(project),
            periods=self._store.periods.list(subject=name, state="named"),
            before=looked if before == project else {},
        )
        new = [] if monitor in ignored(project) else self._keep(_ALL[monitor](watch))
        self._seen[name, monitor], self._looked[name, monitor] = seen, (project, watch.looked)
        return new

    def _review(self, name: str) -> list[str]:
        return self._keep(watch_review(self._app, name))

    def _availability(self, name: str) -> list[str]:
        return self._keep(watch_availability(self._app, name))

    def _measure(self, name: str, release_id: str, parts: Sequence[Scored]) -> list[dict[str, Measured]]:
        """By the metrics that the live release declares, in the code that this one was approved with."""
        release = self._store.releases.get(release_id)
        scratch = self._app.settings.home / "scratch" / f"metrics-{release_id}"
        project = self._app.access.charters.in_force(name)
        return measure(self._store.artifacts, project, release.manifest.code, parts, scratch)

    def _recommend(self, name: str) -> None:
        keep_recommendation(self._app, name)

    def _compliance(self, name: str) -> str | None:
        return watch_compliance(self._app, name)

    def _standing(self, name: str) -> list[str]:
        standing = self._stand(name)
        if standing is None:
            return []
        project, now = self._app.access.charters.in_force(name), self._app.clock.now()
        return self._keep(Round([], standing_findings(project, standing, now)))

    def _stand(self, name: str) -> Standing | None:
        """What is known about the live release now; None while nothing is live or answered."""
        route, moment = self._store.rollouts.route(name), watermark(name, self._store.tables)
        if route is None or moment is None:
            return None
        release = self._store.releases.get(route.live)
        baseline, run = self._app.scorers.baseline(route.live), self._store.runs.get(release.manifest.run_id)
        made_at = release.created_at if run.finished_at is None else run.finished_at
        present = code_digest(Path(self._store.projects.path(name)))
        return Standing(
            release_id=route.live,
            trained_until=baseline.trained_until,
            n_new_labels=count_labels(name, self._store.tables, since=made_at),
            code_changed=present if present not in (None, release.manifest.code.digest) else None,
            event_time=moment,
            stands_in_for=self._store.rollouts.get(route.live).champion_id if route.stands_in else None,
        )

    def _keep(self, found: Round) -> list[str]:
        """Findings before measurements: a killed round finds the window unmeasured and says it again."""
        new = [finding.id for finding in found.findings if self._store.findings.add(finding)]
        self._store.evidence.measure(found.measurements)
        return new

    def _react_to_all(self, name: str, busy: bool) -> dict[str, Any] | None:
        """What a person changes in the same moment ends no round: what there is then is looked at anew."""
        for _ in range(_TRIES - 1):
            with suppress(Conflict):
                return self._react(name, busy)
        return self._react(name, busy)

    def _react(self, name: str, busy: bool) -> dict[str, Any] | None:
        """Raise alerts, and ask for at most one retraining; the alert names it before it starts."""
        raise_on_findings(self._app, name)
        self._give_up_failed(name)
        self.falling_back.look(name)
        project, standing = self._app.access.charters.in_force(name), self._stand(name)
        asked = self._asked(project, missing(self._store, project), busy)
        if asked is not None:
            return asked
        if standing is None:
            return None
        self._close_stale(name)
        asked = self._asked(project, due(self._app, project), busy or self._in_flight(name))
        if asked is not None:
            return asked
        findings = {finding.id: finding for finding in self._store.findings.list(name)}
        for alert in answered(project, self._store.findings.alerts(name), findings):
            close_alert(self._store, alert, SYSTEM, f"retraining {alert.build_id} has answered it")
        chosen = next_retraining(
            project,
            self._store.findings.alerts(name),
            findings,
            standing=standing,
            in_flight=busy or self._in_flight(name),
        )
        if chosen.alert is None:
            return None
        finding = findings[chosen.alert.finding_id]
        build_id = derived_id("build", chosen.alert.id)
        request = BuildRequest(
            build_id=build_id,
            folder=self._store.projects.path(name),
            project=name,
            author=f"trigger:{finding.kind}",
            cause=f"{finding.kind}: {finding.title} (finding {finding.id})",
            until=None,
            approval="manual" if chosen.alert.action == "review" else None,
            with_production=True,
        )
        detail = {"cause": request.cause, "build": build_id, "alert": chosen.alert.id}
        with self._store.transaction():
            begun = replace(chosen.alert, state="acting", build_id=build_id, event_time=standing.event_time)
            self._store.findings.save_alert(begun)
            self._store.audit.append(SYSTEM, "build.start", f"project:{name}", detail)
        plain: dict[str, Any] = to_plain(request)
        return plain

    def _asked(self, project: Project, asked: dict[str, Any] | None, busy: bool) -> dict[str, Any] | None:
        """Ask for a build that no alert asks for, once: for a fallback, or what learns online."""
        if asked is None or busy or self._durable.status(asked["build_id"]) != "absent":
            return None
        detail = {"cause": asked["cause"], "build": asked["build_id"]}
        self._store.audit.append(asked["author"], "build.start", f"project:{project.name}", detail)
        plain: dict[str, Any] = to_plain(BuildRequest(**asked))
        return plain

    def _close_stale(self, name: str) -> None:
        """Alerts about releases that no longer answer ask for nothing any more."""
        route = self._store.rollouts.route(name)
        answering = set() if route is None else set(route.releases)
        if route is not None and route.stands_in:
            answering.add(self._store.rollouts.get(route.live).champion_id or "")
        about = {finding.id: finding.release_id for finding in self._store.findings.list(name)}
        for alert in self._store.findings.alerts(name):
            if alert.state == "open" and about[alert.finding_id] not in answering:
                close_alert(self._store, alert, SYSTEM, "its release no longer answers")
        lapse(self._app, name, answering)

    def _in_flight(self, name: str) -> bool:
        if any(release.state in _IN_FLIGHT for release in self._store.releases.list(name)):
            return True
        return any(alert.state == "acting" for alert in self._store.findings.alerts(name))

    def _give_up_failed(self, name: str) -> None:
        """A build that broke down has not closed its alert: it must not block every retraining to come."""
        for alert in self._store.findings.alerts(name):
            if alert.state == "acting" and self._durable.status(alert.build_id or "") == "failed":
                close_alert(self._store, alert, SYSTEM, "its build broke down")
