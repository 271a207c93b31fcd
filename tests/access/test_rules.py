from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.access.policy import ACTIONS, ALWAYS, DEFAULT
from headrace.access.rules import LARGEST, check_names, rules_of
from headrace.core.errors import InvalidInput
from headrace.core.identity import ROLES

EVERYTHING = "permit (principal, action, resource);"


def check(text: str) -> None:
    check_names(text, actions=ACTIONS, roles=ROLES, taken=["own-work"])


def test_a_rule_knows_its_name_its_line_and_its_text() -> None:
    text = f'// all; of it\n\n@id("a")\n{EVERYTHING} @id("b") {EVERYTHING}\n{EVERYTHING}\n'
    rules = rules_of(text)
    assert [(rule.name, rule.line) for rule in rules] == [("a", 3), ("b", 4), ("policy2", 5)]
    assert rules[0].text == f'@id("a")\n{EVERYTHING}'


_PLAIN = st.characters(codec="ascii", exclude_characters='"\\', exclude_categories=["C"])


@given(st.lists(st.text(_PLAIN, max_size=12), max_size=4))
@settings(max_examples=50)
def test_semicolons_and_slashes_in_quotes_end_nothing(names: list[str]) -> None:
    rules = [
        f'@id("r{i}") permit (principal == Person::"{name};//", action, resource);'
        for i, name in enumerate(names)
    ]
    assert [rule.text for rule in rules_of("\n".join(rules))] == rules


@pytest.mark.parametrize("text", [DEFAULT, ALWAYS])
def test_what_comes_with_headrace_keeps_its_own_rules(text: str) -> None:
    check_names(text, actions=ACTIONS, roles=ROLES, taken=[])


def test_no_rule_of_the_default_policy_has_the_name_of_one_that_always_holds() -> None:
    assert not {r.name for r in rules_of(DEFAULT)} & {r.name for r in rules_of(ALWAYS)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"\n\n@id('a') {EVERYTHING}", "does not parse in the rule that begins on line 3"),
        (f'@id("a") {EVERYTHING}\npermit (', "does not parse"),
        (EVERYTHING, "Line 1: the rule has no name"),
        (f'@id("own-work")\n{EVERYTHING}', "Line 1: another rule is called 'own-work'"),
        (f'@id("a") {EVERYTHING}\n@id("a") {EVERYTHING}', "Line 2: another rule is called 'a'"),
        (
            '@id("a") permit (principal in Role::"boss", action, resource);',
            "role 'boss', which does not exist",
        ),
        ('@id("a") permit (principal, action == Action::"predct", resource);', "action 'predct'"),
        (
            '@id("a") permit (principal, action, resource) when { principal in Role::"x" };',
            "role 'x', which does not exist",
        ),
        ('@id("a") permit (principal == ?principal, action, resource);', "holds a template"),
        ("/" * (LARGEST + 1), "has 100,001 characters"),
    ],
)
def test_what_a_reviewer_would_find_is_said_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        rules_of(text)
