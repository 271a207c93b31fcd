"""Server-sent events, read as they come: bounded, and nothing that is no event is passed over.

The form is that of the HTML standard (section 9.2). What it would ignore, such as a line of an unknown field,
is an error here: a provider that sends it is broken, and a text with a hole in it is worse than none.
"""

from __future__ import annotations

from typing import NamedTuple

from headrace.core.errors import Unavailable

MOST_BYTES = 8 << 20
"""Of one event; an image in base64 fits."""
_IGNORED = frozenset((b"id", b"retry"))


class UpstreamBroken(Unavailable):
    """A provider broke off, or sent what is no answer. Whatever came before it has been handed on."""


class Event(NamedTuple):
    """One event: its name, empty where it has none, and its data."""

    name: bytes
    data: bytes


class EventReader:
    r"""Takes bytes as they come off the network and gives whole events.

    >>> reader = EventReader()
    >>> reader.feed(b'data: {"a"'), reader.feed(b": 1}\n\ndata: [DONE]\n")
    ([], [Event(name=b'', data=b'{"a": 1}')])
    >>> reader.feed(b"\n")
    [Event(name=b'', data=b'[DONE]')]

    Args:
        most_bytes: that one event may have.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = bytearray()
        self._seen = 0  # of the rest, how much has no end of an event in it
        self._half_end = False  # whether what was fed ended with a carriage return
        self._begun = False

    @property
    def is_between(self) -> bool:
        """Whether nothing is left of an event that has begun."""
        return not self._rest.strip(b"\n")

    def feed(self, data: bytes) -> list[Event]:
        """The events that are whole now.

        Raises:
            UpstreamBroken: an event is too large, or is none.
        """
        if not self._begun and data:
            data, self._begun = data.removeprefix(b"\xef\xbb\xbf"), True
        if self._half_end or b"\r" in data:
            data = self._plain(data)
        self._rest += data
        events: list[Event] = []
        start = 0
        while (end := self._rest.find(b"\n\n", max(start, self._seen))) >= 0:
            if end - start > self._most_bytes:
                raise self._too_large()
            event = _event(bytes(self._rest[start:end]))
            if event is not None:
                events.append(event)
            start = end + 2
        if start:
            del self._rest[:start]
        if len(self._rest) > self._most_bytes:
            raise self._too_large()
        self._seen = max(0, len(self._rest) - 1)
        return events

    def _plain(self, data: bytes) -> bytes:
        """With line feeds alone; half of an end of line may come with the next bytes."""
        if self._half_end:
            data = b"\r" + data
        self._half_end = data.endswith(b"\r")
        if self._half_end:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _too_large(self) -> UpstreamBroken:
        return UpstreamBroken(
            f"The provider sent an event of more than {self._most_bytes} bytes. Ask for a shorter answer, or "
            "for a whole one instead of a stream."
        )


def _event(block: bytes) -> Event | None:
    """The event that a block of lines is; None for comments alone."""
    if block.startswith(b"data: ") and b"\n" not in block:  # nearly all are so
        return Event(b"", block[6:])
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif line and not line.startswith(b":") and field not in _IGNORED:
            raise UpstreamBroken(
                f"The provider sent what is no server-sent event: a line that begins with {line[:20]!r}. Ask "
                "again; if it stays so, the address is not that of the API."
            )
    return Event(name, b"\n".join(data)) if data else None
