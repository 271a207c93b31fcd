"""A model card says what is on record, in a form that others can read."""

from __future__ import annotations

import pytest
import yaml

from headrace.app.overviews.cards import HOW, card
from headrace.core.errors import NotFound
from tests.app.small import CODE as SMALL
from tests.app.small import INPUTS, Site

CODE = f"""{SMALL}

@headrace.trainer
def forest(data: headrace.TrainingData):
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(n_estimators=20, random_state=0).fit(data.X, data.y)
"""


@pytest.mark.requirement("GOV-14")
@pytest.mark.parametrize(
    ("trainer", "method", "said"),
    [
        ("listed", "all_subsets", "black box"),
        ("linear", "linear", "weighted sum"),
        ("forest", "trees", "trees"),
    ],
)
def test_a_card_states_how_far_it_explains_and_what_was_used(
    shared: Site, trainer: str, method: str, said: str
) -> None:
    """Data and features by name and digest; a model that nothing can read is called a black box."""
    project = shared.project(f"card-{trainer}", ("trainer: listed", f"trainer: {trainer}"), code=CODE)
    release = project.released()
    text = card(shared.app, project.me, release.id)
    _, before, after = text.split("---\n", 2)
    metadata = yaml.safe_load(before)
    (result,) = metadata["model-index"][0]["results"]
    assert metadata["pipeline_tag"] == result["task"]["type"] == "tabular-regression"
    assert {one["type"]: one["value"] for one in result["metrics"]} == release.manifest.evaluation
    assert result["dataset"]["revision"] == release.manifest.snapshots[0]["digest"]
    for name in INPUTS:
        assert f"`{name}`" in after
    assert release.manifest.snapshots[0]["digest"] in after
    explained = after.split("## How far its answers can be explained")[1].split("##")[0]
    assert f"method `{method}`" in explained
    assert said in explained
    for verdict in project.verdicts(release).values():
        assert f"| {verdict.gate} | {verdict.outcome} |" in after


def test_what_was_not_proved_is_a_limit(shared: Site) -> None:
    project = shared.project("card-worse", ("metric: mae}", "metric: mae, max_loss: 1.0}"))
    release = project.released()
    text = card(shared.app, project.me, release.id)
    limits = text.split("## What limits it")[1]
    assert "- model: failed: mae" in limits
    assert "exceeds the limit 1" in limits


def test_every_method_is_told_and_nothing_else_has_a_card(shared: Site) -> None:
    assert set(HOW) == {"linear", "trees", "all_subsets", "sampled", "lime", "own"}
    with pytest.raises(NotFound):
        card(shared.app, shared.app.me(), "none")
