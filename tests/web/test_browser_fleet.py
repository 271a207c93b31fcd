"""The overview of more models than a page holds, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.core.project import Owner
from headrace.testing.factories import make_project
from headrace.web.server import Server
from tests.app.fleet import LONG, add_alert, add_model, add_models
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.seed import VIEWER

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def fleet(site: Site) -> Site:
    """A hundred models, and one with everything as long as it may be."""
    add_models(site.app, 100)
    owner = Owner(
        name="The Office of Automated Decisions of the Northern Regions " * 2, contact="https://x.example"
    )
    project = replace(make_project(name=LONG), owner=owner, tags=("a-tag-that-is-long-too",) * 3)
    live = add_model(site.app, project, site.app.clock.now())
    add_alert(
        site.app, LONG, live, "concept_drift", title="what the inputs say of the answer is another " * 5
    )
    return site


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_the_fleet_can_be_read_by_everybody(
    browser: Browser,
    fleet: Site,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    tab = visit(browser, fleet, listen(fleet.server), by=VIEWER, scheme=scheme, size=size)
    for path in ("/", "/?page=3", "/?words=northern&state=act", "/?words=nothing-of-the-kind"):
        page = tab.open(path)
        assert [path, *page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == [path]


def test_who_needs_somebody_is_found_with_the_keyboard_alone(
    browser: Browser, fleet: Site, listen: Callable[[Server], str]
) -> None:
    tab = visit(browser, fleet, listen(fleet.server), by=VIEWER)
    page = tab.open("/")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(50)
    expect(page.locator(".counts")).to_contain_text("3 need someone")
    expect(rows.nth(0)).to_contain_text("needs someone")
    page.get_by_role("link", name="3 need someone").press("Enter")
    expect(page).to_have_url(f"{tab.url}/?state=act")
    expect(rows).to_have_count(3)
    page.get_by_label("Name, owner").fill("bo li")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{tab.url}/?state=act&words=bo+li")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("model-000")
    page.get_by_role("link", name="All", exact=True).press("Enter")
    page.get_by_role("link", name="Next").press("Enter")
    expect(page).to_have_url(f"{tab.url}/?page=2")
    expect(page.get_by_text("Page 2 of 3")).to_be_visible()
    page.get_by_role("link", name="risk", exact=True).first.press("Enter")
    expect(page).to_have_url(f"{tab.url}/?words=risk")
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").press("Enter")
    assert taken.value.suggested_filename == "fleet.csv"
    assert tab.complaints == []


def test_the_address_says_it_all_without_a_script(
    browser: Browser, fleet: Site, listen: Callable[[Server], str]
) -> None:
    tab = visit(browser, fleet, listen(fleet.server), by=VIEWER)
    context = browser.new_context(java_script_enabled=False, storage_state=tab.page.context.storage_state())
    page = context.new_page()
    page.goto(f"{tab.url}/?words=pricing")
    expect(page.locator("tbody tr")).to_have_count(34)
    page.get_by_label("Name, owner").fill("degraded")
    page.get_by_role("button", name="Show").click()
    expect(page).to_have_url(f"{tab.url}/?words=degraded")
