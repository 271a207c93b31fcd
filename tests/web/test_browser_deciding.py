"""Decisions in a real browser: each test has a home of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from headrace.web.server import Server
from tests.web.browsing import chrome, visit
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.mark.requirement("GAT-07")
def test_a_validator_reads_the_evidence_and_approves(
    browser: Browser, own_site: Site, listen: Callable[[Server], str]
) -> None:
    site = own_site
    tab = visit(browser, site, listen(site.server), by=VALIDATOR)
    page = tab.page
    page.get_by_role("link", name="waits for a decision").click()
    page.wait_for_url("**/releases/*")
    page.locator(".gates summary", has_text="champion").click()
    expect(page.get_by_text("against loss")).to_be_visible()
    page.get_by_label("Comment").fill("The interval is\nwell below the margin. <b>Go</b>")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("h1")).to_contain_text("rolling out")
    expect(page.locator("blockquote")).to_contain_text("<b>Go</b>")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    (approval,) = site.app.store.evidence.approvals(site.seeded.waiting)
    assert (approval.approver, approval.decision) == (VALIDATOR, "approved")
    assert approval.comment == "The interval is\nwell below the margin. <b>Go</b>"
    assert tab.complaints == []


def test_an_operator_rolls_back_after_being_asked_again(
    browser: Browser, own_site: Site, listen: Callable[[Server], str]
) -> None:
    site = own_site
    tab = visit(browser, site, listen(site.server), by=AUTHOR)
    page = tab.open("/projects/cars")
    stop = page.get_by_role("button", name="Stop the rollout")
    expect(stop).to_be_hidden()
    page.get_by_text("Stop rollout…").click()
    stop.click()
    expect(page.locator(".legend")).to_have_text("@1 live 100 %")
    assert site.app.store.releases.get(site.seeded.canary).state == "aborted"
    assert tab.complaints == []
