"""Deciding on drafts in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, client

pytestmark = pytest.mark.browser
HERE = f"/projects/{PROJECT}/drafts"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


def held(desk: Desk) -> str:
    return str(client(desk).chat.completions.create(model=PROJECT, messages=HELLO).id)


@pytest.mark.requirement("FBK-07")
def test_a_reviewer_edits_one_draft_and_rejects_the_next(browser: Browser, desk: Desk) -> None:
    desk.release(PROMPT, llm={"oversight": {"faces": "customers", "decides": "business"}})
    desk.app.identities.add("rita", ["validator"], actor=desk.app.me().name)
    first, second = held(desk), held(desk)
    tab = visit(browser, desk, desk.url, by="rita")
    page = tab.open(HERE)
    expect(page.get_by_role("heading", name="Waits for you")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text="May I return it?")).to_be_visible()
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST)] == []
    page.get_by_label("send your own text instead").check()
    page.get_by_label("Your text, if you edit it").fill("Within fourteen days.")
    page.get_by_role("button", name="Decide").click()
    answer: Any = client(desk).chat.completions.retrieve(first)
    assert answer.choices[0].message.content == "Within fourteen days."
    page.get_by_role("radio", name="reject it").check()
    page.get_by_role("textbox", name="Why").fill("It is not ours to promise.")
    page.get_by_role("button", name="Decide").click()
    expect(page.get_by_role("heading", name="Nothing waits")).to_be_visible()
    expect(page.get_by_role("region", name="Table: Decided")).to_contain_text("rejected")
    decided = page.get_by_role("region", name="Table: Decided").get_by_role("link", name="May I return it?")
    expect(decided).to_have_count(2)
    assert desk.app.store.drafts.get(second).state == "rejected"
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_who_cannot_decide_reads_why(browser: Browser, desk: Desk, size: Any, scheme: Any) -> None:
    desk.release(PROMPT, llm={"oversight": {"faces": "customers"}})
    desk.app.identities.add("dev", ["developer"], actor=desk.app.me().name)
    held(desk)
    held(desk)
    tab = visit(browser, desk, desk.url, by="dev", size=size, scheme=scheme)
    page = tab.open(HERE)
    expect(page.get_by_text("You cannot decide on it")).to_be_visible()
    expect(page.get_by_role("button", name="Decide")).to_have_count(0)
    waiting = page.get_by_role("region", name="Table: Waiting")
    expect(waiting.get_by_role("link", name="May I return it?")).to_be_visible()
    expect(waiting).to_contain_text(USER)
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []
