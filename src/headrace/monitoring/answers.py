"""What the answers look like, window by window: their range, middle and spread, and what is no number."""

from __future__ import annotations

from typing import Any

import numpy as np

from headrace.monitoring.baseline import output_columns
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import window_rows


def watch_answers(watch: Watch) -> Round:
    """Describe the predictions of each new closed window."""
    found = Round([], [])
    for window, mark in watch.new_windows("answers"):
        outputs, _ = output_columns(window_rows(watch.project.name, watch.tables, window)["out_predict"])
        described = describe(outputs["prediction"])
        if described is not None:
            mean = described.pop("mean")
            found.measurements.append(watch.measurement(window, "prediction", mean, detail=described))
        found.measurements.append(mark)
    return found


def describe(values: Any) -> dict[str, float] | None:
    """Minimum, median, mean, maximum and deviation of the finite values, and how many are not finite.

    None where there is no finite number.

    >>> describe(np.array([1.0, 3.0, np.nan]))["not_finite"]
    1
    """
    if values.dtype.kind != "f" or not np.isfinite(values).any():
        return None
    finite = values[np.isfinite(values)]
    return {
        "min": float(finite.min()),
        "median": float(np.median(finite)),
        "mean": float(finite.mean()),
        "max": float(finite.max()),
        "deviation": float(finite.std()),
        "not_finite": int(values.size - finite.size),
    }
