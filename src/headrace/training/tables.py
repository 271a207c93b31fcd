"""Raw input columns as the data frame that a pipeline over named columns takes."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns

if TYPE_CHECKING:
    import pandas as pd


def column_names(estimator: Any) -> list[str]:
    """The columns that an estimator was fitted on by name; empty where it was fitted on an array."""
    # CatBoost has a name of its own for it.
    own = getattr(estimator, "feature_names_", None)
    names = [str(name) for name in getattr(estimator, "feature_names_in_", () if own is None else own)]
    # LightGBM and CatBoost name the columns of an array themselves.
    places = range(len(names))
    return [] if names in ([f"Column_{place}" for place in places], list(map(str, places))) else names


def to_frame(columns: Columns, names: Sequence[str]) -> pd.DataFrame:
    """A pandas frame of ``names``: float64, text without spaces around it, and NaN for what is missing.

    Raises:
        InvalidInput: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise InvalidInput(
            "A model over named columns needs pandas. Install it with: pip install pandas"
        ) from error
    return pd.DataFrame({name: _series(columns[name]) for name in names})


def _series(values: Any) -> Any:
    if values.dtype.kind != "O":
        return values
    given = [nan if one is None else one.strip() if isinstance(one, str) else one for one in values.tolist()]
    array = np.empty(len(given), dtype=object)
    array[:] = given
    return array
