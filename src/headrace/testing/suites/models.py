"""What every model store promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from headrace.core.errors import Conflict, NotFound
from headrace.core.ports import ModelStore
from headrace.testing.factories import make_artifact, make_model


class ModelStoreSuite:
    """Fixture ``models``: an empty store."""

    @pytest.mark.requirement("REG-01")
    def test_versions_are_numbered_from_one_per_project(self, models: ModelStore) -> None:
        assert [models.add(make_model(version=77)).version for _ in range(3)] == [1, 2, 3]
        assert models.add(make_model(project="boats")).version == 1

    @pytest.mark.requirement("REG-01")
    def test_a_version_comes_back_and_does_not_change(self, models: ModelStore) -> None:
        model = make_model()
        added = models.add(model)
        assert added == replace(model, version=1)
        again = models.add(replace(model, package=make_artifact(b"other")))
        assert again == added == models.get("cars", 1)
        assert models.list("cars") == [added]

    def test_the_list_is_oldest_first(self, models: ModelStore) -> None:
        added = [models.add(make_model()) for _ in range(12)]
        assert models.list("cars") == added
        assert models.list("boats") == []

    def test_the_registry_version_is_noted_once(self, models: ModelStore) -> None:
        added = models.add(make_model())
        models.set_registry_version("cars", 1, "17")
        models.set_registry_version("cars", 1, "18")
        assert models.get("cars", 1) == replace(added, registry_version="17")

    def test_an_absent_version_is_not_found(self, models: ModelStore) -> None:
        models.add(make_model())
        with pytest.raises(NotFound):
            models.get("cars", 2)
        with pytest.raises(NotFound):
            models.get("boats", 1)
        with pytest.raises(NotFound):
            models.set_registry_version("cars", 2, "1")

    @pytest.mark.requirement("REG-04")
    def test_one_from_elsewhere_keeps_its_number(self, models: ModelStore) -> None:
        came = make_model(version=3)
        assert models.adopt(came) == models.adopt(came) == models.get("cars", 3) == came
        assert models.add(make_model()).version == 4
        with pytest.raises(Conflict, match="keeps its number"):
            models.adopt(make_model(version=3))
        with pytest.raises(Conflict, match="keeps its number"):
            models.adopt(replace(came, version=9))

    @pytest.mark.requirement("REG-01")
    def test_threads_get_numbers_without_gaps(self, models: ModelStore) -> None:
        runs = [make_model() for _ in range(24)]
        with ThreadPoolExecutor(8) as threads:
            added = list(threads.map(models.add, runs + runs))
        assert sorted({model.version for model in added}) == list(range(1, 25))
        assert {m.run_id: m.version for m in added[:24]} == {m.run_id: m.version for m in added[24:]}
