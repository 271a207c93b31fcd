"""Batches of requests to language models: made, looked at and cancelled by whoever asks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import msgspec

from headrace.access.privacy.redacting import without_secrets
from headrace.app.composition import App
from headrace.app.llm.kept_files import find_file, seal
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound, Unavailable
from headrace.core.identity import Principal
from headrace.core.ids import new_id
from headrace.gateway.llm.batches import ENDPOINTS
from headrace.store.llm_batches import LlmBatch

KIND = "batch"
"""Begins the items of the queue that stand for batches."""
MAX_UNFINISHED = 100
"""Of one caller at a time."""
WINDOW = "24h"
_UNDER_WAY = ("validating", "in_progress", "finalizing", "cancelling")
_WINDOW_S = 86_400.0
_MOST_METADATA, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512


def create_batch(
    app: App,
    me: Principal,
    *,
    endpoint: str,
    input_file: str,
    window: str,
    metadata: Mapping[str, str] | None = None,
) -> LlmBatch:
    """Accept the requests of a file to be answered within a day; it is stored when this returns.

    Raises:
        NotFound: ``me`` has no such file.
        Denied: ``me`` may not ask its project, or shows a token that is bound to a run or to tools.
        InvalidInput: the endpoint or window is another than can be, or the metadata is too large.
        Unavailable: too many batches of ``me`` are under way.
    """
    if endpoint not in ENDPOINTS:
        raise InvalidInput(f"'endpoint' is {endpoint[:60]!r}. Expected one of {', '.join(ENDPOINTS)}.")
    if window != WINDOW:
        raise InvalidInput(f"'completion_window' is {window[:60]!r}. Expected {WINDOW!r}.")
    metadata = _checked(metadata)
    session = me.session
    if session is not None and (session.run is not None or session.tools is not None):
        raise Denied(
            "This token is bound to a run or to tools, and a batch goes on with all rights of "
            f"{me.name!r} after its end. Ask line by line, or use a token that is not bound."
        )
    file = find_file(app, me, input_file)
    if file.purpose != "batch":
        raise InvalidInput(f"File {file.id} is the output of a batch. Expected one uploaded for a batch.")
    permitted = app.gatekeeper.require(me, "predict", f"project:{file.subject}")
    if app.store.rollouts.route(file.subject) is None:
        raise NotFound(f"Nothing of {file.subject!r} is live. Make a release live first: headrace run.")
    begun = (
        one for state in _UNDER_WAY for one in app.store.llm_batches.list(workspace=me.workspace, state=state)
    )
    under_way = sum(one.owner == me.name for one in begun)
    if under_way >= MAX_UNFINISHED:
        raise Unavailable(
            f"{under_way} batches of yours are under way. Wait until one is over, or cancel one."
        )
    now = app.clock.now()
    batch_id = f"batch_{new_id(now)}"
    told = None if metadata is None else msgspec.json.encode(metadata).decode()
    sealed = "" if told is None else seal(app, file.subject, batch_id, told)
    batch = LlmBatch(
        id=batch_id,
        workspace=me.workspace,
        subject=file.subject,
        owner=me.name,
        endpoint=endpoint,
        input_file=file.id,
        at=now,
        expires_at=now + timedelta(seconds=_WINDOW_S),
        metadata=None if sealed else metadata,
        sealed=sealed,
    )
    detail = {"batch": batch.id, "file": file.id, "endpoint": endpoint}
    with app.store.transaction():
        app.store.audit.append(me.name, "llm.batch", f"project:{file.subject}", detail | permitted.basis)
        made = app.store.llm_batches.add(batch)
        app.queue.put(me.workspace, f"{KIND}:{batch.id}")
    return made


def metadata_of(app: App, batch: LlmBatch) -> Mapping[str, str] | None:
    """What its owner said of a batch; raises Unavailable: its project's key cannot be read."""
    if not batch.sealed:
        return batch.metadata
    return msgspec.json.decode(app.payloads.open(batch.subject, batch.id, batch.sealed), type=dict[str, str])


def list_batches(app: App, me: Principal) -> list[LlmBatch]:
    """The batches of ``me``, the newest first."""
    found = app.store.llm_batches.list(workspace=me.workspace)
    return [one for one in found if one.owner == me.name][::-1]


def find_batch(app: App, me: Principal, batch_id: str) -> LlmBatch:
    """One of them.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    found = app.store.llm_batches.find(batch_id)
    if found is None or (found.owner, found.workspace) != (me.name, me.workspace):
        raise NotFound(f"There is no batch {batch_id[:80]!r} of yours. List them with GET /v1/batches.")
    return found


def cancel_batch(app: App, me: Principal, batch_id: str) -> LlmBatch:
    """Ask no more of its lines; what was answered is in its files as soon as it is cancelled.

    Raises:
        NotFound: there is none, or it is somebody else's.
        Conflict: it is over.
    """
    while True:
        batch = find_batch(app, me, batch_id)
        if batch.state == "cancelling":
            return batch
        if batch.is_over or batch.state == "finalizing":
            raise Conflict(f"Batch {batch.id} is {batch.state}. Only one that is under way can be cancelled.")
        since = {**batch.since, "cancelling": app.clock.now()}
        try:
            return app.store.llm_batches.change(
                replace(batch, state="cancelling", since=since, revision=batch.revision + 1)
            )
        except Conflict:
            continue  # its counts have moved meanwhile


def _checked(metadata: Mapping[str, str] | None) -> dict[str, str] | None:
    """As it may be written down."""
    said = metadata or {}
    too_long = [key for key, value in said.items() if len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE]
    if len(said) > _MOST_METADATA or too_long:
        raise InvalidInput(
            f"'metadata' has {len(said)} entries. Expected at most {_MOST_METADATA}, with keys of at most "
            f"{_LONGEST_KEY} and values of at most {_LONGEST_VALUE} characters."
        )
    if metadata is None:
        return None
    return {without_secrets(key): without_secrets(value) for key, value in said.items()}
