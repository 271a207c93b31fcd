"""From the event log into tables: each record once, whatever it holds and whenever it is killed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.checks.columns import label_counts
from headrace.core.ports import Columns, EventLog, TableStore, Transaction
from headrace.core.record import Feedback, Outcome, Prediction
from headrace.monitoring.ingest import (
    feedback_table,
    ingest,
    outcomes_table,
    prediction_rows,
    predictions_table,
    refusals_table,
)
from headrace.store.events import SegmentLog
from headrace.store.records import encode_feedback, encode_outcome, encode_prediction, encode_refusal
from headrace.store.tables import DeltaTables
from headrace.testing import START, MemoryEvents, make_feedback, make_refusal
from tests.monitoring.traffic import answer, label

PREDICTIONS, OUTCOMES = predictions_table("cars"), outcomes_table("cars")
FEEDBACK = feedback_table("cars")
NUMERIC = frozenset({"mileage"})


class Killed(BaseException):
    """What a process does not live to see."""


class DiesAfterAppend:
    """A table store whose process is killed right after a commit, before it can do anything else."""

    def __init__(self, tables: TableStore, *, survives: int) -> None:
        self._tables = tables
        self._left = survives

    def append(self, table: str, columns: Columns, *, transaction: Transaction | None = None) -> int:
        version = self._tables.append(table, columns, transaction=transaction)
        self._left -= 1
        if self._left < 0:
            raise Killed
        return version

    def replace(self, table: str, columns: Columns) -> int:
        return self._tables.replace(table, columns)

    def query(
        self, sql: str, tables: Mapping[str, tuple[str, int | None]], parameters: Sequence[Any] = ()
    ) -> dict[str, Any]:
        return self._tables.query(sql, tables, parameters)

    def compact(self, table: str) -> int:
        return self._tables.compact(table)

    def remove(self, table: str, where: str, parameters: Sequence[Any] = ()) -> int:
        return self._tables.remove(table, where, parameters)

    def forget(self, table: str, keep: Collection[int] = ()) -> int:
        return self._tables.forget(table, keep)

    def version(self, table: str) -> int | None:
        return self._tables.version(table)

    def position(self, table: str, writer: str) -> int:
        return self._tables.position(table, writer)


def log(events: EventLog, *records: Prediction | Outcome | Feedback) -> None:
    """Acknowledge records as the server does."""
    for record in records:
        if isinstance(record, Prediction):
            events.append("cars/predictions", [encode_prediction(record)])
        elif isinstance(record, Feedback):
            events.append("cars/feedback", [encode_feedback(record)])
        else:
            events.append("cars/outcomes", [encode_outcome(record)])


def rows(tables: TableStore, table: str = PREDICTIONS) -> dict[str, Any]:
    """A table's rows in the order of what they are about."""
    return tables.query("select * from t order by subject", {"t": (table, None)})


def bring(
    *records: Prediction | Outcome | Feedback, tables: TableStore, events: EventLog | None = None
) -> int:
    """Log records and ingest them."""
    events = events or MemoryEvents()
    log(events, *records)
    return ingest("cars", events, tables, numeric=NUMERIC)


batches = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.none() | st.integers(0, 1)), min_size=1, max_size=4
)


@pytest.mark.requirement("MON-06")
@settings(max_examples=12)
@given(batches)
def test_every_record_is_ingested_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, int, int | None]]
) -> None:
    """Each batch: how many answers, how many labels, and after how many commits the process is killed."""
    tables, events = DeltaTables(tmp_path_factory.mktemp("tables")), MemoryEvents()
    subjects: list[str] = []
    said: list[str] = []
    for number, (n_answers, n_labels, survives) in enumerate(history):
        for index in range(n_answers):
            made = answer(f"p{number}-{index}", columns={"mileage": [1.0] * (index + 1)}, outputs={})
            log(events, made)
            subjects += [f"{made.id}:{row}" for row in range(made.n_rows)]
        for index in range(n_labels):
            log(events, label(f"s{number}-{index}", 1.0))
            log(events, make_feedback(id=f"f{number}-{index}", subject=f"s{number}-{index}"))
            said.append(f"s{number}-{index}")
        if survives is not None:
            with contextlib.suppress(Killed):
                ingest("cars", events, DiesAfterAppend(tables, survives=survives), numeric=NUMERIC)
        ingest("cars", events, tables, numeric=NUMERIC)
        assert ingest("cars", events, tables, numeric=NUMERIC) == 0, "a repeat adds nothing"
    for table, expected in ((PREDICTIONS, subjects), (OUTCOMES, said), (FEEDBACK, said)):
        found = [] if tables.version(table) is None else rows(tables, table)["subject"].tolist()
        assert found == sorted(expected)


