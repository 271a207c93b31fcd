"""How fast personal data and secrets are recognised in text, and how well, by kind.

Texts are made with a fixed seed: of every kind 2,000, and beside them what only looks like one (versions,
build numbers, digests, dates, order numbers, amounts, code). A hit counts when kind, start and end are right.

    python benchmarks/recognisers.py
    python benchmarks/recognisers.py --json --seed 7

Speed is that of one core, the median of 5 runs, on three texts: a server's log, prose, and the made texts
themselves, in which every line holds something.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter

from headrace.access.privacy.recognisers import KINDS, find
from headrace.testing.personal import Sample, personal_texts

RUNS = 5
LOG = (
    "2026-11-21 12:08:38,123 INFO headrace.serving.handler release 019b76da-a800-7003-a729-1a287d3c9d21 "
    "answered 14 rows in 3.25 ms for caller; segment 000042 of 67108864 bytes, version 4.18.2\n"
)
PROSE = (
    "The delivery came two days late, and the customer asked for the price to be lowered by 15 per cent; we "
    "agreed on the telephone, and the note about it is in ticket 4711 of the second quarter.\n"
)


def quality(samples: list[Sample]) -> dict[str, dict[str, float]]:
    """Recall and precision by kind."""
    right, wrong, there = Counter[str](), Counter[str](), Counter(s.kind for s in samples if s.kind)
    for sample in samples:
        for found in find(sample.text):
            hit = (found.kind, found.start, found.end) == (sample.kind, sample.start, sample.end)
            (right if hit else wrong)[found.kind] += 1
    return {
        kind: {
            "recall": right[kind] / there[kind],
            "precision": right[kind] / max(1, right[kind] + wrong[kind]),
            "n": there[kind],
        }
        for kind in KINDS
    }


def speed_mb_s(text: str) -> float:
    """Megabytes (10^6, UTF-8) a second."""
    size, seconds = len(text.encode()) / 1e6, []
    for _ in range(RUNS):
        began = time.process_time()
        find(text)
        seconds.append(time.process_time() - began)
    return size / statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples = personal_texts(2000, options.seed)
    texts = {"log": LOG * 8000, "prose": PROSE * 10_000, "made": "\n".join(s.text for s in samples)}
    speeds = {name: speed_mb_s(text) for name, text in texts.items()}
    kinds = quality(samples)
    if options.json:
        print(json.dumps({"mb_per_s": speeds, "kinds": kinds}, indent=2))
        return
    for name, speed in speeds.items():
        print(f"{name:<12} {speed:6.1f} MB/s")
    for name, measured in kinds.items():
        print(
            f"{name:<12} recall {measured['recall']:.4f}  precision {measured['precision']:.4f}  "
            f"of {measured['n']:,.0f}"
        )
    print(f"made texts: {len(samples):,}, of them {sum(s.kind is None for s in samples):,} without anything")


if __name__ == "__main__":
    main()
