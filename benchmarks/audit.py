"""How fast is the audit log: durable appends by threads at once, and verifying its chain.

    .venv/bin/python benchmarks/audit.py [--entries 1000000]

Appends go to SQLite with synchronous=FULL on the disk of the temporary folder. Takes some three minutes.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor

from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from headrace.store import Store, open_store

CLOCK = SystemClock()
_numbers = itertools.count()


def append(store: Store) -> None:
    """One entry as a change of rights writes it."""
    store.audit.append(
        "ann", "access.write", f"principal:p{next(_numbers)}", {"roles": ["viewer"], "before": None}
    )


def appended_per_s(store: Store, n_threads: int, n_entries: int) -> float:
    """Entries per second, each durable before its thread goes on."""
    with ThreadPoolExecutor(n_threads) as threads:
        start_s = CLOCK.monotonic_s()
        list(threads.map(lambda _: append(store), range(n_entries)))
        return n_entries / (CLOCK.monotonic_s() - start_s)


def main() -> None:
    """Print one line per figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=1_000_000, help="length of the chain that is verified")
    wanted = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as home:
        store = open_store(read_settings({"HEADRACE_HOME": home}), CLOCK)
        for n_threads, n_entries in ((1, 500), (16, 5_000), (64, 10_000), (128, 10_000)):
            rates = [appended_per_s(store, n_threads, n_entries) for _ in range(3)]
            rate = f"{statistics.median(rates):8,.0f} entries/s"
            print(f"append, {n_threads:3d} threads: {rate} (bar at 64: 5,000)")
        appended_per_s(store, 128, max(1, wanted - next(_numbers)))
        start_s = CLOCK.monotonic_s()
        n_entries = store.audit.verify().sequence
        took_s = CLOCK.monotonic_s() - start_s
        print(f"verify: {n_entries:,} entries in {took_s:.1f} s (bar: 20 s for 1,000,000)")
        store.close()


if __name__ == "__main__":
    main()
