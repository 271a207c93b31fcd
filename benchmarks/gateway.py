"""What a call to an LLM costs through the gateway: time added, calls a second, beside LiteLLM and Portkey.

    python benchmarks/gateway.py            # about 8 minutes on 2 cores
    python benchmarks/gateway.py --quick    # one short round
    python benchmarks/gateway.py --alone    # without LiteLLM and Portkey

A scripted model on 127.0.0.1 answers at once, so that what is measured is the way to it and back. Each
gateway is one process on one core; the model and the clients share the other. Ours is ``headrace up`` as
users start it: token, policy, route, prompt, guards, and each answer on disk before it is given. Rounds take
turns; medians are printed. Portkey is left out where there is no Node.

Ends with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from _gateways import CHUNKS, OTHER, Load, drive, litellm, portkey, prepare, scripted, up

MANY = 16
PEERS = ("LiteLLM", "Portkey")
BARS = {
    "added p50 ms": (0.7, "<="),
    "added p99 ms": (2.0, "<="),
    "calls/s": (3_000.0, ">="),
    "streams/s": (1_500.0, ">="),
    "times LiteLLM": (18.0, ">="),
    "times Portkey": (2.0, ">="),
    "CPU ms a call": (0.4, "<="),
    "added to the first piece, ms": (1.0, "<="),
    "a piece, us of CPU": (30.0, "<="),
}


def measure(rounds: int, seconds: float, *, alone: bool) -> dict[str, dict[str, float]]:
    """Medians by server."""
    import uvloop

    found: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-")))
        model = stack.enter_context(scripted())
        gateways = [model, stack.enter_context(up(folder / "home", prepare(folder / "home", model.port)))]
        if not alone:
            gateways.append(stack.enter_context(litellm(folder, model.port)))
            others = stack.enter_context(portkey(model.port))
            gateways += [others] if others else []
        os.sched_setaffinity(0, {OTHER})
        for number in range(-1, rounds):
            for gateway in gateways:
                for connections, stream in ((1, False), (MANY, False), (1, True), (MANY, True)):
                    if stream and not gateway.streams:
                        continue
                    for_s = seconds if number >= 0 else 0.5
                    load = uvloop.run(drive(gateway, connections, for_s, stream=stream))
                    if number >= 0:
                        _keep(found.setdefault(gateway.name, {}), load, connections, stream=stream)
    return {name: {what: statistics.median(of) for what, of in rows.items()} for name, rows in found.items()}


def _keep(rows: dict[str, list[float]], load: Load, connections: int, *, stream: bool) -> None:
    what = f"{'stream' if stream else 'call'}, {connections}"
    calls = load.calls_ms
    for name, value in (
        ("per s", len(calls) / load.seconds),
        ("p50 ms", float(np.percentile(calls, 50))),
        ("p99 ms", float(np.percentile(calls, 99))),
        ("first p50 ms", float(np.percentile(load.first_ms, 50)) if load.first_ms else float("nan")),
        ("CPU ms", load.cpu_s / len(calls) * 1000),
    ):
        rows.setdefault(f"{what}: {name}", []).append(value)


def bars(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """What the bars are about, of ours."""
    us, direct = found["Headrace"], found["the model"]
    one, many, streams = "call, 1: ", f"call, {MANY}: ", f"stream, {MANY}: "
    added = {
        "added p50 ms": us[one + "p50 ms"] - direct[one + "p50 ms"],
        "added p99 ms": us[one + "p99 ms"] - direct[one + "p99 ms"],
        "calls/s": us[many + "per s"],
        "streams/s": us[streams + "per s"],
        "CPU ms a call": us[many + "CPU ms"],
        "added to the first piece, ms": us["stream, 1: first p50 ms"] - direct["stream, 1: first p50 ms"],
        "a piece, us of CPU": (us[streams + "CPU ms"] - us[many + "CPU ms"]) / CHUNKS * 1000,
    }
    for peer in PEERS:
        if peer in found:
            added[f"times {peer}"] = us[many + "per s"] / found[peer][many + "per s"]
    return added


def show(found: dict[str, dict[str, float]]) -> int:
    """Print a table and each bar; returns 1 if one is missed."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; medians\n")
    names = list(found)
    print(f"{'':28}" + "".join(f"{name:>14}" for name in names))
    for what in found[names[0]]:
        if not np.isnan(found[names[0]][what]):
            of = [found[name].get(what, float("nan")) for name in names]
            print(f"{what:28}" + "".join(f"{one:14.3f}" for one in of))
    missed = 0
    print()
    for what, value in bars(found).items():
        limit, sign = BARS[what]
        holds = value <= limit if sign == "<=" else value >= limit
        missed |= not holds
        print(f"{what:32}{value:12.3f}  bar {sign} {limit:g}  {'holds' if holds else 'MISSED'}")
    return int(missed)


def main() -> int:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--alone", action="store_true", help="without LiteLLM and Portkey")
    parser.add_argument("--json", action="store_true", help="numbers only")
    options = parser.parse_args()
    rounds, seconds = (1, 2.0) if options.quick else (3, 8.0)
    found = measure(rounds, seconds, alone=options.alone)
    if options.json:
        print(json.dumps({"servers": found, "bars": bars(found)}, indent=2))
        return 0
    return show(found)


if __name__ == "__main__":
    sys.exit(main())
