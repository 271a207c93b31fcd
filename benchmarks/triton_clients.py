"""Every call of Triton's own clients, by HTTP and by gRPC, against one server: which pass.

The server is that of ``soak.py``: every protocol in one process, with access and record. ``tritonclient`` is
used as it comes, with the forms that it chooses itself (binary tensors) and those that it can be asked for.

    python benchmarks/triton_clients.py
    python benchmarks/triton_clients.py --json

Ends with 1 if a call failed. The bar is that all pass.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soak
import tritonclient.grpc
import tritonclient.http

import serving
from headrace.core.settings import read_settings

MODEL = "bench"
N_ROWS = 3


class Call(NamedTuple):
    """One call; ``make`` returns whether what came back is right."""

    client: str
    name: str
    make: Callable[[], bool]


def inputs_of(library: Any, n_rows: int, **form: Any) -> list[Any]:
    """Tensors of ``n_rows`` rows."""
    found = []
    for name, value in (soak.NUMBERS | soak.TEXTS).items():
        values = np.full(n_rows, value, dtype=object if isinstance(value, str) else np.float64)
        tensor = library.InferInput(name, [n_rows], "BYTES" if isinstance(value, str) else "FP64")
        tensor.set_data_from_numpy(values, **form)
        found.append(tensor)
    return found


def is_right(result: Any, n_rows: int) -> bool:
    """Whether it is one finite number per row, the same for the same rows."""
    numbers = result.as_numpy("predict")
    return numbers.shape == (n_rows,) and bool(np.isfinite(numbers).all()) and len(set(numbers.tolist())) == 1


def calls(client: str, made: Any, library: Any, headers: Callable[[], dict[str, str]]) -> Iterator[Call]:
    """What both clients can be asked."""
    asked: dict[str, Callable[[], Any]] = {
        "is_server_live": lambda: made.is_server_live(headers=headers()),
        "is_server_ready": lambda: made.is_server_ready(headers=headers()),
        "is_model_ready": lambda: made.is_model_ready(MODEL, headers=headers()),
        "is_model_ready of no model": lambda: not made.is_model_ready("none", headers=headers()),
        "get_server_metadata": lambda: made.get_server_metadata(headers=headers()),
        "get_model_metadata": lambda: made.get_model_metadata(MODEL, headers=headers()),
        "get_model_config": lambda: made.get_model_config(MODEL, headers=headers()),
        "get_model_repository_index": lambda: made.get_model_repository_index(headers=headers()),
        "get_inference_statistics": lambda: made.get_inference_statistics(MODEL, headers=headers()),
        "load_model": lambda: made.load_model(MODEL, headers=headers()) is None,
    }
    for name, ask in asked.items():
        yield Call(client, name, lambda ask=ask: bool(ask()))  # type: ignore[misc]
    for n_rows in (1, N_ROWS):
        rows = inputs_of(library, n_rows)
        yield Call(
            client,
            f"infer, {n_rows} row{'s'[: n_rows - 1]}",
            lambda rows=rows, n=n_rows: is_right(made.infer(MODEL, rows, headers=headers()), n),  # type: ignore[misc]
        )


def http_calls(port: int, headers: Callable[[], dict[str, str]]) -> Iterator[Call]:
    """Also in JSON both ways, compressed and asynchronously."""
    library = tritonclient.http
    made = library.InferenceServerClient(f"127.0.0.1:{port}")
    yield from calls("http", made, library, headers)
    rows = inputs_of(library, N_ROWS, binary_data=False)
    plain = [library.InferRequestedOutput("predict", binary_data=False)]
    yield Call(
        "http",
        "infer, JSON both ways",
        lambda: is_right(made.infer(MODEL, rows, outputs=plain, headers=headers()), N_ROWS),
    )
    for algorithm in ("gzip", "deflate"):
        packed = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
        yield Call(
            "http",
            f"infer, {algorithm}",
            lambda packed=packed: is_right(made.infer(MODEL, rows, headers=headers(), **packed), N_ROWS),  # type: ignore[misc]
        )
    yield Call(
        "http",
        "async_infer",
        lambda: is_right(made.async_infer(MODEL, rows, headers=headers()).get_result(), N_ROWS),
    )
    made.close()


def grpc_calls(port: int, headers: Callable[[], dict[str, str]]) -> Iterator[Call]:
    """Also compressed, asynchronously and in a stream."""
    library = tritonclient.grpc
    made = library.InferenceServerClient(f"127.0.0.1:{port}")
    yield from calls("grpc", made, library, headers)
    rows = inputs_of(library, N_ROWS)
    for algorithm in ("gzip", "deflate"):
        yield Call(
            "grpc",
            f"infer, {algorithm}",
            lambda algorithm=algorithm: is_right(  # type: ignore[misc]
                made.infer(MODEL, rows, headers=headers(), compression_algorithm=algorithm), N_ROWS
            ),
        )
    came: queue.Queue[Any] = queue.Queue()

    def told(result: Any, error: Any) -> None:
        came.put(error or result)

    def later() -> bool:
        made.async_infer(MODEL, rows, told, headers=headers())
        return is_right(came.get(timeout=10), N_ROWS)

    def streamed() -> bool:
        made.start_stream(told, headers=headers())
        try:
            made.async_stream_infer(MODEL, rows)
            return is_right(came.get(timeout=10), N_ROWS)
        finally:
            made.stop_stream()

    yield Call("grpc", "async_infer", later)
    yield Call("grpc", "async_stream_infer", streamed)
    made.close()


def why_not(call: Call) -> str | None:
    """What is wrong with what came back; None if it is right."""
    try:
        return None if call.make() else "another answer than expected"
    except Exception as error:  # noqa: BLE001
        # Boundary: a client raises whatever it likes, and the others are to be called as well.
        return f"{type(error).__name__}: {error}"


def show(failed: dict[str, str | None], *, as_json: bool) -> int:
    """Print which passed; 1 if one did not."""
    n_passed = sum(reason is None for reason in failed.values())
    if as_json:
        print(json.dumps({"calls": len(failed), "passed": n_passed, "failed": failed}, indent=2))
    else:
        for name, reason in failed.items():
            print(f"{name:40}{reason or 'passes'}")
        print(f"{n_passed} of {len(failed)} calls pass (bar: all)")
    return 0 if n_passed == len(failed) else 1


def main() -> int:
    """Parse arguments, call, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-triton-") as folder:
        token = serving.prepare(read_settings({}, home=Path(folder)))

        def headers() -> dict[str, str]:
            return {"authorization": f"Bearer {token}"}  # another each time: the client writes into it

        command = [sys.executable, soak.__file__, "--serve", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                http_port, grpc_port = map(int, process.stdout.readline().split())
                made = chain(http_calls(http_port, headers), grpc_calls(grpc_port, headers))
                failed = {f"{call.client} {call.name}": why_not(call) for call in made}
            finally:
                process.kill()
    return show(failed, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
