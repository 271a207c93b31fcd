"""The protocol over real sockets: what it answers itself, and what it leaves to the application."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.access.activity import SEEN
from headrace.core.project import ServingSpec
from headrace.serving.microbatch import MicroBatches
from headrace.serving.one_row import OneRow
from headrace.serving.plain_rows import Scoring
from headrace.serving.wire import Receive, Scope, Send
from headrace.store.records import decode_prediction
from headrace.web.http_protocol import protocol_of
from tests.serving.scene import Classifier, Scene, StubModel

TENSORS = [
    {"name": "mileage", "shape": [1], "datatype": "FP64", "data": [12.5]},
    {"name": "model", "shape": [1], "datatype": "BYTES", "data": ["a4"]},
    {"name": "leased", "shape": [1], "datatype": "BOOL", "data": [True]},
]
BODY = json.dumps({"inputs": TENSORS}).encode()


class Counting(StubModel):
    """Remembers how many rows each call had."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def score(self, columns: Any) -> dict[str, Any]:
        self.calls.append(len(columns["mileage"]))
        return super().score(columns)


@dataclass
class Live:
    """A server under way; ``handed`` are the paths that the application was asked for."""

    scene: Scene
    port: int
    token: str
    scoring: Scoring
    loop: asyncio.AbstractEventLoop
    handed: list[str] = field(default_factory=list)

    def request(self, body: bytes = BODY, path: str = "/v2/models/cars/infer", **headers: str) -> bytes:
        lines = {
            "host": "x",
            "authorization": f"Bearer {self.token}",
            "content-length": str(len(body)),
        } | headers
        text = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        return f"POST {path} HTTP/1.1\r\n{text}\r\n".encode() + body

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def turn(self) -> None:
        """Wait until the server's loop has read what was sent to it."""
        for _ in range(2):
            passed = threading.Event()
            self.loop.call_soon_threadsafe(passed.set)
            assert passed.wait(10)

    def ask(self, *parts: bytes, answers: int = 1) -> list[tuple[int, dict[str, str], Any]]:
        """Send ``parts`` one after the other on one connection."""
        with closing(self.connect()) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in parts:
                link.sendall(part)
                self.turn()
            return read_answers(link, answers)


def read_answers(link: socket.socket, count: int) -> list[tuple[int, dict[str, str], Any]]:
    """Status, headers and JSON of the next answers; fewer when the connection ends."""
    found: list[tuple[int, dict[str, str], Any]] = []
    data = b""
    while len(found) < count:
        while b"\r\n\r\n" not in data:
            more = link.recv(65536)
            if not more:
                return found
            data += more
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers["content-length"])
        while len(data) < length:
            data += link.recv(65536)
        body, data = data[:length], data[length:]
        parsed = json.loads(body) if headers.get("content-type", "").startswith("application/json") else body
        found.append((int(first.split()[1]), headers, parsed))
    return found


