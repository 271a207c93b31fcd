"""The simplest model goes live first: by the same path, with the same record of inputs and labels."""

from __future__ import annotations

from dataclasses import replace

from headrace.core.errors import Conflict
from headrace.core.project import Project
from headrace.store import Store


def as_baseline(store: Store, project: Project) -> Project:
    """The project with its first variant alone: the simplest model, or a rule that learns nothing.

    Raises:
        Conflict: something better than the baseline is live already.
    """
    route, first = store.rollouts.route(project.name), project.variants[0]
    if route is not None:
        live = store.releases.get(route.live).manifest
        if live.params["variant"] != first.name:
            raise Conflict(
                f"{live.subject.ref} is live, variant {live.params['variant']!r}, and the baseline "
                f"{first.name!r} goes before the others. To let it stand in for what fails, name it as the "
                "fallback in headrace.yaml and run 'headrace run --fallback'."
            )
    return replace(project, variants=(first,))
