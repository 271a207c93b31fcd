from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from headrace.access.key_ring import KeyRing
from headrace.app.answers.later import (
    KEPT_S,
    accept,
    delete_old_answers,
    failed,
    find_job,
    later_of,
    queues,
    try_again,
)
from headrace.app.answers.serving import Serving, serving_of
from headrace.app.composition import App, open_app
from headrace.app.privacy.erasing import Subject, hash_of
from headrace.app.workflows import launch
from headrace.core.clock import SystemClock
from headrace.core.errors import Conflict, Denied, InternalError, InvalidInput, NotFound, Unavailable
from headrace.core.jobs import Job
from headrace.core.ports import Clock, Queue, Taken
from headrace.core.settings import Settings
from headrace.serving.callbacks import Callbacks
from headrace.serving.handler import Handler
from headrace.serving.later import MAX_TRIES, MOST_CALLS, Later, Question, told
from headrace.store.records import decode_prediction
from headrace.testing import FakeClock
from headrace.testing.factories import make_settings
from tests.serving.receiver import Receiver
from tests.web.making import AUTHOR
from tests.web.seed import VIEWER, seed

CAR = Question(columns={"mileage": [12.5], "model": ["a3"]}, keys=["car-1"])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = make_settings(tmp_path_factory.mktemp("later") / "home", user=AUTHOR)
    with open_app(made) as app, launch(app, role="server"):
        seed(app)
    return made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(SystemClock().now() + timedelta(minutes=10))


@contextmanager
def _serving(settings: Settings, clock: Clock) -> Iterator[tuple[App, Serving]]:
    with open_app(settings, clock) as app:
        for job in app.store.jobs.list():
            app.store.jobs.remove(job.id)
        serving = serving_of(app)
        serving.routes.refresh()
        yield app, serving
        serving.shadows.close()
        serving.recorder.close()


@pytest.fixture
def app(settings: Settings, clock: FakeClock) -> Iterator[App]:
    with _serving(settings, clock) as (app, serving):
        self_emptying = later_of(app, serving.handler)
        while app.queue.waiting():
            asyncio.run(self_emptying.round())
            clock.advance(60.0)
        yield app


def _answering(app: App, serving: Serving | None = None) -> Later:
    made = serving or serving_of(app)
    made.routes.refresh()
    return later_of(app, made.handler)


