"""What a token costs: issuing, verifying the first time, verifying again, and finding out who asks.

    python benchmarks/tokens.py              # 5 rounds of 2,000 tokens
    python benchmarks/tokens.py --json

Prints the median and the 99th percentile in microseconds, over all rounds, and the machine. Beside them
stands what the signature alone costs, in libsodium, which we use, and in OpenSSL: the difference is ours.
Tokens are issued by one process and verified by another, as with several servers; a process knows the tokens
that it has issued itself. On a machine that does other work too the percentile says more about that work
than about ours; the best round is given too.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.signing import VerifyKey

from headrace.access.opening import Access, open_access
from headrace.access.policy import CedarPolicy
from headrace.core.clock import SystemClock
from headrace.core.identity import Principal
from headrace.core.settings import read_settings
from headrace.serving.process import settle
from headrace.store import open_store

BAR_US = 60.0
"""Verifying a token, 99th percentile."""


class Cost(NamedTuple):
    """Microseconds for one of a kind: over all rounds, and in the best of them."""

    median_us: float
    p99_us: float
    best_p99_us: float


@contextmanager
def opened(home: Path) -> Iterator[tuple[Access, Access, Principal]]:
    """Everything about rights in a home of its own, twice as two processes have it, with one identity."""
    clock = SystemClock()
    store = open_store(read_settings({}, home=home), clock)
    issuing, verifying = (open_access(store, home / "keys", clock, CedarPolicy()) for _ in range(2))
    yield issuing, verifying, issuing.identities.add("bench", ["operator"], actor="bench")
    store.close()


def measure(act: Callable[[str], object], texts: list[str]) -> list[float]:
    """Microseconds of each call, in order."""
    taken = []
    for text in texts:
        start_ns = time.perf_counter_ns()
        act(text)
        taken.append((time.perf_counter_ns() - start_ns) / 1000)
    return taken


def cost(rounds: list[list[float]]) -> Cost:
    """Medians and percentiles of rounds of calls."""
    every = [one for taken in rounds for one in taken]
    return Cost(statistics.median(every), _p99(every), min(map(_p99, rounds)))


def _p99(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)]


def run(n_rounds: int, n_tokens: int) -> dict[str, Cost]:
    """Every kind of call, rounds interleaved, by name."""
    rounds: dict[str, list[list[float]]] = {}
    key = Ed25519PrivateKey.generate()
    message = b"x" * 300
    signature, public = key.sign(message), key.public_key()
    sodium = VerifyKey(public.public_bytes_raw())
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as (issuing, access, principal):
        settle()  # as the server does once it has started
        for _ in range(n_rounds):
            texts = [issuing.tokens.issue(principal) for _ in range(n_tokens)]
            headers = [f"Bearer {text}" for text in texts]
            kinds: dict[str, tuple[Callable[[str], object], list[str]]] = {
                "signature alone, OpenSSL": (lambda _: public.verify(signature, message), texts),
                "signature alone, libsodium": (lambda _: sodium.verify(message, signature), texts),
                "issue": (lambda _: issuing.tokens.issue(principal), texts),
                "verify, one's own": (issuing.tokens.verify, texts),
                "verify, first time": (access.tokens.verify, texts),
                "verify, again": (access.tokens.verify, texts),
                "authenticate, first time": (access.gatekeeper.authenticate, headers),
                "authenticate, again": (access.gatekeeper.authenticate, headers),
            }
            for name, (act, given) in kinds.items():
                rounds.setdefault(name, []).append(measure(act, given))
    return {name: cost(taken) for name, taken in rounds.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = run(arguments.rounds, arguments.tokens)
    machine = f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}"
    if arguments.json:
        print(json.dumps({"machine": machine} | {name: one._asdict() for name, one in found.items()}))
        return
    print(f"{machine}; microseconds\n{'':26}{'median':>10}{'p99':>10}{'best p99':>10}")
    for name, one in found.items():
        print(f"{name:26}{one.median_us:10.1f}{one.p99_us:10.1f}{one.best_p99_us:10.1f}")
    print(f"Bar: verifying takes {BAR_US:.0f} us at most at the 99th percentile, in the best round")
    for name, one in found.items():
        if name.startswith("verify"):
            print(f"{name:26}{'met' if one.best_p99_us <= BAR_US else 'not met'}")


if __name__ == "__main__":
    main()
