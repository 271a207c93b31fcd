from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InternalError
from headrace.core.record import Failure, Feedback, Outcome, Prediction
from headrace.store.records import (
    decode_failure,
    decode_feedback,
    decode_outcome,
    decode_prediction,
    decode_refusal,
    encode_failure,
    encode_feedback,
    encode_outcome,
    encode_prediction,
    encode_refusal,
)
from headrace.testing import make_failure, make_feedback, make_outcome, make_prediction, make_refusal
from tests.store.test_documents import FLOATS, TEXT, TIMES, values

CELLS = st.lists(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), FLOATS, TEXT), max_size=4
)
PREDICTIONS = st.builds(
    make_prediction,
    id=TEXT,
    at=TIMES,
    event_time=TIMES,
    n_rows=st.integers(0, 1000),
    columns=st.dictionaries(TEXT, CELLS, max_size=3),
    outputs=st.dictionaries(TEXT, CELLS, max_size=3),
    keys=values(list[str] | None),
    request_id=values(str | None),
    prepare_ms=FLOATS,
    unseen=values(list[str] | None),
)


@pytest.mark.requirement("MON-06")
@given(PREDICTIONS)
def test_any_prediction_comes_back(prediction: Prediction) -> None:
    assert decode_prediction(encode_prediction(prediction)) == prediction


@given(st.builds(make_outcome, value=values(float | str | bool), at=TIMES, observed_at=TIMES, subject=TEXT))
def test_any_outcome_comes_back(outcome: Outcome) -> None:
    again = decode_outcome(encode_outcome(outcome))
    assert again == outcome
    assert type(again.value) is type(outcome.value)


@given(
    st.builds(
        make_feedback,
        value=values(float | str | bool | None),
        at=TIMES,
        happened_at=TIMES,
        text=values(str | None),
    )
)
def test_any_feedback_comes_back(feedback: Feedback) -> None:
    again = decode_feedback(encode_feedback(feedback))
    assert again == feedback
    assert type(again.value) is type(feedback.value)


@given(st.builds(make_failure, at=TIMES, error=TEXT))
def test_any_failure_comes_back(failure: Failure) -> None:
    assert decode_failure(encode_failure(failure)) == failure


def test_a_refusal_comes_back() -> None:
    refusal = make_refusal(mistyped={"year": "text"}, unknown=())
    assert decode_refusal(encode_refusal(refusal)) == refusal


def test_numbers_that_json_has_no_form_for_come_back() -> None:
    odd = make_prediction(columns={"x": [math.nan, math.inf, -math.inf, -0.0]})
    again = decode_prediction(encode_prediction(odd)).columns["x"]
    assert math.isnan(again[0])
    assert again[1:3] == [math.inf, -math.inf]
    assert math.copysign(1, again[3]) == -1


def test_what_a_newer_version_added_is_ignored() -> None:
    record: dict[str, Any] = msgspec.to_builtins(make_outcome(), builtin_types=[])
    data = msgspec.msgpack.encode(record | {"from_the_future": 1})
    assert decode_outcome(data).project == "cars"


@pytest.mark.parametrize("data", [b"", b"\xff", b"not msgpack", msgspec.msgpack.encode({"id": 1})])
def test_other_bytes_are_told(data: bytes) -> None:
    for decode in (decode_prediction, decode_outcome, decode_failure):
        with pytest.raises(InternalError):
            decode(data)
