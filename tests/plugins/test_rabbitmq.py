from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.app.later import accept, later_of
from headrace.app.serving import serving_of
from headrace.app.workflows import launch
from headrace.core.clock import SystemClock
from headrace.core.errors import Unavailable
from headrace.core.ids import new_id
from headrace.core.ports import Queue
from headrace.plugins.rabbitmq import RabbitQueue
from headrace.serving.later import Question, told
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


@pytest.fixture
def open_queue(prefix: str) -> Iterator[Callable[[], RabbitQueue]]:
    opened: list[RabbitQueue] = []

    def make() -> RabbitQueue:
        opened.append(RabbitQueue(URL, lambda: LANES, prefix=prefix))
        return opened[-1]

    yield make
    for queue in opened:
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
def test_a_connection_that_breaks_loses_nothing(open_queue: Callable[[], RabbitQueue]) -> None:
    queue = open_queue()
    queue.put("main", "a")
    queue.put("main", "b")
    (taken,) = queue.take(1, 60.0)
    queue.reconnect()
    queue.done(taken)
    found: list[tuple[str, int]] = []
    while len(found) < 2:
        found += [(one.item, one.attempt) for one in queue.take(2, 60.0)]
    assert sorted(found) == [("a", 2), ("b", 1)]


@pytest.mark.requirement("SRV-03")
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


def test_a_broker_that_does_not_answer_is_unavailable() -> None:
    queue = RabbitQueue("amqp://guest:guest@127.0.0.1:1/", lambda: LANES)
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            queue.put("main", "a")
    finally:
        queue.close()
