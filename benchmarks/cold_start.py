"""How soon a converted model gives its first answer, what memory it takes, and what a hundred of them take.

    python benchmarks/cold_start.py
    python benchmarks/cold_start.py --json

The model is a pipeline over raw columns: imputer, scaler, one-hot encoder, and 200 boosted trees. A process
is started that loads its package and answers one row; the time is from its start to the answer, the best of
five and the median, and the memory is what it holds then. Another process loads a hundred packages and
answers one row with each in turn, so that every model's trees come from memory and not from a cache.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.core.project import Column
from headrace.data.encoding import Encoding
from headrace.training.compiling import compile_pipeline
from headrace.training.convert import to_onnx
from headrace.training.package import PackageInfo, build_package
from headrace.training.tables import to_frame

START_S, MEMORY_MIB, HUNDRED_MIB = 1.0, 120.0, 1536.0
FIRST = """
import sys
from headrace.training.package import load_scorer
from pathlib import Path
scorers = [load_scorer(Path(name)) for name in sys.argv[2:]]
row = [0.5] * 8 + ["a", "b"]
answers = [scorer.score_row(row)["predict"] for scorer in scorers]
print("answered", flush=True)
heavy = sorted({"sklearn", "pandas", "scipy", "lightgbm", "skl2onnx", "onnx"} & set(sys.modules))
with open("/proc/self/status") as status:
    memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
import json, time
taken = []
for _ in range(int(sys.argv[1])):
    for scorer in scorers:
        start = time.perf_counter_ns()
        scorer.score_row(row)
        taken.append((time.perf_counter_ns() - start) / 1000)
taken.sort()
p99 = taken[int(len(taken) * 0.99)] if taken else None
p50 = taken[len(taken) // 2] if taken else None
print(json.dumps({"memory_mib": memory / 1024, "heavy": heavy, "p50_us": p50, "p99_us": p99}))
"""


class Made(NamedTuple):
    """A package, and what its pipeline itself takes for one row, in microseconds (the best of twenty)."""

    path: Path
    original_us: float


def make_package(folder: Path, seed: int) -> Made:
    """A compiled pipeline of its own."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"x{i}": random.normal(size=1500) for i in range(8)}
    for name in ("fuel", "grade"):
        columns[name] = np.array(list("abc"), dtype=object)[random.integers(0, 3, 1500)]
    specs = [Column(name=name, role="numeric") for name in list(columns)[:8]]
    specs += [Column(name=name, role="categorical") for name in ("fuel", "grade")]
    prepare = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [f"x{i}" for i in range(8)]),
            ("text", OneHotEncoder(handle_unknown="ignore"), ["fuel", "grade"]),
        ]
    )
    y = columns["x0"] * 2 + columns["x1"] ** 2 + random.normal(size=1500)
    model = make_pipeline(prepare, GradientBoostingRegressor(n_estimators=200, max_depth=4, random_state=0))
    model.fit(to_frame(columns, list(columns)), y)
    encoding = Encoding.fit(columns, specs)
    compiled = compile_pipeline(model, [(one.name, one.kind) for one in encoding.inputs])
    graph = to_onnx(compiled.estimator, n_features=compiled.plan["width"], task="regression")
    info = PackageInfo(project="p", variant=f"v{seed}", task="regression", target="y", takes="raw")
    path = folder / f"{seed}.package"
    path.write_bytes(build_package(info, encoding, graph, plan=compiled.plan))
    row = to_frame({name: values[:1] for name, values in columns.items()}, list(columns))
    original_us = min(timeit.repeat(lambda: model.predict(row), number=1, repeat=20)) * 1e6
    return Made(path, original_us)


def started(rounds: int, *packages: Path) -> tuple[float, dict[str, Any]]:
    """Seconds from the start of a process to its answers, and what it says of itself."""
    begun_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", FIRST, str(rounds), *map(str, packages)], stdout=subprocess.PIPE, text=True
    )
    out = process.stdout
    if out is None or out.readline().strip() != "answered":
        raise SystemExit("The process gave no answer.")
    taken_s = time.perf_counter() - begun_s
    said = json.loads(out.read())
    process.wait()
    return taken_s, said


def main() -> None:
    """Measure, and say which bars hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = [make_package(folder, seed) for seed in range(4)]
        packages = [one.path for one in made]
        # A hundred different files; what differs in them does not matter to memory.
        hundred = [folder / f"copy-{index}.package" for index in range(100)]
        for index, path in enumerate(hundred):
            path.write_bytes(packages[index % 4].read_bytes())
        runs = [started(0, packages[0]) for _ in range(5)]
        _, one = started(3_000, packages[0])
        many_s, many = started(30, *hundred)
    starts_s = [taken_s for taken_s, _ in runs]
    measured = {
        "first answer, best of 5": (min(starts_s), "s", START_S),
        "first answer, median": (statistics.median(starts_s), "s", START_S),
        "memory of one model": (runs[0][1]["memory_mib"], "MiB", MEMORY_MIB),
        "memory of 100 models": (many["memory_mib"], "MiB", HUNDRED_MIB),
    }
    facts = {
        "one row, median": f"{one['p50_us']:.1f} us, 99th percentile {one['p99_us']:.1f} us",
        "the same by pipeline.predict": f"{min(one.original_us for one in made):,.0f} us",
        "the same of 100 models in turn": (
            f"{many['p50_us']:.1f} us, 99th percentile {many['p99_us']:.1f} us"
        ),
        "loading 100 models and 100 answers": f"{many_s:.2f} s",
        "libraries of training imported": ", ".join(one["heavy"]) or "none",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    if arguments.json:
        print(json.dumps({name: value for name, (value, _, _) in measured.items()} | facts))
        return
    for name, (value, unit, bar) in measured.items():
        verdict = "ok" if value <= bar else "MISSED"
        print(f"{name:<38} {value:8.2f} {unit:<4} (at most {bar:g})  {verdict}")
    for name, text in facts.items():
        print(f"{name:<38} {text}")


if __name__ == "__main__":
    main()
