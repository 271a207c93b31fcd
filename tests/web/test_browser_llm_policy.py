"""What language models may be used for, the kill switch and the acceptable use of AI, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from headrace.app.llm import stopping
from headrace.app.llm.acceptable_use import ACCEPTABLE_USE
from headrace.gateway.llm.endpoints import FILE
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import aside, listening
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, client, prompted

pytestmark = pytest.mark.browser
ADMIN, OTHER = "ada-of-the-department-of-answers-to-questions-of-all-kinds-no-1", "bo"
LONG = "a-purpose-that-nobody-would-ever-write-down-but-somebody-will-1"
TEXT = "Use of AI\n\n1. Put nothing about a customer into a prompt. " + "Nor about a colleague. " * 20 + "\n"
SIDEWAYS = """() => [...document.querySelectorAll(".scroll")]
    .filter((node) => node.scrollWidth > node.clientWidth + 1).map((node) => node.ariaLabel)"""
"""Tables of which a part is out of sight."""


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A home with an administrator and somebody else, both for texts and for calls."""
    with listening() as listen, aside(prompted(tmp_path / "home", listen)) as found:
        for name in (ADMIN, OTHER):
            found.app.identities.add(name, ["admin", "operator", "validator"], actor=USER)
        yield found


def seen(page: Page) -> list[str]:
    return [*page.evaluate(FAULTS), *page.evaluate(CONTRAST)]


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_everybody_can_read_them_empty_and_full(
    browser: Browser, desk: Desk, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    app = desk.app
    tab = visit(browser, desk, desk.url, by=ADMIN, scheme=scheme, size=size)
    for place in ("/policy/llm", "/policy/acceptable-use", f"/projects/{PROJECT}/drafts"):
        page = tab.open(place)
        assert [place, *seen(page), *page.evaluate(SIDEWAYS), *tab.complaints] == [place]
    ada, bo = app.identities.resolve(ADMIN), app.identities.resolve(OTHER)
    stopping.stop(app, ada, PROJECT, "It answers with another customer's data. " * 4)
    version = ACCEPTABLE_USE.propose(app, ada, TEXT, "Agreed with the works council. " * 4).version
    ACCEPTABLE_USE.decide(app, bo, version, "approved", "")
    providers = json.loads((app.settings.home / FILE).read_text())
    providers["providers"]["local"] |= {"owner": LONG, "contact": f"{LONG}@example.org", "remediation": LONG}
    (app.settings.home / FILE).write_text(json.dumps(providers))
    for place in ("/policy/llm", "/policy/acceptable-use"):
        page = tab.open(place)
        assert [place, *seen(page), *tab.complaints] == [place]
        if place == "/policy/llm":
            expect(page.get_by_role("main")).to_contain_text(LONG)


def test_calls_are_stopped_and_resumed_by_keyboard(browser: Browser, desk: Desk) -> None:
    tab = visit(browser, desk, desk.url, by=ADMIN)
    page = tab.open("/policy/llm")
    page.get_by_label("What", exact=True).focus()
    page.keyboard.type(PROJECT)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "reason"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.type("It says what it should not.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Calls are stopped")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("It says what it should not.")
    page.get_by_label("What", exact=True).select_option(PROJECT)
    page.get_by_label("Why: whoever is refused reads it").fill("It is mended.")
    page.get_by_role("button", name="Resume calls").click()
    expect(page.get_by_role("heading", name="Kill switch")).to_be_visible()
    assert tab.complaints == []


def test_a_published_text_is_acknowledged_once(browser: Browser, desk: Desk) -> None:
    app = desk.app
    ada, bo = app.identities.resolve(ADMIN), app.identities.resolve(OTHER)
    version = ACCEPTABLE_USE.propose(app, ada, TEXT, "").version
    ACCEPTABLE_USE.decide(app, bo, version, "approved", "")
    tab = visit(browser, desk, desk.url, by=ADMIN)
    page = tab.open("/policy/acceptable-use")
    page.get_by_role("button", name="I have read it and keep it").click()
    expect(page.get_by_role("region", name="Your acknowledgement")).to_contain_text(
        "You acknowledged version 1"
    )
    expect(page.get_by_role("region", name="Table: Who has acknowledged it")).to_contain_text(ADMIN[:20])
    assert tab.complaints == []


@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", PHONE)])
def test_where_an_answer_comes_from_stands_in_columns(
    browser: Browser, desk: Desk, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    desk.release(PROMPT)
    raw = client(desk).chat.completions.with_raw_response.create(model=PROJECT, messages=HELLO)
    trace = raw.headers["headrace-answer"].replace("-", "")
    tab = visit(browser, desk, desk.url, by=ADMIN, scheme=scheme, size=size)
    page = tab.open(f"/projects/{PROJECT}/traces/{trace}")
    chain = page.locator(".facts.chain")
    expect(chain).to_contain_text("May I return it?")
    assert [*seen(page), *tab.complaints] == []
    lefts = chain.locator("dd").evaluate_all(
        "nodes => nodes.map((node) => node.getBoundingClientRect().left)"
    )
    assert len({round(left) for left in lefts}) == 1, "values stand below one another"
