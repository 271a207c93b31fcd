"""What a project is held to, for whoever may see the project."""

from __future__ import annotations

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.core.identity import Principal
from headrace.projects.goals import Goal, goals_of


def goals(app: App, me: Principal, name: str) -> tuple[Goal, ...]:
    """All goals of a project, by the charter that is in force: a live release's, and until then as declared.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    return goals_of(app.access.charters.bound(reading.project(app, me, name)))
