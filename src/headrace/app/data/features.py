"""What the feature store has: sets as declared, and the versions that models were trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.data.features import FeatureSet, feature_sets
from headrace.data.snapshots import snapshots_of
from headrace.training.features import FeatureStore, FeatureVersion, Materialised
from headrace.training.training_set import input_columns, load_training_set


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Rows of one version that models were trained on.

    Attributes:
        ref: name and version.
        profile: digest of the artefact with their distribution, which drift is held against.
        models: versions of the project's model that were trained on them; ``live``: the one that answers.
    """

    ref: str
    snapshot: str
    n_rows: int
    until: datetime | None
    profile: str
    models: list[str] = field(default_factory=list)
    live: bool = False


@dataclass(frozen=True, kw_only=True)
class Features:
    """One feature set.

    Attributes:
        declared: as headrace.yaml has it now; None where it is declared no more.
        snapshots: ids of the snapshots of a table of its own, oldest first.
        trained: what models were trained on, the newest first.
    """

    name: str
    version: str | None
    declared: FeatureSet | None
    snapshots: list[str]
    trained: list[Trained]


def features(app: App, me: Principal, project: str) -> list[Features]:
    """All feature sets of a project: those declared, then those that models were trained on before.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    spec = reading.project(app, me, project)
    declared = {one.name: one for one in feature_sets(spec, input_columns(spec)) if one.columns}
    trained = _trained(app, spec)
    return [
        Features(
            name=name,
            version=None if name not in declared else declared[name].version,
            declared=declared.get(name),
            snapshots=[one.id for one in snapshots_of(app.store.snapshots, project, name.partition("/")[2])],
            trained=[one for one in trained if one.ref.partition("@")[0] == name],
        )
        for name in dict.fromkeys([*declared, *(one.ref.partition("@")[0] for one in trained)])
    ]


def feature_set(app: App, me: Principal, project: str, name: str) -> Features:
    """One feature set, by its name with or without the project.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see, or it has no such set.
    """
    found = features(app, me, project)
    wanted = name if "/" in name else f"{project}/{name}"
    for one in found:
        if one.name == wanted:
            return one
    raise NotFound(
        f"Project {project!r} has no feature set {name!r} (has: {', '.join(one.name for one in found)}). "
        "Declare it under data.features in headrace.yaml."
    )


def _trained(app: App, project: Project) -> list[Trained]:
    """By what was trained on, with the models that were."""
    route = app.store.rollouts.route(project.name)
    live = None if route is None else app.store.releases.get(route.live).manifest.run_id
    versions = {one.run_id: f"{project.name}@{one.version}" for one in app.store.models.list(project.name)}
    kept = FeatureStore(app.store.artifacts)
    read: dict[FeatureVersion, tuple[Materialised, list[str], list[bool]]] = {}
    for run in app.store.runs.list(project.name):
        if "training_set" not in run.outputs:
            continue
        for one in load_training_set(app.store.artifacts, run.outputs["training_set"].digest).features:
            _, models, lives = read.setdefault(one, (kept.get(one), [], []))
            models.extend([versions[run.id]] if run.id in versions else [])
            lives.append(run.id == live)
    return [
        Trained(
            ref=one.ref,
            snapshot=found.snapshot_id,
            n_rows=found.n_rows,
            until=found.until,
            profile=found.profile.digest,
            models=models,
            live=any(lives),
        )
        for one, (found, models, lives) in read.items()
    ]