class _Broken:
    """A handler that cannot answer; counts how often it was asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.n_asked = 0

    async def predict(self, *_: Any, **__: Any) -> Any:
        self.n_asked += 1
        raise self.error


def _broken(app: App, error: Exception) -> tuple[_Broken, Later]:
    handler = _Broken(error)
    return handler, later_of(app, cast(Handler, handler))


@pytest.mark.requirement("SRV-03")
@pytest.mark.parametrize("error", [Unavailable("Not now."), InternalError("The model raised.")])
def test_what_cannot_be_answered_is_tried_again_and_then_set_aside(
    app: App, clock: FakeClock, error: Exception
) -> None:
    job = accept(app, app.me(), "cars", CAR)
    handler, later = _broken(app, error)
    pauses = 0
    while find_job(app, app.me(), job.id).state == "pending":
        if not asyncio.run(later.round()):
            clock.advance(1.0)
            pauses += 1
    assert handler.n_asked == MAX_TRIES
    assert pauses >= 2 + 4 + 8 + 16, "each pause is twice the one before"
    (given_up,) = failed(app, app.me(), "cars")
    assert (given_up.id, given_up.attempts, given_up.kind) == (job.id, MAX_TRIES, type(error).__name__)
    assert queues(app, app.me())[0].buried == 1
    assert asyncio.run(later.round()) == 0

    with pytest.raises(Denied):
        try_again(app, app.identities.resolve(VIEWER), "cars")
    with pytest.raises(NotFound, match="has failed"):
        try_again(app, app.me(), "cars", ["other"])
    with pytest.raises(NotFound, match="no project 'cart'"):
        failed(app, app.me(), "cart")
    assert [one.id for one in try_again(app, app.me(), "cars", [job.id])] == [job.id]
    assert asyncio.run(_answering(app).round()) == 1
    done = find_job(app, app.me(), job.id)
    assert _answer(app, done)["predictions"] == [{"predict": 12.5}]
    assert app.store.audit.search(job.id)[0].action == "queue.retry"


def test_however_many_have_failed_each_may_be_tried_again(app: App) -> None:
    names = [f"failed-{number}" for number in range(1001)]
    with app.store.transaction():
        for name in names:
            app.store.jobs.add(replace(_of("main", name), state="failed", ended_at=app.clock.now()))
    last = names[-1]
    assert [job.id for job in try_again(app, app.me(), "cars", [last])] == [last]
    assert [job.id for job in try_again(app, app.me(), "cars")] == names[:-1]
    assert app.queue.waiting() == {"main": len(names)}
    for job in app.store.jobs.list(limit=len(names)):
        app.store.jobs.remove(job.id)


class _Slow:
    """A handler that answers when it is let; counts how often each request was asked."""

    def __init__(self, handler: Handler, n_asked: int) -> None:
        self.handler = handler
        self.asked: list[str] = []
        self.n_asked = n_asked
        self.all_asked = asyncio.Event()
        self.let = asyncio.Event()

    async def predict(self, *columns: Any, **more: Any) -> Any:
        self.asked.append(more["request_id"])
        if len(self.asked) == self.n_asked:
            self.all_asked.set()
        await self.let.wait()
        return await self.handler.predict(*columns, **more)

    def version(self, release_id: str) -> str:
        return self.handler.version(release_id)


class _Twice:
    """A queue that gives each item to two, as a broker does whose connection broke."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.given: list[Taken] = []

    def take(self, most: int, lease_s: float) -> list[Taken]:
        again, self.given = self.given, self.queue.take(most, lease_s)
        return again + self.given

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)


@pytest.mark.requirement("SRV-03")
def test_what_is_given_twice_is_answered_by_one(app: App, clock: FakeClock) -> None:
    serving = serving_of(app)
    serving.routes.refresh()
    app = replace(app, queue=cast(Queue, _Twice(app.queue)))
    ids = [accept(app, app.me(), "cars", CAR).id for _ in range(3)]

    async def both() -> list[str]:
        slow = _Slow(serving.handler, len(ids))
        first, second = (later_of(app, cast(Handler, slow)) for _ in range(2))
        begun = asyncio.create_task(first.round())
        await slow.all_asked.wait()
        assert await second.round() == len(ids), "it was given all of them too"
        slow.let.set()
        await begun
        while app.queue.waiting():
            clock.advance(1.0)
            await second.round()
        return slow.asked

    assert sorted(asyncio.run(both())) == sorted(ids)
    assert {app.store.jobs.get(one).state for one in ids} == {"done"}
    assert sorted(r.request_id for r in _recorded(app) if r.request_id in ids) == sorted(ids)


def test_an_item_that_comes_before_its_request_is_stored_is_not_dropped(app: App, clock: FakeClock) -> None:
    later, queue = _answering(app), app.queue
    queue.put("main", "early")
    assert asyncio.run(later.round()) == 1
    app.store.jobs.add(_of("main", "early"))
    while app.store.jobs.get("early").state == "pending":
        clock.advance(1.0)
        asyncio.run(later.round())
    assert queue.waiting() == {}


