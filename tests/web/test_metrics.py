from __future__ import annotations

import re
from datetime import timedelta

import pytest

from headrace.checks.profiles import OTHER
from headrace.core.project import ServingSpec
from headrace.core.release import Measurement
from headrace.monitoring.kpis import NAME
from headrace.testing.clock import START
from headrace.testing.factories import make_measurement, make_project
from headrace.web.latency import BOUNDS_S, Latencies, Timed
from headrace.web.metrics import most_frequent
from tests.app.fleet import LEVEL, add_model
from tests.app.promtool import run_promtool
from tests.web.conftest import Site
from tests.web.samples import samples
from tests.web.seed import VIEWER


def test_what_the_server_and_its_models_do_is_exposed(own_site: Site) -> None:
    for _ in range(3):
        body = {"records": [{"mileage": 1.0, "model": "a3"}], "key": "k"}
        assert own_site.post("/api/v1/predict/cars", json=body).status_code == 200
    assert own_site.post("/api/v1/predict/cars", json={"record": {"mileage": 1.0}}).status_code == 400
    assert own_site.get("/v2/models/cars").status_code == 200
    assert own_site.get("/v2/models/made-up").status_code == 404
    response = own_site.get("/metrics", by=VIEWER)
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(response.text)
    assert sum(found["headrace_predictions_total"].values()) == 3
    assert found["headrace_prediction_refusals_total"] == {'{project="cars",principal="ada"}': 1}
    # What was refused is recorded too, a moment later.
    assert found["headrace_log_records_total"]['{project="cars",kind="predictions"}'] == 3
    assert any(own_site.seeded.live in labels for labels in found["headrace_live_release_info"])
    assert list(found["headrace_canary_weight"].values()) == [0.1]
    assert found["headrace_open_alerts"]['{project="flight-delay",action="automatic"}'] == 1
    assert len(found["headrace_drift"]) == 12
    assert next(iter(found["headrace_loss"].values())) > 0.4
    assert next(iter(found["headrace_reference_loss"].values())) == pytest.approx(0.4381)
    counts = found["headrace_request_duration_seconds_count"]
    assert counts['{part="infer",project="cars"}'] == 5
    assert counts['{part="infer",project=""}'] == 1  # a name that is made up makes no series
    ended = found["headrace_responses_total"]
    assert ended['{part="infer",project="cars",status="2xx"}'] == 4
    assert ended['{part="infer",project="cars",status="4xx"}'] == 1
    assert found["headrace_requests_in_flight"] == {'{part="infer"}': 0, '{part="pages"}': 1}


@pytest.mark.requirement("MON-36")
def test_what_is_left_of_the_error_budget_is_exposed_and_shown(own_site: Site) -> None:
    add_model(own_site.app, make_project(name="vans", serving=ServingSpec(level=LEVEL)), START, seed=5)
    add_model(own_site.app, make_project(name="boats"), START, seed=0)
    found = samples(own_site.get("/metrics", by=VIEWER).text)
    assert found["headrace_downtime_seconds"] == {'{project="vans"}': 1500, '{project="boats"}': 0}
    assert list(found["headrace_error_budget_left"]) == ['{project="vans"}'], "nothing else was declared"
    left = found["headrace_error_budget_left"]['{project="vans"}']
    availability = (1 - 1500 / 2_592_000) * (70_000 / 70_006)
    assert found["headrace_availability"]['{project="vans"}'] == pytest.approx(availability)
    assert left == pytest.approx(1 - (1 - availability) / 0.001)
    (said,) = [one for one in own_site.get("/api/v1/service-levels").json() if one["project"] == "vans"]
    assert said["left"] == left
    assert own_site.get("/api/v1/projects/vans/service-level").json() == said
    assert own_site.get("/api/v1/projects/cars/service-level").json() is None
    page = own_site.page("/projects/vans", by=VIEWER).text
    for text in (
        "Error budget left",
        "34 %",
        "25 min without a server",
        "6 of 70,006 failed",
        "declared 99.9 %",
    ):
        assert text in page
    assert "Error budget" not in own_site.page("/projects/boats", by=VIEWER).text


def test_a_kpi_is_exposed_as_it_was_in_the_newest_windows_and_old_ones_are_not_read(own_site: Site) -> None:
    def brought(name: str, day: int, value: float, corrected: int = 0) -> Measurement:
        begin, at = START + timedelta(days=day), START + timedelta(days=30, hours=corrected)
        return make_measurement(
            id=f"{name}-{day}-{corrected}", project="cars", name=NAME, feature=name, value=value, at=at,
            release_id=own_site.seeded.cars_live, window=(begin, begin + timedelta(days=1)),
        )  # fmt: skip

    own_site.app.store.evidence.measure(
        [
            brought("revenue", 0, 1.0),
            *(brought("conversion", day, day / 10) for day in range(6)),
            brought("conversion", 5, 0.9, corrected=1),
            brought("stay", 3, 20.0),
        ]
    )
    found = samples(own_site.get("/metrics", by=VIEWER).text)["headrace_kpi"]
    start = f'{{project="cars",release="{own_site.seeded.cars_live}",kpi='
    assert found == {f'{start}"conversion",action=""}}': 0.9, f'{start}"stay",action=""}}': 20.0}


def test_of_many_categories_the_frequent_ones_are_shown() -> None:
    shown = most_frequent({f"c{i}": 1 for i in range(30)} | {OTHER: 2})
    assert len(shown) == 21
    assert (shown["c0"], shown[OTHER]) == (1, 12)
    assert most_frequent({}) == {}


def test_every_metric_has_help_and_type_once(own_site: Site) -> None:
    text = own_site.get("/metrics").text
    helped = re.findall(r"^# HELP (\S+) .+$", text, re.MULTILINE)
    typed = re.findall(r"^# TYPE (\S+) (?:counter|gauge|histogram)$", text, re.MULTILINE)
    assert helped == typed
    assert len(set(helped)) == len(helped)


def test_prometheus_reads_every_line_and_finds_no_fault(own_site: Site) -> None:
    own_site.post("/api/v1/predict/cars", json={"record": {"mileage": 1.0, "model": "a3"}})
    run_promtool("check", "metrics", text=own_site.get("/metrics").text)


def test_a_histogram_counts_by_upper_bound() -> None:
    latencies = Latencies()
    for duration_s in (0.0001, 0.0005, 0.003, 99.0):
        latencies.observe(Timed("infer", "cars"), duration_s)
    histogram = latencies.series()[Timed("infer", "cars")]
    assert histogram.counts[0] == 2
    assert histogram.counts[BOUNDS_S.index(0.005)] == 1
    assert histogram.counts[-1] == 1
    assert histogram.sum_s == pytest.approx(99.0036)
