from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from headrace.checks.loading import load_pickle
from headrace.core.errors import GateFailed, InvalidInput
from tests.checks import benign, hostile

HOSTILE = hostile.contents()


@pytest.mark.parametrize("name", [n for n in HOSTILE if n.endswith((".pkl", ".joblib"))])
def test_a_hostile_pickle_is_not_loaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    if name == "bomb.joblib":
        path.write_bytes(hostile.contents(1 << 10)[name])
    with pytest.raises(GateFailed, match="was refused before anything loaded it"):
        load_pickle(path)
    assert not (tmp_path / hostile.MARKER).exists()


def test_a_real_model_answers_as_before(tmp_path: Path) -> None:
    X = np.random.default_rng(1).normal(size=(9, 3))
    models = benign.estimators()
    for name in ("logistic", "tree", "forest", "histogram", "pipeline", "ball_tree", "lightgbm"):
        for ending in ("pkl", "joblib"):
            path = tmp_path / f"{name}.{ending}"
            path.write_bytes(benign.contents()[path.name])
            assert (load_pickle(path).predict_proba(X) == models[name].predict_proba(X)).all()


def test_arrays_of_joblib_come_back(tmp_path: Path) -> None:
    for name in ("arrays.joblib", "arrays.joblib.gz"):
        path = tmp_path / name
        path.write_bytes(benign.contents()[name])
        record, ones, objects, number, texts = load_pickle(path)
        assert record.dtype.names == ("a", "b", "c")
        assert ones.shape == (3, 2)
        assert objects.tolist() == ["x", None, {"a": 1}]
        assert (float(number), texts.tolist()) == (1.5, [b"a", b"bc"])


def test_what_a_module_has_imported_from_elsewhere_is_not_found(tmp_path: Path) -> None:
    # A class-like name, in a module of scikit-learn, but a class of another library.
    path = tmp_path / "borrowed.pkl"
    path.write_bytes(b"\x80\x04" + hostile.stack_global("sklearn.utils.validation", "ComplexWarning") + b".")
    with pytest.raises(GateFailed, match="ComplexWarning, which is not trusted"):
        load_pickle(path)


def test_a_name_that_this_version_does_not_have_is_the_files_fault(tmp_path: Path) -> None:
    path = tmp_path / "old.pkl"
    path.write_bytes(b"\x80\x04" + hostile.stack_global("sklearn.linear_model", "GoneRegressor") + b".")
    with pytest.raises(InvalidInput, match=r"old\.pkl cannot be loaded: AttributeError"):
        load_pickle(path)


def test_plain_values_come_back(tmp_path: Path) -> None:
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps({"a": [1, 2.5, None, (True, b"x")]}))
    assert load_pickle(path) == {"a": [1, 2.5, None, (True, b"x")]}