@pytest.mark.requirement("SRV-04")
@pytest.mark.requirement("SRV-03")
def test_what_was_accepted_is_answered_once_though_the_process_was_killed(
    settings: Settings, clock: FakeClock
) -> None:
    with _serving(settings, SystemClock()):
        pass  # nothing of other tests waits
    command = [sys.executable, "-m", "tests.app.answers.killed_later", str(settings.home), "12", "3"]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    ids = killed.stdout.split()
    assert len(ids) == 12
    with open_app(settings, clock) as app:
        serving = serving_of(app)
        later = _answering(app, serving)
        assert 0 < sum(app.store.jobs.get(one).state == "done" for one in ids) < 12
        while app.queue.waiting():
            asyncio.run(later.round())
            clock.advance(60.0)
        answers = [_answer(app, app.store.jobs.get(one)) for one in ids]
        assert [one["predictions"] for one in answers] == [[{"predict": float(n)}] for n in range(12)]
        recorded = [one.request_id for one in _recorded(app) if one.request_id in ids]
        assert sorted(recorded) == sorted(ids), "each is on record once"
        assert {one["id"] for one in answers} <= {one.id for one in _recorded(app)}
        assert app.queue.waiting() == {}
        serving.recorder.close()


def _answer(app: App, job: Job) -> Any:
    return told(job, app.payloads).answer


def _recorded(app: App) -> list[Any]:
    stream = "cars/predictions"
    return [
        decode_prediction(record)
        for segment in app.store.events.segments(stream)
        for record in app.store.events.read(stream, segment.name, 0, 1 << 30)[0]
    ]


def test_who_lost_the_right_meanwhile_gets_no_answer(app: App) -> None:
    job = accept(app, app.me(), "cars", CAR)
    later = _answering(app)
    later._resolve = lambda _: app.identities.resolve(VIEWER)
    asyncio.run(later.round())
    ended = app.store.jobs.get(job.id)
    assert (ended.state, ended.kind) == ("failed", "Denied")


def test_an_erasure_finds_requests_and_answers(app: App, clock: FakeClock) -> None:
    answered = accept(app, app.me(), "cars", CAR)
    asyncio.run(_answering(app).round())
    waiting = accept(app, app.me(), "cars", CAR)
    other = accept(app, app.me(), "cars", Question(columns=CAR.columns, keys=["car-2"]))
    assert waiting.subjects == [hash_of(app, "cars", "car-1")]
    assert "car-1" not in str(app.store.jobs.get(answered.id))
    Subject(app, app.store.projects.get("cars"), "car-1").answers()
    assert [job.id for job in app.store.jobs.list(project="cars")] == [other.id]
    while app.queue.waiting():
        asyncio.run(_answering(app).round())
        clock.advance(60.0)


def test_answers_are_kept_for_a_day(app: App, clock: FakeClock) -> None:
    job = accept(app, app.me(), "cars", CAR)
    asyncio.run(_answering(app).round())
    clock.advance(KEPT_S)
    assert delete_old_answers(app) == 0
    clock.advance(1)
    assert delete_old_answers(app) == 1
    with pytest.raises(NotFound, match="kept for a day"):
        find_job(app, app.me(), job.id)


def test_one_workspace_does_not_wait_for_the_queue_of_another(app: App) -> None:
    for number in range(100):
        app.store.jobs.add(_of("north", f"north-{number}"))
        app.queue.put("north", f"north-{number}")
    mine = accept(app, app.me(), "cars", CAR)
    later = _answering(app)
    asyncio.run(later.round())
    assert app.store.jobs.get(mine.id).state == "done"
    assert app.queue.waiting()["north"] > 50
    while asyncio.run(later.round()):
        pass


def _callbacks(app: App, receiver: Receiver) -> App:
    ring = KeyRing(app.settings.home / "keys", "callbacks")
    return replace(app, callbacks=Callbacks(ring, app.clock, hosts=[receiver.host], private=True))


def _until_told(app: App, later: Later, clock: FakeClock, job: Job) -> Job:
    while (found := app.store.jobs.get(job.id)).callback_state in (None, "pending"):
        if not asyncio.run(later.round()):
            clock.advance(1.0)
    return found


