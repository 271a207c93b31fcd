"""The pages in a real browser, read only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from headrace.web.server import Server
from tests.web.browsing import PHONE, Visit, chrome, visit
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import VIEWER

pytestmark = pytest.mark.browser
PLOTS = '[data-plot="performance"] svg.main-svg >> nth=0', '[data-plot="drift"] svg.main-svg >> nth=0'
CONTRAST = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(rgb(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const light = (colour) => {
    const part = colour.slice(0, 3).map((value) => {
      const v = value / 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
  };
  const poor = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || node.closest("script, style, svg") || !node.offsetParent) continue;
    const below = ground(node), top = over(rgb(getComputedStyle(node).color), below);
    const [a, b] = [light(top), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""


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
