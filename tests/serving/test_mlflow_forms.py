from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.serving.inputs import Matrix
from headrace.serving.mlflow_forms import FORMS, encode_answer, read_csv, read_json
from headrace.testing.factories import make_prediction

COLUMNS: dict[str, list[Any]] = {"mileage": [1.5, None], "model": ["a3", "a4"]}
ROWS = [[1.5, "a3"], [None, "a4"]]
RECORDS = [{"mileage": 1.5, "model": "a3"}, {"mileage": None, "model": "a4"}]


def _read(**document: Any) -> Any:
    return read_json(json.dumps(document).encode()).values


@pytest.mark.requirement("SRV-01")
def test_every_form_says_the_same() -> None:
    assert _read(dataframe_split={"columns": ["mileage", "model"], "data": ROWS, "index": [0, 1]}) == COLUMNS
    assert _read(dataframe_records=RECORDS) == COLUMNS
    assert _read(instances=RECORDS) == COLUMNS
    assert _read(inputs=RECORDS) == COLUMNS
    assert _read(inputs=COLUMNS) == COLUMNS
    assert _read(inputs={"mileage": [[1.5], [None]], "model": [["a3"], ["a4"]]}) == COLUMNS
    matrix = Matrix([COLUMNS["mileage"], COLUMNS["model"]])
    assert _read(instances=ROWS) == _read(inputs=ROWS) == matrix
    assert read_csv(b"mileage,model\r\n1.5,a3\r\n,a4\r\n", {}).values == COLUMNS


def test_one_row_may_come_without_lists() -> None:
    assert _read(inputs={"mileage": 1.5, "model": "a3"}) == {"mileage": [1.5], "model": ["a3"]}
    assert _read(instances=[1.5, 2.5]) == Matrix([[1.5, 2.5]])


def test_not_a_number_is_the_gap_that_mlflows_client_writes() -> None:
    assert read_json(b'{"instances": [[NaN, 1]]}').values == Matrix([[None], [1]])
    with pytest.raises(InvalidInput, match="-Infinity has no form in JSON"):
        read_json(b'{"instances": [[-Infinity, 1]]}')


def test_params_say_who_asks_and_when() -> None:
    params = {"key": "a", "keys": ["b"], "event_time": "2026-01-31T08:00:00Z", "version": "3"}
    params["callback"] = "https://hooks.example/"
    call = read_json(json.dumps({"instances": [[1]], "params": params}).encode())
    assert call[1:] == (
        "a",
        ["b"],
        datetime(2026, 1, 31, 8, tzinfo=UTC),
        "3",
        False,
        "https://hooks.example/",
    )


def test_csv_columns_have_the_type_of_all_their_cells() -> None:
    call = read_csv(b'\xef\xbb\xbfn,t,b,m,g\n1,"a, b",true,1,\n2e3,,False,x,NA\n', {})
    assert call.values == {
        "n": [1.0, 2000.0],
        "t": ["a, b", None],
        "b": [True, False],
        "m": ["1", "x"],
        "g": [None, None],
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no JSON"),
        (b"[" * 50_000, "nested too deep"),
        (b'{"instances": ' + b"[" * 50_000, "nested too deep"),
        (b"\xff", "no JSON"),
        (b'{"instances": [["\\ud800"]]}', "no JSON: .*surrogates"),
        (b"[1]", "no JSON object"),
        (b"{}", r"the fields \(none\). Expected exactly one of dataframe_split"),
        (b'{"inputs": [1], "instances": [1]}', "Expected exactly one"),
        (b'{"inputs": [1], "more": 1}', "a field 'more'"),
        (b'{"inputs": 7}', "'inputs' has another form"),
        (b'{"inputs": []}', "0 rows"),
        (b'{"instances": [[1], [1, 2]]}', r"instances\[1\] is no list of 1 values"),
        (b'{"instances": [[1], 2]}', r"instances\[1\] is no list"),
        (b'{"dataframe_split": []}', "Expected {\"columns\""),
        (b'{"dataframe_split": {"data": [[1]]}}', "list of names in 'columns'"),
        (b'{"dataframe_split": {"columns": [0], "data": [[1]]}}', "list of names in 'columns'"),
        (b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', "'a' occurs twice"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', "no list of 1 values"),
        (b'{"dataframe_records": {"a": 1}}', "list of objects"),
        (b'{"dataframe_records": [{"a": 1}, {"b": 1}]}', "differ in 'a'"),
        (b'{"dataframe_records": [{"a": 1}, 2]}', "list of objects"),
        (b'{"instances": [[1]], "params": {"temperature": 1}}', "'params': .*temperature"),
        (b'{"instances": [[1]], "params": {"keys": "a"}}', "'params'"),
        (b'{"instances": [[1]], "params": {"event_time": "soon"}}', "'params.event_time' is 'soon'"),
        (b'{"instances": [[1]], "params": 3}', "'params'"),
    ],
)  # fmt: skip
def test_what_is_no_payload_is_explained(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_json(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no rows"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1\n", "Row 0 of the CSV has 1 cells. Expected 2"),
        (b"a,a\n1,2\n", "'a' occurs twice"),
        (b'a\n"1\n', "no CSV"),
        (b"a\n" + b"x" * 200_000, "no CSV"),
        (b"\xff\n1", "no CSV in UTF-8"),
    ],
)
def test_what_is_no_table_is_explained(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_csv(body, {})


@given(st.one_of(st.binary(max_size=200), st.text(alphabet='a1",\n\r \x00', max_size=60).map(str.encode)))
def test_no_bytes_do_harm(body: bytes) -> None:
    for read in (read_json, partial(read_csv, kinds={"a": "text"})):
        try:
            read(body)
        except InvalidInput:
            continue


def test_text_that_looks_like_numbers_stays_text_where_the_model_expects_text() -> None:
    assert read_csv(b"zip,n\n007,7\n,8\n", {"zip": "text", "n": "number"}).values == {
        "zip": ["007", None],
        "n": [7.0, 8.0],
    }


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["columns", "data", "a"]), inner)
    ),
    max_leaves=10,
)


@given(form=st.sampled_from(FORMS), payload=_JSON, params=st.one_of(st.none(), _JSON))
def test_no_payload_does_harm(form: str, payload: Any, params: Any) -> None:
    try:
        values = _read(**{form: payload, "params": params})
    except InvalidInput:
        return
    columns = values.columns if isinstance(values, Matrix) else values.values()
    assert all(isinstance(column, list) for column in columns)


def test_an_answer_has_mlflows_form_and_says_who_gave_it() -> None:
    prediction = make_prediction(
        id="p1",
        release_id="r7",
        outputs={"predict": ["a"], "probability": [[0.2, 0.7, 0.1]]},
        unseen=["model"],
    )
    answer = json.loads(encode_answer(prediction, "3"))
    assert answer["predictions"] == ["a"]
    assert (answer["confidence"], answer["version"], answer["id"]) == ([0.7], "3", "p1")
    assert answer["unseen"] == ["model"]
