"""Spans out: to a collector that reads what OpenTelemetry's protocol says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from headrace.app.composition import open_app
from headrace.app.workflows import launch
from headrace.core.record import Span
from headrace.serving.trace_context import Parent, parse_parent
from headrace.store.records import decode_prediction
from headrace.testing import FakeClock, make_settings
from headrace.web.server import Server, build_server
from headrace.web.tracing import Tracing
from tests.web.conftest import aside, give_up
from tests.web.making import AUTHOR
from tests.web.seed import Seeded, seed

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{'9' * 32}-{CALLER}-00"
SECRET = 15_735.125


class Collector:
    """Takes OTLP over HTTP, and keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.arrived = threading.Condition()
        collector = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request: Any) -> None:
        """One export."""
        with self.arrived:
            for resource in request.resource_spans:
                self.services |= {
                    a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
                }
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.arrived.notify_all()

    def wait_for(self, n: int) -> list[Any]:
        """At least so many spans."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.spans) >= n, timeout=20), self.spans
            return list(self.spans)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One that listens."""
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@contextmanager
def _serving(home: Path, url: str) -> Iterator[tuple[Server, Seeded]]:
    settings = replace(make_settings(home), otlp_url=url)
    with open_app(settings) as app, launch(app, role="server") as work:
        seeded = seed(app)
        server = build_server(app, work)
        server.parts.routes.refresh()
        server.parts.models.get(seeded.cars_live)
        server.parts.models.get(seeded.canary)
        try:
            yield server, seeded
        finally:
            server._close()
            give_up(work)


Asking = Callable[..., httpx.Response]


def _client(server: Server, url: str) -> Asking:
    app = server.parts.app
    token = app.tokens.issue(app.identities.resolve(AUTHOR))

    def ask(
        parent: str | None, *, value: object = SECRET, client: httpx.Client | None = None
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} | ({"traceparent": parent} if parent else {})
        body = {"record": {"mileage": value, "model": "a3"}}
        post = httpx.post if client is None else client.post
        return post(f"{url}/api/v1/predict/cars", json=body, headers=headers)

    return ask


@pytest.mark.requirement("MON-03")
def test_a_sampled_request_leaves_its_span_with_preparation_and_model_inside(
    tmp_path: Path, collector: Collector, listen: Callable[..., str]
) -> None:
    with aside(_serving(tmp_path, collector.url)) as (server, _):
        ask = _client(server, listen(server, http=server.protocol))
        with httpx.Client() as kept:
            answers = [ask(parent, client=kept) for parent in (None, NOT_SAMPLED, SAMPLED, NOT_SAMPLED, None)]
        assert [answer.status_code for answer in answers] == [200] * 5
        spans = {span.name: span for span in collector.wait_for(3)}
        assert set(spans) == {"predict cars", "prepare", "infer"}
        request, told = spans["predict cars"], answers[2].json()
        assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
        assert request.kind == 2  # server
        attributes = {a.key: a.value.string_value or a.value.int_value for a in request.attributes}
        assert attributes["headrace.prediction"] == told["id"]
        assert attributes["headrace.release"] == told["release"]
        assert attributes["headrace.route"] == told["arm"]
        assert attributes["http.response.status_code"] == 200
        for name in ("prepare", "infer"):
            inside = spans[name]
            assert inside.parent_span_id == request.span_id
            assert inside.start_time_unix_nano <= inside.end_time_unix_nano
        assert request.start_time_unix_nano < request.end_time_unix_nano
        assert collector.services == {"headrace"}
        assert str(SECRET) not in str(collector.spans)
        records = [decode_prediction(payload) for payload in _records(server)]
        assert [one.trace_id for one in records] == [None, "9" * 32, TRACE, "9" * 32, None]


@pytest.mark.requirement("MON-03")
def test_an_exception_is_an_event_with_its_moment_and_kind_and_no_words(
    tmp_path: Path, collector: Collector, listen: Callable[..., str]
) -> None:
    with aside(_serving(tmp_path, collector.url)) as (server, _):
        ask = _client(server, listen(server, http=server.protocol))
        assert ask(SAMPLED, value="1735-secret").status_code == 400
        (span,) = collector.wait_for(1)
        (event,) = span.events
        assert event.name == "exception"
        assert span.start_time_unix_nano <= event.time_unix_nano <= span.end_time_unix_nano
        assert [a.value.string_value for a in event.attributes] == ["InvalidInput"]
        assert span.status.code == 2  # error
        assert "1735-secret" not in str(span)


