"""The pages in a real browser, read only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from headrace.web.server import Server
from tests.web.browsing import CONTRAST, PHONE, Visit, chrome, visit
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import VIEWER

pytestmark = pytest.mark.browser
PLOTS = '[data-plot="performance"] svg.main-svg >> nth=0', '[data-plot="drift"] svg.main-svg >> nth=0'


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture
def url(site: Site, listen: Callable[[Server], str]) -> str:
    return listen(site.server)


def test_a_ticket_signs_in_and_the_overview_leads_to_a_project(
    browser: Browser, site: Site, url: str
) -> None:
    tab = visit(browser, site, url, by=VIEWER)
    expect(tab.page.get_by_role("heading", name="Overview")).to_be_visible()
    tab.page.get_by_role("link", name="flight-delay", exact=True).click()
    tab.page.wait_for_url("**/projects/flight-delay")
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("flight-delay")
    tab.page.get_by_role("button", name="Sign out").click()
    expect(tab.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert tab.complaints == []


@pytest.mark.requirement("UI-01")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_project_page_draws_its_plots_from_our_own_files_only(
    browser: Browser, site: Site, url: str, scheme: str
) -> None:
    tab = visit(browser, site, url, by=AUTHOR, scheme="dark" if scheme == "dark" else "light")
    page = tab.open("/projects/flight-delay")
    for plot in PLOTS:
        expect(page.locator(plot)).to_be_visible()
    assert page.locator('[data-plot="performance"] .scatterlayer .trace').count() >= 4
    box = page.locator('[data-plot="performance"]').bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 150)
    expect(page.locator(".hoverlayer text").first).to_contain_text("flight-delay@")
    assert tab.complaints == []


def test_plots_follow_the_colour_scheme(browser: Browser, site: Site, url: str) -> None:
    tab = visit(browser, site, url, by=VIEWER)
    page = tab.open("/projects/flight-delay")
    line = page.locator('[data-plot="performance"] .scatterlayer .trace path.js-line').last
    expect(line).to_be_visible()
    before = line.get_attribute("style")
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(14, 20, 24)")
    page.wait_for_function(
        "(before) => [...document.querySelectorAll('[data-plot=performance] path.js-line')].at(-1)"
        ".getAttribute('style') !== before",
        arg=before,
    )
    assert tab.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["/", "/projects/flight-delay", "/projects/cars", "release", "/security", "/security/prove"]
)
def test_text_is_readable_in_both_schemes(
    browser: Browser, site: Site, url: str, path: str, scheme: str
) -> None:
    tab = visit(browser, site, url, by=VALIDATOR, scheme="dark" if scheme == "dark" else "light")
    page = tab.open(f"/releases/{site.seeded.waiting}" if path == "release" else path)
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("path", ["/", "/projects/flight-delay", "release", "/signin", "/security"])
def test_a_phone_scrolls_tables_not_the_page(browser: Browser, site: Site, url: str, path: str) -> None:
    tab = visit(browser, site, url, by=VALIDATOR, size=PHONE)
    page = tab.open(f"/releases/{site.seeded.waiting}" if path == "release" else path)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.complaints == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    browser: Browser, site: Site, url: str
) -> None:
    tab = visit(browser, site, url, by=VALIDATOR)
    page = tab.open(f"/releases/{site.seeded.waiting}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "() => { const s = getComputedStyle(document.activeElement);"
            " return [document.activeElement.textContent.trim(), s.outlineStyle, s.outlineWidth]; }"
        )
        assert style[1:] == ["solid", "2px"], style
        reached.append(style[0])
        if style[0] == "Reject":
            break
    assert {"Headrace", "Overview", "Sign out", "Approve", "Reject"} <= set(reached)


def test_a_page_follows_what_happens_without_being_asked(browser: Browser, site: Site, url: str) -> None:
    tab = visit(browser, site, url, by=AUTHOR)
    tab.page.clock.install()
    page = tab.open("/projects/cars")
    answers = page.locator(".tile", has_text="Answers").locator(".big")
    expect(answers).to_have_text("0")
    with page.expect_response("**/projects/cars"):  # what later answers are compared with
        page.clock.run_for(5_000)
    body = {"records": [{"mileage": 1.0, "model": "a3"}]}
    assert site.post("/api/v1/predict/cars", json=body).status_code == 200
    with page.expect_response("**/projects/cars"):
        page.clock.run_for(5_000)
    expect(answers).to_have_text("1")
    assert tab.complaints == []


def test_the_author_finds_no_way_to_approve(browser: Browser, site: Site, url: str) -> None:
    tab: Visit = visit(browser, site, url, by=AUTHOR)
    page = tab.open(f"/releases/{site.seeded.waiting}")
    expect(page.get_by_text("somebody else has to decide")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    status = page.evaluate(
        "async (path) => (await fetch(path, {method: 'POST', body: new URLSearchParams("
        "{decision: 'approved', comment: 'mine'})})).status",
        f"/releases/{site.seeded.waiting}/decision",
    )
    assert status == 403
    assert site.app.store.releases.get(site.seeded.waiting).state == "waiting"
