from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import NotFound, Unavailable
from headrace.core.release import Route, Share, Split
from headrace.serving.routes import Choice, RouteTable, arm_of, place
from headrace.testing import START
from headrace.testing.clock import FakeClock
from tests.serving.scene import MemoryRollouts

_KEYS = st.text(max_size=40)
_WEIGHTS = st.floats(0, 1)


def _table(*routes: Route) -> RouteTable:
    table = RouteTable(MemoryRollouts(*routes), FakeClock())
    table.refresh()
    return table


def _route(weight: float) -> Route:
    return Route(project="cars", live="old", canary="new", canary_weight=weight)


@pytest.mark.requirement("DEP-02")
@given(key=_KEYS, weights=st.lists(_WEIGHTS, min_size=2, max_size=6).map(sorted))
def test_a_growing_canary_only_gains_keys(key: str, weights: list[float]) -> None:
    table = _table()
    arms = [table.choose(_route(weight), key).arm for weight in weights]
    assert arms == sorted(arms, key=["live", "canary"].index)


@given(key=_KEYS, weight=_WEIGHTS)
def test_a_key_always_meets_the_same_release(key: str, weight: float) -> None:
    assert _table().choose(_route(weight), key) == _table().choose(_route(weight), key)


@given(key=_KEYS)
def test_no_weight_is_no_traffic_and_full_weight_is_all(key: str) -> None:
    table = _table()
    assert table.choose(_route(0.0), key) == Choice("old", "live", shadow="new")
    assert table.choose(_route(1.0), key) == Choice("new", "canary")
    assert table.choose(Route(project="cars", live="old"), key) == Choice("old", "live")


@pytest.mark.requirement("DEP-02")
@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5, 0.9])
def test_the_canary_gets_its_share(weight: float) -> None:
    n_keys = 20_000
    share = sum(place("cars", f"customer-{i}") < weight for i in range(n_keys)) / n_keys
    # Five standard errors; the keys are fixed, so this passes always or never.
    assert abs(share - weight) < 5 * (weight * (1 - weight) / n_keys) ** 0.5


def test_projects_do_not_send_the_same_customers_first() -> None:
    keys = [f"customer-{i}" for i in range(5_000)]
    both = sum(place("cars", key) < 0.1 and place("vans", key) < 0.1 for key in keys)
    assert both < 0.03 * len(keys)


def test_places_never_change_between_versions() -> None:
    assert place("cars", "customer-7") == pytest.approx(0.3044018601406706)


def test_no_live_release_says_how_to_make_one() -> None:
    with pytest.raises(NotFound, match="'vans' is live. Make one: 'headrace run'") as refused:
        _table(_route(0.0)).get("vans")
    assert "cars" not in str(refused.value), "it may be another workspace's"


def test_the_table_follows_the_store_when_refreshed() -> None:
    rollouts = MemoryRollouts(_route(0.1))
    clock = FakeClock()
    table = RouteTable(rollouts, clock)
    assert table.age_s() is None
    table.refresh()
    rollouts.set_route(_route(0.5))
    assert table.get("cars").canary_weight == 0.1
    clock.advance(3)
    assert table.age_s() == 3
    table.refresh()
    assert table.get("cars").canary_weight == 0.5
    assert table.release_ids() == {"old", "new"}


def test_routes_stand_while_the_store_cannot_be_read() -> None:
    rollouts = MemoryRollouts(_route(0.1))
    table = RouteTable(rollouts, FakeClock())
    table.refresh()
    rollouts.error = Unavailable("the database is locked")
    with pytest.raises(Unavailable):
        table.refresh()
    assert table.get("cars").live == "old"


_SHARES = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)


def _split(*shares: float) -> Split:
    arms = [Share(name=f"v{i}", release_id=f"r{i}", share=share) for i, share in enumerate(shares)]
    return Split(arms=tuple(arms), since=START)


@pytest.mark.requirement("DEP-03")
@given(key=_KEYS, before=_SHARES, arm=st.integers(0, 2), factor=st.floats(1.0, 50.0))
def test_an_arm_that_grows_only_gains_keys(key: str, before: list[float], arm: int, factor: float) -> None:
    after = [share * factor if i == arm else share for i, share in enumerate(before)]
    was, now = arm_of(_split(*before), key), arm_of(_split(*after), key)
    assert now.release_id in (was.release_id, f"r{arm}")


@given(key=_KEYS, shares=_SHARES)
def test_neither_name_nor_order_of_the_arms_moves_a_key(key: str, shares: list[float]) -> None:
    split = _split(*shares)
    turned = Split(
        arms=tuple(
            Share(name=f"x{a.name}", release_id=a.release_id, share=a.share) for a in split.arms[::-1]
        ),
        since=START,
    )
    assert arm_of(split, key).release_id == arm_of(turned, key).release_id


@pytest.mark.requirement("DEP-03")
def test_each_arm_gets_its_share_under_its_name() -> None:
    table = _table()
    shares = (0.5, 0.3, 0.2)
    route = Route(project="cars", live="r0", split=_split(*shares))
    n_keys = 20_000
    chosen = [table.choose(route, f"customer-{i}") for i in range(n_keys)]
    for i, share in enumerate(shares):
        found = chosen.count(Choice(f"r{i}", f"v{i}")) / n_keys
        assert abs(found - share) < 5 * (share * (1 - share) / n_keys) ** 0.5
    assert _table(route).release_ids() == {"r0", "r1", "r2"}


def test_arms_of_a_split_never_move_between_versions_of_headrace() -> None:
    assert "".join(arm_of(_split(0.5, 0.5), str(i)).release_id[1] for i in range(16)) == "1001001000110011"


@given(key=_KEYS, weight=_WEIGHTS)
def test_answers_of_the_fallback_say_so(key: str, weight: float) -> None:
    choice = _table().choose(replace(_route(weight), stands_in=True), key)
    assert choice.arm == ("canary" if choice.release_id == "new" else "fallback")


def test_what_is_live_elsewhere_says_where_it_is_asked() -> None:
    rollouts = MemoryRollouts(Route(project="cars", live="r1"), Route(project="support", live="r2"))
    table = RouteTable(
        rollouts, FakeClock(), takes=lambda route: route.project == "support", others="is asked at /v2."
    )
    table.refresh()
    with pytest.raises(NotFound, match="'cars' is live and is asked at /v2"):
        table.get("cars")
    with pytest.raises(NotFound, match="No release of 'boats' is live"):
        table.get("boats")
    assert (table.is_elsewhere("cars"), table.is_elsewhere("boats")) == (True, False)
