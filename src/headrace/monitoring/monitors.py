"""Everything that is watched, by name: one entry is one step of a round."""

from __future__ import annotations

from collections.abc import Callable

from headrace.checks.tasks import GENERATIVE, UNSUPERVISED
from headrace.core.project import Project
from headrace.monitoring.answers import watch_answers
from headrace.monitoring.bias import watch_bias
from headrace.monitoring.calls import watch_calls
from headrace.monitoring.coverage import watch_coverage
from headrace.monitoring.estimates import watch_estimates
from headrace.monitoring.fairness import watch_fairness
from headrace.monitoring.kpis import watch_kpis
from headrace.monitoring.latency import watch_latency
from headrace.monitoring.metrics import watch_metrics
from headrace.monitoring.newcomers import watch_newcomers
from headrace.monitoring.performance import watch_performance
from headrace.monitoring.refused import watch_refused
from headrace.monitoring.segments import watch_segments
from headrace.monitoring.shifts import watch_shifts
from headrace.monitoring.sources import is_watched, watch_sources
from headrace.monitoring.trends import watch_trends
from headrace.monitoring.watch import Round, Watch

MONITORS: dict[str, Callable[[Watch], Round]] = {
    "calls": watch_calls,
    "refused": watch_refused,
    "latency": watch_latency,
    "answers": watch_answers,
    "shifts": watch_shifts,
    "newcomers": watch_newcomers,
    "coverage": watch_coverage,
    "performance": watch_performance,
    "estimates": watch_estimates,
    "segments": watch_segments,
    "bias": watch_bias,
    "metrics": watch_metrics,
    "fairness": watch_fairness,
    "trends": watch_trends,
    "sources": watch_sources,
}
"""In the order in which they look."""
_OF_TEXTS = frozenset({"calls", "refused", "latency"})
"""Those that say something of a project whose answers are texts."""
MEASURERS: dict[str, Callable[[Watch], Round]] = {"kpis": watch_kpis}
"""Find nothing, and so have no share of the budget of false alarms."""


def ignored(project: Project) -> frozenset[str]:
    """Monitors that a project has no use for: without truth no answer has a loss, and the rows that somebody
    labels say nothing of how many anomalies the rest holds. Of texts only traffic and times are watched.

    >>> from headrace.testing.factories import make_project
    >>> sorted(ignored(make_project()))
    ['bias']
    """
    if project.task in GENERATIVE:
        return frozenset(MONITORS) - _OF_TEXTS
    if project.task in UNSUPERVISED:
        return frozenset({"performance", "estimates", "segments", "bias", "sources"})
    return frozenset() if project.task == "classification" else frozenset({"bias"})


def n_sharing(project: Project) -> int:
    """How many monitors share the budget of false alarms of a project: those that test something in it.

    >>> from headrace.testing.factories import make_project
    >>> n_sharing(make_project()) < len(MONITORS)
    True
    """
    idle = {"refused"} | ignored(project)  # what "refused" counts was refused, whatever chance does
    if project.fairness is None:
        idle.add("fairness")
    if project.serving.level is None:
        idle.add("latency")
    if not project.metrics:
        idle.add("metrics")
    if not is_watched(project):
        idle.add("sources")
    return len(MONITORS.keys() - idle)
