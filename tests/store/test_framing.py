from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.store.framing import HEADER_BYTES, MAX_RECORD_BYTES, decode, encode

RECORDS = st.lists(st.binary(max_size=200), max_size=20)


@given(RECORDS)
def test_records_come_back(records: list[bytes]) -> None:
    data = encode(records)
    found = decode(data)
    assert found.records == records
    assert found.used_bytes == len(data) == sum(len(record) + HEADER_BYTES for record in records)


@given(RECORDS, st.integers(min_value=0))
def test_a_cut_gives_the_whole_records_before_it(records: list[bytes], cut: int) -> None:
    data = encode(records)
    cut %= len(data) + 1
    found = decode(data[:cut])
    assert found.records == records[: len(found.records)]
    assert encode(found.records) == data[: found.used_bytes]
    assert found.used_bytes <= cut
    whole = len(found.records) == len(records)
    assert whole or cut - found.used_bytes < len(records[len(found.records)]) + HEADER_BYTES


@given(RECORDS, st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_never_gives_another_record(records: list[bytes], at: int, change: int) -> None:
    data = bytearray(encode(records))
    if data:
        data[at % len(data)] ^= change
    found = decode(bytes(data)).records
    assert found == records[: len(found)]


@given(RECORDS, RECORDS)
def test_a_limit_stops_between_records(first: list[bytes], second: list[bytes]) -> None:
    found = decode(encode(first + second), len(first))
    assert found.records == first
    assert decode(encode(first + second)[found.used_bytes :]).records == second


@given(st.integers(min_value=1, max_value=4096))
def test_zeros_are_no_record(n_bytes: int) -> None:
    assert decode(bytes(n_bytes)).records == []


def test_a_record_has_a_largest_size() -> None:
    with pytest.raises(InvalidInput, match="artefact"):
        encode([bytes(MAX_RECORD_BYTES + 1)])
