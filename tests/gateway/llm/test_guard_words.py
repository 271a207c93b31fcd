"""What guards found, in plain words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.gateway.guardrails.guards import ACTIONS, LAYERS
from headrace.gateway.llm.endpoints import Providers
from headrace.gateway.llm.guard_words import DONE, WHERE, meaning, told
from headrace.gateway.llm.pins import hit_of, pins_of
from headrace.gateway.prompts import Prompt

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "guardrails.md"
RULE = re.compile(r"`((?:hygiene|personal|injection|egress|canary|schema|values|support)\.[a-z_]+)`")


def test_every_rule_that_the_page_on_guards_names_is_said_in_words() -> None:
    rules = set(RULE.findall(PAGE.read_text(encoding="utf-8")))
    assert len(rules) > 10
    assert [rule for rule in sorted(rules) if not meaning(rule)] == []
    assert (set(WHERE), set(DONE)) == (set(LAYERS), set(ACTIONS))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("personal.email input mask", "masked: data about people: email, in what callers write"),
        ("wording.politics output flag", "flagged: words of the topic 'politics', in answers"),
        ("wording.legal advice output flag", "flagged: words of the topic 'legal advice', in answers"),
        ("pins.provider input flag", "flagged: a provider that is not as it was approved"),
        ("pins.guards input flag", "flagged: guards whose code is not as it was approved"),
        ("pins.terms input flag", "flagged: terms of a provider that are not as they were approved"),
        (
            "values.error output block",
            "blocked: something that the guard values could not look at, in answers",
        ),
    ],
)
def test_a_hit_is_said_in_words_beside_its_rule(found: str, said: str) -> None:
    assert told(found) == f"{said} ({found.rsplit(maxsplit=2)[0]})"


def test_whatever_can_move_is_said_in_words() -> None:
    pins = pins_of(Prompt(template="Be kind.", models=("a/b",)), Providers(), personal=True)
    hits = [hit_of(name.removeprefix("pin ")) for name in pins]
    assert len(hits) > 5
    for hit in hits:
        found = f"{hit.rule} {hit.layer} {hit.action}"
        assert told(found) != found
        assert not told(found).startswith(("flagged: a guards", "flagged: a terms"))


@pytest.mark.parametrize("found", ["of.ours input flag", "injection.leak", "injection.leak here flag", ""])
def test_what_nobody_has_words_for_is_said_as_it_is(found: str) -> None:
    assert told(found) == found
