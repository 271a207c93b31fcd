"""The child process that runs a user's code: ``python -m headrace.training.worker JOB.json``.

It trains one variant: it lets the original estimator answer the test and probe rows and converts it. Or it
makes the project's table, or measures answers by the user's metrics. It leaves files in the job's output
folder; ``result.json`` comes last and whole, so its absence means that the process died.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np

from headrace.checks.loading import load_pickle, pickled
from headrace.checks.searching import Search
from headrace.checks.tasks import UNSUPERVISED
from headrace.checks.unlabelled import Ask
from headrace.core.canonical import canonical_json
from headrace.core.clock import SystemClock
from headrace.core.errors import HeadraceError, InvalidInput, UserCodeError
from headrace.core.ports import Columns
from headrace.data.encoding import Encoding
from headrace.data.frames import take
from headrace.data.history import History
from headrace.data.sources import read_file, write_parquet
from headrace.store.documents import convert
from headrace.training.archives import pack_arrays, unpack_arrays
from headrace.training.baselines import CONSTANT, ConstantModel
from headrace.training.convert import kind_of_model
from headrace.training.definition import Definition, TrainingData, load_definition
from headrace.training.job import (
    EXPLAINED,
    LEARNT,
    MEASURED,
    PACKAGE,
    PROBE_TABLE,
    PROBES,
    RESULT,
    STATE,
    TABLE,
    TEST,
    Job,
)
from headrace.training.online import TRAINER as ONLINE
from headrace.training.online import OnlineModel
from headrace.training.original import Original
from headrace.training.own_explainers import explain_by
from headrace.training.package import PackageInfo, load_scorer
from headrace.training.packaging import Material, asked_raw, asker, make_package
from headrace.training.probing import probe
from headrace.training.registered import WHERE, load_registered
from headrace.training.resampling import resamples, unlabelled
from headrace.training.source import write_table
from headrace.training.tables import column_names

_log = logging.getLogger(__name__)
_clock = SystemClock()


def main(path: str) -> int:
    """Do the job in ``path`` and report; the exit code is 0 also when the user's code failed."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    job = convert(json.loads(Path(path).read_bytes()), Job)
    threading.Thread(target=_end_with_parent, args=(job.life,), daemon=True).start()
    output = Path(job.output)
    try:
        report = _JOBS[job.kind](job, output)
    except HeadraceError as error:
        report = _failure(error, str(error))
    except Exception as error:  # noqa: BLE001 - the process ends here: the parent must learn of it
        _log.exception("The worker failed")
        report = _failure(error, f"The worker failed: {type(error).__name__}: {error}")
    draft = output / f".{RESULT}"
    draft.write_bytes(canonical_json(report))
    draft.rename(output / RESULT)
    return 0


def _end_with_parent(life: int) -> None:
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


def _failure(error: Exception, message: str) -> dict[str, Any]:
    return {"error": {"kind": type(error).__name__, "message": message}}


def _train(job: Job, output: Path) -> dict[str, Any]:
    if job.info is None:
        raise InvalidInput("A training job has no 'info'.")
    timings_s: dict[str, float] = {}
    started_s = _clock.monotonic_s()

    def lap(name: str) -> None:
        nonlocal started_s
        now_s = _clock.monotonic_s()
        timings_s[name], started_s = now_s - started_s, now_s

    arrays = unpack_arrays(Path(job.inputs).read_bytes(), "The training arrays")
    encoding = Encoding.from_dict(job.encoding)
    columns = read_file(Path(job.train))
    definition = load_definition(Path(job.folder))
    data = _training_data(job, job.info, columns, encoding, arrays["y"])
    lap("load")
    _seed(job.seed)
    estimator, where = _estimator(job, definition, data, encoding)
    lap("train")
    original = Original(
        estimator, job.info.task, len(job.info.classes), definition.folder, where, job.info.classes
    )
    raw = asked_raw(estimator, encoding, columns)
    if job.model and not raw:
        _check_names(column_names(estimator), list(encoding.columns))
    ask = asker(original, estimator, encoding, raw=raw)
    test = ask(read_file(Path(job.test)))
    lap("predict")
    material = Material(
        info=job.info,
        encoding=encoding,
        columns=columns,
        specs=job.columns,
        tolerance=job.tolerance,
        seed=job.seed,
        history=History(arrays["times"], arrays["values"]) if "times" in arrays else None,
        folder=None if job.model else definition.folder,
    )
    made = make_package(estimator, ask, material, _clock, raw=raw, progress=_say)
    (output / PACKAGE).write_bytes(made.package)
    (output / TEST).write_bytes(pack_arrays(test))
    (output / PROBES).write_bytes(pack_arrays(made.search.original))
    write_parquet(made.search.rows, output / PROBE_TABLE)
    lap("package")
    if data.task in UNSUPERVISED:
        _measure_unlabelled(job, output, ask, definition, data)
    return {
        "timings_s": timings_s,
        "estimator": original.description(),
        "search": _searched(made.search, made.passed_over),
    }


