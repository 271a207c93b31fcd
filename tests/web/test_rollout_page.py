"""The page of a rollout: its course as it was looked at, and the same numbers to take away."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.web.server import Server
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.making import AUTHOR
from tests.web.rolling import rolled
from tests.web.seed import VIEWER


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def canary(site: Site) -> str:
    return rolled(site.app, site.seeded.canary)


def _embedded(page: str, plot: str) -> Any:
    found = re.search(rf'<script type="application/json" data-for="{plot}">(.*?)</script>', page)
    assert found is not None
    return json.loads(found.group(1))


def test_the_numbers_of_the_plots_can_be_taken_away(site: Site, canary: str) -> None:
    page = site.page(f"/releases/{canary}/rollout", by=VIEWER).text
    shares, sequence = _embedded(page, "shares"), _embedded(page, "sequence")
    assert shares["share"] == [10, 50, 50]
    assert len(sequence["at"]) == 116, "nothing is said before 50 rows"
    assert [mark["name"] for mark in sequence["marks"]] == ["10 %", "50 %"]
    assert sequence["confidence"] == pytest.approx(1 - 0.05 * 0.8)
    answer = site.get(f"/releases/{canary}/looks.csv", by=VIEWER)
    assert answer.headers["content-disposition"] == 'attachment; filename="cars-looks.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 120
    told = [float(row["low"]) for row in rows if row["low"]]
    assert told == sequence["low"]
    assert site.get(f"/releases/{canary}/looks.json", by=VIEWER).json()["rows"][-1]["look"] == 120


def test_the_newest_look_says_what_else_is_compared(site: Site, canary: str) -> None:
    page = site.page(f"/releases/{canary}/rollout", by=VIEWER).text
    for text in ("longer than 20 ms", "2 of 600", "13 of 5,400", "to 80.25", "too few to tell"):
        assert text in page
    assert f'href="/releases/{canary}/rollout"' in site.page(f"/releases/{canary}", by=VIEWER).text


def test_it_says_what_the_step_waits_for_and_until_when(site: Site, canary: str) -> None:
    page = site.page(f"/releases/{canary}/rollout", by=VIEWER).text
    assert "What it waits for" in page
    assert re.search(r"answers at \d+ % of the traffic</dt><dd>\d+ of 50</dd>", page)
    assert "else taken back" in page
    assert "awaited" not in site.page(f"/releases/{site.seeded.aborted}/rollout", by=VIEWER).text


def test_a_rollout_without_looks_on_record_says_so(site: Site) -> None:
    page = site.page(f"/releases/{site.seeded.aborted}/rollout", by=VIEWER).text
    assert "No look at it is on record." in page
    assert _embedded(page, "shares")["share"][-1] == 0, "it was aborted"
    assert site.page(f"/releases/{site.seeded.waiting}/rollout", by=VIEWER).status_code == 404
    assert site.page("/releases/nothing/rollout", by=VIEWER).status_code == 404


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", DESK), ("dark", PHONE)])
def test_both_plots_are_drawn(
    browser: Browser,
    site: Site,
    canary: str,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    tab = visit(browser, site, listen(site.server), by=AUTHOR, scheme=scheme, size=size)
    page = tab.open(f"/releases/{canary}/rollout")
    for plot, lines in (("shares", 1), ("sequence", 3)):
        drawn = page.locator(f'[data-plot="{plot}"]')
        expect(drawn.locator(".scatterlayer .trace")).to_have_count(lines)
        assert (drawn.bounding_box() or {"width": 0})["width"] <= size[0]
    expect(page.locator('[data-plot="sequence"] .annotation-text')).to_have_text(["10 %", "50 %"])
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []
