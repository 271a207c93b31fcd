"""What a call to an LLM costs through the gateway: time added, calls a second, beside LiteLLM.

    python benchmarks/gateway.py            # about 6 minutes on 2 cores
    python benchmarks/gateway.py --quick    # one short round
    python benchmarks/gateway.py --alone    # without LiteLLM

A scripted model on 127.0.0.1 answers at once, so that what is measured is the way to it and back. Each
gateway is one process on one core; the model and the clients share the other. Ours is ``headrace up`` as
users start it: token, policy, route, prompt, and each answer on disk before it is given. LiteLLM is its proxy
with one worker, without database, callbacks or logs, which is its fastest; it is installed on first use into
an environment of its own below ``HEADRACE_BENCH`` (default: ``~/.cache/headrace-bench``).
Rounds take turns; medians are printed.

Ends with 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _peers import environment, free_port

from headrace.access.privacy.charters import terms_of
from headrace.app.composition import open_app
from headrace.core.project import Column, DataSpec
from headrace.core.release import Route, Subject
from headrace.core.settings import read_settings
from headrace.gateway.llm.endpoints import FILE
from headrace.gateway.prompts import MEDIA_TYPE, Prompt
from headrace.testing import ScriptedLLM
from headrace.testing.factories import make_manifest, make_project, make_release
from headrace.testing.scripted_answers import Answer

PROJECT, MODEL = "support", "small"
CORE, OTHER = 0, 1
CHUNKS = 20
MANY = 16
BARS = {
    "added p50 ms": (0.7, "<="),
    "added p99 ms": (2.0, "<="),
    "calls/s": (3_000.0, ">="),
    "streams/s": (1_500.0, ">="),
    "times LiteLLM": (18.0, ">="),
    "CPU ms a call": (0.4, "<="),
    "added to the first piece, ms": (1.0, "<="),
    "a piece, us of CPU": (30.0, "<="),
}
QUESTION = "May I return shoes that I have worn outside once, and who pays for the parcel?"
ANSWER = "You may return them within 30 days; worn outside they are not taken back. We pay for the parcel. "


class Gateway(NamedTuple):
    """A server that is measured."""

    name: str
    port: int
    pid: int | None
    headers: str
    model: str

    def request(self, number: int, *, stream: bool) -> bytes:
        """One call as its bytes; each asks something else, so that nothing is remembered from the last."""
        body = {"model": self.model, "messages": [{"role": "user", "content": f"{QUESTION} Order {number}."}]}
        sent = json.dumps(body | ({"stream": True} if stream else {})).encode()
        return (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"{self.headers}content-length: {len(sent)}\r\n\r\n"
        ).encode() + sent

    def cpu_s(self) -> float:
        """Processor time of the process so far, its threads included."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """What clients saw: time of each call, and of streams until their first piece."""

    calls_ms: list[float]
    first_ms: list[float]
    seconds: float
    cpu_s: float


async def _drive(gateway: Gateway, connections: int, seconds: float, *, stream: bool) -> Load:
    numbers, calls, first = count(time.time_ns() // 1000 % 10**9), [], []
    until_s = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        while time.perf_counter() < until_s:
            sent = gateway.request(next(numbers), stream=stream)
            began_s = time.perf_counter()
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"{gateway.name}: {head[:60]!r} {await reader.read(500)!r}")
            lower = head.lower()
            if b"content-length:" in lower:
                length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            else:
                await reader.readuntil(b"data: ")
                first.append((time.perf_counter() - began_s) * 1000)
                await reader.readuntil(b"0\r\n\r\n")
            calls.append((time.perf_counter() - began_s) * 1000)
        writer.close()

    before_s, started_s = gateway.cpu_s() if gateway.pid else 0.0, time.perf_counter()
    await asyncio.gather(*(client() for _ in range(connections)))
    cpu_s = gateway.cpu_s() - before_s if gateway.pid else 0.0
    return Load(calls, first, time.perf_counter() - started_s, cpu_s)


@contextmanager
def scripted() -> Iterator[Gateway]:
    """The model itself, in a process of its own."""
    command = ["taskset", "-c", str(OTHER), sys.executable, __file__, "--model"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Gateway("the model", int(process.stdout.readline()), process.pid, "", MODEL)
        finally:
            process.terminate()


@contextmanager
def up(home: Path, token: str) -> Iterator[Gateway]:
    """``headrace up`` for whoever has the token."""
    port = free_port()
    command = [sys.executable, "-m", "headrace", "up", "--port", str(port)]
    with _process("Headrace", command, port, "/readyz", HEADRACE_HOME=str(home)) as pid:
        yield Gateway("Headrace", port, pid, f"authorization: Bearer {token}\r\n", PROJECT)


def prepare(home: Path, model_port: int, **llm: Any) -> str:
    """A home with one prompt that is live, under these rules of its project; a token."""
    with open_app(read_settings({}, home=home)) as app:
        provider = {"url": f"http://127.0.0.1:{model_port}/v1", "terms": {"self_hosted": True}}
        (home / FILE).write_text(json.dumps({"providers": {"local": provider}}))
        project = replace(
            make_project(name=PROJECT, task="text_generation"),
            llm={"oversight": {"faces": "staff"}, **llm},
            data=DataSpec(source="q.csv", target="expected", columns=(Column(name="question", role="text"),)),
        )
        first = app.me()
        principal = app.identities.add("bench", ["operator", "developer"], actor=first.name)
        app.store.projects.save(project, "")
        prompt = Prompt(
            template="Be brief and kind.", models=(f"local/{MODEL}",), parameters={"temperature": 0.2}
        )
        subject = Subject(
            ref=f"prompt:{PROJECT}@1", package=app.store.artifacts.put(prompt.to_bytes(), MEDIA_TYPE)
        )
        release = make_release(
            manifest=make_manifest(project=PROJECT, subject=subject, terms=terms_of(project))
        )
        release = replace(release, signature=app.access.signatures.sign(release))
        app.store.rollouts.set_route(Route(project=PROJECT, live=app.store.releases.add(release).id))
        return app.tokens.issue(principal)


@contextmanager
def litellm(folder: Path, model_port: int) -> Iterator[Gateway]:
    """LiteLLM's proxy, one worker."""
    program = environment("litellm", ("litellm[proxy]",)) / "bin/litellm"
    params = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{model_port}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": MODEL, "litellm_params": params}],
        "litellm_settings": {"telemetry": False, "drop_params": True},
        "general_settings": {"master_key": "sk-bench", "disable_spend_logs": True},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    port = free_port()
    command = [str(program), "--config", str(folder / "litellm.yaml"),
               "--port", str(port), "--num_workers", "1", "--host", "127.0.0.1"]  # fmt: skip
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with _process("LiteLLM", command, port, "/health/liveliness", **quiet) as pid:
        yield Gateway("LiteLLM", port, pid, "authorization: Bearer sk-bench\r\n", MODEL)


@contextmanager
def _process(name: str, command: list[str], port: int, ready: str, **more: str) -> Iterator[int]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(CORE), *command], stdout=log, stderr=log, env=os.environ | more,
            start_new_session=True,
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}{ready}", process, name)
            yield process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], name: str) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            raise SystemExit(f"{name} did not start.")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5)
            return
        time.sleep(0.1)
    raise SystemExit(f"{name} was not ready within two minutes.")


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
        os.sched_setaffinity(0, {OTHER})
        for number in range(-1, rounds):
            for gateway in gateways:
                for connections, stream in ((1, False), (MANY, False), (1, True), (MANY, True)):
                    for_s = seconds if number >= 0 else 0.5
                    load = uvloop.run(_drive(gateway, connections, for_s, stream=stream))
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
    if "LiteLLM" in found:
        added["times LiteLLM"] = us[many + "per s"] / found["LiteLLM"][many + "per s"]
    return added


def show(found: dict[str, dict[str, float]]) -> int:
    """Print a table and each bar; returns 1 if one is missed."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; medians\n")
    names = list(found)
    print(f"{'':28}" + "".join(f"{name:>14}" for name in names))
    for what in found[names[0]]:
        if not np.isnan(found[names[0]][what]):
            print(f"{what:28}" + "".join(f"{found[name][what]:14.3f}" for name in names))
    missed = 0
    print()
    for what, value in bars(found).items():
        limit, sign = BARS[what]
        holds = value <= limit if sign == "<=" else value >= limit
        missed |= not holds
        print(f"{what:32}{value:12.3f}  bar {sign} {limit:g}  {'holds' if holds else 'MISSED'}")
    return int(missed)


def serve_model() -> None:
    """Answer the same for ever; a stream in 20 pieces."""
    words = ANSWER.split()
    pieces = tuple(f"{word} " for word in words[:CHUNKS])
    with ScriptedLLM(Answer(pieces=pieces)) as llm:
        print(llm.port, flush=True)
        signal.pause()


def main() -> int:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--alone", action="store_true", help="without LiteLLM")
    parser.add_argument("--json", action="store_true", help="numbers only")
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        serve_model()
        return 0
    rounds, seconds = (1, 2.0) if options.quick else (3, 8.0)
    found = measure(rounds, seconds, alone=options.alone)
    if options.json:
        print(json.dumps({"servers": found, "bars": bars(found)}, indent=2))
        return 0
    return show(found)


if __name__ == "__main__":
    sys.exit(main())
