"""Deciding about texts and waivers on their pages: each test has a home of its own."""

from __future__ import annotations

import re
from dataclasses import replace

import pyotp
import pytest

from headrace.web.pages.security import qr_code
from tests.web.conftest import Site
from tests.web.governed import ADDRESSES, VIEWERS_PREDICT, post, text_of
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.risky import Visitor
from tests.web.seed import AUDITOR, VIEWER


@pytest.mark.requirement("MCP-13", "GOV-16")
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_text_is_approved_on_its_page_by_somebody_else_once(own_site: Site, address: str) -> None:
    kind = ADDRESSES[address]
    for number in (1, 2):
        post(own_site, f"{address}/propose", text=text_of(address, number))
    path = f"{address}/1/decision"
    assert post(own_site, path, decision="approved")[0] == 403
    assert post(own_site, path, by=VIEWER, decision="approved")[0] == 403
    assert post(own_site, path, by=VALIDATOR, decision="maybe")[0] == 400
    assert f'href="{address}/1"' in own_site.page("/approvals", by=VALIDATOR).text
    assert post(own_site, path, by=VALIDATOR, decision="approved", comment="Agreed.") == (303, f"{address}/1")
    assert kind.show(own_site.app, own_site.app.identities.resolve(AUTHOR)).version == 1
    assert post(own_site, path, by=VALIDATOR, decision="rejected")[0] == 409
    post(own_site, f"{address}/2/decision", by=VALIDATOR, decision="rejected")
    refused = own_site.page(f"{address}/2").text
    assert "refused by grace" in refused
    assert f'href="{address}/propose?from=2"' in refused


def test_whoever_has_a_second_factor_shows_it_before_they_decide_and_comes_back(own_site: Site) -> None:
    post(own_site, "/policy/propose", text=VIEWERS_PREDICT)
    grace = Visitor(own_site, VALIDATOR)
    grace.add_app()
    grace.forget_proof()
    page = grace.get("/policy/1").text
    assert 'href="/security/prove?next=/policy/1"' in page
    assert 'value="approved"' not in page
    refused = grace.send("/policy/1/decision", came_from="/policy/1", decision="approved")
    assert (refused.status_code, 'name="next" value="/policy/1"' in refused.text) == (403, True)
    proved = grace.send("/security/prove", code=grace.code(), next="/policy/1")
    assert proved.headers["location"] == "/policy/1"
    assert grace.send("/policy/1/decision", decision="approved").status_code == 303


@pytest.mark.requirement("GOV-04")
def test_a_waiver_is_asked_for_agreed_to_and_given_back_on_its_page(own_site: Site) -> None:
    wish = {"project": "cars", "rule": "control:canary", "size": "medium", "days": "7", "reason": "Launch."}
    for wrong, said in (
        ({"size": "small"}, "is at least medium"),
        ({"days": "400"}, "1 to 60 days"),
        ({"days": "soon"}, "a whole number"),
        ({"reason": " "}, "needs a reason"),
        ({"size": "huge"}, "A deviation is"),
        ({"project": "none"}, "none"),
    ):
        status, page = post(own_site, "/policy/waivers", **(wish | wrong))
        assert (status, said in page) == (400, True), page
        assert '<option value="control:canary" selected>' in page, "what was chosen is not lost"
    assert post(own_site, "/policy/waivers", by=VIEWER, **wish)[0] == 403
    status, path = post(own_site, "/policy/waivers", **wish)
    assert status == 303
    assert "Yours: somebody else decides." in own_site.page(path).text
    assert post(own_site, f"{path}/decision", decision="approved")[0] == 403
    agreed = post(own_site, f"{path}/decision", by=VALIDATOR, decision="approved", comment="Once.")
    assert agreed == (303, path)
    page = own_site.page(path, by=VALIDATOR).text
    assert "You have agreed; somebody else is needed." in page
    assert "<blockquote>Once.</blockquote>" in page
    post(own_site, f"{path}/decision", by=AUDITOR, decision="approved")
    assert "Give it back" in own_site.page(path).text
    assert "Give it back" not in own_site.page(path, by=VALIDATOR).text
    assert post(own_site, f"{path}/decision", decision="ended") == (303, path)
    assert post(own_site, f"{path}/decision", decision="ended")[0] == 409
    assert post(own_site, f"{path}/decision", decision="shout")[0] == 400
    assert own_site.page("/policy/waivers/nothing").status_code == 404


def test_an_authenticator_app_is_set_up_by_a_picture_or_by_typing(own_site: Site) -> None:
    grace = Visitor(own_site, VALIDATOR)
    grace.send("/security/app", came_from="/security")
    page = grace.get("/security/app").text
    assert 'role="img" aria-label="QR code' in page
    assert '<path fill="#fff"' in page, "black on white in the dark too"
    key = "".join(re.findall(r"<code>([A-Z2-7]{4})</code>", page))
    link = pyotp.TOTP(key).provisioning_uri(name=VALIDATOR, issuer_name="Headrace")
    assert qr_code(link) in page
    assert qr_code(link.replace(key[:4], "AAAA")) not in page
    assert 'style="' not in page


def test_a_text_that_cannot_be_used_any_more_is_still_shown(own_site: Site) -> None:
    for address, kind in ADDRESSES.items():
        made = kind.propose(own_site.app, own_site.app.identities.resolve(AUTHOR), text_of(address, 1))
        broken = replace(made, text="permit [", revision=made.revision + 1)
        own_site.app.store.policies.change(broken)
        page = own_site.page(f"{address}/1")
        assert page.status_code == 200
        assert "notice bad" in page.text
