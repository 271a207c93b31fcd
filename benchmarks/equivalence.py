"""Does the search for a disagreement find what converters get wrong?

    python benchmarks/equivalence.py        # about 20 seconds on one core

Two models are trained, gradient-boosted trees (LightGBM) and a logistic regression, on a table with numbers
of several sizes, nulls, rare categories and counts above 2**24. A converted copy of each is then given one
fault at a time, of the kinds that converters have had: numbers narrowed, thresholds rounded or compared the
other way, nulls led elsewhere, categories mixed up, a tree lost, labels exchanged. A fault differs from the
original by more than the tolerance of the package gate (0.001 of the spread of the answers) on some input.

Prints for each whether :func:`headrace.checks.searching.search` finds it, in which time and on how many
rows, and whether the usual tests do: one input example, and 1,000 held-out rows. Ends with 1 if one is not
found, or if a copy without a fault is accused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

from headrace.checks.equivalence import compare_outputs
from headrace.checks.searching import search
from headrace.core.clock import SystemClock
from headrace.core.errors import InvalidInput
from headrace.core.project import Column

TOLERANCE = 0.001
NUMBERS = ("age", "price", "distance", "account", "rate")
SPECS = [*(Column(name=name, role="numeric") for name in NUMBERS), Column(name="colour", role="categorical")]
COLOURS = ("red", "blue", "green", "black", "white", "teal", "plum")
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]
Encode = Callable[[Mapping[str, Any]], Any]


class Fault(NamedTuple):
    """One thing that a converter gets wrong: the copy that has it."""

    name: str
    original: Ask
    copy: Ask
    thresholds: dict[str, Any]


def table(random: np.random.Generator, n_rows: int) -> dict[str, Any]:
    """Rows as a project has them."""
    shares = np.array([0.5, 0.25, 0.15, 0.07, 0.02, 0.006, 0.004])
    price = np.round(random.lognormal(8, 1.5, n_rows), 2)
    rows: dict[str, Any] = {
        "age": random.integers(18, 90, n_rows).astype(float),
        "price": np.where(random.random(n_rows) < 0.05, np.nan, price),
        "distance": random.normal(0, 1, n_rows),
        "account": random.integers(2**24, 2**32, n_rows).astype(float),
        "rate": np.round(random.beta(2, 5, n_rows), 4),
    }
    colour = random.choice(np.array(COLOURS, dtype=object), n_rows, p=shares)
    colour[random.random(n_rows) < 0.03] = None
    return {**rows, "colour": colour}


def signal(rows: Mapping[str, Any]) -> Any:
    """What truth depends on."""
    price = np.nan_to_num(np.log(rows["price"]), nan=6.0)
    colour = np.array([-1 if one is None else COLOURS.index(one) for one in rows["colour"]])
    far = np.where(rows["distance"] > 0.3, 2.0, 0.0) + rows["distance"]
    return price + far + 3 * rows["rate"] + 0.4 * colour + (rows["account"] > 2**31) - rows["age"] / 40


def encoded(rows: Mapping[str, Any], place: Mapping[Any, float] | None = None) -> Any:
    """Numbers, then the category's place; a null or unseen one is NaN. Shape ``(n_rows, 6)``."""
    place = known() if place is None else place
    colours = [
        place.get(one, np.nan if one is None else place.get("unseen", np.nan)) for one in rows["colour"]
    ]
    numbers = [np.asarray(rows[name], dtype=np.float64) for name in NUMBERS]
    return np.column_stack([*numbers, np.array(colours, dtype=np.float64)])


def known(changed: Mapping[Any, float] = {}) -> dict[Any, float]:
    """Places of the categories, but for those that a fault puts elsewhere."""
    return {**{name: float(i) for i, name in enumerate(COLOURS)}, **changed}


def wrapped(matrix: Any) -> Any:
    """Account numbers through a signed integer of 32 bits."""
    inside = np.nan_to_num(np.clip(matrix[:, 3], -(2.0**60), 2.0**60)).astype(np.int64).astype(np.int32)
    matrix[:, 3] = np.where(np.isnan(matrix[:, 3]), np.nan, inside)
    return matrix


def trimmed(rows: Mapping[str, Any]) -> Any:
    """Blanks around a category do not count."""
    colours = [one.strip() if isinstance(one, str) else one for one in rows["colour"]]
    return encoded({**rows, "colour": np.array(colours, dtype=object)})


