"""Seals: signed statements of what the audit log was, so that even a whole recomputed chain is noticed.

A seal names an entry and its hash, and thereby all entries before; the digest of the seal before; and when it
was made. It is kept in the database and in a file outside, and signed with a key that is in neither. Whoever
can write to the database can compute another chain, but no seal for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from headrace.access.key_ring import BadSignature, KeyRing, PublicKey
from headrace.core.canonical import canonical_json, digest_of, plain
from headrace.core.errors import InternalError
from headrace.core.identity import Seal
from headrace.core.ports import AuditLog, Clock, Head, SealStore
from headrace.store.documents import SCHEMA_VERSION, load
from headrace.store.seal_file import SealFile

MOST_ENTRIES = 1_000
"""So many entries at most wait for a seal while a server runs."""
LONGEST = timedelta(minutes=5)
"""So long at most an entry waits for a seal while a server runs."""
_ADVICE = "Keep database and file as they are for an investigation, and compare them with copies."


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What verifying the log came to.

    Attributes:
        head: the newest entry.
        seals: all seals, oldest first; each was found in database and file, and names an entry as it is.
        key: the name of the key that signed the newest one.
    """

    head: Head
    seals: Sequence[Seal]
    key: str | None


class Seals:
    """Makes seals and verifies the log by them.

    Example::

        seals.seal()
        seals.check().head.sequence  # how many entries there are, all as they were written
    """

    def __init__(
        self, audit: AuditLog, store: SealStore, file: SealFile, ring: KeyRing, clock: Clock
    ) -> None:
        self._audit = audit
        self._store = store
        self._file = file
        self._ring = ring
        self._clock = clock

    def last(self) -> Seal | None:
        """The newest seal."""
        return self._store.last()

    def due(self) -> Seal | None:
        """Seal if enough entries have come since the last seal, or have waited long enough."""
        last, head = self._store.last(), self._audit.head()
        waiting = head.sequence - (0 if last is None else last.sequence)
        is_late = last is None or self._clock.now() - last.at >= LONGEST
        return self.seal() if waiting >= MOST_ENTRIES or (waiting > 0 and is_late) else None

    def seal(self) -> Seal | None:
        """Seal everything up to now; returns the newest seal, which stands when nothing has come since.

        What has come since is verified first, so that nothing is sealed that does not follow.

        Raises:
            InternalError: the log or its seals were tampered with.
            Unavailable: the file of seals cannot be written.
        """
        with self._file.locked():
            last, known = self._reconciled(), self._known()
            if known is not None and known != last and known.number >= _number(last):
                raise _tampered(_forgotten(known))
            after = Head(0, "") if last is None else Head(last.sequence, last.hash)
            if self._audit.head() == after:
                return last
            head = self._audit.verify(after=after)
            made = Seal(
                number=1 if last is None else last.number + 1,
                sequence=head.sequence,
                hash=head.hash,
                at=self._clock.now(),
                previous="" if last is None else digest_of(last),
            )
            made = replace(made, signature=self._ring.sign(_message(made)))
            # The file first: a seal that is in the database alone was taken out of the file.
            self._file.append(made)
            self._store.add(made)
            self._ring.keep(canonical_json(made))
            return made

    def check(self, copy: Sequence[Seal] = ()) -> Sealed:
        """Verify chain, seals and signature.

        Args:
            copy: seals as they were kept elsewhere, out of reach of whoever could change the log.

        Raises:
            InternalError: naming the first entry or seal that is not what it was.
        """
        with self._file.locked():
            self._reconciled()
            seals, in_file = self._store.list(), self._file.list()
        problem = _problem(seals, in_file, str(self._file.path)) or _missing(seals, copy)
        key = None
        if problem is None and seals:
            try:
                key = self._ring.verify(seals[-1].signature, _message(seals[-1]))
            except BadSignature as error:
                problem = f"seal {seals[-1].number} was forged: {error}."
        if problem is None and (known := self._known()) is not None and known not in seals:
            problem = _forgotten(known)
        if problem:
            raise _tampered(problem)
        head = self._audit.verify({seal.sequence: seal.hash for seal in seals})
        return Sealed(head=head, seals=seals, key=key)

    def public_keys(self) -> list[PublicKey]:
        """Every key that seals are verified with, the one that signs first."""
        return self._ring.public_keys()

    def rotate(self) -> str:
        """Sign with a new key from now on, and seal with it; returns its name. Earlier seals stay valid."""
        name = self._ring.rotate()
        self.seal()
        return name

    def _reconciled(self) -> Seal | None:
        """The newest seal. One that a killed process left in the file alone is brought into the database."""
        standing, kept = self._store.last(), self._file.last()
        if kept is not None and kept != standing and kept.number == _number(standing) + 1:
            self._file_only(standing, kept)
            self._store.add(kept)
            return kept
        if kept != standing:
            problem = _problem(self._store.list(), self._file.list(), str(self._file.path))
            raise _tampered(problem or "the seals in the database are not those in the file.")
        return standing

    def _known(self) -> Seal | None:
        """The newest seal as it was remembered beside the key; a killed process may have made one more."""
        kept = self._ring.kept()
        return None if kept is None else load(Seal, kept.decode(), SCHEMA_VERSION)

    def _file_only(self, standing: Seal | None, kept: Seal) -> None:
        previous = "" if standing is None else digest_of(standing)
        try:
            self._ring.verify(kept.signature, _message(kept))
        except BadSignature as error:
            raise _tampered(f"seal {kept.number} in {self._file.path} was forged: {error}.") from error
        if kept.previous != previous:
            raise _tampered(f"seal {kept.number} in {self._file.path} does not follow from the one before.")


def _number(seal: Seal | None) -> int:
    return 0 if seal is None else seal.number


def _message(seal: Seal) -> bytes:
    said = {name: value for name, value in plain(seal).items() if name != "signature"}
    return canonical_json(said | {"signed": "headrace audit seal 1"})


def _forgotten(known: Seal) -> str:
    return f"seal {known.number}, which was made with the key of this home, is gone from database and file."


def _tampered(problem: str) -> InternalError:
    return InternalError(f"The seals of the audit log were tampered with: {problem} {_ADVICE}")


def _problem(seals: Sequence[Seal], in_file: Sequence[Seal], path: str) -> str | None:
    """What is wrong with the seals, signatures apart: each covers the digest of the one before."""
    before: Seal | None = None
    for index, seal in enumerate(seals):
        if seal.number != index + 1:
            return f"seal {index + 1} was removed from the database."
        if index >= len(in_file):
            return f"{path} ends before seal {seal.number}. If it lies on a disk of its own, mount that."
        if seal != in_file[index]:
            return f"seal {seal.number} is not the same in the database and in {path}."
        if seal.previous != ("" if before is None else digest_of(before)):
            return f"seal {seal.number} does not follow from the one before."
        if before is not None and seal.sequence <= before.sequence:
            return f"seal {seal.number} covers no more than the one before."
        before = seal
    if len(in_file) > len(seals):
        return f"seal {len(seals) + 1} was removed from the database."
    return None


def _missing(seals: Sequence[Seal], copy: Sequence[Seal]) -> str | None:
    """Which seal of a copy is not there as it was."""
    for seal in copy:
        if not 1 <= seal.number <= len(seals):
            return f"seal {seal.number}, which the copy has, is gone."
        if seals[seal.number - 1] != seal:
            return f"seal {seal.number} is not the one in the copy."
    return None