def test_a_receiver_is_told_of_the_answer_once_it_takes_it(
    app: App, clock: FakeClock, receiver: Receiver
) -> None:
    app = _callbacks(app, receiver)
    receiver.status = 503
    job = accept(app, app.me(), "cars", CAR, callback=f"http://{receiver.host}/answers")
    later = _answering(app)
    while len(receiver.had) < 2:
        if not asyncio.run(later.round()):
            clock.advance(1.0)
    receiver.status = 200
    assert _until_told(app, later, clock, job).callback_state == "delivered"
    bodies = [json.loads(body) for _, _, body in receiver.had]
    assert len(bodies) == 3
    assert {headers["webhook-id"] for _, headers, _ in receiver.had} == {job.id}
    assert bodies[2]["state"] == "done"
    assert bodies[2]["answer"]["predictions"] == [{"predict": 12.5}]
    assert app.queue.waiting() == {}


def test_a_receiver_that_never_takes_it_is_given_up_and_the_answer_stays(
    app: App, clock: FakeClock, receiver: Receiver
) -> None:
    app = _callbacks(app, receiver)
    receiver.status = 500
    job = accept(app, app.me(), "cars", CAR, callback=f"http://{receiver.host}/")
    found = _until_told(app, _answering(app), clock, job)
    assert (found.state, found.callback_state, len(receiver.had)) == ("done", "failed", MOST_CALLS)
    assert app.queue.waiting() == {}


def test_a_slow_receiver_holds_up_nobody_else(app: App, receiver: Receiver) -> None:
    app = _callbacks(app, receiver)
    receiver.ready.clear()
    later = _answering(app)
    told = accept(app, app.me(), "cars", CAR, callback=f"http://{receiver.host}/")

    def until(reached: Callable[[], bool]) -> None:
        while not reached():
            threading.Event().wait(0.01)

    async def work() -> None:
        stopping = asyncio.Event()
        working = asyncio.create_task(later.run(stopping))
        await asyncio.to_thread(until, lambda: bool(receiver.had))
        other = await asyncio.to_thread(accept, app, app.me(), "cars", CAR)
        await asyncio.to_thread(until, lambda: app.store.jobs.get(other.id).state == "done")
        assert app.store.jobs.get(told.id).callback_state == "pending"
        receiver.ready.set()
        stopping.set()
        await working

    asyncio.run(asyncio.wait_for(work(), 60))
    assert app.store.jobs.get(told.id).callback_state == "delivered", "what is under way is finished"
    assert app.queue.waiting() == {}


def test_nobody_is_told_who_is_not_allowed(app: App) -> None:
    with pytest.raises(InvalidInput, match="HEADRACE_CALLBACK_HOSTS"):
        accept(app, app.me(), "cars", CAR, callback="https://hooks.example/")
    assert app.store.jobs.list() == []


def _of(workspace: str, job_id: str) -> Job:
    return Job(
        id=job_id,
        project="cars",
        workspace=workspace,
        principal=AUTHOR,
        at=SystemClock().now(),
        digest="d",
        request='clear:{"columns":{"mileage":[1.0],"model":["a3"]}}',
    )


def test_a_request_is_kept_with_its_item_or_not_at_all(app: App) -> None:
    class Refusing:
        def waiting(self) -> dict[str, int]:
            return {}

        def put(self, lane: str, item: str) -> None:
            raise Unavailable(f"The broker takes no {item} in {lane}.")

    refusing = replace(app, queue=cast(Any, Refusing()))
    with pytest.raises(Unavailable, match="takes no"):
        accept(refusing, app.me(), "cars", CAR, "key-1")
    assert app.store.jobs.list() == []
    assert accept(app, app.me(), "cars", CAR, "key-1").state == "pending"
    with pytest.raises(Conflict):
        accept(app, app.me(), "cars", Question(columns={"mileage": [1.0], "model": ["a3"]}), "key-1")
