"""Starts a project from somebody's table: read, infer, write down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput, NotFound
from headrace.core.project import Task
from headrace.data.frames import n_rows
from headrace.data.inference import infer
from headrace.data.sources import read_file
from headrace.projects.scaffold import Outline, scaffold


@dataclass(frozen=True, kw_only=True)
class Made:
    """A new project; ``notes`` say what was inferred and why."""

    folder: Path
    task: Task
    metric: str
    notes: list[str]


def start_project(
    parent: Path,
    *,
    name: str,
    data: Path,
    target: str,
    time: str | None,
    key: str | None,
    forecasting: bool,
    owner: str,
    contact: str | None,
) -> Made:
    """Infer what the table is and write the project's folder.

    Raises:
        NotFound: there is no such file.
        InvalidInput: the table cannot be learnt from; the message says why.
        Conflict: the folder exists.
    """
    if not data.is_file():
        raise NotFound(f"There is no file {str(data)!r}. Give --data a CSV or Parquet file.")
    if forecasting and time is None:
        raise InvalidInput("Forecasting needs a time column. Add --time COLUMN.")
    if data.suffix == ".py":
        raise InvalidInput(f"{data.name} is named like code. Give --data a CSV or Parquet file.")
    columns = read_file(data)
    found = infer(columns, target=target, time=time, key=key, forecasting=forecasting)
    digest = digest_bytes(data.read_bytes())
    documentation = (
        f"{data.name} as given at the start: {n_rows(columns):,} rows, {len(columns)} columns, "
        f"SHA-256 {digest[:16]}; kept in data/. Column meanings: see 'columns'."
    )
    spec = replace(found.data, source=f"data/{data.name}", documentation=documentation)
    outline = Outline(
        name=name,
        task=found.task,
        data=spec,
        split=found.split,
        metric=found.metric,
        owner=owner,
        contact=contact or f"{owner}@localhost",
        n_rows=n_rows(columns),
        digest=digest,
    )
    folder = scaffold(parent, outline, data)
    return Made(folder=folder, task=found.task, metric=found.metric, notes=list(found.notes))
