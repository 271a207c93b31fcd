from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import NotFound, Unavailable
from headrace.core.release import Route
from headrace.serving.routes import Choice, RouteTable, place
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
