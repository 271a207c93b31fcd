"""What an event's bytes mean: MessagePack of the core records, so that every room reads what another wrote.

Readers ignore fields they do not know, and fields with a default may be absent: a newer version may
add such a field, and logs written before stay readable.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from headrace.core.errors import InternalError
from headrace.core.record import Failure, Outcome, Prediction

_T = TypeVar("_T")
_encoder = msgspec.msgpack.Encoder()
_prediction = msgspec.msgpack.Decoder(Prediction)
_outcome = msgspec.msgpack.Decoder(Outcome)
_failure = msgspec.msgpack.Decoder(Failure)


def encode_prediction(prediction: Prediction) -> bytes:
    """One record of a stream ``<project>/predictions``. NaN and infinity are kept as they are."""
    return _encoder.encode(prediction)


def decode_prediction(record: bytes) -> Prediction:
    """Undo :func:`encode_prediction`; times come back in UTC. Raises InternalError on other bytes."""
    return _decode(_prediction, record)


def encode_outcome(outcome: Outcome) -> bytes:
    """One record of a stream ``<project>/outcomes``."""
    return _encoder.encode(outcome)


def decode_outcome(record: bytes) -> Outcome:
    """Undo :func:`encode_outcome`. Raises InternalError on other bytes."""
    return _decode(_outcome, record)


def encode_failure(failure: Failure) -> bytes:
    """One record of a stream ``<project>/failures``."""
    return _encoder.encode(failure)


def decode_failure(record: bytes) -> Failure:
    """Undo :func:`encode_failure`. Raises InternalError on other bytes."""
    return _decode(_failure, record)


def _decode(decoder: msgspec.msgpack.Decoder[_T], record: bytes) -> _T:
    try:
        return decoder.decode(record)
    except msgspec.MsgspecError as error:
        raise InternalError(f"An event of {len(record)} bytes cannot be read: {error}.") from error
