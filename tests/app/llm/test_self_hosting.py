"""What calls have cost beside other models and machines of one's own, by hand-computed numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.app.composition import App, open_app
from headrace.app.llm.self_hosting import Comparison, Hour, Machine, compare_costs, compare_hours
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.ids import new_id
from headrace.core.project import Column, DataSpec, PrivacySpec
from headrace.gateway.llm.endpoints import FILE, Target
from headrace.gateway.llm.prices import FILE as PRICES
from headrace.gateway.llm.prices import Prices, read_prices
from headrace.store.records import encode_prediction
from headrace.testing import START, FakeClock, make_prediction, make_project, make_settings

MACHINE = Machine(model="own/llama", per_hour=2.5, tokens_per_s=900)
TABLE = """currency: EUR
prices:
  - {model: big, input: 10, output: 30, valid_from: 2025-01-01, source: test}
  - {model: late, input: 1, output: 1, valid_from: 2026-01-03, source: test}
"""
BIG, LATE, DEAR = Target("shop", "big"), Target("shop", "late"), Target("shop", "nobody-knows")
DAY_1, DAY_3 = datetime(2026, 1, 30, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
HOURS = [
    Hour(DAY_1.replace(hour=9), 20, 0, 2_000_000, 500_000, 10.0),
    Hour(DAY_1.replace(hour=10), 30, 0, 4_000_000, 1_000_000, 20.0),
    Hour(DAY_3.replace(hour=8), 5, 0, 500_000, 0, 2.0),
]
NOW = DAY_3.replace(hour=12, minute=30)


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    path = tmp_path / PRICES
    path.write_text(TABLE)
    return read_prices(path)


def compared(prices: Prices, hours: list[Hour] = HOURS, machine: Machine = MACHINE) -> Comparison:
    return compare_hours("support", machine, hours, NOW, prices, [BIG, LATE, DEAR])


@pytest.mark.requirement("LGW-07")
def test_the_numbers_are_those_by_hand(prices: Prices) -> None:
    found = compared(prices)
    # 900 tokens/s are 3.24 million an hour; the busiest hour had 5 million.
    assert (found.n_machines, found.peak_tokens, found.currency) == (2, 5_000_000, "EUR")
    one, two, three = found.days
    assert [day.name for day in found.days] == ["2026-01-30", "2026-01-31", "2026-02-01"]
    assert (one.n, one.tokens_in, one.tokens_out, one.cost) == (50, 6_000_000, 1_500_000, 30.0)
    assert (one.hours, one.own) == (24, 120.0)  # 2 x 24 h x 2.50
    assert one.utilisation == pytest.approx(7.5e6 / (2 * 24 * 3.24e6))
    assert (two.n, two.cost, two.own, two.utilisation) == (0, 0.0, 120.0, 0.0)  # it stands idle
    assert (three.hours, three.own) == (13, 65.0)  # today until one o'clock
    # 6 x 10 + 1.5 x 30, none, 0.5 x 10
    assert [day.others["shop/big"] for day in found.days] == [105.0, 0.0, 5.0]
    january, february = found.months
    assert (january.name, january.cost, january.own, january.hours) == ("2026-01", 30.0, 240.0, 48)
    assert (february.name, february.cost, february.own) == ("2026-02", 2.0, 65.0)
    assert (found.total.cost, found.total.own, found.total.others["shop/big"]) == (32.0, 305.0, 110.0)
    assert found.total.utilisation == pytest.approx(8e6 / (2 * 61 * 3.24e6))
    # A token has cost 32 / 8 million; two machines cost 120 a day.
    assert found.break_even_tokens == pytest.approx(30_000_000)
    assert found.total.others["shop/late"] == 8.0
    assert found.total.others["shop/nobody-knows"] is None
    assert any("Quality is not compared" in text for text in found.assumed)


@pytest.mark.requirement("LGW-07")
def test_a_price_that_did_not_hold_yet_is_none_for_its_days_and_the_sum(prices: Prices) -> None:
    early = [Hour(datetime(2026, 1, 2, 5, tzinfo=UTC), 1, 0, 10, 0, 0.1)]
    found = compare_hours("s", MACHINE, early, datetime(2026, 1, 3, 5, tzinfo=UTC), prices, [LATE])
    assert [day.others["shop/late"] for day in found.days] == [None, 0.0]
    assert found.total.others["shop/late"] is None


@pytest.mark.requirement("LGW-07")
def test_where_a_busy_machine_costs_more_by_the_token_no_volume_pays(prices: Prices) -> None:
    # 2.50 for 3.24 million tokens is 0.77 a million; these have cost 0.50.
    cheap = [Hour(DAY_1, 1, 0, 1_000_000, 1_000_000, 1.0)]
    assert compared(prices, cheap).break_even_tokens is None
    unknown = [Hour(DAY_1, 2, 2, 1_000_000, 1_000_000, 0.0)]
    assert compared(prices, unknown).break_even_tokens is None
    assert compared(prices, [*unknown, HOURS[-1]]).break_even_tokens == pytest.approx(24 * 2.5 * 500_000 / 2)


@pytest.mark.requirement("LGW-07")
@given(
    tokens=st.lists(st.integers(1, 10**9), min_size=1, max_size=24),
    per_million=st.floats(0.01, 100),
    per_hour=st.floats(0.01, 100),
    tokens_per_s=st.floats(1, 1e5),
)
def test_at_break_even_both_cost_the_same_and_the_machines_can_do_it(
    tokens: list[int], per_million: float, per_hour: float, tokens_per_s: float
) -> None:
    hours = [Hour(DAY_1.replace(hour=at), 1, 0, n, 0, n * per_million / 1e6) for at, n in enumerate(tokens)]
    machine = Machine(model="own", per_hour=per_hour, tokens_per_s=tokens_per_s)
    found = compare_hours("s", machine, hours, DAY_1 + timedelta(days=1), read_prices(), [])
    assert 0 < found.days[0].utilisation <= 1 + 1e-9
    assert found.n_machines * tokens_per_s * 3_600 >= max(tokens) * (1 - 1e-9)
    even = found.break_even_tokens
    if even is None:
        assert per_million / 1e6 <= per_hour / (tokens_per_s * 3_600) * (1 + 1e-9)
    else:
        assert even * per_million / 1e6 == pytest.approx(found.days[0].own)
        assert even <= found.n_machines * tokens_per_s * 86_400 * (1 + 1e-9)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A home whose LLM project has answered, from ``START`` on."""
    clock = FakeClock()
    with open_app(make_settings(tmp_path), clock) as app:
        app.me()
        declared = replace(
            make_project(name="support", task="text_generation"),
            data=DataSpec(source="q.csv", target="expected", columns=(Column(name="question", role="text"),)),
            privacy=PrivacySpec(basis="not_personal"),
        )
        app.store.projects.save(declared, str(tmp_path))
        provider = {"url": "https://shop.example/v1", "models": [{"name": "big"}]}
        (tmp_path / FILE).write_text(json.dumps({"providers": {"shop": provider}}))
        (tmp_path / PRICES).write_text(TABLE)
        clock.advance(timedelta(days=2, hours=5).total_seconds())
        yield app


