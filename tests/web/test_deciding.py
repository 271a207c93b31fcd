"""What changes a home: each test has one of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.access.privacy.charters import terms_of
from headrace.app.composition import open_app
from headrace.app.workflows import launch
from headrace.core.project import FallbackSpec
from headrace.testing import START, make_alert, make_finding
from headrace.testing.factories import make_manifest, make_release, make_settings
from headrace.web.server import build_server
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.memory_client import in_memory
from tests.web.seed import VIEWER

CAR = {"mileage": 12_345.0, "model": "a3"}


def test_watching_now_says_what_it_did(own_site: Site) -> None:
    own_site.post("/api/v1/predict/cars", json={"records": [CAR]})
    done = own_site.post("/api/v1/projects/cars/watch").json()
    assert done["ingested"] == 1
    assert done["findings"] == []
    assert done["build"] is None


@pytest.mark.requirement("GAT-07")
def test_a_release_waits_until_a_validator_approves(own_site: Site) -> None:
    site, path = own_site, f"/api/v1/releases/{own_site.seeded.waiting}"
    assert site.get(path).json()["release"]["state"] == "waiting"
    assert site.post(f"{path}/approve", by=AUTHOR).status_code == 403
    decided = site.post(f"{path}/approve", by=VALIDATOR, json={"comment": "looks right"})
    assert decided.status_code == 200, decided.text
    report = site.get(path).json()
    assert report["release"]["state"] == decided.json()["state"] == "rolling_out"
    assert report["approvals"][0]["approver"] == VALIDATOR
    assert report["approvals"][0]["comment"] == "looks right"
    assert report["approvals"][0]["digest"] == report["release"]["digest"] == decided.json()["digest"]
    opposite = site.post(f"{path}/reject", by=VALIDATOR)
    assert opposite.status_code == 409
    assert site.get("/api/v1/projects/flight-delay").json()["route"]["canary"] == site.seeded.waiting


def test_a_rejected_release_stays_where_it_is(own_site: Site) -> None:
    path = f"/api/v1/releases/{own_site.seeded.waiting}"
    assert own_site.post(f"{path}/reject", by=VALIDATOR, json={}).json()["state"] == "rejected"
    assert own_site.get("/api/v1/projects/flight-delay").json()["route"]["live"] == own_site.seeded.live


@pytest.mark.requirement("DEP-04")
def test_one_call_stops_a_rollout_and_the_next_restores_the_release_before(own_site: Site) -> None:
    stopped = own_site.post("/api/v1/projects/cars/rollback")
    assert stopped.json() == {"project": "cars", "live": own_site.seeded.cars_live}
    assert own_site.get("/api/v1/projects/cars").json()["route"]["canary"] is None
    back = own_site.post("/api/v1/projects/flight-delay/rollback").json()
    assert back["live"] != own_site.seeded.live
    first_release = own_site.post("/api/v1/projects/cars/rollback")
    assert first_release.status_code == 404
    assert "no earlier one" in first_release.json()["detail"]


@pytest.mark.requirement("DEP-03")
def test_an_ab_test_is_begun_read_and_ended_by_whoever_may_approve(own_site: Site) -> None:
    site, path = own_site, "/api/v1/projects/flight-delay/split"
    arms = {"arms": [{"version": "2", "share": 0.5}, {"version": "1", "share": 0.5, "name": "before"}]}
    assert site.get(path).status_code == 404
    refused = site.ask("PUT", path, json=arms)
    assert (refused.status_code, "release.approve" in refused.text) == (403, True)
    begun = site.ask("PUT", path, by=VALIDATOR, json=arms)
    assert begun.status_code == 200, begun.text
    assert [(a["name"], a["share"], a["conclusion"]) for a in begun.json()["arms"]] == [
        ("v2", 0.5, None),
        ("before", 0.5, "undecided"),
    ]
    assert site.get(path).json() == begun.json()
    route = site.get("/api/v1/projects/flight-delay").json()["route"]
    assert [arm["name"] for arm in route["split"]["arms"]] == ["v2", "before"]
    page = site.page("/projects/flight-delay").text
    assert "A/B test since" in page
    assert "End the A/B test" in page
    assert site.ask("DELETE", path).status_code == 403
    ended = site.ask("DELETE", f"{path}?keep=before", by=VALIDATOR)
    assert ended.json()["live"] != site.seeded.live
    assert site.get(f"/api/v1/releases/{site.seeded.live}").json()["release"]["state"] == "superseded"


def test_an_identity_that_is_no_longer_known_is_401(own_site: Site) -> None:
    site = own_site
    token = site.app.tokens.issue(site.app.identities.add("guest", ["viewer"], actor=AUTHOR))
    stranger = site.app.tokens.issue(
        site.app.identities.add("leaver", ["viewer"], actor=AUTHOR), audience="elsewhere"
    )
    headers = {"authorization": f"Bearer {token}"}
    assert site.client.request("GET", "/api/v1/projects", headers=headers).status_code == 200
    headers = {"authorization": f"Bearer {stranger}"}
    assert site.client.request("GET", "/api/v1/projects", headers=headers).status_code == 401


def test_an_empty_home_says_how_to_begin(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path / "home")) as app, launch(app, role="server") as work:
        token = app.tokens.issue(app.me())
        with in_memory(build_server(app, work)) as client:
            headers = {"authorization": f"Bearer {token}", "accept": "text/html"}
            page = client.request("GET", "/", headers=headers)
    assert "No project yet" in page.text
    assert "headrace init cars --data cars.csv --target price" in page.text


def test_what_waits_is_decided_by_those_who_may(own_site: Site) -> None:
    page = own_site.page("/approvals", by=AUTHOR).text
    assert "operator on project:cars for vera, 2 h" in page
    assert "flight-delay@4" in page
    assert "yours: somebody else decides" in page
    (address,) = re.findall(r'action="(/approvals/grant/[^"]+)"', page)
    html = {"accept": "text/html"}
    refused = own_site.post(address, by=VALIDATOR, data={"decision": "approved"}, headers=html)
    assert refused.status_code == 403
    odd = own_site.post(address, by=AUTHOR, data={"decision": "maybe"}, headers=html)
    assert odd.status_code == 400
    done = own_site.post(address, by=AUTHOR, data={"decision": "approved"}, headers=html)
    assert done.headers["location"] == "/approvals"
    assert "operator on" not in own_site.page("/approvals", by=AUTHOR).text
    assert own_site.post("/api/v1/projects/cars/watch", by=VIEWER).status_code == 200
    gone = own_site.post(address, by=AUTHOR, data={"decision": "approved"}, headers=html)
    assert gone.status_code == 409


@pytest.mark.requirement("GOV-01")
def test_a_reason_does_not_turn_the_page_that_somebody_decides_by(own_site: Site) -> None:
    odd = "refused \u202edevorppa\u2066<b>\x1b[2K"
    html = {"accept": "text/html"}
    flagged = own_site.post("/flag", by=VIEWER, data={"name": "grace", "why": odd}, headers=html)
    assert flagged.status_code == 303
    (address,) = re.findall(
        r'href="(/incidents/[^"]+)">vera finds something about grace', own_site.page("/incidents").text
    )
    for path in (address, "/incidents", "/audit"):
        page = own_site.page(path).text
        assert not set(page) & {"\u202e", "\u2066"}
        assert "<b>" not in page
    assert "refused \\u202edevorppa\\u2066&lt;b&gt;" in own_site.page(address).text


@pytest.mark.requirement("IDN-10")
def test_what_somebody_flags_is_looked_into_and_closed(own_site: Site) -> None:
    html = {"accept": "text/html"}

    def post(path: str, by: str, **form: str) -> int:
        return own_site.post(path, by=by, data=form, headers=html).status_code

    assert post("/flag", VIEWER, name="grace", why="approves at night") == 303
    (address,) = re.findall(
        r'href="(/incidents/[^"]+)">vera finds something about grace', own_site.page("/incidents").text
    )
    assert post(address, VIEWER, step="take") == 403
    assert post(address, AUTHOR, step="shout") == 400
    assert post(address, AUTHOR, step="take") == 303
    assert post(address, AUTHOR, step="note", text="She was on call.") == 303
    assert post(address, AUTHOR, step="close", text="In order: she was on call.") == 303
    assert "In order: she was on call." in own_site.page(address).text
    assert post(address, AUTHOR, step="note", text="late") == 409


def test_a_frozen_identity_can_do_nothing_until_it_is_unfrozen(own_site: Site) -> None:
    html = {"accept": "text/html"}
    bearer = {"authorization": f"Bearer {own_site.token(VIEWER)}"}

    def asked() -> int:
        return own_site.get("/api/v1/projects", by=None, headers=bearer).status_code

    assert asked() == 200
    frozen = own_site.post("/access/vera/freeze", data={"reason": "looked odd"}, headers=html)
    assert frozen.headers["location"] == "/access/vera"
    assert asked() == 401
    assert "Frozen: looked odd" in own_site.page("/access/vera").text
    refused = own_site.post("/access/vera/unfreeze", by=VALIDATOR, headers=html)
    assert refused.status_code == 403
    assert own_site.post("/access/vera/unfreeze", headers=html).status_code == 303
    assert asked() == 200


@pytest.mark.requirement("REG-08")
def test_a_registered_model_that_became_no_release_is_said_where_people_look(own_site: Site) -> None:
    title = "cars version 3 of MLflow became no release: The registered model names 'model.pkl'"
    finding = make_finding(
        project="cars", kind="registration", release_id="", title=title, feature=None, size=0.0,
        window=(START, START), evidence={"model": "models:/cars/3", "registered by": "dev"},
        at=own_site.app.clock.now(),
    )  # fmt: skip
    own_site.app.store.findings.add(finding)
    for path in ("/", "/projects/cars"):
        page = own_site.page(path)
        assert page.status_code == 200
        assert "cars version 3 of MLflow became no release" in page.text
    assert 'href="/releases/"' not in page.text


@pytest.mark.requirement("PRV-01", "GOV-10")
def test_a_release_says_what_approving_it_would_loosen(own_site: Site) -> None:
    store = own_site.app.store
    declared = store.projects.get("cars")
    manifest = make_manifest(project="cars", author=AUTHOR, terms=terms_of(declared))
    release = store.releases.add(make_release(manifest=manifest))
    assert own_site.get(f"/api/v1/releases/{release.id}").json()["loosens"] == []
    tight = replace(declared, privacy=replace(declared.privacy, retention_days=1, encrypt=True))
    store.projects.save(tight, store.projects.path("cars"))
    loosens = own_site.get(f"/api/v1/releases/{release.id}").json()["loosens"]
    assert loosens == [
        {"rule": "privacy.retention_days", "declared": "365", "holds": "1"},
        {"rule": "privacy.encrypt", "declared": "false", "holds": "true"},
    ]
    page = own_site.page(f"/releases/{release.id}", by=VALIDATOR).text
    assert "Approving it loosens what is kept" in page
    assert "<code>privacy.retention_days</code>: from 1 to <strong>365</strong>" in page


def test_a_proposed_fallback_is_shown_let_in_by_an_operator_and_said_in_every_answer(own_site: Site) -> None:
    site, name, path = own_site, "flight-delay", "/api/v1/projects/flight-delay/fallback"
    store = site.app.store
    declared = replace(
        store.projects.get(name), fallback=FallbackSpec(to=f"{name}@1", do="review", failures=10)
    )
    store.projects.save(declared, store.projects.path(name), store.projects.workspace(name))
    assert "stands by" not in site.page(f"/projects/{name}").text
    finding = make_finding(
        project=name, kind="fallback", release_id=site.seeded.live, title="cannot be trusted: 12 of 12 failed"
    )
    store.findings.add(finding)
    store.findings.save_alert(make_alert(project=name, finding_id=finding.id, action="review", state="open"))
    shown = site.page(f"/projects/{name}").text
    assert "cannot be trusted: 12 of 12 failed. The fallback stands by." in shown
    assert f'action="/projects/{name}/fallback"' in shown
    assert "Let the fallback answer" not in site.page(f"/projects/{name}", by=VIEWER).text
    assert site.post(path, by=VIEWER).status_code == 403
    live = site.post(path).json()["live"]
    assert live != site.seeded.live
    route = site.get(f"/api/v1/projects/{name}").json()["route"]
    assert (route["live"], route["stands_in"]) == (live, True)
    shown = site.page(f"/projects/{name}").text
    assert "stands in as the fallback" in shown
    assert "cannot be trusted: 12 of 12 failed (by ada)" in shown
    back = site.post(f"/api/v1/projects/{name}/rollback").json()["live"]
    assert back == site.seeded.live
    assert "stands in as the fallback" not in site.page(f"/projects/{name}").text


def test_who_lacks_a_second_factor_is_led_to_the_page_for_it_and_nobody_elses(own_site: Site) -> None:
    link = '<a href="/security">set one up'
    assert link in own_site.page(f"/access/{AUTHOR}").text
    others = own_site.page(f"/access/{VALIDATOR}").text
    assert "decides without a second factor" in others
    assert link not in others
