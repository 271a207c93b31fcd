"""What an event's bytes mean: MessagePack of the core records, so that every room reads what another wrote.

Readers ignore fields they do not know, and fields with a default may be absent: a newer version may
add such a field, and logs written before stay readable.

The answer to a single row, which is most of them, has a shorter form: an array instead of a map, in which
everything that is the same for all answers of a release and a principal is encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from headrace.core.errors import InternalError
from headrace.core.record import Arm, Explained, Failure, Feedback, Outcome, Prediction, Refusal, Span
from headrace.store.compressing import decompress

_T = TypeVar("_T")
_Head = TypeVar("_Head")
_encoder = msgspec.msgpack.Encoder()
_prediction = msgspec.msgpack.Decoder(Prediction)
_outcome = msgspec.msgpack.Decoder(Outcome)
_feedback = msgspec.msgpack.Decoder(Feedback)
_failure = msgspec.msgpack.Decoder(Failure)
_refusal = msgspec.msgpack.Decoder(Refusal)
_explained = msgspec.msgpack.Decoder(Explained)


class Common(NamedTuple):
    """What many answers to single rows have in common; ``inputs`` and ``outputs`` are names, in order."""

    project: str
    release_id: str
    arm: Arm
    principal: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Received(NamedTuple):
    """A step of a trace as it came: when, and from whom."""

    at: datetime
    principal: str
    span: Span


class _RowHead(msgspec.Struct, array_like=True, frozen=True):
    project: str
    release_id: str
    arm: Arm
    principal: str
    inputs: list[str]
    outputs: list[str]


class _Row(msgspec.Struct, Generic[_Head], array_like=True, gc=False):
    head: _Head
    id: str
    at_us: int
    values: Sequence[Any]
    outputs: Sequence[Any]
    prepare_ms: float
    infer_ms: float
    unseen: list[str] | None = None
    trace_id: str | None = None


_row = msgspec.msgpack.Decoder(_Row[_RowHead])
_received = msgspec.msgpack.Decoder(Received)
_FIRST_ARRAY, _LAST_ARRAY = 0x90, 0x9F


def encode_common(common: Common) -> msgspec.Raw:
    """What :func:`encode_row` wants first; made once for many answers."""
    return msgspec.Raw(_encoder.encode(tuple(common)))


def encode_row(
    common: msgspec.Raw,
    prediction_id: str,
    at_us: int,
    values: Sequence[Any],
    outputs: Sequence[Any],
    *,
    prepare_ms: float,
    infer_ms: float,
    unseen: list[str] | None = None,
    trace_id: str | None = None,
) -> bytes:
    """One record of a stream ``<project>/predictions`` for a single row; its event is the request itself.

    Args:
        at_us: when, in microseconds since 1970.
        values: of the inputs, in the order of their names; None for a gap.
        outputs: of the outputs, in the order of theirs.
    """
    return _encoder.encode(
        _Row(common, prediction_id, at_us, values, outputs, prepare_ms, infer_ms, unseen, trace_id)
    )


def _of_row(row: _Row[_RowHead]) -> Prediction:
    at = datetime.fromtimestamp(row.at_us / 1e6, UTC)
    head = row.head
    return Prediction(
        id=row.id,
        project=head.project,
        release_id=head.release_id,
        arm=head.arm,
        principal=head.principal,
        at=at,
        event_time=at,
        n_rows=1,
        columns={name: [value] for name, value in zip(head.inputs, row.values, strict=True)},
        outputs={name: [value] for name, value in zip(head.outputs, row.outputs, strict=True)},
        prepare_ms=row.prepare_ms,
        infer_ms=row.infer_ms,
        unseen=row.unseen,
        trace_id=row.trace_id,
    )


def encode_prediction(prediction: Prediction) -> bytes:
    """One record of a stream ``<project>/predictions``. NaN and infinity are kept as they are."""
    return _encoder.encode(prediction)


def decode_prediction(record: bytes) -> Prediction:
    """Undo :func:`encode_prediction` or :func:`encode_row`, compressed or not; times come back in UTC.

    Raises:
        InternalError: on other bytes.
    """
    record = decompress(record).record
    if record[:1] and _FIRST_ARRAY <= record[0] <= _LAST_ARRAY:
        return _of_row(_decode(_row, record))
    return _decode(_prediction, record)


def encode_outcome(outcome: Outcome) -> bytes:
    """One record of a stream ``<project>/outcomes``."""
    return _encoder.encode(outcome)


def decode_outcome(record: bytes) -> Outcome:
    """Undo :func:`encode_outcome`. Raises InternalError on other bytes."""
    return _decode(_outcome, record)


def encode_feedback(feedback: Feedback) -> bytes:
    """One record of a stream ``<project>/feedback``."""
    return _encoder.encode(feedback)


def decode_feedback(record: bytes) -> Feedback:
    """Undo :func:`encode_feedback`. Raises InternalError on other bytes."""
    return _decode(_feedback, record)


def encode_failure(failure: Failure) -> bytes:
    """One record of a stream ``<project>/failures``."""
    return _encoder.encode(failure)


def decode_failure(record: bytes) -> Failure:
    """Undo :func:`encode_failure`. Raises InternalError on other bytes."""
    return _decode(_failure, record)


def encode_refusal(refusal: Refusal) -> bytes:
    """One record of a stream ``<project>/refusals``."""
    return _encoder.encode(refusal)


def decode_refusal(record: bytes) -> Refusal:
    """Undo :func:`encode_refusal`. Raises InternalError on other bytes."""
    return _decode(_refusal, record)


def encode_explained(explained: Explained) -> bytes:
    """One record of a stream ``<project>/explanations``."""
    return _encoder.encode(explained)


def decode_explained(record: bytes) -> Explained:
    """Undo :func:`encode_explained`. Raises InternalError on other bytes."""
    return _decode(_explained, record)


def encode_received(received: Received) -> bytes:
    """One record of a stream ``<project>/spans``."""
    return _encoder.encode(received)


def decode_received(record: bytes) -> Received:
    """Undo :func:`encode_received`. Raises InternalError on other bytes."""
    return _decode(_received, record)


def _decode(decoder: msgspec.msgpack.Decoder[_T], record: bytes) -> _T:
    try:
        return decoder.decode(record)
    except msgspec.MsgspecError as error:
        raise InternalError(f"An event of {len(record)} bytes cannot be read: {error}.") from error
