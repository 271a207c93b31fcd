"""Kafka as the queue of requests that are answered later.

Each lane is a topic, beside one for items that come again later and one for those that were set aside, which
are its dead letters; each is read by a consumer group of its own name: processes share its partitions. A
message holds an id and nothing else: what was asked stays in the store. The producer is idempotent, and an
item's offset is committed when it is given back. What is worked on side by side ends in another order than it
came: which messages have ended is kept beside the offset, so what is done does not come again because
something before it is not (:mod:`headrace.plugins.kafka_window`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from headrace.core.errors import InvalidInput, Unavailable
from headrace.core.ports import Clock, Taken
from headrace.plugins.kafka_topic import AT, ATTEMPT, DUE, WAIT_S, Source, Waiting, commit, look, numbers
from headrace.plugins.kafka_window import MOST_TEXT

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

_log = logging.getLogger(__name__)
_JOIN_S = 10.0
_PARTITIONS = 4
"""Of a topic that is made here: so many processes answer for one lane."""
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def client_settings(url: str) -> dict[str, str]:
    """How librdkafka is told of a broker.

    Args:
        url: ``kafka://HOST:PORT,HOST:PORT``, or by TLS ``kafkas://USER:PASSWORD@HOST:PORT?mechanism=NAME``
            with a SASL mechanism, PLAIN unless one is named.

    Raises:
        InvalidInput: it has another form, or a password would be sent in clear.

    >>> client_settings("kafka://127.0.0.1:9092")
    {'bootstrap.servers': '127.0.0.1:9092', 'security.protocol': 'PLAINTEXT'}
    """
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    mechanism = parse_qs(parts.query).get("mechanism", ["PLAIN"])[0]
    if parts.scheme not in ("kafka", "kafkas") or not hosts or parts.path.strip("/"):
        raise InvalidInput("HEADRACE_BROKER_URL names no Kafka. Expected kafka://HOST:PORT or kafkas://...")
    if not login:
        return {
            "bootstrap.servers": hosts,
            "security.protocol": "PLAINTEXT" if parts.scheme == "kafka" else "SSL",
        }
    if parts.scheme == "kafka":
        raise InvalidInput("HEADRACE_BROKER_URL would send a password in clear. Expected kafkas:// with one.")
    if mechanism not in _MECHANISMS:
        raise InvalidInput(
            f"HEADRACE_BROKER_URL names the mechanism {mechanism[:40]!r}. Expected {', '.join(_MECHANISMS)}."
        )
    user, _, password = login.partition(":")
    return {
        "bootstrap.servers": hosts,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism,
        "sasl.username": unquote(user),
        "sasl.password": unquote(password),
    }


class _Held(NamedTuple):
    source: Source
    partition: int
    offset: int


class KafkaQueue:
    """Implements ``Queue``.

    Args:
        url: as :func:`client_settings` says.
        lanes: the lanes that there are; one that was put into here is known anyway.
        prefix: what the names of its topics and groups begin with.
        session_s: how long after a process was killed another gets what it held.
        wait_s: how long the broker may take to answer.

    Raises:
        Unavailable: confluent-kafka is not installed.
    """

    def __init__(
        self,
        url: str,
        lanes: Callable[[], Sequence[str]],
        clock: Clock,
        *,
        prefix: str = "headrace",
        session_s: float = 10.0,
        wait_s: float = WAIT_S,
    ) -> None:
        if importlib.util.find_spec("confluent_kafka") is None:
            raise Unavailable(
                "HEADRACE_BROKER_URL names Kafka, and confluent-kafka is not installed. Install it with "
                "pip install 'headrace[kafka]'."
            )
        self._settings = client_settings(url)
        self._lanes = lanes
        self._clock = clock
        self._prefix = prefix
        self._wait_s = wait_s
        self._session_ms = round(session_s * 1000)
        self._turns: dict[str, int] = {}
        self._n_taken = 0
        self._sources: dict[str, Source] = {}
        self._watching: dict[str, Consumer] = {}
        self._held: dict[str, _Held] = {}
        self._there: set[str] = set()
        self._producer: Producer | None = None
        self._taking, self._producing, self._opening = threading.RLock(), threading.Lock(), threading.RLock()

    def put(self, lane: str, item: str) -> None:
        self._turns.setdefault(lane, 0)
        with _asking():
            self._publish(self._name(lane), {item: 0})

    def revive(self, lane: str, items: Collection[str]) -> None:
        self._turns.setdefault(lane, 0)
        with _asking():
            self._publish(self._name(lane), dict.fromkeys(items, 0))
            self._dig_up(self._name(lane, "dead"), frozenset(items))

    def take(self, most: int, lease_s: float) -> list[Taken]:  # noqa: ARG002 - a session that is over ends it
        with self._taking, _asking():
            sources = {lane: self._read(lane) for lane in self._known()}
            return self._take(sources, most)

    def done(self, taken: Taken) -> None:
        with self._taking, _asking():
            self._end(taken)

    def again(self, taken: Taken, after_s: float) -> None:
        with self._taking, _asking():
            if taken.receipt in self._held:
                due_us = self._now_us() + round(after_s * 1e6)
                self._publish(self._name(taken.lane, "later"), {taken.item: taken.attempt}, due_us=due_us)
                self._end(taken)

    def bury(self, taken: Taken) -> None:
        with self._taking, _asking():
            if taken.receipt in self._held:
                self._publish(self._name(taken.lane, "dead"), {taken.item: taken.attempt})
                self._end(taken)

    def waiting(self) -> dict[str, int]:
        with _asking():
            found = {lane: self._count(lane, "") + self._count(lane, "later") for lane in self._known()}
        return {lane: n for lane, n in found.items() if n}

    def buried(self) -> dict[str, int]:
        with _asking():
            found = {lane: self._count(lane, "dead") for lane in self._known()}
        return {lane: n for lane, n in found.items() if n}

    def close(self) -> None:
        with self._taking, self._opening:
            reading = [source.consumer for source in self._sources.values()]
            leaving = [
                threading.Thread(target=consumer.close, name="headrace-kafka-close", daemon=True)
                for consumer in (*reading, *self._watching.values())
            ]
            for thread in leaving:
                thread.start()
            until_s = self._clock.monotonic_s() + self._wait_s
            for thread in leaving:
                thread.join(max(0.0, until_s - self._clock.monotonic_s()))
            if any(thread.is_alive() for thread in leaving):
                # A group that does not hear of it notices when the session is over.
                _log.warning("A consumer of Kafka could not take leave within %s s", self._wait_s)
            self._sources, self._watching, self._held = {}, {}, {}
            self._producer = None

    def _known(self) -> list[str]:
        return sorted({*self._lanes(), *self._turns})

    def _name(self, lane: str, kind: str = "") -> str:
        return ".".join(filter(None, (self._prefix, lane, kind)))

    def _now_us(self) -> int:
        return round(self._clock.now().timestamp() * 1e6)

    def _read(self, lane: str) -> list[Source]:
        """What a lane is read from: what is tried again, then what is new."""
        return [self._source(self._name(lane, kind)) for kind in ("later", "")]

    def _source(self, topic: str) -> Source:
        found = self._sources.get(topic)
        if found is None:
            self._make(topic)
            found = self._sources[topic] = Source(topic, self._consumer)
        return found

    def _take(self, sources: Mapping[str, list[Source]], most: int) -> list[Taken]:
        """One item of each lane in turn, from the lane that had its turn longest ago."""
        every = [source for some in sources.values() for source in some]
        self._join(every)
        for source in every:
            source.read(self._clock)
            self._forget(source)
        taken: list[Taken] = []
        touched: list[tuple[Source, Waiting]] = []
        now_us = self._now_us()
        lanes = sorted(sources, key=lambda lane: self._turns.get(lane, 0))
        while lanes and len(taken) < most:
            for lane in list(lanes):
                some = ((source, source.take(now_us)) for source in sources[lane])
                found = next(((source, *given) for source, given in some if given is not None), None)
                if found is None:
                    lanes.remove(lane)
                    continue
                source, one, attempt = found
                touched.append((source, one))
                self._n_taken += 1
                self._turns[lane] = self._n_taken
                receipt = f"{source.topic}/{one.partition}/{one.offset}/{self._n_taken}"
                self._held[receipt] = _Held(source, one.partition, one.offset)
                taken.append(Taken(lane, one.item, attempt, receipt))
                if len(taken) == most:
                    break
        said = False
        try:
            said = all(s.commit({one.partition for t, one in touched if t is s}) for s in every)
        finally:
            if not said:
                # That they are given away is not known to anybody else: they are not.
                for source, one in touched:
                    source.put_back(one)
                for given in taken:
                    self._held.pop(given.receipt, None)
        return taken if said else []

    def _join(self, sources: Sequence[Source]) -> None:
        """Become a reader of all. It is waited for the first; those that come later join meanwhile."""
        first = not any(source.joined for source in sources)
        for source in sources:
            source.join()
        until_s = self._clock.monotonic_s() + _JOIN_S
        while first and not all(s.joined for s in sources) and self._clock.monotonic_s() < until_s:
            for source in sources:
                source.read(self._clock)
            self._clock.sleep(0.02)

    def _forget(self, source: Source) -> None:
        """What was given away of partitions that are another's now is that one's to give back."""
        if gone := source.dropped():
            self._held = {
                receipt: held
                for receipt, held in self._held.items()
                if held.source is not source or held.partition not in gone
            }

    def _end(self, taken: Taken) -> None:
        held = self._held.get(taken.receipt)
        if held is not None:
            held.source.end(held.partition, held.offset)
            self._held.pop(taken.receipt, None)

    def _publish(self, topic: str, items: Mapping[str, int], *, due_us: int = 0) -> None:
        """Returns once the broker has stored them; ``items`` says how often each was tried."""
        from confluent_kafka import KafkaException

        self._make(topic)
        told: list[Any] = []

        def tell(error: Any, message: Any) -> None:
            told.append((error, message))

        with self._producing:
            producer = self._producer = self._producer or self._new_producer()
            for item, attempt in items.items():
                headers = {ATTEMPT: str(attempt), AT: str(self._now_us()), DUE: str(due_us)}
                producer.produce(topic, item.encode(), item.encode(), headers=dict(headers), on_delivery=tell)
            producer.flush(self._wait_s)
            errors = [error for error, _ in told if error is not None]
            if errors or len(told) < len(items):
                # A producer that has failed once may do so for good; what it has not sent is given up.
                self._producer = None
                producer.purge()
                raise KafkaException(errors[0]) if errors else TimeoutError
        source = self._sources.get(topic)
        for _, message in told:
            if source is not None:
                source.expect(message.partition(), message.offset() + 1)

    def _dig_up(self, topic: str, items: frozenset[str]) -> None:
        """Mark items that were put again among the dead letters as ended; the others stay."""
        from confluent_kafka import OFFSET_INVALID, TopicPartition

        with self._opening:
            watching = self._watch(topic)
            for partition in self._partitions(topic):
                low, high, window = look(watching, topic, partition)
                at = max(low, window.low)
                watching.assign([TopicPartition(topic, partition, at)])
                until_s = self._clock.monotonic_s() + self._wait_s
                while at < high and self._clock.monotonic_s() < until_s:
                    message = watching.poll(0.1)
                    if (
                        message is None
                        or message.error() is not None
                        or message.offset() in (None, OFFSET_INVALID)
                    ):
                        continue
                    at = (message.offset() or 0) + 1
                    item = (message.value() or b"").decode()
                    if window.has_ended(at - 1):
                        continue
                    if item in items:
                        window.end(at - 1)
                    elif len(window.text()) > MOST_TEXT:
                        # More letters than a commit may carry: it goes to the end of the topic.
                        self._publish(topic, {item: numbers(message).get(ATTEMPT, 0)})
                        window.end(at - 1)
                watching.unassign()
                commit(watching, topic, {partition: window})

    def _count(self, lane: str, kind: str) -> int:
        """How many messages of a topic have not ended, as all processes know it."""
        topic = self._name(lane, kind)
        found = 0
        with self._opening:
            watching = self._watch(topic)
            for partition in self._partitions(topic):
                low, high, window = look(watching, topic, partition)
                found += max(0, high - max(low, window.low) - window.n_ended)
        return found

    def _watch(self, topic: str) -> Consumer:
        """Sees what a group has committed, without being one of it."""
        self._make(topic)
        if topic not in self._watching:
            self._watching[topic] = self._consumer(topic)
        return self._watching[topic]

    def _partitions(self, topic: str) -> list[int]:
        return sorted(self._watch(topic).list_topics(topic, self._wait_s).topics[topic].partitions)

    def _make(self, topic: str) -> None:
        """Create a topic unless it is there. A broker deletes nothing of it by age."""
        if topic in self._there:
            return
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        admin = AdminClient(dict(self._settings), logger=_log)
        if topic not in admin.list_topics(timeout=self._wait_s).topics:
            new = NewTopic(topic, num_partitions=_PARTITIONS, config={"retention.ms": "-1"})
            try:
                admin.create_topics([new], operation_timeout=self._wait_s)[topic].result(2 * self._wait_s)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        self._there.add(topic)

    def _new_producer(self) -> Producer:
        from confluent_kafka import Producer

        ours = {"enable.idempotence": True, "linger.ms": 0, "message.timeout.ms": round(self._wait_s * 900)}
        return Producer(self._settings | ours, logger=_log)

    def _consumer(self, group: str) -> Consumer:
        from confluent_kafka import Consumer

        ours = {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": self._session_ms,
            "heartbeat.interval.ms": self._session_ms // 4,
            "max.poll.interval.ms": 900_000,
            "fetch.wait.max.ms": 100,
        }
        return Consumer(self._settings | ours, logger=_log)


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """What the broker or the way to it is to blame for is said as such."""
    from confluent_kafka import KafkaException

    try:
        yield
    except (KafkaException, BufferError, TimeoutError) as error:
        raise Unavailable(
            f"The broker in HEADRACE_BROKER_URL does not answer as expected ({error!r}). "
            "Start it, or correct the address; nothing that was acknowledged is lost."
        ) from error
