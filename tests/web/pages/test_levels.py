from __future__ import annotations

from dataclasses import replace

from headrace.app.gates.load_test import GATE
from headrace.core.project import ServiceLevel, ServingSpec
from headrace.testing import make_verdict
from tests.web.conftest import Site


def test_a_declared_level_and_its_newest_test_are_on_the_projects_page(own_site: Site) -> None:
    site = own_site
    assert "Service level" not in site.page("/projects/cars").text
    projects, evidence = site.app.store.projects, site.app.store.evidence
    level = ServiceLevel(p99_ms=50, requests_per_s=200)
    projects.save(replace(projects.get("cars"), serving=ServingSpec(level=level)), projects.path("cars"))
    page = site.page("/projects/cars").text
    assert "not tested yet" in page
    for number, outcome in enumerate(("failed", "passed")):
        evidence.add_verdict(
            make_verdict(
                id=f"v-{number}",
                subject_id=site.seeded.cars_live,
                gate=GATE,
                outcome=outcome,
                reason="p99_ms: 11.8 ms",
                evidence={"replicas": 3, "steps": [{"sent": 400}]},
            )
        )
    page = site.page("/projects/cars").text
    assert ">holds</a>, tested " in page
    assert "3 replicas" in page
    assert "load test" in site.page(f"/releases/{site.seeded.cars_live}").text
