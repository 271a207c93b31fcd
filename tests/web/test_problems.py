from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.core import errors
from headrace.core.errors import HeadraceError, InvalidInput
from headrace.testing.clock import START
from headrace.web.problems import (
    MEDIA_TYPE,
    STATUS,
    parts_of,
    problem_of,
    problem_of_shape,
    status_of,
)

EXPECTED = {
    "InvalidInput": 400,
    "Unauthenticated": 401,
    "Denied": 403,
    "ProofNeeded": 403,
    "NotFound": 404,
    "Conflict": 409,
    "IllegalTransition": 409,
    "WaitsForPerson": 409,
    "GateFailed": 422,
    "UserCodeError": 422,
    "UserError": 400,
    "Unavailable": 503,
    "Busy": 503,
    "InternalError": 500,
    "ModelFailed": 500,
    "Unanswered": 500,
    "HeadraceError": 500,
}


def _kinds() -> Iterator[type[HeadraceError]]:
    waiting = [HeadraceError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__ == errors.__name__:
            yield kind
        waiting += kind.__subclasses__()


@pytest.mark.parametrize("kind", sorted(_kinds(), key=str))
def test_every_error_has_one_status(kind: type[HeadraceError]) -> None:
    assert status_of(kind("x")) == EXPECTED[kind.__name__]


def test_no_later_row_of_the_table_is_hidden_by_an_earlier_one() -> None:
    kinds = [kind for kind, _ in STATUS]
    hidden = [late for at, late in enumerate(kinds) for early in kinds[:at] if issubclass(late, early)]
    assert hidden == []


def test_a_problem_says_what_got_expected_and_next() -> None:
    error = InvalidInput("The share is wrong, got 7. Expected at most 1. Divide it by 100.")
    response = problem_of(error, instance="/api/v1/x", now=START)
    assert response.status_code == 400
    assert response.headers["content-type"] == MEDIA_TYPE
    assert json.loads(bytes(response.body)) == {
        "type": "urn:headrace:problem:invalid-input",
        "title": "The request is not what was expected",
        "status": 400,
        "detail": str(error),
        "instance": "/api/v1/x",
        "what": "The share is wrong, got 7.",
        "got": "7",
        "expected": "Expected at most 1.",
        "next": "Divide it by 100.",
    }


def test_a_refusal_names_the_scheme_and_unavailable_says_when_to_come_back() -> None:
    refused = problem_of(errors.Unauthenticated("x"), instance="/", now=START)
    assert refused.headers["www-authenticate"] == "Bearer"
    assert problem_of(errors.Unavailable("x"), instance="/", now=START).headers["retry-after"] == "1"


def test_names_in_any_script_are_told_as_they_were_sent() -> None:
    error = {
        "type": "extra_forbidden",
        "loc": ("body", "Größe"),
        "msg": "Extra",
        "input": {"Größe": "süß\ud800"},
    }
    told = json.loads(bytes(problem_of_shape([error], instance="/x").body))
    assert told["what"] == "body.Größe"
    assert told["got"] == "{'Größe': 'süß\\ud800'}"
    assert "body.Größe: there is no such field, got" in told["detail"]


def test_a_wrong_shape_names_the_place_and_survives_any_input() -> None:
    deep: list[object] = []
    for _ in range(500):
        deep = [deep]
    found: list[dict[str, Any]] = [
        {"loc": ("body", "labels", 3, "value"), "msg": "Value error, no number", "type": "x", "input": deep},
        {"loc": ("body",), "msg": "Field required", "type": "missing", "input": "\ud800"},
    ]
    first = json.loads(bytes(problem_of_shape(found, instance="/").body))
    assert first["status"] == 422
    assert first["what"] == "body.labels.3.value"
    assert first["expected"] == "no number"
    assert "1 more" in first["detail"]
    second = json.loads(bytes(problem_of_shape(found[1:], instance="/").body))
    assert second["got"] == "nothing"


@pytest.mark.parametrize(
    ("body", "at", "got"),
    [('{"record": {"a": 1,}}', 19, "'}}'"), ("{", 1, "its end"), ("day,price\n1,2", 0, "'day,price")],
)
def test_a_body_that_is_no_json_is_told_where_and_what_stands_there(body: str, at: int, got: str) -> None:
    error = {
        "type": "json_invalid", "loc": ("body", at), "msg": "JSON decode error", "input": {},
        "ctx": {"error": "Expecting value"},
    }  # fmt: skip
    told = json.loads(bytes(problem_of_shape([error], instance="/", body=body).body))
    assert told["what"] == f"The body is no JSON: at character {at + 1}, expecting value."
    assert told["got"].startswith(got)
    assert "{}" not in told["detail"]
    assert "Expected one JSON object" in told["detail"]


def test_a_value_of_no_kind_that_could_stand_there_is_one_mistake() -> None:
    value: dict[str, Any] = {}
    kinds = ("boolean", "number", "string")
    found = [
        {
            "type": "x",
            "loc": ("body", "record", "a", kind),
            "msg": f"Input should be a valid {kind}",
            "input": value,
        }
        for kind in kinds
    ]
    told = json.loads(bytes(problem_of_shape(found, instance="/").body))
    assert told["detail"] == (
        "body.record.a: Input should be a valid boolean, or a valid number, or a valid string, got {}. "
        "The form is in /api/openapi.json."
    )
    other = {"type": "x", "loc": ("body", "key"), "msg": "Input should be a valid string", "input": None}
    told = json.loads(bytes(problem_of_shape([*found, other], instance="/").body))
    assert "got {} (1 more of the kind)" in told["detail"]
    told = json.loads(bytes(problem_of_shape([other], instance="/").body))
    assert told["got"] == "null"


def test_a_body_that_does_not_say_it_is_json_is_told_which_header_to_send() -> None:
    found = [{"loc": ("body",), "msg": "Input should be an object", "type": "x", "input": b'{"record": {}}'}]
    told = json.loads(bytes(problem_of_shape(found, instance="/").body))
    assert told["next"] == "Send the header 'Content-Type: application/json'."
    assert "record" not in told["detail"]


def test_a_message_without_parts_is_what() -> None:
    assert parts_of("It is broken") == {"what": "It is broken"}
