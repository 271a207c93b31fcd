"""Proposing, reviewing and deciding in a real browser: each test has a home of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from headrace.access.policy import DEFAULT
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.web.server import Server
from tests.web.browsing import CONTRAST, chrome, visit
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import AUDITOR

AFTER = DEFAULT.count("\n") + 2
"""The line of what is written behind the policy that comes with Headrace."""

pytestmark = pytest.mark.browser
CHOSEN = "() => ((t) => t.value.slice(t.selectionStart, t.selectionEnd))(document.activeElement)"
EXPLAINED = "/policy/explain?principal=grace&action=release.approve&resource=project:cars"


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with chrome(chromium) as found:
        yield found


@pytest.mark.requirement("MCP-13", "GOV-16")
def test_a_policy_is_written_with_its_mistakes_named_and_approved_by_somebody_else(
    browser: Browser, own_site: Site, listen: Callable[[Server], str]
) -> None:
    site, url = own_site, listen(own_site.server)
    writes = visit(browser, site, url, by=AUTHOR)
    page = writes.open("/policy")
    page.get_by_role("link", name="Propose a change").click()
    text, problems = page.get_by_label("Text"), page.locator("[data-problems]")
    text.press("Control+End")
    page.keyboard.type('\n@id("odd")\npermit (principal, action == Action::"fly", resource);')
    expect(problems).to_contain_text("names the action 'fly', which does not exist")
    assert text.get_attribute("aria-invalid") == "true"
    problems.get_by_role("button", name=f"Line {AFTER}").click()
    assert page.evaluate(CHOSEN) == '@id("odd")'
    expect(page.locator("[data-gutter] .wrong")).to_have_text(f"{AFTER}\n")
    text.press("Control+End")
    for _ in range(len('\n@id("odd")\npermit (principal, action == Action::"fly", resource);')):
        page.keyboard.press("Backspace")
    expect(problems).to_contain_text("in force already")
    page.keyboard.type("// looked at by the two of us")
    expect(problems).to_have_text("This text can be proposed.")
    page.get_by_label("Why, for whoever reviews it").fill("A remark.")
    page.get_by_role("button", name="Propose").click()
    page.wait_for_url("**/policy/1")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    expect(page.locator("ins")).to_have_text(["+// looked at by the two of us"])

    decides = visit(browser, site, url, by=VALIDATOR)
    page = decides.open("/approvals")
    page.get_by_role("link", name="Review version 1 of the access policy of main").click()
    page.get_by_label("Comment").fill("Agreed.")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("h1")).to_contain_text("in force")
    assert POLICY.show(site.app, site.app.identities.resolve(VALIDATOR)).version == 1
    assert writes.complaints + decides.complaints == []


@pytest.mark.requirement("GOV-17")
def test_rules_are_written_with_their_mistakes_named(
    browser: Browser, own_site: Site, listen: Callable[[Server], str]
) -> None:
    tab = visit(browser, own_site, listen(own_site.server), by=AUTHOR)
    page = tab.open("/policy/rules/propose")
    text, problems = page.get_by_label("Text"), page.locator("[data-problems]")
    text.fill("forbidden_inputs: [gender]\nlow:\n  controls: [magic]\n  aprovals: 2\n")
    expect(problems.get_by_role("button")).to_have_text(["Line 4", "Line 3"])
    text.fill("forbidden_inputs: [gender]\n")
    expect(problems).to_have_text("This text can be proposed.")
    page.get_by_role("button", name="Propose").click()
    page.wait_for_url("**/policy/rules/1")
    assert RULES.show(own_site.app, own_site.app.identities.resolve(AUTHOR)).version == 0
    assert tab.complaints == []


@pytest.mark.requirement("GOV-04")
def test_a_waiver_is_asked_for_and_agreed_to(
    browser: Browser, own_site: Site, listen: Callable[[Server], str]
) -> None:
    site, url = own_site, listen(own_site.server)
    asks = visit(browser, site, url, by=AUTHOR)
    page = asks.open("/policy/waivers")
    page.get_by_label("Project").select_option("cars")
    page.get_by_label("Rule").select_option("control:people-approve")
    page.get_by_label("How far it deviates").select_option("large")
    page.get_by_label("Why it has to deviate").fill("Nobody is here over the holidays.")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("h1")).to_contain_text("cars without control:people-approve")
    agrees = visit(browser, site, url, by=AUDITOR)
    page = agrees.open("/approvals")
    page.get_by_role("link", name="cars without control:people-approve").click()
    page.get_by_role("button", name="Agree").click()
    expect(page.get_by_text("You have agreed; somebody else is needed.")).to_be_visible()
    agrees = visit(browser, site, url, by=VALIDATOR)
    page = agrees.open(page.url.removeprefix(url))
    page.get_by_role("button", name="Agree").click()
    expect(page.locator("h1")).to_contain_text("in force")
    assert asks.complaints + agrees.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_can_read_the_picture_of_a_key_in_both_schemes(
    browser: Browser, own_site: Site, listen: Callable[[Server], str], scheme: Literal["light", "dark"]
) -> None:
    tab = visit(browser, own_site, listen(own_site.server), by=VALIDATOR, scheme=scheme)
    page = tab.open("/security")
    page.get_by_role("button", name="Set up an app").click()
    picture = page.get_by_role("img", name="QR code for your authenticator app")
    expect(picture).to_be_visible()
    colours = picture.evaluate("node => [...node.querySelectorAll('path')].map(path =>"
                               " [getComputedStyle(path).fill, getComputedStyle(path).stroke])")  # fmt: skip
    assert colours[0][0] == "rgb(255, 255, 255)"
    assert colours[1][1] == "rgb(0, 0, 0)"
    assert page.evaluate(CONTRAST) == []
    assert tab.complaints == []
