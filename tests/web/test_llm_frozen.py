"""An answer that is under way ends when its caller may do nothing any more, or nobody may ask."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import openai
import pytest

from headrace.app.credentials import revoke_tokens
from headrace.app.llm import stopping
from headrace.core.identity import Principal
from headrace.testing.scripted_answers import Answer
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, USER, Desk, client, read
from tests.web.test_llm_batches import line


def freeze(desk: Desk, me: Principal) -> None:
    desk.app.identities.freeze(me.name, "its token has leaked", actor=me.name)


def expire(desk: Desk, me: Principal) -> None:
    desk.app.identities.set_expiry(me.name, desk.app.clock.now() - timedelta(seconds=1), actor=me.name)


def revoke_all(desk: Desk, me: Principal) -> None:
    desk.app.access.revocations.end_all(me)


def lose_the_role(desk: Desk, me: Principal) -> None:
    desk.app.identities.add(me.name, ["auditor"], actor=desk.app.me().name)


def stop(desk: Desk, me: Principal) -> None:
    stopping.stop(desk.app, me, PROJECT, "it insults people")


BODY = json.dumps({"model": PROJECT, "messages": HELLO}).encode()
FORM = (
    b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
    b'content-disposition: form-data; name="file"; filename="q.jsonl"\r\n\r\n%b\r\n--b--\r\n' % line(1)
)
ENDS = [
    (freeze, "its token has leaked"),
    (expire, "has expired"),
    (revoke_all, "has been revoked"),
    (lose_the_role, "may not predict on project:support"),
    (stop, "it insults people"),
]


@pytest.mark.parametrize(("end", "said"), ENDS)
def test_a_stream_ends_with_its_callers_rights_and_is_no_failure_of_the_release(
    desk: Desk, end: Callable[[Desk, Principal], None], said: str
) -> None:
    desk.model.script = Answer(text="word " * 400, pause_s=0.01)
    stream = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True)
    pieces = [next(stream) for _ in range(5)]
    end(desk, desk.app.identities.resolve(USER))
    desk.server.parts.gateway.refresh()
    with pytest.raises(openai.APIError, match=said):
        pieces.extend(stream)
    assert len(pieces) < 300, "it ends in the midst of it"
    until(desk.answers)
    (answer,) = desk.answers()
    assert answer.outputs["finish"] == ["broken off"]
    assert str(answer.outputs["predict"][0]).startswith("word word"), "what was given is on record"
    assert not desk.failures()


def test_a_whole_answer_is_paid_and_not_given_to_whoever_was_frozen_meanwhile(desk: Desk) -> None:
    desk.model.script = Answer(text="word", delay_s=0.5)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client(desk).chat.completions.create, model=PROJECT, messages=HELLO)
        until(lambda: desk.model.asked)
        freeze(desk, desk.app.identities.resolve(USER))
        desk.server.parts.gateway.refresh()
        with pytest.raises(openai.AuthenticationError, match="its token has leaked"):
            asking.result()
    (answer,) = desk.answers()
    assert (answer.outputs["finish"], answer.outputs["predict"]) == (["broken off"], [""])
    assert answer.outputs["input_tokens"] == [10]
    assert not desk.failures()


def test_a_revoked_token_ends_what_it_began_and_nothing_else(desk: Desk) -> None:
    me = desk.app.identities.resolve(USER)
    issued = desk.app.tokens.mint(me)
    desk.model.script = Answer(text="word " * 150, pause_s=0.01)
    others = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True)
    its_own = (
        client(desk)
        .with_options(api_key=issued.text)
        .chat.completions.create(model=PROJECT, messages=HELLO, stream=True)
    )
    next(its_own)
    revoke_tokens(desk.app, me, USER, token=issued.id)
    desk.server.parts.gateway.refresh()
    with pytest.raises(openai.APIError, match="has been revoked"):
        list(its_own)
    assert read(others) == "word " * 150


def test_a_role_more_or_less_that_asking_does_not_need_ends_nothing(desk: Desk) -> None:
    desk.model.script = Answer(text="word " * 100, pause_s=0.01)
    stream = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True)
    next(stream)
    desk.app.identities.add(USER, ["operator", "auditor"], actor=desk.app.me().name)
    desk.server.parts.gateway.refresh()
    assert len(read(stream)) > 400


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/files",
        "/v2/models/support/infer",
        "/otlp/v1/traces",
        "/api/v1/predict/support",
    ],
)
def test_a_token_that_is_revoked_while_a_body_comes_is_refused(desk: Desk, path: str) -> None:
    me = desk.app.identities.resolve(USER)
    issued = desk.app.tokens.mint(me)
    body, kind = BODY, "application/json"
    if path == "/v1/files":
        body, kind = FORM, "multipart/form-data; boundary=b"
    if path.startswith("/api"):
        body = b'{"record": {"a": 1}}'
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {issued.text}\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    host, port = desk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as caller:
        caller.sendall(head.encode() + body[:9])
        since_s = time.monotonic()
        # Another request behind it is answered once this one is being read.
        assert httpx.get(f"{desk.url}/healthz").status_code == 200
        revoke_tokens(desk.app, me, USER, token=issued.id)
        until(lambda: time.monotonic() - since_s > 0.3)
        caller.sendall(body[9:])
        said = b"".join(iter(lambda: caller.recv(65_536), b""))
    assert said.startswith(b"HTTP/1.1 401"), said
    assert b"has been revoked" in said
    assert not desk.model.asked
