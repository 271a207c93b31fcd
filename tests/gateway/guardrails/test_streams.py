"""A stream is checked as its whole text is, however it is cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.gateway.guardrails.guards import LAYERS, Action, Context, Guard, Hit
from headrace.gateway.guardrails.hygiene import Hygiene
from headrace.gateway.guardrails.personal import PersonalData
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.placeholders import Placeholders
from headrace.gateway.guardrails.streams import CheckedStream
from headrace.testing.personal import personal_texts

OUTPUT = Context(layer="output")
PIPELINE = Pipeline([PersonalData()])
WORDS = [
    "ada@example.org",
    "4111 1111 1111 1111",
    "hello",
    "<EMAIL_1>",
    "<",
    "é\u200d",
    "\u200b",
    "key=aZ9-kk2Q_x7",
]


class Length:
    """Blocks a text that is longer than five words, once it has seen it all."""

    name, layers, whole = "length", frozenset(LAYERS), True

    def __init__(self, reach: int | None, action: Action) -> None:
        self.reach = reach
        self.action: Action = action

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        span = (0, len(text))
        hit = Hit(rule="length", layer=context.layer, action=self.action, span=span, detail="too long")
        return [hit] if len(text.split()) > 5 else []


def _streamed(
    pipeline: Pipeline, pieces: Iterable[str], placeholders: Placeholders | None = None
) -> tuple[str, list[Hit]]:
    stream = CheckedStream(pipeline, OUTPUT, placeholders)
    steps = [stream.feed(piece) for piece in pieces] + [stream.close()]
    return "".join(step.text for step in steps), [hit for step in steps for hit in step.hits]


def _cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


@given(
    st.lists(st.sampled_from([*WORDS, *["word"] * 8]), max_size=120),
    st.lists(st.integers(0, 90), max_size=60),
)
def test_however_it_is_cut_the_text_and_the_hits_are_those_of_the_whole(
    words: list[str], sizes: list[int]
) -> None:
    text = " ".join(words)
    placeholders = Placeholders()
    placeholders.stand_in("EMAIL", "eve@example.org", "input")
    whole = PIPELINE.check(text, OUTPUT)
    made, hits = _streamed(PIPELINE, _cut(text, sizes), placeholders)
    assert made == placeholders.restore(whole.text)
    assert sorted((h.rule, h.span) for h in hits) == sorted((h.rule, h.span) for h in whole.hits)


@pytest.mark.parametrize("size", [1, 7, 200])
def test_made_texts_are_masked_in_pieces_as_they_are_at_once(size: int) -> None:
    text = " ".join(sample.text for sample in personal_texts(20, 3))
    made, _ = _streamed(PIPELINE, [text[at : at + size] for at in range(0, len(text), size)])
    assert made == PIPELINE.check(text, OUTPUT).text


def test_text_goes_on_while_it_comes() -> None:
    stream = CheckedStream(PIPELINE, OUTPUT)
    sent = "".join(stream.feed("word ").text for _ in range(100))
    assert len(sent) >= 500 - PersonalData.reach - 5


def test_after_a_block_nothing_comes_any_more() -> None:
    pipeline = Pipeline([PersonalData(action="block")])
    stream = CheckedStream(pipeline, OUTPUT)
    sent = "".join(stream.feed(piece).text for piece in ["word " * 100, "ada@example.org ", "word " * 100])
    assert re.fullmatch(r"(word )*w?o?r?d?", sent)
    assert stream.feed("more").text == ""
    closed = stream.close()
    assert (closed.text, closed.verdict) == ("", "block")


def test_a_key_without_its_end_is_held_back() -> None:
    lines = ["-----BEGIN PRIVATE KEY-----\n", *["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n"] * 40]
    made, _ = _streamed(PIPELINE, ["here: ", *lines])
    assert made == "here: <SECRET>"
    made, _ = _streamed(PIPELINE, ["here: ", *lines, "-----END PRIVATE KEY-----", " that was it"])
    assert made == "here: <SECRET> that was it"


def test_who_must_see_it_all_and_may_stop_it_holds_it_back() -> None:
    pipeline = Pipeline([Length(None, "block")])
    assert _streamed(pipeline, ["a b c ", "d e f"])[0] == ""
    assert _streamed(pipeline, ["a b c ", "d e"])[0] == "a b c d e"


def test_who_only_tells_holds_nothing_back() -> None:
    guards: list[Guard] = [Length(0, "flag")]
    stream = CheckedStream(Pipeline(guards), OUTPUT)
    assert stream.feed("a b c d e f").text == "a b c d e f"
    assert [hit.rule for hit in stream.close().hits] == ["length"]


def test_the_size_of_all_pieces_counts_and_so_does_what_they_hide() -> None:
    stream = CheckedStream(Pipeline([], hygiene=Hygiene(max_chars=100)), OUTPUT)
    assert not any(stream.feed("0123456789").blocked for _ in range(10))
    assert stream.feed("0").blocked
    made, hits = _streamed(Pipeline([]), ["a\u200b", "b\u200b", "c\u200b", "d\u200b"])
    assert (made, [hit.rule for hit in hits]) == ("abcd", ["hygiene.hidden"])
