"""Keeps every protocol busy for minutes, and says whether the server's memory grows.

A bounded, steady load of records, Open Inference Protocol in JSON and in binary, MLflow's payloads, gRPC and
wrong bodies, each in turn on connections that stay. Memory is what the server holds (RSS), read every five
seconds and printed every minute. Its slope over the second half of the time comes with a 95 % interval, by
means of blocks, because neighbouring readings resemble each other.

    python benchmarks/soak.py --minutes 60
    python benchmarks/soak.py --minutes 5 --per-second 200

Ends with 1 if memory grew: if the whole interval is above 1 MiB a minute; or if a right request failed, or
a wrong one was answered by anything but the client's fault (4xx; INVALID_ARGUMENT).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio
import httpx
import numpy as np

import serving
from headrace.core.settings import read_settings
from headrace.serving.grpc_messages import SERVICE, messages

READ_S = 5.0
N_BLOCKS = 6
GROWS_MIB = 1.0
TOKEN_S = 600.0
LEAST_MINUTES = 2.0
NUMBERS = {f"n{i}": 0.25 * i for i in range(serving.N_COLUMNS - 2)}
TEXTS = {"c0": "green", "c1": "green"}
WRONG = (b"", b"{", b"[]", b'{"record": 7}', b'{"inputs": [{"name": 1}]}', b"\xff\xfe", b"[" * 5_000, b"NaN")
"""Bodies that no protocol takes."""


class Slope(NamedTuple):
    """How memory grows, in MiB a minute, with a 95 % interval."""

    per_minute: float
    low: float
    high: float


def slope_of(seconds: list[float], mib: list[float]) -> Slope:
    """Least squares over the means of blocks; the interval by Student's t."""
    from scipy import stats

    times = np.array([block.mean() for block in np.array_split(np.array(seconds), N_BLOCKS)]) / 60
    means = np.array([block.mean() for block in np.array_split(np.array(mib), N_BLOCKS)])
    fit = stats.linregress(times, means)
    around = float(stats.t.ppf(0.975, N_BLOCKS - 2)) * float(fit.stderr)
    return Slope(float(fit.slope), float(fit.slope) - around, float(fit.slope) + around)


