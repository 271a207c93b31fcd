from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.attached import (
    MAX_BYTES,
    AttachedAsgi,
    AttachedWsgi,
    Exchange,
    Outbox,
    Rows,
    attach,
    read_rows,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
ASKED = {"record": {"year": 2012.0, "listed": 9_000.0}}


class Sent:
    """Stands for the server: keeps rows, or fails as it is told to."""

    def __init__(self, *faults: Exception | bool) -> None:
        self.rows: Rows = []
        self.faults = list(faults)

    def __call__(self, rows: Rows) -> bool:
        fault = self.faults.pop(0) if self.faults else True
        if isinstance(fault, Exception):
            raise fault
        self.rows += rows if fault else []
        return fault


def outbox(sent: Callable[[Rows], bool], **more: Any) -> Outbox:
    return Outbox(sent, read_rows, every_s=0.001, **more)


def exchange(name: str = "e", request: Any = ASKED, answer: Any = 1.0) -> Exchange:
    return Exchange(name, AT, json.dumps(request).encode(), json.dumps(answer).encode())


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """Answers what is listed, in two pieces; a year of 0 breaks it, and one of 1 is refused."""
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            break
    row = json.loads(body)["record"]
    if row["year"] == 0:
        raise ValueError("no such year")
    status = 422 if row["year"] == 1 else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b'{"prediction": ', "more_body": True})
    await send({"type": "http.response.body", "body": b"%f}" % row["listed"]})


def wsgi_app(environ: dict[str, Any], start_response: Any) -> Any:
    """The same."""
    row = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))["record"]
    if row["year"] == 0:
        raise ValueError("no such year")
    start_response("422 No" if row["year"] == 1 else "200 OK", [("content-type", "application/json")])
    return [b'{"prediction": ', b"%f}" % row["listed"]]


def ask_asgi(app: Any, body: bytes, *, path: str = "/predict") -> tuple[int, bytes]:
    pieces = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:]},
    ]
    messages: list[Any] = []

    async def receive() -> Any:
        return pieces.pop(0)

    async def send(message: Any) -> None:
        messages.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": path}, receive, send))
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages)


def ask_wsgi(app: Any, body: bytes, *, path: str = "/predict") -> tuple[int, bytes]:
    told: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    answer = b"".join(app(environ, lambda line, _headers: told.append(line)))
    return int(told[0][:3]), answer


KINDS = [(AttachedAsgi, asgi_app, ask_asgi), (AttachedWsgi, wsgi_app, ask_wsgi)]


@pytest.mark.requirement("DEP-13")
@pytest.mark.parametrize(("kind", "app", "ask"), KINDS)
def test_the_application_answers_as_it_did_and_what_it_answered_is_sent(
    kind: Any, app: Any, ask: Any
) -> None:
    sent = Sent()
    attached = kind(app, "/predict", outbox(sent))
    body = json.dumps(ASKED).encode()
    assert ask(attached, body) == ask(app, body)
    assert ask(attached, body, path="/else") == ask(app, body)
    attached.outbox.close()
    (row,) = sent.rows
    assert (row["columns"], row["prediction"]) == ({"year": 2012.0, "listed": 9_000.0}, 9_000.0)
    assert set(row) == {"columns", "prediction", "id", "at"}
    assert (attached.outbox.counts.taken, attached.outbox.counts.sent) == (1, 1)


@pytest.mark.parametrize(("kind", "app", "ask"), KINDS)
def test_its_errors_stay_its_own_and_are_no_answers(kind: Any, app: Any, ask: Any) -> None:
    attached = kind(app, "/predict", outbox(Sent()))
    with pytest.raises(ValueError, match="no such year"):
        ask(attached, b'{"record": {"year": 0, "listed": 1}}')
    assert ask(attached, b'{"record": {"year": 1, "listed": 1}}')[0] == 422
    assert attached.outbox.counts.taken == 0


@pytest.mark.parametrize(("kind", "app", "ask"), KINDS)
def test_whatever_breaks_here_never_reaches_the_caller(kind: Any, app: Any, ask: Any) -> None:
    class Broken(Outbox):
        def put(self, exchange: Exchange) -> None:
            raise RuntimeError("ours")

    attached = kind(app, "/predict", Broken(Sent(), read_rows))
    assert ask(attached, json.dumps(ASKED).encode())[0] == 200
    assert attached.outbox.counts.broken == 1


