from __future__ import annotations

from datetime import timedelta

import pytest

from tests.web.alarmed import alarm
from tests.web.conftest import Site
from tests.web.seed import VIEWER

PERIODS = "/api/v1/projects/flight-delay/periods"


@pytest.fixture
def alert(site: Site) -> str:
    """The id of an alert that waits for somebody."""
    return alarm(site.app, title="it has shifted")


def test_an_alert_over_http_from_open_to_its_end(site: Site, alert: str) -> None:
    where = f"/api/v1/alerts/{alert}"
    shown = site.get(where, by=VIEWER).json()
    assert (shown["case"]["state"], shown["finding"]["title"], shown["severity"]) == (
        "open", "it has shifted", "warning",
    )  # fmt: skip
    assert {one["channel"] for one in shown["notices"]} == {"email"}
    pending = [one["alert"]["id"] for one in site.get("/api/v1/alerts", params={"pending": True}).json()]
    assert alert in pending
    assert site.post(f"{where}/answer", by=VIEWER, json={"step": "acknowledge"}).status_code == 403
    taken = site.post(f"{where}/answer", json={"step": "acknowledge"})
    assert taken.status_code == 200, taken.text
    assert taken.json()["case"]["state"] == "acknowledged"
    assert site.post(f"{where}/answer", json={"step": "ignore"}).status_code == 400, "no reason"
    ended = site.post(f"{where}/answer", json={"step": "ignore", "why": "a strike"})
    assert ended.json()["case"]["state"] == "ignored"
    assert site.post(f"{where}/answer", json={"step": "note", "why": "x"}).status_code == 409
    assert site.post(f"{where}/answer", json={"step": "lapse"}).status_code == 422
    assert site.get("/api/v1/alerts/nothing-like-it").status_code == 404
    pending = [one["alert"]["id"] for one in site.get("/api/v1/alerts", params={"pending": True}).json()]
    assert alert not in pending


def test_silences_and_events_over_http(site: Site) -> None:
    now = site.app.clock.now()
    silence = {"kind": "silence", "title": "moving", "ends_at": (now + timedelta(hours=1)).isoformat()}
    event = {"kind": "event", "title": "strike", "ends_at": "2020-01-09T00:00:00Z"}
    assert site.post(PERIODS, by=VIEWER, json=silence).status_code == 403
    made = site.post(PERIODS, json=silence)
    assert made.status_code == 201
    assert site.post(PERIODS, json=event).status_code == 400, "it has no beginning"
    assert site.post(PERIODS, json=event | {"starts_at": "2020-01-08T00:00:00Z"}).status_code == 201
    assert [one["title"] for one in site.get(PERIODS, by=VIEWER).json()] == ["moving", "strike"]
    ended = site.post(f"{PERIODS}/{made.json()['id']}/end")
    assert ended.json()["state"] == "withdrawn"
    assert site.post(f"{PERIODS}/{made.json()['id']}/end").status_code == 404
