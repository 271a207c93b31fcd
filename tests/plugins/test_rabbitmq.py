from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from headrace.app.answers.later import accept, later_of
from headrace.app.answers.serving import serving_of
from headrace.app.composition import open_app
from headrace.app.workflows import launch
from headrace.core.clock import SystemClock
from headrace.core.errors import Unavailable
from headrace.core.ids import new_id
from headrace.core.ports import Queue
from headrace.plugins.rabbitmq import RabbitQueue
from headrace.serving.handler import Handler
from headrace.serving.later import Question, told
from headrace.store.records import decode_prediction
from headrace.testing import QueueSuite, make_settings
from tests.web.making import AUTHOR
from tests.web.seed import seed

aio_pika = pytest.importorskip("aio_pika", reason="needs aio-pika: pip install 'headrace[rabbitmq]'")
URL = os.environ.get("HEADRACE_TEST_BROKER_URL", "amqp://guest:guest@127.0.0.1/")
LANES = ("main", "busy", "quiet")  # the workspace of the projects is main


async def _delete(prefix: str) -> None:
    connection = await aio_pika.connect(URL, timeout=5)
    async with connection, connection.channel() as channel:
        for lane in LANES:
            for kind in ("", ".later", ".dead"):
                await channel.queue_delete(f"{prefix}.{lane}{kind}")


async def _reach() -> None:
    await (await aio_pika.connect(URL, timeout=5)).close()


@pytest.fixture(scope="module")
def broker() -> None:
    """A broker that answers."""
    try:
        asyncio.run(_reach())
    except (OSError, TimeoutError, aio_pika.exceptions.AMQPError):
        pytest.skip("needs RabbitMQ: nothing that takes guest answers at 127.0.0.1:5672")


@pytest.fixture
def prefix(broker: None) -> Iterator[str]:
    """Names of this test's own in the broker; nothing of them stays."""
    name = f"headrace-test-{new_id(SystemClock().now())}"
    yield name
    asyncio.run(_delete(name))