def test_the_segments_of_several_processes_are_one_table(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path / "tables")
    first, second = SegmentLog(tmp_path / "events", "one"), SegmentLog(tmp_path / "events", "two")
    log(first, answer("a"), answer("b"))
    log(second, answer("c"))
    assert ingest("cars", first, tables, numeric=NUMERIC) == 6
    log(second, answer("d"))
    assert ingest("cars", second, tables, numeric=NUMERIC) == 2
    assert sorted(set(rows(tables)["prediction_id"])) == ["a", "b", "c", "d"]
    first.close()
    second.close()


def test_nothing_logged_makes_no_table(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    assert ingest("cars", MemoryEvents(), tables, numeric=NUMERIC) == 0
    assert tables.version(PREDICTIONS) is None


def test_a_row_keeps_all_that_was_recorded(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    moment = START + timedelta(hours=3)
    bring(
        answer("p", at=moment, columns={"mileage": [1.5, None], "model": ["a3", None]}, keys=["k1", "k2"],
               outputs={"predict": [10.0, 20.0]}, arm="canary", prepare_ms=0.25, infer_ms=0.5),
        tables=tables,
    )  # fmt: skip
    found = rows(tables)
    assert found["subject"].tolist() == ["p:0", "p:1"]
    assert found["row"].tolist() == [0, 1]
    assert found["key"].tolist() == ["k1", "k2"]
    assert found["arm"].tolist() == ["canary", "canary"]
    assert found["out_predict"].tolist() == [10.0, 20.0]
    assert found["in_model"].tolist() == ["a3", None]
    assert found["in_mileage"][0] == 1.5
    assert np.isnan(found["in_mileage"][1])
    assert found["event_time"].tolist() == [moment.replace(tzinfo=None)] * 2
    assert (found["prepare_ms"][0], found["infer_ms"][0]) == (0.25, 0.5)


def test_a_batch_of_nulls_does_not_decide_what_a_number_is(tmp_path: Path) -> None:
    tables, events = DeltaTables(tmp_path), MemoryEvents()
    bring(answer("a", columns={"mileage": [None]}, outputs={}), tables=tables, events=events)
    bring(answer("b", columns={"mileage": [7.5]}, outputs={}), tables=tables, events=events)
    found = rows(tables)["in_mileage"]
    assert found.dtype == np.float64
    assert np.isnan(found[0])
    assert found[1] == 7.5


@pytest.mark.parametrize("values", [[True, False, None], [2017.0, 2018.0, None]])
def test_categories_that_are_no_text_keep_the_names_of_training(tmp_path: Path, values: list[Any]) -> None:
    """Otherwise a column of true and false would look shifted as soon as it is served."""
    tables = DeltaTables(tmp_path)
    bring(answer("a", columns={"flag": values}, outputs={}), tables=tables)
    assert label_counts(rows(tables)["in_flag"]) == label_counts(np.array(values, dtype=object))


def test_probabilities_of_many_classes_stand_side_by_side(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    outputs = {"predict": ["a", "c"], "probability": [[0.7, 0.2, 0.1], [0.0, 0.4, 0.6]]}
    bring(answer("p", columns={"mileage": [1.0, 2.0]}, outputs=outputs), tables=tables)
    found = rows(tables)
    assert found["out_predict"].tolist() == ["a", "c"]
    assert [found[f"out_probability_{i}"].tolist() for i in range(3)] == [[0.7, 0.0], [0.2, 0.4], [0.1, 0.6]]


def test_releases_with_other_classes_share_a_batch() -> None:
    """A canary that knows one class more answers beside a champion that gives one probability."""
    columns = prediction_rows(
        [
            answer("old", columns={"mileage": [1.0]}, outputs={"predict": ["a"], "probability": [0.3]}),
            answer("new", columns={"mileage": [1.0]}, outputs={"probability": [[0.1, 0.2, 0.7]]}),
            answer("newer", columns={"mileage": [1.0]}, outputs={"probability": [[0.1, 0.2, 0.3, 0.4]]}),
        ],
        NUMERIC,
    )
    np.testing.assert_array_equal(columns["out_probability"], [0.3, np.nan, np.nan])
    np.testing.assert_array_equal(columns["out_probability_2"], [np.nan, 0.7, 0.3])
    np.testing.assert_array_equal(columns["out_probability_3"], [np.nan, np.nan, 0.4])
    assert columns["out_predict"].tolist() == ["a", None, None]


@pytest.mark.parametrize(
    ("value", "number", "text"),
    [(12.5, 12.5, None), (True, 1.0, None), (False, 0.0, None), ("diesel", None, "diesel")],
)
def test_a_label_is_a_number_or_a_text(
    tmp_path: Path, value: float | str | bool, number: float | None, text: str | None
) -> None:
    tables = DeltaTables(tmp_path)
    bring(label("s", value, kind="correction"), tables=tables)
    found = rows(tables, OUTCOMES)
    assert found["value_text"].tolist() == [text]
    assert found["kind"].tolist() == ["correction"]
    assert (None if np.isnan(found["value_number"][0]) else found["value_number"][0]) == number


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ([2017.0], ["2018"], [2017.0, 2018.0]),
        ([2017.0], ["about 2018"], [2017.0, None]),
        (["2017"], [2018.0], ["2017", "2018"]),
        (["2017"], [2018.5], ["2017", "2018.5"]),
        (["yes"], [True], ["yes", "1"]),
    ],
)
def test_a_column_that_changes_its_kind_blocks_nothing(
    tmp_path: Path, before: list[Any], after: list[Any], kept: list[Any]
) -> None:
    tables, events = DeltaTables(tmp_path), MemoryEvents()
    bring(answer("a", columns={"year": before}, outputs={}), tables=tables, events=events)
    assert bring(answer("b", columns={"year": after}, outputs={}), tables=tables, events=events) == 1
    found = rows(tables)["in_year"]
    assert [None if isinstance(v, float) and np.isnan(v) else v for v in found] == kept


def test_a_new_input_joins_the_table(tmp_path: Path) -> None:
    tables, events = DeltaTables(tmp_path), MemoryEvents()
    bring(answer("a", columns={"mileage": [1.0]}, outputs={}), tables=tables, events=events)
    bring(answer("b", columns={"mileage": [2.0], "fuel": ["gas"]}, outputs={}), tables=tables, events=events)
    assert rows(tables)["in_fuel"].tolist() == [None, "gas"]


def test_predictions_that_are_no_numbers_are_kept_as_they_are(tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    outputs = {"predict": [float("nan"), float("inf"), 1.0]}
    bring(answer("p", columns={"mileage": [1.0, 2.0, 3.0]}, outputs=outputs), tables=tables)
    np.testing.assert_array_equal(rows(tables)["out_predict"], [np.nan, np.inf, 1.0])


def test_refused_requests_are_a_table_of_counts(tmp_path: Path) -> None:
    events, tables = MemoryEvents(), DeltaTables(tmp_path)
    refused = [make_refusal(id="a", n=1), make_refusal(id="b", n=9, missing=(), mistyped={"year": "text"})]
    events.append("cars/refusals", [encode_refusal(one) for one in refused])
    for _ in range(2):
        ingest("cars", events, tables, numeric=NUMERIC)
    found = rows(tables, refusals_table("cars"))
    assert (found["n"].sum(), len(found["n"])) == (10, 2)
    assert found["missing"].tolist() == ['["mileage"]', "[]"]
    assert found["mistyped"].tolist() == ["{}", '{"year":"text"}']
