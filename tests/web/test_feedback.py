"""From an answer and what people did with it to KPIs of its version, through the doors that people use."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from tests.web.conftest import Site
from tests.web.samples import samples
from tests.web.seed import VIEWER
from tests.web.watched import brought

CAR = {"mileage": 12_345.0, "model": "a3"}


def asked(site: Site, version: str, n_rows: int = 1, **more: Any) -> list[str]:
    """Row ids of an answer by this version."""
    body = {"records": [CAR] * n_rows, "version": version, **more}
    answer = site.post("/api/v1/predict/cars", json=body)
    assert answer.status_code == 200, answer.text
    subjects: list[str] = answer.json()["subjects"]
    return subjects


def told(site: Site, *events: dict[str, Any]) -> None:
    now = site.app.clock.now().isoformat()
    sent = [{"kind": "result", "happened_at": now, **event} for event in events]
    answered = site.post("/api/v1/projects/cars/feedback", json={"feedback": sent})
    assert answered.status_code == 200, answered.text


@pytest.mark.requirement("MON-20", "MON-22", "FBK-08")
def test_feedback_becomes_kpis_of_each_version_and_the_canary_is_compared_with_the_live_one(
    site: Site,
) -> None:
    early = (site.app.clock.now() - timedelta(minutes=5)).isoformat()
    told(
        site,
        {"kind": "interaction", "subject": "ada", "name": "searched", "page": "/a3", "happened_at": early},
    )
    live = asked(site, "1", 60, keys=["ada", *map(str, range(59))])
    canary = asked(site, "2", 60)
    live, canary = [*live, *asked(site, "1", 60)], [*canary, *asked(site, "2", 60)]
    told(site, {"kind": "opinion", "subject": live[0], "name": "complaint", "text": "far too low"})
    told(
        site,
        {"kind": "opinion", "subject": "nobody-yet", "name": "praise"},
        *({"kind": "opinion", "subject": row, "name": "praise"} for row in canary[:60]),
        *({"kind": "action", "subject": row, "name": "priced", "value": 12_000} for row in live[:6]),
    )
    assert site.post("/api/v1/projects/cars/watch").status_code == 200
    found = site.get("/api/v1/projects/cars/kpis", by=VIEWER).json()
    values = {(one["release_id"], one["feature"]): (one["value"], one["n_rows"]) for one in found}
    first, second = site.seeded.cars_live, site.seeded.canary
    assert values[first, "complaints"] == (1 / 120, 120)
    assert values[second, "praise"] == (0.5, 120)
    assert values[first, "deviation"] == (345.0, 6)
    shown = samples(site.get("/metrics").text)["headrace_kpi"]
    assert shown[f'{{project="cars",release="{second}",kpi="praise",action=""}}'] == 0.5
    rows = list(csv.DictReader(io.StringIO(site.get("/projects/cars/kpis.csv").text)))
    assert {row["kpi"] for row in rows} == {"complaints", "praise", "deviation"}
    page = site.get("/projects/cars").text
    assert "complaints" in page[page.index('id="kpis"') : page.index('id="drift"')]
    page = site.get(f"/releases/{second}").text
    brought_here = page[page.index('id="kpis"') : page.index('id="manifest"')]
    assert "praise" in brought_here
    assert "complaints" not in brought_here, "those are the other release's"
    (row,) = site.get(f"/api/v1/projects/cars/answers/{live[0]}/feedback").json()
    assert [(one["kind"], one["name"]) for one in row["feedback"]] == [
        ("interaction", "searched"),
        ("opinion", "complaint"),
        ("action", "priced"),
    ]
    assert (row["prediction"], row["release_id"], row["feedback"][0]["page"]) == (12_345.0, first, "/a3")
    assert (row["feedback"][1]["text"], row["feedback"][2]["value"]) == ("far too low", 12_000.0)
    whole = site.get(f"/api/v1/projects/cars/answers/{live[0].partition(':')[0]}/feedback").json()
    assert [one["subject"] for one in whole] == live[:60]
    apart = {one["kpi"]: one for one in site.get("/api/v1/projects/cars/kpis/differences").json()}
    praise = apart["praise"]
    assert (praise["release_id"], praise["against"], praise["conclusion"]) == (second, first, "higher")
    # Between the canary's first request and the live release's last one.
    assert (praise["value"], praise["n"], praise["against_value"], praise["confidence"]) == (
        1.0,
        60,
        0.0,
        0.9,
    )
    named = {"release": first, "against": second}
    back = {
        one["kpi"]: one for one in site.get("/api/v1/projects/cars/kpis/differences", params=named).json()
    }
    assert (back["praise"]["conclusion"], back["praise"]["difference"]) == ("lower", -1.0)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("kpis/differences?release=nothing", 404, "nothing"),
        ("kpis/differences?release={live}", 400, "compared with itself"),
        ("kpis/differences?against={flight}", 400, "not of 'cars'"),
        ("answers/nothing/feedback", 404, "no answer 'nothing'"),
        ("answers/%00/feedback", 404, "no answer"),
    ],
)
def test_what_cannot_be_compared_or_is_not_there_is_said(
    site: Site, path: str, status: int, said: str
) -> None:
    place = path.format(live=site.seeded.cars_live, flight=site.seeded.live)
    answered = site.get(f"/api/v1/projects/cars/{place}")
    assert (answered.status_code, said in answered.json()["detail"]) == (status, True), answered.text
    none = site.get("/api/v1/projects/tsa-passengers/kpis/differences")
    assert (none.status_code, "No two releases" in none.json()["detail"]) == (400, True)


def test_the_record_is_needed_to_see_what_happened_around_an_answer(site: Site) -> None:
    assert site.get("/api/v1/projects/cars/answers/any/feedback", by=VIEWER).status_code == 403
    assert site.get("/api/v1/projects/cars/kpis", by=None).status_code == 401


def test_the_page_shows_the_newest_three_releases_of_each_kpi(site: Site) -> None:
    empty = site.get("/projects/tsa-passengers").text
    assert "Nothing is counted yet: feedback is kept, and no event of it is named under" in empty
    assert site.get("/projects/tsa-passengers/kpis.json").json()["rows"] == []
    site.app.store.evidence.measure(brought(site.app.clock.now()))
    page = site.get("/projects/flight-delay").text
    shown = page[page.index('id="kpis"') : page.index('id="drift"')]
    assert shown.count("<tr>") == 1 + 2 * 3
    assert "r-0" not in shown
    assert "<b>" not in shown
    assert "31.2 EUR" in shown.replace("31.25", "31.2")
    assert "29.2 EUR" not in shown.replace("29.25", "29.2")
    assert len(site.get("/projects/flight-delay/kpis.json").json()["rows"]) == 16
