"""What differs between a release and the one that is live: numbers, parameters, data, code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headrace.app.composition import App
from headrace.checks.packs import METRICS
from headrace.core.data import Snapshot
from headrace.core.errors import NotFound
from headrace.core.identity import Principal
from headrace.core.release import Manifest, Release
from headrace.gateway.prompts import MEDIA_TYPE as PROMPT
from headrace.gateway.prompts import Prompt
from headrace.projects.sections import ChangedLine, changed_lines
from headrace.releases.manifest import parent_of


@dataclass(frozen=True, kw_only=True)
class Changed:
    """One thing that both have, or only one has (the other is ``None``).

    ``better`` is whether this release is better by it; ``None`` where nobody can say.
    """

    name: str
    before: Any
    after: Any
    better: bool | None = None

    @property
    def same(self) -> bool:
        """Whether both are equal."""
        return bool(self.before == self.after)


class Rewritten(NamedTuple):
    """A text before and now."""

    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A release beside another one.

    Attributes:
        against: the release compared with; none for a project's first.
        metrics: every metric on each one's own test rows. Those rows may differ: the champion gate is the
            comparison on the same rows.
        params: parameters that differ.
        ingredients: data, features, code, environment, seed and policy, also where they are the same.
        settings: lines of ``headrace.yaml`` that differ, where both releases have theirs on record.
        prompt: the prompt before and now, where both are prompts and they differ.
    """

    release: str
    against: str | None
    against_subject: str | None
    metrics: list[Changed]
    params: list[Changed]
    ingredients: list[Changed]
    settings: list[ChangedLine] = field(default_factory=list)
    prompt: Rewritten | None = None


def difference(app: App, me: Principal, release_id: str) -> Difference:
    """Compare with the live release, or with the one before if this one is live itself.

    Raises:
        NotFound: there is no such release.
        Denied: ``me`` may not see the project.
    """
    release = app.store.releases.get(release_id)
    app.gatekeeper.require(me, "project.read", f"project:{release.project}")
    other = _other(app, release)
    if other is None:
        return Difference(
            release=release.id, against=None, against_subject=None, metrics=[], params=[], ingredients=[]
        )
    new, old = release.manifest, other.manifest
    params = _pairs(old.params, new.params)
    return Difference(
        release=release.id,
        against=other.id,
        against_subject=old.subject.ref,
        metrics=[_judged(pair) for pair in _pairs(old.evaluation, new.evaluation)],
        params=[pair for pair in params if not pair.same],
        ingredients=_pairs(_ingredients(app, old), _ingredients(app, new)),
        settings=changed_lines(old.charter, new.charter) if old.charter and new.charter else [],
        prompt=_rewritten(app, old, new),
    )


def _rewritten(app: App, old: Manifest, new: Manifest) -> Rewritten | None:
    packages = old.subject.package, new.subject.package
    if old.subject.package == new.subject.package or any(one.media_type != PROMPT for one in packages):
        return None
    return Rewritten(*(Prompt.from_bytes(app.store.artifacts.get(one.digest)).text for one in packages))


def _other(app: App, release: Release) -> Release | None:
    route = app.store.rollouts.route(release.project)
    if route is None or route.live == release.id:
        return parent_of(app.store.releases, release.manifest)
    return app.store.releases.get(route.live)


def _ingredients(app: App, manifest: Manifest) -> dict[str, Any]:
    found = [_snapshot(app, one["id"]) for one in manifest.snapshots]
    rows = sum(snapshot.n_rows for snapshot in found if snapshot is not None)
    return {
        "rows of data": rows or None,
        "data": ", ".join(one["digest"] for one in manifest.snapshots),
        "features": ", ".join(manifest.features),
        "feature sets": ", ".join(one["features"] for one in manifest.snapshots if "features" in one) or None,
        "code": manifest.code.digest,
        "commit": manifest.commit,
        "environment": manifest.environment.digest,
        "seed": manifest.seed,
        "package size": f"{manifest.subject.package.size_bytes:,} bytes",
        "approval": manifest.approval,
        "risk": manifest.risk,
    }


def _snapshot(app: App, snapshot_id: str) -> Snapshot | None:
    try:
        return app.store.snapshots.get(snapshot_id)
    except NotFound:
        return None


def _pairs(before: dict[str, Any], after: dict[str, Any]) -> list[Changed]:
    names = list(dict.fromkeys([*after, *before]))
    return [Changed(name=name, before=before.get(name), after=after.get(name)) for name in names]


def _judged(pair: Changed) -> Changed:
    if pair.before is None or pair.after is None or pair.same:
        return pair
    metric = METRICS.get(pair.name)
    if metric is None or metric.better is None:
        return pair
    better = pair.after > pair.before if metric.better == "larger" else pair.after < pair.before
    return Changed(name=pair.name, before=pair.before, after=pair.after, better=bool(better))
