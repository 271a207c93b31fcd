"""The demonstration: the loop from raw flights to a retrained release, through the public doors only.

Nothing is planted: drift, decay and the effect of retraining are reported as they come out.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from headrace.app.composition import App, open_app
from headrace.app.credentials import hand_out
from headrace.app.demos.server import DemoReport, Line, Server, Tell, demo_settings, serve, stop
from headrace.app.gates.replay import Progress, Replay, replay_source
from headrace.app.operations import settle, start_build
from headrace.app.overviews import reading
from headrace.app.workflows import launch
from headrace.core.clock import SystemClock
from headrace.core.data import Run
from headrace.core.errors import Denied, InternalError, NotFound
from headrace.core.identity import Principal

VALIDATOR = "demo-validator"
TRAINED_UNTIL = datetime(2013, 5, 1, tzinfo=UTC)
_LABEL_DELAY_S = 7 * 86_400.0


class Demonstration:
    """Use as a context manager; on the way out the server is stopped with ``once``, or after an error."""

    def __init__(self, *, port: int, days: int, once: bool, tell: Tell) -> None:
        self._port = port
        self._once = once
        self._days = days
        self._tell = tell
        self._clock = SystemClock()
        self._settings = demo_settings()
        self._app: App | None = None
        self._server: Server | None = None
        self._report = DemoReport(home=self._settings.home)

    def __enter__(self) -> Demonstration:
        self._app = open_app(self._settings, self._clock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._app is not None:
            self._app.close()
        if self._server is not None and (error is not None or self._once):
            stop(self._server.process)

    def run(self) -> DemoReport:
        """The whole loop; see the module's description.

        Raises:
            NotFound: the example or its data (extra ``demo``) is not installed.
        """
        started_s = self._clock.monotonic_s()
        app = self._app
        if app is None:
            raise InternalError("A demonstration is used as a context manager.")
        author, validator = self._identities(app)
        release_id = self._build(app, author)
        self._server = serve(self._settings, self._port, self._clock, self._tell)
        self._report.server = self._server
        with httpx.Client(base_url=self._server.url, timeout=120.0, trust_env=False) as http:
            self._refused(app, http, author, release_id)
            self._approve(app, http, validator, release_id)
            progress = self._replay(app, http, author, validator)
        self._tell("replay", f"{progress.answered:,} flights answered", 1.0)
        self._summarise(app, author, progress, self._clock.monotonic_s() - started_s)
        return self._report

    def _identities(self, app: App) -> tuple[Principal, Principal]:
        author = app.me()
        if app.store.principals.find(VALIDATOR) is None:
            app.identities.add(VALIDATOR, ["validator", "viewer"], actor=author.name)
        return author, app.identities.resolve(VALIDATOR)

    def _build(self, app: App, author: Principal) -> str:
        steps = 0

        def on_step(name: str) -> None:
            nonlocal steps
            steps += 1
            self._tell("build and prove", name.replace("_", " "), min(steps / 16, 0.99))

        self._tell("build and prove", "reading flights", 0.0)
        with launch(app) as work:
            work.durable.on_step = on_step
            started = start_build(
                app, work, author, _example(), cause="first model: January to April", until=TRAINED_UNTIL
            )
            built = work.durable.result(started.build_id)
            if built["release_id"] is None:
                raise InternalError(f"The demo's first model was refused: {built['reason']}")
            release = settle(app, work, built["release_id"], leaving=("proposed",))
        self._tell("build and prove", f"release {release.id[:13]} waits for approval", 1.0)
        return release.id

    def _refused(self, app: App, http: httpx.Client, author: Principal, release_id: str) -> None:
        answer = self._call(app, http, author, f"releases/{release_id}/approve")
        if answer.status_code != 403:
            raise InternalError(f"The author's own approval was not refused: {answer.status_code}")
        self._report.lines.append(
            Line(
                step="approve",
                what=f"{author.name}, the author, is refused",
                evidence=f"HTTP 403: {answer.json().get('next', '')}",
            )
        )

    def _approve(self, app: App, http: httpx.Client, validator: Principal, release_id: str) -> None:
        answer = self._call(app, http, validator, f"releases/{release_id}/approve")
        if answer.status_code != 200:
            raise Denied(f"The validator could not approve {release_id}: {answer.text[:500]}")

    def _call(self, app: App, http: httpx.Client, who: Principal, path: str) -> httpx.Response:
        token = hand_out(app, who.name, who).text
        headers = {"authorization": f"Bearer {token}"}
        return http.post(f"/api/v1/{path}", headers=headers, json={"comment": "evidence read in the demo"})

    def _replay(self, app: App, http: httpx.Client, author: Principal, validator: Principal) -> Progress:
        def on_step(progress: Progress) -> None:
            for release_id in progress.waiting:
                self._approve(app, http, validator, release_id)
            seen = f"{progress.answered:,} flights, {len(progress.findings)} findings"
            self._tell("replay", f"{progress.moment:%d %b %Y}  {seen}", progress.share)

        plan = Replay(
            project="flight-delay",
            start=TRAINED_UNTIL,
            until=TRAINED_UNTIL + timedelta(days=self._days),
            label_delay_s=_LABEL_DELAY_S,
            url=self._server.url if self._server else "",
        )
        return replay_source(app, author, plan, on_step)

    def _summarise(self, app: App, author: Principal, progress: Progress, seconds: float) -> None:
        name = "flight-delay"
        releases = [reading.release_report(app, author, r.id) for r in reading.releases(app, author, name)]
        route = reading.route(app, author, name)
        counted = reading.predictions_count(app, author, name)
        findings = reading.findings(app, author, name)
        performance = reading.performance(app, author, name)
        self._report.summary = {
            "releases": [
                {
                    "id": r.release.id,
                    "digest": r.release.digest,
                    "subject": r.release.manifest.subject.ref,
                    "cause": r.release.manifest.cause,
                    "author": r.release.author,
                    "approver": r.approvals[0].approver if r.approvals else None,
                    "verdicts": [
                        {"gate": v.gate, "outcome": v.outcome, "reason": v.reason} for v in r.verdicts
                    ],
                    "state": r.release.state,
                }
                for r in reversed(releases)
            ],
            "predictions": {"answered": progress.requests, "logged": counted.requests, "rows": counted.rows},
            "labels_joined": sum(m.n_rows for m in performance),
            "findings": [
                {
                    "id": f.id,
                    "kind": f.kind,
                    "feature": f.feature,
                    "title": f.title,
                    "release": f.release_id,
                    "window": [w.isoformat() for w in f.window],
                    "size": f.size,
                }
                for f in findings
            ],
            "performance": [
                {
                    "window": [w.isoformat() for w in m.window] if m.window else None,
                    "release": m.release_id,
                    "metric": m.name,
                    "value": m.value,
                    "ci": m.interval,
                    "labels": m.n_rows,
                }
                for m in performance
            ],
            "live_release": None if route is None else route.live,
            "seconds": round(seconds, 1),
        }
        self._report.lines += _lines(self._report.summary, reading.runs(app, author, name), seconds)


def _lines(summary: dict[str, Any], runs: list[Run], seconds: float) -> list[Line]:
    """The closing table, in the order of the loop."""
    subjects = {release["id"]: release["subject"] for release in summary["releases"]}
    lines = [Line(step="train", what=_trained(run), evidence=f"run {run.id[:13]}") for run in reversed(runs)]
    lines += lines_of_releases(summary["releases"])
    lines += lines_of_findings(summary["findings"], subjects)
    for release_id, subject in subjects.items():
        windows = [m for m in summary["performance"] if m["release"] == release_id]
        n_labels = sum(m["labels"] for m in windows)
        if n_labels:
            loss = sum(m["value"] * m["labels"] for m in windows) / n_labels
            what = f"{subject}: log loss {loss:.4f} on what it answered"
            lines.append(Line(step="truth", what=what, evidence=f"{n_labels:,} late labels joined"))
    answered = summary["predictions"]
    what = f"{answered['answered']:,} requests answered, {answered['logged']:,} in the record"
    lines.append(Line(step="answer", what=what, evidence=f"{answered['rows']:,} flights"))
    live = subjects.get(summary["live_release"], "nothing")
    return [*lines, Line(step="done", what=f"{live} is live", evidence=f"{seconds:.0f} s")]


def lines_of_releases(releases: list[dict[str, Any]]) -> list[Line]:
    """What became of each release, by which gates and whose word."""
    lines = []
    for release in releases:
        outcomes = Counter(verdict["outcome"] for verdict in release["verdicts"])
        gates = ", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items()))
        what = f"{release['subject']} is {release['state'].replace('_', ' ')}: {release['cause']}"
        evidence = f"digest {release['digest'][:12]}, {gates}"
        if release["approver"] is not None:
            evidence += f", approved by {release['approver']}"
        lines.append(Line(step="release", what=what.partition(" (finding")[0], evidence=evidence))
    return lines


def _trained(run: Run) -> str:
    loss = run.metrics.get("log_loss")
    return (
        f"{run.variant}: {run.state}" if loss is None else f"{run.variant}: log loss {loss:.4f} on test rows"
    )


def lines_of_findings(findings: list[dict[str, Any]], subjects: dict[str, str]) -> list[Line]:
    """One line per window, release and kind: what moved most stands first."""
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for finding in findings:
        key = (finding["window"][1][:10], finding["kind"], finding["release"])
        grouped.setdefault(key, []).append(finding)
    lines = []
    for (day, kind, release), found in grouped.items():
        found.sort(key=lambda f: -f["size"])
        what = found[0]["title"]
        if len(found) > 1 and kind != "data_drift":
            what = f"{what}; and {len(found) - 1} more"
        elif len(found) > 1:
            shown = ", ".join(f"{f['feature']} {f['size']:.1f}" for f in found[:3])
            more = ", ..." if len(found) > 3 else ""
            what = f"{len(found)} inputs have shifted, by standard deviations: {shown}{more}"
        evidence = f"{kind.replace('_', ' ')} of {subjects.get(release, release)}"
        lines.append(Line(step="watch", what=f"{day}  {what}", evidence=evidence))
    return lines


def _example() -> Path:
    """The flights project: beside the package in a wheel, in ``examples`` in a checkout."""
    package = Path(str(resources.files("headrace")))
    for folder in (package / "examples" / "flight_delay", package.parents[1] / "examples" / "flight_delay"):
        if (folder / "headrace.yaml").is_file():
            return folder
    raise NotFound(
        "The example project flight_delay is not installed. Install headrace[demo] from the wheel."
    )
