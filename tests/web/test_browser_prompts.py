"""Prompts, budgets and guards of a project in a real browser, with the numbers of what was asked before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.app.llm.prompt_versions import prompt_versions
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import aside, listening
from tests.web.guarded import FIRST, ask_guarded
from tests.web.prompted import PROJECT, USER, Desk, prompted

pytestmark = pytest.mark.browser
LONG = "questions-about-parcels-that-never-came-and-of-whom-they-are-na"
EMPTY = "nothing-yet"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two projects that were asked, and one that was not."""
    with listening() as listen, aside(prompted(tmp_path_factory.mktemp("desk"), listen)) as found:
        for project in (PROJECT, LONG):
            ask_guarded(found, project)
        found.release(FIRST, EMPTY)
        yield found


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_everybody_can_read_them(
    browser: Browser, desk: Desk, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    tab = visit(browser, desk, desk.url, by=USER, scheme=scheme, size=size)
    for project in (PROJECT, LONG, EMPTY):
        for place in ("prompts", "budgets", "guards"):
            path = f"/projects/{project}/{place}"
            page = tab.open(path)
            assert [path, *page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == [path]


def test_two_versions_are_compared_line_by_line(browser: Browser, desk: Desk) -> None:
    tab = visit(browser, desk, desk.url, by=USER)
    page = tab.open(f"/projects/{PROJECT}")
    page.get_by_role("link", name="prompts").click()
    versions = [one.version for one in prompt_versions(desk.app, desk.app.me(), PROJECT)]
    assert len(versions) == 3
    expect(page.get_by_role("region", name="Table: Versions").get_by_role("row")).to_have_count(4)
    expect(page.locator("ins")).to_contain_text("Be kind and brief.")
    expect(page.locator("del")).to_contain_text("Be kind.")
    page.get_by_label("From version").select_option(versions[0])
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Be kind and brief.")).to_be_visible()
    expect(page.locator("ins, del")).to_have_count(0)
    page.goto(f"{desk.url}/projects/{PROJECT}/prompts?after=99")
    expect(page.get_by_role("main")).to_contain_text("There is no version '99'")


def test_budgets_show_what_was_spent_and_by_whom(browser: Browser, desk: Desk) -> None:
    tab = visit(browser, desk, desk.url, by=USER)
    desk.server.parts.gateway.budgets.give_back(0.0)
    page = tab.open(f"/projects/{PROJECT}/budgets")
    mine = page.get_by_role("row").filter(has_text=USER)
    expect(mine).to_have_count(1)
    assert mine.get_by_role("cell").all_inner_texts()[2:6] == ["3", "0", "7", "10"]
    expect(mine.get_by_role("img", name="30.0 % spent, 0.0 % reserved")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="5 USD")).to_have_count(1)
    page = tab.open(f"/projects/{EMPTY}/budgets")
    expect(page.get_by_text("No budget is declared")).to_be_visible()


def test_guards_show_rules_and_counts_and_no_text(browser: Browser, desk: Desk) -> None:
    tab = visit(browser, desk, desk.url, by=USER)
    page = tab.open(f"/projects/{PROJECT}/guards")
    expect(page.get_by_label("At a glance")).to_contain_text("25\u00a0%")
    rules = page.get_by_role("region", name="Table: By rule")
    expect(rules.get_by_role("row").filter(has_text="personal.email")).to_contain_text("masked")
    expect(rules.get_by_role("row").filter(has_text="injection.leak")).to_contain_text("blocked")
    assert not [word for word in ("bob@", "Ignore", "return it") if word in page.content()]
    page = tab.open(f"/projects/{EMPTY}/guards")
    expect(page.get_by_text("Nobody has asked in these days")).to_be_visible()
    assert tab.complaints == []


def test_on_a_telephone_no_table_is_cut_off_at_its_right(browser: Browser, desk: Desk) -> None:
    tab = visit(browser, desk, desk.url, by=USER, size=PHONE)
    cut = "all => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel)"
    own = [f"/projects/{PROJECT}/{place}" for place in ("prompts", "guards", "readiness")]
    for place in (*own, "/assets", "/portfolio"):
        page = tab.open(place)
        expect(page.locator("table").first).to_be_attached()
        assert (place, page.locator(".scroll").evaluate_all(cut)) == (place, [])
