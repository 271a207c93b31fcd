"""Judging answers in a real browser, by keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, expect

from headrace.app.labels import labelling
from headrace.app.labels.opinions import Said, say_of
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.prompted import HELLO, PROJECT, PROMPT, Desk, client

pytestmark = pytest.mark.browser
HERE = f"/projects/{PROJECT}/labelling"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


def poor(desk: Desk, n: int) -> None:
    """So many answers that their readers call poor."""
    for number in range(n):
        raw = client(desk).chat.completions.with_raw_response.create(model=PROJECT, messages=HELLO)
        said = Said(thumbs="down", comment=f"It is fourteen days, not thirty ({number}).")
        say_of(desk.app, desk.app.me(), PROJECT, raw.headers["headrace-answer"], said)


@pytest.mark.requirement("EVA-03")
def test_an_answer_is_judged_by_keyboard_alone(browser: Browser, desk: Desk) -> None:
    poor(desk, 2)
    me = desk.app.me()
    tab = visit(browser, desk, desk.url, by=me.name)
    page = tab.open(HERE)
    expect(page.get_by_label("good")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("bad")).to_be_checked()
    page.keyboard.press("Tab")
    expect(page.get_by_label("wrong")).to_be_focused()
    page.keyboard.press("Space")
    page.get_by_label("What it should have been").focus()
    page.keyboard.type("Within fourteen days.")
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Table: Judged")).to_contain_text("wrong")
    (label,) = labelling.labels(desk.app, me, PROJECT)
    assert (label.by, label.verdict, label.categories) == (me.name, "bad", ("wrong",))
    assert label.correction == "Within fourteen days."
    page.get_by_label("good").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    assert tab.complaints == []


@pytest.mark.requirement("FBK-05")
@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_everybody_can_read_it(
    browser: Browser, desk: Desk, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    tab = visit(browser, desk, desk.url, by=desk.app.me().name, scheme=scheme, size=size)
    page = tab.open(HERE)
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == [], "nothing waits"
    poor(desk, 3)
    released = desk.release(PROMPT)
    poor(desk, 1)
    page = tab.open(HERE)
    changes = page.get_by_role("region", name="Rates by release")
    expect(changes.get_by_role("row").filter(has_text=released[:13]).first).to_contain_text("unsure")
    shown = httpx.get(
        f"{desk.url}/api/v1/projects/{PROJECT}/feedback/impact",
        headers={"Authorization": f"Bearer {desk.token(desk.app.me().name)}"},
    ).json()
    assert shown["changes"][-1]["after"] == released
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []
