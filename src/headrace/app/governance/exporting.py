"""The audit log for other systems: one JSON object a line, by the Open Cybersecurity Schema Framework.

Every entry is an event of the class Entity Management (3004): somebody has done something about something.
See https://schema.ocsf.io/1.3.0/classes/entity_management. What the schema has no place for is in
``unmapped``; with it, each entry's hash can be computed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from headrace.core.canonical import plain
from headrace.core.errors import InvalidInput
from headrace.core.identity import AuditEntry
from headrace.store.disk import disk_refused

VERSION = "1.3.0"
"""Of the schema."""
_OURS = version("headrace")
_CATEGORY, _CLASS = 3, 3004
_CREATE, _READ, _UPDATE, _DELETE, _OTHER = 1, 2, 3, 4, 99
_CAPTIONS = {_CREATE: "Create", _READ: "Read", _UPDATE: "Update", _DELETE: "Delete"}
_ACTIVITIES = {
    _CREATE: (
        "add",
        "ask",
        "declare",
        "import",
        "issue",
        "link",
        "new",
        "propose",
        "raise",
        "register",
        "snapshot",
    ),
    _READ: ("export", "read", "restore"),
    _UPDATE: ("approve", "close", "decide", "finished", "move", "note", "reject", "rotate", "take", "write"),
    _DELETE: ("end", "erase", "erased", "remove", "reset", "retain", "revoke", "unlink"),
}
_ACTIVITY_OF = {verb: number for number, verbs in _ACTIVITIES.items() for verb in verbs}
_REFUSALS = ("denied", "refused")
_INFORMATIONAL, _LOW, _MEDIUM = 1, 2, 3
_SEVERITIES = {
    "access.denied": _LOW,
    "session.refused": _LOW,
    "proof.refused": _LOW,
    "artefact.refused": _MEDIUM,
    "factor.reset": _MEDIUM,
    "grant.break_glass": _MEDIUM,
    "incident.raise": _MEDIUM,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TAIL_BYTES = 1 << 20


def event(entry: AuditEntry) -> dict[str, Any]:
    """One entry in the names of OCSF; times in milliseconds since 1970."""
    kind, _, name = entry.resource.partition(":")
    verb = entry.action.rpartition(".")[2]
    activity, failed = _ACTIVITY_OF.get(verb, _OTHER), verb in _REFUSALS
    caption = _CAPTIONS.get(activity, entry.action)
    said = {"comment": str(entry.detail["comment"])} if entry.detail.get("comment") else {}
    return {
        "activity_id": activity,
        "activity_name": caption,
        "actor": {"user": {"name": entry.actor}},
        "category_name": "Identity & Access Management",
        "category_uid": _CATEGORY,
        "class_name": "Entity Management",
        "class_uid": _CLASS,
        "entity": {"name": name, "type": kind, "uid": entry.resource},
        "message": f"{entry.actor}: {entry.action} on {entry.resource}",
        "metadata": {
            "event_code": entry.action,
            "log_name": "audit",
            "original_time": plain(entry.at),
            "product": {"name": "Headrace", "vendor_name": "Headrace", "version": _OURS},
            "sequence": entry.sequence,
            "uid": entry.hash,
            "version": VERSION,
        },
        "severity_id": _SEVERITIES.get(entry.action, _INFORMATIONAL),
        "status": "Failure" if failed else "Success",
        "status_id": 2 if failed else 1,
        "time": (entry.at - _EPOCH) // timedelta(milliseconds=1),
        "type_name": f"Entity Management: {caption}",
        "type_uid": _CLASS * 100 + activity,
        "unmapped": {"detail": entry.detail, "hash": entry.hash, "previous": entry.previous},
        **said,
    }


def line(entry: AuditEntry) -> str:
    """One entry as a line of ASCII: whatever stands in it, it begins no other line and moves no cursor."""
    return json.dumps(event(entry), separators=(",", ":"), ensure_ascii=True) + "\n"


def exported_until(path: Path) -> int:
    """The number of the last entry in a file of lines; 0 if there is none.

    Raises:
        InvalidInput: the file holds something else.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            whole = file.read().split(b"\n")[:-1]
        return int(json.loads(whole[-1])["metadata"]["sequence"]) if whole else 0
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{path} does not end with an exported entry. Expected a file that 'headrace audit export' made; "
            "name another one."
        ) from error
    except OSError as error:
        raise disk_refused("read", path, error) from error


def append_lines(path: Path, entries: Iterable[AuditEntry]) -> int:
    """Add entries to the end of ``path``, readable by its owner only; what a killed export has left
    half-written is cut off first. Durable when it returns how many there were.

    Raises:
        Unavailable: the disk refuses.
    """
    n_written = 0
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            size = os.fstat(descriptor).st_size
            start = max(0, size - _TAIL_BYTES)
            file.seek(start)
            file.truncate(start + file.read().rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            for n_written, entry in enumerate(entries, 1):  # noqa: B007  it is what is returned
                file.write(line(entry).encode())
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise disk_refused("write", path, error) from error
    return n_written
