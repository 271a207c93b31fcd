"""Starter projects: a made-up table, and all that ``headrace init`` has to know of it."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from math import pi, sin
from pathlib import Path

from headrace.core.errors import InvalidInput
from headrace.projects.scaffold import Trees

Row = tuple[object, ...]
_SEED = 3
_FIRST_DAY = date(2023, 1, 1)
_DAYS = 900
_ORDERS = 2_000


@dataclass(frozen=True, kw_only=True)
class Starter:
    """A project to begin with.

    Attributes:
        file: name of its table, which says that it is made up.
        header, rows: the table; the same on every machine.
        trees: library of the boosted trees, and ``extra``: of Headrace, that brings it.
    """

    what: str
    file: str
    header: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    target: str
    time: str | None = None
    key: str | None = None
    forecasting: bool = False
    trees: Trees = "lightgbm"
    extra: str = "ml"

    def write(self, folder: Path) -> Path:
        """Write the table into ``folder``; returns its path.

        Raises:
            InvalidInput: the library that it learns with is not installed.
        """
        if find_spec(self.trees) is None:
            raise InvalidInput(
                f"This starter learns with {self.trees}, which is not installed. Install it: "
                f"pip install 'headrace[{self.extra}]'"
            )
        path = folder / self.file
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.header)
            writer.writerows(self.rows())
        return path


def _visits() -> Iterator[Row]:
    """Visitors of a museum: more at weekends and in summer."""
    dice = random.Random(_SEED)
    for day in (_FIRST_DAY + timedelta(days=index) for index in range(_DAYS)):
        season = 400 * sin(2 * pi * (day.timetuple().tm_yday - 100) / 365)
        weekend = 700 if day.weekday() >= 5 else 0
        yield day.isoformat(), round(2_000 + season + weekend + dice.gauss(0, 90))


def _orders() -> Iterator[Row]:
    """Orders of a shop, and what became of them: no straight line tells them apart."""
    dice = random.Random(_SEED)
    for index in range(_ORDERS):
        kind, price = dice.choice(["books", "clothes", "shoes"]), round(dice.uniform(5, 200), 2)
        days, is_gift = dice.randint(1, 14), dice.random() < 0.2
        fits = kind == "books" or dice.random() < (0.9 if price > 80 else 0.5)
        late = days > 9 and not is_gift
        outcome = "returned" if late and dice.random() < 0.8 else "kept" if fits else "exchanged"
        yield f"o{index:05d}", kind, price, days, str(is_gift).lower(), outcome


STARTERS = {
    "forecast": Starter(
        what="visitors of a museum by day, a week ahead",
        file="made_up_visits.csv",
        header=("day", "visits"),
        rows=_visits,
        target="visits",
        time="day",
        forecasting=True,
    ),
    "xgboost": Starter(
        what="whether an order is kept, exchanged or returned, by XGBoost",
        file="made_up_orders.csv",
        header=("order_id", "kind", "price", "days_to_deliver", "is_gift", "outcome"),
        rows=_orders,
        target="outcome",
        key="order_id",
        trees="xgboost",
        extra="xgboost",
    ),
}
"""By the name that ``headrace init --starter`` takes."""
