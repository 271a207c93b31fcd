"""How records lie in a segment: ``u32 length, u32 crc32, payload``, little-endian.

A record that was replaced keeps its room, so that every other one stays where readers know it: the length's
highest bit says that the payload ends in filling, which is one byte and then zeros. That byte tells what is
left: a shorter record, or none at all.

The checksum covers the length too, so that a tail of zeros, which a file system may leave after a power
failure, is no valid record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace.core.errors import InvalidInput

MAX_RECORD_BYTES = 256 << 20
HEADER_BYTES = 8
_HEADER = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_FILLED = 1 << 31
_LEFT, _VOID = b"\x80", b"\x81"


class Decoded(NamedTuple):
    """Whole records found in a buffer, how many bytes they take, and what stopped the search.

    Attributes:
        wanted_bytes: size of the next record with its header when the buffer ends inside it;
            0 when what follows is no record at all.
    """

    records: list[bytes]
    used_bytes: int
    wanted_bytes: int


def encode(records: Sequence[bytes]) -> bytes:
    """The bytes of ``records``, to be written as one.

    Raises:
        InvalidInput: a record is longer than 256 MiB.
    """
    longest = max(map(len, records), default=0)
    if longest > MAX_RECORD_BYTES:
        raise InvalidInput(
            f"An event of {longest} bytes is too long. Expected at most {MAX_RECORD_BYTES}: "
            "keep large content as an artefact and log its digest."
        )
    # Written out: every answer passes here.
    pack, crc32 = _HEADER.pack, zlib.crc32
    seeds = {length: crc32(_LENGTH.pack(length)) for length in {len(record) for record in records}}
    parts = []
    for record in records:
        length = len(record)
        parts.append(pack(length, crc32(record, seeds[length])))
        parts.append(record)
    return b"".join(parts)


def decode(data: bytes, limit: int | None = None) -> Decoded:
    """Records from the start of ``data`` up to the first that is not whole and valid."""
    found: list[bytes] = []
    position = 0
    while limit is None or len(found) < limit:
        if len(data) - position < HEADER_BYTES:
            return Decoded(found, position, HEADER_BYTES)
        length, checksum = _HEADER.unpack_from(data, position)
        raw_length, length = length, length & ~_FILLED
        if length > MAX_RECORD_BYTES:
            return Decoded(found, position, 0)
        start = position + HEADER_BYTES
        if len(data) - start < length:
            return Decoded(found, position, HEADER_BYTES + length)
        payload = data[start : start + length]
        if _checksum(raw_length, payload) != checksum:
            return Decoded(found, position, 0)
        record = _content(payload) if raw_length & _FILLED else payload
        if record is not None:
            found.append(record)
        position = start + length
    return Decoded(found, position, HEADER_BYTES)


def refit(record: bytes | None, room: int) -> bytes:
    """The bytes that replace a record of ``room`` bytes by a shorter one, or by nothing.

    Raises:
        InvalidInput: ``record`` is longer than the one it replaces.
    """
    if record is not None and len(record) == room:
        return encode([record])
    if record is not None and len(record) > room:
        raise InvalidInput(f"A record of {room} bytes cannot be replaced by {len(record)}. Expected fewer.")
    payload = ((record or b"") + (_VOID if record is None else _LEFT)).ljust(room, b"\0")[:room]
    return _HEADER.pack(room | _FILLED, _checksum(room | _FILLED, payload)) + payload


def places(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Offset, room and content of each record in ``data`` that is left; stops where :func:`decode` does."""
    position, end = 0, decode(data).used_bytes
    while position < end:
        length, _ = _HEADER.unpack_from(data, position)
        room = length & ~_FILLED
        payload = data[position + HEADER_BYTES : position + HEADER_BYTES + room]
        record = _content(payload) if length & _FILLED else payload
        if record is not None:
            yield position, room, record
        position += HEADER_BYTES + room


def _content(payload: bytes) -> bytes | None:
    """What is left in a filled payload; None: nothing."""
    kept = payload.rstrip(b"\0")
    return None if kept[-1:] != _LEFT else kept[:-1]


def _checksum(length: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(length)))
