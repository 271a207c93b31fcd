"""Runs that Sacred's ``FileStorageObserver`` has written; Sacred itself is not needed to read them.

A run is a folder with ``run.json``, ``config.json`` and, where it logged scalars, ``metrics.json``. Their
times are UTC. Nothing of the folder is loaded as code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.core.data import Point
from headrace.core.errors import InvalidInput
from headrace.training.captured import Captured, flat

_RUN = "run.json"
_UNDER_WAY = frozenset({"RUNNING", "QUEUED"})
_TAGS = ("command", "status")


def sacred_runs(folder: Path) -> Iterator[Captured]:
    """The runs in ``folder`` that have ended, by their folders' names: itself one run, or a folder of runs.

    Raises:
        InvalidInput: a file is not what Sacred writes.
    """
    places = [folder] if (folder / _RUN).is_file() else sorted(p.parent for p in folder.glob(f"*/{_RUN}"))
    for place in places:
        about = _document(place / _RUN)
        # A run that was killed says for ever that it is under way; nobody can tell it from one that is.
        if about.get("status") not in _UNDER_WAY:
            yield _captured(place, about)


def _captured(place: Path, about: Mapping[str, Any]) -> Captured:
    try:
        experiment = about["experiment"]
        name, started = str(experiment["name"]), _moment(about["start_time"])
        finished = _moment(about.get("stop_time") or about["heartbeat"])
        series = {
            str(metric): [
                Point(step=int(step), at=_moment(at), value=_number(value))
                for step, at, value in zip(held["steps"], held["timestamps"], held["values"], strict=True)
            ]
            for metric, held in _document(place / "metrics.json", absent={}).items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"{place} is no run of Sacred's FileStorageObserver ({type(error).__name__}: {error}). Expected "
            "run.json, config.json and metrics.json as Sacred 0.8 writes them."
        ) from error
    result = about.get("result")
    if isinstance(result, (int, float)) and not isinstance(result, bool):
        series.setdefault("result", [Point(step=0, at=finished, value=float(result))])
    failed = about.get("status") != "COMPLETED"
    lines = [line.strip() for line in about.get("fail_trace") or [] if line.strip()]
    return Captured(
        tool="sacred",
        source_id=f"{name} {place.name} {started.isoformat()}",
        name=f"{name} {place.name}",
        params=dict(flat(_document(place / "config.json", absent={}))),
        series=series,
        started_at=started,
        finished_at=finished,
        tags={tag: str(about[tag]) for tag in _TAGS if about.get(tag)},
        error=(lines[-1] if lines else str(about.get("status"))) if failed else None,
    )


def _document(path: Path, absent: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    if absent is not None and not path.is_file():
        return absent
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON ({error}). Expected what Sacred writes.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} holds a {type(found).__name__}. Expected what Sacred writes: an object.")
    return found


def _moment(text: Any) -> datetime:
    return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)


def _number(value: Any) -> float:
    """A value that was logged; NumPy's are wrapped."""
    found = float(value["value"] if isinstance(value, dict) else value)
    return found if math.isfinite(found) else math.nan
