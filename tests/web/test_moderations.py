"""Texts are judged through OpenAI's own client: the same way as an answer, with the same rules."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest

from headrace.app.privacy.retaining import STREAMS
from headrace.core.record import Prediction
from headrace.testing.scripted_answers import WRONG_JSON, Answer, Refusal
from headrace.testing.scripted_llm import MODERATIONS
from tests.pace import until
from tests.web.prompted import PROJECT, PROMPT, STRANGER, Desk, client

JUDGED = replace(PROMPT, moderations=("local/judge",))


def judged(desk: Desk) -> list[Prediction]:
    """What is on record of texts that were judged."""
    return [p for r in desk.records("moderations") if isinstance(p := STREAMS["moderations"](r), Prediction)]


@pytest.mark.requirement("LGW-02")
@pytest.mark.requirement("LGW-03")
def test_the_model_that_the_release_names_judges_and_it_is_on_record(desk: Desk) -> None:
    release = desk.release(JUDGED)
    raw = client(desk).moderations.with_raw_response.create(model=PROJECT, input=["Hi", "I hate you"])
    first, second = raw.parse().results
    assert (first.flagged, second.flagged, second.categories.hate) == (False, True, True)
    (asked,) = desk.model.asked
    assert (asked.path, asked.json) == (MODERATIONS, {"model": "judge", "input": ["Hi", "I hate you"]})
    (kept,) = judged(desk)
    assert raw.headers["headrace-answer"] == kept.id
    assert (kept.release_id, kept.principal) == (release, "uma")
    assert (kept.columns["question"], kept.outputs["predict"]) == (["Hi\nI hate you"], ["hate"])
    assert kept.outputs["finish"] == ["flagged"]
    assert not desk.answers(), "a verdict is no answer that could be judged"


def test_pictures_go_to_the_provider_and_the_answer_comes_byte_for_byte(desk: Desk) -> None:
    desk.release(replace(PROMPT, moderations=("local/scripted-1",)))
    picture: Any = {"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}}
    parts: Any = [{"type": "text", "text": "kill it"}, picture]
    (said,) = client(desk).moderations.create(model=PROJECT, input=parts).results
    assert said.categories.violence
    assert desk.model.asked[-1].json["input"] == parts
    through = httpx.post(
        f"{desk.url}/v1/moderations",
        json={"model": PROJECT, "input": "Hi"},
        headers={"authorization": f"Bearer {desk.token()}", "accept-encoding": "identity"},
    )
    direct = httpx.post(f"{desk.model.url}/v1/moderations", json={"model": "scripted-1", "input": "Hi"})
    assert (through.status_code, through.content) == (200, direct.content)


def test_where_nobody_is_named_it_says_what_to_configure(desk: Desk) -> None:
    with pytest.raises(openai.BadRequestError, match="under 'moderations' in its prompt"):
        client(desk).moderations.create(model=PROJECT, input="Hi")
    desk.release(replace(PROMPT, moderations=("claude/judge",)))
    with pytest.raises(openai.BadRequestError, match="speaks as Anthropic does"):
        client(desk).moderations.create(model=PROJECT, input="Hi")
    with pytest.raises(openai.BadRequestError, match="'model' is missing"):
        client(desk).moderations.create(input="Hi")
    assert not desk.model.asked


@pytest.mark.requirement("GRD-03")
def test_what_is_about_people_does_not_leave(desk: Desk) -> None:
    desk.release(JUDGED, basis="consent", purpose="answers")
    client(desk).moderations.create(model=PROJECT, input="I am bob@example.org")
    assert "bob@example.org" not in json.dumps(desk.model.asked[-1].json)
    assert "personal.email input mask" in judged(desk)[0].outputs["guards"][0]


@pytest.mark.requirement("LGW-04")
def test_verdicts_are_paid_from_the_budget_of_answers(desk: Desk) -> None:
    budgets = {"budgets": [{"per": "project", "of": "tokens", "most": 60, "period": "total"}]}
    desk.release(JUDGED, llm=budgets)
    ask = client(desk).moderations.create
    ask(model=PROJECT, input="x" * 80)
    with pytest.raises(openai.RateLimitError) as refused:
        ask(model=PROJECT, input="x" * 80)
    assert refused.value.code == "insufficient_quota"
    assert len(desk.model.asked) == 1


@pytest.mark.requirement("LGW-06")
def test_texts_go_to_no_provider_that_promises_too_little(desk: Desk) -> None:
    desk.release(replace(PROMPT, moderations=("abroad/small",)), llm={"needs": {"regions": ["eu"]}})
    with pytest.raises(openai.PermissionDeniedError, match="it works in us, not in eu"):
        client(desk).moderations.create(model=PROJECT, input="Hi")
    assert not desk.model.asked


def test_only_those_who_may_have_texts_judged(desk: Desk) -> None:
    desk.release(JUDGED)
    stranger = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token(STRANGER), max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        stranger.moderations.create(model=PROJECT, input="Hi")
    assert not desk.model.asked


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Refusal(status=429, retry_after="0"), openai.RateLimitError),
        (Refusal(status=500), openai.InternalServerError),
        (Refusal(status=401), openai.InternalServerError),
        (WRONG_JSON, openai.InternalServerError),
        (Answer(cut_after=1), openai.InternalServerError),
    ],
)
def test_what_a_provider_does_wrong_is_told_and_recorded(
    desk: Desk, said: Any, error: type[Exception]
) -> None:
    desk.release(JUDGED)
    desk.model.script = said
    with pytest.raises(error):
        client(desk).moderations.create(model=PROJECT, input="Hi")
    until(lambda: len(desk.failures()) == 1)
    assert not judged(desk)
