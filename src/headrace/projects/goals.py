"""What a project is held to, in one list for everybody: each goal is defined once, in its charter.

Pages, command line, API, ``/metrics`` and dashboards show this list and nothing of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from headrace.core.project import Project
from headrace.projects.intake import intake_of

Role = Literal["business", "data science", "development", "operations", "security"]
Must = Literal["at most", "at least", "stated"]
_DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One thing that the project is held to.

    Attributes:
        name: where the charter defines it, such as ``serving.level.p99_ms``; unique in a project.
        what: in words.
        must: be ``at most`` or ``at least`` the ``limit``; ``stated``: in words, or measured without a limit.
        unit: of the limit; empty of a share or a number of its own kind.
        roles: who acts on it first; all see all of them.
    """

    name: str
    what: str
    must: Must
    limit: float | None
    unit: str
    roles: tuple[Role, ...]

    @property
    def said(self) -> str:
        """The goal as it reads, such as ``at most 50 ms``.

        >>> Goal(name="a", what="b", must="at most", limit=50, unit="ms", roles=()).said
        'at most 50 ms'
        >>> Goal(name="a", what="b", must="at most", limit=172_800, unit="s", roles=()).said
        'at most 2 days'
        """
        if self.limit is None:
            return "stated"
        if self.unit == "s" and self.limit >= _DAY_S and self.limit % _DAY_S == 0:
            days = self.limit / _DAY_S
            return f"{self.must} {days:,.10g} {'day' if days == 1 else 'days'}"
        return f"{self.must} {self.limit:,.10g} {self.unit}".strip()


def goals_of(project: Project) -> tuple[Goal, ...]:
    """All goals of a project, from its value to how long data is kept.

    Raises:
        InvalidInput: its intake was kept by another version of Headrace, and cannot be read.

    Example::

        [(goal.name, goal.said) for goal in goals_of(load_project(Path()))]
    """
    return (
        *_value(project),
        *_quality(project),
        *_data(project),
        *_service(project),
        *_protection(project),
    )


def _stated(name: str, what: str, *roles: Role) -> Goal:
    return Goal(name=name, what=what, must="stated", limit=None, unit="", roles=roles)


def _most(name: str, what: str, limit: float, unit: str, *roles: Role) -> Goal:
    return Goal(name=name, what=what, must="at most", limit=limit, unit=unit, roles=roles)


def _least(name: str, what: str, limit: float, unit: str, *roles: Role) -> Goal:
    return Goal(name=name, what=what, must="at least", limit=limit, unit=unit, roles=roles)


def _value(project: Project) -> Iterator[Goal]:
    yield _stated("value.kpi", project.value.kpi, "business", "data science")
    case = intake_of(project).value
    if case is not None:
        what = f"what it brings in {case.months} months"
        yield _least("intake.value.expected", what, case.expected, case.unit, "business")
    for kpi in project.kpis:
        of = f"of {kpi.event!r}" if kpi.event else "of what is decided from what was answered"
        yield _stated(f"kpis.{kpi.name}", f"{kpi.measure} {of}", "business", "data science")


def _quality(project: Project) -> Iterator[Goal]:
    gate = project.gates.model
    if gate.max_loss is not None:
        yield _most(
            "gates.model.max_loss", f"{_metric(gate.metric)} on test rows", gate.max_loss, "", "data science"
        )
    what = f"how much worse in {_metric(gate.metric)} than what is live"
    yield _most("gates.model.margin", what, gate.margin, "of its loss", "data science", "operations")
    for metric in project.metrics:
        name, what = f"metrics.{metric.name}", f"{_metric(metric.name)} of every version"
        if metric.min is None and metric.max is None:
            yield _stated(name, what, "data science")
        if metric.min is not None:
            yield _least(f"{name}.min", what, metric.min, "", "data science")
        if metric.max is not None:
            yield _most(f"{name}.max", what, metric.max, "", "data science")
    what = "loss of live answers, against that on test rows"
    yield _most(
        "monitors.loss_ratio", what, project.monitors.loss_ratio, "times", "data science", "operations"
    )
    if project.fairness is not None:
        what = f"difference between groups of {', '.join(project.fairness.groups)}"
        limit = project.fairness.max_difference
        yield _most("fairness.max_difference", what, limit, "", "data science", "security")


def _metric(name: str) -> str:
    """A metric as people write it: ``log loss``, and abbreviations such as ``ECE`` in capitals."""
    is_word = len(name) > 4 or "_" in name or name == "bias"
    return name.replace("_", " ") if is_word else name.upper()


def _data(project: Project) -> Iterator[Goal]:
    sets = [
        ("data.targets", project.data.targets),
        *((f"data.features.{one.name}.targets", one.targets) for one in project.data.features),
    ]
    for place, targets in sets:
        for target, limit in targets.items():
            end, _, what = target.partition("_")
            unit = "s" if what.endswith("_s") else ""
            made = _least if end == "min" else _most
            yield made(
                f"{place}.{target}",
                f"{what.removesuffix('_s').replace('_', ' ')} of each arrival",
                limit,
                unit,
                "data science",
                "development",
            )


def _service(project: Project) -> Iterator[Goal]:
    limit = project.rollout.max_error_rate
    yield _most(
        "rollout.max_error_rate", "failed answers of a candidate", limit, "", "development", "operations"
    )
    level = project.serving.level
    if level is not None:
        what = "time within which 99 of 100 requests are answered"
        yield _most("serving.level.p99_ms", what, level.p99_ms, "ms", "development", "operations")
        what = "requests up to which that holds"
        rate = level.requests_per_s
        yield _least("serving.level.requests_per_s", what, rate, "a second", "development", "operations")
        what = "share of valid requests that are answered"
        yield _least("serving.level.availability", what, level.availability, "", "development", "operations")


def _protection(project: Project) -> Iterator[Goal]:
    days = project.privacy.retention_days
    yield _most(
        "privacy.retention_days", "answers and labels are kept", days, "days", "security", "operations"
    )
    what = "a violation of fairness or of the rules stays open"
    limit = project.alerts.close_within_s
    yield _most("alerts.close_within_s", what, limit, "s", "security", "operations")
    if project.review.every_days is not None:
        what = "between two reviews of what is live"
        yield _most("review.every_days", what, project.review.every_days, "days", "security", "business")
