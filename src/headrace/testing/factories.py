"""Valid core records with as little typing as possible: name what matters to the test, the rest is filled in.

Ids are new each time; times stand at the start of :class:`~headrace.testing.clock.FakeClock`.

>>> make_run(variant="linear", state="running").metrics
{}
>>> release = make_release(author="ada")
>>> release.digest == digest_of(release.manifest)
True
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from headrace.access.keys import Keys
from headrace.access.revocations import Revocations
from headrace.access.tokens import Tokens
from headrace.core.alerts import Link, Message
from headrace.core.canonical import digest_bytes, digest_of
from headrace.core.data import Artifact, ModelVersion, Run, Snapshot
from headrace.core.identity import Credential, Principal
from headrace.core.ids import new_id
from headrace.core.ports import Clock
from headrace.core.project import (
    Column,
    DataGate,
    DataSpec,
    Gates,
    Governance,
    ModelGate,
    Owner,
    PrivacySpec,
    Project,
    Value,
    Variant,
)
from headrace.core.record import Alert, Failure, Feedback, Finding, Outcome, Prediction, Refusal
from headrace.core.release import (
    Approval,
    Check,
    Manifest,
    Measurement,
    Release,
    Rollout,
    Route,
    Subject,
    Verdict,
)
from headrace.core.settings import Settings, read_settings
from headrace.testing.clock import START
from headrace.testing.memory import MemoryEpoch, MemoryRecords

PROJECT = "cars"
AUTHOR = "ada"
VALIDATOR = "grace"


def make_settings(home: Path, *, database_url: str | None = None, user: str = AUTHOR) -> Settings:
    """Settings for a home of the test's own, untouched by the environment."""
    environment = {"HEADRACE_HOME": str(home), "HEADRACE_USER": user}
    if database_url is not None:
        environment["HEADRACE_DATABASE_URL"] = database_url
    return read_settings(environment)


def make_artifact(data: bytes = b"content", media_type: str = "application/octet-stream") -> Artifact:
    """The name that ``data`` would be kept under."""
    return Artifact(digest=digest_bytes(data), size_bytes=len(data), media_type=media_type)


def make_project(**changes: Any) -> Project:
    """A regression project with two inputs."""
    columns = (Column(name="mileage", role="numeric"), Column(name="model", role="categorical"))
    project = Project(
        name=PROJECT,
        task="regression",
        owner=Owner(name="Ada", contact="ada@example.org"),
        value=Value(hypothesis="Good prices sell cars sooner.", kpi="days on the lot"),
        data=DataSpec(
            source="cars.csv", target="price", columns=columns, documentation="Cars that were sold."
        ),
        gates=Gates(data=DataGate(), model=ModelGate(metric="mae")),
        variants=(Variant(name="linear", trainer="linear", params={"alpha": 1.0}),),
        governance=make_governance(),
        privacy=PrivacySpec(basis="not_personal"),
    )
    return replace(project, **changes)


def make_governance(**changes: Any) -> Governance:
    """All questions answered; a low risk."""
    governance = Governance(
        affected="people who sell a car",
        harms="a price that is too low loses them money, whoever they are",
        fairness="no protected attribute: only cars are described",
        security="a dealer could probe prices; requests need an identity",
        automation="recommends",
        impact="minor",
        scale="few",
        reversible="at_once",
        personal_data="none",
    )
    return replace(governance, **changes)


def make_snapshot(**changes: Any) -> Snapshot:
    """A snapshot of three rows."""
    snapshot = Snapshot(
        id=new_id(START),
        project=PROJECT,
        raw=make_artifact(b"mileage,price\n1,2\n3,4\n5,6\n", "text/csv"),
        table="cars/snapshots",
        table_version=0,
        digest=digest_bytes(b"rows"),
        n_rows=3,
        columns={"mileage": "number", "price": "number"},
        source="cars.csv",
        created_at=START,
    )
    return replace(snapshot, **changes)


