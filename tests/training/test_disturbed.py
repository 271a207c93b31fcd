"""Models that are fragile on purpose, and sound ones, asked about rows that are a little off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from headrace.core.ports import Columns
from headrace.core.project import Variant
from headrace.projects.proofs import RobustnessChecks
from headrace.releases.robustness import robustness_gate
from headrace.testing.clock import START, FakeClock
from headrace.training.disturbed import Disturbance, Disturbed, disturb_run
from headrace.training.package import PackageScorer, load_scorer
from headrace.training.pipeline import train_variant
from tests.training.building import build_of, home
from tests.training.conftest import Trained
from tests.training.examples import PROJECT, project, table

HALF = Disturbance(allowed=0.5, noise=0.1, reach=0.1)
FRAGILE = (
    PROJECT
    + """

@headrace.trainer
def digits(data: headrace.TrainingData):
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(random_state=0).fit(data.X, data.y)
"""
)


def _found(trained: Trained, variant: str, done: Disturbance = HALF) -> Disturbed:
    store, _, _, _, runs = trained
    run = runs[variant]
    assert run.package is not None
    scorer = load_scorer(store.artifacts.path(run.package.digest))
    try:
        return disturb_run(store, run, scorer, done)
    finally:
        scorer.close()


@pytest.mark.parametrize("kind", ["numbers", "two-labels", "three-numbers", "days"])
@pytest.mark.parametrize("variant", ["baseline", "linear", "lightgbm"])
def test_a_sound_model_passes_without_any_limit(trained: dict[str, Trained], kind: str, variant: str) -> None:
    found = _found(trained[kind], variant)
    judged = robustness_gate("r", found, RobustnessChecks(), "mae", START)
    assert judged.outcome == "passed", judged.reason
    assert found.noise is not None
    assert found.attack is not None
    assert found.attack.flipped.n == min(40, found.n_rows)
    assert [one.name for one in found.missing] == ([] if kind == "days" else ["size", "fuel"])


def test_the_same_run_is_asked_the_same(trained: dict[str, Trained]) -> None:
    assert _found(trained["numbers"], "lightgbm") == _found(trained["numbers"], "lightgbm")


def test_only_inputs_that_may_be_missing_are_taken_away(trained: dict[str, Trained]) -> None:
    found = _found(trained["numbers"], "lightgbm", replace(HALF, missing=("year",)))
    assert [one.name for one in found.missing] == ["year"]
    assert found.missing[0].share_lost is not None
    assert found.missing[0].share_lost > 0.3
    strict = robustness_gate("r", found, RobustnessChecks(loss=0.05), "mae", START)
    assert strict.outcome != "passed"
    assert "without year the loss goes from" in strict.reason


class Silent:
    """A package that does not answer every eighth row where ``size`` is missing."""

    def __init__(self, scorer: PackageScorer) -> None:
        self._scorer = scorer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def score(self, columns: Columns) -> Any:
        answers = dict(self._scorer.score(columns))
        gone = np.isnan(np.asarray(columns["size"], dtype=float)).all()
        silent = gone & (np.arange(len(answers["predict"])) % 8 == 0)
        return answers | {"predict": np.where(silent, np.nan, answers["predict"])}


def test_rows_that_are_not_answered_any_more_count_against_a_model(trained: dict[str, Trained]) -> None:
    store, _, _, _, runs = trained["numbers"]
    run = runs["lightgbm"]
    assert run.package is not None
    scorer = load_scorer(store.artifacts.path(run.package.digest))
    only = replace(HALF, missing=("size",))
    answering, silent = (disturb_run(store, run, one, only) for one in (scorer, cast(Any, Silent(scorer))))
    scorer.close()
    assert answering.missing[0].share_lost is not None
    assert silent.missing[0].share_lost is not None
    assert silent.missing[0].share_lost > answering.missing[0].share_lost


def test_a_model_that_hangs_on_digits_waits_for_a_person(tmp_path: Path) -> None:
    columns = table(600)
    # The target hangs on the third digit, which no measurement of the input will have.
    columns["size"] = np.random.default_rng(5).integers(0, 40, 600) / 40 + 1.0
    columns["y"] = (np.round(columns["size"] * 40) % 2) * 10 + columns["year"] * 0.0
    store = home(tmp_path / "home")
    declared = project("regression", variants=(Variant(name="digits", trainer="digits"),))
    run = train_variant(
        store, FakeClock(), build_of(store, tmp_path, declared, columns, code=FRAGILE), declared.variants[0]
    )
    assert run.package is not None, run.error
    scorer = load_scorer(store.artifacts.path(run.package.digest))
    found = disturb_run(store, run, scorer, HALF)
    judged = robustness_gate("r", found, RobustnessChecks(), "mae", START)
    assert judged.outcome == "inconclusive"
    assert "relies on digits" in judged.reason
    assert robustness_gate("r", found, RobustnessChecks(loss=0.5), "mae", START).outcome == "failed"
    turned = robustness_gate("r", found, RobustnessChecks(flipped=0.1), "mae", START)
    assert "a search turned" in turned.reason
    store.close()
