"""Is the data itself biased? How each group of rows is represented, filled and labelled, before training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import label_counts, labels, missing, numbers
from headrace.checks.fairness import Gap, Group, Share, compare_groups, gap_of
from headrace.checks.metrics import labels_of
from headrace.checks.quality import good_rows
from headrace.checks.tasks import UNSUPERVISED
from headrace.core.ports import Columns
from headrace.core.project import Project
from headrace.core.release import Outcome4

MIN_ROWS = 30
"""Groups with fewer rows are named, for a model cannot be judged on them, and not compared."""
LARGEST_DIFFERENCE = 0.1
"""How much more often one group's rows may be incomplete, or of no use, than another's."""
_LEVEL = 0.01
"""Chance of a difference where there is none, over all that is compared."""
_MOST_COLUMNS, _MOST_GROUPS, _LISTED = 5, 20, 5
_WEEKDAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")
"""From day 0 of 1970 on."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class BiasResult:
    """The verdict on a table's groups. ``evidence`` is JSON."""

    outcome: Outcome4
    reason: str
    evidence: dict[str, Any]


def data_bias(columns: Columns, project: Project) -> BiasResult:
    """Hold the groups of rows against each other, without any model and without needing labels.

    ``inconclusive``, so that a person decides, where one group's rows lack an input or are of no use more
    often than another's, by :data:`LARGEST_DIFFERENCE` and more than chance explains (chi-square of
    homogeneity, Bonferroni over all that is compared). Groups with few rows, each group's share, and how it
    is labelled are reported: a difference there may be the truth.

    What is compared are the columns of ``fairness.groups``, ``monitors.segments`` and
    ``gates.data.segment``, then other columns with few values, five at most; numbers are cut at their
    quartiles. A forecast is compared by weekday, and by month from a year on: a day without a row is of no
    use either.
    """
    if project.task == "forecasting":
        compared, lacking = _calendar(columns, project)
    else:
        compared = {name: _grouped(np.asarray(columns[name])) for name in _compared(columns, project)}
        lacking = {
            "incomplete": _incomplete(columns, project),
            "of no use": ~good_rows(columns, project.data, learns_target=project.task not in UNSUPERVISED),
        }
    n_tests = max(1, len(compared) * len(lacking))
    found: list[tuple[str, str, Gap]] = []
    told: list[dict[str, Any]] = []
    thin: list[str] = []
    for column, names in compared.items():
        by_lack = {lack: compare_groups(names, rows) for lack, rows in lacking.items()}
        found += [
            (column, lack, gap)
            for lack, groups in by_lack.items()
            if (gap := _gap(groups, n_tests)) is not None
        ]
        first = next(iter(by_lack.values()))
        thin += [f"{column} {group.name}" for group in first if group.n_rows < MIN_ROWS]
        told += _told(column, names, by_lack, {} if project.task == "forecasting" else columns, project)
    return _concluded(found, thin, told, list(compared))


def _concluded(
    found: Sequence[tuple[str, str, Gap]], thin: list[str], told: list[dict[str, Any]], compared: list[str]
) -> BiasResult:
    words = [
        f"rows of {column} {gap.highest!r} are {lack} {gap.difference:.0%} more often than those of "
        f"{gap.lowest!r}"
        for column, lack, gap in found
    ]
    if thin:
        more = f" and {len(thin) - _LISTED} more" if len(thin) > _LISTED else ""
        words.append(f"fewer than {MIN_ROWS} rows to judge a model on: {', '.join(thin[:_LISTED])}{more}")
    alike = f"{len(told)} groups by {', '.join(compared)} are filled alike"
    evidence = {
        "columns": compared,
        "groups": told,
        "thin": thin,
        "limits": {"difference": LARGEST_DIFFERENCE, "min_rows": MIN_ROWS, "level": _LEVEL},
    }
    if not compared:
        return BiasResult(outcome="passed", reason="no column tells groups apart", evidence=evidence)
    outcome: Outcome4 = "inconclusive" if found else "passed"
    return BiasResult(outcome=outcome, reason="; ".join(words) or alike, evidence=evidence)


def _compared(columns: Columns, project: Project) -> list[str]:
    """What somebody has named comes first; then what has few values; a number only where nothing else is."""
    fair = () if project.fairness is None else project.fairness.groups
    segment = project.gates.data.segment
    named = [*fair, *project.monitors.segments, *([] if segment is None else [segment])]
    inputs = {one.name: one.role for one in project.data.columns if one.role in ("categorical", "numeric")}
    few = [name for name, role in inputs.items() if role == "categorical"]
    numeric = [name for name, role in inputs.items() if role == "numeric"]
    taken = [name for name in dict.fromkeys([*named, *few]) if name in columns]
    taken = [name for name in taken if _tells_apart(np.asarray(columns[name]), name in named)]
    return taken[:_MOST_COLUMNS] or [name for name in numeric if name in columns][:1]


