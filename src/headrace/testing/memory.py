"""Fakes that keep everything in memory and pass the same suites as the real ones."""

from __future__ import annotations

import hmac
import secrets
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from headrace.core.alerts import Message
from headrace.core.canonical import digest_bytes
from headrace.core.data import Artifact, ModelVersion, Point, Run
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from headrace.core.identity import Changing, Expiring
from headrace.core.ports import Clock, Segment

_Record = TypeVar("_Record", bound=Changing)
_SEGMENT = "memory-000001.seg"
_HEADER = 8


class MemoryArtifacts:
    """Implements ``ArtifactStore``; only :meth:`path` writes a file, into a temporary folder."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._folder: Path | None = None

    def put(self, data: bytes, media_type: str) -> Artifact:
        digest = digest_bytes(data)
        self._kept[digest] = data
        return Artifact(digest=digest, size_bytes=len(data), media_type=media_type)

    def put_file(self, path: Path, media_type: str) -> Artifact:
        if not path.is_file():
            raise NotFound(f"There is no file {path} to keep.")
        return self.put(path.read_bytes(), media_type)

    def get(self, digest: str) -> bytes:
        if not self.has(digest):
            raise NotFound(f"Artefact {digest} is not kept here.")
        return self._kept[digest]

    def path(self, digest: str) -> Path:
        data = self.get(digest)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp())
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        target = self._folder / digest
        if not target.exists():
            target.write_bytes(data)
            target.chmod(0o444)
        return target

    def has(self, digest: str) -> bool:
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise InvalidInput(f"{digest!r} is no artefact digest. Expected 64 lower-case hex digits.")
        return digest in self._kept

    def remove(self, digest: str) -> bool:
        there = self.has(digest)
        self._kept.pop(digest, None)
        if self._folder is not None:
            (self._folder / digest).unlink(missing_ok=True)
        return there


class MemoryEvents:
    """Implements ``EventLog``: one segment per stream; offsets count bytes, as in a file.

    Attributes:
        failing: raise this instead of appending, to see what a caller does when the disk is full.
    """

    def __init__(self) -> None:
        self.failing: Exception | None = None
        self._lock = threading.Lock()
        self._streams: dict[str, list[tuple[bytes | None, int]]] = {}
        self._closed = False

    def append(self, stream: str, records: Sequence[bytes]) -> None:
        if self.failing is not None:
            raise self.failing
        if self._closed:
            raise Conflict("This event log was closed. Open it again before you append.")
        _check_stream(stream)
        if records:
            with self._lock:
                kept = self._streams.setdefault(stream, [])
                kept.extend((bytes(record), len(record)) for record in records)

    def segments(self, stream: str) -> list[Segment]:
        _check_stream(stream)
        with self._lock:
            records = self._streams.get(stream)
            return [] if records is None else [Segment(_SEGMENT, sum(room + _HEADER for _, room in records))]

    def read(self, stream: str, segment: str, offset: int, limit: int) -> tuple[list[bytes], int]:
        _check_stream(stream)
        if offset < 0 or limit < 0:
            raise InvalidInput(f"Offset {offset} or limit {limit} is negative. Expected 0 or more.")
        with self._lock:
            if segment != _SEGMENT or stream not in self._streams:
                raise NotFound(f"Stream {stream!r} has no segment {segment!r}.")
            found: list[bytes] = []
            position = 0
            for record, room in self._streams[stream]:
                if len(found) == limit:
                    break
                if position >= offset:
                    found += [] if record is None else [record]
                    offset = position + room + _HEADER
                position += room + _HEADER
            return found, offset

    def count(self, stream: str) -> int:
        _check_stream(stream)
        with self._lock:
            return sum(record is not None for record, _ in self._streams.get(stream, ()))

    def rewrite(self, stream: str, change: Callable[[bytes], bytes | None]) -> int:
        _check_stream(stream)
        n_changed = 0
        with self._lock:
            records = self._streams.get(stream, [])
            for index, (record, room) in enumerate(records):
                after = None if record is None else change(record)
                if after is not None and len(after) > room:
                    raise InvalidInput(f"A record of {room} bytes cannot be replaced by {len(after)}.")
                n_changed += after != record
                records[index] = (after, room)
            if n_changed and all(record is None for record, _ in records):
                del self._streams[stream]
        return n_changed

    def close(self) -> None:
        self._closed = True


class MemoryKeys:
    """Implements ``DataKeys``: everything is encrypted, or from now on nothing.

    Attributes:
        encrypts: whether new data is.
    """

    def __init__(self) -> None:
        self.encrypts = True
        self._secrets = {"0" * 16: secrets.token_bytes(32)}

    def current(self, name: str) -> str | None:
        return max(self._secrets) if self.encrypts else None

    def key(self, name: str, key_id: str, place: str) -> bytes:
        if key_id not in self._secrets:
            raise Unavailable(f"Key {key_id} of {name!r} is not here. Put it back.")
        return hmac.digest(self._secrets[key_id], f"{name}\0{place}".encode(), "sha256")

    def rotate(self) -> None:
        """Another key from now on; what was written under the old one stays readable."""
        self._secrets[f"{len(self._secrets):016x}"] = secrets.token_bytes(32)

    def lose(self) -> None:
        """Forget the oldest key."""
        del self._secrets[min(self._secrets)]


class MemoryTracker:
    """Implements ``Tracker``.

    Attributes:
        runs: tracking id to the run that was logged.
        series: tracking id to what was logged by step.
        live: project to the registry version that is live.
        files: model and version to the folder that somebody has registered.
        tags: model and version to the tags that were set.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.series: dict[str, dict[str, Sequence[Point]]] = {}
        self.live: dict[str, str] = {}
        self.files: dict[tuple[str, str], Path] = {}
        self.tags: dict[tuple[str, str], dict[str, str]] = {}
        self._numbers: dict[tuple[str, str], str] = {}

    def log_run(self, run: Run, series: Mapping[str, Sequence[Point]] | None = None) -> str:
        if run.state == "running":
            raise InvalidInput(f"Run {run.id!r} is still running. Log it when it has ended.")
        self.runs.setdefault(f"tracked-{run.id}", run)
        self.series.setdefault(f"tracked-{run.id}", dict(series or {}))
        return f"tracked-{run.id}"

    def register(self, model: ModelVersion, package: Path) -> str:
        if not package.is_file():
            raise NotFound(f"There is no package {package} to register.")
        known = sum(project == model.project for project, _ in self._numbers)
        return self._numbers.setdefault((model.project, model.run_id), str(known + 1))

    def fetch(self, project: str, model: str, version: str, folder: Path) -> None:
        if (model, version) not in self.files:
            raise Conflict(f"Model {model!r} has no registered version {version!r}.")
        shutil.copytree(self.files[model, version], folder, dirs_exist_ok=True)

    def annotate(self, project: str, model: str, version: str, tags: Mapping[str, str]) -> None:
        ours = {(name, number) for (name, _), number in self._numbers.items()}
        if (model, version) not in ours | self.files.keys():
            raise Conflict(f"Model {model!r} has no registered version {version!r}.")
        self.tags.setdefault((model, version), {}).update(tags)

    def set_live(self, project: str, registry_version: str) -> None:
        if registry_version not in {n for (p, _), n in self._numbers.items() if p == project}:
            raise NotFound(f"Model {project!r} has no registered version {registry_version!r}.")
        self.live[project] = registry_version


