"""Reading contracts: every mistake is named with its place, and what is read is what was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.canonical import plain
from headrace.core.errors import InvalidInput
from headrace.projects.contracts import (
    FOLDER,
    Contract,
    Request,
    contract_files,
    contract_schema,
    load_contracts,
    read_contracts,
)

GOOD = """\
consumer: page
owner: {name: Web, contact: web@example.org}
interactions:
  - name: a usual car
    request: {record: {year: 2012, diesel: true}}
    answer:
      predict: {type: number, min: 0, max: 100000}
      probability: {type: numbers, sum_to_one: true}
    may_be_null: [year]
    within_ms: 50
  - name: a year in words
    request: {records: [{year: soon}, {year: 2012}]}
    refused: true
    field: year
"""


def write(folder: Path, text: str, name: str = "page.yaml") -> Path:
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.requirement("GAT-04")
def test_a_good_contract_is_typed_and_has_defaults(tmp_path: Path) -> None:
    (contract,) = load_contracts(write(tmp_path, GOOD))
    usual, words = contract.interactions
    assert (contract.consumer, usual.answer["predict"].max, usual.tolerance) == ("page", 100_000, 0.2)
    assert usual.request.body == {"record": {"year": 2012, "diesel": True}}
    assert words.request.values == {"year": ["soon", 2012]}
    assert (words.refused, words.field, words.answer) == (True, "year", {})


@pytest.mark.requirement("GAT-04")
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("may_be_null", "may_be_nul", r"line 9, column 5: unknown key 'interactions.0.may_be_nul' \(known"),
        ("min: 0", "mni: 0", "line 7, column 31: unknown key 'interactions.0.answer.predict.mni'"),
        ("type: number,", "type: float,", r"line 7, column 17: .*answer.predict.type: .*got 'float'"),
        ("record: {year: 2012", "row: {year: 2012", "unknown key 'interactions.0.request.row'"),
        ("consumer: page", "consumer: pages", "line 1, column 1: consumer is 'pages': expected 'page'"),
        ("consumer: page", "consumer: My Page", "cannot be 'My Page'|'My Page'"),
        ("max: 100000", "max: -1", "line 7, column 7: .*answer.predict: min 0 is above max -1"),
        ("max: 100000", "max: .inf", "min and max are finite"),
        ("type: number,", "type: text,", "min and max are for numbers, not for text"),
        ("numbers, sum", "number, sum", "sum_to_one is for type: numbers"),
        ("[year]", "[month]", "line 9, column 5: .*may_be_null: 'month' is not in the request"),
        ("    field: year\n", "", "interactions.1.refused: name the input that the refusal has to name"),
        ("    refused: true\n", "", "interactions.1.field: only a refusal names an input"),
        ("    refused: true\n", "    refused: true\n    within_ms: 5\n", "a request that is refused gets no"),
        ("within_ms: 50", "within_ms: 0", "interactions.0.within_ms: got 0.0, expected a number above 0"),
        ("name: a year in words", "name: a usual car", "interactions.1.name is 'a usual car': expected a na"),
        ("{record: {year", "{columns: {year: [1]}, record: {year", "exactly one of record, records and co"),
        ("year: 2012, diesel", "year: .nan, diesel", "a number is not finite"),
        ("year: 2012, diesel", "year: 2012, year: 2013, diesel", "the key is here twice"),
    ],
)
def test_a_mistake_is_named_with_line_and_column(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in GOOD
    with pytest.raises(InvalidInput, match=message):
        load_contracts(write(tmp_path, GOOD.replace(before, after, 1)))


def test_a_consumer_relies_on_at_least_one_answer(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="interactions: expected at least one request that gets an answer"):
        load_contracts(write(tmp_path, "consumer: page\ninteractions: []\n"))


@pytest.mark.parametrize("name", ["page.yml", "more.yaml/inner.yaml"])
def test_what_would_be_passed_over_in_silence_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / FOLDER / name).parent.mkdir(parents=True)
    write(tmp_path, GOOD, name)
    with pytest.raises(InvalidInput, match="is not read as a contract. Expected a file contracts/CONSUMER"):
        load_contracts(tmp_path)


def test_a_link_is_not_followed_and_other_files_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "see page.yaml", "README.md")
    assert contract_files(tmp_path) == {}
    (tmp_path / FOLDER / "page.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match="is not read as a contract"):
        load_contracts(tmp_path)


def test_what_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(InvalidInput, match=r"contracts/page.yaml is empty. Expected a mapping with consumer"):
        load_contracts(tmp_path)
    (tmp_path / FOLDER / "page.yaml").write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match="is not UTF-8"):
        load_contracts(tmp_path)
    (tmp_path / FOLDER / "page.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(InvalidInput, match="larger than 1 MB"):
        load_contracts(tmp_path)


def test_a_null_is_set_in_every_form() -> None:
    assert Request(record={"a": 1, "b": 2}).with_null("a").body == {"record": {"a": None, "b": 2}}
    assert Request(records=({"a": 1}, {"a": 2})).with_null("a").body["records"] == ({"a": None},) * 2
    assert Request(columns={"a": (1, 2)}).with_null("a").body == {"columns": {"a": (None, None)}}


EIGHTHS = st.integers(-8_000, 8_000).map(lambda n: n / 8)  # YAML knows no 1e-05
VALUES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | EIGHTHS | st.text()
NAMES = st.text(min_size=1, max_size=80)  # YAML reads no key of more than 1,024 characters, escapes included
RECORDS = st.dictionaries(NAMES, VALUES, min_size=1)
OUTPUTS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("number"), "min": EIGHTHS.map(lambda n: -abs(n)), "max": EIGHTHS.map(abs)}
    ),
    st.fixed_dictionaries({"type": st.just("text"), "classes": st.lists(st.text(), max_size=3)}),
    st.fixed_dictionaries({"type": st.just("numbers"), "sum_to_one": st.booleans()}),
)


@given(RECORDS, st.dictionaries(NAMES, OUTPUTS, min_size=1))
def test_what_is_read_is_what_was_written(record: dict[str, Any], answer: dict[str, Any]) -> None:
    written = {
        "consumer": "page",
        "interactions": [{"name": "n", "request": {"record": record}, "answer": answer}],
    }
    (contract,) = read_contracts({"page.yaml": json.dumps(written).encode()})
    (one,) = contract.interactions
    assert one.request.body == {"record": record}
    assert {
        name: {key: plain(output)[key] for key in answer[name]} for name, output in one.answer.items()
    } == (answer)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_contract_or_refused(content: bytes) -> None:
    refused = ""
    try:
        found: Any = read_contracts({"page.yaml": content})
    except InvalidInput as error:
        found, refused = (), str(error)
    assert all(isinstance(one, Contract) for one in found)
    assert found or refused.startswith("contracts/page.yaml ")


def test_the_schema_names_the_keys() -> None:
    schema = contract_schema()
    assert set(schema["properties"]) == {"consumer", "interactions", "owner"}
    assert schema["required"] == ["consumer", "interactions"]
