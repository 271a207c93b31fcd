"""OpenTelemetry's spans as MLflow's server takes them, read before it does."""

from __future__ import annotations

import zlib
from typing import Any

from headrace.core.errors import InvalidInput

_FORMATS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


def unpacked(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """The body of a request without its content encoding.

    Raises:
        InvalidInput: it is another encoding, damaged, or longer than ``most_bytes`` when unpacked.
    """
    if encoding in ("", "identity"):
        return body
    if encoding not in _FORMATS:
        raise InvalidInput(f"The content encoding is {encoding[:40]!r}. Expected gzip, deflate or none.")
    unpacker = zlib.decompressobj(_FORMATS[encoding])
    try:
        plain = unpacker.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise InvalidInput(f"The body is no {encoding} ({error}). Send it again.") from error
    if len(plain) > most_bytes:
        raise InvalidInput(f"The spans are longer than {most_bytes} bytes. Send them in several requests.")
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidInput(f"The body is not one whole {encoding} stream. Send it again.")
    return plain


def spans_as_json(message: bytes) -> dict[str, Any]:
    """What a protobuf ``ExportTraceServiceRequest`` holds, as protobuf writes JSON.

    Raises:
        InvalidInput: it is none.
    """
    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        found: dict[str, Any] = MessageToDict(ExportTraceServiceRequest.FromString(message))
    except (DecodeError, ValueError) as error:
        raise InvalidInput(f"The body holds no OpenTelemetry spans ({error}). Send OTLP protobuf.") from error
    return found
