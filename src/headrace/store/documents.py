"""Core records as JSON documents and back: one mapping, so that a new field touches its type and a page.

A field with a default may be absent in what was stored before; a field that this version does not know is
ignored. A change that needs more than that raises ``SCHEMA_VERSION`` and brings a migration.
"""

from __future__ import annotations

import json
import threading
from typing import Any, TypeVar

import msgspec

from headrace.core.canonical import canonical_json, plain
from headrace.core.errors import Conflict, InternalError, InvalidInput

SCHEMA_VERSION = 1
"""Version of the documents that this code writes."""

_T = TypeVar("_T")
_converted: set[type] = set()
_first = threading.Lock()


def to_plain(record: object) -> Any:
    """``record`` as JSON's own types, for instance to hand it to a durable workflow."""
    return plain(record)


def convert(value: Any, kind: type[_T]) -> _T:
    """As :func:`msgspec.convert`, from several threads too.

    What msgspec reads of a type it reads when that is first asked for, and two threads that do so at once end
    the process (seen with 0.22): the first conversion to each type is made alone.

    Raises:
        msgspec.ValidationError: a field is missing or of another type.
    """
    if kind in _converted:
        return msgspec.convert(value, kind)
    with _first:
        made = msgspec.convert(value, kind)
        _converted.add(kind)
    return made


def from_plain(kind: type[_T], value: Any) -> _T:
    """The record that :func:`to_plain` made.

    >>> from headrace.core.release import Route
    >>> from_plain(Route, to_plain(Route(project="cars", live="r-1"))).live
    'r-1'

    Raises:
        InvalidInput: a field is missing or of another type; the message names it.
    """
    try:
        return convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"This is no {kind.__name__}: {error}.") from error


def dump(record: object) -> str:
    """The canonical JSON of ``record``."""
    return canonical_json(record).decode()


def load(kind: type[_T], document: str, schema_version: int) -> _T:
    """The record in a stored document.

    Raises:
        Conflict: a newer Headrace wrote it.
        InternalError: it does not decode.
    """
    if schema_version > SCHEMA_VERSION:
        raise Conflict(
            f"A {kind.__name__} was written by a newer Headrace (documents of version {schema_version}, this "
            f"one reads {SCHEMA_VERSION}). Upgrade Headrace on this machine."
        )
    try:
        return convert(json.loads(document), kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise InternalError(
            f"A stored {kind.__name__} cannot be read: {error}. The database was edited or is damaged: "
            "restore it from a backup."
        ) from error
