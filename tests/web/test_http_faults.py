"""The quick way beside uvicorn's own protocol: whatever comes in whatever pieces, callers see the same."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from headrace.core.identity import Grant
from headrace.serving.heads import Heads, ParsedHeads
from headrace.serving.microbatch import MicroBatches
from headrace.serving.plain_rows import Scoring
from headrace.testing import FakeClock
from headrace.web.http_protocol import protocol_of
from tests.serving.scene import Scene
from tests.web.test_http_protocol import BODY

BROKEN = frozenset(
    (
        "folded after a trace",
        "chunked and long",
        "two lengths",
        "other lengths",
        "signed length",
        "no length",
        "bare line feeds",
        "garbage",
    )
)
TURNS = 20
"""So many turns of the loop without anything to do are the end."""
DEADLINE_S = 20.0


class Wire(asyncio.Transport):
    """What a connection writes to; whether it may be read from, and whether it has been closed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closed = False
        self.paused = False
        self.unread = 0

    def get_write_buffer_size(self) -> int:
        return self.unread

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


@dataclass
class Line:
    """One connection in this process, without a socket."""

    protocol: Any
    wire: Wire
    state: ServerState
    timers: Timers

    @property
    def is_busy(self) -> bool:
        """Whether anything is being answered of which all has come."""
        last = self.protocol.cycle
        waits = last and last.more_body and not last.response_complete and not self.protocol.pipeline
        return len(self.state.tasks) > bool(waits) or getattr(self.protocol, "_busy", False)

    async def settle(self) -> None:
        """Wait until everything that can be answered is."""
        until_s = asyncio.get_running_loop().time() + DEADLINE_S
        turns = 0
        while turns < TURNS and not self.wire.closed:
            await asyncio.sleep(0)
            turns = 0 if self.is_busy else turns + 1
            assert asyncio.get_running_loop().time() < until_s, "no answer"

    async def feed(self, chunks: list[bytes], *, wait: bool) -> None:
        for chunk in chunks:
            if self.wire.paused:
                await self.settle()
            if self.wire.closed or self.wire.paused:
                return
            self.protocol.data_received(chunk)
            if wait:
                await self.settle()
        await self.settle()


class Timers:
    """The running loop, except that its timers go by a clock that is set by hand."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._set: list[tuple[float, asyncio.Handle]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)

    def call_later(self, delay_s: float, callback: Callable[..., Any], *given: Any) -> asyncio.Handle:
        handle = asyncio.Handle(callback, given, asyncio.get_running_loop())
        self._set.append((self._clock.monotonic_s() + delay_s, handle))
        return handle

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due."""
        self._clock.advance(seconds)
        due = [one for one in self._set if one[0] <= self._clock.monotonic_s()]
        self._set = [one for one in self._set if one not in due]
        for _, handle in due:
            if not handle.cancelled():
                handle._run()


class Lines:
    """Makes connections to one scene: by the quick way, or by uvicorn's own protocol."""

    def __init__(self, home: Path) -> None:
        self.scene = Scene(home)
        parts = (self.scene.routes, self.scene.models, self.scene.recorder, self.scene.clock)
        batches = MicroBatches(self.scene.handler, *parts, rules_of=self.scene.rules_of)
        door = self.scene.door
        self.scoring = Scoring(batches, door.gatekeeper, door.store.epoch, self.scene.clock)
        self.token = door.tokens.issue(self.scene.caller)

    def connect(self, *, quick: bool) -> Line:
        config = uvicorn.Config(
            self.scene.app, loop="none", http="httptools", lifespan="off", log_level="critical"
        )
        config.load()
        state = ServerState()
        make: Callable[..., Any] = protocol_of(self.scoring) if quick else HttpToolsProtocol
        timers: Any = Timers(self.scene.clock)
        protocol = make(config=config, server_state=state, app_state={}, _loop=timers)
        wire = Wire()
        protocol.connection_made(wire)
        return Line(protocol, wire, state, timers)

    def request(
        self, *lines: str, body: bytes = BODY, path: str = "/v2/models/cars/infer", token: str = ""
    ) -> bytes:
        given = lines or (f"content-length: {len(body)}",)
        head = (
            f"POST {path} HTTP/1.1",
            "host: x",
            f"authorization: Bearer {token or self.token}",
            *given,
            "",
            "",
        )
        return "\r\n".join(head).encode() + body


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lines]:
    made = Lines(tmp_path_factory.mktemp("home"))
    yield made
    made.scene.close()


