"""Arrivals of a project's datasets: measured as they come, held to their targets, listed with their age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from headrace.app.composition import App
from headrace.app.overviews import reading
from headrace.checks.arrivals import MEASURES, Held, arrival, held
from headrace.core.data import Artifact
from headrace.core.identity import Principal
from headrace.core.ids import derived_id
from headrace.core.ports import Columns
from headrace.core.project import DataSpec, FeatureSpec, Project, Target
from headrace.core.release import Measurement, Outcome4, Verdict
from headrace.data.features import OWN
from headrace.data.frames import kind_of, n_rows
from headrace.monitoring.wording import lasting
from headrace.releases.gates import verdict

NAME = "arrival"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One measure of a dataset's newest arrival; its age is as of now.

    Attributes:
        dataset: ``inputs``, the project's own table, or the name of a feature set.
        measure, meaning: as in :data:`headrace.checks.arrivals.MEASURES`.
        value: in seconds, rows, bytes or the unit of the prices; None: it could not be measured.
        target, limit, outcome: what is declared for it, and whether that holds; None where nothing is.
        said: the value in words.
        arrived_at: when it came.
    """

    dataset: str
    measure: str
    meaning: str
    value: float | None
    said: str
    target: str | None
    limit: float | None
    outcome: Outcome4 | None
    arrived_at: datetime


def arrived(
    app: App, project: Project, name: str, columns: Columns, raw: Artifact, read_s: float
) -> dict[str, Any]:
    """Measure a table that has just been read from ``raw``, as JSON.

    Args:
        name: the dataset's.
        read_s: how long it took to make or find it, and to read it.
    """
    spec, before = _specs(project)[name], _newest(app, project.name).get(name)
    detail: dict[str, Any] = {} if before is None else before.detail
    newest = detail.get("newest")
    at = app.clock.now()
    found = arrival(
        n_rows(columns),
        raw.size_bytes,
        times=_times(columns, spec.time),
        at=np.datetime64(at.replace(tzinfo=None), "us"),
        read_s=read_s,
        known=_times(columns, spec.known) if isinstance(spec, FeatureSpec) else None,
        since=None if newest is None else np.datetime64(newest, "us"),
        prices=spec.prices,
    )
    measured = dict(found.measured)
    if newest is not None and not found.n_new:
        measured["delay_s"] = detail["measured"]["delay_s"]  # nothing new has come: what came last, still
    return {
        "dataset": name,
        "measured": measured,
        "newest": newest if found.newest is None else str(found.newest.astype("datetime64[us]")),
        "n_new": found.n_new,
        "raw": raw.digest,
        "at": at.isoformat(),
    }


def judge_arrivals(
    app: App, project: Project, came: list[dict[str, Any]], subject: str, build_id: str
) -> list[Verdict]:
    """Keep what was measured of each arrival; a verdict where targets are declared.

    ``failed`` when one is missed, else ``inconclusive`` when one could not be measured.
    """
    specs = _specs(project)
    app.store.evidence.measure(
        [
            Measurement(
                id=derived_id(NAME, build_id, one["dataset"]),
                project=project.name,
                name=NAME,
                feature=one["dataset"],
                value=one["measured"]["age_s"],
                n_rows=int(one["measured"]["rows"]),
                at=datetime.fromisoformat(one["at"]),
                detail=one | {"build": build_id},
            )
            for one in came
        ]
    )
    found = [(one, held(one["measured"], specs[one["dataset"]].targets)) for one in came]
    every = [(one["dataset"], result) for one, results in found for result in results]
    if not every:
        return []
    unkept = [pair for pair in every if pair[1].outcome != "passed"]
    outcomes = {result.outcome for _, result in unkept}
    outcome: Outcome4 = "failed" if "failed" in outcomes else "inconclusive" if outcomes else "passed"
    reason = "; ".join(_unkept(*pair) for pair in unkept) or f"all {len(every)} targets are kept"
    evidence = {
        one["dataset"]: {
            "measured": one["measured"],
            "targets": {
                result.target: {"limit": result.limit, "outcome": result.outcome} for result in results
            },
        }
        for one, results in found
    }
    return [verdict(subject, NAME, outcome, reason, evidence=evidence, at=app.clock.now())]


def arrivals(app: App, me: Principal, name: str) -> list[Measured]:
    """As :func:`arrivals_of`. Raises NotFound, Denied: there is no such project that ``me`` may see."""
    return arrivals_of(app, reading.project(app, me, name))


def arrivals_of(app: App, project: Project) -> list[Measured]:
    """All measures of the newest arrival of each dataset that is declared, and how old it is now."""
    now, newest = app.clock.now(), _newest(app, project.name)
    return [
        one
        for dataset, spec in _specs(project).items()
        if dataset in newest
        for one in _measured(newest[dataset], spec.targets, now)
    ]


def _measured(kept: Measurement, targets: Mapping[Target, float], now: datetime) -> list[Measured]:
    measured = dict(kept.detail["measured"])
    if measured["age_s"] is not None:
        measured["age_s"] += (now - kept.at).total_seconds()
    judged: dict[str, list[Held | None]] = {}
    for result in held(measured, targets):
        judged.setdefault(result.measure, []).append(result)
    return [
        Measured(
            dataset=kept.feature or OWN,
            measure=measure,
            meaning=meaning,
            value=measured[measure],
            said=said(measure, measured[measure]),
            target=None if result is None else said_target(result.target, result.limit),
            limit=None if result is None else result.limit,
            outcome=None if result is None else result.outcome,
            arrived_at=kept.at,
        )
        for measure, meaning in MEASURES.items()
        for result in judged.get(measure, [None])
    ]


def said(measure: str, value: float | None) -> str:
    """A value in words.

    >>> said("age_s", 200_000), said("read_s", 0.25), said("rows", 1234.0), said("cost", None)
    ('2 d 7 h', '0.25 s', '1,234', 'not measured')
    """
    if value is None:
        return "not measured"
    if not measure.endswith("_s"):
        return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
    return lasting(value) if abs(value) >= 1 else f"{value:.2g} s"


def said_target(target: str, limit: float) -> str:
    """A target in words.

    >>> said_target("max_age_s", 86_400), said_target("min_rows", 1000)
    ('at most 1 d 0 h', 'at least 1,000')
    """
    bound, _, measure = target.partition("_")
    return f"{'at least' if bound == 'min' else 'at most'} {said(measure, limit)}"


def _unkept(dataset: str, result: Held) -> str:
    what = f"{dataset}: {result.measure.removesuffix('_s')}"
    wanted = said_target(result.target, result.limit)
    if result.value is None:
        return f"{what} could not be measured, declared {wanted}"
    return f"{what} is {said(result.measure, result.value)}, declared {wanted}"


def _specs(project: Project) -> dict[str, DataSpec | FeatureSpec]:
    return {OWN: project.data} | {one.name: one for one in project.data.features}


def _newest(app: App, project: str) -> dict[str, Measurement]:
    """The newest arrival of each dataset."""
    kept = app.store.evidence.measurements(project, name=NAME)
    return {str(one.feature): one for one in sorted(kept, key=lambda one: one.at)}


def _times(columns: Columns, name: str | None) -> Any:
    values = None if name is None else columns.get(name)
    return values if values is not None and kind_of(values) == "time" else None
