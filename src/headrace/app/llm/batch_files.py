"""The files of a batch: requests are looked through, answers kept in parts, and the output made of those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from headrace.app.composition import App
from headrace.app.llm.kept_files import KEPT_DAYS, PEOPLE, names_in
from headrace.gateway.llm.batches import (
    MAX_LINES,
    BadLine,
    custom_id_of,
    is_answer,
    not_answered,
    numbered,
    read_line,
)
from headrace.store.line_files import LineFiles, Writer, lines_of
from headrace.store.llm_batches import LineError, LlmBatch, LlmFile

_MOST_ERRORS = 100
_WRITE_BYTES = 1 << 20


@dataclass
class Results:
    """Which lines have a result, each counted once however often it was kept."""

    ids: set[str] = field(default_factory=set)
    n_answered: int = 0
    n_refused: int = 0

    def add(self, result: bytes) -> bool:
        """Count one; False: it is torn, or its line has one already."""
        holds = is_answer(result) if result.endswith(b"\n") else None
        if holds is None or (custom_id := custom_id_of(result)) in self.ids:
            return False
        self.ids.add(custom_id)
        self.n_answered += holds
        self.n_refused += not holds
        return True


class Made(NamedTuple):
    """The files that a caller gets (None: nothing would be in it), and what is in them."""

    output_file: str | None
    error_file: str | None
    n_answered: int
    n_refused: int

    @property
    def n_total(self) -> int:
        """All lines."""
        return self.n_answered + self.n_refused


class Validated(NamedTuple):
    """How many lines there are, and what is wrong with some."""

    n_lines: int
    errors: list[LineError]


def validate(app: App, batch: LlmBatch) -> Validated:
    """Look through all lines of a batch's file before any is asked.

    Raises:
        NotFound: the file was deleted.
    """
    seen: set[str] = set()
    errors: list[LineError] = []
    n_lines = 0
    for number, line in numbered(lines_of(app.line_files.blocks(batch.subject, batch.input_file))):
        n_lines += 1
        if n_lines > MAX_LINES:
            text = f"The file has more than {MAX_LINES:,} requests. Send them in several."
            errors.append(LineError(code="too_many_requests", message=text))
            break
        try:
            read = read_line(line, batch.endpoint, batch.subject)
        except BadLine as error:
            errors.append(LineError(code=error.code, message=str(error), line=number))
        else:
            if read.custom_id in seen:
                text = f"'custom_id' {read.custom_id[:80]!r} is that of an earlier line. Expected each once."
                errors.append(LineError(code="duplicate_custom_id", message=text, line=number))
            seen.add(read.custom_id)
        if len(errors) >= _MOST_ERRORS:
            break
    if not n_lines:
        errors.append(
            LineError(code="empty_file", message="The file is empty. Expected one request to a line.")
        )
    return Validated(n_lines, errors)


class Parts:
    """The parts in which the answers of a batch are kept; one is written by one process."""

    def __init__(self, files: LineFiles, batch: LlmBatch) -> None:
        self._files = files
        self._batch = batch
        self._writer: Writer | None = None

    def results(self) -> Results:
        """What there is in all parts."""
        found = Results()
        for line in self._lines():
            found.add(line)
        return found

    def write(self, lines: list[bytes]) -> None:
        """Keep results; durable when it returns."""
        if self._writer is None:
            number = len(self._names()) + 1
            self._writer = self._files.create(self._batch.subject, f"{self._batch.id}.{number:06d}")
        self._writer.write(b"".join(lines))

    def finish(self, app: App, why: str) -> Made:
        """Make the files of output and errors; doing it again makes the same.

        Args:
            why: lines without a result are refused for it; empty: there are none.

        Raises:
            NotFound: the file of the requests was deleted.
        """
        self.close()
        made = []
        people = self._people(app)
        results = Results()
        for wanted, kind in ((True, "output"), (False, "error")):
            results = Results()
            chosen = (line for line in self._lines() if results.add(line) and is_answer(line) is wanted)
            rest = partial(self._rest, results, why) if why and not wanted else None
            made.append(self._make(app, kind, chosen, rest, people))
        return Made(made[0], made[1], results.n_answered, results.n_refused)

    def close(self) -> None:
        """Let go of the part that is being written."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def remove(self) -> None:
        """Delete all parts."""
        self.close()
        for name in self._names():
            self._files.remove(self._batch.subject, name)

    def _names(self) -> list[str]:
        return self._files.names(self._batch.subject, f"{self._batch.id}.")

    def _lines(self) -> Iterator[bytes]:
        for name in self._names():
            yield from lines_of(self._files.blocks(self._batch.subject, name))

    def _people(self, app: App) -> bytes:
        """Whom the requests are for, by hashes and one to a line: their own file may be deleted first."""
        batch = self._batch
        rules = app.access.privacy.rules(batch.subject)
        names = names_in(lines_of(self._files.blocks(batch.subject, batch.input_file)))
        return "".join(f"{one}\n" for one in sorted(map(rules.hashed, names))).encode()

    def _rest(self, results: Results, why: str) -> Iterator[bytes]:
        batch = self._batch
        for number, line in numbered(lines_of(self._files.blocks(batch.subject, batch.input_file))):
            custom_id = read_line(line, batch.endpoint, batch.subject).custom_id
            result = not_answered(batch.id, number, custom_id, why)
            if results.add(result):
                yield result

    def _make(
        self,
        app: App,
        kind: str,
        lines: Iterator[bytes],
        rest: Callable[[], Iterator[bytes]] | None,
        people: bytes,
    ) -> str | None:
        """One file; its id follows from the batch's, so that a killed process's is replaced."""
        batch = self._batch
        file_id = f"file-{kind}-{batch.id.removeprefix('batch_')}"
        self._files.remove(batch.subject, file_id)
        with self._files.create(batch.subject, file_id) as writer:
            for block in _blocks(lines):
                writer.write(block)
            for block in _blocks(rest() if rest else iter(())):
                writer.write(block)
        if not writer.size_bytes:
            self._files.remove(batch.subject, file_id)
            return None
        self._files.remove(batch.subject, file_id + PEOPLE)
        with self._files.create(batch.subject, file_id + PEOPLE) as writer_of_people:
            writer_of_people.write(people)
        now = app.clock.now()
        days = min(KEPT_DAYS, app.store.projects.get(batch.subject).privacy.retention_days)
        made = LlmFile(
            id=file_id,
            workspace=batch.workspace,
            subject=batch.subject,
            owner=batch.owner,
            purpose="batch_output",
            filename=f"{batch.id}_{kind}.jsonl",
            size_bytes=writer.size_bytes,
            at=now,
            expires_at=now + timedelta(days=days),
        )
        standing = app.store.llm_files.add(made)
        if standing.size_bytes != made.size_bytes:
            app.store.llm_files.change(replace(made, revision=standing.revision + 1))
        return file_id


def _blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines, so many at a time that a disk is not asked for each."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _WRITE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
