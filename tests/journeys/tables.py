"""Small tables that can be learnt from, for journeys that must be quick."""

from __future__ import annotations

import csv
import random
from pathlib import Path

EXTRA = {"Petrol": 0, "Diesel": 500, "Hybrid": 2_500}


def write_cars(path: Path, n_rows: int = 300, *, seed: int = 0) -> Path:
    """Used cars: the price follows year, mileage and fuel, with some noise."""
    dice = random.Random(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["car_id", "sold", "year", "mileage", "fuel", "price"])
        for index in range(n_rows):
            year, mileage = dice.randint(2008, 2020), dice.randint(1_000, 150_000)
            fuel = dice.choice(sorted(EXTRA))
            price = (
                (year - 2000) * 1_200 - mileage * 0.05 + {"Petrol": 0, "Diesel": 500, "Hybrid": 2_500}[fuel]
            )
            day = f"2024-{1 + index * 12 // n_rows:02d}-{1 + index % 28:02d}"
            writer.writerow([f"c{index}", day, year, mileage, fuel, round(price + dice.gauss(0, 400), 2)])
    return path


def write_loans(path: Path, n_rows: int = 600, *, seed: int = 7) -> Path:
    """Applications for a loan, which one district is granted far more often than the other."""
    dice = random.Random(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["income", "district", "approved"])
        for _ in range(n_rows):
            income, district = dice.gauss(40, 10), dice.choice(["north", "south"])
            score = income + {"north": 15, "south": -15}[district] + dice.gauss(0, 5)
            unknown = dice.random() < 0.02
            writer.writerow(["" if unknown else round(income, 1), district, str(score > 40).lower()])
    return path
