"""Budgets that hold: what a call may cost is taken out before it is made, and settled when it has ended."""

from headrace.gateway.budgets.limits import Amount, Limit, Measure, OverBudget, Period, Scope
from headrace.gateway.budgets.reserving import Budgets, Reservation

__all__ = ["Amount", "Budgets", "Limit", "Measure", "OverBudget", "Period", "Reservation", "Scope"]
