"""``/otlp/v1/traces``: where OpenTelemetry exporters send the traces of applications and agents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from headrace.access.networks import network_of
from headrace.app.llm import traces
from headrace.core.errors import HeadraceError, Unavailable
from headrace.core.identity import Principal
from headrace.monitoring.otlp import FORMS, Batch, Form, encode_response, encode_status, read_batch
from headrace.serving.telling import told
from headrace.serving.wire import (
    INLINE_BYTES,
    Answer,
    Headers,
    Receive,
    Refused,
    Scope,
    Send,
    only,
    read_body_from,
    serve,
    status_of,
)
from headrace.web.identity import header
from headrace.web.parts import Parts

PATH = "/otlp/v1/traces"
MAX_BODY_BYTES = 16 << 20
_HEADER = b"headrace-project"
_AT_ONCE = 1_000
"""Records that wait for the disk together: requests must not crowd each other out."""
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 503: 14}
"""HTTP's status to that of gRPC, which the body of an error names."""
_MEDIA_TYPES: dict[Form, bytes] = {form: name.encode() for name, form in FORMS.items()}


class OtlpDoor:
    """ASGI application: a request is answered once all its steps are durable.

    Example::

        exporter = OTLPSpanExporter("http://127.0.0.1:8000/otlp/v1/traces", headers={"authorization": ...})
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; errors have the form of the protocol, in the encoding that was sent."""
        await serve(self, scope, receive, send)

    def error(self, status: int, message: str) -> bytes:
        """As JSON: of what failed before its encoding was known."""
        return encode_status(_CODES.get(status, 13), message, "json")

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """Answer one request."""
        form = FORMS.get(headers.media_type.partition(";")[0].strip().lower())
        try:
            if scope["path"] != PATH:
                raise Refused(404, f"There is nothing at {scope['path'][:100]!r}. Expected {PATH}.")
            only(scope, "POST")
            me = self._who(scope, headers)
            if form is None:
                known = " or ".join(FORMS)
                raise Refused(415, f"The content type is {headers.media_type[:60]!r}. Expected {known}.")
            again = partial(self._who, scope, headers)
            me, body = await read_body_from(me, again, headers, receive, MAX_BODY_BYTES)
            take = partial(self._take, me, body, form, header(scope, _HEADER))
            batch, records = take() if len(body) <= INLINE_BYTES else await asyncio.to_thread(take)
        except (HeadraceError, Refused) as error:
            status = error.status if isinstance(error, Refused) else status_of(type(error))
            more = error.headers if isinstance(error, Refused) else ()
            said = told(error) if isinstance(error, HeadraceError) else str(error)
            return self._refusal(status, said, form or "json", more)
        try:
            for project, kept in records.items():
                await self._store(project, kept)
        except Unavailable as error:
            return self._refusal(503, told(error), form, ())
        return Answer(200, encode_response(batch, form), _MEDIA_TYPES[form])

    def _who(self, scope: Scope, headers: Headers) -> Principal:
        return self._parts.app.gatekeeper.authenticate(headers.authorization, network_of(scope.get("client")))

    def _take(
        self, me: Principal, body: bytes, form: Form, project: str | None
    ) -> tuple[Batch, dict[str, list[bytes]]]:
        batch = read_batch(body, form)
        return batch, traces.take(self._parts.app, me, batch, project)

    async def _store(self, project: str, records: Sequence[bytes]) -> None:
        loop = asyncio.get_running_loop()
        for start in range(0, len(records), _AT_ONCE):
            part = list(records[start : start + _AT_ONCE])
            stored: asyncio.Future[None] = loop.create_future()
            self._parts.recorder.submit(project, part, partial(_settle, stored), kind="spans")
            await stored
            if self._parts.spans is not None:
                traces.forward(part, self._parts.spans.emit)

    def _refusal(
        self, status: int, message: str, form: Form, headers: tuple[tuple[bytes, bytes], ...]
    ) -> Answer:
        body = encode_status(_CODES.get(status, 13), message, form)
        return Answer(status, body, _MEDIA_TYPES[form], headers)


def _settle(stored: asyncio.Future[None], refusal: str | None) -> None:
    if not stored.done():
        stored.set_result(None) if refusal is None else stored.set_exception(Unavailable(refusal))
