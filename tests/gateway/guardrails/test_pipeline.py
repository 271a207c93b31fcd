"""What guards find is done, in one pass, whatever their order."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.guards import LAYERS, Action, Context, Guard, Hit, Layer
from headrace.gateway.guardrails.hygiene import Hygiene
from headrace.gateway.guardrails.personal import PersonalData
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.placeholders import Placeholders

INPUT = Context(layer="input")


@dataclass(frozen=True)
class Word:
    """Finds a pattern."""

    name: str
    pattern: str
    action: Action
    layers: frozenset[Layer] = frozenset(LAYERS)
    reach: int | None = 20
    whole: bool = False

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        return [
            Hit(
                rule=self.name,
                layer=context.layer,
                action=self.action,
                span=m.span(),
                detail="a word",
                label=self.name.upper(),
            )
            for m in re.finditer(self.pattern, text)
        ]


class Broken:
    """Raises."""

    name, layers, reach, whole = "broken", frozenset(LAYERS), 0, False

    def check(self, text: str, context: Context) -> Sequence[Hit]:
        raise RuntimeError(text)


def test_a_text_without_hits_passes_as_it_is() -> None:
    checked = Pipeline([Word("red", "red", "block")]).check("a blue door", INPUT)
    assert (checked.text, checked.verdict, checked.hits) == ("a blue door", "pass", ())


def test_the_severest_action_is_the_verdict_and_a_blocked_text_is_gone() -> None:
    guards = [Word("red", "red", "flag"), Word("blue", "blue", "mask"), Word("door", "door", "block")]
    pipeline = Pipeline(guards)
    assert pipeline.check("a red one", INPUT).verdict == "flag"
    assert pipeline.check("a red and blue one", INPUT).text == "a red and <BLUE> one"
    checked = pipeline.check("a red and blue door", INPUT)
    assert (checked.text, checked.blocked) == ("", True)
    assert checked.reason == "door: a word"
    assert {hit.rule for hit in checked.hits} == {"red", "blue", "door"}


def test_masks_that_overlap_are_one_whatever_the_order_of_the_guards() -> None:
    guards: list[Guard] = [Word("ab", "abcd", "mask"), Word("cd", "cdef", "mask"), Word("x", "x", "mask")]
    results = {Pipeline(order).check("x-abcdef-x", INPUT).text for order in itertools.permutations(guards)}
    assert results == {"<X>-<AB>-<X>"}


def test_a_guard_is_asked_for_its_layers_only() -> None:
    pipeline = Pipeline([Word("red", "red", "block", layers=frozenset({"output"}))])
    assert [layer for layer in LAYERS if pipeline.check("red", Context(layer=layer)).blocked] == ["output"]


def test_nothing_passes_a_guard_that_fails_and_its_error_tells_nothing() -> None:
    checked = Pipeline([Broken()]).check("my secret", INPUT)
    assert checked.blocked
    assert checked.reason == "broken.error: the guard failed (RuntimeError), so nothing passes it"


def test_two_guards_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="Two guards are called 'red'"):
        Pipeline([Word("red", "a", "flag"), Word("red", "b", "flag")])


def test_what_is_split_between_two_texts_is_seen_and_masked_in_both() -> None:
    texts, hits = Pipeline([Word("order", r"do\s+it", "mask")]).check_all(["now do", "it, you"], INPUT)
    assert texts == ["now <ORDER>", ", you"]
    assert len(hits) == 1


def test_a_long_text_is_blocked_before_anybody_looks_at_it() -> None:
    checked = Pipeline([Broken()], hygiene=Hygiene(max_chars=10)).check("a" * 11, INPUT)
    assert [hit.rule for hit in checked.hits] == ["hygiene.size"]
    assert checked.blocked


def test_what_hides_a_word_does_not_hide_it_from_a_guard() -> None:
    checked = Pipeline([PersonalData()]).check("write to ada@exa\u200b\u200bmple.org\u2060 now", INPUT)
    assert checked.text == "write to <EMAIL> now"
    assert {hit.rule for hit in checked.hits} == {"personal.email", "hygiene.hidden"}


@given(
    st.text(alphabet="ab<>_EMIL1@.org \n", max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20))),
)
def test_only_what_is_masked_changes(text: str, spans: list[tuple[int, int]]) -> None:
    class Planted:
        name, layers, reach, whole = "planted", frozenset(LAYERS), 0, False

        def check(self, text: str, context: Context) -> Sequence[Hit]:
            inside = [(min(at, len(text)), min(at + size, len(text))) for at, size in spans]
            return [
                Hit(rule="planted", layer="input", action="mask", span=span, detail="", label="L")
                for span in inside
            ]

    placeholders = Placeholders()
    checked = Pipeline([Planted()]).check(text, INPUT, placeholders)
    assert placeholders.restore(checked.text) == text


def test_personal_data_is_found_by_the_recognisers_and_each_label_has_its_action() -> None:
    guard = PersonalData(actions={"SECRET": "block", "IP": "pass"})
    text = "from 203.0.113.7 by ada@example.org"
    assert [hit.rule for hit in guard.check(text, INPUT)] == ["personal.email"]
    (hit,) = guard.check("password: hunter2X9!", INPUT)
    assert (hit.rule, hit.action) == ("personal.secret", "block")
    assert "hunter" not in hit.detail


_DATA = st.sampled_from(
    ("ada@example.org", "203.0.113.7", "DE89370400440532013000", "4111 1111 1111 1111", " ", "and",
     "password: hunter2X9!", "+49 30 901820",
     "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD")
)  # fmt: skip


@given(st.lists(_DATA, max_size=8).map(" ".join))
def test_where_nothing_but_secrets_matters_they_are_found_as_among_all(text: str) -> None:
    alone = PersonalData(action="pass", actions={"SECRET": "mask"})
    among = PersonalData(action="flag", actions={"SECRET": "mask"})
    found = [hit for hit in among.check(text, INPUT) if hit.rule == "personal.secret"]
    assert list(alone.check(text, INPUT)) == found


def test_of_a_private_key_without_its_end_nothing_remains() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq\n"
    checked = Pipeline([PersonalData()]).check(f"here: {key}", INPUT)
    assert checked.text == "here: <SECRET>"
