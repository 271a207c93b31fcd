"""Readiness and value of a project, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.app.overviews.stalls import lifecycle_map
from headrace.projects.intake import STAGES
from headrace.testing import make_project, make_release
from headrace.web.server import Server
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.promised import add_promised
from tests.web.seed import VIEWER

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def promised(site: Site) -> Site:
    add_promised(site.app)
    return site


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_readiness_and_value_can_be_read_by_everybody(
    browser: Browser,
    promised: Site,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    tab = visit(browser, promised, listen(promised.server), by=VIEWER, scheme=scheme, size=size)
    for path in ("/projects/promised/readiness", "/projects/flight-delay/readiness", "/portfolio", "/assets"):
        page = tab.open(path)
        assert [path, *page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == [path]


def test_the_portfolio_says_where_each_project_stands_and_what_it_waits_for(
    browser: Browser, promised: Site, listen: Callable[[Server], str]
) -> None:
    app, now = promised.app, promised.app.clock.now()
    app.store.projects.save(make_project(name="slow"), "/nowhere/slow")
    made = make_release(project="slow", created_at=now - timedelta(days=9))
    app.store.releases.add(replace(made, state="waiting"))
    tab = visit(browser, promised, listen(promised.server), by=VIEWER, scheme="light", size=DESK)
    page = tab.open("/portfolio")
    found = lifecycle_map(app, app.me())
    stages = page.get_by_role("region", name="Projects by stage").locator("tbody tr")
    expect(stages).to_have_count(len(STAGES))
    for row, stage in zip(stages.all(), found.stages, strict=True):
        cells = row.locator("th, td").all_inner_texts()
        assert cells[:2] == [stage.stage.capitalize(), str(stage.n_projects or "–")]
    waiting = [one for one in found.projects if one.waits_s is not None]
    rows = page.get_by_role("region", name="Projects that wait").locator("tbody tr")
    expect(rows).to_have_count(len(waiting))
    assert waiting[0].project == "slow", "the longest waiting first"
    expect(rows.first).to_contain_text("stalled")
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("heading", name=waiting[0].project, exact=True)).to_be_visible()


def test_value_is_drawn_beside_what_was_expected(
    browser: Browser, promised: Site, listen: Callable[[Server], str]
) -> None:
    tab = visit(browser, promised, listen(promised.server), by=VIEWER, scheme="light", size=DESK)
    page = tab.open("/projects/promised")
    page.get_by_role("link", name="readiness").click()
    expect(page.get_by_role("heading", name="Value", exact=True)).to_be_visible()
    boxes = [page.locator(f".value polyline.{which}").bounding_box() for which in ("realised", "hypothesis")]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["width"] < 0.5 * boxes[1]["width"], "sixteen weeks of twelve months"
    expect(page.get_by_role("region", name="Value by month").locator("tbody tr")).to_have_count(4)
