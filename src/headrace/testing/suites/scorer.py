"""What every loaded model promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from headrace.core.ports import Columns, Scorer


def _n_rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _equal(left: dict[str, Any], right: dict[str, Any]) -> None:
    assert list(left) == list(right)
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name], err_msg=name)


class ScorerSuite:
    """Fixtures ``scorer``: a loaded model; ``columns``: at least two rows of raw input for it."""

    def test_it_gives_what_it_names_the_prediction_first(self, scorer: Scorer, columns: Columns) -> None:
        outputs = scorer.score(columns)
        assert scorer.outputs[0] == "predict"
        assert set(outputs) == set(scorer.outputs)
        assert all(len(values) == _n_rows(columns) for values in outputs.values())
        assert np.asarray(outputs["predict"]).shape == (_n_rows(columns),)

    def test_probabilities_belong_to_its_classes(self, scorer: Scorer, columns: Columns) -> None:
        outputs, classes = scorer.score(columns), scorer.classes
        if classes is None:
            assert "probability" not in outputs
            return
        probability = np.asarray(outputs["probability"])
        assert probability.shape == (_n_rows(columns), len(classes))
        np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-4)
        assert list(outputs["predict"]) == [classes[column] for column in probability.argmax(axis=1)]

    def test_it_gives_the_same_again(self, scorer: Scorer, columns: Columns) -> None:
        _equal(scorer.score(columns), scorer.score(columns))

    def test_it_leaves_its_input_alone(self, scorer: Scorer, columns: Columns) -> None:
        before = {name: np.array(values, copy=True) for name, values in columns.items()}
        scorer.score(columns)
        assert list(columns) == list(before)
        for name, values in before.items():
            np.testing.assert_array_equal(columns[name], values)

    def test_a_batch_is_its_rows_one_by_one(self, scorer: Scorer, columns: Columns) -> None:
        batch = scorer.score(columns)
        for row in range(_n_rows(columns)):
            single = scorer.score({name: values[row : row + 1] for name, values in columns.items()})
            for name, values in single.items():
                if np.asarray(values).dtype.kind == "f":
                    np.testing.assert_allclose(values[0], batch[name][row], rtol=1e-5, atol=1e-7)
                else:
                    assert values[0] == batch[name][row]

    def test_columns_may_come_in_any_order(self, scorer: Scorer, columns: Columns) -> None:
        _equal(scorer.score(columns), scorer.score(dict(reversed(list(columns.items())))))

    def test_threads_may_share_it(self, scorer: Scorer, columns: Columns) -> None:
        expected = scorer.score(columns)
        with ThreadPoolExecutor(4) as threads:
            for outputs in threads.map(lambda _: scorer.score(columns), range(16)):
                _equal(outputs, expected)
