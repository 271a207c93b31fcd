"""All models at one look: how many need somebody, and which first."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.app.composition import App
from headrace.app.overviews.glance import STATES, Glance, State, by_urgency, matches
from headrace.app.overviews.glances import glances
from headrace.app.overviews.reading import projects
from headrace.app.overviews.service_levels import lost
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.ports import Uptime


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Everything that ``me`` may see, at a glance.

    Attributes:
        server: the address of a live server.
        lost: servers that went away within a day without saying so, and that none has replaced.
        counts: by state, how many projects there are, whichever are listed.
        projects: those that were asked for, the most urgent first.
    """

    server: str | None
    lost: list[Uptime]
    counts: dict[str, int]
    projects: list[Glance]


def server_address(app: App) -> str | None:
    """Where a server of this home is up; None where none is."""
    return next((address for _, address in app.store.executors.living("server") if address), None)


def overview(app: App, me: Principal, *, words: str = "", state: str = "") -> Overview:
    """What is live, how it is doing, and which model needs somebody first.

    Args:
        words: only projects of which each word is said: name, owner, tag, health, reason.
        state: only those in this state: ``act``, ``watch``, ``fine`` or ``idle``.

    Raises:
        InvalidInput: there is no such state.
    """
    if state and state not in STATES:
        raise InvalidInput(f"There is no state {state[:40]!r}. Expected one of: {', '.join(STATES)}.")
    found = glances(app, projects(app, me))
    wanted: State | None = next((one for one in STATES if one == state), None)
    return Overview(
        server=server_address(app),
        lost=lost(app),
        counts={name: sum(one.state == name for one in found) for name in STATES},
        projects=by_urgency(one for one in found if matches(one, words, wanted)),
    )
