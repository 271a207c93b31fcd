from __future__ import annotations

import io
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headrace.core.errors import InvalidInput
from headrace.training.archives import pack_arrays, pack_files, unpack_arrays, unpack_files

_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,10}(/[a-z]{1,5})?\.[a-z]{1,4}", fullmatch=True)
_ARRAYS = arrays.arrays(
    dtype=st.one_of(
        arrays.floating_dtypes(sizes=(32, 64), endianness="<"), arrays.integer_dtypes(endianness="<")
    ),
    shape=arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5),
)


@given(st.dictionaries(_NAMES, st.binary(max_size=200), max_size=5))
def test_files_come_back_and_their_order_does_not_count(files: dict[str, bytes]) -> None:
    packed = pack_files(files)
    assert unpack_files(packed, "It") == files
    assert pack_files(dict(reversed(files.items()))) == packed


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), _ARRAYS, max_size=3))
def test_arrays_come_back_with_their_type_and_shape(content: dict[str, np.ndarray]) -> None:
    packed = pack_arrays(content)
    restored = unpack_arrays(packed, "They")
    assert pack_arrays(restored) == packed
    for name, array in content.items():
        assert restored[name].dtype == array.dtype
        np.testing.assert_array_equal(restored[name], array)


@given(st.binary(max_size=300))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="The package cannot be read"):
        unpack_files(data, "The package")


@given(st.data())
def test_damage_is_noticed_or_harmless(data: st.DataObject) -> None:
    packed = pack_arrays({"a": np.arange(5.0), "b": np.arange(3)})
    at = data.draw(st.integers(0, len(packed) - 1))
    damaged = packed[:at] + bytes([packed[at] ^ data.draw(st.integers(1, 255))]) + packed[at + 1 :]
    try:
        restored = unpack_arrays(damaged, "It")
    except InvalidInput:
        return
    values = {name: array.tolist() for name, array in restored.items()}
    known = ([0.0, 1.0, 2.0, 3.0, 4.0], [0, 1, 2])
    assert all(value in known for value in values.values())


@pytest.mark.parametrize("name", ["../evil.py", "/etc/passwd", "a/../../b", "a\\..\\b", "a\nb", "C:evil"])
def test_names_that_lead_outside_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="The archive holds a file .*: its name "):
        unpack_files(pack_files({name: b""}), "The archive")


def test_links_and_files_that_are_there_twice_are_refused() -> None:
    for mode, names, reason in ((0o120777, ["a"], "a link or a device"), (0, ["a", "a"], "there twice")):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in names:
                entry = zipfile.ZipInfo(name)
                entry.external_attr = mode << 16
                archive.writestr(entry, b"x")
        with pytest.raises(InvalidInput, match=reason):
            unpack_files(buffer.getvalue(), "The archive")


def test_what_could_grow_on_reading_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(1_000_000))
    with pytest.raises(InvalidInput, match="compressed"):
        unpack_files(buffer.getvalue(), "The archive")


def test_objects_are_refused() -> None:
    with pytest.raises(InvalidInput, match="holds objects"):
        pack_arrays({"names": np.array(["a", None], dtype=object)})