def _tells_apart(values: NDArray[Any], named: bool) -> bool:
    if values.dtype.kind in "fiu":
        return True
    n_groups = len(label_counts(values).keys() - {None})
    return n_groups > 1 and (named or n_groups <= _MOST_GROUPS)


def _grouped(values: NDArray[Any]) -> NDArray[Any]:
    """Each row's group, ``(n_rows,)``: its label, or the quarter of the numbers that it is in."""
    if values.dtype.kind not in "fiu" or len(label_counts(values)) <= _MOST_GROUPS:
        return np.array(labels(values), dtype=object)
    known = numbers(values, "a number")
    if not np.isfinite(known).any():
        return np.full(len(values), None, dtype=object)
    cuts = np.unique(np.nanquantile(known, [0.25, 0.5, 0.75]))
    ends = ["", *(f"{cut:.6g}" for cut in cuts), ""]
    names = [f"{low} to {high}" if low and high else f"{low}up to {high}" if high else f"above {low}"
             for low, high in pairwise(ends)]  # fmt: skip
    places = np.searchsorted(cuts, np.nan_to_num(known), side="left")
    return np.array(
        [names[place] if ok else None for place, ok in zip(places, np.isfinite(known), strict=True)],
        dtype=object,
    )


def _incomplete(columns: Columns, project: Project) -> Mask:
    """Rows in which an input is missing, ``(n_rows,)``."""
    inputs = [c.name for c in project.data.columns if c.role != "ignored" and c.name in columns]
    lacking = [missing(np.asarray(columns[name])) for name in inputs]
    n_rows = len(next(iter(columns.values())))
    return np.asarray(np.any(lacking, axis=0)) if lacking else np.zeros(n_rows, dtype=bool)


def _calendar(columns: Columns, project: Project) -> tuple[dict[str, NDArray[Any]], dict[str, Mask]]:
    """Every day from the first to the last, grouped; which of them have no known value."""
    times = np.asarray(columns[project.data.time or ""]).astype("datetime64[D]")
    known = times[good_rows(columns, project.data)]
    if not len(known):
        return {}, {}
    days = np.arange(known.min(), known.max() + np.timedelta64(1, "D"))
    absent = ~np.isin(days, known)
    weekday = np.array([_WEEKDAYS[day % 7] for day in days.astype(int)], dtype=object)
    compared = {"weekday": weekday}
    if len(days) >= 365:
        compared["month"] = np.array(
            [f"{month % 12 + 1:02d}" for month in days.astype("datetime64[M]").astype(int)], dtype=object
        )
    return compared, {"absent": absent}


def _gap(groups: list[Group], n_tests: int) -> Gap | None:
    found = gap_of(groups, "selection_rate", MIN_ROWS)
    if found is None or found.difference <= LARGEST_DIFFERENCE or found.p_value >= _LEVEL / n_tests:
        return None
    return found


def _told(
    column: str, names: NDArray[Any], by_lack: Mapping[str, list[Group]], columns: Columns, project: Project
) -> Iterator[dict[str, Any]]:
    """What is kept of each group of a column."""
    total = sum(group.n_rows for group in next(iter(by_lack.values())))
    labelled = _labelled(names, columns, project)
    for index, group in enumerate(next(iter(by_lack.values()))):
        lacks = {lack: groups[index].rates["selection_rate"].rate for lack, groups in by_lack.items()}
        yield {
            "column": column,
            "group": group.name,
            "rows": group.n_rows,
            "share": group.n_rows / total,
            **lacks,
            **labelled.get(group.name, {}),
        }


def _labelled(names: NDArray[Any], columns: Columns, project: Project) -> dict[str, dict[str, Any]]:
    """How each group is labelled, with a 90 % interval: a share of one class, or a mean."""
    target = project.data.target
    if project.task in UNSUPERVISED or target not in columns:
        return {}
    truth = np.asarray(columns[target])
    known = ~missing(truth)
    if project.task == "classification":
        wanted = _watched_class(truth[known], project)
        hits = np.array([one == wanted for one in labels_of(truth[known])], dtype=bool)
        groups = compare_groups(names[known], hits)
        return {one.name: _rate(str(wanted), one.rates["selection_rate"]) for one in groups}
    values = numbers(truth, target)
    found = {}
    for name in dict.fromkeys(names.tolist()):
        mine = values[(names == name) & np.isfinite(values)]
        if name is not None and len(mine) > 1:
            reach = 1.645 * float(mine.std(ddof=1)) / math.sqrt(len(mine))
            mean = float(mine.mean())
            found[name] = {"label": mean, "label interval": [mean - reach, mean + reach]}
    return found


def _rate(wanted: str, share: Share) -> dict[str, Any]:
    return {"class": wanted, "label": share.rate, "label interval": list(share.interval(0.9) or ())}


def _watched_class(truth: NDArray[Any], project: Project) -> Any:
    """The favourable class where one is declared, else the rarest: there a difference matters most."""
    if project.fairness is not None:
        return labels_of([project.fairness.favourable])[0]
    counts = Counter(labels_of(truth))
    return min(counts, key=lambda one: counts[one], default=None)
