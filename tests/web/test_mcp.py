"""Live models as tools of agents, asked by the official client over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from headrace.access.policy import DEFAULT
from headrace.app.composition import App, open_app
from headrace.app.governance.policies import POLICY
from headrace.app.workflows import Workflows, launch
from headrace.core.release import Route
from headrace.store.records import decode_prediction
from headrace.testing import make_settings
from headrace.web.server import Server, build_server
from tests.web.conftest import aside, give_up
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import seed

AGENT, TOOL, OTHER = "scout", "predict_cars", "predict_flight-delay"
CAR = {"mileage": 15_735.0, "model": "a3"}
GOVERNED = f"""{DEFAULT}
// example: allow agent scout () tool.call tool:{TOOL} tools={TOOL} argument.model=a3
// example: deny agent scout () tool.call tool:{TOOL} tools={TOOL} argument.model=q7
@id("scout-asks-cars")
permit (principal == Agent::"{AGENT}", action == Action::"tool.call", resource == Tool::"{TOOL}")
when {{ context.arguments has model && context.arguments.model != "q7" }};
@id("scout-predicts")
permit (principal == Agent::"{AGENT}", action == Action::"predict", resource);
@id("developers-call")
permit (principal in Role::"developer", action == Action::"tool.call", resource);
"""
MODES = ("auto", "legacy")


@dataclass(frozen=True, kw_only=True)
class Door:
    """A server with two live models, and an agent that may ask one of them."""

    app: App
    server: Server
    url: str

    def token(self, name: str = AGENT, *tools: str) -> str:
        principal = self.app.identities.resolve(name)
        if principal.kind == "agent":
            return self.app.tokens.issue(principal, run="r-1", tools=tools or (TOOL, OTHER))
        return self.app.tokens.issue(principal)

    def ask(
        self, use: Callable[[Client], Awaitable[Any]], *, token: str | None = None, mode: str = "auto"
    ) -> Any:
        async def asking() -> Any:
            async with self.client(token or self.token(), mode) as client:
                return await use(client)

        return asyncio.run(asking())

    @asynccontextmanager
    async def client(self, token: str, mode: str = "auto") -> AsyncIterator[Client]:
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = streamable_http_client(f"{self.url}/mcp/models", http_client=http)
            async with Client(transport, mode=mode) as client:
                yield client

    def call(self, arguments: dict[str, Any], tool: str = TOOL, **how: Any) -> Any:
        return self.ask(lambda client: client.call_tool(tool, arguments), **how)

    def listed(self, **how: Any) -> dict[str, Any]:
        found = self.ask(lambda client: client.list_tools(), **how)
        return {tool.name: tool for tool in found.tools}

    def records(self) -> list[Any]:
        events = self.app.store.events
        return [
            decode_prediction(record)
            for segment in events.segments("cars/predictions")
            for record in events.read("cars/predictions", segment.name, 0, 10_000)[0]
        ]


@contextmanager
def _home(folder: Path) -> Iterator[tuple[App, Workflows]]:
    with open_app(make_settings(folder)) as app, launch(app, role="server") as work:
        seed(app)
        project = app.store.projects.get("cars")
        named = replace(project, data=replace(project.data, unit="GBP"))
        app.store.projects.save(named, "/nowhere/cars")
        made = POLICY.propose(app, app.identities.resolve(AUTHOR), GOVERNED, "an agent asks the model")
        POLICY.decide(app, app.identities.resolve(VALIDATOR), made.version, "approved", "")
        purpose = "prices cars for the night shift"
        app.identities.add(AGENT, ["viewer"], actor=AUTHOR, kind="agent", owner=AUTHOR, purpose=purpose)
        try:
            yield app, work
        finally:
            give_up(work)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[App, Workflows]]:
    with aside(_home(tmp_path_factory.mktemp("mcp"))) as opened:
        yield opened


@pytest.fixture
def door(home: tuple[App, Workflows], listen: Callable[..., str]) -> Iterator[Door]:
    app, work = home
    server = build_server(app, work)
    server.parts.routes.refresh()
    yield Door(app=app, server=server, url=listen(server, http=server.protocol))
    server._close()


@pytest.mark.requirement("MCP-11")
@pytest.mark.parametrize("mode", MODES)
def test_an_agent_is_told_what_the_model_predicts_in_which_unit_and_who_answers_for_it(
    door: Door, mode: str
) -> None:
    tool = door.listed(mode=mode)[TOOL]
    project = door.app.store.projects.get("cars")
    for text in (
        f"Predicts the number '{project.data.target}', in GBP.", project.owner.name, project.owner.contact,
        project.value.hypothesis.rstrip("."), f"Risk: {project.risk}", "on record under your name",
    ):  # fmt: skip
        assert text in tool.description
    assert set(tool.input_schema["properties"]) == set(CAR)
    assert tool.input_schema["required"] == list(CAR)
    assert tool.input_schema["properties"]["mileage"]["type"] == ["number", "null"]
    assert tool.input_schema["additionalProperties"] is False
    assert "a3" in tool.input_schema["properties"]["model"]["description"]
    assert tool.annotations.read_only_hint is True


@pytest.mark.requirement("MCP-11")
@pytest.mark.parametrize("mode", MODES)
def test_the_agent_gets_the_agreed_answer_and_it_is_on_record_under_its_name(door: Door, mode: str) -> None:
    result = door.call(CAR, mode=mode)
    assert not result.is_error, result
    answer = result.structured_content
    (record,) = [one for one in door.records() if one.id == answer["id"]]
    assert (record.principal, record.columns) == (AGENT, {name: [value] for name, value in CAR.items()})
    assert record.release_id == answer["release"]
    assert answer["predictions"] == [{"predict": record.outputs["predict"][0]}]
    headers = {"authorization": f"Bearer {door.app.tokens.issue(door.app.identities.resolve(AUTHOR))}"}
    body = {"record": CAR, "version": answer["version"]}
    same = httpx.post(f"{door.url}/api/v1/predict/cars", json=body, headers=headers).json()
    assert same["predictions"] == answer["predictions"]


@pytest.mark.requirement("MCP-11")
def test_what_the_policy_does_not_permit_is_neither_listed_nor_answered(door: Door) -> None:
    bound = door.token(AGENT, TOOL)
    assert set(door.listed(token=bound)) == {TOOL}
    n_records = len(door.records())
    for tool, arguments, said in (
        (TOOL, CAR | {"model": "q7"}, "may not tool.call on tool:predict_cars"),
        (OTHER, {}, "bound to other tools"),
    ):
        refused = door.call(arguments, tool, token=bound)
        assert refused.is_error
        assert said in refused.content[0].text
    assert len(door.records()) == n_records
    denied = door.app.store.audit.search("access.denied")[0]
    assert (denied.actor, denied.resource) == (AGENT, f"tool:{OTHER}")
    assert door.listed(token=door.token("vera")) == {}, "a viewer may not predict"
    assert set(door.listed(token=door.token(AUTHOR))) >= {TOOL}


@pytest.mark.requirement("MCP-11")
def test_errors_are_said_in_words_that_an_agent_can_act_on(door: Door) -> None:
    for arguments, said in (
        ({"mileage": "far", "model": "a3"}, "mileage"),
        ({"model": "a3"}, "mileage"),
        (CAR | {"colour": "red"}, "colour"),
        ({"mileage": [1.0, 2.0], "model": "a3"}, "one row per call"),
    ):
        refused = door.call(arguments)
        assert refused.is_error, arguments
        assert said in refused.content[0].text
        assert "Traceback" not in refused.content[0].text
    unknown = door.call(CAR, "predict_boats", token=door.token(AUTHOR))
    assert unknown.is_error
    assert "No release of 'boats' is live" in unknown.content[0].text


@pytest.mark.requirement("MCP-11")
def test_tools_change_when_routes_do_and_whoever_listens_is_told(door: Door) -> None:
    rollouts, routes = door.app.store.rollouts, door.server.parts.routes
    before = rollouts.route("cars")
    assert before is not None

    async def listening() -> tuple[str, str]:
        async with door.client(door.token()) as client:
            old = (await client.list_tools()).tools[0].description
            async with client.listen(tools_list_changed=True) as events:
                changed = Route(project="cars", live=before.canary or "", revision=before.revision + 1)
                await asyncio.to_thread(rollouts.set_route, changed)
                await asyncio.to_thread(routes.refresh)
                await asyncio.wait_for(anext(aiter(events)), 20)
            return old or "", (await client.list_tools()).tools[0].description or ""

    old, new = asyncio.run(listening())
    assert ("version 1" in old, "version 2" in new) == (True, True)
    rollouts.set_route(replace(before, revision=before.revision + 2))
    routes.refresh()


def test_without_a_token_nothing_is_said_and_no_other_method_is_answered(door: Door) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accepts = {"accept": "application/json, text/event-stream"}
    assert httpx.post(f"{door.url}/mcp/models", json=body, headers=accepts).status_code == 401
    headers = accepts | {"authorization": f"Bearer {door.token()}"}
    refused = httpx.get(f"{door.url}/mcp/models", headers=headers)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert httpx.post(f"{door.url}/mcp/others", json=body, headers=headers).status_code == 404
    large = httpx.post(f"{door.url}/mcp/models", content=b" " * (2 << 20), headers=headers)
    assert large.status_code == 413
    broken = httpx.post(
        f"{door.url}/mcp/models", content=b"{", headers=headers | {"content-type": "application/json"}
    )
    assert broken.status_code == 400
