"""The numbers behind the plots, as they are drawn and as they are downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from headrace.core.release import Measurement

SubjectOf = Callable[[str | None], str]
_HIGHLIGHTED = 6
_STRIP_WINDOWS = 60


def performance_rows(measured: Sequence[Measurement], subject_of: SubjectOf) -> list[dict[str, Any]]:
    """One row per window and release, oldest first; times in ISO 8601."""
    return [
        {
            "window_start": m.window[0].isoformat(),
            "window_end": m.window[1].isoformat(),
            "release": m.release_id,
            "subject": subject_of(m.release_id),
            "metric": m.name,
            "value": m.value,
            "low": m.interval[0] if m.interval else None,
            "high": m.interval[1] if m.interval else None,
            "confidence": m.confidence,
            "n_rows": m.n_rows,
            "reference": m.detail.get("reference"),
        }
        for m in measured
        if m.window is not None
    ]


def estimate_rows(measured: Sequence[Measurement], subject_of: SubjectOf) -> list[dict[str, Any]]:
    """What was to be expected: like :func:`performance_rows`, and ``refused`` where there is no value."""
    rows = performance_rows(measured, subject_of)
    told = [m for m in measured if m.window is not None]
    return [
        {**row, "metric": m.detail.get("metric"), "refused": m.detail.get("refused")}
        for row, m in zip(rows, told, strict=True)
    ]


def drift_rows(measured: Sequence[Measurement], subject_of: SubjectOf) -> list[dict[str, Any]]:
    """One row per window, release and feature, oldest first. The predictions are a feature of their own."""
    return [
        {
            "window_start": m.window[0].isoformat(),
            "window_end": m.window[1].isoformat(),
            "release": m.release_id,
            "subject": subject_of(m.release_id),
            "feature": feature_name(m),
            "kind": m.detail.get("kind"),
            "shift": m.value,
            "psi": m.detail.get("psi"),
            "ks": m.detail.get("ks"),
            "test": m.detail.get("test"),
            "p_value": m.detail.get("p_value"),
            "n_rows": m.n_rows,
        }
        for m in measured
        if m.window is not None
    ]


def performance_plot(
    rows: Sequence[dict[str, Any]], limit: float | None, estimated: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The loss over windows: one line with its interval band per release, and where each began.

    What was estimated stands beside what labels have shown; the newest window says why it has no estimate.
    """
    series = []
    for subject in dict.fromkeys(row["subject"] for row in [*rows, *estimated]):
        mine, expected = ([row for row in of if row["subject"] == subject] for of in (rows, estimated))
        known = [row for row in expected if row["value"] is not None]
        reference = (mine or expected)[-1]["reference"]
        series.append(
            {"name": subject, "reference": reference} | _columns(mine) | {"estimated": _columns(known)}
        )
    both = [*rows, *estimated]
    metric = both[0]["metric"] if both else ""
    confidence = next((row["confidence"] for row in both if row["confidence"]), None)
    return {
        "metric": metric,
        "confidence": confidence,
        "limit": limit,
        "series": series,
        "marks": release_marks(sorted(both, key=lambda row: str(row["window_start"]))),
        "refused": estimated[-1]["refused"] if estimated else None,
    }


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = ("window_start", "window_end", "value", "low", "high", "n_rows")
    return {name: [row[name] for row in rows] for name in names}


def drift_plot(rows: Sequence[dict[str, Any]], threshold: float) -> dict[str, Any]:
    """Shift over windows, one line per feature; those that peaked highest come first and are named."""
    lines = []
    for feature in dict.fromkeys(row["feature"] for row in rows):
        mine = _with_gaps(_one_per_window(row for row in rows if row["feature"] == feature))
        values = [row["shift"] for row in mine]
        peak = max((value for value in values if value is not None), default=0.0)
        lines.append(
            {
                "feature": feature,
                "peak": peak,
                "window_start": [row["window_start"] for row in mine],
                "window_end": [row["window_end"] for row in mine],
                "shift": values,
            }
        )
    lines.sort(key=lambda line: -line["peak"])
    for rank, line in enumerate(lines):
        line["named"] = rank < _HIGHLIGHTED and line["peak"] >= threshold
    return {"threshold": threshold, "lines": lines, "marks": release_marks(rows)}


