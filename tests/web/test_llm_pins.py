"""A call whose release has a part that is no longer as it was approved, over a real socket."""

from __future__ import annotations

import httpx
import openai
import pytest

from headrace.app.overviews.reading import release_report
from headrace.gateway.llm.endpoints import FILE, read_providers
from headrace.gateway.llm.pins import ANSWERED_BY, pins_of
from headrace.monitoring.ingest import ingest
from tests.web.prompted import HELLO, PROJECT, PROMPT, Desk, client


def pinned(desk: Desk) -> dict[str, str]:
    providers = read_providers(desk.app.settings.home / FILE)
    return pins_of(PROMPT, providers, personal=False) | {ANSWERED_BY: "small"}


def guards_of(desk: Desk) -> str:
    client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    said: str = desk.answers()[-1].outputs["guards"][0]
    return said


@pytest.mark.requirement("REG-05")
def test_what_stands_as_it_was_approved_is_not_remarked(desk: Desk) -> None:
    release = desk.release(PROMPT, params=pinned(desk))
    assert guards_of(desk) == ""
    assert release_report(desk.app, desk.app.me(), release).moved == []


@pytest.mark.requirement("REG-05")
def test_another_address_is_noted_with_every_answer_and_counted(desk: Desk) -> None:
    release = desk.release(
        PROMPT, params=pinned(desk) | {"pin provider local": "openai https://a.example/v1"}
    )
    assert guards_of(desk) == "pins.provider input flag"
    counted = desk.server.parts.gateway.endings.guards.hits()
    assert [(one.rule, one.action, n) for one, n in counted.items()] == [("pins.provider", "flag", 1)]
    (one,) = release_report(desk.app, desk.app.me(), release).moved
    assert (one.part, one.pinned) == ("provider local", "openai https://a.example/v1")
    assert one.now == f"openai {desk.model.url}/v1"


@pytest.mark.requirement("REG-05")
def test_a_model_that_did_not_answer_the_evaluation_is_noted(desk: Desk) -> None:
    desk.release(PROMPT, params=pinned(desk) | {ANSWERED_BY: "small-2024-07-18"})
    assert guards_of(desk) == "pins.model input flag"
    ingest(PROJECT, desk.app.store.events, desk.app.store.tables, numeric=frozenset())
    headers = {"authorization": f"Bearer {desk.token()}"}
    page = httpx.get(f"{desk.url}/projects/{PROJECT}/guards", headers=headers, trust_env=False).text
    assert "<code>pins.model</code>, flagged 1" in page
    assert "<td>the release</td>" in page
    assert "what callers write" not in page


@pytest.mark.requirement("REG-05")
def test_a_project_may_have_it_refused(desk: Desk) -> None:
    moved = pinned(desk) | {"pin classifier": "0" * 32}
    desk.release(PROMPT, params=moved, llm={"pins": "refuse"})
    with pytest.raises(openai.PermissionDeniedError, match="approved with another classifier"):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    assert not desk.model.asked


def test_a_release_of_before_there_were_pins_answers(desk: Desk) -> None:
    desk.release(PROMPT, llm={"pins": "refuse"})
    assert guards_of(desk) == ""
