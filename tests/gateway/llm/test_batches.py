"""What is a line of a batch, and what is written of its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.llm.batches import (
    EXPIRED,
    MAX_LINE_BYTES,
    BadLine,
    Line,
    answered,
    custom_id_of,
    is_answer,
    is_transient,
    not_answered,
    numbered,
    project_of,
    read_line,
)

URL = "/v1/chat/completions"


def line(**fields: Any) -> bytes:
    whole = {"custom_id": "a", "method": "POST", "url": URL, "body": {"model": "shop", "x": [1.50]}} | fields
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def test_the_body_goes_on_byte_for_byte() -> None:
    assert read_line(line() + b"\n", URL, "shop") == Line("a", b'{"model": "shop", "x": [1.5]}')
    assert project_of(line()) == "shop"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"[" * 100_000, "invalid_json_line"),
        (line(more=1), "invalid_json_line"),
        (line(custom_id=None), "invalid_json_line"),
        (line(custom_id=""), "invalid_custom_id"),
        (line(method="GET"), "mismatched_url"),
        (line(url="/v1/embeddings"), "mismatched_url"),
        (line(body=[]), "invalid_request"),
        (line(body={"model": 3}), "invalid_request"),
        (line(body={}), "model_not_found"),
        (line(body={"model": "shop", "stream": True}), "invalid_request"),
        (line(body={"model": "other"}), "mismatched_model"),
        (b" " * (MAX_LINE_BYTES + 1), "line_too_long"),
    ],
)
def test_what_is_no_request_has_a_code(sent: bytes, code: str) -> None:
    with pytest.raises(BadLine) as bad:
        read_line(sent, URL, "shop")
    assert bad.value.code == code


def test_empty_lines_count_and_ask_nothing() -> None:
    assert list(numbered([b"\n", b"a\n", b" \r\n", b"b"])) == [(2, b"a\n"), (4, b"b")]


@given(st.binary(max_size=200), st.integers(200, 599), st.text(min_size=1, max_size=20))
def test_whatever_was_answered_is_one_line_of_json(body: bytes, status: int, custom_id: str) -> None:
    made = answered("batch_1", 7, Line(custom_id, b""), status, body, "answer-1")
    assert made.endswith(b"\n")
    assert made.count(b"\n") == 1
    read = json.loads(made)
    assert (read["id"], read["custom_id"], read["error"]) == ("batch_req_1-7", custom_id, None)
    assert read["response"]["status_code"] == status
    assert is_answer(made) is (status == 200)
    assert custom_id_of(made) == custom_id
    assert is_answer(made[: len(made) // 2]) is None, "a torn one is none"


def test_an_answer_keeps_its_form() -> None:
    made = answered("batch_1", 1, Line("a", b""), 200, b'{"n":\n 1.50}', "")
    assert json.loads(made)["response"]["body"] == {"n": 1.5}
    assert b'"body":{"n": 1.50}' in answered("batch_1", 1, Line("a", b""), 200, b'{"n": 1.50}', "")


def test_what_was_not_answered_says_why_and_does_not_claim_that_nobody_asked() -> None:
    read = json.loads(not_answered("batch_1", 2, "a", EXPIRED))
    assert (read["response"], read["error"]["code"]) == (None, "batch_expired")
    assert "not answered before the batch's time was over; it may have been asked" in read["error"]["message"]
    assert is_answer(not_answered("batch_1", 2, "a", EXPIRED)) is False


def test_a_budget_is_not_there_again_in_a_second() -> None:
    assert is_transient(429, b'{"error": {"code": null}}')
    assert not is_transient(429, b'{"error": {"code": "insufficient_quota"}}')
    assert is_transient(503, b"")
    assert not is_transient(404, b"")
