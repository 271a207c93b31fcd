from __future__ import annotations

import numpy as np
import pytest

from headrace.core.errors import InvalidInput
from headrace.training.baselines import ColumnModel, ConstantModel, DifferenceModel

X = np.array([[1.0, np.nan], [2.0, 5.0], [3.0, 6.0]], dtype=np.float32)


def test_a_constant_is_the_mean() -> None:
    model = ConstantModel().fit(X, [1.0, 2.0, 6.0])
    assert model.predict(X[:2]).tolist() == [3.0, 3.0]
    with pytest.raises(InvalidInput, match="no probabilities"):
        model.predict_proba(X)


def test_a_constant_is_the_prior() -> None:
    model = ConstantModel(task="classification").fit(X, [0, 2, 2])
    assert model.classes_.tolist() == [0, 2]
    assert model.predict(X[:1]).tolist() == [2]
    np.testing.assert_allclose(model.predict_proba(X[:1]), [[1 / 3, 2 / 3]])


def test_a_column_is_the_answer_and_the_mean_where_it_is_missing() -> None:
    model = ColumnModel(1).fit(X, [1.0, 2.0, 6.0])
    assert model.predict(X).tolist() == [3.0, 5.0, 6.0]


@pytest.mark.parametrize("column", [-1, 2])
def test_a_column_that_is_not_there_is_refused(column: int) -> None:
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        ColumnModel(column).fit(X, [1.0, 2.0, 3.0])


def test_a_difference_is_learnt_on_top_of_a_column() -> None:
    rows = np.array([[10.0, 0.0], [20.0, 1.0], [np.nan, 1.0], [30.0, 0.0]], dtype=np.float32)
    model = DifferenceModel(ConstantModel(), 0).fit(rows, [12.0, 22.0, 999.0, 32.0])
    assert model.predict(rows).tolist() == [12.0, 22.0, 22.0, 32.0]
    with pytest.raises(InvalidInput, match="missing in all 1 rows"):
        DifferenceModel(ConstantModel(), 0).fit(rows[2:3], [1.0])
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        DifferenceModel(ConstantModel(), 7).fit(rows, [1.0, 2.0, 3.0, 4.0])


def test_parameters_are_what_the_constructor_was_given() -> None:
    inner = ConstantModel(task="classification")
    assert inner.get_params() == {"task": "classification"}
    assert ColumnModel(3).get_params() == {"column": 3}
    assert DifferenceModel(inner, 1).get_params() == {"estimator": inner, "column": 1}
