"""Rules, waivers, compliance and the catalogue over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Site
from tests.web.making import VALIDATOR
from tests.web.seed import AUDITOR, VIEWER

WISH = {"rule": "control:inputs", "reason": "a pilot", "days": 10, "size": "large"}


@pytest.mark.requirement("GOV-04")
def test_a_waiver_is_asked_for_and_decided_by_those_it_takes(site: Site) -> None:
    where = "/api/v1/projects/cars/waivers"
    assert site.post(where, by=VIEWER, json=WISH).status_code == 403
    asked = site.post(where, json=WISH)
    assert (asked.status_code, asked.json()["state"]) == (201, "asked")
    decision = f"/api/v1/waivers/{asked.json()['id']}/decision"
    agree = {"decision": "approved", "comment": "once"}
    assert site.post(decision, json=agree).status_code == 403, "not one's own"
    assert site.post(decision, by=VALIDATOR, json=agree).json()["state"] == "asked"
    assert site.post(decision, by=VALIDATOR, json=agree).status_code == 409
    assert site.post(decision, by=AUDITOR, json=agree).json()["state"] == "granted"
    (listed,) = (one for one in site.get(where).json() if one["waiver"]["id"] == asked.json()["id"])
    assert listed["holds"] is True


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"rule": "gate:package"}, 400), ({"size": "small"}, 400), ({"days": 60}, 400), ({"days": 0}, 422),
        ({"reason": ""}, 422), ({"size": "tiny"}, 422), ({"more": 1}, 422),
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_granted_says_so(site: Site, changes: dict[str, Any], status: int) -> None:
    assert site.post("/api/v1/projects/cars/waivers", json=WISH | changes).status_code == status


def test_rules_are_proposed_and_refused(site: Site) -> None:
    assert site.get("/api/v1/controls/live").json()["version"] == 0
    proposed = site.post("/api/v1/controls", json={"text": "forbidden_inputs: [gender]\n"})
    assert proposed.status_code == 201
    number = proposed.json()["version"]
    decision = f"/api/v1/controls/{number}/decision"
    assert site.post(decision, json={"decision": "rejected"}).status_code == 403, "not one's own"
    refused = site.post(decision, by=VALIDATOR, json={"decision": "rejected"}).json()
    assert (refused["text"]["state"], refused["violating"]) == ("refused", [])
    assert number in [one["version"] for one in site.get("/api/v1/controls").json()]
    assert site.post("/api/v1/controls", json={"text": "low: ["}).status_code == 400


@pytest.mark.requirement("GAT-16")
def test_compliance_is_shown_for_a_project_and_an_owner_for_it(site: Site) -> None:
    found = site.get("/api/v1/projects/cars/compliance", by=VIEWER).json()
    assert {"tier", "least", "findings", "approvals"} <= set(found)
    assert site.get("/api/v1/projects/gone/compliance").status_code in (403, 404)
    called = site.get("/api/v1/accountable", params={"of": "project:cars"}, by=VIEWER).json()
    assert (called["name"], called["contact"]) == ("Ada", "ada@example.org")
    assert site.get("/api/v1/accountable", params={"of": "what"}).status_code == 400


@pytest.mark.requirement("DAT-02")
def test_the_catalogue_shows_each_reader_what_they_may_read(site: Site) -> None:
    assert "cars" in [one["name"] for one in site.get("/api/v1/catalogue").json()]
    assert site.get("/api/v1/catalogue", by=VIEWER).json() == []
    assert site.get("/api/v1/catalogue/cars").json()["owner"] == "Ada"
    assert site.get("/api/v1/catalogue/cars", by=VIEWER).status_code == 403
    assert site.get("/api/v1/catalogue/cars/rows", params={"limit": 0}).status_code == 422
    assert site.get("/api/v1/catalogue/cars/rows", by=VIEWER).status_code == 403
