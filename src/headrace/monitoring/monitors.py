"""Everything that is watched, by name: one entry is one step of a round."""

from __future__ import annotations

from collections.abc import Callable

from headrace.monitoring.answers import watch_answers
from headrace.monitoring.estimates import watch_estimates
from headrace.monitoring.fairness import watch_fairness
from headrace.monitoring.metrics import watch_metrics
from headrace.monitoring.performance import watch_performance
from headrace.monitoring.shifts import watch_shifts
from headrace.monitoring.watch import Round, Watch

MONITORS: dict[str, Callable[[Watch], Round]] = {
    "answers": watch_answers,
    "shifts": watch_shifts,
    "performance": watch_performance,
    "estimates": watch_estimates,
    "metrics": watch_metrics,
    "fairness": watch_fairness,
}
"""In the order in which they look."""
