"""Tokens that stand for values, and that only their workspace can read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.privacy.tokenising import Tokeniser
from headrace.testing.personal import personal_texts

KEY, OTHER = bytes(range(64)), bytes(64)
TEXT = "ada@example.org called 415-555-2671, then ada@example.org wrote"


@pytest.mark.requirement("PRV-01")
def test_equal_values_have_equal_tokens_that_say_nothing() -> None:
    made = Tokeniser(KEY).tokenise(TEXT)
    first, second = re.findall(r"<EMAIL:[\w-]+>", made)
    assert first == second
    assert re.fullmatch(r"<EMAIL:[\w-]+> called <PHONE:[\w-]+>, then <EMAIL:[\w-]+> wrote", made)
    assert Tokeniser(KEY).tokenise(TEXT) == made, "another process makes the same"
    assert Tokeniser(OTHER).tokenise(TEXT) != made


def test_only_its_workspace_restores_a_token() -> None:
    made = Tokeniser(KEY).tokenise(TEXT)
    assert Tokeniser(KEY).restore(made) == TEXT
    assert Tokeniser(OTHER).restore(made) == made


@pytest.mark.parametrize("kind", ["EMAIL", "PHONE"])
def test_a_token_that_was_changed_stays_as_it_is(kind: str) -> None:
    made = Tokeniser(KEY).tokenise("ada@example.org")
    for bad in (made[:-3] + "AA>", made.replace("EMAIL", "PHONE"), f"<{kind}:{'A' * 40}>", f"<{kind}:AAAAA>"):
        assert Tokeniser(KEY).restore(bad) == bad


def test_everything_recognised_comes_back() -> None:
    tokeniser = Tokeniser(KEY)
    for sample in personal_texts(4, seed=1):
        assert tokeniser.restore(tokeniser.tokenise(sample.text)) == sample.text


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert Tokeniser(KEY).restore(Tokeniser(KEY).tokenise(text)) == text
