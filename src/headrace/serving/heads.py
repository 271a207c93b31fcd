"""The heads of requests that can be answered quickly: read once, then known by their bytes.

A client that keeps its connection sends the same head again and again. Whatever is not plain - another
method, a transfer encoding, a compressed or binary body, a query - takes the ordinary way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import httptools

from headrace.core.ids import NAME_PATTERN

Form = Literal["tensors", "record"]
"""How the row is written: in tensors of the Open Inference Protocol, or a record of ``/api/v1/predict``."""
MAX_BODY_BYTES = 64 << 10
_MAX_HEAD_BYTES = 16 << 10
_MAX_KNOWN = 4096
_MAX_KNOWN_BYTES = 2 << 10
"""Longer heads are read each time: whoever sends them, known or not, decides how long they are."""
_VARYING = re.compile(
    rb"\r\n(?:[Tt]raceparent: ?[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}"
    rb"|(?:[Tt]racestate|[Xx]-[Rr]equest-[Ii][Dd]): ?[\x21-\x7e]{0,512})(?=\r\n)"
)
"""Lines by which each request of a client is another one."""
_MOST_VARYING = 3
_OTHERS_VARYING = (b"tracestate", b"x-request-id")
_TRACE_LINE = re.compile(rb"\r\n[Tt]raceparent: ?")
_TRACE_BYTES = 55
_PATHS: tuple[tuple[Form, str, str], ...] = (
    ("tensors", "/v2/models/", "/infer"),
    ("record", "/api/v1/predict/", ""),
)
"""Form, and what stands before and after the project's name."""
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_OTHER_WAYS = frozenset(
    (
        b"transfer-encoding",
        b"content-encoding",
        b"expect",
        b"upgrade",
        b"inference-header-content-length",
        b"cookie",
        b"origin",
    )
)
"""Headers that the ordinary way knows how to take. Repeated headers are too much for this one as well."""


class Head(NamedTuple):
    """What a head says, but for the trace that its request belongs to.

    Attributes:
        authorization: the header as it came.
        body_bytes: how long the body is.
        forwarded_for: whom a proxy names as the client; nobody knows yet whether the proxy is trusted.
    """

    form: Form
    project: str
    authorization: str
    body_bytes: int
    forwarded_for: str


class Read(NamedTuple):
    """A head, and the trace of W3C's ``traceparent`` if there is one."""

    head: Head
    trace_id: str | None


class Pattern(NamedTuple):
    """A head of which only the trace may differ: the bytes before its value and after it, if it has one.

    Example::

        found = Pattern.of(data, read).match(another)
    """

    head: Head
    before: bytes
    after: bytes | None

    @classmethod
    def of(cls, data: bytes, read: Read) -> Pattern:
        """The pattern of a whole head and what it says."""
        line = _TRACE_LINE.search(data) if read.trace_id is not None else None
        if line is None:
            return cls(read.head, data, None)
        return cls(read.head, data[: line.end()], data[line.end() + _TRACE_BYTES :])

    def match(self, data: bytes) -> tuple[Head, str | None, int] | None:
        """The head that ``data`` begins with, its trace and where it ends, if it is one like this."""
        head, before, after = self
        if not data.startswith(before):
            return None
        at = len(before)
        if after is None:
            return head, None, at
        if not data.startswith(after, at + _TRACE_BYTES):
            return None
        trace = _TRACEPARENT.fullmatch(data, at, at + _TRACE_BYTES)
        if trace is None:
            return None
        return head, trace[1].decode(), at + _TRACE_BYTES + len(after)


class Heads:
    """Reads heads, and remembers what it has read, but for the lines that differ with each request."""

    def __init__(self) -> None:
        self._known: dict[bytes, Read | None] = {}

    def find(self, data: bytes) -> Read | None:
        """What the bytes of a whole head say; None: it is for the ordinary way."""
        if len(data) > _MAX_HEAD_BYTES:
            return None
        varying, trace = _VARYING.search(data), None
        if varying is None:
            return self._find(data)
        for _ in range(_MOST_VARYING):
            if varying[1] is not None:
                if trace is not None:
                    return None
                trace = varying[1].decode()
            start = varying.start()
            data = data[:start] + data[varying.end() :]
            varying = _VARYING.search(data, start)
            if varying is None:
                read = self._find(data)
                return read and Read(read.head, trace)
        return None

    def _find(self, data: bytes) -> Read | None:
        try:
            return self._known[data]
        except KeyError:
            found = _read(data)
            if len(data) <= _MAX_KNOWN_BYTES:
                if len(self._known) >= _MAX_KNOWN:
                    self._known = {}
                self._known[data] = found
            return found


class ParsedHeads:
    """The same for heads that a server has parsed, names in lower case; only ``POST`` is asked about.

    Example::

        head, trace_id = heads.find(scope["path"], scope["headers"])
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[tuple[bytes, bytes], ...]], Head | None] = {}

    def find(self, path: str, headers: Sequence[tuple[bytes, bytes]]) -> tuple[Head, str | None] | None:
        """What the head says, and its trace; None: it is for the ordinary way."""
        found = dict(headers)
        if len(found) != len(headers):
            return None
        parent = found.pop(b"traceparent", None)
        for name in _OTHERS_VARYING:
            found.pop(name, None)
        asked = (path, tuple(found.items()))
        try:
            head = self._known[asked]
        except KeyError:
            head = _plain(path, found)
            if sum(map(len, found.values())) + len(path) <= _MAX_KNOWN_BYTES:
                if len(self._known) >= _MAX_KNOWN:
                    self._known = {}
                self._known[asked] = head
        return head and (head, None if parent is None else _trace_id(parent))


def _plain(path: str, headers: Mapping[bytes, bytes]) -> Head | None:
    """What a whole head says, names in lower case."""
    form, project = _form(path)
    length = headers.get(b"content-length", b"")
    if (
        form is None
        or b"authorization" not in headers
        or not _OTHER_WAYS.isdisjoint(headers)
        or not length.isdigit()
        or not 0 < int(length) <= MAX_BODY_BYTES
        or not _takes(form, headers)
    ):
        return None
    authorization = headers[b"authorization"].decode("latin-1")
    forwarded_for = headers.get(b"x-forwarded-for", b"").decode("latin-1")
    return Head(form, project, authorization, int(length), forwarded_for)


def _form(path: str) -> tuple[Form | None, str]:
    for form, before, after in _PATHS:
        if path.startswith(before) and path.endswith(after):
            name = path[len(before) : len(path) - len(after)]
            if NAME_PATTERN.fullmatch(name):
                return form, name
    return None, ""


def _takes(form: Form, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the type of the body is what the address expects; tensors are read whatever they are called."""
    return form == "tensors" or headers.get(b"content-type", b"").lower().startswith(b"application/json")


def _trace_id(parent: bytes) -> str | None:
    match = _TRACEPARENT.fullmatch(parent)
    return match[1].decode() if match else None


class _Reader:
    """Collects what the parser finds; its names are the parser's."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.is_repeated = False

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        name = name.lower()
        self.is_repeated = self.is_repeated or name in self.headers
        self.headers[name] = value


def _read(data: bytes) -> Read | None:
    reader = _Reader()
    parser = httptools.HttpRequestParser(reader)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    headers = reader.headers
    if (
        parser.get_method() != b"POST"
        or parser.get_http_version() != "1.1"
        or reader.is_repeated
        or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive"
    ):
        return None
    head = _plain(reader.url.decode("latin-1"), headers)
    return head and Read(head, _trace_id(headers.get(b"traceparent", b"")))