def make_run(**changes: Any) -> Run:
    """A finished run; ``state="running"`` gives one without results."""
    run = Run(
        id=new_id(START),
        build_id="build-1",
        project=PROJECT,
        variant="linear",
        cause="manual",
        author=AUTHOR,
        state="finished",
        fingerprint=digest_bytes(b"fingerprint"),
        snapshot_id="snapshot-1",
        code=make_artifact(b"code", "application/zip"),
        environment=make_artifact(b"environment", "text/plain"),
        params={"alpha": 1.0},
        seed=0,
        started_at=START,
        finished_at=START + timedelta(seconds=5),
        package=make_artifact(b"package", "application/zip"),
        outputs={"test_predictions": make_artifact(b"predictions")},
        metrics={"mae": 1200.5},
        timings_s={"train": 2.5},
    )
    if changes.get("state") == "running":
        run = replace(run, finished_at=None, package=None, outputs={}, metrics={}, timings_s={})
    if changes.get("state") == "failed":
        run = replace(run, package=None, outputs={}, metrics={}, error="project.py:3 in linear: KeyError")
    return replace(run, **changes)


def make_model(**changes: Any) -> ModelVersion:
    """A model version that has no number yet."""
    model = ModelVersion(
        project=PROJECT,
        version=0,
        run_id=new_id(START),
        package=make_artifact(b"package"),
        registered_at=START,
    )
    return replace(model, **changes)


def make_manifest(**changes: Any) -> Manifest:
    """The manifest of a first release."""
    manifest = Manifest(
        project=PROJECT,
        subject=Subject(ref="model:cars@1", package=make_artifact(b"package")),
        run_id="run-1",
        code=make_artifact(b"code", "application/zip"),
        commit=None,
        environment=make_artifact(b"environment", "text/plain"),
        snapshots=({"id": "snapshot-1", "digest": digest_bytes(b"rows")},),
        features=("mileage", "model"),
        params={"alpha": 1.0},
        seed=0,
        evaluation={"mae": 1200.5},
        baseline=make_artifact(b"baseline", "application/json"),
        checks=(Check(name="model", measure="mae", limit={"margin": 0.02}),),
        guardrails=(),
        owner="Ada",
        contact="ada@example.org",
        risk="medium",
        kpi="days on the lot",
        approval="manual",
        cause="manual",
        parent=None,
        author=AUTHOR,
    )
    return replace(manifest, **changes)


def make_release(
    *, project: str = PROJECT, author: str = AUTHOR, manifest: Manifest | None = None, **changes: Any
) -> Release:
    """A release that waits for a decision; its digest and author are its manifest's."""
    manifest = manifest or make_manifest(project=project, author=author)
    release = Release(
        id=new_id(START),
        project=manifest.project,
        digest=digest_of(manifest),
        manifest=manifest,
        state="waiting",
        author=manifest.author,
        created_at=START,
    )
    return replace(release, **changes)


def make_verdict(**changes: Any) -> Verdict:
    """A model gate that passed."""
    verdict = Verdict(
        id=new_id(START),
        subject_id="release-1",
        gate="model",
        outcome="passed",
        reason="not worse than the champion",
        evidence={"interval": [-0.5, 0.25], "n": 120},
        at=START,
    )
    return replace(verdict, **changes)


def make_approval(release: Release, **changes: Any) -> Approval:
    """A validator's approval of ``release``."""
    approval = Approval(
        id=new_id(START),
        release_id=release.id,
        digest=release.digest,
        decision="approved",
        author=release.author,
        approver=VALIDATOR,
        at=START,
    )
    return replace(approval, **changes)


def make_measurement(**changes: Any) -> Measurement:
    """One measured loss."""
    measurement = Measurement(
        id=new_id(START), project=PROJECT, name="mae", value=1200.5, n_rows=120, at=START
    )
    return replace(measurement, **changes)


