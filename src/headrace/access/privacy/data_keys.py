"""The keys that a project's telemetry and tables are encrypted with: one file for each project.

They are random and not derived from another secret, so that destroying the file destroys the data, in every
backup too. What is used is derived from them for each segment and each table by HKDF-SHA-256 (RFC 5869): a
file that was moved to another place does not open there.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from headrace.access.key_files import write_key
from headrace.access.memory import Memory
from headrace.core.errors import HeadraceError, NotFound, Unavailable
from headrace.core.ports import Clock, Epoch
from headrace.core.project import Project
from headrace.store.disk import locked, make_folder, write_once
from headrace.store.keys_in_use import keys_in_use

_KEY_BYTES, _ID_BYTES = 32, 8


class _Kept(NamedTuple):
    """Whether a project's new data is encrypted, and its keys by id, the newest last."""

    encrypts: bool
    keys: dict[str, bytes]


class ProjectKeys:
    """Implements ``DataKeys`` with files ``data-<project>.key``, readable by their owner only.

    Each line is a key's id, the key, and a tag of the project that it belongs to, in hexadecimal; the last
    line is the one for what is written now. Lines of earlier versions have no tag.

    Args:
        folder: where the other keys are.
        storage: where the data lies: no first key is made while it names another one.
        in_force: project to what holds for it, such as ``Charters.in_force``.
        edition: equal as long as that can be no other for any project, such as ``ProjectStore.edition``.

    Example::

        keys = ProjectKeys(home / "keys", store.storage, charters.in_force, store.epoch, clock)
        keys.key("cars/outcomes", keys.current("cars/outcomes"), "table cars/outcomes")
    """

    def __init__(
        self,
        folder: Path,
        storage: Path,
        in_force: Callable[[str], Project],
        epoch: Epoch,
        clock: Clock,
        *,
        edition: Callable[[], object] = object,
    ) -> None:
        self._folder = folder
        self._storage = storage
        self._in_force = in_force
        self._epoch = epoch
        self._known = Memory(self._find, epoch, clock, edition=lambda: (edition(), self._files()))
        self._derived = lru_cache(maxsize=1000)(_derive)

    def current(self, name: str) -> str | None:
        """Id of the key for what is written from now on, made on first use; None: in clear.

        Raises:
            Unavailable: the key file is open to others, damaged, another project's or gone, or cannot be
                read or made.
        """
        kept = self._known.get(_project(name))
        return next(reversed(kept.keys)) if kept.encrypts else None

    def key(self, name: str, key_id: str, place: str) -> bytes:
        """32 bytes for what lies at ``place``.

        Raises:
            Unavailable: that key is not in the file any more, or the file cannot be used.
        """
        project = _project(name)
        secret = self._known.get(project).keys.get(key_id) or self._read(project).get(key_id)
        if secret is None:
            raise Unavailable(
                f"{name!r} was encrypted with key {key_id}, which is not in {self._path(project)}. Put that "
                "file back from a backup; without it, what was written under the key cannot be read again."
            )
        return self._derived(secret, place)

    def ids(self, project: str) -> list[str]:
        """The ids of all keys of a project, the newest last."""
        return list(self._read(project))

    def lost(self, project: str) -> dict[str, Path]:
        """Ids that files of the project name while its key file is gone, each with such a file."""
        if self._path(project).exists():
            return {}
        used = keys_in_use(self._storage, project)
        # Another process may have made the first key, and written under it, since we looked.
        return {} if self._path(project).exists() else used

    def rotate(self, project: str, *, lost: bool = False) -> str:
        """Another key for what is written from now on; returns its id. The old ones stay for reading.

        Args:
            lost: it is known that the key file is gone, and what it encrypts with it.

        Raises:
            Unavailable: the key file cannot be used, or is gone and nobody said so.
        """
        make_folder(self._folder)
        with locked(self._folder):
            if not lost:
                self._require_kept(project)
            content = self._content(project)
            key_id, line = _new(project)
            try:
                write_key(self._path(project), content + line)
            except OSError as error:
                raise self._unusable(project, str(error.strerror)) from error
        self._epoch.advance()
        return key_id

    def _find(self, project: str) -> _Kept:
        try:
            encrypts = self._in_force(project).privacy.encrypted
        except NotFound:
            encrypts = False
        if encrypts and not self._path(project).exists():
            self._require_kept(project)
            try:
                write_once(self._path(project), _new(project)[1])
            except (OSError, Unavailable) as error:
                reason = str(error) if isinstance(error, HeadraceError) else str(error.strerror)
                raise self._unusable(project, reason) from error
        return _Kept(encrypts, self._read(project))

    def _files(self) -> object:
        """Another value after any change to a key file, or to who may read it."""
        try:
            states = [(path.name, path.stat()) for path in sorted(self._folder.glob("data-*.key"))]
        except OSError:
            return object()
        return [(name, state.st_ino, state.st_size, state.st_ctime_ns) for name, state in states]

    def _read(self, project: str) -> dict[str, bytes]:
        try:
            lines = [line.split() for line in self._content(project).decode("ascii").splitlines()]
            keys = {key_id: bytes.fromhex(secret) for key_id, secret, *_ in lines}
            tags = {key_id: tag for key_id, _, *tag in lines}
        except ValueError:
            keys, tags = {"": b""}, {}
        if any(len(i) != 2 * _ID_BYTES or len(key) != _KEY_BYTES for i, key in keys.items()):
            raise self._unusable(project, "it is damaged")
        if any(tag not in ([], [_tag(keys[key_id], project)]) for key_id, tag in tags.items()):
            raise self._unusable(project, "it is another project's")
        return keys

    def _require_kept(self, project: str) -> None:
        lost = self.lost(project)
        if lost:
            first = next(iter(lost.values())).relative_to(self._storage)
            raise Unavailable(
                f"{self._path(project)} is not there, and files of project {project!r} are encrypted with "
                f"{', '.join(lost)}, which was in it (such as {first}). Put the file back from a backup. If "
                "there is none, what those files hold is lost: say so with "
                f"'headrace data rotate {project} --lost', and another key is made."
            )

    def _content(self, project: str) -> bytes:
        try:
            with self._path(project).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                content = file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unusable(project, str(error.strerror)) from error
        if mode & 0o077:
            raise Unavailable(
                f"{self._path(project)} is open to other users (mode {mode:04o}, expected 0600): anybody "
                "could read what is encrypted. Close it with chmod 600, then give the project another key "
                f"with 'headrace data rotate {project}' and bring the old data under it with "
                f"'headrace data encrypt {project}'."
            )
        return content

    def _path(self, project: str) -> Path:
        return self._folder / f"data-{project}.key"

    def _unusable(self, project: str, reason: str) -> Unavailable:
        return Unavailable(
            f"{self._path(project)} cannot be used ({reason}), so nothing of project {project!r} can be "
            "written or read. Make it readable for this user, or put it back from a backup."
        )


def _new(project: str) -> tuple[str, bytes]:
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_bytes(_KEY_BYTES)
    return key_id, f"{key_id} {secret.hex()} {_tag(secret, project)}\n".encode()


def _tag(secret: bytes, project: str) -> str:
    """Tells whose a key is: another project's file in its place is noticed before anything is written."""
    return hmac.digest(secret, f"headrace key of {project}".encode(), "sha256").hex()[: 2 * _ID_BYTES]


def _project(name: str) -> str:
    return name.split("/", 1)[0]


def _derive(secret: bytes, place: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"headrace data {place}".encode()
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=info).derive(secret)
