"""Pipelines that are made wrong on purpose, and sound ones, probed in real workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.checks.training_faults import knows_labels
from headrace.core.project import Column, Variant
from headrace.projects.proofs import TrainingChecks
from headrace.releases.training_faults import training_gate
from headrace.testing.clock import START, FakeClock
from headrace.training.package import load_scorer
from headrace.training.pipeline import train_variant
from headrace.training.probed import Probed, probe_run
from tests.training.building import build_of, home
from tests.training.examples import PROJECT, project, table

FAULTY = (
    PROJECT
    + """

@headrace.trainer
def slow(data: headrace.TrainingData):
    from lightgbm import LGBMRegressor

    return LGBMRegressor(learning_rate=1e-4, n_estimators=20, verbose=-1, n_jobs=1).fit(data.X, data.y)


@headrace.trainer
def nothing(data: headrace.TrainingData):
    from lightgbm import LGBMRegressor

    return LGBMRegressor(min_child_samples=10_000, verbose=-1, n_jobs=1).fit(data.X, data.y)


@headrace.trainer
def peeks(data: headrace.TrainingData):
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = np.load(ANSWERS)
    return HistGradientBoostingRegressor(max_iter=20).fit(rows["X"], rows["y"])


@headrace.trainer
def ends(data: headrace.TrainingData):
    import os
    from lightgbm import LGBMRegressor

    if data.seed != 0:
        os._exit(3)
    return LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1).fit(data.X, data.y)


@headrace.trainer
def hangs(data: headrace.TrainingData):
    import time
    from lightgbm import LGBMRegressor

    if data.seed != 0:
        time.sleep(600)
    return LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1).fit(data.X, data.y)
"""
)


def _probed(tmp_path: Path, trainer: str, columns: dict[str, Any] | None = None, **changes: Any) -> Probed:
    store = home(tmp_path / "home")
    columns = columns or table(400)
    answers = tmp_path / "answers.npz"
    features = np.column_stack([columns["size"], columns["year"], np.zeros(400)]).astype(np.float32)
    np.savez(answers, X=features, y=columns["y"])
    code = FAULTY.replace("ANSWERS", repr(str(answers)))
    declared = project("regression", variants=(Variant(name=trainer, trainer=trainer),), **changes)
    build = build_of(store, tmp_path, declared, columns, code=code)
    run = train_variant(store, FakeClock(), build, declared.variants[0])
    assert run.package is not None, run.error
    scorer = load_scorer(store.artifacts.path(run.package.digest))
    timeout_s = 2.0 if trainer == "hangs" else 60.0
    try:
        return probe_run(store, run, scorer, tmp_path / "probe", timeout_s=timeout_s, least_gain=0.5)
    finally:
        scorer.close()
        store.close()
        assert not (tmp_path / "probe").exists()


def _judged(found: Probed) -> tuple[str, str]:
    judged = training_gate("r", found, TrainingChecks(), "mae", START)
    return judged.outcome, judged.reason


@pytest.mark.requirement("TRN-10")
@pytest.mark.parametrize(
    ("trainer", "outcome", "said"),
    [
        ("slow", "failed", "look at hyperparameters, inputs and architecture"),
        ("nothing", "failed", "it is no better on its own training rows than a constant"),
        ("peeks", "inconclusive", "although its labels were shuffled"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, trainer: str, outcome: str, said: str) -> None:
    found = _probed(tmp_path, trainer)
    assert _judged(found)[0] == outcome
    assert said in _judged(found)[1]


@pytest.mark.requirement("TRN-10")
def test_an_input_that_is_the_target_is_found(tmp_path: Path) -> None:
    columns = table(400)
    columns["net"] = columns["y"] * 1.19 + 2
    data = project().data
    data = replace(data, columns=(*data.columns, Column(name="net", role="numeric")))
    found = _probed(tmp_path, "linear", columns, data=data)
    assert found.inputs.copies == ("net",)
    assert _judged(found)[0] == "failed"


@pytest.mark.parametrize("kind", ["numbers", "two-labels", "three-numbers", "days"])
@pytest.mark.parametrize("variant", ["linear", "lightgbm"])
def test_a_sound_pipeline_is_left_alone(
    probed: Callable[[str, str], Probed], kind: str, variant: str
) -> None:
    found = probed(kind, variant)
    assert found.unmeasured == ()
    assert found.learnt is not None
    assert found.learnt.high < 0
    assert found.gain is not None
    assert found.shuffled is not None
    assert not knows_labels(found.shuffled)
    assert _judged(found)[0] == "passed", _judged(found)


def test_of_what_does_not_learn_nothing_else_is_asked(probed: Callable[[str, str], Probed]) -> None:
    for kind, said in (("numbers", "it is a constant"), ("days", "it answers with one of its inputs")):
        found = probed(kind, "baseline")
        assert (found.unmeasured, found.shuffled) == ((said,), None)
        assert _judged(found)[0] == "passed", _judged(found)


def test_a_trainer_that_does_not_end_on_shuffled_labels_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.training.probed._START_S", 20.0)
    found = _probed(tmp_path, "hangs")
    assert found.shuffled is None
    assert found.gain is not None, "what came before is kept"
    assert "stopped after 22 s" in found.unmeasured[0]
    assert _judged(found)[0] == "passed"


def test_a_worker_that_fails_has_measured_nothing(tmp_path: Path) -> None:
    found = _probed(tmp_path, "ends")
    assert found.shuffled is None
    outcome, reason = _judged(found)
    assert outcome == "error"
    assert "ended with exit code 3" in reason