def _answers(data: bytes) -> list[tuple[bytes, dict[bytes, bytes], Any]]:
    """Each answer without what differs from one to the next; what is no answer stands last, as it is."""
    found: list[tuple[bytes, dict[bytes, bytes], Any]] = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        if b"content-length" not in headers:
            found.append((first, headers, None))
            data = rest
            continue
        length = int(headers.pop(b"content-length"))
        body, data = rest[:length], rest[length:]
        # How durably it was recorded stands in answers of the quick way only.
        headers.pop(b"headrace-record", None)
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = body
        if isinstance(parsed, dict) and "id" in parsed:
            parsed = parsed | {"id": ""}
            parsed["parameters"] = parsed["parameters"] | {"prepare_ms": 0, "infer_ms": 0}
        found.append((first, headers, parsed))
    return [*found, (data, {}, None)] if data else found


def _requests(lines: Lines) -> dict[str, bytes]:
    n = f"content-length: {len(BODY)}"
    inner = lines.request(body=b"smuggled")
    trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    return {
        "plain": lines.request(),
        "traced": lines.request(n, trace),
        "traced twice": lines.request(n, trace, trace),
        "named": lines.request(n, "X-Request-Id: 7", "tracestate: a=b"),
        "folded after a trace": lines.request(n, "x: y", trace, " more"),
        "health": b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n",
        "head": b"HEAD /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n",
        "no such model": lines.request(path="/v2/models/vans/infer"),
        "query": lines.request(path="/v2/models/cars/infer?a=b"),
        "escaped": lines.request(path="/v2/models/c%61rs/infer"),
        "absolute": lines.request(path="http://x/v2/models/cars/infer"),
        "chunked": lines.request("transfer-encoding: chunked", body=chunked),
        "chunked and long": lines.request(n, "transfer-encoding: chunked", body=chunked),
        "two lengths": lines.request(n, n),
        "other lengths": lines.request(n, "content-length: 3"),
        "signed length": lines.request(f"content-length: +{len(BODY)}"),
        "padded length": lines.request(f"content-length:   00{len(BODY)}  "),
        "no length": lines.request("x: y"),
        "zero": lines.request("content-length: 0", body=b""),
        "a request within": lines.request(f"content-length: {len(inner)}", body=inner),
        "no json": lines.request(body=b"\xff{not json"),
        "nan": lines.request(body=BODY.replace(b"12.5", b"NaN")),
        "huge": lines.request(body=BODY.replace(b"12.5", b"1" + b"0" * 400)),
        "gap": lines.request(body=BODY.replace(b"12.5", b"null")),
        "whole": lines.request(body=BODY.replace(b"12.5", b"12")),
        "unseen": lines.request(body=BODY.replace(b"a4", b"quattro")),
        "expecting": lines.request(n, "expect: 100-continue"),
        "last": lines.request(n, "connection: close"),
        "kept": lines.request(n, "Connection: Keep-Alive"),
        "old": lines.request().replace(b"HTTP/1.1", b"HTTP/1.0"),
        "bare line feeds": lines.request().replace(b"\r\n", b"\n"),
        "a line before": b"\r\n" + lines.request(),
        "nobody": lines.request().replace(b"Bearer ", b"Bearer x"),
        "garbage": b"\x16\x03\x01\x02\r\n\r\n",
        "long head": lines.request(n, f"x: {'y' * 3000}"),
    }


