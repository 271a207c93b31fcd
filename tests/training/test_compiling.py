"""A fitted pipeline as data prepares as scikit-learn does, to the last bit, by row and by table."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.canonical import canonical_json
from headrace.training.compiling import Unreadable, compile_pipeline
from headrace.training.preparing import Preparation, Refused
from tests.training.pipelines import KINDS, NUMBERS, cars, fitted, frame, prepare


class Last:
    """An estimator that takes what it gets."""

    def fit(self, X: Any, y: Any) -> Last:
        self.fitted_ = True
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


def compiled(before: Any = None, rows: Any = None) -> tuple[Any, Preparation]:
    model = fitted(Last(), before=before, rows=rows)
    plan = compile_pipeline(model, KINDS).plan
    return model, Preparation(json.loads(canonical_json(plan)))


def transformed(model: Any, columns: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = model[:-1].transform(frame(columns))
    return np.asarray(out.toarray() if hasattr(out, "toarray") else out, dtype=np.float64)


def rows_of(columns: dict[str, Any]) -> list[list[Any]]:
    return [list(row) for row in zip(*(columns[name].tolist() for name, _ in KINDS), strict=True)]


def numbers_only(transformer: Any) -> Any:
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer([("numbers", transformer, list(NUMBERS))])


def text_only(transformer: Any) -> Any:
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer([("text", transformer, ["fuel"])], remainder="drop")


def transformers() -> dict[str, Any]:
    from sklearn import preprocessing as p
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import FeatureUnion, make_pipeline

    fill = SimpleImputer(strategy="median")
    onehot = p.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return {
        "everything": prepare(),
        "min-max": numbers_only(p.MinMaxScaler(clip=True)),
        "max-abs": numbers_only(p.MaxAbsScaler()),
        "robust": numbers_only(p.RobustScaler()),
        "bins": numbers_only(make_pipeline(fill, p.KBinsDiscretizer(4, encode="ordinal"))),
        "binary": numbers_only(make_pipeline(fill, p.Binarizer(threshold=3.0))),
        "selected": numbers_only(make_pipeline(fill, VarianceThreshold(2.0))),
        "union": numbers_only(FeatureUnion([("a", fill), ("b", p.StandardScaler())])),
        "identity": numbers_only(p.FunctionTransformer()),
        "scaled one-hot": text_only(make_pipeline(onehot, p.StandardScaler())),
        "missing is a category": text_only(p.OneHotEncoder(handle_unknown="ignore", drop="first")),
        "rare": text_only(p.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=120)),
        "numbers as categories": numbers_only(p.OneHotEncoder(handle_unknown="ignore")),
        "target": text_only(p.TargetEncoder(target_type="continuous")),
        "constant": text_only(
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value="none"),
                p.OrdinalEncoder(
                    handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-2
                ),
            )
        ),
    }


@pytest.mark.requirement("FEA-03")
@pytest.mark.parametrize("kind", sorted(transformers()))
def test_a_plan_prepares_as_the_pipeline_does(kind: str) -> None:
    model, preparation = compiled(transformers()[kind])
    columns = cars(120, seed=7)
    columns["size"][:4] = [0.0, -1e9, 1e9, np.nan]
    columns["fuel"][:2] = ["steam", None]
    expected = transformed(model, columns)
    by_table = preparation.matrix([columns[name] for name, _ in KINDS])
    np.testing.assert_array_equal(by_table, expected)
    by_row = [preparation.row(row) for row in rows_of(columns)]
    np.testing.assert_array_equal(np.array(by_row), expected)


VALUES = st.tuples(
    st.one_of(st.none(), st.floats(allow_infinity=False), st.integers(-100, 100)),
    st.one_of(st.none(), st.floats(-1e6, 1e6)),
    st.one_of(st.none(), st.floats(-1e6, 1e6)),
    st.one_of(st.none(), st.sampled_from(["petrol", "diesel", " gas", "steam", ""])),
    st.booleans(),
)
EVERYTHING = compiled()


@pytest.mark.requirement("FEA-03")
@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_any_row_is_prepared_as_by_the_pipeline_that_was_trained(rows: list[Any]) -> None:
    model, preparation = EVERYTHING
    columns: dict[str, Any] = {
        name: np.array([np.nan if row[place] is None else row[place] for row in rows], dtype=np.float64)
        for place, name in enumerate(NUMBERS)
    }
    fuel = np.empty(len(rows), dtype=object)
    fuel[:] = [row[3] for row in rows]
    columns |= {"fuel": fuel, "new": np.array([row[4] for row in rows])}
    expected = transformed(model, columns)
    np.testing.assert_array_equal(preparation.matrix([columns[name] for name, _ in KINDS]), expected)
    np.testing.assert_array_equal(np.array([preparation.row(row) for row in rows]), expected)


def test_what_the_pipeline_refuses_is_refused_by_name() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.tree import DecisionTreeRegressor

    known = {**cars(), "fuel": np.array(["a", "b"] * 200, dtype=object), "size": np.arange(400.0)}
    model = fitted(Ridge(), before=text_only(OneHotEncoder()), rows=known)
    strict = Preparation(compile_pipeline(model, KINDS).plan)
    row = [1.0, 2000.0, 4.0, "a", True]
    assert strict.row(row) == [1.0, 0.0]
    for value, message in (
        ("steam", "Column 'fuel' holds 'steam', a category that training never saw"),
        (None, "Column 'fuel' holds a missing value"),
    ):
        with pytest.raises(Refused, match=message):
            strict.row([*row[:3], value, True])
    model = fitted(Ridge(), before=numbers_only(StandardScaler()), rows=known)
    gaps = Preparation(compile_pipeline(model, KINDS).plan)
    with pytest.raises(Refused, match="Column 'doors' holds a missing value"):
        gaps.row([*row[:2], None, "a", True])
    with pytest.raises(Refused, match="Column 'doors' holds a missing value"):
        gaps.matrix([np.array([value]) for value in (1.0, 2000.0, np.nan, 0.0, 1.0)])
    tree = fitted(DecisionTreeRegressor(), before=numbers_only("passthrough"), rows=known)
    trees = Preparation(compile_pipeline(tree, KINDS).plan)
    for large in (1e39, -1e39):
        with pytest.raises(Refused, match="Column 'year' holds too large a number"):
            trees.row([1.0, large, 4.0, "a", True])
        assert gaps.row([1.0, large, 4.0, "a", True])


def test_what_has_no_form_as_data_is_named() -> None:
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    rows = {**cars(), "size": np.arange(400.0)}
    for transformer, message in (
        (FunctionTransformer(np.log1p), "FunctionTransformer runs a function"),
        (PCA(2), "PCA has no form as data"),
        (SimpleImputer(missing_values=4.0), "takes 4.0 for missing"),
        (make_pipeline(StandardScaler(), OneHotEncoder()), "OneHotEncoder encodes what was computed before"),
    ):
        with pytest.raises(Unreadable, match=message):
            compile_pipeline(fitted(Last(), before=numbers_only(transformer), rows=rows), KINDS)
    with pytest.raises(Unreadable, match="column 'fuel' goes into the estimator as text"):
        compile_pipeline(fitted(Last(), before=text_only("passthrough")), KINDS)
    with pytest.raises(Unreadable, match="Mine is not of scikit-learn"):
        compile_pipeline(fitted(Last(), before=Mine()), KINDS)


class Mine:
    """Somebody's own transformer."""

    def fit(self, X: Any, y: Any = None) -> Mine:
        return self

    def transform(self, X: Any) -> Any:
        return np.zeros((len(X), 1))
