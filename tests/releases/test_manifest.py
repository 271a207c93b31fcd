"""The manifest: the same ingredients give the same digest, any other ingredient another one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.privacy.charters import terms_of
from headrace.core.canonical import ADDED, digest_of, plain
from headrace.core.project import (
    Column,
    MonitorSpec,
    Owner,
    PackageGate,
    PrivacySpec,
    Project,
    RolloutSpec,
    ServiceLevel,
    ServingSpec,
    Terms,
    Value,
)
from headrace.core.release import Manifest, Release
from headrace.releases.manifest import checks_of, propose
from headrace.store.documents import SCHEMA_VERSION, load
from headrace.testing import (
    START,
    make_artifact,
    make_manifest,
    make_model,
    make_project,
    make_run,
    make_snapshot,
)

RUN = make_run(id="run-1", build_id="build-1")
MODEL = make_model(version=3, run_id="run-1")
SNAPSHOT = make_snapshot(id="snapshot-1")


def proposed(project: Project | None = None, **changes: Any) -> Release:
    """A release of the usual ingredients, but for ``changes``."""
    given: dict[str, Any] = {
        "run": RUN, "model": MODEL, "snapshot": SNAPSHOT, "baseline": make_artifact(b"baseline"),
        "commit": "9f3c2b7", "parent": None, "at": START,
    }  # fmt: skip
    given |= changes
    run, model, snapshot, baseline = (given.pop(name) for name in ("run", "model", "snapshot", "baseline"))
    return propose(project or make_project(), run, model, snapshot, baseline, **given)


@pytest.mark.requirement("GAT-14")
def test_a_release_consists_of_everything_it_was_made_from() -> None:
    release = proposed()
    manifest = release.manifest
    assert manifest.subject.ref == "model:cars@3"
    assert manifest.subject.package == MODEL.package
    assert (manifest.code, manifest.environment, manifest.seed) == (RUN.code, RUN.environment, RUN.seed)
    assert manifest.snapshots == (
        {"id": "snapshot-1", "digest": SNAPSHOT.digest, "raw": SNAPSHOT.raw.digest},
    )
    assert manifest.params == {"variant": "linear", "alpha": 1.0}
    assert manifest.evaluation == RUN.metrics
    assert manifest.baseline == make_artifact(b"baseline")
    assert (manifest.author, release.author, manifest.cause) == ("ada", "ada", "manual")
    assert (release.state, release.digest) == ("proposed", digest_of(manifest))
    limits = {check.name: check.limit for check in manifest.checks}
    assert limits["model"]["margin"] == 0.02
    assert limits["canary"]["steps"] == (10, 50)
    assert set(limits) == {"data", "model", "package", "canary", "monitor"}


def test_one_build_makes_one_release_whenever_it_is_proposed() -> None:
    first, again = proposed(), proposed(at=START + timedelta(days=1))
    assert (first.id, first.digest) == (again.id, again.digest)
    assert proposed(run=replace(RUN, build_id="build-2")).id != first.id


def test_ignored_columns_are_no_features() -> None:
    project = make_project()
    columns = (*project.data.columns, Column(name="id", role="ignored"))
    release = proposed(replace(project, data=replace(project.data, columns=columns)))
    assert release.manifest.features == ("mileage", "model")


def changed_project() -> list[Project]:
    """The usual project with one promise changed."""
    project = make_project()
    gates = project.gates
    return [
        replace(project, owner=Owner(name="Bea", contact=project.owner.contact)),
        replace(project, owner=Owner(name=project.owner.name, contact="bea@example.org")),
        replace(project, value=Value(hypothesis=project.value.hypothesis, kpi="another")),
        replace(project, risk="high"),
        replace(project, approval="automatic"),
        replace(project, rollout=RolloutSpec(steps=(100,))),
        replace(project, monitors=MonitorSpec(shift=0.3)),
        replace(project, gates=replace(gates, model=replace(gates.model, max_loss=1.0))),
        replace(project, gates=replace(gates, package=PackageGate(tolerance=0.1))),
        replace(project, gates=replace(gates, data=replace(gates.data, min_rows=51))),
        replace(project, data=replace(project.data, columns=project.data.columns[:1])),
    ]


@pytest.mark.requirement("GAT-14")
@pytest.mark.parametrize("project", changed_project())
def test_another_promise_is_another_digest(project: Project) -> None:
    assert proposed(project).digest != proposed().digest


@pytest.mark.parametrize(
    "changes",
    [
        {"commit": None},
        {"parent": "release-0"},
        {"baseline": make_artifact(b"another")},
        {"snapshot": replace(SNAPSHOT, digest="0" * 64)},
        {"snapshot": replace(SNAPSHOT, raw=make_artifact(b"other bytes"))},
        {"model": replace(MODEL, version=4)},
        {"model": replace(MODEL, package=make_artifact(b"other package"))},
        {"run": replace(RUN, seed=1)},
        {"run": replace(RUN, params={"alpha": 1.0000001})},
        {"run": replace(RUN, variant="lightgbm")},
        {"run": replace(RUN, code=make_artifact(b"other code"))},
        {"run": replace(RUN, environment=make_artifact(b"other environment"))},
        {"run": replace(RUN, metrics={"mae": 1200.4})},
        {"run": replace(RUN, author="bea")},
        {"run": replace(RUN, cause="drift")},
    ],
)
def test_another_ingredient_is_another_digest(changes: dict[str, Any]) -> None:
    assert proposed(**changes).digest != proposed().digest


texts = st.text(max_size=20)
artifacts = st.binary(max_size=4).map(make_artifact)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "project": texts, "subject": artifacts.map(lambda a: replace(make_manifest().subject, package=a)),
    "run_id": texts, "code": artifacts, "commit": st.none() | texts, "environment": artifacts,
    "snapshots": st.lists(st.dictionaries(texts, texts, max_size=2), max_size=2).map(tuple),
    "features": st.lists(texts, max_size=3).map(tuple),
    "params": st.dictionaries(texts, st.integers() | st.floats(-1e9, 1e9) | texts),
    "seed": st.integers(), "evaluation": st.dictionaries(texts, st.floats(-1e9, 1e9)), "baseline": artifacts,
    "checks": st.just(checks_of(make_project(rollout=RolloutSpec(steps=())))),
    "guardrails": st.lists(texts, max_size=2).map(tuple), "owner": texts, "contact": texts, "risk": texts,
    "kpi": texts, "stands_in": st.booleans(), "approval": texts, "cause": texts,
    "parent": st.none() | texts, "author": texts,
    "terms": st.none()
    | st.integers(1, 9).map(lambda n: terms_of(make_project(privacy=PrivacySpec(retention_days=n)))),
    "charter": st.none() | st.integers(1, 9).map(lambda n: make_project(monitors=MonitorSpec(window_s=n))),
}  # fmt: skip


def test_every_field_of_a_manifest_is_tried() -> None:
    assert set(VALUES) == {field.name for field in fields(Manifest)}


@given(st.data(), st.sampled_from(sorted(VALUES)))
def test_the_digest_tells_manifests_apart_by_any_field(data: st.DataObject, name: str) -> None:
    before = make_manifest()
    after = replace(before, **{name: data.draw(VALUES[name])})
    assert (digest_of(after) == digest_of(before)) == (asdict(after) == asdict(before))
    assert digest_of(after) == digest_of(replace(after))


KEPT = """
{"approval": "manual", "author": "ada", "cause": "manual", "commit": null, "contact": "ada@example.org",
 "baseline": {"digest": "8ba8496a", "media_type": "application/json", "size_bytes": 8},
 "checks": [{"limit": {"margin": 0.02}, "measure": "mae", "name": "model"}],
 "code": {"digest": "5694d08a", "media_type": "application/zip", "size_bytes": 4},
 "environment": {"digest": "ba528516", "media_type": "text/plain", "size_bytes": 11},
 "evaluation": {"mae": 1200.5}, "features": ["mileage", "model"], "guardrails": [], "owner": "Ada",
 "kpi": "days on the lot", "params": {"alpha": 1.0}, "parent": null, "project": "cars", "risk": "medium",
 "run_id": "run-1", "seed": 0, "snapshots": [{"digest": "bc51e9e6", "id": "snapshot-1"}],
 "subject": {"ref": "model:cars@1",
  "package": {"digest": "bc4a7118", "media_type": "application/octet-stream", "size_bytes": 7}},
 "terms": {"key": null, "keys": "hash",
  "privacy": {"basis": "consent", "encrypt": true, "fields": {"mileage": "keep", "model": "hash"},
   "purpose": "prices", "recognisers": ["builtin"], "retention_days": 365},
  "serving": {"concurrency": 1, "durability": "stored", "on_record_failure": "refuse", "queue": 64,
   "level": {"availability": 0.999, "p99_ms": 20.0, "requests_per_s": 50.0}, "timeout_s": 10.0}}}