def _training_data(job: Job, info: PackageInfo, columns: Columns, encoding: Encoding, y: Any) -> TrainingData:
    return TrainingData(
        X=encoding.encode(columns),
        y=y,
        feature_names=encoding.columns,
        categorical_indexes=encoding.categorical_indexes,
        task=info.task,
        seed=job.seed,
        classes=info.classes,
        columns={name: values.copy() for name, values in columns.items()},
        budget=job.budget,
    )


def _fitted(job: Job, definition: Definition, data: TrainingData, encoding: Encoding) -> Ask:
    """What the trainer makes of other rows, labels or seeds, ready to be asked."""
    _seed(data.seed)
    estimator, where = _estimator(job, definition, data, encoding)
    original = Original(estimator, data.task, len(data.classes), definition.folder, where, data.classes)
    return asker(original, estimator, encoding, raw=asked_raw(estimator, encoding, data.columns))


def _estimator(job: Job, definition: Definition, data: TrainingData, encoding: Encoding) -> tuple[Any, str]:
    """The fitted estimator, and where it comes from, for messages."""
    if job.trainer == ONLINE:
        return load_pickle(Path(job.model)), ONLINE
    if job.model:
        return load_registered(Path(job.model), encoding.columns), WHERE
    if job.trainer == CONSTANT:
        return ConstantModel(task=data.task).fit(data.X, data.y), CONSTANT
    return definition.train(job.trainer, data, job.params), definition.where(job.trainer)


def _measure_unlabelled(job: Job, output: Path, ask: Ask, definition: Definition, data: TrainingData) -> None:
    """Also by the same trainer on other parts of the training rows, each with a seed of its own."""
    encoding, asked = Encoding.from_dict(job.encoding), list[Ask]()
    for index, rows in enumerate(() if job.model else resamples(len(data.X), job.seed)):
        seed = job.seed + 1 + index
        part = replace(data, X=data.X[rows], y=data.y[rows], columns=take(data.columns, rows), seed=seed)
        asked.append(_fitted(job, definition, part, encoding))
    measured = unlabelled(ask, read_file(Path(job.test)), asked, job)
    (output / MEASURED).write_bytes(pack_arrays(measured))


def _probe(job: Job, output: Path) -> dict[str, Any]:
    started_s = _clock.monotonic_s()
    if job.info is None:
        raise InvalidInput("A probing job has no 'info'.")
    encoding, definition = Encoding.from_dict(job.encoding), load_definition(Path(job.folder))
    y = unpack_arrays(Path(job.inputs).read_bytes(), "The training arrays")["y"]
    data = _training_data(job, job.info, read_file(Path(job.train)), encoding, y)

    def fit(other: TrainingData) -> Ask:
        return _fitted(job, definition, other, encoding)

    test = read_file(Path(job.test))
    why = probe(data, test, encoding, output, fit, clock=_clock, for_s=job.probe_s)
    return {"timings_s": {"probe": _clock.monotonic_s() - started_s}, "stopped": why}


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - user code may draw from the global generator


def _check_names(named: list[str], inputs: list[str]) -> None:
    if named and named != inputs:
        raise InvalidInput(
            f"The registered model was fitted on {named[:20]} and does not take them as they come. Expected "
            f"the project's inputs in their order, as numbers: {inputs[:20]}."
        )


