"""A release with changed settings and a flight check, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from headrace.core.release import Release
from headrace.projects.charter import load_project
from headrace.web.server import Server
from tests.app.small import Small
from tests.web.browsing import CONTRAST, DESK, FAULTS, PHONE, chrome, visit
from tests.web.conftest import Site
from tests.web.making import AUTHOR

pytestmark = pytest.mark.browser
LIST = ("monitors: {window_s: 604800}", "monitors: {window_s: 604800, shift: 0.3}")
TICKS = (
    "kpi: days on the lot}",
    "kpi: days on the lot}\nproofs: {flight: {largest-errors: the rows with the largest errors}}",
)
SHOTS = os.environ.get("SHOTS")


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.mark.requirement("GAT-08", "DEP-17")
@pytest.mark.filterwarnings("ignore:The ``noload``")
@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", PHONE)])
def test_a_person_sees_what_settings_change_and_ticks_the_flight_check(
    browser: Browser,
    own_site: Site,
    listen: Callable[[Server], str],
    tmp_path: Path,
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    site = own_site
    with ThreadPoolExecutor(1) as apart:  # workflows are not started where the browser's loop runs
        project = apart.submit(_declared, site, tmp_path / "prices").result()
        tab = visit(browser, site, listen(site.server), by=AUTHOR, scheme=scheme, size=size)
        page = tab.open("/projects/prices")
        page.get_by_text("settings in headrace.yaml are not released").click()
        expect(page.get_by_role("region", name="Settings that are not released")).to_contain_text(
            "monitors.shift"
        )
        _shoot(page, f"project-{scheme}")
        waiting = apart.submit(_waiting, project).result()
    page = tab.open("/projects/prices")
    expect(page.get_by_text("settings in headrace.yaml are not released")).to_have_count(0)
    page = tab.open(f"/releases/{waiting.id}")
    settings = page.get_by_role("region", name="Settings in headrace.yaml")
    expect(settings).to_contain_text("monitors.shift")
    expect(settings).to_contain_text("0.3")
    _shoot(page, f"release-{scheme}")
    assert page.evaluate(FAULTS) == []
    assert page.evaluate(CONTRAST) == []
    page.get_by_label("What you looked at, and what you saw").fill("vintage cars <b>only</b>")
    page.get_by_role("button", name="Tick largest errors").click()
    expect(page.locator(".ticks blockquote")).to_have_text("vintage cars <b>only</b>")
    expect(page.get_by_role("button", name="Tick largest errors")).to_have_count(0)
    _shoot(page, f"ticked-{scheme}")
    assert site.app.store.releases.get(waiting.id).state == "live"
    assert tab.complaints == []


def _declared(site: Site, folder: Path) -> Small:
    """A live model, and other settings in its headrace.yaml."""
    project = Small(app=site.app, work=site.work, folder=folder, name="prices").write()
    assert project.released().state == "live"
    project.write(LIST, TICKS)
    site.app.store.projects.save(load_project(folder), str(folder))
    return project


def _waiting(project: Small) -> Release:
    """A release of the live model under those settings, which the gates approved and nobody has looked at."""
    made = project.app.store.releases.get(project.build(settings_only=True)["release_id"])
    return project.work_until_waiting(made)


def _shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)
