"""When an erasure of a project began, for whoever still holds what was asked before it."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from headrace.store.disk import make_folder

MARKS = "erased"
"""The folder of a home in which erasures are marked."""


class ErasureMarks:
    """One file per project, seen by all processes of the home; its time of change is the mark.

    Example::

        marks.mark("cars", clock.now())  # before anything is removed
        marks.last_s("cars")
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mark(self, project: str, now: datetime) -> None:
        """An erasure begins."""
        make_folder(self._folder)
        path = self._folder / f"{project}.begun"
        path.touch(mode=0o600)
        os.utime(path, (now.timestamp(), now.timestamp()))

    def last_s(self, project: str) -> float:
        """When the last one began, in seconds since 1970; 0.0 before the first."""
        try:
            return (self._folder / f"{project}.begun").stat().st_mtime
        except FileNotFoundError:
            return 0.0
