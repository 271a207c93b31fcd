"""What of an answer, a label and an error is written down."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.access.privacy.fields import FieldRules, altered_inputs, handling_of, masked
from headrace.core.errors import InvalidInput
from headrace.core.ids import new_id
from headrace.core.project import Basis, Column, DataSpec, Handling, PrivacySpec, Project
from headrace.core.record import Prediction
from headrace.testing import START, make_prediction, make_project

NAMES = ("name", "income", "city", "member")


def people(basis: Basis | None = "consent", key: str | None = "member", **fields: Handling) -> Project:
    """A project about people."""
    columns = tuple(Column(name=n, role="numeric" if n == "income" else "categorical") for n in NAMES)
    return make_project(
        data=DataSpec(source="p.csv", target="bought", key=key, columns=columns),
        privacy=PrivacySpec(basis=basis, fields=fields),
    )


def rules(project: Project, key: bytes = b"key") -> FieldRules:
    return FieldRules(project, key)


def answered(**changes: Any) -> Prediction:
    columns = {
        "name": ["Ada Ø. Byron-7", None],
        "income": [41_250.0, 7.0],
        "city": ["Bern", "Ulm"],
        "member": ["m-1", "m-2"],
    }
    return make_prediction(n_rows=2, columns=columns, outputs={"predict": [1.0, 2.0]}, **changes)


@pytest.mark.requirement("PRV-01", "PRV-07")
def test_each_field_is_kept_masked_hashed_or_dropped_as_declared() -> None:
    found = rules(people(name="mask", income="drop", city="hash"))
    asked = answered(keys=["m-1", "m-2"])
    recorded = found.prediction(asked)
    assert recorded.columns["name"] == ["Xxx X. Xxxxx-9", None]
    assert "income" not in recorded.columns
    assert recorded.columns["city"] == [found.hashed("Bern"), found.hashed("Ulm")]
    assert recorded.keys == [found.hashed("m-1"), found.hashed("m-2")]
    assert recorded.columns["member"] == recorded.keys, "equal values of one project have equal hashes"
    assert recorded.outputs == asked.outputs
    assert asked.columns["name"][0] == "Ada Ø. Byron-7", "the caller's own answer is unchanged"


@pytest.mark.requirement("PRV-01")
def test_what_is_about_people_has_no_clear_key_unless_somebody_says_so() -> None:
    assert handling_of(people(), "member") == "hash"
    assert handling_of(people(basis=None), "member") == "hash", "nobody has said that it is about nobody"
    assert handling_of(people(basis="not_personal"), "member") == "keep"
    assert handling_of(people(member="keep"), "member") == "keep"
    assert handling_of(people(key=None), "key") == "hash", "keys that requests name without a key column"
    assert altered_inputs(people(name="mask", city="keep")) == ("name", "member")


def test_nothing_is_copied_where_there_is_nothing_to_change() -> None:
    asked = answered(keys=["m-1", "m-2"])
    assert rules(people(basis="not_personal")).prediction(asked) is asked
    other = make_prediction(columns={"other": [1.0]})
    assert rules(people(name="drop")).prediction(other) is other


@pytest.mark.requirement("PRV-01")
def test_a_label_finds_its_answer_although_its_key_is_hashed() -> None:
    found = rules(people())
    recorded = found.prediction(answered(keys=["m-1", "7"]))
    assert recorded.keys == [found.subject("m-1"), found.subject("7")]
    row = f"{new_id(START)}:0"
    assert found.subject(row) == row, "a row id names nobody"


def test_a_label_by_a_key_that_is_not_kept_is_refused() -> None:
    found = rules(people(member="drop"))
    assert found.prediction(answered(keys=["m-1", "m-2"])).keys is None
    with pytest.raises(InvalidInput, match="member: drop.*row id only"):
        found.subject("m-1")
    assert found.subject(f"{new_id(START)}:12").endswith(":12")


@pytest.mark.requirement("PRV-01")
def test_an_error_tells_no_value_that_may_not_be_written_down() -> None:
    found = rules(people(name="mask", income="drop"))
    columns = answered().columns
    text = found.text("KeyError: 'Ada Ø. Byron-7' (41250.0) of m-1 in Bern", columns, ["m-1", "m-2"])
    assert text == "KeyError: '<name>' (<income>) of <member> in Bern"


@pytest.mark.requirement("PRV-01")
def test_text_about_people_is_redacted_unless_somebody_says_otherwise() -> None:
    asked = make_prediction(columns={"name": ["ada@example.org"], "city": ["tel 415-555-2671"]})
    assert rules(people(name="keep")).prediction(asked).columns == {
        "name": ["ada@example.org"],
        "city": ["tel <PHONE>"],
    }
    assert rules(people(basis="not_personal")).prediction(asked) is asked
    assert rules(people(basis="not_personal", name="redact")).prediction(asked).columns["name"] == ["<EMAIL>"]
    assert rules(people()).remark("I am ada@example.org") == "I am <EMAIL>"
    said = rules(people(basis="not_personal")).remark("ada@example.org: password=Tr0ub4dor-3xy")
    assert said == "ada@example.org: password=<SECRET>"
    assert rules(people(income="redact")).prediction(answered()).columns["income"] == [41_250.0, 7.0]
    assert rules(people(basis="not_personal")).text("of ada@example.org", {}, None) == "of <EMAIL>"


def test_a_hash_says_nothing_without_the_key_nor_in_another_project() -> None:
    project = people()
    hashes = {
        rules(project).hashed("m-1"),
        rules(project, b"other").hashed("m-1"),
        rules(replace(project, name="other")).hashed("m-1"),
        rules(project).hashed("m-2"),
    }
    assert len(hashes) == 4
    assert rules(project).hashed(None) is None
    assert rules(project).hashed(7.0) == rules(project).hashed("7") == rules(project).hashed(7)


@given(value=st.text())
def test_no_letter_or_digit_of_a_value_gets_through(value: str) -> None:
    found = rules(people(name="mask", city="hash", income="drop"))
    asked = make_prediction(columns={"name": [value], "city": [value], "income": [value]}, keys=[value])
    recorded = found.prediction(asked)
    assert not [c for c in recorded.columns["name"][0] if c.isalnum() and c not in "xX9"]
    assert re.fullmatch("[0-9a-f]{32}", recorded.columns["city"][0])
    assert recorded.keys == recorded.columns["city"]
    assert "income" not in recorded.columns


@given(value=st.one_of(st.floats(), st.integers(), st.booleans(), st.none()))
def test_a_number_has_no_shape_to_keep(value: float | bool | None) -> None:
    assert masked(value) is None
