"""Runs that were logged by other tools: what all of them have in common, whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from headrace.core.data import Point


@dataclass(frozen=True, kw_only=True)
class Captured:
    """One run as its tool wrote it down.

    Attributes:
        tool: ``sacred`` or ``tensorboard``.
        source_id: names the run among all that this tool has written; the same run has the same one.
        name: what people call it.
        series: metric name to its values in the order of their steps.
        error: why it failed.
    """

    tool: Literal["sacred", "tensorboard"]
    source_id: str
    name: str
    params: dict[str, Any]
    series: dict[str, list[Point]]
    started_at: datetime
    finished_at: datetime
    tags: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric."""
        return {name: points[-1].value for name, points in self.series.items() if points}


def flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested parameters by their dotted names; whatever is no plain value as text.

    >>> dict(flat({"model": {"depth": 3}, "layers": [1, 2]}))
    {'model.depth': 3, 'layers': '[1, 2]'}
    """
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, (str, int, float, bool)) else str(value)
