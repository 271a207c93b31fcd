"""Scalars and hyperparameters in TensorBoard's event files; TensorBoard itself is not needed to read them.

An event file is a sequence of records (length, checksum of the length, bytes, checksum of the bytes), each
record a protobuf message. The few messages that matter are described here, with TensorFlow's field numbers
(``tensorflow/core/util/event.proto``, ``summary.proto`` and the ``hparams`` plug-in's ``plugin_data.proto``).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from headrace.core.data import Point
from headrace.core.errors import InvalidInput
from headrace.training.captured import Captured

_FILES = "events.out.tfevents.*"
_HPARAMS = "hparams"
_FAILED = 2
_FLOAT, _DOUBLE = 1, 2
_POLYNOMIAL = 0x82F63B78
_MOST_BYTES = 1 << 30
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Event": {"wall_time": (1, "double"), "step": (2, "int64"), "summary": (5, "Summary")},
    "Summary": {"value": (1, "*Value")},
    "Value": {
        "tag": (1, "string"), "simple_value": (2, "?float"), "tensor": (8, "Tensor"),
        "metadata": (9, "Metadata"),
    },
    "Tensor": {
        "dtype": (1, "int64"), "content": (4, "bytes"), "floats": (5, "*float"), "doubles": (6, "*double"),
    },
    "Metadata": {"plugin": (1, "Plugin")},
    "Plugin": {"name": (1, "string"), "content": (2, "bytes")},
    "HParams": {"start": (3, "Start"), "end": (4, "End")},
    "Start": {"hparams": (1, "*HParam")},
    "End": {"status": (1, "int64")},
    "HParam": {"key": (1, "string"), "value": (2, "Plain")},
    "Plain": {"number": (2, "?double"), "text": (3, "?string"), "truth": (4, "?bool")},
}  # fmt: skip


def tensorboard_runs(folder: Path) -> Iterator[Captured]:
    """The runs below ``folder``, each a folder with event files, by their names.

    Raises:
        InvalidInput: a file is damaged, or no event file.
    """
    for place in sorted({path.parent for path in folder.rglob(_FILES)}):
        found = _captured(place, place.relative_to(folder).as_posix())
        if found is not None:
            yield found


def _captured(place: Path, relative: str) -> Captured | None:
    files = sorted(place.glob(_FILES))
    series: dict[str, list[Point]] = {}
    params: dict[str, Any] = {}
    times: list[float] = []
    error = None
    for path in files:
        for event in _events(path):
            times.append(event.wall_time)
            for value in event.summary.value:
                if value.metadata.plugin.name == _HPARAMS:
                    held = _parsed("HParams", value.metadata.plugin.content, path)
                    params |= {one.key: _plain(one.value) for one in held.start.hparams}
                    error = "its session ended with a failure" if held.end.status == _FAILED else error
                elif (number := _scalar(value)) is not None:
                    at = _moment(event.wall_time, path)
                    series.setdefault(value.tag, []).append(Point(step=event.step, at=at, value=number))
    if not series and not params:
        return None
    return Captured(
        tool="tensorboard",
        # Writers that start in one second give their files one name, and each its own first moment.
        source_id=f"{files[0].name} {times[0]!r}",
        name=place.name if relative == "." else relative,
        params=params,
        # Several writers, or one that was started again, need not have written in order.
        series={
            tag: sorted(points, key=lambda point: (point.step, point.at)) for tag, points in series.items()
        },
        started_at=_moment(min(times), place),
        finished_at=_moment(max(times), place),
        error=error,
    )


def _events(path: Path) -> Iterator[Any]:
    """The messages of one file. A record that a killed writer did not finish is the end of it."""
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidInput(
            f"{path} is larger than {_MOST_BYTES:,} bytes. Import the runs' folders one by one."
        )
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            length, checksum = struct.unpack("<QI", head)
            if _checksum(head[:8]) != checksum:
                raise InvalidInput(f"{path} is damaged, or no event file, at byte {file.tell() - 12}.")
            data = file.read(length + 4)
            if len(data) < length + 4:
                return
            yield _parsed("Event", data[:length], path)


def _moment(seconds: float, path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidInput(f"{path} holds a record of the time {seconds!r}, which is none.") from error


def _checksum(data: bytes) -> int:
    """CRC-32C as the record format masks it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL & -(crc & 1))
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _scalar(value: Any) -> float | None:
    """The number in a summary value; None for images, texts and whatever has more than one."""
    if value.HasField("simple_value"):
        return _finite(value.simple_value)
    tensor = value.tensor
    numbers = [*tensor.floats, *tensor.doubles]
    if not numbers and tensor.dtype in (_FLOAT, _DOUBLE):
        form, size = ("<f", 4) if tensor.dtype == _FLOAT else ("<d", 8)
        numbers = list(struct.unpack(form, tensor.content)) if len(tensor.content) == size else []
    return _finite(numbers[0]) if len(numbers) == 1 else None


def _finite(number: float) -> float:
    return float(number) if math.isfinite(number) else math.nan


def _plain(value: Any) -> float | str | bool:
    for name in ("number", "text", "truth"):
        if value.HasField(name):
            found: float | str | bool = getattr(value, name)
            return found
    return ""


def _parsed(name: str, data: bytes, path: Path) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return _classes()[name].FromString(data)
    except DecodeError as error:
        raise InvalidInput(f"{path} holds a record that is no {name} ({error}).") from error


@cache
def _classes() -> dict[str, Any]:
    """Classes for the messages above."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = {
        name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
        for name in ("double", "float", "int64", "string", "bytes", "bool")
    }
    file = descriptor_pb2.FileDescriptorProto(
        name="headrace/tensorboard.proto", package="headrace.tensorboard", syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, told) in fields.items():
            kind = told.lstrip("*?")
            made = message.field.add(name=field, number=number, label=3 if told.startswith("*") else 1)
            if kind in kinds:
                made.type = kinds[kind]
            else:
                made.type, made.type_name = 11, f".headrace.tensorboard.{kind}"
            if told.startswith("?"):  # proto3 tells nought from absent only by a oneof of one
                made.proto3_optional, made.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"headrace.tensorboard.{name}"))
        for name in _MESSAGES
    }
