from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.testing.factories import make_prediction


@pytest.mark.requirement("SRV-08")
@given(st.lists(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3), min_size=1))
def test_confidence_is_the_probability_of_the_chosen_class(weights: list[list[float]]) -> None:
    rows = [[w / sum(row) for w in row] for row in weights]
    several = make_prediction(outputs={"predict": ["a"] * len(rows), "probability": rows})
    assert several.confidence == [max(row) for row in rows]
    two = make_prediction(outputs={"predict": [0] * len(rows), "probability": [row[0] for row in rows]})
    assert two.confidence == [max(row[0], 1.0 - row[0]) for row in rows]


def test_a_model_without_probabilities_has_no_confidence() -> None:
    prediction = make_prediction(outputs={"predict": [1.5]})
    assert prediction.confidence is None
    assert prediction.answers == {"predict": [1.5]}
    sure = make_prediction(outputs={"predict": [1], "probability": [0.25]})
    assert sure.answers == {"predict": [1], "probability": [0.25], "confidence": [0.75]}
