"""What calls cost, from a table that is data: each price with the day from which it holds and its source.

Money is counted in whole millionths of the table's currency and rounded up: sums of it are exact, and no call
is cheaper than it was. What has no price has none: whoever asks decides whether to refuse it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

from headrace.core.errors import InvalidInput
from headrace.gateway.llm.endpoints import Target
from headrace.projects.rules import BrokenRule
from headrace.projects.texts import read_typed

FILE = "prices.yaml"
_MILLION = 1_000_000
_MOST = Decimal(1_000_000)
_REMEMBERED = 4_096
"""Models whose price is remembered; callers may name as many as they like."""


class Tokens(Protocol):
    """What a call has used."""

    @property
    def input(self) -> int:
        """All of the input, with what was read from the provider's cache."""

    @property
    def output(self) -> int:
        """What the model has made."""

    @property
    def cached(self) -> int:
        """Of the input, what was read from the provider's cache."""

    @property
    def written(self) -> int:
        """Of the input, what was written into it."""

    @property
    def written_1h(self) -> int:
        """Of what was written, what stays for an hour."""


class Cost(NamedTuple):
    """Money, in millionths of a currency's unit."""

    micro: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a million tokens of a model cost.

    Attributes:
        model: as its provider calls it; ``aliases`` are further names, with ``*`` for any text.
        provider: name of the provider; any unless said.
        cached: of input read from the provider's cache; that of other input unless said.
        cache_write: of input written into it, likewise; ``cache_write_1h``: to stay for an hour, that of
            other writes unless said.
        currency: that of the table unless said.
        source: where it stands.
    """

    model: str
    input: Decimal
    output: Decimal = Decimal(0)
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    provider: str = ""
    aliases: tuple[str, ...] = ()
    currency: str = ""
    valid_from: date
    source: str

    def fit(self, target: Target, day: date) -> tuple[int, int, date] | None:
        """How well it fits a model on a day, the more the better; None: not at all.

        A whole name before a pattern, a longer pattern before a shorter one, one provider before any, and of
        equals the newest.
        """
        if self.valid_from > day or self.provider not in ("", target.endpoint):
            return None
        if self.model == target.model or target.model in self.aliases:
            exact = _REMEMBERED
        else:
            exact = max((len(p) for p in self.aliases if fnmatchcase(target.model, p)), default=-1)
        return None if exact < 0 else (exact, bool(self.provider), self.valid_from)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Prices in one file, in ``currency`` unless they say otherwise; ``rates`` has what a unit of another
    currency is in that one."""

    currency: str = "USD"
    rates: dict[str, Decimal] = field(default_factory=dict)
    prices: tuple[Price, ...] = ()


class _Rate(NamedTuple):
    """Of a million tokens, in millionths of the unit."""

    input: int
    cached: int
    written: int
    written_1h: int
    output: int


class Prices:
    """The prices of this installation: of its own table first, then of the one that comes with Headrace.

    Args:
        tables: the first decides; its currency is the one of every cost.

    Example::

        prices = read_prices(home / "prices.yaml")
        cost = prices.cost(Target("openai", "gpt-4o-mini"), usage, clock.now())  # None: nobody knows
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self.currency = tables[0].currency
        self._rates: Mapping[str, Decimal] = {**tables[0].rates, self.currency: Decimal(1)}
        self._tables = tables
        self._known: dict[tuple[Target, date], _Rate | None] = {}

    def find(self, target: Target, day: date) -> Price | None:
        """The price of a model on a day."""
        for table in self._tables:
            fits = [(fit, price) for price in table.prices if (fit := price.fit(target, day)) is not None]
            if fits:
                return max(fits, key=lambda pair: pair[0])[1]
        return None

    def cost(self, target: Target, used: Tokens, at: datetime) -> Cost | None:
        """What a call has cost; None where there is no price, or none in a currency that can be converted."""
        rate = self._known_rate(target, at)
        if rate is None:
            return None
        n_cached = min(used.cached, used.input)
        n_written = min(used.written, used.input - n_cached)
        n_hour = min(used.written_1h, n_written)
        total = (used.input - n_cached - n_written) * rate.input + n_cached * rate.cached
        total += (n_written - n_hour) * rate.written + n_hour * rate.written_1h + used.output * rate.output
        return Cost(-(-total // _MILLION), self.currency)

    def most(self, target: Target, used: Tokens, at: datetime) -> Cost | None:
        """What a call may cost at most, whatever of its input is written into a cache; None as for
        :meth:`cost`."""
        rate = self._known_rate(target, at)
        if rate is None:
            return None
        dearest = max(rate.input, rate.cached, rate.written, rate.written_1h)
        return Cost(-(-(used.input * dearest + used.output * rate.output) // _MILLION), self.currency)

    def _known_rate(self, target: Target, at: datetime) -> _Rate | None:
        key = (target, at.date())
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            rate = self._known[key] = self._rate(*key)
            return rate

    def _rate(self, target: Target, day: date) -> _Rate | None:
        price = self.find(target, day)
        if price is None:
            return None
        of = next(table.currency for table in self._tables if price in table.prices)
        unit = self._rates.get(price.currency or of)
        if unit is None:
            return None
        cached = price.input if price.cached is None else price.cached
        written = price.input if price.cache_write is None else price.cache_write
        hour = written if price.cache_write_1h is None else price.cache_write_1h
        return _Rate(*(_micro(part * unit) for part in (price.input, cached, written, hour, price.output)))


def _micro(units: Decimal) -> int:
    return int((units * _MILLION).to_integral_value(rounding=ROUND_CEILING))


def read_prices(path: Path | None = None) -> Prices:
    """The prices of the file ``path``, where there is one, before those that come with Headrace.

    Raises:
        InvalidInput: it cannot be read, or says what no price is; each mistake with line and column.
    """
    house = _house()
    if path is None:
        return Prices([house])
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Prices([house])
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read ({error}). Expected a UTF-8 text.") from error
    return Prices([_parsed(text, str(path)), house])


@cache
def _house() -> Table:
    return _parsed(Path(__file__).with_name(FILE).read_text(encoding="utf-8"), f"Headrace's own {FILE}")


def _parsed(text: str, name: str) -> Table:
    return read_typed(
        text,
        Table,
        name,
        broken=_broken,
        expected="prices: and below it each with model, input, valid_from and source.",
        next_step="See docs/reference/providers.md.",
    )


def _broken(table: Table) -> Iterator[BrokenRule]:
    for index, price in enumerate(table.prices):
        for key in ("input", "output", "cached", "cache_write", "cache_write_1h"):
            amount: Decimal | None = getattr(price, key)
            if amount is not None and not 0 <= amount <= _MOST:
                text = f"it is {amount}: expected 0 to {_MOST} for a million tokens"
                yield BrokenRule(loc=("prices", index, key), text=text)
        currency = price.currency
        if currency and currency != table.currency and currency not in table.rates:
            text = f"{currency!r} has no rate: state under rates what one is in {table.currency}"
            yield BrokenRule(loc=("prices", index, "currency"), text=text)
    for currency, rate in table.rates.items():
        if not 0 < rate <= _MOST:
            yield BrokenRule(loc=("rates", currency), text=f"it is {rate}: expected a number above 0")
