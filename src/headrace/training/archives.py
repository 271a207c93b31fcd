"""Zip files and arrays as bytes that depend on their content alone: no times, no compression."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.checks.containers import zip_members
from headrace.core.errors import InvalidInput

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_MODE = 0o644 << 16


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """A zip of ``files``, in the order of their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = _MODE
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def unpack_files(data: bytes, what: str) -> dict[str, bytes]:
    """Undo :func:`pack_files`.

    Raises:
        InvalidInput: the bytes are no such zip; ``what`` begins the message.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in zip_members(archive):
                if member.problem is not None:
                    raise InvalidInput(f"{what} holds a file {member.name!r}: {member.problem[1]}.")
            for entry in archive.infolist():
                _check_entry(entry, what)
            return {name: archive.read(name) for name in archive.namelist()}
    # A damaged length or offset can surface as any of these.
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(
            f"{what} cannot be read: {error}. Expected a zip file as Headrace wrote it."
        ) from error


def _check_entry(entry: zipfile.ZipInfo, what: str) -> None:
    # What is stored as it is cannot grow on reading.
    if entry.compress_type != zipfile.ZIP_STORED or entry.is_dir():
        raise InvalidInput(f"{what} holds {entry.filename!r}, which is compressed or a folder.")


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays of numbers, times or booleans as an ``.npz`` file.

    Raises:
        InvalidInput: an array holds objects.
    """
    return pack_files({f"{name}.npy": _npy(name, array) for name, array in arrays.items()})


def _npy(name: str, array: NDArray[Any]) -> bytes:
    if array.dtype.hasobject:
        raise InvalidInput(f"Array {name!r} holds objects. Expected numbers, times or booleans.")
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def unpack_arrays(data: bytes, what: str) -> dict[str, NDArray[Any]]:
    """Undo :func:`pack_arrays`; the arrays are the caller's.

    Raises:
        InvalidInput: the bytes are something else; ``what`` begins the message.
    """
    arrays = {}
    for name, content in unpack_files(data, what).items():
        try:
            array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError, OSError, SyntaxError, MemoryError) as error:
            raise InvalidInput(f"{what} holds {name!r}, which cannot be read: {error}.") from error
        arrays[name.removesuffix(".npy")] = array
    return arrays
