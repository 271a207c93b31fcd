"""Which scanner finds which hostile model file, how many real ones it refuses, and how fast it is.

    .venv/bin/python benchmarks/artefact_scanners.py

Takes about half a minute on one core. The files are those of tests/checks/hostile.py and benign.py,
made here and never loaded. picklescan and modelscan are measured where they are installed. What they do not
claim to know (programs, ONNX, folders) is counted apart. A scanner that gives up early, at the first array of
a joblib file, is fast.
"""

from __future__ import annotations

import io
import logging
import pickle
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import joblib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headrace.checks.artefacts import scan
from headrace.core.clock import SystemClock
from tests.checks import benign, hostile

Refuses = Callable[[Path], bool]
CLAIMED = (".pkl", ".joblib", ".npy", ".npz", ".pt", ".pth", ".bin", ".zip", ".txt", ".gz")
"""Endings of files in which picklescan looks for pickles."""


class Score(NamedTuple):
    """How a scanner did."""

    found: int
    missed: list[str]
    false_alarms: list[str]
    failed: int


def ours(path: Path) -> bool:
    """Headrace's own scanner, without the others' opinion."""
    return bool(scan(path, second_opinions=False))


def common(path: Path) -> bool:
    """Picklescan alone, as its command is used."""
    from picklescan.scanner import scan_directory_path, scan_file_path

    result = scan_directory_path(str(path)) if path.is_dir() else scan_file_path(str(path))
    return bool(result.issues_count)


def modelscan(path: Path) -> bool:
    """Modelscan alone."""
    from modelscan.modelscan import ModelScan

    return bool(ModelScan().scan(str(path))["issues"])


def score(refuses: Refuses, bad: dict[str, Path], good: dict[str, Path]) -> Score:
    """Ask about every file; a scanner that raises has said nothing."""
    failed = 0

    def asked(path: Path) -> bool:
        nonlocal failed
        try:
            return refuses(path)
        except Exception:  # noqa: BLE001 - a benchmark of other people's code
            failed += 1
            return False

    missed = [name for name, path in bad.items() if not asked(path)]
    false_alarms = [name for name, path in good.items() if asked(path)]
    return Score(len(bad) - len(missed), missed, false_alarms, failed)


def written(
    folder: Path, files: dict[str, bytes], folders: dict[str, Callable[[Path], Path]]
) -> dict[str, Path]:
    """The corpus on disk."""
    folder.mkdir()
    found = {}
    for name, content in files.items():
        found[name] = folder / name
        found[name].write_bytes(content)
    return found | {f"{name}/": make(folder / f"{name}-folder") for name, make in folders.items()}


def megabytes_per_second(refuses: Refuses, path: Path) -> float:
    """Of one file, the best of three."""
    clock = SystemClock()
    best_s = float("inf")
    for _ in range(3):
        started_s = clock.monotonic_s()
        refuses(path)
        best_s = min(best_s, clock.monotonic_s() - started_s)
    return path.stat().st_size / 1e6 / best_s


def large(folder: Path) -> dict[str, Path]:
    """Files to time: a forest, whose pickle is many instructions, and arrays, which are few."""
    from sklearn.ensemble import RandomForestRegressor

    random = np.random.default_rng(0)
    X = random.normal(size=(20_000, 8))
    forest = RandomForestRegressor(40, random_state=0, n_jobs=2).fit(X, X[:, 0])
    words = {f"word {i}": i for i in range(300_000)}
    paths = {name: folder / name for name in ("forest.joblib", "forest.pkl", "vocabulary.pkl", "arrays.npz")}
    joblib.dump(forest, paths["forest.joblib"])
    paths["forest.pkl"].write_bytes(pickle.dumps(forest))
    paths["vocabulary.pkl"].write_bytes(pickle.dumps(words))
    buffer = io.BytesIO()
    np.savez(buffer, a=random.normal(size=4_000_000))
    paths["arrays.npz"].write_bytes(buffer.getvalue())
    return paths


def main() -> None:
    """Print both tables."""
    logging.disable(logging.CRITICAL)
    scanners: dict[str, Refuses] = {"headrace": ours}
    scanners |= {"picklescan": common} if find_spec("picklescan") else {}
    scanners |= {"modelscan": modelscan} if find_spec("modelscan") else {}
    with TemporaryDirectory() as name:
        base = Path(name)
        bad = written(base / "bad", hostile.contents(100 << 20), hostile.folders())
        good = written(base / "good", benign.contents(), benign.folders())
        claimed = {n: p for n, p in bad.items() if n.endswith(CLAIMED)}
        print(f"{len(bad)} hostile files ({len(claimed)} of kinds that hold pickles), {len(good)} real ones")
        print(f"{'':<12}{'found':>8}{'missed':>8}{'of pickles':>12}{'false alarms':>14}{'raised':>8}")
        for scanner, refuses in scanners.items():
            did = score(refuses, bad, good)
            of_pickles = sum(n in claimed for n in did.missed)
            alarms = len(did.false_alarms)
            print(
                f"{scanner:<12}{did.found:>8}{len(did.missed):>8}{of_pickles:>12}{alarms:>14}{did.failed:>8}"
            )
            missed = [name for name in did.missed if name in claimed]
            for what, names in (("missed pickles", missed), ("alarms", did.false_alarms)):
                if names:
                    print(f"    {what}: {', '.join(names)}")
        print(f"\n{'MB/s':<18}{'MB':>8}" + "".join(f"{scanner:>12}" for scanner in scanners))
        for file, path in large(base).items():
            speeds = "".join(f"{megabytes_per_second(refuses, path):>12.1f}" for refuses in scanners.values())
            print(f"{file:<18}{path.stat().st_size / 1e6:>8.1f}{speeds}")


if __name__ == "__main__":
    main()
