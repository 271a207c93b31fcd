"""Gate 3a: the package tested end to end against the original, faults planted included."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.core.canonical import canonical_json
from headrace.core.data import Run
from headrace.core.ports import Columns
from headrace.core.project import PrivacySpec
from headrace.data.history import History
from headrace.store import Store
from headrace.training.archives import pack_arrays, pack_files, unpack_arrays, unpack_files
from headrace.training.package import MEDIA_TYPE, load_scorer
from headrace.training.pipeline import recipe_of
from headrace.training.proof import compare_answers, history_difference, prove_package
from headrace.training.training_set import load_rows, load_training_set
from tests.training.conftest import KINDS, Trained


def _files(store: Store, run: Run) -> dict[str, bytes]:
    assert run.package is not None
    return unpack_files(store.artifacts.get(run.package.digest), "It")


def _with_files(store: Store, run: Run, **changed: bytes) -> Run:
    """The same run with parts of its package exchanged."""
    files = _files(store, run) | {name.replace("_", "."): data for name, data in changed.items()}
    return replace(run, package=store.artifacts.put(pack_files(files), MEDIA_TYPE))


@pytest.mark.requirement("GAT-03")
@pytest.mark.parametrize("variant", ["baseline", "linear", "lightgbm"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_package_equals_its_original(trained: dict[str, Trained], kind: str, variant: str) -> None:
    store, declared, build, _, runs = trained[kind]
    proof = prove_package(store, runs[variant])
    assert proof.outcome == "passed", proof.reason
    evidence = proof.evidence
    made = load_training_set(store.artifacts, build.training_set.digest)
    assert evidence["test_rows"]["n_rows"] == made.n_test
    assert evidence["probe_rows"]["n_rows"] > 50
    assert 0 < evidence["single_rows"]["n_rows"] <= 50
    assert evidence["tolerance"] == declared.gates.package.tolerance
    assert ("history_difference" in evidence) == (kind == "days")
    canonical_json(evidence)


@pytest.mark.requirement("GAT-03")
def test_a_changed_threshold_or_leaf_is_caught(trained: dict[str, Trained]) -> None:
    import onnx

    store, _, _, _, runs = trained["numbers"]
    for attribute in ("nodes_splits", "leaf_weights"):
        model = onnx.load_from_string(_files(store, runs["lightgbm"])["model.onnx"])
        changed = 0
        for node in model.graph.node:
            for entry in node.attribute:
                if entry.name == attribute:
                    entry.t.double_data[:] = [value * 1.02 + 0.01 for value in entry.t.double_data]
                    changed += 1
        assert changed == 1
        proof = prove_package(
            store, _with_files(store, runs["lightgbm"], model_onnx=model.SerializeToString())
        )
        assert proof.outcome == "failed"
        assert "the largest difference is" in proof.reason
        assert set(proof.evidence["probe_rows"]["worst_input"]) == {"size", "year", "fuel"}
        assert ", on {'size': " in proof.reason


def test_values_of_people_are_not_shown_in_the_reason(trained: dict[str, Trained]) -> None:
    store, _, _, _, runs = trained["numbers"]
    run = runs["lightgbm"]
    recipe = recipe_of(store, run)
    privacy = PrivacySpec(basis="consent", fields={"year": "drop"})
    people = replace(recipe, project=replace(recipe.project, privacy=privacy))
    kept = store.artifacts.put(canonical_json(people), "application/json")
    files = _files(store, run)
    plan = json.loads(files["plan.json"])
    plan["inputs"][0]["numbers"][0]["steps"] = [["affine", 1.0, 1.0]]
    changed = _with_files(store, run, plan_json=canonical_json(plan))
    proof = prove_package(store, replace(changed, outputs=run.outputs | {"recipe": kept}))
    assert proof.outcome == "failed"
    worst = proof.evidence["probe_rows"]["worst_input"]
    assert (worst["year"], worst["fuel"]) == ("<year>", "<fuel>")
    assert worst["size"] is None or isinstance(worst["size"], float)


@pytest.mark.requirement("GAT-03")
def test_an_answer_that_depends_on_the_rows_beside_it_is_caught(trained: dict[str, Trained]) -> None:
    store, _, _, columns, runs = trained["numbers"]
    rows = {name: values[:20] for name, values in columns.items()}
    scorer = load_scorer(pack_files(_files(store, runs["lightgbm"])))
    alone = compare_answers(scorer.score(rows), scorer, rows, 1e-3, alone=True)
    assert (alone.outcome, alone.n_rows, alone.max_difference) == ("passed", 20, 0.0)

    answer = scorer.score

    def against_the_others(table: Columns) -> dict[str, Any]:
        predicted = answer(table)["predict"]
        return {"predict": predicted - predicted.mean()}

    scorer.score = against_the_others  # type: ignore[assignment, method-assign]
    together = scorer.score(rows)
    assert compare_answers(together, scorer, rows, 1e-3).outcome == "passed"
    assert compare_answers(together, scorer, rows, 1e-3, alone=True).outcome == "failed"


@pytest.mark.requirement("GAT-03")
def test_another_encoding_in_the_package_is_caught(trained: dict[str, Trained]) -> None:
    store, _, _, _, runs = trained["numbers"]
    encoding = json.loads(_files(store, runs["linear"])["encoding.json"])
    encoding["columns"][2]["categories"].reverse()
    proof = prove_package(store, _with_files(store, runs["linear"], encoding_json=canonical_json(encoding)))
    assert proof.outcome == "failed"


@pytest.mark.requirement("GAT-03")
def test_swapped_classes_are_caught(trained: dict[str, Trained]) -> None:
    store, _, _, _, runs = trained["two-labels"]
    info = json.loads(_files(store, runs["lightgbm"])["package.json"])
    info["classes"].reverse()
    proof = prove_package(store, _with_files(store, runs["lightgbm"], package_json=canonical_json(info)))
    assert proof.outcome == "failed"
    assert "another label" in proof.reason


def test_rows_that_the_original_refuses_have_to_be_refused(trained: dict[str, Trained]) -> None:
    store, _, _, columns, runs = trained["numbers"]
    rows = {name: values[:10].copy() for name, values in columns.items()}
    rows["size"][:] = 1.0
    rows["size"][4] = np.nan
    files = _files(store, runs["lightgbm"])
    lenient = load_scorer(pack_files(files))
    given = lenient.score(rows)["predict"]
    answers = {"predict": given.copy()}
    answers["predict"][4] = np.nan
    found = compare_answers(answers, lenient, rows, 1e-3)
    assert found.outcome == "failed"
    assert found.reason == "row 4, which the original refuses, gets an answer from the package"
    plan = json.loads(files["plan.json"]) | {"refuses": ["missing"]}
    strict = load_scorer(pack_files(files | {"plan.json": canonical_json(plan)}))
    assert compare_answers(answers, strict, rows, 1e-3).outcome == "passed"
    found = compare_answers({"predict": given}, strict, rows, 1e-3)
    assert found.reason == "row 4, which the original answers, is refused by the package"


@pytest.mark.requirement("GAT-03")
def test_a_history_that_differs_is_caught(trained: dict[str, Trained]) -> None:
    store, declared, build, _, runs = trained["days"]
    arrays = unpack_arrays(_files(store, runs["baseline"])["history.npz"], "It")
    changed = pack_arrays({**arrays, "values": arrays["values"] + 1})
    run = _with_files(store, runs["baseline"], history_npz=changed)
    proof = prove_package(store, run)
    assert proof.outcome == "failed"
    assert proof.evidence["history_difference"] == pytest.approx(1)
    assert run.package is not None
    scorer = load_scorer(store.artifacts.path(run.package.digest))
    scorer.history = History(arrays["times"][:10], arrays["values"][:10])
    made = load_training_set(store.artifacts, build.training_set.digest)
    assert history_difference(scorer, load_rows(store, declared, made)) == np.inf


def test_what_cannot_be_measured_is_an_error_and_never_a_pass(trained: dict[str, Trained]) -> None:
    store, _, _, _, runs = trained["numbers"]
    run = runs["linear"]
    damaged = store.artifacts.put(b"no package", MEDIA_TYPE)
    gone = replace(damaged, digest="0" * 64)
    for broken in (
        replace(run, package=None),
        replace(run, package=damaged),
        replace(run, package=gone),
        replace(run, outputs={"training_set": run.outputs["training_set"]}),
    ):
        proof = prove_package(store, broken)
        assert proof.outcome == "error"
        assert proof.evidence["error"]
