"""Every page there is in a real browser, by what a program can see of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.app.alerting import cases
from headrace.app.composition import App
from headrace.app.overviews import periods
from headrace.core.identity import ROLES, Principal
from headrace.web.server import Server
from tests.web.alarmed import alarm
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.governed import LONG, Governed, govern
from tests.web.making import AUTHOR
from tests.web.rolling import rolled
from tests.web.watched import brought

pytestmark = pytest.mark.browser
EXPLAINED = "/policy/explain?principal=grace&action=release.approve&resource=project:cars"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.fixture(scope="module")
def governed(site: Site) -> Governed:
    return govern(site.app)


def alerts(app: App) -> list[str]:
    """A shift that somebody looks into, and a bias; a known event beside them."""
    starts_at = app.clock.now() - timedelta(days=3)
    periods.add_event(app, app.me(), "flight-delay", "a strike", starts_at=starts_at, ends_at=app.clock.now())
    made = [
        alarm(app),
        alarm(app, kind="fairness", feature="carrier", title="late flights differ by carrier"),
    ]
    cases.answer(app, app.me(), made[0], "acknowledge", why="asked the airport")
    return made


def paths(site: Site, governed: Governed) -> list[str]:
    """Every page, with what there is on it."""
    (incident,) = site.app.store.incidents.list()[:1]
    site.app.store.evidence.measure(brought(site.app.clock.now()))
    return [
        "/", "/projects/flight-delay", "/projects/cars", "/projects/tsa-passengers",
        *(f"/releases/{one}" for one in (site.seeded.waiting, site.seeded.aborted, site.seeded.canary)),
        *(f"/releases/{one}/rollout" for one in (site.seeded.aborted, rolled(site.app, site.seeded.canary))),
        "/approvals", "/access", f"/access/{LONG}", "/access/nightly-scoring",
        "/incidents", f"/incidents/{incident.id}", "/flag", "/audit", "/audit?text=nothing-of-the-kind",
        *(f"/policy{path}" for path in ("", "/0", "/1", "/2", "/3", "/propose")),
        *(f"/policy/rules{path}" for path in ("", "/2", "/3", "/propose")),
        "/policy/waivers", f"/policy/waivers/{governed.waiting}", f"/policy/waivers/{governed.expired}",
        "/policy/explain", EXPLAINED, "/security", "/security/prove",
        "/projects/flight-delay/answers",
        "/alerts", "/alerts?project=flight-delay", *(f"/alerts/{one}" for one in alerts(site.app)),
    ]  # fmt: skip


@pytest.mark.requirement("UI-01")
@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", PHONE)])
def test_every_page_can_be_read_and_worked_by_everybody(
    browser: Browser,
    site: Site,
    governed: Governed,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    tab = visit(browser, site, listen(site.server), by=AUTHOR, scheme=scheme, size=size)
    faults, titles = {}, set()
    for path in paths(site, governed):
        page = tab.open(path)
        found = [*page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints]
        tab.complaints.clear()
        titles.add(page.title())
        if found:
            faults[path] = found
    assert faults == {}
    assert all(title.endswith(" · Headrace") for title in titles)


@pytest.mark.parametrize(("scheme", "size"), [("dark", DESK), ("light", PHONE)])
def test_pages_with_nothing_on_them_say_what_will_be_there(
    browser: Browser,
    site: Site,
    listen: Callable[[Server], str],
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    nora = Principal(
        name="nora", kind="person", roles=ROLES, created_at=site.app.clock.now(), workspace="north"
    )
    site.app.store.principals.save(nora)
    site.app.store.epoch.advance()
    tab = visit(browser, site, listen(site.server), by="nora", scheme=scheme, size=size)
    for path, said in {
        "/": "No project yet",
        "/approvals": "Nothing waits",
        "/access": "Every role was needed",
        "/policy": "Nothing was ever proposed here",
        "/policy/rules": "Nothing was ever proposed here",
        "/policy/waivers": "No project deviates from a rule",
        "/incidents": "Nothing to look into",
        "/alerts": "No alert waits for anybody",
        "/audit": "Audit",
    }.items():
        page = tab.open(path)
        expect(page.locator("main")).to_contain_text(said)
        assert [path, *page.evaluate(FAULTS), *page.evaluate(CONTRAST), *tab.complaints] == [path]


def test_a_question_is_answered_with_the_rule_and_leads_to_its_line(
    browser: Browser, site: Site, governed: Governed, listen: Callable[[Server], str]
) -> None:
    tab = visit(browser, site, listen(site.server), by=AUTHOR)
    page = tab.open("/access/grace")
    page.get_by_role("link", name="What it may").click()
    expect(page.get_by_label("Identity")).to_have_value("grace")
    page.get_by_label("Action").select_option("release.approve")
    page.get_by_label("Resource").fill("project:cars")
    page.get_by_label("Resource").press("Enter")
    expect(page.get_by_role("heading", level=2)).to_contain_text("grace may release.approve on project:cars")
    page.get_by_role("link", name="validator, line").click()
    expect(page.locator(".code li:target")).to_contain_text('@id("validator")')
    expect(page.locator(".code li:target")).to_be_in_viewport()
    assert tab.complaints == []


def test_a_project_that_asks_no_language_model_has_no_such_pages(
    browser: Browser, site: Site, listen: Callable[[Server], str]
) -> None:
    page = visit(browser, site, listen(site.server), by=AUTHOR).open("/projects/cars/readiness")
    said = page.get_by_role("navigation", name="Pages of cars").get_by_role("link").all_inner_texts()
    assert said == ["Project", "Readiness", "Traces", "Labelling"]
