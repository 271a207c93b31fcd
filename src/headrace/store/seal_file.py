"""The seals of the audit log once more, outside the database: one line of JSON each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.core.canonical import canonical_json
from headrace.core.errors import HeadraceError, InternalError, InvalidInput
from headrace.core.identity import Seal
from headrace.store.disk import disk_refused, locked, make_folder, sync_folder, write_all
from headrace.store.documents import SCHEMA_VERSION, load

_LINE_BYTES = 4_096
"""No line is longer."""


class SealFile:
    """``seals.jsonl`` in ``folder``, which may lie on another disk or machine than the database.

    Readable by its owner only. What a killed process has left half-written is no seal, and is cut off by the
    next one.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "seals.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file against other threads and processes. Raises Unavailable when the disk refuses."""
        make_folder(self.path.parent)
        with locked(self.path.parent):
            yield

    def append(self, seal: Seal) -> None:
        """Add a line; durable when it returns. The caller holds the file.

        Raises:
            Unavailable: the disk refuses.
        """
        is_new = not self.path.exists()
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                end = _whole(descriptor)
                os.ftruncate(descriptor, end)
                os.lseek(descriptor, end, os.SEEK_SET)
                write_all(descriptor, canonical_json(seal) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise disk_refused("write the seal to", self.path, error) from error

    def last(self) -> Seal | None:
        """The newest seal."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - 2 * _LINE_BYTES))
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        return _seal(lines[-1], self.path) if lines else None

    def list(self) -> list[Seal]:
        """All seals, oldest first. Raises InternalError when a line is none."""
        return read_seals(self.path) if self.path.exists() else []


def read_seals(path: Path) -> list[Seal]:
    """The seals in a file or a copy of one, oldest first.

    Raises:
        InvalidInput: it cannot be read.
        InternalError: a line of it is no seal.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"The seals in {path} cannot be read ({error.strerror}). Expected a file of one seal a line."
        ) from error
    return [_seal(line, path) for line in data.split(b"\n")[:-1]]


def _seal(line: bytes, path: Path) -> Seal:
    try:
        return load(Seal, line.decode(), SCHEMA_VERSION)
    except (HeadraceError, UnicodeDecodeError) as error:
        raise InternalError(f"A line of {path} is no seal: it was edited. Compare it with a copy.") from error


def _whole(descriptor: int) -> int:
    """Where the last whole line ends."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - 2 * _LINE_BYTES)
    return start + os.pread(descriptor, size - start, start).rfind(b"\n") + 1
