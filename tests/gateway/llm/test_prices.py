from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.prices import Cost, Price, Prices, Table, read_prices

_NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
_T = Target("p", "m")
_units = st.decimals(0, 1000, places=4)
_counts = st.integers(0, 10**9)


class Used(NamedTuple):
    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    written_1h: int = 0


def _price(**changes: object) -> Price:
    fields: dict[str, object] = {"model": "m", "input": Decimal(2), "output": Decimal(8)}
    fields |= {"valid_from": date(2026, 1, 1), "source": "s"}
    return Price(**{**fields, **changes})  # type: ignore[arg-type]


def _prices(*prices: Price, **table: object) -> Prices:
    return Prices([Table(prices=prices, **table)])  # type: ignore[arg-type]


@given(units=st.tuples(_units, _units, _units), used=st.builds(Used, _counts, _counts, _counts))
def test_a_cost_is_exact_and_rounded_up_once(units: tuple[Decimal, Decimal, Decimal], used: Used) -> None:
    fresh, cached, output = units
    cost = _prices(_price(input=fresh, cached=cached, output=output)).cost(_T, used, _NOW)
    n_cached = min(used.cached, used.input)
    parts = ((used.input - n_cached, fresh), (n_cached, cached), (used.output, output))
    exact = sum((Fraction(n) * Fraction(unit) for n, unit in parts), Fraction(0))  # a millionth for each
    assert cost is not None
    assert exact <= cost.micro < exact + 1


@given(st.builds(Used, _counts, _counts, _counts), st.builds(Used, _counts, _counts, _counts))
def test_more_never_costs_less_and_a_part_never_more(a: Used, b: Used) -> None:
    prices = _prices(_price(cached=Decimal("0.5")))
    both = Used(a.input + b.input, a.output + b.output, min(a.cached, a.input) + min(b.cached, b.input))
    costs = [prices.cost(_T, used, _NOW) for used in (a, b, both)]
    first, second, whole = (cost.micro for cost in costs if cost is not None)
    assert max(first, second) <= whole <= first + second <= whole + 1


@given(st.tuples(_counts, _counts, _counts), st.tuples(_units, _units, _units))
def test_what_is_written_into_a_cache_has_its_own_price(
    counts: tuple[int, int, int], units: tuple[Decimal, Decimal, Decimal]
) -> None:
    plain, minutes, hour = units
    n_plain, n_minutes, n_hour = counts
    used = Used(sum(counts), 0, 0, n_minutes + n_hour, n_hour)
    cost = _prices(_price(input=plain, cache_write=minutes, cache_write_1h=hour)).cost(_T, used, _NOW)
    exact = sum(Fraction(n) * Fraction(unit) for n, unit in zip(counts, units, strict=True))
    assert cost is not None
    assert exact <= cost.micro < exact + 1
    assert n_plain + n_minutes + n_hour == used.input


def test_a_write_costs_as_other_input_unless_the_table_says_otherwise() -> None:
    used = Used(100, 0, 20, 30, 10)
    assert _prices(_price()).cost(_T, used, _NOW) == _prices(_price()).cost(_T, Used(100), _NOW)
    dear = _prices(_price(cached=Decimal(1), cache_write=Decimal(4))).cost(_T, used, _NOW)
    assert dear == (50 * 2 + 20 * 1 + 30 * 4, "USD")


def test_anthropic_bills_what_it_writes_as_its_price_list_says() -> None:
    found = [
        price
        for name in ("claude-haiku-4-5", "claude-opus-4-5", "claude-opus-5")
        if (price := read_prices().find(Target("anthropic", name), date(2026, 11, 29))) is not None
    ]
    assert len(found) == 3
    for price in found:
        assert price.cache_write == price.input * Decimal("1.25")
        assert price.cache_write_1h == price.input * 2


def test_what_has_no_price_has_none() -> None:
    prices = _prices(_price(provider="p"))
    assert prices.cost(_T, Used(1), _NOW) == Cost(2, "USD")
    assert prices.cost(Target("p", "other"), Used(1), _NOW) is None
    assert prices.cost(Target("q", "m"), Used(1), _NOW) is None
    assert prices.cost(_T, Used(1), datetime(2025, 12, 31, 23, tzinfo=UTC)) is None