def answered(app: App, at: datetime, n_in: int, n_out: int, cost: float | None) -> None:
    """One answer, on record as the gateway writes it."""
    outputs: dict[str, Any] = {
        "predict": ["Yes."],
        "model": ["big"],
        "input_tokens": [n_in],
        "output_tokens": [n_out],
        "cost": [cost],
    }
    made = make_prediction(
        id=new_id(at),
        project="support",
        at=at,
        event_time=at,
        n_rows=1,
        columns={"question": ["May I?"]},
        outputs=outputs,
    )
    app.store.events.append("support/predictions", [encode_prediction(made)])


@pytest.mark.requirement("LGW-07")
def test_recorded_calls_are_counted_by_hour_and_a_cost_that_nobody_knows_is_said(app: App) -> None:
    at = START + timedelta(hours=9)
    answered(app, at, 1_000_000, 100_000, 13.0)
    answered(app, at + timedelta(minutes=59), 1_000_000, 100_000, None)
    answered(app, at + timedelta(minutes=61), 2_000_000, 0, 20.0)
    answered(app, at + timedelta(minutes=62), 0, 0, None)
    found = compare_costs(app, app.me(), "support", MACHINE)
    assert (found.peak_tokens, found.n_machines, len(found.days)) == (2_200_000, 1, 3)
    first = found.days[0]
    assert (first.n, first.n_unpriced, first.tokens_in, first.tokens_out) == (4, 1, 4_000_000, 200_000)
    assert (first.cost, first.others) == (33.0, {"shop/big": 46.0})
    assert found.break_even_tokens == pytest.approx(24 * 2.5 * 2e6 / 20)
    assert found.total.own == 2.5 * (24 + 24 + 6)
    with pytest.raises(InvalidInput, match="No call of 'support' in 1 days"):
        compare_costs(app, app.me(), "support", MACHINE, days=1)


def test_what_cannot_be_compared_is_refused(app: App) -> None:
    me = app.me()
    with pytest.raises(InvalidInput, match="let it answer for some days"):
        compare_costs(app, me, "support", MACHINE)
    free, endless = replace(MACHINE, per_hour=0.0), replace(MACHINE, tokens_per_s=float("nan"))
    for machine, option in ((free, "--per-hour"), (endless, "--tokens-per-s")):
        with pytest.raises(InvalidInput, match=option):
            compare_costs(app, me, "support", machine)
    with pytest.raises(InvalidInput, match="--days is 0"):
        compare_costs(app, me, "support", MACHINE, days=0)
    with pytest.raises(NotFound):
        compare_costs(app, me, "gone", MACHINE)
