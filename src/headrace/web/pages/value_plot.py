"""The realised value so far, drawn beside the straight line of the hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.monitoring.value import Realised

_WIDTH, _HEIGHT = 600.0, 160.0


@dataclass(frozen=True, kw_only=True)
class ValuePlot:
    """Points of an SVG of 600 by 160: ``x,y`` pairs.

    Attributes:
        band: the interval as a polygon; empty where there is none.
        zero: height of the line of no value.
        highest, lowest: values at the upper and the lower edge.
    """

    line: str
    band: str
    hypothesis: str
    zero: float
    highest: float
    lowest: float
    n_months: int


def value_plot(found: Realised) -> ValuePlot | None:
    """None where there is nothing to draw."""
    months = [one for one in found.months if one.so_far is not None]
    if not months or found.case is None:
        return None
    n_months = min(12, found.case.months)
    expected = found.case.expected * n_months / found.case.months
    values = [0.0, expected, *(one.so_far or 0.0 for one in months)]
    values += [end for one in months for end in one.so_far_interval or ()]
    highest, lowest = max(values), min(values)

    def points(pairs: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x * _WIDTH / n_months:.1f},{y_of(y):.1f}" for x, y in pairs)

    def y_of(value: float) -> float:
        return _HEIGHT * (highest - value) / (highest - lowest)

    # A month that goes on ends, for the line, where the hypothesis has got to by what was measured last.
    whole = found.case.expected / found.case.months
    ends = [(one.expected_so_far / whole, one) for one in months]
    known = [(x, one.so_far_interval) for x, one in ends if one.so_far_interval is not None]
    upper = [(0.0, 0.0), *((x, interval[1]) for x, interval in known)]
    lower = [(0.0, 0.0), *((x, interval[0]) for x, interval in known)]
    return ValuePlot(
        line=points([(0.0, 0.0), *((x, one.so_far or 0.0) for x, one in ends)]),
        band=points([*upper, *reversed(lower)]) if known else "",
        hypothesis=points([(0.0, 0.0), (float(n_months), expected)]),
        zero=y_of(0.0),
        highest=highest,
        lowest=lowest,
        n_months=n_months,
    )
