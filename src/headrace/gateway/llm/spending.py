"""What a call may cost is held back before it is made, and what it has cost is taken when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.core.project import Project
from headrace.gateway.budgets import Amount, Budgets, Limit, Reservation, Scope
from headrace.gateway.llm.chat import Answered, Filled, Usage
from headrace.gateway.llm.declared import Declared
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.prices import Prices
from headrace.projects.llm import Budget

_MICRO = 1_000_000


class Charge(NamedTuple):
    """What is held back for one call, and so the most that it may cost."""

    reservation: Reservation
    at: datetime
    most: Amount


class Settled(NamedTuple):
    """What a call has cost, in the currency of the prices, or None where nobody knows; and what is still to
    be done in a thread: what exceeds a reservation is written down at once, which waits for the database."""

    cost: float | None = None
    waits: Callable[[], None] | None = None


NOT_PAID = Settled()


class Spending:
    """Budgets and prices of the calls of all projects."""

    def __init__(self, declared: Declared, budgets: Budgets, prices: Prices) -> None:
        self._declared = declared
        self._budgets = budgets
        self._prices = prices

    async def reserve(
        self, principal: Principal, project: Project, targets: Sequence[Target], filled: Filled, at: datetime
    ) -> Charge:
        """Hold back the most that a call can cost: of the dearest of its models, as long as it may answer.

        Raises:
            OverBudget: it is more than is left of a budget.
            InvalidInput: a budget counts money, and nobody knows the price of a model.
        """
        spec = self._declared.of(project)
        counted = {one.of for one in spec.budgets}
        used = Usage()
        if counted - {"requests"}:
            used = Usage(input=filled.most_input, output=filled.most_output(spec.answer_tokens))
        micro = 0
        if "money" in counted:
            micro = self._most(targets, used, at, refuse=spec.unpriced == "refuse")
        limits = [limit_of(one, project.name, principal.workspace, principal.name) for one in spec.budgets]
        amount = Amount(micro=micro, tokens=used.input + used.output)
        return Charge(await self._budgets.reserve(limits, amount), at, amount)

    def settle(self, charge: Charge, target: Target | None, answered: Answered | None) -> Settled:
        """Take what a call has cost.

        What a provider has done and not counted costs all that was held back for it.

        Args:
            target: who answered; None: nobody did, so that everything is given back.
        """
        if target is None or answered is None:
            self._budgets.release(charge.reservation)
            return NOT_PAID
        if not answered.is_counted:
            self._budgets.settle(charge.reservation, charge.most)
            return Settled(charge.most.micro / _MICRO)
        used = answered.usage
        cost = self._prices.cost(target, used, charge.at)
        actual = Amount(micro=0 if cost is None else cost.micro, tokens=used.input + used.output)
        settle = partial(self._budgets.settle, charge.reservation, actual)
        paid = Settled(None if cost is None else cost.micro / _MICRO)
        if not charge.reservation.covers(actual):
            return paid._replace(waits=settle)
        settle()
        return paid

    def _most(self, targets: Sequence[Target], used: Usage, at: datetime, *, refuse: bool) -> int:
        most = 0
        for target in targets:
            cost = self._prices.cost(target, used, at)
            if cost is None and refuse:
                raise InvalidInput(
                    f"Nobody knows what {target} costs, and a budget counts money. Add its price to the "
                    "operator's prices.yaml, or set llm.unpriced: flag in headrace.yaml."
                )
            most = max(most, 0 if cost is None else cost.micro)
        return most


def limit_of(one: Budget, project: str, workspace: str, principal: str) -> Limit:
    """A declared budget as it is counted: a caller's own in each project."""
    names = {"principal": f"{project}/{principal}", "workspace": workspace, "project": project}
    most = one.most * _MICRO if one.of == "money" else one.most
    return Limit(scope=Scope(one.per, names[one.per]), measure=one.of, most=int(most), period=one.period)
