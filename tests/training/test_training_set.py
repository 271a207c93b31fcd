from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.core.project import Column, DataGate, Gates, ModelGate
from headrace.store import Store
from headrace.training.package import Label
from headrace.training.training_set import (
    codes_of,
    input_columns,
    load_rows,
    load_training_set,
    make_training_set,
    prepare_table,
    trained_on,
)
from tests.training.building import snapshot_of, training_set_of
from tests.training.examples import project, series, table


def test_rows_are_divided_once_for_all_variants(store: Store) -> None:
    declared, columns = project(), table()
    kept = training_set_of(store, declared, columns)
    assert training_set_of(store, declared, columns) == kept
    made = load_training_set(store.artifacts, kept.digest)
    rows = load_rows(store, declared, made)
    assert (made.n_train, made.n_test) == (84, 36) == (len(rows.train), len(rows.test))
    assert not set(rows.train) & set(rows.test)
    assert made.view.columns == rows.encoding.columns == ("size", "year", "fuel")
    assert made.trained_until is None
    assert rows.truth().tolist() == columns["y"][rows.test].tolist()
    assert rows.test_columns()["size"].shape == (36,)


def test_rows_without_a_target_or_time_are_in_neither_part(store: Store) -> None:
    columns = series()
    columns["y"][[3, 100]] = np.nan
    columns["date"][7] = np.datetime64("NaT")
    declared = project("forecasting")
    made = load_training_set(store.artifacts, training_set_of(store, declared, columns).digest)
    rows = load_rows(store, declared, made)
    assert {*rows.train.tolist(), *rows.test.tolist()} == set(range(120)) - {3, 7, 100}
    assert np.isnan(rows.columns["lag_7"][[7, 10]]).all()
    assert made.trained_until is not None
    assert np.datetime64(made.trained_until.replace(tzinfo=None)) == columns["date"][rows.train].max()


