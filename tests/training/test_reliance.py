"""What models rely on: leaks that are planted, and sound models."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.core.project import Column, Variant
from headrace.releases.explanations import explanations_gate
from headrace.testing.clock import START, FakeClock
from headrace.training.package import PackageScorer, load_scorer
from headrace.training.pipeline import train_variant
from headrace.training.probed import Probed, probe_run
from headrace.training.reliance import Reliance, reliance_of
from tests.training.building import build_of, home
from tests.training.conftest import Trained
from tests.training.examples import PROJECT, project, table

Probe = Callable[[PackageScorer], Probed]
RULE = (
    PROJECT
    + """

@headrace.trainer
def rule(data: headrace.TrainingData):
    import numpy as np
    from sklearn.linear_model import LinearRegression

    made = LinearRegression().fit(data.X[:2], data.y[:2])
    made.coef_, made.intercept_ = np.array([3.0, 1.0, 0.5]), -2013.0
    return made
"""
)


def _relied(store: Any, run: Any, probe: Probe, explainer: str = "shapley") -> Reliance:
    assert run.package is not None, run.error
    with closing(load_scorer(store.artifacts.path(run.package.digest))) as scorer:
        return reliance_of(store, run, scorer, probe(scorer), explainer=explainer)


def _built(tmp_path: Path, trainer: str, columns: dict[str, Any], **changes: Any) -> Reliance:
    store = home(tmp_path / "home")
    task = changes.pop("task", "regression")
    declared = project(task, variants=(Variant(name=trainer, trainer=trainer),), **changes)
    build = build_of(store, tmp_path, declared, columns, code=RULE)
    run = train_variant(store, FakeClock(), build, declared.variants[0])

    def probe(scorer: PackageScorer) -> Probed:
        return probe_run(store, run, scorer, tmp_path / "probe", timeout_s=60.0, least_gain=0.5)

    found = _relied(store, run, probe)
    store.close()
    return found


@pytest.mark.parametrize("kind", ["numbers", "two-labels", "three-numbers", "days"])
@pytest.mark.parametrize("variant", ["linear", "lightgbm"])
def test_a_sound_model_passes(
    trained: dict[str, Trained], probed: Callable[[str, str], Probed], kind: str, variant: str
) -> None:
    store, _, _, _, runs = trained[kind]
    found = _relied(store, runs[variant], lambda _: probed(kind, variant))
    judged = explanations_gate("r", found, START)
    assert judged.outcome == "passed", judged.reason
    assert found.same is False
    assert found.n_controls == 5
    assert found.n_explained >= 3
    assert sum(one.share for one in found.inputs) == pytest.approx(1.0)
    assert "contributions add up" in judged.reason


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_leak_of_the_target_waits_for_a_person(tmp_path: Path, task: Any) -> None:
    columns = table(600, classes=() if task == "regression" else ("kept", "sold"))
    random = np.random.default_rng(2)
    if task == "regression":
        columns["paid"] = np.abs(columns["y"]) ** 1.5 * np.sign(columns["y"])
    else:
        # Known only when it was sold: no copy of the target, and as good as one.
        columns["days"] = np.where(
            columns["y"] == "sold", random.uniform(5, 60, 600), random.uniform(-60, 5, 600)
        )
    name = "paid" if task == "regression" else "days"
    data = project().data
    data = replace(data, columns=(*data.columns, Column(name=name, role="numeric")))
    found = _built(tmp_path, "lightgbm", columns, data=data, task=task)
    judged = explanations_gate("r", found, START)
    assert (judged.outcome, judged.evidence["suspects"]) == ("inconclusive", [name])
    assert f"{name} (says " in judged.reason
    assert "Is it known when an answer is wanted?" in judged.reason


def test_a_rule_that_has_learnt_nothing_explains_nothing(tmp_path: Path) -> None:
    columns = table(400)
    columns["size"] = np.nan_to_num(columns["size"])
    found = _built(tmp_path, "rule", columns)
    assert found.same is True
    judged = explanations_gate("r", found, START)
    assert judged.outcome == "inconclusive"
    assert "says nothing of what it has learnt" in judged.reason


def test_where_contributions_need_not_add_up_that_is_said(
    trained: dict[str, Trained], probed: Callable[[str, str], Probed]
) -> None:
    store, _, _, _, runs = trained["numbers"]
    found = _relied(store, runs["linear"], lambda _: probed("numbers", "linear"), explainer="lime")
    assert (found.n_explained, found.unexplained) == (0, "contributions need not add up by lime")
    judged = explanations_gate("r", replace(found, wrong="they add up to 3"), START)
    assert (judged.outcome, judged.reason) == (
        "inconclusive",
        "its answers cannot be explained: they add up to 3",
    )
