"""``/v1/files``: OpenAI's files, as far as batches need them; each is its owner's alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec
from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from headrace.app.composition import App
from headrace.app.llm.kept_files import (
    MAX_FILE_BYTES,
    Incoming,
    content,
    delete_file,
    find_file,
    list_files,
    name_of,
)
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.serving.caller import Gone
from headrace.serving.wire import Answer, Headers, Pieces, Receive, Refused, Scope, too_long
from headrace.store.llm_batches import LlmFile

PREFIX = "/v1/files"
_FORM_BYTES = 64 << 10
"""What a form may have beside the file."""
_MAX_FIELD = 4_096
_MOST_LISTED = 10_000
_JSON_LINES = b"application/jsonl"


async def answer_files(
    app: App, me: Principal, scope: Scope, headers: Headers, receive: Receive
) -> Answer | Pieces:
    """Answer one request below ``/v1/files``.

    Raises:
        Refused: there is nothing at this address, or it takes no such method.
        InvalidInput, NotFound, Denied: as the request deserves.
    """
    method, file_id, what = scope["method"], *_below(scope["path"], PREFIX)
    match method, bool(file_id), what:
        case "POST", False, "":
            return said(_form(app, await _upload(app, me, headers, receive)))
        case "GET", False, "":
            return await asyncio.to_thread(_listed, app, me, scope)
        case "GET", True, "":
            return said(_form(app, await asyncio.to_thread(find_file, app, me, file_id)))
        case "DELETE", True, "":
            gone_file = await asyncio.to_thread(delete_file, app, me, file_id)
            return said({"id": gone_file.id, "object": "file", "deleted": True})
        case "GET", True, "content":
            blocks = await asyncio.to_thread(content, app, me, file_id)
            return Pieces(_blocks(blocks), _JSON_LINES)
    raise not_here(scope, "POST, GET, DELETE")


def said(value: Any) -> Answer:
    """An answer in JSON."""
    return Answer(200, msgspec.json.encode(value))


def not_here(scope: Scope, methods: str) -> Refused:
    """The refusal of an address or method that there is not."""
    return Refused(
        405,
        f"{scope['path'][:200]!r} does not answer {scope['method']}. Expected one of {methods}, as the "
        "OpenAI API has it.",
        (b"allow", methods.encode()),
    )


def page_of(scope: Scope, found: list[dict[str, Any]], *, most: int, usual: int) -> Answer:
    """A page of a list, after the one that the query names.

    Raises:
        InvalidInput: the query asks for what is none.
    """
    query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
    limit = query.get("limit", str(usual))
    if not (limit.isdecimal() and len(limit) < 7 and 1 <= int(limit) <= most):
        raise InvalidInput(f"'limit' is {limit[:20]!r}. Expected a whole number from 1 to {most:,}.")
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidInput(f"'order' is {order[:20]!r}. Expected 'asc' or 'desc'.")
    listed = found if order == "desc" else found[::-1]
    if after := query.get("after"):
        ids = [one["id"] for one in listed]
        if after not in ids:
            raise InvalidInput(
                f"'after' is {after[:80]!r}, which is not in the list. Begin again without it."
            )
        listed = listed[ids.index(after) + 1 :]
    some = listed[: int(limit)]
    ends = {"first_id": some[0]["id"], "last_id": some[-1]["id"]} if some else {}
    about = {"object": "list", "has_more": len(listed) > len(some), "first_id": None, "last_id": None}
    return said(about | ends | {"data": some})


def _below(path: str, prefix: str) -> tuple[str, str]:
    """The id in a path, and what is asked of it."""
    first, _, rest = path.removeprefix(prefix).strip("/").partition("/")
    return first, rest


def _listed(app: App, me: Principal, scope: Scope) -> Answer:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    purpose = query.get("purpose", [None])[-1]
    found = [_form(app, one) for one in list_files(app, me, purpose)]
    return page_of(scope, found, most=_MOST_LISTED, usual=_MOST_LISTED)


def _form(app: App, file: LlmFile) -> dict[str, Any]:
    """A file as the API has it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()),
        "filename": name_of(app, file),
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


async def _blocks(blocks: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    while block := await asyncio.to_thread(next, blocks, b""):
        yield block


async def _upload(app: App, me: Principal, headers: Headers, receive: Receive) -> LlmFile:
    """Read a form; of its file never more than a line, or a megabyte, is in memory."""
    if headers.encoding not in ("", "identity"):
        raise Refused(415, "A file is sent as it is. Leave out Content-Encoding.")
    kind, options = parse_options_header(headers.media_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refused(415, "Expected a form (multipart/form-data) with 'purpose' and 'file'.")
    most = MAX_FILE_BYTES + _FORM_BYTES
    if headers.length.isdecimal() and int(headers.length) > most:
        raise too_long(most)
    incoming = Incoming(app, me)
    try:
        form = _Form(options[b"boundary"], incoming)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            form.feed(message.get("body", b""))
            if incoming.is_due:
                await asyncio.to_thread(incoming.write)
            if not message.get("more_body", False):
                break
        form.end()
        return await asyncio.to_thread(incoming.finish, form.fields.get("purpose", ""), form.filename)
    finally:
        await asyncio.to_thread(incoming.drop)


class _Form:
    """A form as it comes: its file goes on, its fields are kept."""

    def __init__(self, boundary: bytes, incoming: Incoming) -> None:
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._incoming = incoming
        self._n_files = 0
        self._left = _FORM_BYTES
        self._is_whole = False
        self._begin()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_part_data": self._data,
                    "on_part_end": self._end_part,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise InvalidInput(f"The form's boundary is none: {error}. Expected at most 70 bytes.") from error

    def feed(self, data: bytes) -> None:
        """Take the next piece.

        Raises:
            InvalidInput: it is no form, or has too much beside the file.
        """
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise InvalidInput(f"The body is no form: {error}.") from error

    def end(self) -> None:
        """It has come to its end.

        Raises:
            InvalidInput: it is cut short, or has not one file.
        """
        if not self._is_whole:
            raise InvalidInput("The form is cut short. Send it again.")
        if self._n_files != 1:
            raise InvalidInput(f"The form has {self._n_files} files. Expected one, called 'file'.")
        unknown = sorted(self.fields.keys() - {"purpose"})
        if unknown:
            raise InvalidInput(
                f"Nothing is known of the field {unknown[0][:60]!r}. Expected 'purpose' and 'file': they "
                "are kept for 30 days, or for as long as their project's data."
            )

    def _begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._field: str | None = None
        self._kept = bytearray()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == "file":
            self._n_files += 1
            self.filename = options.get(b"filename", b"").decode("utf-8", "replace")
        else:
            self._field = name

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            if self._n_files > 1:
                raise InvalidInput("The form has two files. Expected one, called 'file'.")
            self._incoming.add(data[start:end])
            return
        self._count(end - start)
        self._kept += data[start:end]
        if len(self._kept) > _MAX_FIELD:
            raise InvalidInput(f"The field {self._field[:60]!r} is longer than {_MAX_FIELD} bytes.")

    def _end_part(self) -> None:
        if self._field is not None:
            self.fields[self._field] = self._kept.decode("utf-8", "replace")

    def _end(self) -> None:
        self._is_whole = True

    def _count(self, n_bytes: int) -> None:
        self._left -= n_bytes
        if self._left < 0:
            raise InvalidInput(
                f"The form has more than {_FORM_BYTES:,} bytes beside its file. Expected less."
            )
