"""Workflows that survive: steps are recorded, messages arrive once, and a dead process is replaced by one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.app.durable import Durable
from headrace.core.clock import SystemClock
from headrace.core.errors import GateFailed
from headrace.store import open_store
from headrace.testing import make_settings

DRIVER = Path(__file__).with_name("driver.py")


class Counted:
    """Workflows of these tests; ``calls`` counts what really ran."""

    def __init__(self) -> None:
        self.durable: Durable
        self.calls: dict[str, int] = {}
        self.open = threading.Event()

    def count(self, name: str) -> int:
        self.calls[name] = self.calls.get(name, 0) + 1
        return self.calls[name]

    def once(self, name: str) -> int:
        return self.durable.step("count", self.count, name)

    def refuse(self, name: str) -> None:
        self.durable.step("refuse", self.no, name)

    def no(self, name: str) -> None:
        raise GateFailed(f"{name} is not good enough.")

    def double(self, number: int) -> int:
        return number * 2

    def doubled(self, name: str, numbers: list[int]) -> list[Any]:
        return self.durable.children("double", name, [(str(n), (n,)) for n in numbers])

    def listen(self, timeout_s: float) -> list[Any]:
        return [self.durable.receive("topic", timeout_s)]

    def gate(self) -> str:
        self.durable.step("wait", self.open.wait, 20.0)
        return "open"


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    settings, clock = make_settings(tmp_path_factory.mktemp("durable") / "home"), SystemClock()
    store = open_store(settings, clock)
    counted = Counted()
    counted.durable = Durable(
        database_url=settings.workflows_url, executors=store.executors, clock=clock, role="command"
    )
    runs = (counted.once, counted.refuse, counted.double, counted.doubled, counted.listen, counted.gate)
    counted.durable.launch({run.__name__: run for run in runs})
    yield counted
    counted.durable.close()
    store.close()


def test_a_workflow_runs_once_however_often_it_is_started(counted: Counted) -> None:
    for _ in range(3):
        counted.durable.start("once", "once:a", "a")
        assert counted.durable.result("once:a") == 1
    assert counted.calls["a"] == 1
    assert counted.durable.status("once:a") == "finished"


def test_what_a_step_says_of_the_user_reaches_the_caller(counted: Counted) -> None:
    counted.durable.start("refuse", "refuse:b", "b")
    with pytest.raises(GateFailed, match="b is not good enough"):
        counted.durable.result("refuse:b")
    assert counted.durable.status("refuse:b") == "failed"


def test_children_give_their_results_in_the_order_asked(counted: Counted) -> None:
    counted.durable.start("doubled", "doubled:c", "doubled:c", [3, 1, 2])
    assert counted.durable.result("doubled:c") == [6, 2, 4]
    assert counted.durable.status("doubled:c:3") == "finished"


def test_a_message_is_received_and_its_key_counts_once(counted: Counted) -> None:
    counted.durable.start("listen", "listen:d", 20.0)
    counted.durable.send("listen:d", "topic", {"x": 1}, "key")
    assert counted.durable.result("listen:d") == [{"x": 1}]


def test_without_a_message_waiting_ends_in_nothing(counted: Counted) -> None:
    counted.durable.start("listen", "listen:e", 0.01)
    assert counted.durable.result("listen:e") == [None]


def test_what_has_not_ended_is_listed_and_known_to_run_here(counted: Counted) -> None:
    durable = counted.durable
    assert durable.status("gate:f") == "absent"
    assert not durable.runs_here("gate:f")
    durable.start("gate", "gate:f")
    assert durable.status("gate:f") == "unfinished"
    assert durable.unfinished("gate") == ["gate:f"]
    assert durable.unfinished("once") == []
    assert durable.runs_here("gate:f")
    counted.open.set()
    assert durable.result("gate:f") == "open"
    assert durable.unfinished("gate") == []


def test_the_names_of_steps_are_told_as_they_begin(counted: Counted) -> None:
    told: list[str] = []
    counted.durable.on_step = told.append
    counted.durable.start("once", "once:g", "g")
    counted.durable.result("once:g")
    counted.durable.on_step = None
    assert told == ["count"]


def driver(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the driver."""
    return subprocess.Popen(
        [sys.executable, str(DRIVER), str(folder), *arguments], stdout=subprocess.PIPE, text=True
    )


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the driver to its end: exit code and what it printed."""
    with driver(folder, *arguments) as process:
        out, _ = process.communicate(timeout=60)
    return process.returncode, out.strip()


def effects(folder: Path) -> list[int]:
    """The steps that had their effect, in order."""
    return [int(line) for line in (folder / "effects").read_text().split()]


FINISHED = "[7, 10, 20, 'sent', 30]"


@pytest.mark.parametrize(("verb", "code", "expected"), [("die-in", -9, [1, 2, 2, 3]), ("wait", 0, [1, 2, 3])])
def test_another_process_goes_on_where_one_ended(
    tmp_path: Path, verb: str, code: int, expected: list[int]
) -> None:
    """A step is repeated only if it was killed before its record: every effect has to bear that."""
    assert run(tmp_path, verb, "2")[0] == code
    assert run(tmp_path, "finish") == (0, FINISHED)
    assert effects(tmp_path) == expected


def test_of_two_processes_that_notice_a_death_one_takes_over(tmp_path: Path) -> None:
    assert run(tmp_path, "die-between", "1")[0] == -9
    both = [driver(tmp_path, "finish") for _ in range(2)]
    said = []
    for process in both:
        with process:
            said.append(process.communicate(timeout=60)[0].strip())
    assert said == [FINISHED, FINISHED]
    assert effects(tmp_path) == [1, 2, 3]
