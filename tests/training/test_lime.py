"""The local model around a row, held against what it must find for models that are linear already."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from headrace.core.errors import InvalidInput
from headrace.training.explaining import Explainer
from headrace.training.lime import LimeExplainer, nearest
from tests.training.pipelines import cars, inputs
from tests.training.test_explaining import case

Floats = NDArray[np.float64]


def linear(row: Floats, weights: Floats, background: Floats, noise: float = 0.0) -> object:
    random = np.random.default_rng(7)

    def worth(masks: NDArray[np.bool_], rows: NDArray[np.int64]) -> Floats:
        mixed = np.where(masks, row, background[rows])
        found: Floats = mixed @ weights + noise * random.normal(size=len(rows))
        return found

    return worth


@pytest.mark.requirement("TRC-10")
@pytest.mark.parametrize("seed", range(5))
def test_of_a_linear_model_it_finds_the_distance_to_the_mean_of_each_column(seed: int) -> None:
    random = np.random.default_rng(seed)
    row, weights = random.normal(size=6) * 3, random.normal(size=6)
    background = random.normal(size=(100, 6))
    found = nearest(linear(row, weights, background), 6, 100, random=random)  # type: ignore[arg-type]
    expected = weights * (row - background.mean(axis=0))
    # What varies among the background is noise to the local model: about 4 standard errors of 2,000 samples.
    spread = 4 * 2 * float(np.linalg.norm(weights)) / np.sqrt(2_000)
    assert found.weights == pytest.approx(expected, abs=spread + 0.02 * np.abs(expected).max())
    assert 0.0 < found.fidelity <= 1.0


@pytest.mark.requirement("TRC-10")
def test_its_fidelity_says_how_much_of_the_answers_it_explains() -> None:
    row, weights, background = np.ones(4), np.ones(4), np.zeros((10, 4))

    def fidelity(noise: float) -> float:
        worth = linear(row, weights, background, noise)
        return nearest(worth, 4, 10, random=np.random.default_rng(0)).fidelity  # type: ignore[arg-type]

    assert fidelity(0.0) > 0.999
    assert 0.3 < fidelity(1.0) < 0.7, "half of the variance is noise"
    assert fidelity(100.0) < 0.05


@pytest.mark.requirement("TRC-10")
def test_of_a_packaged_linear_model_it_agrees_with_shapleys_values() -> None:
    package, scorer, _ = case("ridge")
    rows = {name: values.tolist() for name, values in inputs(cars(3, seed=9)).items()}
    background = inputs(cars(50, seed=3))
    exact = Explainer(package, scorer, background).explain(rows)
    local = LimeExplainer(scorer, background).explain(rows)
    assert (local.method, local.scale, local.background_rows) == ("lime", "output", 50)
    for mine, shapleys in zip(local.rows, exact.rows, strict=True):
        largest = max(map(abs, shapleys.contributions.values()))
        assert mine.contributions == pytest.approx(shapleys.contributions, abs=0.1 * largest + 0.1)
        assert mine.base + sum(mine.contributions.values()) == pytest.approx(mine.value)
    again = LimeExplainer(scorer, background).explain(rows)
    assert again == local, "the same question gets the same answer"


@pytest.mark.requirement("TRC-10")
def test_of_a_class_its_probability_is_explained() -> None:
    _, scorer, _ = case("forest")
    rows = {name: values.tolist() for name, values in inputs(cars(2, seed=4)).items()}
    found = LimeExplainer(scorer, inputs(cars(50, seed=3))).explain(rows)
    assert found.scale == "probability"
    for row in found.rows:
        assert row.of == scorer.info.classes[1]
        assert row.confidence is not None
        assert 0.5 <= row.confidence <= 1.0
    with pytest.raises(InvalidInput, match="'year' is missing"):
        LimeExplainer(scorer, inputs(cars(50, seed=3))).explain({"size": [1.0]})
