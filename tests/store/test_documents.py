from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import types
import typing
from datetime import UTC, date, datetime
from inspect import getmembers, isclass
from typing import Any, Literal, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core import data, identity, project, record, release
from headrace.core.canonical import canonical_json, digest_of
from headrace.core.errors import Conflict, InternalError, InvalidInput
from headrace.core.ids import Ref
from headrace.store.documents import SCHEMA_VERSION, dump, from_plain, load, to_plain
from headrace.testing import make_run, make_verdict

RECORDS = [
    kind
    for module in (data, identity, project, record, release)
    for _, kind in getmembers(module, isclass)
    if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
] + [Ref]

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.datetimes(timezones=st.just(UTC))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), FLOATS, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    Any: JSON,
    str: TEXT,
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: FLOATS,
    datetime: TIMES,
    date: st.dates(),
    type(None): st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field that is annotated with ``hint``."""
    if hint in PLAIN:
        return PLAIN[hint]
    if dataclasses.is_dataclass(hint):
        return records(typing.cast("type[Any]", hint))
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values(argument) for argument in arguments])
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    if origin is tuple and arguments[1:] == (...,):
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    assert origin is tuple, f"no strategy for {hint}"
    return st.tuples(*[values(argument) for argument in arguments])


def records(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any record of a core type."""
    return st.builds(kind, **{name: values(hint) for name, hint in typing.get_type_hints(kind).items()})


def shuffled(value: Any, randomly: Any) -> Any:
    """The same JSON value with the keys of its objects in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        randomly.shuffle(items)
        return {key: shuffled(item, randomly) for key, item in items}
    return [shuffled(item, randomly) for item in value] if isinstance(value, list) else value


def test_there_are_core_records() -> None:
    assert len(RECORDS) > 30


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: str(kind.__name__))
@settings(max_examples=15)
@given(drawn=st.data())
def test_every_core_record_comes_back(kind: type[Any], drawn: st.DataObject) -> None:
    original = drawn.draw(records(kind))
    document = dump(original)
    again = load(kind, document, SCHEMA_VERSION)
    assert again == original
    assert dump(again) == document
    assert from_plain(kind, json.loads(json.dumps(to_plain(original)))) == original


@given(JSON, st.randoms())
def test_the_order_of_keys_does_not_change_a_digest(value: Any, randomly: Any) -> None:
    other = shuffled(value, randomly)
    assert canonical_json(other) == canonical_json(value)
    assert digest_of(other) == digest_of(value)


@given(JSON, JSON)
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    assert (digest_of(one) == digest_of(other)) == (canonical_json(one) == canonical_json(other))


@given(JSON)
def test_canonical_json_is_json_of_the_same_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


def test_a_field_that_is_not_known_is_ignored() -> None:
    document = json.loads(dump(make_run()))
    document["from_the_future"] = 1
    assert load(type(make_run()), json.dumps(document), SCHEMA_VERSION).project == "cars"


def test_a_field_with_a_default_may_be_absent() -> None:
    run = make_run(tracking_id=None)
    document = json.loads(dump(run))
    del document["tracking_id"]
    assert load(type(run), json.dumps(document), SCHEMA_VERSION) == run


def test_a_document_of_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(Conflict, match="newer Headrace"):
        load(type(make_run()), dump(make_run()), SCHEMA_VERSION + 1)


@pytest.mark.parametrize("document", ["{}", "not json", '{"id": 1}'])
def test_a_damaged_document_is_told(document: str) -> None:
    with pytest.raises(InternalError, match="Run"):
        load(type(make_run()), document, SCHEMA_VERSION)


def test_a_plain_value_that_does_not_fit_names_the_field() -> None:
    wrong = to_plain(make_verdict()) | {"outcome": "perhaps"}
    with pytest.raises(InvalidInput, match="outcome"):
        from_plain(type(make_verdict()), wrong)


_AT_ONCE = """
import sys, threading
from headrace.core.project import Project
from headrace.core.release import Release
from headrace.store.documents import from_plain, to_plain
from headrace.testing.factories import make_project, make_release

sys.setswitchinterval(1e-6)
records = [make_project(), make_release()] * 4
start = threading.Barrier(len(records))

def read(record):
    start.wait()
    assert from_plain(type(record), to_plain(record)) == record

threads = [threading.Thread(target=read, args=[record]) for record in records]
for one in threads: one.start()
for one in threads: one.join()
print("read")
"""


def test_threads_that_are_the_first_to_read_a_kind_do_so_one_after_the_other() -> None:
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", _AT_ONCE], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr
