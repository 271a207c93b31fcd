"""The one place that unpickles: after a scan of the same bytes, and by the same list of what is trusted."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.checks.artefacts import require_safe, scan_bytes
from headrace.checks.containers import Budget, Limits, compression_of, decompressed
from headrace.checks.trusted import Global, trust_of
from headrace.core.errors import GateFailed, InvalidInput

if TYPE_CHECKING:
    from joblib.numpy_pickle import NumpyUnpickler


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
