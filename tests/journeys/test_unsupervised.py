"""Without labels, from a table to a live, watched model: unusual listings, and groups of alike ones."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.conftest import Shell
from tests.journeys.server import client_of, serving
from tests.journeys.test_real_tables import tensors

pytestmark = [pytest.mark.journey, pytest.mark.slow]
FIRST, LIVE, SHIFT, LAST = (date(2024, month, 1) for month in (1, 9, 10, 12))
CAR = {
    "model": "A1", "year": 2017.0, "price": 12_500.0, "transmission": "Manual", "mileage": 15_735.0,
    "fuelType": "Petrol", "tax": 150.0, "mpg": 55.4, "engineSize": 1.4,
}  # fmt: skip


def write_listings(table: Path, path: Path, *, labelled: bool = True) -> Path:
    """Real listings, spread over eleven months; one in 50 with a price ten times too high, and so labelled.
    From October on all of them drink twice as much."""
    with table.open() as file:
        listings = list(csv.DictReader(file))[:4_000]
    days = (LAST - FIRST).days
    with path.open("w", newline="") as file:
        known = ["anomaly"] if labelled else []
        writer = csv.DictWriter(file, [*listings[0], "listed", *known], extrasaction="ignore")
        writer.writeheader()
        for index, row in enumerate(listings):
            listed = FIRST + timedelta(days=index * days // len(listings))
            odd = index % 50 == 7
            price = float(row["price"]) * (10 if odd else 1)
            mpg = float(row["mpg"]) / (2 if listed >= SHIFT else 1)
            writer.writerow(
                row | {"price": price, "mpg": mpg, "listed": listed.isoformat(), "anomaly": str(odd).lower()}
            )
    return path


def released(shell: Shell, *options: str) -> Any:
    """Make the project in the folder, build it until September, and approve it."""
    assert shell("init", "listings", *options).code == 0
    shell.folder = shell.folder / "listings"
    assert shell("check").code == 0
    ran = shell("run", "--until", LIVE.isoformat(), "--json")
    assert ran.code == 4, ran.err + ran.out
    assert shell("access", "user", "add", "reviewer", "--role", "validator").code == 0
    assert shell("release", "tick", ran.json["release"]["id"], "--note", "looked at the rows").code == 0
    approved = shell("release", "approve", ran.json["release"]["id"], "--as", "reviewer", "--json")
    assert approved.json["state"] == "live"
    return ran.json


def found_in(shell: Shell) -> dict[tuple[str, str], date]:
    """Findings by kind and feature: the end of the window."""
    return {
        (f["kind"], f["feature"]): date.fromisoformat(f["window"][1][:10])
        for f in shell("monitor", "findings", "listings", "--json").json
    }


def test_unusual_listings_from_init_to_a_planted_shift(shell: Shell, shared_data: Path) -> None:
    table = write_listings(shared_data / "used_cars_audi.csv", shell.folder / "listings.csv")
    ran = released(shell, "--data", str(table), "--time", "listed", "--template", "unsupervised")
    verdicts = {v["gate"]: v for v in ran["verdicts"]}
    assert {v["outcome"] for v in verdicts.values()} == {"passed"}
    measured = verdicts["metrics"]["evidence"]["metrics"]
    assert measured["flagged"]["value"] <= 0.03
    assert measured["average_precision"]["value"] > 0.3, "the table says which ones they were"

    with serving(shell) as url, client_of(shell, url, "ann") as client:
        period = ["--from", LIVE.isoformat(), "--until", LAST.isoformat(), "--url", url]
        replayed = shell("monitor", "replay", "listings", *period, "--json")
        assert replayed.code == 0, replayed.err
        answers = [
            client.post("/api/v1/predict/listings", json={"record": CAR | {"price": price}})
            for price in (CAR["price"], 999_999.0)
        ]
        assert [one.status_code for one in answers] == [200, 200], answers[0].text
        usual, odd = (one.json()["predictions"][0] for one in answers)
        assert usual["predict"] is False
        assert odd["predict"] is True
        assert usual["probability"] < 0.5 < odd["probability"]
    found = found_in(shell)
    assert SHIFT < found["data_drift", "mpg"] <= SHIFT + timedelta(days=14)
    assert ("prediction_drift", "prediction") in found, "far more are flagged"
    assert "performance" not in {kind for kind, _ in found}, "nothing has a loss"


def test_groups_of_listings_from_init_to_a_planted_shift(shell: Shell, shared_data: Path) -> None:
    table = write_listings(shared_data / "used_cars_audi.csv", shell.folder / "listings.csv", labelled=False)
    ran = released(
        shell, "--data", str(table), "--time", "listed", "--template", "unsupervised", "--task", "clustering"
    )
    assert {v["outcome"] for v in ran["verdicts"]} == {"passed"}
    with serving(shell) as url, client_of(shell, url, "ann") as client:
        period = ["--from", LIVE.isoformat(), "--until", LAST.isoformat(), "--url", url]
        replayed = shell("monitor", "replay", "listings", *period, "--json")
        assert replayed.code == 0, replayed.err
        answer = client.post("/v2/models/listings/infer", json=tensors(CAR))
        assert answer.status_code == 200, answer.text
        outputs = {one["name"]: one["data"] for one in answer.json()["outputs"]}
        # Two clusters hold together best: the number is how far the row belongs to the second.
        assert outputs["predict"] == [float(outputs["probability"][0] > 0.5)]
        label = {"labels": [{"subject": f"{answer.json()['id']}:0", "value": 1}]}
        refused = client.post("/api/v1/projects/listings/labels", json=label)
        assert refused.status_code == 400
        assert "no labels" in refused.text
    assert SHIFT < found_in(shell)["data_drift", "mpg"] <= SHIFT + timedelta(days=14)
