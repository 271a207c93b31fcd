"""HTTP as MLflow's scoring server speaks it: ``/invocations/MODEL``, ``/ping``, ``/health``, ``/version``."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version

import msgspec

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.networks import network_of
from headrace.core.identity import Principal
from headrace.serving.asked_later import (
    Submissions,
    Submitting,
    fetch,
    is_later,
    refuse_callback,
    refuse_explanation,
    submit,
)
from headrace.serving.explanations import Explaining, explaining_of
from headrace.serving.handler import Handler, check_texts
from headrace.serving.later import Accepted, Question
from headrace.serving.mlflow_forms import InvocationCall, encode_answer, read_csv, read_json
from headrace.serving.wire import (
    INLINE_BYTES,
    MAX_BODY_BYTES,
    Answer,
    Headers,
    Receive,
    Refused,
    Scope,
    Send,
    only,
    read_body_from,
    serve,
)

PATHS = frozenset(("/ping", "/health", "/version", "/invocations"))
BELOW = "/invocations/"
_JSON, _CSV = "application/json", "text/csv"
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "BAD_REQUEST",
    409: "RESOURCE_CONFLICT",
    413: "REQUEST_LIMIT_EXCEEDED",
    415: "BAD_REQUEST",
    503: "TEMPORARILY_UNAVAILABLE",
}


class InvocationsApp:
    """ASGI application for MLflow's clients. A model is named in the path: a server has several.

    Args:
        max_body_bytes: longer requests are refused with 413.
        explaining: explains answers where a request asks for it; that is refused without it.
        submissions: accepts what is to be answered later; that is refused without it.
    """

    def __init__(
        self,
        handler: Handler,
        gatekeeper: Gatekeeper,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        explaining: Explaining | None = None,
        submissions: Submissions | None = None,
    ) -> None:
        self._submissions = submissions
        self._explaining = explaining
        self._handler = handler
        self._gatekeeper = gatekeeper
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error has MLflow's own form."""
        await serve(self, scope, receive, send)

    def error(self, status: int, message: str) -> bytes:
        """As MLflow writes an error."""
        return msgspec.json.encode({"error_code": _CODES.get(status, "INTERNAL_ERROR"), "message": message})

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """Answer one request."""
        path: str = scope["path"]
        if path in ("/ping", "/health"):
            only(scope, "GET")
            return Answer(200 if self._handler.ready() else 503, b"\n")
        who = partial(self._gatekeeper.authenticate, headers.authorization, network_of(scope.get("client")))
        me = who()
        if path == "/version":
            only(scope, "GET")
            return Answer(200, version("mlflow-skinny").encode(), b"text/plain; charset=utf-8")
        name = path.removeprefix(BELOW) if path.startswith(BELOW) else ""
        name, below, job_id = name.partition("/")
        if scope["method"] == "GET" and name and job_id and "/" not in job_id:
            return await fetch(self._submissions, scope, me, name, job_id, _waiting)
        only(scope, "POST")
        if not name or below:
            raise Refused(
                404, f"{path[:200]!r} names no model, and this server has several: /invocations/MODEL."
            )
        media_type = _media_type(headers.media_type)
        me, body = await read_body_from(me, who, headers, receive, self._max_body_bytes)
        read = partial(read_csv, kinds=await self._kinds(me, name)) if media_type == _CSV else read_json
        call = read(body) if len(body) <= INLINE_BYTES else await asyncio.to_thread(read, body)
        if is_later(scope):
            return await self._submit(scope, me, name, call)
        refuse_callback(call.callback)
        explaining = explaining_of(self._explaining, call.values) if call.explain else None
        prediction = await self._handler.predict(
            name,
            call.values,
            principal=me,
            key=call.key,
            keys=call.keys,
            event_time=call.event_time,
            version=call.version,
            explained=call.explain,
        )
        recorded = (b"headrace-record", self._handler.recorded(prediction))
        why = None if explaining is None else await explaining.of(prediction)
        body = encode_answer(prediction, self._handler.version(prediction.release_id), why)
        return Answer(200, body, headers=(recorded,))

    async def _submit(self, scope: Scope, me: Principal, name: str, call: InvocationCall) -> Answer:
        refuse_explanation(explain=call.explain)
        check_texts(call.key, None, call.version, call.keys)
        question = Question(
            columns={},
            key=call.key,
            keys=call.keys,
            event_time=call.event_time,
            version=call.version,
            form="invocation",
        )
        asked = Submitting(question, call.values, call.callback, BELOW + name, _waiting)
        return await submit(self._submissions, self._handler, me, name, asked, scope)

    async def _kinds(self, me: Principal, name: str) -> dict[str, str]:
        """What the live model's inputs are, by name: CSV does not say whether 007 is a number."""
        await self._handler.require(me, "predict", name)
        return dict((await self._handler.describe(name))[0].kinds)


def _waiting(accepted: Accepted) -> bytes:
    return msgspec.json.encode({"id": accepted.id, "state": accepted.state})


def _media_type(header: str) -> str:
    kind, *parameters = (part.strip() for part in header.lower().split(";"))
    for parameter in parameters:
        if parameter.replace('"', "") not in ("charset=utf-8", "charset=utf8", ""):
            raise Refused(415, f"The content type is {header[:80]!r}. Expected charset=utf-8.")
    if kind not in (_JSON, _CSV):
        raise Refused(415, f"The content type is {header[:80]!r}. Expected {_JSON} or {_CSV}.")
    return kind
