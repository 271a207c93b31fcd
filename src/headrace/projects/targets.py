"""Targets and prices that mean nothing: of datasets, and of delivery."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isfinite
from typing import get_args

from headrace.core.project import DataSpec, FeatureSpec, Project, TimedTarget

_MOST_DAYS = 36_525
_NEEDS_TIME = frozenset(get_args(TimedTarget))
Place = tuple[str | int, ...]


def wrong_targets(project: Project) -> Iterator[tuple[Place, str]]:
    """Each with its place in the charter: of the project's own table, of its feature sets, of its delivery.

    >>> from headrace.testing import make_project
    >>> list(wrong_targets(make_project(delivery={"target_days": 0})))
    [(('delivery', 'target_days'), 'target_days is 0: expected days, more than 0 and at most 36525')]
    """
    yield from _of(("data",), project.data)
    for index, one in enumerate(project.data.features):
        yield from _of(("data", "features", index), one)
    for name, value in project.delivery.items():
        is_days = name.endswith("_days")
        if is_days and not 0 < value <= _MOST_DAYS:
            text = f"{name} is {value}: expected days, more than 0 and at most {_MOST_DAYS}"
            yield ("delivery", name), text
        elif not is_days and not 0 <= value < inf:
            yield ("delivery", name), f"{name} is {value}: expected a price, 0 or more"


def _of(place: Place, spec: DataSpec | FeatureSpec) -> Iterator[tuple[Place, str]]:
    for kind, numbers in (("targets", spec.targets), ("prices", spec.prices)):
        for name, value in numbers.items():
            if not (isfinite(value) and value >= 0):
                yield (*place, kind, name), f"{name} is {value}: expected 0 or more"
            elif spec.time is None and name in _NEEDS_TIME:
                text = f"{name} is of the times of rows: name their column as data.time"
                yield (*place, kind, name), text
    if "max_cost" in spec.targets and not spec.prices:
        text = "max_cost needs prices: what an arrival costs, and each gb of it"
        yield (*place, "targets", "max_cost"), text
