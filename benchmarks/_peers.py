"""The servers that others use for the same model, each with its best settings, to be measured beside ours.

One scikit-learn pipeline (ten columns through a ColumnTransformer, then 200 boosted trees) is written once,
and served by:

- MLflow's own scoring server;
- MLServer, alone and with its adaptive batching (up to 64 rows within 2 ms);
- a FastAPI application as one writes it by hand: a pydantic model of the row, ONNX Runtime, nothing recorded.

MLServer needs an environment of its own, which is made on first use in the folder ``HEADRACE_BENCH``
(default: ``~/.cache/headrace-bench``); the others run in this one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

NUMERIC = tuple(f"n{i}" for i in range(8))
CATEGORICAL = ("c0", "c1")
COLOURS = ("red", "green", "blue")
N_TREES = 200
ROW: dict[str, Any] = {f"n{i}": 0.25 * i for i in range(8)} | {"c0": "green", "c1": "green"}
SERVER_CORE = 0
_MLSERVER = ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "mlserver-mlflow==1.7.1")
_PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server of somebody else's.

    Attributes:
        command: starts it; ``{port}`` stands for its port.
        path, body: one request for one row.
        ready: a path that answers 200 once requests may come.
    """

    name: str
    command: list[str]
    path: str
    body: bytes
    ready: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)


def make_pipeline(n_rows: int = 5_000) -> tuple[Any, Any]:
    """The fitted pipeline and the frame that it was fitted on; always the same."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(0)
    frame = pd.DataFrame({name: random.normal(size=n_rows) for name in NUMERIC})
    for name in CATEGORICAL:
        frame[name] = random.choice(COLOURS, size=n_rows)
    target = frame["n0"] * 3 + np.sin(frame["n1"] * 4) + (frame["c0"] == "red") + random.normal(size=n_rows)
    prepare = ColumnTransformer(
        [
            ("numbers", StandardScaler(), list(NUMERIC)),
            ("colours", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(CATEGORICAL)),
        ]
    )
    trees = GradientBoostingRegressor(n_estimators=N_TREES, max_depth=4, random_state=0)
    return Pipeline([("prepare", prepare), ("trees", trees)]).fit(frame, target), frame


def make_peers(folder: Path) -> list[Peer]:
    """Write the model in each server's own form below ``folder``, and say how each is started."""
    pipeline, frame = make_pipeline()
    return [
        _mlflow(folder / "mlflow", pipeline, frame),
        _mlserver(folder / "mlserver", pipeline, batched=False),
        _mlserver(folder / "mlserver-batching", pipeline, batched=True),
        _fastapi(folder / "fastapi", pipeline),
    ]


def _mlflow(folder: Path, pipeline: Any, frame: Any) -> Peer:
    import mlflow.sklearn

    mlflow.sklearn.save_model(
        pipeline,
        str(folder / "model"),
        input_example=frame.head(1),
        pip_requirements=["scikit-learn"],
        serialization_format="cloudpickle",
    )
    body = {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}}
    serve = ["-m", "mlflow", "models", "serve", "-m", "model", "--env-manager", "local", "--port", "{port}"]
    return Peer(
        name="MLflow",
        command=[sys.executable, *serve, "--workers", "1"],
        path="/invocations",
        body=json.dumps(body).encode(),
        ready="/ping",
        folder=folder,
    )


