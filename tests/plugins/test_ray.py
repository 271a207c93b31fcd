"""Calls on a Ray cluster: a real one, started on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor

import pytest

from headrace.core.errors import InvalidInput
from headrace.core.settings import read_settings
from headrace.plugins.ray import RayExecutor

pytestmark = pytest.mark.xdist_group("ray")
_begun: list[int] = []


def begin(number: int) -> None:
    """Told once in each worker."""
    _begun.append(number)


def add(number: int) -> tuple[list[int], int]:
    """What this worker was told, and a sum with it."""
    return _begun, sum(_begun) + number


def fail(kind: str) -> None:
    """In one way or another."""
    if kind == "ours":
        raise InvalidInput("Row 7 is odd. Mend it.")
    if kind == "theirs":
        raise ZeroDivisionError
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def pool(ray_cluster: None) -> Iterator[RayExecutor]:
    with RayExecutor("local", 2, begin, [30]) as made:
        yield made


def test_each_worker_begins_once_and_calls_are_answered_in_their_order(pool: RayExecutor) -> None:
    assert list(pool.map(add, range(20))) == [([30], 30 + number) for number in range(20)]


def test_errors_are_those_of_the_call(pool: RayExecutor) -> None:
    with pytest.raises(InvalidInput, match="Row 7 is odd"):
        pool.submit(fail, "ours").result(60)
    with pytest.raises(ZeroDivisionError):
        pool.submit(fail, "theirs").result(60)
    assert pool.submit(add, 1).result(60) == ([30], 31)


def test_a_worker_that_is_killed_is_told(ray_cluster: None) -> None:
    with RayExecutor("local", 1, begin, [1]) as pool, pytest.raises(BrokenExecutor, match="is gone"):
        pool.submit(fail, "gone").result(60)


def test_a_cluster_is_started_for_the_time_of_its_use_and_one_that_does_not_answer_is_named(
    ray_cluster: None,
) -> None:
    code = (
        "from headrace.plugins.ray import RayExecutor as Pool\n"
        "import ray\n"
        "with Pool('local', 1, int, ['1']) as pool: print(pool.submit(pow, 2, 10).result(60))\n"
        "print(ray.is_initialized())\n"
        "try: Pool('127.0.0.1:1', 1, int, ['1'])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    answered, is_up, refused = done.stdout.splitlines()[:3]
    assert (answered, is_up) == ("1024", "False")
    assert refused.startswith("Unavailable No Ray cluster answers at 127.0.0.1:1 (HEADRACE_RAY_ADDRESS)")


@pytest.mark.parametrize("address", ["ray-head", "http://ray-head:6379", "ray://ray-head:10001"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="Expected HOST:PORT"):
        read_settings({"HEADRACE_RAY_ADDRESS": address})
