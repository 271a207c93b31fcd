"""The child process in which an untouched model answers: ``python -m headrace.training.answering FILE``.

A model with code of its own is loaded here and nowhere else, once network and files are taken away.

It reads requests from standard input and writes answers to a pipe of its own, so that what a library prints
does no harm. It ends when its parent does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from headrace.checks.loading import load_own_code, load_pickle
from headrace.core.errors import HeadraceError
from headrace.training.confined import without_files, without_network
from headrace.training.engines import ask_estimator
from headrace.training.tables import to_frame

LENGTH = 4


def read_message(stream: BinaryIO) -> Any:
    """The next message; None at the end of the stream."""
    size = stream.read(LENGTH)
    if len(size) < LENGTH:
        return None
    return msgspec.msgpack.decode(stream.read(int.from_bytes(size, "big")))


def write_message(stream: BinaryIO, message: Any) -> None:
    """Write one message whole."""
    data = msgspec.msgpack.encode(message)
    stream.write(len(data).to_bytes(LENGTH, "big") + data)
    stream.flush()


def main(file: str, answers: str, life: str, code: str = "") -> int:
    """Answer until nobody asks any more; ``code`` is the folder of a model's own modules."""
    if code:
        # Before another thread starts, or that one would keep what is taken away here.
        without_files(Path(file).parent)
        without_network()
    threading.Thread(target=_end_with_parent, args=(int(life),), daemon=True).start()
    with os.fdopen(int(answers), "wb") as out:
        try:
            model = load_own_code(Path(file), Path(code)) if code else load_pickle(Path(file))
        except HeadraceError as error:
            write_message(out, {"error": str(error)})
            return 1
        write_message(out, {"ready": True})
        while (asked := read_message(sys.stdin.buffer)) is not None:
            write_message(out, _answer(model, asked))
    return 0


def _end_with_parent(life: int) -> None:
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)


def _answer(model: Any, asked: dict[str, Any]) -> dict[str, Any]:
    if "rows" in asked:
        try:
            rows = np.array(asked["rows"], dtype=np.float64).reshape(-1, asked["width"])
            return {"numbers": ask_estimator(model, rows, classifies=asked["classifies"]).tolist()}
        except HeadraceError as error:
            return {"error": str(error)}
    columns = {
        name: np.array(values, dtype=object if kind == "text" else np.float64 if kind == "number" else None)
        for name, (kind, values) in asked["columns"].items()
    }
    try:
        frame = to_frame(columns, asked["names"])
        return {"numbers": ask_estimator(model, frame, classifies=asked["classifies"]).tolist()}
    except HeadraceError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
