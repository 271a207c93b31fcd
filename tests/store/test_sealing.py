from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import InternalError
from headrace.store.sealing import BLOCK_BYTES, HEADER_BYTES, Seal, SealedSegment, header, key_of

KEY, ID = bytes(range(32)), "0123456789abcdef"


@contextmanager
def lying(data: bytes) -> Iterator[int]:
    """A file with this content, opened."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.fileno()


def sealed(parts: list[bytes], name: str = "s/one.seg", key: bytes = KEY) -> list[bytes]:
    """The header, and what each of ``parts`` becomes."""
    seal, start, written = Seal(key, name), 0, [header(ID)]
    for part in parts:
        written.append(seal.blocks(part, start))
        start += len(part)
    return written


def opened(data: bytes, size_bytes: int = 1 << 30, offset: int = 0, key: bytes = KEY) -> bytes:
    with lying(data) as descriptor:
        return SealedSegment(Seal(key, "s/one.seg")).read(descriptor, size_bytes, offset)


@pytest.mark.requirement("PRV-02")
@given(parts=st.lists(st.binary(min_size=1, max_size=300), max_size=8), reads=st.data())
def test_any_part_of_what_was_sealed_reads_as_it_lay_in_clear(
    parts: list[bytes], reads: st.DataObject
) -> None:
    clear, disk = b"".join(parts), b"".join(sealed(parts))
    with lying(disk) as descriptor:
        segment = SealedSegment(Seal(KEY, "s/one.seg"))
        for _ in range(5):
            offset = reads.draw(st.integers(0, len(clear) + 3))
            size_bytes = reads.draw(st.integers(0, len(clear) + 3))
            assert segment.read(descriptor, size_bytes, offset) == clear[offset : offset + size_bytes]


@pytest.mark.requirement("PRV-02")
@settings(max_examples=150)
@given(parts=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5), where=st.data())
def test_no_altered_byte_gives_other_content(parts: list[bytes], where: st.DataObject) -> None:
    """It ends before the altered byte, or is refused; what it gives is what was written."""
    clear, disk = b"".join(parts), bytearray(b"".join(sealed(parts)))
    at = where.draw(st.integers(HEADER_BYTES, len(disk) - 1))
    disk[at] ^= 1 << where.draw(st.integers(0, 7))
    try:
        found = opened(bytes(disk))
    except InternalError:
        return
    assert len(found) < len(clear)
    assert clear.startswith(found)


@pytest.mark.requirement("PRV-02")
def test_a_torn_tail_ends_the_segment() -> None:
    beginning, one, two = sealed([b"first", b"second"])
    for size in range(len(two)):
        assert opened(beginning + one + two[:size]) == b"first"


@pytest.mark.requirement("PRV-02")
def test_a_block_in_another_place_is_refused() -> None:
    beginning, one, two, three = sealed([b"first", b"secnd", b"third"])
    other = sealed([b"first", b"other"], name="s/two.seg", key=bytes(32))[2]
    for moved in ([two, one, three], [one, three], [one, one, two], [one, two, two], [one, other, three]):
        with pytest.raises(InternalError, match="s/one.seg was altered at [0-9]+"):
            opened(b"".join([beginning, *moved]))


def test_the_wrong_key_opens_nothing() -> None:
    with pytest.raises(InternalError, match="was altered at 0"):
        opened(b"".join(sealed([b"first"])), key=bytes(32))


def test_equal_content_never_looks_equal() -> None:
    _, one, two = sealed([b"the same", b"the same"])
    assert one[16:] != two[16:]
    assert sealed([b"the same"])[1] != one


def test_content_of_any_size_goes_into_blocks() -> None:
    clear = os.urandom(2 * BLOCK_BYTES + 77)
    disk = b"".join(sealed([clear, b"end"]))
    assert opened(disk) == clear + b"end"
    assert opened(disk, 10, BLOCK_BYTES - 5) == clear[BLOCK_BYTES - 5 : BLOCK_BYTES + 5]


def test_a_reader_that_goes_on_does_not_start_over() -> None:
    parts = [bytes([n]) * 50_000 for n in range(40)]
    with lying(b"".join(sealed(parts))) as descriptor:
        segment = SealedSegment(Seal(KEY, "s/one.seg"))
        clear = b"".join(parts)
        assert segment.read(descriptor, len(clear), 0) == clear
        for offset in (1_999_999, 700_001, 0, 1_333_333):
            assert segment.read(descriptor, 100_000, offset) == clear[offset : offset + 100_000]


def test_a_segment_in_clear_has_no_key() -> None:
    assert key_of(header(ID)) == ID
    assert key_of(b"") is None
    assert key_of(b"\x05\x00\x00\x00" + bytes(12)) is None
    assert key_of(header(ID)[:-1]) is None
    assert key_of(header(ID)[:-1] + b"\x00") is None
