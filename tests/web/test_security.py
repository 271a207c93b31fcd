"""The page on which people look after their second factors, and the one on which they show them."""

from __future__ import annotations

from itertools import count

import pytest

from tests.access.authenticator import Authenticator
from tests.web.conftest import Site
from tests.web.making import AUTHOR
from tests.web.risky import HOST, Visitor

_numbers = count()


def _device(name: str = "") -> Authenticator:
    return Authenticator(origin=f"http://{HOST}", key_id=f"{name}key-{next(_numbers):08}".encode())


def _somebody(site: Site) -> Visitor:
    return Visitor(site, f"person-{next(_numbers)}", "validator")


def test_the_page_says_how_to_begin(site: Site) -> None:
    page = _somebody(site).get("/security")
    assert page.status_code == 200
    assert "None yet. Add a passkey" in page.text
    assert "Set up an app" in page.text
    assert 'href="/security"' in page.text


def test_an_app_is_set_up_by_its_first_code(site: Site) -> None:
    me = _somebody(site)
    assert me.get("/security/app").headers["location"] == "/security"
    assert me.send("/security/app").headers["location"] == "/security/app"
    shown = me.get("/security/app")
    assert f"otpauth://totp/Headrace:{me.name}?secret=" in shown.text
    wrong = me.send("/security/app/code", code="12")
    assert wrong.status_code == 403
    assert "six digits" in wrong.text
    assert me.add_app().headers["location"] == "/security"
    page = me.get("/security").text
    assert "Authenticator app" in page
    assert "Set up an app" not in page
    assert me.key not in page
    assert "proved until" in page


def test_a_passkey_is_made_and_proves(site: Site) -> None:
    me, device = _somebody(site), _device()
    assert me.add_passkey(device).json() == {"next": "/security"}
    assert "stick" in me.get("/security").text
    me.forget_proof()
    assert "proved until" not in me.get("/security").text
    asked = me.call("/security/prove/options", {}).json()
    assert me.call("/security/prove/passkey", {"answer": device.sign(asked)}).json() == {}
    assert "proved until" in me.get("/security").text


@pytest.mark.parametrize("path", ["/security/passkey", "/security/prove/passkey"])
@pytest.mark.parametrize("body", [[], "x", {}, {"answer": 1, "label": "x"}, {"answer": {}, "label": 3}, None])
def test_a_body_of_another_form_is_refused(site: Site, path: str, body: object) -> None:
    response = _somebody(site).call(path, body)
    assert response.status_code in {400, 403}
    assert response.headers["content-type"] == "application/problem+json"


def test_a_token_has_nothing_to_keep_a_proof_in(site: Site) -> None:
    for path in ("/security/app", "/security/passkey/options", "/security/prove"):
        response = site.post(path, data={"code": "123456"})
        assert response.status_code == 400
        assert "in a browser" in response.json()["detail"]


def test_passkeys_need_a_name(site: Site) -> None:
    me = _somebody(site)
    page = me._send("GET", "/security", {"cookie": me.cookie, "host": "127.0.0.1:8000"}).text
    assert "http://localhost:8000/security" in page
    assert "data-passkey" not in page


def test_removing_needs_a_proof_and_goes_on_where_it_was(site: Site) -> None:
    me, device = _somebody(site), _device()
    me.add_passkey(device)
    me.forget_proof()
    (factor,) = site.app.access.factors.list(me.name)
    asked = me.send(f"/security/factors/{factor.id}/remove", came_from="/security")
    assert asked.status_code == 403
    assert "Prove it is you" in asked.text
    assert 'data-target="/security"' in asked.text
    refused = me.call("/security/passkey/options", {})
    assert refused.json()["type"] == "urn:headrace:problem:proof-needed"
    options = me.call("/security/prove/options", {}).json()
    me.call("/security/prove/passkey", {"answer": device.sign(options)})
    assert me.send(f"/security/factors/{factor.id}/remove").headers["location"] == "/security"
    assert site.app.access.factors.list(me.name) == []


def test_nobody_removes_what_belongs_to_somebody_else(site: Site) -> None:
    me, other = _somebody(site), _somebody(site)
    other.add_passkey(_device())
    (factor,) = site.app.access.factors.list(other.name)
    assert me.send(f"/security/factors/{factor.id}/remove").status_code == 404
    assert site.app.access.factors.list(other.name) == [factor]


def test_signing_out_everywhere_ends_every_session(site: Site) -> None:
    me = _somebody(site)
    there, bearer = Visitor(site, me.name), {"authorization": f"Bearer {site.token(me.name)}"}
    assert there.get("/").status_code == 200
    assert site.client.request("GET", "/api/v1/projects", headers=bearer).status_code == 200
    assert me.send("/security/signout").headers["location"] == "/signin"
    assert there.get("/").status_code == me.get("/").status_code == 401
    assert site.client.request("GET", "/api/v1/projects", headers=bearer).status_code == 401
    assert Visitor(site, me.name).get("/").status_code == 200


def test_a_session_ends_when_its_identity_is_frozen(site: Site) -> None:
    me = _somebody(site)
    site.app.identities.freeze(me.name, "looked odd", actor=AUTHOR)
    page = me.get("/")
    assert page.status_code == 401
    assert "is frozen: looked odd" in page.text
    assert 'name="token"' in page.text
    site.app.identities.unfreeze(me.name, actor=AUTHOR)
    assert me.get("/").status_code == 401
    assert Visitor(site, me.name).get("/").status_code == 200


def test_a_ticket_lets_nobody_in_who_is_frozen(site: Site) -> None:
    me = _somebody(site)
    ticket = site.server.new_ticket(site.app.identities.resolve(me.name))
    site.app.identities.freeze(me.name, "looked odd", actor=AUTHOR)
    entered = me._send("GET", ticket, {})
    assert entered.status_code == 401
    assert "set-cookie" not in entered.headers
    assert "looked odd" in entered.text


def test_a_form_of_another_site_proves_nothing(site: Site) -> None:
    me = _somebody(site)
    headers = {"cookie": me.cookie, "origin": "https://evil.example"}
    assert me._send("POST", "/security/prove", headers, data={"code": "123456"}).status_code == 403


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil", "javascript:alert(1)"]
)
def test_nobody_is_sent_elsewhere_after_a_proof(site: Site, target: str) -> None:
    me = _somebody(site)
    me.add_app()
    assert "evil" not in me.get(f"/security/prove?next={target}").text
    assert me.send("/security/prove", code=me.code(), next=target).headers["location"] == "/"
