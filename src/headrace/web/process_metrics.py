"""What the process uses, under the names that every Prometheus client has for it."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.serving.process import usage


def process_lines() -> Iterator[str]:
    """Processor time, memory and processors, in the text format."""
    used = usage()
    yield from _one("process_cpu_seconds_total", "counter", "Processor time since the start.", used.cpu_s)
    yield from _one("process_resident_memory_bytes", "gauge", "Memory in use.", used.memory_bytes)
    yield from _one("headrace_usable_cpus", "gauge", "Processors that the process may use.", used.n_cpus)


def _one(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    yield f"{name} {value!r}"
