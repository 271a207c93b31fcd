"""Runs a project's own tests in a process of their own, on the code that is released."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from headrace.core.ports import Clock
from headrace.store.documents import convert
from headrace.training.archives import unpack_files
from headrace.training.launch import run_tied
from headrace.training.lock import is_code, is_passed_over, unpack_code
from headrace.training.own_tests_process import CONFIGURATIONS

_FOLDER = "tests"
_LONGEST_RESULTS = 50_000_000
_LONGEST_END = 20_000
_SHOWN = 500
_REACHED = (0, 1, 2, 5)
"""Exit codes of pytest when it came to its end: all passed, some failed, a file is unreadable, none there."""
_FAILED = (1, 2)
_OWN_FAULTS = (3, 4)
"""Its own failure, and arguments in the project's configuration that it does not know."""
Ending = Literal["finished", "timed_out", "killed", "died", "broken"]


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """One test; ``why`` it failed, else empty."""

    __test__ = False

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    duration_s: float
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class TestsRun:
    """What became of a project's own tests.

    Attributes:
        ended: ``finished``: all were run; ``timed_out``: they took too long; ``killed``: by somebody else, as
            for want of memory; ``died``: a test ended the process; ``broken``: pytest itself could not go on.
        how: of what died: by which signal or exit code; of what is broken: the end of what was printed.
        running: the test that was running when it ended before its time.
    """

    __test__ = False

    ended: Ending
    results: tuple[TestResult, ...] = ()
    duration_s: float = 0.0
    how: str = ""
    running: str | None = None

    def of(self, outcome: str) -> list[TestResult]:
        """Those with this outcome."""
        return [one for one in self.results if one.outcome == outcome]


def run_own_tests(
    code: bytes, project: Path, scratch: Path, clock: Clock, *, timeout_s: float
) -> TestsRun | None:
    """Run the tests that ``code`` holds, and report each.

    They see the archived code; what the project's folder has besides, such as its data, is there as a link.
    A configuration of pytest holds if it is archived: another would steer what nobody has approved.
    Whatever they start, also in the background, has ended afterwards. They run without Headrace's settings,
    with a home of their own.

    Args:
        code: archive by :func:`headrace.training.lock.archive_code`.
        project: the project's folder.
        scratch: a folder of their own; it is gone afterwards.
        timeout_s: for all of them together.

    Returns:
        None where the code holds no tests.

    Raises:
        InvalidInput: the archive is damaged.
    """
    files = unpack_files(code, "The code archive")
    if not any(_is_test(name) for name in files):
        return None
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        folder, results, log = scratch / "code", scratch / "results.jsonl", scratch / "log"
        unpack_code(code, folder)
        _link(project.resolve(), folder, files, "")
        (scratch / "tmp").mkdir()
        command = [sys.executable, "-P", "-m", "headrace.training.own_tests_process"]
        own = {"HEADRACE_HOME": str(scratch / "home"), "TMPDIR": str(scratch / "tmp")}
        started_s = clock.monotonic_s()
        exit_code = run_tied(
            [*command, str(folder.resolve()), str(results.resolve())],
            log, timeout_s=timeout_s, cwd=folder, extra=own,
        )  # fmt: skip
        duration_s = clock.monotonic_s() - started_s
        return _read(exit_code, results, log, duration_s)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_test(name: str) -> bool:
    path = PurePosixPath(name)
    named = path.stem.startswith("test_") or path.stem.endswith("_test")
    return path.parts[0] == _FOLDER and path.suffix == ".py" and named


def _link(project: Path, folder: Path, archived: Collection[str], inside: str) -> None:
    """What the archive does not hold, such as data, is reached where it lies."""
    if not (project / inside).is_dir():
        return
    for path in (project / inside).iterdir():
        name = f"{inside}{path.name}"
        if name in archived or name in CONFIGURATIONS or is_passed_over(path) or is_code(path):
            continue
        if any(known.startswith(f"{name}/") for known in archived):
            _link(project, folder, archived, f"{name}/")
        else:
            (folder / name).symlink_to(path)


def _read(exit_code: int | None, results: Path, log: Path, duration_s: float) -> TestsRun:
    found: list[TestResult] = []
    running, begun, end = None, False, None
    for line in _lines(results):
        if "begins" in line:
            running, begun = str(line["begins"]), True
        elif "end" in line:
            end = line["end"]
        elif "name" in line:
            with suppress(msgspec.ValidationError):
                found.append(convert(line, TestResult))
                running, begun = None, True
    said = _end_of(log)
    ended, how = _ending(exit_code, end, said, begun=begun, running=running)
    if ended == "finished" and exit_code in _FAILED and all(one.outcome != "failed" for one in found):
        ended, how = "died", f"exit code {exit_code}, and no test is reported to have failed"
    return TestsRun(ended=ended, results=tuple(found), duration_s=duration_s, how=how, running=running)


def _end_of(log: Path) -> bytes:
    if not log.is_file():
        return b""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LONGEST_END))
        return file.read()


def _ending(
    exit_code: int | None, end: Any, said: bytes, *, begun: bool, running: str | None
) -> tuple[Ending, str]:
    if exit_code is None:
        return "timed_out", ""
    if end in _REACHED and running is None:
        return "finished", ""
    # The process between us passes a signal on as 256 less its number.
    number = 256 - exit_code
    if end is None and number in set(signal.Signals):
        return ("killed" if number == signal.SIGKILL else "died"), signal.Signals(number).name
    if begun and end not in _OWN_FAULTS:
        return "died", f"exit code {exit_code}"
    return "broken", said.decode("utf-8", errors="replace").strip()[-_SHOWN:]


def _lines(results: Path) -> Iterator[dict[str, Any]]:
    """What was recorded. The tests could write there too: a line that makes no sense is passed over."""
    if not results.is_file():
        return
    with results.open("rb") as file:
        for raw in file.read(_LONGEST_RESULTS).splitlines():
            with suppress(ValueError):
                line = json.loads(raw)
                if isinstance(line, dict):
                    yield line
