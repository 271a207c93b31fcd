"""What watching identities costs: on the way of a request, afterwards, in memory; and its false alarms.

    python benchmarks/abnormal.py            # about a minute
    python benchmarks/abnormal.py --json

Prints nanoseconds for noting one event on the way of a request, microseconds for looking at it later, bytes
for each identity, and how often the detector of bursts is wrong in a year of an identity: for Poisson
counts, which its level is made for, and for counts that come in clumps, which it is not.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

from headrace.access.abnormal import HOURS_OF_WEEK, Event, Limits, burst_probability
from headrace.access.activity import Activity
from headrace.access.uses import Uses
from headrace.access.whereabouts import Watch
from headrace.core.clock import SystemClock
from headrace.core.identity import Principal, Session
from headrace.core.settings import read_settings
from headrace.store import open_store

N_EVENTS = 2_000
N_BATCHES = 100
N_IDENTITIES = 2_000
WEEKS = 52
LIMITS = Limits()


def costs(folder: Path) -> dict[str, float]:
    """Nanoseconds on the way, microseconds afterwards: the best of 100 batches."""
    clock = SystemClock()
    store = open_store(read_settings({"HEADRACE_HOME": str(folder)}), clock)
    me = Principal(
        name="ann", kind="person", roles=("developer",), created_at=clock.now(),
        session=Session(token="t", network="93.184.0.0/16"),
    )  # fmt: skip
    noting, looking = [], []
    activity = Activity(Uses(store.uses, clock), store.uses, store.sightings, clock, LIMITS)
    for _ in range(N_BATCHES):
        note, started = activity.note, time.perf_counter()
        for _ in range(N_EVENTS):
            note(me, "predict", "project:cars")
        noted = time.perf_counter()
        activity.look()
        looking.append((time.perf_counter() - noted) / N_EVENTS)
        noting.append((noted - started) / N_EVENTS)
    store.close()
    return {"note_ns": min(noting) * 1e9, "look_us": min(looking) * 1e6}


def memory() -> float:
    """Bytes for an identity that uses three models from three networks with ten tokens."""
    tracemalloc.start()
    watch = Watch(lambda _: [], LIMITS)
    before = tracemalloc.get_traced_memory()[0]
    for n in range(N_IDENTITIES):
        for k in range(10):
            network = ("93.184.0.0/16", "151.101.0.0/16", "private")[k % 3]
            watch.meet(Event(f"p{n}", 1.8e9 + k, network, f"token-{n}-{k}", "predict", f"project:{k % 3}"))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / N_IDENTITIES


def rates(random: np.random.Generator, n_identities: int) -> np.ndarray:
    """Events per hour of the week, of shape ``(n_identities, 168)``: offices, shifts, machines."""
    day, hour = np.arange(HOURS_OF_WEEK) // 24, np.arange(HOURS_OF_WEEK) % 24
    office = np.where((day < 5) & (hour >= 8) & (hour < 18), 1.0, 0.02)
    shape = np.stack([office, np.roll(office, 9), np.ones(HOURS_OF_WEEK)])
    base = np.exp(random.uniform(np.log(2), np.log(300), n_identities))
    found: np.ndarray = base[:, None] * shape[random.integers(0, 3, n_identities)]
    return found


def false_alarms(clumps: float, *, sized: bool) -> float:
    """Alarms in a year of an identity whose counts have the variance ``mean * (1 + clumps * mean)``.

    Args:
        sized: also ask for the size of a burst, as the detector does; else its test alone.
    """
    random = np.random.default_rng(7)
    mean = np.broadcast_to(rates(random, 200), (WEEKS, 200, HOURS_OF_WEEK))
    rate = mean * random.gamma(1 / clumps, clumps, mean.shape) if clumps else mean
    counts = random.poisson(rate)
    before, first, alarms = np.cumsum(counts, axis=0), 5, 0
    for week in range(first, WEEKS):
        now, past = counts[week], before[week - 1]
        high = now * week > past + 3 * np.sqrt(past * (week + 1))
        if sized:
            high &= (now >= LIMITS.burst) & (now * week >= LIMITS.burst_ratio * past)
        for one, other in zip(now[high].tolist(), past[high].tolist(), strict=True):
            alarms += burst_probability(one, other, week) < LIMITS.burst_level / HOURS_OF_WEEK
    return alarms / (200 * (WEEKS - first) / 52)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        found = costs(Path(folder))
    found |= {
        "bytes_per_identity": memory(),
        "false_alarms_per_year_test_alone": false_alarms(0.0, sized=False),
        "false_alarms_per_year": false_alarms(0.0, sized=True),
        "false_alarms_per_year_clumped": false_alarms(0.3, sized=True),
    }
    if as_json:
        sys.stdout.write(json.dumps(found | {"machine": platform.machine()}, indent=2) + "\n")
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:36} {value:12.3f}\n")


if __name__ == "__main__":
    main()
