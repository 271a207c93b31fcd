"""Zip, tar and compressed files, read with limits: names that leave, links and bombs are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Literal, NamedTuple, Protocol

_BLOCK_BYTES = 1 << 20
_ODD = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:")
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
    RuntimeError, NotImplementedError, OverflowError, MemoryError,
)  # fmt: skip
"""What the standard library raises on files that are damaged, encrypted or of an unknown kind."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a file may grow to when it is read.

    Attributes:
        expanded_bytes: of everything that is compressed, together.
        ratio: of what it grows to over what it is, once that is more than ``free_bytes``.
        members: files in one archive, or in one folder.
        depth: archives in archives.
    """

    expanded_bytes: int = 4 << 30
    ratio: int = 200
    free_bytes: int = 64 << 20
    members: int = 10_000
    depth: int = 4


class Source(Protocol):
    """Whatever bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


class TooLarge(Exception):
    """A file grows beyond the limits."""


class Budget:
    """What may still be expanded of one file, whatever is inside of it."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._limits = limits
        allowed = max(limits.free_bytes, packed_bytes * limits.ratio)
        self._left = min(limits.expanded_bytes, allowed)

    def expand(self, source: Source) -> io.BytesIO:
        """All of ``source``, in memory.

        Raises:
            TooLarge: it is more than is left.
        """
        target = io.BytesIO()
        while block := source.read(_BLOCK_BYTES):
            self._left -= len(block)
            if self._left < 0:
                raise TooLarge
            target.write(block)
        target.seek(0)
        return target


Problem = tuple[Literal["path", "link", "unreadable"], str]
"""Kind and detail."""


class Member(NamedTuple):
    """A file in an archive; ``problem`` says why it is not to be opened."""

    name: str
    problem: Problem | None


def odd_name(name: str) -> str | None:
    """Why a file of an archive or folder must not be called so; None: it may.

    >>> odd_name("../../etc/passwd")
    'leaves the folder'
    """
    path = PurePosixPath(name)
    if path.is_absolute():
        return "is an absolute path"
    if ".." in path.parts:
        return "leaves the folder"
    if _ODD.search(name) or not name:
        return "holds a control character, a backslash or a drive"
    return None


def zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    """The files of a zip, with what is wrong with them."""
    seen: set[str] = set()
    for info in archive.infolist():
        mode, odd = info.external_attr >> 16, odd_name(info.filename)
        problem: Problem | None = None
        if odd:
            problem = ("path", f"its name {odd}")
        elif info.filename in seen:
            problem = ("path", "it is there twice: which one is read depends on the reader")
        elif mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            problem = ("link", "it is a link or a device")
        elif info.flag_bits & 1:
            problem = ("unreadable", "it is encrypted")
        seen.add(info.filename)
        if problem or not info.is_dir():
            yield Member(info.filename, problem)


def tar_members(archive: tarfile.TarFile) -> Iterator[Member]:
    """The files of a tar, with what is wrong with them."""
    for info in archive:
        odd = odd_name(info.name)
        problem: Problem | None = None
        if odd:
            problem = ("path", f"its name {odd}")
        elif not (info.isfile() or info.isdir()):
            problem = ("link", "it is a link or a device")
        if problem or info.isfile():
            yield Member(info.name, problem)


def compression_of(head: bytes) -> str | None:
    """How a file that begins so is compressed; None: not in a way that models are."""
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:3] == b"BZh":
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\x00" or head[:3] == b"\x5d\x00\x00":
        return "xz"
    if head[:4] == b"\x04\x22\x4d\x18":
        return "lz4"
    # The second byte of zlib makes the two a multiple of 31.
    if head[:1] == b"\x78" and len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0:
        return "zlib"
    return None


def decompressed(kind: str, file: BinaryIO) -> Source:
    """A file whose content is what ``file`` holds compressed.

    Raises:
        ValueError: the library that reads it is not installed.
    """
    match kind:
        case "gzip":
            return gzip.GzipFile(fileobj=file)
        case "bzip2":
            return bz2.BZ2File(file)
        case "xz":
            return lzma.LZMAFile(file)
        case "zlib":
            return io.BufferedReader(_Zlib(file))
    try:
        import lz4.frame
    except ImportError:
        raise ValueError("it is compressed by lz4, and the package lz4 is not installed") from None
    return lz4.frame.LZ4FrameFile(file)  # type: ignore[no-any-return]


class _Zlib(io.RawIOBase):
    """Reads a zlib stream a block at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._inflate.eof:
            pending = self._inflate.unconsumed_tail or self._file.read(_BLOCK_BYTES)
            if not pending:
                raise EOFError("its compressed stream ends early")
            block = self._inflate.decompress(pending, len(buffer))
            if block:
                buffer[: len(block)] = block
                return len(block)
        if self._inflate.unused_data or self._file.read(1):
            raise ValueError("something follows its compressed stream")
        return 0
