"""From a fitted estimator to a package that was searched for disagreement before anybody relies on it.

What computes exactly and fast is tried first; what a search tells apart from the original is left for the
next best way. The last one is the estimator itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.checks.loading import pickled, pickled_with_code
from headrace.checks.metrics import Outputs
from headrace.checks.searching import Budget, Search, search, unheard
from headrace.core.errors import InvalidInput
from headrace.core.ports import Clock, Columns
from headrace.core.project import Column
from headrace.data.encoding import Encoding
from headrace.data.history import History
from headrace.training.compiling import Compiled, compile_pipeline
from headrace.training.convert import Unconvertible, kind_of_model, to_onnx
from headrace.training.fitted_trees import read_trees
from headrace.training.original import Original
from headrace.training.own_code import modules_of
from headrace.training.package import PackageInfo, PackageScorer, build_package, load_scorer
from headrace.training.tables import column_names, to_frame
from headrace.training.thresholds import last_below
from headrace.training.trees import Trees

_BUDGET = Budget()


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a package is made from, beside the estimator.

    Attributes:
        columns: raw training rows, of the encoding's inputs.
        specs: the inputs with their roles.
        folder: of the project's code, which a package may bring where nothing else keeps the estimator; none
            for a model that was made elsewhere.
    """

    info: PackageInfo
    encoding: Encoding
    columns: Columns
    specs: Sequence[Column]
    tolerance: float
    seed: int
    history: History | None = None
    folder: Path | None = None


class Packaged(NamedTuple):
    """A package and what was found; ``passed_over`` says why better ways were not taken."""

    package: bytes
    search: Search
    passed_over: list[str]


class _Way(NamedTuple):
    """One way of answering as the estimator does."""

    info: PackageInfo
    plan: dict[str, Any] | None
    model: bytes
    trees: Trees | None
    code: dict[str, bytes] | None = None


