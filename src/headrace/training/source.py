"""The table that a project's own ``@headrace.source`` makes, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.core.errors import InvalidInput, NotFound, UserCodeError
from headrace.data.sources import read_file, read_frame, write_parquet
from headrace.training.job import TABLE
from headrace.training.launch import run_worker


def make_table(
    project_dir: Path, scratch: Path, *, params: Mapping[str, Any] | None = None, timeout_s: float = 3600.0
) -> Path:
    """Run the project's source and return a Parquet file with its rows, in their order.

    The source runs in the project's folder, so that relative paths lead to its files. The same rows
    give the same bytes on one machine.

    Args:
        scratch: a folder to work in; it is made if absent and must be empty.
        params: arguments for the source, such as ``until``; those that it does not take are left out.

    Raises:
        NotFound: the project has no source.
        UserCodeError: it raised, or returned something that is no table.
    """
    folder = project_dir.resolve()
    job = {"kind": "table", "folder": str(folder), "params": dict(params or {})}
    return run_worker(job, scratch, cwd=folder, timeout_s=timeout_s).output / TABLE


def write_table(made: Any, folder: Path, path: Path) -> None:
    """Write what a source returned (a frame, columns, or a file's path) as Parquet.

    Raises:
        UserCodeError: it is no table.
    """
    try:
        columns = read_file(folder / made) if isinstance(made, str | Path) else read_frame(made)
    except (InvalidInput, NotFound) as error:
        raise UserCodeError(
            f"The source returned a {type(made).__name__} that cannot be used: {error}"
        ) from error
    write_parquet(columns, path)
