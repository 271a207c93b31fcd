"""Settings that are declared and hold for nothing: no release that has them is live, or on its way to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.access.privacy.charters import SETTINGS
from headrace.app.composition import App
from headrace.core.errors import UserError
from headrace.core.project import Project
from headrace.projects.charter import load_project
from headrace.projects.sections import ChangedLine, changed_lines
from headrace.releases.states import ON_ITS_WAY


def unreleased(app: App, projects: Sequence[Project]) -> dict[str, list[ChangedLine]]:
    """By project, the settings that it declares and that hold for nothing, for no live release has them.

    Projects whose live release has them all are left out, and those of which nothing is live. So are those of
    which a release with all of them waits or is rolled out: to release them once more would be wrong.
    """
    found = {}
    for declared in projects:
        live = app.access.charters.live(declared.name)
        changed = [] if live is None else changed_lines(live, declared, SETTINGS)
        if changed and not _on_their_way(app, declared):
            found[declared.name] = changed
    return found


def _on_their_way(app: App, declared: Project) -> bool:
    under_way = (
        release.manifest.charter
        for state in ON_ITS_WAY
        for release in app.store.releases.list(declared.name, state=state)
    )
    return any(one is not None and not changed_lines(one, declared, SETTINGS) for one in under_way)


def as_written(app: App, declared: Project) -> Project:
    """The project as its folder has it now; as it was declared last, where that cannot be read from here."""
    try:
        found = load_project(Path(app.store.projects.path(declared.name)))
    except UserError:
        return declared
    return found if found.name == declared.name else declared