@contextmanager
def serving(
    tmp_path: Path, *, model: StubModel | None = None, trusted: str = "127.0.0.1", **spec: Any
) -> Iterator[Live]:
    """A server with a loop in a thread of its own."""
    scene = Scene(tmp_path / "home", live=model)
    scene.project = replace(scene.project, serving=ServingSpec(**spec))
    parts = (scene.routes, scene.models, scene.recorder, scene.clock)
    rules_of = scene.handler._rules_of
    batches = MicroBatches(scene.handler, *parts, rules_of=rules_of)
    scoring = Scoring(batches, scene.door.gatekeeper, scene.door.store.epoch, scene.clock, slowest_s=0.2)
    handed: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    started = threading.Event()

    def run() -> None:
        async def serve() -> None:
            loops.append(asyncio.get_running_loop())
            started.set()
            await server.serve(sockets=[listener])

        uvloop.run(serve())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        handed.append(scope["path"])
        await scene.app(scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol_of(scoring),
        lifespan="off",
        log_level="error",
        access_log=False,
        forwarded_allow_ips=trusted,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    token = scene.door.tokens.issue(scene.caller)
    try:
        yield Live(scene, listener.getsockname()[1], token, scoring, loops[0], handed)
    finally:
        server.should_exit = True
        thread.join(10)
        scene.recorder.close()
        assert not thread.is_alive()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with serving(tmp_path) as found:
        yield found


def _alike(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from one to the next."""
    changing = {"id": "", "parameters": answer["parameters"] | {"prepare_ms": 0, "infer_ms": 0}}
    return answer | changing


@pytest.mark.requirement("SRV-06")
def test_a_plain_row_is_answered_without_the_application_and_recorded(live: Live) -> None:
    [(status, headers, answer)] = live.ask(live.request())
    assert (status, headers["headrace-record"], live.handed) == (200, "stored", [])
    assert answer["outputs"] == [{"name": "predict", "shape": [1], "datatype": "FP64", "data": [12.5]}]
    [prediction] = live.scene.predictions()
    assert prediction.id == answer["id"]
    assert prediction.columns == {"mileage": [12.5], "model": ["a4"], "leased": [True]}
    assert (prediction.principal, prediction.release_id, prediction.arm) == ("caller", "r1", "live")


def test_each_row_counts_as_a_use_of_the_right_to_predict(live: Live) -> None:
    live.ask(live.request(), live.request(), answers=2)
    live.ask(live.request())
    door = live.scene.door
    door.access.uses.flush()
    [use] = [one for one in door.store.uses.list() if one.action == "predict"]
    assert (use.principal, use.resource, use.count) == ("caller", "project:cars", 3)


def test_the_answer_is_what_the_application_would_have_said(live: Live) -> None:
    [(_, _, quick)] = live.ask(live.request())
    [(_, _, ordinary)] = live.ask(live.request(expect=""))
    assert live.handed == ["/v2/models/cars/infer"]
    assert _alike(quick) == _alike(ordinary)
    assert list(quick) == list(ordinary)


@pytest.mark.parametrize("classes", [("no", "yes"), ("low", "middle", "high")])
def test_classes_come_with_their_probabilities_and_confidence(tmp_path: Path, classes: Sequence[str]) -> None:
    with serving(tmp_path, model=Classifier(*classes)) as live:
        [(_, _, quick)] = live.ask(live.request())
        [(_, _, ordinary)] = live.ask(live.request(expect=""))
    assert live.handed == ["/v2/models/cars/infer"]
    assert _alike(quick) == _alike(ordinary)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_a_request_may_come_in_any_pieces(live: Live, data: st.DataObject) -> None:
    kinds = [live.request(), live.request(expect=""), live.request(b"{}")]
    sent = b"".join(data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4)))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=4)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    expected = [400 if b"{}" in part[-2:] else 200 for part in sent.split(b"POST ")[1:]]
    answers = live.ask(*pieces, answers=len(expected))
    assert [status for status, _, _ in answers] == expected


def test_pipelined_requests_are_answered_in_their_order(live: Live) -> None:
    metadata = b"GET /v2 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n\r\n" % live.token.encode()
    rows = [live.request(BODY.replace(b"12.5", b"%d.5" % number)) for number in range(6)]
    answers = live.ask(b"".join([*rows[:3], metadata, *rows[3:]]), answers=7)
    said = [answer.get("name") or answer["outputs"][0]["data"][0] for _, _, answer in answers]
    assert said == [0.5, 1.5, 2.5, "headrace", 3.5, 4.5, 5.5]


def test_a_request_within_the_body_of_another_is_no_request(live: Live) -> None:
    inner = live.request()
    outer = live.request(inner, path="/v2/models/other/infer", expect="")
    cut = len(outer) - len(inner)
    answers = live.ask(outer[:cut], outer[cut:], answers=2)
    assert [status for status, _, _ in answers] == [400]
    assert live.scene.predictions() == []


@pytest.mark.parametrize(
    "head",
    [
        "content-length: {n}\r\ncontent-length: 1\r\n",
        "content-length: 1\r\ncontent-length: {n}\r\n",
        "content-length: {n}\r\ntransfer-encoding: chunked\r\n",
        "content-length: {n}\r\nx: y\r\n folded\r\n",
        "content-length: +{n}\r\n",
        "content-length: {n}, {n}\r\n",
        "content-length : {n}\r\n",
    ],
)
def test_an_ambiguous_length_is_never_taken_here(live: Live, head: str) -> None:
    first = f"POST /v2/models/cars/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {live.token}\r\n"
    for _ in range(2):
        answers = live.ask(first.encode() + head.format(n=len(BODY)).encode() + b"\r\n" + BODY)
        assert all(status != 200 or live.handed for status, _, _ in answers)
    assert len(live.scene.predictions()) <= len(live.handed)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"authorization": "Bearer no"}, 401),
        ({"path": "/v2/models/unknown/infer"}, 404),
        ({"body": b'{"inputs": 1}'}, 400),
        ({"body": BODY.replace(b"mileage", b"milage")}, 400),
        ({"body": BODY.replace(b"12.5", b"1e999")}, 400),
        ({"body": BODY.replace(b"12.5", b"9" * 400)}, 400),
        ({"body": BODY[:-1]}, 400),
        ({"path": "/v2/models/cars/infer?x=1"}, 200),
    ],
)
def test_whatever_is_not_plain_is_for_the_application(
    live: Live, change: dict[str, Any], status: int
) -> None:
    answers = live.ask(live.request(**change), live.request(), answers=2)
    assert [code for code, _, _ in answers] == [status, 200]
    # What comes while the application is at work on a message of the same connection waits there.
    assert 1 <= len(live.handed) <= 2


@pytest.mark.requirement("MCP-03")
def test_a_right_that_ends_between_two_requests_ends_at_once(live: Live) -> None:
    door = live.scene.door
    with closing(live.connect()) as link:
        link.sendall(live.request())
        assert read_answers(link, 1)[0][0] == 200
        door.identities.add("caller", ["auditor"], actor="root")
        link.sendall(live.request())
        assert read_answers(link, 1)[0][0] == 403
        door.identities.add("caller", ["operator"], actor="root")
        link.sendall(live.request())
        assert read_answers(link, 1)[0][0] == 200
        door.identities.freeze("caller", "a test", actor="root")
        link.sendall(live.request())
        assert read_answers(link, 1)[0][0] == 401


@pytest.mark.requirement("MCP-03")
def test_a_token_is_refused_from_the_second_on_in_which_it_ends(live: Live) -> None:
    with closing(live.connect()) as link:
        for wait_s, status in ((0.0, 200), (899.0, 200), (1.0, 401)):
            live.scene.clock.advance(wait_s)
            link.sendall(live.request())
            assert read_answers(link, 1)[0][0] == status


def test_rows_that_come_together_are_scored_together(tmp_path: Path) -> None:
    model = Counting()
    with serving(tmp_path, model=model) as live:
        links = [live.connect() for _ in range(20)]
        for link in links:
            link.sendall(live.request())
            read_answers(link, 1)
        model.calls.clear()
        # While the loop is busy elsewhere, all of them arrive.
        free = threading.Event()
        live.loop.call_soon_threadsafe(free.wait, 10)
        for link in links:
            link.sendall(live.request())
        free.set()
        answers = [read_answers(link, 1)[0] for link in links]
        for link in links:
            link.close()
    assert [answer["outputs"][0]["data"] for _, _, answer in answers] == [[12.5]] * 20
    assert len({answer["id"] for _, _, answer in answers}) == 20
    assert sum(model.calls) == 20
    assert max(model.calls) > 1


def test_a_model_that_fails_fails_each_row_by_itself(tmp_path: Path) -> None:
    model = StubModel()
    with serving(tmp_path, model=model) as live:
        assert live.ask(live.request())[0][0] == 200
        model.error = ValueError("no")
        assert live.ask(live.request())[0][0] == 500
        assert len(live.scene.failures()) == 1
        model.error = None
        assert live.ask(live.request())[0][0] == 200
    assert len(live.scene.predictions()) == 2


def test_a_row_that_follows_another_does_not_take_the_answers_of_others(live: Live) -> None:
    """What is wrong with the next row of one connection is seen while a batch of many is being answered."""
    links = [live.connect() for _ in range(3)]
    free = threading.Event()
    live.loop.call_soon_threadsafe(free.wait, 10)
    links[0].sendall(live.request() + live.request(BODY.replace(b"12.5", b"9" * 400)))
    for link in links[1:]:
        link.sendall(live.request())
    free.set()
    assert [read_answers(link, 1)[0][0] for link in links] == [200, 200, 200]
    for link in links:
        link.close()


@pytest.mark.slow
def test_whoever_does_not_read_the_answers_is_asked_to_wait(live: Live) -> None:
    """Neither what is asked on one connection nor what is answered gathers without end."""
    with closing(socket.socket()) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", live.port))
        link.settimeout(0.5)
        rows = live.request() * 60_000
        with pytest.raises(TimeoutError):
            link.sendall(rows)


@pytest.mark.parametrize(
    ("trusted", "said", "network"),
    [
        ("127.0.0.1", "93.184.216.34", "93.184.0.0/16"),
        ("127.0.0.1", "1.2.3.4, 93.184.216.34", "93.184.0.0/16"),
        ("10.9.9.9", "93.184.216.34", "private"),
    ],
)
def test_a_client_is_who_the_proxy_says_if_the_proxy_is_trusted_whichever_way_it_goes(
    tmp_path: Path, trusted: str, said: str, network: str
) -> None:
    with serving(tmp_path, trusted=trusted) as live:
        quick, ordinary = live.request(x_forwarded_for=said), live.request(x_forwarded_for=said, expect="")
        for request in (quick, ordinary):
            assert live.ask(request)[0][0] == 200
            activity = live.scene.door.access.activity
            seen = [principal.session for principal, action, *_ in activity._noted if action == SEEN]
            assert getattr(seen[-1], "network", None) == network
            activity._noted.clear()
        assert live.handed == ["/v2/models/cars/infer"], "only the one that is not plain"


def test_a_client_that_does_not_go_on_is_left(live: Live) -> None:
    with closing(live.connect()) as link:
        link.sendall(live.request()[:-5])
        assert link.recv(1) == b""


def test_a_client_that_has_gone_harms_nobody(live: Live) -> None:
    for _ in range(5):
        link = live.connect()
        link.sendall(live.request() * 3)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        link.close()
        half = live.connect()
        half.sendall(live.request())
        half.shutdown(socket.SHUT_WR)
        half.close()
    assert live.ask(live.request())[0][0] == 200


def test_a_trace_that_the_request_belongs_to_is_recorded(live: Live) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    live.ask(live.request(traceparent=f"00-{trace}-b7ad6b7169203331-01"))
    assert [prediction.trace_id for prediction in live.scene.predictions()] == [trace]


def test_a_canary_gets_its_share_of_rows_without_a_key(tmp_path: Path) -> None:
    with serving(tmp_path) as live:
        live.scene.shelf.models["r2"] = StubModel(bias=100.0)
        live.scene.weigh(0.5)
        with closing(live.connect()) as link:
            link.sendall(live.request() * 60)
            answers = read_answers(link, 60)
    arms = [answer["parameters"]["arm"] for _, _, answer in answers]
    assert {"live", "canary"} == set(arms)
    assert live.handed == []
    for prediction in live.scene.predictions():
        assert prediction.outputs["predict"] == [112.5 if prediction.arm == "canary" else 12.5]


@pytest.mark.requirement("DEP-03")
def test_a_split_that_begins_and_ends_between_rows_of_a_connection_loses_none(tmp_path: Path) -> None:
    with serving(tmp_path) as live:
        live.scene.shelf.models["r2"] = StubModel(bias=100.0)
        answers = []
        with closing(live.connect()) as link:
            weigh, split = live.scene.weigh, live.scene.split
            for turn, share in ((weigh, 0.0), (split, 0.5), (weigh, 0.0)):
                turn(share)
                link.sendall(live.request() * 40)
                answers.append(read_answers(link, 40))
    assert {status for part in answers for status, _, _ in part} == {200}
    arms = [{answer["parameters"]["arm"] for _, _, answer in part} for part in answers]
    assert arms == [{"live"}, {"a", "b"}, {"live"}]
    recorded = live.scene.predictions()
    assert len(recorded) == 120
    for prediction in recorded:
        assert prediction.outputs["predict"] == [112.5 if prediction.arm == "b" else 12.5]


def test_what_may_not_be_written_down_is_not(tmp_path: Path) -> None:
    with serving(tmp_path) as live:
        privacy = replace(live.scene.project.privacy, fields={"model": "drop", "mileage": "mask"})
        live.scene.project = replace(live.scene.project, privacy=privacy)
        assert live.ask(live.request())[0][0] == 200
    [prediction] = live.scene.predictions()
    assert "model" not in prediction.columns
    assert prediction.columns["mileage"] != [12.5]


def test_records_are_read_by_their_names(live: Live) -> None:
    one = OneRow("cars", live.scene.models.get("r1"), "live")
    assert one.read("record", b'{"record":{"leased":null,"model":"a3","mileage":7}}') == (7.0, "a3", None)
    for body in (
        b'{"record":{"model":"a3","mileage":7}}',
        b'{"record":{"leased":true,"model":"a3","mileage":7,"x":1}}',
        b'{"record":{"leased":1,"model":"a3","mileage":7}}',
        b'{"record":{"leased":true,"model":"a3","mileage":"7"}}',
        b'{"record":{"leased":true,"model":"never seen","mileage":7}}',
        b'{"records":[]}',
        b"[",
    ):
        assert one.read("record", body) is None


def test_both_forms_of_the_record_are_read_back(live: Live) -> None:
    live.ask(live.request())
    asyncio.run(_ordinary(live.scene))
    short, long = live.scene.predictions()
    assert replace(short, id="", at=long.at, event_time=long.at, prepare_ms=0.0, infer_ms=0.0) == replace(
        long, id="", event_time=long.at, prepare_ms=0.0, infer_ms=0.0
    )
    for record in live.scene._records("cars/predictions"):
        assert decode_prediction(record).n_rows == 1


async def _ordinary(scene: Scene) -> None:
    row: dict[str, list[Any]] = {"mileage": [12.5], "model": ["a4"], "leased": [True]}
    await scene.handler.predict("cars", row, principal=scene.caller)
