"""What watching leaves behind: answers, windows, findings, alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.core.ids import derived_id, new_id
from headrace.core.project import Project
from headrace.core.record import Alert, Finding
from headrace.core.release import Measurement, Release
from headrace.monitoring.ingest import ingest
from headrace.store.records import encode_prediction
from headrace.testing.factories import make_prediction
from tests.web.making import AUTHOR, FEATURES, Cause

WEEK = timedelta(days=7)
FIRST = datetime(2026, 5, 7, tzinfo=UTC)
N_WINDOWS = 20


def find_drift(app: App, project: Project, release_id: str) -> Cause:
    """A shift in an input, and the retraining that followed."""
    feature = FEATURES[2]
    finding = _finding(app, project, release_id, "data_drift", week=8, size=0.52)
    title = f"input {feature!r} has shifted by 0.52 standard deviations from the training data"
    return _keep(app, replace(finding, title=title, feature=feature), action="review", state="closed")


def find_decay(app: App, project: Project, release_id: str) -> Cause:
    """A shift in the predictions that only warned, then a loss that asked for a retraining."""
    shifted = _finding(app, project, release_id, "prediction_drift", week=17, size=0.24)
    title = "predictions have shifted by 0.24 standard deviations from the training data"
    _keep(app, replace(shifted, title=title), action="warn", state="closed")
    worse = _finding(app, project, release_id, "performance", week=18, size=1.16)
    title = "log_loss is 1.16 times what it was on the test rows"
    return _keep(app, replace(worse, title=title), action="automatic", state="acting")


def _finding(app: App, project: Project, release_id: str, kind: str, *, week: int, size: float) -> Finding:
    start = FIRST + week * WEEK
    return Finding(
        id=derived_id("finding", project.name, kind, release_id),
        project=project.name,
        kind=kind,
        release_id=release_id,
        title="",
        window=(start, start + WEEK),
        evidence={
            "test": "kolmogorov-smirnov", "p_value": 3.2e-19, "level": 0.00083, "size": size,
            "n_reference": 104_233, "n_current": 6_841,
        },
        size=size,
        at=app.clock.now(),
    )  # fmt: skip


def _keep(
    app: App,
    finding: Finding,
    *,
    action: Literal["warn", "review", "automatic"],
    state: Literal["acting", "closed"],
) -> Cause:
    app.store.findings.add(finding)
    build_id = derived_id("build", finding.id)
    app.store.findings.save_alert(
        Alert(
            id=derived_id("alert", finding.id),
            project=finding.project,
            finding_id=finding.id,
            action=action,
            state=state,
            reason=finding.title,
            at=finding.at,
            event_time=finding.window[1],
            build_id=None if action == "warn" else build_id,
        )
    )
    return Cause(build_id, f"{finding.kind}: {finding.title} (finding {finding.id})")


def add_windows(app: App, project: Project, first: Release, second: Release) -> None:
    """Twenty weeks: summer shifts the temperature, and the loss grows twice."""
    random, measured = np.random.default_rng(7), list[Measurement]()
    for week in range(N_WINDOWS):
        release, age = (first, week) if week < 11 else (second, week - 11)
        start = FIRST + week * WEEK
        n_rows = int(6_500 + 400 * random.standard_normal())
        reference = release.manifest.evaluation["log_loss"]
        loss = reference * (0.99 + 0.022 * age + 0.012 * random.standard_normal())
        measured += [
            _measured(release, "window", start, float(n_rows), n_rows),
            _measured(
                release, "log_loss", start, loss, n_rows - 40,
                interval=(loss - 0.011, loss + 0.011), confidence=0.9, detail={"reference": reference},
            ),
        ]  # fmt: skip
        expected: float | None = reference * (1.0 + 0.008 * age)
        refused: str | None = None
        if week == N_WINDOWS - 1:
            expected, refused = None, "14 % of the rows have a value of 'temp' that training never saw"
        measured.append(
            _measured(
                release, "estimated_loss", start, expected, n_rows,
                interval=None if expected is None else (expected - 0.016, expected + 0.016), confidence=0.9,
                detail={"metric": "log_loss", "reference": reference, "refused": refused},
            )
        )  # fmt: skip
        for index, feature in enumerate((*FEATURES, "prediction")):
            slope = {2: 0.066, 6: 0.024, 11: 0.026}.get(index, 0.003)
            size = abs(slope * age + 0.012 * random.random())
            kind = "prediction_drift" if feature == "prediction" else "data_drift"
            detail = {
                "kind": kind,
                "test": "ks",
                "p_value": 0.2 / (1 + age) ** 4,
                "psi": size**2,
                "ks": size / 4,
                "js": size / 8,
            }
            measured.append(_measured(release, "shift", start, size, n_rows, feature=feature, detail=detail))
    app.store.evidence.measure([*measured, *(_trend(measured, release) for release in (first, second))])
    predictions = [
        make_prediction(
            id=new_id(app.clock.now()), project=project.name, release_id=second.id, principal=AUTHOR,
            event_time=FIRST + N_WINDOWS * WEEK, columns={"distance": [733.0 + i, 1400.0]},
            outputs={"predict": ["no", "yes"], "probability": [0.2, 0.7]},
        )
        for i in range(1_284)
    ]  # fmt: skip
    _answer(app, project, [encode_prediction(one) for one in predictions])


def _trend(measured: Sequence[Measurement], release: Release) -> Measurement:
    """Where the loss of a release is going, as the monitor would have it: it finds nothing new to measure."""
    windows = [m for m in measured if m.name == "log_loss" and m.release_id == release.id][-12:]
    first, last = windows[0].window or (FIRST, FIRST), windows[-1].window or (FIRST, FIRST)
    slope = ((windows[-1].value or 0.0) - (windows[0].value or 0.0)) / (len(windows) - 1)
    key = f"log_loss:{windows[-1].id}"
    return Measurement(
        id=derived_id(release.project, "trend", release.id, first[0].isoformat(), key),
        project=release.project, name="trend", value=slope, n_rows=sum(m.n_rows for m in windows),
        at=release.created_at, release_id=release.id, feature="log_loss", window=(first[0], last[1]),
        interval=(0.9 * slope, 1.1 * slope), confidence=0.9,
        detail={"current": windows[-1].value, "windows": len(windows)},
    )  # fmt: skip


def add_hours(app: App, project: Project, release: Release) -> None:
    """Fifteen days of calls by two consumers, of whom one stopped some hours ago; and two segments."""
    random, until = np.random.default_rng(7), app.clock.now().replace(minute=0, second=0, microsecond=0)
    n_hours = 15 * 24
    hours = np.arange(n_hours)
    usual = 400 * (1 + 0.6 * np.sin(hours / 24 * 2 * np.pi)) * np.where(hours // 24 % 7 < 5, 1.0, 0.4)
    desk, board = random.poisson(usual), random.poisson(0.5 * usual)
    board[-9:] = 0
    total, measured = desk + board, list[Measurement]()
    for hour in range(n_hours):
        calls = {"check-in": int(desk[hour]), "departure-board": int(board[hour])}
        start = until - timedelta(hours=n_hours - hour)
        measured.append(
            Measurement(
                id=derived_id(project.name, "calls", start.isoformat()), project=project.name, name="calls",
                value=float(total[hour]), n_rows=2 * int(total[hour]), at=start,
                window=(start, start + timedelta(hours=1)),
                detail={
                    "day_before": int(total[hour - 24]) if hour >= 24 else None,
                    "week_before": int(total[hour - 168]) if hour >= 168 else None,
                    "consumers": {name: {"calls": n, "predictions": 2 * n} for name, n in calls.items() if n},
                    "deviating": [""] if hour >= n_hours - 9 else [],
                },
            )
        )  # fmt: skip
    for week in range(11, N_WINDOWS):
        start, caution = FIRST + week * WEEK, "labels have come for 90% of the answers with origin 'JFK'"
        for origin, base in (("JFK", 0.42), ("LGA", 0.55), ("EWR", 0.47)):
            loss = base + 0.004 * (week - 11) * (origin == "LGA") + 0.01 * random.standard_normal()
            detail = {"metric": "log_loss", "coverage": 0.9 if origin == "JFK" else 0.4}
            one = _measured(
                release, "segment", start, loss, 2_000, feature="origin", segment=origin,
                interval=(loss - 0.02, loss + 0.02), confidence=0.9, detail=detail,
            )  # fmt: skip
            measured.append(replace(one, id=f"{one.id}-{origin}"))
        measured.append(_measured(release, "segments", start, 6_000.0, 6_000, detail={"caution": [caution]}))
    app.store.evidence.measure(measured)


def _measured(
    release: Release,
    name: str,
    start: datetime,
    value: float | None,
    n_rows: int,
    **more: Any,
) -> Measurement:
    return Measurement(
        id=derived_id(release.project, name, str(more.get("feature")), start.isoformat()),
        project=release.project,
        name=name,
        value=value,
        n_rows=n_rows,
        at=release.created_at,
        release_id=release.id,
        window=(start, start + WEEK),
        **more,
    )


def _answer(app: App, project: Project, records: Sequence[bytes]) -> None:
    app.store.events.append(f"{project.name}/predictions", list(records))
    ingest(project.name, app.store.events, app.store.tables, numeric=numeric_inputs(app.store, project))


def brought(now: datetime) -> list[Measurement]:
    """What the answers of four releases brought, two windows each, one after the other."""
    detail: dict[str, Any] = {"measure": "per_answer", "event": "paid", "unit": "EUR"}
    detail |= {"total": 1234.5, "n_covered": 3, "n_answers": 9}
    return [
        Measurement(
            id=f"{day}-{action}",
            project="flight-delay",
            name="kpi",
            value=17.25 + 2 * day,
            n_rows=9,
            at=now,
            release_id=f"r-{day // 2}",
            window=(now + timedelta(days=day), now + timedelta(days=day + 1)),
            feature="revenue_" + "x" * 60,
            segment=action,
            interval=(10.0, 20.0),
            confidence=0.9,
            detail=detail,
        )
        for day in range(8)
        for action in (None, "<b>granted</b>")
    ]