def _mlserver(folder: Path, pipeline: Any, *, batched: bool) -> Peer:
    import joblib

    folder.mkdir(parents=True)
    joblib.dump(pipeline, folder / "model.joblib")
    settings: dict[str, Any] = {
        "name": "bench",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "content_type": "pd"},
    }
    if batched:
        settings |= {"max_batch_size": 64, "max_batch_time": 0.002}
    (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")
    # No worker pool: with one core it only adds a hop. Metrics and logs of requests are off.
    server = {"parallel_workers": 0, "debug": False, "host": "127.0.0.1", "metrics_port": free_port()}
    server |= {"grpc_port": free_port()}
    (folder / "settings.json").write_text(json.dumps(server), encoding="utf-8")
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": "FP64", "data": [ROW[name]]} for name in NUMERIC
    ] + [
        {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [ROW[name]],
         "parameters": {"content_type": "str"}} for name in CATEGORICAL
    ]  # fmt: skip
    body = {"parameters": {"content_type": "pd"}, "inputs": inputs}
    return Peer(
        name="MLServer, batching" if batched else "MLServer",
        command=[
            str(environment("mlserver", (*_MLSERVER, _same_sklearn())) / "bin" / "mlserver"),
            "start",
            ".",
        ],
        path="/v2/models/bench/infer",
        body=json.dumps(body).encode(),
        ready="/v2/models/bench/ready",
        folder=folder,
        environment={"MLSERVER_HTTP_PORT": "{port}"},
    )


def _fastapi(folder: Path, pipeline: Any) -> Peer:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    folder.mkdir(parents=True)
    types = [(name, FloatTensorType([None, 1])) for name in NUMERIC]
    types += [(name, StringTensorType([None, 1])) for name in CATEGORICAL]
    model = convert_sklearn(pipeline, initial_types=types, target_opset={"": 18, "ai.onnx.ml": 3})
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    fields = [f"    {name}: float" for name in NUMERIC] + [f"    {name}: str" for name in CATEGORICAL]
    (folder / "handwritten.py").write_text(_HANDWRITTEN.format(fields="\n".join(fields)), encoding="utf-8")
    serve = ["-m", "uvicorn", "handwritten:app", "--host", "127.0.0.1", "--port", "{port}"]
    return Peer(
        name="FastAPI by hand",
        command=[
            sys.executable,
            *serve,
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            "--no-access-log",
        ],
        path="/predict",
        body=json.dumps(ROW).encode(),
        ready="/ready",
        folder=folder,
    )


_HANDWRITTEN = """\
import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("model.onnx", options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Row(BaseModel):
{fields}


@app.post("/predict")
async def predict(row: Row) -> dict[str, float]:
    feed = {{
        name: np.array([[value]], dtype=object if isinstance(value, str) else np.float32)
        for name, value in row.model_dump().items()
    }}
    return {{"predict": float(session.run(None, feed)[0][0, 0])}}


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {{"ready": True}}
"""


def _same_sklearn() -> str:
    """The version that writes a model reads it."""
    import sklearn

    return f"scikit-learn=={sklearn.__version__}"


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """A virtual environment with ``packages``, made on first use."""
    folder = Path(os.environ.get("HEADRACE_BENCH", "~/.cache/headrace-bench")).expanduser() / name
    if not (folder / "complete").exists():
        print(f"installing {', '.join(packages)} into {folder} (a few minutes, once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *packages], check=True)
        (folder / "complete").touch()
    return folder


def node_package(name: str, package: str) -> Path | None:
    """A folder with an npm ``package`` in it, made on first use; None where there is no Node."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return None
    folder = Path(os.environ.get("HEADRACE_BENCH", "~/.cache/headrace-bench")).expanduser() / name
    if not (folder / "complete").exists():
        print(f"installing {package} into {folder} (a minute, once)", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), package]
        subprocess.run(npm, check=True)
        (folder / "complete").touch()
    return folder


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running(peer: Peer) -> Iterator[tuple[int, int]]:
    """Start ``peer`` on one core and wait until it answers; yields its port and the leading process' id."""
    port = free_port()
    fill = {name: text.format(port=port) for name, text in peer.environment.items()}
    # One thread for linear algebra: the server has one core.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path} | fill
    command = ["taskset", "-c", str(SERVER_CORE), *(part.format(port=port) for part in peer.command)]
    with (peer.folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=peer.folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _await_ready(f"http://127.0.0.1:{port}{peer.ready}", process, peer)
        yield port, process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _await_ready(url: str, process: subprocess.Popen[bytes], peer: Peer) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    log = (peer.folder / "server.log").read_text(encoding="utf-8", errors="replace")
    raise SystemExit(f"{peer.name} did not come up:\n{log[-2000:]}")
