"""Folders for one piece of work, which do not outlive it: not even when its process is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_folder(workdir: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``workdir``, removed at the end; those that killed processes left are removed first.

    Args:
        workdir: made if absent.
        prefix: of the folders' names; nothing else in ``workdir`` may begin so.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with _locked(workdir):
        for left in workdir.glob(f"{prefix}*"):
            _remove_abandoned(left)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=workdir))
        held = _hold(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(folder: Path) -> int | None:
    """A descriptor that holds the folder for as long as we live; None while another process does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_abandoned(folder: Path) -> None:
    try:
        held = _hold(folder)
    except FileNotFoundError:
        return
    if held is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)
