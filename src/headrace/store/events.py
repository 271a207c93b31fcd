"""Append-only streams in segment files, durable when acknowledged.

Each process writes its own files, so that no two processes ever wait for one another, and a process that
comes back starts a new file: what a killed process left half-written stays at the end of its last file,
where readers stop. Calls that arrive while the disk is busy share the next sync.

A segment lies in clear, or is encrypted as a whole (:mod:`headrace.store.sealing`). Offsets are those of the
clear text either way, so that who reads on, and what is erased, need not know.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from headrace.core.errors import Conflict, InvalidInput, NotFound
from headrace.core.ports import DataKeys, Segment
from headrace.store.disk import disk_refused, folder_of, make_folder, sync_folder, write_all, write_file
from headrace.store.framing import decode, encode, places, refit
from headrace.store.gathering import Gathering
from headrace.store.sealing import HEADER_BYTES, Seal, SealedSegment, header, key_of

SEGMENT_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
_SEGMENT = re.compile(r"(?P<writer>[A-Za-z0-9][A-Za-z0-9-]{0,63})-(?P<number>[0-9]{6,})\.seg")


class _Scanned(NamedTuple):
    """How far a segment is known to hold whole records, and how many; of a file of this number and size."""

    end: int
    n_records: int
    inode: int
    size_bytes: int


class _Known(NamedTuple):
    """How a segment is to be read (None: it lies in clear); of the file with this number."""

    inode: int
    sealed: SealedSegment | None


class _Open(NamedTuple):
    """The file being written: where its acknowledged records end, its size on disk, and its key."""

    path: Path
    end: int
    size_bytes: int = 0
    key_id: str | None = None
    seal: Seal | None = None


class _Seals:
    """The seals of one stream's segments."""

    def __init__(self, keys: DataKeys | None, stream: str) -> None:
        self._keys = keys
        self._stream = stream

    def current(self) -> str | None:
        """The key for what is written from now on; None: in clear."""
        return None if self._keys is None else self._keys.current(self._stream)

    def of(self, segment: str, key_id: str) -> Seal:
        """The seal of one segment."""
        place = f"{self._stream}/{segment}"
        if self._keys is None:
            raise InvalidInput(
                f"Segment {place} is encrypted with key {key_id}, and this store was opened without keys. "
                "Open it as the commands do, with the keys in HEADRACE_HOME/keys."
            )
        return Seal(self._keys.key(self._stream, key_id, f"segment {place}"), place)


