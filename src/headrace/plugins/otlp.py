"""Spans out, to any collector that takes OTLP over HTTP; needs the extra ``[otlp]``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.core.errors import InvalidInput
from headrace.core.record import Span

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_MAX_WAITING = 2_048
_PATIENCE_S = 5.0
_PATH = "/v1/traces"
_SERVICE = "service.name"
_FIELDS = frozenset({_SERVICE, "span.kind", "otel.status_code", "otel.status_description", "otel.scope.name"})


class OtlpSpans:
    """Sends spans from a thread of its own; whoever makes them never waits, and what does not fit is dropped.

    Args:
        url: of the collector, such as ``http://127.0.0.1:4318``.
        version: of the service, as its spans say.

    Attributes:
        made, sent, failed: spans so far. What is in none of the last two waits, or was dropped.

    Raises:
        InvalidInput: OpenTelemetry's exporter is not installed.

    Example::

        spans = OtlpSpans("http://127.0.0.1:4318", version="0.1.0")
        spans.emit([span])
        spans.close()
    """

    def __init__(self, url: str, *, version: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ImportError as error:
            raise InvalidInput(
                "Spans are sent with OpenTelemetry's exporter, which is not installed. Run: "
                "pip install 'headrace[otlp]'"
            ) from error
        counting = self
        address = url if url.endswith(_PATH) else url.rstrip("/") + _PATH
        exporter = OTLPSpanExporter(endpoint=address, timeout=_PATIENCE_S)

        class Counting(SpanExporter):
            """Counts what arrives."""

            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                result = exporter.export(spans)
                if result is SpanExportResult.SUCCESS:
                    counting.sent += len(spans)
                else:
                    counting.failed += len(spans)
                return result

            def shutdown(self) -> None:
                exporter.shutdown()  # type: ignore[no-untyped-call]

        self.made = self.sent = self.failed = 0
        self._processor = BatchSpanProcessor(
            Counting(),
            max_queue_size=_MAX_WAITING,
            schedule_delay_millis=1_000,
            max_export_batch_size=512,
            export_timeout_millis=1_000 * _PATIENCE_S,
        )
        self._resource = Resource.create({_SERVICE: "headrace", "service.version": version})
        self._scope = InstrumentationScope("headrace", version)

    def emit(self, spans: Sequence[Span]) -> None:
        """Take spans that have ended; returns at once."""
        for span in spans:
            self._processor.on_end(self._readable(span))
        self.made += len(spans)

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(span_id: str, *, remote: bool) -> Any:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(span.trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=flags)

        # Of a step that another program sent, they stand where OpenTelemetry puts them for want of a field.
        attributes = {name: value for name, value in span.attributes.items() if name not in _FIELDS}
        service, status = span.attributes.get(_SERVICE), span.attributes.get("otel.status_code")
        is_server = "http.request.method" in attributes and service is None
        kind = str(span.attributes.get("span.kind", "server" if is_server else "internal"))
        failed = status == "ERROR" or (status is None and "error.type" in attributes)
        events = [Event(e.name, e.attributes, timestamp=_nanoseconds(e.at)) for e in span.events]
        return ReadableSpan(
            name=span.name,
            context=context(span.span_id, remote=False),
            parent=None if span.parent_id is None else context(span.parent_id, remote=is_server),
            resource=self._resource if service is None else Resource({_SERVICE: service}),
            attributes=attributes,
            events=events,
            kind=SpanKind[kind.upper()],
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=_nanoseconds(span.started_at),
            end_time=_nanoseconds(span.ended_at),
            instrumentation_scope=self._scope,
        )


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1_000
