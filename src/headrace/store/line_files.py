"""Files of lines, such as what a caller uploads for a batch: in clear, or sealed under their project's key.

A file is written once, from its beginning, by one process. What :meth:`Writer.write` was given is durable
when it returns; a killed process leaves at most a torn last line, and whoever goes on writes another file.
Nothing is ever read as a whole: memory does not grow with the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from headrace.core.errors import Conflict, NotFound
from headrace.core.ports import DataKeys
from headrace.store.disk import disk_refused, folder_of, make_folder, sync_folder, write_all
from headrace.store.sealing import HEADER_BYTES, Seal, SealedSegment, header, key_of

BLOCK_BYTES = 1 << 20


class LineFiles:
    r"""Files below ``path``, each by its project and name.

    Args:
        keys: the keys of projects; without it every file lies in clear.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = LineFiles(Path(folder))
    ...     with files.create("support", "file-1") as file:
    ...         file.write(b"one\ntwo\n")
    ...     list(lines_of(files.blocks("support", "file-1")))
    [b'one\n', b'two\n']
    """

    def __init__(self, path: Path, keys: DataKeys | None = None) -> None:
        self._path = path
        self._keys = keys

    def create(self, project: str, name: str) -> Writer:
        """A new file, to be closed; nobody else can write to it.

        Raises:
            Conflict: there is one of this name.
            Unavailable: the disk refuses, or the project's key cannot be read.
        """
        path = self._file(project, name)
        key_id = None if self._keys is None else self._keys.current(_stream(project))
        make_folder(path.parent)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise Conflict(f"There is a file {name!r} already. Give this one another name.") from error
        except OSError as error:
            raise disk_refused("keep a file in", path.parent, error) from error
        try:
            sync_folder(path.parent)
            if key_id is None:
                return Writer(path, descriptor, None)
            write_all(descriptor, header(key_id))
            return Writer(path, descriptor, self._seal(project, name, key_id))
        except OSError as error:
            os.close(descriptor)
            raise disk_refused("keep a file in", path.parent, error) from error

    def blocks(self, project: str, name: str) -> Iterator[bytes]:
        """The content, a block at a time.

        Raises:
            NotFound: there is no such file.
            InternalError: it was altered; what came before is in order.
            Unavailable: its key cannot be read.
        """
        try:
            descriptor = os.open(self._file(project, name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound(f"There is no file {name!r}. It was deleted, or its time was over.") from error
        try:
            key_id = key_of(os.pread(descriptor, HEADER_BYTES, 0))
            read = os.pread
            if key_id is not None:
                read = SealedSegment(self._seal(project, name, key_id)).read
            offset = 0
            while block := read(descriptor, BLOCK_BYTES, offset):
                yield block
                offset += len(block)
        finally:
            os.close(descriptor)

    def remove(self, project: str, name: str) -> bool:
        """Delete it for good; whether it was there."""
        path = self._file(project, name)
        try:
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_refused("delete", path, error) from error
        return True

    def names(self, project: str, prefix: str) -> list[str]:
        """Names of files that begin so, in their order."""
        folder = folder_of(self._path, project, "A project")
        try:
            return sorted(entry.name for entry in os.scandir(folder) if entry.name.startswith(prefix))
        except FileNotFoundError:
            return []

    def _file(self, project: str, name: str) -> Path:
        return folder_of(self._path, f"{project}/{name}", "A file")

    def _seal(self, project: str, name: str, key_id: str) -> Seal:
        if self._keys is None:
            raise Conflict(f"File {name!r} is encrypted, and this store was opened without keys.")
        place = f"file {project}/{name}"
        return Seal(self._keys.key(_stream(project), key_id, place), place)


class Writer:
    """A file that is being written; ``size_bytes`` is that of its content."""

    def __init__(self, path: Path, descriptor: int, seal: Seal | None) -> None:
        self.size_bytes = 0
        self._path = path
        self._descriptor = descriptor
        self._seal = seal

    def write(self, data: bytes) -> None:
        """Add to its end; durable when it returns.

        Raises:
            Unavailable: the disk refuses. Write nothing more to this file.
        """
        if not data:
            return
        try:
            sealed = data if self._seal is None else self._seal.blocks(data, self.size_bytes)
            write_all(self._descriptor, sealed)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise disk_refused("write to", self._path, error) from error
        self.size_bytes += len(data)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    r"""The lines in blocks, each with its end; the last one may have none.

    >>> list(lines_of([b"on", b"e\ntwo\nth", b"ree"]))
    [b'one\n', b'two\n', b'three']
    """
    parts: list[bytes] = []
    for block in blocks:
        whole, end, rest = block.rpartition(b"\n")
        if not end:
            parts.append(rest)
            continue
        for line in b"".join([*parts, whole]).split(b"\n"):
            yield line + b"\n"
        parts = [rest]
    if last := b"".join(parts):
        yield last


def _stream(project: str) -> str:
    return f"{project}/files"
