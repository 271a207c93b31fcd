"""The shipped dashboard and rules, beside what a server really exposes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from headrace.core.project import ServiceLevel
from headrace.plugins.nvidia import Gpu
from headrace.web.process_metrics import process_lines
from tests.app.queries import alert_queries, dashboard_queries, selected
from tests.web.conftest import Site
from tests.web.samples import samples
from tests.web.seed import VIEWER

_SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus adds itself."""


def _busy(site: Site) -> str:
    """``/metrics`` of a server to which everything has happened that there is a metric for."""
    store, parts = site.app.store, site.server.parts
    declared = store.projects.get("cars")
    level = ServiceLevel(p99_ms=50, requests_per_s=100)
    store.projects.save(
        replace(declared, serving=replace(declared.serving, level=level)), store.projects.path("cars")
    )
    parts.distributions.keep([site.seeded.cars_live, site.seeded.canary])
    for _ in range(5):
        body = {"records": [{"mileage": 1.0, "model": "a3"}]}
        assert site.post("/api/v1/predict/cars", json=body).status_code == 200
    assert site.post("/api/v1/predict/cars", json={"record": {"mileage": 1.0}}).status_code == 400
    for tally in parts.handler.tallies().values():
        tally.raised(ValueError())
    parts.recorder._lost["cars/predictions"] = 1
    parts.recorder._forgone["cars"] = 1
    gpu = process_lines(lambda: [Gpu("0", 0.5, 10, 20)])
    return site.get("/metrics", by=VIEWER).text + "\n".join(gpu) + "\n"


@pytest.mark.requirement("MON-26")
@pytest.mark.requirement("MON-02")
def test_every_metric_and_label_of_dashboard_and_rules_is_one_that_a_server_exposes(own_site: Site) -> None:
    labels: dict[str, set[str]] = {}
    for line in _busy(own_site).splitlines():
        if not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            labels.setdefault(name, set()).update(re.findall(r'([a-z_]+)="', line))
    missing = []
    for query in [*dashboard_queries(), *alert_queries()]:
        for name, asked in selected(query):
            if name != "up" and (name not in labels or asked - labels[name] - _SCRAPED):
                missing.append((name, sorted(asked), sorted(labels.get(name, ()))))
    assert missing == []


@pytest.mark.requirement("MON-01")
def test_preparation_and_the_models_part_are_histograms_of_their_own(own_site: Site) -> None:
    found = samples(_busy(own_site))
    for part in ("prepare", "infer"):
        counts = found[f"headrace_prediction_{part}_seconds_count"]
        assert sum(counts.values()) == 5
        assert {label for labels in counts for label in re.findall(r'([a-z_]+)="', labels)} == {
            "project",
            "release",
        }
        assert sum(found[f"headrace_prediction_{part}_seconds_sum"].values()) > 0


def test_what_is_used_and_what_there_is_are_both_told(own_site: Site) -> None:
    found = samples(_busy(own_site))
    (used,), (most,) = (
        found[name].values() for name in ("process_resident_memory_bytes", "headrace_memory_limit_bytes")
    )
    assert 0 < used < most
    assert found["headrace_usable_cpus"][""] > 0
    before = found["process_cpu_seconds_total"][""]
    assert samples(own_site.get("/metrics").text)["process_cpu_seconds_total"][""] >= before > 0
    assert found["headrace_service_level_p99_seconds"] == {'{project="cars"}': 0.05}


def test_another_projects_readers_see_no_level_and_no_exception_of_it(own_site: Site) -> None:
    text = _busy(own_site)
    assert 'headrace_prediction_exceptions_total{project="cars"' in text
    site = own_site
    site.app.identities.add("mallory", ["viewer"], actor="ada", workspace="elsewhere")
    assert 'project="cars"' not in site.get("/metrics", by="mallory").text
