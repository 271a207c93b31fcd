"""Which keys a project's files on disk are encrypted with, as the files themselves tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace.store.encrypted import key_of_file
from headrace.store.sealing import HEADER_BYTES, key_of


def keys_in_use(storage: Path, project: str) -> dict[str, Path]:
    """Id of each key that segments and tables of ``project`` name, with the first file that names it.

    Args:
        storage: the folder with events and tables. All files of the project are looked at.
    """
    found: dict[str, Path] = {}
    for path, key_id in _named(storage, project):
        if key_id is not None:
            found.setdefault(key_id, path)
    return found


def _named(storage: Path, project: str) -> Iterator[tuple[Path, str | None]]:
    for path in sorted((storage / "events" / project).rglob("*.seg")):
        with path.open("rb") as file:
            yield path, key_of(file.read(HEADER_BYTES))
    for path in sorted((storage / "tables" / project).rglob("*.parquet")):
        yield path, key_of_file(path.name)
