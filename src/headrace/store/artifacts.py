"""Immutable bytes in a folder, named by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from headrace.core.data import Artifact
from headrace.core.errors import InternalError, InvalidInput, NotFound
from headrace.store.disk import disk_refused, make_folder, sync_folder, write_all

_DIGEST = re.compile(r"[0-9a-f]{64}")
_BLOCK_BYTES = 1 << 20


class FolderArtifacts:
    """Artefacts as files ``ab/cd/<digest>`` below ``path``; implements ``ArtifactStore``.

    A file appears under its name only when it is whole and durable, is read-only from then on, and is
    verified each time it is read. Keeping bytes again that are damaged on disk mends them.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     artifacts = FolderArtifacts(Path(folder))
    ...     kept = artifacts.put(b"model", "application/octet-stream")
    ...     artifacts.get(kept.digest)
    b'model'
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, data: bytes, media_type: str) -> Artifact:
        """Keep ``data``; durable when it returns.

        Raises:
            Unavailable: the disk refuses, for instance because it is full.
        """
        digest = hashlib.sha256(data).hexdigest()
        if not self._is_whole(digest):
            self._write([data], digest)
        return Artifact(digest=digest, size_bytes=len(data), media_type=media_type)

    def put_file(self, path: Path, media_type: str) -> Artifact:
        """Keep a copy of a file, a block at a time; durable when it returns.

        Raises:
            NotFound: there is no such file.
            InvalidInput: it cannot be read.
            Unavailable: the disk refuses, for instance because it is full.
        """
        try:
            file = path.open("rb")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise NotFound(f"There is no file {path} to keep. Give the path of an existing file.") from error
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}. Check its rights.") from error
        with file:
            digest, size_bytes = self._write(_blocks(file), None)
        return Artifact(digest=digest, size_bytes=size_bytes, media_type=media_type)

    def get(self, digest: str) -> bytes:
        """The bytes, verified.

        Raises:
            NotFound: not kept here.
            InternalError: the file no longer matches its name.
        """
        target = self._existing(digest)
        data = target.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise _damaged(target)
        return data

    def path(self, digest: str) -> Path:
        """A read-only file with the bytes, verified now. Raises as :meth:`get` does."""
        target = self._existing(digest)
        if _digest_of_file(target) != digest:
            raise _damaged(target)
        return target

    def has(self, digest: str) -> bool:
        """Whether it is kept here."""
        return self._target(digest).is_file()

    def remove(self, digest: str) -> bool:
        """Delete it for good; whether it was there.

        Raises:
            Unavailable: the disk refuses.
        """
        target = self._target(digest)
        try:
            target.unlink()
            sync_folder(target.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_refused("delete", target, error) from error
        return True

    def _target(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise InvalidInput(
                f"{digest!r} is no artefact digest. Expected the SHA-256 as 64 lower-case hex digits."
            )
        return self._path / digest[:2] / digest[2:4] / digest

    def _existing(self, digest: str) -> Path:
        target = self._target(digest)
        if not target.is_file():
            raise NotFound(
                f"Artefact {digest} is not kept in {self._path}. "
                "Check HEADRACE_HOME and HEADRACE_STORAGE_URL, or make it again with headrace run."
            )
        return target

    def _is_whole(self, digest: str) -> bool:
        target = self._target(digest)
        return target.is_file() and _digest_of_file(target) == digest

    def _write(self, blocks: Iterable[bytes], digest: str | None) -> tuple[str, int]:
        """Write to a temporary file, sync, then rename: no reader ever sees half a file."""
        folder = self._path if digest is None else self._target(digest).parent
        make_folder(folder)
        computed, size_bytes = hashlib.sha256(), 0
        try:
            descriptor, name = tempfile.mkstemp(prefix=".incoming-", dir=folder)
        except OSError as error:
            raise disk_refused("keep an artefact in", folder, error) from error
        temporary = Path(name)
        try:
            try:
                for block in blocks:
                    computed.update(block)
                    size_bytes += len(block)
                    write_all(descriptor, block)
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            target = self._target(computed.hexdigest())
            make_folder(target.parent)
            temporary.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise disk_refused("keep an artefact in", folder, error) from error
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return computed.hexdigest(), size_bytes


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path) -> InternalError:
    return InternalError(
        f"Artefact {path} no longer matches its SHA-256: the file was changed or the disk is failing. "
        "Nothing was used from it. Restore it from a backup, or make it again with headrace run."
    )
