"""How often each group gets the favourable outcome, window by window, and how often wrongly not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.fairness import RATES, Gap, Group, compare_groups, gap_of, is_favourable
from headrace.core.project import FairnessSpec
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.labelled import Looks, by_release, changed_rows, labelled_windows
from headrace.monitoring.watch import LEVEL, Round, Watch
from headrace.monitoring.windows import Window, window_rows

NAME = "fairness"
LABELLED = "fairness_labels"
"""Says of which labels of a window the groups' errors have been measured."""


def watch_fairness(watch: Watch) -> Round:
    """Measure each group's rates: the favourable answers of each closed window, errors as labels come.

    A finding needs a gap of ``max_difference`` between two groups and evidence that it is no chance, at
    ``false_alarms`` shared by all columns and rates. Columns that are not among the recorded inputs cannot be
    watched; the window's measurement names them.
    """
    found, spec = Round([], []), watch.project.fairness
    if spec is None:
        return found
    inputs = {column.name for column in watch.project.data.columns if column.role != "ignored"}
    unwatched = [name for name in spec.groups if name not in inputs]
    for window, mark in watch.new_windows(NAME, {"unwatched": unwatched}):
        rows = window_rows(watch.project.name, watch.tables, window)
        selected = is_favourable(rows["out_predict"], spec.favourable)
        columns = {name[3:]: values for name, values in rows.items() if name.startswith("in_")}
        level = watch.level(len(spec.groups) * len(RATES))
        for compared in _compared(spec, columns, selected, None):
            _measure(watch, window, compared, ("selection_rate",), "", found, level=level)
        found.measurements.extend([_denials(watch, window, selected), mark])
    _watch_errors(watch, spec, found)
    return found


def _watch_errors(watch: Watch, spec: FairnessSpec, found: Round) -> None:
    looks = Looks(watch, LABELLED)
    for release_id, mine in by_release(changed_rows(watch).rows):
        for part in labelled_windows(watch, release_id, mine):
            window, rows = part.window, part.rows
            detail = {"look": part.look}
            mark = watch.measurement(window, LABELLED, float(window.n_rows), key=part.labels, detail=detail)
            if mark.id in looks.seen:
                continue
            selected, deserved = (
                is_favourable(values, spec.favourable) for values in (rows.outputs["predict"], rows.truth)
            )
            level = looks.level(part, watch.level(len(spec.groups) * len(RATES)))
            for compared in _compared(spec, rows.columns, selected, deserved):
                _measure(watch, window, compared, RATES[1:], part.labels, found, level=level)
            found.measurements.append(mark)


def _compared(
    spec: FairnessSpec, columns: Mapping[str, Any], selected: Any, deserved: Any
) -> Iterator[tuple[str, list[Group]]]:
    for name in spec.groups:
        if name in columns:
            yield name, compare_groups(columns[name], selected, deserved)


def _measure(
    watch: Watch,
    window: Window,
    compared: tuple[str, list[Group]],
    rates: tuple[str, ...],
    key: str,
    found: Round,
    *,
    level: float | None,
) -> None:
    """``level`` of what may be found; None: the rates are measured and nothing is concluded."""
    (column, groups), spec = compared, watch.project.fairness
    for group in groups:
        for rate in rates:
            share = group.rates[rate]
            found.measurements.append(
                watch.measurement(
                    window,
                    rate,
                    share.rate,
                    key=f"{column}:{group.name}:{key}",
                    feature=column,
                    segment=group.name,
                    interval=share.interval(LEVEL),
                    detail={"rows": share.n},
                )
            )
    for rate in rates:
        gap = None if spec is None else gap_of(groups, rate, max(spec.min_rows, 1))
        if gap is not None and spec is not None and level is not None:
            finding = _unequal(watch, window, column, gap, spec, level)
            found.findings.extend([] if finding is None else [finding])


def _unequal(
    watch: Watch, window: Window, column: str, gap: Gap, spec: FairnessSpec, level: float
) -> Finding | None:
    if gap.difference < spec.max_difference or gap.p_value > level or gap.n_rows < watch.fewest:
        return None
    evidence = {
        "test": "chi-square of homogeneity",
        "p_value": gap.p_value,
        "level": level,
        "rate": gap.rate,
        "highest": gap.highest,
        "lowest": gap.lowest,
        "difference": gap.difference,
        "ratio": gap.ratio,
        "limit": spec.max_difference,
        "n_rows": gap.n_rows,
    }
    words = gap.rate.replace("_", " ")
    title = f"{words} of {column}: {gap.highest!r} is {100 * gap.difference:.0f} points above {gap.lowest!r}"
    return watch.finding(
        window, "fairness", title, evidence, gap.difference,
        feature=f"{column}: {gap.rate}",
    )  # fmt: skip


def _denials(watch: Watch, window: Window, selected: NDArray[np.bool_]) -> Measurement:
    """The rate of the unfavourable answers over all groups."""
    return watch.measurement(window, "denial_rate", float(1 - selected.mean()) if selected.size else None)
