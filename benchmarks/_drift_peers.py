"""Run one drift library over the tables that ``drift.py`` has drawn, and print what it found as JSON.

Started by ``drift.py`` with the interpreter of that library's own environment, so it imports nothing of ours
for a peer. Time and memory are those of the comparison alone; the tables are in memory before.

    python benchmarks/_drift_peers.py evidently FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Table = dict[str, Any]


def read(folder: Path, name: str) -> Table:
    """Numbers as they were drawn; categories as text."""
    kept = np.load(folder / f"{name}.npz")
    words = np.array([f"w{i}" for i in range(1000)], dtype=object)
    return {column: words[kept[column]] if column.startswith("c") else kept[column] for column in kept.files}


def headrace(reference: Table, current: Table) -> set[str]:
    """Evidence at one false alarm per quarter of daily windows over all columns, and size."""
    from headrace.checks.distributions import Rows
    from headrace.checks.drift import shifts

    kinds: Any = {name: "categorical" if name.startswith("c") else "numeric" for name in reference}
    level = 1 / (91 * len(reference))
    found = shifts(Rows(columns=reference, kinds=kinds), current)
    return {
        s.feature for s in found if s.p_value is not None and s.p_value <= level and (s.size or 0) >= 0.08
    }


def headrace_sketches(reference: Table, current: Table) -> set[str]:
    """The same, from sketches of either side; making them is measured too."""
    from headrace.checks.drift import shifts
    from headrace.checks.sketches import Sketches

    kinds: Any = {name: "categorical" if name.startswith("c") else "numeric" for name in reference}
    sides = []
    for table in (reference, current):
        side, n = Sketches(kinds), len(next(iter(table.values())))
        for start in range(0, n, 10_000):
            part = {name: values[start : start + 10_000] for name, values in table.items()}
            side.update(part, len(next(iter(part.values()))))
        sides.append(side)
    level = 1 / (91 * len(reference))
    found = shifts(*sides)
    return {
        s.feature for s in found if s.p_value is not None and s.p_value <= level and (s.size or 0) >= 0.08
    }


def evidently(reference: Table, current: Table, **methods: str) -> set[str]:
    """The preset for drift of a table, with its own choice of methods."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[n for n in reference if not n.startswith("c")],
        categorical_columns=[n for n in reference if n.startswith("c")],
    )
    sides = [Dataset.from_pandas(pd.DataFrame(t), data_definition=definition) for t in (current, reference)]
    run = Report([DataDriftPreset(**methods)]).run(*sides)
    found = set()
    for metric in run.dict()["metrics"]:
        config = metric.get("config") or {}
        if "column" in config and "threshold" in config:
            value, threshold = float(metric["value"]), float(config["threshold"])
            is_p_value = methods.get("num_method") == "ks"
            if value < threshold if is_p_value else value >= threshold:
                found.add(config["column"])
    return found


def evidently_tests(reference: Table, current: Table) -> set[str]:
    """The same with Kolmogorov-Smirnov and chi-square."""
    return evidently(reference, current, num_method="ks", cat_method="chisquare")


def nannyml(reference: Table, current: Table) -> set[str]:
    """Its univariate calculator with its own choice of methods, in chunks of 10,000 rows or one."""
    import nannyml as nml
    import pandas as pd

    n = len(next(iter(current.values())))
    calculator = nml.UnivariateDriftCalculator(
        column_names=list(reference), chunk_size=min(n, max(n // 10, 1))
    )
    calculator.fit(pd.DataFrame(reference))
    frame = calculator.calculate(pd.DataFrame(current)).filter(period="analysis").to_df()
    return {name for name in reference if bool(frame[name]["jensen_shannon"]["alert"].any())}


def alibi(reference: Table, current: Table) -> set[str]:
    """TabularDrift at its 5 %, corrected over the columns (its default is Bonferroni)."""
    from alibi_detect.cd import TabularDrift

    names = list(reference)
    codes = {f"w{i}": i for i in range(1000)}
    sides = []
    for table in (reference, current):
        whole = np.empty((len(next(iter(table.values()))), len(names)), dtype=np.float32)
        for place, name in enumerate(names):
            text = name.startswith("c")
            whole[:, place] = [codes[w] for w in table[name].tolist()] if text else table[name]
        sides.append(whole)
    categories = {place: None for place, name in enumerate(names) if name.startswith("c")}
    detector = TabularDrift(sides[0], p_val=0.05, categories_per_feature=categories)
    said = detector.predict(sides[1])["data"]
    return {name for name, p in zip(names, said["p_val"], strict=True) if p < said["threshold"]}


WAYS: dict[str, Callable[[Table, Table], set[str]]] = {
    "headrace": headrace,
    "headrace-sketches": headrace_sketches,
    "evidently": evidently,
    "evidently-tests": evidently_tests,
    "nannyml": nannyml,
    "alibi-detect": alibi,
}


def peak_mb() -> float:
    """Largest resident memory since it was last reset."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Compare the reference with every ``current*.npz`` of the folder."""
    way, folder = WAYS[sys.argv[1]], Path(sys.argv[2])
    reference = read(folder, "reference")
    # Libraries are imported on first use; that is no part of comparing.
    way({k: v[:2000] for k, v in reference.items()}, {k: v[:1000] for k, v in reference.items()})
    seconds, found = 0.0, []
    for path in sorted(folder.glob("current*.npz")):
        current = read(folder, path.stem)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        before = peak_mb()
        started = time.perf_counter()
        found.append(sorted(way(reference, current)))
        seconds += time.perf_counter() - started
    print("\n" + json.dumps({"seconds": seconds, "peak_mb": peak_mb() - before, "found": found}))


if __name__ == "__main__":
    main()
