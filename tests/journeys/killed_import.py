"""Runs ``headrace`` and kills itself (SIGKILL) in an import: ``killed_import.py MOMENT ARGUMENTS...``."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from headrace.app.durable import Durable
from headrace.cli.main import main
from headrace.core.data import Artifact
from headrace.core.release import Release
from headrace.store._sql.releases import SqlReleases
from headrace.store.artifacts import FolderArtifacts

_moment = sys.argv[1]
_count = itertools.count(1)
_put, _add = FolderArtifacts.put_file, SqlReleases.add
_PARTS = 5


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def _put_file(self: FolderArtifacts, path: Path, media_type: str) -> Artifact:
    kept = _put(self, path, media_type)
    if next(_count) == _PARTS:
        _die()
    return kept


def _add_release(self: SqlReleases, release: Release) -> Release:
    _add(self, release)
    _die()


def _start(self: Durable, name: str, workflow_id: str, *arguments: Any) -> None:
    _die()


# The harness is the fault itself.
if _moment == "parts":
    FolderArtifacts.put_file = _put_file  # type: ignore[method-assign]
elif _moment == "records":
    SqlReleases.add = _add_release  # type: ignore[method-assign]
else:
    Durable.start = _start  # type: ignore[method-assign]
main(sys.argv[2:])
