"""Where do the answers get worse? Loss and rates of each segment of the rows, window by window.

A segment is a value of an input: those of ``monitors.segments``, or else the inputs with few categories. A
declared number is cut at the quartiles of the training rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.access.privacy.fields import altered_inputs
from headrace.checks.columns import labels
from headrace.checks.comparison import excess_p_value
from headrace.checks.fairness import Share
from headrace.checks.metrics import labels_of, mean_interval
from headrace.checks.profiles import OTHER, CategoricalProfile
from headrace.core.ports import Columns
from headrace.core.project import Project
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.ingest import as_numbers, predictions_table, quoted
from headrace.monitoring.joining import NO_ROWS, Labelled, labelled_rows
from headrace.monitoring.labelled import Looks, Part, by_release, changed_rows, labelled_windows
from headrace.monitoring.performance import losses_of
from headrace.monitoring.watch import LEVEL, Round, Watch
from headrace.monitoring.windows import Window

NAME = "segment"
"""Name of the measurements; ``feature`` is the column, ``segment`` its value, ``detail`` has the metric."""
MARK = "segments"
"""Says which labels of a window have been looked at, how many rows they cover, and what to beware of."""
MOST_CATEGORIES = 20
_MOST_COLUMNS = 5
_MOST_CLASSES = 5
FEW_LABELS = 0.5
"""Below this share of labelled rows, a caution stands beside what is measured."""
_UNEVEN = 0.2

Names = NDArray[Any]
Floats = NDArray[np.float64]


class Cut(NamedTuple):
    """How a column is cut into segments: at numbers (``edges``), or by its ``categories``."""

    column: str
    edges: tuple[float, ...]
    categories: frozenset[str]

    @property
    def most(self) -> int:
        """How many segments there can be, those of rare values included."""
        return 1 + (len(self.edges) or len(self.categories))

    def of(self, values: Any) -> Names:
        """The segment of each row, ``(n_rows,)``; None where the value is missing."""
        if not self.edges:
            names = labels(values)
            listed = [n if n is None or n in self.categories else OTHER for n in names]
            return np.array(listed, dtype=object)
        numbers = np.asarray(as_numbers(values), dtype=np.float64)
        edges = [f"{edge:g}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in pairwise(edges)]
        words = np.array([f"below {edges[0]}", *between, f"from {edges[-1]}", None], dtype=object)
        places = np.searchsorted(self.edges, numbers, side="right")
        return np.asarray(words[np.where(np.isnan(numbers), len(words) - 1, places)])


def cuts(project: Project, baseline: Baseline) -> list[Cut]:
    """The columns that are watched by segment, in the order in which they are declared.

    Without ``monitors.segments``, at most five inputs of at most 20 categories. Inputs that are not recorded
    as they come are never cut.
    """
    hidden, declared = altered_inputs(project), project.monitors.segments
    found = []
    for name, profile in baseline.inputs.features.items():
        if name in hidden or (declared and name not in declared):
            continue
        if isinstance(profile, CategoricalProfile):
            few = len(profile.counts) <= MOST_CATEGORIES
            if few or declared:
                known = [one for one in profile.counts if one != OTHER][:MOST_CATEGORIES]
                found.append(Cut(name, (), frozenset(known)))
        elif declared and profile.summary:
            quartiles = sorted({profile.summary[rank] for rank in ("q25", "median", "q75")})
            found.append(Cut(name, tuple(quartiles), frozenset()))
    return found if declared else found[:_MOST_COLUMNS]


def declared_segments(project: Project, baseline: Baseline, columns: Columns) -> dict[str, Names]:
    """The segment of each row by every declared column, ``monitors.segments`` and ``gates.data.segment``.

    Empty where the project declares none: what is judged by segment is what somebody asked for.
    """
    cut = cuts(project, baseline) if project.monitors.segments else []
    found = {one.column: one.of(columns[one.column]) for one in cut if one.column in columns}
    own = project.gates.data.segment
    if own is not None and own not in found and own in columns:
        found[own] = np.array(labels(columns[own]), dtype=object)
    return found


def watch_segments(watch: Watch) -> Round:
    """Measure each segment of each window that labels have come for since it was last measured.

    A finding needs a segment whose loss is ``loss_ratio`` times that of its own windows before, and evidence
    that it has risen more than that of the other rows. What rises everywhere is no matter of segments.
    """
    found, looks, changed = Round([], []), Looks(watch, MARK), changed_rows(watch)
    for release_id, rows in by_release(changed.rows):
        baseline = watch.baseline_of(release_id)
        by_column = [cut for cut in cuts(watch.project, baseline) if cut.column in rows.columns]
        mine = _measurable(watch, release_id, rows)
        due = [
            part
            for part in (labelled_windows(watch, release_id, mine) if by_column and len(mine) else ())
            if _mark(watch, part).id not in looks.seen
        ]
        shares = [looks.level(part, 1.0) for part in due]
        judged = [part.window for part, share in zip(due, shares, strict=True) if share is not None]
        earlier = _earlier(watch, judged, changed.as_text)
        for part, share in zip(due, shares, strict=True):
            n_tests = _measure_part(watch, part, by_column, found)
            if share is not None:
                level = watch.level(max(n_tests, 1)) * share
                decays = _decays(watch, part, _before(earlier, part.window), by_column)
                found.findings.extend(
                    _worse(watch, part.window, o, level) for o in decays if o.p_value <= level
                )
    return found


def _measurable(watch: Watch, release_id: str, rows: Labelled) -> Labelled:
    metric, classes = watch.project.gates.model.metric, watch.baseline_of(release_id).classes
    return rows.of(np.isfinite(losses_of(metric, rows, classes)))


def _earlier(watch: Watch, judged: Sequence[Window], as_text: bool) -> Labelled:
    """What the windows of a release that are to be judged are compared with."""
    if not judged:
        return NO_ROWS
    release_id, until = judged[0].release_id, max(window.start for window in judged)
    rows = labelled_rows(
        watch.project.name, watch.tables, before=until, release_id=release_id, as_text=as_text
    )
    return _measurable(watch, release_id, rows)


def _before(mine: Labelled, window: Window) -> Labelled:
    return mine.of(mine.event_time < np.datetime64(window.start.replace(tzinfo=None)))


def _measure_part(watch: Watch, part: Part, by_column: Sequence[Cut], found: Round) -> int:
    """Measure each segment of a window; returns how many there are."""
    answered = _answered(watch, part.window, by_column)
    cautions: list[str] = []
    n_segments = 0
    for cut in by_column:
        names = cut.of(part.rows.columns[cut.column])
        coverage = {
            name: Share(hits=int((names == name).sum()), n=n) for name, n in answered[cut.column].items()
        }
        cautions += _uneven(cut.column, coverage)
        for name in _named(names):
            n_segments += 1
            found.measurements.extend(
                _measured(watch, part, cut.column, name, names == name, coverage.get(name))
            )
    whole = Share(hits=len(part.rows), n=max(sum(next(iter(answered.values())).values()), len(part.rows)))
    if whole.hits < FEW_LABELS * whole.n:
        cautions.insert(0, f"labels have come for {whole.hits:,} of {whole.n:,} answers")
    detail = {"answered": whole.n, "coverage": whole.rate, "caution": cautions, "look": part.look}
    found.measurements.append(_mark(watch, part, detail))
    return n_segments


def _mark(watch: Watch, part: Part, detail: Mapping[str, Any] | None = None) -> Measurement:
    return watch.measurement(part.window, MARK, float(len(part.rows)), key=part.labels, detail=detail)


def _decays(watch: Watch, part: Part, before: Labelled, by_column: Sequence[Cut]) -> Iterator[_Decay]:
    metric, classes = watch.project.gates.model.metric, watch.baseline_of(part.window.release_id).classes
    now, then = losses_of(metric, part.rows, classes), losses_of(metric, before, classes)
    for cut in by_column if len(before) else ():
        names, named = cut.of(part.rows.columns[cut.column]), cut.of(before.columns[cut.column])
        for name in _named(names):
            chosen, was = names == name, named == name
            decay = _decay(watch, cut.column, name, (now[chosen], then[was], now[~chosen], then[~was]))
            if decay is not None:
                yield decay


def _named(names: Names) -> list[str]:
    return sorted(set(names.tolist()) - {None})


def _answered(watch: Watch, window: Window, by_column: Sequence[Cut]) -> dict[str, dict[str, int]]:
    """Rows answered in the window, labelled or not, by column and segment."""
    selected = ", ".join(quoted(f"in_{cut.column}") for cut in by_column)
    rows = watch.tables.query(
        f"select {selected} from p where release_id = ? and event_time >= ? and event_time < ?",
        {"p": (predictions_table(watch.project.name), None)},
        [window.release_id, window.start.replace(tzinfo=None), window.end.replace(tzinfo=None)],
    )
    counted = {}
    for cut in by_column:
        names, counts = np.unique(
            [name or "" for name in cut.of(rows[f"in_{cut.column}"])], return_counts=True
        )
        counted[cut.column] = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return counted


def _uneven(column: str, coverage: Mapping[str, Share]) -> Iterator[str]:
    """Labels that come for some segments rather than for others measure those alone."""
    from scipy.special import chdtrc

    shares = {name: share for name, share in coverage.items() if name}
    hits, n = sum(share.hits for share in shares.values()), sum(share.n for share in shares.values())
    if len(shares) < 2 or not 0 < hits < n:
        return
    known = hits / n
    square = sum((one.hits - one.n * known) ** 2 / (one.n * known * (1 - known)) for one in shares.values())
    rates = {name: share.rate or 0.0 for name, share in shares.items()}
    most, least = (pick(rates, key=lambda name: rates[name]) for pick in (max, min))
    if rates[most] - rates[least] >= _UNEVEN and float(chdtrc(len(shares) - 1, square)) < 0.001:
        yield (
            f"labels have come for {rates[most]:.0%} of the answers with {column} {most!r} and for "
            f"{rates[least]:.0%} of those with {least!r}"
        )


def _measured(
    watch: Watch, part: Part, column: str, name: str, chosen: NDArray[np.bool_], coverage: Share | None
) -> Iterator[Measurement]:
    rows = part.rows.of(chosen)
    window = replace(part.window, n_rows=len(rows))
    for metric, value, interval in _metrics(watch, window.release_id, rows):
        yield watch.measurement(
            window,
            NAME,
            value,
            key=f"{metric}:{column}:{name}:{part.labels}",
            feature=column,
            segment=name,
            interval=interval,
            detail={"metric": metric, "coverage": None if coverage is None else coverage.rate},
        )


def _metrics(
    watch: Watch, release_id: str, rows: Labelled
) -> Iterator[tuple[str, float | None, tuple[float, float] | None]]:
    """Each metric of some rows, with its interval: Wilson's for a share, Student's for a mean."""
    metric, classes = watch.project.gates.model.metric, watch.baseline_of(release_id).classes
    losses = losses_of(metric, rows, classes)
    yield metric, *_mean(losses)
    if classes is None:
        yield "bias", *_mean(np.asarray(as_numbers(rows.truth), dtype=np.float64) - rows.outputs["predict"])
        return
    truth, said = (np.array(labels_of(v), dtype=object) for v in (rows.truth, rows.outputs["predict"]))
    yield "accuracy", *_share(said == truth)
    named = labels_of(list(classes))
    for one in named[-1:] if len(named) == 2 else named[:_MOST_CLASSES]:
        of_class = "" if len(named) == 2 else f" of {one}"
        yield f"precision{of_class}", *_share((truth == one)[said == one])
        yield f"recall{of_class}", *_share((said == one)[truth == one])


def _mean(values: Floats) -> tuple[float | None, tuple[float, float] | None]:
    if not values.size:
        return None, None
    if values.size > 1 and set(np.unique(values)) <= {0.0, 1.0}:
        return _share(values == 1.0)
    interval = mean_interval(values, LEVEL)
    return interval.estimate, (interval.low, interval.high) if values.size > 1 else None


def _share(hits: NDArray[np.bool_]) -> tuple[float | None, tuple[float, float] | None]:
    share = Share(hits=int(hits.sum()), n=hits.size)
    return share.rate, share.interval(LEVEL)


class _Decay(NamedTuple):
    """A segment whose loss has grown: by what factor, and whether more than elsewhere."""

    column: str
    name: str
    n_rows: int
    observed: float
    reference: float
    elsewhere: float
    p_value: float


def _decay(
    watch: Watch, column: str, name: str, losses: tuple[Floats, Floats, Floats, Floats]
) -> _Decay | None:
    """None where there is too little to compare, or the loss has not grown by ``loss_ratio``.

    Args:
        losses: of the segment now and in the windows before, then of the other rows.
    """
    if min(side.size for side in losses) < watch.fewest:
        return None
    observed, reference, others, others_before = (float(side.mean()) for side in losses)
    if reference <= 0 or observed < watch.project.monitors.loss_ratio * reference:
        return None
    elsewhere = others / others_before if others_before > 0 else 1.0
    return _Decay(column, name, losses[0].size, observed, reference, elsewhere, excess_p_value(*losses))


def _worse(watch: Watch, window: Window, one: _Decay, level: float) -> Finding:
    ratio = one.observed / one.reference
    evidence = {
        "test": "difference of differences, one-sided",
        "p_value": one.p_value,
        "level": level,
        "column": one.column,
        "segment": one.name,
        "observed": one.observed,
        "reference": one.reference,
        "elsewhere": one.elsewhere,
        "n_labels": one.n_rows,
    }
    metric = watch.project.gates.model.metric
    title = (
        f"where {one.column} is {one.name!r}, {metric} is {ratio:.2f} times what it was before; "
        f"elsewhere {one.elsewhere:.2f} times"
    )
    return watch.finding(window, "performance", title, evidence, ratio, feature=f"{one.column}: {one.name}")
