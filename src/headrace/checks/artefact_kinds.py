"""What a file is: told by its first bytes, and held against what its name says."""

from __future__ import annotations

import tarfile
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

from headrace.checks.containers import compression_of

FileKind = Literal[
    "pickle",
    "zip",
    "tar",
    "packed",
    "npy",
    "onnx",
    "hdf5",
    "safetensors",
    "data",
    "text",
    "program",
    "unknown",
]
HEAD_BYTES = 1024
_PROGRAMS = frozenset(
    ".py .pyc .pyo .pyd .pyx .pth.py .so .dll .dylib .exe .sh .bash .bat .cmd .ps1 .jar .class .whl .egg .js "
    ".ipynb .rb .pl .lua .php .vbs .wasm".split()
)
_TEXTS = ".json .txt .yaml .yml .csv .tsv .md .toml .cfg .ini .lock .log".split()
_EXPECTED: dict[str, frozenset[FileKind]] = {
    ".npy": frozenset({"npy"}),
    ".npz": frozenset({"zip"}),
    ".onnx": frozenset({"onnx"}),
    ".safetensors": frozenset({"safetensors"}),
    ".skops": frozenset({"zip"}),
    ".keras": frozenset({"zip"}),
    ".zip": frozenset({"zip"}),
    ".tar": frozenset({"tar"}),
    ".pt": frozenset({"zip", "pickle", "tar"}),
    ".pth": frozenset({"zip", "pickle", "tar"}),
    ".pkl": frozenset({"pickle", "packed"}),
    ".pickle": frozenset({"pickle", "packed"}),
    ".joblib": frozenset({"pickle", "packed"}),
    ".dill": frozenset({"pickle", "packed"}),
    ".h5": frozenset({"hdf5"}),
    ".hdf5": frozenset({"hdf5"}),
    ".parquet": frozenset({"data"}),
    **dict.fromkeys(_TEXTS, frozenset({"text"})),
}
PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".p", ".sav"})
_DATA = (b"PAR1", b"ARROW1", b"CBM1", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"{L\x00\x00")
"""Parquet, Arrow, CatBoost, pictures, XGBoost: formats that hold numbers and no code."""
_MACHINE = (b"\x7fELF", b"MZ", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xce")


def suffix_of(name: str) -> str:
    """The ending of a name, in lower case, with its dot."""
    return PurePosixPath(name).suffix.lower()


def kind_of(name: str, file: BinaryIO) -> FileKind:
    """What the file is, judged by its first bytes; the position stays at its beginning.

    A text may still be a pickle of protocol 0, and an unknown one of any kind: who wants to know reads it.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if suffix_of(name) in _PROGRAMS or head.startswith(_MACHINE):
        return "program"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return "pickle"
    if compression_of(head):
        return "packed"
    if head[257:262] == b"ustar" or (suffix_of(name) == ".tar" and _is_tar(file)):
        return "tar"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000:
        return "safetensors"
    if head.startswith(_DATA):
        return "data"
    return "text" if _is_text(file) else "unknown"


def disguise(name: str, kind: FileKind) -> str | None:
    """Why a file of this kind must not be called so; None: it may."""
    suffix = suffix_of(name)
    expected = _EXPECTED.get(suffix)
    if expected is None or kind in expected:
        return None
    return f"it is called {suffix} but holds something else ({kind})"


def _is_tar(file: BinaryIO) -> bool:
    found = tarfile.is_tarfile(file)
    file.seek(0)
    return found


def _is_text(file: BinaryIO) -> bool:
    """Whether all of it is UTF-8 without control characters."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(1 << 20):
            decoder.decode(block)
            if b"\x00" in block:
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    finally:
        file.seek(0)
    return True
