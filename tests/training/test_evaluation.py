from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.core.errors import InvalidInput
from headrace.training.evaluation import compare_with, evaluate
from headrace.training.package import PackageScorer, load_scorer
from headrace.training.training_set import load_rows, load_training_set, trained_on
from tests.training.conftest import KINDS, Trained
from tests.training.examples import table


def _scorer(trained: Trained, variant: str) -> PackageScorer:
    package = trained.runs[variant].package
    assert package is not None
    return load_scorer(trained.store.artifacts.path(package.digest))


@pytest.mark.parametrize("kind", KINDS)
def test_variants_are_measured_on_the_same_test_rows(trained: dict[str, Trained], kind: str) -> None:
    store, declared, build, _, runs = trained[kind]
    failed = replace(runs["linear"], state="failed", error="broke")
    found = evaluate(store, [*runs.values(), failed])
    assert [one.variant for one in found] == ["baseline", "linear", "lightgbm"]
    n_test = load_training_set(store.artifacts, build.training_set.digest).n_test
    for one in found:
        assert one.losses.shape == (n_test,)
        assert one.loss.estimate == pytest.approx(one.metrics[declared.gates.model.metric])
        assert one.loss.low <= one.loss.estimate <= one.loss.high
    assert found[0].against_first.estimate == 0
    assert found[1].against_first.estimate < 0
    assert evaluate(store, [failed]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_packages_losses_are_those_of_the_originals(trained: dict[str, Trained], kind: str) -> None:
    store, declared, build, _, runs = trained[kind]
    rows = load_rows(store, declared, load_training_set(store.artifacts, build.training_set.digest))
    found = compare_with(
        _scorer(trained[kind], "lightgbm"),
        _scorer(trained[kind], "baseline"),
        rows.test_columns(),
        rows.truth(),
        declared.gates.model.metric,
    )
    metric = declared.gates.model.metric
    assert found.loss == pytest.approx(runs["lightgbm"].metrics[metric], rel=1e-4)
    assert found.other_loss == pytest.approx(runs["baseline"].metrics[metric], rel=1e-4)
    assert found.difference.estimate == pytest.approx(found.loss - found.other_loss)
    assert (found.n_rows, found.n_excluded) == (len(rows.test), 0)


def test_rows_of_one_customer_are_no_news_of_others(trained: dict[str, Trained]) -> None:
    store, declared, build, columns, _ = trained["numbers"]
    rows = load_rows(store, declared, load_training_set(store.artifacts, build.training_set.digest))
    pair = _scorer(trained["numbers"], "linear"), _scorer(trained["numbers"], "baseline")
    asked = (*pair, rows.test_columns(), rows.truth(), "mae")
    alone = compare_with(*asked)
    groups = np.arange(len(rows.test)) // 9
    found = compare_with(*asked, groups=groups)
    assert found.difference.estimate == alone.difference.estimate
    assert found.difference != alone.difference
    excluded = np.arange(len(rows.test)) < 9
    assert compare_with(*asked, groups=groups, excluded=excluded).difference.n == len(rows.test) - 9
    assert rows.groups(declared) is None
    keyed = replace(declared, data=replace(declared.data, key="y"))
    assert rows.groups(keyed) == pytest.approx(rows.truth())
    assert "y" in columns


def test_rows_that_either_trained_on_do_not_count(trained: dict[str, Trained]) -> None:
    store, declared, build, columns, _ = trained["numbers"]
    made = load_training_set(store.artifacts, build.training_set.digest)
    both = {name: np.concatenate([columns[name], table(30, seed=8)[name]]) for name in columns}
    excluded = trained_on(store.artifacts, made, both)
    pair = _scorer(trained["numbers"], "linear"), _scorer(trained["numbers"], "baseline")
    found = compare_with(*pair, both, both["y"], "mae", excluded=excluded)
    assert (found.n_rows, found.n_excluded) == (36 + 30, 84)
    assert found.difference.high < 0
    with pytest.raises(InvalidInput, match="None of 150 rows is new to both"):
        compare_with(*pair, both, both["y"], "mae", excluded=np.ones(150, dtype=bool))
    assert declared.name == "numbers"


def test_a_class_that_one_package_does_not_know_counts_against_it(trained: dict[str, Trained]) -> None:
    scorer = _scorer(trained["two-labels"], "lightgbm")
    columns = table(30, seed=8)
    truth = np.full(30, "unheard-of", dtype=object)
    found = compare_with(scorer, scorer, columns, truth, "log_loss")
    assert found.loss > 10
    assert found.difference.estimate == 0
