"""The screen on which a release is decided about: evaluation, answers and difference, with the digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.core.release import Release
from headrace.releases import delivery
from headrace.web.server import Server
from tests.app.evaluated import PROJECT, released
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.making import VALIDATOR, add_release, add_verdicts
from tests.web.seed import BY_HAND, VIEWER


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def waiting(site: Site) -> Release:
    """A release of cars that answers otherwise than the live one, which has answered 12 times."""
    app, live = site.app, site.app.store.releases.get(site.seeded.cars_live)
    for n in range(12):
        site.post("/api/v1/predict/cars", json={"records": [{"mileage": 1_000.0 * n, "model": "a3"}]})
    at = app.clock.now() - timedelta(minutes=5)
    project = app.store.projects.get("cars")
    made = add_release(app, project, 3, BY_HAND, at=at, loss=1_190.0, parent=live.id, answers_with=1)
    add_verdicts(app, project, made, against=live)
    return delivery.move(app.store, made.id, "gates_passed")


@pytest.mark.requirement("UI-05")
def test_evaluation_answers_and_difference_are_on_one_screen_with_the_digest(
    site: Site, waiting: Release
) -> None:
    page = site.page(f"/releases/{waiting.id}", by=VALIDATOR).text
    assert f"<code>{waiting.digest}</code>" in page
    for section in ("gates", "examples", "difference"):
        assert f'<h2 id="{section}">' in page
        assert f'href="#{section}"' in page
    assert "not worse by more than the margin" in page
    assert "recent answers, asked of both: they differ on 11 of 12" in page
    assert "11,000" in page, "the mileage, which the live one answers with, is furthest from a code"
    assert 'value="approved"' in page
    hidden = site.page(f"/releases/{waiting.id}", by=VIEWER).text
    assert "Where answers differ most" not in hidden, "who may not read the record sees no row of it"


def test_what_cannot_be_asked_again_is_said(site: Site) -> None:
    page = site.page(f"/releases/{site.seeded.waiting}", by=VALIDATOR).text
    assert "both were to be asked the same rows" in page


@pytest.mark.requirement("UI-05")
def test_wrong_answers_of_a_prompt_are_read_before_it_is_decided_about_and_after_a_gate_refused_it(
    site: Site,
) -> None:
    site.app.store.projects.save(PROJECT, "")
    made = released(site.app, lambda label: None if label < "30" else "I do <not> know.", 1)
    page = site.page(f"/releases/{made.id}", by=VALIDATOR).text
    assert '<h2 id="examples">Wrong answers</h2>' in page
    assert "20 of 20 test rows are not answered as their label says" in page
    other = released(site.app, lambda label: label, 2, "refused")
    page = site.page(f"/releases/{other.id}", by=VALIDATOR).text
    assert "All 20 test rows are answered as their label says." in page
    assert "Wrong answers" not in site.page(f"/releases/{other.id}", by=VIEWER).text


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", PHONE)])
def test_the_screen_can_be_read_by_everybody(
    browser: Browser,
    site: Site,
    waiting: Release,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    tab = visit(browser, site, listen(site.server), by=VALIDATOR, scheme=scheme, size=size)
    page = tab.open(f"/releases/{waiting.id}")
    rows = page.locator("section", has=page.locator("#examples")).locator("tbody tr")
    expect(rows).to_have_count(8)
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []
