"""No text of a step hides what may not be written down: not in JSON, not in its escapes, not in its depth."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.privacy.recognisers import mask
from headrace.access.privacy.steps import redacted
from headrace.core.record import Span, SpanEvent
from headrace.testing import START
from tests.pace import times_as_long

WHO = "zoe.brandt@example.org"
ESCAPED = WHO.replace("@", "\\u0040")


def step(name: str = "ask", **attributes: Any) -> Span:
    return Span(
        trace_id="1" * 32, span_id="2" * 16, parent_id=None, name=name, started_at=START,
        ended_at=START + timedelta(seconds=1), attributes=attributes,
        events=(SpanEvent(name="exception", at=START, attributes=dict(attributes)),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"write to {WHO}", "write to <EMAIL>"),
        (json.dumps({"to": WHO, WHO: [WHO]}), '{"to":"<EMAIL>","<EMAIL>":["<EMAIL>"]}'),
        (f'{{"to": "{ESCAPED}"}}', '{"to":"<EMAIL>"}'),
        (json.dumps(json.dumps({"to": WHO})), '"{\\"to\\":\\"<EMAIL>\\"}"'),
        (f'"{ESCAPED}"', '"<EMAIL>"'),
        (f'"{WHO}" is full', '"<EMAIL>" is full'),
        (json.dumps({"inner": json.dumps({"to": WHO})}), '{"inner":"{\\"to\\":\\"<EMAIL>\\"}"}'),
        ('{"card": 4111111111111111, "n": 7}', '{"card":"<CARD>","n":7}'),
        (f'{{"cut": "short", "to": "{ESCAPED}', '{"cut": "short", "to": "<EMAIL>'),
        ('{"db": {"password": "Tr0ub4dor-3xy"}}', '{"db":{"password":"<SECRET>"}}'),
        ('{"auth": ["Basic", "Bearer abcDEF123456ghiJKL7890"]}', '{"auth":["Basic","Bearer <SECRET>"]}'),
        ('{"api_key": "a,b;c(d)e1F", "key": "order_2026"}', '{"api_key":"<SECRET>","key":"order_2026"}'),
        (json.dumps({WHO: 1, WHO.upper(): 2}), '{"<EMAIL>":1,"<EMAIL> 2":2}'),
    ],
)
def test_what_is_recognised_is_taken_out_wherever_it_stands(text: str, kept: str) -> None:
    found = redacted(step(note=text), mask, personal=False)
    assert found.attributes == found.events[0].attributes == {"note": kept}


def test_names_that_become_the_same_lose_no_value() -> None:
    given_step = step("ask", **{"to.ada@example.org": 1, "to.bob@example.org": 2, "to.eve@example.org": 3})
    found = redacted(given_step, mask, personal=False).attributes
    assert sorted(v for k, v in found.items() if "<EMAIL>" in k) == [1, 2, 3]


def test_however_many_names_become_the_same_each_takes_no_longer() -> None:
    def of(n: int) -> Span:
        return step(said=json.dumps({f"zoe{i}@example.org": i for i in range(n)}))

    few, many = of(500), of(1_000)
    assert (
        times_as_long(lambda: redacted(many, mask, personal=True), lambda: redacted(few, mask, personal=True))
        < 3
    )


@pytest.mark.parametrize("depth", [100, 500, 900, 2_000, 100_000])
@pytest.mark.parametrize("closed", [True, False])
def test_nor_does_depth_hide_anything(depth: int, closed: bool) -> None:
    text = "[" * depth + f'"{ESCAPED}"' + "]" * depth * closed
    kept = redacted(step(note=text), mask, personal=False).attributes["note"]
    assert "brandt" not in kept
    assert "<EMAIL>" in kept


def test_addresses_of_machines_stay_where_nothing_is_about_people() -> None:
    given_step = step(f"mail {WHO}", **{"server.address": "203.0.113.7", "peer": ["203.0.113.7", 4]})
    kept = redacted(given_step, mask, personal=False)
    assert kept.name == "mail <EMAIL>"
    assert kept.attributes == {"server.address": "203.0.113.7", "peer": ["<IP>", 4]}
    kept = redacted(given_step, mask, personal=True)
    assert kept.attributes == {"server.address": "<IP>", "peer": ["<IP>", 4]}


KEY = "sk-proj-Zq7KJHGqwerty7uiop2Asdf9ghjkLzxcvbnm4"


@pytest.mark.parametrize("personal", [True, False])
@pytest.mark.parametrize(
    "attributes",
    [
        {"otel.status_description": f"Incorrect API key provided: {KEY}"},
        {"http.url": f"https://api.example/?api_key={KEY}"},
        {"url.query": f"{'a=b&' * 90}token={KEY}"},
        {"service.name": f"desk {KEY}", "otel.scope.name": KEY},
        {f"asked with {KEY}": True},
    ],
)
def test_a_secret_is_written_down_nowhere(attributes: dict[str, Any], personal: bool) -> None:
    given_step = step(**attributes)
    event = SpanEvent(name=f"refused {KEY}", at=START, attributes={})
    kept = redacted(replace(given_step, events=(*given_step.events, event)), mask, personal=personal)
    assert KEY not in repr(kept)


def test_what_somebody_says_of_a_failure_is_a_text_like_any_other() -> None:
    given_step = step(**{"otel.status_description": f"{WHO} is unknown"})
    assert redacted(given_step, mask, personal=False).attributes == {
        "otel.status_description": "<EMAIL> is unknown"
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(st.characters(categories=["L"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_json_without_anything_stays_what_it_was(value: Any) -> None:
    text = json.dumps(value)
    kept = redacted(step(note=text), mask, personal=True).attributes["note"]
    assert json.loads(kept) == value


def test_the_value_of_an_attribute_with_the_name_of_a_secret_is_taken_out() -> None:
    password, token = "Tr0ub4dor-3xy", "Bearer abcDEF123456ghiJKL7890"
    given_step = step("ask", **{"http.request.header.authorization": [token], "db.password": password})
    for personal in (False, True):
        kept = redacted(given_step, mask, personal=personal).attributes
        assert kept == {"http.request.header.authorization": ["Bearer <SECRET>"], "db.password": "<SECRET>"}
