"""HTTP for the Open Inference Protocol: everything below ``/v2`` as one plain ASGI 3 application."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import msgspec

from headrace.access.gatekeeper import Gatekeeper
from headrace.access.networks import network_of
from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.identity import Principal
from headrace.serving import metadata, oip
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
    read_body,
    read_body_from,
    serve,
)

_RAW = b"application/octet-stream"
_HEALTH = ("/v2/health/live", "/v2/health/ready")
_json = msgspec.json.Encoder().encode


class InferenceApp:
    """ASGI application for ``/v2``. Paths are taken whole, so it may be mounted or stand alone.

    Args:
        max_body_bytes: longer requests are refused with 413.
        explaining: explains answers where a request asks for it; that is refused without it.
        submissions: accepts what is to be answered later; that is refused without it.

    Example::

        uvicorn.run(InferenceApp(handler, gatekeeper), loop="uvloop", http="httptools")
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
        """Answer one request; every error has the protocol's own form."""
        await serve(self, scope, receive, send)

    def error(self, status: int, message: str) -> bytes:  # noqa: ARG002
        """As the protocol writes an error, whatever the status."""
        return _json({"error": message})

    async def answer(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """Answer one request."""
        path: str = scope["path"]
        if path in _HEALTH:
            only(scope, "GET")
            return self._health(path)
        me = self._who(scope, headers)
        match path.split("/")[2:]:
            case ["models", name, "infer"]:
                only(scope, "POST")
                return await self._infer(scope, headers, receive, me, name)
            case ["models", name, "versions", named, "infer"]:
                only(scope, "POST")
                return await self._infer(scope, headers, receive, me, name, named)
            case ["models", name, "infer", job_id]:
                return await fetch(self._submissions, scope, me, name, job_id, _waiting)
            case [] | [""]:
                only(scope, "GET")
                return _answered(metadata.server_metadata())
            case ["models", "stats"]:
                only(scope, "GET")
                return _answered({"model_stats": metadata.all_statistics(self._handler, me)})
            case ["models", name, *rest]:
                return await self._about(scope, me, name, rest)
            case ["repository", *rest]:
                only(scope, "POST")
                return await self._repository(headers, receive, me, rest)
        raise _nowhere(path)

    def _who(self, scope: Scope, headers: Headers) -> Principal:
        return self._gatekeeper.authenticate(headers.authorization, network_of(scope.get("client")))

    def _health(self, path: str) -> Answer:
        if path == "/v2/health/live":
            return _answered({"live": True})
        ready = self._handler.ready()
        return _answered({"ready": ready}, 200 if ready else 503)

    async def _infer(
        self,
        scope: Scope,
        headers: Headers,
        receive: Receive,
        me: Principal,
        name: str,
        named: str | None = None,
    ) -> Answer:
        header_bytes = _length(headers.header_length)
        again = partial(self._who, scope, headers)
        me, body = await read_body_from(me, again, headers, receive, self._max_body_bytes)
        if len(body) <= INLINE_BYTES:
            call = oip.decode_infer(body, header_bytes)
        else:
            call = await asyncio.to_thread(oip.decode_infer, body, header_bytes)
        if is_later(scope):
            return await self._submit(scope, me, name, named, call)
        refuse_callback(call.callback)
        explaining = explaining_of(self._explaining, call.values) if call.explain else None
        prediction = await self._handler.predict(
            name,
            call.values,
            principal=me,
            key=call.key,
            event_time=call.event_time,
            keys=call.keys,
            request_id=call.request_id,
            version=named,
            outputs=call.outputs,
            explained=call.explain,
        )
        why = None if explaining is None else await explaining.of(prediction)
        encoded = oip.encode_infer(prediction, self._handler.version(prediction.release_id), call, why)
        recorded = (b"headrace-record", self._handler.recorded(prediction))
        if encoded.header_bytes is None:
            return Answer(200, encoded.body, headers=(recorded,))
        length = (b"inference-header-content-length", b"%d" % encoded.header_bytes)
        return Answer(200, encoded.body, _RAW, (recorded, length))

    async def _submit(
        self, scope: Scope, me: Principal, name: str, named: str | None, call: oip.InferCall
    ) -> Answer:
        refuse_explanation(explain=call.explain)
        check_texts(call.key, call.request_id, named, call.keys)
        if call.raw_rest or any(call.raw.values()):
            raise InvalidInput("mode=async answers in JSON only. Leave binary_data out of the outputs.")
        question = Question(
            columns={},
            key=call.key,
            keys=call.keys,
            event_time=call.event_time,
            version=named,
            outputs=call.outputs,
            request_id=call.request_id,
            form="tensors",
        )
        asked = Submitting(question, call.values, call.callback, f"/v2/models/{name}/infer", _waiting)
        return await submit(self._submissions, self._handler, me, name, asked, scope)

    async def _about(self, scope: Scope, me: Principal, name: str, rest: list[str]) -> Answer:
        """What there is to read about one model: metadata, readiness, configuration, statistics."""
        named = None
        if len(rest) > 1 and rest[0] == "versions":
            named, rest = rest[1], rest[2:]
        if rest not in ([], ["ready"], ["config"], ["stats"]):
            raise _nowhere(scope["path"])
        only(scope, "GET")
        await self._handler.require(me, "project.read", name)
        try:
            models = await self._handler.describe(name, named)
        except Unavailable:
            if rest == ["ready"]:
                return _answered({"name": name, "ready": False}, 503)
            raise
        match rest:
            case ["ready"]:
                return _answered({"name": name, "ready": True})
            case ["config"]:
                return _answered(metadata.model_config(name, models))
            case ["stats"]:
                found = metadata.model_statistics(self._handler, name, models)
                return _answered({"model_stats": found})
        return _answered(metadata.model_metadata(name, models))

    async def _repository(self, headers: Headers, receive: Receive, me: Principal, rest: list[str]) -> Answer:
        body = await read_body(headers, receive, self._max_body_bytes)
        asked = _read_object(body)
        match rest:
            case ["index"]:
                return _answered(
                    metadata.index(self._handler.index(me), only_ready=asked.get("ready") is True)
                )
            case ["models", name, "load"]:
                await self._handler.reload(me, name, changed=bool(asked.get("parameters")))
                return _answered({})
            case ["models", name, "unload"]:
                await self._handler.refuse_unload(me, name)
        raise _nowhere("/v2/repository/" + "/".join(rest))


def _answered(document: Any, status: int = 200) -> Answer:
    return Answer(status, _json(document))


def _waiting(accepted: Accepted) -> bytes:
    return oip.encode_waiting(accepted.id, accepted.project, accepted.state)


def _nowhere(path: str) -> Refused:
    return Refused(
        404, f"There is nothing at {path[:200]!r}. Expected /v2/models/NAME/infer or /v2/models/NAME."
    )


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise InvalidInput(f"Inference-Header-Content-Length is {text[:40]!r}. Expected a number of bytes.")
    return int(text)


def _read_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is no JSON object: {error}. Expected {{}} or no body.") from error
