"""``headrace serve``: ways to an answer beside the server."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from headrace.app.answers.later import accept
from headrace.app.composition import open_app
from headrace.serving.later import Question
from headrace.testing import make_settings
from tests.cli.conftest import USER, Cli
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


def test_what_was_given_up_is_shown_and_put_back(filled: Cli) -> None:
    assert filled("serve", "queue", "show").out == "Nothing waits.\n"
    with open_app(make_settings(filled.home, user=USER)) as app:
        me = app.identities.resolve(USER)
        job = accept(app, me, "cars", Question(columns={"mileage": [1.0], "model": ["a3"]}))
        (taken,) = app.queue.take(1, 60.0)
        app.queue.bury(taken)
        ended = replace(job, state="failed", error="Not now.", kind="Unavailable", attempts=5, revision=1)
        app.store.jobs.change(replace(ended, ended_at=app.clock.now()))
    assert filled("serve", "queue", "show", "--json").json == [
        {"workspace": "main", "waiting": 0, "buried": 1}
    ]
    assert "Not now." in filled("serve", "queue", "failed", "cars").out
    (shown,) = filled("serve", "queue", "failed", "cars", "--json").json
    assert (shown["id"], shown["attempts"], shown["kind"]) == (job.id, 5, "Unavailable")
    assert filled("serve", "queue", "retry", "cars", "none").code == 2
    assert (
        filled("serve", "queue", "retry", "cars").out == "Waiting for an answer again: 1 request of cars.\n"
    )
    (waiting,) = filled("serve", "queue", "show", "--json").json
    assert (waiting["waiting"], waiting["buried"]) == (1, 0)
    assert filled("serve", "queue", "failed", "cars").out == "No request of cars has failed.\n"


def test_receivers_get_the_public_key(filled: Cli) -> None:
    shown = filled("serve", "queue", "key").out
    assert shown.startswith("-----BEGIN PUBLIC KEY-----")
    assert filled("serve", "queue", "key", "--json").json[0]["pem"].strip() == shown.strip()
