"""The chores of a home are done by one process: a server, or one of those that exist for nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from headrace.app.chores import Chores
from headrace.app.composition import App, open_app
from headrace.app.workflows import Workflows, launch
from headrace.core.settings import Settings
from headrace.store.budgets import Account, Want
from headrace.testing.factories import make_settings
from tests.web.making import AUTHOR
from tests.web.seed import seed


class Opened:
    """An opened home and what its chores did."""

    def __init__(self, app: App, work: Workflows) -> None:
        self.app = app
        self.work = work
        self.done: list[str] = []

    def process(self, name: str, *, own: bool = False) -> tuple[Chores, str]:
        """What one of its processes has of it."""
        return Chores(self.app, self.work, own_process=own), name

    def does(self, process: tuple[Chores, str]) -> bool:
        """Whether a chore that is due in this process is done by it."""
        chores, name = process
        before = len(self.done)
        chores.do(lambda: self.done.append(name))
        return len(self.done) > before


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_settings(tmp_path_factory.mktemp("chores") / "home", user=AUTHOR)


@pytest.fixture
def opened(settings: Settings) -> Iterator[Opened]:
    with open_app(settings) as app, launch(app, role="server") as work:
        yield Opened(app, work)


def test_what_ended_processes_held_of_budgets_is_counted_and_old_periods_are_forgotten(
    opened: Opened,
) -> None:
    budgets, now_us = opened.app.store.budgets, int(opened.app.clock.now().timestamp()) * 1_000_000
    today = Account("project:a/money/day", now_us, now_us + 86_400_000_000)
    for owner in ("gone", opened.work.durable.executor_id):
        budgets.hold(owner, [Want(today, 5, 0, 100)])
    budgets.owe(Account("project:a/money/day", 0, 86_400_000_000), 7)
    chores, _ = opened.process("server")
    assert [turn.name for turn in chores.turns()].count("budgets") == 1
    chores.budgets()
    (now, long_ago) = budgets.standing([today, Account("project:a/money/day", 0, 0)])
    assert (now.spent, now.held, now.lost, long_ago.spent) == (10, 5, 5, 0)


@pytest.mark.requirement("MON-28")
def test_one_of_several_servers_does_them_until_it_ends(opened: Opened) -> None:
    first, second = opened.process("first"), opened.process("second")
    assert opened.does(first)
    assert not opened.does(second)
    first[0].leave()
    assert opened.does(second)
    assert not opened.does(first)


@pytest.mark.requirement("MON-28")
def test_servers_leave_them_to_a_process_of_their_own_and_take_them_back(opened: Opened) -> None:
    server = opened.process("server")
    assert opened.does(server)
    own = opened.process("own", own=True)
    assert not opened.does(own), "the server may be in the middle of one"
    assert not opened.does(server), "from its next turn on it leaves them"
    assert opened.does(own)
    another = opened.process("another", own=True)
    assert not opened.does(another)
    own[0].leave()
    assert not opened.does(server)
    assert opened.does(another)
    another[0].leave()
    assert opened.does(server)


@pytest.mark.requirement("MON-28")
def test_a_turn_under_way_is_nobody_elses(opened: Opened) -> None:
    server, inside, go_on = opened.process("server"), threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        assert go_on.wait(10)

    thread = threading.Thread(target=server[0].do, args=(slow,))
    thread.start()
    assert inside.wait(10)
    own = opened.process("own", own=True)
    assert opened.does(server), "while one is under way, what else is due is done beside it"
    assert not opened.does(own)
    go_on.set()
    thread.join()
    assert not opened.does(server)
    assert opened.does(own)


@contextmanager
def running(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """``headrace monitor run`` over a home."""
    environment = {"HEADRACE_HOME": str(settings.home), "HEADRACE_USER": AUTHOR}
    command = [sys.executable, "-m", "headrace", "monitor", "run", "--json"]
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["pid"] == process.pid
            yield process
        finally:
            process.kill()


@pytest.mark.requirement("MON-28")
def test_a_process_of_its_own_watches_and_a_server_goes_on_when_it_is_killed(settings: Settings) -> None:
    with open_app(settings) as app, launch(app, role="server") as work:
        seed(app)
        opened = Opened(app, work)
        server = opened.process("server")
        assert opened.does(server)
        before = {finding.id for finding in app.store.findings.list("flight-delay")}
        with running(settings) as process:
            assert not opened.does(server)
            for _ in range(600):
                watched = [run for run in _watched(work) if run.startswith("watch:flight-delay:")]
                if watched and all(work.durable.status(run) == "finished" for run in watched):
                    break
                threading.Event().wait(0.05)
            assert watched, "it has started a round of watching, which this process has not"
            assert not work.durable.runs_here(watched[0])
            assert before <= {finding.id for finding in app.store.findings.list("flight-delay")}
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            assert opened.does(server)


def _watched(work: Workflows) -> list[str]:
    from dbos import DBOS

    assert work.durable is not None
    return [one.workflow_id for one in DBOS.list_workflows(name="watch", load_output=False)]
