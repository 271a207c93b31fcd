"""The lines of a batch, as the OpenAI API has them: what each asks, and what is answered to it.

A line asks what a request to its address would have asked; whoever answers it knows no other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from headrace.core.errors import InvalidInput
from headrace.core.text import printable
from headrace.gateway.llm.reading import UNREADABLE, unreadable

ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings", "/v1/responses")
MAX_LINES = 50_000
MAX_LINE_BYTES = 8 << 20
MAX_ID = 512
EXPIRED, CANCELLED = "batch_expired", "batch_cancelled"
"""Why a line was not answered."""
_TRANSIENT = frozenset((408, 409, 425, 500, 502, 503, 504, 529))
_OVER_BUDGET = b"insufficient_quota"


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class _Body(msgspec.Struct):
    model: str = ""
    stream: bool | None = None


class _Answered(msgspec.Struct):
    custom_id: str
    error: Any = None
    response: Any = None


_envelope = msgspec.json.Decoder(_Envelope)
_body = msgspec.json.Decoder(_Body)
_answered = msgspec.json.Decoder(_Answered)
_any = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.Encoder().encode


class Line(NamedTuple):
    """One request: its caller's own id of it, and the body of the request."""

    custom_id: str
    body: bytes


class BadLine(InvalidInput):
    """A line that is no request; ``code`` as the API names such a mistake."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def project_of(line: bytes) -> str:
    """The project that a line asks.

    Raises:
        BadLine: it is no request, or names none.

    >>> project_of(
    ...     b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"model": "shop"}}'
    ... )
    'shop'
    """
    return _model(_read(line))


def read_line(line: bytes, endpoint: str, project: str) -> Line:
    """The request in a line.

    Raises:
        BadLine: it is none, is for another address or project, or wants a stream.

    >>> read_line(
    ...     b'{"custom_id": "1", "method": "POST", "url": "/v1/embeddings", "body": {"model": "shop"}}',
    ...     "/v1/embeddings",
    ...     "shop",
    ... ).custom_id
    '1'
    """
    read = _read(line)
    if not 0 < len(read.custom_id) <= MAX_ID:
        raise BadLine(
            "invalid_custom_id", f"'custom_id' has {len(read.custom_id)} characters. Expected 1 to {MAX_ID}."
        )
    if (read.method, read.url) != ("POST", endpoint):
        got = printable(f"{read.method} {read.url}"[:100])
        raise BadLine("mismatched_url", f"The line asks {got!r}. Expected 'POST {endpoint}', as the batch.")
    model = _model(read)
    if model != project:
        raise BadLine(
            "mismatched_model",
            f"The line asks {printable(model[:64])!r}, and the first one {project!r}. Expected one project "
            "in a file: upload a file for each.",
        )
    return Line(read.custom_id, bytes(read.body))


def numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that are not empty, with their number in the file, from 1."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, line


def is_transient(status: int, body: bytes) -> bool:
    """Whether asking again later may help: no budget is there again in a second."""
    return status in _TRANSIENT or (status == 429 and _OVER_BUDGET not in body)


def answered(batch_id: str, number: int, line: Line, status: int, body: bytes, request_id: str) -> bytes:
    """The line of an output file: what the request would have been answered."""
    response = {"status_code": status, "request_id": request_id, "body": _raw(body)}
    return _result(batch_id, number, line.custom_id, response=response)


def not_answered(batch_id: str, number: int, custom_id: str, code: str) -> bytes:
    """The line of an error file of what has no answer: it was under way when the batch ended, or before."""
    why = "before the batch's time was over" if code == EXPIRED else "before the batch was cancelled"
    message = f"It was not answered {why}; it may have been asked, and its provider may bill it."
    return _result(batch_id, number, custom_id, error={"code": code, "message": message})


def is_answer(result: bytes) -> bool | None:
    """Whether a line made by :func:`answered` is an answer; False: a refusal; None: it is torn."""
    try:
        read = _answered.decode(result)
    except UNREADABLE:
        return None
    return read.error is None and read.response is not None and read.response["status_code"] == 200


def custom_id_of(result: bytes) -> str:
    """Whose result a line of an output file is."""
    return _answered.decode(result).custom_id


def _result(batch_id: str, number: int, custom_id: str, **said: Any) -> bytes:
    whole = {"id": f"batch_req_{batch_id.removeprefix('batch_')}-{number}", "custom_id": custom_id}
    return _encode(whole | {"response": None, "error": None} | said) + b"\n"


def _raw(body: bytes) -> Any:
    """The body on one line; JSON stays as it is but for the spaces between its parts."""
    try:
        return msgspec.json.decode(body) if b"\n" in body else _any.decode(body)
    except UNREADABLE:
        return body.decode("utf-8", "replace")


def _read(line: bytes) -> _Envelope:
    if len(line) > MAX_LINE_BYTES:
        raise BadLine("line_too_long", f"The line is longer than {MAX_LINE_BYTES:,} bytes. Send less in it.")
    try:
        line.decode()  # what is not read here, whoever is asked would fail at
        return _envelope.decode(line)
    except UNREADABLE as error:
        raise BadLine(
            "invalid_json_line",
            f"The line is no request: {unreadable(error)}. Expected {{'custom_id': ..., "
            "'method': 'POST', 'url': ..., 'body': {...}}.",
        ) from error


def _model(read: _Envelope) -> str:
    try:
        body = _body.decode(read.body)
    except UNREADABLE as error:
        raise BadLine("invalid_request", f"'body' is no request: {unreadable(error)}.") from error
    if not body.model:
        raise BadLine("model_not_found", "'body' has no 'model'. Expected the name of a project.")
    if body.stream:
        raise BadLine(
            "invalid_request", "'body' asks for a stream. Leave 'stream' out: answers come in a file."
        )
    return body.model