def _say(stage: str, n_rows: int) -> None:
    _log.info("Searching for a row on which the package differs: %s, %s rows asked", stage, f"{n_rows:,}")


def _searched(search: Search, passed_over: list[str]) -> dict[str, Any]:
    return {
        "outcome": search.found.outcome,
        "reason": search.found.reason,
        "n_rows": search.n_rows,
        "complete": search.complete,
        "spread": search.spread,
        "passed_over": passed_over,
    }


def _make_table(job: Job, output: Path) -> dict[str, Any]:
    started_s = _clock.monotonic_s()
    definition = load_definition(Path(job.folder))
    made = definition.make_table(job.params)
    write_table(made, definition.folder, output / TABLE)
    return {"timings_s": {"source": _clock.monotonic_s() - started_s}}


def _measure(job: Job, output: Path) -> dict[str, Any]:
    started_s = _clock.monotonic_s()
    definition = load_definition(Path(job.folder))
    found = {
        f"{index}:{name}": np.asarray(definition.measure(name, _rows_of(read_file(Path(table)))))
        for index, table in enumerate(job.tables)
        for name in job.metrics
    }
    (output / MEASURED).write_bytes(pack_arrays(found))
    return {"timings_s": {"measure": _clock.monotonic_s() - started_s}}


def _explain(job: Job, output: Path) -> dict[str, Any]:
    started_s = _clock.monotonic_s()
    definition = load_definition(Path(job.folder))
    background, rows = (read_file(Path(table)) for table in job.tables)
    scorer = load_scorer(Path(job.package))
    try:
        found = explain_by(definition, job.explainer, scorer, rows, background)
    finally:
        scorer.close()
    (output / EXPLAINED).write_bytes(msgspec.json.encode(found))
    return {"timings_s": {"explain": _clock.monotonic_s() - started_s}}


def _rows_of(table: Columns) -> dict[str, Any]:
    """What a metric gets, from a table that :mod:`headrace.training.measuring` wrote."""
    rows: dict[str, Any] = {
        "truth": table["truth"],
        "predictions": table["predict"],
        "columns": {name[3:]: values for name, values in table.items() if name.startswith("in_")},
    }
    given = sorted((name for name in table if name.startswith("probability_")), key=lambda n: int(n[12:]))
    if given:
        rows["probability"] = np.stack([table[name] for name in given], axis=1)
    return rows


def _learn(job: Job, output: Path) -> dict[str, Any]:
    started_s = _clock.monotonic_s()
    load_definition(Path(job.folder))
    model = load_pickle(Path(job.model))
    if not isinstance(model, OnlineModel):
        raise InvalidInput(f"The model is a {type(model).__name__}. Expected an OnlineModel.")
    truth = unpack_arrays(Path(job.inputs).read_bytes(), "The truth")["y"]
    features = Encoding.from_dict(job.encoding).encode(read_file(Path(job.train)))
    try:
        answers = model.learn(features, truth)
    except Exception as error:  # the user's model may raise anything
        raise UserCodeError(f"The model cannot learn a row: {type(error).__name__}: {error}") from error
    (output / STATE).write_bytes(pickled(model, kind_of_model(model.model)))
    (output / LEARNT).write_bytes(pack_arrays({"answers": answers}))
    return {"timings_s": {"learn": _clock.monotonic_s() - started_s}}


_JOBS: dict[str, Callable[[Job, Path], dict[str, Any]]] = {
    "train": _train,
    "table": _make_table,
    "measure": _measure,
    "explain": _explain,
    "learn": _learn,
    "probe": _probe,
}


def _run(path: str) -> NoReturn:
    """Do the job, and leave at once when its result is there.

    To look for garbage among all modules, as they are loaded and again at the end, takes a quarter of a short
    job. Threads that the user's code has left running end with the process.
    """
    gc.freeze()
    code = main(path)
    atexit._run_exitfuncs()  # noqa: SLF001 - the user's code may send the last of a log then; no other way
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # native libraries print too
    os._exit(code)


if __name__ == "__main__":
    _run(sys.argv[1])
