"""The engine that a process shares, and what becomes of one that has broken."""

from __future__ import annotations

import duckdb
import pytest

from headrace.core.errors import InvalidInput
from headrace.store.engines import open_engine

SEEN = "SELECT 1 FROM duckdb_tables() WHERE table_name = 'seen_by_all'"


def is_seen() -> bool:
    with open_engine() as engine:
        return engine.execute(SEEN).fetchone() is not None


def break_it(fault: type[duckdb.Error]) -> None:
    with open_engine():
        try:
            raise fault("database has been invalidated because of a previous fatal error")
        except duckdb.Error as error:
            raise InvalidInput("rows.csv cannot be read as a table.") from error


def test_what_is_temporary_is_one_callers_own() -> None:
    with open_engine() as one, open_engine() as other:
        one.execute("CREATE TEMP TABLE mine AS SELECT 1")
        with pytest.raises(duckdb.CatalogException):
            other.execute("SELECT * FROM mine")


def test_nobody_changes_its_settings() -> None:
    with open_engine() as engine, pytest.raises(duckdb.InvalidInputException, match="locked"):
        engine.execute("SET GLOBAL threads = 1")


@pytest.mark.parametrize("fault", [duckdb.FatalException, duckdb.InternalException])
def test_an_engine_that_has_broken_is_let_go(fault: type[duckdb.Error]) -> None:
    with open_engine() as engine:
        engine.execute("CREATE OR REPLACE TABLE seen_by_all AS SELECT 1")
    assert is_seen()
    with open_engine() as at_work:
        with pytest.raises(InvalidInput):
            break_it(fault)
        assert not is_seen(), "the next caller has another engine"
        assert at_work.execute("SELECT 42").fetchone() == (42,), "who was at work goes on"


def test_an_error_in_a_query_breaks_nothing() -> None:
    with open_engine() as engine:
        engine.execute("CREATE OR REPLACE TABLE seen_by_all AS SELECT 1")
    with pytest.raises(duckdb.ParserException), open_engine() as engine:
        engine.execute("SELEKT")
    assert is_seen()
    with open_engine() as engine:
        engine.execute("DROP TABLE seen_by_all")