def memory_mib(pid: int) -> float:
    """What the process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


class Requests:
    """The requests, each in its protocol; each returns how it ended."""

    def __init__(self, http: httpx.AsyncClient, channel: Any, token: str) -> None:
        self._http = http
        self.take(token)
        self._types = messages()
        self._infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        inputs = [
            {"name": name, "shape": [1], "datatype": "FP64", "data": [value]}
            for name, value in NUMBERS.items()
        ]
        texts = [
            {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}
            for name, value in TEXTS.items()
        ]
        self._tensors = {"inputs": inputs + texts}
        self._binary, self._head_bytes = self._binary_body()
        self._message = self._grpc_message()
        self._n = 0

    def take(self, token: str) -> None:
        """Ask with this token from now on."""
        self._http.headers["authorization"] = f"Bearer {token}"
        self._metadata = (("authorization", f"Bearer {token}"),)

    async def renew(self, home: Path) -> None:
        """Take another token before one ends, until cancelled."""
        while True:
            await asyncio.sleep(TOKEN_S)
            self.take(await asyncio.to_thread(serving.new_token, read_settings({}, home=home)))

    def ways(self) -> dict[str, Callable[[], Awaitable[str]]]:
        """By name."""
        return {
            "record": lambda: self._post("/api/v1/predict/bench", {"record": NUMBERS | TEXTS}),
            "tensors": lambda: self._post("/v2/models/bench/infer", self._tensors),
            "two rows": lambda: self._post("/v2/models/bench/infer", self._two_rows()),
            "binary": self._post_binary,
            "invocations": lambda: self._post(
                "/invocations/bench", {"dataframe_records": [NUMBERS | TEXTS, NUMBERS | TEXTS]}
            ),
            "grpc": lambda: self._call(self._message),
            "wrong body": self._post_wrong,
            "wrong message": lambda: self._call(b"\xff\xff\xff"),
        }

    async def _post(self, path: str, body: dict[str, Any]) -> str:
        return str((await self._http.post(path, json=body)).status_code)

    async def _post_binary(self) -> str:
        headers = {
            "content-type": "application/octet-stream",
            "inference-header-content-length": str(self._head_bytes),
        }
        answer = await self._http.post("/v2/models/bench/infer", content=self._binary, headers=headers)
        return str(answer.status_code)

    async def _post_wrong(self) -> str:
        self._n += 1
        paths = ("/v2/models/bench/infer", "/invocations/bench")
        answer = await self._http.post(
            paths[self._n % len(paths)],
            content=WRONG[self._n % len(WRONG)],
            headers={"content-type": "application/json"},
        )
        return str(answer.status_code)

    async def _call(self, message: bytes) -> str:
        try:
            await self._infer(message, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        return "200"

    def _two_rows(self) -> dict[str, Any]:
        inputs = self._tensors["inputs"]
        return {"inputs": [{**one, "shape": [2], "data": one["data"] * 2} for one in inputs]}

    def _binary_body(self) -> tuple[bytes, int]:
        raw, inputs = b"", []
        for name, value in NUMBERS.items():
            inputs.append(_binary(name, "FP64", 8))
            raw += struct.pack("<d", value)
        for name, text in TEXTS.items():
            inputs.append(_binary(name, "BYTES", 4 + len(text)))
            raw += struct.pack("<I", len(text)) + text.encode()
        head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
        return head + raw, len(head)

    def _grpc_message(self) -> bytes:
        request = self._types.ModelInferRequest(model_name="bench")
        for name, value in NUMBERS.items():
            request.inputs.add(name=name, datatype="FP64", shape=[1]).contents.fp64_contents.append(value)
        for name, text in TEXTS.items():
            tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1])
            tensor.contents.bytes_contents.append(text.encode())
        return bytes(request.SerializeToString())


def _binary(name: str, datatype: str, size: int) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}}


EXPECTED = {"wrong body": {"400", "415", "422"}, "wrong message": {"INVALID_ARGUMENT"}}


async def _ask_on(
    requests: Requests, ended: Counter[tuple[str, str]], until_s: float, every_s: float, first: int
) -> None:
    """One caller: each way in turn, at a steady pace."""
    ways = list(requests.ways().items())
    number, due_s = first, time.monotonic()
    while due_s < until_s:
        await asyncio.sleep(max(due_s - time.monotonic(), 0.0))
        name, way = ways[number % len(ways)]
        try:
            how = await way()
        except httpx.TransportError as error:
            how = type(error).__name__
        ended[name, how] += 1
        number, due_s = number + 1, max(due_s + every_s, time.monotonic() - 1.0)


async def _watch(pid: int, until_s: float) -> tuple[list[float], list[float]]:
    seconds: list[float] = []
    mib: list[float] = []
    began_s = time.monotonic()
    while time.monotonic() < until_s:
        seconds.append(time.monotonic() - began_s)
        mib.append(memory_mib(pid))
        if len(mib) % round(60 / READ_S) == 1:
            print(f"{seconds[-1] / 60:6.0f} min {mib[-1]:8.1f} MiB", flush=True)
        await asyncio.sleep(READ_S)
    return seconds, mib


async def soak(ports: tuple[int, int], pid: int, home: Path, minutes: float, per_second: float) -> int:
    """Load, watch, print; 1 if memory grew or a request ended as none should."""
    n_callers = 8
    until_s = time.monotonic() + minutes * 60
    ended: Counter[tuple[str, str]] = Counter()
    http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[0]}", timeout=30)
    async with http, grpc.aio.insecure_channel(f"127.0.0.1:{ports[1]}") as channel:
        requests = Requests(http, channel, serving.new_token(read_settings({}, home=home)))
        renewing = asyncio.create_task(requests.renew(home))
        callers = [
            asyncio.create_task(_ask_on(requests, ended, until_s, n_callers / per_second, first))
            for first in range(n_callers)
        ]
        seconds, mib = await _watch(pid, until_s)
        await asyncio.gather(*callers)
        renewing.cancel()
    odd = {
        f"{name}: {how}": count
        for (name, how), count in sorted(ended.items())
        if how not in EXPECTED.get(name, {"200"})
    }
    half = len(mib) // 2
    slope = slope_of(seconds[half:], mib[half:])
    print(
        f"{sum(ended.values()):,} requests: "
        + ", ".join(f"{n} {h} {c:,}" for (n, h), c in sorted(ended.items()))
    )
    print(
        f"memory: {slope.per_minute:+.2f} MiB a minute over the second half "
        f"(95 % interval {slope.low:+.2f} to {slope.high:+.2f}; grows above {GROWS_MIB:g})"
    )
    if odd:
        print(f"ended otherwise than expected: {odd}")
    return 1 if odd or slope.low > GROWS_MIB else 0


def serve(home: Path) -> None:
    """All protocols in one process; prints its two ports once it listens."""
    import socket

    import uvicorn

    from headrace.serving.grpc_server import start_grpc
    from headrace.serving.invocations import BELOW, InvocationsApp
    from headrace.serving.process import KEEP_ALIVE_S
    from headrace.web.http_protocol import protocol_of

    made = serving.ours(read_settings({}, home=home))
    invocations = InvocationsApp(made.handler, made.gatekeeper)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inner = invocations if scope["path"].startswith(BELOW) else made.app
        await inner(scope, receive, send)

    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        server = await start_grpc(made.handler, made.gatekeeper, "127.0.0.1:0")
        print(listener.getsockname()[1], server.port, flush=True)
        config = uvicorn.Config(
            app,
            http=protocol_of(made.scoring),
            access_log=False,
            lifespan="off",
            log_level="critical",
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        await uvicorn.Server(config).serve(sockets=[listener])

    import uvloop

    uvloop.run(run())


def main() -> int:
    """Parse arguments, soak, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--per-second", type=float, default=400.0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.minutes < LEAST_MINUTES:
        parser.error(
            f"--minutes is {arguments.minutes:g}. Expected at least {LEAST_MINUTES:g}: a slope needs readings"
        )
    if arguments.serve:
        serve(arguments.serve)
        return 0
    with tempfile.TemporaryDirectory(prefix="headrace-soak-") as folder:
        serving.prepare(read_settings({}, home=Path(folder)))
        command = [sys.executable, __file__, "--serve", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                http_port, _, grpc_port = process.stdout.readline().partition(" ")
                ports = (int(http_port), int(grpc_port))
                return asyncio.run(
                    soak(ports, process.pid, Path(folder), arguments.minutes, arguments.per_second)
                )
            finally:
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