@pytest.mark.parametrize(("kind", "app", "ask"), KINDS)
def test_what_is_too_long_is_passed_on_and_not_looked_at(kind: Any, app: Any, ask: Any) -> None:
    attached = kind(app, "/predict", outbox(Sent()))
    long = json.dumps({"record": ASKED["record"] | {"text": "x" * MAX_BYTES}}).encode()
    assert ask(attached, long) == ask(app, long)
    assert attached.outbox.counts.taken == 0


def test_a_full_buffer_drops_and_counts_and_nobody_waits() -> None:
    goes_on, began = threading.Event(), threading.Event()

    def slow(_: Rows) -> bool:
        began.set()
        return goes_on.wait(20)

    box = outbox(slow, max_waiting=3)
    box.put(exchange("first"))
    assert began.wait(20)
    for number in range(10):
        box.put(exchange(str(number)))
    assert (box.counts.taken, box.counts.dropped) == (11, 7)
    goes_on.set()
    box.close()
    assert box.counts.sent == 4


def test_a_server_that_is_away_gets_them_later_and_in_order() -> None:
    sent = Sent(ConnectionError(), ConnectionError())
    box = outbox(sent)
    for number in range(5):
        box.put(exchange(str(number)))
    deadline = threading.Event()
    for _ in range(4_000):
        if len(sent.rows) == 5:
            break
        deadline.wait(0.005)
    box.close()
    assert [row["id"] for row in sent.rows] == [f"{number}:0" for number in range(5)]
    assert (box.counts.sent, box.counts.lost) == (5, 0)


def test_what_nobody_knows_the_end_of_is_not_sent_twice_and_what_is_refused_is_counted() -> None:
    sent = Sent(TimeoutError())
    box = outbox(sent)
    box.put(exchange())
    box.close()
    assert (box.counts.lost, sent.rows) == (1, [])
    refused = outbox(Sent(False))
    refused.put(exchange())
    refused.close()
    assert refused.counts.refused == 1


def test_a_form_that_is_not_known_is_counted() -> None:
    sent = Sent()
    box = outbox(sent)
    box.put(exchange(request=[1, 2], answer=[1.0, 2.0]))
    box.put(exchange(request={"records": [{}, {}]}, answer=[1.0]))
    box.put(Exchange("e", AT, b"not json", b"1"))
    box.close()
    assert (box.counts.unread, sent.rows) == (3, [])


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers(), max_size=3), min_size=1, max_size=4))
def test_the_usual_forms_are_read_alike(records: list[dict[str, int]]) -> None:
    answers = list(range(len(records)))
    expected = [{"columns": r, "prediction": a} for r, a in zip(records, answers, strict=True)]
    for name in ("records", "instances", "dataframe_records"):
        assert read_rows({name: records}, {"predictions": answers}) == expected
    assert read_rows(records, answers) == expected


def test_the_kind_of_application_is_seen_by_itself() -> None:
    class Framework:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            """As FastAPI's."""

    given: dict[str, Any] = {
        "project": "prices",
        "version": "v7",
        "client_id": "prices",
        "client_secret": "s",
    }
    assert isinstance(attach(Framework(), **given), AttachedAsgi)
    assert isinstance(attach(asgi_app, **given), AttachedAsgi)
    assert isinstance(attach(wsgi_app, **given), AttachedWsgi)


def test_fastapi_and_flask_take_the_line_as_it_is() -> None:
    from fastapi import Body, FastAPI
    from flask import Flask, request

    fast = FastAPI()

    @fast.post("/predict")
    def predict(record: dict[str, float] = Body(embed=True)) -> dict[str, float]:  # noqa: B008
        return {"prediction": record["listed"]}

    flask = Flask("prices")

    @flask.post("/predict")
    def predict_too() -> dict[str, float]:
        return {"prediction": request.get_json()["record"]["listed"]}

    sent, also_sent = Sent(), Sent()
    attached = AttachedAsgi(fast, "/predict", outbox(sent))

    async def ask() -> Any:
        transport = httpx.ASGITransport(attached)
        async with httpx.AsyncClient(transport=transport, base_url="http://there") as client:
            return (await client.post("/predict", json=ASKED)).json()

    assert asyncio.run(ask()) == {"prediction": 9_000.0}
    attached.outbox.close()
    wsgi = AttachedWsgi(flask.wsgi_app, "/predict", outbox(also_sent))
    flask.wsgi_app = wsgi  # type: ignore[method-assign]
    assert flask.test_client().post("/predict", json=ASKED).json == {"prediction": 9_000.0}
    wsgi.outbox.close()
    for one in (sent, also_sent):
        assert [row["prediction"] for row in one.rows] == [9_000.0]
