"""Several processes on one port: one that dies is replaced, and what was answered is on record."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.journeys.conftest import Shell, recorded_ids
from tests.journeys.server import client_of, served

pytestmark = [pytest.mark.journey, pytest.mark.usefixtures("cold")]
ROW = {"record": {"year": 2015.0, "mileage": 50_000.0, "fuel": "Petrol"}}
N_CLIENTS = 8
MOST_ANSWERS = 50_000


def _children(pid: int) -> set[int]:
    """Those that answer; beside them there is one that keeps count of what they share."""
    found = {int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return {child for child in found if "spawn_main" in _text(child, "cmdline")}


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _alive(pid: int) -> bool:
    status = _text(pid, "status")
    return bool(status) and "State:\tZ" not in status


def _until(holds: Callable[[], bool], within_s: float = 120.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"It did not come true within {within_s:.0f} s."
        time.sleep(0.05)


def _has_grown(answered: list[str], n_wanted: int) -> bool:
    return len(answered) >= n_wanted


def _replaced(parent: int, victim: int) -> bool:
    return len(_children(parent) - {victim}) == 2


def _agreed(url: str, token: str) -> float | None:
    """Answers that all processes have counted, if each of eight connections is told the same number."""
    told = set()
    for _ in range(8):
        answer = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        found = re.findall(r"^headrace_predictions_total{.*} (\S+)$", answer.text, re.MULTILINE)
        told.add(sum(float(number) for number in found))
    return told.pop() if len(told) == 1 else None


def _answers(url: str, token: str, ended: threading.Event, answered: list[str]) -> int:
    """Ask until told to end, again where a connection broke; how many requests were asked again."""
    n_again = 0
    headers = {"Authorization": f"Bearer {token}"}
    client = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60)
    while not ended.wait(0.02) and len(answered) < MOST_ANSWERS:
        for _ in range(20):
            try:
                answer = client.post("/api/v1/predict/cars", json=ROW)
                break
            except httpx.TransportError:
                n_again += 1
        else:
            raise AssertionError("A request found nobody twenty times.")
        assert answer.status_code == 200, answer.text
        answered.append(answer.json()["id"])
    client.close()
    return n_again


@pytest.mark.requirement("SRV-04")
def test_losing_a_process_loses_no_request(cars: Shell) -> None:
    assert cars("run").code == 4
    release = cars("release", "ls", "--json").json[0]["id"]
    assert cars("release", "tick", release, "--note", "looked at the rows").code == 0
    assert cars("release", "approve", release, "--as", "reviewer").code == 0
    token = cars("access", "token").out.strip()
    ended, answered = threading.Event(), list[str]()
    with served(cars, "--processes", "2") as said, ThreadPoolExecutor(N_CLIENTS) as clients:
        parent = int(said["pid"])
        _until(lambda: len(_children(parent)) == 2)
        _until(lambda: cars("release", "show", release, "--json").json["release"]["state"] == "live")
        asking = [clients.submit(_answers, said["url"], token, ended, answered) for _ in range(N_CLIENTS)]
        try:
            _until(lambda: len(answered) > 50)
            for victim in sorted(_children(parent)):
                os.kill(victim, signal.SIGKILL)
                n_before = len(answered)
                _until(partial(_has_grown, answered, len(answered) + 50))
                _until(partial(_replaced, parent, victim))
        finally:
            ended.set()
        n_again = [one.result(timeout=60) for one in asking]
        # What one that was killed had counted in its last two seconds went with it.
        _until(lambda: (_agreed(said["url"], token) or 0) >= len(answered) - n_before - N_CLIENTS)
        assert sum(n_again) <= 4 * N_CLIENTS  # what was under way when a process died, and no more
        with client_of(cars, said["url"], "ann") as client:
            assert cars("access", "revoke", "ann").code == 0
            # Whichever process answers has heard of it.
            assert {client.get("/api/v1/projects").status_code for _ in range(8)} == {401}
        children = _children(parent)
    assert set(answered) <= recorded_ids(cars)
    _until(lambda: not any(_alive(pid) for pid in children), 15)


def test_processes_end_when_the_one_that_began_them_is_gone(shell: Shell) -> None:
    with served(shell, "--processes", "2") as said:
        parent = int(said["pid"])
        _until(lambda: len(_children(parent)) == 2)
        children = _children(parent)
        os.kill(parent, signal.SIGKILL)
        _until(lambda: not any(_alive(pid) for pid in children))


def test_a_number_of_processes_that_is_none(shell: Shell) -> None:
    refused = shell("up", "--processes", "0")
    assert refused.code == 2
    assert "--processes" in refused.err
