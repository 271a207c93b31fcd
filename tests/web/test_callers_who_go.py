"""A caller who hangs up before anything of an answer has come, by the server's own protocol."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.gateway.llm.spending import limit_of
from headrace.projects.llm import Budget
from headrace.testing.scripted_answers import Answer
from headrace.testing.scripted_llm import Asked
from headrace.web.server import Server
from tests.pace import until
from tests.web.conftest import aside
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, client, prompted, read

SLOW = Answer(delay_s=30.0)
CHAT: dict[str, Any] = {"messages": HELLO}
MESSAGES: dict[str, Any] = {"messages": HELLO, "max_tokens": 9}
RESPONSE: dict[str, Any] = {"input": "May I return it?"}
VECTORS: dict[str, Any] = {"input": "May I return it?"}
doors = pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("chat/completions", CHAT, "local/small"),
        ("chat/completions", CHAT, "claude/small"),
        ("messages", MESSAGES, "claude/small"),
        ("responses", RESPONSE, "local/small"),
    ],
)


@pytest.fixture
def desk(tmp_path: Path, listen: Callable[..., str]) -> Iterator[Desk]:
    """As the usual one, by the protocol that ``headrace up`` uses."""

    def by_its_own(server: Server) -> str:
        return listen(server, server.protocol)

    with aside(prompted(tmp_path / "home", by_its_own)) as found:
        yield found


def request(desk: Desk, path: str, body: dict[str, Any], **more: Any) -> bytes:
    """What a caller sends."""
    said = json.dumps(body | {"model": PROJECT} | more).encode()
    head = (
        f"POST /v1/{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {desk.token()}\r\n"
        f"content-length: {len(said)}\r\n\r\n"
    )
    return head.encode() + said


def call(desk: Desk) -> socket.socket:
    host, port = desk.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)))


def ask_and_go(desk: Desk, sent: bytes, n_asked: int = 1) -> None:
    """Ask, wait until the model works, and hang up."""
    with call(desk) as caller:
        caller.sendall(sent)
        until(lambda: len(desk.model.asked) == n_asked)


def require_gone(asked: Asked) -> None:
    """Long before it would have answered."""
    assert asked.over.wait(10)
    assert asked.ended == "gone"


def next_is_answered(desk: Desk) -> None:
    desk.model.script = Answer()
    assert read(client(desk).chat.completions.create(model=PROJECT, messages=HELLO))


@doors
@pytest.mark.parametrize("stream", [False, True])
def test_the_providers_work_ends_and_is_on_record(
    desk: Desk, path: str, body: dict[str, Any], model: str, *, stream: bool
) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = SLOW
    ask_and_go(desk, request(desk, path, body, stream=stream))
    require_gone(desk.model.asked[0])
    until(desk.answers)
    (left,) = desk.answers()
    assert (left.outputs["finish"], left.outputs["predict"]) == (["broken off"], [""])
    assert left.columns == {"question": ["May I return it?"]}
    assert not desk.failures()
    next_is_answered(desk)


def test_vectors_that_nobody_waits_for_are_not_made(desk: Desk) -> None:
    desk.release(replace(PROMPT, embeddings=("local/vectors",)))
    desk.model.script = SLOW
    ask_and_go(desk, request(desk, "embeddings", VECTORS))
    require_gone(desk.model.asked[0])
    until(lambda: list(desk.records("embeddings")))
    assert not desk.failures()


def test_a_stream_whose_first_piece_says_nothing_ends_too(desk: Desk) -> None:
    desk.model.script = Answer(stall_after=1)
    ask_and_go(desk, request(desk, "chat/completions", CHAT, stream=True))
    require_gone(desk.model.asked[0])
    until(desk.answers)
    assert desk.answers()[0].outputs["finish"] == ["broken off"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_may_have_been_spent_is_paid(desk: Desk, *, stream: bool) -> None:
    """Who hangs up each time gets no work for nothing: nobody knows how far the provider had come."""
    requests: Any = {"per": "project", "of": "requests", "most": 2, "period": "total"}
    tokens: Any = {"per": "project", "of": "tokens", "most": 200_000, "period": "total"}
    desk.release(replace(PROMPT, parameters={"max_tokens": 40_000}), llm={"budgets": [requests, tokens]})
    desk.model.script = SLOW
    for n_asked in (1, 2):
        ask_and_go(desk, request(desk, "chat/completions", CHAT, stream=stream), n_asked)
        require_gone(desk.model.asked[-1])
        until(lambda: len(desk.answers()) == len(desk.model.asked))
    refused = httpx.post(
        f"{desk.url}/v1/chat/completions",
        json=CHAT | {"model": PROJECT},
        headers={"authorization": f"Bearer {desk.token()}"},
    )
    assert refused.status_code == 429
    budgets = desk.server.parts.gateway.budgets
    budgets.give_back(0.0)
    (standing,) = budgets.standing([limit_of(Budget(**tokens), PROJECT, "main", USER)])
    assert 80_000 < standing.spent < 81_000


@pytest.mark.parametrize("stream", [False, True])
def test_one_that_hangs_up_while_two_are_asked_stops_and_pays_both(desk: Desk, *, stream: bool) -> None:
    two = replace(PROMPT, models=("local/one", "claude/two"))
    desk.release(two, llm={"hedge_after_ms": 20})
    desk.model.script = SLOW
    ask_and_go(desk, request(desk, "chat/completions", CHAT, stream=stream), n_asked=2)
    for asked in desk.model.asked:
        require_gone(asked)
    until(desk.answers)
    assert desk.answers()[0].outputs["lost"] == ["claude/two"]


def test_a_long_question_hides_nobody_who_goes(desk: Desk) -> None:
    """Reading pauses while much has come that nobody has taken yet."""
    long: list[Any] = [{"role": "user", "content": "May I return it? " * 30_000}]
    desk.model.script = SLOW
    ask_and_go(desk, request(desk, "chat/completions", {"messages": long}))
    require_gone(desk.model.asked[0])


@pytest.mark.parametrize("stream", [False, True])
def test_one_with_more_requests_on_the_way_ends_the_first(desk: Desk, *, stream: bool) -> None:
    desk.model.script = Answer(is_endless=True, pause_s=0.01) if stream else SLOW
    sent = request(desk, "chat/completions", CHAT, stream=stream)
    ask_and_go(desk, sent + request(desk, "chat/completions", CHAT))
    require_gone(desk.model.asked[0])
    until(desk.answers)
    assert len(desk.model.asked) == 1, "nobody waits for the second"


def test_a_connection_is_kept_and_answers_come_in_their_order(desk: Desk) -> None:
    """Requests that come together, and one after them: a call is one connection's as long as it lasts."""
    desk.model.script = [Answer(text="one", delay_s=0.2), Answer(text="two"), Answer(text="three"), SLOW]
    sent = request(desk, "chat/completions", CHAT)
    with call(desk) as caller:
        caller.sendall(sent * 2)
        came = until_said(caller, "two")
        assert came.index("one") < came.index("two")
        caller.sendall(sent)
        until_said(caller, "three")
        caller.sendall(sent)
        until(lambda: len(desk.model.asked) == 4)
    require_gone(desk.model.asked[3])
    until(lambda: len(desk.answers()) == 4)
    finished = [one.outputs["finish"][0] for one in desk.answers()]
    assert finished == ["stop", "stop", "stop", "broken off"]


