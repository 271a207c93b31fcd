"""Large records come back as they were, are always written alike, and are proved."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InternalError
from headrace.store.compressing import MARK, SMALLEST_LEVEL, compress, decompress
from headrace.store.records import decode_prediction, encode_prediction
from headrace.testing import make_prediction

VALUES = st.one_of(st.none(), st.floats(allow_nan=False), st.text(max_size=40), st.booleans())
LARGE = make_prediction(
    n_rows=2_000,
    columns={"mileage": [float(i % 97) for i in range(2_000)], "model": ["a3", "tt"] * 1_000},
    outputs={"predict": [0.5 * i for i in range(2_000)]},
)


@pytest.mark.requirement("MON-25")
@given(record=st.binary(max_size=4_000), repeated=st.integers(1, 50), above=st.integers(0, 2_000))
def test_whatever_is_written_comes_back(record: bytes, repeated: int, above: int) -> None:
    whole = b"\x80" + record * repeated  # as every record of ours, it begins like MessagePack
    kept = compress(whole, above_bytes=above)
    assert decompress(kept) == (whole, kept != whole)
    assert len(kept) <= len(whole)
    if len(whole) <= above:
        assert kept == whole


@pytest.mark.requirement("MON-25")
@given(columns=st.dictionaries(st.text(max_size=8), st.lists(VALUES, min_size=3, max_size=3), min_size=1))
def test_an_answer_is_the_same_compressed_or_not(columns: dict[str, list[Any]]) -> None:
    answer = make_prediction(n_rows=3, columns=columns, outputs={"predict": [1.0, 2.0, 3.0]})
    record = encode_prediction(answer)
    assert decode_prediction(compress(record, above_bytes=0)) == decode_prediction(record) == answer


@pytest.mark.requirement("MON-25")
def test_every_process_writes_the_same_bytes_and_needs_no_model_to_read_them() -> None:
    record = encode_prediction(LARGE)
    kept = compress(record, above_bytes=1_000)
    assert kept[0] == MARK
    assert len(kept) * 4 < len(record)
    code = (
        "import sys; from headrace.store.compressing import compress; "
        "sys.stdout.buffer.write(compress(sys.stdin.buffer.read(), above_bytes=1_000)); "
        "assert not {'sklearn', 'onnxruntime', 'pandas'} & set(sys.modules)"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], input=record, capture_output=True, check=True)
    assert elsewhere.stdout == kept
    assert len(compress(record, above_bytes=1_000, level=SMALLEST_LEVEL)) <= len(kept)


@pytest.mark.requirement("MON-25")
@pytest.mark.parametrize("place", [1, 5, 20, 41, 60, -1])
def test_one_that_was_damaged_is_not_taken_for_an_answer(place: int) -> None:
    kept = bytearray(compress(encode_prediction(LARGE), above_bytes=1_000))
    kept[place] ^= 0x10
    with pytest.raises(InternalError, match="edited or is damaged"):
        decode_prediction(bytes(kept))
    with pytest.raises(InternalError, match="edited or is damaged"):
        decode_prediction(bytes(kept[:30]))


def test_what_does_not_become_shorter_stays_as_it_is() -> None:
    import numpy as np

    noise = b"\x80" + np.random.default_rng(0).bytes(5_000)
    assert compress(noise, above_bytes=1_000) == noise
