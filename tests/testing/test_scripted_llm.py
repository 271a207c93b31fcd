from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import openai
import pytest

from headrace.testing import ScriptedLLM
from headrace.testing.scripted_answers import (
    MALFORMED_STREAM,
    WRONG_JSON,
    Answer,
    Closes,
    Raw,
    Refusal,
    huge_chunk,
)
from headrace.testing.scripted_llm import CHAT, EMBEDDINGS, MESSAGES, Asked, Script

_HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
_STREAM = _HI | {"stream": True}
Serve = Callable[[Script], ScriptedLLM]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[ScriptedLLM] = []

    def start(script: Script) -> ScriptedLLM:
        running.append(ScriptedLLM(script).__enter__())
        return running[-1]

    yield start
    for llm in running:
        llm.__exit__()


def _post(llm: ScriptedLLM, body: dict[str, Any] = _HI, path: str = CHAT) -> httpx.Response:
    return httpx.post(llm.url + path, json=body, timeout=10)


def _data(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [msgspec.json.decode(line) for line in lines if line != "[DONE]"]


def test_the_openai_sdk_gets_whole_answers_streams_tools_vectors_and_models(serve: Serve) -> None:
    llm = serve(Answer(text="One two three.", prompt_tokens=7, cached_tokens=3))
    with openai.OpenAI(base_url=f"{llm.url}/v1", api_key="k") as client:
        asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        whole = client.chat.completions.create(**asked, n=2)
        assert [c.message.content for c in whole.choices] == ["One two three."] * 2
        assert whole.usage is not None
        assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (7, 6)
        with client.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        ) as events:
            chunks = list(events)
        said = [c.choices[0].delta.content for c in chunks if c.choices]
        assert said == ["", "One", " two", " three.", None]
        assert chunks[-1].usage.total_tokens == 10
        llm.script = Answer(tools=(("look_up", '{"id": 7}'),))
        call = client.chat.completions.create(**asked).choices[0]
        assert call.finish_reason == "tool_calls"
        assert call.message.tool_calls[0].function.arguments == '{"id": 7}'
        made = client.embeddings.create(model="e", input=["a", "b", "a"])
        assert made.data[0].embedding == made.data[2].embedding != made.data[1].embedding
        plain = client.embeddings.create(model="e", input="a", encoding_format="float", dimensions=8)
        assert plain.data[0].embedding == pytest.approx(made.data[0].embedding)
        assert [m.id for m in client.models.list()] == ["scripted-1"]


def test_it_speaks_as_anthropic_does(serve: Serve) -> None:
    llm = serve(Answer(text="One two.", prompt_tokens=9, cached_tokens=4))
    whole = _post(llm, path=MESSAGES).json()
    assert whole["content"] == [{"type": "text", "text": "One two."}]
    assert whole["usage"] == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
    }
    events = _data(_post(llm, _STREAM, MESSAGES).text)
    assert [e["type"] for e in events] == [
        "message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta",
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    llm.script = Answer(tools=(("look_up", '{"id": 7}'),))
    assert _post(llm, path=MESSAGES).json()["content"][0]["input"] == {"id": 7}
    pieces = [e["delta"] for e in _data(_post(llm, _STREAM, MESSAGES).text) if "delta" in e]
    assert pieces[0] == {"type": "input_json_delta", "partial_json": '{"id": 7}'}
    llm.script = Refusal()
    assert _post(llm, path=MESSAGES).json()["error"]["type"] == "rate_limit_error"


def test_the_same_request_gets_the_same_bytes(serve: Serve) -> None:
    llm = serve(Answer())
    assert _post(llm).content == _post(llm).content
    assert _post(llm, _STREAM).content == _post(llm, _STREAM).content


def test_it_keeps_what_it_was_asked(serve: Serve) -> None:
    llm = serve(Answer())
    httpx.post(llm.url + CHAT, json=_HI, headers={"X-Team": "claims"})
    (asked,) = llm.asked
    assert (asked.method, asked.path, asked.headers["x-team"]) == ("POST", CHAT, "claims")
    assert asked.json == _HI
    assert asked.over.wait(5)
    assert asked.ended == "answered"


def test_answers_come_in_turn_and_the_last_one_stays(serve: Serve) -> None:
    llm = serve([Refusal(status=500), Refusal(status=429, retry_after="2"), Answer()])
    assert [_post(llm).status_code for _ in range(4)] == [500, 429, 200, 200]
    llm.script = [Refusal(status=429, retry_after="2")]
    assert _post(llm).headers["retry-after"] == "2"
    llm.script = Refusal(status=429)
    assert "retry-after" not in _post(llm).headers


def test_a_function_decides_by_what_was_asked(serve: Serve) -> None:
    def script(asked: Asked) -> Answer:
        return Answer(text=asked.json["messages"][0]["content"].upper())

    assert _post(serve(script)).json()["choices"][0]["message"]["content"] == "HI"


def test_a_function_that_raises_is_told(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    refused = _post(serve(lambda asked: asked.json["absent"]))
    assert (refused.status_code, "KeyError" in refused.text) == (500, True)
    assert "raised" in caplog.text


def test_only_its_key_opens_it() -> None:
    with ScriptedLLM(key="secret") as llm:
        codes = [
            httpx.post(llm.url + CHAT, json=_HI, headers=headers).status_code
            for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "Bearer secret"})
        ]
        assert codes == [401, 401, 200]
        assert httpx.post(llm.url + MESSAGES, json=_HI, headers={"x-api-key": "secret"}).status_code == 200


