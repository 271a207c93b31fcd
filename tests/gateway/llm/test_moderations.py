"""What is read of a request for a verdict, what leaves of it, and what the answer says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.personal import PersonalData
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.llm.guarding import Guarded
from headrace.gateway.llm.loaded import Loaded
from headrace.gateway.llm.moderations import MAX_INPUTS, read_moderations
from headrace.gateway.prompts import Prompt

PROMPT = Prompt(template="Be kind.", models=("local/small",))
PICTURE = {"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "support", "input": "How long?"} | fields).encode()


def result(*found: str, flagged: bool | None = None) -> dict[str, Any]:
    categories = {name: name in found for name in ("hate", "violence")}
    return {"flagged": bool(found) if flagged is None else flagged, "categories": categories}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"[]", "no request for moderation"),
        (b"[" * 100_000, "no request for moderation"),
        (b'{"input": "a"}', "'model' is missing"),
        (body(model=""), "'model' is missing"),
        (body(n=2), "unknown field `n`"),
        (body(input=[]), "0 entries"),
        (body(input=["a"] * (MAX_INPUTS + 1)), "2,049 entries"),
        (body(input=["a", ""]), "entry 1 is an empty text"),
        (body(input=["a", PICTURE]), "entry 1 is no such part"),
        (body(input=[PICTURE, "a"]), "entry 1 is no such part"),
        (body(input=[{"type": "text", "text": "a", "more": "bob@example.org"}]), "entry 0 is no such part"),
        (body(input=[{"type": "audio"}]), "entry 0 is no such part"),
        (body(input=None), "entry 0 is no such part"),
        (body(user="u" * 600), "600 characters"),
    ],
)
def test_a_request_that_is_none_is_refused_by_name(sent: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_moderations(sent)


@pytest.mark.parametrize(
    ("sent", "leaves", "asked"),
    [
        ("Hi", "Hi", "Hi"),
        (["I am bob@example.org", "b"], ["I am <EMAIL>", "b"], "I am bob@example.org\nb"),
        (
            [PICTURE, {"type": "text", "text": "of bob@example.org"}],
            [PICTURE, {"type": "text", "text": "of <EMAIL>"}],
            "of bob@example.org",
        ),
    ],
)
def test_guards_look_at_every_text_and_the_form_stays(sent: Any, leaves: Any, asked: str) -> None:
    request = read_moderations(body(input=sent, user="ada"))
    assert request.question == asked
    filled = request.filled(PROMPT, Guarded(Pipeline([PersonalData()])))
    assert json.loads(filled.for_model("judge")) == {"model": "judge", "input": leaves}
    assert (filled.most_output(500), filled.texts) == (0, ())


def test_a_picture_is_held_back_for_as_a_large_one() -> None:
    filled = read_moderations(body(input=[PICTURE])).filled(PROMPT, Guarded(Pipeline([])))
    assert filled.most_input > 3_000


def test_what_was_found_is_recorded() -> None:
    request = read_moderations(body(input=["a", "b"]))
    said = {"model": "judge-1", "results": [result("violence"), result("hate", "violence")]}
    answered = request.read(json.dumps(said).encode())
    assert (answered.text, answered.finish, answered.model) == ("hate, violence", "flagged", "judge-1")
    assert not answered.is_counted, "no provider says what it took"
    clean = request.read(json.dumps({"results": [result(), result()]}).encode())
    assert (clean.text, clean.finish) == ("", "stop")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"{", "no moderation"),
        (b'{"results": [{}, {}]}', "no moderation"),
        (json.dumps({"results": [result()]}).encode(), "1 results for 2 inputs"),
    ],
)
def test_an_answer_that_is_no_verdict_is_none(said: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read_moderations(body(input=["a", "b"])).read(said)


def test_the_parts_of_a_message_have_one_verdict() -> None:
    request = read_moderations(body(input=[{"type": "text", "text": "a"}, PICTURE]))
    assert request.read(json.dumps({"results": [result("hate")]}).encode()).text == "hate"


def test_a_release_that_names_nobody_says_what_to_configure() -> None:
    loaded = Loaded("r", "1", PROMPT, Pipeline([]), ())
    with pytest.raises(InvalidInput, match="under 'moderations' in its prompt"):
        read_moderations(body()).targets(loaded)
