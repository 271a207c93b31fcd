from __future__ import annotations

import pytest

from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import VIEWER

POLICIES, GRANTS = "/api/v1/access/policies", "/api/v1/access/grants"


@pytest.mark.requirement("MCP-13")
def test_a_policy_is_proposed_compared_and_decided_by_somebody_else(site: Site) -> None:
    live = site.get(f"{POLICIES}/live").json()
    assert (live["version"], live["state"]) == (0, "live")
    text = live["text"] + "\n// looked at\n"
    made = site.post(POLICIES, json={"text": text, "comment": "a note"})
    assert made.status_code == 201, made.text
    version = made.json()["version"]
    assert "+// looked at" in site.get(f"{POLICIES}/{version}/difference").json()
    assert site.post(f"{POLICIES}/{version}/approve").status_code == 403
    assert site.post(f"{POLICIES}/{version}/approve", by=VIEWER).status_code == 403
    approved = site.post(f"{POLICIES}/{version}/approve", by=VALIDATOR, json={"comment": "fine"})
    assert (approved.status_code, approved.json()["state"]) == (200, "live")
    assert site.get(f"{POLICIES}/live", by=VIEWER).json()["text"] == text
    assert site.post(f"{POLICIES}/{version}/reject", by=VALIDATOR).status_code == 409
    back = site.post(f"{POLICIES}/revert").json()
    assert site.post(f"{POLICIES}/{back['version']}/approve", by=VALIDATOR).status_code == 200
    states = {one["version"]: one["state"] for one in site.get(POLICIES).json()}
    assert (states[version], states[back["version"]]) == ("superseded", "live")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": "permit ("}, 400),
        ({"text": '@id("a") permit (principal, action == Action::"nothing", resource);'}, 400),
        ({"text": "// example: allow person ann () predict project:cars"}, 422),
        ({"text": '@id("a") permit (principal, action == Action::"predict", resource);'}, 409),
        ({"text": "x" * 100_001}, 422),
        ({}, 422),
    ],
)
def test_what_cannot_be_a_policy_is_refused(site: Site, body: dict[str, str], status: int) -> None:
    before = len(site.get(POLICIES).json())
    refused = site.post(POLICIES, json=body)
    assert refused.status_code == status, refused.text
    assert len(site.get(POLICIES).json()) == before


def test_examples_are_tried(site: Site) -> None:
    assert site.post(f"{POLICIES}/test").json()["failed"] == []
    text = "// example: allow person ann () predict project:cars"
    assert [f["line"] for f in site.post(f"{POLICIES}/test", json={"text": text}).json()["failed"]] == [1]


def test_a_version_that_is_not_there_is_not_found(site: Site) -> None:
    assert site.get(f"{POLICIES}/999").status_code == 404
    assert site.post(f"{POLICIES}/999/approve", by=VALIDATOR).status_code == 404


def test_everybody_asks_why_about_themselves_and_few_about_others(site: Site) -> None:
    why = {"principal": VIEWER, "action": "predict", "resource": "project:cars"}
    found = site.get("/api/v1/access/explain", by=VIEWER, params=why).json()
    assert (found["allowed"], found["would_suffice"]) == (False, ["caller", "developer", "operator", "admin"])
    assert (
        site.get("/api/v1/access/explain", by=VIEWER, params=why | {"principal": AUTHOR}).status_code == 403
    )
    assert site.get("/api/v1/access/explain", params=why | {"action": "fly"}).status_code == 400
    may = {
        one["resource"]: one["actions"]
        for one in site.get("/api/v1/access/may", params={"principal": VIEWER}).json()
    }
    assert "project.read" in may["project:cars"]
    assert "predict" not in may["project:cars"]


@pytest.mark.requirement("IDN-04")
def test_a_role_is_asked_for_approved_by_somebody_else_and_ended(site: Site) -> None:
    wish = {"role": "operator", "resource": "project:cars", "reason": "a demo", "duration_s": 600}
    asked = site.post(GRANTS, by=VIEWER, json=wish)
    assert asked.status_code == 201, asked.text
    one = f"{GRANTS}/{asked.json()['id']}"
    car = {"records": [{"mileage": 1.0, "model": "a3"}]}
    assert site.post("/api/v1/predict/cars", by=VIEWER, json=car).status_code == 403
    assert site.post(f"{one}/approve", by=VIEWER).status_code == 403
    assert site.post(f"{one}/approve").json()["state"] == "active"
    assert site.post("/api/v1/predict/cars", by=VIEWER, json=car).status_code == 200
    assert site.post(f"{one}/refuse").status_code == 409
    assert site.post(f"{one}/end", by=VIEWER).json()["state"] == "ended"
    assert site.post("/api/v1/predict/cars", by=VIEWER, json=car).status_code == 403
    assert asked.json()["id"] in [
        g["id"] for g in site.get(GRANTS, by=VIEWER, params={"state": "ended"}).json()
    ]
    assert site.get(GRANTS, by=VALIDATOR).json() == []


def test_an_emergency_is_for_people_who_operate(site: Site) -> None:
    need = {"role": "validator", "resource": "project:cars", "reason": "it burns", "duration_s": 60}
    assert site.post(f"{GRANTS}/break-glass", by=VIEWER, json=need).status_code == 403
    assert site.post(f"{GRANTS}/break-glass", json=need | {"duration_s": 3601}).status_code == 422
    taken = site.post(f"{GRANTS}/break-glass", json=need)
    assert (taken.status_code, taken.json()["state"], taken.json()["break_glass"]) == (201, "active", True)
    assert site.post(f"{GRANTS}/{taken.json()['id']}/end").json()["state"] == "ended"
