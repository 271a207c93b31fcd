"""What may be written down of a step of a trace: its texts without what is recognised in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from headrace.access.privacy.recognisers import names_secret
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
_BELOW = "password\n"
"""Set before the value of a secret, so that it is recognised as one: alone on its line, below such a name."""
_LEAST_SHORT, _MOST_SHORT = -9_999_999, 99_999_999
"""Beyond, a number may be a card's or a person's."""


def redacted(span: Span, redact: Redactor, *, personal: bool) -> Span:
    """The step without what ``redact`` recognises, in its name, and in the names and values of
    its attributes and its events.

    JSON is taken apart first, so that no escape hides anything, and stays JSON.

    Args:
        personal: whether technical attributes, such as addresses, are looked through too.
    """

    def kept(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in attributes.items():
            of = _named(name, redact, personal)
            if of.technical and isinstance(value, str) and len(value) <= _SHORT and not of.secret:
                yield of.written, _of_machines(value)
            else:
                yield (
                    of.written,
                    _without(value, without_secrets if of.technical else redact, secret=of.secret),
                )

    return Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=_named(span.name, redact, True).written,
        started_at=span.started_at,
        ended_at=span.ended_at,
        attributes=_gathered(kept(span.attributes)),
        events=tuple(
            replace(
                event,
                name=_named(event.name, redact, True).written,
                attributes=_gathered(kept(event.attributes)),
            )
            for event in span.events
        ),
    )


def _gathered(said: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Names and their values, with a number where another name has become the same."""
    made: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    for name, value in said:
        found = name
        while found in made:
            numbers[name] = numbers.get(name, 1) + 1
            found = f"{name} {numbers[name]}"
        made[found] = value
    return made


class _Name(NamedTuple):
    """A name as it may be written down, whether it is that of a secret, and whether of where a step ran."""

    written: str
    secret: bool
    technical: bool


def _named(name: str, redact: Redactor, personal: bool) -> _Name:
    """Programs give the same few names to their attributes: short ones are remembered."""
    return (_known if len(name) <= _SHORT else _read)(name, redact, personal)


def _read(name: str, redact: Redactor, personal: bool) -> _Name:
    technical = name in _ALWAYS or (not personal and name.startswith(_TECHNICAL) and name != _SAID)
    return _Name(_text(name, redact), names_secret(name), technical)


_known = lru_cache(maxsize=4096)(_read)


@lru_cache(maxsize=4096)
def _of_machines(text: str) -> str:
    """What says where a step ran, without secrets: programs run on the same few machines."""
    return _text(text, without_secrets)


def _without(value: Any, redact: Redactor, *, secret: bool) -> Any:
    """A value without what is recognised in it; one with the name of a ``secret`` is looked at as one."""
    if isinstance(value, str):
        if secret and not value.startswith(_JSON):
            return redact(_BELOW + value).removeprefix(_BELOW)
        return _text(value, redact)
    if isinstance(value, list):
        return [_without(one, redact, secret=secret) for one in value]
    if isinstance(value, dict):
        made: list[tuple[str, Any]] = []
        for name, one in value.items():
            of = _named(name, redact, True)
            made.append((of.written, _without(one, redact, secret=of.secret)))
        return _gathered(made)
    return _number(value, redact)


def _text(text: str, redact: Redactor) -> str:
    if not text.startswith(_JSON):
        return redact(text)
    try:
        return msgspec.json.encode(_without(msgspec.json.decode(text), redact, secret=False)).decode()
    except (msgspec.DecodeError, RecursionError):
        # Cut short, or nested too deep to be taken apart: it need not be JSON afterwards.
        return redact(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))


def _number(value: Any, redact: Redactor) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or _LEAST_SHORT <= value <= _MOST_SHORT:
        return value
    text = str(value)
    found = redact(text)
    return value if found == text else found