def release_marks(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Where each release but the first begins to answer, in event time."""
    starts: dict[str, str] = {}
    for row in rows:
        starts.setdefault(row["subject"], row["window_start"])
    return [{"name": name, "at": start} for name, start in list(starts.items())[1:]]


class Cell(NamedTuple):
    """One window of a strip: how far towards the threshold and beyond, 0 to 5 or ``none``; and its words."""

    level: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One feature over the newest windows, for a table of strips."""

    feature: str
    cells: list[Cell]
    latest: float | None
    peak: float | None


def drift_strips(rows: Sequence[dict[str, Any]], threshold: float) -> list[Strip]:
    """A strip per feature over the same windows, the highest peak first."""
    windows = sorted({row["window_start"] for row in rows})[-_STRIP_WINDOWS:]
    strips = []
    for feature in dict.fromkeys(row["feature"] for row in rows):
        mine = {
            r["window_start"]: r for r in _one_per_window(row for row in rows if row["feature"] == feature)
        }
        shown = [_cell(mine.get(start), start, threshold) for start in windows]
        values = [mine[start]["shift"] for start in windows if start in mine]
        known = [value for value in values if value is not None]
        strips.append(
            Strip(
                feature=feature,
                cells=shown,
                latest=known[-1] if known else None,
                peak=max(known, default=None),
            )
        )
    return sorted(strips, key=lambda strip: -(strip.peak or 0.0))


def _cell(row: dict[str, Any] | None, start: str, threshold: float) -> Cell:
    if row is None or row["shift"] is None:
        return Cell("none", f"{start[:10]}: not measured")
    share = row["shift"] / threshold if threshold > 0 else 0.0
    level = sum(share >= bound for bound in (0.25, 0.5, 1.0, 2.0, 4.0))
    return Cell(str(level), f"{start[:10]}: {row['shift']:.3f} standard deviations on {row['n_rows']:,} rows")


def _one_per_window(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """While a canary runs two releases answer a window: the one with more rows stands for it."""
    chosen: dict[str, dict[str, Any]] = {}
    for row in rows:
        present = chosen.get(row["window_start"])
        if present is None or row["n_rows"] > present["n_rows"]:
            chosen[row["window_start"]] = row
    return [chosen[start] for start in sorted(chosen)]


def _with_gaps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row without a value where the release changes: each is compared with its own training data."""
    result: list[dict[str, Any]] = []
    for row in rows:
        if result and result[-1]["release"] != row["release"]:
            result.append({**row, "shift": None})
        result.append(row)
    return result


def feature_name(measured: Measurement) -> str:
    """The input's name; the model's own output stands among the inputs as ``predictions``."""
    return "predictions" if measured.detail.get("kind") == "prediction_drift" else measured.feature or ""


@dataclass(frozen=True, kw_only=True)
class Spark:
    """A line in a small box: polyline points, its last point, and the height of a reference."""

    points: str
    last: tuple[float, float]
    reference: float | None
    width: int
    height: int


def spark(
    values: Sequence[float | None], *, reference: float | None = None, width: int = 120, height: int = 28
) -> Spark | None:
    """``values`` as an SVG polyline; ``None`` for fewer than two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    shown = known if reference is None else [*known, reference]
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return round(3 + (height - 6) * (1 - (value - low) / span), 1)

    step = (width - 6) / (len(known) - 1)
    points = [(round(3 + index * step, 1), y(value)) for index, value in enumerate(known)]
    return Spark(
        points=" ".join(f"{px},{py}" for px, py in points),
        last=points[-1],
        reference=None if reference is None else y(reference),
        width=width,
        height=height,
    )
