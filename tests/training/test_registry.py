from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.core.data import Artifact, ModelVersion, Point, Run
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ports import ArtifactStore
from headrace.testing.clock import FakeClock
from headrace.training.registry import lineage, publish_model, register_model
from tests.training.conftest import Trained


class Notebook:
    """A tracker that only remembers what it was told."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.packages: list[bytes] = []

    def log_run(self, run: Run, series: Mapping[str, Sequence[Point]] | None = None) -> str:
        assert series is None
        self.runs.append(run.id)
        return f"tracked-{run.id}"

    def register(self, model: ModelVersion, package: Path) -> str:
        self.packages.append(package.read_bytes())
        return "41"

    def fetch(self, project: str, model: str, version: str, folder: Path) -> None:
        raise AssertionError("nothing is fetched here")

    def annotate(self, project: str, model: str, version: str, tags: Mapping[str, str]) -> None:
        raise AssertionError("publishing a model says nothing of it")

    def set_live(self, project: str, registry_version: str) -> None:
        raise AssertionError("publishing a model does not make it live")


@pytest.mark.requirement("REG-01")
def test_finished_runs_get_numbers_and_keep_them(trained: dict[str, Trained]) -> None:
    store, declared, _, _, runs = trained["three-numbers"]
    models = [register_model(store, FakeClock(), runs[name]) for name in ("linear", "lightgbm", "linear")]
    assert [model.version for model in models] == [1, 2, 1]
    assert models[0] == models[2] == store.models.get(declared.name, 1)
    assert models[0].package == runs["linear"].package
    with pytest.raises(InvalidInput, match="failed and has no package"):
        register_model(store, FakeClock(), replace(runs["linear"], state="failed", package=None))


@pytest.mark.requirement("REG-01")
def test_the_team_s_tracker_is_told_once_or_often(trained: dict[str, Trained]) -> None:
    store, declared, _, _, runs = trained["two-labels"]
    model = register_model(store, FakeClock(), runs["linear"])
    tracker = Notebook()
    assert publish_model(store, tracker, model) == publish_model(store, tracker, model) == "41"
    assert set(tracker.runs) == {runs["linear"].id}
    assert tracker.packages[0] == store.artifacts.get(model.package.digest)
    assert store.models.get(declared.name, model.version).registry_version == "41"


@pytest.mark.requirement("REG-03")
def test_a_version_resolves_to_everything_it_was_made_from(trained: dict[str, Trained]) -> None:
    store, declared, build, columns, runs = trained["numbers"]
    model = register_model(store, FakeClock(), runs["lightgbm"])
    found = lineage(store, declared.name, model.version)
    assert found.run == runs["lightgbm"]
    assert found.snapshot.n_rows == len(columns["y"])
    assert store.artifacts.has(found.snapshot.raw.digest)
    assert found.features.columns == ("size", "year", "fuel")
    assert (found.code, found.environment) == (build.code, build.environment)
    assert (found.params, found.seed) == ({}, 0)
    assert found.training_set.snapshot_digest == found.snapshot.digest


@pytest.mark.requirement("REG-03")
@pytest.mark.parametrize("hole", ["code", "environment", "package", "raw"])
def test_a_lineage_with_a_hole_is_not_reported_as_whole(
    trained: dict[str, Trained], tmp_path: Path, hole: str
) -> None:
    store, declared, _, _, runs = trained["days"]
    model = register_model(store, FakeClock(), runs["linear"])
    whole = lineage(store, declared.name, model.version)
    lost = {
        "code": whole.code,
        "environment": whole.environment,
        "package": model.package,
        "raw": whole.snapshot.raw,
    }[hole]
    holed = replace(store, artifacts=WithoutOne(store.artifacts, lost.digest))
    with pytest.raises(NotFound, match=lost.digest):
        lineage(holed, declared.name, model.version)
    with pytest.raises(NotFound):
        lineage(store, declared.name, 9)


class WithoutOne:
    """An artefact store that has lost one thing."""

    def __init__(self, store: ArtifactStore, lost: str) -> None:
        self._store = store
        self._lost = lost

    def put(self, data: bytes, media_type: str) -> Artifact:
        return self._store.put(data, media_type)

    def put_file(self, path: Path, media_type: str) -> Artifact:
        return self._store.put_file(path, media_type)

    def get(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def path(self, digest: str) -> Path:
        if digest == self._lost:
            raise NotFound(f"{digest} is lost")
        return self._store.path(digest)

    def has(self, digest: str) -> bool:
        return digest != self._lost and self._store.has(digest)

    def remove(self, digest: str) -> bool:
        return self._store.remove(digest)