class SegmentLog:
    """Streams of records below ``path``; implements ``EventLog``.

    ``writer_id`` names this process' own files; a UUIDv7 makes them sort by time. Records of one
    ``append`` stay together and in order; appends of several threads are ordered as they arrive. ``keys``
    says which streams are encrypted; without it none is.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = SegmentLog(Path(folder), "0198c0de-0000-7000-8000-000000000000")
    ...     log.append("cars/predictions", [b"one", b"two"])
    ...     log.count("cars/predictions")
    2
    """

    def __init__(
        self, path: Path, writer_id: str, *, segment_bytes: int = SEGMENT_BYTES, keys: DataKeys | None = None
    ) -> None:
        if not _SEGMENT.fullmatch(f"{writer_id}-000000.seg"):
            raise InvalidInput(f"A writer cannot be called {writer_id!r}. Expected a UUID.")
        self._path = path
        self._writer_id = writer_id
        self._segment_bytes = segment_bytes
        self._keys = keys
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._writers: dict[str, _Writer] = {}
        self._scanned: dict[Path, _Scanned] = {}
        self._known: dict[Path, _Known] = {}
        self._closed = False

    def append(self, stream: str, records: Sequence[bytes]) -> None:
        """Add records in order; they survive ``kill -9`` and power loss when it returns.

        Raises:
            InvalidInput: the stream's name is no path, or a record is longer than 256 MiB.
            Unavailable: the disk refused, or the stream's key cannot be read; nothing was acknowledged.
            Conflict: the log was closed.
        """
        if not records:
            return
        data = encode(records)
        self._writer(stream).append(data)

    def segments(self, stream: str) -> list[Segment]:
        """The stream's segments, oldest first; only whole records count into their sizes."""
        return [Segment(path.name, self._scan(stream, path).end) for path in self._files(stream)]

    def read(self, stream: str, segment: str, offset: int, limit: int) -> tuple[list[bytes], int]:
        """Up to ``limit`` records from ``offset``, and the offset after them.

        Raises:
            NotFound: the stream has no such segment.
            InvalidInput: ``offset`` or ``limit`` is negative.
            InternalError: the segment is encrypted, and was altered.
            Unavailable: its key cannot be read.
        """
        path = folder_of(self._path, stream, "A stream") / segment
        if not _SEGMENT.fullmatch(segment) or not path.is_file():
            raise NotFound(f"Stream {stream!r} has no segment {segment!r}. List them with segments().")
        if offset < 0 or limit < 0:
            raise InvalidInput(f"Offset {offset} or limit {limit} is negative. Expected 0 or more.")
        end = self._own_end(stream, path)
        records: list[bytes] = []
        wanted = _BLOCK_BYTES
        with path.open("rb", buffering=0) as file:
            read = self._reader(stream, path, file.fileno())
            while len(records) < limit:
                room = wanted if end is None else min(wanted, end - offset)
                data = read(file.fileno(), max(room, 0), offset)
                found = decode(data, limit - len(records))
                records += found.records
                offset += found.used_bytes
                if found.used_bytes:
                    wanted = max(_BLOCK_BYTES, found.wanted_bytes)
                elif found.wanted_bytes > wanted and len(data) == room:
                    wanted = found.wanted_bytes
                else:
                    break
        return records, offset

    def count(self, stream: str) -> int:
        """How many whole records the stream holds; only what is new since the last count is read."""
        return sum(self._scan(stream, path).n_records for path in self._files(stream))

    def rewrite(self, stream: str, change: Callable[[bytes], bytes | None]) -> int:
        """Replace records by what ``change`` makes of them, None to remove; returns how many were.

        Each segment is changed as a whole or not at all, also by ``kill -9``; doing it again does the rest. A
        segment in which nothing is left is removed. Processes that write to the stream go on in new files.
        Segments under another key than the stream's current one are brought under it.

        Raises:
            InvalidInput: a record would become longer.
            Unavailable: the disk refused.
        """
        folder, seals = folder_of(self._path, stream, "A stream"), _Seals(self._keys, stream)
        n_changed = 0
        for path in self._files(stream):
            try:
                n_changed += _rewrite(path, change, seals)
            except OSError as error:
                raise disk_refused("rewrite", folder, error) from error
            self._scanned.pop(path, None)
        return n_changed

    def close(self) -> None:
        """Release the files. What was acknowledged is on disk already."""
        with self._lock:
            self._closed = True
            writers = list(self._writers.values())
        for writer in writers:
            writer.close()

    def _writer(self, stream: str) -> _Writer:
        if os.getpid() != self._pid:
            # A forked child must not write into its parent's file: it starts files of its own.
            self._start()
        with self._lock:
            if self._closed:
                raise Conflict("This event log was closed. Open the store again before you append.")
            if stream not in self._writers:
                folder = folder_of(self._path, stream, "A stream")
                seals = _Seals(self._keys, stream)
                self._writers[stream] = _Writer(folder, self._writer_id, self._segment_bytes, seals)
            return self._writers[stream]

    def _files(self, stream: str) -> list[Path]:
        folder = folder_of(self._path, stream, "A stream")
        try:
            names = [entry.name for entry in os.scandir(folder) if _SEGMENT.fullmatch(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [folder / name for name in sorted(names, key=_age)]

    def _own_end(self, stream: str, path: Path) -> int | None:
        """Where the acknowledged part ends, if this process is writing the file."""
        writer = self._writers.get(stream) if os.getpid() == self._pid else None
        return None if writer is None else writer.acknowledged(path)

    def _reader(self, stream: str, path: Path, descriptor: int) -> Callable[[int, int, int], bytes]:
        """Reads a number of bytes of the clear text at an offset."""
        inode = os.fstat(descriptor).st_ino
        known = self._known.get(path)
        if known is None or known.inode != inode:
            beginning = os.pread(descriptor, HEADER_BYTES, 0)
            key_id = key_of(beginning)
            sealed = key_id and SealedSegment(_Seals(self._keys, stream).of(path.name, key_id))
            known = _Known(inode, sealed or None)
            if len(beginning) == HEADER_BYTES:
                self._known[path] = known
        return os.pread if known.sealed is None else known.sealed.read

    def _scan(self, stream: str, path: Path) -> _Scanned:
        state = path.stat()
        known = self._scanned.get(path)
        if known is None or known.inode != state.st_ino or state.st_size < known.size_bytes:
            known = _Scanned(0, 0, state.st_ino, 0)
        end = self._own_end(stream, path)
        if known.end < end if end is not None else known.size_bytes < state.st_size:
            records, position = known.n_records, known.end
            while True:
                found, position = self.read(stream, path.name, position, 10_000)
                records += len(found)
                if not found:
                    break
            known = _Scanned(position, records, state.st_ino, state.st_size)
            self._scanned[path] = known
        return known


class _Writer:
    """One stream's files of this process."""

    def __init__(self, folder: Path, writer_id: str, segment_bytes: int, seals: _Seals) -> None:
        self._folder = folder
        self._seals = seals
        self._writer_id = writer_id
        self._segment_bytes = segment_bytes
        self._disk = threading.Lock()
        self._shared: Gathering[bytes, None] = Gathering(self._write_together)
        self._descriptor: int | None = None
        self._number = 0
        self._current = _Open(folder, 0)
        self._closed = False

    def append(self, data: bytes) -> None:
        self._shared.do(data)

    def acknowledged(self, path: Path) -> int | None:
        """Size of the durable part of ``path``, or None if it is not the file being written."""
        current = self._current
        return current.end if path == current.path else None

    def close(self) -> None:
        with self._disk:
            self._closed = True
            self._seal()

    def _write_together(self, parts: list[bytes]) -> list[None]:
        try:
            with self._disk:
                self._write(b"".join(parts))
        except OSError as error:
            raise disk_refused("append to", self._folder, error) from error
        return [None] * len(parts)

    def _write(self, data: bytes) -> None:
        descriptor = self._held()
        current = self._current
        written = data
        if current.seal is not None and current.key_id is not None:
            beginning = b"" if current.size_bytes else header(current.key_id)
            written = beginning + current.seal.blocks(data, current.end)
        try:
            write_all(descriptor, written)
            os.fdatasync(descriptor)
        except BaseException:
            self._undo(descriptor)
            raise
        self._current = current._replace(
            end=current.end + len(data), size_bytes=current.size_bytes + len(written)
        )
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _held(self) -> int:
        """The file to write to, held against being rewritten; a new one if it was rewritten meanwhile."""
        while True:
            descriptor = self._open()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, self._current.path):
                return descriptor
            self._seal()

    def _undo(self, descriptor: int) -> None:
        """Take back what was not acknowledged, and never write to this file again.

        After a failed sync the operating system may drop the data and report success next time, so the
        file is not trusted with anything further.
        """
        try:
            os.ftruncate(descriptor, self._current.size_bytes)
            os.fsync(descriptor)
        except OSError:
            pass
        self._seal()

    def _open(self) -> int:
        if self._closed:
            raise Conflict("This event log was closed. Open the store again before you append.")
        key_id, current = self._seals.current(), self._current
        if self._descriptor is not None and current.end < self._segment_bytes and current.key_id == key_id:
            return self._descriptor
        self._seal()
        make_folder(self._folder)
        # Not the name of a segment that was removed, either: readers remember how far they read it.
        number = max(self._highest(), self._number) + 1
        while True:
            path = self._folder / f"{self._writer_id}-{number:06d}.seg"
            seal = None if key_id is None else self._seals.of(path.name, key_id)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
                descriptor = os.open(path, flags, 0o600)
                break
            except FileExistsError:
                number += 1
        self._number = number
        self._current = _Open(path, 0, 0, key_id, seal)
        self._descriptor = descriptor
        try:
            sync_folder(self._folder)
        except OSError:
            self._seal()
            raise
        return descriptor

    def _highest(self) -> int:
        found = (_SEGMENT.fullmatch(entry.name) for entry in os.scandir(self._folder))
        return max((int(m["number"]) for m in found if m and m["writer"] == self._writer_id), default=0)

    def _seal(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _rewrite(path: Path, change: Callable[[bytes], bytes | None], seals: _Seals) -> int:
    """Change one segment, and bring it under the current key; returns how many records were changed."""
    draft = path.with_name(f".{path.name}.rewriting")
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not _is_at(file.fileno(), path):
            return _rewrite(path, change, seals)
        before, after = key_of(os.pread(file.fileno(), HEADER_BYTES, 0)), seals.current()
        data = bytearray(_content(file.fileno(), path.name, before, seals))
        n_left = n_changed = 0
        for offset, room, record in list(places(bytes(data))):
            kept = change(record)
            n_left += kept is not None
            if kept != record:
                n_changed += 1
                new = refit(kept, room)
                data[offset : offset + len(new)] = new
        if n_changed and not n_left:
            path.unlink()
        elif n_changed or (n_left and before != after):
            write_file(draft, data if after is None else _sealed(bytes(data), path.name, after, seals))
            draft.replace(path)
        if n_changed or before != after:
            sync_folder(path.parent)
    return n_changed


def _content(descriptor: int, name: str, key_id: str | None, seals: _Seals) -> bytes:
    size_bytes = os.fstat(descriptor).st_size
    if key_id is None:
        return os.pread(descriptor, size_bytes, 0)
    return SealedSegment(seals.of(name, key_id)).read(descriptor, size_bytes, 0)


def _sealed(data: bytes, name: str, key_id: str, seals: _Seals) -> bytes:
    return header(key_id) + seals.of(name, key_id).blocks(data, 0)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one of this name."""
    try:
        opened, named = os.fstat(descriptor), path.stat()
    except FileNotFoundError:
        return False
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)


def _age(name: str) -> tuple[str, int]:
    match = _SEGMENT.fullmatch(name)
    return (match["writer"], int(match["number"])) if match else (name, 0)
