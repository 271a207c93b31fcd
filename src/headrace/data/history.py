"""What the past says about a day to come: the inputs of a forecast, the same in training and serving.

A forecast for a day is made ``horizon_days`` before it, so it may only lean on values at least that old.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.core.project import Column
from headrace.data.frames import LARGEST
from headrace.data.holidays import days_from_holiday

Floats = NDArray[np.float64]
_YEAR_DAYS = 365.2425


class _Known(NamedTuple):
    """One value per day, days ascending."""

    days: NDArray[np.datetime64]
    values: Floats


class History:
    """A daily series as far as it is known. One writer at a time; readers need no lock.

    Args:
        times: ``datetime64``, shape ``(n,)``; what counts is the day (UTC).
        values: float64, shape ``(n,)``; NaN is not known. The last value of a day stands.

    >>> days = np.arange("2019-01-01", "2019-01-09", dtype="datetime64[D]")
    >>> history = History(days[:7], np.arange(7.0))
    >>> history.features(days[7:], lags_days=[7], horizon_days=7)["lag_7"].tolist()
    [0.0]
    """

    def __init__(self, times: NDArray[Any], values: NDArray[Any]) -> None:
        self._known = _Known(np.empty(0, dtype="datetime64[D]"), np.empty(0))
        self.observe(times, values)

    @property
    def times(self) -> NDArray[np.datetime64]:
        """The known days, ascending, ``datetime64[us]``."""
        return self._known.days.astype("datetime64[us]")

    @property
    def values(self) -> Floats:
        """The value of each of :attr:`times`."""
        return self._known.values

    def observe(self, times: NDArray[Any], values: NDArray[Any]) -> None:
        """Add values, or correct them: a later value for the same day replaces the earlier.

        Raises:
            InvalidInput: times are no times, values no numbers, or their lengths differ.
        """
        days, numbers = _days(times), np.asarray(values)
        if numbers.dtype.kind not in "fiub" or numbers.shape != days.shape:
            raise InvalidInput(
                f"A history got {len(days)} times and values of type {numbers.dtype} and shape "
                f"{numbers.shape}. Expected one number for each time."
            )
        numbers = numbers.astype(np.float64)
        usable = (np.abs(numbers) <= LARGEST) & ~np.isnat(days)
        all_days = np.concatenate([self._known.days, days[usable]])
        all_values = np.concatenate([self._known.values, numbers[usable]])
        # The last of equal days wins: unique() keeps the first, so it looks from behind.
        kept, first = np.unique(all_days[::-1], return_index=True)
        self._known = _Known(kept, all_values[::-1][first])

    def features(self, times: NDArray[Any], lags_days: Sequence[int], horizon_days: int) -> dict[str, Floats]:
        """The inputs of forecasts for ``times``, named and ordered as :func:`feature_columns` says.

        A value that is not known is NaN; so is ``mean_of_lags`` when none is.

        Args:
            times: the days to forecast, ``datetime64``, shape ``(n_rows,)``, no NaT.
            lags_days: how many days before the forecast day each lag looks.
            horizon_days: how many days ahead the forecast is made.

        Raises:
            InvalidInput: a lag is shorter than the horizon, so it could not be known; or there is none.
        """
        check_lags(lags_days, horizon_days)
        days = _days(times)
        if np.isnat(days).any():
            raise InvalidInput("A forecast needs the day that it is for; a time is null.")
        known = self._known
        lags = {lag: _look_up(known, days - np.timedelta64(lag, "D")) for lag in lags_days}
        stacked = np.column_stack(list(lags.values()))
        n_known = np.isfinite(stacked).sum(axis=1)
        mean = np.full(len(days), np.nan)
        np.divide(np.nansum(stacked, axis=1), n_known, out=mean, where=n_known > 0)
        angle = 2 * np.pi * (days - days.astype("datetime64[Y]")).astype(np.float64) / _YEAR_DAYS
        return {
            **{f"lag_{lag}": values for lag, values in lags.items()},
            "mean_of_lags": mean,
            "day_of_week": ((days.astype(np.int64) + 3) % 7).astype(np.float64),
            "year_sin": np.sin(angle),
            "year_cos": np.cos(angle),
            "days_from_holiday": days_from_holiday(days),
            "days_from_holiday_at_lag": days_from_holiday(days - np.timedelta64(lags_days[0], "D")),
        }


def feature_columns(lags_days: Sequence[int]) -> tuple[Column, ...]:
    """The columns that :meth:`History.features` makes, with their roles, in order.

    ``day_of_week`` counts from Monday, 0; the days from a holiday run from -4 to 4, and 5 is farther.
    """
    numeric = [f"lag_{lag}" for lag in lags_days] + ["mean_of_lags", "year_sin", "year_cos"]
    order = [f"lag_{lag}" for lag in lags_days]
    order += ["mean_of_lags", "day_of_week", "year_sin", "year_cos"]
    order += ["days_from_holiday", "days_from_holiday_at_lag"]
    return tuple(Column(name=n, role="numeric" if n in numeric else "categorical") for n in order)


def check_lags(lags_days: Sequence[int], horizon_days: int) -> None:
    """Refuse lags that look at days which are not known yet when the forecast is made.

    Raises:
        InvalidInput: there is no lag, one is repeated, or one is shorter than the horizon.
    """
    if not lags_days or len(set(lags_days)) != len(lags_days):
        raise InvalidInput(
            f"lags_days is {list(lags_days)}. Expected different days, such as [7, 14, 21, 28]."
        )
    if horizon_days < 1:
        raise InvalidInput(f"horizon_days is {horizon_days}. Expected 1 or more.")
    short = [lag for lag in lags_days if lag < horizon_days]
    if short:
        raise InvalidInput(
            f"Lag {short[0]} is shorter than the horizon of {horizon_days} days: that value is not known "
            f"when the forecast is made. Use lags of {horizon_days} days or more, or a shorter horizon."
        )


def _days(times: NDArray[Any]) -> NDArray[np.datetime64]:
    array = np.asarray(times)
    if array.dtype.kind != "M" or array.ndim != 1:
        raise InvalidInput(
            f"Times have type {array.dtype} and shape {array.shape}. Expected one time per row."
        )
    return array.astype("datetime64[D]")


def _look_up(known: _Known, days: NDArray[np.datetime64]) -> Floats:
    if not len(known.days):
        return np.full(len(days), np.nan)
    at = np.minimum(np.searchsorted(known.days, days), len(known.days) - 1)
    return np.where(known.days[at] == days, known.values[at], np.nan)
