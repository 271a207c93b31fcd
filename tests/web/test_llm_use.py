"""Which team may use which language model for what, in the path of a call, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

from headrace.app.llm.usage import LLM_USE, permits_of
from headrace.core.errors import Denied
from headrace.gateway.llm.endpoints import FILE, Target
from headrace.gateway.prompts import Prompt
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, client, read

CLOSED = "allow:\n  - {models: [local/small], purposes: [support], data: [internal]}\n"
PURPOSE = {"purpose": "support"}
BOTH = Prompt(template="", models=("abroad/small", "local/small"), embeddings=("abroad/small",))
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("chat/completions", {"messages": HELLO}),
    ("chat/completions", {"messages": HELLO, "stream": True}),
    ("responses", {"input": "Hello", "store": False}),
    ("embeddings", {"input": "Hello"}),
    ("messages", {"messages": HELLO, "max_tokens": 9}),
]


def enforce(desk: Desk, text: str) -> None:
    """Put a list into force, and let the server notice as it does every 200 ms."""
    dev = desk.app.identities.add("dev", ["developer"], actor=USER)
    val = desk.app.identities.add("val", ["validator"], actor=USER)
    LLM_USE.decide(desk.app, val, LLM_USE.propose(desk.app, dev, text).version, "approved")
    desk.server.parts.gateway.refresh()


def post(desk: Desk, path: str, body: dict[str, Any], *, by: str = USER) -> httpx.Response:
    headers = {"authorization": f"Bearer {desk.token(by)}"}
    return httpx.post(f"{desk.url}/{path}", json=body, headers=headers, timeout=20)


@pytest.mark.requirement("LGW-05")
@pytest.mark.parametrize(("path", "body"), CALLS)
def test_what_no_entry_allows_is_refused_on_every_route_before_a_provider_is_asked(
    desk: Desk, path: str, body: dict[str, Any]
) -> None:
    desk.release(BOTH, llm=PURPOSE)
    assert post(desk, f"v1/{path}", body | {"model": PROJECT}).status_code == 200
    desk.model.asked.clear()
    enforce(desk, CLOSED.replace("[support]", "[marketing]"))
    refused = post(desk, f"v1/{path}", body | {"model": PROJECT})
    assert refused.status_code == 403, refused.text
    assert "may not use abroad/small" in refused.text
    assert not desk.model.asked
    assert not desk.answers()[1:]
    (entry,) = (one for one in desk.app.store.audit.list() if one.action == "llm.refused")
    assert (entry.actor, entry.resource, entry.detail["purpose"]) == (USER, f"project:{PROJECT}", "support")


@pytest.mark.requirement("LGW-05")
@pytest.mark.parametrize(
    ("llm", "allowed"),
    [
        (PURPOSE, True),
        ({}, False),
        ({"purpose": "marketing"}, False),
        (PURPOSE | {"data_class": "confidential"}, False),
    ],
)
def test_purpose_and_class_of_the_data_come_from_the_charter(
    desk: Desk, llm: dict[str, Any], allowed: bool
) -> None:
    enforce(desk, CLOSED)
    desk.release(PROMPT, llm=llm)
    ask = client(desk).chat.completions
    if allowed:
        assert read(ask.create(model=PROJECT, messages=HELLO))
        return
    with pytest.raises(openai.PermissionDeniedError, match="Allowed for this: no model yet"):
        ask.create(model=PROJECT, messages=HELLO)
    assert not desk.model.asked


def test_of_a_releases_models_those_are_called_that_are_allowed(desk: Desk) -> None:
    enforce(desk, CLOSED)
    desk.release(Prompt(template="", models=("local/big", "local/small")), llm=PURPOSE)
    assert read(client(desk).chat.completions.create(model=PROJECT, messages=HELLO))
    assert [asked.json["model"] for asked in desk.model.asked] == ["small"]


@pytest.mark.requirement("LGW-05")
def test_the_list_of_main_holds_for_every_team_beside_its_own(desk: Desk) -> None:
    desk.release(PROMPT, llm=PURPOSE)
    project, wanted = desk.app.store.projects.get(PROJECT), [Target("local", "small")]
    assert permits_of(desk.app).of_team("lab", project, wanted)
    enforce(desk, CLOSED.replace("data:", "teams: [main], data:"))
    assert permits_of(desk.app).of_team("main", project, wanted)
    with pytest.raises(Denied, match="The team 'lab' may not use local/small"):
        permits_of(desk.app).of_team("lab", project, wanted)


@pytest.mark.requirement("GOV-09")
def test_a_refusal_names_what_is_allowed_and_asking_for_more_is_self_service(desk: Desk) -> None:
    desk.release(PROMPT, "helper", llm=PURPOSE)
    desk.release(Prompt(template="", models=("abroad/small",)), llm=PURPOSE)
    enforce(desk, CLOSED)
    ask = client(desk).chat.completions
    with pytest.raises(openai.PermissionDeniedError) as refused:
        ask.create(model=PROJECT, messages=HELLO)
    said = str(refused.value)
    for part in ("Allowed for this: local/small", "ask these projects instead: helper", "headrace llm ask"):
        assert part in said
    assert read(ask.create(model="helper", messages=HELLO)), "what it names answers at once"

    where = f"api/v1/llm/projects/{PROJECT}"
    headers = {"authorization": f"Bearer {desk.token()}"}
    instead = httpx.get(f"{desk.url}/{where}/instead", headers=headers).json()
    assert (instead["permitted"], instead["models"]) == ([], ["local/small"])
    assert instead["projects"] == ["helper"]
    wanted = {"model": "abroad/small", "reason": "the answers are better"}
    asked = post(desk, f"{where}/asks", wanted)
    assert asked.status_code == 201, asked.text
    assert "policy.propose" in post(desk, "api/v1/llm/uses", {"text": "allow: []"}).text, "asks, no more"
    decision = f"api/v1/llm/uses/{asked.json()['version']}/decision"
    assert post(desk, decision, {"decision": "approved"}).status_code == 403, "never one's own"
    assert post(desk, decision, {"decision": "approved"}, by="val").json()["text"]["state"] == "live"
    desk.server.parts.gateway.refresh()
    assert read(ask.create(model=PROJECT, messages=HELLO))
    again = post(desk, f"{where}/asks", wanted)
    assert (again.status_code, "already" in again.text) == (409, True)
    assert post(desk, f"{where}/asks", wanted | {"model": "nobody/small"}).status_code == 404


def test_whoever_states_no_purpose_is_told_to_before_asking(desk: Desk) -> None:
    enforce(desk, CLOSED)
    desk.release(PROMPT)
    refused = post(desk, f"api/v1/llm/projects/{PROJECT}/asks", {"model": "local/small", "reason": "r"})
    assert (refused.status_code, "llm: {purpose: NAME}" in refused.text) == (400, True)


@pytest.mark.requirement("LGW-12")
def test_a_model_is_called_once_all_is_stated_that_is_demanded_of_it(desk: Desk) -> None:
    demanded = "require: [owner, service level, contact, remediation, exact version]\n"
    enforce(desk, CLOSED.replace("local/small", "abroad/*") + demanded)
    desk.release(Prompt(template="", models=("abroad/small",)), llm=PURPOSE)
    lacking = "abroad/small lacks owner, service level, contact, remediation"
    with pytest.raises(openai.PermissionDeniedError, match=lacking):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    assert not desk.model.asked
    file = desk.app.settings.home / FILE
    declared = json.loads(file.read_text())
    declared["providers"]["abroad"] |= {
        "owner": "ann",
        "service_level": "99.9 %",
        "contact": "+44 1",
        "remediation": "ann switches to local",
    }
    file.write_text(json.dumps(declared))
    project = desk.app.store.projects.get(PROJECT)
    assert permits_of(desk.app).of_team("main", project, [Target("abroad", "small")])
    shown = httpx.get(
        f"{desk.url}/policy/llm", headers={"authorization": f"Bearer {desk.token()}", "accept": "text/html"}
    ).text
    assert "ann switches to local" in shown
    assert "service level" in shown