def edited(text: str, field: str, change: Callable[[list[str]], list[str]], trees: slice) -> str:
    """LightGBM's text with one field of some trees changed."""
    lines = text.split("\n")
    for place in [i for i, line in enumerate(lines) if line.startswith(f"{field}=")][trees]:
        lines[place] = f"{field}=" + " ".join(change(lines[place].removeprefix(f"{field}=").split(" ")))
    # Sizes would no longer be right; without them LightGBM reads the trees one after the other.
    return "\n".join(line for line in lines if not line.startswith("tree_sizes="))


def half_as_large_again(values: list[str]) -> list[str]:
    """The largest leaf."""
    at = int(np.argmax(np.abs(np.array(values, dtype=float))))
    return [repr(float(value) * (1.5 if i == at else 1.0)) for i, value in enumerate(values)]


IN_TREES: dict[str, tuple[str, Callable[[list[str]], list[str]], slice]] = {
    "no fault in the trees": ("threshold", lambda values: values, slice(None)),
    "all thresholds rounded to float32": (
        "threshold",
        lambda values: [repr(float(np.float32(value))) for value in values],
        slice(None),
    ),
    "one threshold one float32 step too high": (
        "threshold",
        lambda values: [repr(float(np.nextafter(np.float32(values[0]), np.float32(np.inf)))), *values[1:]],
        slice(0, 1),
    ),
    "a number on the threshold goes to the right": (
        "threshold",
        lambda values: [repr(float(np.nextafter(float(value), -np.inf))) for value in values],
        slice(None),
    ),
    "nulls go to the other side in one tree": (
        "decision_type",
        lambda values: [str(int(value) ^ 2) for value in values],
        slice(0, 1),
    ),
    "one leaf is half as large again": ("leaf_value", half_as_large_again, slice(0, 1)),
    "two leaves of one tree exchanged": (
        "leaf_value",
        lambda values: [values[1], values[0], *values[2:]],
        slice(1, 2),
    ),
    "the second tree is lost": ("leaf_value", lambda values: ["0"] * len(values), slice(1, 2)),
}
BEFORE_TREES: dict[str, Encode] = {
    "numbers narrowed to float32": lambda rows: encoded(rows).astype(np.float32).astype(np.float64),
    "account numbers read as 32 bits": lambda rows: wrapped(encoded(rows)),
    "a null taken for 0": lambda rows: np.nan_to_num(encoded(rows), nan=0.0),
    "negative numbers taken for 0": lambda rows: np.where(encoded(rows) < 0, 0.0, encoded(rows)),
    "two rare categories exchanged": lambda rows: encoded(rows, known({"white": 6.0, "plum": 4.0})),
    "an unseen category taken for the last": lambda rows: encoded(rows, known({"unseen": 6.0})),
    "a null category taken for the last": lambda rows: encoded(rows, known({None: 6.0})),
    "blanks around a category ignored": trimmed,
}


def tree_faults(random: np.random.Generator) -> list[Fault]:
    """Of gradient-boosted trees, edited as the text in which LightGBM keeps them, and of their inputs."""
    import lightgbm

    rows = table(random, 4_000)
    target = signal(rows) + random.normal(0, 0.3, 4_000)
    options: dict[str, Any] = {
        "n_estimators": 60,
        "num_leaves": 15,
        "verbose": -1,
        "n_jobs": 1,
        "random_state": 0,
    }
    booster = lightgbm.LGBMRegressor(**options).fit(encoded(rows), target).booster_
    splits = booster.trees_to_dataframe().dropna(subset=["threshold"])
    thresholds = {
        name: np.unique(splits.loc[splits.split_feature == f"Column_{i}", "threshold"].to_numpy(float))
        for i, name in enumerate(NUMBERS)
    }

    def asking(model: Any, encode: Encode = encoded) -> Ask:
        return lambda table: {"predict": model.predict(encode(table), num_threads=1)}

    text = booster.model_to_string()
    copies = {
        name: asking(lightgbm.Booster(model_str=edited(text, *change))) for name, change in IN_TREES.items()
    }
    copies |= {name: asking(booster, encode) for name, encode in BEFORE_TREES.items()}
    return [Fault(name, asking(booster), copy, thresholds) for name, copy in copies.items()]


