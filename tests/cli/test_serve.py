"""``headrace serve``: ways to an answer beside the server."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from tests.cli.conftest import Cli
from tests.web.seed import Seeded

CARS = "plate,mileage,model\nA,10,a3\nB,20,tt\nC,many,a3\n"


@pytest.fixture
def filled(cli: Cli, seeded: tuple[Path, Seeded]) -> Cli:
    """The command line in a filled home of the test's own."""
    shutil.copytree(seeded[0], cli.home)
    return cli


def test_a_table_is_scored_and_the_refused_row_is_told(filled: Cli, known: Seeded) -> None:
    Path("cars.csv").write_text(CARS)
    ended = filled(
        "serve", "batch", "cars", "cars.csv", "--to", "out.csv", "--max-refused", "0.5", "--keep", "plate"
    )
    assert ended.code == 0, ended.error
    assert ended.out.startswith("2 of 3 rows are answered in ")
    assert f"by       cars@1, release {known.cars_live}" in ended.out
    assert "refused  1; the column 'refused' says why" in ended.out
    assert "on record: monitoring sees them" in ended.out
    with duckdb.connect() as engine:
        rows = engine.execute("SELECT plate, predict FROM 'out.csv'").fetchall()
    assert rows == [("A", 10.0), ("B", 20.0), ("C", None)]


def test_a_table_of_which_too_little_is_answered_is_a_usage_error(filled: Cli) -> None:
    Path("cars.csv").write_text(CARS)
    ended = filled("serve", "batch", "cars", "cars.csv", "--to", "out.csv")
    assert ended.code == 2
    assert "More than 0 of 3 rows cannot be answered" in ended.error
    report = filled(
        "serve", "batch", "cars", "cars.csv", "--to", "out.csv", "--max-refused", "1", "--json"
    ).json
    assert (report["n_rows"], report["n_refused"], report["recorded"]) == (3, 1, True)


def test_what_is_not_put_on_record_is_said(filled: Cli, known: Seeded) -> None:
    Path("cars.csv").write_text(CARS)
    ended = filled(
        "serve", "batch", "cars", "cars.csv", "--to", "out.parquet", "--no-record", "--release", known.canary,
        "--query", "SELECT * FROM source WHERE mileage <> 'many'",
    )  # fmt: skip
    assert ended.code == 0, ended.error
    assert "not on record: monitoring does not see them" in ended.out
    assert "cars@2" in ended.out
