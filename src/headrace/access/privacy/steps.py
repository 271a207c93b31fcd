"""What may be written down of a step of a trace: its texts without what is recognised in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import msgspec

from headrace.access.privacy.redacting import Redactor, without_secrets
from headrace.core.record import Span

USER = "user.id"
_TECHNICAL = (
    "http.", "url.", "server.", "client.", "network.", "net.", "otel.", "service.", "telemetry.", "host.",
    "process.", "os.", "k8s.", "container.", "cloud.", "deployment.", "thread.", "code.", "rpc.",
    "messaging.", "faas.", "error.type", "exception.type",
)  # fmt: skip
"""Names of attributes that say where a step ran: addresses of machines stand there, where nothing is about
people. Secrets do not, wherever they are."""
_SAID = "otel.status_description"
"""What went wrong, in the words of whoever raised it."""
_ALWAYS = ("service.name", "otel.scope.name", "otel.status_code")
_ESCAPE = re.compile(r"\\u((?!d[89a-f])[0-9a-f]{4})", re.IGNORECASE)
_JSON = ("{", "[", '"')
_SHORT = 256
_LEAST_SHORT, _MOST_SHORT = -9_999_999, 99_999_999
"""Beyond, a number may be a card's or a person's."""


def redacted(span: Span, redact: Redactor, *, personal: bool) -> Span:
    """The step without what ``redact`` recognises, in its name, and in the names and values of
    its attributes and its events.

    JSON is taken apart first, so that no escape hides anything, and stays JSON.

    Args:
        personal: whether technical attributes, such as addresses, are looked through too.
    """

    def kept(name: str, value: Any) -> Any:
        if name in _ALWAYS or (not personal and name.startswith(_TECHNICAL) and name != _SAID):
            return (
                _quick(value, without_secrets) if isinstance(value, str) else _without(value, without_secrets)
            )
        return _without(value, redact)

    def cleaned(attributes: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in attributes.items():
            made[_apart(_quick(name, redact), made)] = kept(name, value)
        return made

    return Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=redact(span.name),
        started_at=span.started_at,
        ended_at=span.ended_at,
        attributes=cleaned(span.attributes),
        events=tuple(
            replace(event, name=redact(event.name), attributes=cleaned(event.attributes))
            for event in span.events
        ),
    )


def _apart(name: str, taken: Mapping[str, Any]) -> str:
    """``name``, with a number where another attribute has become the same."""
    number = 1
    found = name
    while found in taken:
        number += 1
        found = f"{name} {number}"
    return found


def _quick(text: str, redact: Redactor) -> str:
    """Programs give the same few names to their attributes, and to machines: short ones are remembered."""
    return _known(text, redact) if len(text) <= _SHORT else _text(text, redact)


@lru_cache(maxsize=4096)
def _known(text: str, redact: Redactor) -> str:
    return _text(text, redact)


def _without(value: Any, redact: Redactor) -> Any:
    if isinstance(value, str):
        return _text(value, redact)
    if isinstance(value, list):
        return [_without(one, redact) for one in value]
    return _number(value, redact)


def _text(text: str, redact: Redactor) -> str:
    if not text.startswith(_JSON):
        return redact(text)
    try:
        return msgspec.json.encode(_within(msgspec.json.decode(text), redact)).decode()
    except (msgspec.DecodeError, RecursionError):
        # Cut short, or nested too deep to be taken apart: it need not be JSON afterwards.
        return redact(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))


def _within(value: Any, redact: Redactor) -> Any:
    if isinstance(value, str):
        return _text(value, redact)
    if isinstance(value, dict):
        return {redact(name): _within(one, redact) for name, one in value.items()}
    if isinstance(value, list):
        return [_within(one, redact) for one in value]
    return _number(value, redact)


def _number(value: Any, redact: Redactor) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or _LEAST_SHORT <= value <= _MOST_SHORT:
        return value
    text = str(value)
    found = redact(text)
    return value if found == text else found
