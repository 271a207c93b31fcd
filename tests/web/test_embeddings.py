"""Vectors of texts by OpenAI's own client: the same way as an answer, with the same rules."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from headrace.app.privacy.retaining import STREAMS
from headrace.core.record import Prediction
from headrace.testing.scripted_answers import WRONG_JSON, Answer, Closes, Refusal
from headrace.testing.scripted_llm import EMBEDDINGS
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, PROMPT, STRANGER, Desk, client

WITH_VECTORS = replace(PROMPT, embeddings=("local/vectors",))
TEXTS = ["How long may I return it?", "What does a parcel cost?"]


def embedded(desk: Desk) -> list[Prediction]:
    """What is on record of texts that became vectors."""
    return [p for r in desk.records("embeddings") if isinstance(p := STREAMS["embeddings"](r), Prediction)]


@pytest.mark.requirement("LGW-02")
@pytest.mark.requirement("LGW-03")
def test_vectors_come_from_the_model_that_the_release_names_and_are_on_record(desk: Desk) -> None:
    release = desk.release(WITH_VECTORS)
    raw = client(desk).embeddings.with_raw_response.create(
        model=PROJECT, input=TEXTS, dimensions=4, user="customer-7"
    )
    vectors = raw.parse().data
    assert [len(one.embedding) for one in vectors] == [4, 4]
    assert vectors[0].embedding != vectors[1].embedding
    (asked,) = desk.model.asked
    assert asked.path == EMBEDDINGS
    assert {name: asked.json[name] for name in ("model", "input", "dimensions")} == {
        "model": "vectors", "input": TEXTS, "dimensions": 4,
    }  # fmt: skip
    assert "user" not in asked.json
    (kept,) = embedded(desk)
    assert raw.headers["headrace-answer"] == kept.id
    assert (kept.release_id, kept.principal, kept.keys) == (release, "uma", ["customer-7"])
    assert kept.columns == {"question": ["\n".join(TEXTS)]}
    assert (kept.outputs["input_tokens"], kept.outputs["output_tokens"]) == ([2], [0])
    assert not desk.answers(), "what became a vector is no answer that could be judged"


def test_the_bodies_are_those_of_the_provider_byte_for_byte(desk: Desk) -> None:
    desk.release(replace(WITH_VECTORS, embeddings=("local/scripted-1",)))
    for more in ({}, {"encoding_format": "base64"}, {"dimensions": 3}):
        body: dict[str, Any] = {"input": TEXTS, **more}
        through = post(desk, body | {"model": PROJECT})
        direct = httpx.post(f"{desk.model.url}/v1/embeddings", json=body | {"model": "scripted-1"})
        assert (through.status_code, through.content) == (200, direct.content)


def post(desk: Desk, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(
        f"{desk.url}/v1/embeddings",
        json=body,
        headers={"authorization": f"Bearer {desk.token()}", "accept-encoding": "identity"},
    )


@pytest.mark.requirement("GRD-03")
def test_what_is_about_people_becomes_no_vector(desk: Desk) -> None:
    desk.release(WITH_VECTORS, basis="consent", purpose="answers")
    client(desk).embeddings.create(model=PROJECT, input="I am bob@example.org, card 4111 1111 1111 1111")
    sent = json.dumps(desk.model.asked[-1].json)
    assert "bob@example.org" not in sent
    assert "4111" not in sent
    assert "personal.email input mask" in embedded(desk)[0].outputs["guards"][0]


def test_a_blocked_text_says_which_rule(desk: Desk) -> None:
    desk.release(replace(WITH_VECTORS, guardrails={"personal": {"action": "block"}}))
    with pytest.raises(openai.BadRequestError, match="personal.email") as refused:
        client(desk).embeddings.create(model=PROJECT, input="I am bob@example.org")
    assert refused.value.code == "blocked"
    assert not desk.model.asked
    assert embedded(desk)[0].outputs["finish"] == ["blocked"]


@pytest.mark.requirement("LGW-04")
def test_vectors_are_paid_from_the_budget_of_answers(desk: Desk) -> None:
    budgets = {"budgets": [{"per": "project", "of": "requests", "most": 2, "period": "total"}]}
    desk.release(WITH_VECTORS, llm=budgets)
    client(desk).embeddings.create(model=PROJECT, input=TEXTS)
    client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    with pytest.raises(openai.RateLimitError) as refused:
        client(desk).embeddings.create(model=PROJECT, input=TEXTS)
    assert refused.value.code == "insufficient_quota"


@pytest.mark.requirement("LGW-06")
def test_texts_go_to_no_provider_that_promises_too_little(desk: Desk) -> None:
    needs = {"needs": {"regions": ["eu"]}}
    desk.release(replace(WITH_VECTORS, embeddings=("abroad/small",)), llm=needs)
    with pytest.raises(openai.PermissionDeniedError, match="it works in us, not in eu"):
        client(desk).embeddings.create(model=PROJECT, input=TEXTS)
    desk.release(replace(WITH_VECTORS, embeddings=("abroad/small", "local/vectors")), llm=needs)
    client(desk).embeddings.create(model=PROJECT, input=TEXTS)
    assert [asked.json["model"] for asked in desk.model.asked] == ["vectors"]


def test_only_those_who_may_get_vectors(desk: Desk) -> None:
    desk.release(WITH_VECTORS)
    stranger = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token(STRANGER), max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        stranger.embeddings.create(model=PROJECT, input=TEXTS)
    desk.release(PROMPT)
    with pytest.raises(openai.BadRequestError, match="names no model that makes vectors"):
        client(desk).embeddings.create(model=PROJECT, input=TEXTS)
    assert (
        httpx.get(
            f"{desk.url}/v1/embeddings", headers={"authorization": f"Bearer {desk.token()}"}
        ).status_code
        == 405
    )
    assert not desk.model.asked


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Refusal(status=400, message="too long"), openai.BadRequestError),
        (Refusal(status=429, retry_after="0"), openai.RateLimitError),
        (Refusal(status=500), openai.InternalServerError),
        (Refusal(status=401), openai.InternalServerError),
        (WRONG_JSON, openai.InternalServerError),
        (Answer(cut_after=1), openai.InternalServerError),
        (Closes(), openai.InternalServerError),
    ],
)
def test_what_a_provider_does_wrong_is_told_and_recorded(
    desk: Desk, said: Any, error: type[Exception]
) -> None:
    desk.release(WITH_VECTORS)
    desk.model.script = said
    with pytest.raises(error):
        client(desk).embeddings.create(model=PROJECT, input=TEXTS)
    until(lambda: len(desk.failures()) == 1)
    assert not embedded(desk)