def make_rollout(**changes: Any) -> Rollout:
    """A rollout before its first step."""
    rollout = Rollout(
        release_id=new_id(START),
        project=PROJECT,
        champion_id=None,
        state="pending",
        steps=(10, 50),
        step=-1,
        started_at=START,
        step_started_at=START,
    )
    return replace(rollout, **changes)


def make_route(**changes: Any) -> Route:
    """A route to one live release."""
    return replace(Route(project=PROJECT, live="release-1"), **changes)


def make_prediction(**changes: Any) -> Prediction:
    """An answer for two rows."""
    prediction = Prediction(
        id=new_id(START),
        project=PROJECT,
        release_id="release-1",
        arm="live",
        principal=AUTHOR,
        at=START,
        event_time=START,
        n_rows=2,
        columns={"mileage": [1000.0, 2500.5], "model": ["a3", None]},
        outputs={"predict": [21000.0, 18500.5]},
    )
    return replace(prediction, **changes)


def make_refusal(**changes: Any) -> Refusal:
    """Requests that came without an input."""
    refusal = Refusal(
        id=new_id(START),
        project=PROJECT,
        release_id="release-1",
        principal=AUTHOR,
        at=START,
        since=START,
        n=1,
        missing=("mileage",),
        unknown=("Mileage",),
    )
    return replace(refusal, **changes)


def make_failure(**changes: Any) -> Failure:
    """A request that the model could not answer."""
    failure = Failure(
        id=new_id(START),
        project=PROJECT,
        release_id="release-1",
        arm="canary",
        principal=AUTHOR,
        at=START,
        n_rows=1,
        error="the model raised",
    )
    return replace(failure, **changes)


def make_outcome(**changes: Any) -> Outcome:
    """A label for a business key."""
    outcome = Outcome(
        id=new_id(START),
        project=PROJECT,
        kind="label",
        subject="car-1",
        value=20500.0,
        observed_at=START,
        at=START,
        principal=AUTHOR,
    )
    return replace(outcome, **changes)


def make_feedback(**changes: Any) -> Feedback:
    """What a business key paid."""
    paid = Feedback(
        id=new_id(START),
        project=PROJECT,
        kind="result",
        subject="car-1",
        name="paid",
        value=120.0,
        happened_at=START,
        at=START,
        principal=AUTHOR,
    )
    return replace(paid, **changes)


def make_finding(**changes: Any) -> Finding:
    """A shift in one input."""
    finding = Finding(
        id=new_id(START),
        project=PROJECT,
        kind="data_drift",
        release_id="release-1",
        title="mileage has shifted",
        window=(START, START + timedelta(days=7)),
        evidence={"psi": 0.31, "p_value": 0.0004, "level": 0.001},
        size=0.31,
        at=START,
        feature="mileage",
    )
    return replace(finding, **changes)


def make_alert(**changes: Any) -> Alert:
    """An alert that nobody has acted on."""
    alert = Alert(
        id=new_id(START),
        project=PROJECT,
        finding_id="finding-1",
        action="review",
        state="open",
        reason="mileage has shifted",
        at=START,
        event_time=START,
    )
    return replace(alert, **changes)


def make_message(**changes: Any) -> Message:
    """What somebody is told."""
    message = Message(
        id=new_id(START),
        at=START,
        project=PROJECT,
        severity="warning",
        title="mileage has shifted",
        text="PSI 0.31 in the week from 2026-01-05.",
        links=(Link(title="Evidence", url="https://headrace.example/projects/cars"),),
        to="ann@example.org",
        details=({"finding": "finding-1", "size": 0.31},),
    )
    return replace(message, **changes)


def make_tokens(keys: Path, clock: Clock) -> Tokens:
    """Tokens of the home whose keys are in this folder; nothing of them has been revoked."""
    epoch, records = MemoryEpoch(), MemoryRecords[Credential]()
    return Tokens(Keys(keys, epoch, clock), Revocations(records, epoch, clock), epoch, clock)


def make_principal(**changes: Any) -> Principal:
    """A developer."""
    return replace(Principal(name=AUTHOR, kind="person", roles=("developer",), created_at=START), **changes)
