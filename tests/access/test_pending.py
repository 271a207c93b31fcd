from __future__ import annotations

from pathlib import Path

import pytest

from headrace.access.pending import Pending
from headrace.access.vault import Vault
from headrace.core.ports import ExpiringStore
from headrace.testing import FakeClock, MemoryExpiring


class Shared:
    """What two processes have in common."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.expiring: ExpiringStore = MemoryExpiring(self.clock)
        self._folder = folder

    def pending(self, *, ttl_s: float = 600.0, max_kept: int = 1_000) -> Pending[int]:
        """As a process opens it."""
        vault = Vault(self._folder)
        return Pending(
            self.expiring, vault, self.clock, kind="number", value=int, ttl_s=ttl_s, max_kept=max_kept
        )


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(tmp_path)


def test_a_value_is_taken_once_whoever_takes_it(shared: Shared) -> None:
    here, there = shared.pending(), shared.pending()
    here.put("a", 1)
    assert there.look("a") == 1
    assert there.take("a") == 1
    assert here.take("a") is None
    assert here.look("a") is None


def test_the_newest_value_stands(shared: Shared) -> None:
    pending = shared.pending()
    pending.put("a", 1)
    pending.put("a", 2)
    assert pending.take("a") == 2


def test_a_value_waits_for_a_while_only(shared: Shared) -> None:
    pending = shared.pending(ttl_s=60)
    pending.put("a", 1)
    pending.put("b", 1)
    shared.clock.advance(59)
    assert pending.take("a") == 1
    shared.clock.advance(1)
    assert pending.look("b") is None
    assert pending.take("b") is None


def test_the_oldest_makes_room(shared: Shared) -> None:
    pending = shared.pending(max_kept=2)
    for name in "abc":
        pending.put(name, 1)
        shared.clock.advance(1)
    assert [pending.take(name) for name in "abc"] == [None, 1, 1]


def test_the_store_learns_neither_key_nor_value(tmp_path: Path) -> None:
    clock = FakeClock()
    expiring = MemoryExpiring(clock)
    Pending(expiring, Vault(tmp_path), clock, kind="word", value=str).put("ann", "a-secret")
    assert "ann" not in repr(vars(expiring))
    assert "a-secret" not in repr(vars(expiring))
