"""Writes files that were rendered from a charter, and never over one that somebody has edited."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.core.canonical import digest_bytes
from headrace.core.errors import InvalidInput

RECORD = "deploy/rendered.json"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What became of each file.

    Attributes:
        written: new ones, and those that nobody had touched since they were written.
        same: those that are as they would be written.
        edited: of those that somebody has edited, and that were therefore left alone, what would change, as a
            unified diff.
    """

    written: list[str]
    same: list[str]
    edited: dict[str, str]


def write_rendered(
    folder: Path, files: Mapping[str, str], *, executable: Collection[str] = (), force: bool = False
) -> Rendered:
    """Write ``files`` (path to text) into ``folder``; with ``force`` over edited ones, too.

    Each file is replaced whole. What is interrupted is ended by another call.

    Raises:
        InvalidInput: the disk refuses, a file leads out of the folder, or the record of what was written is
            damaged.
    """
    known = _known(folder)
    written, same, edited = [], [], {}
    for path, text in files.items():
        target = folder / path
        present = _present(folder, target)
        if present == text:
            same.append(path)
        elif present is None or force or known.get(path) == digest_bytes(present.encode()):
            written.append(path)
        else:
            edited[path] = _difference(path, present, text)
    # Those left alone keep what is known of them. What is as it would be written counts as written.
    known |= {path: digest_bytes(files[path].encode()) for path in (*written, *same)}
    try:
        for path in written:
            _replace(folder / path, files[path], executable=path in executable)
        _replace(folder / RECORD, json.dumps(dict(sorted(known.items())), indent=2) + "\n")
    except OSError as error:
        raise InvalidInput(
            f"{error.filename or folder} cannot be written ({error.strerror}). Make {folder} writable for "
            "you and see that the disk has room, then run it again."
        ) from error
    return Rendered(written=written, same=same, edited=edited)


def _known(folder: Path) -> dict[str, str]:
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(
            f"{RECORD} cannot be read: it says which files nobody has edited. Restore it from git, or remove "
            "it: every file that differs then counts as edited."
        )
    return found


def _present(folder: Path, target: Path) -> str | None:
    """A file's text; None if there is none. A file that is no text differs from every text."""
    if not target.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(f"{target} leads out of {folder}. Remove the link, then run it again.")
    try:
        return target.read_bytes().decode("utf-8", errors="backslashreplace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(
            f"{target} cannot be read ({error.strerror}). Make it readable for you."
        ) from error


def _difference(path: str, present: str, text: str) -> str:
    lines = difflib.unified_diff(
        present.splitlines(), text.splitlines(), f"{path} (yours)", f"{path} (rendered)", lineterm=""
    )
    return "\n".join(lines)


def _replace(target: Path, text: str, *, executable: bool = False) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    draft.write_bytes(text.encode("utf-8"))
    draft.chmod(0o755 if executable else 0o644)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)
