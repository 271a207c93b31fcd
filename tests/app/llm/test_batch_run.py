"""Batches survive the processes that answer them: no line is in the output twice, and none is lost."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.app.composition import App, open_app
from headrace.app.llm.batch_run import BatchWork, LineAnswer, Pace
from headrace.app.llm.batches import create_batch, find_batch
from headrace.app.llm.kept_files import Incoming, content, delete_file
from headrace.core.jobs import Claim
from headrace.core.ports import Taken
from headrace.gateway.llm.endpoints import FILE
from headrace.store.llm_batches import LlmBatch
from headrace.store.processes import MachineProcesses, mark_of
from headrace.testing import ScriptedLLM
from headrace.testing.factories import make_settings
from headrace.testing.scripted_answers import Answer
from tests.web.prompted import PROJECT, USER, prompted

N_LINES = 12
_BODY = {"model": PROJECT, "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Asked:
    """What stands for the way to an answer."""

    n: int = 0
    most_at_once: int = 0
    now: int = 0
    status: int = 200

    async def __call__(self, name: str, path: str, body: bytes) -> LineAnswer:
        assert (name, path, json.loads(body)) == (USER, "/v1/chat/completions", _BODY)
        self.n += 1
        self.now += 1
        self.most_at_once = max(self.now, self.most_at_once)
        await asyncio.sleep(0.02)
        self.now -= 1
        return LineAnswer(self.status, b'{"said":\n "yes"}', f"answer-{self.n}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a live prompt, and no server."""
    with prompted(tmp_path / "home", lambda _: ""):
        pass
    return tmp_path / "home"


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with open_app(make_settings(home)) as opened:
        yield opened


def begin(app: App, n_lines: int = N_LINES) -> LlmBatch:
    me = app.identities.resolve(USER)
    incoming = Incoming(app, me)
    for number in range(n_lines):
        about = {"custom_id": f"q-{number}", "method": "POST", "url": "/v1/chat/completions"}
        incoming.add(json.dumps(about | {"body": _BODY}).encode() + b"\n")
    file = incoming.finish("batch", "a.jsonl")
    incoming.drop()
    return create_batch(app, me, endpoint="/v1/chat/completions", input_file=file.id, window="24h")


def output(app: App, batch_id: str) -> list[Any]:
    me = app.identities.resolve(USER)
    batch = find_batch(app, me, batch_id)
    assert batch.output_file is not None
    return [json.loads(one) for one in b"".join(content(app, me, batch.output_file)).splitlines()]


