"""Words that a project does not want are found, and others are not."""

from __future__ import annotations

import pytest

from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.guards import Context
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.wording import Wording

OUTPUT = Context(layer="output")
GUARD = Wording({"competitors": ["acme*", "Big Mart"], "persona": ["as an AI language model"]}, action="mask")


@pytest.mark.parametrize(
    ("text", "checked"),
    [
        ("Go to ACMEs or to big\nmart.", "Go to <COMPETITORS> or to <COMPETITORS>."),
        ("As an AI  language model I cannot.", "<PERSONA> I cannot."),
        ("The pacme and a bigger mart.", "The pacme and a bigger mart."),
    ],
)
def test_words_are_found_as_words(text: str, checked: str) -> None:
    assert Pipeline([GUARD]).check(text, OUTPUT).text == checked


def test_a_phrase_is_a_phrase_and_no_pattern() -> None:
    assert Wording({"t": ["a.b"]}).check("axb", OUTPUT) == []


@pytest.mark.parametrize("phrase", ["", "*", "a" * 101])
def test_a_phrase_without_words_is_refused(phrase: str) -> None:
    with pytest.raises(InvalidInput, match="Topic 't' has"):
        Wording({"t": [phrase]})
