"""Guardrails are written down, and stand for a pipeline."""

from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.egress import canary_token
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.rules import guardrails_of, pipeline_of

RULES = {
    "hygiene": {"max_chars": 5000, "hidden": "block"},
    "personal": {"actions": {"SECRET": "block"}},
    "injection": {"flag_at": 0.99, "block_at": 0.999},
    "egress": {"hosts": ["docs.example.com"], "image": "block"},
    "schema": {"schema": {"type": "object"}},
    "values": {"record": {"Basic plan": ["9.90 EUR"]}},
    "support": {"withhold_at": 3},
    "wording": {"topics": {"competitors": ["acme"]}, "action": "block"},
}


def test_all_rules_are_guards_of_one_pipeline() -> None:
    pipeline = pipeline_of(guardrails_of(RULES), canaries=[canary_token(b"k", "r1")])
    names = ["personal", "injection", "egress", "canary", "schema", "values", "support", "wording"]
    assert [guard.name for guard in pipeline.guards] == names
    assert pipeline.hygiene.max_chars == 5000
    assert pipeline.check("password: hunter2X9!", Context(layer="input")).blocked


def test_without_a_word_personal_data_is_masked_and_nothing_else_runs() -> None:
    pipeline = pipeline_of(guardrails_of({}))
    assert [guard.name for guard in pipeline.guards] == ["personal"]
    assert pipeline_of(guardrails_of({"personal": None})).guards == ()


def test_the_system_of_record_by_code_goes_before_that_of_the_rules() -> None:
    pipeline = pipeline_of(
        guardrails_of({"values": RULES["values"]}), record=lambda: {"Basic plan": ["12 EUR"]}
    )
    assert pipeline.check("The Basic plan is 9.90 EUR.", Context(layer="output")).blocked


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"injektion": {}}, "injektion"),
        ({"injection": {"block_at": 2}}, "block_at"),
        ({"personal": {"action": "hide"}}, "personal.action"),
        ({"support": {"withhold_at": 0}}, "withhold_at"),
    ],
)
def test_what_cannot_be_read_is_named(rules: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        guardrails_of(rules)
