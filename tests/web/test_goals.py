"""One definition of what a project is held to: every surface shows it, and none has its own."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from headrace.app.dashboards import shipped
from headrace.app.overviews.goals import goals
from headrace.cli.main import app as command_line
from headrace.core.project import FairnessSpec, KpiSpec, MetricSpec, Project, ServiceLevel
from headrace.core.release import Route
from headrace.projects.goals import goals_of
from headrace.testing import make_project
from headrace.testing.factories import make_manifest, make_release
from tests.web.conftest import Site
from tests.web.samples import samples
from tests.web.seed import VIEWER


def held(p99_ms: float, *, project: Project) -> Project:
    return replace(
        project,
        metrics=(MetricSpec(name="r2", min=0.5), MetricSpec(name="bias")),
        kpis=(KpiSpec(name="sold", event="sold"),),
        intake={"value": {"expected": 12000, "unit": "EUR"}},
        serving=replace(project.serving, level=ServiceLevel(p99_ms=p99_ms, requests_per_s=20.0)),
    )


def shown(site: Site, home: str) -> dict[str, dict[str, Any]]:
    """By surface: name of each goal to its limit, as somebody reads it there."""
    found: dict[str, dict[str, Any]] = {}
    api = site.get("/api/v1/projects/cars/goals", by=VIEWER).json()
    found["api"] = {one["name"]: one["limit"] for one in api}
    page = site.page("/projects/cars/readiness", by=VIEWER).text
    rows = re.findall(r'<span class="sub">([a-z_.0-9]+)</span></th>\s*<td[^>]*>([^<]+)</td>', page)
    found["page"] = {name: html.unescape(said) for name, said in rows}
    environment = {"HEADRACE_HOME": home, "HEADRACE_USER": "ada"}
    printed = CliRunner().invoke(command_line, ["project", "goals", "cars", "--json"], env=environment)
    found["cli"] = {one["name"]: one["limit"] for one in json.loads(printed.stdout)}
    exposed = samples(site.get("/metrics", by=VIEWER).text)["headrace_goal"]
    found["metrics"] = {
        match[1]: value
        for labels, value in exposed.items()
        if 'project="cars"' in labels and (match := re.search(r'goal="([^"]+)"', labels))
    }
    return found


@pytest.mark.requirement("ORG-11")
def test_pages_command_line_api_and_metrics_show_the_charters_own_goals(own_site: Site) -> None:
    site, store = own_site, own_site.app.store.projects
    for p99_ms in (50.0, 80.0):
        store.save(held(p99_ms, project=store.get("cars")), store.path("cars"))
        defined = goals(site.app, site.app.me(), "cars")
        limits = {one.name: one.limit for one in defined}
        assert limits["serving.level.p99_ms"] == p99_ms
        assert {"value.kpi", "kpis.sold", "metrics.r2.min", "intake.value.expected"} <= limits.keys()
        found = shown(site, str(site.app.settings.home))
        assert found["api"] == found["cli"] == limits
        assert found["metrics"] == {name: limit for name, limit in limits.items() if limit is not None}
        assert found["page"].items() >= {one.name: one.said for one in defined}.items()
        level = samples(site.get("/metrics", by=VIEWER).text)["headrace_service_level_p99_seconds"]
        assert level['{project="cars"}'] == p99_ms / 1000, "alert rules compare with the same number"


@pytest.mark.requirement("ORG-11")
def test_goals_that_no_live_release_carries_do_not_hold_yet(own_site: Site) -> None:
    site, store = own_site, own_site.app.store
    approved = held(50.0, project=store.projects.get("cars"))
    release = make_release(manifest=make_manifest(project="cars", charter=approved))
    release = replace(release, signature=site.app.access.signatures.sign(release))
    route = store.rollouts.route("cars")
    assert route is not None
    live = store.releases.add(release).id
    store.rollouts.set_route(Route(project="cars", live=live, revision=route.revision + 1))
    store.projects.save(held(80.0, project=approved), store.projects.path("cars"))
    for surface, found in shown(site, str(site.app.settings.home)).items():
        assert "50" in str(found["serving.level.p99_ms"]), surface


@pytest.mark.requirement("ORG-11")
def test_the_dashboard_reads_the_goals_and_defines_none() -> None:
    panels = {one["title"]: one for one in json.loads(shipped("grafana-dashboard.json"))["panels"]}
    assert "headrace_goal{" in panels["Goals"]["targets"][0]["expr"]
    levels = [one for one in panels.values() if "headrace_service_level" in json.dumps(one)]
    assert len(levels) == 3, "speed, rate and availability are drawn against what is declared"


@pytest.mark.requirement("ORG-11")
def test_a_goal_is_defined_once_and_every_role_finds_its_own() -> None:
    project = held(50, project=make_project(task="classification"))
    project = replace(project, fairness=FairnessSpec(groups=("model",), favourable="a"))
    defined = goals_of(project)
    names = [one.name for one in defined]
    assert len(names) == len(set(names))
    roles = {role for one in defined for role in one.roles}
    assert roles == {"business", "data science", "development", "operations", "security"}
    assert all(one.what and one.roles for one in defined)
    assert all((one.limit is None) == (one.must == "stated") for one in defined)


def test_a_metric_is_called_as_people_write_it() -> None:
    measured = tuple(MetricSpec(name=name) for name in ("bias", "mae", "log_loss"))
    defined = goals_of(replace(make_project(), metrics=measured))
    said = [one.what for one in defined if "every version" in one.what]
    assert said == ["bias of every version", "MAE of every version", "log loss of every version"]
