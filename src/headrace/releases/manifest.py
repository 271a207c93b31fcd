"""Puts together the one manifest that is approved, signed and rebuilt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from headrace.access.privacy.charters import terms_of
from headrace.checks.tasks import GENERATIVE
from headrace.core.canonical import digest_of, plain
from headrace.core.data import Artifact, ModelVersion, Run, Snapshot
from headrace.core.errors import NotFound
from headrace.core.ids import derived_id
from headrace.core.ports import ReleaseStore
from headrace.core.project import FairnessSpec, Project
from headrace.core.release import Check, Manifest, Release, Subject


def checks_of(project: Project, contracts: Artifact | None = None) -> tuple[Check, ...]:
    """The project's gates as checks with the limits that stand today, among them what consumers rely on."""
    gates = project.gates
    published = () if contracts is None else (_contract(contracts),)
    return (
        Check(name="data", measure="data_quality", limit=plain(gates.data)),
        Check(name="model", measure=gates.model.metric, limit=asdict(gates.model)),
        Check(name="package", measure="equivalence", limit=asdict(gates.package)),
        *(Check(name=f"metric {one.name}", measure=one.name, limit=asdict(one)) for one in project.metrics),
        *(() if project.fairness is None else (_fairness(project.fairness),)),
        *published,
        *(() if not project.proofs else (_proofs(project.proofs),)),
        Check(name="canary", measure=gates.model.metric, limit=asdict(project.rollout)),
        Check(name="monitor", measure="drift", limit=asdict(project.monitors)),
    )


def _fairness(spec: FairnessSpec) -> Check:
    return Check(name="fairness", measure="group rates", limit=asdict(spec))


def _proofs(declared: dict[str, Any]) -> Check:
    return Check(name="proofs", measure="what else is proved", limit=declared)


def _contract(contracts: Artifact) -> Check:
    return Check(name="contract", measure="interactions kept", limit={"contracts": contracts.digest})


def propose(
    project: Project,
    run: Run,
    model: ModelVersion,
    snapshot: Snapshot,
    baseline: Artifact,
    *,
    commit: str | None,
    parent: str | None,
    at: datetime,
    contracts: Artifact | None = None,
    measured: Mapping[str, float] | None = None,
    features: Sequence[str] = (),
    stands_in: bool = False,
) -> Release:
    """The release of one model version; the same build always gives the same id.

    Args:
        contracts: archive of what consumers rely on; none where nobody has published a contract.
        measured: values of the metrics that the project declares, on the test rows.
        features: versions of the feature sets that it was trained on, whose baseline it has.
        stands_in: it is the fallback, and no candidate.
    """
    kind = "prompt" if project.task in GENERATIVE else "model"
    data = {"id": snapshot.id, "digest": snapshot.digest, "raw": snapshot.raw.digest}
    manifest = Manifest(
        project=project.name,
        subject=Subject(ref=f"{kind}:{project.name}@{model.version}", package=model.package),
        run_id=run.id,
        code=run.code,
        commit=commit,
        environment=run.environment,
        snapshots=(data | {"features": ", ".join(features)} if features else data,),
        features=tuple(c.name for c in project.data.columns if c.role != "ignored"),
        params={"variant": run.variant} | run.params,
        seed=run.seed,
        evaluation=run.metrics | dict(measured or {}),
        baseline=baseline,
        checks=checks_of(project, contracts),
        guardrails=(),
        owner=project.owner.name,
        contact=project.owner.contact,
        risk=project.risk,
        kpi=project.value.kpi,
        approval=project.approval,
        cause=run.cause,
        parent=parent,
        author=run.author,
        terms=terms_of(project),
        stands_in=stands_in,
        charter=project,
    )
    return _proposed(run.build_id, manifest, at)


def amend(
    live: Release,
    project: Project,
    code: Artifact,
    *,
    commit: str | None,
    build_id: str,
    author: str,
    cause: str,
    at: datetime,
    contracts: Artifact | None = None,
    measured: Mapping[str, float] | None = None,
    pins: Mapping[str, str] | None = None,
) -> Release:
    """The release of the model that is live, under the settings of ``project``: nothing is trained.

    Args:
        code: that of the live release, with the charter that says so.
        commit: which of git it is of.
        measured: values of the metrics that the project declares, on the test rows of the model.
        pins: what else it consists of, where settings decide about that.
    """
    manifest = replace(
        live.manifest,
        params=live.manifest.params | dict(pins or {}),
        code=code,
        commit=commit,
        evaluation=live.manifest.evaluation | dict(measured or {}),
        checks=checks_of(project, contracts),
        owner=project.owner.name,
        contact=project.owner.contact,
        risk=project.risk,
        kpi=project.value.kpi,
        approval=project.approval,
        cause=cause,
        parent=live.id,
        author=author,
        terms=terms_of(project),
        charter=project,
    )
    return _proposed(build_id, manifest, at)


def _proposed(build_id: str, manifest: Manifest, at: datetime) -> Release:
    return Release(
        id=derived_id("release", build_id),
        project=manifest.project,
        digest=digest_of(manifest),
        manifest=manifest,
        state="proposed",
        author=manifest.author,
        created_at=at,
    )


def parent_of(releases: ReleaseStore, manifest: Manifest) -> Release | None:
    """The release that was live where this one was made; None if there was none, or it never came here."""
    try:
        return None if manifest.parent is None else releases.get(manifest.parent)
    except NotFound:
        return None
