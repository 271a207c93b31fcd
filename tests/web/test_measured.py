"""What was measured by hour, segment and metric, as it is asked for over HTTP and scraped."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.core.release import Measurement
from headrace.testing import make_snapshot
from tests.web.conftest import Site
from tests.web.samples import samples


@pytest.mark.requirement("MON-32")
def test_usage_by_consumer_is_listed_and_a_metric(own_site: Site) -> None:
    now = own_site.app.clock.now()
    usage = {"shop": {"calls": 40, "predictions": 90}, "app": {"calls": 2, "predictions": 2}}
    old, new = (
        Measurement(
            id=f"hour-{hours}", project="cars", name="calls", value=42.0, n_rows=92, at=now,
            window=(now - timedelta(hours=hours + 1), now - timedelta(hours=hours)),
            detail={"day_before": 50, "week_before": None, "consumers": usage, "deviating": []},
        )
        for hours in (100, 0)
    )  # fmt: skip
    own_site.app.store.evidence.measure([old, new])
    listed = own_site.get("/api/v1/projects/cars/traffic").json()
    assert [one["id"] for one in listed if one["id"].startswith("hour")] == [old.id, new.id]
    assert listed[-1]["detail"]["consumers"] == usage
    newest = own_site.get("/api/v1/projects/cars/traffic", params={"days": 1}).json()
    assert old.id not in {one["id"] for one in newest}
    shown = samples(own_site.get("/metrics").text)
    assert shown["headrace_hour_calls"]['{project="cars",principal="shop"}'] == 40
    assert shown["headrace_hour_calls"]['{project="cars",principal="app"}'] == 2
    assert shown["headrace_hour_calls_before"]['{project="cars",before="day"}'] == 50
    assert '{project="cars",before="week"}' not in shown["headrace_hour_calls_before"]


@pytest.mark.requirement("MON-31")
def test_the_age_of_the_live_model_is_a_metric(own_site: Site) -> None:
    release = own_site.app.store.releases.get(own_site.seeded.cars_live)
    trained = own_site.app.store.runs.get(release.manifest.run_id).finished_at
    assert trained is not None
    ages = samples(own_site.get("/metrics").text)["headrace_model_age_seconds"]
    passed = (own_site.app.clock.now() - trained).total_seconds()
    assert 0 < passed - 60 <= ages['{project="cars"}'] <= passed


@pytest.mark.requirement("MON-05")
def test_a_metrics_value_and_its_trend_are_exposed(own_site: Site) -> None:
    live, now = own_site.seeded.cars_live, own_site.app.clock.now()
    old, new = (
        Measurement(
            id=f"trend-{n}", project="cars", name="trend", value=float(n), n_rows=10, release_id=live,
            at=now + timedelta(seconds=n), window=(now, now), feature="mae",
            detail={"current": 1000.0 + n, "windows": 8},
        )
        for n in (1, 2)
    )  # fmt: skip
    own_site.app.store.evidence.measure([new, old])
    shown = samples(own_site.get("/metrics").text)
    labels = f'{{project="cars",release="{live}",metric="mae"}}'
    assert shown["headrace_metric"][labels] == 1002
    assert shown["headrace_metric_trend"][labels] == 2


def test_segments_are_listed_with_the_most_labels(own_site: Site) -> None:
    now = own_site.app.clock.now()
    few, many, other = (
        Measurement(
            id=f"{metric}-{n}", project="cars", name="segment", value=0.9, n_rows=n, at=now, release_id="r-1",
            window=(now, now), feature="fuel", segment="petrol", detail={"metric": metric, "coverage": 0.5},
        )
        for metric, n in (("accuracy", 10), ("accuracy", 20), ("recall", 10))
    )  # fmt: skip
    own_site.app.store.evidence.measure([few, many, other])
    listed = own_site.get("/api/v1/projects/cars/segments").json()
    assert {one["id"] for one in listed} == {many.id, other.id}


def test_segments_by_yes_and_no_are_named_so(own_site: Site) -> None:
    app = own_site.app
    now = app.clock.now()
    app.store.snapshots.add(make_snapshot(id="newest", columns={"used": "boolean", "doors": "number"}))
    app.store.evidence.measure([
        Measurement(
            id=f"{column}-{name}", project="cars", name="segment", value=0.9, n_rows=9, at=now,
            release_id="r-1", window=(now, now), feature=column, segment=name,
            detail={"metric": "mae", "coverage": 0.5},
        )
        for column in ("used", "doors") for name in ("0", "1")
    ])  # fmt: skip
    listed = own_site.get("/api/v1/projects/cars/segments").json()
    named = {f"{one['feature']} {one['segment']}" for one in listed}
    assert named == {"used no", "used yes", "doors 0", "doors 1"}