@pytest.mark.requirement("GAT-01")
def test_blocked_segments_are_not_trained_on_but_stay_in_the_test(store: Store) -> None:
    columns = table(400)
    gates = Gates(data=DataGate(segment="fuel"), model=ModelGate(metric="mae"))
    declared = project(gates=gates)
    snapshot = snapshot_of(store, columns)
    kept = make_training_set(store, declared, snapshot, blocked_segments=("hybrid",))
    made = load_training_set(store.artifacts, kept.digest)
    rows = load_rows(store, declared, made)
    assert "hybrid" not in columns["fuel"][rows.train].tolist()
    assert "hybrid" in columns["fuel"][rows.test].tolist()
    assert made.blocked_segments == ("hybrid",)
    assert "hybrid" not in rows.encoding.to_dict()["columns"][2]["categories"]
    unblocked = load_training_set(store.artifacts, make_training_set(store, declared, snapshot).digest)
    assert unblocked.split != made.split
    with pytest.raises(InvalidInput, match="Every training row is in a blocked segment"):
        make_training_set(
            store,
            replace(declared, gates=replace(gates, data=DataGate(segment="only"))),
            snapshot_of(store, {**columns, "only": np.full(400, "x", dtype=object)}),
            blocked_segments=("x",),
        )


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("b", "a"), ("a", "b")),
        ((2.0, 1.0, 10.0), (1.0, 2.0, 10.0)),
        ((True, False), (False, True)),
    ],
)
def test_classes_are_sorted_and_keep_their_type(
    store: Store, classes: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    declared = project("classification")
    made = load_training_set(store.artifacts, training_set_of(store, declared, table(classes=classes)).digest)
    assert made.classes == expected
    assert [type(label) for label in made.classes] == [type(label) for label in expected]


@pytest.mark.parametrize(
    ("classes", "positive", "expected"),
    [
        (("nein", "ja"), "ja", ("nein", "ja")),
        ((0.0, 1.0), 0, (1.0, 0.0)),
        ((True, False), False, (True, False)),
    ],
)
def test_the_positive_class_is_the_last(
    store: Store, classes: tuple[Any, ...], positive: Any, expected: tuple[Any, ...]
) -> None:
    declared = project("classification")
    declared = replace(declared, data=replace(declared.data, positive=positive))
    made = load_training_set(store.artifacts, training_set_of(store, declared, table(classes=classes)).digest)
    assert made.classes == expected
    assert [type(label) for label in made.classes] == [type(label) for label in expected]


@pytest.mark.parametrize("classes", [("ja", "nein"), ("a", "b", "yes")])
def test_a_positive_class_that_is_none_of_two_is_refused(store: Store, classes: tuple[str, ...]) -> None:
    declared = project("classification")
    declared = replace(declared, data=replace(declared.data, positive="yes"))
    with pytest.raises(
        InvalidInput,
        match=r"data.positive is 'yes', but '\w+' is '\w+' \(\d+\), '.*Expected one of two.* empty the cells",
    ):
        training_set_of(store, declared, table(classes=classes))


@given(st.lists(st.sampled_from(["a", "b", " c "]), min_size=1, max_size=20))
def test_codes_are_positions_of_labels(labels: list[str]) -> None:
    classes: tuple[Label, ...] = ("a", "c")
    codes = codes_of(np.array(labels, dtype=object), classes)
    assert [classes[code] if code >= 0 else "b" for code in codes] == [label.strip() for label in labels]


def test_a_forecast_gets_lags_and_the_calendar(store: Store) -> None:
    declared, columns = project("forecasting"), series()
    prepared = prepare_table(columns, declared)
    assert prepared["lag_7"][7:].tolist() == columns["y"][:-7].tolist()
    assert np.isnan(prepared["lag_7"][:7]).all()
    names = [column.name for column in input_columns(declared)]
    assert names[:3] == ["lag_7", "lag_14", "mean_of_lags"]
    assert "y" not in names
    rows = load_rows(
        store,
        declared,
        load_training_set(store.artifacts, training_set_of(store, declared, columns).digest),
    )
    assert rows.train.max() < rows.test.min()
    assert rows.columns["lag_14"].shape == (120,)


def test_a_computed_input_can_be_declared_otherwise() -> None:
    declared = project("forecasting")
    ignored = replace(declared.data, columns=(Column(name="year_sin", role="ignored"),))
    names = [column.name for column in input_columns(replace(declared, data=ignored))]
    assert "year_sin" not in names
    assert "year_cos" in names


def test_a_column_with_a_computed_ones_name_is_refused() -> None:
    columns = {**series(), "lag_7": np.zeros(120)}
    with pytest.raises(InvalidInput, match="'lag_7', a name that forecasting computes"):
        prepare_table(columns, project("forecasting"))


def test_a_missing_target_is_named(store: Store) -> None:
    columns = table()
    columns["Y"] = columns.pop("y")
    with pytest.raises(InvalidInput, match=r"no column 'y' \(has: .*"):
        training_set_of(store, project(), columns)


def test_too_few_usable_rows_are_refused(store: Store) -> None:
    columns = table()
    columns["y"] = np.full(120, np.nan)
    columns["y"][0] = 1.0
    with pytest.raises(InvalidInput, match="1 of 120 rows have a 'y'"):
        training_set_of(store, project(), columns)


def test_rows_that_were_trained_on_are_recognised_in_another_table(store: Store) -> None:
    declared, columns = project(), table()
    made = load_training_set(store.artifacts, training_set_of(store, declared, columns).digest)
    rows = load_rows(store, declared, made)
    newer = {name: np.concatenate([table(50, seed=9)[name], values]) for name, values in columns.items()}
    known = trained_on(store.artifacts, made, newer)
    assert (np.flatnonzero(known) - 50).tolist() == rows.train.tolist()
    with pytest.raises(InvalidInput, match="no column 'fuel'"):
        trained_on(store.artifacts, made, {name: newer[name] for name in newer if name != "fuel"})
