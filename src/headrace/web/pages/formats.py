"""How values are written on pages: numbers, moments, digests. All of it escaped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Protocol

from markupsafe import Markup

_STEPS = ((60, "second", 1), (3600, "minute", 60), (86_400, "hour", 3600), (31_536_000, "day", 86_400))
_NONE = "–"


def number(value: Any) -> str:
    """Four significant digits; thousands are separated; nothing is a dash.

    >>> number(1234567), number(-0.123456), number(None)
    ('1,234,567', '−0.1235', '–')
    """
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return _decimal(value).replace("-", "−") if isfinite(value) else _NONE
    return str(value)


def counted(count: int, noun: str) -> str:
    """How many there are of what ``noun`` names.

    >>> counted(1, "label"), counted(1200, "label")
    ('1 label', '1,200 labels')
    """
    return f"{number(count)} {noun if count == 1 else noun + 's'}"


def _decimal(value: float) -> str:
    size = abs(value)
    if size >= 1e12 or 0 < size < 1e-4:
        return f"{value:.1e}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value or 0.0:.4g}"


def signed(value: float) -> str:
    """A difference, with its sign.

    >>> signed(-0.5), signed(0.25)
    ('−0.5', '+0.25')
    """
    return f"−{number(abs(value))}" if value < 0 else f"+{number(value)}"


def percent(share: float) -> str:
    """A share of one as percent.

    >>> percent(0.1)
    '10 %'
    """
    return f"{share * 100:.3g} %"


def words(name: str) -> str:
    """An identifier as words.

    >>> words("rolling_out")
    'rolling out'
    """
    return name.replace("_", " ")


_METRICS = {"auc": "AUC", "mae": "MAE", "mape": "MAPE", "mse": "MSE", "r2": "R²", "rmse": "RMSE"}


def metric(name: str) -> str:
    """A metric as people write it.

    >>> metric("log_loss"), metric("mae")
    ('log loss', 'MAE')
    """
    return _METRICS.get(name, words(name))


def subject(ref: str) -> str:
    """``model:cars@3`` as people call it: ``cars@3``."""
    return ref.partition(":")[2] or ref


def ago(moment: datetime, now: datetime) -> str:
    """How far away ``moment`` is, in the largest whole unit.

    >>> ago(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
    '2 days ago'
    """
    seconds = (now - moment).total_seconds()
    distance = abs(seconds)
    unit, length = next(((u, n) for below, u, n in _STEPS if distance < below), ("year", 31_536_000))
    count = int(distance // length)
    if count == 0:
        return "just now"
    text = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{text} ago" if seconds >= 0 else f"in {text}"


class Moment(Protocol):
    """A wall-clock time as a page shows it."""

    def __call__(self, value: datetime, *, seconds: bool = False) -> Markup:
        """UTC to the minute, or to the second where times tell rows apart."""


def moment_with(now: Callable[[], datetime]) -> Moment:
    """A filter for wall-clock times: UTC, and how long ago as its title."""

    def moment(value: datetime, *, seconds: bool = False) -> Markup:
        utc = value.astimezone(UTC)
        shown = f"{utc:%Y-%m-%d %H:%M:%S}" if seconds else f"{utc:%Y-%m-%d %H:%M}"
        return Markup('<time datetime="{}" title="{}">{} UTC</time>').format(
            utc.isoformat(timespec="seconds"), ago(utc, now()), shown
        )

    return moment


def instant_with(now: Callable[[], datetime]) -> Callable[[str], Markup]:
    """The same for a moment that is kept as text, in ISO 8601."""
    moment = moment_with(now)
    return lambda text: moment(datetime.fromisoformat(text))


def window(bounds: tuple[datetime, datetime]) -> Markup:
    """A window in event time: days where it spans days, else minutes; a moment where it spans nothing."""
    start, end = bounds
    if start == end:
        return Markup('<time datetime="{}">{}</time>').format(
            start.isoformat(timespec="seconds"), f"{start:%Y-%m-%d %H:%M}"
        )
    if end - start >= timedelta(days=1):
        first, last = f"{start:%Y-%m-%d}", f"{end:%m-%d}" if start.year == end.year else f"{end:%Y-%m-%d}"
    else:
        first, last = f"{start:%Y-%m-%d %H:%M}", f"{end:%H:%M}"
    return Markup('<time datetime="{}" title="{} to {} UTC, event time">{} to {}</time>').format(
        start.isoformat(timespec="seconds"), f"{start:%Y-%m-%d %H:%M}", f"{end:%Y-%m-%d %H:%M}", first, last
    )
