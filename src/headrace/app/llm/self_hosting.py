"""What calls of a project cost, and what they would cost elsewhere: other models, or machines of one's own.

All of it comes from what was recorded: tokens by the hour, and what each call has cost when it was made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from headrace.app.answers.input_kinds import numeric_inputs
from headrace.app.composition import App
from headrace.app.overviews.reading import project as readable
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.gateway.llm.endpoints import FILE, Target, read_providers
from headrace.gateway.llm.prices import FILE as PRICES
from headrace.gateway.llm.prices import Prices, read_prices
from headrace.monitoring.ingest import ingest, predictions_table
from headrace.monitoring.windows import as_utc

MOST_DAYS = 366
_HOUR_S, _DAY_H = 3_600, 24
ASSUMED = (
    "Quality is not compared: evaluate the model on the project's own questions first (headrace run).",
    "The throughput is yours to measure, tokens in and out together, with texts as long as these.",
    "Enough machines for the busiest hour run all the time; peaks within an hour wait in a queue.",
    "A machine costs its price by the hour only: no people, no spare machine, no setting up.",
    "Tokens are as the providers counted them; another model's tokenizer counts otherwise.",
    "Other models are priced without discounts for input from a provider's cache.",
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What one would rent or own.

    Attributes:
        model: that would run on it; a name for the report.
        per_hour: price, in the currency of the price table.
        tokens_per_s: in and out together, that it gets through under full load.
    """

    model: str
    per_hour: float
    tokens_per_s: float


class Hour(NamedTuple):
    """Calls of one hour: ``cost`` is of those whose price was known, ``n_unpriced`` counts the others."""

    at: datetime
    n: int
    n_unpriced: int
    tokens_in: int
    tokens_out: int
    cost: float


@dataclass(frozen=True, kw_only=True)
class Period:
    """A day, a month, or all of it.

    Attributes:
        cost: as recorded; of ``n_unpriced`` calls nobody knows it.
        hours: that machines run.
        own: what they cost; ``utilisation``: share of what they could do that is used.
        others: what the same tokens cost at each other model's price; None: it has none on one of the days.
    """

    name: str
    n: int
    n_unpriced: int
    tokens_in: int
    tokens_out: int
    cost: float
    hours: int
    own: float
    utilisation: float
    others: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was paid beside what would have been.

    Attributes:
        n_machines: that the busiest hour takes; it had ``peak_tokens``.
        break_even_tokens: a day, in and out together, from which on one's own machines cost less, at what a
            token has cost; None: never, for even a machine that is always busy costs more by the token, or
            nobody knows what tokens have cost.
        assumed: what this leaves out.
    """

    project: str
    machine: Machine
    currency: str
    n_machines: int
    peak_tokens: int
    break_even_tokens: float | None
    days: list[Period]
    months: list[Period]
    total: Period
    assumed: tuple[str, ...] = ASSUMED


def compare_costs(app: App, me: Principal, name: str, machine: Machine, *, days: int = 30) -> Comparison:
    """Compare what the answers of a project have cost with other models and with machines of one's own.

    Args:
        days: at most so many, today included, from the first one on that had a call.

    Raises:
        NotFound, Denied: there is no such project that ``me`` may see.
        InvalidInput: a number is out of its range, or nothing was recorded.

    Example::

        compare_costs(app, me, "support", Machine(model="own/llama", per_hour=2.5, tokens_per_s=900))
    """
    project = readable(app, me, name)
    _check(machine, days)
    now, home = app.clock.now(), app.settings.home
    first = (now - timedelta(days=days - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    numeric = numeric_inputs(app.store, app.store.projects.get(project.name))
    ingest(project.name, app.store.events, app.store.tables, numeric=numeric)
    hours = hours_of(app, project.name, first)
    if not hours:
        raise InvalidInput(
            f"No call of {project.name!r} in {days} days has tokens on record. Expected an LLM project that "
            "answers: let it answer for some days, or say --days."
        )
    targets = [
        Target(name, model.name)
        for name, provider in sorted(read_providers(home / FILE).providers.items())
        for model in provider.models
    ]
    return compare_hours(project.name, machine, hours, now, read_prices(home / PRICES), targets)


def compare_hours(
    project: str,
    machine: Machine,
    hours: Sequence[Hour],
    now: datetime,
    prices: Prices,
    targets: Sequence[Target],
) -> Comparison:
    """The same from hours in their order, of which there is one at least."""
    by_day = {day: list(of) for day, of in groupby(hours, key=lambda hour: hour.at.date())}
    per_hour = machine.tokens_per_s * _HOUR_S
    peak = max(hour.tokens_in + hour.tokens_out for hour in hours)
    n_machines = max(1, math.ceil(peak / per_hour))
    first, today = hours[0].at.date(), now.date()
    dates = [first + timedelta(days=past) for past in range((today - first).days + 1)]
    made = []
    for day in dates:
        of = by_day.get(day, [])
        n_hours = now.hour + 1 if day == today else _DAY_H
        n_in, n_out = sum(hour.tokens_in for hour in of), sum(hour.tokens_out for hour in of)
        made.append(
            Period(
                name=f"{day}",
                n=sum(hour.n for hour in of),
                n_unpriced=sum(hour.n_unpriced for hour in of),
                tokens_in=n_in,
                tokens_out=n_out,
                cost=math.fsum(hour.cost for hour in of),
                hours=n_hours,
                own=n_machines * n_hours * machine.per_hour,
                utilisation=(n_in + n_out) / (n_machines * n_hours * per_hour),
                others={str(one): _at_price(prices, one, n_in, n_out, day) for one in targets},
            )
        )
    months = [_sum(month, list(of)) for month, of in groupby(made, key=lambda one: one.name[:7])]
    total = _sum("total", made)
    return Comparison(
        project=project,
        machine=machine,
        currency=prices.currency,
        n_machines=n_machines,
        peak_tokens=peak,
        break_even_tokens=_break_even(machine, n_machines, hours),
        days=made,
        months=months,
        total=total,
    )


class _Used(NamedTuple):
    """Tokens, none of them of a provider's cache."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    written_1h: int = 0