def _check_stream(stream: str) -> None:
    if not stream or any(part in ("", ".", "..") for part in stream.split("/")):
        raise InvalidInput(
            f"A stream cannot be called {stream!r}. Expected a path such as 'cars/predictions'."
        )


class MemoryRecords(Generic[_Record]):
    """Implements ``RecordStore`` for one type of record."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, _Record] = {}

    def add(self, record: _Record) -> _Record:
        with self._lock:
            return self._kept.setdefault(record.id, record)

    def get(self, record_id: str) -> _Record:
        found = self.find(record_id)
        if found is None:
            raise NotFound(f"There is no record {record_id!r} here.")
        return found

    def find(self, record_id: str) -> _Record | None:
        return self._kept.get(record_id)

    def list(
        self, *, workspace: str | None = None, subject: str | None = None, state: str | None = None
    ) -> list[_Record]:
        with self._lock:
            kept = tuple(self._kept.values())
        return [
            record
            for record in kept
            if workspace in (None, record.workspace)
            and subject in (None, record.subject)
            and state in (None, record.state)
        ]

    def change(self, record: _Record) -> _Record:
        with self._lock:
            standing = self.get(record.id)
            if standing != record and standing.revision != record.revision - 1:
                raise Conflict(f"The record {record.id} has changed meanwhile. Look at it again.")
            self._kept[record.id] = record
        return record

    def edition(self) -> object:
        with self._lock:
            return len(self._kept), sum(record.revision for record in self._kept.values())


class MemoryExpiring:
    """Implements ``ExpiringStore``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._kept: dict[tuple[str, str], Expiring] = {}

    def find(self, kind: str, key: str) -> Expiring | None:
        found = self._kept.get((kind, key))
        return found if found is not None and found.ends_at > self._clock.now() else None

    def take(self, kind: str, key: str) -> Expiring | None:
        with self._lock:
            found = self.find(kind, key)
            self._kept.pop((kind, key), None)
        return found

    def change(
        self,
        kind: str,
        key: str,
        update: Callable[[Expiring | None], Expiring | None],
        *,
        most: int | None = None,
    ) -> Expiring | None:
        with self._lock:
            changed = update(self.find(kind, key))
            self._kept.pop((kind, key), None)
            if changed is not None:
                self._kept[kind, key] = changed
                whose = [
                    one for one in self._kept.values() if (one.kind, one.subject) == (kind, changed.subject)
                ]
                others = sorted(
                    (one for one in whose if one.key != key), key=lambda one: (one.ends_at, one.key)
                )
                for one in others[: max(0, len(whose) - most) if most is not None else 0]:
                    del self._kept[kind, one.key]
        return changed

    def remove(self, kind: str, subject: str) -> int:
        with self._lock:
            found = [at for at, one in self._kept.items() if (one.kind, one.subject) == (kind, subject)]
            for at in found:
                del self._kept[at]
        return len(found)

    def clean(self) -> int:
        with self._lock:
            over = [at for at, one in self._kept.items() if one.ends_at <= self._clock.now()]
            for at in over:
                del self._kept[at]
        return len(over)


class MemoryEpoch:
    """Implements ``Epoch`` for one process."""

    def __init__(self) -> None:
        self._number = 0

    def read(self) -> int:
        return self._number

    def advance(self) -> None:
        self._number += 1


class MemoryChannel:
    """Implements ``Channel``.

    Attributes:
        had: what people were told, oldest first.
        failing: raise this instead of taking a message, to see what a caller does meanwhile.
    """

    def __init__(self, *, personal: bool = False) -> None:
        self.personal = personal
        self.had: list[Message] = []
        self.failing: Exception | None = None

    def send(self, message: Message) -> None:
        if self.failing is not None:
            raise self.failing
        self.had.append(message)
