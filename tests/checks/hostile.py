"""Model files that do harm, made when a test runs: none of them is ever kept, and none is loaded.

Every payload would make the file ``MARKER`` in the working directory, so that a test can see that it did not.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np

MARKER = "it-ran"
COMMAND = f"touch {MARKER}"
Write = Callable[[Path], Path]


class Runs:
    """An object whose pickle calls ``os.system``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (COMMAND,)


class Evaluates:
    """An object whose pickle evaluates an expression."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('os').system({COMMAND!r})",)


class Filled:
    """An object that names what it is made by, with these arguments."""

    def __init__(self, called: Any, *arguments: Any) -> None:
        self.made = called, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.made


RUNS = pickle.dumps(Runs())
_TEXT = f"cposix\nsystem\n(S'{COMMAND}'\ntR.".encode()


def short(text: str) -> bytes:
    """The instruction that pushes a text."""
    data = text.encode()
    return b"\x8c" + bytes([len(data)]) + data


def stack_global(module: str, name: str) -> bytes:
    """The instructions that push a name."""
    return short(module) + short(name) + b"\x93"


def _joblib(value: Any, *, compress: Any = 0) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, compress=compress)
    return buffer.getvalue()


def _without_padding(array: np.ndarray) -> bytes:
    """As joblib wrote before it aligned arrays: the bytes follow the description at once, and whoever reads
    the file with ``pickle.load`` runs them."""
    from joblib.numpy_pickle import NumpyArrayWrapper

    wrapper = NumpyArrayWrapper(np.ndarray, array.shape, "C", array.dtype)
    wrapper.numpy_array_alignment_bytes = None
    described = pickle.dumps(wrapper, protocol=2)
    return described[:-1] + array.tobytes() + b"."


def _in_frame() -> bytes:
    """An array inside of a frame: joblib would look for its bytes behind the frame."""
    plain = _joblib(np.zeros(4))
    body = plain[2:]
    return b"\x80\x04\x95" + struct.pack("<Q", len(body)) + body


def _object_array() -> bytes:
    holder = np.empty(1, dtype=object)
    holder[0] = Runs()
    return _joblib([np.zeros(8), holder])


def _npy() -> bytes:
    holder = np.empty(1, dtype=object)
    holder[0] = Runs()
    buffer = io.BytesIO()
    np.save(buffer, holder, allow_pickle=True)
    return buffer.getvalue()


def _zip(files: dict[str, bytes], *, compressed: bool = False, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = kind
            if mode:
                info.external_attr = mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _tar_link(kind: bytes) -> bytes:
    info = tarfile.TarInfo("weights")
    info.type, info.linkname = kind, "/etc/passwd"
    return _tar((info, b""))


def _torch(index: bytes, **more: bytes) -> bytes:
    return _zip({"model/data.pkl": index, "model/version": b"3\n", "model/data/0": bytes(16)} | more)


def _onnx(*, location: str | None = None, domain: str = "") -> bytes:
    from onnx import TensorProto, helper

    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    if location is not None:
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location
    node = helper.make_node("Add", ["x", "w"], ["y"], domain=domain)
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y")]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [tensor])
    opsets = [helper.make_opsetid("", 18)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    data: bytes = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    return data


def _nested_tuples() -> bytes:
    """Forty doublings: a hash of the result would take for ever."""
    return b"\x80\x04)" + b"2\x86" * 40 + b"."


def _skops() -> bytes:
    schema = (
        f'{{"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": "{COMMAND}"}}'
    )
    return _zip({"schema.json": schema.encode()})


def _fitted(**changes: Any) -> Any:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(np.arange(20.0).reshape(10, 2), np.arange(10.0))
    for name, value in changes.items():
        setattr(model, name, value)
    return model


@cache
def contents(bomb_bytes: int = 2 << 20) -> dict[str, bytes]:
    """File name to content; two of them grow to ``bomb_bytes``."""
    return _pickles() | _disguised_and_joblib(bomb_bytes) | _others(bomb_bytes)


def _pickles() -> dict[str, bytes]:
    sub = "csubprocess\nPopen\n((lp0\nVtouch\naVit-ran\natR."
    protocols = {f"protocol_{p}.pkl": pickle.dumps(Runs(), protocol=p) for p in range(6)}
    return protocols | {
        "eval.pkl": pickle.dumps(Evaluates()),
        "exec.pkl": pickle.dumps(Filled(exec, "import os")),
        "open.pkl": pickle.dumps(Filled(open, MARKER, "w")),
        "getattr.pkl": pickle.dumps(Filled(getattr, [], "append")),
        "import.pkl": pickle.dumps(Filled(__import__, "antigravity")),
        "popen.pkl": sub.encode(),
        "inst.pkl": f"(S'{COMMAND}'\niposix\nsystem\n.".encode(),
        "obj.pkl": b"(cposix\nsystem\nS'" + COMMAND.encode() + b"'\no.",
        "newobj.pkl": b"\x80\x04" + stack_global("subprocess", "Popen") + short(COMMAND) + b"\x85\x81.",
        "newobj_ex.pkl": b"\x80\x04" + stack_global("subprocess", "Popen") + short(COMMAND) + b"\x85}\x92.",
        "memo_name.pkl": b"\x80\x04" + short("posix") + b"\x94" + short("system") + b"\x940"
        b"0h\x00h\x01\x93" + short(COMMAND) + b"\x85R.",
        "put_name.pkl": b"\x80\x02X\x05\x00\x00\x00posixq\x07X\x06\x00\x00\x00systemq\x0900h\x07h\x09\x93"
         b"X\x01\x00\x00\x00a\x85R.",
        "dotted.pkl": b"\x80\x04" + stack_global("sklearn.base", "os.system") + short(COMMAND) + b"\x85R.",
        "dunder.pkl": b"\x80\x04" + stack_global("sklearn.base", "BaseEstimator.__init__.__globals__") + b".",
        "extension.pkl": b"\x80\x02\x82\x01.",
        "persistent.pkl": b"\x80\x02Pelsewhere\n.",
        "unused.pkl": b"\x80\x04" + stack_global("webbrowser", "open") + b"0N.",
        "second_of_two.pkl": pickle.dumps({"a": 1}) + RUNS,
        "behind_the_end.pkl": pickle.dumps([1, 2]) + b"\x00\x01 something",
        "truncated.pkl": pickle.dumps(list(range(1000)))[:-20],
        "empty.pkl": b"",
        "noise.pkl": bytes(range(128, 256)) * 10,
        "numpy_load.pkl": pickle.dumps(Filled(np.load, MARKER)),
        "numpy_shape.pkl": pickle.dumps(Filled(_reconstruct(), np.ndarray, (10**9,), b"b")),
        "long_bytes.pkl": pickle.dumps(Filled(bytearray, 10**9)),
        "long_list.pkl": pickle.dumps(Filled(list, range(10**9))),
        "doublings.pkl": _nested_tuples(),
        "library.pkl": b"\x80\x04" + stack_global("sklearn.base", "BaseEstimator") + b"N}" + short("__init__")
        + stack_global("builtins", "list") + b"s\x86b.",
        "cloudpickle.pkl": cloudpickle.dumps(lambda x: x + 1),
        "codec.pkl": pickle.dumps(Filled(_codec(), "00", "hex")),
        "own_class.pkl": pickle.dumps(Runs.__mro__[0]),
    }  # fmt: skip


def _disguised_and_joblib(bomb_bytes: int) -> dict[str, bytes]:
    return {
        "protocol_0.txt": _TEXT,
        "pickle.onnx": RUNS,
        "pickle.json": RUNS,
        "model.bin": RUNS,
        "gzip.pkl.gz": gzip.compress(RUNS, mtime=0),
        "behind_array.joblib": _joblib([np.arange(1000.0), Runs()]),
        "behind_two.joblib": _joblib({"a": np.ones((3, 4), order="F"), "b": np.array(["x"]), "c": Runs()}),
        "in_estimator.joblib": _joblib(_fitted(coef_=np.arange(2.0), payload=Runs())),
        "objects.joblib": _object_array(),
        "zlib.joblib": _joblib([np.arange(1000.0), Runs()], compress=3),
        "gzip.joblib": gzip.compress(_joblib([np.arange(9.0), Runs()])),
        "bz2.joblib": bz2.compress(_joblib([np.arange(9.0), Runs()])),
        "xz.joblib": lzma.compress(_joblib([np.arange(9.0), Runs()])),
        "lzma.joblib": lzma.compress(_joblib([np.arange(9.0), Runs()]), lzma.FORMAT_ALONE),
        "read_by_pickle.joblib": _without_padding(np.frombuffer(b"0" + _TEXT, dtype=np.uint8)),
        "in_frame.joblib": _in_frame(),
        "short_array.joblib": _joblib(np.arange(1000.0))[:-100],
        "bomb.joblib": zlib.compress(bytes(bomb_bytes), 9),
    }  # fmt: skip


def _others(bomb_bytes: int) -> dict[str, bytes]:
    return {
        "objects.npy": _npy(),
        "objects.npz": _zip({"a.npy": _npy()}),
        "lie.npy": RUNS,
        "header.npy": b"\x93NUMPY\x01\x00\x46\x00"
         b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }\n",
        "torch.pt": _torch(RUNS),
        "torch_code.pt": _torch(pickle.dumps({}), **{"model/code/model.py": b"import os"}),
        "torch_storage.pt": _torch(
            b"\x80\x02(X\x07\x00\x00\x00storagecposix\nsystem\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ."
        ),
        "legacy.pth": _tar((tarfile.TarInfo("pickle"), RUNS)),
        "bomb.zip": _zip({"zeros": bytes(bomb_bytes)}, compressed=True),
        "traversal.zip": _zip({"../../outside.npy": b"x"}),
        "absolute.zip": _zip({"/etc/outside": b"x"}),
        "backslash.zip": _zip({"..\\outside": b"x"}),
        "newline.zip": _zip({"a\nb": b"x"}),
        "link.zip": _zip({"weights": b"/etc/passwd"}, mode=0o120777),
        "nested.zip": _matryoshka(8),
        "behind_bytes.bin": b"\x80\x04N." + _zip({"a.txt": b"x"}),
        "damaged.zip": _zip({"a.txt": b"x" * 100})[:-30],
        "traversal.tar": _tar((tarfile.TarInfo("../outside"), b"x")),
        "link.tar": _tar_link(tarfile.SYMTYPE),
        "hard_link.tar": _tar_link(tarfile.LNKTYPE),
        "device.tar": _tar_link(tarfile.CHRTYPE),
        "outside.onnx": _onnx(location="../../etc/passwd"),
        "absolute.onnx": _onnx(location="/etc/passwd"),
        "missing.onnx": _onnx(location="weights.bin"),
        "operators.onnx": _onnx(domain="evil.example"),
        "lie.onnx": b"not a model",
        "types.skops": _skops(),
        "weights.h5": b"\x89HDF\r\n\x1a\n" + b'{"class_name": "Lambda"}',
        "lambda.keras": _zip(
            {"config.json": b'{"class_name": "Lambda"}', "model.weights.h5": b"\x89HDF\r\n\x1a\n"}
        ),
        "project.py": b"import os",
        "library.so": b"\x7fELF" + bytes(64),
        "script": b"#!/bin/sh\ntouch it-ran\n",
    }  # fmt: skip


def _reconstruct() -> Any:
    made: Any = np.zeros(1).__reduce__()
    return made[0]


def _codec() -> Any:
    import _codecs

    return _codecs.encode


def _matryoshka(depth: int) -> bytes:
    content = b"x"
    for level in range(depth):
        content = _zip({f"{level}.zip" if level else "a.txt": content})
    return content


def _mlmodel(described: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        folder.mkdir()
        (folder / "MLmodel").write_text(described)
        (folder / "conda.yaml").write_text("dependencies: []\n")
        return folder

    return write


def _with(name: str, make: Callable[[Path], object]) -> Write:
    def write(folder: Path) -> Path:
        folder.mkdir()
        make(folder / name)
        return folder

    return write


def _hard_link(path: Path) -> None:
    other = path.parent.parent / f"{path.parent.name}-outside"
    other.write_text("{}")
    path.hardlink_to(other)


def folders() -> dict[str, Write]:
    """Name to what makes a hostile folder at a path."""
    function = "flavors:\n  python_function:\n    loader_module: "
    return {
        "symlink": _with("weights.json", lambda path: path.symlink_to("/etc/passwd")),
        "linked_folder": _with("weights", lambda path: path.symlink_to("/etc", target_is_directory=True)),
        "hard_link": _with("weights.json", _hard_link),
        "pipe": _with("weights", os.mkfifo),
        "newline": _with("a\nb.json", lambda path: path.write_text("{}")),
        "loader": _mlmodel(f"{function}evil\n"),
        "pyfunc": _mlmodel(f"{function}mlflow.pyfunc.model\n    python_model: python_model.pkl\n"),
        "code": _mlmodel(f"{function}mlflow.sklearn\n    code: code\n"),
        "path": _mlmodel(f"{function}mlflow.sklearn\n    model_path: ../../model.pkl\n"),
        "fetched": _mlmodel(f"{function}mlflow.sklearn\n    model_path: https://example.org/model.pkl\n"),
        "yaml": _mlmodel("!!python/object/apply:os.system ['touch it-ran']\n"),
    }
