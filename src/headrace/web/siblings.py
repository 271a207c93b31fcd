"""What several processes that answer on one port have counted, read as one.

Each writes its counts into a file of its own, in Prometheus' text format, every few seconds. A process that
has ended leaves its file behind: a total never falls because somebody died.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from headrace.store.processes import MachineProcesses, Processes

_SUMMED = frozenset(
    "headrace_processes headrace_records_waiting headrace_requests_in_flight "
    "process_resident_memory_bytes".split()
)
"""Gauges that add up; of others, which are alike in all processes, the largest is shown."""
_PROJECT = re.compile(r'[{,]project="([^"]*)"')


class Counted(NamedTuple):
    """What one process has counted.

    Attributes:
        living: false for one that has ended: what it counted stays, what it was doing does not.
    """

    text: str
    living: bool


class Siblings:
    """The processes that share a port; none beside this one where there is no ``folder``.

    Example::

        siblings = Siblings(folder)
        siblings.write(text)
        merged([Counted(text, living=True), *siblings.others()], {"cars"})
    """

    def __init__(self, folder: Path | None, processes: Processes | None = None) -> None:
        self._folder = folder
        self._processes = processes or MachineProcesses()

    def __bool__(self) -> bool:
        return self._folder is not None

    def write(self, text: str) -> None:
        """Let the others read what this process has counted."""
        if self._folder is not None:
            name = str(self._processes.pid)
            self._folder.mkdir(mode=0o700, exist_ok=True)  # somebody may have tidied up temporary files
            new = self._folder / f".{name}"
            new.write_text(text, encoding="utf-8")
            new.replace(self._folder / name)  # whoever reads finds the whole of one of them

    def others(self) -> list[Counted]:
        """What each of the others has last written, those that have ended included."""
        if self._folder is None or not self._folder.is_dir():
            return []
        files = [file for file in sorted(self._folder.iterdir()) if file.name.isdecimal()]
        return [
            Counted(
                file.read_text(encoding="utf-8"), living=self._processes.started(int(file.name)) is not None
            )
            for file in files
            if file.name != str(self._processes.pid)
        ]


@dataclass(kw_only=True)
class _Family:
    head: list[str] = field(default_factory=list)
    kind: str = ""
    samples: dict[str, float] = field(default_factory=dict)


def merged(counted: Iterable[Counted], visible: Collection[str]) -> Iterator[str]:
    """Lines of all of them as one; series of projects outside ``visible`` are left out."""
    families: dict[str, _Family] = {}
    for one in counted:
        family, name = _Family(), ""
        for line in one.text.splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                family = families.setdefault(name, _Family())
                if not family.head:
                    family.head.append(line)
            elif line.startswith("# TYPE "):
                family.kind = line.split(" ", 3)[3]
            else:
                series, _, number = line.rpartition(" ")
                project = _PROJECT.search(series)
                if project is None or not project[1] or project[1] in visible:
                    _add(family, name, series, float(number), living=one.living)
    for name, family in families.items():
        if family.samples:
            yield from family.head
            yield f"# TYPE {name} {family.kind}"
        for series, value in family.samples.items():
            yield f"{series} {int(value) if value.is_integer() else value!r}"


def _add(family: _Family, name: str, series: str, value: float, *, living: bool) -> None:
    before = family.samples.get(series, 0.0)
    if family.kind != "gauge" or (name in _SUMMED and living):
        family.samples[series] = before + value
    elif living:
        family.samples[series] = max(before, value)
