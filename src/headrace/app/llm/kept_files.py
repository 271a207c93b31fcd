"""Files of callers of language models: each with the calls of one project, and seen by its owner alone.

A file lies under its project's key as soon as its first line has named the project; before, it is in memory
only. It is deleted when its owner says so, when its time is over, and when a person in it is erased.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from headrace.access.privacy.redacting import without_secrets
from headrace.app.composition import App
from headrace.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.gateway.llm.batches import MAX_LINE_BYTES, project_of
from headrace.gateway.llm.reading import UNREADABLE
from headrace.store.line_files import Writer, lines_of
from headrace.store.llm_batches import LlmBatch, LlmFile

MAX_FILE_BYTES = 100 << 20
MAX_KEPT_BYTES = 1 << 30
"""All that one caller may keep at a time."""
KEPT_DAYS = 30
MAX_NAME = 255
PEOPLE = ".people"
"""Ends the name of the file that says whom a batch's output is about, by the hashes of their names."""
_WRITE_BYTES = 1 << 20
_CONTENT = re.compile(rb"\S")
Order = Literal["asc", "desc"]


class _Who(msgspec.Struct):
    user: Any = None
    safety_identifier: Any = None


class _Line(msgspec.Struct):
    body: _Who


_line = msgspec.json.Decoder(_Line)


