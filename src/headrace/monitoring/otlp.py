"""What an OTLP exporter sends (OpenTelemetry protocol, protobuf or JSON) as spans, and what it is told."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headrace.core.errors import InvalidInput
from headrace.core.record import Span, SpanEvent

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

Form = Literal["protobuf", "json"]
FORMS: dict[str, Form] = {"application/x-protobuf": "protobuf", "application/json": "json"}
"""Media type to form; an answer has the form of its request."""
KIND, STATUS, STATUS_TEXT = "span.kind", "otel.status_code", "otel.status_description"
SERVICE, SCOPE = "service.name", "otel.scope.name"
HANDED_ON = "headrace"
"""The scope of what Headrace sends to other collectors."""
MOST_ATTRIBUTES, MOST_EVENTS, MOST_TEXT = 256, 256, 256 << 10
"""Of one span. What is beyond is left out, and :data:`LEFT_OUT` says how much that was."""
LEFT_OUT = "otel.dropped_attributes_count"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("", "OK", "ERROR")
_DEPTH = 8
_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The spans of one resource: ``resource`` says which service, on which machine."""

    resource: dict[str, Any]
    spans: list[Span]


@dataclass(kw_only=True)
class Batch:
    """One request: what can be used of it, and how many spans cannot, with the first reason."""

    sent: list[Sent] = field(default_factory=list)
    n_rejected: int = 0
    reason: str = ""

    def reject(self, n_spans: int, reason: str) -> None:
        """Say that so many spans are not taken."""
        self.n_rejected += n_spans
        self.reason = self.reason or reason


def read_batch(body: bytes, form: Form) -> Batch:
    """The spans of an ``ExportTraceServiceRequest``.

    An attribute is text, a number, a boolean or a list of these; of anything deeper it is the JSON. The kind
    and the status of a span, and the scope that made it, are attributes, as OpenTelemetry names them for
    formats that have no field for them.

    Raises:
        InvalidInput: the body is no such request, or OpenTelemetry's messages are not installed.
    """
    batch = Batch()
    for resource in _request(body, form).resource_spans:
        about = _attributes(resource.resource.attributes)
        spans = []
        for scope in resource.scope_spans:
            named = {SCOPE: scope.scope.name} if scope.scope.name else {}
            for message in scope.spans:
                try:
                    spans.append(_span(message, named))
                except InvalidInput as error:
                    batch.reject(1, str(error))
        if spans:
            batch.sent.append(Sent(resource=about, spans=spans))
    return batch


def encode_response(batch: Batch, form: Form) -> bytes:
    """The ``ExportTraceServiceResponse``: nothing, or how many spans were rejected and why."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = ExportTraceServiceResponse()
    if batch.n_rejected:
        response.partial_success.rejected_spans = batch.n_rejected
        response.partial_success.error_message = batch.reason
    if form == "protobuf":
        encoded: bytes = response.SerializeToString()
        return encoded
    from google.protobuf.json_format import MessageToJson

    text: str = MessageToJson(response, indent=None)
    return text.encode()


def encode_status(code: int, message: str, form: Form) -> bytes:
    """A ``google.rpc.Status``, which OTLP answers errors with. It has two fields that matter here."""
    if form == "json":
        return msgspec.json.encode({"code": code, "message": message})
    text = message.encode()
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _request(body: bytes, form: Form) -> ExportTraceServiceRequest:
    try:
        from google.protobuf.json_format import ParseDict, ParseError
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError as error:
        raise InvalidInput(
            "Traces are read with OpenTelemetry's messages, which are not installed. Run on the server: "
            "pip install 'headrace[otlp]'"
        ) from error
    request = ExportTraceServiceRequest()
    try:
        if form == "protobuf":
            request.ParseFromString(body)
        else:
            plain = msgspec.json.decode(body, type=dict[str, Any])
            for resource in _listed(plain, "resourceSpans", "resource_spans"):
                for scope in _listed(resource, "scopeSpans", "scope_spans"):
                    for span in _listed(scope, "spans"):
                        _with_ids(span)
                        for link in _listed(span, "links"):
                            _with_ids(link)
            ParseDict(plain, request, ignore_unknown_fields=True, max_recursion_depth=64)
    except (DecodeError, ParseError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"The body is no ExportTraceServiceRequest in {form}: {str(error)[:200]}. Send what an OTLP/HTTP "
            "exporter sends, with its content type."
        ) from error
    return request


def _listed(parent: Any, *names: str) -> list[dict[str, Any]]:
    """A field of JSON that holds objects; what is something else is left for the parser to refuse."""
    found = next((parent[name] for name in names if isinstance(parent, dict) and name in parent), None)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _with_ids(message: dict[str, Any]) -> None:
    """OTLP writes ids in hexadecimal, where protobuf's JSON expects base64."""
    for name in _IDS:
        if isinstance(message.get(name), str):
            message[name] = base64.b64encode(bytes.fromhex(message[name])).decode()