class _Cut:
    """Stands between a client and the broker, and cuts every connection when it is told to."""

    def __init__(self, broker: str) -> None:
        parts = urlsplit(broker)
        self._broker = (parts.hostname or "127.0.0.1", parts.port or 5672)
        self._listening = socket.create_server(("127.0.0.1", 0))
        here = f"{parts.username}:{parts.password}@127.0.0.1:{self._listening.getsockname()[1]}"
        self.url = parts._replace(netloc=here).geturl()
        self._ends: list[socket.socket] = []
        self._changing = threading.Lock()
        self._passing, self._held = threading.Event(), threading.Event()
        self._passing.set()
        self.n_cut = 0
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def hold(self) -> None:
        """Let nothing pass until the next cut."""
        self._held.clear()
        self._passing.clear()

    def cut(self, *, once_held: bool = False) -> None:
        """Cut every connection; ``once_held``: as soon as something waits to pass."""
        if once_held:
            self._held.wait()
        with self._changing:
            ends, self._ends = self._ends, []
        self.n_cut += bool(ends)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._passing.set()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(self._broker)
            except OSError:
                client.close()
                continue
            with self._changing:
                self._ends += [client, broker]
            thread = threading.Thread(target=self._join, args=(client, broker), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _join(self, client: socket.socket, broker: socket.socket) -> None:
        with client, broker:
            back = threading.Thread(target=self._carry, args=(broker, client), daemon=True)
            back.start()
            self._carry(client, broker)
            back.join()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := one.recv(1 << 16):
                if not self._passing.is_set():
                    self._held.set()
                    self._passing.wait()
                other.sendall(part)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def between() -> Iterator[_Cut]:
    made = _Cut(URL)
    yield made
    made.close()


@pytest.fixture
def open_queue(prefix: str) -> Iterator[Callable[[], RabbitQueue]]:
    opened: list[RabbitQueue] = []

    def make() -> RabbitQueue:
        opened.append(RabbitQueue(URL, lambda: LANES, prefix=prefix))
        return opened[-1]

    yield make
    for queue in opened:
        queue.close()


@pytest.fixture
def frail_queue(prefix: str, between: _Cut) -> Iterator[RabbitQueue]:
    """A queue whose connection is cut ``between`` it and the broker."""
    queue = RabbitQueue(between.url, lambda: LANES, prefix=prefix)
    yield queue
    queue.close()


@pytest.mark.requirement("SRV-03")
@pytest.mark.xdist_group("rabbitmq")
class TestRabbitQueue(QueueSuite):
    @pytest.fixture
    def queue(self, open_queue: Callable[[], RabbitQueue]) -> Queue:
        return open_queue()

    @pytest.fixture
    def reopen(self, queue: Queue, open_queue: Callable[[], RabbitQueue]) -> Callable[[], Queue]:
        def again() -> Queue:
            queue.close()
            return open_queue()

        return again

    @pytest.fixture
    def pause(self) -> Callable[[float], None]:
        return SystemClock().sleep


@pytest.mark.requirement("SRV-03")
@pytest.mark.xdist_group("rabbitmq")
def test_a_connection_that_breaks_loses_nothing(frail_queue: RabbitQueue, between: _Cut) -> None:
    frail_queue.put("main", "a")
    frail_queue.put("main", "b")
    (taken,) = frail_queue.take(1, 60.0)
    between.cut()
    with contextlib.suppress(Unavailable):
        frail_queue.done(taken)
    found: list[tuple[str, int]] = []
    while len(found) < 2:
        with contextlib.suppress(Unavailable):
            found += [(one.item, one.attempt) for one in frail_queue.take(2, 60.0)]
    assert sorted(found) == [("a", 2), ("b", 1)]


@pytest.mark.requirement("SRV-03")
@pytest.mark.xdist_group("rabbitmq")
def test_what_waits_is_counted_though_the_connection_breaks_meanwhile(
    frail_queue: RabbitQueue, between: _Cut
) -> None:
    frail_queue.put("main", "a")
    with ThreadPoolExecutor(1) as thread:
        for count, expected in ((frail_queue.waiting, {"main": 1}), (frail_queue.buried, {})):
            between.hold()
            counted = thread.submit(count)
            between.cut(once_held=True)
            assert counted.result() == expected
    assert between.n_cut == 2


@pytest.mark.requirement("SRV-03")
@pytest.mark.xdist_group("rabbitmq")
def test_a_call_ends_with_its_connection_though_the_client_library_waits_on(
    frail_queue: RabbitQueue, between: _Cut
) -> None:
    begun = threading.Event()

    async def as_aiormq_waits_where_an_answer_is_lost(_: object) -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()

    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(frail_queue._call, as_aiormq_waits_where_an_answer_is_lost)
        begun.wait()
        between.cut()
        with pytest.raises(Unavailable) as told:
            waits.result()
    assert isinstance(told.value.__cause__, ConnectionResetError), "and not that its time was over"


@pytest.mark.requirement("SRV-03", "ORG-16")
@pytest.mark.xdist_group("rabbitmq")
def test_requests_that_wait_in_the_broker_are_answered_after_a_restart(
    open_queue: Callable[[], RabbitQueue], tmp_path: Path
) -> None:
    with open_app(make_settings(tmp_path / "home", user=AUTHOR)) as opened:
        with launch(opened, role="server"):
            seed(opened)
        app = replace(opened, queue=open_queue())
        asked = Question(columns={"mileage": [7.0], "model": ["a3"]})
        ids = [accept(app, app.me(), "cars", asked).id for _ in range(5)]
        assert len(app.queue.take(3, 60.0)) == 3, "a process took some, and is killed"
        app.queue.close()
        app = replace(opened, queue=open_queue())
        serving = serving_of(app)
        serving.routes.refresh()
        later, left = later_of(app, serving.handler), set(ids)
        while left:
            asyncio.run(later.round())
            left = {one for one in left if app.store.jobs.get(one).state == "pending"}
        predictions = [told(app.store.jobs.get(one), app.payloads).answer for one in ids]
        assert [one and one["predictions"] for one in predictions] == [[{"predict": 7.0}]] * 5
        serving.recorder.close()


class _Slowly:
    """A handler that takes its time; counts how often each request was asked."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[str] = []

    async def predict(self, *columns: Any, **more: Any) -> Any:
        self.asked.append(more["request_id"])
        await asyncio.sleep(1.0)
        return await self.handler.predict(*columns, **more)

    def version(self, release_id: str) -> str:
        return self.handler.version(release_id)


def _until_empty(queue: Queue) -> None:
    """As a caller does: again where the broker does not answer, as it is cut off meanwhile."""
    while True:
        with contextlib.suppress(Unavailable):
            if not queue.waiting():
                return
        SystemClock().sleep(0.1)


@pytest.mark.requirement("SRV-03")
@pytest.mark.xdist_group("rabbitmq")
def test_a_connection_that_breaks_while_answers_are_under_way_loses_none_and_doubles_none(
    broker: None, prefix: str, between: _Cut, tmp_path: Path
) -> None:
    with open_app(make_settings(tmp_path / "home", user=AUTHOR)) as opened:
        with launch(opened, role="server"):
            seed(opened)
        app = replace(opened, queue=RabbitQueue(between.url, lambda: LANES, prefix=prefix))
        serving = serving_of(app)
        serving.routes.refresh()
        slow = _Slowly(serving.handler)
        later = later_of(app, cast(Handler, slow), claim_s=2.0)

        def hand_in(number: int) -> str:
            """As a caller does: again under the same key, until it is accepted."""
            asked = Question(columns={"mileage": [float(number)], "model": ["a3"]})
            while True:
                with contextlib.suppress(Unavailable):
                    return accept(app, app.me(), "cars", asked, f"key-{number}").id

        async def work() -> list[str]:
            stopping = asyncio.Event()
            answering = asyncio.create_task(later.run(stopping))
            ids = []
            for number in range(40):
                ids.append(await asyncio.to_thread(hand_in, number))
                if number % 8 == 7:
                    between.cut()
            while any(app.store.jobs.get(one).state == "pending" for one in ids):
                await asyncio.sleep(0.3)
                if between.n_cut < 12:
                    between.cut()
            await asyncio.to_thread(_until_empty, app.queue)
            stopping.set()
            await answering
            return ids

        ids = asyncio.run(asyncio.wait_for(work(), 120))
        assert between.n_cut >= 5
        answers = [told(app.store.jobs.get(one), app.payloads).answer for one in ids]
        assert [one and one["predictions"] for one in answers] == [[{"predict": float(n)}] for n in range(40)]
        assert sorted(slow.asked) == sorted(ids), "each was asked once"
        records = [
            decode_prediction(record)
            for segment in app.store.events.segments("cars/predictions")
            for record in app.store.events.read("cars/predictions", segment.name, 0, 1 << 30)[0]
        ]
        assert sorted(one.request_id or "" for one in records if one.request_id in ids) == sorted(ids)
        app.queue.close()
        serving.recorder.close()


def test_a_broker_that_does_not_answer_is_unavailable() -> None:
    queue = RabbitQueue("amqp://guest:guest@127.0.0.1:1/", lambda: LANES)
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            queue.put("main", "a")
    finally:
        queue.close()