def asked_raw(estimator: Any, encoding: Encoding, columns: Columns) -> bool:
    """Whether the estimator was fitted on the raw columns, by name, and not on their encoded features."""
    names = column_names(estimator)
    if not names or not set(names) <= set(encoding.columns):
        return False
    few = {name: values[:3] for name, values in columns.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.predict(to_frame(few, names))
    except Exception:  # noqa: BLE001 - an estimator may raise anything: it does not take text
        return False
    return True


def asker(original: Original, estimator: Any, encoding: Encoding, *, raw: bool) -> Callable[[Columns], Any]:
    """Asks the original for raw columns, which it gets as it was fitted, in double precision."""
    if raw:
        names = column_names(estimator)
        return lambda columns: original.answers(to_frame(columns, names))
    return lambda columns: original.answers(encoding.encode(columns).astype(np.float64))


def make_package(
    estimator: Any,
    ask: Callable[[Columns], Outputs],
    material: Material,
    clock: Clock,
    *,
    raw: bool,
    budget: Budget = _BUDGET,
    progress: Callable[[str, int], None] = unheard,
) -> Packaged:
    """The fastest package on which the search finds no difference beyond the tolerance.

    Raises:
        InvalidInput: there is no way to keep the estimator.
    """
    passed_over: list[str] = []
    last: Packaged | None = None
    for way in _ways(estimator, material, passed_over, raw=raw):
        package = build_package(
            way.info, material.encoding, way.model, material.history, plan=way.plan, code=way.code
        )
        scorer = load_scorer(package)
        found = search(
            ask,
            _scoring(scorer),
            material.columns,
            material.specs,
            material.tolerance,
            clock=clock,
            seed=material.seed,
            thresholds=_raw_thresholds(way),
            budget=budget,
            progress=progress,
        )
        scorer.close()
        last = Packaged(package, found, passed_over)
        if found.found.outcome == "passed":
            return last
        passed_over.append(f"{way.info.engine} differs: {found.found.reason}")
    if last is None:
        raise InvalidInput(". ".join(passed_over))
    return last


def _scoring(scorer: PackageScorer) -> Callable[[Columns], Outputs]:
    position = {label: float(code) for code, label in enumerate(scorer.classes or ())}

    def ask(columns: Columns) -> Outputs:
        answers = scorer.score(columns)
        if position:
            codes = [position[label] for label in np.asarray(answers["predict"]).tolist()]
            return {**answers, "predict": np.array(codes)}
        return answers

    return ask


def _ways(estimator: Any, material: Material, passed_over: list[str], *, raw: bool) -> Iterator[_Way]:
    info, task = material.info, material.info.task
    inputs: list[tuple[str, str]] = [
        (column.name, column.kind if raw else "number") for column in material.encoding.inputs
    ]
    takes = replace(info, takes="raw" if raw else "features")
    compiled: Compiled | None = None
    try:
        compiled = _compiled(estimator, inputs, raw=raw)
    except (ValueError, TypeError, AttributeError, LookupError) as error:  # Unreadable, or not as we know it
        passed_over.append(f"{kind_of_model(estimator)} cannot be read: {error}")
    if compiled is None and not raw:
        compiled = _unread(estimator, material.encoding)
    if compiled is not None:
        width = int(compiled.plan["width"])
        try:
            graph = to_onnx(compiled.estimator, n_features=width, task=task)
            yield _Way(takes, compiled.plan, graph, read_trees(compiled.estimator))
        except Unconvertible as error:
            passed_over.append(str(error))
        native = replace(takes, engine="native")
        try:
            kept = pickled(compiled.estimator, kind_of_model(compiled.estimator))
            yield _Way(native, compiled.plan, kept, None)
        except InvalidInput as error:
            passed_over.append(str(error))
    if raw:
        names = tuple(column_names(estimator))
        untouched = replace(takes, engine="untouched", columns=names)
        try:
            yield _Way(untouched, None, pickled(estimator, kind_of_model(estimator)), None)
        except InvalidInput as error:
            passed_over.append(str(error))
    if material.folder is not None:
        yield from _with_code(estimator, material, takes, compiled, passed_over, raw=raw)


def _with_code(
    estimator: Any,
    material: Material,
    takes: PackageInfo,
    compiled: Compiled | None,
    passed_over: list[str],
    *,
    raw: bool,
) -> Iterator[_Way]:
    """The last way, which a person has to agree to: the estimator and the code that it needs."""
    if material.folder is None:
        return
    names = tuple(column_names(estimator)) if raw else ()
    kept, plan = (estimator, None) if raw or compiled is None else (compiled.estimator, compiled.plan)
    try:
        data = pickled_with_code(kept, material.folder, kind_of_model(estimator))
        yield _Way(replace(takes, engine="own", columns=names), plan, data, None, modules_of(material.folder))
    except InvalidInput as error:
        passed_over.append(str(error))


def _compiled(estimator: Any, inputs: list[tuple[str, str]], *, raw: bool) -> Compiled:
    """The pipeline, read with its inputs in the order of the encoding."""
    if not raw:
        return compile_pipeline(estimator, inputs)
    kinds = dict(inputs)
    names = column_names(estimator)
    compiled = compile_pipeline(estimator, [(name, kinds[name]) for name in names])
    read = {one["name"]: one for one in compiled.plan["inputs"]}
    ordered = [read.get(name, {"name": name, "numbers": [], "tables": []}) for name, _ in inputs]
    return compiled._replace(plan={**compiled.plan, "inputs": ordered})


def _unread(estimator: Any, encoding: Encoding) -> Compiled:
    """The whole pipeline as an estimator of the encoded features."""

    class Whole:
        """Hides the steps."""

        n_features_in_ = len(encoding.columns)
        predict = staticmethod(estimator.predict)

    plan = compile_pipeline(Whole(), [(name, "number") for name in encoding.columns]).plan
    return Compiled(plan, estimator)


def _raw_thresholds(way: _Way) -> dict[str, NDArray[np.float64]]:
    """By input the largest raw numbers that are not above a threshold of the trees."""
    if way.trees is None or way.plan is None:
        return {}
    known = way.trees.thresholds()
    found: dict[str, list[NDArray[np.float64]]] = {}
    for one in way.plan["inputs"]:
        for number in one["numbers"]:
            if number["at"] in known:
                values = last_below(known[number["at"]], number["steps"], single=way.info.takes == "features")
                found.setdefault(one["name"], []).append(values)
    return {name: np.unique(np.concatenate(values)) for name, values in found.items()}