@pytest.mark.requirement("SRV-01")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_caller_can_tell_which_way_a_request_went(lines: Lines, data: st.DataObject) -> None:
    kinds = _requests(lines)
    names = data.draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=5))
    stream = b"".join(kinds[name] for name in names)
    cuts = set(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    wait = data.draw(st.booleans())
    if not set(names).isdisjoint(BROKEN):
        # Behind a broken message uvicorn drops answers to those before it that came in the same piece.
        wait = True
        cuts |= {len(b"".join(kinds[name] for name in names[:count])) for count in range(len(names))}
    edges = sorted(cuts | {0, len(stream)})
    chunks = [stream[a:b] for a, b in pairwise(edges)]

    async def both() -> None:
        found = []
        for quick in (False, True):
            line = lines.connect(quick=quick)
            await line.feed(chunks, wait=wait)
            found.append((_answers(line.wire.written), line.wire.closed))
            line.protocol.connection_lost(None)
        assert found[1] == found[0], names

    asyncio.run(both())


HEALTH = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"


def statuses(line: Line) -> list[int]:
    return [int(first.split()[1]) for first, _, _ in _answers(line.wire.written)]


def test_whoever_does_not_read_answers_gets_no_more_of_them(lines: Lines) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        await line.feed([lines.request()], wait=True)
        line.protocol.pause_writing()
        line.protocol.data_received(lines.request() * 2 + HEALTH + lines.request()[:-1])
        for _ in range(TURNS):
            await asyncio.sleep(0)
        meanwhile = statuses(line)
        line.protocol.resume_writing()
        await line.settle()
        assert meanwhile == [200]
        await line.feed([lines.request()[-1:]], wait=True)
        assert statuses(line) == [200] * 5

    asyncio.run(run())


def test_whoever_reads_nothing_for_long_is_left(lines: Lines) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        line.protocol.timeout_keep_alive = 1_000  # which is not what ends it
        for stops in (False, True):
            line.protocol.pause_writing()
            line.timers.advance(100)
            assert not line.wire.closed
            if not stops:
                line.protocol.resume_writing()
        line.timers.advance(21)
        assert line.wire.closed

    asyncio.run(run())


def test_who_reads_a_long_answer_slowly_gets_all_of_it(tmp_path: Path) -> None:
    own = Lines(tmp_path / "home")  # its time goes far on

    async def run() -> None:
        line = own.connect(quick=True)
        line.protocol.timeout_keep_alive = 10_000
        line.wire.unread = 50_000_000
        line.protocol.pause_writing()
        for _ in range(5):
            line.wire.unread -= 9_000_000
            line.timers.advance(121)
            assert not line.wire.closed
        line.timers.advance(121)
        assert line.wire.closed, "nothing more was read"

    with closing(own.scene):
        asyncio.run(run())


def test_a_slow_body_is_not_cut_off_by_the_time_that_a_connection_may_be_idle(lines: Lines) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        await line.feed([HEALTH, lines.request()[:-5]], wait=True)
        line.timers.advance(line.protocol.timeout_keep_alive + 1)
        assert not line.wire.closed
        await line.feed([lines.request()[-5:]], wait=True)
        assert statuses(line) == [200, 200]
        await line.feed([lines.request()[:-5]], wait=True)
        line.timers.advance(lines.scoring.slowest_s)
        assert line.wire.closed, "there is an end to it"

    asyncio.run(run())


@pytest.mark.parametrize("quick", [True, False])
def test_the_last_answer_of_a_server_that_ends_says_so(lines: Lines, quick: bool) -> None:
    async def run() -> None:
        line = lines.connect(quick=quick)
        await line.feed([lines.request()], wait=True)
        line.protocol.data_received(lines.request())
        line.protocol.shutdown()
        await line.settle()
        first, last = (headers for _, headers, _ in _answers(line.wire.written))
        assert (first.get(b"connection"), last.get(b"connection")) == (None, b"close")
        assert line.wire.closed

    asyncio.run(run())


def test_a_connection_is_idle_from_the_last_answer_on_whoever_gave_it(lines: Lines) -> None:
    async def run() -> None:
        line = lines.connect(quick=True)
        await line.feed([lines.request()], wait=True)
        line.timers.advance(4.0)
        await line.feed([HEALTH], wait=True)
        line.timers.advance(2.0)
        assert not line.wire.closed
        await line.feed([lines.request()], wait=True)
        assert statuses(line) == [200] * 3
        line.timers.advance(4.0)
        assert not line.wire.closed
        line.timers.advance(1.0)
        assert line.wire.closed

    asyncio.run(run())


@pytest.mark.requirement("MCP-03")
def test_a_right_for_a_while_ends_on_time(lines: Lines) -> None:
    scene, now = lines.scene, lines.scene.clock.now()
    gina = scene.person("gina", "viewer")
    token = scene.door.tokens.issue(gina)
    scene.door.store.grants.add(
        Grant(
            id="g1",
            workspace="main",
            subject="gina",
            role="operator",
            resource="workspace:main",
            reason="a test",
            asked_by="gina",
            asked_at=now,
            duration_s=1,
            state="active",
            ends_at=now + timedelta(seconds=0.3),
        )
    )
    scene.door.store.epoch.advance()

    async def run() -> None:
        line = lines.connect(quick=True)
        for wait_s in (0.0, 0.2, 0.2):
            scene.clock.advance(wait_s)
            await line.feed([lines.request(token=token)], wait=True)
        assert statuses(line) == [200, 200, 403]

    asyncio.run(run())


def test_what_strangers_send_does_not_stay_in_memory() -> None:
    heads = Heads()
    head = "POST /v2/models/cars/infer HTTP/1.1\r\nauthorization: x\r\ncontent-length: 2\r\nx: {}\r\n\r\n"
    tracemalloc.start()
    try:
        for number in range(200):
            found = heads.find(head.format("y" * 15_000 + str(number)).encode())
            assert found is not None
            assert heads.find(head.format("y" * 20_000 + str(number)).encode()) is None
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_head_is_known_again_whatever_its_trace() -> None:
    heads = Heads()
    head = "POST /v2/models/cars/infer HTTP/1.1\r\nauthorization: x\r\n{}content-length: 2\r\n\r\n"
    plain = heads.find(head.format("").encode())
    assert plain is not None
    tracemalloc.start()
    try:
        for number in range(2_000):
            line = f"traceparent: 00-{number:032x}-b7ad6b7169203331-01\r\n"
            found = heads.find(head.format(line).encode())
            assert found == plain._replace(trace_id=f"{number:032x}")
        assert tracemalloc.get_traced_memory()[0] < 300_000
    finally:
        tracemalloc.stop()
    assert heads.find(head.format("Traceparent: nonsense\r\n").encode()) == plain
    assert heads.find(head.format("x-request-id: 7\r\n").encode()) == plain
    two = f"traceparent: 00-{1:032x}-b7ad6b7169203331-01\r\n"
    assert heads.find(head.format(two + two).encode()) is None


def test_a_connection_knows_a_head_again_whatever_its_trace(lines: Lines) -> None:
    n = f"content-length: {len(BODY)}"
    traces = [f"{number:032x}" for number in range(1, 5)]
    requests = [lines.request(f"traceparent: 00-{trace}-b7ad6b7169203331-01", n) for trace in traces]
    odd = lines.request(f"traceparent: 00-{'z' * 32}-b7ad6b7169203331-01", n)

    async def run() -> None:
        line = lines.connect(quick=True)
        await line.feed([*requests, odd, lines.request(n), requests[0]], wait=True)
        assert statuses(line) == [200] * 7

    before = len(lines.scene.predictions())
    asyncio.run(run())
    found = [prediction.trace_id for prediction in lines.scene.predictions()[before:]]
    assert found == [*traces, None, None, traces[0]]


def test_a_parsed_head_is_known_again_whatever_its_trace_and_never_when_a_line_comes_twice() -> None:
    heads = ParsedHeads()
    lines = [(b"authorization", b"x"), (b"content-length", b"2")]
    parent = f"00-{7:032x}-b7ad6b7169203331-01".encode()
    plain = heads.find("/v2/models/cars/infer", lines)
    assert plain is not None
    assert plain[1] is None
    traced = [(b"traceparent", parent), *lines, (b"x-request-id", b"9")]
    assert heads.find("/v2/models/cars/infer", traced) == (plain[0], f"{7:032x}")
    assert heads.find("/v2/models/cars/infer", [(b"traceparent", b"no"), *lines]) == plain
    assert heads.find("/v2/models/cars/infer", [*lines, (b"authorization", b"y")]) is None
    assert heads.find("/v2/models/cars/infer", [*lines, (b"expect", b"")]) is None
    assert heads.find("/v2/models/cars", lines) is None