def _span(message: SpanMessage, named: dict[str, Any]) -> Span:
    trace_id, span_id = message.trace_id, message.span_id
    if len(trace_id) != 16 or not any(trace_id) or len(span_id) != 8 or not any(span_id):
        raise InvalidInput(
            f"A span {message.name[:60]!r} has a trace id of {len(trace_id)} and an id of {len(span_id)} "
            "bytes. Expected 16 and 8, not all zero."
        )
    parent_id = message.parent_span_id
    started_at, ended_at = _moment(message.start_time_unix_nano), _moment(message.end_time_unix_nano)
    attributes = named | _attributes(message.attributes)
    if message.kind > 1 and message.kind < len(_KINDS):
        attributes[KIND] = _KINDS[message.kind]
    if message.status.code and message.status.code < len(_STATUSES):
        attributes[STATUS] = _STATUSES[message.status.code]
        if message.status.message:
            attributes[STATUS_TEXT] = message.status.message[:MOST_TEXT]
    events = [
        SpanEvent(name=event.name, at=_moment(event.time_unix_nano), attributes=_attributes(event.attributes))
        for event in message.events[:MOST_EVENTS]
    ]
    return Span(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=parent_id.hex() if len(parent_id) == 8 and any(parent_id) else None,
        name=message.name[:MOST_TEXT],
        started_at=started_at,
        # Clocks of two machines differ: a span never ends before it began.
        ended_at=max(started_at, ended_at),
        attributes=attributes,
        events=tuple(events),
    )


def _moment(unix_ns: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=unix_ns // 1000)
    except OverflowError as error:
        raise InvalidInput(
            f"A span has the time {unix_ns} ns. Expected one before the year 10000."
        ) from error


def _attributes(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    found = {pair.key: _value(pair.value) for pair in pairs[:MOST_ATTRIBUTES] if pair.key}
    if len(pairs) > MOST_ATTRIBUTES:
        found[LEFT_OUT] = len(pairs) - MOST_ATTRIBUTES
    return found


def _value(value: AnyValue) -> Any:
    text = value.string_value
    if text:  # as most are
        return text[:MOST_TEXT]
    kind = value.WhichOneof("value")
    if kind == "array_value":
        plain = [_plain(one, _DEPTH) for one in value.array_value.values]
        if all(isinstance(one, str | bool | int | float) for one in plain):
            return plain
        return _json(plain)
    if kind == "kvlist_value":
        return _json(_plain(value, _DEPTH))
    return _plain(value, _DEPTH)


def _plain(value: AnyValue, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth < 0:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [_plain(one, depth - 1) for one in found.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value, depth - 1) for pair in found.values}
    if kind == "bytes_value":
        return base64.b64encode(found).decode()
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:MOST_TEXT]


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def to_otlp(spans: Iterable[Span]) -> dict[str, Any]:
    """Spans as an ``ExportTraceServiceRequest`` in JSON, for any tool that reads OTLP.

    >>> to_otlp([])
    {'resourceSpans': []}
    """
    by_service: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        service = str(span.attributes.get(SERVICE, ""))
        by_service.setdefault(service, []).append(_written(span))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _pairs({SERVICE: service} if service else {})},
                "scopeSpans": [{"scope": {"name": HANDED_ON}, "spans": written}],
            }
            for service, written in by_service.items()
        ]
    }


def _written(span: Span) -> dict[str, Any]:
    left = {k: v for k, v in span.attributes.items() if k not in (KIND, STATUS, STATUS_TEXT, SERVICE)}
    status: dict[str, Any] = {"code": _STATUSES.index(span.attributes.get(STATUS, ""))}
    if STATUS_TEXT in span.attributes:
        status["message"] = span.attributes[STATUS_TEXT]
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        **({} if span.parent_id is None else {"parentSpanId": span.parent_id}),
        "name": span.name,
        "kind": max(_KINDS.index(span.attributes.get(KIND, "internal")), 1),
        "startTimeUnixNano": _nanoseconds(span.started_at),
        "endTimeUnixNano": _nanoseconds(span.ended_at),
        "attributes": _pairs(left),
        "events": [
            {"name": e.name, "timeUnixNano": _nanoseconds(e.at), "attributes": _pairs(e.attributes)}
            for e in span.events
        ],
        "status": status,
    }


def _pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _any(value)} for name, value in attributes.items()]


def _any(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [_any(one) for one in value]}}
    return {"stringValue": str(value)}


def _nanoseconds(moment: datetime) -> str:
    return str((moment - _EPOCH) // timedelta(microseconds=1) * 1000)
