from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import Conflict, InvalidInput
from headrace.core.project import PrivacySpec
from headrace.gateway.llm.endpoints import Provider, ProviderModel, Providers, Target
from headrace.gateway.llm.uses import HOUSE, Need, Use, lacks, need_of, read_uses, unstated, with_use
from headrace.projects.llm import Llm
from headrace.testing.factories import make_project

LIST = """
allow:
  # the desk
  - models: [openai/gpt-4o-*, local/*]
    purposes: [support, search]
    data: [public, internal]
  - {models: ["*"], purposes: [research], data: ["*"], teams: [lab]}
"""
DATA = ("public", "internal", "confidential", "personal", "health")
GPT, LLAMA = Target("openai", "gpt-4o-mini"), Target("local", "llama")


@pytest.mark.parametrize(
    ("need", "target", "allowed"),
    [
        (Need("main", "support", "internal"), GPT, True),
        (Need("main", "search", "public"), LLAMA, True),
        (Need("main", "support", "personal"), LLAMA, False),
        (Need("main", "marketing", "internal"), LLAMA, False),
        (Need("main", "", "internal"), LLAMA, False),
        (Need("main", "support", "internal"), Target("openai", "gpt-5"), False),
        (Need("main", "research", "internal"), LLAMA, False),
        (Need("lab", "research", "health"), Target("openai", "gpt-5"), True),
    ],
)
def test_team_purpose_data_and_model_have_to_be_in_one_entry(
    need: Need, target: Target, allowed: bool
) -> None:
    assert read_uses(LIST).allows(need, target) is allowed


def test_the_text_that_comes_with_us_allows_and_an_empty_one_refuses_everything() -> None:
    need = Need("main", "", "health")
    assert read_uses(HOUSE).allows(need, GPT)
    assert not read_uses("allow: []").allows(need, GPT)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("allow: [{models: [gpt-4o], purposes: [a], data: [public]}]", r"'gpt-4o' is no model"),
        ("allow: [{models: [], purposes: [a], data: [public]}]", "models is empty"),
        ("allow: [{models: [a/b], purposes: [a], data: [secret]}]", r"allow\.0\.data\.0"),
        ("allow: [{models: [a/b], purposes: [a]}]", "data"),
        ("allow: [{models: [a/b], purposes: [a], data: [public], team: [x]}]", "unknown key"),
        ("require: [charm]", r"require\.0"),
        ("allow: [", "line 1"),
    ],
)
def test_a_text_that_is_no_list_is_refused_with_its_place(text: str, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        read_uses(text)


@given(
    models=st.lists(st.sampled_from(["a/b", "c/*", "d/e f", "*"]), min_size=1),
    purposes=st.lists(st.from_regex("[a-z][a-z0-9-]{0,8}", fullmatch=True), min_size=1),
    data=st.lists(st.sampled_from(DATA), min_size=1),
    text=st.sampled_from([LIST, HOUSE, "require: [owner]\n", "allow:\n", "# nothing\n", "allow:"]),
)
def test_an_entry_is_added_and_nothing_else_changes(
    models: list[str], purposes: list[str], data: list[Any], text: str
) -> None:
    use = Use(models=tuple(models), purposes=tuple(purposes), data=tuple(data))
    try:
        before = read_uses(text)
    except InvalidInput:
        return
    made = with_use(text, use)
    after = read_uses(made)
    assert after.allow == (use, *before.allow)
    assert after.require == before.require
    assert [line for line in text.splitlines() if line not in made.splitlines()] == []


def test_an_entry_is_not_forced_into_a_text_of_another_form() -> None:
    text = "{allow: [{models: [a/b], purposes: [x], data: [public]}]}"
    with pytest.raises(Conflict, match=r'below allow: - \{models: \["c/d"\]'):
        with_use(text, Use(models=("c/d",), purposes=("x",), data=("public",)))


def test_data_that_nobody_has_classed_is_personal_where_it_is_about_people() -> None:
    about_people = make_project(privacy=PrivacySpec())
    assert need_of(about_people, Llm(), "main").data_class == "personal"
    assert need_of(make_project(), Llm(), "main").data_class == "internal"
    assert need_of(about_people, Llm(data_class="health"), "main").data_class == "health"


def test_what_a_list_demands_and_nobody_has_stated_is_named() -> None:
    model = ProviderModel(name="gpt-4o-mini", is_alias=True, trained_until=date(2024, 1, 1))
    said = Provider(url="https://o.example/v1", owner="ann", remediation="switch", models=(model,))
    assert lacks(said, model) == ("service level", "contact", "exact version")
    providers = Providers(providers={"openai": said})
    asked = read_uses("require: [owner, remediation, contact]")
    assert unstated([asked, read_uses("require: [exact version]")], providers, GPT) == (
        "contact",
        "exact version",
    )
    assert unstated([read_uses(HOUSE)], providers, GPT) == ()
