"""Estimators that bring code of their own: kept, named, and run in a process of their own."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.core.data import Run
from headrace.core.errors import GateFailed, InvalidInput, ModelFailed
from headrace.core.project import Variant
from headrace.store import Store
from headrace.testing.clock import FakeClock
from headrace.training.archives import pack_files, unpack_files
from headrace.training.own_code import scan_package
from headrace.training.package import PackageInfo, load_scorer
from headrace.training.pipeline import train_variant
from headrace.training.proof import prove_package
from headrace.training.rebuild import rebuild_run
from tests.training.building import build_of, home
from tests.training.examples import PROJECT, project, table

OWN = (
    PROJECT
    + """

import numpy

import shrinking


class Slopes:
    def __init__(self, strength):
        self.strength = strength

    def fit(self, X, y):
        full = numpy.column_stack([numpy.ones(len(X)), numpy.nan_to_num(X)])
        self.slopes = shrinking.solve(full, y, self.strength)
        return self

    def predict(self, X):
        X = numpy.nan_to_num(numpy.asarray(X, dtype=float))
        return numpy.column_stack([numpy.ones(len(X)), X]) @ self.slopes


class Chances(Slopes):
    def predict_proba(self, X):
        score = 1 / (1 + numpy.exp(-super().predict(X)))
        return numpy.column_stack([1 - score, score])

    def predict(self, X):
        return self.predict_proba(X).argmax(axis=1)


class Frames(Slopes):
    def fit(self, frame, y):
        self.feature_names_in_ = numpy.array(list(frame.columns), dtype=object)
        return super().fit(self._numbers(frame), y)

    def predict(self, frame):
        return super().predict(self._numbers(frame))

    def _numbers(self, frame):
        return numpy.column_stack([frame["size"], frame["year"], frame["fuel"].fillna("").str.len()])


def _made(kind, data, strength):
    return kind(strength).fit(data.X, data.y)


@headrace.trainer
def own(data: headrace.TrainingData, strength: float = 1.0):
    return _made(Chances if data.classes else Slopes, data, strength)


@headrace.trainer
def frames(data: headrace.TrainingData):
    return Frames(1.0).fit(data.frame, data.y)


@headrace.trainer
def hidden(data: headrace.TrainingData):
    class Inner(Slopes):
        pass

    return _made(Inner, data, 1.0)


@headrace.trainer
def counts(data: headrace.TrainingData):
    from statsmodels.discrete.discrete_model import NegativeBinomial

    return NegativeBinomial(numpy.abs(data.y).round(), numpy.nan_to_num(data.X)[:, :2]).fit(disp=0)
"""
)
PRYING = """\
import os
import socket

import numpy


class Slopes:
    def predict(self, X):
        secrets = sum("CANARY" in name for name in os.environ)
        try:
            socket.socket()
            return numpy.full(len(X), 1.0 + 10 * secrets)
        except PermissionError:
            return numpy.full(len(X), 10.0 * secrets)
"""
LYING = """\
import os
import sys

import numpy


class Slopes:
    def predict(self, X):
        LIE
        return numpy.zeros(len(X))
"""
SHRINKING = """\
import numpy


def solve(full, y, strength):
    return numpy.linalg.solve(full.T @ full + strength * numpy.eye(full.shape[1]), full.T @ y)
