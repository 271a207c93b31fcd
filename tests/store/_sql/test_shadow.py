"""What is counted by several at the same time is counted together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from headrace.core.settings import Settings
from headrace.store import Store, open_store
from headrace.store.shadow import ShadowUse
from headrace.testing import START, FakeClock


def _use(name: str, n: int = 1, minutes: int = 0, workspace: str = "main") -> ShadowUse:
    at = START + timedelta(minutes=minutes)
    return ShadowUse(
        id=name, workspace=workspace, subject="key", what=name, who="", first_at=at, last_at=at, n=n
    )


@pytest.mark.requirement("GOV-08")
def test_counts_add_up_and_times_widen(store: Store) -> None:
    assert store.shadow.count(_use("a", 2, 5)) == _use("a", 2, 5)
    store.shadow.count(_use("a", 3, 9))
    now = store.shadow.count(_use("a", 1, 1))
    assert (now.n, now.revision) == (6, 2)
    assert (now.first_at, now.last_at) == (START + timedelta(minutes=1), START + timedelta(minutes=9))
    assert store.shadow.list() == [now]


def test_ids_are_those_of_one_kind_in_one_workspace(store: Store) -> None:
    for one in (_use("a"), _use("b"), _use("c", workspace="team-b")):
        store.shadow.count(one)
    assert store.shadow.ids("main", "key") == {"a", "b"}
    assert store.shadow.ids("team-b", "key") == {"c"}
    assert store.shadow.ids("main", "host") == set()


@pytest.mark.requirement("GOV-08")
def test_the_same_counted_by_two_stores_at_once_is_counted_twice(store: Store, settings: Settings) -> None:
    other = open_store(settings, FakeClock())
    together = threading.Barrier(2)

    def process(mine: Store) -> None:
        together.wait()
        for number in range(20):
            mine.shadow.count(_use(f"k{number}", 10))

    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(process, (store, other)))
    finally:
        other.close()
    assert {one.id: one.n for one in store.shadow.list()} == {f"k{number}": 20 for number in range(20)}
