"""What is shown of the values that were asked and answered; each test changes the project."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.web.conftest import Site
from tests.web.samples import samples
from tests.web.seed import VIEWER


@pytest.mark.requirement("MON-06")
@pytest.mark.requirement("MON-26")
def test_values_are_exposed_in_the_bins_of_training(own_site: Site) -> None:
    site = own_site
    site.server.parts.distributions.keep([site.seeded.cars_live, site.seeded.canary])
    for mileage, model in ((2_000.0, "a3"), (None, "a3"), (1e6, "made up")):
        body = {"records": [{"mileage": mileage, "model": model}], "key": "k"}
        assert site.post("/api/v1/predict/cars", json=body).status_code == 200
    found = samples(site.get("/metrics", by=VIEWER).text)
    inputs = 'kind="input",name='
    buckets = {k: v for k, v in found["headrace_value_bucket"].items() if f'{inputs}"mileage"' in k}
    assert sum(v for k, v in buckets.items() if 'le="+Inf"' in k) == 2
    assert max(v for k, v in buckets.items() if 'le="+Inf"' not in k) == 1
    assert sum(v for k, v in found["headrace_value_sum"].items() if f'{inputs}"mileage"' in k) == 1_002_000
    missing = found["headrace_value_missing_total"]
    assert sum(v for k, v in missing.items() if f'{inputs}"mileage"' in k) == 1
    categories = {k: v for k, v in found["headrace_value_category_total"].items() if v}
    assert sum(v for k, v in categories.items() if 'category="a3"' in k) == 2
    assert sum(v for k, v in categories.items() if 'category="(other)"' in k) == 1
    assert not any("made up" in k for k in categories), "what callers write is no name of a series"


@pytest.mark.requirement("PRV-07")
def test_what_may_not_be_written_down_is_not_exposed(own_site: Site) -> None:
    site = own_site
    projects = site.app.store.projects
    declared = projects.get("cars")
    hidden = replace(declared, privacy=replace(declared.privacy, fields={"model": "hash"}))
    projects.save(hidden, projects.path("cars"))
    site.server.parts.distributions.keep([site.seeded.cars_live, site.seeded.canary])
    body = {"records": [{"mileage": 1.0, "model": "a3"}], "key": "k"}
    assert site.post("/api/v1/predict/cars", json=body).status_code == 200
    text = site.get("/metrics", by=VIEWER).text
    of_cars = [line for line in text.splitlines() if 'project="cars"' in line and "kind=" in line]
    assert any('name="mileage"' in line for line in of_cars)
    assert not any('name="model"' in line for line in of_cars)