"""
"""A manifest as it was stored and signed in November 2026. It stays as it is."""
KEPT_DIGEST = "97d9ce143d0b0fd3767f65019d9a2e9f494b638b1cfde1b171b59d6e9d55cdac"


def test_what_was_signed_once_keeps_its_digest_whatever_fields_there_are_by_now() -> None:
    manifest = load(Manifest, KEPT, SCHEMA_VERSION)
    assert plain(manifest).keys() >= json.loads(KEPT).keys()
    assert digest_of(manifest) == KEPT_DIGEST, (
        "Releases that are stored already would be refused as tampered with. A field that a manifest gets, "
        "however deep, is declared with field(default=..., metadata=ADDED)."
    )


@dataclass(frozen=True, kw_only=True)
class Forgetful(ServingSpec):
    """A later edition whose author forgot about the releases that are stored already."""

    retries: int = 3


@dataclass(frozen=True, kw_only=True)
class Later(ServingSpec):
    """A later edition with new fields of every kind."""

    retries: int = field(default=3, metadata=ADDED)
    hosts: tuple[str, ...] = field(default=(), metadata=ADDED)
    labels: dict[str, str] = field(default_factory=dict, metadata=ADDED)
    fallback: ServiceLevel | None = field(default=None, metadata=ADDED)


@dataclass(frozen=True, kw_only=True)
class _LaterTerms(Terms):
    serving: Later


@dataclass(frozen=True, kw_only=True)
class _ForgetfulTerms(Terms):
    serving: Forgetful


@dataclass(frozen=True, kw_only=True)
class _LaterManifest(Manifest):
    terms: _LaterTerms


@dataclass(frozen=True, kw_only=True)
class _ForgetfulManifest(Manifest):
    terms: _ForgetfulTerms


def test_a_field_that_is_added_leaves_older_digests_alone_and_counts_from_then_on() -> None:
    assert digest_of(load(_ForgetfulManifest, KEPT, SCHEMA_VERSION)) != KEPT_DIGEST
    manifest = load(_LaterManifest, KEPT, SCHEMA_VERSION)
    assert digest_of(manifest) == KEPT_DIGEST
    known = {KEPT_DIGEST}
    for change in (
        {"retries": 0},
        {"hosts": ("a.example",)},
        {"labels": {"a": "b"}},
        {"fallback": ServiceLevel(p99_ms=1.0, requests_per_s=1.0)},
    ):
        serving = replace(manifest.terms.serving, **change)
        changed = replace(manifest, terms=replace(manifest.terms, serving=serving))
        read_back = load(_LaterManifest, json.dumps(plain(changed)), SCHEMA_VERSION)
        assert read_back == changed
        known.add(digest_of(read_back))
    assert len(known) == 5
