"""How people get on with the answers of each release, and what changed from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.core.identity import Principal
from headrace.monitoring.impact import Change, Interaction, changes, interactions
from headrace.monitoring.ingest import ingest


@dataclass(frozen=True, kw_only=True)
class Impact:
    """What is known of each release, and of each change of it; in the order in which they first answered."""

    releases: list[Interaction]
    changes: list[Change]


def impact(app: App, me: Principal, name: str) -> Impact:
    """What users said of the answers of each release and how the rates moved, as far as feedback has come.

    Raises:
        Denied: ``me`` may not read the project's record.
        NotFound: there is no such project.
    """
    app.gatekeeper.require(me, "data.read", f"project:{name}")
    project = app.store.projects.get(name)
    tables, events = app.store.tables, app.store.events
    ingest(name, events, tables, numeric=numeric_inputs(app.store, project))
    found = interactions(project, tables, events)
    return Impact(releases=found, changes=changes(found))
