"""How a segment lies on disk when it is encrypted: a header, then blocks of AES-256-GCM.

The header names the key. Each block is ``u32 length, u32 crc32, u64 start, sealed``, little-endian: ``start``
is where its content lies in the segment as it would be in clear, and is authenticated with it. So a reader's
positions are those of the clear text, whether a segment is encrypted or not, and a block that was moved,
doubled or left out is noticed. The key is one segment's alone, so that a block of another file does not open.

The checksum covers what is sealed: how far a segment is whole can be told without the key, and a torn tail is
told from a block that somebody has altered.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from headrace.core.errors import InternalError

BLOCK_BYTES = 1 << 20
HEADER_BYTES = 16
# Read as a length it is far too long, so that a version that knows no encryption finds no record here.
_MAGIC = b"HRS\xff"
_HEADER = struct.Struct("<4s8sI")
_BLOCK = struct.Struct("<IIQ")
_SIGNED = struct.Struct("<IQ")
_NONCE_BYTES, _TAG_BYTES = 12, 16
_OVERHEAD_BYTES = _NONCE_BYTES + _TAG_BYTES
_HINT_BYTES = 256 << 10


class Block(NamedTuple):
    """A whole block: where its content lies in clear, what is sealed, and where the block ends on disk."""

    start: int
    end: int
    sealed: bytes
    position: int


class Seal:
    """Seals and opens the blocks of one segment.

    Args:
        key: 32 bytes that belong to this segment alone.
        name: what the segment is called, for messages.
    """

    def __init__(self, key: bytes, name: str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)
        self._name = name

    def blocks(self, data: bytes, start: int) -> bytes:
        """``data``, which begins at ``start`` of the clear text, as blocks."""
        parts = []
        for offset in range(0, len(data), BLOCK_BYTES):
            part, place = data[offset : offset + BLOCK_BYTES], start + offset
            # At random, and never twice under one segment's key: 2**32 blocks are far above its size.
            nonce = os.urandom(_NONCE_BYTES)
            sealed = nonce + self._cipher.encrypt(nonce, part, _place(place))
            parts += [_BLOCK.pack(len(sealed), _checksum(place, sealed), place), sealed]
        return b"".join(parts)

    def open(self, block: Block) -> bytes:
        """The content of ``block``.

        Raises:
            InternalError: it was altered or moved, or belongs to another segment.
        """
        from cryptography.exceptions import InvalidTag

        nonce, sealed = block.sealed[:_NONCE_BYTES], block.sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, _place(block.start))
        except InvalidTag as error:
            raise self.altered(block.start) from error

    def altered(self, start: int) -> InternalError:
        """The error for what does not stand where it was written."""
        return InternalError(
            f"Segment {self._name} was altered at {start}: what stands there was not written there. "
            "Restore the file from a backup, or delete it and with it its records."
        )


class SealedSegment:
    """Reads an encrypted segment as if it lay in clear; remembers where it has been."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._lock = threading.Lock()
        self._seen = [(0, HEADER_BYTES)]

    def read(self, descriptor: int, size_bytes: int, offset: int) -> bytes:
        """Up to ``size_bytes`` of the clear text from ``offset``.

        Raises:
            InternalError: a block was altered, moved, or left out.
        """
        with self._lock:
            expected, position = self._seen[bisect_right(self._seen, offset, key=itemgetter(0)) - 1]
        parts = []
        for block in _walk(descriptor, position):
            if block.start != expected:
                raise self._seal.altered(expected)
            expected = block.end
            self._remember(block)
            if block.end <= offset:
                continue
            if block.start >= offset + size_bytes:
                break
            content = self._seal.open(block)
            parts.append(content[max(offset - block.start, 0) : offset + size_bytes - block.start])
            if block.end >= offset + size_bytes:
                break
        return b"".join(parts)

    def _remember(self, block: Block) -> None:
        """Now and then, so that a reader who goes on need not walk the whole file again."""
        with self._lock:
            if block.position - self._seen[-1][1] >= _HINT_BYTES:
                self._seen.append((block.end, block.position))


def header(key_id: str) -> bytes:
    """What an encrypted segment begins with.

    >>> key_of(header("00112233aabbccdd"))
    '00112233aabbccdd'
    """
    raw = bytes.fromhex(key_id)
    return _HEADER.pack(_MAGIC, raw, zlib.crc32(raw))


def key_of(beginning: bytes) -> str | None:
    """The id of the key of a segment that begins so; None: it lies in clear."""
    if len(beginning) < HEADER_BYTES:
        return None
    magic, raw, checksum = _HEADER.unpack_from(beginning)
    return raw.hex() if magic == _MAGIC and zlib.crc32(raw) == checksum else None


def _walk(descriptor: int, position: int) -> Iterator[Block]:
    """Blocks from ``position`` on, up to the first that is not whole and valid."""
    buffer, at = b"", 0
    while True:
        if len(buffer) - at < _BLOCK.size:
            buffer, at = os.pread(descriptor, BLOCK_BYTES, position), 0
            if len(buffer) < _BLOCK.size:
                return
        length, checksum, start = _BLOCK.unpack_from(buffer, at)
        if not _OVERHEAD_BYTES <= length <= BLOCK_BYTES + _OVERHEAD_BYTES:
            return
        whole = _BLOCK.size + length
        if len(buffer) - at < whole:
            buffer, at = os.pread(descriptor, max(whole, BLOCK_BYTES), position), 0
            if len(buffer) < whole:
                return
        sealed = buffer[at + _BLOCK.size : at + whole]
        if _checksum(start, sealed) != checksum:
            return
        at, position = at + whole, position + whole
        yield Block(start, start + length - _OVERHEAD_BYTES, sealed, position)


def _place(start: int) -> bytes:
    return start.to_bytes(8, "little")


def _checksum(start: int, sealed: bytes) -> int:
    return zlib.crc32(sealed, zlib.crc32(_SIGNED.pack(len(sealed), start)))
