"""Releases as a build and a rollout leave them behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from headrace.app.composition import App
from headrace.checks.profiles import Profile
from headrace.core.canonical import digest_of
from headrace.core.ids import derived_id
from headrace.core.project import Project
from headrace.core.release import Approval, Check, Outcome4, Release, Subject, Verdict
from headrace.data.encoding import Encoding
from headrace.monitoring.baseline import make_baseline
from headrace.releases import delivery
from headrace.releases.gates import flight_gate
from headrace.releases.rollout import Look
from headrace.testing.factories import make_manifest, make_project, make_release, make_run, make_snapshot
from headrace.training.baselines import ColumnModel
from headrace.training.convert import to_onnx
from headrace.training.package import PackageInfo, build_package

AUTHOR, VALIDATOR = "ada", "grace"
FEATURES = (
    "sched_dep_hour", "distance", "temperature_at_origin_one_hour_before_departure", "wind_speed",
    "visibility", "precipitation", "pressure", "carrier", "origin", "dest", "day_of_week",
)  # fmt: skip


class Cause(NamedTuple):
    """Which build made a release, and why."""

    build_id: str
    text: str


def add_release(
    app: App,
    project: Project,
    version: int,
    cause: Cause,
    *,
    at: datetime,
    loss: float,
    parent: str | None = None,
    n_estimators: int = 400,
    answers_with: int = 0,
) -> Release:
    """A proposed release with its run and snapshot."""
    build_id = cause.build_id or f"build:{project.name}:{version}"
    metric = project.gates.model.metric
    package, baseline = model_bytes(answers_with)
    snapshot = make_snapshot(
        id=derived_id("snapshot", project.name, str(version)),
        project=project.name,
        digest=digest_of([project.name, version]),
        n_rows=104_233 + 9_000 * version,
    )
    app.store.snapshots.add(snapshot)
    run = make_run(
        id=derived_id("run", project.name, str(version)),
        build_id=build_id,
        project=project.name,
        variant="lightgbm",
        cause=cause.text,
        author=AUTHOR,
        snapshot_id=snapshot.id,
        metrics={metric: loss},
        fingerprint=digest_of([project.name, version, "fingerprint"]),
    )
    app.store.runs.save(run)
    manifest = make_manifest(
        project=project.name,
        subject=Subject(
            ref=f"model:{project.name}@{version}",
            package=app.store.artifacts.put(package, "application/zip"),
        ),
        run_id=run.id,
        commit="9f3c2b7d1e4a5f60718293a4b5c6d7e8f9012345",
        snapshots=({"id": snapshot.id, "digest": snapshot.digest, "raw": snapshot.raw.digest},),
        features=tuple(column.name for column in project.data.columns),
        params={"variant": "lightgbm", "n_estimators": n_estimators, "learning_rate": 0.05},
        evaluation=_evaluation(metric, loss),
        baseline=app.store.artifacts.put(baseline, "application/json"),
        checks=(Check(name="model", measure=metric, limit={"metric": metric, "margin": 0.02}),),
        owner=project.owner.name,
        contact=project.owner.contact,
        kpi=project.value.kpi,
        cause=cause.text,
        parent=parent,
        risk=project.risk,
        author=AUTHOR,
    )
    release_id = derived_id("release", build_id)
    release = make_release(manifest=manifest, id=release_id, state="proposed", created_at=at)
    return app.store.releases.add(replace(release, signature=app.access.signatures.sign(release)))


def _evaluation(metric: str, loss: float) -> dict[str, float]:
    if metric != "log_loss":
        return {metric: loss, "rmse": loss * 1.4, "r2": 0.91}
    return {
        metric: loss, "brier": loss * 0.33, "auc": 1.12 - loss, "error_rate": loss * 0.46,
        "precision": 0.61, "recall": 0.34,
    }  # fmt: skip


def add_verdicts(
    app: App,
    project: Project,
    release: Release,
    *,
    against: Release | None = None,
    comparison: Outcome4 = "passed",
) -> None:
    at, metric = release.created_at, project.gates.model.metric
    loss = release.manifest.evaluation[metric]
    columns = {
        name: {"nulls": 12 * i, "distinct": 20 + 91 * i, "minimum": -12.5 * i, "maximum": 401.25 * i}
        for i, name in enumerate(FEATURES)
    }
    found = [
        _verdict(
            release.id, "data", "passed", "104,233 rows, enough in each of 3 segments",
            {"n_rows": 104_233, "n_duplicates": 0, "target_share": 0.214, "columns": columns,
             "segments": {"EWR": 37_011, "JFK": 35_204, "LGA": 32_018}}, at,
        ),
        _verdict(
            release.id, "model", "passed", f"{metric} {loss:.4g} is within 0.62",
            {"metric": metric, "value": loss, "limit": 0.62}, at,
        ),
        _verdict(
            release.id, "baseline", "passed", f"{metric} against variant 'dummy': better by at least 0.041",
            {"metric": metric, "against": "variant 'dummy'", "difference": -0.0453,
             "interval": [-0.0496, -0.041], "confidence": 0.95, "n_rows": 31_270}, at,
        ),
        _champion(release, against, metric, comparison, at),
        _verdict(
            release.id, "package", "passed", "31,312 rows differ by at most 2.4e-07 of the outputs' spread",
            {"max_difference": 2.4e-07, "tolerance": 1e-3, "n_rows": 31_312, "worst_row": 30_118}, at,
        ),
        flight_gate(release.id, project, at),
    ]  # fmt: skip
    for one in found:
        app.store.evidence.add_verdict(one)


def _verdict(
    subject_id: str, gate: str, outcome: Outcome4, reason: str, evidence: dict[str, Any], at: datetime
) -> Verdict:
    return Verdict(
        id=derived_id(subject_id, gate),
        subject_id=subject_id,
        gate=gate,
        outcome=outcome,
        reason=reason,
        evidence=evidence,
        at=at,
    )


def _champion(
    release: Release, against: Release | None, metric: str, outcome: Outcome4, at: datetime
) -> Verdict:
    if against is None:
        return _verdict(release.id, "champion", "passed", "nothing is live yet", {}, at)
    name = against.manifest.subject.ref
    reason = f"{metric} against {name}: not worse by more than the margin"
    if outcome == "inconclusive":
        reason = f"{metric} against {name}: may be worse by up to 0.0121, more than the 0.0088 allowed"
    evidence = {
        "metric": metric, "against": name, "against_loss": against.manifest.evaluation[metric],
        "difference": -0.0041, "interval": [-0.0203, 0.0121 if outcome == "inconclusive" else 0.0018],
        "confidence": 0.95, "n_rows": 8_212, "allowed": 0.0088,
    }  # fmt: skip
    return _verdict(release.id, "champion", outcome, reason, evidence, at)


def decide(app: App, release: Release, at: datetime, comment: str) -> None:
    delivery.move(app.store, release.id, "gates_passed")
    app.store.evidence.approve(
        Approval(
            id=derived_id("approval", release.id),
            release_id=release.id,
            digest=release.digest,
            decision="approved",
            author=release.author,
            approver=VALIDATOR,
            at=at,
            comment=comment,
        )
    )
    delivery.move(app.store, release.id, "approve", VALIDATOR)


def go_live(app: App, project: Project, release: Release, at: datetime) -> None:
    decide(app, release, at, "Evidence read; the intervals are convincing.")
    rollout = begin(app, project, release, at)
    for number in range(2 if rollout == "canary" else 0):
        look(app, release, "passed", "61 answers, 0 failed", at + timedelta(hours=3 * number + 3))
    delivery.finish(app.store, release.id)


def begin(app: App, project: Project, release: Release, at: datetime) -> str:
    delivery.begin(app.store, project, release, at)
    state = delivery.start(app.store, release.id, at).state
    delivery.move(app.store, release.id, "start_rollout")
    return state


def look(app: App, release: Release, outcome: Outcome4, reason: str, at: datetime) -> None:
    rollout = app.store.rollouts.get(release.id)
    evidence = {
        "step": rollout.step, "share_percent": rollout.steps[rollout.step], "answered": 61, "failed": 0,
        "n_labels": 412, "difference": [0.0312, 0.071], "champion_loss": 0.4381, "margin": 0.02,
    }  # fmt: skip
    app.store.evidence.add_verdict(
        _verdict(release.id, f"canary look {rollout.looks + 1}", outcome, reason, evidence, at)
    )
    delivery.apply(app.store, release.id, Look(outcome=outcome, reason=reason, at=at))


@cache
def model_bytes(column: int = 0) -> tuple[bytes, bytes]:
    """Package and baseline of a model of cars that answers with the mileage, or with the model's code."""
    specs = make_project().data.columns
    random = np.random.default_rng(3)
    columns: dict[str, Any] = {
        "mileage": random.uniform(1_000, 90_000, 400),
        "model": np.array(["a3", "a4", "q5", "tt"] * 100, dtype=object),
    }
    encoding = Encoding.fit(columns, specs)
    X = encoding.encode(columns)
    model = ColumnModel(column).fit(X, columns["mileage"])
    info = PackageInfo(project="cars", variant="linear", task="regression", target="price")
    package = build_package(info, encoding, to_onnx(model, n_features=2, task="regression"))
    baseline = make_baseline(
        Profile.fit(columns, specs), columns["mileage"], np.full(400, 1_200.0), "mae", trained_until=None
    )
    return package, baseline.to_bytes()
