"""A periodic review in a real browser: what was found, what still stands, and the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.app.overviews import reviews
from headrace.core.project import ReviewSpec
from headrace.testing.factories import make_finding, make_measurement
from headrace.web.server import Server
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.making import VALIDATOR

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def due(site: Site) -> Site:
    """A shift that a review has seen and that goes on, and a finding since."""
    app, live = site.app, site.seeded.live
    store, now = app.store, app.clock.now()
    project = replace(store.projects.get("flight-delay"), review=ReviewSpec(every_days=30))
    store.projects.save(project, store.projects.path("flight-delay"))
    of_it = {"project": "flight-delay", "release_id": live, "window": (now - timedelta(days=7), now)}
    store.findings.add(
        make_finding(
            **of_it, kind="data_drift", feature="distance", title="input 'distance' is larger", at=now
        )
    )
    grace = app.identities.resolve(VALIDATOR)
    reviews.record(app, grace, live, outcome="fit", looked_at="the distance has grown, the loss has not")
    later = (now, now + timedelta(days=7))
    measured = make_measurement(
        **of_it | {"window": later}, name="shift", feature="distance", value=0.4,
        detail={"kind": "data_drift", "course": "abrupt"},
    )  # fmt: skip
    store.evidence.measure([measured])
    after = app.clock.now() + timedelta(seconds=1)
    store.findings.add(make_finding(**of_it, kind="bias", title="'late' was predicted too often", at=after))
    return site


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)]
)
def test_what_a_review_looks_at_can_be_read_by_everybody(
    browser: Browser,
    due: Site,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    tab = visit(browser, due, listen(due.server), by=VALIDATOR, scheme=scheme, size=size)
    page = tab.open("/projects/flight-delay")
    card = page.locator("section", has=page.locator("#review"))
    card.locator("summary").press("Enter")
    seen = card.locator("details li")
    expect(seen).to_have_count(2)
    expect(seen.filter(has_text="distance")).to_contain_text("still so")
    expect(seen.filter(has_text="late")).not_to_contain_text("still so")
    assert [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == []
