"""When small files of a table are merged: as it grows, so that a query never has to open many."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from deltalake import DeltaTable

_TIERS = ((32, 100_000_000), (16, 1_000_000))
"""That many files of less than half a size are merged into files of that size, in bytes. With two sizes a row
is written anew a few times in its life instead of once for every few appends."""


class Merge(NamedTuple):
    """The files to merge, by their paths as the log has them, and the size to aim at, in bytes."""

    files: tuple[str, ...]
    size_bytes: int


def due(table: DeltaTable) -> Merge | None:
    """What is to be merged now; None: nothing yet."""
    if len(table.file_uris()) < min(n_files for n_files, _ in _TIERS):
        return None
    actions = table.get_add_actions()
    sizes = dict(
        zip(actions.column("path").to_pylist(), actions.column("size_bytes").to_pylist(), strict=True)
    )
    for n_files, size_bytes in _TIERS:
        small = tuple(path for path, size in sizes.items() if size < size_bytes / 2)
        if len(small) >= n_files:
            return Merge(small, size_bytes)
    return None
