"""Gate 1: is there enough good data to learn from, in every segment that is learnt?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import LARGEST, is_missing, label_counts, labels, missing
from headrace.checks.rows import UNFIT, n_suspect, summary, suspects
from headrace.checks.tasks import GENERATIVE, UNSUPERVISED
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import DataGate, DataSpec, Task
from headrace.core.release import Outcome4

Mask = NDArray[np.bool_]
_MOST_LISTED = 200


@dataclass(frozen=True, kw_only=True)
class DataResult:
    """The verdict on a table. ``evidence`` is JSON.

    Attributes:
        blocked_segments: segments with too few good rows; nothing is learnt from their rows.
    """

    outcome: Outcome4
    reason: str
    evidence: dict[str, Any]
    blocked_segments: tuple[str, ...] = ()


def good_rows(columns: Columns, spec: DataSpec, *, learns_target: bool = True) -> Mask:
    """Rows that can be learnt from, shape ``(n_rows,)``: the target is known and finite, where one is learnt,
    and so are the time, where one is declared, and at least one input, where there are inputs."""
    good = np.ones(_n_rows(columns), dtype=bool)
    if learns_target:
        good = _usable(columns[spec.target])
    if spec.time is not None and spec.time in columns:
        good = good & _usable(columns[spec.time])
    inputs = [c.name for c in spec.columns if c.role != "ignored" and c.name in columns]
    if inputs:
        good = good & np.asarray(np.any([_usable(columns[name]) for name in inputs], axis=0))
    return np.asarray(good, dtype=bool)


def kept_rows(
    columns: Columns,
    spec: DataSpec,
    gate: DataGate,
    blocked_segments: Sequence[str],
    *,
    learns_target: bool = True,
) -> Mask:
    """Good rows outside the blocked segments, shape ``(n_rows,)``: what training may see."""
    good = good_rows(columns, spec, learns_target=learns_target)
    if gate.segment is None:
        return good
    names = _segments(columns[gate.segment])
    blocked = set(blocked_segments)
    kept = np.fromiter((n is not None and n not in blocked for n in names), dtype=bool, count=len(names))
    return np.asarray(good & kept)


def check_data(columns: Columns, spec: DataSpec, gate: DataGate, task: Task) -> DataResult:
    """Judge a table before anything is trained on it.

    ``failed`` when a column is missing, an input is too often null or of another type, the target cannot be
    learnt, more rows than allowed are wrong or dirty, a rule of ``data.rules`` cannot be applied, or too few
    good rows are left, in all or in every segment. Otherwise ``passed``; segments with
    too few good rows are then blocked and training goes on without them.
    """
    evidence: dict[str, Any] = {
        "n_rows": _n_rows(columns),
        "limits": {
            "min_rows": gate.min_rows,
            "max_null_fraction": gate.max_null_fraction,
            "segment": gate.segment,
            "min_rows_per_segment": gate.min_rows_per_segment,
            "max_unfit_fraction": gate.max_unfit_fraction,
        },
    }
    inputs = [c.name for c in spec.columns if c.role != "ignored"]
    learns_target = task not in UNSUPERVISED
    target = [spec.target] if learns_target else []
    needed = [*target, *inputs, *(n for n in (spec.time, spec.key, gate.segment) if n is not None)]
    absent = [name for name in dict.fromkeys(needed) if name not in columns]
    if absent:
        evidence["missing_columns"] = absent
        return DataResult(
            outcome="failed",
            reason=f"columns are missing: {', '.join(absent)}. Mend the source or headrace.yaml",
            evidence=evidence,
        )
    evidence["columns"] = {name: _describe(np.asarray(values)) for name, values in columns.items()}
    good = good_rows(columns, spec, learns_target=learns_target)
    evidence["n_good_rows"] = int(good.sum())
    problems = [
        *_column_problems(spec, gate, evidence),
        *(_target_problems(columns, spec, good, task) if learns_target else ()),
        *_row_problems(columns, spec, gate, task, evidence),
    ]
    blocked = _blocked(columns, gate, good, evidence)
    kept = kept_rows(columns, spec, gate, blocked, learns_target=learns_target)
    evidence["n_kept_rows"] = int(kept.sum())
    if gate.segment is not None and not kept.any():
        problems.append(
            f"every segment of {gate.segment!r} has fewer than {gate.min_rows_per_segment} good rows"
        )
    elif kept.sum() < gate.min_rows:
        problems.append(f"{int(kept.sum())} good rows are fewer than {gate.min_rows}")
    return _concluded(problems, blocked, evidence)


def _concluded(problems: list[str], blocked: tuple[str, ...], evidence: dict[str, Any]) -> DataResult:
    evidence["problems"] = problems
    evidence["blocked_segments"] = list(blocked)
    if problems:
        return DataResult(
            outcome="failed", reason="; ".join(problems), evidence=evidence, blocked_segments=blocked
        )
    reason = f"{evidence['n_kept_rows']} of {evidence['n_rows']} rows can be learnt from"
    if blocked:
        listed = ", ".join(blocked[:10]) + (", ..." if len(blocked) > 10 else "")
        reason += f"; {len(blocked)} segments have too few good rows and are left out: {listed}"
    return DataResult(outcome="passed", reason=reason, evidence=evidence, blocked_segments=blocked)


def _n_rows(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def _usable(values: Any) -> Mask:
    """Neither null nor infinite; a number too large for a model counts as infinite."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return np.asarray(np.abs(array) <= LARGEST)
    return np.asarray(~missing(array))


