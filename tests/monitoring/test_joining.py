"""Late truth meets early answers: by row id or key, corrected, kept for later, never lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.record import Outcome, Prediction
from headrace.monitoring.ingest import outcome_rows, outcomes_table, prediction_rows, predictions_table
from headrace.monitoring.joining import count_labels, labelled_rows
from headrace.store.tables import DeltaTables
from headrace.testing import START
from tests.monitoring.traffic import answer, day, label

COLUMNS = {"mileage": [1.0, 2.0]}


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    return DeltaTables(tmp_path)


def answered(tables: DeltaTables, *predictions: Prediction) -> None:
    tables.append(predictions_table("cars"), prediction_rows(predictions, frozenset({"mileage"})))


def told(tables: DeltaTables, *outcomes: Outcome) -> None:
    tables.append(outcomes_table("cars"), outcome_rows(outcomes))


def truths(tables: DeltaTables) -> dict[str, object]:
    """Key of each labelled row, and its truth."""
    found = labelled_rows("cars", tables)
    return dict(zip(found.key.tolist(), found.truth.tolist(), strict=True))


def test_a_label_finds_its_row_by_id(tables: DeltaTables) -> None:
    answered(tables, answer("p", columns=COLUMNS, outputs={"predict": [10.0, 20.0]}, keys=["a", "b"]))
    told(tables, label("p:1", 25.0, at=day(3)))
    found = labelled_rows("cars", tables)
    assert len(found) == 1
    assert found.columns["mileage"].tolist() == [2.0]
    assert found.outputs["predict"].tolist() == [20.0]
    assert found.truth.tolist() == [25.0]
    assert found.key.tolist() == ["b"]
    assert found.label_at.tolist() == [day(3).replace(tzinfo=None)]


def test_a_label_finds_every_answer_about_its_key(tables: DeltaTables) -> None:
    answered(
        tables,
        answer("p", columns=COLUMNS, keys=["a", "b"], outputs={"predict": [1.0, 2.0]}),
        answer("q", columns={"mileage": [3.0]}, keys=["a"], outputs={"predict": [3.0]}),
    )
    told(tables, label("a", 5.0))
    found = labelled_rows("cars", tables)
    assert sorted(found.outputs["predict"].tolist()) == [1.0, 3.0]
    assert found.truth.tolist() == [5.0, 5.0]


def test_what_is_said_of_the_row_itself_comes_before_what_is_said_of_its_key(tables: DeltaTables) -> None:
    answered(tables, answer("p", columns=COLUMNS, keys=["a", "b"]))
    told(tables, label("a", 1.0, at=day(9)), label("b", 2.0), label("p:0", 7.0))
    assert truths(tables) == {"a": 7.0, "b": 2.0}


def test_a_corrected_label_replaces_the_one_before(tables: DeltaTables) -> None:
    answered(tables, answer("p", columns=COLUMNS, keys=["a", "b"]))
    told(tables, label("a", 1.0, at=day(1)))
    told(tables, label("a", 2.0, at=day(2), kind="correction"))
    told(tables, label("a", 9.0, at=day(3), kind="rating"))
    assert truths(tables) == {"a": 2.0}


def test_of_two_labels_in_one_request_the_one_observed_later_stands(tables: DeltaTables) -> None:
    answered(tables, answer("p", columns=COLUMNS, keys=["a", "b"]))
    together = [label("a", float(n), at=day(5), observed_at=day(n)) for n in (1, 3, 2)]
    told(tables, *together)
    assert truths(tables) == {"a": 3.0}


def test_a_correction_may_be_of_another_kind(tables: DeltaTables) -> None:
    answered(tables, answer("p", columns=COLUMNS, keys=["a", "b"]))
    told(tables, label("a", 1.0, at=day(1)), label("b", "no", at=day(1)))
    told(tables, label("a", "yes", at=day(2), kind="correction"))
    assert truths(tables) == {"a": "yes", "b": "no"}


@pytest.mark.requirement("MON-19")
def test_a_label_that_comes_before_its_answer_is_kept_for_it(tables: DeltaTables) -> None:
    told(tables, label("p:0", 4.0), label("never-answered", 1.0))
    assert len(labelled_rows("cars", tables)) == 0
    answered(tables, answer("p", columns=COLUMNS, keys=["a", "b"]))
    assert truths(tables) == {"a": 4.0}


def test_a_label_of_an_unknown_subject_joins_nothing(tables: DeltaTables) -> None:
    answered(tables, answer("p", columns=COLUMNS))
    told(tables, label("p:2", 1.0), label("q:0", 1.0), label("", 1.0))
    assert len(labelled_rows("cars", tables)) == 0


def test_before_any_answer_or_label_there_is_nothing_to_join(tables: DeltaTables) -> None:
    assert len(labelled_rows("cars", tables)) == 0
    answered(tables, answer("p", columns=COLUMNS))
    assert len(labelled_rows("cars", tables)) == 0
    assert count_labels("cars", tables, since=None) == 0


def test_rows_are_chosen_by_time_of_answer_of_label_and_by_release(tables: DeltaTables) -> None:
    answered(
        tables,
        answer("early", at=day(0), columns={"mileage": [1.0]}, outputs={}),
        answer("late", at=day(5), columns={"mileage": [2.0]}, outputs={}),
        answer("other", at=day(5), columns={"mileage": [3.0]}, outputs={}, release="canary"),
    )
    told(
        tables,
        label("early:0", 1.0, at=day(1)),
        *(label(f"{n}:0", 1.0, at=day(9)) for n in ("late", "other")),
    )
    assert labelled_rows("cars", tables, since=day(5)).columns["mileage"].tolist() == [2.0, 3.0]
    assert labelled_rows("cars", tables, until=day(8)).columns["mileage"].tolist() == [1.0]
    assert labelled_rows("cars", tables, release_id="canary").columns["mileage"].tolist() == [3.0]
    assert labelled_rows("cars", tables).columns["mileage"].tolist() == [1.0, 2.0, 3.0], "as labels came"


def test_one_probability_is_read_as_two_and_a_list_as_it_is(tables: DeltaTables) -> None:
    answered(
        tables,
        answer("two", columns={"mileage": [1.0]}, outputs={"predict": ["b"], "probability": [0.75]}),
        answer(
            "three", columns={"mileage": [1.0]}, outputs={"predict": ["c"], "probability": [[0.1, 0.2, 0.7]]}
        ),
    )
    told(tables, label("two:0", "b", at=day(1)), label("three:0", "a", at=day(2)))
    found = labelled_rows("cars", tables)
    np.testing.assert_array_equal(found.outputs["probability"], [[0.25, 0.75, np.nan], [0.1, 0.2, 0.7]])
    assert found.truth.tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [([1.0, 2.0, "broken"], [1.0, 2.0, None]), (["yes", "no", 1.0], ["yes", "no", None])],
)
def test_one_odd_label_does_not_change_what_the_others_say(
    tables: DeltaTables, said: list[float | str], expected: list[object]
) -> None:
    answered(tables, answer("p", columns={"mileage": [1.0] * 3}, keys=["0", "1", "2"], outputs={}))
    told(tables, *(label(str(i), value) for i, value in enumerate(said)))
    found = truths(tables)
    assert [None if found[k] != found[k] else found[k] for k in ("0", "1", "2")] == expected


def test_new_labels_are_counted_by_subject_and_by_when_they_were_recorded(tables: DeltaTables) -> None:
    told(tables, label("a", 1.0, at=day(1)), label("a", 1.0, at=day(2)), label("b", 1.0, at=day(3)))
    told(tables, label("c", 1.0, at=day(3), kind="rating"))
    assert count_labels("cars", tables, since=None) == 2
    assert count_labels("cars", tables, since=day(2)) == 1
    assert count_labels("cars", tables, since=day(3)) == 0


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.booleans()), max_size=8))
def test_the_label_recorded_last_stands_however_they_are_batched(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, int, bool]]
) -> None:
    """Each label: about which row, its value, and whether it names the row itself or its key."""
    tables = DeltaTables(tmp_path_factory.mktemp("tables"))
    answered(tables, answer("p", columns={"mileage": [1.0] * 4}, keys=list("0123"), outputs={}))
    by_row: dict[str, float] = {}
    by_key: dict[str, float] = {}
    for second, (row, value, names_row) in enumerate(history):
        subject = f"p:{row}" if names_row else str(row)
        told(tables, label(subject, float(value), at=START + timedelta(seconds=second)))
        (by_row if names_row else by_key)[str(row)] = float(value)
    assert truths(tables) == by_key | by_row
