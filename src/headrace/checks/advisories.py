"""Known flaws of packages, from files in the OSV format (https://ossf.github.io/osv-schema/).

The operator brings the files; nothing is asked of the network.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from headrace.core.errors import InvalidInput

_LARGEST_BYTES = 1_000_000_000
_LARGEST_ENTRY = 20_000_000
_ECOSYSTEM = "PyPI"


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """A known flaw of an installed package; ``fixed`` are versions that have it no more."""

    id: str
    package: str
    version: str
    summary: str
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Found:
    """What some advisories say of some packages; ``newest`` is when the newest of them was changed."""

    flaws: tuple[Flaw, ...]
    n_advisories: int
    newest: str


def known_flaws(path: Path, packages: Mapping[str, str]) -> Found:
    """The flaws of ``packages`` (name to version) that the advisories at ``path`` name.

    Args:
        path: a JSON file with one advisory or a list, a zip of such files, or a folder of them.

    Raises:
        InvalidInput: there is nothing there, or it is not in the OSV format.
    """
    flaws: dict[tuple[str, str], Flaw] = {}
    n_advisories, newest = 0, ""
    for name, data in _files(path):
        for advisory in _advisories(name, data):
            n_advisories += 1
            newest = max(newest, str(advisory.get("modified", "")))
            for flaw in _flaws_of(advisory, packages):
                flaws.setdefault((flaw.id, flaw.package), flaw)
    if not n_advisories:
        raise InvalidInput(
            f"{path} holds no advisories. Expected JSON in the OSV format, or a zip of such files."
        )
    listed = sorted(flaws.values(), key=lambda one: (one.package, one.id))
    return Found(flaws=tuple(listed), n_advisories=n_advisories, newest=newest)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*.json")):
                yield str(file), file.read_bytes()
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                members = [one for one in archive.infolist() if one.filename.endswith(".json")]
                if sum(one.file_size for one in members) > _LARGEST_BYTES:
                    raise InvalidInput(
                        f"{path} holds more than {_LARGEST_BYTES:,} bytes. Take out what is not PyPI."
                    )
                for one in members:
                    if one.file_size > _LARGEST_ENTRY:
                        raise InvalidInput(
                            f"{one.filename} in {path} has {one.file_size:,} bytes, and at most "
                            f"{_LARGEST_ENTRY:,} are read. Split it, one advisory a file."
                        )
                    yield one.filename, archive.read(one)
        else:
            yield str(path), path.read_bytes()
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidInput(
            f"The advisories at {path} cannot be read ({error}). Name a file, a folder or a zip in "
            "proofs.ingredients.advisories."
        ) from error


def _advisories(name: str, data: bytes) -> Iterator[dict[str, Any]]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidInput(f"The advisory {name} is no JSON ({error}). Expected the OSV format.") from error
    for one in document if isinstance(document, list) else [document]:
        if not isinstance(one, dict) or not isinstance(one.get("id"), str):
            raise InvalidInput(f"{name} holds an advisory without an id. Expected the OSV format.")
        if not one.get("withdrawn"):
            yield one


def _flaws_of(advisory: Mapping[str, Any], packages: Mapping[str, str]) -> Iterator[Flaw]:
    for affected in _listed(advisory, "affected"):
        package = affected.get("package") or {}
        if package.get("ecosystem") != _ECOSYSTEM:
            continue
        name = canonicalize_name(str(package.get("name", "")))
        version = packages.get(name)
        if version is None or not _is_affected(affected, version):
            continue
        fixed = tuple(
            str(event["fixed"])
            for one in _listed(affected, "ranges")
            for event in _listed(one, "events")
            if "fixed" in event and one.get("type") == "ECOSYSTEM"
        )
        summary = str(advisory.get("summary") or advisory.get("details") or "")[:200]
        yield Flaw(id=advisory["id"], package=name, version=version, summary=summary, fixed=fixed)


def _is_affected(affected: Mapping[str, Any], version: str) -> bool:
    """By the list of versions, and by each range of versions: OSV's own algorithm."""
    if version in (affected.get("versions") or []):
        return True
    try:
        installed = Version(version)
    except InvalidVersion:
        return False
    ranges = (one for one in _listed(affected, "ranges") if one.get("type") == "ECOSYSTEM")
    return any(_in_range(_listed(one, "events"), installed) for one in ranges)


def _in_range(events: list[dict[str, Any]], installed: Version) -> bool:
    inside = False
    for kind, at in sorted(_bounds(events), key=lambda one: (one[1] is not None, one[1] or installed)):
        if kind == "introduced" and (at is None or at <= installed):
            inside = True
        elif at is not None and (
            (kind in ("fixed", "limit") and at <= installed) or (kind == "last_affected" and at < installed)
        ):
            inside = False
    return inside


def _bounds(events: list[dict[str, Any]]) -> Iterator[tuple[str, Version | None]]:
    """Kind and version of each event; None is before every version."""
    for event in events:
        for kind, text in event.items():
            if text == "0":
                yield kind, None
                continue
            try:
                yield kind, Version(str(text))
            except InvalidVersion:
                continue


def _listed(record: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = record.get(name) or []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
