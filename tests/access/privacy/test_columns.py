"""Columns that look as if they were about people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.access.privacy.columns import personal_columns


def texts(*values: str | None) -> Any:
    return np.array(values, dtype=object)


@pytest.mark.requirement("PRV-08")
def test_a_column_counts_when_a_tenth_of_its_values_do() -> None:
    columns = {
        "mail": texts("a@example.org", None, "b@example.org and 415-555-2671"),
        "note": texts(*["nothing"] * 9, "call 415-555-2671"),
        "rare": texts(*["nothing"] * 19, "call 415-555-2671"),
        "version": texts("1.2.3", "4.5.6"),
        "empty": texts(None, None),
        "number": np.array([4111111111111111.0]),
    }
    assert personal_columns(columns) == {"mail": "email", "note": "phone"}


def test_a_long_column_is_sampled_evenly() -> None:
    values = texts(*["x"] * 50_000, *["a@example.org"] * 50_000)
    assert personal_columns({"c": values}) == {"c": "email"}
