"""How records lie in a segment: ``u32 length, u32 crc32, payload``, little-endian.

The checksum covers the length too, so that a tail of zeros, which a file system may leave after a power
failure, is no valid record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from headrace.core.errors import InvalidInput

MAX_RECORD_BYTES = 256 << 20
HEADER_BYTES = 8
_HEADER = struct.Struct("<II")
_LENGTH = struct.Struct("<I")


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
    parts: list[bytes] = []
    for record in records:
        if len(record) > MAX_RECORD_BYTES:
            raise InvalidInput(
                f"An event of {len(record)} bytes is too long. Expected at most {MAX_RECORD_BYTES}: "
                "keep large content as an artefact and log its digest."
            )
        parts.append(_HEADER.pack(len(record), _checksum(record)))
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
        if length > MAX_RECORD_BYTES:
            return Decoded(found, position, 0)
        start = position + HEADER_BYTES
        if len(data) - start < length:
            return Decoded(found, position, HEADER_BYTES + length)
        payload = data[start : start + length]
        if _checksum(payload) != checksum:
            return Decoded(found, position, 0)
        found.append(payload)
        position = start + length
    return Decoded(found, position, HEADER_BYTES)


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))
