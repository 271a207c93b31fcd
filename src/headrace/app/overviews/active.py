"""Which model version is active where, since when and by whose word; and a version as a folder for MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from headrace.app.composition import App
from headrace.app.overviews.reading import projects
from headrace.core.data import ModelVersion
from headrace.core.errors import Conflict, NotFound
from headrace.core.identity import Principal
from headrace.core.ids import Ref
from headrace.plugins.mlflow import ALIAS
from headrace.plugins.mlflow_model import write_model
from headrace.training.embedding import write_embedded

Environment = Literal["production", "canary", "shadow", "split"]


@dataclass(frozen=True, kw_only=True)
class Active:
    """A version that answers requests.

    Attributes:
        environment: ``production`` answers; ``canary`` answers the share that is on trial; ``shadow`` is
            asked for the record only; ``split`` answers its share of an A/B test beside production.
        share_percent: of the requests, as the route stands.
        mlflow_version, mlflow_alias: where MLflow has it; the alias follows what production answers by.
        since: when its rollout got to where it is.
        open_alerts: how many alerts about it ask for action.
        approved_by: who let it through; ``policy:automatic`` where the project leaves that to the gates.
    """

    project: str
    environment: Environment
    version: str
    release_id: str
    share_percent: float
    mlflow_version: str | None
    mlflow_alias: str | None
    since: datetime | None
    approved_by: list[str]
    open_alerts: int


def active(app: App, me: Principal) -> list[Active]:
    """What is active now in each environment of each project that ``me`` may see."""
    found = []
    for project in projects(app, me):
        route = app.store.rollouts.route(project.name)
        if route is None:
            continue
        if route.split is not None:
            for arm in sorted(route.split.arms, key=lambda arm: arm.release_id != route.live):
                place: Environment = "production" if arm.release_id == route.live else "split"
                found.append(_active(app, project.name, place, arm.release_id, 100 * arm.share))
            continue
        share = 100 * route.canary_weight if route.canary else 0.0
        found.append(_active(app, project.name, "production", route.live, 100 - share))
        if route.canary is not None:
            environment: Environment = "shadow" if route.shadow else "canary"
            found.append(_active(app, project.name, environment, route.canary, share))
    return found


def export_model(app: App, me: Principal, reference: str, folder: Path) -> Path:
    """Write ``NAME@VERSION`` into the new folder ``folder``, as ``mlflow.pyfunc.load_model`` reads it.

    Raises:
        NotFound, Denied: there is no such version that ``me`` may see.
        Conflict: the folder is there already, or the package is not what was signed with its release.
    """
    model = _exported(app, me, reference, folder, "mlflow")
    write_model(folder, model, app.store.artifacts.path(model.package.digest))
    return folder


def export_embedded(app: App, me: Principal, reference: str, folder: Path) -> Path:
    """Write a version into the new folder ``folder``, with a loader that needs no Headrace.

    Args:
        reference: ``NAME`` or ``NAME@live`` for the live version, or ``NAME@VERSION``.

    Raises:
        NotFound, Denied: there is no such version that ``me`` may see, or nothing is live.
        Conflict: the folder is there already, or the package is not what was signed with its release.
        InvalidInput: the model answers through its own library, or forecasts.
    """
    name, _, version = reference.partition("@")
    if version in ("", "live"):
        app.gatekeeper.require(me, "data.read", f"project:{name}")
        route = app.store.rollouts.route(name)
        if route is None:
            raise NotFound(f"Nothing of {name!r} is live. Name a version, such as {name}@1.")
        reference = app.store.releases.get(route.live).manifest.subject.ref.partition(":")[2]
    model = _exported(app, me, reference, folder, "embedded")
    path = app.store.artifacts.path(model.package.digest)
    write_embedded(path, folder, name=name, version=str(model.version))
    return folder


def _exported(app: App, me: Principal, reference: str, folder: Path, form: str) -> ModelVersion:
    """The version, once ``me`` may have it and it is what was signed; that it leaves is in the audit log."""
    ref = Ref.parse(f"model:{reference}")
    app.gatekeeper.require(me, "data.read", f"project:{ref.name}")
    if not ref.version.isdigit():
        raise NotFound(f"There is no model {reference!r}. Versions are numbers, such as {ref.name}@1.")
    model = app.store.models.get(ref.name, int(ref.version))
    if folder.exists():
        raise Conflict(f"{folder} is there already. Name a folder that is not.")
    for release in app.store.releases.list(ref.name):
        if release.manifest.run_id == model.run_id:
            app.signed.package(release)
    detail = {"version": model.version, "package": model.package.digest, "form": form}
    app.store.audit.append(me.name, "model.export", f"project:{ref.name}", detail)
    return model


def _active(app: App, project: str, environment: Environment, release_id: str, share: float) -> Active:
    release = app.store.releases.get(release_id)
    run_id = release.manifest.run_id
    numbers = [m.registry_version for m in app.store.models.list(project) if m.run_id == run_id]
    number = numbers[0] if numbers else None
    approvals = app.store.evidence.approvals(release_id)
    return Active(
        project=project,
        environment=environment,
        version=release.manifest.subject.ref.partition(":")[2],
        release_id=release_id,
        share_percent=share,
        mlflow_version=number,
        mlflow_alias=ALIAS if number is not None and environment == "production" else None,
        since=_since(app, release_id),
        open_alerts=_open_alerts(app, project, release_id),
        approved_by=[one.approver for one in approvals if one.decision == "approved"],
    )


def _open_alerts(app: App, project: str, release_id: str) -> int:
    about = {finding.id for finding in app.store.findings.list(project) if finding.release_id == release_id}
    alerts = app.store.findings.alerts(project)
    return sum(alert.state != "closed" and alert.finding_id in about for alert in alerts)


def _since(app: App, release_id: str) -> datetime | None:
    try:
        return app.store.rollouts.get(release_id).step_started_at
    except NotFound:
        return None
