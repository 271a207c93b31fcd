"""Kills a gateway under load again and again, and looks for what it had acknowledged.

Each time ``headrace up`` of one home, with a prompt that is live and a budget, answers 8 busy connections:
each asks, gives feedback on the answer, and sends a step of a trace. It is killed (SIGKILL) at a random
moment. Then the record is read as any reader reads it.

    python benchmarks/gateway_kills.py               # 50 kills, about 6 minutes on 2 cores
    python benchmarks/gateway_kills.py --times 5 --json

Ends with 1 if an acknowledged answer, word of feedback or step is missing or an answer is there twice, or if
less is counted as spent than callers were told. The bar is 0 missing of 50 kills.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _gateways as gateway
import aiohttp

from headrace.core.clock import SystemClock
from headrace.core.settings import read_settings
from headrace.gateway.budgets import Budgets, Limit, Scope
from headrace.store import open_store
from headrace.store.records import decode_feedback, decode_prediction, decode_received

CONNECTIONS = 8
EARLIEST_S, LATEST_S = 0.05, 0.8
"""Each server is killed so long after its first answer."""
BUDGET = Limit(scope=Scope("project", gateway.PROJECT), measure="tokens", most=10**9, period="total")
DECLARED = [{"per": "project", "of": "tokens", "most": BUDGET.most, "period": "total"}]


@dataclass
class Told:
    """What callers were told is done: ids, and tokens."""

    answers: list[str] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    tokens: int = 0


async def call(
    server: gateway.Gateway, session: aiohttp.ClientSession, told: Told, first: asyncio.Event
) -> None:
    """Ask, give feedback, send a step; again and again until the server is gone."""
    root = f"http://127.0.0.1:{server.port}"
    while True:
        question = {"role": "user", "content": f"{gateway.QUESTION} Order {secrets.randbelow(10**9)}."}
        body = {"model": gateway.PROJECT, "messages": [question]}
        async with session.post(f"{root}/v1/chat/completions", json=body) as answer:
            said = await _told(answer, 200)
        answer_id = answer.headers["headrace-answer"]
        told.answers.append(answer_id)
        told.tokens += said["usage"]["total_tokens"]
        first.set()
        opinion = f"{root}/api/v1/projects/{gateway.PROJECT}/answers/{answer_id}/feedback"
        async with session.post(opinion, json={"thumbs": "up"}) as answer:
            told.feedback += (await _told(answer, 200))["ids"]
        step_id = secrets.token_hex(8)
        given = {"headrace-project": gateway.PROJECT}
        async with session.post(f"{root}/otlp/v1/traces", json=_step(step_id), headers=given) as answer:
            await _told(answer, 200)
        told.steps.append(step_id)


async def _told(answer: aiohttp.ClientResponse, status: int) -> Any:
    if answer.status != status:
        raise RuntimeError(f"{answer.url.path} answered {answer.status}: {(await answer.text())[:500]}")
    return await answer.json()


def _step(step_id: str) -> dict[str, Any]:
    now = time.time_ns()
    span = {
        "traceId": secrets.token_hex(16), "spanId": step_id, "name": "look up", "kind": 1,
        "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 10**6),
    }  # fmt: skip
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


async def load_until_killed(server: gateway.Gateway, told: Told, later_s: float) -> None:
    """Busy connections until ``later_s`` after the first answer, when the process is killed."""
    name, _, value = server.headers.strip().partition(": ")
    async with aiohttp.ClientSession(headers={name: value}) as session:
        first = asyncio.Event()
        callers = [asyncio.ensure_future(call(server, session, told, first)) for _ in range(CONNECTIONS)]
        begun = asyncio.ensure_future(first.wait())
        await asyncio.wait([begun, *callers], return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        await asyncio.sleep(later_s)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        for failed in await asyncio.gather(*callers, return_exceptions=True):
            if not isinstance(failed, aiohttp.ClientError | ConnectionError):
                raise SystemExit(f"A caller has ended: {failed}")


def recorded(home: Path) -> tuple[dict[str, Counter[str]], int]:
    """How often each id is in the record, by stream; and the tokens that count as spent."""
    decode: dict[str, Callable[[bytes], str]] = {
        "predictions": lambda record: decode_prediction(record).id,
        "feedback": lambda record: decode_feedback(record).id,
        "spans": lambda record: decode_received(record).span.span_id,
    }
    store = open_store(read_settings({}, home=home), SystemClock())
    try:
        found: dict[str, Counter[str]] = {kind: Counter() for kind in decode}
        for kind, id_of in decode.items():
            stream = f"{gateway.PROJECT}/{kind}"
            for segment in store.events.segments(stream):
                offset = 0
                while True:
                    records, offset = store.events.read(stream, segment.name, offset, 10_000)
                    if not records:
                        break
                    found[kind].update(map(id_of, records))
        store.budgets.lose_dead()
        (standing,) = Budgets(store.budgets, SystemClock(), "reader").standing([BUDGET])
        return found, standing.spent
    finally:
        store.close()


def measure(folder: Path, times: int) -> dict[str, Any]:
    """Kill so many servers of one home; what was acknowledged, and what of it is missing."""
    told, draw, home = Told(), random.Random(0), folder / "home"
    with gateway.scripted() as model:
        token = gateway.prepare(home, model.port, budgets=DECLARED)
        for number in range(times):
            with gateway.up(home, token) as server:
                asyncio.run(load_until_killed(server, told, draw.uniform(EARLIEST_S, LATEST_S)))
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {times} killed", end="", file=sys.stderr, flush=True)
    found, spent = recorded(home)
    return {
        "kills": times,
        "answers": _kept(told.answers, found["predictions"]),
        "feedback": _kept(told.feedback, found["feedback"]),
        "steps": _kept(told.steps, found["spans"]),
        "tokens": {"acknowledged": told.tokens, "spent": spent, "missing": max(0, told.tokens - spent)},
    }


def _kept(told: list[str], found: Counter[str]) -> dict[str, int]:
    return {
        "acknowledged": len(told),
        "recorded": found.total(),
        "missing": sum(name not in found for name in told),
        "twice": sum(count > 1 for count in found.values()),
    }


def main() -> int:
    """Parse arguments, kill, print; 1 if something acknowledged is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-kills-") as folder:
        result = measure(Path(folder), arguments.times)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{result['kills']} kills under load")
        for what in ("answers", "feedback", "steps", "tokens"):
            print(f"  {what:10}" + ", ".join(f"{name} {n:,}" for name, n in result[what].items()))
    parts = [result[what] for what in ("answers", "feedback", "steps", "tokens")]
    lost = any(part["missing"] or part.get("twice") for part in parts)
    return int(lost or not all(part["acknowledged"] for part in parts))


if __name__ == "__main__":
    sys.exit(main())
