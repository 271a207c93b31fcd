"""Answering a conversation that an AI has handed over, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from headrace.app.llm import handoffs
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.prompted import PROJECT, USER, Desk
from tests.web.test_handoffs import TALK, asked, person

pytestmark = pytest.mark.browser
HERE = f"/projects/{PROJECT}/handoffs"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


def handed(desk: Desk, **more: Any) -> str:
    uma, answer = desk.app.identities.resolve(USER), desk.answers()[-1].id
    return handoffs.hand_over(desk.app, uma, PROJECT, answer, why="wants a refund", messages=TALK, **more).id


@pytest.mark.requirement("FBK-06")
def test_a_person_takes_one_answers_it_and_puts_the_next_one_back(browser: Browser, desk: Desk) -> None:
    asked(desk)
    person(desk)
    first, second = handed(desk, to="billing"), handed(desk)
    tab = visit(browser, desk, desk.url, by="rita")
    tab.open(f"/projects/{PROJECT}").get_by_role("link", name="hand-offs").click()
    page = tab.page
    expect(page.get_by_role("heading", name="Waits for billing")).to_be_visible()
    expect(page.get_by_text("wants a refund")).to_be_visible()
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST)] == []
    page.get_by_role("button", name="Take it").click()
    expect(page.get_by_role("heading", name="Taken by you")).to_be_visible()
    page.get_by_role("textbox", name="Your answer").fill("You get it within a week.")
    page.get_by_label("the AI says nothing more").check()
    page.get_by_role("button", name="Send it back").click()
    expect(page.get_by_role("heading", name="Answered by rita, not fetched yet")).to_be_visible()
    uma = desk.app.identities.resolve(USER)
    assert handoffs.give_back(desk.app, uma, first).message["content"] == "You get it within a week."
    page = tab.open(f"{HERE}?handoff={second}")
    page.get_by_role("button", name="Take it").click()
    page.get_by_text("Put it back for others").click()
    page.get_by_label("For whom").fill("operator")
    page.get_by_role("button", name="Put it back").click()
    expect(page.get_by_role("heading", name="Waits for operator")).to_be_visible()
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_who_cannot_take_it_reads_why(browser: Browser, desk: Desk, size: Any, scheme: Any) -> None:
    asked(desk)
    person(desk, "dev", "developer")
    person(desk)
    handed(desk, to="billing")
    handed(desk)
    tab = visit(browser, desk, desk.url, by="dev", size=size, scheme=scheme)
    page = tab.open(HERE)
    expect(page.get_by_text("You cannot take it")).to_be_visible()
    expect(page.get_by_role("button", name="Take it")).to_have_count(0)
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []
