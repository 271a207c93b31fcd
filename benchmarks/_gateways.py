"""Gateways beside each other: how each is started with its best settings, and what its clients see.

Each is one process on one core; the scripted model and the clients share the other. LiteLLM's proxy runs
without database, callbacks or logs, which is its fastest; Portkey's is its own build under Node. Both are
installed on first use into folders of their own below ``HEADRACE_BENCH`` (default:
``~/.cache/headrace-bench``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, repeat
from pathlib import Path
from typing import Any, NamedTuple

from _peers import environment, free_port, node_package

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
MOST_CONNECTIONS = 10_000
QUESTION = "May I return shoes that I have worn outside once, and who pays for the parcel?"
ANSWER = "You may return them within 30 days; worn outside they are not taken back. We pay for the parcel. "


class Gateway(NamedTuple):
    """A server that is measured; one whose streams fail is measured with calls only."""

    name: str
    port: int
    pid: int | None
    headers: str
    model: str
    streams: bool = True

    def request(self, number: int, *, stream: bool, headers: str = "") -> bytes:
        """One call as its bytes; each asks something else, so that nothing is remembered from the last."""
        body = {"model": self.model, "messages": [{"role": "user", "content": f"{QUESTION} Order {number}."}]}
        sent = json.dumps(body | ({"stream": True} if stream else {})).encode()
        return (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"{headers or self.headers}content-length: {len(sent)}\r\n\r\n"
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


async def drive(
    gateway: Gateway, connections: int, seconds: float, *, stream: bool, headers: Iterator[str] | None = None
) -> Load:
    """Ask as fast as the answers come. Args: headers: of each call; the gateway's own unless given."""
    own = repeat("") if headers is None else headers
    numbers, calls, first = count(time.time_ns() // 1000 % 10**9), [], []
    until_s = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        while time.perf_counter() < until_s:
            sent = gateway.request(next(numbers), stream=stream, headers=next(own))
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
def scripted(**answer: Any) -> Iterator[Gateway]:
    """The model itself, in a process of its own; it answers in 20 pieces, else as ``answer`` says."""
    command = ["taskset", "-c", str(OTHER), sys.executable, __file__, json.dumps(answer)]
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
        provider |= {"max_connections": MOST_CONNECTIONS}
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
def portkey(model_port: int) -> Iterator[Gateway | None]:
    """Portkey's gateway under Node, which has one thread for all; None where there is no Node.

    Version 1.15.2 under Node 20 refuses every stream with status 500 ("TypeError: immutable" in its log).
    """
    folder = node_package("portkey", "@portkey-ai/gateway")
    if folder is None:
        yield None
        return
    port = free_port()
    program = folder / "node_modules/@portkey-ai/gateway/build/start-server.js"
    command = ["node", str(program), f"--port={port}", "--headless"]
    trusted = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
    with _process("Portkey", command, port, "/", **trusted) as pid:
        headers = (
            "authorization: Bearer none\r\nx-portkey-provider: openai\r\n"
            f"x-portkey-custom-host: http://127.0.0.1:{model_port}/v1\r\n"
        )
        yield Gateway("Portkey", port, pid, headers, MODEL, streams=False)


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


def serve_model(answer: dict[str, Any]) -> None:
    """Answer the same for ever; a stream in 20 pieces."""
    pieces = tuple(f"{word} " for word in ANSWER.split()[:CHUNKS])
    with ScriptedLLM(Answer(pieces=pieces, **answer)) as llm:
        print(llm.port, flush=True)
        signal.pause()


if __name__ == "__main__":
    serve_model(json.loads(sys.argv[1]))