def test_a_price_holds_from_its_day_on() -> None:
    prices = _prices(_price(), _price(input=Decimal(1), valid_from=date(2026, 6, 1)))
    days = (datetime(2026, 5, 31, 23, 59, tzinfo=UTC), _NOW)
    assert [prices.cost(_T, Used(10), day) for day in days] == [(20, "USD"), (10, "USD")]


def test_the_closest_name_decides() -> None:
    prices = _prices(
        _price(model="any", aliases=("*",), input=Decimal(9)),
        _price(model="m", aliases=("m-20*",), input=Decimal(3)),
        _price(model="m-x", aliases=("m-2026*",), input=Decimal(4)),
        _price(model="m", provider="p", input=Decimal(5), valid_from=date(2025, 1, 1)),
    )
    names = ("m", "m-2025-01-01", "m-2026-01-01", "m-x", "z")
    found = [prices.find(Target("p", name), _NOW.date()) for name in names]
    assert [str(price and price.input) for price in found] == ["5", "3", "4", "4", "9"]
    other = prices.find(Target("q", "m"), _NOW.date())
    assert other is not None
    assert other.input == 3


def test_the_operators_own_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(
        "currency: EUR\nrates: {USD: 0.5}\nprices:\n"
        "  - {model: local, input: 0.01, output: 0.02, valid_from: 2026-01-01, source: our own bill}\n"
        "  - {provider: openai, model: gpt-4o-mini, input: 1, valid_from: 2026-01-01, source: contract 7}\n"
    )
    prices = read_prices(path)
    million = Used(input=1_000_000)
    assert prices.cost(Target("gpu", "local"), million, _NOW) == Cost(10_000, "EUR")
    assert prices.cost(Target("openai", "gpt-4o-mini"), million, _NOW) == Cost(1_000_000, "EUR")
    assert prices.cost(Target("openai", "gpt-4o-2024-08-06"), million, _NOW) == Cost(1_250_000, "EUR")


def test_what_cannot_be_converted_has_no_price(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("currency: EUR")
    assert read_prices(path).cost(Target("openai", "gpt-4o-mini"), Used(1), _NOW) is None


def test_the_table_that_comes_with_headrace_can_be_read(tmp_path: Path) -> None:
    prices = read_prices(tmp_path / "absent.yaml")
    used = Used(input=1_000_000, output=1_000_000, cached=500_000)
    assert prices.cost(Target("openai", "gpt-4o-mini-2024-07-18"), used, _NOW) == Cost(712_500, "USD")
    assert prices.cost(Target("anthropic", "claude-haiku-4-5-20251001"), used, _NOW) == Cost(5_550_000, "USD")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{model: m, input: -1, valid_from: 2026-01-01, source: s}", "expected 0"),
        ("{model: m, input: .nan, valid_from: 2026-01-01, source: s}", "input"),
        ("{model: m, input: 1, valid_from: 2026-01-01}", "source"),
        ("{model: m, input: 1, valid_from: 2026-01-01, source: s, currency: XYZ}", "no rate"),
        ("{model: m, input: 1, valid_from: 2026-01-01, source: s, ouput: 2}", "ouput"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(f"prices:\n  - {line}\n")
    with pytest.raises(InvalidInput, match=said) as raised:
        read_prices(path)
    assert "line 2" in str(raised.value)


def test_callers_cannot_fill_the_memory_with_names() -> None:
    prices = _prices(_price())
    for i in range(10_000):
        prices.cost(Target("p", f"x{i}"), Used(1), _NOW)
    assert len(prices._known) <= 5_000


@given(
    units=st.tuples(_units, _units, _units, _units),
    used=st.builds(Used, _counts, _counts, _counts, _counts, _counts),
)
def test_the_most_that_a_call_can_cost_is_never_exceeded(units: tuple[Decimal, ...], used: Used) -> None:
    plain, cached, minutes, hour = units
    prices = _prices(_price(input=plain, cached=cached, cache_write=minutes, cache_write_1h=hour))
    cost, most = prices.cost(_T, used, _NOW), prices.most(_T, Used(used.input, used.output), _NOW)
    assert cost is not None
    assert most is not None
    assert cost.micro <= most.micro
    whole = Used(used.input, used.output, written=used.input, written_1h=used.input)
    if hour == max(units):
        assert prices.cost(_T, whole, _NOW) == most


def test_nobody_knows_the_most_where_there_is_no_price() -> None:
    assert _prices().most(_T, Used(1), _NOW) is None