def until_said(caller: socket.socket, text: str) -> str:
    came = ""
    while text not in came:
        piece = caller.recv(65_536)
        assert piece, came
        came += piece.decode()
    return came


def test_whoever_has_an_answer_and_goes_has_broken_off_nothing(desk: Desk) -> None:
    with call(desk) as caller:
        caller.sendall(request(desk, "chat/completions", CHAT))
        until_said(caller, "This is a scripted answer.")
    next_is_answered(desk)
    assert [one.outputs["finish"] for one in desk.answers()] == [["stop"], ["stop"]]


@doors
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_a_caller_who_has_said_all_and_listens_gets_the_answer(
    desk: Desk, path: str, body: dict[str, Any], model: str, *, stream: bool, pause_s: float
) -> None:
    desk.release(replace(PROMPT, models=(model,)))
    desk.model.script = Answer(text="Within thirty days.", delay_s=pause_s, pause_s=pause_s / 4)
    with call(desk) as caller:
        caller.sendall(request(desk, path, body, stream=stream))
        caller.shutdown(socket.SHUT_WR)
        caller.settimeout(20)
        said = b"".join(iter(lambda: caller.recv(65_536), b""))
    head, _, _ = said.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK"), said
    assert b"days." in said
    until(desk.answers)
    assert desk.answers()[0].outputs["finish"] != ["broken off"]


@pytest.mark.parametrize("stays_s", [0.0, 0.4])
def test_a_caller_who_has_said_all_listens_for_a_while_and_goes_ends_the_work(
    desk: Desk, stays_s: float
) -> None:
    desk.model.script = SLOW
    with call(desk) as caller:
        caller.sendall(request(desk, "chat/completions", CHAT))
        caller.shutdown(socket.SHUT_WR)
        until(lambda: len(desk.model.asked) == 1)
        caller.settimeout(stays_s or 10)
        with suppress(TimeoutError):  # what comes is read: nothing unread tells the server on its own
            while caller.recv(65_536) and stays_s:
                pass
    require_gone(desk.model.asked[0])
    until(desk.answers)
    assert desk.answers()[0].outputs["finish"] == ["broken off"]


@pytest.mark.parametrize("script", [Answer(pause_s=0.3), Answer(stall_after=2)], ids=["goes on", "stalls"])
def test_a_caller_who_says_no_more_within_a_stream_gets_the_rest_as_long_as_it_comes(
    desk: Desk, script: Answer
) -> None:
    desk.model.script = script
    with call(desk) as caller:
        caller.settimeout(20)
        caller.sendall(request(desk, "chat/completions", CHAT, stream=True))
        said = until_said(caller, "This")
        caller.shutdown(socket.SHUT_WR)
        said += b"".join(iter(lambda: caller.recv(65_536), b"")).decode()
    assert ("[DONE]" in said) is (script.stall_after is None)
    until(desk.answers)
    assert (desk.answers()[0].outputs["finish"] == ["broken off"]) is (script.stall_after is not None)
