"""What each template brings: metrics, a way into production and checks; and what every one has at once."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.core.release import Release
from headrace.projects.charter import load_project
from headrace.training.registry import lineage
from tests.app.small import Site, Small
from tests.app.test_one_path import KINDS, begun


@pytest.fixture(scope="module")
def first(shared: Site) -> dict[str, tuple[Small, Release]]:
    """Of each kind the project as the template wrote it, after its first run."""
    made = {kind: begun(shared, kind) for kind in KINDS}
    return {kind: (one, one.delivered(one.build()["release_id"])) for kind, one in made.items()}


def evidence(project: Small, release: Release, gate: str) -> dict[str, Any]:
    return project.verdicts(release)[gate].evidence


@pytest.mark.slow
@pytest.mark.requirement("TPL-03")
def test_each_template_has_its_own_metrics_rollout_and_checks(
    first: dict[str, tuple[Small, Release]],
) -> None:
    charters = {kind: load_project(project.folder) for kind, (project, _) in first.items()}
    names = {kind: {one.name for one in charter.metrics} for kind, charter in charters.items()}
    assert names["classification"] == {"balanced_accuracy", "ece"}
    assert names["regression"] == {"r2", "bias"}
    assert names["forecasting"] == {"mase", "bias"}
    assert names["anomaly_detection"] == {"flagged", "stability", "average_precision"}
    steps = {kind: charter.rollout.steps for kind, charter in charters.items()}
    assert steps["classification"] == steps["regression"] == (10, 50)
    assert steps["forecasting"] == (0, 50), "few answers a day: a shadow first"
    assert steps["anomaly_detection"] == (0, 10, 50), "no labels come that would tell: a shadow first"
    assert charters["forecasting"].rollout.min_requests < charters["regression"].rollout.min_requests
    for kind, (project, release) in first.items():
        measured = evidence(project, release, "metrics")["metrics"]
        assert set(measured) == names[kind], kind
    bias = {kind: evidence(project, release, "data_bias") for kind, (project, release) in first.items()}
    assert bias["forecasting"]["columns"] == ["weekday", "month"]
    assert {"absent"} <= bias["forecasting"]["groups"][0].keys()
    assert "label" in bias["regression"]["groups"][0]
    assert "label" not in bias["anomaly_detection"]["groups"][0], "it has no labels to be biased in"
    triggers = {kind: {one.when for one in charter.triggers} for kind, charter in charters.items()}
    assert "performance" in triggers["regression"]
    assert "performance" not in triggers["anomaly_detection"]


@pytest.mark.slow
@pytest.mark.requirement("TPL-04")
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_run_is_logged_versioned_and_held_against_biased_data(
    shared: Site, first: dict[str, tuple[Small, Release]], kind: str
) -> None:
    """With nothing added to what the template wrote."""
    app, (project, release) = shared.app, first[kind]
    judged = project.verdicts(release)["data_bias"]
    assert judged.outcome == "passed", judged.reason
    assert sum(one["share"] for one in judged.evidence["groups"]) == pytest.approx(
        len(judged.evidence["columns"])
    )
    traced = lineage(app.store, project.name, 1)
    assert traced.run.id == release.manifest.run_id
    assert traced.run.state == "finished"
    logged = [e.action for e in app.store.audit.list() if project.name in str(e.resource) + str(e.detail)]
    assert {"data.snapshot"} <= set(logged)
    assert [e for e in app.store.audit.list() if e.resource == f"release:{release.id}"]


@pytest.mark.slow
@pytest.mark.requirement("TPL-04")
def test_a_template_without_labels_notices_that_rows_of_one_kind_lack_more(shared: Site) -> None:
    """The unsupervised template as it is written, on a table where one quarter of the ages is unknown."""
    project = begun(shared, "anomaly_detection", name="lacking", unknown=0.6)
    release = project.delivered(project.build()["release_id"])
    judged = project.verdicts(release)["data_bias"]
    assert judged.outcome == "inconclusive"
    assert "incomplete" in judged.reason
    assert release.state == "waiting", "a person decides"
