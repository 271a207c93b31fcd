from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from headrace.plugins.nvidia import Gpu, gpus


class NVMLError(Exception):
    """As the library's."""


def library(*, broken: int | None = None) -> Any:
    """Two devices in the shape of ``pynvml``; ``broken`` is the one that says nothing."""

    def memory(index: int) -> Any:
        if index == broken:
            raise NVMLError
        return SimpleNamespace(used=index + 1, total=10)

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetUtilizationRates=lambda index: SimpleNamespace(gpu=50 * index),
    )


def test_every_device_says_how_busy_and_how_full_it_is() -> None:
    assert gpus(library()) == [Gpu("0", 0.0, 1, 10), Gpu("1", 0.5, 2, 10)]


def test_a_device_that_says_nothing_takes_no_metrics_with_it() -> None:
    assert gpus(library(broken=1)) == [Gpu("0", 0.0, 1, 10)]


def test_a_machine_without_driver_or_library_has_none() -> None:
    assert isinstance(gpus(), list)
