"""What the process uses, under the names that every Prometheus client has for it, and the machine's GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from headrace.plugins.nvidia import Gpu, gpus
from headrace.serving.process import usage


def process_lines(devices: Callable[[], Sequence[Gpu]] = gpus) -> Iterator[str]:
    """Processor time, memory and processors, in the text format."""
    used = usage()
    yield from _one("process_cpu_seconds_total", "counter", "Processor time since the start.", used.cpu_s)
    yield from _one("process_resident_memory_bytes", "gauge", "Memory in use.", used.memory_bytes)
    if used.limit_bytes is not None:
        yield from _one("headrace_memory_limit_bytes", "gauge", "Memory that there is.", used.limit_bytes)
    yield from _one("headrace_processes", "gauge", "Processes that answer on this port.", 1)
    yield from _one("headrace_usable_cpus", "gauge", "Processors that the process may use.", used.n_cpus)
    found = devices()
    for name, text, values in (
        ("headrace_gpu_busy_ratio", "Share of time that the GPU was busy.", [gpu.busy for gpu in found]),
        ("headrace_gpu_memory_used_bytes", "Memory of the GPU in use.", [gpu.used_bytes for gpu in found]),
        ("headrace_gpu_memory_bytes", "Memory that the GPU has.", [gpu.memory_bytes for gpu in found]),
    ):
        if found:
            yield from _head(name, "gauge", text)
        for gpu, value in zip(found, values, strict=True):
            yield f'{name}{{gpu="{gpu.number}"}} {value!r}'


def _one(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    yield from _head(name, kind, text)
    yield f"{name} {value!r}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
