"""Canonical JSON and the digests that are approved and signed.

Two equal values always give the same bytes: keys sorted, no spaces, UTF-8, no NaN or infinity,
times as ISO 8601 in UTC.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from headrace.core.errors import InvalidInput

ADDED: Mapping[str, bool] = {"added": True}
"""Metadata of a field that older digests do not cover: it is left out where it has its default.

Every field that a manifest gets, however deep, needs it: what was approved and signed before would not have
its digest any more. The default says what held before there was the field, so it never changes either.
"""


def plain(value: object) -> Any:
    """Reduce dataclasses, tuples, times and days to JSON's own types.

    >>> plain({"at": datetime(2026, 1, 2, tzinfo=UTC), "n": (1, 2)})
    {'at': '2026-01-02T00:00:00Z', 'n': [1, 2]}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, date):
        at = value.astimezone(UTC) if isinstance(value, datetime) else value
        return at.isoformat().replace("+00:00", "Z")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((f, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {f.name: plain(one) for f, one in fields if "added" not in f.metadata or not _is_usual(f, one)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        items = [plain(item) for item in value]
        return sorted(items) if isinstance(value, set | frozenset) else items
    raise InvalidInput(
        f"A value of type {type(value).__name__} cannot be recorded. "
        "Expected numbers, text, times, lists, mappings or dataclasses of these."
    )


def _is_usual(field: dataclasses.Field[Any], value: object) -> bool:
    make = field.default_factory
    return bool(value == (field.default if make is dataclasses.MISSING else make()))


def canonical_json(value: object) -> bytes:
    """The one byte form of ``value``.

    Raises:
        InvalidInput: a number is NaN or infinite, or a type has no JSON form.
    """
    return encode_plain(plain(value))


def encode_plain(value: Any) -> bytes:
    """The one byte form of what :func:`plain` has made already.

    Raises:
        InvalidInput: a number is NaN or infinite, or a text is none that UTF-8 has a form for.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"A record holds text that UTF-8 has no form for ({error.reason}). Expected plain text."
        ) from error
    except ValueError as error:
        raise InvalidInput(
            f"A record holds NaN or infinity, which JSON has no form for ({error}). "
            "Leave the value out, or use null."
        ) from error


def digest_of(value: object) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of ``data``, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()
