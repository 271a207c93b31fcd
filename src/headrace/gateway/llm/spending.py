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
from headrace.gateway.budgets.limits import NOTHING
from headrace.gateway.llm.chat import Answered, Filled, Usage
from headrace.gateway.llm.declared import Declared
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.prices import Prices
from headrace.projects.llm import Budget

_MICRO = 1_000_000


class Charge(NamedTuple):
    """What is held back for one call: ``most`` is the most that one answer may cost, and ``used`` the tokens
    of it; a second provider that may be asked as well has its own share of the reservation."""

    reservation: Reservation
    at: datetime
    most: Amount
    used: Usage


class Settled(NamedTuple):
    """What a call has come to.

    Attributes:
        cost: in the currency of the prices; None where nobody knows.
        waits: is still to be called, in a thread: what exceeds a reservation is written down at once, which
            waits for the database.
        estimated: the tokens that it took as far as is known, where its provider has not said so.
    """

    cost: float | None = None
    waits: Callable[[], None] | None = None
    estimated: Usage | None = None


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
        used = Usage(input=filled.most_input)
        if counted - {"requests"}:
            used = used._replace(output=filled.most_output(spec.answer_tokens))
        refuse = spec.unpriced == "refuse"
        limits = [limit_of(one, project.name, principal.workspace, principal.name) for one in spec.budgets]
        amount = held = self._amount(targets, used, at, money="money" in counted, refuse=refuse)
        others = [one for one in targets if one.endpoint != targets[0].endpoint]
        if spec.hedge_after_ms is not None and others:
            held = _sum(amount, self._amount(others, used, at, money="money" in counted, refuse=refuse))
        return Charge(await self._budgets.reserve(limits, held), at, amount, used)

    def settle(
        self,
        charge: Charge,
        target: Target | None,
        answered: Answered | None,
        lost: Sequence[Target] = (),
    ) -> Settled:
        """Take what a call has cost.

        What a provider has done and not counted takes all that was held back for it, for it may be as much;
        its cost is that of what was sent and came back.

        Args:
            target: who answered; None: nobody did, so that everything is given back.
            lost: who was asked as well, and stopped: nobody knows how far they had come.
        """
        nothing = target is None or answered is None
        if nothing and not lost:
            self._budgets.release(charge.reservation)
            return NOT_PAID
        extra = self._lost(charge, lost) if lost else NOTHING
        if target is None or answered is None:
            return self._take(charge, extra, Settled(extra.micro / _MICRO))
        used, estimated = answered.usage, None
        if not answered.is_counted:
            used = estimated = used._replace(input=used.input or charge.used.input)
        cost = self._prices.cost(target, used, charge.at)
        micro = 0 if cost is None else cost.micro
        actual = charge.most
        if estimated is None:
            actual = Amount(micro=micro, tokens=used.input + used.output)
        paid = Settled(None if cost is None else (micro + extra.micro) / _MICRO, estimated=estimated)
        return self._take(charge, _sum(actual, extra), paid)

    def _take(self, charge: Charge, actual: Amount, paid: Settled) -> Settled:
        settle = partial(self._budgets.settle, charge.reservation, actual)
        if not charge.reservation.covers(actual):
            return paid._replace(waits=settle)
        settle()
        return paid

    def _amount(
        self, targets: Sequence[Target], used: Usage, at: datetime, *, money: bool, refuse: bool
    ) -> Amount:
        micro = self._most(targets, used, at, refuse=refuse) if money else 0
        return Amount(micro=micro, tokens=used.input + used.output)

    def _lost(self, charge: Charge, lost: Sequence[Target]) -> Amount:
        """What those cost who were stopped: the most that each could."""
        micro = sum(self._most([one], charge.used, charge.at, refuse=False) for one in lost)
        tokens = len(lost) * (charge.used.input + charge.used.output)
        return Amount(micro=micro, tokens=tokens, requests=0)

    def _most(self, targets: Sequence[Target], used: Usage, at: datetime, *, refuse: bool) -> int:
        most = 0
        for target in targets:
            cost = self._prices.most(target, used, at)
            if cost is None and refuse:
                raise InvalidInput(
                    f"Nobody knows what {target} costs, and a budget counts money. Add its price to the "
                    "operator's prices.yaml, or set llm.unpriced: flag in headrace.yaml."
                )
            most = max(most, 0 if cost is None else cost.micro)
        return most


def _sum(one: Amount, other: Amount) -> Amount:
    """Both; a second question is no second request."""
    return Amount(micro=one.micro + other.micro, tokens=one.tokens + other.tokens)


def limit_of(one: Budget, project: str, workspace: str, principal: str) -> Limit:
    """A declared budget as it is counted: a caller's own in each project."""
    names = {"principal": f"{project}/{principal}", "workspace": workspace, "project": project}
    most = one.most * _MICRO if one.of == "money" else one.most
    return Limit(scope=Scope(one.per, names[one.per]), measure=one.of, most=int(most), period=one.period)
