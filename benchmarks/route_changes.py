"""Routes change under load: how many requests fail, and how soon the new release answers.

The server of ``serving.py`` runs on one core with one live release; clients on the other core keep 16
connections busy. Meanwhile the route is moved between two releases, again and again, by another process than
the server's, as a promotion and a rollback do it.

    python benchmarks/route_changes.py            # 40 changes
    python benchmarks/route_changes.py --json

Ends with 1 if a request failed, an answer is not in the log, or the bars are missed: no failed request, and
less than a second from the change to the first answer of the other release.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import serving
from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from headrace.store import open_store
from headrace.testing.factories import make_release

BAR_S = 1.0
CONNECTIONS = 16
_PAUSE_S = 0.5
_GIVE_UP_S = 10.0


class Changed(NamedTuple):
    """What the clients saw.

    Attributes:
        delays_s: from each change to the first answer of the release that it made live.
    """

    delays_s: list[float]
    answered: int
    failed: int
    logged: int


async def watch_change(port: int, request: bytes, release_id: str) -> float:
    """Seconds until one connection is answered by this release."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began_s = time.perf_counter()
    try:
        while time.perf_counter() - began_s < _GIVE_UP_S:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            at = head.index(b"content-length: ") + 16
            body = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
            if release_id.encode() in body:
                return time.perf_counter() - began_s
            await asyncio.sleep(0.005)
    finally:
        writer.close()
    return float("inf")


async def change(home: Path, port: int, token: str, n_changes: int) -> Changed:
    """Move the route under load."""
    store = open_store(read_settings({}, home=home), SystemClock())
    first = store.rollouts.route("bench")
    assert first is not None
    other = store.releases.add(make_release(manifest=store.releases.get(first.live).manifest))
    # Tensors, because the server of serving.py has no ordinary way for records, which a row takes while the
    # model of the new release is being loaded.
    request = serving.request(serving.WAYS["tensors, best effort"], token)
    route = first
    sent, seconds = serving.traced(request), n_changes * _PAUSE_S
    load = asyncio.create_task(serving.drive(port, sent, CONNECTIONS, seconds + _PAUSE_S))
    delays_s = []
    for number in range(n_changes):
        await asyncio.sleep(_PAUSE_S)
        live = other.id if number % 2 == 0 else first.live
        route = replace(route, live=live, revision=route.revision + 1)
        await asyncio.to_thread(store.rollouts.set_route, route)
        delays_s.append(await watch_change(port, request, live))
    ended = await load
    await asyncio.sleep(1.0)  # best-effort answers are written within a second
    logged = store.events.count("bench/predictions")
    store.close()
    return Changed(delays_s, ended.answered, ended.failed, logged)


def show(seen: Changed, *, as_json: bool) -> int:
    """Print; 1 if a bar was missed."""
    most_s = max(seen.delays_s)
    summary: dict[str, Any] = {
        "changes": len(seen.delays_s),
        "median_s": statistics.median(seen.delays_s),
        "most_s": most_s,
        "answered": seen.answered,
        "failed": seen.failed,
        "logged": seen.logged,
    }
    if as_json:
        print(json.dumps(summary, indent=2))
    else:
        print(
            "{changes} route changes under load: {failed} of {answered:,} requests failed (bar 0), the new "
            "release answers after {median_s:.2f} s (median), {most_s:.2f} s at most (bar 1)".format(
                **summary
            )
        )
    return 0 if not seen.failed and most_s < BAR_S and seen.logged >= seen.answered else 1


def main() -> int:
    """Parse arguments, change, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.changes < 1:
        parser.error(f"--changes is {arguments.changes}. Expected at least 1")
    with tempfile.TemporaryDirectory(prefix="headrace-routes-") as folder:
        home = Path(folder)
        token = serving.prepare(read_settings({}, home=home))
        with serving.running("ours", home) as server:
            os.sched_setaffinity(0, {serving.CLIENT_CORE})
            seen = asyncio.run(change(home, server.port, token, arguments.changes))
    return show(seen, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
