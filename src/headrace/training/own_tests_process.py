"""The child process that runs a project's own tests: ``python -m ...own_tests_process FOLDER FILE``.

Each test is written to ``FILE`` as it begins and as it ends, one JSON object a line, so that what hangs or
dies is known by its name. ``end`` comes last; without it the process did not get there.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

_LARGEST_FILE_BYTES = 100_000_000
"""What a test may write into one file, and so what it may print."""
_LONGEST_REASON = 500
CONFIGURATIONS = (
    "pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg",
)  # fmt: skip
_Report = Any  # pytest's own, which is only imported to run tests


class _Recorder:
    """A pytest plugin: what became of each test."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w", encoding="utf-8", buffering=1)
        self._pid = os.getpid()
        self._outcome, self._why, self._duration_s = "passed", "", 0.0

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._outcome, self._why, self._duration_s = "passed", "", 0.0
        self._write({"begins": nodeid})

    def pytest_runtest_logreport(self, report: _Report) -> None:
        self._duration_s += report.duration
        if report.failed:
            self._outcome, self._why = "failed", self._why or _reason(report)
        elif report.skipped and self._outcome == "passed":
            self._outcome = "skipped"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        ended = {"name": nodeid, "outcome": self._outcome, "duration_s": self._duration_s, "why": self._why}
        self._write(ended)

    def pytest_collectreport(self, report: _Report) -> None:
        if report.failed:
            # A file that cannot be imported: no test of it runs.
            named = {"name": report.nodeid or "tests", "outcome": "failed", "duration_s": 0.0}
            self._write(named | {"why": _reason(report)})

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._write({"end": int(exitstatus)})

    def _write(self, line: dict[str, Any]) -> None:
        # A test that forks leaves a copy of us behind.
        if os.getpid() == self._pid:
            self._file.write(json.dumps(line) + "\n")


def main(folder: str, file: str) -> int:
    """Run the tests in ``folder``; returns pytest's exit code."""
    import pytest

    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE_BYTES, _LARGEST_FILE_BYTES))
    project, results = Path(folder), Path(file)
    # Last, so that a project's onnx.py does not replace the library of that name.
    sys.path.append(folder)
    arguments = ["tests", f"--rootdir={folder}", f"--basetemp={results.with_name('basetemp')}", "-q",
                 "-p", "no:cacheprovider", "--show-capture=no", "--tb=short", "--no-header",
                 "-c", str(_configuration(project, results))]  # fmt: skip
    return int(pytest.main(arguments, plugins=[_Recorder(results)]))


def _configuration(project: Path, results: Path) -> Path:
    """The project's own, or an empty one: that of a folder further up is not meant for it."""
    for name in CONFIGURATIONS:
        path = project / name
        if path.is_file() and "pytest" in path.read_text(encoding="utf-8", errors="replace"):
            return path
    empty = results.with_name("pytest.ini")
    empty.write_text("[pytest]\n", encoding="utf-8")
    return empty


def _reason(report: _Report) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message)[:_LONGEST_REASON]
    lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
    return (lines[-1] if lines else "").removeprefix("E").strip()[:_LONGEST_REASON]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
