from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.app.answers.later import accept, later_of
from headrace.app.answers.serving import serving_of
from headrace.app.composition import open_app
from headrace.app.workflows import launch
from headrace.core.clock import SystemClock
from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.ids import new_id
from headrace.core.ports import Queue, Taken
from headrace.plugins.kafka import KafkaQueue, client_settings
from headrace.serving.later import Question, told
from headrace.testing import QueueSuite, make_settings
from tests.plugins.kafka_cluster import kafka_cluster
from tests.web.making import AUTHOR
from tests.web.seed import seed

kafka: Any = pytest.importorskip(
    "confluent_kafka", reason="needs confluent-kafka: pip install 'headrace[kafka]'"
)
admin_of_kafka: Any = pytest.importorskip("confluent_kafka.admin")
LANES = ("main", "busy", "quiet")  # the workspace of the projects is main
KINDS = ("", ".later", ".dead")
pytestmark = [pytest.mark.requirement("SRV-03"), pytest.mark.xdist_group("kafka")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The broker that HEADRACE_TEST_KAFKA_URL names, or one of our own."""
    if named := os.environ.get("HEADRACE_TEST_KAFKA_URL"):
        yield named
        return
    with kafka_cluster() as address:
        yield f"kafka://{address}"


@pytest.fixture
def prefix(url: str) -> Iterator[str]:
    """Names of this test's own in the broker; nothing of them stays in a real one."""
    name = f"headrace-test-{new_id(SystemClock().now())}"
    admin = admin_of_kafka.AdminClient(client_settings(url))
    topics = [f"{name}.{lane}{kind}" for lane in LANES for kind in KINDS]
    if not os.environ.get("HEADRACE_TEST_KAFKA_URL"):
        for topic in topics:
            admin.list_topics(topic, timeout=10)  # creates it there, where nobody can be asked to
    yield name
    if os.environ.get("HEADRACE_TEST_KAFKA_URL"):
        for done in admin.delete_topics(topics).values():
            with contextlib.suppress(kafka.KafkaException):
                done.result(10)


@pytest.fixture
def open_queue(url: str, prefix: str) -> Iterator[Callable[[], KafkaQueue]]:
    opened: list[KafkaQueue] = []

    def make() -> KafkaQueue:
        opened.append(KafkaQueue(url, lambda: LANES, SystemClock(), prefix=prefix, session_s=2.0))
        return opened[-1]

    yield make
    for queue in opened:
        queue.close()


class TestKafkaQueue(QueueSuite):
    @pytest.fixture
    def queue(self, open_queue: Callable[[], KafkaQueue]) -> Queue:
        return open_queue()

    @pytest.fixture
    def reopen(self, queue: Queue, open_queue: Callable[[], KafkaQueue]) -> Callable[[], Queue]:
        def again() -> Queue:
            queue.close()
            return open_queue()

        return again

    @pytest.fixture
    def pause(self) -> Callable[[float], None]:
        return SystemClock().sleep


def _trying() -> Iterator[int]:
    """Try again and again, and say so if that leads nowhere."""
    clock = SystemClock()
    until_s = clock.monotonic_s() + 60.0
    n_tries = 0
    while clock.monotonic_s() < until_s:
        yield n_tries
        n_tries += 1
    raise AssertionError(f"Nothing came of {n_tries} tries in a minute.")


def _items(queue: Queue, n_items: int) -> list[Taken]:
    found: list[Taken] = []
    for _ in _trying():
        found += queue.take(n_items - len(found), 60.0)
        if len(found) == n_items:
            break
    return found


def test_what_ended_out_of_order_does_not_come_again(open_queue: Callable[[], KafkaQueue]) -> None:
    queue = open_queue()
    names = [f"item-{number}" for number in range(20)]
    for name in names:
        queue.put("main", name)
    taken = _items(queue, 20)
    for one in taken[1::2]:
        queue.done(one)
    assert queue.waiting() == {"main": 10}
    queue.close()
    again = _items(open_queue(), 10)
    assert [(one.item, one.attempt) for one in again] == [(name, 2) for name in names[::2]]


def test_two_processes_share_what_there_is(open_queue: Callable[[], KafkaQueue]) -> None:
    first, second = open_queue(), open_queue()
    names = {f"item-{number}" for number in range(40)}
    for name in names:
        first.put("main", name)
    done: list[str] = []
    by_second = 0
    for _ in _trying():
        if not first.waiting():
            break
        for queue in (first, second):
            for one in queue.take(1, 60.0):
                done.append(one.item)
                queue.done(one)
                by_second += queue is second
    assert set(done) == names, "none is lost while the partitions go from one to the other"
    assert by_second > 0


def test_what_another_has_now_is_not_this_ones_to_give_back(open_queue: Callable[[], KafkaQueue]) -> None:
    first = open_queue()
    for number in range(20):
        first.put("main", f"item-{number}")
    taken = _items(first, 20)
    second = open_queue()
    found: list[Taken] = []
    for _ in _trying():  # partitions come to the second as soon as the first hears of it
        found = second.take(20, 60.0)
        if found:
            break
        first.take(1, 60.0)
    assert {one.attempt for one in found} == {2}
    for one in taken:
        first.done(one)
    assert second.waiting() == {"main": len(found)}, "the second's are not done"
    for one in found:
        second.done(one)
    assert second.waiting() == {}


def test_requests_that_wait_in_the_broker_are_answered_after_a_restart(
    open_queue: Callable[[], KafkaQueue], tmp_path: Path
) -> None:
    with open_app(make_settings(tmp_path / "home", user=AUTHOR)) as opened:
        with launch(opened, role="server"):
            seed(opened)
        app = replace(opened, queue=open_queue())
        asked = Question(columns={"mileage": [7.0], "model": ["a3"]})
        ids = [accept(app, app.me(), "cars", asked).id for _ in range(5)]
        assert len(_items(app.queue, 3)) >= 3, "a process took some, and is killed"
        app.queue.close()
        app = replace(opened, queue=open_queue())
        serving = serving_of(app)
        serving.routes.refresh()
        later, left = later_of(app, serving.handler), set(ids)
        for _ in _trying():
            if not left:
                break
            asyncio.run(later.round())
            left = {one for one in left if app.store.jobs.get(one).state == "pending"}
        predictions = [told(app.store.jobs.get(one), app.payloads).answer for one in ids]
        assert [one and one["predictions"] for one in predictions] == [[{"predict": 7.0}]] * 5
        serving.recorder.close()


def test_dead_letters_that_are_many_can_each_be_revived(open_queue: Callable[[], KafkaQueue]) -> None:
    queue = open_queue()
    names = [f"item-{number}" for number in range(60)]
    for name in names:
        queue.put("main", name)
    for one in _items(queue, 60):
        queue.bury(one)
    assert queue.buried() == {"main": 60}
    queue.revive("main", names[::3])
    assert queue.buried() == {"main": 40}
    assert {one.item for one in _items(queue, 20)} == set(names[::3])
    queue.revive("main", names)
    assert queue.buried() == {}


def test_a_broker_that_does_not_answer_is_unavailable() -> None:
    queue = KafkaQueue("kafka://127.0.0.1:1", lambda: LANES, SystemClock(), wait_s=1.0)
    with pytest.raises(Unavailable, match="does not answer"):
        queue.put("main", "a")
    queue.close()


def test_the_address_says_how_to_connect() -> None:
    assert client_settings("kafka://a:1,b:2") == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "PLAINTEXT",
    }
    assert client_settings("kafkas://a:1")["security.protocol"] == "SSL"
    assert client_settings("kafkas://me:p%40ss@a:1?mechanism=SCRAM-SHA-512") == {
        "bootstrap.servers": "a:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "p@ss",
    }


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("kafka://me:secret@a:1", "in clear"),
        ("kafka://", "names no Kafka"),
        ("kafka://a:1/topic", "names no Kafka"),
        ("kafkas://me:secret@a:1?mechanism=MD5", "mechanism 'MD5'"),
    ],
)
def test_another_address_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        client_settings(url)
    assert "secret" not in str(refused.value)
