"""Traces as real exporters and instrumentations send them, over a real socket."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import openai
import pytest
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as OpenLLMetry
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from headrace.app.llm import traces
from headrace.core.errors import NotFound
from headrace.monitoring.dialects import INPUT_TOKENS, OPERATION, OUTPUT_TOKENS, PROVIDER, REQUEST_MODEL
from headrace.monitoring.ingest import spans_table
from headrace.monitoring.messages import INPUT, OUTPUT, text_of
from headrace.monitoring.otlp import KIND, STATUS, to_otlp
from headrace.monitoring.spans import Summary, Wanted
from headrace.web.otlp import PATH
from tests.web.conftest import Site
from tests.web.making import AUTHOR, VALIDATOR
from tests.web.seed import VIEWER

PROJECT, OTHER = "flight-delay", "cars"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "small-2026-01",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It is delayed."}}
    ],
    "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15},
}


class Upstream(BaseHTTPRequestHandler):
    """A model that always says the same."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", JSON)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def model() -> Iterator[openai.OpenAI]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1") as client:
            yield client
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def url(own_site: Site, listen: Callable[..., str]) -> str:
    return listen(own_site.server) + PATH


def tracer_of(
    site: Site, url: str, *, service: str = PROJECT, by: str = AUTHOR, **more: Any
) -> tuple[TracerProvider, Tracer]:
    """What an application sets up; each span is sent as it ends."""
    headers = {"authorization": f"Bearer {site.token(by)}"}
    provider = TracerProvider(resource=Resource({"service.name": service}))
    exporter = OTLPSpanExporter(url, headers=headers, timeout=10, **more)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, provider.get_tracer("my-app")


def found(site: Site, **wanted: Any) -> list[Summary]:
    me = site.app.identities.resolve(AUTHOR)
    return traces.search(site.app, me, PROJECT, Wanted(**wanted))


def steps(site: Site, summary: Summary) -> list[Any]:
    me = site.app.identities.resolve(AUTHOR)
    return [step.span for step in traces.trace(site.app, me, PROJECT, summary.trace_id).steps]


def request(*, trace: bytes = bytes(range(16)), span: bytes = b"12345678", name: str = "ask") -> Any:
    made = ExportTraceServiceRequest()
    sent = made.resource_spans.add().scope_spans.add().spans.add()
    sent.trace_id, sent.span_id, sent.name = trace, span, name
    sent.start_time_unix_nano, sent.end_time_unix_nano = 1_790_000_000_000_000_000, 1_790_000_001_500_000_000
    return made


def post(site: Site, url: str, body: bytes, media_type: str = PROTOBUF, **headers: str) -> httpx.Response:
    given = {"authorization": f"Bearer {site.token(AUTHOR)}", "content-type": media_type}
    given |= {"headrace-project": PROJECT} | headers
    return httpx.post(url, content=body, headers=given)


@pytest.mark.requirement("TRC-01")
@pytest.mark.requirement("TRC-04")
@pytest.mark.requirement("TRC-09")
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_agents_that_ask_models_tools_and_each_other_are_one_trace(
    own_site: Site, url: str, compression: Compression
) -> None:
    provider, tracer = tracer_of(own_site, url, compression=compression)
    with tracer.start_as_current_span("plan a trip", kind=SpanKind.SERVER) as root:
        root.set_attributes({OPERATION: "invoke_agent", "gen_ai.agent.name": "planner", "user.id": "u-7"})
        with tracer.start_as_current_span("chat small") as chat:
            chat.set_attributes({OPERATION: "chat", REQUEST_MODEL: "small"})
            chat.set_attributes({INPUT_TOKENS: 9, OUTPUT_TOKENS: 3})
            chat.set_attribute("gen_ai.output.messages", '[{"role":"assistant","parts":'
                               '[{"type":"reasoning","content":"The clock says 9."}]}]')  # fmt: skip
        with tracer.start_as_current_span("invoke booker") as booker:
            booker.set_attributes({OPERATION: "invoke_agent", "gen_ai.agent.name": "booker"})
            booker.set_attribute(INPUT, '[{"role":"user","parts":[{"type":"text","content":"Book it."}]}]')
            with tracer.start_as_current_span("execute_tool book") as tool:
                tool.set_attributes({OPERATION: "execute_tool", "gen_ai.tool.name": "book"})
                tool.set_attribute("gen_ai.tool.call.arguments", '{"flight": "UA 7"}')
                tool.set_attribute("gen_ai.tool.call.result", "full")
                tool.record_exception(ValueError("no seat"))
                tool.set_status(StatusCode.ERROR, "no seat")
    provider.shutdown()

    (summary,) = found(own_site)
    assert (summary.name, summary.service, summary.n_spans, summary.n_errors) == (
        "plan a trip", PROJECT, 4, 1,
    )  # fmt: skip
    assert (summary.input_tokens, summary.output_tokens, summary.models) == (9, 3, ["small"])
    me = own_site.app.identities.resolve(AUTHOR)
    trace = traces.trace(own_site.app, me, PROJECT, summary.trace_id[:8])
    assert [(step.span.name, step.depth) for step in trace.steps] == [
        ("plan a trip", 0),
        ("chat small", 1),
        ("invoke booker", 1),
        ("execute_tool book", 2),
    ]
    first, chat_step, booker_step, last = [step.span for step in trace.steps]
    assert first.attributes[KIND] == "server"
    assert text_of(chat_step.attributes[OUTPUT]) == "The clock says 9."
    assert text_of(booker_step.attributes[INPUT]) == "Book it."
    assert last.attributes["gen_ai.tool.call.arguments"] == '{"flight":"UA 7"}'
    assert last.attributes["gen_ai.tool.call.result"] == "full"
    assert last.attributes[STATUS] == "ERROR"
    assert last.events[0].attributes["exception.message"] == "no seat"
    assert found(own_site, errors=True) == found(own_site, operation="chat") == [summary]
    assert found(own_site, text="ua 7") == [summary]
    assert found(own_site, text="ua 8") == found(own_site, user="u-8") == []
    later = summary.started_at + timedelta(seconds=60)
    assert found(own_site, since=later) == []
    assert found(own_site, until=later) == [summary]


