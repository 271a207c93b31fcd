from __future__ import annotations

import struct
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.serving.inputs import Matrix
from headrace.serving.tensors import OutputTensor, raw_bytes, read_column, read_raw


@pytest.mark.parametrize(
    ("datatype", "raw", "values"),
    [
        ("FP64", struct.pack("<2d", 1.5, -2.0), [1.5, -2.0]),
        ("FP32", struct.pack("<2f", 1.5, -2.0), [1.5, -2.0]),
        ("FP16", struct.pack("<2e", 1.5, -2.0), [1.5, -2.0]),
        ("BF16", b"\xc0\x3f\x00\xc0", [1.5, -2.0]),
        ("INT64", struct.pack("<2q", 2**62, -7), [2**62, -7]),
        ("INT32", struct.pack("<2i", 2**30, -7), [2**30, -7]),
        ("INT16", struct.pack("<2h", 300, -7), [300, -7]),
        ("INT8", struct.pack("<2b", 100, -7), [100, -7]),
        ("UINT64", struct.pack("<2Q", 2**63, 7), [2**63, 7]),
        ("UINT32", struct.pack("<2I", 2**31, 7), [2**31, 7]),
        ("UINT16", struct.pack("<2H", 2**15, 7), [2**15, 7]),
        ("UINT8", struct.pack("<2B", 200, 7), [200, 7]),
        ("BOOL", b"\x01\x00", [True, False]),
        ("BYTES", b"\x02\x00\x00\x00a4\x00\x00\x00\x00", ["a4", ""]),
    ],
)
def test_every_datatype_is_read(datatype: str, raw: bytes, values: list[Any]) -> None:
    read = read_raw("x", datatype, [2], memoryview(raw))
    assert read == values
    assert [type(value) for value in read] == [type(value) for value in values]


@pytest.mark.parametrize(("datatype", "form"), [("FP64", "<3d"), ("FP32", "<3f"), ("FP16", "<3e")])
def test_raw_numbers_have_no_null_so_nan_is_the_gap(datatype: str, form: str) -> None:
    assert read_raw("x", datatype, [3], memoryview(struct.pack(form, 1.0, nan, inf))) == [1.0, None, inf]
    assert read_raw("x", "BF16", [1], memoryview(b"\xc0\x7f")) == [None]


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "message"),
    [
        ("FP64", [2], b"12345678", "8 bytes. Expected 8 for each value of its shape \\[2\\]"),
        ("FP64", [-1], b"", "0 bytes. Expected 8"),
        ("FP64", [2**62, 2**62], b"", "Expected 8 for each"),
        ("FP128", [1], b"0" * 16, "'FP128'. Expected one of FP64"),
        ("BYTES", [1], b"\x02\x00", "row 0: its bytes end too early"),
        ("BYTES", [1], b"\x02\x00\x00\x00a", "row 0: its bytes end too early"),
        ("BYTES", [1], b"\xff\xff\xff\xff", "row 0: its bytes end too early"),
        ("BYTES", [1], b"\x01\x00\x00\x00\xff", "row 0: is no UTF-8"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(datatype: str, shape: list[int], raw: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_raw("x", datatype, shape, memoryview(raw))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_survive_their_raw_form(texts: list[str]) -> None:
    assert read_raw("x", "BYTES", [len(texts)], memoryview(raw_bytes("BYTES", texts))) == texts


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False)), min_size=1))
def test_numbers_survive_their_raw_form(numbers: list[float | None]) -> None:
    assert read_raw("x", "FP64", [len(numbers)], memoryview(raw_bytes("FP64", numbers))) == numbers


@given(
    datatype=st.sampled_from(["FP64", "FP16", "BF16", "BOOL", "UINT8", "BYTES", "none"]),
    shape=st.lists(st.integers(-3, 9), max_size=3),
    raw=st.binary(max_size=80),
)
def test_no_raw_bytes_do_harm(datatype: str, shape: list[int], raw: bytes) -> None:
    try:
        column = read_column("x", shape, read_raw("x", datatype, shape, memoryview(raw)))
    except InvalidInput:
        return
    n_rows = len(column.columns[0]) if isinstance(column, Matrix) else len(column)
    assert n_rows == shape[0]


def test_a_matrix_is_read_row_by_row() -> None:
    assert read_column("x", [2, 3], [1, 2, 3, 4, 5, 6]) == Matrix([[1, 4], [2, 5], [3, 6]])
    assert read_column("x", [2, 1], [1, 2]) == [1, 2]


def test_outputs_as_raw_bytes() -> None:
    assert np.frombuffer(raw_bytes("FP64", [1.5, None])).tolist()[0] == 1.5
    assert raw_bytes("BOOL", [True, False]) == b"\x01\x00"
    assert raw_bytes("INT64", [7]) == struct.pack("<q", 7)
    assert raw_bytes("BYTES", ["ab", None]) == b"\x02\x00\x00\x00ab\x00\x00\x00\x00"
    assert OutputTensor("flag", [True, None]).datatype == "FP64"
