"""Traces in a real browser: the list, and one trace step by step."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.app.llm import traces
from headrace.monitoring.otlp import read_batch
from headrace.web.server import Server
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.making import AUTHOR

pytestmark = pytest.mark.browser
PROJECT = "flight-delay"
TRACE = "0af7651916cd43dd8448eb211c80319c"
LONG = "look up every connection of the next three days and " * 4


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


def step(number: int, parent: int | None, name: str, start_ms: int, end_ms: int, **more: Any) -> Any:
    begin = 1_790_000_000_000
    given = {"key": "attributes", **more}
    pairs = [{"key": k, "value": _value(v)} for k, v in given.pop("attributes", {}).items()]
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        **({} if parent is None else {"parentSpanId": f"{parent:016x}"}),
        "name": name,
        "startTimeUnixNano": str((begin + start_ms) * 1_000_000),
        "endTimeUnixNano": str((begin + end_ms) * 1_000_000),
        "attributes": pairs,
        "events": more.get("events", []),
        "status": more.get("status", {}),
    }


def _value(value: Any) -> Any:
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


@pytest.fixture(scope="module")
def traced(site: Site) -> Site:
    """An agent that asked a model and a tool, and a plain step; the tool failed."""
    said = '[{{"role": "{}", "parts": [{{"type": "text", "content": "{}"}}]}}]'
    spans = [
        step(1, None, "answer a passenger", 0, 1840,
             attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "desk",
                         "gen_ai.input.messages": said.format("user", "Will UA 7 be late?")}),
        step(2, 1, "chat small", 12, 640,
             attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "small-2026-01",
                         "gen_ai.input.messages": said.format("user", "Will UA 7 be late?"),
                         "gen_ai.output.messages": said.format("assistant", "I look it up."),
                         "gen_ai.usage.input_tokens": 412, "gen_ai.usage.output_tokens": 37}),
        step(3, 1, LONG, 660, 1500,
             attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "timetable",
                         "gen_ai.tool.call.arguments": '{"flight": "UA 7"}', "error.type": "Timeout"},
             events=[{"name": "exception", "timeUnixNano": "1790000001500000000", "attributes": [
                 {"key": "exception.message", "value": {"stringValue": "no answer in 800 ms"}}]}],
             status={"code": 2}),
        step(4, 3, "GET /timetable", 670, 1490, attributes={"http.request.method": "GET"}),
    ]  # fmt: skip
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "passenger-desk"}}]}
    body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
    me = site.app.identities.resolve(AUTHOR)
    for records in traces.take(site.app, me, read_batch(body.encode(), "json"), PROJECT).values():
        site.app.store.events.append(f"{PROJECT}/spans", records)
    return site


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_traces_can_be_read_by_everybody(
    browser: Browser,
    traced: Site,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    tab = visit(browser, traced, listen(traced.server), by=AUTHOR, scheme=scheme, size=size)
    here = f"/projects/{PROJECT}/traces"
    for path in (here, f"{here}?text=nothing-of-the-kind", f"{here}/{TRACE}", "/projects/cars/traces"):
        page = tab.open(path)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert [path, *page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == [path]


def test_a_failed_step_is_found_and_opened_by_keyboard(
    browser: Browser, traced: Site, listen: Callable[[Server], str]
) -> None:
    tab = visit(browser, traced, listen(traced.server), by=AUTHOR)
    page = tab.open(f"/projects/{PROJECT}")
    page.get_by_role("link", name="traces").click()
    page.get_by_label("Steps that failed").select_option("with")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Will UA 7 be late?").click()
    expect(page.get_by_role("listitem")).to_have_count(4)
    page.locator("summary").nth(2).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("no answer in 800 ms")).to_be_visible()
    expect(page.get_by_text('{"flight":"UA 7"}')).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as OTLP").click()
    sent = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert len(sent["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 4
    assert tab.complaints == []
