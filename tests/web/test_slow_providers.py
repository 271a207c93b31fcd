"""A provider that is too slow, on each surface and of either kind: given up in time, told, and recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from headrace.gateway.llm.spending import limit_of
from headrace.projects.llm import Budget
from headrace.testing.scripted_answers import Answer
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk

CHAT: dict[str, Any] = {"messages": HELLO}
MESSAGES: dict[str, Any] = {"messages": HELLO, "max_tokens": 9}
RESPONSE: dict[str, Any] = {"input": "May I return it?"}
either = pytest.mark.parametrize("model", ["hasty/small", "hasty-claude/small"])
surfaces = pytest.mark.parametrize(
    ("path", "body"), [("chat/completions", CHAT), ("messages", MESSAGES), ("responses", RESPONSE)]
)


def post(desk: Desk, path: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"authorization": f"Bearer {desk.token()}"}
    return httpx.post(f"{desk.url}/v1/{path}", json=body | {"model": PROJECT}, headers=headers, timeout=20)


@either
@surfaces
@pytest.mark.parametrize("stream", [False, True])
def test_one_that_does_not_begin_is_given_up(
    desk: Desk, model: str, path: str, body: dict[str, Any], stream: bool
) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = Answer(delay_s=10)
    answer = post(desk, path, body | {"stream": stream})
    assert answer.status_code == 503
    assert "did not begin to answer" in answer.json()["error"]["message"]
    assert desk.model.asked[-1].over.wait(20)
    until(lambda: len(desk.failures()) == 1)
    assert not desk.answers()


@either
@surfaces
def test_one_that_stalls_within_a_stream_ends_it_with_an_error(
    desk: Desk, model: str, path: str, body: dict[str, Any]
) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = Answer(text="Within thirty days.", stall_after=3)
    answer = post(desk, path, body | {"stream": True})
    assert answer.status_code == 200
    last = answer.text.strip().split("\n\n")[-1]
    assert '"error"' in last
    assert "has stalled" in last
    until(lambda: len(desk.failures()) == 1)
    assert not desk.answers()


@pytest.mark.parametrize("stream", [False, True])
def test_one_that_is_given_up_is_paid_what_it_may_have_done(desk: Desk, stream: bool) -> None:
    tokens: Any = {"per": "project", "of": "tokens", "most": 200_000, "period": "total"}
    prompt = replace(PROMPT, models=("hasty/small",), parameters={"max_tokens": 40_000})
    desk.release(prompt, llm={"budgets": [tokens]})
    desk.model.script = Answer(delay_s=10)
    assert post(desk, "chat/completions", CHAT | {"stream": stream}).status_code == 503
    until(lambda: len(desk.failures()) == 1)
    budgets = desk.server.parts.gateway.budgets
    budgets.give_back(0.0)
    (standing,) = budgets.standing([limit_of(Budget(**tokens), PROJECT, "main", USER)])
    assert 40_000 < standing.spent < 41_000


def test_vectors_that_do_not_come_are_given_up(desk: Desk) -> None:
    desk.release(replace(PROMPT, embeddings=("hasty/vectors",)))
    desk.model.script = Answer(delay_s=10)
    assert post(desk, "embeddings", {"input": "Hi"}).status_code == 503
    until(lambda: len(desk.failures()) == 1)
