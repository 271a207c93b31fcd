"""Targets and prices of datasets that mean nothing."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from headrace.core.project import DataSpec, FeatureSpec

_NEEDS_TIME = {"max_age_s", "max_step_s", "max_gap_s", "max_delay_s"}
Place = tuple[str | int, ...]


def wrong_targets(data: DataSpec) -> Iterator[tuple[Place, str]]:
    """Each with its place in the charter, of the project's own table and of its feature sets.

    >>> data = DataSpec(source="cars.csv", target="price", targets={"max_age_s": 60})
    >>> list(wrong_targets(data))
    [(('data', 'targets', 'max_age_s'), 'max_age_s is of the times of rows: name their column as data.time')]
    """
    yield from _of(("data",), data)
    for index, one in enumerate(data.features):
        yield from _of(("data", "features", index), one)


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
