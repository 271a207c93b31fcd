"""What every store of values that end by themselves promises, and every store of sightings."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from headrace.core.identity import Expiring, Sighting
from headrace.core.ports import ExpiringStore, SightingStore
from headrace.testing.clock import START, FakeClock

_MINUTE = timedelta(minutes=1)


def _value(key: str, value: str = "v", *, subject: str = "", minutes: int = 10) -> Expiring:
    return Expiring(kind="link", key=key, value=value, subject=subject, ends_at=START + minutes * _MINUTE)


def _put(expiring: ExpiringStore, one: Expiring, most: int | None = None) -> None:
    expiring.change(one.kind, one.key, lambda _: one, most=most)


class ExpiringStoreSuite:
    """Fixtures ``expiring``: an empty store whose time is that of ``clock``."""

    def test_a_value_is_found_until_its_end(self, expiring: ExpiringStore, clock: FakeClock) -> None:
        _put(expiring, _value("a", subject="ann"))
        assert expiring.find("link", "a") == _value("a", subject="ann")
        assert expiring.find("session", "a") is None
        clock.advance(599)
        assert expiring.find("link", "a") is not None
        clock.advance(1)
        assert expiring.find("link", "a") is None
        assert expiring.take("link", "a") is None

    def test_a_value_is_taken_once(self, expiring: ExpiringStore) -> None:
        _put(expiring, _value("a"))
        assert expiring.take("link", "a") == _value("a")
        assert expiring.take("link", "a") is None

    def test_of_many_at_the_same_instant_one_takes_it(self, expiring: ExpiringStore) -> None:
        _put(expiring, _value("a"))
        with ThreadPoolExecutor(8) as threads:
            got = list(threads.map(lambda _: expiring.take("link", "a"), range(16)))
        assert len([one for one in got if one is not None]) == 1

    def test_changes_at_the_same_instant_are_all_kept(self, expiring: ExpiringStore) -> None:
        def more(standing: Expiring | None) -> Expiring:
            return _value("a", "x" if standing is None else f"{standing.value}x")

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: expiring.change("link", "a", more), range(16)))
        found = expiring.find("link", "a")
        assert found is not None
        assert found.value == 16 * "x"

    def test_a_change_may_remove(self, expiring: ExpiringStore) -> None:
        _put(expiring, _value("a"))
        assert expiring.change("link", "a", lambda _: None) is None
        assert expiring.find("link", "a") is None
        assert expiring.change("link", "a", lambda standing: standing) is None

    def test_what_is_over_is_not_there_for_a_change(self, expiring: ExpiringStore, clock: FakeClock) -> None:
        _put(expiring, _value("a"))
        clock.advance(600)
        assert expiring.change("link", "a", lambda standing: standing) is None

    def test_those_that_end_first_make_room(self, expiring: ExpiringStore) -> None:
        _put(expiring, _value("other", subject="bob", minutes=1))
        for number, minutes in enumerate((3, 2, 4)):
            _put(expiring, _value(str(number), subject="ann", minutes=minutes), most=3)
        _put(expiring, _value("3", subject="ann", minutes=1), most=3)
        kept = [key for key in "0123" if expiring.find("link", key) is not None]
        assert kept == ["0", "2", "3"], "the newest stays, however soon it ends"
        assert expiring.find("link", "other") is not None
        _put(expiring, _value("3", subject="ann", minutes=5), most=3)
        assert expiring.find("link", "0") is not None, "a change needs no more room"

    def test_all_of_somebody_are_removed(self, expiring: ExpiringStore) -> None:
        for key, subject in (("a", "ann"), ("b", "ann"), ("c", "bob")):
            _put(expiring, _value(key, subject=subject))
        assert expiring.remove("link", "ann") == 2
        assert expiring.remove("link", "ann") == 0
        assert [expiring.find("link", key) is None for key in "abc"] == [True, True, False]

    def test_what_is_over_is_deleted(self, expiring: ExpiringStore, clock: FakeClock) -> None:
        _put(expiring, _value("a", minutes=1))
        _put(expiring, _value("b", minutes=2))
        clock.advance(60)
        assert expiring.clean() == 1
        assert expiring.clean() == 0
        assert expiring.find("link", "b") is not None


class SightingStoreSuite:
    """Fixture ``sightings``: an empty store."""

    def test_what_was_added_is_read_once(self, sightings: SightingStore) -> None:
        first = Sighting(principal="ann", network="n", token="t", at=START, source="s")
        sightings.add([first, replace(first, principal="bob")])
        sightings.add([])
        found = sightings.since(0)
        assert [replace(one, position=0) for one in found] == [first, replace(first, principal="bob")]
        assert sightings.since(found[0].position) == found[1:]
        assert sightings.since(found[-1].position) == []

    def test_a_number_is_never_given_again(self, sightings: SightingStore) -> None:
        one = Sighting(principal="ann", network="n", token="t", at=START, source="s")
        sightings.add([one])
        (before,) = sightings.since(0)
        assert sightings.forget(START) == 0
        assert sightings.forget(START + _MINUTE) == 1
        sightings.add([one])
        (after,) = sightings.since(before.position)
        assert after.position > before.position
