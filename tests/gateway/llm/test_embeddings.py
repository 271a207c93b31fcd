"""What is read of a request for vectors, what leaves of it, and what its answer took."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.personal import PersonalData
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.llm.embeddings import MAX_TEXTS, read_embeddings
from headrace.gateway.llm.guarding import Blocked, Guarded
from headrace.gateway.llm.loaded import Loaded
from headrace.gateway.prompts import Prompt

PROMPT = Prompt(template="Be kind.", models=("local/small",))


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "support", "input": "How long?"} | fields).encode()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"[]", "no request for embeddings"),
        (b"\xff", "no request for embeddings"),
        (b"[" * 100_000, "no request for embeddings"),
        (body(model=3), "model"),
        (body(input_type="query"), "unknown field `input_type`"),
        (body(encoding_format="int8"), "int8"),
        (body(input=[]), "0 texts"),
        (body(input=["a"] * (MAX_TEXTS + 1)), "2,049 texts"),
        (body(input=["a", ""]), "entry 1 is an empty text"),
        (body(input=[1, 2]), "in tokens guards can find nothing"),
        (body(input=[[1, 2]]), "in tokens guards can find nothing"),
        (body(input=None), "entry 0 is NoneType"),
        (body(user="u" * 600), "600 characters"),
    ],
)
def test_a_request_that_is_none_is_refused_by_name(sent: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_embeddings(sent)


@pytest.mark.parametrize("texts", ["How long?", ["How long?"], ["How long?", "How much?"]])
def test_a_provider_gets_the_form_that_the_caller_sent(texts: str | list[str]) -> None:
    asked = read_embeddings(body(input=texts, dimensions=8, user="ada"))
    filled = asked.filled(PROMPT, Guarded(Pipeline([])))
    assert json.loads(filled.for_model("vectors")) == {"model": "vectors", "input": texts, "dimensions": 8}
    assert filled.most_input >= 3
    assert (filled.most_output(500), filled.texts) == (0, ())


def test_the_same_text_leaves_the_same_whatever_is_beside_it() -> None:
    guarded = Guarded(Pipeline([PersonalData()]))
    asked = read_embeddings(
        body(input=["From bob@example.org", "To ada@example.org", '{"to": "a@example.org"}'])
    )
    assert json.loads(asked.filled(PROMPT, guarded).for_model("m"))["input"] == [
        "From <EMAIL>", "To <EMAIL>", '{"to":"<EMAIL>"}',
    ]  # fmt: skip
    assert guarded.said == ["personal.email input mask"]
    with pytest.raises(
        Blocked, match="A guard has stopped it: personal.email.*under .guardrails. in the prompt"
    ):
        asked.filled(PROMPT, Guarded(Pipeline([PersonalData(action="block")])))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"{", "no list of vectors"),
        (b'{"data": 3}', "no list of vectors"),
        (b'{"data": [{}]}', "1 vectors for 2 texts"),
        (b'{"data": [{}, {}], "usage": {"prompt_tokens": "x"}}', "no list of vectors"),
    ],
)
def test_an_answer_that_is_none_is_told(answer: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_embeddings(body(input=["a", "b"])).read(answer)


def test_what_an_answer_took_is_read_where_it_is_said() -> None:
    asked = read_embeddings(body())
    counted = asked.read(b'{"data": [{}], "model": "m", "usage": {"prompt_tokens": 7, "total_tokens": 7}}')
    assert (counted.usage.input, counted.usage.output, counted.model) == (7, 0, "m")
    assert not asked.read(b'{"data": [{}]}').is_counted


def test_a_release_without_a_model_for_vectors_says_what_to_do() -> None:
    loaded = Loaded("r", "1", PROMPT, Pipeline([]), ())
    with pytest.raises(InvalidInput, match="'embeddings' in its prompt"):
        read_embeddings(body()).targets(loaded)