def _at_price(prices: Prices, target: Target, n_in: int, n_out: int, day: date) -> float | None:
    at = datetime(day.year, day.month, day.day)  # noqa: DTZ001  only its day counts
    cost = prices.cost(target, _Used(n_in, n_out), at)
    return None if cost is None else cost.micro / 1_000_000


def _break_even(machine: Machine, n_machines: int, hours: Sequence[Hour]) -> float | None:
    # Hours with a call of unknown cost say nothing of what a token costs.
    known = [hour for hour in hours if not hour.n_unpriced]
    tokens = sum(hour.tokens_in + hour.tokens_out for hour in known)
    cost = math.fsum(hour.cost for hour in known)
    if not tokens or cost / tokens < machine.per_hour / (machine.tokens_per_s * _HOUR_S):
        return None
    return n_machines * _DAY_H * machine.per_hour * tokens / cost


def _sum(name: str, of: Sequence[Period]) -> Period:
    """Utilisation is weighed by the hours that machines ran."""
    n_hours = sum(one.hours for one in of)
    columns = {target: [one.others[target] for one in of] for target in of[0].others}
    return Period(
        name=name,
        n=sum(one.n for one in of),
        n_unpriced=sum(one.n_unpriced for one in of),
        tokens_in=sum(one.tokens_in for one in of),
        tokens_out=sum(one.tokens_out for one in of),
        cost=math.fsum(one.cost for one in of),
        hours=n_hours,
        own=math.fsum(one.own for one in of),
        utilisation=math.fsum(one.utilisation * one.hours for one in of) / n_hours,
        others={
            target: None if None in costs else math.fsum(cost for cost in costs if cost is not None)
            for target, costs in columns.items()
        },
    )


def hours_of(app: App, project: str, first: datetime) -> list[Hour]:
    """What a project's calls were and cost since ``first``, as far as the record is read in."""
    table = predictions_table(project)
    if app.store.tables.version(table) is None:
        return []
    known = app.store.tables.query("SELECT * FROM t LIMIT 0", {"t": (table, None)})
    if not {"out_input_tokens", "out_output_tokens", "out_cost"} <= set(known):
        return []
    cost = "CASE WHEN isnan(CAST(out_cost AS DOUBLE)) THEN NULL ELSE CAST(out_cost AS DOUBLE) END"
    found = app.store.tables.query(
        f"""SELECT date_trunc('hour', "at") AS hour, count(*) AS n, count(*) FILTER (({cost}) IS NULL
            AND out_input_tokens + out_output_tokens > 0) AS n_unpriced,
            CAST(sum(coalesce(out_input_tokens, 0)) AS BIGINT) AS tokens_in,
            CAST(sum(coalesce(out_output_tokens, 0)) AS BIGINT) AS tokens_out,
            coalesce(sum({cost}), 0) AS cost FROM t WHERE "at" >= ? GROUP BY 1 ORDER BY 1""",
        {"t": (table, None)},
        [first.replace(tzinfo=None)],
    )
    return [
        Hour(
            as_utc(found["hour"][i]),
            int(found["n"][i]),
            int(found["n_unpriced"][i]),
            int(found["tokens_in"][i]),
            int(found["tokens_out"][i]),
            float(found["cost"][i]),
        )
        for i in range(len(found["hour"]))
    ]


def _check(machine: Machine, days: int) -> None:
    for option, value in (("--per-hour", machine.per_hour), ("--tokens-per-s", machine.tokens_per_s)):
        if not (math.isfinite(value) and value > 0):
            raise InvalidInput(f"{option} is {value}. Expected a number above 0.")
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"--days is {days}. Expected 1 to {MOST_DAYS}.")
