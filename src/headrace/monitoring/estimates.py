"""How good are answers whose truth has not come yet, and does truth still follow from the inputs as it did?

Data drift moves the rows: the loss model of the release says what loss to expect of them. Concept drift moves
the relation: the loss that labels show is then beyond what the rows explain, and no estimate holds any more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from headrace.access.privacy.fields import altered_inputs
from headrace.checks.columns import known_numbers, label_counts
from headrace.checks.estimation import Estimate
from headrace.checks.metrics import mean_interval
from headrace.checks.profiles import OTHER, FeatureProfile, NumericProfile
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.joining import answers_of
from headrace.monitoring.labelled import Looks, Part, by_release, changed_rows, labelled_windows
from headrace.monitoring.performance import losses_of
from headrace.monitoring.watch import LEVEL, Round, Watch
from headrace.monitoring.windows import Window, window_rows

NAME = "estimated_loss"
"""Name of the measurements of windows; without a value where an estimate is refused: ``refused`` says why."""
RELATION = "concept"
"""Name of the measurements of labelled windows: the loss, in multiples of what the rows explain."""
MOST_BEYOND = 0.1
"""Share of rows with a value of one input that training never saw, from which nothing is estimated."""
_N_TESTS = 2


def watch_estimates(watch: Watch) -> Round:
    """Estimate the loss of each new closed window; compare with the labels of windows that have them.

    A window is compared again each time twice as many of its rows have labels.
    """
    found = Round([], [])
    moved = _watch_relation(watch, found)
    for window, mark in watch.new_windows("estimates"):
        found.measurements.extend([_estimated(watch, window, moved.get(window.release_id), found), mark])
    return found


def _watch_relation(watch: Watch, found: Round) -> dict[str, datetime]:
    """Since when truth follows from the inputs in another way, by release."""
    kept, looks = watch.evidence.measurements(watch.project.name, name=RELATION), Looks(watch, RELATION)
    for release_id, mine in by_release(changed_rows(watch).rows):
        if watch.baseline_of(release_id).loss_model is None:
            continue
        for part in labelled_windows(watch, release_id, mine):
            level = looks.level(part, watch.level(_N_TESTS))
            if level is not None:
                kept += _look(watch, part, level, found)
    return _first_moves(kept)


def _look(watch: Watch, part: Part, level: float, found: Round) -> list[Measurement]:
    gap = _gap(watch, part, level)
    if gap is None:
        return []
    ratio = gap.observed / gap.expected.value if gap.expected.value else None
    detail = {
        "observed": gap.observed,
        "expected": gap.expected.value,
        "share_labelled": len(part.rows) / (part.n_answered or len(part.rows)),
        "look": part.look,
        "level": gap.level,
        "moved": gap.is_sure and ratio is not None and ratio >= watch.project.monitors.loss_ratio,
    }
    measured = watch.measurement(part.window, RELATION, ratio, key=f"look {part.look}", detail=detail)
    found.measurements.append(measured)
    if detail["moved"]:
        found.findings.append(_concept_drift(watch, part.window, gap))
    return [measured]


class _Gap(NamedTuple):
    """What labels show, beside what the rows explain."""

    observed: float
    expected: Estimate
    n_labels: int
    level: float
    p_value: float
    is_sure: bool


def _gap(watch: Watch, part: Part, level: float) -> _Gap | None:
    baseline = watch.baseline_of(part.window.release_id)
    losses = losses_of(watch.project.gates.model.metric, part.rows, baseline.classes)
    known = np.isfinite(losses)
    if baseline.loss_model is None or known.sum() < watch.fewest:
        return None
    rows, losses = part.rows.of(known), losses[known]
    expected = baseline.loss_model.estimate(rows.columns, rows.outputs)
    if expected is None:
        return None
    from scipy.special import ndtr, ndtri

    # Losses are skewed, so the interval of their mean reaches further than a normal one.
    observed = mean_interval(losses, 1 - 2 * level)
    reach = max(observed.estimate - observed.low, float(-ndtri(level)) * expected.scatter)
    beyond = observed.estimate - expected.value
    spread = math.hypot(expected.uncertainty, max(float(losses.std()) / losses.size**0.5, expected.scatter))
    return _Gap(
        observed=float(observed.estimate),
        expected=expected,
        n_labels=int(losses.size),
        level=level,
        p_value=float(ndtr(-beyond / spread)) if spread else 1.0,
        is_sure=bool(beyond > math.hypot(reach, float(-ndtri(level)) * expected.uncertainty)),
    )


def _concept_drift(watch: Watch, window: Window, gap: _Gap) -> Finding:
    ratio = gap.observed / gap.expected.value
    evidence = {
        "test": "mean of the losses against the loss model, one-sided",
        "p_value": gap.p_value,
        "level": gap.level,
        "observed": gap.observed,
        "expected": gap.expected.value,
        "expected_by": gap.expected.deviation,
        "reference": watch.baseline_of(window.release_id).loss,
        "n_labels": gap.n_labels,
    }
    metric = watch.project.gates.model.metric
    title = f"{metric} is {ratio:.2f} times what such inputs let expect: they now lead to other outcomes"
    return watch.finding(window, "concept_drift", title, evidence, ratio)


def _first_moves(kept: list[Measurement]) -> dict[str, datetime]:
    moves: dict[str, datetime] = {}
    for measured in kept:
        if measured.detail.get("moved") and measured.release_id and measured.window:
            start = measured.window[0]
            moves[measured.release_id] = min(start, moves.get(measured.release_id, start))
    return moves


def _estimated(watch: Watch, window: Window, moved: datetime | None, found: Round) -> Measurement:
    baseline, metric = watch.baseline_of(window.release_id), watch.project.gates.model.metric
    detail: dict[str, Any] = {"metric": metric, "reference": baseline.loss}
    rows = window_rows(watch.project.name, watch.tables, window)
    columns = {name[3:]: values for name, values in rows.items() if name.startswith("in_")}
    refused, estimate = _refusal(watch, baseline, columns, window, moved), None
    if baseline.loss_model is None:
        refused = "the release keeps no loss model; rebuild it"
    elif refused is None:
        estimate = baseline.loss_model.estimate(columns, answers_of(rows))
        refused = None if estimate is not None else "no answer is like those of the test rows"
    if estimate is None:
        return watch.measurement(window, NAME, None, detail={**detail, "refused": refused})
    finding = _worse(watch, window, estimate)
    found.findings.extend([] if finding is None else [finding])
    return watch.measurement(
        window, NAME, estimate.value, interval=estimate.interval(LEVEL), detail={**detail, "refused": None}
    )


def _refusal(
    watch: Watch, baseline: Baseline, columns: Mapping[str, Any], window: Window, moved: datetime | None
) -> str | None:
    """Why no estimate would hold. Inputs that are not recorded as they come cannot be looked at."""
    if moved is not None and moved <= window.start:
        return f"concept drift since {moved:%Y-%m-%d %H:%M}: truth follows from the inputs in another way"
    hidden = altered_inputs(watch.project)
    for name, profile in baseline.inputs.features.items():
        beyond = _beyond(profile, columns[name]) if name in columns and name not in hidden else 0.0
        if beyond > MOST_BEYOND:
            return f"{100 * beyond:.0f} % of the rows have a value of {name!r} that training never saw"
    return None


def _beyond(profile: FeatureProfile, column: Any) -> float:
    """Share of the rows with a value that training never saw; 0 where the profile does not name all."""
    values = np.asarray(column)
    if isinstance(profile, NumericProfile):
        known, _ = known_numbers(values)
        low, high = profile.summary.get("min", -np.inf), profile.summary.get("max", np.inf)
        return float(np.mean((known < low) | (known > high))) if known.size else 0.0
    if OTHER in profile.counts:
        return 0.0
    counts = label_counts(values)
    new = sum(n for name, n in counts.items() if name is not None and name not in profile.counts)
    return new / max(len(values), 1)


def _worse(watch: Watch, window: Window, estimate: Estimate) -> Finding | None:
    """Before a label has come: worse than on the test rows for all that the loss model leaves open."""
    from scipy.special import ndtr

    baseline, monitors = watch.baseline_of(window.release_id), watch.project.monitors
    if baseline.loss <= 0 or window.n_rows < watch.fewest or not estimate.deviation:
        return None
    ratio, level = estimate.value / baseline.loss, watch.level(_N_TESTS)
    p_value = float(ndtr((baseline.loss - estimate.value) / estimate.deviation))
    if p_value > level or ratio < monitors.loss_ratio:
        return None
    evidence = {
        "test": "loss model against the loss on the test rows, one-sided",
        "p_value": p_value,
        "level": level,
        "reference": baseline.loss,
        "estimated": estimate.value,
        "estimated_by": estimate.deviation,
        "n_rows": window.n_rows,
    }
    metric = watch.project.gates.model.metric
    title = f"{metric} is estimated to be {ratio:.2f} times what it was on the test rows; no label needed"
    return watch.finding(window, "estimate", title, evidence, ratio)
