from __future__ import annotations

import pytest

from headrace.core.ports import ModelStore
from headrace.core.settings import Settings
from headrace.store import Store
from headrace.testing import ModelStoreSuite
from tests.store.children import Child, number_models, running


class TestSqlModelStore(ModelStoreSuite):
    @pytest.fixture
    def models(self, store: Store) -> ModelStore:
        return store.models


@pytest.mark.requirement("REG-01")
def test_processes_get_numbers_without_gaps(store: Store, settings: Settings) -> None:
    runs = [[f"run-{child}-{n}" for n in range(20)] + ["shared"] for child in range(2)]
    children = [Child(number_models, settings, mine) for mine in runs]
    with running(*children):
        numbered = [pair for child in children for message in child.finish() for pair in message]
    assert sorted({version for _, version in numbered}) == list(range(1, 42))
    assert len(dict(numbered)) == 41
    assert len(set(numbered)) == 41
    assert [model.version for model in store.models.list("cars")] == list(range(1, 42))
