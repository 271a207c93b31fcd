from __future__ import annotations

import pytest

from headrace.core.errors import Conflict
from headrace.core.ports import RunStore
from headrace.store import Store
from headrace.testing import RunStoreSuite, make_run


class TestSqlRunStore(RunStoreSuite):
    @pytest.fixture
    def runs(self, store: Store) -> RunStore:
        return store.runs


@pytest.mark.parametrize("change", [{"project": "boats"}, {"variant": "other"}, {"build_id": "b-9"}])
def test_an_id_belongs_to_one_variant_of_one_build(store: Store, change: dict[str, str]) -> None:
    running = make_run(state="running")
    store.runs.save(running)
    with pytest.raises(Conflict, match="its own id"):
        store.runs.save(make_run(id=running.id, **change))
    assert store.runs.get(running.id) == running
