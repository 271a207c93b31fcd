"""Files that are still there after the power went: folders, syncing, and what to say when a disk refuses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.core.errors import Conflict, InvalidInput, Unavailable

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,127}")


def folder_of(root: Path, name: str, what: str) -> Path:
    """The folder of the stream or table called ``name``, such as ``cars/predictions``, below ``root``.

    Raises:
        InvalidInput: the name would leave ``root`` or is no path of plain names.
    """
    parts = name.split("/")
    if not all(_PART.fullmatch(part) for part in parts):
        raise InvalidInput(
            f"{what} cannot be called {name!r}. Expected names of letters, digits, '_', '-', '.' or '=' "
            "separated by '/', none starting with a dot, such as 'cars/predictions'."
        )
    return root.joinpath(*parts)


def make_folder(path: Path) -> None:
    """Create ``path`` and its missing parents, readable by this user only, so that they stay.

    Raises:
        Unavailable: the disk refuses.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise disk_refused("create the folder", path, error) from error


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a folder against other threads and processes; the lock of a killed process is free at once.

    Raises:
        Conflict: another holds it, and ``wait`` is false.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"Another process works in {folder}. Wait until it has ended.") from error
        yield
    finally:
        os.close(descriptor)


def hold(path: Path) -> bool:
    """Hold a file for the rest of this process's life; False if another process (or call) holds it."""
    return Held(path).take()


class Held:
    """A file that one process at a time holds, or several ``shared``; each, however it ends, lets go of it.

    Example::

        leading = Held(home / "background.lock")
        if leading.take():
            ...
        leading.release()
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._path = path
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Whether this object holds the file, from now on or already."""
        if self._descriptor is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, self._kind | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._descriptor = descriptor  # left open: the lock goes with the process
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_once(path: Path, data: bytes) -> None:
    """Make a file, readable by this user only, with all of ``data``; one that is there already stays.

    Of two processes at once one wins, and a crash never leaves half a file.
    """
    make_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    sync_folder(path.parent)


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write every byte; the operating system may take fewer at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_file(path: Path, data: bytes | bytearray) -> None:
    """Make a file, readable by this user only, with all of ``data``, so that it stays."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_refused(action: str, path: Path, error: OSError) -> Unavailable:
    """The error for a write that the disk did not take, with what to do about it."""
    advice = {
        errno.ENOSPC: "The disk is full: free some space or move HEADRACE_STORAGE_URL, then try again.",
        errno.EDQUOT: "The quota is used up: free some space or move HEADRACE_STORAGE_URL, then try again.",
        errno.EROFS: "The disk is mounted read-only: mount it writable or set HEADRACE_HOME elsewhere.",
        errno.EACCES: "This user may not write there: change the owner or set HEADRACE_HOME elsewhere.",
        errno.EPERM: "This user may not write there: change the owner or set HEADRACE_HOME elsewhere.",
    }.get(error.errno or 0, "Check the disk (dmesg, df), then try again.")
    reason = error.strerror or str(error)
    return Unavailable(f"Could not {action} {path}: {reason}. Nothing was acknowledged. {advice}")