def linear_faults(random: np.random.Generator) -> list[Fault]:
    """Of a logistic regression on scaled numbers, filled but for the rate, and one-hot categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = table(random, 4_000)
    truth = (random.random(4_000) < expit(signal(rows) - np.median(signal(rows)))).astype(int)

    def fitted(fill: str) -> Any:
        filled = make_pipeline(SimpleImputer(strategy=fill), StandardScaler())
        prepared = ColumnTransformer(
            [
                ("filled", filled, [0, 1, 2, 3]),
                ("rate", StandardScaler(), [4]),
                ("colour", OneHotEncoder(handle_unknown="ignore"), [5]),
            ]
        )
        return make_pipeline(prepared, LogisticRegression(max_iter=500)).fit(encoded(rows), truth)

    def asking(
        model: Any, change: Callable[[Any], Any] = np.asarray, rate: float | None = None, most: float = np.inf
    ) -> Ask:
        def ask(table: Mapping[str, Any]) -> dict[str, Any]:
            matrix = encoded(table)
            matrix[:, 1] = np.minimum(matrix[:, 1], most)
            if rate is not None:
                matrix[:, 4] = np.nan_to_num(matrix[:, 4], nan=rate)
            elif np.isnan(matrix[:, 4]).any():
                raise InvalidInput("A rate is missing. Send a number.")
            probability = change(model.predict_proba(matrix))
            return {"predict": probability.argmax(axis=1).astype(float), "probability": probability}

        return ask

    model, by_mean = fitted("median"), fitted("mean")
    by_mean[-1].coef_, by_mean[-1].intercept_ = model[-1].coef_, model[-1].intercept_
    original = asking(model)
    copies: dict[str, Ask] = {
        "no fault in the regression": asking(model),
        "nulls filled with the mean, not the median": asking(by_mean),
        "labels exchanged, probabilities right": lambda rows: {
            **original(rows),
            "predict": 1 - original(rows)["predict"],
        },
        "probabilities held between 1 and 99 %": asking(model, lambda p: np.clip(p, 0.01, 0.99)),
        "prices held within those of training": asking(model, most=float(np.nanmax(rows["price"]))),
        "a null that the original refuses is answered": asking(model, rate=0.0),
    }
    return [Fault(name, original, copy, {}) for name, copy in copies.items()]


def main() -> int:
    """Plant, search, print."""
    random, clock = np.random.default_rng(0), SystemClock()
    columns, held_out = table(random, 3_000), table(random, 1_000)
    example = {name: values[:1] for name, values in held_out.items()}
    found = {"search": 0, "one example": 0, "1,000 rows": 0}
    n_faults = accused = 0
    print(f"{'fault':46}{'search':>9}{'rows':>9}{'time':>8}{'one example':>14}{'1,000 rows':>13}")
    for fault in [*tree_faults(random), *linear_faults(random)]:
        began_s = clock.monotonic_s()
        outcome = search(
            fault.original, fault.copy, columns, SPECS, TOLERANCE, clock=clock, thresholds=fault.thresholds
        )
        took_s = clock.monotonic_s() - began_s
        spread = outcome.spread
        by_rows = {
            "search": outcome.found.outcome == "failed",
            **{
                name: compare_outputs(
                    fault.original(rows), fault.copy(rows), TOLERANCE, spread=spread
                ).outcome
                == "failed"
                for name, rows in (("one example", example), ("1,000 rows", held_out))
            },
        }
        if fault.name.startswith("no fault"):
            accused += by_rows["search"]
        else:
            n_faults += 1
            for name, is_found in by_rows.items():
                found[name] += is_found
        words = {name: "found" if is_found else "-" for name, is_found in by_rows.items()}
        n_asked = sum(outcome.n_rows.values())
        print(f"{fault.name:46}{words['search']:>9}{n_asked:9,}{took_s:7.1f}s", end="")
        print(f"{words['one example']:>14}{words['1,000 rows']:>13}", flush=True)
    told = ", ".join(f"{name} {count}" for name, count in found.items())
    print(f"\nof {n_faults} faults: {told}; copies without a fault that were accused: {accused} of 2")
    return 1 if found["search"] < n_faults or accused else 0


if __name__ == "__main__":
    sys.exit(main())
