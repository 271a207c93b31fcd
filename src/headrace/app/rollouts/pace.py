"""What a rollout that is under way waits for, for whoever may see it."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.app.composition import App
from headrace.app.llm.budget_standings import BudgetStanding, budget_standings
from headrace.app.overviews import reading
from headrace.app.rollouts.deliver import rules_of
from headrace.checks.tasks import GENERATIVE
from headrace.core.identity import Principal
from headrace.core.release import Measurement, Release, Rollout
from headrace.releases.observing import traffic
from headrace.releases.pace import Awaited, awaited


def awaited_of(
    app: App, me: Principal, release: Release, rollout: Rollout, looks: Sequence[Measurement]
) -> Awaited | None:
    """What the present step waits for; None where none is under way.

    Args:
        looks: at it, the oldest first.

    Raises:
        Denied: ``me`` may not see the project.
    """
    reading.project(app, me, release.project)
    if rollout.state != "canary":
        return None
    n_labels = looks[-1].n_rows if looks else 0
    seen = traffic(app.store, rollout)
    return awaited(rollout, rules_of(app, release).rollout, seen, n_labels, app.clock.now())


def used_up(app: App, me: Principal, project: str) -> list[BudgetStanding]:
    """Budgets of a project that let no call through before they begin anew.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
    """
    if reading.project(app, me, project).task not in GENERATIVE:
        return []
    return [one for one in budget_standings(app, me, project) if not one.left]
