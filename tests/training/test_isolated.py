"""An untouched model in a process of its own: what goes wrong there stays there, and has a name."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from headrace.checks.loading import pickled
from headrace.core.clock import SystemClock
from headrace.core.errors import InvalidInput, ModelFailed, Unavailable
from headrace.training.isolated import Isolated, Isolation
from tests.training.pipelines import cars, fitted, frame, inputs


def model() -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PowerTransformer

    from tests.training.test_compiling import numbers_only

    return fitted(Ridge(), before=numbers_only(make_pipeline(SimpleImputer(), PowerTransformer())))


NAMES = ["size", "year", "doors", "fuel", "new"]
MODEL = model()


@pytest.fixture(scope="module")
def isolated() -> Iterator[Isolated]:
    made = Isolated(pickled(MODEL, "It"), NAMES, classifies=False, isolation=Isolation(timeout_s=20))
    yield made
    made.close()


def child(isolated: Isolated) -> int:
    """The process that answers."""
    (only,) = isolated._children
    return int(only._process.pid)


def test_it_answers_as_it_does_here_and_threads_take_turns(isolated: Isolated) -> None:
    rows = inputs(cars(30, seed=5))
    expected = MODEL.predict(frame(rows))
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: isolated.ask(rows), range(8)):
            np.testing.assert_array_equal(answer, expected)
    assert len(isolated._children) == 1


def test_a_process_that_is_gone_between_requests_is_started_again(isolated: Isolated) -> None:
    rows = inputs(cars(3))
    isolated.ask(rows)
    before = child(isolated)
    os.kill(before, signal.SIGKILL)
    os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
    assert len(isolated.ask(rows)) == 3
    assert child(isolated) != before


def test_a_crash_or_a_hang_is_named_and_the_next_request_is_answered(isolated: Isolated) -> None:
    rows = inputs(cars(3))
    isolated.ask(rows)
    hung = child(isolated)
    os.kill(hung, signal.SIGSTOP)  # what an endless loop looks like from outside
    isolated._isolation = Isolation(timeout_s=0.3)
    with pytest.raises(ModelFailed, match=r"the model hung: it did not answer within 0\.3 s"):
        isolated.ask(rows)
    isolated._isolation = Isolation(timeout_s=20)
    assert len(isolated.ask(rows)) == 3
    crashing = child(isolated)
    assert crashing != hung
    os.kill(crashing, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(isolated.ask, rows)
        _until_asked(isolated)
        os.kill(crashing, signal.SIGKILL)
        with pytest.raises(ModelFailed, match="the model's process ended by SIGKILL"):
            waiting.result(20)
    assert len(isolated.ask(rows)) == 3


def _until_asked(isolated: Isolated) -> None:
    clock = SystemClock()
    while not isolated._idle.empty():
        clock.sleep(0.01)
    clock.sleep(0.1)


def test_whoever_comes_when_too_many_wait_is_told_at_once(isolated: Isolated) -> None:
    rows = inputs(cars(3))
    isolated.ask(rows)
    busy = Isolated(pickled(MODEL, "It"), NAMES, classifies=False, isolation=Isolation(waiting=0))
    try:
        with busy._waiting, pytest.raises(Unavailable, match="0 requests wait for this model already"):
            busy.ask(rows)
    finally:
        busy.close()


def test_what_the_model_raises_is_its_failure(isolated: Isolated) -> None:
    rows = inputs(cars(3))
    rows["size"] = np.full(3, np.inf)
    with pytest.raises(ModelFailed, match="the model raised ValueError: Input X contains infinity"):
        isolated.ask(rows)
    assert len(isolated.ask(inputs(cars(3)))) == 3


def test_a_model_that_is_damaged_or_not_trusted_is_not_loaded() -> None:
    for bad in (b"cposix\nsystem\n(Vtrue\ntR.", b"", pickled(MODEL, "It")[:200]):
        made = Isolated(bad, NAMES, classifies=False, isolation=Isolation())
        with pytest.raises(InvalidInput, match="The package's model cannot be loaded"):
            made.start()
        made.close()


def test_nothing_is_left_when_it_is_closed() -> None:
    made = Isolated(pickled(MODEL, "It"), NAMES, classifies=False, isolation=Isolation())
    made.start()
    pid, file = child(made), made._file
    made.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not file.exists()
