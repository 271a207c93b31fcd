"""Readiness and value of a project, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

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
    for path in ("/projects/promised/readiness", "/projects/flight-delay/readiness", "/portfolio"):
        page = tab.open(path)
        assert [path, *page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == [path]


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
