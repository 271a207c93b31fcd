"""Large records of the event log in compressed form: Zstandard, which knows nothing of models or data.

The same record always becomes the same bytes, and what comes back is proved to be what went in: its SHA-256
stands beside it. Reading needs neither the model nor the code that answered.
"""

from __future__ import annotations

from typing import NamedTuple

from headrace.core.canonical import digest_bytes
from headrace.core.errors import InternalError

MARK = 0xC1
"""The first byte of a compressed record: the one byte that no MessagePack begins with."""
LEVEL, SMALLEST_LEVEL = 3, 19
_VERSION = 1
_LARGEST_BYTES = 1 << 30
"""More than any record can have: a damaged size must not take all memory."""
_SIZE_BYTES, _DIGEST_BYTES = 8, 32
_HEAD_BYTES = 2 + _SIZE_BYTES + _DIGEST_BYTES


class Opened(NamedTuple):
    """A record as it was, and whether it was compressed."""

    record: bytes
    compressed: bool


def compress(record: bytes, *, above_bytes: int, level: int = LEVEL) -> bytes:
    """``record`` in compressed form, where it is longer than ``above_bytes`` and becomes shorter by that.

    >>> small = compress(b"x" * 100_000, above_bytes=1_000)
    >>> len(small) < 200, decompress(small) == (b"x" * 100_000, True)
    (True, True)
    >>> compress(b"short", above_bytes=1_000)
    b'short'
    """
    if len(record) <= above_bytes:
        return record
    import pyarrow as pa

    frame = pa.Codec("zstd", compression_level=level).compress(record, asbytes=True)
    head = (
        bytes((MARK, _VERSION))
        + len(record).to_bytes(_SIZE_BYTES, "big")
        + bytes.fromhex(digest_bytes(record))
    )
    made: bytes = head + frame
    return made if len(made) < len(record) else record


def decompress(record: bytes) -> Opened:
    """Undo :func:`compress`; a record that was not compressed is returned as it is.

    Raises:
        InternalError: what comes out is not what went in.
    """
    if record[:1] != bytes((MARK,)):
        return Opened(record, compressed=False)
    import pyarrow as pa

    size = int.from_bytes(record[2 : 2 + _SIZE_BYTES], "big")
    digest = record[2 + _SIZE_BYTES : _HEAD_BYTES].hex()
    try:
        if record[1] != _VERSION:
            raise ValueError(f"version {record[1]} is not known")
        if size > _LARGEST_BYTES:
            raise ValueError(f"it says that it was {size} bytes")
        raw: bytes = pa.decompress(record[_HEAD_BYTES:], size, codec="zstd", asbytes=True)
        if digest_bytes(raw) != digest:
            raise ValueError("its digest is another")
    except (OSError, ValueError, IndexError) as error:
        raise InternalError(
            f"A compressed event of {len(record)} bytes cannot be read: {error}. The log was edited or is "
            "damaged: restore it from a backup."
        ) from error
    return Opened(raw, compressed=True)
