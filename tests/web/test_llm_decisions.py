"""The kill switch and the acceptable-use policy in the path of a call, over a real socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest

from headrace.app.llm import acceptable_use, stopping
from headrace.app.llm.acceptable_use import ACCEPTABLE_USE
from headrace.app.llm.usage import permits_of
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.gateway.llm.endpoints import Target
from headrace.store.llm_decisions import Stop
from headrace.testing.scripted_answers import Answer
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, PROMPT, STRANGER, USER, Desk, client, read
from tests.web.test_llm_use import CALLS, post

TERMS = "Send no passwords. Say where an answer came from.\n"
SMALL = [Target("local", "small")]


def publish(desk: Desk, text: str) -> int:
    """Publish a policy; returns its version."""
    dev = desk.app.identities.add("dev", ["developer"], actor=USER)
    val = desk.app.identities.add("val", ["validator"], actor=USER)
    made = ACCEPTABLE_USE.propose(desk.app, dev, text)
    ACCEPTABLE_USE.decide(desk.app, val, made.version, "approved")
    desk.server.parts.gateway.refresh()
    return made.version


@pytest.mark.requirement("GRD-12")
@pytest.mark.parametrize(("path", "body"), CALLS)
@pytest.mark.parametrize("project", [PROJECT, None])
def test_a_stop_holds_on_every_route_until_somebody_resumes(
    desk: Desk, path: str, body: dict[str, Any], project: str | None
) -> None:
    desk.release(PROMPT.__class__(template="", models=("local/small",), embeddings=("local/small",)))
    call = body | {"model": PROJECT}
    assert post(desk, f"v1/{path}", call).status_code == 200
    desk.model.asked.clear()
    stopped = post(desk, "api/v1/llm/stops", {"project": project, "reason": "it insults people."})
    assert (stopped.status_code, stopped.json()["by"]) == (201, USER)
    desk.server.parts.gateway.refresh()
    refused = post(desk, f"v1/{path}", call)
    assert refused.status_code == 403, refused.text
    assert f"stopped by {USER}" in refused.text
    assert "it insults people." in refused.text
    assert not desk.model.asked
    assert post(desk, "api/v1/llm/stops/end", {"project": project, "reason": "mended"}).status_code == 200
    desk.server.parts.gateway.refresh()
    assert post(desk, f"v1/{path}", call).status_code == 200
    seen = [e for e in desk.app.store.audit.list() if e.action in ("llm.stop", "llm.resume", "llm.refused")]
    assert [(e.actor, e.action, e.detail.get("reason")) for e in seen] == [
        (USER, "llm.stop", "it insults people."),
        (USER, "llm.refused", None),
        (USER, "llm.resume", "mended"),
    ]


@pytest.mark.requirement("GRD-12")
def test_a_projects_stop_holds_for_callers_from_elsewhere_and_a_workspaces_for_its_own(desk: Desk) -> None:
    app, project = desk.app, desk.app.store.projects.get(PROJECT)
    permits, at = permits_of(app), app.clock.now()
    there = Stop(id="1", workspace="there", subject="workspace:there", reason="loops", by=USER, at=at)
    app.store.llm_stops.add(there)
    assert permits.of_team("main", project, SMALL) == tuple(SMALL)
    app.store.llm_stops.add(replace(there, id="2", subject=f"project:{PROJECT}"))
    with pytest.raises(Denied, match="loops"):
        permits.of_team("main", project, SMALL)


@pytest.mark.requirement("GRD-12")
def test_an_answer_that_is_under_way_ends_when_calls_are_stopped(desk: Desk) -> None:
    desk.model.script = Answer(text="word " * 400, pause_s=0.01)
    stream = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True)
    pieces = [next(stream) for _ in range(5)]
    stopping.stop(desk.app, desk.app.identities.resolve(USER), None, "wrong prices")
    desk.server.parts.gateway.refresh()
    with pytest.raises(openai.APIError, match="were stopped by"):
        pieces.extend(stream)
    assert len(pieces) < 300, "it ends in the midst of it"
    until(desk.answers)
    assert desk.answers()[0].outputs["finish"] == ["broken off"]
    assert not desk.failures()


def test_a_key_in_the_reason_of_a_stop_is_told_to_nobody(desk: Desk) -> None:
    me, key = desk.app.identities.resolve(USER), "sk-proj-Zq7KJHGqwerty7uiop2Asdf9ghjkLzxcvbnm4"
    made = stopping.stop(desk.app, me, PROJECT, f"{key} has leaked, ask ann@example.org")
    assert made.reason == "<SECRET> has leaked, ask ann@example.org"
    assert stopping.resume(desk.app, me, PROJECT, f"{key} is void").ended_because == "<SECRET> is void"
    assert key not in repr(stopping.stops(desk.app, me))


@pytest.mark.requirement("GRD-12")
def test_another_servers_copy_follows_when_it_looks(desk: Desk) -> None:
    me, project = desk.app.identities.resolve(USER), desk.app.store.projects.get(PROJECT)
    other = permits_of(desk.app)
    assert other.require(me, project, SMALL)
    assert other.find(me, project, SMALL)
    keep_on = other.begin(me, PROJECT)
    keep_on()
    stopping.stop(desk.app, me, PROJECT, "now")
    other.refresh()
    assert other.find(me, project, SMALL) is None
    with pytest.raises(Denied, match="headrace llm resume support"):
        keep_on()


@pytest.mark.requirement("GRD-12")
def test_a_rate_that_is_declared_for_each_caller_and_the_project_holds(desk: Desk) -> None:
    rates = [
        {"per": "principal", "of": "requests", "most": 3, "period": "day"},
        {"per": "project", "of": "requests", "most": 4, "period": "day"},
    ]
    desk.release(PROMPT, llm={"budgets": rates})
    desk.app.identities.add("otto", ["operator"], actor=USER)
    call = {"model": PROJECT, "messages": HELLO}

    async def ask(names: list[str]) -> list[int]:
        async with httpx.AsyncClient(timeout=60) as http:
            asked = (
                http.post(
                    f"{desk.url}/v1/chat/completions",
                    json=call,
                    headers={"authorization": f"Bearer {desk.token(name)}"},
                )
                for name in names
            )
            return sorted(answer.status_code for answer in await asyncio.gather(*asked))

    with asyncio.Runner() as runner:
        assert runner.run(ask([USER] * 8)) == [200] * 3 + [429] * 5
        assert runner.run(ask(["otto"] * 8)) == [200] + [429] * 7
    assert len(desk.model.asked) == 4


def test_a_stop_needs_a_right_a_reason_and_something_to_stop(desk: Desk) -> None:
    me, stranger = (desk.app.identities.resolve(name) for name in (USER, STRANGER))
    with pytest.raises(Denied):
        stopping.stop(desk.app, stranger, PROJECT, "because")
    with pytest.raises(InvalidInput, match="Say why"):
        stopping.stop(desk.app, me, PROJECT, " ")
    with pytest.raises((NotFound, Denied)):
        stopping.stop(desk.app, me, "gone", "because")
    with pytest.raises(NotFound, match="not stopped"):
        stopping.resume(desk.app, me, PROJECT, "because")
    first = stopping.stop(desk.app, me, PROJECT, "because")
    assert stopping.stop(desk.app, me, PROJECT, "again") == first, "it is stopped once"
    stopping.resume(desk.app, me, PROJECT, "fine")
    assert stopping.stop(desk.app, me, PROJECT, "again").id != first.id
    assert [one.state for one in stopping.stops(desk.app, me)] == ["on", "over"]


@pytest.mark.requirement("GOV-07")
@pytest.mark.parametrize(("path", "body"), CALLS)
def test_nobody_calls_a_model_before_they_have_acknowledged_the_policy_in_force(
    desk: Desk, path: str, body: dict[str, Any]
) -> None:
    desk.release(PROMPT.__class__(template="", models=("local/small",), embeddings=("local/small",)))
    call = body | {"model": PROJECT}
    first = publish(desk, TERMS)
    refused = post(desk, f"v1/{path}", call)
    assert refused.status_code == 403, refused.text
    assert f"headrace llm terms acknowledge {first}" in refused.text
    assert not desk.model.asked
    assert post(desk, f"api/v1/llm/terms/{first}/acknowledgement", {}).status_code == 201
    assert post(desk, f"v1/{path}", call).status_code == 200, "at once, also before the next look"

    second = publish(desk, TERMS + "Ask before you publish one.\n")
    desk.model.asked.clear()
    refused = post(desk, f"v1/{path}", call)
    assert (refused.status_code, f"version {second}" in refused.text) == (403, True), "an older one"
    assert not desk.model.asked
    assert post(desk, f"api/v1/llm/terms/{first}/acknowledgement", {}).status_code == 409
    assert post(desk, f"api/v1/llm/terms/{second}/acknowledgement", {}).status_code == 201
    assert post(desk, f"v1/{path}", call).status_code == 200


@pytest.mark.requirement("GOV-07")
def test_for_a_service_its_owner_acknowledges(desk: Desk) -> None:
    app, uma = desk.app, desk.app.identities.resolve(USER)
    until = app.clock.now() + timedelta(days=1)
    app.identities.add(
        "bot", ["operator"], kind="service", owner=USER, purpose="answers", expires_at=until, actor=USER
    )
    version = publish(desk, TERMS)
    call = {"model": PROJECT, "messages": HELLO}
    said = post(desk, "v1/chat/completions", call, by="bot").text
    assert f"'{USER}', who answers for 'bot', has not acknowledged" in said
    with pytest.raises(Denied, match="its owner 'uma' acknowledges"):
        acceptable_use.acknowledge(app, app.identities.resolve("bot"), version)
    acceptable_use.acknowledge(app, uma, version)
    assert post(desk, "v1/chat/completions", call, by="bot").status_code == 200
    assert acceptable_use.acknowledge(app, uma, version) == acceptable_use.acknowledge(app, uma, version)
    entries = [e for e in app.store.audit.list() if e.action == "acceptable_use.acknowledge"]
    assert [(e.actor, e.resource) for e in entries] == [(USER, f"policy:acceptable-use:main@{version}")]


@pytest.mark.requirement("GOV-07")
def test_the_policy_is_published_on_a_page_with_a_button_and_who_has_read_it(desk: Desk) -> None:
    def page(name: str) -> str:
        headers = {"authorization": f"Bearer {desk.token(name)}", "accept": "text/html"}
        return httpx.get(f"{desk.url}/policy/acceptable-use", headers=headers).text

    assert "I have read it" not in page(USER), "none is published"
    version = publish(desk, TERMS)
    assert "Send no passwords." in page(USER)
    assert "I have read it and keep it" in page(USER)
    acceptable_use.acknowledge(desk.app, desk.app.identities.resolve(USER), version)
    assert f"You acknowledged version {version}" in page(USER)
    assert f'title="{USER}"' in page(STRANGER), "an auditor sees who has"
    assert "Who has acknowledged it" not in page("dev")
    assert read(client(desk).chat.completions.create(model=PROJECT, messages=HELLO))


def test_only_what_is_in_force_can_be_acknowledged(desk: Desk) -> None:
    me = desk.app.identities.resolve(USER)
    with pytest.raises(Conflict, match="none is published"):
        acceptable_use.acknowledge(desk.app, me, 1)
    dev = desk.app.identities.add("dev", ["developer"], actor=USER)
    with pytest.raises(InvalidInput, match="in words"):
        ACCEPTABLE_USE.propose(desk.app, dev, " \n")
    assert acceptable_use.mine(desk.app, me).version == 0
