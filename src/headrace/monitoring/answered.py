"""What each release answered in each hour or day, in numbers: no row leaves the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np

from headrace.checks.profiles import NumericProfile
from headrace.core.ports import Columns
from headrace.core.project import OutputSpec, Project
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.ingest import as_category, predictions_table, quoted
from headrace.monitoring.watch import Watch
from headrace.monitoring.windows import as_utc

_LISTED = 50
"""Classes that are counted by name; the rarer ones are one."""
OTHER = "(other)"
_RANKS = (0.1, 0.5, 0.9)
_NUMBERS = ("min", "max", "median", "mean", "deviation")
_CONFIDENCE = ("confidence", "confidence_deviation", "confidence_10", "confidence_50", "confidence_90")
_GIVEN = """arm <> 'shadow' and "at" >= ? and "at" < ?"""

Grain = Literal["hour", "day"]
Class = str | float | bool


@dataclass(frozen=True, kw_only=True)
class Described:
    """One release's answers of one hour or day.

    Attributes:
        n_inputs: how many different rows it was asked about.
        n_different: how many different answers it gave.
        impossible: by reason, how many answers no such model may give; ``since`` is when the first was given.
        beyond: answers below and above :func:`usual_limits`.
        statistics: of finite numbers ``min``, ``max``, ``median``, ``mean`` and ``deviation``; of the
            confidence its mean, deviation and 10th, 50th and 90th percentile.
        classes: answers by class, the most frequent first.
    """

    release_id: str
    start: datetime
    n_rows: int
    n_inputs: int
    n_different: int
    impossible: dict[str, int]
    since: datetime | None
    beyond: tuple[int, int] = (0, 0)
    statistics: dict[str, float] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)


def describe(watch: Watch, grain: Grain, since: datetime, until: datetime) -> list[Described]:
    """Answers given in full hours or days (UTC) from ``since`` up to, not including, ``until``."""
    table = predictions_table(watch.project.name)
    if watch.tables.version(table) is None:
        return []
    among = {"p": (table, None)}
    columns = watch.tables.query("select * from p limit 0", among)
    if "out_predict" not in columns:
        return []
    span = [since.replace(tzinfo=None), until.replace(tzinfo=None)]
    releases = watch.tables.query(
        f"select distinct release_id from p where {_GIVEN} order by 1",
        among,
        span,
    )["release_id"]
    found = []
    for release_id in map(str, releases):
        asked = _Question(watch.project, watch.baseline_of(release_id), columns, grain)
        rows = watch.tables.query(asked.sql, among, [*span, release_id])
        found += [
            asked.read(release_id, {name: values[row] for name, values in rows.items()})
            for row in range(len(rows["start"]))
        ]
    return found


class _Question:
    """What is asked about one release's answers, and how an answer to it is read."""

    def __init__(self, project: Project, baseline: Baseline, columns: Columns, grain: Grain) -> None:
        is_number = columns["out_predict"].dtype.kind == "f"
        self._classes = baseline.classes
        self._reasons = dict(_impossible(project.outputs, baseline.classes, is_number))
        inputs = ", ".join(quoted(name) for name in columns if name.startswith("in_")) or "0"
        counted = ", ".join(
            f"count(*) filter ({condition}) as impossible_{number}"
            for number, condition in enumerate(self._reasons.values())
        )
        ranks = ", ".join(f"quantile_cont(c, {rank}) as confidence_{rank:.0%}"[:-1] for rank in _RANKS)
        self.sql = f"""
            with answered as (
              select *, try_cast(out_predict as double) as v, {_confidence(columns)} as c
              from p where {_GIVEN} and release_id = ?
            ),
            a as (select *, case when isfinite(v) then v end as f from answered)
            select date_trunc('{grain}', "at") as start, count(*) as n,
                   count(distinct hash({inputs})) as n_inputs, count(distinct out_predict) as n_different,
                   {counted}, min("at") filter ({" or ".join(self._reasons.values())}) as since,
                   {_beyond(baseline)},
                   min(f) as min, max(f) as max, median(f) as median, avg(f) as mean,
                   stddev_pop(f) as deviation,
                   avg(c) as confidence, stddev_pop(c) as confidence_deviation, {ranks},
                   histogram(cast(out_predict as varchar)) as classes
            from a group by 1 order by 1
        """

    def read(self, release_id: str, row: dict[str, Any]) -> Described:
        """One row of its result."""
        shown = [name for name in _NUMBERS if self._classes is None] + list(_CONFIDENCE)
        statistics = {name: float(row[name]) for name in shown if np.isfinite(row[name])}
        return Described(
            release_id=release_id,
            start=as_utc(row["start"]),
            n_rows=int(row["n"]),
            n_inputs=int(row["n_inputs"]),
            n_different=int(row["n_different"]),
            impossible={
                reason: int(row[f"impossible_{number}"]) for number, reason in enumerate(self._reasons)
            },
            since=None if np.isnat(row["since"]) else as_utc(row["since"]),
            beyond=(int(row["below"]), int(row["above"])),
            statistics=statistics,
            classes={} if self._classes is None else _most(row["classes"] or {}),
        )


def _impossible(
    spec: OutputSpec, classes: Sequence[Class] | None, is_number: bool
) -> Iterator[tuple[str, str]]:
    """Reason, and the SQL condition of an answer that is impossible for it."""
    if classes is not None:
        known = ", ".join(_literal(one, is_number) for one in spec.classes or classes)
        yield "no class", f"out_predict is null or out_predict not in ({known})"
        return
    yield "no number", "v is null or isnan(v)"
    yield "infinite", "isinf(v)"
    if spec.lowest is not None:
        yield f"below {spec.lowest:g}", f"f < {spec.lowest!r}"
    if spec.highest is not None:
        yield f"above {spec.highest:g}", f"f > {spec.highest!r}"


def _literal(value: Class, is_number: bool) -> str:
    """A class as the column of answers has it."""
    if is_number and not isinstance(value, str):
        return repr(float(value))
    text = (as_category(value) or "").replace("'", "''")
    return f"try_cast('{text}' as double)" if is_number else f"'{text}'"


def _beyond(baseline: Baseline) -> str:
    limits = usual_limits(baseline)
    if limits is None:
        return "0 as below, 0 as above"
    return f"count(*) filter (f < {limits[0]!r}) as below, count(*) filter (f > {limits[1]!r}) as above"


def usual_limits(baseline: Baseline) -> tuple[float, float] | None:
    """A deviation beyond the least and the largest answer on the test rows; None where they are no numbers.

    The deviation is room for hours that differ from each other, which the test rows have all of.
    """
    profile = baseline.outputs.features.get("prediction")
    if not isinstance(profile, NumericProfile) or not profile.summary:
        return None
    lowest, highest, deviation = (profile.summary[name] for name in ("min", "max", "deviation"))
    return lowest - deviation, highest + deviation


def _confidence(columns: Columns) -> str:
    """The probability of the class that was chosen: of two classes, one number was recorded."""
    parts = [quoted(name) for name in columns if name.startswith("out_probability_")]
    if "out_probability" in columns:
        parts.append("greatest(out_probability, 1 - out_probability)")
    return f"greatest({', '.join(parts)})" if parts else "null::double"


def _most(counts: dict[Any, int]) -> dict[str, int]:
    ranked = sorted(((str(name), int(n)) for name, n in counts.items()), key=lambda one: (-one[1], one[0]))
    rest = sum(n for _, n in ranked[_LISTED:])
    return dict(ranked[:_LISTED]) | ({OTHER: rest} if rest else {})