def _describe(values: NDArray[Any]) -> dict[str, Any]:
    """Kind, nulls, infinities, distinct values and range of one column."""
    usable = values[_usable(values)]
    n_nulls = int(missing(values).sum())
    kind = {"f": "number", "i": "number", "u": "number", "b": "boolean", "M": "time"}
    described: dict[str, Any] = {
        "kind": kind.get(values.dtype.kind, "text"),
        "nulls": n_nulls,
        "infinities": len(values) - len(usable) - n_nulls,
        "distinct": len(set(usable.tolist())),
    }
    if len(usable) and values.dtype.kind in "fiu":
        described |= {"min": float(usable.min()), "max": float(usable.max()), "mean": float(usable.mean())}
    elif len(usable) and values.dtype.kind == "M":
        described |= {"min": f"{usable.min()}Z", "max": f"{usable.max()}Z"}
    return described


def _column_problems(spec: DataSpec, gate: DataGate, evidence: dict[str, Any]) -> list[str]:
    problems = []
    roles = {c.name: c.role for c in spec.columns if c.role != "ignored"}
    n = max(evidence["n_rows"], 1)
    sparse = []
    for name, described in evidence["columns"].items():
        share = (described["nulls"] + described["infinities"]) / n
        described["null_fraction"] = share
        if share > gate.max_null_fraction:
            sparse.append(name)
            if name in roles:
                problems.append(
                    f"input {name!r} is null in {share:.0%} of the rows, more than "
                    f"{gate.max_null_fraction:.0%} (gates.data.max_null_fraction): give it 'role: ignored' "
                    "in data.columns, or raise the limit"
                )
        elif roles.get(name) == "numeric" and described["kind"] in ("text", "time"):
            problems.append(f"input {name!r} is numeric by declaration but holds {described['kind']}")
    evidence["sparse_columns"] = sparse
    return problems


def _target_problems(columns: Columns, spec: DataSpec, good: Mask, task: Task) -> list[str]:
    values = np.asarray(columns[spec.target])[good]
    if not len(values):
        return [f"target {spec.target!r} is known in no good row"]
    if task not in ("classification", *GENERATIVE) and values.dtype.kind not in "fiu":
        return [f"target {spec.target!r} holds no numbers, which {task} needs"]
    counts = label_counts(values)
    if len(counts) < 2:
        return [f"target {spec.target!r} is {next(iter(counts))!r} in every good row"]
    if task == "classification":
        rare = [name for name, count in counts.items() if count < 2]
        if rare:
            return [f"target {spec.target!r} has classes with a single row: {', '.join(map(str, rare[:10]))}"]
    return []


def _row_problems(
    columns: Columns, spec: DataSpec, gate: DataGate, task: Task, evidence: dict[str, Any]
) -> list[str]:
    try:
        found = suspects(columns, spec, task)
    except InvalidInput as error:
        return [str(error).rstrip(".")]
    evidence["suspect_rows"] = summary(found)
    evidence["n_unfit_rows"] = n_unfit = n_suspect(found, UNFIT)
    limit = gate.max_unfit_fraction
    if limit is None or n_unfit <= limit * evidence["n_rows"]:
        return []
    share = f"{n_unfit} of {evidence['n_rows']} rows are wrong or dirty, more than {limit:.1%}"
    return [f"{share}; 'headrace data check' lists them with their reasons"]


def _segments(values: Any) -> list[str | None]:
    """Names of segments: text without surrounding spaces, numbers as Python writes a float."""
    array = np.asarray(values)
    if array.dtype.kind in "fiub":
        return [None if is_missing(value) else str(float(value)) for value in array.tolist()]
    return labels(array)


def _blocked(columns: Columns, gate: DataGate, good: Mask, evidence: dict[str, Any]) -> tuple[str, ...]:
    if gate.segment is None:
        return ()
    rows: dict[str, int] = {}
    for name, is_good in zip(_segments(columns[gate.segment]), good.tolist(), strict=True):
        if name is not None:
            rows[name] = rows.get(name, 0) + is_good
    blocked = {name: count for name, count in sorted(rows.items()) if count < gate.min_rows_per_segment}
    listed = sorted(rows, key=lambda name: (name not in blocked, -rows[name]))[:_MOST_LISTED]
    evidence["segments"] = {name: rows[name] for name in listed}
    evidence["n_segments"] = len(rows)
    return tuple(blocked)