@pytest.mark.requirement("TRC-02")
def test_what_an_application_sent_is_handed_on_as_it_was_kept(
    tmp_path: Path, collector: Collector, listen: Callable[..., str]
) -> None:
    sent = ExportTraceServiceRequest()
    resource = sent.resource_spans.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "desk"
    for scope_name in ("headrace", "desk"):
        scope = resource.scope_spans.add()
        scope.scope.name = scope_name
        span = scope.spans.add()
        span.trace_id, span.span_id = bytes.fromhex(TRACE), bytes.fromhex(CALLER)
        span.name, span.kind, span.status.code = f"{scope_name} mails ada@example.org", 3, 2
        span.start_time_unix_nano, span.end_time_unix_nano = (
            1_790_000_000_000_000_000,
            1_790_000_001_000_000_000,
        )
    with aside(_serving(tmp_path, collector.url)) as (server, _):
        app = server.parts.app
        headers = {
            "authorization": f"Bearer {app.tokens.issue(app.identities.resolve(AUTHOR))}",
            "content-type": "application/x-protobuf",
            "headrace-project": "cars",
        }
        url = listen(server) + "/otlp/v1/traces"
        assert httpx.post(url, content=sent.SerializeToString(), headers=headers).status_code == 200
        (span,) = collector.wait_for(1)  # what was handed on once is not again: it may have come from here
        assert (span.name, span.kind, span.status.code) == ("desk mails <EMAIL>", 3, 2)
        assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE, CALLER)
        assert span.end_time_unix_nano - span.start_time_unix_nano == 1_000_000_000
        assert collector.services == {"desk"}


def test_a_collector_that_is_gone_breaks_nothing(tmp_path: Path, listen: Callable[..., str]) -> None:
    with aside(_serving(tmp_path, "http://127.0.0.1:9")) as (server, _):
        ask = _client(server, listen(server, http=server.protocol))
        assert [ask(SAMPLED).status_code for _ in range(3)] == [200] * 3
        spans = server.parts.spans
        assert spans is not None
        clock = server.parts.app.clock
        until_s = clock.monotonic_s() + 20
        while spans.made < 9:  # a request ends a moment after its answer has come
            assert clock.monotonic_s() < until_s
            clock.sleep(0.005)
        assert (spans.made, spans.sent) == (9, 0)


class Kept:
    """Keeps spans."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def emit(self, spans: Any) -> None:
        self.spans += spans


def test_no_more_than_so_many_a_second_are_traced() -> None:
    clock = FakeClock()
    tracing = Tracing(Kept(), clock, most_per_s=3)
    wanted = Parent(TRACE, CALLER, sampled=True)
    assert [tracing.chooses(wanted) for _ in range(5)] == [True] * 3 + [False] * 2
    clock.sleep(1)
    assert tracing.chooses(wanted)
    assert not tracing.chooses(Parent(TRACE, CALLER, sampled=False))
    assert not tracing.chooses(None)


def test_requests_without_a_trace_are_drawn_by_lot() -> None:
    tracing = Tracing(Kept(), FakeClock(), ratio=0.3, most_per_s=10_000)
    assert 240 < sum(tracing.chooses(None) for _ in range(1_000)) < 360


@pytest.mark.parametrize(
    "header",
    [b"", b"00-1-2-01", b"ff-" + SAMPLED[3:].encode(), SAMPLED.upper().encode(), SAMPLED.encode() + b"-x",
     f"00-{'0' * 32}-{CALLER}-01".encode(), f"00-{TRACE}-{'0' * 16}-01".encode()],
)  # fmt: skip
def test_what_is_no_trace_context_is_none(header: bytes) -> None:
    assert parse_parent(header) is None


def _records(server: Server) -> list[bytes]:
    events = server.parts.app.store.events
    return [
        payload
        for segment in events.segments("cars/predictions")
        for payload in events.read("cars/predictions", segment.name, 0, 10_000)[0]
    ]
