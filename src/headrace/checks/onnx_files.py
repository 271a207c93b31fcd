"""What an ONNX file refers to outside of itself, read from its bytes: no runtime and no parser is asked.

Protocol buffers are fields of a number and a value; the table below says which of them lead on to where a
tensor may lie in another file, or where an operator comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_EXTERNAL = 1
_DEEPEST = 64
_WITHIN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {13: "entry"},
    "opset": {},
    "entry": {},
}
_DOMAIN = {"node": 7, "opset": 1, "function": 10}
_STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"})


class References(NamedTuple):
    """What a model needs beside its file.

    Attributes:
        files: where tensors lie, relative to the model's folder.
        domains: of operators that neither ONNX nor the model itself defines.
    """

    files: list[str]
    domains: list[str]


def references(data: memoryview) -> References | None:
    """What the model in ``data`` refers to; None if these are not the bytes of an ONNX model."""
    found = _Found()
    try:
        kinds = _walk(data, "model", found, 0)
    except (ValueError, IndexError):
        return None
    if "graph" not in kinds:
        return None
    foreign = found.domains - found.own - _STANDARD
    return References(sorted(found.files), sorted(foreign))


class _Found:
    def __init__(self) -> None:
        self.files: set[str] = set()
        self.domains: set[str] = set()
        self.own: set[str] = set()


def _walk(data: memoryview, kind: str, found: _Found, depth: int) -> set[str]:
    """Note what a message refers to; returns the kinds of messages in it."""
    if depth > _DEEPEST:
        raise ValueError("too deep")
    within, domain_field, seen = _WITHIN[kind], _DOMAIN.get(kind), set()
    entries: dict[str, str] = {}
    external = False
    for number, value in _fields(data):
        if isinstance(value, int):
            external |= kind == "tensor" and number == 14 and value == _EXTERNAL
            continue
        inner = within.get(number)
        if number == domain_field:
            (found.own if kind == "function" else found.domains).add(_text(value))
        if inner is None:
            continue
        seen.add(inner)
        if inner == "entry":
            pair = {n: _text(v) for n, v in _fields(value) if not isinstance(v, int)}
            entries[pair.get(1, "")] = pair.get(2, "")
        else:
            _walk(value, inner, found, depth + 1)
    if external or "location" in entries:
        found.files.add(entries.get("location", ""))
    return seen


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8")  # UnicodeDecodeError is a ValueError


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; bytes are not copied."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise ValueError("field 0")
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire == 2:
            length, at = _varint(data, at)
            if length > end - at:
                raise ValueError("a field ends behind the message")
            yield number, data[at : at + length]
            at += length
        elif wire in (1, 5):
            width = 8 if wire == 1 else 4
            if width > end - at:
                raise ValueError("a field ends behind the message")
            at += width
        else:
            raise ValueError("an unknown kind of field")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
