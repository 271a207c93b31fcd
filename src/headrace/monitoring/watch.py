"""One round of watching a project: measure every closed window once, and say what stands out.

Everything written has an id that follows from what it is about, so a round that is killed is simply
run again: nothing is counted twice and nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.access.privacy.fields import altered_inputs
from headrace.checks.cusum import HORIZON, Alarm, Cusum
from headrace.checks.drift import Profile, Shift, shifts
from headrace.checks.metrics import mean_interval, row_losses
from headrace.checks.profiles import NumericProfile
from headrace.core.ids import derived_id
from headrace.core.ports import Columns, EvidenceStore, TableStore
from headrace.core.project import Project
from headrace.core.record import Finding
from headrace.core.release import Measurement
from headrace.monitoring.baseline import Baseline, output_columns
from headrace.monitoring.ingest import as_numbers
from headrace.monitoring.joining import Labelled, labelled_rows
from headrace.monitoring.windows import Window, as_utc, closed_windows, origin_of, window_of, window_rows

_LEVEL = 0.9
_FEW = 20
"""Windows with fewer rows than this are too small for a test of means; a cumulative sum watches them."""


class Round(NamedTuple):
    """What one round added."""

    measurements: list[Measurement]
    findings: list[Finding]


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Watches one project.

    Attributes:
        baseline_of: release id to what that release is compared with.
        now: time of this round.
    """

    project: Project
    tables: TableStore
    evidence: EvidenceStore
    baseline_of: Callable[[str], Baseline]
    now: datetime

    def watch_inputs(self) -> Round:
        """Compare inputs and outputs of each new closed window with the release's training profile.

        A finding needs evidence (p-value under the level left after correction over all features) and
        size (PSI). A window with fewer than ``min_rows`` rows is measured, and is never an alarm. Inputs
        that are not recorded as they come are not watched; the window's measurement names them.
        """
        seen = {m.id for m in self.evidence.measurements(self.project.name, name="window")}
        round_ = Round([], [])
        for window in closed_windows(self.project.name, self.tables, self.project.monitors.window_s):
            detail = {"unwatched": list(altered_inputs(self.project))}
            mark = self._measurement(window, "window", float(window.n_rows), detail=detail)
            if mark.id not in seen:
                self._watch_window(window, round_)
                round_.measurements.append(mark)
        return round_

    def watch_performance(self) -> Round:
        """Join the labels that have come and (re)compute the loss of each window they touch.

        A window is measured again when more of its labels are in: the measurement with the most rows
        is the present one.
        """
        labelled = labelled_rows(self.project.name, self.tables)
        round_ = Round([], [])
        metric = self.project.gates.model.metric
        seen = {m.id for m in self.evidence.measurements(self.project.name, name=metric)}
        for release_id in dict.fromkeys(labelled.release_id):
            mine = labelled.of(labelled.release_id == release_id)
            losses = losses_of(metric, mine, self.baseline_of(str(release_id)).classes)
            # A label or an answer that is no number where one is needed says nothing, and spoils no mean.
            measurable = np.isfinite(losses)
            mine, losses = mine.of(measurable), losses[measurable]
            if not losses.size:
                continue
            self._measure_windows(str(release_id), mine, losses, seen, round_)
            if self.project.monitors.min_rows < _FEW:
                sudden = self._sudden(str(release_id), mine, losses)
                round_.findings.extend([] if sudden is None else [sudden])
        return round_

    def _origin(self) -> datetime:
        return origin_of(self.project.name, self.tables, self.project.monitors.window_s) or self.now

    def _watch_window(self, window: Window, round_: Round) -> None:
        rows = window_rows(self.project.name, self.tables, window)
        baseline = self.baseline_of(window.release_id)
        outputs, _ = output_columns(rows["out_predict"])
        inputs = {name[3:]: values for name, values in rows.items() if name.startswith("in_")}
        round_.measurements.extend(self._summary(window, outputs["prediction"]))
        if window.n_rows < max(_FEW, self.project.monitors.min_rows):
            return
        level = self.project.monitors.false_alarms / (len(baseline.inputs.features) + 1)
        unwatched = altered_inputs(self.project)
        for kind, profile, columns in (
            ("data_drift", baseline.inputs, inputs),
            ("prediction_drift", baseline.outputs, outputs),
        ):
            for shift in _shifts_of(profile, columns, window.n_rows):
                if kind == "data_drift" and shift.feature in unwatched:
                    continue
                round_.measurements.append(self._psi(window, kind, shift))
                finding = self._shifted(window, kind, shift, level)
                round_.findings.extend([] if finding is None else [finding])

    def _measure_windows(
        self, release_id: str, mine: Labelled, losses: NDArray[np.float64], seen: set[str], round_: Round
    ) -> None:
        length_s, origin = self.project.monitors.window_s, self._origin()
        seconds = mine.event_time.astype("datetime64[s]").astype(np.int64)
        slots = (seconds - int(origin.timestamp())) // length_s
        for slot in np.unique(slots):
            chosen = slots == slot
            start, end = window_of(as_utc(mine.event_time[chosen][0]), length_s, origin)
            window = Window(release_id=release_id, start=start, end=end, n_rows=int(chosen.sum()))
            measured = self._loss(window, losses[chosen])
            if measured.id not in seen:
                round_.measurements.append(measured)
                finding = self._degraded(window, losses[chosen])
                round_.findings.extend([] if finding is None else [finding])

    def _shifted(self, window: Window, kind: str, shift: Shift, level: float) -> Finding | None:
        if shift.p_value is None or shift.psi is None:
            return None
        if shift.p_value > level or shift.psi < self.project.monitors.psi:
            return None
        what = "predictions have" if kind == "prediction_drift" else f"input {shift.feature!r} has"
        evidence = {
            "test": shift.test,
            "p_value": shift.p_value,
            "level": level,
            "psi": shift.psi,
            "ks": shift.ks,
            "n_reference": shift.n_reference,
            "n_current": shift.n_current,
        }
        title = f"{what} shifted: PSI {shift.psi:.2f} against the training data"
        return self._finding(window, kind, title, evidence, shift.psi, feature=shift.feature)

    def _degraded(self, window: Window, losses: NDArray[np.float64]) -> Finding | None:
        """Worse than the test rows by evidence (one-sided Welch test) and by size (ratio of means)."""
        baseline, monitors = self.baseline_of(window.release_id), self.project.monitors
        if losses.size < max(_FEW, monitors.min_rows) or baseline.loss <= 0:
            return None
        ratio, p_value = float(losses.mean()) / baseline.loss, _welch(losses, baseline.losses)
        if p_value > monitors.false_alarms or ratio < monitors.loss_ratio:
            return None
        evidence = {
            "test": "welch, one-sided",
            "p_value": p_value,
            "level": monitors.false_alarms,
            "reference": baseline.loss,
            "observed": float(losses.mean()),
            "n_labels": int(losses.size),
        }
        return self._worse(window, ratio, evidence)

    def _sudden(self, release_id: str, mine: Labelled, losses: NDArray[np.float64]) -> Finding | None:
        """With few rows a window, a cumulative sum notices within days what no single window can.

        Numbers are watched by their signed residuals, on both sides: a model that is suddenly always too
        high shows long before the size of its errors does.
        """
        baseline, monitors = self.baseline_of(release_id), self.project.monitors
        if baseline.losses.size < _FEW or baseline.loss <= 0:
            return None
        order = np.argsort(mine.event_time, kind="stable")
        times, losses = mine.event_time[order], losses[order]
        sides = [(baseline.losses, losses)]
        if baseline.residuals.size:
            residuals = _numeric_truth(mine) - mine.outputs["predict"]
            sides = [(sign * baseline.residuals, sign * residuals[order]) for sign in (1.0, -1.0)]
        # The declared rate is per window; a detector is calibrated over its whole horizon, per side.
        budget = (1 - (1 - monitors.false_alarms) ** HORIZON) / len(sides)
        alarms = [
            alarm
            for reference, values in sides
            for alarm in _alarms(Cusum.calibrate(reference, false_alarms=budget), values)
            if losses[alarm.began : alarm.ended + 1].mean() >= monitors.loss_ratio * baseline.loss
        ]
        if not alarms:
            return None
        alarm = min(alarms, key=lambda a: a.ended)
        observed = float(losses[alarm.began : alarm.ended + 1].mean())
        window = Window(
            release_id=release_id,
            start=window_of(as_utc(times[alarm.began]), monitors.window_s, self._origin())[0],
            end=window_of(as_utc(times[alarm.ended]), monitors.window_s, self._origin())[1],
            n_rows=alarm.ended + 1 - alarm.began,
        )
        evidence = {
            "test": "cumulative sum (Page)",
            "of": "residuals" if baseline.residuals.size else "losses",
            "sum": alarm.total,
            "limit": alarm.limit,
            "reference": baseline.loss,
            "observed": observed,
            "n_labels": window.n_rows,
            "false_alarms": budget,
            "horizon": HORIZON,
        }
        return self._worse(window, observed / baseline.loss, evidence)

    def _worse(self, window: Window, ratio: float, evidence: Mapping[str, Any]) -> Finding:
        title = f"{self.project.gates.model.metric} is {ratio:.2f} times what it was on the test rows"
        return self._finding(window, "performance", title, evidence, ratio)

    def _finding(
        self,
        window: Window,
        kind: str,
        title: str,
        evidence: Mapping[str, Any],
        size: float,
        *,
        feature: str | None = None,
    ) -> Finding:
        """One finding per release, kind and feature: what goes on is measured, not announced again."""
        return Finding(
            id=derived_id("finding", self.project.name, kind, window.release_id, feature or ""),
            project=self.project.name,
            kind=kind,
            release_id=window.release_id,
            title=title,
            window=(window.start, window.end),
            evidence=dict(evidence),
            size=size,
            at=self.now,
            feature=feature,
        )

    def _loss(self, window: Window, losses: NDArray[np.float64]) -> Measurement:
        interval = mean_interval(losses, _LEVEL) if losses.size > 1 else None
        return self._measurement(
            window,
            self.project.gates.model.metric,
            float(losses.mean()),
            key=f"{window.n_rows}:{losses.mean()!r}",  # a corrected label is a new measurement
            interval=None if interval is None else (float(interval.low), float(interval.high)),
            detail={"reference": self.baseline_of(window.release_id).loss},
        )

    def _psi(self, window: Window, kind: str, shift: Shift) -> Measurement:
        detail = {
            "kind": kind,
            "test": shift.test,
            "p_value": shift.p_value,
            "ks": shift.ks,
            "js": shift.js,
            "kl": shift.kl,
            "statistics": shift.detail["current"],
        }
        return self._measurement(
            window, "psi", shift.psi, key=f"{kind}:{shift.feature}", feature=shift.feature, detail=detail
        )

    def _summary(self, window: Window, values: NDArray[Any]) -> list[Measurement]:
        """Minimum, median, mean, maximum and deviation of numeric predictions."""
        if values.dtype.kind != "f" or not np.isfinite(values).any():
            return []
        finite = values[np.isfinite(values)]
        detail = {
            "min": float(finite.min()),
            "median": float(np.median(finite)),
            "max": float(finite.max()),
            "deviation": float(finite.std()),
            "not_finite": int(values.size - finite.size),
        }
        return [self._measurement(window, "prediction", float(finite.mean()), detail=detail)]

    def _measurement(
        self,
        window: Window,
        name: str,
        value: float | None,
        *,
        key: str = "",
        feature: str | None = None,
        interval: tuple[float, float] | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Measurement:
        return Measurement(
            id=derived_id(self.project.name, name, window.release_id, window.start.isoformat(), key),
            project=self.project.name,
            name=name,
            value=value,
            n_rows=window.n_rows,
            at=self.now,
            release_id=window.release_id,
            feature=feature,
            interval=interval,
            confidence=None if interval is None else _LEVEL,
            window=(window.start, window.end),
            detail=dict(detail or {}),
        )


def _welch(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """One-sided p-value of ``losses`` being larger in the mean (Welch, Biometrika 34, 1947)."""
    from scipy.special import stdtr

    if min(losses.size, reference.size) < 2:
        return 1.0
    shares = np.array([values.var(ddof=1) / values.size for values in (losses, reference)])
    gap, variance = float(losses.mean() - reference.mean()), float(shares.sum())
    if variance == 0:
        return 0.0 if gap > 0 else 1.0
    degrees = variance**2 / float((shares**2 / (np.array([losses.size, reference.size]) - 1)).sum())
    return float(stdtr(degrees, -gap / np.sqrt(variance)))


def _alarms(detector: Cusum, values: NDArray[np.float64]) -> Iterator[Alarm]:
    """Every alarm; the sum starts anew after each, so that one that was too small hides none behind it."""
    start = 0
    while (alarm := detector.first_alarm(values[start:])) is not None:
        yield alarm._replace(began=start + alarm.began, ended=start + alarm.ended)
        start += alarm.ended + 1


def losses_of(metric: str, mine: Labelled, classes: Sequence[Any] | None) -> NDArray[np.float64]:
    """Losses of one release's rows, ``(n_rows,)``; NaN where truth or answer are none.

    ``classes`` are the release's, None where it answers with numbers.
    """
    if classes is None:
        return np.asarray(row_losses(metric, _numeric_truth(mine), mine.outputs))
    # Another release may tell more classes apart: its columns are not this one's.
    probability = mine.outputs.get("probability")
    own = {} if probability is None else {"probability": probability[:, : len(classes)]}
    return np.asarray(row_losses(metric, mine.truth, mine.outputs | own, classes=classes))


def _numeric_truth(mine: Labelled) -> NDArray[np.float64]:
    return np.asarray(as_numbers(mine.truth), dtype=np.float64)


def _shifts_of(profile: Profile, columns: Columns, n_rows: int) -> list[Shift]:
    """An input that no row has is an input whose values are all missing."""
    known = {name: _as_profiled(profile, name, columns.get(name), n_rows) for name in profile.features}
    return list(shifts(profile, known))


def _as_profiled(profile: Profile, name: str, values: Any, n_rows: int) -> Any:
    if values is None:
        return np.full(n_rows, None, dtype=object)
    is_number = isinstance(profile.features[name], NumericProfile)
    return as_numbers(values) if is_number and values.dtype.kind == "O" else values