class Incoming:
    """A file on its way in. Nobody sees it before :meth:`finish`; what is not finished is to be dropped.

    Example::

        incoming = Incoming(app, me)
        try:
            incoming.add(piece)
            if incoming.is_due:
                incoming.write()
            file = incoming.finish("batch", "questions.jsonl")
        finally:
            incoming.drop()
    """

    def __init__(self, app: App, me: Principal) -> None:
        self._app = app
        self._me = me
        self._now = app.clock.now()
        self._keep_on = app.gatekeeper.lasting(me)
        self._id = f"file-{new_id(self._now)}"
        self._buffer = bytearray()
        self._begins: int | None = None
        self._n_seen = 0
        self._project = ""
        self._writer: Writer | None = None
        self._size_bytes = 0
        self._is_finished = False

    @property
    def is_due(self) -> bool:
        """Whether so much waits that it should be written."""
        return len(self._buffer) >= _WRITE_BYTES

    def add(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            InvalidInput: the file becomes too long.
        """
        self._size_bytes += len(data)
        if self._size_bytes > MAX_FILE_BYTES:
            raise InvalidInput(
                f"The file is longer than {MAX_FILE_BYTES >> 20} MB. Send the requests in several files."
            )
        self._buffer += data

    def write(self) -> None:
        """Write what waits, once the first line has said whose it is.

        Raises:
            InvalidInput: the first line is no request.
            Denied: the caller may not ask its project.
            NotFound: there is no such project.
            Unavailable: the caller keeps too much already, or the disk refuses.
        """
        if self._writer is None and not self._begin(is_all=False):
            return
        self._flush()

    def finish(self, purpose: str, filename: str) -> LlmFile:
        """Keep it; raises as :meth:`write` does.

        Raises:
            InvalidInput: it is empty, or for another purpose than ``batch``.
            Unauthenticated: who sends it was frozen or ended meanwhile, or their token revoked.
        """
        self._keep_on()
        if purpose != "batch":
            raise InvalidInput(
                f"'purpose' is {purpose[:60]!r}. Expected 'batch': files are kept for batches."
            )
        if self._writer is None and not self._begin(is_all=True):
            raise InvalidInput("The file is empty. Expected one request to a line.")
        self._flush()
        days = min(KEPT_DAYS, self._app.store.projects.get(self._project).privacy.retention_days)
        name = without_secrets(filename)[:MAX_NAME] or "requests.jsonl"
        sealed = seal(self._app, self._project, self._id, name)
        kept = self._app.store.llm_files.add(
            LlmFile(
                id=self._id,
                workspace=self._me.workspace,
                subject=self._project,
                owner=self._me.name,
                purpose="batch",
                filename="" if sealed else name,
                sealed=sealed,
                size_bytes=self._size_bytes,
                at=self._now,
                expires_at=self._now + timedelta(days=days),
            )
        )
        self._is_finished = True
        return kept

    def drop(self) -> None:
        """Close it, and leave nothing unless it was finished."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            if not self._is_finished:
                self._app.line_files.remove(self._project, self._id)

    def _begin(self, *, is_all: bool) -> bool:
        """Find out whose it is; False: no line has come yet."""
        first = self._first(is_all=is_all)
        if first is None:
            return False
        project = project_of(first)
        self._app.gatekeeper.require(self._me, "predict", f"project:{project}")
        self._project = self._app.store.projects.get(project).name
        kept = sum(one.size_bytes for one in list_files(self._app, self._me))
        if kept + MAX_FILE_BYTES > MAX_KEPT_BYTES:
            raise Unavailable(
                f"You keep {kept >> 20} MB in files, and at most {MAX_KEPT_BYTES >> 20} MB may be. Delete "
                "files that you need no more, and send it again."
            )
        self._writer = self._app.line_files.create(self._project, self._id)
        return True

    def _first(self, *, is_all: bool) -> bytes | None:
        """The first request, once it is there; no byte is looked at twice, however small the pieces are."""
        if self._begins is None:
            found = _CONTENT.search(self._buffer, self._n_seen)
            self._n_seen = len(self._buffer) if found is None else found.start()
            self._begins = None if found is None else found.start()
        if self._begins is not None:
            end = self._buffer.find(b"\n", self._n_seen)
            if end >= 0 or is_all:
                return bytes(self._buffer[self._begins : end if end >= 0 else None])
            self._n_seen = len(self._buffer)
        if len(self._buffer) > MAX_LINE_BYTES:
            raise InvalidInput(
                f"The file's first {MAX_LINE_BYTES:,} bytes have no whole line with a request. Expected one "
                "to a line, the first one at the file's beginning."
            )
        return None

    def _flush(self) -> None:
        if self._writer is not None:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._writer.write(data)


def list_files(app: App, me: Principal, purpose: str | None = None) -> list[LlmFile]:
    """The files of ``me``, the newest first."""
    found = app.store.llm_files.list(workspace=me.workspace, state="kept")
    now = app.clock.now()
    mine = [
        one
        for one in found
        if one.owner == me.name and one.expires_at > now and purpose in (None, one.purpose)
    ]
    return mine[::-1]


def name_of(app: App, file: LlmFile) -> str:
    """What its owner calls a file; raises Unavailable: its project's key cannot be read."""
    return app.payloads.open(file.subject, file.id, file.sealed) if file.sealed else file.filename


def seal(app: App, project: str, place: str, text: str) -> str:
    """What a caller says beside a file's lines, sealed as these are; empty where they lie in clear.

    Raises:
        Unavailable: the project's key cannot be read.
    """
    made = app.payloads.seal(project, place, text)
    return made if made.startswith("sealed:") else ""


def find_file(app: App, me: Principal, file_id: str) -> LlmFile:
    """One of them.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    found = app.store.llm_files.find(file_id)
    mine = found is not None and (found.owner, found.workspace) == (me.name, me.workspace)
    if found is None or not mine or found.state != "kept" or found.expires_at <= app.clock.now():
        raise NotFound(f"There is no file {file_id[:80]!r} of yours. List them with GET /v1/files.")
    return found


def content(app: App, me: Principal, file_id: str) -> Iterator[bytes]:
    """The bytes of a file, a block at a time; raises before the first one.

    Raises:
        NotFound: there is none, or it is somebody else's.
        Denied: ``me`` may not ask its project any more.
    """
    file = find_file(app, me, file_id)
    app.gatekeeper.require(me, "predict", f"project:{file.subject}")
    return app.line_files.blocks(file.subject, file.id)


def delete_file(app: App, me: Principal, file_id: str) -> LlmFile:
    """Delete a file of ``me`` for good; a batch that still reads it fails.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    return forget_file(app, find_file(app, me, file_id))


def forget_file(app: App, file: LlmFile) -> LlmFile:
    """Delete it; the record that it was there stays. Killed in between, doing it again does the rest."""
    app.line_files.remove(file.subject, file.id)
    app.line_files.remove(file.subject, file.id + PEOPLE)
    while file.state == "kept":
        try:
            return app.store.llm_files.change(replace(file, state="deleted", revision=file.revision + 1))
        except Conflict:
            file = app.store.llm_files.get(file.id)
    return file


def delete_old_files(app: App, project: str) -> int:
    """Delete the files of a project whose time is over, and what killed processes left; returns how many."""
    now = app.clock.now()
    kept = app.store.llm_files.list(subject=project, state="kept")
    old = [one for one in kept if one.expires_at <= now]
    for one in old:
        forget_file(app, one)
    for name in app.line_files.names(project, "batch_"):
        batch = app.store.llm_batches.find(name.partition(".")[0])
        if batch is None or batch.is_over:
            app.line_files.remove(project, name)
    begun = now - timedelta(days=1)
    for name in app.line_files.names(project, "file-"):
        standing = app.store.llm_files.find(name.removesuffix(PEOPLE))
        left = standing is None and (at := _made_at(name)) is not None and at < begun
        if left or (standing is not None and standing.state == "deleted"):
            app.line_files.remove(project, name)
    return len(old)


def erase_files(app: App, project: str, names: Collection[str]) -> int:
    """Delete files with a request for a subject, and what batches have made of them; returns how many.

    Args:
        names: what the subject is called: by its key, and by the hash of that.
    """
    files = app.store.llm_files.list(subject=project, state="kept")
    asked = {one.id: one for one in files if _people(app, one) & set(names)}
    for one in asked.values():
        forget_file(app, one)
    # Only now: a batch that ends meanwhile either is seen here with its files, or sees that this one is gone.
    n_gone = len(asked)
    for batch in app.store.llm_batches.list(subject=project) if asked else ():
        if batch.input_file in asked:
            n_gone += forget_outputs(app, batch)
    return n_gone


def forget_outputs(app: App, batch: LlmBatch) -> int:
    """Delete what was made of a batch's requests; returns how many files that were."""
    for part in app.line_files.names(batch.subject, f"{batch.id}."):
        app.line_files.remove(batch.subject, part)
    made = [app.store.llm_files.find(one) for one in (batch.output_file, batch.error_file) if one is not None]
    kept = [one for one in made if one is not None and one.state == "kept"]
    for one in kept:
        forget_file(app, one)
    return len(kept)


def _made_at(name: str) -> datetime | None:
    """When a file was begun that somebody has sent: its id tells."""
    try:
        return datetime.fromtimestamp((UUID(name.removeprefix("file-")).int >> 80) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def names_in(lines: Iterable[bytes]) -> set[str]:
    r"""Whom requests are for; of a line that is not all UTF-8, what else it says counts.

    >>> sorted(names_in([b'{"body": {"user": "ada"}}', b'{"body": {"user": 7, "safety_identifier": "bob"}}']))
    ['ada', 'bob']
    >>> names_in([b'{"body": {"user": "cy", "input": "\xff"}}', b"{"])
    {'cy'}
    """
    found: set[str] = set()
    for line in lines:
        with contextlib.suppress(*UNREADABLE):
            who = _line.decode(line.decode("utf-8", "replace")).body
            found |= {name for name in (who.user, who.safety_identifier) if name and isinstance(name, str)}
    return found


def _people(app: App, file: LlmFile) -> set[str]:
    """Whom a file is about: of what was made of requests, by hashes only, for those may be gone."""
    is_made = file.purpose == "batch_output"
    lines = lines_of(app.line_files.blocks(file.subject, file.id + PEOPLE * is_made))
    with contextlib.suppress(NotFound):
        return {line.decode().strip() for line in lines} if is_made else names_in(lines)
    return set()
