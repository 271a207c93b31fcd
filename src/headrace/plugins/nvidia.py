"""What NVIDIA's library (``nvidia-ml-py``, extra ``[gpu]``) says about the machine's GPUs."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple


class Gpu(NamedTuple):
    """One device: which it is, the share of time it was busy of late, and its memory."""

    number: str
    busy: float
    used_bytes: int
    memory_bytes: int


def gpus(library: Any = None) -> list[Gpu]:
    """All devices; none where there is no driver or no library.

    Args:
        library: stands for ``pynvml``.
    """
    library = library or _pynvml()
    if library is None:
        return []
    found = []
    try:
        for index in range(library.nvmlDeviceGetCount()):
            device = library.nvmlDeviceGetHandleByIndex(index)
            memory = library.nvmlDeviceGetMemoryInfo(device)
            busy = library.nvmlDeviceGetUtilizationRates(device).gpu / 100
            found.append(Gpu(str(index), busy, memory.used, memory.total))
    except library.NVMLError:
        # A device that is being reset says nothing now; the next question may find it.
        return found
    return found


@lru_cache(maxsize=1)
def _pynvml() -> Any:
    try:
        library = import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library
