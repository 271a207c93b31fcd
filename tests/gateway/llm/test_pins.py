"""What of an LLM app is pinned, and what is seen to have moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import Denied
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.llm.endpoints import parse_providers
from headrace.gateway.llm.loaded import Loaded, require_pinned
from headrace.gateway.llm.pins import (
    ANSWERED_BY,
    EVALUATION,
    Moved,
    answered_pins,
    answering_models,
    guard_pins,
    moved,
    pins_of,
)
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import Llm

HOUSE = "providers: {house: {url: 'http://127.0.0.1:8000/v1', terms: {self_hosted: true, region: eu}}}"
TOOL = {"type": "function", "function": {"name": "order_state", "parameters": {}}}
PROMPT = Prompt(
    template="Be kind.",
    models=("house/small", "house/large"),
    embeddings=("house/vectors",),
    parameters={"temperature": 0.2},
    tools=(TOOL,),
    contract={"type": "object"},
    context={"company": "We sell shoes."},
)
PINS = pins_of(PROMPT, parse_providers(HOUSE), personal=True)


@pytest.mark.requirement("REG-05")
@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"template": "Be brief."}, "instructions"),
        ({"models": ("house/small", "house/other")}, "model 2"),
        ({"embeddings": ("house/others",)}, "embeddings 1"),
        ({"parameters": {"temperature": 0.3}}, "parameter temperature"),
        ({"tools": ({**TOOL, "strict": True},)}, "tool order_state"),
        ({"contract": {"type": "array"}}, "contract"),
        ({"context": {"company": "We sell hats."}}, "context company"),
        ({"guardrails": {"injection": {"flag_at": 0.5}}}, "guard injection"),
        ({"guardrails": {"wording": {"topics": {"rivals": ["acme"]}}}}, "guard wording"),
        ({"contract": None}, "contract"),
    ],
)
def test_each_part_of_a_prompt_has_a_pin_of_its_own(changed: dict[str, Any], part: str) -> None:
    now = pins_of(replace(PROMPT, **changed), parse_providers(HOUSE), personal=True)
    assert [one.part for one in moved(PINS, now)] == [part]


@pytest.mark.requirement("REG-05")
@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        ("127.0.0.1:8000", "127.0.0.1:9000", "provider house"),
        ("region: eu", "region: us", "terms house"),
        ("url:", "api: anthropic, url:", "provider house"),
    ],
)
def test_a_provider_that_is_declared_otherwise_is_seen(before: str, after: str, part: str) -> None:
    now = pins_of(PROMPT, parse_providers(HOUSE.replace(before, after)), personal=True)
    assert [one.part for one in moved(PINS, now)] == [part]


def test_a_provider_that_is_declared_no_more_is_seen() -> None:
    now = pins_of(PROMPT, parse_providers("providers: {}"), personal=True)
    assert moved(PINS, now) == (
        Moved("provider house", "openai http://127.0.0.1:8000/v1", "not declared"),
        Moved("terms house", '{"region":"eu","self_hosted":true,"trains_on_data":true}', "none"),
    )


@pytest.mark.requirement("REG-05")
def test_guards_by_default_are_pinned_with_the_classifier_and_their_code() -> None:
    assert {"pin guard hygiene", "pin guard personal", "pin guard injection"} <= PINS.keys()
    assert all(len(PINS[name]) == 32 for name in ("pin classifier", "pin guards code", "pin guard personal"))
    others = guard_pins(PROMPT, personal=False)
    assert [name for name, value in others.items() if PINS[name] != value] == ["pin guard personal"]
    upgraded = PINS | {"pin classifier": "0" * 32}
    assert [one.part for one in moved(upgraded, PINS)] == ["classifier"]


def test_what_only_an_evaluation_knows_does_not_count_as_moved() -> None:
    known = answered_pins([("small-1", "fp_2"), ("small-1", "fp_1"), ("", "")])
    assert moved(PINS | known | {EVALUATION: "abc"}, PINS) == ()
    assert answering_models(known) == {"small-1"}
    assert answering_models({ANSWERED_BY: "x" * 400}) == frozenset(), "cut off: nothing is known for sure"
    assert answering_models({}) == frozenset()


def test_releases_of_before_pin_nothing_and_have_nothing_that_moves() -> None:
    assert moved({"models": "house/small", "variant": "answer"}, PINS) == ()


@given(st.dictionaries(st.sampled_from(sorted(PINS)), st.text(max_size=5), max_size=len(PINS)))
def test_exactly_what_differs_has_moved(changed: dict[str, str]) -> None:
    others = {name: value for name, value in changed.items() if PINS[name] != value}
    assert {f"pin {one.part}" for one in moved(PINS | changed, PINS)} == others.keys()


def test_a_project_may_have_such_calls_refused() -> None:
    loaded = Loaded(
        "r", "3", PROMPT, Pipeline([]), (), moved=(Moved("provider a", "http://a.inside", "http://b.inside"),)
    )
    require_pinned(loaded, Llm())
    require_pinned(loaded._replace(moved=()), Llm(pins="refuse"))
    with pytest.raises(Denied, match=r"another provider a than there is now.*headrace run") as refused:
        require_pinned(loaded, Llm(pins="refuse"))
    assert "inside" not in str(refused.value), "an address of the house is no caller's to know"
