"""An answer has the form that was promised."""

from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.schemas import Schema

OUTPUT = Context(layer="output")
SCHEMA = {
    "type": "object",
    "required": ["price"],
    "properties": {"price": {"type": "number", "minimum": 0}, "currency": {"enum": ["EUR"]}},
    "additionalProperties": False,
}


def test_what_is_as_the_schema_says_passes_as_it_is() -> None:
    text = '{ "price": 3.50 }'
    assert Pipeline([Schema(SCHEMA)]).check(text, OUTPUT).text == text


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ("not json", "schema.json", "no JSON"),
        ('{"price": 3', "schema.json", "no JSON"),
        ("{}", "schema.invalid", "the document breaks 'required'"),
        ('{"price": "secret"}', "schema.invalid", "price breaks 'type'"),
        ('{"price": 1, "more": 2}', "schema.invalid", "additionalProperties"),
        ("[" * 2000, "schema.json", "no JSON"),
    ],
)
def test_what_is_not_is_blocked_and_the_place_is_named_without_its_value(
    text: str, rule: str, said: str
) -> None:
    checked = Pipeline([Schema(SCHEMA)]).check(text, OUTPUT)
    assert checked.blocked
    assert [hit.rule for hit in checked.hits] == [rule]
    assert said in checked.reason
    assert "secret" not in checked.reason


def test_arguments_are_checked_of_the_tools_that_it_is_for() -> None:
    guard = Schema(SCHEMA, layers=["tool_arguments"], tools=["pay"])
    assert guard.check("{}", Context(layer="tool_arguments", tool="pay"))
    assert not guard.check("{}", Context(layer="tool_arguments", tool="search"))


@pytest.mark.parametrize("schema", [{"type": "objekt"}, {"$ref": "http://127.0.0.1:1/x.json"}])
def test_a_schema_that_is_none_or_lies_elsewhere_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="The JSON schema of guard 'schema' is none"):
        Schema(schema)