"""


def _run(tmp_path: Path, trainer: str, task: Any = "regression", **params: Any) -> tuple[Store, Run]:
    store = home(tmp_path / "home")
    columns = table(200, classes=() if task == "regression" else ("cheap", "dear"))
    columns["size"] = np.nan_to_num(columns["size"])
    variant = Variant(name=trainer, trainer=trainer, params=params)
    declared = project(task, variants=(variant,))
    build = build_of(store, tmp_path, declared, columns, code=OWN, modules={"shrinking.py": SHRINKING})
    return store, train_variant(store, FakeClock(), build, variant)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Run]]:
    """A run of the trainer of that name; tests read what it left."""
    store, run = _run(tmp_path_factory.mktemp("own"), "own")
    yield store, run
    store.close()


@pytest.fixture
def files(own: tuple[Store, Run]) -> dict[str, bytes]:
    """The files of its package."""
    return unpack_files(_package(*own), "it")


def _package(store: Store, run: Run) -> bytes:
    assert run.package is not None, run.error
    return store.artifacts.get(run.package.digest)


@pytest.mark.requirement("TPL-08")
@pytest.mark.parametrize(
    ("trainer", "task", "names"),
    [
        ("own", "regression", ["project.Slopes"]),
        ("own", "classification", ["project.Chances"]),
        ("frames", "regression", ["project.Frames"]),
    ],
)
def test_a_class_of_the_project_is_kept_with_its_code_and_proved_equal(
    tmp_path: Path, trainer: str, task: Any, names: list[str]
) -> None:
    store, run = _run(tmp_path, trainer, task)
    package = _package(store, run)
    found = scan_package(package, "package.zip")
    assert (found.threats, [one.name for one in found.code]) == ((), [*names, "shrinking.py"])
    assert [one.origin for one in found.code] == ["project.py", "shrinking.py"]
    assert {"code/project.py", "code/shrinking.py"} <= set(unpack_files(package, "it"))
    proof = prove_package(store, run)
    assert proof.outcome == "passed", proof.reason
    rebuilt = rebuild_run(run, store, tmp_path / "again", environment="present")
    assert rebuilt.proved_by == "digest"
    store.close()


@pytest.mark.requirement("TPL-08")
def test_a_framework_that_is_on_no_list_is_kept_and_named_with_its_version(tmp_path: Path) -> None:
    pytest.importorskip("statsmodels")
    store, run = _run(tmp_path, "counts")
    found = scan_package(_package(store, run), "package.zip")
    assert found.threats == ()
    assert any(one.origin.startswith("statsmodels ") for one in found.code), found.code
    assert prove_package(store, run).outcome == "passed"
    store.close()


@pytest.mark.requirement("TPL-08")
def test_its_code_has_no_network_and_none_of_our_secrets(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CANARY", "secret")
    monkeypatch.setenv("HEADRACE_CANARY", "secret")
    scorer = load_scorer(pack_files(files | {"code/project.py": PRYING.encode()}))
    row = {"size": np.array([1.0]), "year": np.array([2015.0]), "fuel": np.array(["petrol"], object)}
    assert scorer.score(row)["predict"].tolist() == [0.0 if sys.platform == "linux" else 1.0]
    scorer.close()


def test_its_code_is_never_loaded_by_the_one_that_asks(files: dict[str, bytes]) -> None:
    files["code/project.py"] = b"import os\nos._exit(3)\n"
    with pytest.raises((InvalidInput, ModelFailed), match="exit code 3"):
        load_scorer(pack_files(files))
    as_native = files["package.json"].replace(b'"own"', b'"native"')
    with pytest.raises(GateFailed, match="not trusted"):
        load_scorer(pack_files(files | {"package.json": as_native}))


def test_a_class_within_a_function_cannot_be_kept_and_says_where_to_put_it(tmp_path: Path) -> None:
    store, run = _run(tmp_path, "hidden")
    assert run.package is None
    assert "Define its class at the top of project.py" in str(run.error)
    store.close()


class _Harm:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self._made = call, arguments

    def __reduce__(self) -> Any:
        return self._made


@pytest.mark.parametrize(
    "harm",
    [_Harm(eval, "1"), _Harm(__import__("os").system, "true"), _Harm(__import__("shutil").rmtree, "x")],
)
def test_what_reaches_for_the_system_stays_a_threat(files: dict[str, bytes], harm: Any) -> None:
    found = scan_package(pack_files(files | {"model.pkl": pickle.dumps(harm)}), "package.zip")
    assert "no estimator needs" in str(found.threats)


@pytest.mark.parametrize(
    "path", ["sklearn/linear_model/_base.py", "joblib/__init__.py", "os.py", "headrace.py"]
)
def test_a_module_that_would_stand_in_for_another_is_a_threat(files: dict[str, bytes], path: str) -> None:
    found = scan_package(pack_files(files | {f"code/{path}": b"1"}), "package.zip")
    assert "stands in for the module" in str(found.threats)


def test_a_pickle_that_names_nothing_of_it_does_not_hide_a_module(files: dict[str, bytes]) -> None:
    found = scan_package(pack_files(files | {"model.pkl": pickle.dumps(1.0)}), "package.zip")
    assert [one.name for one in found.code] == ["project.py", "shrinking.py"], "a person sees them all"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("os.write(int(sys.argv[2]), (1 << 30).to_bytes(4, 'big'))", "more than any answer"),
        ("os.write(int(sys.argv[2]), bytes([0, 0, 0, 1, 193]))", "wrote into the pipe"),
        ("os.write(int(sys.argv[2]), bytes([0, 0, 0, 1, 128]))", "no number for each"),
    ],
)
def test_what_it_writes_into_the_pipe_is_taken_for_no_answer(
    files: dict[str, bytes], body: str, said: str
) -> None:
    lying = LYING.replace("LIE", body)
    scorer = load_scorer(pack_files(files | {"code/project.py": lying.encode()}))
    row = {"size": np.array([1.0]), "year": np.array([2015.0]), "fuel": np.array(["petrol"], object)}
    for _ in range(2):
        with pytest.raises(ModelFailed, match=said):
            scorer.score(row)
    scorer.close()


class _Asked:
    """Has no package, and counts how often somebody asks for all there are."""

    n_times = 0

    @staticmethod
    def find_spec(*_: object) -> None:
        return None

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[Distribution]:
        self.n_times += context.name is None
        return iter(())


def test_a_scan_looks_once_into_what_is_installed(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = pickle.dumps([pytest.approx, pytest.fixture, pytest.raises])
    package = pack_files(files | {"model.pkl": named})
    asked = _Asked()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, asked])
    found = scan_package(package, "package.zip")
    assert sum(one.origin.startswith("pytest ") for one in found.code) == 3, found.code
    assert asked.n_times == 1, "each time takes half a second"


def test_only_modules_may_lie_beside_it(files: dict[str, bytes]) -> None:
    for name, content in (("code/run.sh", b"#!/bin/sh\n"), ("other.py", b"1"), ("code/x.so", b"\x7fELF")):
        found = scan_package(pack_files(files | {name: content}), "package.zip")
        assert [one.kind for one in found.threats] == ["user_code"], name


def test_of_any_other_package_everything_is_a_threat_as_before() -> None:
    info = PackageInfo(project="p", variant="v", task="regression", target="y", engine="native")
    files = {"package.json": b'{"engine": "native"}', "model.pkl": pickle.dumps(_Harm(eval, "1"))}
    assert [one.kind for one in scan_package(pack_files(files), "package.zip").threats] == ["code"]
    assert scan_package(b"no zip", "package.zip").code == ()
    assert replace(info, engine="own").engine == "own"
