"""Suspect rows of a project's own table, or of another with its columns: listed, counted and exported."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace.app.data.table import project_table
from headrace.checks.rows import UNFIT, SuspectRow, Suspects, n_suspect, summary, suspect_rows, suspects
from headrace.checks.tasks import UNSUPERVISED
from headrace.core.errors import InvalidInput
from headrace.core.ports import Columns
from headrace.core.project import Project
from headrace.data.frames import n_rows
from headrace.data.sources import read_file, write_parquet

FIELDS = ("row", "column", "kind", "value", "reason")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A table and what is suspect in it."""

    columns: Columns
    suspects: list[Suspects]

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return n_rows(self.columns)

    @property
    def n_unfit(self) -> int:
        """Rows that are wrong or dirty, each counted once."""
        return n_suspect(self.suspects, UNFIT)

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """Each reason with its number of rows."""
        return summary(self.suspects)

    def rows(self) -> Iterator[SuspectRow]:
        """Every suspect row, once per reason."""
        return suspect_rows(self.columns, self.suspects)


def look_through(folder: Path, project: Project, file: Path | None = None) -> Found:
    """Look through the project's source, or ``file`` in its place, as the data gate does.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is no table, lacks a declared column, or a rule of ``data.rules`` cannot be applied.
        UserCodeError: the project's own source function raised.
    """
    columns = table_to_check(folder, project, file)
    return Found(columns=columns, suspects=suspects(columns, project.data, project.task))


def table_to_check(folder: Path, project: Project, file: Path | None = None) -> Columns:
    """The project's source, or ``file`` in its place. Raises as :func:`look_through`."""
    with tempfile.TemporaryDirectory() as scratch:
        columns = project_table(folder, project, Path(scratch)) if file is None else read_file(file)
    wanted = [column.name for column in project.data.columns if column.role != "ignored"]
    target = [] if project.task in UNSUPERVISED else [project.data.target]
    absent = [name for name in [*wanted, *target] if name not in columns]
    if absent:
        raise InvalidInput(
            f"The table has no column {absent[0]!r} (has: {', '.join(columns)[:500]}). "
            "Expected the columns that headrace.yaml declares."
        )
    return columns


def export(found: Iterable[Any], fields: Sequence[str], path: Path) -> None:
    """Write these attributes of every row that was found as CSV or Parquet; ``row`` is a number.

    Raises:
        InvalidInput: the file's name ends in neither .csv nor .parquet, or it cannot be written.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise InvalidInput(f"{path.name!r} has no known ending. Expected .csv or .parquet.")
    try:
        if path.suffix == ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                lines = csv.writer(file)
                lines.writerow(fields)
                lines.writerows([getattr(one, name) for name in fields] for one in found)
            return
        rows = list(found)
        kinds = {"row": np.float64, "score": np.float64}
        write_parquet(
            {
                name: np.array([getattr(one, name) for one in rows], dtype=kinds.get(name, object))
                for name in fields
            },
            path,
        )
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written ({error.strerror}). Choose another place.") from error
