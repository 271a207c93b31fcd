"""The one place that unpickles: what was scanned, by the list of what is trusted.

What brings code of its own is written here too; only a process of its own reads it, by :func:`load_own_code`.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from headrace.checks.artefacts import require_safe, scan_bytes
from headrace.checks.containers import Budget, Limits, compression_of, decompressed
from headrace.checks.trusted import Global, trust_of
from headrace.core.errors import GateFailed, InvalidInput

if TYPE_CHECKING:
    from joblib.numpy_pickle import NumpyUnpickler

_PROJECT, _LOADED_AS = "project", "_headrace_project_"
"""What a project's own file is called, and what it is while its functions run."""


def load_pickle(path: Path) -> Any:
    """The object in a file of ``pickle`` or ``joblib``, if nothing speaks against loading it.

    Raises:
        GateFailed: the scan found a threat, or the file names what is not trusted. Nothing was loaded.
        InvalidInput: it holds something else, or what it names is not installed in this version.

    Example::

        model = load_pickle(Path("model.joblib"))
    """
    # Read once: what was scanned is what is loaded, whoever writes to the file meanwhile.
    return load_pickled(path.read_bytes(), path.name)


def load_pickled(data: bytes, name: str) -> Any:
    """As :func:`load_pickle`, of bytes; ``name`` is what messages call them."""
    require_safe(scan_bytes(data, name), name)
    packed = compression_of(data[:8])
    if packed is not None:
        data = Budget(Limits(), len(data)).expand(decompressed(packed, io.BytesIO(data))).getvalue()
    file = io.BytesIO(data)
    unpickler: Any = _of_joblib(file) if b"NumpyArrayWrapper" in data else _Trusting(file)
    try:
        return unpickler.load()
    except GateFailed:
        raise
    except Exception as error:  # whatever a class does with what it is filled with
        raise InvalidInput(
            f"{name} cannot be loaded: {type(error).__name__}: {error}. It may need another version of "
            "the library that wrote it."
        ) from error


def load_own_code(path: Path, code: Path) -> Any:
    """The object in a pickle that names what is not trusted. It runs whatever code it names.

    Only for a process that has nothing to lose: see :mod:`headrace.training.answering`.

    Args:
        code: a folder with the modules that it names; of two of a name the installed one counts.

    Raises:
        InvalidInput: it cannot be loaded.
    """
    sys.path.append(str(code))
    try:
        return pickle.loads(path.read_bytes())  # noqa: S301 - a person has seen what it names
    except Exception as error:  # whatever the code raises
        raise InvalidInput(
            f"{path.name} cannot be loaded: {type(error).__name__}: {error}. It needs what its project was "
            "trained with: the same packages, and no files beside its code."
        ) from error


def pickled(value: Any, what: str) -> bytes:
    """``value`` as :func:`load_pickled` takes it.

    Raises:
        InvalidInput: it cannot be written down, or :func:`load_pickled` would refuse it.
    """
    try:
        data = pickle.dumps(value, protocol=5)
        require_safe(scan_bytes(data, "model.pkl"), "model.pkl")
    except Exception as error:  # whatever a class does when it is asked for its state
        raise InvalidInput(
            f"{what} cannot be kept as it is: {error} Return an estimator of scikit-learn or LightGBM, "
            "or one that converts to ONNX."
        ) from error
    return data


def pickled_with_code(estimator: Any, folder: Path, what: str) -> bytes:
    """The estimator as a pickle that names the project's modules as they are called in ``folder``.

    Raises:
        InvalidInput: it cannot be written down.
    """
    buffer = io.BytesIO()
    try:
        with _restored():
            _ByName(buffer, folder).dump(estimator)
    except Exception as error:  # whatever a class does when it is asked for its state
        raise InvalidInput(
            f"{what} cannot be kept with its code: {type(error).__name__}: {error}. Define its class at the "
            "top of project.py or of a module beside it, and keep nothing in it that is open or running."
        ) from error
    return buffer.getvalue()


def _trusted(found: Any, module: str, name: str) -> Any:
    """``found``, unless it is not what its name says: modules also hold what they import from elsewhere."""
    top = module.partition(".")[0]
    if top in ("sklearn", "river") and str(getattr(found, "__module__", top)).partition(".")[0] not in (
        top,
        "_cyutility",
    ):
        raise _refused(module, name)
    return found


def _refused(module: str, name: str) -> GateFailed:
    return GateFailed(f"The pickle names {module}.{name}, which is not trusted. Nothing of it was used.")


class _Trusting(pickle.Unpickler):
    """Finds only what is on the list."""

    def find_class(self, module: str, name: str) -> Any:
        if trust_of(Global(module, name)) is None:
            raise _refused(module, name)
        return _trusted(super().find_class(module, name), module, name)


def _of_joblib(file: io.BytesIO) -> NumpyUnpickler:
    from joblib.numpy_pickle import NumpyUnpickler

    class Trusting(NumpyUnpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            if trust_of(Global(module, name)) is None:
                raise _refused(module, name)
            return _trusted(super().find_class(module, name), module, name)

    return Trusting("", file, ensure_native_byte_order=True)


class _ByName(pickle.Pickler):
    """Writes classes of the project down by the name of their file, wherever they were loaded from."""

    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file, protocol=5)
        self._folder = folder

    def reducer_override(self, value: Any) -> Any:
        """Make what the project defines to be found by its name; then it is written as anything else."""
        if isinstance(value, type | FunctionType) and "." not in value.__qualname__:
            module = value.__module__ or ""
            if module.startswith(_LOADED_AS):
                value.__module__ = module = _PROJECT
            if self._is_own(module):
                sys.modules.setdefault(module, ModuleType(module))
                setattr(sys.modules[module], value.__qualname__, value)
        return NotImplemented

    def _is_own(self, module: str) -> bool:
        path = self._folder.joinpath(*module.split("."))
        return bool(module) and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


@contextmanager
def _restored() -> Iterator[None]:
    """Without the project's modules, of which some may be there half, and with them gone afterwards."""
    before = dict(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
