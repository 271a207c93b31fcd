"""``/v1/batches``: OpenAI's batches, answered from a file within a day."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from headrace.app.composition import App
from headrace.app.llm.batches import WINDOW, cancel_batch, create_batch, find_batch, list_batches, metadata_of
from headrace.core.errors import InvalidInput
from headrace.core.identity import Principal
from headrace.gateway.llm.reading import UNREADABLE, unreadable
from headrace.serving.wire import Answer, Headers, Receive, Scope, read_body
from headrace.store.llm_batches import BatchState, LlmBatch
from headrace.web.llm_files import not_here, page_of, said

PREFIX = "/v1/batches"
_MAX_BODY_BYTES = 64 << 10
_MOST_LISTED, _USUAL = 100, 20
_STATES: tuple[BatchState, ...] = (
    "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled",
)  # fmt: skip


class _Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None


_body = msgspec.json.Decoder(_Body)


async def answer_batches(app: App, me: Principal, scope: Scope, headers: Headers, receive: Receive) -> Answer:
    """Answer one request below ``/v1/batches``.

    Raises:
        Refused: there is nothing at this address, or it takes no such method.
        InvalidInput, NotFound, Denied, Conflict: as the request deserves.
    """
    batch_id, _, what = scope["path"].removeprefix(PREFIX).strip("/").partition("/")
    match scope["method"], bool(batch_id), what:
        case "POST", False, "":
            asked = _read(await read_body(headers, receive, _MAX_BODY_BYTES))
            return said(_form(app, await asyncio.to_thread(_create, app, me, asked)))
        case "GET", False, "":
            found = await asyncio.to_thread(list_batches, app, me)
            return page_of(scope, [_form(app, one) for one in found], most=_MOST_LISTED, usual=_USUAL)
        case "GET", True, "":
            return said(_form(app, await asyncio.to_thread(find_batch, app, me, batch_id)))
        case "POST", True, "cancel":
            return said(_form(app, await asyncio.to_thread(cancel_batch, app, me, batch_id)))
    raise not_here(scope, "POST, GET")


def _read(body: bytes) -> _Body:
    try:
        return _body.decode(body)
    except UNREADABLE as error:
        raise InvalidInput(f"The body is no request for a batch: {unreadable(error)}.") from error


def _create(app: App, me: Principal, asked: _Body) -> LlmBatch:
    return create_batch(
        app,
        me,
        endpoint=asked.endpoint,
        input_file=asked.input_file_id,
        window=asked.completion_window,
        metadata=asked.metadata,
    )


def _form(app: App, batch: LlmBatch) -> dict[str, Any]:
    """A batch as the API has it."""
    errors = [
        {"code": one.code, "message": one.message, "line": one.line, "param": None} for one in batch.errors
    ]
    since = {name: batch.since.get(name) for name in _STATES}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": batch.input_file,
        "completion_window": WINDOW,
        "status": batch.state,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": int(batch.at.timestamp()),
        "expires_at": int(batch.expires_at.timestamp()),
        **{f"{name}_at": None if at is None else int(at.timestamp()) for name, at in since.items()},
        "request_counts": {
            "total": batch.n_total, "completed": batch.n_completed, "failed": batch.n_failed,
        },
        "metadata": metadata_of(app, batch),
    }  # fmt: skip
