from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.core.canonical import canonical_json
from headrace.core.errors import InvalidInput, NotFound
from headrace.training.archives import pack_arrays, unpack_arrays
from headrace.training.lock import ENVIRONMENT
from headrace.training.rebuild import rebuild_run
from headrace.training.training_set import ARRAYS
from tests.training.conftest import Trained


@pytest.mark.requirement("TRN-02", "REG-06")
@pytest.mark.parametrize(
    ("kind", "variant"), [("numbers", "lightgbm"), ("two-labels", "linear"), ("days", "lightgbm")]
)
def test_a_run_can_be_made_again_from_its_record(
    trained: dict[str, Trained], tmp_path: Path, kind: str, variant: str
) -> None:
    store, _, _, _, runs = trained[kind]
    result = rebuild_run(store.runs.get(runs[variant].id), store, tmp_path / "scratch")
    assert result.proved_by == "digest"
    assert result.same_digest
    assert result.same_predictions
    assert result.metrics_equal
    assert result.environment == "present"
    assert result.same_environment
    assert result.rebuilt_digest == result.recorded_digest
    assert result.rebuilt_metrics == runs[variant].metrics
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.requirement("TRN-02", "REG-06")
def test_what_differs_is_said(trained: dict[str, Trained], tmp_path: Path) -> None:
    store, _, _, _, runs = trained["numbers"]
    run = runs["baseline"]
    lock = json.loads(store.artifacts.get(run.environment.digest))
    lock["packages"]["lightgbm"] = "1.0"
    elsewhere = replace(
        run,
        environment=store.artifacts.put(canonical_json(lock), ENVIRONMENT),
        metrics={**run.metrics, "mae": 0.0},
        package=runs["linear"].package,
    )
    result = rebuild_run(elsewhere, store, tmp_path, environment="present")
    assert result.proved_by == "predictions"
    assert not result.same_digest
    assert result.largest_difference == 0.0
    assert not result.metrics_equal
    assert not result.same_environment
    assert [line.split(" ")[0] for line in result.differences] == ["lightgbm:"]
    canonical_json(result._asdict())


def test_other_answers_prove_nothing(trained: dict[str, Trained], tmp_path: Path) -> None:
    store, _, _, _, runs = trained["numbers"]
    run = runs["baseline"]
    kept = unpack_arrays(store.artifacts.get(run.outputs["test_predictions"].digest), "It")
    for shown, largest in (({"predict": kept["predict"] + 0.25}, 0.25), ({"other": kept["predict"]}, None)):
        answers = store.artifacts.put(pack_arrays(kept | shown), ARRAYS)
        outputs = run.outputs | {"test_predictions": answers}
        changed = replace(run, outputs=outputs, package=runs["linear"].package)
        result = rebuild_run(changed, store, tmp_path)
        assert result.proved_by == "nothing"
        assert not result.same_predictions
        assert result.largest_difference == (None if largest is None else pytest.approx(largest))


def test_only_a_finished_run_that_is_still_kept_can_be_rebuilt(
    trained: dict[str, Trained], tmp_path: Path
) -> None:
    store, _, _, _, runs = trained["numbers"]
    with pytest.raises(InvalidInput, match="is failed and has no package"):
        rebuild_run(replace(runs["linear"], state="failed", package=None), store, tmp_path)
    lost = replace(runs["linear"], code=replace(runs["linear"].code, digest="0" * 64))
    with pytest.raises(NotFound):
        rebuild_run(lost, store, tmp_path)
    assert not list(tmp_path.iterdir())
