from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.store.processes import MachineProcesses, is_gone, mark_of


def test_this_process_lives_and_keeps_its_start_time() -> None:
    machine = MachineProcesses()
    assert machine.pid == os.getpid()
    assert machine.started(machine.pid)
    assert machine.started(machine.pid) == machine.started(machine.pid)


def test_the_host_stays_the_same() -> None:
    assert MachineProcesses().host == MachineProcesses().host
    assert MachineProcesses().host.count("/") >= 2


def test_a_zombie_is_gone_and_so_is_what_was_collected() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    machine = MachineProcesses()
    assert machine.started(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert machine.started(child.pid) is None
    child.communicate()
    assert machine.started(child.pid) is None


def test_a_command_with_brackets_and_spaces_does_not_confuse(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = " ".join(str(n) for n in range(4, 40))
    (tmp_path / "7" / "stat").write_text(f"7 (a) Z (b c)) S 1 {fields}")
    assert MachineProcesses(tmp_path).started(7) == "21"


def test_without_proc_a_living_process_has_no_known_start(tmp_path: Path) -> None:
    machine = MachineProcesses(tmp_path)
    assert machine.started(os.getpid()) == ""
    assert machine.host.endswith("//")


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user who is not root: process 1 must be another's")
def test_a_process_of_another_user_lives(tmp_path: Path) -> None:
    assert MachineProcesses(tmp_path).started(1) == ""


class Named(MachineProcesses):
    """This machine, as another process sees it."""

    def __init__(self, pid: int, host: str | None = None) -> None:
        super().__init__()
        self._pid, self._host = pid, host

    @property
    def host(self) -> str:
        return self._host or super().host

    @property
    def pid(self) -> int:
        return self._pid


def test_a_process_is_gone_once_it_has_ended_and_not_before() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    machine = MachineProcesses()
    mark, elsewhere = mark_of(Named(child.pid)), mark_of(Named(child.pid, "another"))
    assert not is_gone(mark, machine)
    child.kill()
    child.communicate()
    assert is_gone(mark, machine)
    assert not is_gone(elsewhere, machine), "nobody can tell"


def test_a_process_id_that_was_given_again_is_another_process() -> None:
    machine = MachineProcesses()
    host, pid, _ = mark_of(machine).split("#")
    assert is_gone(f"{host}#{pid}#1", machine)
    assert not is_gone(f"{host}#{pid}#", machine), "when it began cannot be seen everywhere"


@pytest.mark.parametrize("mark", ["", "#", "##", "01970000-0000-7000-8000-000000000000"])
def test_who_left_no_mark_is_not_known_to_be_gone(mark: str) -> None:
    assert not is_gone(mark, MachineProcesses())
