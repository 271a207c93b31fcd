"""The worker process: what it leaves behind, and how every way of failing is reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.core.canonical import canonical_json, plain
from headrace.core.clock import SystemClock
from headrace.core.errors import InternalError, InvalidInput, UserCodeError
from headrace.core.project import Column
from headrace.data.encoding import Encoding
from headrace.data.sources import read_file, write_parquet
from headrace.training.archives import pack_arrays, unpack_arrays
from headrace.training.job import PACKAGE, PROBE_TABLE, PROBES, TEST
from headrace.training.launch import WorkerResult, log_of, run_worker
from headrace.training.package import PackageInfo, load_scorer
from tests.training.examples import write_project


@pytest.fixture(autouse=True, params=["cold", "warm"])
def _started(request: pytest.FixtureRequest) -> None:
    """Each way of ending is the same for a worker that other tests have forked."""
    if request.param == "cold":
        request.getfixturevalue("cold")


ENCODING = Encoding.fit(
    {"a": np.arange(9.0), "b": np.arange(9.0)}, [Column(name=n, role="numeric") for n in "ab"]
)
X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
ROWS = {"a": X[:, 0].astype(np.float64), "b": X[:, 1].astype(np.float64)}


def _job(folder: Path, inputs: Path, task: str, **changes: Any) -> dict[str, Any]:
    classes = ("no", "yes") if task == "classification" else ()
    y = (X[:, 0] > 0).astype(np.int64) if classes else X[:, 0].astype(np.float64) * 2
    inputs.write_bytes(pack_arrays({"y": y}))
    tables = {name: inputs.with_name(f"{name}.parquet") for name in ("train", "test")}
    write_parquet(ROWS, tables["train"])
    write_parquet({name: values[:5] for name, values in ROWS.items()}, tables["test"])
    return {
        "kind": "train",
        "folder": str(folder),
        "inputs": str(inputs),
        "train": str(tables["train"]),
        "test": str(tables["test"]),
        "columns": [plain(Column(name=name, role="numeric")) for name in "ab"],
        "trainer": "t",
        "encoding": ENCODING.to_dict(),
        "info": plain(PackageInfo(project="p", variant="v", task=task, target="y", classes=classes)),  # type: ignore[arg-type]
    } | changes


def _train(tmp_path: Path, body: str, task: str = "regression", timeout_s: float = 60.0) -> WorkerResult:
    text = f"import headrace\n@headrace.trainer\ndef t(data):\n{body}"
    folder = write_project(tmp_path / "code", text)
    job = _job(folder, tmp_path / "inputs.npz", task)
    return run_worker(job, tmp_path / "work", cwd=folder, timeout_s=timeout_s)


def test_a_worker_leaves_package_answers_and_timings(tmp_path: Path) -> None:
    body = (
        "    from sklearn.linear_model import LogisticRegression\n"
        "    print('fitting', data.classes, data.seed)\n"
        "    import ctypes\n"
        "    ctypes.CDLL(None).printf(b'a native library')\n"
        "    return LogisticRegression().fit(data.X, data.y)\n"
    )
    result = _train(tmp_path, body, "classification")
    scorer = load_scorer(result.output / PACKAGE)
    answers = unpack_arrays((result.output / TEST).read_bytes(), "They")
    package = scorer.score(
        {
            "a": X[:5, 0].astype(float),
            "b": X[:5, 1].astype(float),
        }
    )
    assert package["predict"].tolist() == [("no", "yes")[int(code)] for code in answers["predict"]]
    np.testing.assert_allclose(package["probability"], answers["probability"], atol=1e-6)
    assert set(result.timings_s) == {"load", "train", "predict", "package"}
    assert result.report["estimator"]["type"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert b"fitting ('no', 'yes') 0" in log_of(tmp_path / "work")
    assert b"a native library" in log_of(tmp_path / "work")


def test_an_original_that_refuses_gaps_makes_a_package_that_does(tmp_path: Path) -> None:
    body = (
        "    from sklearn.linear_model import LogisticRegression\n"
        "    return LogisticRegression().fit(data.X, data.y)\n"
    )
    result = _train(tmp_path, body, "classification")
    answers = unpack_arrays((result.output / PROBES).read_bytes(), "They")
    rows = read_file(result.output / PROBE_TABLE)
    gaps = np.isnan(rows["a"]) | np.isnan(rows["b"])
    assert gaps.any()
    assert np.isnan(answers["predict"]).tolist() == gaps.tolist()
    with pytest.raises(InvalidInput, match="refuses"):
        load_scorer(result.output / PACKAGE).score_row([None, 1.0])


def test_a_trainer_may_fit_a_pipeline_on_the_raw_frame(tmp_path: Path) -> None:
    body = (
        "    from sklearn.compose import ColumnTransformer\n"
        "    from sklearn.preprocessing import StandardScaler\n"
        "    from sklearn.tree import DecisionTreeRegressor\n"
        "    from sklearn.pipeline import make_pipeline\n"
        "    assert list(data.frame.columns) == ['a', 'b']\n"
        "    scaled = ColumnTransformer([('s', StandardScaler(), ['b'])], remainder='passthrough')\n"
        "    return make_pipeline(scaled, DecisionTreeRegressor()).fit(data.frame, data.y)\n"
    )
    result = _train(tmp_path, body)
    scorer = load_scorer(result.output / PACKAGE)
    assert (scorer.info.engine, scorer.info.takes) == ("onnx", "raw")
    searched = result.report["search"]
    assert (searched["outcome"], searched["passed_over"], searched["complete"]) == ("passed", [], True)
    assert searched["n_rows"]["thresholds"] > 0
    test = unpack_arrays((result.output / TEST).read_bytes(), "They")
    rows = {name: values[:5] for name, values in ROWS.items()}
    np.testing.assert_allclose(scorer.score(rows)["predict"], test["predict"], rtol=1e-12)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    raise ValueError('bad')\n", r"^project\.py:4 in t: ValueError: bad$"),
        ("    import sys; sys.exit(2)\n", r"^project\.py:4 in t: SystemExit: 2"),
        ("    import os; os._exit(5)\n", "ended with exit code 5"),
        ("    import os, signal; os.kill(os.getpid(), 11)\n", "SIGSEGV"),
        ("    import os, signal; os.kill(os.getpid(), 9)\n", "out of memory"),
        ("    return None\n", r"^project\.py:2: the trainer returned None"),
        ("    input('name? ')\n", r"^project\.py:4 in t: EOFError"),
    ],
)
def test_what_goes_wrong_in_user_code_is_said_in_its_terms(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(UserCodeError, match=message):
        _train(tmp_path, body)


def test_what_user_code_leaves_to_the_end_is_done(tmp_path: Path) -> None:
    body = (
        "    import atexit\n"
        "    atexit.register(print, 'the last of a log')\n"
        "    from headrace.training.baselines import ConstantModel\n"
        "    return ConstantModel(task=data.task).fit(data.X, data.y)\n"
    )
    _train(tmp_path, body)
    assert b"the last of a log" in log_of(tmp_path / "work")


def test_a_worker_that_does_not_end_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    body = (
        "    import subprocess, sys, pathlib\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"    pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
        "    child.wait()\n"
    )
    with pytest.raises(UserCodeError, match="stopped after 4 s without an end"):
        _train(tmp_path, body, timeout_s=4.0)
    gone(int(pid_file.read_text()))


def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    body = (
        "    import os, pathlib, time\n"
        f"    pathlib.Path({str(pid_file)!r} + '.draft').write_text(str(os.getpid()))\n"
        f"    pathlib.Path({str(pid_file)!r} + '.draft').rename({str(pid_file)!r})\n"
        "    time.sleep(60)\n"
    )
    folder = write_project(tmp_path / "code", f"import headrace\n@headrace.trainer\ndef t(data):\n{body}")
    job_file = tmp_path / "job.json"
    job_file.write_bytes(canonical_json(_job(folder, tmp_path / "inputs.npz", "regression")))
    program = (
        "import json, sys; from pathlib import Path; from headrace.training.launch import run_worker;"
        "job = json.loads(Path(sys.argv[1]).read_bytes());"
        "run_worker(job, Path(sys.argv[2]), cwd=Path(sys.argv[2]).parent, timeout_s=60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(job_file), str(tmp_path / "work")])
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 30
    while not pid_file.exists():
        assert clock.monotonic_s() < deadline_s, "the worker did not start"
        clock.sleep(0.02)
    parent.kill()
    parent.wait()
    gone(int(pid_file.read_text()))


def gone(pid: int) -> None:
    """Whether the process ends soon; a zombie that nobody reaps counts as ended."""
    clock = SystemClock()
    deadline_s = clock.monotonic_s() + 10
    while clock.monotonic_s() < deadline_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        clock.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail(f"process {pid} outlived its parent")


def test_a_job_that_cannot_be_read_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises((InternalError, UserCodeError)):
        run_worker({"kind": "dance"}, tmp_path / "work", cwd=tmp_path, timeout_s=60)


def test_the_users_modules_do_not_replace_ours(tmp_path: Path) -> None:
    folder = write_project(
        tmp_path / "code",
        "import headrace\n@headrace.trainer\ndef t(data):\n"
        "    from headrace.training.baselines import ConstantModel\n"
        "    return ConstantModel().fit(data.X, data.y)\n",
    )
    (folder / "onnx.py").write_text("raise RuntimeError('this is not the onnx you look for')\n")
    job = _job(folder, tmp_path / "inputs.npz", "regression")
    assert run_worker(job, tmp_path / "work", cwd=folder, timeout_s=60).report["timings_s"]


def test_settings_of_headrace_are_kept_from_user_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_DATABASE_URL", "postgresql://u:secret@h/n")
    body = "    import os\n    raise ValueError(sorted(k for k in os.environ if k.startswith('HEADRACE_')))\n"
    with pytest.raises(UserCodeError, match=r"ValueError: \[\]$"):
        _train(tmp_path, body)


def test_workers_run_side_by_side(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def one(name: str) -> None:
        try:
            body = (
                "    from headrace.training.baselines import ConstantModel\n"
                "    return ConstantModel().fit(data.X, data.y)\n"
            )
            (tmp_path / name).mkdir()
            _train(tmp_path / name, body)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
