"""Errors at the HTTP edge: the one table from error to status, and problem details (RFC 9457)."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.responses import JSONResponse

from headrace.core.errors import (
    Conflict,
    Denied,
    GateFailed,
    HeadraceError,
    InvalidInput,
    NotFound,
    Unauthenticated,
    Unavailable,
    UserCodeError,
    UserError,
    WaitsForPerson,
)
from headrace.serving.telling import told

MEDIA_TYPE = "application/problem+json"
STATUS: tuple[tuple[type[HeadraceError], int], ...] = (
    (InvalidInput, 400),
    (Unauthenticated, 401),
    (Denied, 403),
    (NotFound, 404),
    (WaitsForPerson, 409),
    (Conflict, 409),
    (GateFailed, 422),
    (UserCodeError, 422),
    (UserError, 400),
    (Unavailable, 503),
    (HeadraceError, 500),
)
"""First match wins. A body of the wrong shape is 422 as well, which the parser says, not we."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "An error (RFC 9457); what, got, expected and next are parts of its detail.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "what": {"type": "string"},
        "got": {"type": "string"},
        "expected": {"type": "string"},
        "next": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
"""What a problem document looks like, for the description of the API."""

_TITLES = {
    400: "The request is not what was expected",
    401: "No valid identity",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be processed",
    500: "Headrace failed",
    503: "Not available right now",
}
_EXTRA: dict[int, dict[str, str]] = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_GOT = re.compile(r"\bgot (.+?)(?:[.;,]\s|[.;,]?$)")
_SHOWN = 200
_EXCERPT = 40
_NOT_JSON = (
    "The body was not read: its Content-Type does not say that it is JSON. Expected application/json. "
    "Send the header 'Content-Type: application/json'."
)


def status_of(error: HeadraceError) -> int:
    """The HTTP status of ``error``."""
    return next(status for kind, status in STATUS if isinstance(error, kind))


def problem(
    status: int,
    detail: str,
    *,
    instance: str,
    kind: str | None = None,
    parts: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem document. ``detail`` is the whole message; its parts are members of their own.

    Args:
        kind: class of the error, such as ``NotFound``; becomes part of ``type``.
        parts: ``what``, ``got``, ``expected``, ``next`` where they are known better than from the text.
    """
    title = _TITLES.get(status, "Refused")
    document = {
        "type": "about:blank" if kind is None else f"urn:headrace:problem:{_dashed(kind)}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance[:_SHOWN],
        **(parts_of(detail) if parts is None else parts),
    }
    return JSONResponse(
        document, status, media_type=MEDIA_TYPE, headers={**_EXTRA.get(status, {}), **(headers or {})}
    )


def problem_of(error: HeadraceError, *, instance: str, now: datetime) -> JSONResponse:
    """The problem document of an error of ours."""
    return problem(status_of(error), told(error, now), instance=instance, kind=type(error).__name__)


def problem_of_shape(
    errors: Sequence[Mapping[str, Any]], *, instance: str, body: object = None
) -> JSONResponse:
    """The problem document of a body or query that the parser refused; the first error is spelt out.

    Args:
        body: as it came, where it could not be read.
    """
    first = errors[0]
    if first["loc"] == ("body",) and isinstance(first.get("input"), bytes):
        return problem(422, _NOT_JSON, instance=instance, kind="Shape")
    if first["type"] == "json_invalid":
        return _unreadable(first, body, instance)
    where, message, n_alike = _expected(first, errors)
    got = "nothing" if first["type"] == "missing" else _short(first.get("input"))
    more = f" ({len(errors) - n_alike} more of the kind)" if len(errors) > n_alike else ""
    detail = f"{where}: {message}, got {got}{more}. The form is in /api/openapi.json."
    parts = {
        "what": where,
        "got": got,
        "expected": message,
        "next": "Compare the request with /api/openapi.json.",
        "errors": [
            {"where": ".".join(str(part) for part in error["loc"]), "expected": _said(error)}
            for error in errors[:20]
        ],
    }
    return problem(422, detail, instance=instance, kind="Shape", parts=parts)


def _unreadable(error: Mapping[str, Any], body: object, instance: str) -> JSONResponse:
    """A body that is no JSON: where it stops being some, and what stands there."""
    at = error["loc"][-1] if isinstance(error["loc"][-1], int) else 0
    why = str(error.get("ctx", {}).get("error", error["msg"]))
    text = body if isinstance(body, str) else ""
    got = _short(text[at : at + _EXCERPT]) if text[at:] else "its end"
    parts = {
        "what": f"The body is no JSON: at character {at + 1}, {why[:1].lower()}{why[1:]}.",
        "got": got,
        "expected": "One JSON object.",
        "next": "Compare the request with /api/openapi.json.",
    }
    detail = f"{parts['what'][:-1]}, got {got}. Expected one JSON object; its form is in /api/openapi.json."
    return problem(422, detail, instance=instance, kind="Shape", parts=parts)


def _expected(first: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> tuple[str, str, int]:
    """Where something else was expected, what, and how many errors say so: one for each kind of value that
    could stand there."""
    alike = [
        one
        for one in errors
        if one["type"] != "missing"
        and one["loc"][:-1] == first["loc"][:-1]
        and one.get("input") is first.get("input")
    ]
    place = first["loc"][:-1] if len(alike) > 1 else first["loc"]
    said = dict.fromkeys(_said(one) for one in alike or [first])
    where = ".".join(str(part) for part in place) or "body"
    return where, ", or ".join(said).replace(", or Input should be ", ", or "), max(len(alike), 1)


def _said(error: Mapping[str, Any]) -> str:
    """What one error says, without the parser's own words for a field that it does not know."""
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    return str(error["msg"]).removeprefix("Value error, ")


def parts_of(message: str) -> dict[str, str]:
    """The parts that our messages are written in: what, got, expected, next step.

    >>> parts_of("The share is 7. Expected at most 1. Divide by 100.")
    {'what': 'The share is 7.', 'expected': 'Expected at most 1.', 'next': 'Divide by 100.'}
    """
    what, *rest = _SENTENCE.split(message.strip())
    expected = " ".join(sentence for sentence in rest if sentence.startswith("Expected"))
    next_step = " ".join(sentence for sentence in rest if not sentence.startswith("Expected"))
    got = _GOT.search(message)
    parts = {
        "what": what,
        "got": got.group(1)[:_SHOWN] if got else "",
        "expected": expected,
        "next": next_step,
    }
    return {name: text for name, text in parts.items() if text}


def _short(value: object) -> str:
    """``value`` for a message; printable and short, whatever it holds."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]  # as JSON says it
    text = reprlib.repr(value).encode(errors="backslashreplace").decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _dashed(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