def test_what_is_no_request_is_refused(serve: Serve) -> None:
    llm = serve(Answer())
    assert httpx.post(llm.url + CHAT, content=b"{").status_code == 400
    assert _post(llm, path="/v1/elsewhere").status_code == 404
    with socket.create_connection(("127.0.0.1", llm.port)) as plain:
        plain.sendall(b"nonsense\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 400")


def test_requests_sent_ahead_are_answered_in_order(serve: Serve) -> None:
    llm = serve(lambda asked: Answer(text=asked.json["user"], delay_s=0.02))
    with socket.create_connection(("127.0.0.1", llm.port)) as plain:
        for user in ("ann", "bob"):
            body = msgspec.json.encode(_HI | {"user": user})
            plain.sendall(
                b"POST %b HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (CHAT.encode(), len(body), body)
            )
        plain.settimeout(5)
        answer = b""
        while b"bob" not in answer:
            answer += plain.recv(65536)
    assert answer.index(b"ann") < answer.index(b"bob")


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_stream_is_cut(serve: Serve, path: str) -> None:
    llm = serve(Answer(cut_after=3))
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        _post(llm, _STREAM, path)
    assert llm.asked[0].ended == "cut"


def test_a_whole_answer_is_cut(serve: Serve) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="closed"):
        _post(serve(Answer(cut_after=1)))


def test_it_closes_at_once(serve: Serve) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="without sending"):
        _post(serve(Closes()))


def test_it_sends_what_is_no_answer(serve: Serve) -> None:
    llm = serve(WRONG_JSON)
    with pytest.raises(ValueError, match="Expecting"):
        _post(llm).json()
    llm.script = MALFORMED_STREAM
    assert "nonsense" in _post(llm, _STREAM).text
    llm.script = huge_chunk(3_000_000)
    assert len(_post(llm, _STREAM).content) == 3_000_006
    llm.script = Raw(body=b"<html>", status=502, content_type="text/html")
    assert _post(llm).status_code == 502


def test_a_stream_ends_without_saying_so(serve: Serve) -> None:
    llm = serve(Answer(without_done=True))
    assert "[DONE]" not in _post(llm, _STREAM).text
    assert "message_stop" not in _post(llm, _STREAM, MESSAGES).text


@pytest.mark.parametrize("answer", [Answer(stall_after=2), Answer(is_endless=True)])
def test_it_never_ends_and_notices_that_the_client_went(serve: Serve, answer: Answer) -> None:
    llm = serve(answer)
    with httpx.stream("POST", llm.url + CHAT, json=_STREAM, timeout=10) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        assert not llm.asked[0].over.is_set()
    assert llm.asked[0].over.wait(5)
    assert llm.asked[0].ended == "gone"


def test_it_waits_before_and_between(serve: Serve) -> None:
    llm = serve(Answer(delay_s=30.0))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(llm.url + CHAT, json=_HI, timeout=0.1)
    assert llm.asked[0].over.wait(5)
    assert llm.asked[0].ended == "gone"


def test_it_runs_on_an_event_loop_too() -> None:
    async def run() -> list[int]:
        async with ScriptedLLM() as llm, httpx.AsyncClient() as client:
            several = [client.post(llm.url + path, json=_HI) for path in (CHAT, EMBEDDINGS, MESSAGES)]
            return [answer.status_code for answer in await asyncio.gather(*several)]

    assert asyncio.run(run()) == [200, 200, 200]
