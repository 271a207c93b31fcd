from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns, Scorer
from headrace.testing import EchoModel, ScorerSuite


class Sign:
    """Classifies numbers by their sign."""

    outputs = ("predict", "probability")
    classes = ("negative", "positive")

    def score(self, columns: Columns) -> dict[str, Any]:
        positive = np.where(columns["x"] > 0, 0.9, 0.2)
        labels = np.array(self.classes, dtype=object)[(positive > 0.5).astype(int)]
        return {"predict": labels, "probability": np.column_stack([1 - positive, positive])}


class TestClassifier(ScorerSuite):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Sign()

    @pytest.fixture
    def columns(self) -> Columns:
        return {"x": np.array([-1.0, 2.0, np.nan])}


class TestEchoModel(ScorerSuite):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return EchoModel("price")

    @pytest.fixture
    def columns(self) -> Columns:
        return {"price": np.array([3.0, 1.5, np.nan]), "model": np.array(["a3", None, "q5"], dtype=object)}


def test_it_gives_a_column_back() -> None:
    prices = np.array([3.0, 1.5])
    outputs = EchoModel("price").score({"price": prices})
    assert list(outputs["predict"]) == [3.0, 1.5]
    outputs["predict"][0] = 0.0
    assert prices[0] == 3.0


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"'price' is missing \(has: model\)"):
        EchoModel("price").score({"model": np.array(["a3"], dtype=object)})
