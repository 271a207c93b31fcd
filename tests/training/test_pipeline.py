"""Training a variant: recorded first, repeatable, and honest about failures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.core.data import Run
from headrace.core.errors import NotFound, UserCodeError
from headrace.core.ids import derived_id
from headrace.store import Store
from headrace.testing.clock import FakeClock
from headrace.training.archives import unpack_arrays
from headrace.training.package import load_scorer
from headrace.training.pipeline import choose_best, recipe_of, train_variant
from tests.training.building import build_of
from tests.training.conftest import KINDS, Trained
from tests.training.examples import project, table, variant

CONSTANT = """\
import headrace


@headrace.trainer
def baseline(data, factor=1.0):
    from headrace.training.baselines import ConstantModel

    return ConstantModel(task=data.task).fit(data.X, data.y * factor)
"""
BROKEN = "import headrace\n\n\n@headrace.trainer\ndef baseline(data):\n    return data.X / data.nothing\n"


@pytest.mark.requirement("TRN-09")
@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_ends_in_a_package_that_answers(trained: dict[str, Trained], kind: str) -> None:
    store, declared, _, columns, runs = trained[kind]
    assert [run.error for run in runs.values()] == [None, None, None]
    for run in runs.values():
        assert run.package is not None
        assert store.artifacts.has(run.package.digest)
        scorer = load_scorer(store.artifacts.path(run.package.digest))
        rows = {name: values[-5:] for name, values in columns.items() if name != "y"}
        assert scorer.score(scorer.complete(rows))["predict"].shape == (5,)
        assert declared.gates.model.metric in run.metrics
    metric = declared.gates.model.metric
    assert runs["linear"].metrics[metric] < runs["baseline"].metrics[metric]


@pytest.mark.requirement("EXP-01")
def test_a_run_records_what_it_was_made_from_and_what_came_out(trained: dict[str, Trained]) -> None:
    store, declared, build, _, runs = trained["two-labels"]
    run = store.runs.get(runs["lightgbm"].id)
    assert run == runs["lightgbm"]
    assert (run.state, run.author, run.cause, run.seed) == ("finished", "ann", "manual", 0)
    assert (run.code, run.environment) == (build.code, build.environment)
    assert {"log_loss", "brier", "error_rate", "auc", "precision", "recall"} <= set(run.metrics)
    assert {"load", "train", "package"} <= set(run.timings_s)
    assert set(run.outputs) == {
        "recipe",
        "training_set",
        "test_predictions",
        "probe_predictions",
        "probe_rows",
        "search",
        "estimator",
        "log",
    }
    recipe = recipe_of(store, run)
    assert (recipe.project, recipe.variant.name) == (declared, "lightgbm")
    answers = unpack_arrays(store.artifacts.get(run.outputs["test_predictions"].digest), "They")
    assert answers["probability"].shape == (36, 2)
    estimator = json.loads(store.artifacts.get(run.outputs["estimator"].digest))
    assert estimator["type"] == "lightgbm.sklearn.LGBMClassifier"
    assert estimator["params"]["n_estimators"] == 20


@pytest.mark.requirement("TRN-03")
def test_the_declared_parameters_reach_the_trainer(store: Store, tmp_path: Path) -> None:
    declared = project(seed=5)
    build = build_of(store, tmp_path, declared, table(), code=CONSTANT)
    plain = train_variant(store, FakeClock(), build, variant())
    scaled = train_variant(store, FakeClock(), build, replace(variant(factor=2.0), name="scaled"))
    assert scaled.params == {"factor": 2.0}
    assert scaled.seed == 5
    predicted = []
    for run in (plain, scaled):
        assert run.package is not None
        predicted.append(load_scorer(store.artifacts.path(run.package.digest)).score_row([1.0, 2.0, None]))
    assert predicted[1]["predict"] == pytest.approx(2 * predicted[0]["predict"])


@pytest.mark.requirement("TRN-02")
def test_the_same_inputs_give_the_same_package_and_an_equal_run_is_reused(
    store: Store, tmp_path: Path
) -> None:
    first = build_of(store, tmp_path, project(), table(), code=CONSTANT)
    again = build_of(store, tmp_path, project(), table(), code=CONSTANT, build_id="build-2")
    changed = build_of(store, tmp_path, project(), table(), code=CONSTANT + "\n", build_id="build-3")
    runs = [train_variant(store, FakeClock(), build, variant()) for build in (first, again, changed)]
    assert len({run.id for run in runs}) == 3
    assert runs[1].fingerprint == runs[0].fingerprint != runs[2].fingerprint
    assert runs[0].package == runs[1].package == runs[2].package
    assert json.loads(store.artifacts.get(runs[1].outputs["reused"].digest)) == {"run_id": runs[0].id}
    assert "reused" not in runs[2].outputs
    assert runs[1].metrics == runs[0].metrics


@pytest.mark.requirement("PRM-02")
def test_what_others_are_asked_for_is_asked_for_again(store: Store, tmp_path: Path) -> None:
    said = iter(["a model", "another one"])

    def make(_store: Store, run: Run, _folder: Path, _timeout_s: float) -> Run:
        package = store.artifacts.put(b"a prompt", "text/plain")
        return replace(run, package=package, params=run.params | {"pin answered by": next(said)})

    builds = [
        build_of(store, tmp_path, project(), table(), code=CONSTANT, build_id=f"build-{n}") for n in "12"
    ]
    runs = [train_variant(store, FakeClock(), build, variant(), make) for build in builds]
    assert runs[0].fingerprint == runs[1].fingerprint
    assert [run.params["pin answered by"] for run in runs] == ["a model", "another one"]
    assert train_variant(store, FakeClock(), builds[0], variant(), make) == runs[0], "it has ended"


def test_an_ended_run_is_not_trained_again(store: Store, tmp_path: Path) -> None:
    build = build_of(store, tmp_path, project(), table(), code=CONSTANT)
    run = train_variant(store, FakeClock(), build, variant())
    assert train_variant(store, FakeClock(), replace(build, code=build.environment), variant()) == run


def test_an_interrupted_run_goes_on_under_its_id(store: Store, tmp_path: Path) -> None:
    build = build_of(store, tmp_path, project(), table(), code=CONSTANT)
    whole = train_variant(store, FakeClock(), build, variant())
    interrupted = replace(
        whole,
        id=derived_id("run", "build-2", "baseline"),
        build_id="build-2",
        state="running",
        fingerprint="none like it",
        finished_at=None,
        package=None,
        metrics={},
        timings_s={},
        outputs={name: whole.outputs[name] for name in ("recipe", "training_set")},
    )
    store.runs.save(interrupted)
    left = build.scratch / interrupted.id
    left.mkdir(parents=True)
    (left / "half-written").write_text("from the attempt before")
    resumed = train_variant(store, FakeClock(), replace(build, id="build-2"), variant())
    assert (resumed.id, resumed.state, resumed.package) == (interrupted.id, "finished", whole.package)
    assert resumed.fingerprint == "none like it"
    assert len(store.runs.list(build.project.name)) == 2


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            BROKEN,
            r"project.py:6 in baseline: AttributeError: 'TrainingData' object has no attribute 'nothing'",
        ),
        (CONSTANT.replace("factor=1.0", "other=1.0"), "cannot be called with the parameters"),
        ("import headrace\nboom\n", "project.py:2: NameError"),
        (CONSTANT.replace("def baseline", "def renamed"), "no trainer 'baseline'; it has: renamed"),
    ],
)
def test_what_the_users_code_does_wrong_makes_a_failed_run(
    store: Store, tmp_path: Path, code: str, message: str
) -> None:
    build = build_of(store, tmp_path, project(), table(), code=code)
    run = train_variant(store, FakeClock(), build, variant(factor=1.0) if "other" in code else variant())
    assert run.state == "failed"
    assert run.package is None
    assert run.error is not None
    assert message in run.error
    assert store.runs.get(run.id) == run
    assert store.runs.list(build.project.name, state="failed") == [run]
    assert not list(build.scratch.glob("*"))


def test_the_archived_code_is_trained_not_what_the_folder_holds_now(store: Store, tmp_path: Path) -> None:
    build = build_of(store, tmp_path, project(), table(), code=CONSTANT)
    (tmp_path / "code" / build.id / "project.py").write_text(BROKEN)
    assert train_variant(store, FakeClock(), build, variant()).error is None


def test_the_best_variant_has_the_smallest_loss(trained: dict[str, Trained]) -> None:
    runs = list(trained["numbers"].runs.values())
    best = choose_best(runs, "mae")
    assert best.metrics["mae"] == min(run.metrics["mae"] for run in runs)
    same = [replace(run, metrics={"mae": 1.0}) for run in runs]
    assert choose_best(same, "mae") is same[0]
    failed = [replace(run, state="failed", error=f"{run.variant} broke") for run in runs]
    with pytest.raises(UserCodeError, match=r"baseline: baseline broke; linear: linear broke"):
        choose_best(failed, "mae")
    alike = [replace(run, state="failed", error="project.py:1: SyntaxError") for run in runs]
    with pytest.raises(UserCodeError, match=r"released\. baseline, linear[^:]*: project.py:1: SyntaxError$"):
        choose_best(alike, "mae")
    with pytest.raises(UserCodeError, match="No variant is declared"):
        choose_best([], "mae")


def test_a_run_from_elsewhere_has_no_recipe(trained: dict[str, Trained]) -> None:
    store, _, _, _, runs = trained["numbers"]
    with pytest.raises(NotFound, match="has no recipe"):
        recipe_of(store, replace(runs["linear"], outputs={}))
