"""Whoever misspells a name reads where the names are, and the nearest of their own."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from headrace.core.identity import ROLES
from headrace.testing.factories import make_project
from tests.web.prompted import PROJECT, PROMPT, STRANGER, USER, Desk

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
ADDRESSES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": {"input": "Hi"},
    "/v1/embeddings": {"input": "Hi"},
    "/v1/messages": CHAT | {"max_tokens": 9},
}


def refused(desk: Desk, address: str, model: str, by: str = USER) -> str:
    headers = {"authorization": f"Bearer {desk.token(by)}"}
    body = ADDRESSES[address] | {"model": model}
    answer = httpx.post(f"{desk.url}{address}", json=body, headers=headers, trust_env=False)
    assert answer.status_code in (403, 404), answer.text
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_misspelt_name_leads_to_the_nearest_that_the_caller_may_ask(desk: Desk, address: str) -> None:
    for name in ("suport", "Support", "supports"):
        said = refused(desk, address, name)
        assert said.endswith(f"Did you mean {PROJECT!r}? GET /v1/models lists what you may ask."), said
    said = refused(desk, address, "gpt-4o")
    assert said.endswith("GET /v1/models lists what you may ask.")
    assert PROJECT not in said


def test_one_model_that_is_asked_for_by_a_misspelt_name_is_found_too(desk: Desk) -> None:
    headers = {"authorization": f"Bearer {desk.token()}"}
    answer = httpx.get(f"{desk.url}/v1/models/suport", headers=headers, trust_env=False)
    assert answer.status_code == 404
    assert f"Did you mean {PROJECT!r}?" in answer.json()["error"]["message"]


def test_no_name_is_said_that_its_caller_may_not_ask(desk: Desk) -> None:
    desk.app.identities.add("boss", ROLES, actor=USER, workspace="acme")
    desk.app.store.projects.save(make_project(name="refunds", task="text_generation"), "", "acme")
    desk.release(PROMPT, "refunds")
    assert "Did you mean 'refunds'?" in refused(desk, "/v1/chat/completions", "refund", by="boss")
    assert "'refunds'" not in refused(desk, "/v1/chat/completions", "refund", by=USER)
    assert PROJECT not in refused(desk, "/v1/chat/completions", "suport", by=STRANGER)


@pytest.mark.parametrize("name", ["ada@example.org", "x" * 200])
def test_what_is_no_name_is_not_repeated(desk: Desk, name: str) -> None:
    said = refused(desk, "/v1/chat/completions", name)
    assert name not in said
    assert said.endswith("GET /v1/models lists what you may ask.")
