"""From somebody's table to a live, watched endpoint: used cars and airport passengers, as a user would."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import headrace
from headrace.core.settings import read_settings
from headrace.data.sources import read_file
from tests.journeys.conftest import Shell
from tests.journeys.server import client_of, rolled_out, serving

pytestmark = pytest.mark.journey
CAR = {
    "model": "A1", "year": 2017.0, "transmission": "Manual", "mileage": 15735.0,
    "fuelType": "Petrol", "tax": 150.0, "mpg": 55.4, "engineSize": 1.4,
}  # fmt: skip


def tensors(row: dict[str, Any]) -> dict[str, Any]:
    """One row as an Open Inference Protocol request."""
    return {
        "inputs": [
            {
                "name": name,
                "shape": [1],
                "datatype": "BYTES" if isinstance(value, str) else "FP64",
                "data": [value],
            }
            for name, value in row.items()
        ]
    }


def _score_as_online(shell: Shell, client: httpx.Client, table: Path) -> None:
    """A table that is scored as a whole has the answers that HTTP and a model in this process give."""
    scored = shell("serve", "batch", "cars", str(table), "--to", "prices.parquet", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["n_refused"] == 0
    out = read_file(shell.folder / "prices.parquet")
    columns = {name: values for name, values in read_file(table).items() if name in CAR}
    with headrace.load("cars@live", settings=read_settings(shell.env())) as model:
        assert model.predict(columns).outputs["predict"] == out["predict"].tolist()
    first = {name: values[:300].tolist() for name, values in columns.items()}
    answer = client.post("/api/v1/predict/cars", json={"columns": first})
    assert answer.status_code == 200, answer.text
    assert [one["predict"] for one in answer.json()["predictions"]] == out["predict"][:300].tolist()


def _retrain_on(shell: Shell, client: httpx.Client, table: Path) -> None:
    """As many rows again have come: a second version goes through the gates, an approval and a canary."""
    (shell.folder / "data" / "cars.csv").write_bytes(table.read_bytes())
    ran = shell("run", "--json")
    assert ran.code == 4, ran.err
    release = ran.json["release"]
    champion = next(v for v in ran.json["verdicts"] if v["gate"] == "champion")
    assert "would be told in 4 of 5 cases" in champion["reason"]
    movement = next(v for v in ran.json["verdicts"] if v["gate"] == "movement")
    assert "answers differ by" in movement["reason"], "the difference in outcome from the last is shown"
    shown = shell("release", "diff", release["id"], "--json")
    assert shown.code == 0, shown.err
    assert shown.json["outcome"] == {"champion": champion["reason"], "movement": movement["reason"]}
    ingredients = shown.json["difference"]["ingredients"]
    changed = {one["name"] for one in ingredients if one["before"] != one["after"]}
    # The table is under git here, and the new one is not committed: that is said with the commit.
    assert {"data", "rows of data"} <= changed <= {"data", "rows of data", "package size", "commit"}
    assert shell("release", "tick", release["id"], "--note", "looked at the rows").code == 0
    assert shell("release", "approve", release["id"], "--as", "reviewer").code == 0
    columns = {name: values[-5:].tolist() for name, values in read_file(table).items() if name in CAR}
    assert rolled_out(shell, client, "cars", columns, release["id"]) == "live"
    assert shell("status", "--json").json["projects"][0]["live"] == "model:cars@2"


def ticks_after_its_approval(shell: Shell, release_id: str) -> None:
    """Nothing is deployed before the flight check is complete; then what was approved is live."""
    early = shell("release", "approve", release_id, "--as", "reviewer")
    assert early.code == 4, "approved, and nothing is deployed while its flight check is open"
    assert "known-in-time, largest-errors, users-told" in early.out + early.err
    assert shell("release", "show", release_id, "--json").json["release"]["state"] == "waiting"
    ticked = shell("release", "tick", release_id, "--note", "looked at the rows", "--json")
    assert ticked.json["state"] == "live", ticked.err


@pytest.mark.slow
@pytest.mark.requirement("SRV-01")
@pytest.mark.requirement("SRV-02")
@pytest.mark.requirement("GAT-07")
@pytest.mark.requirement("GAT-14")
@pytest.mark.requirement("REG-02")
@pytest.mark.requirement("TRN-02")
@pytest.mark.requirement("DEP-06")
def test_used_cars_from_init_to_an_answer(shell: Shell, shared_data: Path) -> None:
    whole, table = shared_data / "used_cars_audi.csv", shell.folder / "cars.csv"
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(lines[:1] + lines[1::2]), encoding="utf-8")
    assert shell("init", "cars", "--data", str(table), "--target", "price").code == 0
    shell.folder = shell.folder / "cars"
    assert shell("check").code == 0
    ran = shell("run", "--json")
    assert ran.code == 4, ran.err
    release = ran.json["release"]
    assert release["state"] == "waiting"
    gates = """data data_bias tests model baseline champion artefact package flight_check compliance metrics
        training explanations robustness ingredients contract""".split()
    assert {v["gate"]: v["outcome"] for v in ran.json["verdicts"]} == dict.fromkeys(gates, "passed")

    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == 0
    own = shell("release", "approve", release["id"])
    assert own.code == 2
    assert "may not release.approve" in own.err
    ticks_after_its_approval(shell, release["id"])
    approved = shell("release", "approve", release["id"], "--as", "reviewer", "--json")
    assert (approved.json["state"], approved.json["digest"]) == ("live", release["digest"])
    assert shell("status", "--json").json["projects"][0]["live"] == "model:cars@1"

    with serving(shell) as url, client_of(shell, url, "ann") as client:
        answer = client.post("/v2/models/cars/infer", json=tensors(CAR))
        assert answer.status_code == 200, answer.text
        assert 9_000 < answer.json()["outputs"][0]["data"][0] < 16_000
        assert answer.json()["parameters"]["release"] == release["id"]
        counted = client.get("/api/v1/projects/cars/predictions/count").json()
        assert counted["requests"] == 1
        live = client.get("/api/v1/projects/cars").json()
        assert release["id"] in str(live)
        _score_as_online(shell, client, table)
        _retrain_on(shell, client, whole)

    for version in (1, 2):
        rebuilt = shell("model", "rebuild", f"cars@{version}", "--json")
        assert rebuilt.code == 0, rebuilt.err
        assert rebuilt.json["same_digest"] is True
        assert rebuilt.json["metrics_equal"] is True
    assert shell("audit", "verify").code == 0


def collapse(passengers: dict[date, float]) -> date:
    """The first day of 2020 with a fifth fewer passengers than 52 weeks before."""
    day = date(2020, 1, 1)
    while passengers[day] > 0.8 * passengers[day - timedelta(weeks=52)]:
        day += timedelta(days=1)
    return day


@pytest.mark.slow
@pytest.mark.requirement("MON-19")
@pytest.mark.requirement("DAT-11")
def test_passengers_are_forecast_better_than_last_week_and_the_collapse_is_noticed(
    shell: Shell, shared_data: Path
) -> None:
    table = shared_data / "tsa_passengers.csv"
    given = ["--target", "passengers", "--time", "date", "--template", "forecasting"]
    assert shell("init", "passengers", "--data", str(table), *given).code == 0
    shell.folder = shell.folder / "passengers"
    assert shell("run", "--until", "2020-02-01").code == 4
    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == 0
    release = shell("release", "ls", "--json").json[0]
    assert release["manifest"]["params"]["variant"] != "baseline"
    assert shell("release", "tick", release["id"], "--note", "looked at the rows").code == 0
    assert shell("release", "approve", release["id"], "--as", "reviewer").code == 0
    with serving(shell) as url:
        period = ["--from", "2020-02-01", "--until", "2020-03-25", "--url", url]
        replayed = shell("monitor", "replay", "passengers", *period, "--json")
        assert replayed.code == 0, replayed.err

    with table.open() as file:
        passengers = {date.fromisoformat(r["date"]): float(r["passengers"]) for r in csv.DictReader(file)}
    losses = {
        date.fromisoformat(m["window"][0][:10]): m["value"]
        for m in shell("monitor", "performance", "passengers", "--json").json
    }
    february = [day for day in losses if day < date(2020, 3, 1)]
    assert len(february) == 29
    last_week = [abs(passengers[day] - passengers[day - timedelta(weeks=1)]) for day in february]
    assert sum(losses[day] for day in february) < sum(last_week), "beats the seasonal-naive forecast"

    found = [
        f for f in shell("monitor", "findings", "passengers", "--json").json if f["kind"] == "performance"
    ]
    assert len(found) == 1
    waiting = [one for one in shell("release", "ls", "--json").json if one["state"] == "waiting"]
    assert len(waiting) == 1, "a new one is proposed, and nobody has approved it"
    assert found[0]["id"] in waiting[0]["manifest"]["cause"]
    noticed = date.fromisoformat(found[0]["window"][1][:10])
    assert date(2020, 3, 1) < noticed <= collapse(passengers) + timedelta(days=7)
