"""Passkeys in a real browser, with an authenticator that Chromium simulates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from headrace.web.server import Server
from tests.web.browsing import chrome, visit
from tests.web.conftest import Site
from tests.web.making import VALIDATOR
from tests.web.risky import add_risky

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.mark.requirement("GOV-02", "MCP-08", "IDN-09")
def test_a_high_risk_is_approved_with_a_passkey(
    browser: Browser, own_site: Site, listen: Callable[[Server], str]
) -> None:
    site = own_site
    release_id = add_risky(site.app, site.work)
    address = listen(site.server).replace("127.0.0.1", "localhost")
    tab = visit(browser, site, address, by=VALIDATOR)
    page = tab.page
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    device = devices.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

    tab.open("/security")
    page.get_by_label("Name, so that you know it again").fill("Laptop")
    page.get_by_role("button", name="Add passkey").click()
    expect(page.get_by_role("row", name="Laptop")).to_contain_text("for localhost")

    parts = site.server.parts
    cookie = next(one["value"] for one in page.context.cookies() if one["name"] == "headrace_session")
    assert parts.sessions.prove(cookie, parts.app.clock.now(), "passkey")  # ten minutes later
    tab.open(f"/releases/{release_id}")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    page.get_by_role("link", name="Prove it is you").click()
    devices.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("cancelled")
    devices.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(f"**/releases/{release_id}")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("h1")).to_contain_text("live")
    (entry,) = [one for one in site.app.store.audit.list() if one.action == "release.approve"]
    assert (entry.actor, entry.detail["proof"]) == (VALIDATOR, "passkey")
    assert tab.complaints == []
