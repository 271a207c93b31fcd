from __future__ import annotations

import pytest

from tests.web.conftest import Site
from tests.web.making import AUTHOR
from tests.web.seed import AUDITOR, VIEWER


@pytest.mark.requirement("IDN-10")
def test_an_incident_over_http_from_flag_to_close(site: Site) -> None:
    flagged = site.post("/api/v1/incidents", by=VIEWER, json={"subject": AUDITOR, "why": "odd\nhours"})
    assert flagged.status_code == 201
    where = f"/api/v1/incidents/{flagged.json()['id']}"
    assert site.get(where, by=AUDITOR).status_code == 404, "it is about them"
    assert site.get(where, by=VIEWER).status_code == 403
    assert site.post(f"{where}/close", json={"resolution": "x"}).status_code == 409
    assert site.post(f"{where}/take").json()["state"] == "investigating"
    assert site.post(f"{where}/notes", json={"text": "asked her"}).status_code == 200
    assert site.post(f"{where}/close", json={"resolution": "night shift"}).json()["state"] == "closed"
    listed = site.get("/api/v1/incidents", params={"state": "closed"}).json()
    assert flagged.json()["id"] in [one["id"] for one in listed]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"subject": "nobody", "why": "x"}, 404),
        ({"subject": VIEWER, "why": " "}, 400),
        ({"subject": VIEWER, "why": ""}, 422),
        ({"subject": VIEWER, "why": "x" * 2_001}, 422),
        ({"subject": VIEWER}, 422),
    ],
)
def test_a_flag_says_whom_and_why(site: Site, body: dict[str, str], status: int) -> None:
    assert site.post("/api/v1/incidents", json=body).status_code == status


def test_an_incident_that_is_none(site: Site) -> None:
    assert site.get("/api/v1/incidents/nowhere-near").status_code == 404


@pytest.mark.requirement("IDN-01")
def test_the_inventory_over_http_and_a_freeze_that_holds_at_once(site: Site) -> None:
    listed = site.get("/api/v1/access/identities", by=AUDITOR).json()
    assert {AUTHOR, VIEWER, AUDITOR} <= {one["principal"]["name"] for one in listed}
    assert site.get("/api/v1/access/identities", by=VIEWER).status_code == 403
    assert site.get("/api/v1/access/unused", by=AUDITOR).status_code == 200
    where = f"/api/v1/access/identities/{VIEWER}"
    assert site.get(where, by=AUDITOR).json()["reach"]
    assert site.post(f"{where}/freeze", by=AUDITOR, json={"why": "odd"}).status_code == 403
    headers = {"authorization": f"Bearer {site.token(VIEWER)}"}
    assert site.client.request("GET", "/api/v1/projects", headers=headers).status_code == 200
    assert site.post(f"{where}/freeze", json={"why": "odd"}).json()["frozen"] == "odd"
    assert site.client.request("GET", "/api/v1/projects", headers=headers).status_code == 401
    assert site.post(f"{where}/unfreeze").json()["frozen"] is None
    assert site.client.request("GET", "/api/v1/projects", headers=headers).status_code == 200