@pytest.mark.requirement("LGW-04")
@pytest.mark.parametrize(("point", "n"), [("kept", 3), ("torn", 2), ("counted", 3), ("said", 1)])
def test_killed_anywhere_every_line_is_answered_once(home: Path, point: str, n: int) -> None:
    with ScriptedLLM(Answer(text="Yes.")) as model:
        provider = {"url": f"{model.url}/v1", "terms": {"self_hosted": True}}
        (home / FILE).write_text(json.dumps({"providers": {"local": provider}}))
        with open_app(make_settings(home)) as app:
            batch = begin(app)

        def answer(point: str) -> int:
            command = [sys.executable, "-m", "tests.app.llm.killed_batch", str(home), batch.id, point, str(n)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            assert ended.returncode in (0, -9), ended.stderr
            return ended.returncode

        assert answer(point) == -9
        assert answer("never") == 0
        with open_app(make_settings(home)) as app:
            lines = output(app, batch.id)
            assert sorted(one["custom_id"] for one in lines) == sorted(f"q-{n}" for n in range(N_LINES))
            done = app.store.llm_batches.get(batch.id)
            assert (done.state, done.n_total, done.n_completed, done.n_failed) == ("completed", 12, 12, 0)
            assert app.line_files.names(PROJECT, "batch_") == []
        assert N_LINES <= len(model.asked) <= N_LINES + 3, "only what was under way was asked again"


def turns(app: App, work: BatchWork, most: int = 50) -> int:
    """Give the batch turns until it is over; how many it took."""

    async def go_on() -> int:
        for number in range(most):
            taken = [one for one in app.queue.take(10, 300.0) if one.item.startswith("batch:")]
            if not taken:
                return number
            await work.turn(taken[0])
        return most

    return asyncio.run(go_on())


def test_a_few_lines_are_asked_at_a_time_and_a_long_batch_lets_others_have_turns(app: App) -> None:
    batch, asked = begin(app), Asked()
    work = BatchWork(app, asked, pace=Pace(at_once=4, slice_s=0.0))
    assert turns(app, work, most=1) == 1
    assert app.store.llm_batches.get(batch.id).state == "in_progress", "its time is over before its lines are"
    assert turns(app, BatchWork(app, asked, pace=Pace(at_once=4))) == 1
    assert (asked.n, asked.most_at_once) == (N_LINES, 4)
    assert output(app, batch.id)[0]["response"]["body"] == {"said": "yes"}, "one line, whatever was said"


@pytest.mark.parametrize(("status", "tries"), [(503, 5), (429, 5), (400, 1)])
def test_what_may_pass_is_asked_again_some_times(app: App, status: int, tries: int) -> None:
    batch, asked, waits = begin(app, 1), Asked(status=status), []

    async def sleep(duration_s: float) -> None:
        waits.append(duration_s)

    turns(app, BatchWork(app, asked, sleep=sleep))
    assert (asked.n, waits) == (tries, [1.0, 2.0, 4.0, 8.0][: tries - 1])
    done = app.store.llm_batches.get(batch.id)
    assert (done.state, done.n_failed, done.output_file) == ("completed", 1, None)


def test_a_batch_that_another_works_on_is_left_to_it(app: App) -> None:
    batch, first, second = begin(app), Asked(), Asked()
    item = f"batch:{batch.id}"

    async def both() -> None:
        taken = Taken("main", item, 1, "r")
        works = [BatchWork(app, one, pace=Pace(at_once=1)) for one in (first, second)]
        await asyncio.gather(*(work.turn(taken) for work in works))

    asyncio.run(both())
    assert {first.n, second.n} == {0, N_LINES}
    assert len(output(app, batch.id)) == N_LINES


def test_a_batch_is_taken_over_at_once_where_its_process_is_gone(app: App) -> None:
    batch, asked = begin(app), Asked()
    machine, ended = MachineProcesses(), subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    until = app.clock.now() + timedelta(seconds=20)
    for by, n_asked in [
        ("another@elsewhere#1#7", 0),
        (f"one-here@{mark_of(machine)}", 0),
        (f"one-that-ended@{machine.host}#{ended.pid}#7", N_LINES),
    ]:
        standing = app.store.llm_batches.get(batch.id)
        claim = Claim(by=by, until=until)
        app.store.llm_batches.change(replace(standing, claim=claim, revision=standing.revision + 1))
        asyncio.run(BatchWork(app, asked).turn(Taken("main", f"batch:{batch.id}", 1, "r")))
        assert asked.n == n_asked
    assert len(output(app, batch.id)) == N_LINES


def test_a_batch_whose_file_is_gone_fails(app: App) -> None:
    batch, asked = begin(app), Asked()
    delete_file(app, app.identities.resolve(USER), batch.input_file)
    assert turns(app, BatchWork(app, asked)) == 1
    done = app.store.llm_batches.get(batch.id)
    assert (done.state, [one.code for one in done.errors]) == ("failed", ["file_not_found"])
    assert not asked.n


def test_what_was_answered_is_kept_before_a_defect_ends_the_turn(app: App) -> None:
    @dataclass
    class Breaking(Asked):
        begun: int = 0

        async def __call__(self, name: str, path: str, body: bytes) -> LineAnswer:
            self.begun += 1
            breaks = self.begun == 2
            answer = await super().__call__(name, path, body)
            if breaks:
                raise ZeroDivisionError
            return answer

    batch, asked = begin(app), Breaking()
    with pytest.raises(ZeroDivisionError):
        turns(app, BatchWork(app, asked, pace=Pace(at_once=N_LINES)))
    again = Asked()

    async def one_turn() -> None:
        await BatchWork(app, again).turn(Taken("main", f"batch:{batch.id}", 2, "r"))

    asyncio.run(one_turn())
    assert again.n == 1, "only the line that has none is asked again"
    assert len(output(app, batch.id)) == N_LINES


def test_an_item_without_a_batch_is_dropped_in_the_end(app: App) -> None:
    app.queue.put("main", "batch:batch_none")
    work = BatchWork(app, Asked())
    (taken,) = app.queue.take(1, 300.0)
    asyncio.run(work.turn(taken))
    assert app.queue.waiting() == {"main": 1}, "a broker may give it before it is stored"
    asyncio.run(work.turn(taken._replace(attempt=5)))
