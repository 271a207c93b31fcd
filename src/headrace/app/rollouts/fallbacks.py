"""The fallback of a project: what it is made from, and the release that would stand in now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.core.errors import Conflict
from headrace.core.ids import derived_id
from headrace.core.project import Project, Variant
from headrace.core.release import Release
from headrace.store import Store
from headrace.training.baselines import CONSTANT

SYSTEM = "system:fallback"
"""Who makes the fallback, and lets it stand in, when nobody else does."""
_MADE = frozenset({"proposed", "waiting", "approved", "standing_by", "rolling_out", "live"})


def as_fallback(project: Project) -> Project:
    """The project with the fallback that it names as its only variant.

    Raises:
        Conflict: it names none, or a version that was built already.
    """
    if project.fallback is None or "@" in project.fallback.to:
        raise Conflict(
            f"There is no fallback of {project.name!r} to build. Name 'constant' or a variant in "
            "headrace.yaml:\n  fallback:\n    to: constant"
        )
    name = project.fallback.to
    constant = Variant(name=name, trainer=CONSTANT)
    named = (variant for variant in project.variants if variant.name == name)
    return replace(project, variants=(next(named, constant),))


def ready(store: Store, project: Project) -> Release | None:
    """The release that can stand in now; None where none is declared, built or approved yet."""
    if project.fallback is None:
        return None
    to = project.fallback.to
    if "@" in to:
        known = (
            one for one in store.releases.list(project.name) if one.manifest.subject.ref == f"model:{to}"
        )
        return next((one for one in known if one.state == "superseded"), None)
    standing = store.releases.list(project.name, state="standing_by")
    return next((one for one in standing if one.manifest.params["variant"] == to), None)


def missing(store: Store, project: Project) -> dict[str, Any] | None:
    """What asks for the build of the fallback, once per live release; None where nothing has to be built."""
    route = store.rollouts.route(project.name)
    if route is None or project.fallback is None or "@" in project.fallback.to:
        return None
    to = project.fallback.to
    for release in store.releases.list(project.name):
        made = release.manifest
        if made.stands_in and made.params["variant"] == to and release.state in _MADE:
            return None
    return {
        "build_id": f"build:{project.name}:{derived_id('fallback', project.name, to, route.live)}",
        "folder": store.projects.path(project.name),
        "project": project.name,
        "author": SYSTEM,
        "cause": f"headrace.yaml names the fallback {to!r}, and none stands by",
        "stands_in": True,
    }
