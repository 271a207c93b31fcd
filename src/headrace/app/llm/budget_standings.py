"""How the budgets of a project stand now: spent, held for calls under way, and left, by whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from headrace.app.composition import App
from headrace.app.llm.self_hosting import hours_of
from headrace.app.overviews import reading
from headrace.core.identity import Principal
from headrace.gateway.budgets import Limit, account_of, window
from headrace.gateway.llm.prices import FILE as PRICES
from headrace.gateway.llm.prices import read_prices
from headrace.gateway.llm.spending import limit_of
from headrace.projects.llm import Budget, llm_of
from headrace.store.budgets import Standing

_MOST_SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class BudgetStanding:
    """One budget of one subject in its present period; amounts in the unit of ``of``, money in ``currency``.

    Attributes:
        subject: the project, workspace or principal.
        spent: for good. ``reserved`` is held for calls under way, or by a server that may spend it next.
        resets_at: when it begins anew.
    """

    per: str
    subject: str
    of: str
    period: str
    spent: float
    reserved: float
    most: float
    resets_at: datetime
    currency: str

    @property
    def left(self) -> float:
        """What a call may still take."""
        return max(0.0, self.most - self.spent - self.reserved)


def budget_standings(app: App, me: Principal, name: str) -> list[BudgetStanding]:
    """Those of the project and of the 100 principals that have used most of theirs, the fullest first.

    Raises:
        NotFound, Denied: there is no such project, or it is not for ``me`` to see.
    """
    project, now = reading.project(app, me, name), app.clock.now()
    budgets = llm_of(project).budgets
    currency = read_prices(app.settings.home / PRICES).currency
    found = [
        _standing(budget, limit, standing, currency, now)
        for budget in budgets
        for limit, standing in _counted(app, budget, name, me.workspace, now)
    ]
    found.sort(key=lambda one: (-(one.spent + one.reserved) / one.most, one.per, one.subject))
    return found[:_MOST_SHOWN]


def calls_without_price(app: App, me: Principal, name: str) -> int:
    """How many calls of the last 30 days no budget of money has counted, as nobody knows what they cost; 0
    where no budget counts money.

    Raises:
        NotFound, Denied: there is no such project, or it is not for ``me`` to see.
    """
    project = reading.project(app, me, name)
    if not any(budget.of == "money" for budget in llm_of(project).budgets):
        return 0
    return sum(hour.n_unpriced for hour in hours_of(app, name, app.clock.now() - timedelta(days=30)))


def _counted(
    app: App, budget: Budget, project: str, workspace: str, now: datetime
) -> Iterator[tuple[Limit, Standing]]:
    """Each account that the budget holds for, with what is spent of it."""
    names = [""]
    if budget.per == "principal":
        begins, ends = f"principal:{project}/", f"/{budget.of}/{budget.period}"
        accounts = app.store.budgets.find(begins, ends, int(now.timestamp() * 1_000_000))
        names = [one.key.removeprefix(begins).removesuffix(ends) for one in accounts]
    limits = [limit_of(budget, project, workspace, name) for name in names]
    standings = app.store.budgets.standing([account_of(limit, now) for limit in limits])
    yield from zip(limits, standings, strict=True)


def _standing(
    budget: Budget, limit: Limit, standing: Standing, currency: str, now: datetime
) -> BudgetStanding:
    unit = 1_000_000 if budget.of == "money" else 1
    return BudgetStanding(
        per=budget.per,
        subject=limit.scope.name.partition("/")[2] if budget.per == "principal" else limit.scope.name,
        of=budget.of,
        period=budget.period,
        spent=(standing.spent - standing.held) / unit,
        reserved=standing.held / unit,
        most=limit.most / unit,
        resets_at=window(limit.period, now)[1],
        currency=currency,
    )
