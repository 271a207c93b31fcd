"""Tensors of the Open Inference Protocol: datatypes, shapes and raw bytes. Knows no transport.

Source: KServe, "Open Inference Protocol" (datatypes, row-major little-endian raw contents), and Triton's
"Binary Tensor Data Extension" (BYTES: each element after its length as 4 bytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from headrace.core.errors import InvalidInput
from headrace.serving.inputs import Matrix

_DTYPES = {
    "FP64": "<f8", "FP32": "<f4", "FP16": "<f2", "BF16": "<u2",
    "INT64": "<i8", "INT32": "<i4", "INT16": "<i2", "INT8": "i1",
    "UINT64": "<u8", "UINT32": "<u4", "UINT16": "<u2", "UINT8": "u1",
    "BOOL": "u1",
}  # fmt: skip
FITS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys((name for name in _DTYPES if name != "BOOL"), (int, float)),
    "BOOL": (bool,),
    "BYTES": (str,),
}
"""Datatype to the types that its values have when they are written as JSON."""
_LENGTH_BYTES = 4
_MAX_SIDES = 8


def read_column(name: str, shape: Sequence[int], values: list[Any]) -> list[Any] | Matrix:
    """The values of one tensor: a column for shape ``[n]`` or ``[n, 1]``, a matrix for ``[n, k]``.

    Args:
        values: all of them, row by row.

    Raises:
        InvalidInput: another shape, or another number of values.
    """
    if len(shape) not in (1, 2) or min(shape) < 0:
        raise InvalidInput(
            f"Input {name!r} has shape {list(shape[:_MAX_SIDES])}. Expected [N] or [N, 1]; or, when it is "
            "the only input, [N, number of inputs]."
        )
    wanted = prod(shape)
    if len(values) != wanted:
        raise InvalidInput(
            f"Input {name!r} has shape {list(shape)} and {len(values)} values. Expected {wanted} values."
        )
    if len(shape) == 1 or shape[1] == 1:
        return values
    if not values:
        raise InvalidInput(f"Input {name!r} has shape {list(shape)}: no rows. Expected at least one.")
    return Matrix([values[place :: shape[1]] for place in range(shape[1])])


def alone(values: dict[str, list[Any]], matrix: Matrix | None) -> dict[str, list[Any]] | Matrix:
    """The columns, or the matrix in their place.

    Raises:
        InvalidInput: there are others beside the matrix.
    """
    if matrix is None:
        return values
    if len(values) > 1:
        raise InvalidInput(
            "One input has several columns and is not the only one. Expected one tensor of shape [N] for "
            "each input, or a single one of shape [N, number of inputs]."
        )
    return matrix


def read_raw(name: str, datatype: str, shape: Sequence[int], raw: memoryview) -> list[Any]:
    """Plain values of a tensor's raw bytes; NaN, the only gap that raw numbers have, becomes ``None``.

    Raises:
        InvalidInput: the bytes are not what ``datatype`` and ``shape`` say.
    """
    if datatype == "BYTES":
        return _read_texts(name, raw)
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise unknown_datatype(name, datatype)
    size = np.dtype(dtype).itemsize
    if min(shape, default=0) < 0 or prod(shape) * size != len(raw):
        raise InvalidInput(
            f"Input {name!r} has {len(raw)} bytes. Expected {size} for each value of its shape "
            f"{list(shape[:_MAX_SIDES])} ({datatype})."
        )
    array: Any = np.frombuffer(raw, dtype=dtype)
    if datatype == "BOOL":
        return (array != 0).tolist()  # type: ignore[no-any-return]
    if datatype == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    values: list[Any] = array.tolist()
    if array.dtype.kind == "f" and np.isnan(array).any():
        return [None if value != value else value for value in values]  # noqa: PLR0124 - that is NaN
    return values


def raw_bytes(datatype: str, values: Sequence[Any]) -> bytes:
    """The raw bytes of an output; a gap among numbers is NaN, one among texts is empty."""
    if datatype == "BYTES":
        texts = ["" if value is None else str(value) for value in values]
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        return b"".join(
            part for text in encoded for part in (len(text).to_bytes(_LENGTH_BYTES, "little"), text)
        )
    if datatype == "FP64":
        return np.array([np.nan if value is None else value for value in values], dtype="<f8").tobytes()
    return np.array(values, dtype=_DTYPES[datatype]).tobytes()


def unknown_datatype(name: str, datatype: str) -> InvalidInput:
    """The error of a datatype that the protocol does not have."""
    return InvalidInput(f"Input {name!r} has datatype {datatype[:40]!r}. Expected one of {', '.join(FITS)}.")


class OutputTensor:
    """One output of an answer: its datatype, shape and values, row by row.

    Example::

        OutputTensor("predict", [1.5, 2.0]).shape  # [2]
    """

    __slots__ = ("datatype", "name", "shape", "values")

    def __init__(self, name: str, values: list[Any]) -> None:
        first = values[0] if values[0] is not None else next((v for v in values if v is not None), 0.0)
        self.name = name
        if isinstance(first, list):
            self.datatype = "FP64"
            self.shape = [len(values), len(first)]
            self.values = [item for row in values for item in row]
        else:
            self.datatype = datatype_of(first)
            self.shape = [len(values)]
            self.values = values
            if self.datatype in ("BOOL", "INT64") and None in values:
                # Of all numbers, these alone have a form for a gap.
                self.datatype = "FP64"
                self.values = [None if value is None else float(value) for value in values]


def datatype_of(value: object) -> str:
    """The datatype of a plain value.

    >>> datatype_of(1.5), datatype_of("a"), datatype_of(True), datatype_of(3)
    ('FP64', 'BYTES', 'BOOL', 'INT64')
    """
    if isinstance(value, float):
        return "FP64"
    if isinstance(value, str):
        return "BYTES"
    if isinstance(value, bool):
        return "BOOL"
    return "INT64"


def _read_texts(name: str, raw: memoryview) -> list[Any]:
    texts: list[Any] = []
    at = 0
    while at < len(raw):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(raw[at:start], "little")
        if start > len(raw) or at > len(raw):
            raise InvalidInput(
                f"Input {name!r}, row {len(texts)}: its bytes end too early. Expected each text after its "
                "length, 4 bytes in little-endian order."
            )
        try:
            texts.append(str(raw[start:at], "utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInput(f"Input {name!r}, row {len(texts)}: is no UTF-8. Expected text.") from error
    return texts
