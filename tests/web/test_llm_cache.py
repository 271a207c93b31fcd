"""Answers that are given again, through the real gateway: to whom, of which release, and what it costs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from headrace.app.erasure_marks import MARKS, ErasureMarks
from headrace.testing.scripted_answers import Answer
from headrace.testing.scripted_llm import Asked
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk

CACHE: dict[str, Any] = {"cache": {"entries": 100, "ttl_s": 600.0}}
OTHER = "ove"


@pytest.fixture
def keeping(desk: Desk) -> Desk:
    """Its project keeps answers, and every answer that the model gives is another one."""
    desk.app.identities.add(OTHER, ["operator"], actor=USER)
    desk.model.script = _count(desk)
    desk.release(PROMPT, llm=CACHE)
    return desk


def _count(desk: Desk) -> Any:
    def say(asked: Asked) -> Answer:
        return Answer(text=f"{len(desk.model.asked)}: {asked.json['messages'][-1]['content']}")

    return say


class Said:
    """One answer, as its caller got it."""

    def __init__(self, desk: Desk, name: str = USER, messages: Any = HELLO, **more: Any) -> None:
        llm = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token(name), max_retries=0)
        raw = llm.chat.completions.with_raw_response.create(model=PROJECT, messages=messages, **more)
        self.text = raw.parse().choices[0].message.content
        self.cache = raw.headers.get("headrace-cache")
        self.id = raw.headers["headrace-answer"]


def test_the_same_request_gets_the_same_answer_and_both_are_on_record(keeping: Desk) -> None:
    first, again = Said(keeping), Said(keeping)
    assert (first.cache, again.cache) == ("miss", "hit")
    assert first.text == again.text
    assert len(keeping.model.asked) == 1
    recorded, given = keeping.answers()
    assert (recorded.id, given.id) == (first.id, again.id)
    assert [one.outputs["cached"] for one in (recorded, given)] == [[False], [True]]
    assert given.outputs["predict"] == recorded.outputs["predict"]
    assert given.outputs["output_tokens"] == [0]
    headers = {"authorization": f"Bearer {keeping.token()}"}
    metrics = httpx.get(f"{keeping.url}/metrics", headers=headers, trust_env=False).text
    assert f'headrace_llm_cache_total{{project="{PROJECT}",outcome="hit"}} 1' in metrics


def test_unless_a_project_declares_it_nothing_is_kept(desk: Desk) -> None:
    assert [Said(desk).cache, Said(desk).cache] == [None, None]
    assert len(desk.model.asked) == 2
    assert "cached" not in desk.answers()[0].outputs


@pytest.mark.parametrize(
    "more",
    [{"temperature": 0.5}, {"user": "customer-8"}, {"messages": [*HELLO, *HELLO]}, {"name": OTHER}],
    ids=str,
)
def test_whatever_differs_is_another_request(keeping: Desk, more: dict[str, Any]) -> None:
    first = Said(keeping, user="customer-7")
    other = Said(keeping, **{"user": "customer-7", **more})
    assert other.cache == "miss"
    assert other.text != first.text


def test_another_role_is_another_access(keeping: Desk) -> None:
    keeping.app.identities.add("two", ["operator", "viewer"], actor=USER)
    first = Said(keeping, "two")
    keeping.app.identities.remove_role("two", "viewer", actor=USER)
    assert Said(keeping, "two").text != first.text


def test_a_release_never_gets_the_answer_of_another(keeping: Desk) -> None:
    first = Said(keeping)
    keeping.release(replace(PROMPT, parameters={"seed": 1}), llm=CACHE)
    second = Said(keeping)
    assert second.cache == "miss"
    assert second.text != first.text


def test_what_was_masked_is_not_kept_and_stands_in_the_answer_again(keeping: Desk) -> None:
    keeping.release(PROMPT, llm=CACHE, basis="consent", purpose="answers")
    mails = "bob@example.org", "eve@example.org"
    said = [Said(keeping, messages=[{"role": "user", "content": f"I am {mail}"}]) for mail in mails]
    assert [one.cache for one in said] == ["miss", "hit"], "the model would have read the same"
    assert [one.text for one in said] == [f"1: I am {mail}" for mail in mails]
    cache = keeping.server.parts.gateway.cache
    assert not [mail for mail in mails if mail.encode() in repr(vars(cache)).encode()]


def test_an_erasure_ends_what_was_kept(keeping: Desk) -> None:
    first = Said(keeping)
    app = keeping.app
    ErasureMarks(app.settings.home / MARKS).mark(PROJECT, app.clock.now())
    assert Said(keeping).text != first.text


def test_streams_and_calls_of_tools_are_not_kept(keeping: Desk) -> None:
    keeping.model.script = Answer(tools=(("find", json.dumps({"id": "7"})),))
    assert [Said(keeping).cache, Said(keeping).cache] == ["miss", "miss"]
    assert len(keeping.model.asked) == 2


def test_one_that_is_given_again_costs_no_tokens_and_counts_as_a_request(keeping: Desk) -> None:
    budgets = [
        {"per": "project", "of": "tokens", "most": 600, "period": "day"},
        {"per": "project", "of": "requests", "most": 3, "period": "day"},
    ]
    keeping.release(PROMPT, llm=CACHE | {"budgets": budgets, "answer_tokens": 400})
    assert [Said(keeping).cache for _ in range(3)] == ["miss", "hit", "hit"]
    with pytest.raises(openai.RateLimitError, match=r"may take 1 request\."):
        Said(keeping)