@pytest.mark.requirement("TRC-12")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the instrumentations themselves
@pytest.mark.parametrize("instrumentor", [OpenInference, OpenLLMetry])
def test_an_application_is_traced_without_a_rewrite(
    own_site: Site, url: str, model: openai.OpenAI, instrumentor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By instrumentations that others wrote, each in its own dialect."""
    monkeypatch.setenv("TRACELOOP_TRACE_CONTENT", "true")
    provider, _ = tracer_of(own_site, url)
    patched = instrumentor()
    patched.instrument(tracer_provider=provider)
    try:
        model.chat.completions.create(
            model="small", temperature=0.5, messages=[{"role": "user", "content": "Is UA 7 on time?"}]
        )
    finally:
        patched.uninstrument()
    provider.shutdown()
    (summary,) = found(own_site)
    assert (summary.input_tokens, summary.output_tokens) == (11, 4)
    (span,) = steps(own_site, summary)
    assert span.attributes[OPERATION] == "chat"
    assert span.attributes[PROVIDER] == "openai"
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    assert text_of(span.attributes[INPUT]) == "Is UA 7 on time?"
    assert text_of(span.attributes[OUTPUT]) == "It is delayed."
    assert not [name for name in span.attributes if name.startswith(("llm.", "openinference.", "traceloop."))]


@pytest.mark.requirement("TRC-02")
@pytest.mark.requirement("TRC-11")
def test_what_was_sent_is_had_again_as_otlp_and_taken_by_the_next_collector(own_site: Site, url: str) -> None:
    provider, tracer = tracer_of(own_site, url)
    with tracer.start_as_current_span("ask", kind=SpanKind.CLIENT) as span:
        span.set_attributes({"retries": 2, "share": 0.5, "cached": True, "stops": ["a", "b"]})
        span.add_event("first token", {"after_ms": 7})
    provider.shutdown()
    (summary,) = found(own_site)
    written = to_otlp(steps(own_site, summary))
    answer = post(own_site, url, json.dumps(written).encode(), JSON, **{"headrace-project": OTHER})
    assert (answer.status_code, answer.json()) == (200, {})
    me = own_site.app.identities.resolve(AUTHOR)
    again = traces.trace(own_site.app, me, OTHER, summary.trace_id)
    (copy,), (sent,) = [step.span for step in again.steps], steps(own_site, summary)
    assert copy.attributes | {"otel.scope.name": "my-app"} == sent.attributes
    assert (copy.name, copy.started_at, copy.ended_at, copy.events) == (
        sent.name, sent.started_at, sent.ended_at, sent.events,
    )  # fmt: skip


@pytest.mark.requirement("TRC-03")
def test_steps_are_a_table_for_sql(own_site: Site, url: str) -> None:
    assert post(own_site, url, request().SerializeToString()).status_code == 200
    assert [summary.name for summary in found(own_site)] == ["ask"]
    import deltalake
    import duckdb

    folder = own_site.app.settings.storage_path / "tables" / spans_table(PROJECT)
    view = duckdb.read_parquet(deltalake.DeltaTable(folder).file_uris())
    assert view.project("name, duration_ms, principal").fetchall() == [("ask", 1500.0, AUTHOR)]


def test_texts_are_kept_by_the_rules_of_the_project(own_site: Site, url: str) -> None:
    made = request(name="mail zoe.brandt@example.org")
    (span,) = made.resource_spans[0].scope_spans[0].spans
    for name, text in (
        ("input.value", '{"to": "zoe.brandt\\u0040example.org"}'),
        ("note", "call zoe.brandt@example.org"),
        ("server.address", "203.0.113.7"),
    ):
        pair = span.attributes.add()
        pair.key, pair.value.string_value = name, text
    event = span.events.add()
    event.name = "exception"
    pair = event.attributes.add()
    pair.key, pair.value.string_value = "exception.message", "no mailbox zoe.brandt@example.org"
    assert post(own_site, url, made.SerializeToString()).status_code == 200
    ((kept),) = steps(own_site, found(own_site)[0])
    assert "zoe" not in repr(kept)
    assert text_of(kept.attributes[INPUT]) == '{"to":"<EMAIL>"}'
    assert kept.attributes["server.address"] == "203.0.113.7"
    folder = own_site.app.settings.home
    assert not [file for file in folder.rglob("*") if file.is_file() and b"zoe.brandt@" in file.read_bytes()]


def test_a_step_that_is_sent_twice_counts_once(own_site: Site, url: str) -> None:
    for _ in range(2):
        assert post(own_site, url, request().SerializeToString()).status_code == 200
    assert [one.n_spans for one in found(own_site)] == [1]


def test_of_one_request_what_is_sound_is_taken(own_site: Site, url: str) -> None:
    made = request()
    for trace_id, span_id in ((b"short", b"12345678"), (bytes(16), b"12345678"), (b"x" * 16, bytes(8))):
        bad = made.resource_spans[0].scope_spans[0].spans.add()
        bad.trace_id, bad.span_id = trace_id, span_id
    answer = post(own_site, url, made.SerializeToString())
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, said.rejected_spans) == (200, 3)
    assert "Expected 16 and 8" in said.error_message
    assert [one.n_spans for one in found(own_site)] == [1]


def test_each_resource_goes_to_its_project(own_site: Site, url: str) -> None:
    made = request()
    for name in (PROJECT, "nowhere"):
        other = made.resource_spans.add()
        other.CopyFrom(made.resource_spans[0])
        pair = other.resource.attributes.add()
        pair.key, pair.value.string_value = "headrace.project", name
    del made.resource_spans[0]
    answer = post(own_site, url, made.SerializeToString(), **{"headrace-project": ""})
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, said.rejected_spans) == (200, 1)
    assert "'nowhere'" in said.error_message
    assert len(found(own_site)) == 1


BAD_ID = b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}'
SOUND = request().SerializeToString()
REFUSED: dict[str, tuple[bytes, str, dict[str, str], int, str]] = {
    "no protobuf": (b"\xff\xff\xff", PROTOBUF, {}, 400, "no ExportTraceServiceRequest"),
    "no object": (b"[]", JSON, {}, 400, "no ExportTraceServiceRequest"),
    "no id": (BAD_ID, JSON, {}, 400, "hexadecimal"),
    "too deep": (b'{"a":' * 100_000, JSON, {}, 400, "no ExportTraceServiceRequest"),
    "another type": (b"", "text/plain", {}, 415, "Expected application/x-protobuf"),
    "another compression": (b"", PROTOBUF, {"content-encoding": "br"}, 415, "gzip"),
    "a bomb": (gzip.compress(bytes(64 << 20)), PROTOBUF, {"content-encoding": "gzip"}, 413, "longer than"),
    "nobody": (SOUND, PROTOBUF, {"authorization": "Bearer x"}, 401, ""),
    "an unknown project": (SOUND, PROTOBUF, {"headrace-project": "nowhere"}, 400, "nowhere"),
    "no project": (SOUND, PROTOBUF, {"headrace-project": ""}, 400, "OTEL_SERVICE_NAME"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_in_the_form_of_the_protocol(
    site: Site, listen: Callable[..., str], case: str
) -> None:
    body, media_type, headers, status, said = REFUSED[case]
    answer = post(site, listen(site.server) + PATH, body, media_type, **headers)
    assert answer.status_code == status
    assert said.encode() in answer.content
    if media_type == JSON:
        assert answer.json()["message"]
    assert found(site) == []


def test_whoever_may_not_write_or_read_is_refused(own_site: Site, url: str) -> None:
    token = own_site.token(VALIDATOR)
    answer = post(own_site, url, request().SerializeToString(), authorization=f"Bearer {token}")
    assert answer.status_code == 403
    assert httpx.get(url, headers={"authorization": f"Bearer {token}"}).status_code == 405
    with pytest.raises(NotFound, match="no trace"):
        traces.trace(own_site.app, own_site.app.identities.resolve(AUTHOR), PROJECT, "0" * 32)


def test_nothing_empty_is_an_error(own_site: Site, url: str) -> None:
    assert post(own_site, url, b"").content == b""
    assert post(own_site, url, b"{}", JSON).json() == {}


def test_the_api_finds_a_trace_and_hands_it_on(own_site: Site, url: str) -> None:
    assert post(own_site, url, request().SerializeToString()).status_code == 200
    here = f"/api/v1/projects/{PROJECT}/traces"
    (found,) = own_site.get(here, params={"text": "ask", "limit": 5}).json()
    assert (found["name"], found["n_spans"]) == ("ask", 1)
    assert own_site.get(here, params={"errors": "true"}).json() == []
    trace = own_site.get(f"{here}/{found['trace_id'][:12]}").json()
    assert [(step["span"]["name"], step["depth"]) for step in trace["steps"]] == [("ask", 0)]
    written = own_site.get(f"{here}/{found['trace_id']}/otlp").json()
    assert written["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] == found["trace_id"]
    assert own_site.get(f"{here}/{'0' * 32}").status_code == 404
    assert own_site.get(f"{here}/xyz").status_code == 400
    assert own_site.get(here, by=VIEWER).status_code == 403
