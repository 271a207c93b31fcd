"""What a project is held to, for whoever may see the project."""

from __future__ import annotations

from headrace.app import reading
from headrace.app.composition import App
from headrace.core.identity import Principal
from headrace.projects.goals import Goal, goals_of


def goals(app: App, me: Principal, name: str) -> tuple[Goal, ...]:
    """All goals of a project, as its charter defines them.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    return goals_of(reading.project(app, me, name))
