"""Budgets that hold: what a call may cost is taken out before it is made, and settled when it has ended."""

from headrace.gateway.budgets.limits import Amount, Limit, Measure, OverBudget, Period, Scope, window
from headrace.gateway.budgets.reserving import Budgets, Reservation, account_of

__all__ = [
    "Amount",
    "Budgets",
    "Limit",
    "Measure",
    "OverBudget",
    "Period",
    "Reservation",
    "Scope",
    "account_of",
    "window",
]
