"""A release as one file, to be brought to another installation: a zip with an index and its parts by content.

``index.json`` names the records and the digest, size and media type of every part; ``index.sig`` signs it;
``parts/<SHA-256>`` are the parts. Nothing is compressed and nothing has a time, so the same release always
gives the same bytes, and no part can grow on reading.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from headrace.checks.containers import DAMAGED, zip_members
from headrace.core.canonical import canonical_json, digest_bytes, digest_of
from headrace.core.data import Artifact, ModelVersion, Run, Snapshot
from headrace.core.errors import InvalidInput
from headrace.core.ids import check_name, derived_id
from headrace.core.release import Approval, Release, Verdict
from headrace.store.disk import disk_refused
from headrace.store.documents import from_plain

FORMAT = 1
_INDEX, _SIGNATURE, _PARTS = "index.json", "index.sig", "parts/"
_NAME = re.compile(r"parts/[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_BLOCK_BYTES = 1 << 20
_LONGEST_INDEX, _LONGEST_SIGNATURE = 64 << 20, 1000
Told = Callable[[int], None]
"""Gets the number of bytes that were read or written since it was last called."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """All that a release names, as it stands where it comes from.

    Attributes:
        runs: the run that it was made by, and the baseline that it had to beat.
        parts: every artefact that any of these names, by digest.
    """

    release: Release
    model: ModelVersion
    runs: tuple[Run, ...]
    snapshot: Snapshot
    verdicts: tuple[Verdict, ...]
    approvals: tuple[Approval, ...]
    parts: tuple[Artifact, ...]
    format: int = FORMAT

    @property
    def size_bytes(self) -> int:
        """Of all parts together."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def run(self) -> Run:
        """The run that the release was made by."""
        return next(run for run in self.runs if run.id == self.release.manifest.run_id)


def write_bundle(
    file: IO[bytes],
    bundle: Bundle,
    *,
    part: Callable[[str], Path],
    sign: Callable[[str], str],
    told: Told = lambda _: None,
) -> str:
    """Write a bundle, a block at a time; returns the digest of its index.

    Args:
        part: a file with the bytes of a digest.
        sign: signs the index by its digest.
    """
    index = canonical_json(bundle)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(_INDEX), index)
        archive.writestr(_entry(_SIGNATURE), sign(digest_bytes(index)))
        for one in bundle.parts:
            with (
                part(one.digest).open("rb") as source,
                archive.open(_entry(_PARTS + one.digest), "w", force_zip64=True) as target,
            ):
                while block := source.read(_BLOCK_BYTES):
                    target.write(block)
                    told(len(block))
    return digest_bytes(index)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system, entry.external_attr = 3, _MODE
    return entry


class BundleReader:
    """An open bundle whose signature was verified; see :func:`read_bundle`.

    Attributes:
        bundle: what its index names.
        digest: of its index.
        key: the name of the key that signed it.
    """

    def __init__(self, archive: zipfile.ZipFile, bundle: Bundle, digest: str, key: str) -> None:
        self._archive = archive
        self.bundle = bundle
        self.digest = digest
        self.key = key

    def extract(self, folder: Path, told: Told = lambda _: None) -> None:
        """Write every part to ``folder`` under its digest.

        Raises:
            InvalidInput: a part is not what its digest says, or the file ends early.
        """
        for one in self.bundle.parts:
            computed, path = hashlib.sha256(), folder / one.digest
            with _reading(), self._archive.open(_PARTS + one.digest) as source, _written(path) as target:
                while block := source.read(_BLOCK_BYTES):
                    computed.update(block)
                    target.write(block)
                    told(len(block))
            if computed.hexdigest() != one.digest:
                raise InvalidInput(
                    f"The bundle's part {one.digest[:12]} is not what its digest says. Nothing was kept of "
                    "it. Export the release again."
                )


@contextmanager
def read_bundle(path: Path, verify: Callable[[str, str], str]) -> Iterator[BundleReader]:
    """Open a bundle: its names, sizes and signature are checked before anything of it is believed.

    Args:
        verify: gets the signature and the digest of the index; returns the name of the key, or raises.

    Raises:
        InvalidInput: it is no bundle, is damaged, or its records do not belong together.
        Conflict: nobody who is trusted here has signed it.
    """
    with _reading():
        archive = zipfile.ZipFile(path)
    with archive:
        with _reading():
            _check_members(archive, path.stat().st_size)
            index = _small(archive, _INDEX, _LONGEST_INDEX)
            signature = _small(archive, _SIGNATURE, _LONGEST_SIGNATURE).decode("ascii")
        digest = digest_bytes(index)
        key = verify(signature, digest)
        with _reading():
            bundle = from_plain(Bundle, json.loads(index))
        _check_records(bundle)
        _check_parts(bundle, archive)
        yield BundleReader(archive, bundle, digest, key)


@contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("wb") as target:
            yield target
    except OSError as error:
        raise disk_refused("write", path, error) from error


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    # A damaged length or offset can surface as any of these.
    except (*DAMAGED, KeyError, struct.error) as error:
        raise InvalidInput(
            f"The bundle cannot be read: {error}. Expected a whole file from 'headrace release export'."
        ) from error


def _check_members(archive: zipfile.ZipFile, size_bytes: int) -> None:
    total = 0
    for member in zip_members(archive):
        if member.problem is not None:
            raise InvalidInput(f"The bundle holds a file {member.name!r}: {member.problem[1]}.")
    for entry in archive.infolist():
        if entry.filename not in (_INDEX, _SIGNATURE) and not _NAME.fullmatch(entry.filename):
            raise InvalidInput(f"The bundle holds a file {entry.filename!r}, which no bundle has.")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise InvalidInput(f"The bundle holds {entry.filename!r} compressed. Expected it as it is.")
        total += entry.file_size
    if total > size_bytes:
        raise InvalidInput("The bundle's files overlap: together they are larger than the bundle.")


def _small(archive: zipfile.ZipFile, name: str, longest: int) -> bytes:
    size = archive.getinfo(name).file_size
    if size > longest:
        raise InvalidInput(f"The bundle's {name} has {size:,} bytes. Expected at most {longest:,}.")
    return archive.read(name)


def _check_parts(bundle: Bundle, archive: zipfile.ZipFile) -> None:
    held = {e.filename.removeprefix(_PARTS): e.file_size for e in archive.infolist()}
    named = {part.digest: part.size_bytes for part in bundle.parts}
    if {d: s for d, s in held.items() if d not in (_INDEX, _SIGNATURE)} != named:
        raise InvalidInput("The bundle's parts are not those that its index names. Export the release again.")


def _check_records(bundle: Bundle) -> None:
    """That the records are about one release, and that it is what its digest says."""
    release, model, snapshot = bundle.release, bundle.model, bundle.snapshot
    manifest, name = release.manifest, check_name(release.project, "The bundled project")
    if not _ID.fullmatch(release.id):  # it becomes the name of a folder here
        raise InvalidInput(f"The bundle's release has the id {release.id[:60]!r}. Expected a UUID.")
    runs = {run.id: run for run in bundle.runs}
    run = runs.get(manifest.run_id)
    named = {"id": snapshot.id, "digest": snapshot.digest, "raw": snapshot.raw.digest}
    kept = {part.digest for part in bundle.parts}
    wrong = [
        what
        for what, holds in (
            (f"is of format {bundle.format}, this Headrace reads {FORMAT}", bundle.format == FORMAT),
            ("has another digest than it is released under", digest_of(manifest) == release.digest),
            ("has another author than its manifest", release.author == manifest.author),
            ("carries no charter", manifest.charter is not None and manifest.charter.name == name),
            ("carries a run twice", len(runs) == len(bundle.runs)),
            ("carries records of another project", _projects(bundle) == {name}),
            ("lacks the run that it was made by", run is not None and run.snapshot_id == snapshot.id),
            ("carries another package", run is not None and run.package == manifest.subject.package),
            (
                "carries another model",
                (model.run_id, model.package) == (manifest.run_id, manifest.subject.package),
            ),
            ("carries another version", manifest.subject.ref.endswith(f":{name}@{model.version}")),
            (
                "carries other data",
                [{k: one.get(k) for k in named} for one in manifest.snapshots] == [named]
                and snapshot.id == derived_id("snapshot", name, snapshot.digest),
            ),
            ("carries verdicts about another", {v.subject_id for v in bundle.verdicts} == {release.id}),
            (
                "carries approvals of another",
                {(a.release_id, a.digest) for a in bundle.approvals} <= {(release.id, release.digest)},
            ),
            ("lacks a part that it names", {one.digest for one in named_parts(bundle)} <= kept),
        )
        if not holds
    ]
    if wrong:
        raise InvalidInput(f"The bundled release {release.id[:64]!r} {wrong[0]}. Export it again.")


def _projects(bundle: Bundle) -> set[str]:
    release = bundle.release
    own = {release.project, release.manifest.project, bundle.model.project, bundle.snapshot.project}
    return own | {run.project for run in bundle.runs}


def named_parts(bundle: Bundle) -> Iterator[Artifact]:
    """The artefacts that the records name themselves; each names others in turn."""
    manifest = bundle.release.manifest
    yield from (manifest.subject.package, manifest.code, manifest.environment, manifest.baseline)
    yield bundle.snapshot.raw
    for run in bundle.runs:
        yield from (run.code, run.environment, *run.outputs.values())
        if run.package is not None:
            yield run.package
